/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a write, as a table of stages.
 *
 *     lock -> admit -> preserve -> stash -> intent -> fill -> store -> settle -> sync -> reply
 *                        ^____________|_________|______|
 *
 *  1. From lock to settle the write holds its blocks exclusively (R2).
 *  2. The stages from preserve to fill each look whether what they promise already holds. If not,
 *     they do a part of the work and, when that has ended, everything from preserve on is looked at
 *     again: while one stage waited, a cut may have frozen the blocks or a layer been made. So when
 *     the store is asked to write, in that very turn
 *       - every layer has what it shows there (R11),
 *       - no block is in the frozen set (R4),
 *       - the intent bits are durable (R3),
 *       - no block that is written in part lies in the overlay.
 *  3. Whatever the store answered, settle marks the blocks dirty before the lock goes and before
 * the reply (R5). If there is no memory for the mark the write waits for some.
 *  4. Base writes of replication change nothing that hosts see: they skip stash, intent and dirty.
 */
#include "volume/write_path.h"

#include <errno.h>

#include "base/check.h"
#include "volume/intent_log.h"
#include "volume/scratch.h"

enum verdict { VERDICT_GO, VERDICT_WAIT, VERDICT_END };

enum stage {
    STAGE_LOCK,
    STAGE_ADMIT,
    STAGE_PRESERVE,
    STAGE_STASH,
    STAGE_INTENT,
    STAGE_FILL,
    STAGE_STORE,
    STAGE_SETTLE,
    STAGE_SYNC,
    STAGE_REPLY,
};

static const uint64_t STARVED_NS = 10000000;
static const uint8_t zeros[BLOCK_SIZE];

static void advance(struct volume_request *request);

static enum verdict fail(struct volume_request *request, int error)
{
    struct request_state *state = request_state(request);

    check(error < 0);
    if (state->error == 0)
        state->error = error;
    state->stage = STAGE_SETTLE;
    return VERDICT_GO;
}

/* Ends the wait of a stage before the store write: look at everything again, or fail. */
static void prepared(struct volume_request *request, int error)
{
    request_state(request)->stage = STAGE_PRESERVE;
    if (error < 0)
        fail(request, error);
    advance(request);
}

/* The tracking that this write must serve, or NULL. */
static struct tracking *tracking_for(struct volume_request *request)
{
    return request_state(request)->kind == REQUEST_HOST ? request->volume->tracking : NULL;
}

/* ---- lock, admit ---------------------------------------------------------------------------- */

static void lock_granted(struct volume_lock *lock)
{
    advance(request_of_state(container_of(lock, struct request_state, lock)));
}

static enum verdict stage_lock(struct volume_request *request)
{
    struct request_state *state = request_state(request);

    state->stage = STAGE_ADMIT;
    state->is_locked = true;
    if (volume_lock_acquire(request->volume, &state->lock, request_first_block(request),
                            request_block_count(request), true, lock_granted))
        return VERDICT_GO;
    return VERDICT_WAIT;
}

static enum verdict stage_admit(struct volume_request *request)
{
    struct request_state *state = request_state(request);

    state->stage = STAGE_PRESERVE;
    if (state->admit_cb && !state->admit_cb(request))
        return fail(request, -ECANCELED);
    return VERDICT_GO;
}

/* ---- preserve (R11) ------------------------------------------------------------------------- */

static bool needs_preserve(const struct volume_request *request, uint64_t block, uint64_t count)
{
    const struct volume *volume = request->volume;

    return volume->preserve && volume->preserve->needs(volume->preserve_arg, block, count);
}

static void preserve_done(struct preserve_op *op, int error)
{
    struct scratch *scratch = container_of(op, struct scratch, preserve);

    if (error == 0)
        request_state(scratch->request)->cursor = scratch->block + scratch->count;
    prepared(scratch->request, error);
}

