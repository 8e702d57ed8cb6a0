/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stash of a stream: content of frozen blocks, copied away before a write reached them (R4).
 * In memory up to a budget, then in a spill file, made when first needed and emptied with the
 * epoch.
 */
#ifndef VOLUME_STASH_H
#define VOLUME_STASH_H

#include "io/file.h"

struct stash;

struct stash_op {
    void (*done_cb)(struct stash_op *op, int error);
    struct io_op io;
    struct iovec iov;
    struct stash *stash;
    uint64_t private[6];
};

struct stash_options {
    uint64_t memory_bytes_max;
    uint64_t spill_bytes_max;
    const char *spill_path; /* copied */
    unsigned volume_count_max;
};

int stash_new(struct loop *loop, const struct stash_options *options, struct stash **ret_stash);
void stash_free(struct stash *stash); /* nothing in flight; removes the spill file */

/* Is there room for `count` blocks more? A full disk under the spill file counts as no room. */
bool stash_has_room(const struct stash *stash, uint64_t count);
/* Copies one block in; `bytes` must stay until done_cb, whose error is 0 or -ENOSPC (spill could
 * not grow: then the epoch must be aborted) or that of the spill file. */
void stash_put(struct stash *stash, struct stash_op *op, unsigned volume, uint64_t block,
               const uint8_t *bytes, void (*done_cb)(struct stash_op *op, int error));
/* Takes the next stashed block of any volume out into `bytes` (BLOCK_SIZE). False: empty, no
 * callback. */
bool stash_take(struct stash *stash, struct stash_op *op, unsigned *ret_volume, uint64_t *ret_block,
                uint8_t *bytes, void (*done_cb)(struct stash_op *op, int error));
/* The blocks of one volume still in the stash, one call each. */
void stash_each(const struct stash *stash, unsigned volume,
                void (*block_cb)(void *arg, uint64_t block), void *arg);
/* Drops one volume's blocks, or everything. What is under way ends without harm. */
void stash_drop_volume(struct stash *stash, unsigned volume);
void stash_clear(struct stash *stash);
uint64_t stash_count(const struct stash *stash); /* blocks held */

#endif
