/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that run blocking file operations for a loop. The only code of the loop that runs beside
 * its thread: a worker touches the operation it took, its file descriptor, the queue under the
 * lock, and nothing else.
 */
#ifndef IO_WORKER_POOL_H
#define IO_WORKER_POOL_H

#include <pthread.h>

#include "io/posix_op.h"

enum { WORKER_COUNT_MAX = 16 };

struct worker_pool {
    pthread_mutex_t lock; /* queue, is_stopping */
    pthread_cond_t wakeup;
    struct posix_op_queue queue;
    bool is_stopping;
    pthread_t threads[WORKER_COUNT_MAX];
    unsigned thread_count, thread_count_wanted;
    void (*run_cb)(struct io_op *op);             /* on a worker */
    void (*done_cb)(void *arg, struct io_op *op); /* on a worker, after run_cb */
    void *arg;
};

void worker_pool_init(struct worker_pool *pool, unsigned thread_count,
                      void (*run_cb)(struct io_op *op),
                      void (*done_cb)(void *arg, struct io_op *op), void *arg);
/* Runs what is queued, then ends the threads. */
void worker_pool_fini(struct worker_pool *pool);

/* From the loop's thread. The threads start with the first call; where not even one can be started
 * the caller's thread does the work. */
void worker_pool_submit(struct worker_pool *pool, struct io_op *op);

#endif
