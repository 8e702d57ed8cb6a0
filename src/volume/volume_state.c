/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all paths of a volume share: places in the range lock, and how requests end.
 *
 *  1. Grants are told one after the other, never one inside the other, so a long queue behind one
 *     block costs no stack.
 *  2. Every request that was begun ends through request_end(), once; so a held volume knows when it
 *     is quiet.
 */
#include "volume/volume_state.h"

#include <errno.h>

#include "base/check.h"

static void tell_granted(struct volume *volume)
{
    struct list *node;

    if (volume->is_granting)
        return;
    volume->is_granting = true;
    while ((node = list_pop(&volume->granted)) != NULL) {
        struct volume_lock *lock = list_entry(node, struct volume_lock, entry.ready_node);

        lock->granted_cb(lock);
    }
    volume->is_granting = false;
}

bool volume_lock_acquire(struct volume *volume, struct volume_lock *lock, uint64_t block,
                         uint64_t count, bool is_exclusive,
                         void (*granted_cb)(struct volume_lock *lock))
{
    check(granted_cb != NULL);
    lock->granted_cb = granted_cb;
    return range_lock_acquire(&volume->lock, &lock->entry, block, count, is_exclusive);
}

void volume_lock_release(struct volume *volume, struct volume_lock *lock)
{
    range_lock_release(&volume->lock, &lock->entry, &volume->granted);
    if (__builtin_expect(!list_is_empty(&volume->granted), 0))
        tell_granted(volume);
}

void volume_lock_shrink(struct volume *volume, struct volume_lock *lock, uint64_t block,
                        uint64_t count)
{
    range_lock_shrink(&volume->lock, &lock->entry, block, count, &volume->granted);
    if (!list_is_empty(&volume->granted))
        tell_granted(volume);
}

void request_init(struct volume *volume, struct volume_request *request, enum request_kind kind)
{
    struct request_state *state = request_state(request);

    check_magic(volume, VOLUME_MAGIC);
    check(request->done_cb != NULL);
    request->volume = volume;
    list_init(&request->node);
    *state = (struct request_state){.kind = (uint8_t)kind};
    list_init(&state->task.node);
    if (kind == REQUEST_HOST) {
        volume->host_count++;
        state->began_ns = loop_now_ns(volume->loop);
    } else {
        volume->inner_count++;
    }
}

static void quiet_run(struct loop_task *task)
{
    struct volume *volume = container_of(task, struct volume, quiet_task);
    void (*quiet_cb)(void *arg) = volume->quiet_cb;

    check_magic(volume, VOLUME_MAGIC);
    if (!volume->is_held || volume->host_count > 0 || volume->sweep_count > 0 ||
        !flush_group_is_idle(&volume->flush) || !quiet_cb)
        return;
    volume->quiet_cb = NULL;
    quiet_cb(volume->quiet_arg);
}

void volume_quiet_soon(struct volume *volume)
{
    volume->quiet_task.run_cb = quiet_run;
    loop_defer(volume->loop, &volume->quiet_task);
}

static void count(struct volume *volume, const struct volume_request *request, uint64_t began_ns,
                  int error)
{
    struct volume_counters *counters = &volume->counters;
    uint64_t took_ns = loop_now_ns(volume->loop) - began_ns;

    if (request->op == VOLUME_READ) {
        counters->reads++;
        counters->read_bytes += request->length;
        counters->read_ns += took_ns;
    } else if (request->op != VOLUME_FLUSH && request->op != VOLUME_CACHE) {
        counters->writes++;
        counters->write_bytes += request->length;
        counters->write_ns += took_ns;
    }
    if (error < 0)
        counters->errors++;
    if (error == -ENOSPC)
        counters->full++;
}

void request_end(struct volume_request *request, int error)
{
    struct volume *volume = request->volume;
    struct request_state *state = request_state(request);

    check_magic(volume, VOLUME_MAGIC);
    check(!state->is_locked && !state->scratch && !state->is_writer && error <= 0);
    if (state->kind == REQUEST_HOST) {
        check(volume->host_count > 0);
        volume->host_count--;
        count(volume, request, state->began_ns, error);
        if (volume->is_held && volume->host_count == 0)
            volume_quiet_soon(volume);
    } else {
        check(volume->inner_count > 0);
        volume->inner_count--;
    }
    request->done_cb(request, error);
}

static void end_soon_run(struct loop_task *task)
{
    struct request_state *state = container_of(task, struct request_state, task);

    request_end(request_of_state(state), state->error);
}

void request_end_soon(struct volume_request *request, int error)
{
    struct request_state *state = request_state(request);

    state->error = error;
    state->task.run_cb = end_soon_run;
    loop_defer(request->volume->loop, &state->task);
}
