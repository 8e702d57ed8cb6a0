/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: the library reads a certificate once, at its start. So each session gets credentials of ours
 * in place of the library's, before its handshake.
 *
 * Promises
 *  1. Files that are wrong in any way (missing, no PEM, key of another certificate, open to others)
 *     change nothing, and the error tells file and reason.
 *  2. Credentials live until the last session that has them is gone.
 *  3. The bytes of a key file are wiped once the library has them.
 */
#include "http/http_tls.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/x509.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/secret.h"

enum { PEM_BYTES_MAX = 256 << 10 };

struct http_certificate {
    atomic_uint holders;
    gnutls_certificate_credentials_t credentials;
};

struct http_tls {
    char cert_path[PATH_MAX], key_path[PATH_MAX];
    pthread_mutex_t lock; /* protects current */
    struct http_certificate *current;
};

/* A file in memory of its own, wiped by free_file(). */
struct file {
    unsigned char *bytes;
    unsigned length;
};

static void free_file(struct file *file)
{
    secret_free(file->bytes, PEM_BYTES_MAX);
}

static int check_mode(const char *path, const struct stat *facts, struct err *err)
{
    mode_t refused = facts->st_uid == 0 ? 037 : 077;

    if ((facts->st_mode & refused) != 0)
        return err_set(err, -EPERM, "tls-key %s: others may read it: chmod 600", path);
    return 0;
}

static int read_file(int fd, const char *path, struct file *file, struct err *err)
{
    ssize_t done = 1;

    file->bytes = secret_new(PEM_BYTES_MAX);
    if (file->bytes == NULL)
        return err_set(err, -ENOMEM, "%s: no memory", path);
    file->length = 0;
    while (done > 0 && file->length < PEM_BYTES_MAX) {
        done = read(fd, file->bytes + file->length, PEM_BYTES_MAX - file->length);
        if (done > 0)
            file->length += (unsigned)done;
    }
    if (done < 0)
        return err_set(err, -errno, "%s: %s", path, err_name(errno));
    if (file->length == PEM_BYTES_MAX)
        return err_set(err, -EFBIG, "%s: too large", path);
    return 0;
}

static int load_file(const char *path, bool is_key, struct file *file, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), failed = 0;
    struct stat facts;

    if (fd < 0)
        return err_set(err, -errno, "%s %s: %s", is_key ? "tls-key" : "tls-cert", path,
                       err_name(errno));
    if (fstat(fd, &facts) != 0)
        failed = err_set(err, -errno, "%s: %s", path, err_name(errno));
    else if (!S_ISREG(facts.st_mode))
        failed = err_set(err, -EINVAL, "%s: not a file", path);
    else if (is_key)
        failed = check_mode(path, &facts, err);
    if (failed == 0)
        failed = read_file(fd, path, file, err);
    close(fd);
    return failed;
}

/* It is the operator's, so it is used all the same. */
static void warn_of_age(const char *path, gnutls_certificate_credentials_t credentials)
{
    gnutls_x509_crt_t *chain = NULL;
    unsigned count = 0;

    if (gnutls_certificate_get_x509_crt(credentials, 0, &chain, &count) < 0)
        return;
    if (count > 0 && gnutls_x509_crt_get_expiration_time(chain[0]) < time(NULL))
        log_warning("api", "tls-cert %s: the certificate has expired", path);
    for (unsigned i = 0; i < count; i++)
        gnutls_x509_crt_deinit(chain[i]);
    gnutls_free(chain);
}

static int make(const struct http_tls *tls, const struct file *cert, const struct file *key,
                struct http_certificate **ret_certificate, struct err *err)
{
    const gnutls_datum_t cert_datum = {cert->bytes, cert->length};
    const gnutls_datum_t key_datum = {key->bytes, key->length};
    struct http_certificate *certificate = calloc(1, sizeof(*certificate));
    int result;

    if (certificate == NULL ||
        gnutls_certificate_allocate_credentials(&certificate->credentials) < 0) {
        free(certificate);
        return err_set(err, -ENOMEM, "tls-cert: no memory");
    }
    result = gnutls_certificate_set_x509_key_mem2(certificate->credentials, &cert_datum, &key_datum,
                                                  GNUTLS_X509_FMT_PEM, NULL, 0);
    if (result < 0) {
        gnutls_certificate_free_credentials(certificate->credentials);
        free(certificate);
        return err_set(err, -EINVAL, "tls-cert %s, tls-key %s: %s", tls->cert_path, tls->key_path,
                       gnutls_strerror(result));
    }
    warn_of_age(tls->cert_path, certificate->credentials);
    atomic_init(&certificate->holders, 1);
    *ret_certificate = certificate;
    return 0;
}

static int load(const struct http_tls *tls, struct http_certificate **ret_certificate,
                struct err *err)
{
    struct file cert = {0}, key = {0};
    int failed = load_file(tls->cert_path, false, &cert, err);

    if (failed == 0)
        failed = load_file(tls->key_path, true, &key, err);
    if (failed == 0)
        failed = make(tls, &cert, &key, ret_certificate, err);
    free_file(&cert);
    free_file(&key);
    return failed;
}

int http_tls_new(const char *cert_path, const char *key_path, struct http_tls **ret_tls,
                 struct err *err)
{
    struct http_tls *tls;
    int failed;

    if (strlen(cert_path) >= PATH_MAX || strlen(key_path) >= PATH_MAX)
        return err_set(err, -ENAMETOOLONG, "tls-cert, tls-key: a path is too long");
    tls = calloc(1, sizeof(*tls));
    if (tls == NULL)
        return err_set(err, -ENOMEM, "tls-cert: no memory");
    strcpy(tls->cert_path, cert_path);
    strcpy(tls->key_path, key_path);
    failed = load(tls, &tls->current, err);
    if (failed) {
        free(tls);
        return failed;
    }
    check(pthread_mutex_init(&tls->lock, NULL) == 0);
    *ret_tls = tls;
    return 0;
}

int http_tls_reload(struct http_tls *tls, struct err *err)
{
    struct http_certificate *fresh, *old;
    int failed = load(tls, &fresh, err);

    if (failed)
        return failed;
    check(pthread_mutex_lock(&tls->lock) == 0);
    old = tls->current;
    tls->current = fresh;
    check(pthread_mutex_unlock(&tls->lock) == 0);
    http_tls_drop(old);
    return 0;
}

void http_tls_free(struct http_tls *tls)
{
    if (tls == NULL)
        return;
    check(atomic_load(&tls->current->holders) == 1);
    http_tls_drop(tls->current);
    pthread_mutex_destroy(&tls->lock);
    free(tls);
}

struct http_certificate *http_tls_hold(struct http_tls *tls, gnutls_session_t session)
{
    struct http_certificate *certificate;

    check(pthread_mutex_lock(&tls->lock) == 0);
    certificate = tls->current;
    atomic_fetch_add(&certificate->holders, 1);
    check(pthread_mutex_unlock(&tls->lock) == 0);
    if (gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, certificate->credentials) == 0)
        return certificate;
    http_tls_drop(certificate);
    return NULL;
}

void http_tls_drop(struct http_certificate *certificate)
{
    if (certificate == NULL || atomic_fetch_sub(&certificate->holders, 1) > 1)
        return;
    gnutls_certificate_free_credentials(certificate->credentials);
    free(certificate);
}
