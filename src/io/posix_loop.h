/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What both loops on a real kernel share: clocks, randomness, timers, deferred tasks, the mailbox,
 * workers, and operations that are complete but whose callback has yet to run. Where it waits, and
 * for what, is the implementation's.
 *
 * A turn: wait; posix_loop_begin_turn(); the implementation's completions; posix_loop_end_turn(),
 * which says how long the next wait may be.
 */
#ifndef IO_POSIX_LOOP_H
#define IO_POSIX_LOOP_H

#include <stdatomic.h>

#include "io/loop_ops.h"
#include "io/posix_op.h"
#include "io/timer_heap.h"
#include "io/worker_pool.h"

struct posix_loop {
    struct loop loop; /* first */
    struct timer_heap timers;
    struct list deferred;
    struct posix_op_queue completed;
    struct worker_pool workers;
    uint64_t now_ns;
    bool is_running;
    uint32_t open_count;    /* files and sockets */
    struct list connecting; /* sockets that are not the caller's yet */
    char boot_id[40];
    int spare_fd; /* for one more accept when descriptors have run out; -1: lent */

    /* Reached by other threads. */
    _Atomic(struct loop_message *) mailbox; /* newest first */
    _Atomic(struct io_op *) finished;       /* by workers, newest first */
    _Atomic bool is_stop_wanted;
    int wake_fd; /* an eventfd: readable when one of the above may have changed */
};

/* `work_cb` does a file operation on a worker and leaves its result in the posix_op. 0 or a
 * negative errno with nothing to undo. */
int posix_loop_init(struct posix_loop *posix, const struct loop_ops *ops, unsigned worker_count,
                    void (*work_cb)(struct io_op *op), struct err *err);
void posix_loop_fini(struct posix_loop *posix);
/* Out of descriptors: true when one was set free, so that accepting can be tried once more. It is
 * taken back when a socket closes. */
bool posix_loop_lend_spare(struct posix_loop *posix);
void posix_loop_take_spare(struct posix_loop *posix);
struct posix_loop *posix_loop_of(struct loop *loop);

/* Takes the time and empties the eventfd if `is_woken`. */
void posix_loop_begin_turn(struct posix_loop *posix, bool is_woken);
/* Timers, mailbox, completed operations, deferred tasks. Returns how long the loop may wait now:
 * nanoseconds, 0 when there is more to do at once, UINT64_MAX for ever. */
uint64_t posix_loop_end_turn(struct posix_loop *posix);
/* True once after each loop_stop(). */
bool posix_loop_take_stop(struct posix_loop *posix);

/* The operation is done; its callback runs within this turn or the next. */
void posix_loop_complete(struct posix_loop *posix, struct io_op *op, int64_t result);
/* As complete, but its work, which is short, is done just before its callback. */
void posix_loop_quick(struct posix_loop *posix, struct io_op *op);
/* Hands the operation to a worker. */
void posix_loop_work(struct posix_loop *posix, struct io_op *op);

/* Slots of struct loop_ops. */
void posix_loop_stop(struct loop *loop);
uint64_t posix_loop_now_ns(struct loop *loop);
uint64_t posix_loop_wall_ns(struct loop *loop);
uint64_t posix_loop_random(struct loop *loop);
const char *posix_loop_boot_id(struct loop *loop);
void posix_loop_post(struct loop *loop, struct loop_message *message);
void posix_loop_defer(struct loop *loop, struct loop_task *task);
void posix_loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns);
void posix_loop_timer_cancel(struct loop *loop, struct loop_timer *timer);

#endif
