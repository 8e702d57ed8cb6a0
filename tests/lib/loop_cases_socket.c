/* SPDX-License-Identifier: Apache-2.0 */
/* Conformance cases: sockets. */
#include "tests/lib/loop_cases_private.h"

/* A listener, and both ends of one connection to it. */
struct wire {
    struct io_socket *listener, *server, *client;
    struct io_connect accept, connect;
    struct loop *loop;
    char address[280];
    int waiting;
};

static void wire_step(struct wire *wire)
{
    if (--wire->waiting == 0)
        loop_stop(wire->loop);
}

static void accepted(struct io_op *op, int64_t result)
{
    struct wire *wire = container_of(op, struct wire, accept.op);

    assert_int_equal(result, 0);
    wire->server = wire->accept.socket;
    assert_non_null(wire->server);
    wire_step(wire);
}

static void connected(struct io_op *op, int64_t result)
{
    struct wire *wire = container_of(op, struct wire, connect.op);

    assert_int_equal(result, 0);
    wire->client = wire->connect.socket;
    assert_non_null(wire->client);
    wire_step(wire);
}

static void wire_listen(struct loop_case *c, struct wire *wire, bool is_tcp)
{
    const char *address = is_tcp ? c->cases->tcp_listen : c->cases->unix_address;
    struct err err = {0};
    int result;

    *wire = (struct wire){.loop = c->loop};
    result = io_listen(c->loop, address, &wire->listener, &err);
    if (result < 0)
        fail_msg("%s", err.text);
    if (is_tcp) {
        assert_true(io_socket_port(wire->listener) > 0);
        snprintf(wire->address, sizeof(wire->address), "%.*s:%u",
                 (int)(strrchr(address, ':') - address), address, io_socket_port(wire->listener));
    } else {
        snprintf(wire->address, sizeof(wire->address), "%s", address);
    }
}

static void wire_open(struct loop_case *c, struct wire *wire, bool is_tcp)
{
    wire_listen(c, wire, is_tcp);
    wire->waiting = 2;
    io_accept(c->loop, &wire->accept, wire->listener, accepted);
    io_connect(c->loop, &wire->connect, wire->address, connected);
    assert_null(wire->server);
    assert_null(wire->client);
    loop_run(c->loop);
    if (is_tcp) {
        assert_string_equal(io_socket_peer(wire->client), wire->address);
        assert_non_null(strchr(io_socket_peer(wire->server), ':'));
    } else {
        assert_string_equal(io_socket_peer(wire->server), "unix");
        assert_string_equal(io_socket_peer(wire->client), "unix");
    }
}

static void wire_close(struct wire *wire)
{
    io_socket_close(wire->loop, wire->client);
    io_socket_close(wire->loop, wire->server);
    io_socket_close(wire->loop, wire->listener);
}

static int64_t recv_some(struct loop *loop, struct io_socket *socket, void *bytes, size_t length)
{
    struct wait_op wait = {.loop = loop};

    io_recv(loop, &wait.op, socket, bytes, length, wait_op_done);
    return wait_op_run(&wait, loop);
}

static int64_t send_all(struct loop *loop, struct io_socket *socket, const void *bytes,
                        size_t length)
{
    struct wait_op wait = {.loop = loop};
    struct iovec iov = {(void *)bytes, length};

    io_send(loop, &wait.op, socket, &iov, 1, wait_op_done);
    return wait_op_run(&wait, loop);
}

static void echo(struct loop_case *c, bool is_tcp)
{
    struct wire wire;
    char bytes[64];
    struct iovec iov[] = {{"he", 2}, {"", 0}, {"llo", 3}};
    struct wait_op wait = {.loop = c->loop};

    wire_open(c, &wire, is_tcp);
    assert_int_equal(send_all(c->loop, wire.client, "abc", 3), 3);
    assert_int_equal(recv_some(c->loop, wire.server, bytes, 2), 2); /* what is asked for, no more */
    assert_int_equal(recv_some(c->loop, wire.server, bytes + 2, 60), 1);
    assert_memory_equal(bytes, "abc", 3);
    io_send(c->loop, &wait.op, wire.server, iov, 3, wait_op_done);
    assert_int_equal(wait_op_run(&wait, c->loop), 5);
    assert_int_equal(recv_some(c->loop, wire.client, bytes, sizeof(bytes)), 5);
    assert_memory_equal(bytes, "hello", 5);
    wire_close(&wire);
}

void case_socket_echo_unix(void **state)
{
    echo(*state, false);
    echo(*state, false); /* the address is free again */
}

void case_socket_echo_tcp(void **state)
{
    echo(*state, true);
}

