/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring under the io_uring loop: making it, handing operations in, waiting, and what an
 * operation's completion means.
 */
#ifndef IO_URING_RING_H
#define IO_URING_RING_H

#include <liburing.h>

#include "io/posix_loop.h"
#include "io/spin_policy.h"

enum { URING_BATCH_MAX = 128 };

struct uring_ring {
    struct io_uring ring;
    struct posix_op_queue waiting; /* for a place in the submission queue */
    bool is_enabled;               /* the thread that runs the loop is known to the kernel */
    struct spin_policy spin;
};

/* Made disabled: the thread that first enables it is the one that may submit. */
int uring_ring_init(struct uring_ring *uring, struct err *err);
void uring_ring_fini(struct uring_ring *uring);
void uring_ring_start(struct uring_ring *uring); /* on the thread that runs the loop */
void uring_ring_stop(struct uring_ring *uring);

/* Queues the operation, described by its posix_op, for the next wait. Never completes it. */
void uring_ring_submit(struct uring_ring *uring, struct io_op *op);
/* Hands in all that is queued and waits for one completion, at most `wait_ns`. */
void uring_ring_wait(struct uring_ring *uring, uint64_t wait_ns);

struct uring_result {
    struct io_op *op;
    int result;
};

/* Takes up to URING_BATCH_MAX completions; returns how many. */
unsigned uring_ring_take(struct uring_ring *uring, struct uring_result *results);

#endif
