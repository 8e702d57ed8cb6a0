/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listeners, the table of exports, the set of connections.
 *
 *   1. `connections` is in the order of their start. Of those that negotiate at most handshakes_max
 *      are kept, and at most handshakes_address_max of one address: the oldest end, but each has
 *      FAIR_NS first, so that many good clients that come at once all get in. At connections_max
 *      the oldest that negotiates gives way at once. So silent clients cannot keep good ones out.
 *   2. A connection is in the list until closed_cb; the server is stopped when the list is empty
 *      and every listener is closed.
 *   3. A listener that ran out of descriptors rests for a moment: the clients wait in the kernel,
 *      and the oldest connection that negotiates ends, to make room.
 */
#include "nbd/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "io/socket.h"
#include "nbd/buffer_pool.h"
#include "nbd/connection.h"
#include "nbd/export.h"

enum {
    SERVER_MAGIC = 0x6e736572,
    LISTENER_COUNT_MAX = 4,
    LOG_LINES_MAX = 50,
};

#define SECOND_NS (UINT64_C(1000) * 1000 * 1000)
#define LOG_SPAN_NS (10 * SECOND_NS)
#define ACCEPT_REST_NS (SECOND_NS / 10)
#define FAIR_NS (SECOND_NS / 4)

static const struct nbd_limits default_limits = {
    .connections_max = 1024,
    .handshakes_max = 64,
    .handshakes_address_max = 16,
    .requests_max = 256,
    .handshake_ns_max = 10 * SECOND_NS,
    .payload_ns_max = 30 * SECOND_NS,
    .connection_bytes_max = UINT64_C(64) << 20,
    .buffer_bytes_max = UINT64_C(512) << 20,
};

struct listener {
    struct nbd_server *server;
    struct io_socket *socket; /* NULL: unused or closed */
    struct io_connect accept;
    bool is_accepting;
    struct loop_timer rest;
};

struct nbd_server {
    uint32_t magic;
    struct loop *loop;
    struct listener listeners[LISTENER_COUNT_MAX];
    struct list exports;
    uint64_t export_serial;
    struct list connections;
    unsigned connection_count;
    struct nbd_limits limits;
    struct loop_timer fair; /* for connections that negotiate beyond a limit and are young */
    struct buffer_pool pool;
    struct log_limit log_limit;   /* of clients */
    struct log_limit crowd_limit; /* of connections that end for others, of accepting */
    bool is_stopping;
    struct loop_task stopped;
    void (*stopped_cb)(void *arg);
    void *stopped_arg;
};

static void finish_stop(struct nbd_server *server)
{
    if (!server->is_stopping || server->connection_count > 0)
        return;
    for (unsigned i = 0; i < LISTENER_COUNT_MAX; i++)
        if (server->listeners[i].socket)
            return;
    loop_defer(server->loop, &server->stopped);
}

static void connection_closed(void *arg, struct list *node)
{
    struct nbd_server *server = arg;

    check_magic(server, SERVER_MAGIC);
    check(server->connection_count > 0);
    list_remove(node);
    server->connection_count--;
    finish_stop(server);
}

/* Connections that negotiate: how many of the address of `like` (NULL: of all), and the oldest. */
static unsigned count_negotiating(struct nbd_server *server, const struct connection *like,
                                  struct connection **ret_oldest)
{
    unsigned count = 0;

    *ret_oldest = NULL;
    for (struct list *node = server->connections.next; node != &server->connections;
         node = node->next) {
        struct connection *connection = connection_of(node);

        if (!connection_is_negotiating(connection) ||
            (like != NULL && !connection_shares_address(connection, like)))
            continue;
        if (*ret_oldest == NULL)
            *ret_oldest = connection;
        count++;
    }
    return count;
}

static void crowd_out(struct nbd_server *server, struct connection *connection, const char *limit)
{
    uint64_t now_ns = loop_now_ns(server->loop);
    unsigned dropped;

    if (log_limit_take(&server->crowd_limit, now_ns, &dropped))
        log_warning("nbd", "%s: still negotiates after %.3f s and gives way: %s",
                    connection_peer(connection),
                    (double)(now_ns - connection_start_ns(connection)) / 1e9, limit);
    connection_end(connection);
}

/* Ends those beyond `max` that had their time; the timer sees to the others. */
static void thin_out(struct nbd_server *server, const struct connection *like, unsigned max,
                     const char *limit)
{
    uint64_t now_ns = loop_now_ns(server->loop);
    struct connection *oldest;

    while (count_negotiating(server, like, &oldest) > max) {
        uint64_t due_ns = connection_start_ns(oldest) + FAIR_NS;

        if (due_ns > now_ns) {
            loop_timer_set(server->loop, &server->fair, due_ns);
            return;
        }
        crowd_out(server, oldest, limit);
    }
}