/* One direction of a stream of numbered bytes: a sender in big pieces of many vectors, a reader in
 * small and odd ones. */
struct stream {
    struct io_op send_op, recv_op;
    struct loop *loop;
    struct io_socket *from, *to;
    uint8_t *out, *in;
    size_t length, sent, received;
    struct iovec iov[64];
    bool is_sent;
    unsigned seed;
    int *left;
};

static void stream_check_end(struct stream *stream)
{
    if (stream->received < stream->length || !stream->is_sent)
        return;
    assert_memory_equal(stream->in, stream->out, stream->length);
    if (--*stream->left == 0)
        loop_stop(stream->loop);
}

static void stream_send(struct stream *stream);
static void stream_recv(struct stream *stream);

static void stream_sent(struct io_op *op, int64_t result)
{
    struct stream *stream = container_of(op, struct stream, send_op);

    assert_true(result > 0);
    stream->sent += (size_t)result;
    if (stream->sent < stream->length) {
        stream_send(stream);
        return;
    }
    stream->is_sent = true;
    stream_check_end(stream);
}

/* Half of what is left each time, so the first piece far exceeds every socket buffer. */
static void stream_send(struct stream *stream)
{
    size_t left = stream->length - stream->sent, piece = left / 2 + 1, at = stream->sent;
    unsigned count = 0;

    while (piece > 0) {
        size_t part = count == 63 ? piece : piece / 7 + 1;
        stream->iov[count++] = (struct iovec){stream->out + at, part};
        at += part;
        piece -= part;
    }
    io_send(stream->loop, &stream->send_op, stream->from, stream->iov, count, stream_sent);
}

static void stream_received(struct io_op *op, int64_t result)
{
    struct stream *stream = container_of(op, struct stream, recv_op);

    assert_true(result > 0);
    assert_true((size_t)result <= stream->length - stream->received);
    stream->received += (size_t)result;
    if (stream->received < stream->length)
        stream_recv(stream);
    else
        stream_check_end(stream);
}

static void stream_recv(struct stream *stream)
{
    size_t left = stream->length - stream->received, room;

    stream->seed = stream->seed * 1103515245 + 12345;
    room = 1 + (stream->seed >> 8) % 300000;
    io_recv(stream->loop, &stream->recv_op, stream->to, stream->in + stream->received,
            room < left ? room : left, stream_received);
}

static void stream_start(struct stream *stream, struct loop *loop, struct io_socket *from,
                         struct io_socket *to, size_t length, int *left)
{
    *stream = (struct stream){
        .loop = loop, .from = from, .to = to, .length = length, .seed = (unsigned)length};
    stream->left = left;
    stream->out = malloc(length);
    stream->in = calloc(1, length);
    for (size_t i = 0; i < length; i++)
        stream->out[i] = (uint8_t)(i * 13 + i / 253 + length);
    stream_send(stream);
    stream_recv(stream);
}

static void stream_end(struct stream *stream)
{
    assert_true(stream->is_sent && stream->received == stream->length);
    free(stream->out);
    free(stream->in);
}

/* 8 MiB each way at once. */
void case_socket_big(void **state)
{
    struct loop_case *c = *state;

    for (int is_tcp = 0; is_tcp < 2; is_tcp++) {
        struct stream *streams = calloc(2, sizeof(*streams));
        struct wire wire;
        int left = 2;

        wire_open(c, &wire, is_tcp);
        stream_start(&streams[0], c->loop, wire.client, wire.server, 8 << 20, &left);
        stream_start(&streams[1], c->loop, wire.server, wire.client, (8 << 20) + 1, &left);
        loop_run(c->loop);
        stream_end(&streams[0]);
        stream_end(&streams[1]);
        free(streams);
        wire_close(&wire);
    }
}

/* The end of the stream is 0, again and again, after all that was sent before it. */
void case_socket_end(void **state)
{
    struct loop_case *c = *state;
    struct wire wire;
    char bytes[16];

    wire_open(c, &wire, false);
    assert_int_equal(send_all(c->loop, wire.client, "last", 4), 4);
    io_socket_shutdown(c->loop, wire.client);
    assert_int_equal(recv_some(c->loop, wire.server, bytes, sizeof(bytes)), 4);
    assert_int_equal(recv_some(c->loop, wire.server, bytes, sizeof(bytes)), 0);
    assert_int_equal(recv_some(c->loop, wire.server, bytes, sizeof(bytes)), 0);
    wire_close(&wire);
}

struct socket_wait {
    struct wait_op wait;
    struct loop_timer timer;
    struct loop *loop;
    struct io_socket *socket;
};

