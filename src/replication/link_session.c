/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shell round the pure parts of a connection: decoder, intake, queue. Invariants:
 *
 * 1. At most one receive and one send are in flight; a batch to send is at most BATCH_BYTES and one
 *    frame long, and its memory stays until it is sent.
 * 2. Before link_session_open() a peer can make us hold a few KiB, no more, for 10 s, no longer.
 * 3. After link_session_end() no bytes are decoded and no callback but closed_cb runs; closed_cb
 *    runs once, from a task of the loop, when nothing is in flight.
 */
#include "replication/link_session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "replication/link.h"
#include "replication/link_intake.h"
#include "replication/link_queue.h"

enum {
    SESSION_MAGIC = 0x6c736573,
    BATCH_BYTES = 256 << 10,
    BATCH_FRAMES = 64,
    GREETING_BUFFER = 4 << 10,
    OPEN_BUFFER = 256 << 10,
};

#define GREETING_NS 10000000000ull

enum session_state {
    SESSION_NEW,
    SESSION_SECURING,  /* TLS handshake */
    SESSION_GREETING,  /* HELLO, READY, REFUSE */
    SESSION_OPEN,      /* everything else */
    SESSION_FINISHING, /* what is queued goes out, nothing is taken in */
    SESSION_ENDED,
};

struct link_session {
    uint32_t magic;
    enum session_state state;
    struct loop *loop;
    struct io_socket *socket;
    struct tls *tls;
    struct link_session_callbacks callbacks;
    struct link_session_totals totals;

    struct link_decoder decoder;
    struct link_intake intake;
    struct io_op recv_op;
    bool is_receiving;
    uint8_t *sealed_in; /* of TLS */
    size_t sealed_in_size;

    struct link_queue queue;
    struct io_op send_op;
    bool is_sending;
    struct list sending; /* plain frames in flight */
    struct iovec iov[BATCH_FRAMES];
    unsigned iov_count;
    uint8_t *sealed_out; /* of TLS, in flight */
    size_t sealed_out_size;

    struct loop_task task;
    struct loop_timer timer;
    uint64_t heartbeat_ns, silence_ns;
    char why[LINK_SESSION_WHY_SIZE];
};

static void run_task(struct loop_task *task);
static void fire_timer(struct loop_timer *timer);

int link_session_new(struct loop *loop, struct io_socket *socket, const struct tls_options *tls,
                     struct link_session **ret_session, struct err *err)
{
    struct link_session *session = calloc(1, sizeof(*session));
    int rc = -ENOMEM;

    if (session == NULL)
        return err_set(err, -ENOMEM, "no memory for a connection");
    session->magic = SESSION_MAGIC;
    session->loop = loop;
    list_init(&session->sending);
    list_init(&session->task.node);
    session->task.run_cb = run_task;
    session->timer.fired_cb = fire_timer;
    link_queue_init(&session->queue);
    if (link_intake_init(&session->intake) < 0 ||
        link_decoder_init(&session->decoder, LINK_FRAME_PAYLOAD_MAX_GREETING, 0) < 0)
        goto fail;
    if (tls != NULL) {
        session->sealed_in_size = GREETING_BUFFER;
        session->sealed_in = malloc(session->sealed_in_size);
        if (session->sealed_in == NULL)
            goto fail;
        rc = tls_new(tls, &session->tls, err);
        if (rc < 0)
            goto fail;
    }
    session->socket = socket;
    *ret_session = session;
    return 0;

fail:
    link_session_free(session);
    return rc == -ENOMEM ? err_set(err, rc, "no memory for a connection") : rc;
}

static void free_sending(struct link_session *session)
{
    struct list *node;

    while ((node = list_pop(&session->sending)) != NULL)
        free(list_entry(node, struct link_queue_frame, node));
}

void link_session_free(struct link_session *session)
{
    if (session == NULL)
        return;
    check_magic(session, SESSION_MAGIC);
    check(!session->is_receiving && !session->is_sending);
    check(session->state == SESSION_NEW || session->state == SESSION_ENDED);
    check(list_is_empty(&session->task.node));
    loop_timer_cancel(session->loop, &session->timer);
    if (session->socket != NULL)
        io_socket_close(session->loop, session->socket);
    free_sending(session);
    link_queue_fini(&session->queue);
    link_intake_fini(&session->intake);
    link_decoder_fini(&session->decoder);
    tls_free(session->tls);
    free(session->sealed_in);
    free(session->sealed_out);
    session->magic = 0;
    free(session);
}

void link_session_own(struct link_session *session, const struct link_session_callbacks *callbacks)
{
    check_magic(session, SESSION_MAGIC);
    session->callbacks = *callbacks;
}

