/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers and embedded operations for the slow stages of a request: they are large, and most
 * requests need none. */
#ifndef VOLUME_SCRATCH_H
#define VOLUME_SCRATCH_H

#include "volume/stash.h"
#include "volume/view.h"

enum { SCRATCH_BLOCKS = 32, SCRATCH_KEPT = 16 };

struct scratch {
    struct list node;
    struct volume_request *request;
    struct view_read view;
    struct preserve_op preserve;
    struct stash_op stash;
    uint64_t block, count, done; /* the run in hand, and how much of it is dealt with */
    uint64_t merge_count;        /* of the tracking, when a put began */
    uint8_t bytes[SCRATCH_BLOCKS * BLOCK_SIZE];
};

/* The request's scratch, made if it has none; NULL: memory is short. */
struct scratch *scratch_need(struct volume_request *request);
/* Gives it back, if the request has one. */
void scratch_drop(struct volume_request *request);
/* Frees what the volume keeps for later. */
void scratch_fini(struct volume *volume);

#endif
