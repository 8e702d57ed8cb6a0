/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which connection to the peer is kept, and when the next one is dialled.
 *
 *   dial     our own attempt: io_connect, TLS, HELLO sent, HELLO of the peer awaited
 *   guest    accepted: the peer's HELLO judged, ours sent, its READY awaited
 *   up       the connection in use: a dial that got HELLO (and sends READY), a guest that got READY
 *
 * Invariants:
 *
 * 1. We do not dial while there is an up connection or a guest; so a HELLO that comes while we are
 *    up means that the peer knows of no connection, and its READY replaces ours.
 * 2. Both dial at once: of two greeted attempts the one dialled by the smaller site id stays. The
 *    winner refuses the other as a duplicate, the loser drops its own; neither can send READY on
 *    one and accept READY on the other.
 * 3. up_cb and down_cb alternate, and no callback runs inside a call of the owner.
 * 4. stopped_cb comes when no session and no connect of ours exists.
 */
#include "replication/link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/log.h"
#include "base/secret.h"
#include "replication/link_hello.h"
#include "replication/link_intake.h"
#include "replication/link_session.h"

enum { LINK_MAGIC = 0x6c696e6b, ADDRESS_SIZE = 128 };

struct link {
    uint32_t magic;
    struct loop *loop;
    struct link_options options; /* its texts and key point into what follows */
    struct link_callbacks callbacks;
    char site_name[LINK_NAME_SIZE], peer_name[LINK_NAME_SIZE], peer_address[ADDRESS_SIZE];
    uint8_t *psk; /* secret memory; NULL: none */
    struct link_status status;

    struct link_session *up, *guest, *dial;
    unsigned session_count;        /* these and those that are ending */
    struct link_hello hello;       /* ours, of the dial or else the guest */
    struct link_hello guest_hello; /* the peer's */
    unsigned protocol;             /* of who is up, agreed */
    bool has_greeted;              /* the dial's HELLO is sent */
    struct io_connect connect;
    bool is_connecting;
    uint64_t backoff_ns;
    struct loop_timer dial_timer;
    bool is_dial_due;                           /* the timer runs */
    uint64_t closed_bytes_in, closed_bytes_out; /* of connections that are over */

    struct loop_task task;
    bool is_started, is_stopping, is_down_owed;
    char down_why[LINK_SESSION_WHY_SIZE];
    void (*stopped_cb)(void *arg);
    void *stopped_arg;
};

static void run_task(struct loop_task *task);
static void fire_dial(struct loop_timer *timer);

/* --- making ----------------------------------------------------------------------------------- */

static int check_options(const struct link_options *options, struct err *err)
{
    if (!link_name_is_valid(options->site_name, LINK_NAME_SIZE))
        return err_set(err, -EINVAL, "link: \"%s\" is no site name", options->site_name);
    if (!link_name_is_valid(options->peer_name, LINK_NAME_SIZE))
        return err_set(err, -EINVAL, "link: \"%s\" is no site name", options->peer_name);
    if (strcmp(options->site_name, options->peer_name) == 0)
        return err_set(err, -EINVAL, "link: peer %s has our own name", options->peer_name);
    if (options->peer_address != NULL && strlen(options->peer_address) >= ADDRESS_SIZE)
        return err_set(err, -EINVAL, "link: address of peer %s is too long", options->peer_name);
    if (options->psk != NULL &&
        (options->psk_length < TLS_PSK_MIN || options->psk_length > TLS_PSK_MAX))
        return err_set(err, -EINVAL, "link: the key has %zu bytes, %d to %d are allowed",
                       options->psk_length, TLS_PSK_MIN, TLS_PSK_MAX);
    return 0;
}

static void copy_options(struct link *link, const struct link_options *options)
{
    link->options = *options;
    snprintf(link->site_name, sizeof(link->site_name), "%s", options->site_name);
    snprintf(link->peer_name, sizeof(link->peer_name), "%s", options->peer_name);
    link->options.site_name = link->site_name;
    link->options.peer_name = link->peer_name;
    link->options.peer_address = NULL;
    if (options->peer_address != NULL && options->peer_address[0] != 0) {
        snprintf(link->peer_address, sizeof(link->peer_address), "%s", options->peer_address);
        link->options.peer_address = link->peer_address;
    }
    if (link->psk != NULL) {
        memcpy(link->psk, options->psk, options->psk_length);
        link->options.psk = link->psk;
    }
    if (link->options.heartbeat_ns == 0)
        link->options.heartbeat_ns = 5000000000ull;
    if (link->options.silence_ns == 0)
        link->options.silence_ns = 15000000000ull;
    if (link->options.backoff_min_ns == 0)
        link->options.backoff_min_ns = 100000000ull;
    if (link->options.backoff_max_ns == 0)
        link->options.backoff_max_ns = 10000000000ull;
}

