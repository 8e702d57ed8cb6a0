/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a connection.
 *
 *   NEGOTIATING ──GO──▶ OPEN ──DISC, end of stream, export removed──▶ DRAINING ──all sent──▶ SHUT
 *        └───── abort, malformed, too slow ────────────────────────────────────────────────▶ SHUT
 *                         └── malformed, socket error ─────────────────────────────────────▶ SHUT
 *
 *   NEGOTIATING, OPEN  bytes are received and consumed
 *   DRAINING           no request is taken any more; what is under way is answered
 *   SHUT               the socket is shut down; the connection waits for its operations to end
 *
 * Invariants:
 *   1. While a receive is under way the buffer holds no whole message: bytes are consumed first.
 *      At a limit nothing is received, so the client stops by itself.
 *   2. connection_turn() runs once a turn of the loop, after everything that happened in it: it
 *      consumes, sends, and is the only place where a connection closes. So no caller up the stack
 *      still holds a connection when it is freed.
 *   3. It is freed when no receive, no send and no request is under way.
 */
#include "nbd/connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "nbd/nbd_handshake.h"
#include "nbd/transmission.h"

enum {
    CONNECTION_MAGIC = 0x6e636f6e,
    GREETING_BYTES = 4 << 10, /* of the buffer, until more is needed: a crowd costs little */
    RECEIVE_BYTES = 256 << 10,
    PROGRESS_BYTES_MIN = 64 << 10, /* of a payload, between two ticks */
};

#define DRAIN_NS_MAX (UINT64_C(5) * 1000 * 1000 * 1000)

_Static_assert((int)RECEIVE_BYTES >= (int)NBD_OPTION_HEADER_BYTES + (int)NBD_OPTION_BYTES_MAX,
               "an option fits the buffer");

enum connection_state {
    CONNECTION_NEGOTIATING,
    CONNECTION_OPEN,
    CONNECTION_DRAINING,
    CONNECTION_SHUT,
};

struct connection {
    uint32_t magic;
    struct list node; /* the owner's */
    struct connection_options options;
    enum connection_state state;
    uint64_t start_ns;
    char peer[64];
    size_t address_length; /* of `peer`, without the port; 0: a unix socket */
    struct loop_task turn;
    struct loop_timer timer; /* of the handshake, then of payloads, then of draining */
    uint64_t received_bytes; /* in all */
    struct {
        uint64_t received_bytes, write_count;
    } seen; /* at the last tick of the payload timer */
    struct nbd_handshake handshake;
    struct reply greeting; /* carries the handshake's output */
    bool is_greeting_sent;
    struct transmission transmission; /* from OPEN on */
    bool has_transmission;
    struct export_user user;
    struct io_op receive;
    bool is_receiving, is_direct; /* direct: into the transmission's target */
    bool is_stalled;
    size_t begin, end; /* of the bytes in the buffer */
    uint8_t *buffer;
    size_t buffer_bytes;
    struct reply_queue replies;
};

static void wake(void *arg)
{
    struct connection *connection = arg;

    check_magic(connection, CONNECTION_MAGIC);
    connection->is_stalled = false;
    loop_defer(connection->options.loop, &connection->turn);
}

static void shut_connection(struct connection *connection)
{
    if (connection->state == CONNECTION_SHUT)
        return;
    connection->state = CONNECTION_SHUT;
    loop_timer_cancel(connection->options.loop, &connection->timer);
    io_socket_shutdown(connection->options.loop, connection->options.socket);
    if (connection->has_transmission && !(connection->is_receiving && connection->is_direct))
        transmission_end(&connection->transmission);
    reply_queue_fail(&connection->replies);
    wake(connection);
}

/* The one log line of a client that ends against the rules. */
static void break_connection(struct connection *connection, const char *reason)
{
    const char *name = connection->user.export ? connection->user.export->name : "";
    unsigned dropped;
    char shown[64];

    if (log_limit_take(connection->options.log_limit, loop_now_ns(connection->options.loop),
                       &dropped))
        log_warning("nbd", "%s%s%s: %s; connection ended", connection->peer,
                    *name ? ", export " : "", log_escape(name, strlen(name), shown, sizeof(shown)),
                    reason);
    if (dropped > 0)
        log_warning("nbd", "%u more lines about clients were not written", dropped);
    shut_connection(connection);
}