void link_session_end(struct link_session *session, const char *why)
{
    check_magic(session, SESSION_MAGIC);
    if (session->state == SESSION_ENDED)
        return;
    check(session->state != SESSION_NEW);
    session->state = SESSION_ENDED;
    if (session->why[0] == 0)
        snprintf(session->why, sizeof(session->why), "%s", why);
    loop_timer_cancel(session->loop, &session->timer);
    io_socket_shutdown(session->loop, session->socket);
    loop_defer(session->loop, &session->task);
}

/* What is queued is still sent; `why` is kept for closed_cb. */
static void finish(struct link_session *session, const char *why)
{
    if (session->state >= SESSION_FINISHING)
        return;
    snprintf(session->why, sizeof(session->why), "%s", why);
    session->state = SESSION_FINISHING;
    loop_timer_set(session->loop, &session->timer, loop_now_ns(session->loop) + GREETING_NS);
    loop_defer(session->loop, &session->task);
}

static void queue_own(struct link_session *session, uint8_t kind, uint16_t channel,
                      const void *bytes, uint32_t length)
{
    int rc = link_queue_own(&session->queue, kind, channel, bytes, length);

    if (rc < 0)
        link_session_end(session, rc == -ENOBUFS ? "the peer takes no more frames"
                                                 : "no memory for a frame");
    else
        loop_defer(session->loop, &session->task);
}

/* --- receiving -------------------------------------------------------------------------------- */

static bool take_pong(struct link_session *session, const struct link_frame *frame, struct err *why)
{
    uint64_t sent_ns = get_le64(frame->payload);
    uint64_t now_ns = loop_now_ns(session->loop);

    if (sent_ns > now_ns) {
        err_set(why, -EPROTO, "an answer to no heartbeat of ours");
        return false;
    }
    session->totals.round_trip_ns = now_ns - sent_ns;
    return true;
}

static bool take_user_frame(struct link_session *session, const struct link_frame *frame,
                            struct err *why)
{
    struct link_frame_in in = {.type = frame->type,
                               .bytes = frame->payload,
                               .length = frame->length,
                               .stream = link_intake_stream(&session->intake, frame->channel)};

    if (in.stream == NULL) {
        err_set(why, -EPROTO, "frame on channel %u, which was not announced", frame->channel);
        return false;
    }
    if (frame->kind == LINK_FRAME_DATA &&
        link_intake_data(&session->intake, frame->channel, frame->length, why) < 0)
        return false;
    return session->callbacks.frame_cb(session->callbacks.arg, &in, why);
}

static void tell_rooms(struct link_session *session)
{
    const char *stream;

    while (session->state == SESSION_OPEN &&
           (stream = link_queue_next_room(&session->queue)) != NULL)
        session->callbacks.room_cb(session->callbacks.arg, stream);
}

static bool take_open_frame(struct link_session *session, const struct link_frame *frame,
                            struct err *why)
{
    switch (frame->kind) {
    case LINK_FRAME_PING:
        queue_own(session, LINK_FRAME_PONG, 0, frame->payload, frame->length);
        return true;
    case LINK_FRAME_PONG:
        return take_pong(session, frame, why);
    case LINK_FRAME_OPEN:
        return link_intake_open(&session->intake, frame->channel, frame->payload, frame->length,
                                why) == 0;
    case LINK_FRAME_CREDIT:
        if (!link_queue_credit(&session->queue, frame->channel, get_le32(frame->payload))) {
            err_set(why, -EPROTO, "credit for more than was sent");
            return false;
        }
        tell_rooms(session);
        return true;
    case LINK_FRAME_CONTROL:
    case LINK_FRAME_DATA:
        return take_user_frame(session, frame, why);
    default:
        err_set(why, -EPROTO, "a greeting's frame on an open connection");
        return false;
    }
}

static bool take_frame(struct link_session *session, const struct link_frame *frame,
                       struct err *why)
{
    if (session->state == SESSION_OPEN)
        return take_open_frame(session, frame, why);
    check(session->state == SESSION_GREETING);
    if (frame->kind > LINK_FRAME_READY) {
        err_set(why, -EPROTO, "frame of kind %u before the handshake was done", frame->kind);
        return false;
    }
    return session->callbacks.greeting_cb(session->callbacks.arg, frame, why);
}

static bool is_taking(const struct link_session *session)
{
    return session->state == SESSION_GREETING || session->state == SESSION_OPEN;
}

