/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The receiving side of one stream, between the link and the replica: frames in, replica operations
 * in the same order, ACK when durable, credit back when an operation is done. Whether it may
 * receive at all is the handshake's decision.
 */
#ifndef REPLICATION_TARGET_H
#define REPLICATION_TARGET_H

#include "replication/generation.h"
#include "replication/link.h"
#include "replication/replica.h"

struct target;

struct target_callbacks {
    void (*committed_cb)(void *arg, uint64_t epoch, uint64_t cut_wall_ns);
    void (*current_cb)(void *arg, uint64_t wall_ns); /* nothing newer than this is missing */
    void (*trouble_cb)(void *arg, const char *text); /* "": well again */
    /* What an earlier connection left under way has ended: a new one may be met. */
    void (*settled_cb)(void *arg);
    void *arg;
};

struct target_options {
    const char *stream;
    struct replica *replica;
    struct volume **volumes; /* copied */
    unsigned volume_count;
};

int target_new(struct loop *loop, const struct target_options *options,
               const struct target_callbacks *callbacks, struct target **ret_target);
void target_free(struct target *target); /* target_is_quiet(); NULL is fine */

/* The handshake said RECEIVE: data of this generation may come. */
void target_connected(struct target *target, struct link *link,
                      const struct generation *generation);
/* The connection or the permission ended: what was not committed is dropped (R9). Idempotent. */
void target_disconnected(struct target *target);
bool target_is_connected(const struct target *target);

/* DATA, HOLE, CUT, ABORT, CURRENT, HASHES, WHO. False: malformed, end the connection. */
bool target_frame(struct target *target, const struct link_frame_in *frame, struct err *why);
/* The replica's space changed. */
void target_space(struct target *target);

/* Nothing is under way and the partial epoch is dropped (after target_disconnected()). */
bool target_is_quiet(const struct target *target);
/* Calls back when it is (perhaps from inside). */
void target_on_quiet(struct target *target, void (*quiet_cb)(void *arg), void *arg);

/* Of this one: new at each start of a target. Never 0. */
uint64_t target_life(const struct target *target);

/* What may come in data frames, whose bytes count against the link's window. */
bool target_is_counted(uint16_t type);

#endif
