/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection between two sites: a socket, TLS on it, frames in and out, heartbeats. It knows
 * nothing of who dials or which connection is kept: its owner (link_listener, then link) does.
 *
 * Life: new -> start -> secure_cb -> HELLO, REFUSE, READY go to and fro (greeting_cb) -> open ->
 * frames of streams -> end -> closed_cb -> free. It ends by itself when the greeting takes more
 * than 10 s, on any malformed frame, on the peer's silence.
 */
#ifndef REPLICATION_LINK_SESSION_H
#define REPLICATION_LINK_SESSION_H

#include "io/socket.h"
#include "io/tls.h"
#include "wire/link_frame.h"
#include "wire/link_message.h"

struct link_session;
struct link_frame_in;
struct link_pieces;

enum { LINK_SESSION_WHY_SIZE = 160 };

/* On the loop; a callback may call link_session_end(). The bools: false ends it, `why` is set. */
struct link_session_callbacks {
    void (*secure_cb)(void *arg); /* the key is proved; HELLO may be sent */
    bool (*greeting_cb)(void *arg, const struct link_frame *frame, struct err *why);
    bool (*frame_cb)(void *arg, const struct link_frame_in *frame, struct err *why);
    void (*room_cb)(void *arg, const char *stream);
    /* Nothing is in flight any more; the owner frees it. Never from inside a call of the owner. */
    void (*closed_cb)(void *arg, struct link_session *session, const char *why);
    void *arg;
};

struct link_session_totals {
    uint64_t bytes_in, bytes_out; /* on the wire */
    uint64_t heard_ns;            /* the last byte of the peer */
    uint64_t round_trip_ns;       /* 0: not yet measured */
    uint64_t queued_bytes;
};

/* `tls` NULL: plain. On success the socket is the session's. */
int link_session_new(struct loop *loop, struct io_socket *socket, const struct tls_options *tls,
                     struct link_session **ret_session, struct err *err);
void link_session_free(struct link_session *session); /* only before start or from closed_cb */
/* Sets or changes the owner. */
void link_session_own(struct link_session *session, const struct link_session_callbacks *callbacks);
void link_session_start(struct link_session *session);

void link_session_send_hello(struct link_session *session, const struct link_hello *hello);
void link_session_send_ready(struct link_session *session, uint64_t echo);
/* Sends REFUSE as the last thing, then ends. */
void link_session_refuse(struct link_session *session, uint16_t reason, const char *text);
/* The greeting is done: stream frames may flow. */
void link_session_open(struct link_session *session, uint32_t window, uint64_t heartbeat_ns,
                       uint64_t silence_ns, const struct link_pieces *pieces);
/* No callback but closed_cb comes any more. Idempotent. */
void link_session_end(struct link_session *session, const char *why);

/* As in link.h and link_queue.h, on an open session. */
void link_session_part(struct link_session *session, const char *stream);
bool link_session_has_parted(const struct link_session *session);
int link_session_control(struct link_session *session, const char *stream, uint16_t type,
                         const void *bytes, uint32_t length);
int link_session_data(struct link_session *session, const char *stream, uint16_t type,
                      const void *head, uint32_t head_length, const void *payload,
                      uint32_t payload_length);
void link_session_consumed(struct link_session *session, const char *stream, uint32_t length);
struct link_session_totals link_session_totals(const struct link_session *session);
const char *link_session_peer(const struct link_session *session); /* address, for log lines */

#endif
