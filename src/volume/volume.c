/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door of a volume: takes requests and sends them down their path.
 *
 *  1. A request of a host either waits in `held`, or is counted in host_count until it ends.
 *  2. No done_cb is called from inside volume_submit().
 *  3. A FLUSH is covered by a sync that begins after it came (flush_group.c).
 */
#include "volume/volume.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "store/store.h"
#include "volume/read_path.h"
#include "volume/scratch.h"
#include "volume/volume_state.h"
#include "volume/write_path.h"

static void flush_idle(struct flush_group *group)
{
    struct volume *volume = container_of(group, struct volume, flush);

    if (volume->is_held)
        volume_quiet_soon(volume);
}

int volume_new(struct loop *loop, struct store *store, const char *name, struct volume **ret_volume)
{
    struct volume *volume = calloc(1, sizeof(*volume));

    check(loop != NULL && store != NULL && store->size_bytes % BLOCK_SIZE == 0);
    if (!volume)
        return -ENOMEM;
    volume->magic = VOLUME_MAGIC;
    volume->loop = loop;
    volume->store = store;
    snprintf(volume->name, sizeof(volume->name), "%s", name);
    range_lock_init(&volume->lock);
    list_init(&volume->granted);
    flush_group_init(&volume->flush, store, flush_idle);
    list_init(&volume->held);
    list_init(&volume->quiet_task.node);
    list_init(&volume->scratch_free);
    *ret_volume = volume;
    return 0;
}

void volume_free(struct volume *volume)
{
    if (!volume)
        return;
    check_magic(volume, VOLUME_MAGIC);
    check(volume_is_idle(volume));
    check(!volume->tracking && !volume->quiet_cb);
    list_remove(&volume->quiet_task.node);
    scratch_fini(volume);
    store_close(volume->store);
    volume->magic = 0;
    free(volume);
}

static void flush_done(struct flush_waiter *waiter, int error)
{
    struct request_state *state = container_of(waiter, struct request_state, flush);

    request_end(request_of_state(state), error);
}

static void begin(struct volume *volume, struct volume_request *request)
{
    request_init(volume, request, REQUEST_HOST);
    if (__builtin_expect(volume->store->is_fenced, 0)) {
        request_end_soon(request, -EIO);
        return;
    }
    switch (request->op) {
    case VOLUME_READ:
        read_path_start(request);
        return;
    case VOLUME_WRITE:
    case VOLUME_TRIM:
    case VOLUME_WRITE_ZEROES:
        write_path_start(request);
        return;
    case VOLUME_FLUSH:
        flush_group_join(&volume->flush, &request_state(request)->flush, flush_done);
        return;
    case VOLUME_CACHE:
        request_end_soon(request, 0);
        return;
    }
    check(!"a known operation");
}

void volume_submit(struct volume *volume, struct volume_request *request)
{
    check_magic(volume, VOLUME_MAGIC);
    if (request->op != VOLUME_FLUSH) {
        check(request->length > 0 && request->length <= volume->store->size_bytes);
        check(request->offset <= volume->store->size_bytes - request->length);
        check((request->offset | request->length) % VOLUME_SECTOR == 0);
    }
    if (__builtin_expect(volume->is_held, 0))
        list_append(&volume->held, &request->node);
    else
        begin(volume, request);
}

void volume_extents(struct volume *volume, struct store_op *op, uint64_t offset, uint64_t length,
                    struct io_extent *extents, unsigned extent_max, store_done_fn done_cb)
{
    check_magic(volume, VOLUME_MAGIC);
    if (volume->overlay) {
        uint64_t block = offset >> BLOCK_SHIFT, run = 0;
        uint64_t count = ((offset + length + BLOCK_SIZE - 1) >> BLOCK_SHIFT) - block;
        bool is_above = volume->overlay->lookup(volume->overlay_arg, block, count, &run);

        if (run < count) /* the answer may be short: it ends with the run */
            length = ((block + run) << BLOCK_SHIFT) - offset;
        if (is_above) {
            *extents = (struct io_extent){offset, length, false};
            extents->is_hole =
                volume->overlay->is_hole(volume->overlay_arg, block, run < count ? run : count);
            op->store = volume->store;
            op->done_cb = done_cb;
            store_op_done_soon(op, 1);
            return;
        }
    }
    store_extents(volume->store, op, offset, length, extents, extent_max, done_cb);
}

const struct volume_counters *volume_counters(const struct volume *volume)
{
    return &volume->counters;
}

bool volume_is_fenced(const struct volume *volume)
{
    return volume->store->is_fenced;
}

int volume_grow(struct volume *volume, uint64_t size_bytes, struct err *err)
{
    check_magic(volume, VOLUME_MAGIC);
    check(!volume->tracking);
    return store_grow(volume->store, size_bytes, err);
}

int volume_adopt(struct volume *volume, uint64_t size_bytes, struct err *err)
{
    check_magic(volume, VOLUME_MAGIC);
    check(!volume->tracking);
    return store_adopt(volume->store, size_bytes, err);
}

uint64_t volume_size_bytes(const struct volume *volume)
{
    check_magic(volume, VOLUME_MAGIC);
    return volume->store->size_bytes;
}

uint64_t volume_block_count(const struct volume *volume)
{
    return volume_size_bytes(volume) >> BLOCK_SHIFT;
}

const char *volume_name(const struct volume *volume)
{
    check_magic(volume, VOLUME_MAGIC);
    return volume->name;
}

struct store *volume_store(struct volume *volume)
{
    check_magic(volume, VOLUME_MAGIC);
    return volume->store;
}

bool volume_is_idle(const struct volume *volume)
{
    check_magic(volume, VOLUME_MAGIC);
    return volume->host_count == 0 && volume->inner_count == 0 && volume->sweep_count == 0 &&
           list_is_empty(&volume->held) && range_lock_is_idle(&volume->lock) &&
           flush_group_is_idle(&volume->flush);
}

void volume_hold(struct volume *volume, void (*quiet_cb)(void *arg), void *arg)
{
    check_magic(volume, VOLUME_MAGIC);
    check(!volume->is_held);
    volume->is_held = true;
    volume->quiet_cb = quiet_cb;
    volume->quiet_arg = arg;
    if (volume->host_count == 0)
        volume_quiet_soon(volume);
}

void volume_release(struct volume *volume)
{
    struct list queue, *node;

    check_magic(volume, VOLUME_MAGIC);
    check(volume->is_held);
    volume->is_held = false;
    volume->quiet_cb = NULL;
    list_init(&queue);
    while ((node = list_pop(&volume->held)) != NULL)
        list_append(&queue, node);
    while ((node = list_pop(&queue)) != NULL)
        begin(volume, list_entry(node, struct volume_request, node));
}