/* Invariant 1, as far as the address of `like` and all are concerned. */
static void thin_crowd(struct nbd_server *server, const struct connection *like)
{
    thin_out(server, like, server->limits.handshakes_address_max, "handshakes-per-address");
    thin_out(server, NULL, server->limits.handshakes_max, "handshakes-max");
}

static void fair_over(struct loop_timer *timer)
{
    struct nbd_server *server = container_of(timer, struct nbd_server, fair);
    uint64_t now_ns = loop_now_ns(server->loop);

    check_magic(server, SERVER_MAGIC);
    for (struct list *node = server->connections.next; node != &server->connections;
         node = node->next) {
        struct connection *connection = connection_of(node);

        if (!connection_is_negotiating(connection))
            continue;
        thin_crowd(server, connection); /* ends none at once: the list stays as it is */
        if (connection_start_ns(connection) + FAIR_NS > now_ns)
            return loop_timer_set(server->loop, timer, connection_start_ns(connection) + FAIR_NS);
    }
}

/* False: all connections are at work. */
static bool make_room(struct nbd_server *server)
{
    struct connection *oldest;

    if (server->connection_count < server->limits.connections_max)
        return true;
    if (count_negotiating(server, NULL, &oldest) == 0)
        return false;
    crowd_out(server, oldest, "connections-max");
    return true;
}

static void admit(struct nbd_server *server, struct io_socket *socket)
{
    const struct connection_options options = {
        .loop = server->loop,
        .socket = socket,
        .exports = &server->exports,
        .pool = &server->pool,
        .log_limit = &server->log_limit,
        .limits = &server->limits,
        .closed_cb = connection_closed,
        .arg = server,
    };
    struct list *node;
    unsigned dropped;

    if (!make_room(server)) {
        if (log_limit_take(&server->log_limit, loop_now_ns(server->loop), &dropped))
            log_warning("nbd", "%s: more than %u connections; refused", io_socket_peer(socket),
                        server->limits.connections_max);
        io_socket_close(server->loop, socket);
        return;
    }
    if (connection_new(&options, &node) != 0) {
        if (log_limit_take(&server->log_limit, loop_now_ns(server->loop), &dropped))
            log_warning("nbd", "%s: no memory for a connection; refused", io_socket_peer(socket));
        io_socket_close(server->loop, socket);
        return;
    }
    list_append(&server->connections, node);
    server->connection_count++;
    thin_crowd(server, connection_of(node));
}

static void accept_done(struct io_op *op, int64_t result);

static void start_accept(struct listener *listener)
{
    check(!listener->is_accepting);
    listener->is_accepting = true;
    io_accept(listener->server->loop, &listener->accept, listener->socket, accept_done);
}

static void close_listener(struct listener *listener)
{
    check(!listener->is_accepting);
    loop_timer_cancel(listener->server->loop, &listener->rest);
    io_socket_close(listener->server->loop, listener->socket);
    listener->socket = NULL;
}

static void accept_done(struct io_op *op, int64_t result)
{
    struct listener *listener = container_of(op, struct listener, accept.op);
    struct nbd_server *server = listener->server;
    struct connection *oldest;
    unsigned dropped;

    check_magic(server, SERVER_MAGIC);
    listener->is_accepting = false;
    if (server->is_stopping) {
        if (result == 0)
            io_socket_close(server->loop, listener->accept.socket);
        close_listener(listener);
        finish_stop(server);
        return;
    }
    if (result == 0) {
        admit(server, listener->accept.socket);
        start_accept(listener);
        return;
    }
    if (log_limit_take(&server->crowd_limit, loop_now_ns(server->loop), &dropped))
        log_warning("nbd", "accept: %s; trying again", err_name((int)result));
    if (result == -EMFILE && count_negotiating(server, NULL, &oldest) > 0)
        crowd_out(server, oldest, "no descriptor is left");
    loop_timer_set(server->loop, &listener->rest, loop_now_ns(server->loop) + ACCEPT_REST_NS);
}

static void rest_over(struct loop_timer *timer)
{
    struct listener *listener = container_of(timer, struct listener, rest);

    check_magic(listener->server, SERVER_MAGIC);
    start_accept(listener);
}

static void server_stopped(struct loop_task *task)
{
    struct nbd_server *server = container_of(task, struct nbd_server, stopped);

    check_magic(server, SERVER_MAGIC);
    server->stopped_cb(server->stopped_arg);
}

/* Opens the listeners; on an error those that were opened are closed again. */
static int open_listeners(struct nbd_server *server, const struct nbd_server_options *options,
                          struct err *err)
{
    for (unsigned i = 0; i < LISTENER_COUNT_MAX && options->addresses[i]; i++) {
        struct listener *listener = &server->listeners[i];

        listener->server = server;
        listener->rest.fired_cb = rest_over;
        if (io_listen(server->loop, options->addresses[i], &listener->socket, err) == 0)
            continue;
        while (i-- > 0)
            close_listener(&server->listeners[i]);
        return err_wrap(err, "nbd");
    }
    for (unsigned i = 0; i < LISTENER_COUNT_MAX; i++)
        if (server->listeners[i].socket)
            start_accept(&server->listeners[i]);
    return 0;
}

