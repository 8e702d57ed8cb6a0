/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The half of a loop that does not depend on how it waits.
 *
 * The mailbox and the workers' results are stacks that many threads push to and the loop takes
 * whole; it turns them round, so messages of one thread run in the order in which they were posted.
 * Only the push that finds the stack empty writes to the eventfd: the loop empties the eventfd
 * before it takes the stacks, so no push is ever missed, and a busy mailbox costs no system call a
 * message.
 *
 *   1. Callbacks run from posix_loop_end_turn() and from the implementation's completions only,
 *      never from a submitting call.
 *   2. One turn does bounded work: what is queued beyond COMPLETED_MAX operations or ROUNDS_MAX
 *      rounds of tasks waits for the next turn. So completions that beget completions cannot starve
 *      sockets, and the answers to the first of many requests are on their way while the later ones
 *      are still worked on.
 */
#include "io/posix_loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"

enum {
    ROUNDS_MAX = 8,
    COMPLETED_MAX = 16,
};

/* In posix_op.result: to be done when its turn has come. */
#define RESULT_PENDING INT64_MIN

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    check(clock_gettime(clock, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

struct posix_loop *posix_loop_of(struct loop *loop)
{
    check_magic(loop, LOOP_MAGIC);
    return container_of(loop, struct posix_loop, loop);
}

/* Where the kernel does not tell, every loop is a start of its own: the safe answer. */
static void read_boot_id(struct posix_loop *posix)
{
    ssize_t length = -1;
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        length = read(fd, posix->boot_id, 36);
        close(fd);
    }
    if (length != 36)
        snprintf(posix->boot_id, sizeof(posix->boot_id), "unknown-%016llx",
                 (unsigned long long)posix_loop_random(&posix->loop));
}

static void wake(struct posix_loop *posix)
{
    uint64_t one = 1;

    /* EAGAIN: the counter is full, so the loop will wake all the same. */
    check(write(posix->wake_fd, &one, sizeof(one)) == sizeof(one) || errno == EAGAIN);
}

static void finish_work(void *arg, struct io_op *op)
{
    struct posix_loop *posix = arg;
    struct io_op *head = atomic_load_explicit(&posix->finished, memory_order_relaxed);

    do {
        posix_op_of(op)->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&posix->finished, &head, op,
                                                    memory_order_acq_rel, memory_order_relaxed));
    if (head == NULL)
        wake(posix);
}

bool posix_loop_lend_spare(struct posix_loop *posix)
{
    if (posix->spare_fd < 0)
        return false;
    close(posix->spare_fd);
    posix->spare_fd = -1;
    return true;
}

