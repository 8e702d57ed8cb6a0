/* SPDX-License-Identifier: Apache-2.0 */
/* A queue, a lock, a condition and a few threads. Order between operations is not promised. */
#include "io/worker_pool.h"

#include <signal.h>

#include "base/check.h"

void worker_pool_init(struct worker_pool *pool, unsigned thread_count,
                      void (*run_cb)(struct io_op *op),
                      void (*done_cb)(void *arg, struct io_op *op), void *arg)
{
    check(thread_count > 0 && thread_count <= WORKER_COUNT_MAX);
    *pool = (struct worker_pool){
        .thread_count_wanted = thread_count, .run_cb = run_cb, .done_cb = done_cb, .arg = arg};
    check(pthread_mutex_init(&pool->lock, NULL) == 0);
    check(pthread_cond_init(&pool->wakeup, NULL) == 0);
}

static struct io_op *take(struct worker_pool *pool)
{
    struct io_op *op;

    check(pthread_mutex_lock(&pool->lock) == 0);
    while ((op = posix_op_pop(&pool->queue)) == NULL && !pool->is_stopping)
        check(pthread_cond_wait(&pool->wakeup, &pool->lock) == 0);
    check(pthread_mutex_unlock(&pool->lock) == 0);
    return op;
}

static void *work(void *arg)
{
    struct worker_pool *pool = arg;
    struct io_op *op;

    while ((op = take(pool)) != NULL) {
        pool->run_cb(op);
        pool->done_cb(pool->arg, op);
    }
    return NULL;
}

/* Signals are the main thread's: workers start with all of them blocked. */
static void start_threads(struct worker_pool *pool)
{
    sigset_t all, before;

    sigfillset(&all);
    check(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    while (pool->thread_count < pool->thread_count_wanted) {
        if (pthread_create(&pool->threads[pool->thread_count], NULL, work, pool) != 0)
            break;
        pool->thread_count++;
    }
    check(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
}

void worker_pool_submit(struct worker_pool *pool, struct io_op *op)
{
    if (pool->thread_count < pool->thread_count_wanted)
        start_threads(pool);
    if (pool->thread_count == 0) {
        pool->run_cb(op);
        pool->done_cb(pool->arg, op);
        return;
    }
    check(pthread_mutex_lock(&pool->lock) == 0);
    check(!pool->is_stopping);
    posix_op_push(&pool->queue, op);
    check(pthread_mutex_unlock(&pool->lock) == 0);
    check(pthread_cond_signal(&pool->wakeup) == 0);
}

void worker_pool_fini(struct worker_pool *pool)
{
    check(pthread_mutex_lock(&pool->lock) == 0);
    pool->is_stopping = true;
    check(pthread_mutex_unlock(&pool->lock) == 0);
    check(pthread_cond_broadcast(&pool->wakeup) == 0);
    for (unsigned i = 0; i < pool->thread_count; i++)
        check(pthread_join(pool->threads[i], NULL) == 0);
    pthread_cond_destroy(&pool->wakeup);
    pthread_mutex_destroy(&pool->lock);
}
