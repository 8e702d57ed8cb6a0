/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of a volume that lie in the journal; given with volume_set_overlay(). */
#ifndef VOLUME_OVERLAY_H
#define VOLUME_OVERLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct overlay_read {
    void (*done_cb)(struct overlay_read *read, int error);
    struct list node;
    uint64_t private[64]; /* the overlay's */
};

/* Blocks that lie in the journal rather than in the base. All slots required. */
struct overlay_ops {
    /* Of [block, block + count): how many blocks from `block` on are all in the overlay (true) or
     * all not (false). *ret_count >= 1. */
    bool (*lookup)(void *arg, uint64_t block, uint64_t count, uint64_t *ret_count);
    /* Are they known to read as zeros, without reading? Only asked for ranges in the overlay. */
    bool (*is_hole)(void *arg, uint64_t block, uint64_t count);
    /* Reads whole blocks that are all in the overlay. */
    void (*read)(void *arg, struct overlay_read *read, uint64_t block, uint64_t count,
                 uint8_t *bytes, void (*done_cb)(struct overlay_read *read, int error));
    /* A host's write to these blocks is in the base now; called under the range lock before the
     * reply. From here on the overlay must not show them, and must not after the end of the process
     * either (kill-safe memory); after a power loss it may until the next flushed(). */
    void (*replaced)(void *arg, uint64_t block, uint64_t count);
    /* A sync of the base begins: what was replaced until now is what the next flushed() records. */
    void (*flushing)(void *arg);
    /* A host flushed and the base is synced: record what was replaced before the sync began durably
     * (R10), then done_cb. One at a time. */
    void (*flushed)(void *arg, struct overlay_read *op,
                    void (*done_cb)(struct overlay_read *op, int error));
};

#endif