static void fill_limits(struct nbd_limits *limits, const struct nbd_limits *given)
{
    *limits = default_limits;
#define TAKE(field) limits->field = given->field ? given->field : limits->field
    TAKE(connections_max);
    TAKE(handshakes_max);
    TAKE(handshakes_address_max);
    TAKE(requests_max);
    TAKE(handshake_ns_max);
    TAKE(payload_ns_max);
    TAKE(connection_bytes_max);
    TAKE(buffer_bytes_max);
#undef TAKE
}

int nbd_server_new(struct loop *loop, const struct nbd_server_options *options,
                   struct nbd_server **ret_server, struct err *err)
{
    struct nbd_server *server = calloc(1, sizeof(*server));
    int error;

    if (server == NULL)
        return err_set(err, -ENOMEM, "nbd: no memory");
    server->magic = SERVER_MAGIC;
    server->loop = loop;
    fill_limits(&server->limits, &options->limits);
    server->log_limit = (struct log_limit){.count_max = LOG_LINES_MAX, .span_ns = LOG_SPAN_NS};
    server->crowd_limit = server->log_limit;
    server->fair.fired_cb = fair_over;
    list_init(&server->exports);
    list_init(&server->connections);
    list_init(&server->stopped.node);
    server->stopped.run_cb = server_stopped;
    buffer_pool_init(&server->pool, server->limits.buffer_bytes_max);
    error = open_listeners(server, options, err);
    if (error != 0) {
        free(server);
        return error;
    }
    *ret_server = server;
    return 0;
}

uint16_t nbd_server_port(const struct nbd_server *server, unsigned index)
{
    check_magic(server, SERVER_MAGIC);
    check(index < LISTENER_COUNT_MAX && server->listeners[index].socket);
    return io_socket_port(server->listeners[index].socket);
}

void nbd_server_stop(struct nbd_server *server, void (*stopped_cb)(void *arg), void *arg)
{
    struct list *node, *next_node;

    check_magic(server, SERVER_MAGIC);
    check(!server->is_stopping);
    server->is_stopping = true;
    server->stopped_cb = stopped_cb;
    server->stopped_arg = arg;
    loop_timer_cancel(server->loop, &server->fair);
    for (unsigned i = 0; i < LISTENER_COUNT_MAX; i++) {
        struct listener *listener = &server->listeners[i];

        if (listener->is_accepting)
            io_socket_shutdown(server->loop, listener->socket);
        else if (listener->socket)
            close_listener(listener);
    }
    list_for_each(node, next_node, &server->connections) connection_end(connection_of(node));
    finish_stop(server);
}

void nbd_server_free(struct nbd_server *server)
{
    struct list *node;

    if (server == NULL)
        return;
    check_magic(server, SERVER_MAGIC);
    check(server->is_stopping && list_is_empty(&server->connections));
    while ((node = list_pop(&server->exports)))
        export_free(list_entry(node, struct nbd_export, node));
    buffer_pool_fini(&server->pool);
    list_remove(&server->stopped.node);
    server->magic = 0;
    free(server);
}

int nbd_export_add(struct nbd_server *server, const struct nbd_export_options *options,
                   struct nbd_export **ret_export)
{
    struct nbd_export *export;
    int error;

    check_magic(server, SERVER_MAGIC);
    if (export_find(&server->exports, options->name, strlen(options->name)))
        return -EEXIST;
    error = export_new(server->loop, options, &export);
    if (error != 0)
        return error;
    export->serial = ++server->export_serial;
    list_append(&server->exports, &export->node);
    *ret_export = export;
    return 0;
}

int nbd_export_add_volume(struct nbd_server *server, const char *name, struct volume *volume,
                          uint64_t size_bytes, struct nbd_export **ret_export)
{
    const struct nbd_export_options options = {
        .name = name,
        .size_bytes = size_bytes,
        .is_read_only = volume_store(volume)->is_read_only,
        .ops = &export_volume_ops,
        .arg = volume,
    };

    return nbd_export_add(server, &options, ret_export);
}

void nbd_export_remove(struct nbd_export *export, void (*removed_cb)(void *arg), void *arg)
{
    export_remove(export, removed_cb, arg);
}

void nbd_export_grow(struct nbd_export *export, uint64_t size_bytes)
{
    check(size_bytes >= export->size_bytes);
    export->size_bytes = size_bytes;
}

unsigned nbd_export_connections(const struct nbd_export *export)
{
    return export->user_count;
}
