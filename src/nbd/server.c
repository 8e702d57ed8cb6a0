/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listeners, the table of exports, the set of connections.
 *
 *   1. `connections` is in the order of their start. At the limit the oldest one that still
 *      negotiates gives way to a newcomer; of those that negotiate for more than a second at most
 *      NEGOTIATING_COUNT_MAX are kept. So silent clients cannot keep good ones out.
 *   2. A connection is in the list until closed_cb; the server is stopped when the list is empty
 *      and every listener is closed.
 *   3. A listener that ran out of descriptors rests for a moment: the clients wait in the kernel.
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
    CONNECTIONS_MAX_DEFAULT = 1024,
    NEGOTIATING_COUNT_MAX = 64,
    LOG_LINES_MAX = 50,
};

#define BUFFER_BYTES_MAX_DEFAULT (UINT64_C(512) << 20)
#define LOG_SPAN_NS (UINT64_C(10) * 1000 * 1000 * 1000)
#define PAYLOAD_NS_DEFAULT (UINT64_C(30) * 1000 * 1000 * 1000)
#define ACCEPT_REST_NS (UINT64_C(100) * 1000 * 1000)
#define NEGOTIATING_NS_FAIR (UINT64_C(1000) * 1000 * 1000)

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
    unsigned connection_count, connections_max;
    struct buffer_pool pool;
    struct log_limit log_limit;
    uint64_t payload_ns_max;
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

/* Ends a connection that negotiates for too long while others want in (invariant 1); false: there
 * is no room. */
static bool make_room(struct nbd_server *server)
{
    uint64_t now_ns = loop_now_ns(server->loop);
    struct connection *oldest = NULL;
    unsigned negotiating = 0;

    if (server->connection_count < NEGOTIATING_COUNT_MAX &&
        server->connection_count < server->connections_max)
        return true;
    for (struct list *node = server->connections.next; node != &server->connections;
         node = node->next) {
        struct connection *connection = connection_of(node);

        if (!connection_is_negotiating(connection))
            continue;
        negotiating++;
        if (oldest == NULL)
            oldest = connection;
    }
    if (oldest == NULL)
        return server->connection_count < server->connections_max;
    if (server->connection_count >= server->connections_max ||
        (negotiating >= NEGOTIATING_COUNT_MAX &&
         now_ns - connection_start_ns(oldest) > NEGOTIATING_NS_FAIR))
        connection_end(oldest);
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
        .payload_ns_max = server->payload_ns_max,
        .closed_cb = connection_closed,
        .arg = server,
    };
    struct list *node;
    unsigned dropped;

    if (!make_room(server)) {
        if (log_limit_take(&server->log_limit, loop_now_ns(server->loop), &dropped))
            log_warning("nbd", "%s: more than %u connections; refused", io_socket_peer(socket),
                        server->connections_max);
        io_socket_close(server->loop, socket);
        return;
    }
    if (connection_new(&options, &node) != 0) {
        log_warning("nbd", "%s: no memory for a connection; refused", io_socket_peer(socket));
        io_socket_close(server->loop, socket);
        return;
    }
    list_append(&server->connections, node);
    server->connection_count++;
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
    log_warning("nbd", "accept: %s; trying again", err_name((int)result));
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

int nbd_server_new(struct loop *loop, const struct nbd_server_options *options,
                   struct nbd_server **ret_server, struct err *err)
{
    struct nbd_server *server = calloc(1, sizeof(*server));
    int error;

    if (server == NULL)
        return err_set(err, -ENOMEM, "nbd: no memory");
    server->magic = SERVER_MAGIC;
    server->loop = loop;
    server->connections_max =
        options->connections_max ? options->connections_max : CONNECTIONS_MAX_DEFAULT;
    server->payload_ns_max = options->payload_ns_max ? options->payload_ns_max : PAYLOAD_NS_DEFAULT;
    server->log_limit = (struct log_limit){.count_max = LOG_LINES_MAX, .span_ns = LOG_SPAN_NS};
    list_init(&server->exports);
    list_init(&server->connections);
    list_init(&server->stopped.node);
    server->stopped.run_cb = server_stopped;
    buffer_pool_init(&server->pool, options->buffer_bytes_max ? options->buffer_bytes_max
                                                              : BUFFER_BYTES_MAX_DEFAULT);
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
                          struct nbd_export **ret_export)
{
    const struct nbd_export_options options = {
        .name = name,
        .size_bytes = volume_size_bytes(volume),
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

unsigned nbd_export_connections(const struct nbd_export *export)
{
    return export->user_count;
}
