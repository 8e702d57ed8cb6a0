/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS between sites, by OpenSSL over memory BIOs. Promises:
 *
 * 1. The handshake is done only when both sides proved the pre-shared key: a server that would
 *    offer a certificate instead is refused (none is trusted, and the key's use is asked for).
 * 2. An unknown identity fails as a wrong key does: a random key stands in for it, so that nobody
 *    can ask which names exist.
 * 3. No application byte is given or taken before that.
 */
#include "io/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <string.h>

#include "base/check.h"
#include "base/secret.h"

enum { TLS_MAGIC = 0x746c7331 };

struct tls {
    uint32_t magic;
    SSL_CTX *context;
    SSL *ssl;
    BIO *in, *out; /* the SSL's */
    bool is_done;
    bool (*psk_cb)(void *arg, const char *identity, const uint8_t **ret_psk, size_t *ret_length);
    void *arg;
    char identity[TLS_IDENTITY_SIZE];
    uint8_t psk[TLS_PSK_MAX];
    size_t psk_length;
};

static struct tls *tls_of(SSL *ssl)
{
    struct tls *tls = SSL_get_app_data(ssl);

    check_magic(tls, TLS_MAGIC);
    return tls;
}

static SSL_SESSION *make_session(SSL *ssl, const uint8_t *psk, size_t length)
{
    static const uint8_t suite[2] = {0x13, 0x01}; /* TLS_AES_128_GCM_SHA256 */
    const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, suite);
    SSL_SESSION *session = SSL_SESSION_new();

    if (session == NULL || cipher == NULL || !SSL_SESSION_set1_master_key(session, psk, length) ||
        !SSL_SESSION_set_cipher(session, cipher) ||
        !SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION)) {
        SSL_SESSION_free(session);
        return NULL;
    }
    return session;
}

static int use_psk(SSL *ssl, const EVP_MD *md, const unsigned char **ret_identity,
                   size_t *ret_length, SSL_SESSION **ret_session)
{
    struct tls *tls = tls_of(ssl);

    *ret_session = NULL;
    /* A second call names the hash the server chose: only ours is offered. */
    if (md != NULL && EVP_MD_get_type(md) != NID_sha256)
        return 0;
    *ret_session = make_session(ssl, tls->psk, tls->psk_length);
    *ret_identity = (const unsigned char *)tls->identity;
    *ret_length = strlen(tls->identity);
    return *ret_session != NULL;
}

static int find_psk(SSL *ssl, const unsigned char *identity, size_t length,
                    SSL_SESSION **ret_session)
{
    struct tls *tls = tls_of(ssl);
    char text[TLS_IDENTITY_SIZE] = "";
    uint8_t stand_in[32];
    const uint8_t *psk = stand_in;
    size_t psk_length = sizeof(stand_in);

    if (RAND_bytes(stand_in, sizeof(stand_in)) != 1)
        return 0;
    if (length < sizeof(text) && memchr(identity, 0, length) == NULL) {
        memcpy(text, identity, length);
        text[length] = 0;
        if (!tls->psk_cb(tls->arg, text, &psk, &psk_length)) {
            psk = stand_in;
            psk_length = sizeof(stand_in);
        }
    }
    check(psk_length >= TLS_PSK_MIN && psk_length <= TLS_PSK_MAX);
    *ret_session = make_session(ssl, psk, psk_length);
    return *ret_session != NULL;
}

static SSL_CTX *make_context(bool is_server)
{
    SSL_CTX *context = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());

    if (context == NULL)
        return NULL;
    if (!SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) ||
        !SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) ||
        !SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") ||
        !SSL_CTX_set_num_tickets(context, 0)) {
        SSL_CTX_free(context);
        return NULL;
    }
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
    SSL_CTX_clear_options(context, SSL_OP_ALLOW_NO_DHE_KEX);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    /* No store of trusted certificates is given: whoever shows one is refused. */
    SSL_CTX_set_verify(context, is_server ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    if (is_server)
        SSL_CTX_set_psk_find_session_callback(context, find_psk);
    else
        SSL_CTX_set_psk_use_session_callback(context, use_psk);
    return context;
}

static int make_ssl(struct tls *tls, bool is_server)
{
    tls->context = make_context(is_server);
    if (tls->context == NULL)
        return -ENOMEM;
    tls->ssl = SSL_new(tls->context);
    tls->in = BIO_new(BIO_s_mem());
    tls->out = BIO_new(BIO_s_mem());
    if (tls->ssl == NULL || tls->in == NULL || tls->out == NULL) {
        BIO_free(tls->in);
        BIO_free(tls->out);
        return -ENOMEM;
    }
    SSL_set_app_data(tls->ssl, tls);
    BIO_set_mem_eof_return(tls->in, -1);
    SSL_set_bio(tls->ssl, tls->in, tls->out);
    if (is_server)
        SSL_set_accept_state(tls->ssl);
    else
        SSL_set_connect_state(tls->ssl);
    return 0;
}

void tls_load(void)
{
    check(OPENSSL_init_ssl(OPENSSL_INIT_LOAD_SSL_STRINGS | OPENSSL_INIT_LOAD_CONFIG, NULL) == 1);
}