void posix_loop_take_spare(struct posix_loop *posix)
{
    if (posix->spare_fd < 0)
        posix->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

int posix_loop_init(struct posix_loop *posix, const struct loop_ops *ops, unsigned worker_count,
                    void (*work_cb)(struct io_op *op), struct err *err)
{
    posix->loop.magic = LOOP_MAGIC;
    posix->loop.ops = ops;
    posix->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (posix->wake_fd < 0)
        return err_set(err, -errno, "make an eventfd: %s", err_name(errno));
    timer_heap_init(&posix->timers);
    list_init(&posix->deferred);
    list_init(&posix->connecting);
    worker_pool_init(&posix->workers, worker_count, work_cb, finish_work, posix);
    posix->now_ns = clock_ns(CLOCK_MONOTONIC);
    read_boot_id(posix);
    posix->spare_fd = -1;
    posix_loop_take_spare(posix);
    return 0;
}

void posix_loop_fini(struct posix_loop *posix)
{
    check(!posix->is_running);
    check(posix->open_count == 0);
    worker_pool_fini(&posix->workers);
    timer_heap_fini(&posix->timers);
    close(posix->wake_fd);
    (void)posix_loop_lend_spare(posix);
    posix->loop.magic = 0;
}

void posix_loop_begin_turn(struct posix_loop *posix, bool is_woken)
{
    uint64_t counter;

    posix->now_ns = clock_ns(CLOCK_MONOTONIC);
    if (is_woken)
        check(read(posix->wake_fd, &counter, sizeof(counter)) > 0 || errno == EAGAIN);
}

static void run_messages(struct posix_loop *posix)
{
    struct loop_message *message = NULL, *newest, *next;

    if (atomic_load_explicit(&posix->mailbox, memory_order_relaxed) == NULL)
        return;
    newest = atomic_exchange_explicit(&posix->mailbox, NULL, memory_order_acq_rel);
    for (; newest != NULL; newest = next) {
        next = newest->next;
        newest->next = message;
        message = newest;
    }
    for (; message != NULL; message = next) {
        next = message->next;
        message->run_cb(message);
    }
}

static void take_finished(struct posix_loop *posix)
{
    struct io_op *op = NULL, *newest, *next;

    if (atomic_load_explicit(&posix->finished, memory_order_relaxed) == NULL)
        return;
    newest = atomic_exchange_explicit(&posix->finished, NULL, memory_order_acq_rel);
    for (; newest != NULL; newest = next) {
        next = posix_op_of(newest)->next;
        posix_op_of(newest)->next = op;
        op = newest;
    }
    for (; op != NULL; op = next) {
        next = posix_op_of(op)->next;
        posix_op_push(&posix->completed, op);
    }
}

static void run_completed(struct posix_loop *posix)
{
    struct io_op *op;

    for (int i = 0; i < COMPLETED_MAX && (op = posix_op_pop(&posix->completed)) != NULL; i++) {
        if (posix_op_of(op)->result == RESULT_PENDING)
            posix->workers.run_cb(op);
        if (posix_op_of(op)->kind == OP_SYNC)
            loop_sync_ended(&posix->loop, posix_op_of(op)->result);
        op->done_cb(op, posix_op_of(op)->result);
    }
}

static void run_deferred(struct posix_loop *posix)
{
    for (int round = 0; round < ROUNDS_MAX && !list_is_empty(&posix->deferred); round++) {
        struct list batch, *node;

        /* The head moves over, so that a task that is queued again runs in the next round. */
        list_push(&posix->deferred, &batch);
        list_remove(&posix->deferred);
        while ((node = list_pop(&batch)) != NULL) {
            struct loop_task *task = list_entry(node, struct loop_task, node);
            task->run_cb(task);
        }
    }
}

uint64_t posix_loop_end_turn(struct posix_loop *posix)
{
    uint64_t deadline_ns;

    timer_heap_run(&posix->timers, posix->now_ns);
    run_messages(posix);
    take_finished(posix);
    run_completed(posix);
    run_deferred(posix);
    if (posix->completed.head != NULL || !list_is_empty(&posix->deferred))
        return 0;
    deadline_ns = timer_heap_deadline(&posix->timers);
    if (deadline_ns == UINT64_MAX)
        return UINT64_MAX;
    return deadline_ns > posix->now_ns ? deadline_ns - posix->now_ns : 0;
}

bool posix_loop_take_stop(struct posix_loop *posix)
{
    return atomic_load_explicit(&posix->is_stop_wanted, memory_order_relaxed) &&
           atomic_exchange(&posix->is_stop_wanted, false);
}

void posix_loop_complete(struct posix_loop *posix, struct io_op *op, int64_t result)
{
    posix_op_of(op)->result = result;
    posix_op_push(&posix->completed, op);
}

void posix_loop_quick(struct posix_loop *posix, struct io_op *op)
{
    posix_loop_complete(posix, op, RESULT_PENDING);
}

void posix_loop_work(struct posix_loop *posix, struct io_op *op)
{
    worker_pool_submit(&posix->workers, op);
}

void posix_loop_stop(struct loop *loop)
{
    struct posix_loop *posix = posix_loop_of(loop);

    atomic_store(&posix->is_stop_wanted, true);
    wake(posix);
}

uint64_t posix_loop_now_ns(struct loop *loop)
{
    struct posix_loop *posix = posix_loop_of(loop);

    return posix->is_running ? posix->now_ns : clock_ns(CLOCK_MONOTONIC);
}

uint64_t posix_loop_wall_ns(struct loop *loop)
{
    return clock_ns(CLOCK_REALTIME);
}

uint64_t posix_loop_random(struct loop *loop)
{
    uint64_t value;

    check(getrandom(&value, sizeof(value), 0) == sizeof(value));
    return value;
}

const char *posix_loop_boot_id(struct loop *loop)
{
    return posix_loop_of(loop)->boot_id;
}

void posix_loop_post(struct loop *loop, struct loop_message *message)
{
    struct posix_loop *posix = posix_loop_of(loop);
    struct loop_message *head = atomic_load_explicit(&posix->mailbox, memory_order_relaxed);

    do {
        message->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&posix->mailbox, &head, message,
                                                    memory_order_acq_rel, memory_order_relaxed));
    if (head == NULL)
        wake(posix);
}

void posix_loop_defer(struct loop *loop, struct loop_task *task)
{
    check(task->node.next != NULL); /* list_init() was called */
    if (list_is_empty(&task->node))
        list_append(&posix_loop_of(loop)->deferred, &task->node);
}

void posix_loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns)
{
    timer_heap_set(&posix_loop_of(loop)->timers, timer, deadline_ns);
}

void posix_loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
    timer_heap_cancel(&posix_loop_of(loop)->timers, timer);
}
