/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nth-start        what a daemon reads and opens at its start; every n-th call fails, once, then on
 *
 * Configuration, key file, certificate, sockets of the API: plain calls on real files in a folder
 * of its own (--wrap), and allocations. Wanted of each failure: an error that says what, no
 * descriptor and no allocation left, a live daemon's socket untouched, and the same works then.
 * Nonces, on the simulated disk: what was said to be taken is taken for ever.
 *
 * File-level state: wrapped functions have no argument that could carry it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509.h>

#include "access/nonces.h"
#include "access/secret_box.h"
#include "base/check.h"
#include "base/log.h"
#include "daemon/config.h"
#include "http/http_server.h"
#include "http/http_tls.h"
#include "io/file.h"
#include "nth_loop.h"
#include "sim.h"
#include "sim_alloc.h"

enum { POINTS_MAX = 2000, PATH_SIZE = 200 };

struct fault {
    unsigned at, count;
    bool lasts, is_counting, has_struck;
};

static struct fault the_fault;

static bool strikes(void)
{
    struct fault *fault = &the_fault;

    if (!fault->is_counting)
        return false;
    fault->count++;
    if (fault->count != fault->at && !(fault->lasts && fault->count > fault->at))
        return false;
    fault->has_struck = true;
    return true;
}

/* --- calls that fail ------------------------------------------------------------------------- */

int __real_open64(const char *path, int flags, ...);
ssize_t __real_read(int fd, void *bytes, size_t length);
ssize_t __real_write(int fd, const void *bytes, size_t length);
int __real_fstat64(int fd, struct stat *facts);
int __real_fsync(int fd);
int __real_rename(const char *from, const char *to);
int __real_socket(int domain, int type, int protocol);
int __real_bind(int fd, const struct sockaddr *address, socklen_t length);
int __real_listen(int fd, int backlog);
int __real_connect(int fd, const struct sockaddr *address, socklen_t length);
int __real_chmod(const char *path, mode_t mode);
FILE *__real_fopen64(const char *path, const char *mode);

int __wrap_open64(const char *path, int flags, ...);
ssize_t __wrap_read(int fd, void *bytes, size_t length);
ssize_t __wrap_write(int fd, const void *bytes, size_t length);
int __wrap_fstat64(int fd, struct stat *facts);
int __wrap_fsync(int fd);
int __wrap_rename(const char *from, const char *to);
int __wrap_socket(int domain, int type, int protocol);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t length);
int __wrap_listen(int fd, int backlog);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t length);
int __wrap_chmod(const char *path, mode_t mode);
FILE *__wrap_fopen64(const char *path, const char *mode);

static int refuse(int error)
{
    errno = error;
    return -1;
}

int __wrap_open64(const char *path, int flags, ...)
{
    va_list arguments;
    mode_t mode;

    va_start(arguments, flags);
    mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return strikes() ? refuse(EIO) : __real_open64(path, flags, mode);
}

ssize_t __wrap_read(int fd, void *bytes, size_t length)
{
    return strikes() ? refuse(EIO) : __real_read(fd, bytes, length);
}

ssize_t __wrap_write(int fd, const void *bytes, size_t length)
{
    return strikes() ? refuse(ENOSPC) : __real_write(fd, bytes, length);
}

int __wrap_fstat64(int fd, struct stat *facts)
{
    return strikes() ? refuse(EIO) : __real_fstat64(fd, facts);
}

int __wrap_fsync(int fd)
{
    return strikes() ? refuse(EIO) : __real_fsync(fd);
}

int __wrap_rename(const char *from, const char *to)
{
    return strikes() ? refuse(EIO) : __real_rename(from, to);
}

int __wrap_socket(int domain, int type, int protocol)
{
    return strikes() ? refuse(EMFILE) : __real_socket(domain, type, protocol);
}

int __wrap_bind(int fd, const struct sockaddr *address, socklen_t length)
{
    return strikes() ? refuse(EADDRINUSE) : __real_bind(fd, address, length);
}

int __wrap_listen(int fd, int backlog)
{
    return strikes() ? refuse(EADDRINUSE) : __real_listen(fd, backlog);
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t length)
{
    return strikes() ? refuse(EAGAIN) : __real_connect(fd, address, length);
}

int __wrap_chmod(const char *path, mode_t mode)
{
    return strikes() ? refuse(EIO) : __real_chmod(path, mode);
}

FILE *__wrap_fopen64(const char *path, const char *mode)
{
    if (!strikes())
        return __real_fopen64(path, mode);
    errno = EIO;
    return NULL;
}

