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
#include "volume/volume_state.h"
#include "volume/write_path.h"

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
    flush_group_init(&volume->flush, store);
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
    store_close(volume->store);
    volume->magic = 0;
    free(volume);
}

static void flush_done(struct flush_waiter *waiter, int error)
{
    struct request_state *state = container_of(waiter, struct request_state, flush);

    request_end(request_of_state(state), error);
}

static void read_done(struct store_op *op, int error)
{
    request_end(container_of(op, struct volume_request, store_op), error);
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
        store_read(volume->store, &request->store_op, request->iov, request->iov_count,
                   request->offset, read_done);
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
    store_extents(volume->store, op, offset, length, extents, extent_max, done_cb);
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
    return volume->host_count == 0 && volume->inner_count == 0 && list_is_empty(&volume->held) &&
           range_lock_is_idle(&volume->lock) && flush_group_is_idle(&volume->flush);
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
