/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The base under the hosts' back: writes of apply, drain and first copy go down the same path as
 * those of hosts (write_path.c), reads of layers hold their blocks shared.
 */
#include "volume/base_write.h"

#include <errno.h>

#include "base/check.h"
#include "volume/write_path.h"

struct base_state {
    struct iovec iov;
    struct flush_waiter flush;
};

_Static_assert(sizeof(struct base_state) <= sizeof(((struct base_write *)NULL)->private),
               "state fits");

void volume_set_overlay(struct volume *volume, const struct overlay_ops *ops, void *arg)
{
    check_magic(volume, VOLUME_MAGIC);
    check(volume->host_count == 0 && flush_group_is_idle(&volume->flush));
    check(!ops || (ops->lookup && ops->is_hole && ops->read && ops->replaced));
    check(!ops || (ops->flushing && ops->flushed));
    volume->overlay = volume->flush.overlay = ops;
    volume->overlay_arg = volume->flush.overlay_arg = arg;
}

void volume_set_preserve(struct volume *volume, const struct preserve_ops *ops, void *arg)
{
    check_magic(volume, VOLUME_MAGIC);
    check(!ops || (ops->needs && ops->preserve));
    volume->preserve = ops;
    volume->preserve_arg = arg;
}

static void write_done(struct volume_request *request, int error)
{
    struct base_write *write = container_of(request, struct base_write, request);

    write->done_cb(write, error);
}

static bool write_admit(struct volume_request *request)
{
    struct base_write *write = container_of(request, struct base_write, request);

    return !write->locked_cb || write->locked_cb(write);
}

void volume_base_write(struct volume *volume, struct base_write *write)
{
    struct base_state *state = (struct base_state *)write->private;
    struct volume_request *request = &write->request;

    check(write->done_cb != NULL && write->count > 0);
    check(write->kind == BASE_WRITE_HOLE || write->bytes != NULL);
    *request = (struct volume_request){
        .op = write->kind == BASE_WRITE_HOLE ? VOLUME_TRIM : VOLUME_WRITE,
        .offset = write->block << BLOCK_SHIFT,
        .length = write->count << BLOCK_SHIFT,
        .iov = &state->iov,
        .iov_count = 1,
        .done_cb = write_done,
    };
    state->iov = (struct iovec){(void *)write->bytes, request->length};
    request_init(volume, request, REQUEST_BASE_WRITE);
    request_state(request)->admit_cb = write_admit;
    write_path_start(request);
}

static void sync_done(struct flush_waiter *waiter, int error)
{
    struct base_state *state = container_of(waiter, struct base_state, flush);
    struct base_write *write = container_of((uint64_t *)state, struct base_write, private[0]);

    write->done_cb(write, error);
}

void volume_base_sync(struct volume *volume, struct base_write *write,
                      void (*done_cb)(struct base_write *write, int error))
{
    struct base_state *state = (struct base_state *)write->private;

    check_magic(volume, VOLUME_MAGIC);
    check(done_cb != NULL);
    write->done_cb = done_cb;
    flush_group_join(&volume->flush, &state->flush, sync_done);
}

/* ---- base reads ----------------------------------------------------------------------------- */

static void read_end(struct volume_request *request, int error)
{
    struct base_read *read = container_of(request, struct base_read, request);

    read->done_cb(read, error);
}

static void read_done(struct store_op *op, int error)
{
    struct volume_request *request = container_of(op, struct volume_request, store_op);
    struct request_state *state = request_state(request);

    state->is_locked = false;
    volume_lock_release(request->volume, &state->lock);
    request_end(request, error);
}

static void read_granted(struct volume_lock *lock)
{
    struct request_state *state = container_of(lock, struct request_state, lock);
    struct volume_request *request = request_of_state(state);
    struct base_read *read = container_of(request, struct base_read, request);

    if (read->locked_cb && !read->locked_cb(read)) {
        state->is_locked = false;
        volume_lock_release(request->volume, &state->lock);
        request_end_soon(request, -ECANCELED);
        return;
    }
    store_read(request->volume->store, &request->store_op, &read->iov, 1, request->offset,
               read_done);
}

void volume_base_read(struct volume *volume, struct base_read *read, uint64_t block, uint64_t count,
                      uint8_t *bytes, void (*done_cb)(struct base_read *read, int error))
{
    struct volume_request *request = &read->request;
    struct request_state *state = request_state(request);

    check(done_cb != NULL && bytes != NULL && count > 0);
    read->done_cb = done_cb;
    read->iov = (struct iovec){bytes, count << BLOCK_SHIFT};
    *request = (struct volume_request){.op = VOLUME_READ,
                                       .offset = block << BLOCK_SHIFT,
                                       .length = count << BLOCK_SHIFT,
                                       .done_cb = read_end};
    request_init(volume, request, REQUEST_BASE_READ);
    state->is_locked = true;
    if (volume_lock_acquire(volume, &state->lock, block, count, false, read_granted))
        read_granted(&state->lock);
}