static void take_frames(struct link_session *session)
{
    struct link_frame frame;
    struct err why = {0};
    int rc = 0;

    while (is_taking(session) && (rc = link_decoder_next(&session->decoder, &frame, &why)) == 1)
        if (!take_frame(session, &frame, &why)) {
            link_session_end(session, why.text[0] != 0 ? why.text : "malformed content");
            return;
        }
    if (is_taking(session) && rc < 0)
        link_session_end(session, why.text);
}

static void become_secure(struct link_session *session)
{
    check(session->state == SESSION_SECURING);
    session->state = SESSION_GREETING;
    session->callbacks.secure_cb(session->callbacks.arg);
}

static void take_handshake(struct link_session *session)
{
    struct err err = {0};
    int rc = tls_handshake(session->tls, &err);

    loop_defer(session->loop, &session->task); /* there may be output */
    if (rc < 0)
        finish(session, err.text); /* with TLS's own alert */
    else if (rc == 1)
        become_secure(session);
}

static void take_sealed(struct link_session *session, size_t length)
{
    struct err err = {0};

    if (tls_feed(session->tls, session->sealed_in, length) < 0) {
        link_session_end(session, "no memory for TLS");
        return;
    }
    if (session->state == SESSION_SECURING)
        take_handshake(session);
    while (is_taking(session)) {
        size_t room;
        uint8_t *at = link_decoder_room(&session->decoder, &room);
        int64_t got = tls_read(session->tls, at, room, &err);

        if (got < 0)
            link_session_end(session, err.text);
        if (got <= 0)
            return;
        link_decoder_fill(&session->decoder, (size_t)got);
        session->totals.heard_ns = loop_now_ns(session->loop);
        take_frames(session);
    }
}

static void receive_done(struct io_op *op, int64_t result);

static void receive(struct link_session *session)
{
    size_t room = session->sealed_in_size;
    uint8_t *at = session->sealed_in;

    check(!session->is_receiving);
    if (session->tls == NULL)
        at = link_decoder_room(&session->decoder, &room);
    session->is_receiving = true;
    io_recv(session->loop, &session->recv_op, session->socket, at, room, receive_done);
}

static void receive_done(struct io_op *op, int64_t result)
{
    struct link_session *session = container_of(op, struct link_session, recv_op);

    check_magic(session, SESSION_MAGIC);
    session->is_receiving = false;
    if (session->state >= SESSION_FINISHING) {
        loop_defer(session->loop, &session->task);
        return;
    }
    if (result <= 0) {
        link_session_end(session,
                         result == 0 ? "the peer closed the connection" : err_name((int)result));
        return;
    }
    session->totals.bytes_in += (uint64_t)result;
    if (session->state == SESSION_SECURING && session->totals.bytes_in > GREETING_BUFFER) {
        link_session_end(session, "more than 4 KiB came before the key was proved");
        return;
    }
    if (session->tls != NULL) {
        take_sealed(session, (size_t)result);
    } else {
        link_decoder_fill(&session->decoder, (size_t)result);
        session->totals.heard_ns = loop_now_ns(session->loop);
        take_frames(session);
    }
    if (session->state < SESSION_FINISHING)
        receive(session);
}

/* --- sending ---------------------------------------------------------------------------------- */

static void gather_plain(struct link_session *session)
{
    size_t bytes = 0;

    while (session->iov_count < BATCH_FRAMES && bytes < BATCH_BYTES) {
        struct link_queue_frame *frame = link_queue_take(&session->queue);

        if (frame == NULL)
            return;
        list_append(&session->sending, &frame->node);
        session->iov[session->iov_count++] =
            (struct iovec){.iov_base = frame->bytes, .iov_len = link_queue_frame_size(frame)};
        bytes += link_queue_frame_size(frame);
    }
}