static void shut_down_later(struct loop_timer *timer)
{
    struct socket_wait *wait = container_of(timer, struct socket_wait, timer);

    assert_false(wait->wait.is_done);
    io_socket_shutdown(wait->loop, wait->socket);
    assert_false(wait->wait.is_done); /* not from inside */
}

static int64_t wait_for_shutdown(struct loop_case *c, struct socket_wait *wait,
                                 struct io_socket *socket)
{
    wait->loop = c->loop;
    wait->socket = socket;
    wait->timer = (struct loop_timer){.fired_cb = shut_down_later};
    loop_timer_set(c->loop, &wait->timer, loop_now_ns(c->loop) + 3000000);
    return wait_op_run(&wait->wait, c->loop);
}

void case_socket_shutdown_recv(void **state)
{
    struct loop_case *c = *state;

    for (int is_tcp = 0; is_tcp < 2; is_tcp++) {
        struct socket_wait wait = {.loop = c->loop};
        struct wire wire;
        char byte;

        wire_open(c, &wire, is_tcp);
        io_recv(c->loop, &wait.wait.op, wire.server, &byte, 1, wait_op_done);
        assert_true(wait_for_shutdown(c, &wait, wire.server) < 0);
        assert_true(recv_some(c->loop, wire.server, &byte, 1) < 0); /* nor later ones */
        assert_true(send_all(c->loop, wire.server, "x", 1) < 0);
        io_socket_shutdown(c->loop, wire.server);
        assert_int_equal(recv_some(c->loop, wire.client, &byte, 1), 0);
        wire_close(&wire);
    }
}

void case_socket_shutdown_send(void **state)
{
    struct loop_case *c = *state;

    for (int is_tcp = 0; is_tcp < 2; is_tcp++) {
        struct socket_wait wait = {.loop = c->loop};
        size_t length = 64 << 20; /* nobody reads: more than any buffer */
        char *bytes = calloc(1, length);
        struct iovec iov = {bytes, length};
        struct wire wire;

        wire_open(c, &wire, is_tcp);
        io_send(c->loop, &wait.wait.op, wire.client, &iov, 1, wait_op_done);
        assert_true(wait_for_shutdown(c, &wait, wire.client) < 0);
        wire_close(&wire);
        free(bytes);
    }
}

struct accept_wait {
    struct io_connect accept;
    struct loop *loop;
    struct loop_timer timer;
    struct io_socket *listener;
    int64_t result;
};

static void accept_ended(struct io_op *op, int64_t result)
{
    struct accept_wait *wait = container_of(op, struct accept_wait, accept.op);

    wait->result = result;
    loop_stop(wait->loop);
}

static void shut_listener(struct loop_timer *timer)
{
    struct accept_wait *wait = container_of(timer, struct accept_wait, timer);

    io_socket_shutdown(wait->loop, wait->listener);
}

void case_socket_shutdown_accept(void **state)
{
    struct loop_case *c = *state;

    for (int is_tcp = 0; is_tcp < 2; is_tcp++) {
        struct accept_wait wait = {.loop = c->loop, .timer.fired_cb = shut_listener};
        struct wire wire;

        wire_listen(c, &wire, is_tcp);
        wait.listener = wire.listener;
        io_accept(c->loop, &wait.accept, wire.listener, accept_ended);
        loop_timer_set(c->loop, &wait.timer, loop_now_ns(c->loop) + 3000000);
        loop_run(c->loop);
        assert_true(wait.result < 0);
        assert_null(wait.accept.socket);
        io_socket_close(c->loop, wire.listener);
    }
}

static int64_t connect_to(struct loop_case *c, const char *address)
{
    struct accept_wait wait = {.loop = c->loop, .result = 1};

    io_connect(c->loop, &wait.accept, address, accept_ended);
    assert_int_equal(wait.result, 1);
    loop_run(c->loop);
    if (wait.result < 0)
        assert_null(wait.accept.socket);
    return wait.result;
}

void case_socket_refused(void **state)
{
    struct loop_case *c = *state;
    struct wire wire;

    for (int is_tcp = 0; is_tcp < 2; is_tcp++) {
        wire_listen(c, &wire, is_tcp);
        io_socket_close(c->loop, wire.listener);
        assert_true(connect_to(c, wire.address) < 0);
    }
}