int link_new(struct loop *loop, const struct link_options *options,
             const struct link_callbacks *callbacks, struct link **ret_link, struct err *err)
{
    struct link *link;
    int rc = check_options(options, err);

    if (rc < 0)
        return rc;
    check(callbacks->up_cb != NULL && callbacks->down_cb != NULL);
    check(callbacks->frame_cb != NULL && callbacks->room_cb != NULL);
    link = calloc(1, sizeof(*link));
    if (link == NULL)
        return err_set(err, -ENOMEM, "link: no memory");
    if (options->psk != NULL && (link->psk = secret_new(TLS_PSK_MAX)) == NULL) {
        free(link);
        return err_set(err, -ENOMEM, "link: no memory");
    }
    link->magic = LINK_MAGIC;
    link->loop = loop;
    link->callbacks = *callbacks;
    copy_options(link, options);
    link->backoff_ns = link->options.backoff_min_ns;
    link->dial_timer.fired_cb = fire_dial;
    list_init(&link->task.node);
    link->task.run_cb = run_task;
    link->status.since_ns = loop_now_ns(loop);
    *ret_link = link;
    return 0;
}

void link_free(struct link *link)
{
    if (link == NULL)
        return;
    check_magic(link, LINK_MAGIC);
    check(link->session_count == 0 && !link->is_connecting && !link->is_down_owed);
    check(list_is_empty(&link->task.node));
    loop_timer_cancel(link->loop, &link->dial_timer);
    secret_free(link->psk, TLS_PSK_MAX);
    link->magic = 0;
    free(link);
}

/* --- up and down ------------------------------------------------------------------------------ */

static void note_error(struct link *link, const char *why)
{
    if (strncmp(link->status.last_error, why, sizeof(link->status.last_error) - 1) == 0)
        return;
    snprintf(link->status.last_error, sizeof(link->status.last_error), "%s", why);
    log_notice("link", "%s: %s", link->peer_name, why);
}

static void tell_down(struct link *link)
{
    if (!link->is_down_owed)
        return;
    link->is_down_owed = false;
    link->callbacks.down_cb(link->callbacks.arg, link->down_why);
}

static void cancel_dial(struct link *link)
{
    link->is_dial_due = false;
    loop_timer_cancel(link->loop, &link->dial_timer);
}

static void grow_backoff(struct link *link)
{
    link->backoff_ns *= 2;
    if (link->backoff_ns > link->options.backoff_max_ns)
        link->backoff_ns = link->options.backoff_max_ns;
}

/* The connection in use is gone; down_cb follows from the task or before the next up_cb. */
static void take_down(struct link *link, const char *why)
{
    struct link_session *session = link->up;
    uint64_t now_ns = loop_now_ns(link->loop);

    check(session != NULL && !link->is_down_owed);
    link->up = NULL;
    snprintf(link->down_why, sizeof(link->down_why), "%s", why);
    link->is_down_owed = true;
    /* A peer that comes and goes at once is not dialled in a tight loop. */
    if (now_ns - link->status.since_ns >= 10 * link->options.backoff_min_ns)
        link->backoff_ns = link->options.backoff_min_ns;
    else
        grow_backoff(link);
    link->status.is_up = false;
    link->status.since_ns = now_ns;
    note_error(link, why);
    link_session_end(session, why);
    loop_defer(link->loop, &link->task);
}

static void take_up(struct link *link, struct link_session *session,
                    const struct link_hello *theirs)
{
    if (link->up != NULL)
        take_down(link, "the peer made a new connection; when that repeats, a copy of its data "
                        "folder runs beside it");
    tell_down(link);
    if (link->is_stopping)
        return;
    link->up = session;
    if (link->dial == session)
        link->dial = NULL;
    if (link->guest == session)
        link->guest = NULL;
    check(link->dial == NULL && link->guest == NULL);
    cancel_dial(link);
    link->status.is_up = true;
    link->status.since_ns = loop_now_ns(link->loop);
    link->protocol =
        theirs->protocol_max < LINK_PROTOCOL_MAX ? theirs->protocol_max : LINK_PROTOCOL_MAX;
    link->status.peer_site_id = theirs->site_id;
    link->status.last_error[0] = 0;
    link_session_open(session, theirs->window, link->options.heartbeat_ns, link->options.silence_ns,
                      &link->options.pieces);
    link->callbacks.up_cb(link->callbacks.arg);
}

