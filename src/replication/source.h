/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sending side of one stream: the shell around source_core.h. It reads what the core asks for,
 * checksums, compresses when the link is the bottleneck, keeps to the bandwidth limit, and feeds
 * what happened back as events. It knows nothing of roles, generations' lines or exports.
 */
#ifndef REPLICATION_SOURCE_H
#define REPLICATION_SOURCE_H

#include "replication/generation.h"
#include "replication/link.h"
#include "volume/tracking.h"

struct source;

struct source_callbacks {
    /* R16. Make durable that an epoch of this number was cut, that the target has acknowledged it;
     * then source_numbered(), source_heard(). Never called again for a lower number. */
    void (*number_cb)(void *arg, uint64_t epoch);
    void (*heard_cb)(void *arg, uint64_t epoch);
    void (*acked_cb)(void *arg, uint64_t epoch, uint64_t cut_wall_ns);
    /* A one-shot start has its epoch acknowledged: it is stopped. */
    void (*finished_cb)(void *arg);
    /* "": well again. */
    void (*trouble_cb)(void *arg, const char *text);
    void *arg;
};

struct source_options {
    const char *stream;      /* id */
    struct volume **volumes; /* copied; tracked whenever the source is started */
    unsigned volume_count;
    struct stash *stash;
    uint64_t interval_ns, stash_memory_bytes, stash_disk_bytes;
    uint64_t bandwidth_bytes; /* a second; 0: no limit */
    uint64_t read_blocks;     /* pieces.h */
};

int source_new(struct loop *loop, const struct source_options *options,
               const struct source_callbacks *callbacks, struct source **ret_source);
void source_free(struct source *source); /* source_is_idle(); NULL is fine */

void source_start(struct source *source, bool is_one_shot);
void source_stop(struct source *source);
/* The handshake said SHIP. `is_initial`, a disk each: its first copy is not done, so what the
 * target holds is not durable before the next acknowledgement. */
void source_connected(struct source *source, struct link *link, const struct generation *generation,
                      uint64_t epoch, bool has_point, const bool *is_initial);
void source_disconnected(struct source *source); /* idempotent */
bool source_is_connected(const struct source *source);

/* ACK, BLOCKED, RESUME, VERDICT, TROUBLE, LIFE. False: malformed or impossible, end the connection.
 */
bool source_frame(struct source *source, const struct link_frame_in *frame, struct err *why);
/* Every number up to this one is durable: the cut may leave. */
void source_numbered(struct source *source, uint64_t epoch);
/* The acknowledgement of this epoch is durable: what it covers is cleared. */
void source_heard(struct source *source, uint64_t epoch);
void source_room(struct source *source);
/* From tracking. */
void source_dirtied(struct source *source);
void source_stash_full(struct source *source);

/* No read or stash operation is under way (a stopped or disconnected one gets there by itself);
 * idle_cb is called once when it does (perhaps from inside); it takes the place of an earlier one.
 */
bool source_is_idle(const struct source *source);
void source_on_idle(struct source *source, void (*idle_cb)(void *arg), void *arg);

/* The life of the target in which all settled blocks are equal there; 0: not known at present. */
uint64_t source_settled_life(const struct source *source);
uint64_t source_epoch(const struct source *source);
void source_set_epoch(struct source *source, uint64_t epoch); /* only upward */
uint64_t source_shipped_bytes(const struct source *source);
/* Nothing newer than this is missing at the target: by the loop's clock, and as it was told. 0: not
 * known since the start. */
uint64_t source_current_ns(const struct source *source, uint64_t *ret_wall_ns);

#endif
