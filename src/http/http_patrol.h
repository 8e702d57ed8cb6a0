/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ends connections that are too slow or too many; the library itself only knows an idle time.
 *
 * A guest is a connection. Its phases, and what ends it:
 *   HEAD   connected, or a request line came: its head takes longer than head_ns_max, or more than
 *          waiting_max are in this phase and it is the next to go
 *   BODY   slower than body_rate_min after head_ns_max
 *   WORK   nothing: the request is ours
 *   REPLY  takes our answer: longer than request_ns_max
 *   IDLE   between requests: longer than idle_ns_max, or all places are taken and it is the next
 * A request that is not complete request_ns_max after its first line ends as well, and so does who
 * closed his end before it was complete, or between requests.
 *
 * Who is the next to go, of those that had a fair time: first who never proved who he is; of these
 * one of the address with the most connections; of these the oldest. So a crowd of strangers ends
 * its own connections, and an address that is at its limit loses one of its own. A stranger who got
 * his answer needs no time. While all have theirs there may be twice connections_max.
 *
 * Ending is a shutdown of the socket: the library sees it closed. Where the head did not come in
 * time only reading ends at first, so that the guest can be told on the library's thread.
 *
 * Called from the libraries' threads, but for new, stop and free.
 */
#ifndef HTTP_HTTP_PATROL_H
#define HTTP_HTTP_PATROL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "io/loop.h"

struct http_limits {
    unsigned connections_max;         /* 256 */
    unsigned address_connections_max; /* of one address: 64 */
    unsigned waiting_max;             /* whose head has not come: 64 */
    uint64_t head_ns_max;             /* 10 s */
    uint64_t request_ns_max;          /* head and body: 60 s */
    uint64_t idle_ns_max;             /* 65 s: clients keep connections for a minute */
    uint64_t body_rate_min;           /* bytes a second: 500 */
    uint64_t head_bytes_max;          /* query and headers: 16 KiB */
    uint64_t body_bytes_max;          /* 1 MiB */
};

enum http_phase {
    HTTP_PHASE_HEAD,
    HTTP_PHASE_BODY,
    HTTP_PHASE_WORK,
    HTTP_PHASE_REPLY,
    HTTP_PHASE_IDLE
};

struct http_patrol;
struct http_guest;

/* `limits` has no field that is 0 and outlives it. NULL: no memory. */
struct http_patrol *http_patrol_new(struct loop *loop, const struct http_limits *limits);
/* On the loop, when the library has ended; http_patrol_free() then from a later message. */
void http_patrol_stop(struct http_patrol *patrol);
void http_patrol_free(struct http_patrol *patrol);

/* May one more of that address come in? Makes room where it can. `address` may be NULL. */
bool http_patrol_admit(struct http_patrol *patrol, const struct sockaddr *address);
struct http_guest *http_patrol_enter(struct http_patrol *patrol, int fd,
                                     const struct sockaddr *address); /* NULL: no memory */
/* Before the socket is closed. `may_linger`: the peer should still read what we sent last. */
void http_patrol_leave(struct http_patrol *patrol, struct http_guest *guest, bool may_linger);

/* The rest takes a guest that is NULL. */
void http_patrol_phase(struct http_patrol *patrol, struct http_guest *guest, enum http_phase phase);
void http_patrol_body(struct http_patrol *patrol, struct http_guest *guest, size_t length);
void http_patrol_proved(struct http_patrol *patrol, struct http_guest *guest);
/* Did the patrol end it? */
bool http_patrol_has_ended(struct http_patrol *patrol, const struct http_guest *guest);
/* Did its head not come in time? Nothing more can be read from it; it can still be told. */
bool http_patrol_is_late(struct http_patrol *patrol, const struct http_guest *guest);

#endif
