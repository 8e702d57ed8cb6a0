/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads for shipping (R6).
 *
 *     search -> (hint) -> lock -> (confirm) -> take -> read -> done
 *
 *  1. Blocks leave their set only in take, under the shared lock and in the turn in which the read
 *     is submitted: a write that came first has stashed or changed its blocks by then, one that
 *     comes later waits for the lock.
 *  2. Between the stages sets may be cut or merged, so take looks again at what is in the set, and
 *     goes back to search when nothing is left.
 *  3. A long run is first asked for holes, without the lock: that is a hint, confirmed under the
 *     lock. So no host waits behind a question about a gigabyte.
 *  4. After a failed read the blocks are in their set again; when a cut came in between, in the
 *     frozen one, since the closed epoch needs them.
 */
#include <errno.h>

#include "base/check.h"
#include "base/crc32c.h"
#include "volume/tracking.h"
#include "volume/tracking_state.h"
#include "volume/view.h"

enum {
    PROBE_BLOCKS = 16,      /* shorter runs are read without asking for holes */
    RUN_BLOCKS = 256 << 10, /* the longest run of holes */
};

struct ship_state {
    struct volume_lock lock;
    struct loop_task task;
    struct view_read view;
    struct io_extent extent;
    uint64_t from, count_max;
    uint64_t block, count; /* the run that was found */
    uint64_t cut_count, merge_count;
    enum tracking_set which;
    int error;
    bool is_hole_hint;
    bool has_waited; /* the submitting call has returned */
};

_Static_assert(sizeof(struct ship_state) <= sizeof(((struct ship *)NULL)->private), "state fits");

static struct ship_state *state_of(struct ship *ship)
{
    return (struct ship_state *)ship->private;
}

static struct ship *ship_of(struct ship_state *state)
{
    return container_of((uint64_t *)state, struct ship, private[0]);
}

static struct tracking *tracking_of(const struct ship *ship)
{
    check_magic(ship->volume->tracking, TRACKING_MAGIC);
    return ship->volume->tracking;
}

static void search(struct ship *ship);

static void end(struct ship *ship, int error)
{
    check(ship->volume->inner_count > 0);
    ship->volume->inner_count--;
    ship->done_cb(ship, error);
}

static void end_soon_run(struct loop_task *task)
{
    struct ship_state *state = container_of(task, struct ship_state, task);

    end(ship_of(state), state->error);
}

/* Ends a ship that holds no lock. */
static void finish(struct ship *ship, int error)
{
    struct ship_state *state = state_of(ship);

    if (state->has_waited) {
        end(ship, error);
        return;
    }
    state->error = error;
    state->task.run_cb = end_soon_run;
    loop_defer(ship->volume->loop, &state->task);
}

static void release(struct ship *ship)
{
    volume_lock_release(ship->volume, &state_of(ship)->lock);
}

/* ---- take, read ----------------------------------------------------------------------------- */

static void put_back(struct ship *ship)
{
    struct ship_state *state = state_of(ship);
    struct tracking *tracking = tracking_of(ship);
    enum tracking_set into = state->which;

    if (into == TRACKING_SUSPECT)
        return;
    if (tracking->cut_count != state->cut_count)
        into = TRACKING_FROZEN;
    else if (tracking->merge_count != state->merge_count)
        into = TRACKING_OPEN;
    /* Without memory here the process must end: the intent bits then name the blocks. */
    check(blockset_mark(tracking->sets[into], ship->block, ship->count) == 0);
}

static void read_done(struct view_read *view, int error)
{
    struct ship *ship = ship_of(container_of(view, struct ship_state, view));

    if (error < 0)
        put_back(ship);
    else
        ship->is_hole = bytes_are_zero(ship->bytes, ship->count << BLOCK_SHIFT);
    release(ship);
    end(ship, error);
}

/* How many blocks from `block` on can go together: all in the overlay or none, all hole or read at
 * once. `hole_end`: the base has a hole up to there. */
static uint64_t piece(const struct ship *ship, uint64_t block, uint64_t count, uint64_t hole_end,
                      bool *ret_is_hole)
{
    const struct volume *volume = ship->volume;
    uint64_t count_max = ((const struct ship_state *)ship->private)->count_max, run = count;
    bool is_above = false;

    if (volume->overlay)
        is_above = volume->overlay->lookup(volume->overlay_arg, block, count, &run);
    if (run < count)
        count = run;
    if (is_above)
        *ret_is_hole = volume->overlay->is_hole(volume->overlay_arg, block, count);
    else
        *ret_is_hole = block < hole_end;
    if (*ret_is_hole && !is_above && hole_end - block < count)
        return hole_end - block;
    return *ret_is_hole || count < count_max ? count : count_max;
}

