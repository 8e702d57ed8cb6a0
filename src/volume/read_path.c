/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host's read takes nothing: it races with writes as on any disk. Blocks that no overlay holds
 * are read by the store straight into the host's buffers; so are whole blocks in one piece through
 * the overlay. What remains (unaligned, or scattered) goes by way of a scratch.
 */
#include "volume/read_path.h"

#include <errno.h>

#include "base/check.h"
#include "volume/scratch.h"

static void store_done(struct store_op *op, int error)
{
    request_end(container_of(op, struct volume_request, store_op), error);
}

static void view_done(struct view_read *view, int error)
{
    struct volume_request *request = container_of(view, struct scratch, view)->request;

    scratch_drop(request);
    request_end(request, error);
}

static void bounce_next(struct volume_request *request);

static void bounce_done(struct view_read *view, int error)
{
    struct scratch *scratch = container_of(view, struct scratch, view);
    struct volume_request *request = scratch->request;
    uint64_t from = scratch->block << BLOCK_SHIFT;
    uint64_t to = (scratch->block + scratch->count) << BLOCK_SHIFT;
    uint64_t end = request->offset + request->length;
    uint64_t skip = from < request->offset ? request->offset - from : 0;

    if (error == 0)
        request_copy_out(request, from + skip - request->offset, scratch->bytes + skip,
                         (to < end ? to : end) - (from + skip));
    scratch->block += scratch->count;
    if (error < 0 || to >= end)
        view_done(view, error);
    else
        bounce_next(request);
}

static void bounce_next(struct volume_request *request)
{
    struct scratch *scratch = request_state(request)->scratch;
    uint64_t left = request_first_block(request) + request_block_count(request) - scratch->block;

    check(left > 0);
    scratch->count = left < SCRATCH_BLOCKS ? left : SCRATCH_BLOCKS;
    view_read(request->volume, &scratch->view, scratch->block, scratch->count, scratch->bytes,
              bounce_done);
}

void read_path_start(struct volume_request *request)
{
    struct volume *volume = request->volume;
    uint64_t block = request_first_block(request), count = request_block_count(request);
    struct scratch *scratch;

    if (!view_has_overlay(volume, block, count)) {
        store_read(volume->store, &request->store_op, request->iov, request->iov_count,
                   request->offset, store_done);
        return;
    }
    scratch = scratch_need(request);
    if (!scratch) {
        request_end_soon(request, -ENOMEM);
        return;
    }
    if (request->iov_count == 1 && (request->offset | request->length) % BLOCK_SIZE == 0) {
        view_read(volume, &scratch->view, block, count, request->iov->iov_base, view_done);
        return;
    }
    scratch->block = block;
    bounce_next(request);
}