static void preserve_read_done(struct store_op *op, int error)
{
    struct volume_request *request = container_of(op, struct volume_request, store_op);
    struct volume *volume = request->volume;
    struct scratch *scratch = request_state(request)->scratch;

    if (error < 0)
        prepared(request, error);
    else
        volume->preserve->preserve(volume->preserve_arg, &scratch->preserve, scratch->block,
                                   scratch->count, scratch->bytes, preserve_done);
}

/* Finds a part, from the cursor on and then from the beginning, that a layer needs. */
static bool find_needed(struct volume_request *request, uint64_t *ret_block, uint64_t *ret_count)
{
    uint64_t first = request_first_block(request), end = first + request_block_count(request);
    uint64_t from = request_state(request)->cursor;

    for (unsigned pass = 0; pass < 2; pass++, from = first) {
        for (uint64_t at = from < first ? first : from; at < end; at += SCRATCH_BLOCKS) {
            uint64_t count = end - at < SCRATCH_BLOCKS ? end - at : SCRATCH_BLOCKS;

            if (!needs_preserve(request, at, count))
                continue;
            *ret_block = at;
            *ret_count = count;
            return true;
        }
    }
    return false;
}

static enum verdict stage_preserve(struct volume_request *request)
{
    struct request_state *state = request_state(request);
    struct volume *volume = request->volume;
    uint64_t block = 0, count = 0;
    struct scratch *scratch;

    state->stage = STAGE_STASH;
    if (!needs_preserve(request, request_first_block(request), request_block_count(request)) ||
        !find_needed(request, &block, &count))
        return VERDICT_GO;
    scratch = scratch_need(request);
    if (!scratch)
        return fail(request, -ENOMEM);
    scratch->block = block;
    scratch->count = count;
    state->iov = (struct iovec){scratch->bytes, count << BLOCK_SHIFT};
    store_read(volume->store, &request->store_op, &state->iov, 1, block << BLOCK_SHIFT,
               preserve_read_done);
    return VERDICT_WAIT;
}

/* ---- stash (R4) ----------------------------------------------------------------------------- */

/* The stash is full: the stream gives the epoch up and merges it into the open one. */
static void abort_epoch(struct tracking *tracking)
{
    uint64_t merge_count = tracking->merge_count;

    tracking->options.stash_full_cb(tracking->options.arg);
    check(tracking->merge_count > merge_count);
}

static void stash_next(struct volume_request *request);

static void stash_done(struct stash_op *op, int error)
{
    struct scratch *scratch = container_of(op, struct scratch, stash);
    struct tracking *tracking = scratch->request->volume->tracking;

    check_magic(tracking, TRACKING_MAGIC);
    if (error < 0 && tracking->merge_count == scratch->merge_count)
        abort_epoch(tracking);
    scratch->done++;
    stash_next(scratch->request);
}

/* Puts the next block of the run in hand that is still frozen: a merge may have thawed them. */
static void stash_next(struct volume_request *request)
{
    struct scratch *scratch = request_state(request)->scratch;
    struct tracking *tracking = request->volume->tracking;

    for (; scratch->done < scratch->count; scratch->done++) {
        uint64_t block = scratch->block + scratch->done;

        if (!blockset_has(tracking_frozen(tracking), block))
            continue;
        if (!stash_has_room(tracking->options.stash, 1)) {
            abort_epoch(tracking);
            continue;
        }
        if (blockset_split(tracking_frozen(tracking), block, 1) < 0 ||
            blockset_mark(tracking->sets[TRACKING_UNACKED], block, 1) < 0) {
            prepared(request, -ENOMEM);
            return;
        }
        blockset_clear(tracking_frozen(tracking), block, 1);
        scratch->merge_count = tracking->merge_count;
        stash_put(tracking->options.stash, &scratch->stash, tracking->options.stash_index, block,
                  scratch->bytes + (scratch->done << BLOCK_SHIFT), stash_done);
        return;
    }
    prepared(request, 0);
}

static void stash_read_done(struct view_read *view, int error)
{
    struct scratch *scratch = container_of(view, struct scratch, view);

    if (error < 0)
        prepared(scratch->request, error);
    else
        stash_next(scratch->request);
}