static bool allocation_fails(void *arg, const void *owner)
{
    return strikes();
}

/* --- the ground ------------------------------------------------------------------------------ */

struct bench {
    char folder[PATH_SIZE], conf[PATH_SIZE + 20], key[PATH_SIZE + 20], cert[PATH_SIZE + 20],
        cert_key[PATH_SIZE + 20], socket[PATH_SIZE + 20], listen[64], tls_listen[64];
    struct loop *loop;
    int live; /* a daemon that listens on the socket; -1: none */
    unsigned failures;
    struct err err;
};

static void put_file(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");

    check(file && fputs(text, file) >= 0 && fclose(file) == 0 && chmod(path, mode) == 0);
}

static void make_certificate(const struct bench *bench)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    FILE *file;

    check(key && cert);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_set_pubkey(cert, key);
    check(X509_sign(cert, key, EVP_sha256()) > 0);
    check((file = fopen(bench->cert, "w")) && PEM_write_X509(file, cert) == 1 && !fclose(file));
    check((file = fopen(bench->cert_key, "w")) &&
          PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1 && !fclose(file));
    check(chmod(bench->cert_key, 0600) == 0);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static void begin(struct bench *bench)
{
    unsigned pid = (unsigned)getpid();
    char text[4 * PATH_SIZE + 400], psk[PATH_SIZE + 20];

    *bench = (struct bench){.folder = "/tmp/nth-start-XXXXXX", .live = -1};
    check(mkdtemp(bench->folder));
    snprintf(bench->conf, sizeof(bench->conf), "%s/verso.conf", bench->folder);
    snprintf(bench->key, sizeof(bench->key), "%s/secret.key", bench->folder);
    snprintf(bench->cert, sizeof(bench->cert), "%s/cert.pem", bench->folder);
    snprintf(bench->cert_key, sizeof(bench->cert_key), "%s/key.pem", bench->folder);
    snprintf(bench->socket, sizeof(bench->socket), "%s/api.sock", bench->folder);
    /* An address that no other run has. */
    snprintf(bench->listen, sizeof(bench->listen), "127.%u.%u.%u:28991", 16 + (pid >> 16) % 200,
             pid >> 8 & 255, 1 + (pid & 127));
    snprintf(bench->tls_listen, sizeof(bench->tls_listen), "127.%u.%u.%u:28992",
             16 + (pid >> 16) % 200, pid >> 8 & 255, 1 + (pid & 127));
    snprintf(psk, sizeof(psk), "%s/psk", bench->folder);
    snprintf(text, sizeof(text),
             "[site]\nname=paris\nregion=r\nzone=z\ndata=%s\n[api]\nsocket=%s\n"
             "[nbd]\nlisten=127.0.0.1:10809\n[link]\nlisten=127.0.0.1:901\npsk-file=%s\n"
             "[peer.lyon]\nregion=l\nzone=l\naddress=127.0.0.1:902\n",
             bench->folder, bench->socket, psk);
    put_file(bench->conf, text, 0644);
    put_file(psk, "0123456789012345678901234567890123456789\n", 0600);
    make_certificate(bench);
    check(loop_new(LOOP_THREADS, &bench->loop, &bench->err) == 0);
}

static void end(struct bench *bench)
{
    char command[PATH_SIZE + 20];

    loop_free(bench->loop);
    snprintf(command, sizeof(command), "rm -rf '%s'", bench->folder);
    check(system(command) == 0);
}