/* Under the lock. */
static void take(struct ship *ship, uint64_t hole_end)
{
    struct ship_state *state = state_of(ship);
    struct tracking *tracking = tracking_of(ship);
    struct blockset *set = tracking->sets[state->which];
    uint64_t lock_end = state->lock.entry.block + state->lock.entry.count;

    if (!blockset_next(set, state->lock.entry.block, state->lock.entry.count, &ship->block,
                       &ship->count) ||
        ship->block >= lock_end) {
        release(ship);
        search(ship);
        return;
    }
    if (ship->count > lock_end - ship->block)
        ship->count = lock_end - ship->block;
    ship->count = piece(ship, ship->block, ship->count, hole_end, &ship->is_hole);
    state->cut_count = tracking->cut_count;
    state->merge_count = tracking->merge_count;
    if (state->which != TRACKING_SUSPECT) {
        if (blockset_split(set, ship->block, ship->count) < 0 ||
            blockset_mark(tracking->sets[TRACKING_UNACKED], ship->block, ship->count) < 0) {
            release(ship);
            finish(ship, -ENOMEM);
            return;
        }
        blockset_clear(set, ship->block, ship->count);
    }
    if (ship->is_hole) {
        release(ship);
        finish(ship, 0);
        return;
    }
    volume_lock_shrink(ship->volume, &state->lock, ship->block, ship->count);
    state->has_waited = true;
    view_read(ship->volume, &state->view, ship->block, ship->count, ship->bytes, read_done);
}

/* ---- lock, confirm -------------------------------------------------------------------------- */

static void confirm_done(struct store_op *op, int error)
{
    struct ship *ship = container_of(op, struct ship, store_op);
    struct ship_state *state = state_of(ship);
    uint64_t hole_end = 0;

    if (error >= 1 && state->extent.is_hole)
        hole_end = (state->extent.offset + state->extent.length) >> BLOCK_SHIFT;
    take(ship, hole_end);
}

static void locked(struct ship *ship)
{
    struct ship_state *state = state_of(ship);
    struct range_lock_entry *entry = &state->lock.entry;

    if (!state->is_hole_hint) {
        take(ship, 0);
        return;
    }
    state->has_waited = true;
    store_extents(ship->volume->store, &ship->store_op, entry->block << BLOCK_SHIFT,
                  entry->count << BLOCK_SHIFT, &state->extent, 1, confirm_done);
}

static void granted(struct volume_lock *lock)
{
    locked(ship_of(container_of(lock, struct ship_state, lock)));
}

static void lock(struct ship *ship, uint64_t count)
{
    struct ship_state *state = state_of(ship);

    if (volume_lock_acquire(ship->volume, &state->lock, state->block, count, false, granted))
        locked(ship);
    else
        state->has_waited = true;
}

/* ---- search, hint --------------------------------------------------------------------------- */

static void lock_data(struct ship *ship)
{
    struct ship_state *state = state_of(ship);

    state->is_hole_hint = false;
    lock(ship, state->count < state->count_max ? state->count : state->count_max);
}

static void hint_done(struct store_op *op, int error)
{
    struct ship *ship = container_of(op, struct ship, store_op);
    struct ship_state *state = state_of(ship);
    uint64_t count = state->extent.length >> BLOCK_SHIFT;

    if (error < 1 || !state->extent.is_hole || count == 0) {
        lock_data(ship);
        return;
    }
    state->is_hole_hint = true;
    lock(ship, count < state->count ? count : state->count);
}

static void search(struct ship *ship)
{
    struct ship_state *state = state_of(ship);
    const struct volume *volume = ship->volume;
    const struct blockset *set = tracking_of(ship)->sets[state->which];
    uint64_t run = 0;

    if (!blockset_next(set, state->from, RUN_BLOCKS, &state->block, &state->count) &&
        !blockset_next(set, 0, RUN_BLOCKS, &state->block, &state->count)) {
        finish(ship, -ENOENT);
        return;
    }
    run = state->count;
    if (volume->overlay &&
        volume->overlay->lookup(volume->overlay_arg, state->block, state->count, &run)) {
        state->is_hole_hint = false; /* take asks the overlay itself */
        lock(ship, run < state->count ? run : state->count);
        return;
    }
    if (run < state->count)
        state->count = run;
    if (state->count < PROBE_BLOCKS) {
        lock_data(ship);
        return;
    }
    state->has_waited = true;
    store_extents(volume->store, &ship->store_op, state->block << BLOCK_SHIFT,
                  state->count << BLOCK_SHIFT, &state->extent, 1, hint_done);
}

void tracking_ship(struct volume *volume, struct ship *ship, enum tracking_set which, uint64_t from,
                   uint64_t count_max, void (*done_cb)(struct ship *ship, int error))
{
    struct ship_state *state = state_of(ship);

    check_magic(volume, VOLUME_MAGIC);
    check(which == TRACKING_OPEN || which == TRACKING_FROZEN || which == TRACKING_SUSPECT);
    check(ship->bytes != NULL && count_max > 0 && done_cb != NULL);
    ship->volume = volume;
    ship->done_cb = done_cb;
    ship->is_hole = false;
    *state = (struct ship_state){.which = which, .count_max = count_max};
    list_init(&state->task.node);
    state->from = from < volume->store->size_bytes >> BLOCK_SHIFT ? from : 0;
    volume->inner_count++;
    search(ship);
}
