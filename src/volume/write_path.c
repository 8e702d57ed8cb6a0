/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a write, as a table of stages.
 *
 *     lock -> store -> dirty -> sync -> reply
 */
#include "volume/write_path.h"

#include <errno.h>

#include "base/check.h"

enum verdict { VERDICT_GO, VERDICT_WAIT, VERDICT_END };

enum stage { STAGE_LOCK, STAGE_STORE, STAGE_DIRTY, STAGE_SYNC, STAGE_REPLY };

static const uint8_t zeros[BLOCK_SIZE];

static void advance(struct volume_request *request);

static void granted(struct volume_lock *lock)
{
    struct request_state *state = container_of(lock, struct request_state, lock);

    advance(request_of_state(state));
}

static enum verdict stage_lock(struct volume_request *request)
{
    struct request_state *state = request_state(request);

    state->stage = STAGE_STORE;
    state->is_locked = true;
    if (volume_lock_acquire(request->volume, &state->lock, request_first_block(request),
                            request_block_count(request), true, granted))
        return VERDICT_GO;
    return VERDICT_WAIT;
}

static void store_done(struct store_op *op, int error)
{
    struct volume_request *request = container_of(op, struct volume_request, store_op);
    struct request_state *state = request_state(request);

    if (error < 0 && state->error == 0)
        state->error = error;
    advance(request);
}

/* The part of a request in whole blocks; false: there is none. */
static bool whole_blocks(const struct volume_request *request, uint64_t *ret_from, uint64_t *ret_to)
{
    uint64_t mask = BLOCK_SIZE - 1;

    *ret_from = (request->offset + mask) & ~mask;
    *ret_to = (request->offset + request->length) & ~mask;
    return *ret_from < *ret_to;
}

static void write_zero_bytes(struct volume_request *request, uint64_t from, uint64_t to)
{
    struct request_state *state = request_state(request);

    check(from < to && to - from < BLOCK_SIZE);
    state->iov = (struct iovec){(void *)zeros, to - from};
    store_write(request->volume->store, &request->store_op, &state->iov, 1, from, store_done);
}

static enum io_discard_mode discard_mode(const struct volume_request *request)
{
    if (request->op == VOLUME_TRIM)
        return IO_DISCARD_HOLE;
    if (request->flags & VOLUME_FAST_ZERO)
        return IO_DISCARD_ZERO_FAST;
    return request->flags & VOLUME_NO_HOLE ? IO_DISCARD_ZERO : IO_DISCARD_HOLE;
}

/* Trims and zeroes: whole blocks first, then the edges before and behind them as data. False: the
 * piece is empty. */
static bool submit_piece(struct volume_request *request, unsigned piece)
{
    uint64_t from, to, end = request->offset + request->length;
    bool has_whole = whole_blocks(request, &from, &to);

    if (piece == 0 && has_whole) {
        store_discard(request->volume->store, &request->store_op, from, to - from,
                      discard_mode(request), store_done);
        return true;
    }
    if (piece == 0 || request->op == VOLUME_TRIM)
        return false;
    if (from > end) /* inside one block */
        from = end;
    if (piece == 1 && request->offset < from) {
        write_zero_bytes(request, request->offset, from);
        return true;
    }
    if (piece == 2 && from < end && to >= from && to < end) {
        write_zero_bytes(request, to, end);
        return true;
    }
    return false;
}

static enum verdict stage_store(struct volume_request *request)
{
    struct request_state *state = request_state(request);

    if (request->op == VOLUME_WRITE) {
        state->stage = STAGE_DIRTY;
        store_write(request->volume->store, &request->store_op, request->iov, request->iov_count,
                    request->offset, store_done);
        return VERDICT_WAIT;
    }
    while (state->piece < 3 && state->error == 0) {
        if (submit_piece(request, state->piece++))
            return VERDICT_WAIT;
    }
    state->stage = STAGE_DIRTY;
    return VERDICT_GO;
}

static enum verdict stage_dirty(struct volume_request *request)
{
    struct request_state *state = request_state(request);

    state->stage = STAGE_SYNC;
    state->is_locked = false;
    volume_lock_release(request->volume, &state->lock);
    return VERDICT_GO;
}

static void synced(struct flush_waiter *waiter, int error)
{
    struct request_state *state = container_of(waiter, struct request_state, flush);

    if (state->error == 0)
        state->error = error;
    advance(request_of_state(state));
}

static enum verdict stage_sync(struct volume_request *request)
{
    struct request_state *state = request_state(request);

    state->stage = STAGE_REPLY;
    if (state->error < 0 || !(request->flags & VOLUME_FUA))
        return VERDICT_GO;
    flush_group_join(&request->volume->flush, &state->flush, synced);
    return VERDICT_WAIT;
}

static enum verdict stage_reply(struct volume_request *request)
{
    request_end(request, request_state(request)->error);
    return VERDICT_END;
}

static void advance(struct volume_request *request)
{
    static enum verdict (*const stages[])(struct volume_request * request) = {
        [STAGE_LOCK] = stage_lock, [STAGE_STORE] = stage_store, [STAGE_DIRTY] = stage_dirty,
        [STAGE_SYNC] = stage_sync, [STAGE_REPLY] = stage_reply,
    };

    while (stages[request_state(request)->stage](request) == VERDICT_GO) {
    }
}

void write_path_start(struct volume_request *request)
{
    uint64_t from, to;

    check(request->length > 0);
    if (request->op == VOLUME_TRIM && !whole_blocks(request, &from, &to)) {
        request_end_soon(request, 0);
        return;
    }
    request_state(request)->stage = STAGE_LOCK;
    advance(request);
}