static void start_drain_timer(struct connection *connection)
{
    loop_timer_set(connection->options.loop, &connection->timer,
                   loop_now_ns(connection->options.loop) + DRAIN_NS_MAX);
}

static void drain_connection(struct connection *connection)
{
    if (connection->state != CONNECTION_OPEN)
        return;
    connection->state = CONNECTION_DRAINING;
    if (!(connection->is_receiving && connection->is_direct))
        transmission_end(&connection->transmission);
    start_drain_timer(connection);
    wake(connection);
}

static void start_payload_timer(struct connection *connection)
{
    connection->seen.received_bytes = connection->received_bytes;
    connection->seen.write_count = connection->transmission.write_count;
    loop_timer_set(connection->options.loop, &connection->timer,
                   loop_now_ns(connection->options.loop) +
                       connection->options.limits->payload_ns_max);
}

/* A payload that does not come holds memory that others wait for. */
static void check_payload(struct connection *connection)
{
    if (transmission_is_within_message(&connection->transmission) &&
        connection->transmission.write_count == connection->seen.write_count &&
        connection->received_bytes - connection->seen.received_bytes < PROGRESS_BYTES_MIN)
        break_connection(connection, "the payload of a write does not come");
    else
        start_payload_timer(connection);
}

static void break_slow(struct connection *connection)
{
    char reason[64];

    snprintf(reason, sizeof(reason), "the handshake took more than %.3g s",
             (double)connection->options.limits->handshake_ns_max / 1e9);
    break_connection(connection, reason);
}

static void timer_fired(struct loop_timer *timer)
{
    struct connection *connection = list_entry(timer, struct connection, timer);

    check_magic(connection, CONNECTION_MAGIC);
    if (connection->state == CONNECTION_NEGOTIATING)
        break_slow(connection);
    else if (connection->state == CONNECTION_OPEN)
        check_payload(connection);
    else if (connection->state == CONNECTION_DRAINING && !reply_queue_is_idle(&connection->replies))
        break_connection(connection, "the client does not read its replies");
    else if (connection->state == CONNECTION_DRAINING) /* the store is slow: wait for it */
        start_drain_timer(connection);
}

static void end_user(struct export_user *user)
{
    struct connection *connection = list_entry(user, struct connection, user);

    check_magic(connection, CONNECTION_MAGIC);
    drain_connection(connection);
}

static void send_handshake(struct connection *connection)
{
    struct nbd_handshake *handshake = &connection->handshake;

    if (handshake->out_bytes == 0)
        return;
    connection->is_greeting_sent = false;
    connection->greeting.payload = handshake->out;
    connection->greeting.payload_bytes = (uint32_t)handshake->out_bytes;
    reply_queue_add(&connection->replies, &connection->greeting);
}

static void handshake_sent(struct reply *reply)
{
    struct connection *connection = list_entry(reply, struct connection, greeting);

    check_magic(connection, CONNECTION_MAGIC);
    connection->is_greeting_sent = true;
    connection->handshake.out_bytes = 0;
    wake(connection);
}

/* The full buffer; false: no memory, the connection ends. */
static bool grow_buffer(struct connection *connection)
{
    uint8_t *buffer = connection->buffer;

    check(!connection->is_receiving);
    if (connection->buffer_bytes < RECEIVE_BYTES)
        buffer = realloc(connection->buffer, RECEIVE_BYTES);
    if (buffer == NULL) {
        break_connection(connection, "no memory for its buffer");
        return false;
    }
    connection->buffer = buffer;
    connection->buffer_bytes = RECEIVE_BYTES;
    return true;
}

static void begin_transmission(struct connection *connection)
{
    struct nbd_handshake *handshake = &connection->handshake;

    if (!grow_buffer(connection))
        return;

    connection->state = CONNECTION_OPEN;
    export_attach(handshake->export, &connection->user);
    transmission_init(&connection->transmission, handshake->export, connection->options.pool,
                      &connection->replies, handshake->has_structured_replies,
                      nbd_handshake_has_allocation(handshake));
    transmission_set_wake(&connection->transmission, wake, connection);
    transmission_set_limits(&connection->transmission, connection->options.limits->requests_max,
                            connection->options.limits->connection_bytes_max);
    connection->has_transmission = true;
    start_payload_timer(connection);
}