static enum verdict stage_stash(struct volume_request *request)
{
    struct request_state *state = request_state(request);
    struct tracking *tracking = tracking_for(request);
    uint64_t first = request_first_block(request), end = first + request_block_count(request);
    uint64_t block = 0, count = 0;
    struct scratch *scratch;

    state->stage = STAGE_INTENT;
    if (!tracking || !blockset_intersects(tracking_frozen(tracking), first, end - first))
        return VERDICT_GO;
    check(blockset_next(tracking_frozen(tracking), first, SCRATCH_BLOCKS, &block, &count));
    check(block < end);
    if (count > end - block)
        count = end - block;
    if (!stash_has_room(tracking->options.stash, count)) {
        abort_epoch(tracking);
        state->stage = STAGE_PRESERVE;
        return VERDICT_GO;
    }
    scratch = scratch_need(request);
    if (!scratch)
        return fail(request, -ENOMEM);
    scratch->block = block;
    scratch->count = count;
    scratch->done = 0;
    view_read(request->volume, &scratch->view, block, count, scratch->bytes, stash_read_done);
    return VERDICT_WAIT;
}

/* ---- intent (R3) ---------------------------------------------------------------------------- */

static void intent_done(struct intent_waiter *waiter, int error)
{
    prepared(request_of_state(container_of(waiter, struct request_state, intent)), error);
}

static enum verdict stage_intent(struct volume_request *request)
{
    struct request_state *state = request_state(request);
    struct tracking *tracking = tracking_for(request);
    uint64_t block = request_first_block(request), count = request_block_count(request);

    state->stage = STAGE_FILL;
    if (!tracking)
        return VERDICT_GO;
    if (!state->is_writer)
        intent_log_enter(tracking, block, count);
    state->is_writer = true;
    if (intent_log_is_durable(tracking, block, count))
        return VERDICT_GO;
    intent_log_require(tracking, &state->intent, block, count, intent_done);
    return VERDICT_WAIT;
}

/* ---- fill: a block of the overlay that is written in part comes down to the base first ------- */

static void fill_write_done(struct store_op *op, int error)
{
    struct volume_request *request = container_of(op, struct volume_request, store_op);
    struct volume *volume = request->volume;

    if (error == 0)
        volume->overlay->replaced(volume->overlay_arg, request_state(request)->scratch->block, 1);
    prepared(request, error);
}

static void fill_read_done(struct view_read *view, int error)
{
    struct scratch *scratch = container_of(view, struct scratch, view);
    struct volume_request *request = scratch->request;
    struct request_state *state = request_state(request);

    if (error < 0 || needs_preserve(request, scratch->block, 1)) { /* a layer came meanwhile */
        prepared(request, error);
        return;
    }
    state->iov = (struct iovec){scratch->bytes, BLOCK_SIZE};
    store_write(request->volume->store, &request->store_op, &state->iov, 1,
                scratch->block << BLOCK_SHIFT, fill_write_done);
}

/* An edge block that the request covers in part and the overlay holds. */
static bool find_edge(const struct volume_request *request, uint64_t *ret_block)
{
    uint64_t end = request->offset + request->length;
    uint64_t edges[2] = {request->offset >> BLOCK_SHIFT, end >> BLOCK_SHIFT};
    bool is_partial[2] = {request->offset % BLOCK_SIZE != 0, end % BLOCK_SIZE != 0};

    for (unsigned i = 0; i < 2; i++) {
        *ret_block = edges[i];
        if (is_partial[i] && view_has_overlay(request->volume, edges[i], 1))
            return true;
    }
    return false;
}

static enum verdict stage_fill(struct volume_request *request)
{
    struct request_state *state = request_state(request);
    struct scratch *scratch;
    uint64_t block;

    state->stage = STAGE_STORE;
    if (!request->volume->overlay || state->kind != REQUEST_HOST || request->op == VOLUME_TRIM ||
        !find_edge(request, &block))
        return VERDICT_GO;
    scratch = scratch_need(request);
    if (!scratch)
        return fail(request, -ENOMEM);
    scratch->block = block;
    view_read(request->volume, &scratch->view, block, 1, scratch->bytes, fill_read_done);
    return VERDICT_WAIT;
}