void case_socket_bad_address(void **state)
{
    static const char *const bad[] = {
        "",
        "nowhere",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:x",
        ":80",
        "localhost:80",
        "[::1]",
        "[::1:80",
        "[]:80",
        "127.0.0.1:-1",
        "127.0.0.1:000001",
        "127.0.0.256:80",
        "unix:",
        "[127.0.0.1]:80",
    };
    struct loop_case *c = *state;
    struct io_socket *listener;
    struct err err;
    char text[400] = "unix:";

    memset(text + 5, 'a', 300);
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        assert_int_equal(connect_to(c, bad[i]), -EINVAL);
        assert_int_equal(io_listen(c->loop, bad[i], &listener, &err), -EINVAL);
    }
    assert_int_equal(connect_to(c, text), -EINVAL);
    assert_int_equal(io_listen(c->loop, text, &listener, &err), -EINVAL);
}

void case_socket_in_use(void **state)
{
    struct loop_case *c = *state;
    struct io_socket *second;
    struct wire wire;
    struct err err = {0};

    for (int is_tcp = 0; is_tcp < 2; is_tcp++) {
        wire_listen(c, &wire, is_tcp);
        assert_int_equal(io_listen(c->loop, wire.address, &second, &err), -EADDRINUSE);
        assert_non_null(strstr(err.text, wire.address));
        wire.waiting = 2; /* and the first still works */
        io_accept(c->loop, &wire.accept, wire.listener, accepted);
        io_connect(c->loop, &wire.connect, wire.address, connected);
        loop_run(c->loop);
        wire_close(&wire);
    }
}

enum { MANY = 40 };

struct crowd {
    struct io_connect accept;
    struct io_connect connects[MANY];
    struct io_socket *listener, *servers[MANY];
    struct loop *loop;
    unsigned accepted_count, connected_count;
};

static void crowd_step(struct crowd *crowd)
{
    if (crowd->accepted_count == MANY && crowd->connected_count == MANY)
        loop_stop(crowd->loop);
}

static void crowd_accepted(struct io_op *op, int64_t result)
{
    struct crowd *crowd = container_of(op, struct crowd, accept.op);

    assert_int_equal(result, 0);
    crowd->servers[crowd->accepted_count++] = crowd->accept.socket;
    if (crowd->accepted_count < MANY)
        io_accept(crowd->loop, &crowd->accept, crowd->listener, crowd_accepted);
    crowd_step(crowd);
}

struct crowd_member {
    struct io_connect connect;
    struct crowd *crowd;
    struct io_socket *socket;
};

static void crowd_connected(struct io_op *op, int64_t result)
{
    struct crowd_member *member = container_of(op, struct crowd_member, connect.op);

    assert_int_equal(result, 0);
    member->socket = member->connect.socket;
    member->crowd->connected_count++;
    crowd_step(member->crowd);
}

/* Many connections at once, data on all of them at once. */
static void run_crowd(struct loop_case *c, bool is_tcp, size_t length)
{
    struct crowd crowd = {.loop = c->loop};
    struct crowd_member members[MANY] = {0};
    struct stream *streams = calloc(2 * MANY, sizeof(*streams));
    struct wire wire;
    int left = 2 * MANY;

    wire_listen(c, &wire, is_tcp);
    crowd.listener = wire.listener;
    io_accept(c->loop, &crowd.accept, crowd.listener, crowd_accepted);
    for (int i = 0; i < MANY; i++) {
        members[i].crowd = &crowd;
        io_connect(c->loop, &members[i].connect, wire.address, crowd_connected);
    }
    loop_run(c->loop);
    /* servers[i] is not members[i]'s peer for sure: each end talks to itself through its peer, so
     * find the peers by a byte that names the member */
    for (int i = 0; i < MANY; i++) {
        uint8_t name = (uint8_t)i;
        assert_int_equal(send_all(c->loop, members[i].socket, &name, 1), 1);
    }
    for (int i = 0; i < MANY; i++) {
        uint8_t name;
        assert_int_equal(recv_some(c->loop, crowd.servers[i], &name, 1), 1);
        assert_true(name < MANY);
        stream_start(&streams[2 * i], c->loop, crowd.servers[i], members[name].socket,
                     length + (size_t)i, &left);
        stream_start(&streams[2 * i + 1], c->loop, members[name].socket, crowd.servers[i],
                     length + 1000 + (size_t)i, &left);
    }
    loop_run(c->loop);
    while (left > 0) /* a stop of an operation above may have been left over */
        loop_run(c->loop);
    for (int i = 0; i < 2 * MANY; i++)
        stream_end(&streams[i]);
    for (int i = 0; i < MANY; i++) {
        io_socket_close(c->loop, members[i].socket);
        io_socket_close(c->loop, crowd.servers[i]);
    }
    io_socket_close(c->loop, wire.listener);
    free(streams);
}

void case_socket_many(void **state)
{
    run_crowd(*state, true, 2000);
}

void case_socket_stress(void **state)
{
    run_crowd(*state, false, 400000);
}
