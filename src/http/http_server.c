/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: builds listeners, patrols and the certificate, and ends them in order.
 *
 * The unix socket has a patrol of its own, all others share one.
 */
#include "http/http_server.h"

#include <errno.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/check.h"
#include "http/http_address.h"
#include "http/http_listener.h"

enum { HTTP_MAGIC = 0x68747470 };

static const struct http_limits default_limits = {
    .connections_max = 256,
    .address_connections_max = 64,
    .waiting_max = 64,
    .head_ns_max = UINT64_C(10) * 1000000000,
    .request_ns_max = UINT64_C(60) * 1000000000,
    .idle_ns_max = UINT64_C(65) * 1000000000,
    .body_rate_min = 500,
    .head_bytes_max = 16 << 10,
    .body_bytes_max = 1 << 20,
};

struct http_server {
    uint32_t magic;
    struct http_front front;
    struct http_limits limits;
    char socket_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    struct http_listener listeners[HTTP_LISTENERS_MAX]; /* the first is the unix socket's */
    unsigned listener_count;
    struct http_patrol *patrol_local, *patrol_network;
    struct http_tls *tls;
    char host_id[64];
    struct http_refusals *refusals; /* NULL: nobody wants them */
    struct loop_message stop_message;
    bool is_stop_posted;
    void (*stopped_cb)(void *arg);
    void *stopped_arg;
};

/* --- the end --------------------------------------------------------------------------------- */

/* Behind every message that the library's threads posted. */
static void library_ended(struct loop_message *message)
{
    struct http_server *server = container_of(message, struct http_server, stop_message);

    http_patrol_free(server->patrol_local);
    http_patrol_free(server->patrol_network);
    server->patrol_local = server->patrol_network = NULL;
    server->stopped_cb(server->stopped_arg);
}

static void stop_listeners(struct http_server *server)
{
    while (server->listener_count > 0)
        http_listener_stop(&server->listeners[--server->listener_count]);
    unlink(server->socket_path);
    http_patrol_stop(server->patrol_local);
    http_patrol_stop(server->patrol_network);
}

static void stop_now(struct loop_message *message)
{
    struct http_server *server = container_of(message, struct http_server, stop_message);

    check_magic(server, HTTP_MAGIC);
    check(atomic_load(&server->front.waiting) == 0);
    stop_listeners(server);
    server->stop_message.run_cb = library_ended;
    loop_post(server->front.loop, &server->stop_message);
}

static void stop_if_quiet(struct http_front *front)
{
    struct http_server *server = container_of(front, struct http_server, front);

    if (!atomic_load(&front->is_stopping) || atomic_load(&front->waiting) > 0 ||
        server->is_stop_posted)
        return;
    server->is_stop_posted = true;
    server->stop_message.run_cb = stop_now;
    loop_post(front->loop, &server->stop_message);
}

void http_server_stop(struct http_server *server, void (*stopped_cb)(void *arg), void *arg)
{
    check_magic(server, HTTP_MAGIC);
    server->stopped_cb = stopped_cb;
    server->stopped_arg = arg;
    for (unsigned i = 0; i < server->listener_count; i++)
        http_listener_quiesce(&server->listeners[i]);
    atomic_store(&server->front.is_stopping, true);
    stop_if_quiet(&server->front);
}

void http_server_free(struct http_server *server)
{
    if (!server)
        return;
    check_magic(server, HTTP_MAGIC);
    check(server->listener_count == 0);
    http_patrol_free(server->patrol_local);
    http_patrol_free(server->patrol_network);
    http_tls_free(server->tls);
    http_refusals_free(server->refusals);
    server->magic = 0;
    free(server);
}

int http_server_reload(struct http_server *server, struct err *err)
{
    check_magic(server, HTTP_MAGIC);
    return server->tls ? http_tls_reload(server->tls, err) : 0;
}

/* --- the beginning --------------------------------------------------------------------------- */

static void fill_limits(struct http_limits *limits, const struct http_limits *given)
{
    *limits = default_limits;
#define TAKE(field) limits->field = given->field ? given->field : limits->field
    TAKE(connections_max);
    TAKE(address_connections_max);
    TAKE(waiting_max);
    TAKE(head_ns_max);
    TAKE(request_ns_max);
    TAKE(idle_ns_max);
    TAKE(body_rate_min);
    TAKE(head_bytes_max);
    TAKE(body_bytes_max);
#undef TAKE
    if (limits->waiting_max > limits->connections_max / 2) /* the others are for those who call */
        limits->waiting_max = limits->connections_max / 2;
}

/* Versions before 0.9.76 parse a head where it lies, and fold lines; later ones are strict. */
static bool library_parses_in_place(void)
{
    return strverscmp(MHD_get_version(), "0.9.76") < 0;
}