static void end_guest(struct link *link, const char *why)
{
    struct link_session *guest = link->guest;

    link->guest = NULL;
    if (guest != NULL)
        link_session_end(guest, why);
}

static void end_dial(struct link *link, const char *why)
{
    struct link_session *dial = link->dial;

    link->dial = NULL;
    link->has_greeted = false;
    if (dial != NULL)
        link_session_end(dial, why);
}

/* --- sessions' callbacks ---------------------------------------------------------------------- */

static struct link_hello make_hello(struct link *link, enum link_role role, uint64_t echo)
{
    struct link_hello hello = {.protocol_min = LINK_PROTOCOL_MIN,
                               .protocol_max = LINK_PROTOCOL_MAX,
                               .role = (uint8_t)role,
                               .site_id = link->options.site_id,
                               .nonce = loop_random(link->loop),
                               .echo = echo,
                               .window = LINK_INTAKE_WINDOW};

    snprintf(hello.site, sizeof(hello.site), "%s", link->site_name);
    snprintf(hello.software, sizeof(hello.software), "verso %s", VERSO_VERSION);
    return hello;
}

static void schedule_dial(struct link *link, uint64_t delay_ns)
{
    if (!link->is_started || link->is_stopping || link->options.peer_address == NULL)
        return;
    if (link->up != NULL || link->guest != NULL || link->dial != NULL || link->is_connecting)
        return;
    if (link->is_dial_due)
        return;
    link->is_dial_due = true;
    loop_timer_set(link->loop, &link->dial_timer, loop_now_ns(link->loop) + delay_ns);
}

/* Half of the delay is sure, half is chance: two sites do not step in time. */
static void schedule_retry(struct link *link)
{
    uint64_t half_ns = link->backoff_ns / 2;

    schedule_dial(link, half_ns + loop_random(link->loop) % (half_ns + 1));
}

static void fail_dial(struct link *link, const char *why)
{
    note_error(link, why);
    schedule_retry(link);
    grow_backoff(link);
}

static void session_closed(void *arg, struct link_session *session, const char *why)
{
    struct link *link = arg;
    struct link_session_totals totals = link_session_totals(session);

    check_magic(link, LINK_MAGIC);
    check(link->session_count > 0);
    link->closed_bytes_in += totals.bytes_in;
    link->closed_bytes_out += totals.bytes_out;
    link->session_count--;
    if (session == link->guest)
        link->guest = NULL;
    if (session == link->up)
        take_down(link, why);
    if (session == link->dial) {
        link->dial = NULL;
        fail_dial(link, why);
    }
    link_session_free(session);
    loop_defer(link->loop, &link->task);
}

static bool session_frame(void *arg, const struct link_frame_in *frame, struct err *why)
{
    struct link *link = arg;

    check_magic(link, LINK_MAGIC);
    return link->callbacks.frame_cb(link->callbacks.arg, frame, why);
}

static void session_room(void *arg, const char *stream)
{
    struct link *link = arg;

    check_magic(link, LINK_MAGIC);
    link->callbacks.room_cb(link->callbacks.arg, stream);
}

static void dial_secure(void *arg)
{
    struct link *link = arg;

    check_magic(link, LINK_MAGIC);
    if (link->dial == NULL)
        return;
    link->hello = make_hello(link, LINK_DIALLER, 0);
    link->has_greeted = true;
    link_session_send_hello(link->dial, &link->hello);
}

static bool take_refuse(const struct link_frame *frame, struct err *why)
{
    struct link_refuse refuse;

    if (!link_refuse_decode(frame->payload, frame->length, &refuse))
        err_set(why, -EPROTO, "malformed refusal");
    else
        err_set(why, -ECONNREFUSED, "the peer refuses: %s", refuse.text);
    return false;
}

