/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A binary heap of pointers to timers that live in their owners. private[0] is a timer's place in
 * the heap, from 1 (0: not set); private[1] the number of its setting, which breaks ties.
 */
#include "io/timer_heap.h"

#include <stdlib.h>

#include "base/check.h"

void timer_heap_init(struct timer_heap *heap)
{
    *heap = (struct timer_heap){0};
}

void timer_heap_fini(struct timer_heap *heap)
{
    free(heap->timers);
    *heap = (struct timer_heap){0};
}

static bool is_before(const struct loop_timer *a, const struct loop_timer *b)
{
    if (a->deadline_ns != b->deadline_ns)
        return a->deadline_ns < b->deadline_ns;
    return a->private[1] < b -> private[1];
}

static void place(struct timer_heap *heap, uint64_t index, struct loop_timer *timer)
{
    heap->timers[index] = timer;
    timer->private[0] = index + 1;
}

static void sift_up(struct timer_heap *heap, uint64_t index, struct loop_timer *timer)
{
    while (index > 0 && is_before(timer, heap->timers[(index - 1) / 2])) {
        place(heap, index, heap->timers[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    place(heap, index, timer);
}

static void sift_down(struct timer_heap *heap, uint64_t index, struct loop_timer *timer)
{
    for (;;) {
        uint64_t child = 2 * index + 1;

        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && is_before(heap->timers[child + 1], heap->timers[child]))
            child++;
        if (!is_before(heap->timers[child], timer))
            break;
        place(heap, index, heap->timers[child]);
        index = child;
    }
    place(heap, index, timer);
}

void timer_heap_cancel(struct timer_heap *heap, struct loop_timer *timer)
{
    uint64_t index = timer->private[0];
    struct loop_timer *last;

    if (index == 0)
        return;
    index--;
    check(index < heap->count && heap->timers[index] == timer);
    timer->private[0] = 0;
    last = heap->timers[--heap->count];
    if (last == timer)
        return;
    if (index > 0 && is_before(last, heap->timers[(index - 1) / 2]))
        sift_up(heap, index, last);
    else
        sift_down(heap, index, last);
}

void timer_heap_set(struct timer_heap *heap, struct loop_timer *timer, uint64_t deadline_ns)
{
    timer_heap_cancel(heap, timer);
    if (heap->count == heap->count_max) {
        heap->count_max = heap->count_max ? heap->count_max * 2 : 64;
        heap->timers = reallocarray(heap->timers, heap->count_max, sizeof(*heap->timers));
        check(heap->timers != NULL);
    }
    timer->deadline_ns = deadline_ns;
    timer->private[1] = heap->sequence++;
    sift_up(heap, heap->count++, timer);
}

void timer_heap_run(struct timer_heap *heap, uint64_t now_ns)
{
    uint64_t sequence_end = heap->sequence;

    while (heap->count > 0) {
        struct loop_timer *timer = heap->timers[0];

        if (timer->deadline_ns > now_ns || timer->private[1] >= sequence_end)
            break;
        timer_heap_cancel(heap, timer);
        timer->fired_cb(timer);
    }
}

uint64_t timer_heap_deadline(const struct timer_heap *heap)
{
    return heap->count > 0 ? heap->timers[0]->deadline_ns : UINT64_MAX;
}