static int seal_frames(struct link_session *session, struct err *err)
{
    size_t bytes = 0;

    while (session->state > SESSION_SECURING && bytes < BATCH_BYTES) {
        struct link_queue_frame *frame = link_queue_take(&session->queue);
        int rc;

        if (frame == NULL)
            return 0;
        bytes += link_queue_frame_size(frame);
        rc = tls_write(session->tls, frame->bytes, link_queue_frame_size(frame), err);
        free(frame);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int gather_sealed(struct link_session *session, struct err *err)
{
    bool is_secure = tls_handshake_is_done(session->tls);
    int rc = is_secure ? seal_frames(session, err) : 0;
    size_t length = tls_output_size(session->tls);

    if (rc < 0 || length == 0)
        return rc;
    if (length > session->sealed_out_size) {
        uint8_t *bytes = realloc(session->sealed_out, length);

        if (bytes == NULL)
            return err_set(err, -ENOMEM, "no memory to send");
        session->sealed_out = bytes;
        session->sealed_out_size = length;
    }
    length = tls_take_output(session->tls, session->sealed_out, session->sealed_out_size);
    session->iov[session->iov_count++] =
        (struct iovec){.iov_base = session->sealed_out, .iov_len = length};
    return 0;
}

static void send_done(struct io_op *op, int64_t result);

static void send_batch(struct link_session *session)
{
    struct err err = {0};
    int rc = 0;

    check(session->iov_count == 0 && list_is_empty(&session->sending));
    if (session->tls == NULL)
        gather_plain(session);
    else
        rc = gather_sealed(session, &err);
    if (rc < 0) {
        session->iov_count = 0;
        link_session_end(session, err.text);
    } else if (session->iov_count > 0) {
        session->is_sending = true;
        io_send(session->loop, &session->send_op, session->socket, session->iov, session->iov_count,
                send_done);
        tell_rooms(session);
    } else if (session->state == SESSION_FINISHING) {
        link_session_end(session, session->why);
    }
}

static void send_done(struct io_op *op, int64_t result)
{
    struct link_session *session = container_of(op, struct link_session, send_op);

    check_magic(session, SESSION_MAGIC);
    session->is_sending = false;
    session->iov_count = 0;
    free_sending(session);
    if (result > 0)
        session->totals.bytes_out += (uint64_t)result;
    if (session->state == SESSION_ENDED)
        loop_defer(session->loop, &session->task);
    else if (result < 0)
        link_session_end(session, err_name((int)result));
    else
        send_batch(session);
}

/* --- tasks and time --------------------------------------------------------------------------- */

static void start_in_task(struct link_session *session)
{
    session->state = SESSION_SECURING;
    session->totals.heard_ns = loop_now_ns(session->loop);
    receive(session);
    if (session->tls == NULL)
        become_secure(session);
    else
        take_handshake(session);
}

static void run_task(struct loop_task *task)
{
    struct link_session *session = container_of(task, struct link_session, task);
    char why[LINK_SESSION_WHY_SIZE];

    check_magic(session, SESSION_MAGIC);
    if (session->state == SESSION_ENDED) {
        if (session->is_receiving || session->is_sending)
            return;
        memcpy(why, session->why, sizeof(why));
        session->callbacks.closed_cb(session->callbacks.arg, session, why);
        return;
    }
    if (session->state == SESSION_SECURING && !session->is_receiving)
        start_in_task(session);
    if (!session->is_sending && session->state != SESSION_ENDED)
        send_batch(session);
}

/* The next heartbeat, or the end of the peer's time when that comes first. */
static uint64_t next_look_ns(const struct link_session *session, uint64_t now_ns)
{
    uint64_t dead_ns = session->totals.heard_ns + session->silence_ns;
    uint64_t beat_ns = now_ns + session->heartbeat_ns;

    return dead_ns > now_ns && dead_ns < beat_ns ? dead_ns : beat_ns;
}

static void fire_timer(struct loop_timer *timer)
{
    struct link_session *session = container_of(timer, struct link_session, timer);
    uint64_t now_ns = loop_now_ns(session->loop);
    uint64_t silent_ns = now_ns - session->totals.heard_ns;
    uint8_t ping[8];
    char why[64];

    check_magic(session, SESSION_MAGIC);
    if (session->state != SESSION_OPEN) {
        link_session_end(session, "the handshake took longer than 10 s");
        return;
    }
    if (silent_ns >= session->silence_ns) {
        snprintf(why, sizeof(why), "nothing was heard for %.1f s", (double)silent_ns / 1e9);
        link_session_end(session, why);
        return;
    }
    put_le64(ping, now_ns);
    queue_own(session, LINK_FRAME_PING, 0, ping, sizeof(ping));
    if (session->state == SESSION_OPEN)
        loop_timer_set(session->loop, timer, next_look_ns(session, now_ns));
}

/* --- the owner's calls ------------------------------------------------------------------------ */

void link_session_start(struct link_session *session)
{
    check_magic(session, SESSION_MAGIC);
    check(session->state == SESSION_NEW && session->callbacks.closed_cb != NULL);
    session->state = SESSION_SECURING;
    loop_timer_set(session->loop, &session->timer, loop_now_ns(session->loop) + GREETING_NS);
    loop_defer(session->loop, &session->task);
}

void link_session_send_hello(struct link_session *session, const struct link_hello *hello)
{
    uint8_t bytes[LINK_HELLO_SIZE_MAX];

    check(session->state == SESSION_GREETING);
    queue_own(session, LINK_FRAME_HELLO, 0, bytes, link_hello_encode(hello, bytes));
}

void link_session_send_ready(struct link_session *session, uint64_t echo)
{
    uint8_t bytes[8];

    check(session->state == SESSION_GREETING);
    put_le64(bytes, echo);
    queue_own(session, LINK_FRAME_READY, 0, bytes, sizeof(bytes));
}

void link_session_refuse(struct link_session *session, uint16_t reason, const char *text)
{
    struct link_refuse refuse = {.reason = reason};
    uint8_t bytes[4 + LINK_REFUSE_TEXT_SIZE];

    snprintf(refuse.text, sizeof(refuse.text), "%s", text);
    queue_own(session, LINK_FRAME_REFUSE, 0, bytes, link_refuse_encode(&refuse, bytes));
    finish(session, text);
}

void link_session_open(struct link_session *session, uint32_t window, uint64_t heartbeat_ns,
                       uint64_t silence_ns, const struct link_pieces *pieces)
{
    uint8_t *sealed_in = session->sealed_in;

    check_magic(session, SESSION_MAGIC);
    if (session->state != SESSION_GREETING)
        return;
    check(!session->is_receiving); /* it is an answer to a frame: the buffers may move */
    if (session->tls != NULL) {
        sealed_in = realloc(sealed_in, OPEN_BUFFER);
        if (sealed_in != NULL) {
            session->sealed_in = sealed_in;
            session->sealed_in_size = OPEN_BUFFER;
        }
    }
    if ((session->tls != NULL && sealed_in == NULL) ||
        link_decoder_grow(&session->decoder, LINK_FRAME_PAYLOAD_MAX, OPEN_BUFFER) < 0) {
        link_session_end(session, "no memory for a connection");
        return;
    }
    link_queue_open(&session->queue, window, pieces);
    session->intake.credit_bytes = piece_or(pieces->credit_bytes, LINK_INTAKE_CREDIT_MIN);
    session->state = SESSION_OPEN;
    session->silence_ns = silence_ns;
    session->heartbeat_ns = heartbeat_ns < silence_ns / 2 ? heartbeat_ns : silence_ns / 2;
    loop_timer_set(session->loop, &session->timer, loop_now_ns(session->loop));
}

/* Turns a queue's answer into link.h's. A peer that takes nothing loses the connection; so does one
 * that a frame is lost for: the next handshake tells what it would have told. */
static int queued(struct link_session *session, int rc)
{
    if (rc == -ENOBUFS || rc == -ENOMEM) {
        link_session_end(session, rc == -ENOBUFS ? "the peer takes no more frames"
                                                 : "no memory for a frame");
        return -ENOTCONN;
    }
    if (rc == 0)
        loop_defer(session->loop, &session->task);
    return rc;
}

void link_session_part(struct link_session *session, const char *stream)
{
    check_magic(session, SESSION_MAGIC);
    link_queue_part(&session->queue, stream);
}

bool link_session_has_parted(const struct link_session *session)
{
    check_magic(session, SESSION_MAGIC);
    return link_queue_has_parted(&session->queue);
}

int link_session_control(struct link_session *session, const char *stream, uint16_t type,
                         const void *bytes, uint32_t length)
{
    check_magic(session, SESSION_MAGIC);
    if (session->state != SESSION_OPEN)
        return -ENOTCONN;
    return queued(session, link_queue_control(&session->queue, stream, type, bytes, length));
}

int link_session_data(struct link_session *session, const char *stream, uint16_t type,
                      const void *head, uint32_t head_length, const void *payload,
                      uint32_t payload_length)
{
    check_magic(session, SESSION_MAGIC);
    if (session->state != SESSION_OPEN)
        return -ENOTCONN;
    return queued(session, link_queue_data(&session->queue, stream, type, head, head_length,
                                           payload, payload_length));
}

void link_session_consumed(struct link_session *session, const char *stream, uint32_t length)
{
    uint8_t bytes[4];
    uint16_t channel;
    uint32_t credit;

    check_magic(session, SESSION_MAGIC);
    if (session->state != SESSION_OPEN)
        return;
    credit = link_intake_consumed(&session->intake, stream, length, &channel);
    if (credit == 0)
        return;
    put_le32(bytes, credit);
    queue_own(session, LINK_FRAME_CREDIT, channel, bytes, sizeof(bytes));
}

struct link_session_totals link_session_totals(const struct link_session *session)
{
    struct link_session_totals totals = session->totals;

    check_magic(session, SESSION_MAGIC);
    totals.queued_bytes = session->queue.bytes;
    return totals;
}

const char *link_session_peer(const struct link_session *session)
{
    check_magic(session, SESSION_MAGIC);
    return io_socket_peer(session->socket);
}