static bool dial_greeting(void *arg, const struct link_frame *frame, struct err *why)
{
    struct link *link = arg;
    struct link_session *session = link->dial;
    struct link_hello hello;

    check_magic(link, LINK_MAGIC);
    if (frame->kind == LINK_FRAME_REFUSE)
        return take_refuse(frame, why);
    if (session == NULL || frame->kind != LINK_FRAME_HELLO ||
        !link_hello_decode(frame->payload, frame->length, &hello))
        return false;
    if (link_hello_judge(&link->hello, link->peer_name, &hello, why) < 0)
        return false;
    /* No guest can be here: a greeted dial either refuses it or ends for it. */
    check(link->up == NULL && link->guest == NULL);
    link_session_send_ready(session, hello.nonce);
    take_up(link, session, &hello);
    return true;
}

static bool guest_greeting(void *arg, const struct link_frame *frame, struct err *why)
{
    struct link *link = arg;
    struct link_session *session = link->guest;

    check_magic(link, LINK_MAGIC);
    if (session == NULL || frame->kind != LINK_FRAME_READY)
        return false;
    if (get_le64(frame->payload) != link->hello.nonce) {
        err_set(why, -EPROTO, "the peer answers another connection");
        return false;
    }
    take_up(link, session, &link->guest_hello);
    return true;
}

static void guest_secure(void *arg)
{
    check(arg == NULL); /* the listener saw to it: never called */
}

/* --- accepting -------------------------------------------------------------------------------- */

static void own_guest(struct link *link, struct link_session *session)
{
    struct link_session_callbacks callbacks = {.secure_cb = guest_secure,
                                               .greeting_cb = guest_greeting,
                                               .frame_cb = session_frame,
                                               .room_cb = session_room,
                                               .closed_cb = session_closed,
                                               .arg = link};

    link_session_own(session, &callbacks);
    link->session_count++;
}

static void take_guest(struct link *link, struct link_session *session,
                       const struct link_hello *ours, const struct link_hello *theirs)
{
    if (link->dial != NULL && link->has_greeted &&
        link_hello_is_winner(link->options.site_id, theirs->site_id)) {
        link_session_refuse(session, LINK_REFUSAL_DUPLICATE, "both sites dial, mine is kept");
        return;
    }
    end_dial(link, "the peer's connection is kept");
    end_guest(link, "the peer made a new connection");
    link->guest = session;
    link->guest_hello = *theirs;
    link->hello = *ours;
    link_session_send_hello(session, ours);
}

void link_accept(struct link *link, struct link_session *session, const struct link_hello *hello)
{
    struct link_hello ours = make_hello(link, LINK_ACCEPTOR, hello->nonce);
    struct err err = {0};
    int rc;

    check_magic(link, LINK_MAGIC);
    own_guest(link, session);
    rc = link_hello_judge(&ours, link->peer_name, hello, &err);
    if (rc == -ENOENT) {
        link_session_end(session, err.text);
    } else if (rc < 0) {
        note_error(link, err.text);
        link_session_refuse(session, link_hello_refusal(rc), err.text);
    } else if (!link->is_started || link->is_stopping) {
        link_session_refuse(session, LINK_REFUSAL_STOPPING, "this site's link does not run");
    } else {
        take_guest(link, session, &ours, hello);
    }
}

/* --- dialling --------------------------------------------------------------------------------- */

static void start_dial(struct link *link, struct io_socket *socket)
{
    char identity[TLS_IDENTITY_SIZE];
    struct tls_options tls = {
        .identity = identity, .psk = link->options.psk, .psk_length = link->options.psk_length};
    struct link_session_callbacks callbacks = {.secure_cb = dial_secure,
                                               .greeting_cb = dial_greeting,
                                               .frame_cb = session_frame,
                                               .room_cb = session_room,
                                               .closed_cb = session_closed,
                                               .arg = link};
    struct err err = {0};

    link_hello_identity(link->site_name, link->peer_name, identity, sizeof(identity));
    if (link_session_new(link->loop, socket, link->options.psk != NULL ? &tls : NULL, &link->dial,
                         &err) < 0) {
        io_socket_close(link->loop, socket);
        fail_dial(link, err.text);
        return;
    }
    link->session_count++;
    link->has_greeted = false;
    link_session_own(link->dial, &callbacks);
    link_session_start(link->dial);
}

static void connect_done(struct io_op *op, int64_t result)
{
    struct link *link = container_of(op, struct link, connect.op);
    char why[LINK_SESSION_WHY_SIZE + ADDRESS_SIZE];

    check_magic(link, LINK_MAGIC);
    check(link->is_connecting);
    link->is_connecting = false;
    if (result < 0) {
        snprintf(why, sizeof(why), "connect to %s: %s", link->peer_address, err_name((int)result));
        if (!link->is_stopping && link->up == NULL)
            fail_dial(link, why);
    } else if (link->is_stopping || link->up != NULL || link->guest != NULL) {
        io_socket_close(link->loop, link->connect.socket);
    } else {
        start_dial(link, link->connect.socket);
    }
    loop_defer(link->loop, &link->task);
}