/* One handshake message; false when nothing more can be consumed now. */
static bool consume_option(struct connection *connection)
{
    size_t consumed;
    enum nbd_handshake_result result;

    if (!connection->is_greeting_sent)
        return false; /* one answer at a time: output stays bounded */
    result = nbd_handshake_step(&connection->handshake, connection->buffer + connection->begin,
                                connection->end - connection->begin, &consumed);
    connection->begin += consumed;
    if (result == NBD_HANDSHAKE_BROKEN) {
        break_connection(connection, connection->handshake.reason);
        return false;
    }
    send_handshake(connection);
    if (result == NBD_HANDSHAKE_TRANSMISSION)
        begin_transmission(connection);
    if (result == NBD_HANDSHAKE_GOODBYE) {
        connection->state = CONNECTION_DRAINING;
        return false;
    }
    return result != NBD_HANDSHAKE_MORE;
}

static void consume_requests(struct connection *connection)
{
    size_t consumed;
    enum transmission_result result;

    result = transmission_feed(&connection->transmission, connection->buffer + connection->begin,
                               connection->end - connection->begin, &consumed);
    connection->begin += consumed;
    if (result == TRANSMISSION_STALLED)
        connection->is_stalled = true;
    else if (result == TRANSMISSION_DISCONNECT)
        drain_connection(connection);
    else if (result == TRANSMISSION_BROKEN)
        break_connection(connection, connection->transmission.reason);
}

static void receive_done(struct io_op *op, int64_t result);

static void start_receive(struct connection *connection)
{
    uint8_t *target;
    size_t length = 0;

    if (connection->has_transmission)
        length = transmission_receive_target(&connection->transmission, &target);
    connection->is_direct = length > 0;
    if (!connection->is_direct) {
        size_t left = connection->end - connection->begin;

        if (connection->begin > 0 && left > 0)
            memmove(connection->buffer, connection->buffer + connection->begin, left);
        connection->begin = 0;
        connection->end = left;
        if (left == connection->buffer_bytes && !grow_buffer(connection))
            return;
        target = connection->buffer + left;
        length = connection->buffer_bytes - left;
        check(length > 0);
        if (connection->has_transmission)
            length = transmission_receive_hint(&connection->transmission, length);
    }
    connection->is_receiving = true;
    io_recv(connection->options.loop, &connection->receive, connection->options.socket, target,
            length, receive_done);
}

/* Takes what the buffer holds, then asks for more, unless a limit says to wait. */
static void consume(struct connection *connection)
{
    if (connection->is_receiving)
        return;
    while (connection->state == CONNECTION_NEGOTIATING && consume_option(connection))
        ;
    if (connection->state == CONNECTION_OPEN && !connection->is_stalled)
        consume_requests(connection);
    if (connection->state == CONNECTION_NEGOTIATING
            ? connection->is_greeting_sent
            : connection->state == CONNECTION_OPEN && !connection->is_stalled)
        start_receive(connection);
}

static void receive_ended(struct connection *connection, int64_t result)
{
    bool is_torn =
        connection->end > connection->begin ||
        (connection->has_transmission && transmission_is_within_message(&connection->transmission));

    if (connection->state == CONNECTION_NEGOTIATING || result < 0)
        shut_connection(connection);
    else if (is_torn)
        break_connection(connection, "the stream ended within a request");
    else
        drain_connection(connection);
}

static void receive_done(struct io_op *op, int64_t result)
{
    struct connection *connection = list_entry(op, struct connection, receive);
    bool is_direct = connection->is_direct;

    check_magic(connection, CONNECTION_MAGIC);
    check(connection->is_receiving);
    connection->is_receiving = false;
    connection->is_direct = false;
    if (connection->state >= CONNECTION_DRAINING) {
        if (is_direct)
            transmission_end(&connection->transmission);
        wake(connection);
        return;
    }
    if (result <= 0) {
        receive_ended(connection, result);
        return;
    }
    connection->received_bytes += (uint64_t)result;
    if (is_direct)
        transmission_received(&connection->transmission, (size_t)result);
    else
        connection->end += (size_t)result;
    consume(connection);
    loop_defer(connection->options.loop, &connection->turn);
}