static unsigned descriptor_count(void)
{
    DIR *folder = opendir("/proc/self/fd");
    unsigned count = 0;

    check(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

/* --- the operations -------------------------------------------------------------------------- */

static int load_config(struct bench *bench)
{
    struct config *config = sim_kernel_alloc(sizeof(*config));
    int error = config_load(bench->conf, config, &bench->err);

    check(error < 0 || (config->peer_count == 1 && config->link.psk_length == 40 &&
                        strcmp(config->site.data, bench->folder) == 0));
    sim_kernel_free(config);
    return error;
}

static int open_secrets(struct bench *bench)
{
    struct secret_box *box = NULL;
    int error = secret_box_open(bench->key, false, &box, &bench->err);

    if (error == 0)
        secret_box_free(box);
    return error;
}

static int make_secrets(struct bench *bench)
{
    if (!the_fault.is_counting || the_fault.count == 0)
        (void)unlink(bench->key);
    return open_secrets(bench);
}

static int load_certificate(struct bench *bench)
{
    struct http_tls *tls;
    int error = http_tls_new(bench->cert, bench->cert_key, &tls, &bench->err);

    if (error < 0)
        return error;
    error = http_tls_reload(tls, &bench->err);
    http_tls_free(tls);
    return error;
}

static void route(void *arg, struct http_request *request)
{
    check(!"nobody asks");
}

static void stopped(void *arg)
{
    loop_stop(((struct bench *)arg)->loop);
}

static int open_doors(struct bench *bench)
{
    struct http_server_options options = {.socket_path = bench->socket,
                                          .listen = bench->listen,
                                          .tls_listen = bench->tls_listen,
                                          .tls_cert = bench->cert,
                                          .tls_key = bench->cert_key,
                                          .loop = bench->loop,
                                          .route_cb = route,
                                          .arg = bench};
    struct http_server *server;
    int error = http_server_new(&options, &server, &bench->err);

    if (error < 0)
        return error;
    the_fault.is_counting = false; /* its end is no start */
    http_server_stop(server, stopped, bench);
    loop_run(bench->loop);
    http_server_free(server);
    return 0;
}

/* Another daemon has the socket: the start fails, and that one goes on. */
static int open_doors_beside(struct bench *bench)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd, error = open_doors(bench);

    the_fault.is_counting = false;
    check(error < 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", bench->socket);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        printf("FAILED: doors-beside: the other daemon's socket is gone\n");
        bench->failures++;
    }
    close(fd);
    fd = accept(bench->live, NULL, NULL);
    if (fd >= 0)
        close(fd);
    return 0;
}

static void live_begin(struct bench *bench)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", bench->socket);
    bench->live = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    check(bench->live >= 0);
    (void)unlink(bench->socket);
    check(bind(bench->live, (struct sockaddr *)&address, sizeof(address)) == 0);
    check(listen(bench->live, 100) == 0);
}

static const struct part {
    const char *name, *about;
    int (*run)(struct bench *bench);
    void (*begin)(struct bench *bench);
} parts[] = {
    {"config", "verso.conf and the key of the link are read", load_config, NULL},
    {"secrets-make", "the key file of the secrets is made", make_secrets, NULL},
    {"secrets-open", "it is opened again", open_secrets, NULL},
    {"certificate", "certificate and key are loaded, and loaded anew", load_certificate, NULL},
    {"doors", "the API listens: unix socket, TCP, TLS", open_doors, NULL},
    {"doors-beside", "the same where another daemon listens", open_doors_beside, live_begin},
};

/* --- the n-th of them ------------------------------------------------------------------------ */

static void complain(struct bench *bench, const struct part *part, const char *what)
{
    printf("FAILED: %s, call %u%s: %s\n", part->name, the_fault.at,
           the_fault.lasts ? " and on" : "", what);
    bench->failures++;
}

static int run_as_owner(struct bench *bench, const struct part *part)
{
    const void *before = sim_alloc_owner_set(bench);
    int error;

    bench->err = (struct err){0};
    error = part->run(bench);
    sim_alloc_owner_set(before);
    return error;
}

/* False: it runs through. */
static bool try_one(struct bench *bench, const struct part *part, unsigned at, bool lasts)
{
    unsigned descriptors = descriptor_count();
    int error;

    the_fault = (struct fault){.at = at, .lasts = lasts, .is_counting = true};
    error = run_as_owner(bench, part);
    the_fault.is_counting = false;
    if (error < 0 && !the_fault.has_struck)
        complain(bench, part, bench->err.text);
    if (error < 0 && (bench->err.code != error || bench->err.text[0] == '\0'))
        complain(bench, part, "an error without a word");
    if (sim_alloc_count(bench) > 0)
        complain(bench, part, "allocations are left");
    if (run_as_owner(bench, part) < 0)
        complain(bench, part, bench->err.text);
    if (sim_alloc_count(bench) > 0 || descriptor_count() != descriptors)
        complain(bench, part, "allocations or descriptors are left");
    return the_fault.has_struck;
}

static void try_part(struct bench *bench, const struct part *part)
{
    unsigned failures = bench->failures, runs = 0, at = 1;

    if (part->begin)
        part->begin(bench);
    run_as_owner(bench, part); /* what libraries keep for ever */
    while (at < POINTS_MAX && try_one(bench, part, at, false)) {
        try_one(bench, part, at, true);
        runs += 2;
        at++;
    }
    printf("%-18s %6u points %8u runs %6u failures  %s\n", part->name, at - 1, runs,
           bench->failures - failures, part->about);
}

/* --- nonces, on the simulated disk ----------------------------------------------------------- */

struct nonce_bench {
    struct sim_world *world;
    struct sim_site *site;
    struct signature *signature;
    struct nonces *nonces;
    struct err err;
    int error;
    bool was_fresh;
};