int tls_new(const struct tls_options *options, struct tls **ret_tls, struct err *err)
{
    struct tls *tls;
    int rc;

    if (!options->is_server) {
        if (options->psk_length < TLS_PSK_MIN || options->psk_length > TLS_PSK_MAX)
            return err_set(err, -EINVAL, "the link's key has %zu bytes, %d to %d are allowed",
                           options->psk_length, TLS_PSK_MIN, TLS_PSK_MAX);
        check(strlen(options->identity) < TLS_IDENTITY_SIZE);
    } else {
        check(options->psk_cb != NULL);
    }
    tls = secret_new(sizeof(*tls));
    if (tls == NULL)
        return err_set(err, -ENOMEM, "no memory for a TLS session");
    tls->magic = TLS_MAGIC;
    if (options->is_server) {
        tls->psk_cb = options->psk_cb;
        tls->arg = options->arg;
    } else {
        strcpy(tls->identity, options->identity);
        memcpy(tls->psk, options->psk, options->psk_length);
        tls->psk_length = options->psk_length;
    }
    rc = make_ssl(tls, options->is_server);
    if (rc < 0) {
        tls_free(tls);
        return err_set(err, rc, "no memory for a TLS session");
    }
    *ret_tls = tls;
    return 0;
}

void tls_free(struct tls *tls)
{
    if (tls == NULL)
        return;
    check_magic(tls, TLS_MAGIC);
    SSL_free(tls->ssl);
    SSL_CTX_free(tls->context);
    secret_free(tls, sizeof(*tls));
}

int tls_feed(struct tls *tls, const void *bytes, size_t length)
{
    check_magic(tls, TLS_MAGIC);
    check(length <= INT32_MAX);
    if (length == 0)
        return 0;
    return BIO_write(tls->in, bytes, (int)length) == (int)length ? 0 : -ENOMEM;
}

static const char *openssl_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());

    return reason != NULL ? reason : "unexpected bytes";
}

/* Is the first error one that a missing or different key gives, here or told by the peer? */
static bool is_key_error(void)
{
    switch (ERR_GET_REASON(ERR_peek_error())) {
    case SSL_R_BINDER_DOES_NOT_VERIFY:
    case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:
    case SSL_R_SSLV3_ALERT_ILLEGAL_PARAMETER:
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
        return true;
    default:
        return false;
    }
}

int tls_handshake(struct tls *tls, struct err *err)
{
    int rc;

    check_magic(tls, TLS_MAGIC);
    if (tls->is_done)
        return 1;
    ERR_clear_error();
    rc = SSL_do_handshake(tls->ssl);
    if (rc == 1) {
        if (!SSL_session_reused(tls->ssl) || SSL_version(tls->ssl) != TLS1_3_VERSION)
            return err_set(err, -EACCES, "TLS: the peer did not use the link's key");
        tls->is_done = true;
        return 1;
    }
    if (SSL_get_error(tls->ssl, rc) == SSL_ERROR_WANT_READ)
        return 0;
    if (is_key_error())
        return err_set(err, -EACCES,
                       "TLS: the peer has another key or other site names (%s); compare psk-file "
                       "and names at both sites",
                       openssl_reason());
    return err_set(err, -EPROTO, "TLS: %s", openssl_reason());
}

bool tls_handshake_is_done(const struct tls *tls)
{
    check_magic(tls, TLS_MAGIC);
    return tls->is_done;
}

int64_t tls_read(struct tls *tls, void *bytes, size_t size, struct err *err)
{
    size_t length = 0;
    int rc;

    check_magic(tls, TLS_MAGIC);
    check(tls->is_done && size > 0);
    ERR_clear_error();
    if (SSL_read_ex(tls->ssl, bytes, size, &length)) {
        check(length > 0 && length <= size);
        return (int64_t)length;
    }
    rc = SSL_get_error(tls->ssl, 0);
    if (rc == SSL_ERROR_WANT_READ)
        return 0;
    if (rc == SSL_ERROR_ZERO_RETURN)
        return err_set(err, -EPIPE, "the peer ended the TLS session");
    return err_set(err, -EPROTO, "TLS: %s", openssl_reason());
}

int tls_write(struct tls *tls, const void *bytes, size_t length, struct err *err)
{
    size_t written = 0;

    check_magic(tls, TLS_MAGIC);
    check(tls->is_done);
    if (length == 0)
        return 0;
    ERR_clear_error();
    /* A memory BIO takes everything, so a partial write cannot be. */
    if (!SSL_write_ex(tls->ssl, bytes, length, &written) || written != length)
        return err_set(err, -EPROTO, "TLS: %s", openssl_reason());
    return 0;
}

size_t tls_output_size(struct tls *tls)
{
    check_magic(tls, TLS_MAGIC);
    return BIO_ctrl_pending(tls->out);
}

size_t tls_take_output(struct tls *tls, void *bytes, size_t size)
{
    int length;

    check_magic(tls, TLS_MAGIC);
    check(size <= INT32_MAX);
    if (size == 0 || tls_output_size(tls) == 0)
        return 0;
    length = BIO_read(tls->out, bytes, (int)size);
    check(length > 0 && (size_t)length <= size);
    return (size_t)length;
}