/* Everything under way was answered. */
static bool is_answered(const struct connection *connection)
{
    return reply_queue_is_idle(&connection->replies) &&
           (!connection->has_transmission || transmission_is_answered(&connection->transmission));
}

/* Nothing is in flight: it may be freed. */
static bool is_quiet(const struct connection *connection)
{
    return !connection->is_receiving && reply_queue_is_idle(&connection->replies) &&
           (!connection->has_transmission || transmission_is_idle(&connection->transmission));
}

static void close_connection(struct connection *connection)
{
    struct connection_options options = connection->options;
    struct list *node = &connection->node;

    if (connection->has_transmission)
        transmission_fini(&connection->transmission);
    nbd_handshake_fini(&connection->handshake);
    export_detach(&connection->user);
    loop_timer_cancel(options.loop, &connection->timer);
    io_socket_close(options.loop, options.socket);
    options.closed_cb(options.arg, node);
    connection->magic = 0;
    free(connection->buffer);
    free(connection);
}

static void connection_turn(struct loop_task *task)
{
    struct connection *connection = list_entry(task, struct connection, turn);

    check_magic(connection, CONNECTION_MAGIC);
    consume(connection);
    reply_queue_flush(&connection->replies);
    if (connection->state == CONNECTION_DRAINING && is_answered(connection))
        shut_connection(connection);
    if (connection->state == CONNECTION_SHUT && is_quiet(connection) &&
        list_is_empty(&connection->turn.node))
        close_connection(connection);
}

static size_t address_length_of(const char *peer)
{
    const char *port = strrchr(peer, ':');

    return port ? (size_t)(port - peer) : 0;
}

int connection_new(const struct connection_options *options, struct list **ret_node)
{
    struct connection *connection = calloc(1, sizeof(*connection));

    if (connection == NULL)
        return -ENOMEM;
    connection->magic = CONNECTION_MAGIC;
    connection->options = *options;
    connection->start_ns = loop_now_ns(options->loop);
    list_init(&connection->node);
    list_init(&connection->turn.node);
    connection->turn.run_cb = connection_turn;
    connection->timer.fired_cb = timer_fired;
    connection->greeting.sent_cb = handshake_sent;
    snprintf(connection->peer, sizeof(connection->peer), "%s", io_socket_peer(options->socket));
    connection->address_length = address_length_of(connection->peer);
    export_user_init(&connection->user, end_user);
    reply_queue_init(&connection->replies, options->loop, options->socket, wake, connection);
    connection->buffer = malloc(GREETING_BYTES);
    connection->buffer_bytes = GREETING_BYTES;
    if (connection->buffer == NULL ||
        nbd_handshake_init(&connection->handshake, options->exports)) {
        free(connection->buffer);
        free(connection);
        return -ENOMEM;
    }
    loop_timer_set(options->loop, &connection->timer,
                   connection->start_ns + options->limits->handshake_ns_max);
    send_handshake(connection);
    wake(connection);
    *ret_node = &connection->node;
    return 0;
}

struct connection *connection_of(struct list *node)
{
    struct connection *connection = list_entry(node, struct connection, node);

    check_magic(connection, CONNECTION_MAGIC);
    return connection;
}

bool connection_is_negotiating(const struct connection *connection)
{
    return connection->state == CONNECTION_NEGOTIATING;
}

const char *connection_peer(const struct connection *connection)
{
    return connection->peer;
}

uint64_t connection_start_ns(const struct connection *connection)
{
    return connection->start_ns;
}

bool connection_shares_address(const struct connection *one, const struct connection *other)
{
    return one->address_length > 0 && one->address_length == other->address_length &&
           memcmp(one->peer, other->peer, one->address_length) == 0;
}

void connection_end(struct connection *connection)
{
    check_magic(connection, CONNECTION_MAGIC);
    if (connection->state == CONNECTION_NEGOTIATING)
        shut_connection(connection);
    else
        drain_connection(connection);
}