static int ask_cb(void *arg, struct loop *loop, enum nth_io io)
{
    return strikes() ? -EIO : 0;
}

static void nonces_start(void *arg)
{
    struct nonce_bench *bench = arg;
    struct nonces_options options = {.loop = sim_site_loop(bench->site),
                                     .signature = bench->signature,
                                     .folder = "/site",
                                     .capacity = 64};

    bench->err = (struct err){0};
    bench->error = nonces_open(&options, &bench->nonces, &bench->err);
}

static void nonces_use(void *arg)
{
    struct nonce_bench *bench = arg;
    struct loop *loop = sim_site_loop(bench->site);
    int64_t now_s = (int64_t)(loop_wall_ns(loop) / SIM_SECOND) + 60; /* ahead: a sync more */
    struct nonce nonce;

    bench->was_fresh =
        nonces_judge(bench->nonces, "LTAItest", "a text", now_s, &nonce) == NONCE_FRESH;
    bench->error = bench->was_fresh ? nonces_take(bench->nonces, &nonce) : 0;
}

static void nonces_end(void *arg)
{
    nonces_close(((struct nonce_bench *)arg)->nonces);
}

static void make_folder(void *arg)
{
    check(io_dir_make_durable(sim_site_loop(((struct nonce_bench *)arg)->site), "/site") == 0);
}

/* True: the fault came. */
static bool try_nonces(struct bench *ground, unsigned at, bool lasts)
{
    struct nonce_bench bench = {.world = sim_world_new(at)};
    struct part part = {.name = "nonces"};
    struct nth_loop *loop;
    bool has_struck, was_taken = false;

    check(signature_new(&bench.signature, NULL) == 0);
    bench.site = sim_site_new(bench.world, "paris");
    loop = nth_loop_new(sim_site_loop(bench.site), ask_cb, NULL);
    the_fault = (struct fault){.at = at, .lasts = lasts};
    sim_site_call(bench.site, make_folder, &bench);
    the_fault.is_counting = true;
    sim_site_call(bench.site, nonces_start, &bench);
    if (bench.error == 0) {
        sim_site_call(bench.site, nonces_use, &bench);
        was_taken = bench.was_fresh && bench.error == 0;
    } else if (bench.err.text[0] == '\0') {
        complain(ground, &part, "an error without a word");
    }
    the_fault.is_counting = false;
    has_struck = the_fault.has_struck;
    if (!bench.nonces) {
        if (sim_alloc_count(bench.site) > 0)
            complain(ground, &part, "allocations are left");
        sim_site_call(bench.site, nonces_start, &bench);
    }
    if (!bench.nonces) {
        complain(ground, &part, bench.err.text);
    } else {
        sim_site_call(bench.site, nonces_use, &bench);
        if (was_taken && bench.was_fresh)
            complain(ground, &part, "a nonce is taken twice");
        sim_site_call(bench.site, nonces_end, &bench);
        if (sim_alloc_count(bench.site) > 0)
            complain(ground, &part, "allocations are left at the end");
    }
    sim_world_free(bench.world);
    nth_loop_free(loop);
    signature_free(bench.signature);
    return has_struck;
}

static void try_all_nonces(struct bench *ground)
{
    unsigned failures = ground->failures, runs = 0, at = 1;

    while (at < POINTS_MAX && try_nonces(ground, at, false)) {
        try_nonces(ground, at, true);
        runs += 2;
        at++;
    }
    printf("%-18s %6u points %8u runs %6u failures  %s\n", "nonces", at - 1, runs,
           ground->failures - failures, "nonces are opened, and one is taken");
}

/* What cannot be read is no file without a line. */
static void try_folder_as_config(struct bench *bench)
{
    struct config *config = sim_kernel_alloc(sizeof(*config));

    if (config_load(bench->folder, config, &bench->err) == 0 ||
        !strstr(bench->err.text, "cannot be read")) {
        printf("FAILED: config: a folder is read as one: %s\n", bench->err.text);
        bench->failures++;
    }
    sim_kernel_free(config);
}

int main(void)
{
    struct bench bench;

    log_set_level((enum log_level)0);
    begin(&bench);
    sim_alloc_watch(allocation_fails, NULL);
    for (unsigned i = 0; i < ARRAY_COUNT(parts); i++)
        try_part(&bench, &parts[i]);
    try_all_nonces(&bench);
    sim_alloc_watch(NULL, NULL);
    try_folder_as_config(&bench);
    if (bench.live >= 0)
        close(bench.live);
    end(&bench);
    return bench.failures > 0 ? 1 : 0;
}
