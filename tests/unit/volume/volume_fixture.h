/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume over a store, an overlay and layers in memory. Operations of the store complete by hand
 * (fixture_store_end) or at random, and all that is submitted stands in the loop's log:
 *
 *     "store write 3+1" (block + blocks)   "store sync"   "stash ..."   "reply 7 0" (tag, error)
 */
#ifndef VOLUME_FIXTURE_H
#define VOLUME_FIXTURE_H

#include "store/store.h"
#include "tests/lib/fake_loop.h"
#include "volume/base_write.h"
#include "volume/tracking.h"
#include "volume/volume.h"

enum { FIXTURE_BLOCKS = 2048 + 100, FIXTURE_CALLS = 256 }; /* two regions and a part */

struct fixture_call {
    char kind; /* r w s d e; 0: free */
    struct store_op *op;
    const struct iovec *iov;
    unsigned iov_count;
    uint64_t offset, length;
    struct io_extent *extents;
    unsigned long order;
};

struct fixture {
    struct fake_loop fake;
    struct store store;
    struct volume *volume;
    struct bitfile *intent;
    struct stash *stash;
    uint8_t *bytes; /* what the store holds */
    struct fixture_call calls[FIXTURE_CALLS];
    unsigned long order;
    unsigned full_count;  /* stash_full_cb calls */
    unsigned dirty_count; /* dirtied_cb calls */

    bool in_overlay[FIXTURE_BLOCKS];
    uint8_t *overlay_bytes;
    struct overlay_read *flushing;
    bool in_layer[FIXTURE_BLOCKS]; /* the layer has its own copy */
    bool has_layer;
    uint8_t *layer_bytes;
};

/* A host's request with its own buffer. */
struct host {
    struct volume_request request;
    struct fixture *fixture;
    struct iovec iov;
    uint8_t *bytes;
    int tag;
    int error; /* 1: not ended */
};

void fixture_init(struct fixture *fixture);
void fixture_fini(struct fixture *fixture);
/* Tracking with a stash of that many blocks in memory and in the spill file. */
void fixture_track(struct fixture *fixture, uint64_t memory_blocks, uint64_t spill_blocks);
void fixture_untrack(struct fixture *fixture);
void fixture_overlay(struct fixture *fixture);
void fixture_layer(struct fixture *fixture);

/* Ends the oldest (or `index`th oldest) store operation. False: there is none. */
bool fixture_store_end(struct fixture *fixture, unsigned index, int error);
/* Ends everything that is under way, in order. */
void fixture_settle(struct fixture *fixture);

/* `sectors`: 512 bytes each. A write fills them with `value`. */
struct host *host_submit(struct fixture *fixture, enum volume_op op, unsigned flags,
                         uint64_t sector, uint64_t sectors, uint64_t value, int tag);
void host_free(struct host *host); /* ended */
/* Submits, settles, checks that it ended with 0, frees. */
void host_run(struct fixture *fixture, enum volume_op op, uint64_t sector, uint64_t sectors,
              uint64_t value);

/* Does `first` stand in the log, and `second` after it? */
bool log_has_order(const struct fixture *fixture, const char *first, const char *second);
bool log_has(const struct fixture *fixture, const char *text);
void log_reset(struct fixture *fixture);

void sectors_fill(uint8_t *bytes, uint64_t sectors, uint64_t value);
uint64_t sector_value(const uint8_t *bytes); /* checks that the sector holds one value */

#endif
