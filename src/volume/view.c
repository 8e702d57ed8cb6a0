/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading through the overlay, one run after the other.
 *
 *  1. Where a run lies is asked in the same turn in which its read is submitted: in between no
 * block can move from the journal to the base.
 */
#include "volume/view.h"

#include "base/check.h"

static void read_next(struct view_read *read);

static void run_done(struct view_read *read, int error)
{
    check(read->run > 0 && read->run <= read->count);
    read->block += read->run;
    read->count -= read->run;
    read->bytes += read->run << BLOCK_SHIFT;
    if (error < 0 || read->count == 0)
        read->done_cb(read, error);
    else
        read_next(read);
}

static void base_done(struct store_op *op, int error)
{
    run_done(container_of(op, struct view_read, store_op), error);
}

static void overlay_done(struct overlay_read *overlay, int error)
{
    run_done(container_of(overlay, struct view_read, overlay), error);
}

static void read_next(struct view_read *read)
{
    struct volume *volume = read->volume;
    const struct overlay_ops *overlay = volume->overlay;
    bool is_above = false;

    read->run = read->count;
    if (overlay)
        is_above = overlay->lookup(volume->overlay_arg, read->block, read->count, &read->run);
    check(read->run > 0);
    if (read->run > read->count)
        read->run = read->count;
    if (is_above) {
        overlay->read(volume->overlay_arg, &read->overlay, read->block, read->run, read->bytes,
                      overlay_done);
        return;
    }
    read->iov = (struct iovec){read->bytes, read->run << BLOCK_SHIFT};
    store_read(volume->store, &read->store_op, &read->iov, 1, read->block << BLOCK_SHIFT,
               base_done);
}

void view_read(struct volume *volume, struct view_read *read, uint64_t block, uint64_t count,
               uint8_t *bytes, void (*done_cb)(struct view_read *read, int error))
{
    check_magic(volume, VOLUME_MAGIC);
    check(count > 0 && bytes != NULL && done_cb != NULL);
    read->volume = volume;
    read->block = block;
    read->count = count;
    read->bytes = bytes;
    read->done_cb = done_cb;
    read_next(read);
}

bool view_has_overlay(const struct volume *volume, uint64_t block, uint64_t count)
{
    uint64_t run = 0;

    if (!volume->overlay)
        return false;
    return volume->overlay->lookup(volume->overlay_arg, block, count, &run) || run < count;
}
