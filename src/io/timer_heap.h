/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers in the order of their deadlines; equal deadlines in the order of setting. A timer knows
 * its place in the heap (private[0], from 1), so setting again and cancelling need no search.
 */
#ifndef IO_TIMER_HEAP_H
#define IO_TIMER_HEAP_H

#include "io/loop.h"

struct timer_heap {
    struct loop_timer **timers;
    uint64_t count, count_max;
    uint64_t sequence;
};

void timer_heap_init(struct timer_heap *heap);
void timer_heap_fini(struct timer_heap *heap);

/* Sets or moves. Aborts when memory for one more pointer is missing. */
void timer_heap_set(struct timer_heap *heap, struct loop_timer *timer, uint64_t deadline_ns);
void timer_heap_cancel(struct timer_heap *heap, struct loop_timer *timer); /* idempotent */

/* Runs the timers due at `now_ns` that were set before this call; one that a callback sets anew
 * waits for the next call. */
void timer_heap_run(struct timer_heap *heap, uint64_t now_ns);

/* UINT64_MAX when there is none. */
uint64_t timer_heap_deadline(const struct timer_heap *heap);

#endif