/* Clients close before we do: 55 s of 65. */
static void set_hint(struct http_front *front)
{
    uint64_t idle_s = front->limits->idle_ns_max / 1000000000;

    snprintf(front->rest_hint, sizeof(front->rest_hint), "timeout=%" PRIu64, idle_s * 55 / 65);
}

static struct http_server *make_server(const struct http_server_options *options)
{
    struct http_server *server = calloc(1, sizeof(*server));

    if (!server)
        return NULL;
    server->magic = HTTP_MAGIC;
    fill_limits(&server->limits, &options->limits);
    strcpy(server->socket_path, options->socket_path);
    server->front.loop = options->loop;
    server->front.route_cb = options->route_cb;
    server->front.arg = options->arg;
    server->front.limits = &server->limits;
    set_hint(&server->front);
    server->front.queue_fn = http_errors_queue();
    snprintf(server->host_id, sizeof(server->host_id), "%s",
             options->host_id ? options->host_id : "");
    server->front.host_id = server->host_id;
    if (options->refused_cb) {
        server->refusals = http_refusals_new(options->loop, options->refused_cb, options->arg);
        check(server->refusals);
    }
    server->front.refusals = server->refusals;
    server->front.is_parsed_in_place = library_parses_in_place();
    server->front.quiet_cb = stop_if_quiet;
    server->patrol_local = http_patrol_new(options->loop, &server->limits);
    server->patrol_network = http_patrol_new(options->loop, &server->limits);
    if (server->patrol_local && server->patrol_network)
        return server;
    http_server_free(server);
    return NULL;
}

static void add_listener(struct http_server *server, const struct http_server_options *options,
                         enum http_door door, int fd)
{
    unsigned index = server->listener_count++;

    check(index < HTTP_LISTENERS_MAX);
    server->listeners[index] = (struct http_listener){
        .gate = {.front = &server->front,
                 .patrol = door == HTTP_DOOR_UNIX ? server->patrol_local : server->patrol_network,
                 .door = door},
        .fd = fd,
        .tls = door == HTTP_DOOR_TLS ? server->tls : NULL,
        .index = index,
        .connected_cb = options->connected_cb,
        .connected_arg = options->connected_arg,
    };
}

static int bind_local(struct http_server *server, const struct http_server_options *options,
                      struct err *err)
{
    int fd = http_listener_bind_unix(server->socket_path, err);

    if (fd < 0)
        return fd;
    add_listener(server, options, HTTP_DOOR_UNIX, fd);
    return 0;
}

static int bind_network(struct http_server *server, const struct http_server_options *options,
                        enum http_door door, const char *list, struct err *err)
{
    struct posix_address addresses[HTTP_ADDRESSES_MAX];
    int count = http_addresses_parse(list ? list : "", addresses, err);

    for (int i = 0; i < count; i++) {
        int fd = http_listener_bind_tcp(&addresses[i], err);

        if (fd < 0)
            return fd;
        add_listener(server, options, door, fd);
    }
    return count < 0 ? count : 0;
}

static int start_all(struct http_server *server, struct err *err)
{
    for (unsigned i = 0; i < server->listener_count; i++)
        if (http_listener_start(&server->listeners[i]) < 0)
            return err_set(err, -EIO, "the HTTP server does not start");
    return 0;
}

static int open_all(struct http_server *server, const struct http_server_options *options,
                    struct err *err)
{
    bool has_tls = options->tls_listen && options->tls_listen[0];
    int failed = 0;

    if (has_tls)
        failed = http_tls_new(options->tls_cert, options->tls_key, &server->tls, err);
    if (failed == 0 && bind_local(server, options, err) < 0)
        failed = err_wrap(err, "socket");
    if (failed == 0 && bind_network(server, options, HTTP_DOOR_PLAIN, options->listen, err) < 0)
        failed = err_wrap(err, "listen");
    if (failed == 0 && has_tls &&
        bind_network(server, options, HTTP_DOOR_TLS, options->tls_listen, err) < 0)
        failed = err_wrap(err, "tls-listen");
    return failed ? failed : start_all(server, err); /* no client before everything is bound */
}

int http_server_new(const struct http_server_options *options, struct http_server **ret_server,
                    struct err *err)
{
    struct http_server *server;
    int failed;

    check(options->loop && options->route_cb);
    if (strlen(options->socket_path) >= sizeof(server->socket_path))
        return err_set(err, -ENAMETOOLONG, "%s: too long for a socket", options->socket_path);
    server = make_server(options);
    if (!server)
        return err_set(err, -ENOMEM, "http: out of memory");
    failed = open_all(server, options, err);
    if (failed) {
        bool is_bound = server->listener_count > 0;

        while (server->listener_count > 0)
            http_listener_stop(&server->listeners[--server->listener_count]);
        if (is_bound)
            unlink(server->socket_path);
        http_server_free(server);
        return failed;
    }
    *ret_server = server;
    return 0;
}