static void fire_dial(struct loop_timer *timer)
{
    struct link *link = container_of(timer, struct link, dial_timer);

    check_magic(link, LINK_MAGIC);
    check(link->is_dial_due && link->up == NULL && link->dial == NULL && !link->is_connecting);
    link->is_dial_due = false;
    if (link->guest != NULL || link->is_stopping)
        return;
    link->is_connecting = true;
    io_connect(link->loop, &link->connect, link->peer_address, connect_done);
}

/* --- the owner's calls ------------------------------------------------------------------------ */

static void run_task(struct loop_task *task)
{
    struct link *link = container_of(task, struct link, task);
    void (*stopped_cb)(void *arg) = link->stopped_cb;

    check_magic(link, LINK_MAGIC);
    tell_down(link);
    if (!link->is_stopping) {
        schedule_retry(link);
        return;
    }
    if (link->session_count > 0 || link->is_connecting || stopped_cb == NULL)
        return;
    link->stopped_cb = NULL;
    stopped_cb(link->stopped_arg);
}

void link_start(struct link *link)
{
    check_magic(link, LINK_MAGIC);
    check(!link->is_started && !link->is_stopping);
    link->is_started = true;
    schedule_dial(link, 0);
}

void link_stop(struct link *link, void (*stopped_cb)(void *arg), void *arg)
{
    check_magic(link, LINK_MAGIC);
    check(!link->is_stopping && stopped_cb != NULL);
    link->is_stopping = true;
    link->stopped_cb = stopped_cb;
    link->stopped_arg = arg;
    cancel_dial(link);
    end_dial(link, "the link stops");
    end_guest(link, "the link stops");
    if (link->up != NULL)
        take_down(link, "the link stops");
    loop_defer(link->loop, &link->task);
}

bool link_is_up(const struct link *link)
{
    check_magic(link, LINK_MAGIC);
    return link->up != NULL;
}

const struct link_options *link_settings(const struct link *link)
{
    check_magic(link, LINK_MAGIC);
    return &link->options;
}

unsigned link_protocol(const struct link *link)
{
    check_magic(link, LINK_MAGIC);
    return link->up != NULL ? link->protocol : 0;
}

void link_drop(struct link *link, const char *why)
{
    check_magic(link, LINK_MAGIC);
    if (link->up != NULL)
        take_down(link, why);
}

int link_send_control(struct link *link, const char *stream, uint16_t type, const void *bytes,
                      uint32_t length)
{
    check_magic(link, LINK_MAGIC);
    if (link->up == NULL)
        return -ENOTCONN;
    int error = link_session_control(link->up, stream, type, bytes, length);

    if (error == -ENOSPC && link_session_has_parted(link->up)) {
        take_down(link, "streams that are past have used up its numbers");
        error = -ENOTCONN;
    }
    return error;
}

void link_part(struct link *link, const char *stream)
{
    check_magic(link, LINK_MAGIC);
    if (link->up != NULL)
        link_session_part(link->up, stream);
}

int link_send_data(struct link *link, const char *stream, uint16_t type, const void *head,
                   uint32_t head_length, const void *payload, uint32_t payload_length)
{
    check_magic(link, LINK_MAGIC);
    if (link->up == NULL)
        return -ENOTCONN;
    return link_session_data(link->up, stream, type, head, head_length, payload, payload_length);
}

void link_consumed(struct link *link, const char *stream, uint32_t length)
{
    check_magic(link, LINK_MAGIC);
    if (link->up != NULL)
        link_session_consumed(link->up, stream, length);
}

const struct link_status *link_status(struct link *link)
{
    struct link_status *status = &link->status;
    struct link_session_totals totals = {0};

    check_magic(link, LINK_MAGIC);
    if (link->up != NULL) {
        totals = link_session_totals(link->up);
        status->heard_ns = totals.heard_ns;
        status->round_trip_ns = totals.round_trip_ns;
    }
    status->bytes_in = link->closed_bytes_in + totals.bytes_in;
    status->bytes_out = link->closed_bytes_out + totals.bytes_out;
    status->queued_bytes = totals.queued_bytes;
    return status;
}