/* ---- store ---------------------------------------------------------------------------------- */

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

    state->is_stored = true;
    if (request->op == VOLUME_WRITE) {
        state->stage = STAGE_SETTLE;
        store_write(request->volume->store, &request->store_op, request->iov, request->iov_count,
                    request->offset, store_done);
        return VERDICT_WAIT;
    }
    while (state->piece < 3 && state->error == 0) {
        if (submit_piece(request, state->piece++))
            return VERDICT_WAIT;
    }
    state->stage = STAGE_SETTLE;
    return VERDICT_GO;
}

/* ---- settle, sync, reply -------------------------------------------------------------------- */

static void starved_fired(struct loop_timer *timer)
{
    struct tracking *tracking = container_of(timer, struct tracking, starved_timer);
    struct list queue, *node;

    check_magic(tracking, TRACKING_MAGIC);
    list_init(&queue);
    while ((node = list_pop(&tracking->starved)) != NULL)
        list_append(&queue, node);
    while ((node = list_pop(&queue)) != NULL)
        advance(list_entry(node, struct volume_request, node));
}

/* UNTESTED: needs a failing allocation of a leaf. */
static void wait_for_memory(struct tracking *tracking, struct volume_request *request)
{
    struct loop *loop = tracking->volume->loop;

    list_append(&tracking->starved, &request->node);
    tracking->starved_timer.fired_cb = starved_fired;
    loop_timer_set(loop, &tracking->starved_timer, loop_now_ns(loop) + STARVED_NS);
}

/* The blocks that a request may have changed: for a trim the whole ones only. */
static void changed_blocks(const struct volume_request *request, uint64_t *ret_block,
                           uint64_t *ret_count)
{
    uint64_t from, to;

    *ret_block = request_first_block(request);
    *ret_count = request_block_count(request);
    if (request->op == VOLUME_TRIM && whole_blocks(request, &from, &to)) {
        *ret_block = from >> BLOCK_SHIFT;
        *ret_count = (to - from) >> BLOCK_SHIFT;
    }
}

static enum verdict stage_settle(struct volume_request *request)
{
    struct request_state *state = request_state(request);
    struct volume *volume = request->volume;
    struct tracking *tracking = tracking_for(request);
    uint64_t block, count;

    changed_blocks(request, &block, &count);
    if (tracking && state->is_stored && tracking_mark_open(tracking, block, count) < 0) {
        wait_for_memory(tracking, request);
        return VERDICT_WAIT;
    }
    if (volume->overlay && state->kind == REQUEST_HOST && state->is_stored && state->error == 0)
        volume->overlay->replaced(volume->overlay_arg, block, count);
    if (state->is_writer)
        intent_log_leave(tracking, request_first_block(request), request_block_count(request));
    state->is_writer = false;
    scratch_drop(request);
    state->stage = STAGE_SYNC;
    state->is_locked = false;
    volume_lock_release(volume, &state->lock);
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
    struct request_state *state = request_state(request);

    if (state->has_waited)
        request_end(request, state->error);
    else
        request_end_soon(request, state->error); /* still inside the submitting call */
    return VERDICT_END;
}

static void advance(struct volume_request *request)
{
    static enum verdict (*const stages[])(struct volume_request * request) = {
        [STAGE_LOCK] = stage_lock,         [STAGE_ADMIT] = stage_admit,
        [STAGE_PRESERVE] = stage_preserve, [STAGE_STASH] = stage_stash,
        [STAGE_INTENT] = stage_intent,     [STAGE_FILL] = stage_fill,
        [STAGE_STORE] = stage_store,       [STAGE_SETTLE] = stage_settle,
        [STAGE_SYNC] = stage_sync,         [STAGE_REPLY] = stage_reply,
    };

    enum verdict verdict;

    do {
        verdict = stages[request_state(request)->stage](request);
    } while (verdict == VERDICT_GO);
    if (verdict == VERDICT_WAIT)
        request_state(request)->has_waited = true;
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
