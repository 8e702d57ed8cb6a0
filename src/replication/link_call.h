/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls between the two sites' control wings: request and reply over the link's call channel. A
 * request is sent once and never again by itself, so it is executed at most once; an error other
 * than -EHOSTUNREACH, -EMSGSIZE and -ENOBUFS leaves open whether it was.
 *
 * The link's owner passes on what it hears: frames of the call channel, up, down.
 */
#ifndef REPLICATION_LINK_CALL_H
#define REPLICATION_LINK_CALL_H

#include "io/loop.h"
#include "replication/link.h"

struct link_call_desk;

enum {
    CALL_BYTES_MAX = 1 << 20,
    CALL_COUNT_MAX = 1024, /* of each direction, unanswered */
};

typedef void (*link_call_reply_fn)(void *arg, int error, const void *bytes, uint32_t length);

struct link_call_callbacks {
    /* The peer asks; answer once with link_call_reply(), now or later. */
    void (*request_cb)(void *arg, uint64_t token, const void *bytes, uint32_t length);
    void *arg;
};

int link_call_new(struct loop *loop, struct link *link, const struct link_call_callbacks *callbacks,
                  struct link_call_desk **ret_desk, struct err *err);
/* No call of ours may be unanswered: after link_call_down() and a turn of the loop none is. */
void link_call_free(struct link_call_desk *desk);

/* reply_cb comes once, never from inside: 0 and the reply; -EHOSTUNREACH: the link is down, nothing
 * was sent; -ENOTCONN: it went down before the reply; -ETIMEDOUT; -EMSGSIZE; -ENOBUFS: too many.
 * Returns 0, or -ENOMEM and reply_cb never comes. `bytes` is copied. */
int link_call_send(struct link_call_desk *desk, const void *bytes, uint32_t length,
                   uint64_t timeout_ns, link_call_reply_fn reply_cb, void *arg);
/* A reply whose caller is gone (the link went down since) is dropped; so is one longer than
 * CALL_BYTES_MAX, and then the caller's time runs out. */
void link_call_reply(struct link_call_desk *desk, uint64_t token, const void *bytes,
                     uint32_t length);

/* From the link's frame_cb, for frames whose stream is "". */
bool link_call_frame(struct link_call_desk *desk, const struct link_frame_in *frame,
                     struct err *why);
/* From the link's down_cb: what is unanswered ends with -ENOTCONN, from the loop. */
void link_call_down(struct link_call_desk *desk);
unsigned link_call_count(const struct link_call_desk *desk); /* ours, unanswered */

#endif
