/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intent bits: one for each 4 MiB region that may differ from the newest acknowledged epoch.
 *
 *  1. A write reaches the store only when the bits of its regions are durable.
 *  2. A bit is cleared only when no block of its region is in a set of the tracking, no write is
 *     under way there, and a sync of the store that began after the last write there has ended
 *     well. (A block in the stash is in `unacked` as well.) Without the sync a power loss could
 * take back a write that the target has, and nobody would know.
 *  3. Clearing is lazy, SWEEP_S after the last write there at the earliest: a region that stays
 * active keeps its bit and so pays for one sync only. A crash before the sweep costs comparing,
 * never data.
 *
 * Syncs are numbered by the flush group. A region's sync_number is that of the newest sync
 * that had begun when a write there ended, or when tracking began, so exactly the syncs with a
 * higher number cover it.
 */
#include "volume/intent_log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* A region is looked at in some 60 ns; a disk of 64 TiB has 2^24 of them. */
enum { SWEEP_S = 5, SWEEP_REGIONS = 4096 };

static void sweep_fired(struct loop_timer *timer);
static void sweep_part(struct loop_task *task);

static uint32_t now_s(const struct tracking *tracking)
{
    return (uint32_t)(loop_now_ns(tracking->volume->loop) / UINT64_C(1000000000));
}

int intent_log_init(struct tracking *tracking)
{
    tracking->region_count = bitfile_bit_count(tracking->options.intent);
    tracking->regions = calloc(tracking->region_count, sizeof(*tracking->regions));
    list_init(&tracking->intent_waiting);
    list_init(&tracking->intent_saving);
    list_init(&tracking->sweep_flush.node);
    tracking->sweep_timer.fired_cb = sweep_fired;
    tracking->sweep_task.run_cb = sweep_part;
    list_init(&tracking->sweep_task.node);
    /* What hosts wrote before tracking began is covered by syncs that are still to begin alone. */
    tracking->first_sync_number = tracking->volume->flush.started_count;
    return tracking->regions ? 0 : -ENOMEM;
}

int intent_log_widen(struct tracking *tracking, uint64_t region_count, struct err *err)
{
    if (region_count > tracking->region_count) {
        struct region *regions = realloc(tracking->regions, region_count * sizeof(*regions));

        if (!regions)
            return err_set(err, -ENOMEM, "memory is short for more regions");
        tracking->regions = regions;
        for (uint64_t i = tracking->region_count; i < region_count; i++)
            regions[i] = (struct region){.sync_number = tracking->volume->flush.started_count,
                                         .written_s = now_s(tracking)};
        tracking->region_count = region_count;
    }
    if (region_count > bitfile_bit_count(tracking->options.intent))
        return bitfile_grow(tracking->options.intent, region_count, err);
    return 0;
}

void intent_log_fini(struct tracking *tracking)
{
    loop_timer_cancel(tracking->volume->loop, &tracking->sweep_timer);
    list_remove(&tracking->sweep_task.node);
    if (tracking->is_sweeping)
        list_remove(&tracking->sweep_flush.node); /* the sync goes on without us */
    free(tracking->regions);
}

static uint64_t region_first(uint64_t block)
{
    return block >> REGION_SHIFT;
}

static uint64_t region_last(uint64_t block, uint64_t count)
{
    return (block + count - 1) >> REGION_SHIFT;
}

void intent_log_enter(struct tracking *tracking, uint64_t block, uint64_t count)
{
    for (uint64_t r = region_first(block); r <= region_last(block, count); r++)
        tracking->regions[r].writers++;
}

void intent_log_leave(struct tracking *tracking, uint64_t block, uint64_t count)
{
    for (uint64_t r = region_first(block); r <= region_last(block, count); r++) {
        struct region *region = &tracking->regions[r];

        check(region->writers > 0);
        region->writers--;
        region->sync_number = tracking->volume->flush.started_count;
        region->written_s = now_s(tracking);
    }
}

bool intent_log_is_durable(const struct tracking *tracking, uint64_t block, uint64_t count)
{
    for (uint64_t r = region_first(block); r <= region_last(block, count); r++) {
        if (!bitfile_has_durable(tracking->options.intent, r))
            return false;
    }
    return true;
}

static void save_begin(struct tracking *tracking);

static void save_done(struct bitfile_save *save, int error)
{
    struct tracking *tracking = container_of(save, struct tracking, save);
    struct list done, *node;

    check_magic(tracking, TRACKING_MAGIC);
    tracking->is_saving = false;
    list_init(&done);
    while ((node = list_pop(&tracking->intent_saving)) != NULL)
        list_append(&done, node);
    if (!list_is_empty(&tracking->intent_waiting))
        save_begin(tracking);
    while ((node = list_pop(&done)) != NULL) {
        struct intent_waiter *waiter = list_entry(node, struct intent_waiter, node);

        waiter->done_cb(waiter, error < 0 ? -EIO : 0);
    }
}

static void save_begin(struct tracking *tracking)
{
    struct list *node;

    check(!tracking->is_saving && list_is_empty(&tracking->intent_saving));
    while ((node = list_pop(&tracking->intent_waiting)) != NULL)
        list_append(&tracking->intent_saving, node);
    tracking->is_saving = true;
    bitfile_save(tracking->options.intent, &tracking->save, save_done);
}

void intent_log_require(struct tracking *tracking, struct intent_waiter *waiter, uint64_t block,
                        uint64_t count, void (*done_cb)(struct intent_waiter *waiter, int error))
{
    uint64_t first = region_first(block);

    bitfile_set(tracking->options.intent, first, region_last(block, count) - first + 1);
    waiter->done_cb = done_cb;
    list_append(&tracking->intent_waiting, &waiter->node);
    if (!tracking->is_saving)
        save_begin(tracking);
}

/* ---- sweeping ------------------------------------------------------------------------------- */

enum need { NEED_NONE, NEED_KEPT, NEED_TIME, NEED_SYNC, NEED_COUNT };

_Static_assert(sizeof(((struct tracking *)NULL)->sweep_needs) == NEED_COUNT * sizeof(unsigned),
               "one for each");

/* Why the bit of a region must stay, or that it need not. */
static enum need region_need(const struct tracking *tracking, uint64_t region)
{
    uint64_t size = blockset_size(tracking->sets[0]);
    uint64_t block = region << REGION_SHIFT;
    uint64_t count = REGION_BLOCKS;
    uint64_t synced = tracking->volume->flush.synced_number;

    if (block >= size) /* of a growth that was cut off */
        return NEED_NONE;
    if (size - block < REGION_BLOCKS)
        count = size - block;
    if (tracking->regions[region].writers > 0)
        return NEED_KEPT;
    for (unsigned i = 0; i < TRACKING_SET_COUNT; i++) {
        if (blockset_intersects(tracking->sets[i], block, count))
            return NEED_KEPT;
    }
    if (now_s(tracking) - tracking->regions[region].written_s < SWEEP_S)
        return NEED_TIME;
    if (tracking->regions[region].sync_number >= synced || tracking->first_sync_number >= synced)
        return NEED_SYNC;
    return NEED_NONE;
}

static void sweep_saved(struct bitfile_save *save, int error)
{
    struct tracking *tracking = container_of(save, struct tracking, sweep_save);
    struct volume *volume = tracking->volume;

    check_magic(tracking, TRACKING_MAGIC);
    (void)error; /* a bit that stays set costs comparing only; the next write hears of the error */
    tracking->is_sweeping = false;
    check(volume->sweep_count > 0);
    volume->sweep_count--;
    if (volume->is_held)
        volume_quiet_soon(volume);
}

static void sweep_end(struct tracking *tracking, bool has_cleared)
{
    if (!has_cleared || tracking->volume->is_held) {
        tracking->is_sweeping = false; /* what was cleared goes with the next save */
        return;
    }
    tracking->volume->sweep_count++;
    bitfile_save(tracking->options.intent, &tracking->sweep_save, sweep_saved);
}

static void sweep_pass(struct tracking *tracking, bool is_synced)
{
    tracking->is_sweep_synced = is_synced;
    tracking->sweep_at = 0;
    memset(tracking->sweep_needs, 0, sizeof(tracking->sweep_needs));
    sweep_part(&tracking->sweep_task);
}

static void sweep_synced(struct flush_waiter *waiter, int error)
{
    struct tracking *tracking = container_of(waiter, struct tracking, sweep_flush);

    check_magic(tracking, TRACKING_MAGIC);
    if (error == 0)
        sweep_pass(tracking, true);
    else
        sweep_end(tracking, false);
}

static void sweep_passed(struct tracking *tracking)
{
    if (tracking->sweep_needs[NEED_TIME] > 0)
        intent_log_sweep_later(tracking);
    if (tracking->sweep_needs[NEED_SYNC] > 0 && !tracking->is_sweep_synced)
        flush_group_join(&tracking->volume->flush, &tracking->sweep_flush, sweep_synced);
    else
        sweep_end(tracking, tracking->sweep_needs[NEED_NONE] > 0);
}

/* Clears what may go, and counts the needs of all bits, some in each turn of the loop. Whether a
 * bit may go is judged when it goes. */
static void sweep_part(struct loop_task *task)
{
    struct tracking *tracking = container_of(task, struct tracking, sweep_task);
    struct bitfile *intent = tracking->options.intent;
    uint64_t *at = &tracking->sweep_at;

    check_magic(tracking, TRACKING_MAGIC);
    if (*at > 0 && tracking->volume->is_held) { /* perhaps it grows */
        tracking->is_sweeping = false;
        intent_log_sweep_later(tracking);
        return;
    }
    for (unsigned i = 0; bitfile_next(intent, *at, at); i++, (*at)++) {
        enum need need;

        if (i == SWEEP_REGIONS) {
            loop_defer(tracking->volume->loop, task);
            return;
        }
        need = region_need(tracking, *at);
        tracking->sweep_needs[need]++;
        if (need == NEED_NONE)
            bitfile_clear(intent, *at, 1);
    }
    sweep_passed(tracking);
}

static void sweep_fired(struct loop_timer *timer)
{
    struct tracking *tracking = container_of(timer, struct tracking, sweep_timer);

    check_magic(tracking, TRACKING_MAGIC);
    tracking->is_sweep_armed = false;
    if (tracking->is_sweeping || tracking->volume->is_held) {
        intent_log_sweep_later(tracking);
        return;
    }
    tracking->is_sweeping = true;
    sweep_pass(tracking, false);
}

void intent_log_sweep_later(struct tracking *tracking)
{
    struct loop *loop = tracking->volume->loop;

    if (tracking->is_sweep_armed)
        return;
    tracking->is_sweep_armed = true;
    loop_timer_set(loop, &tracking->sweep_timer,
                   loop_now_ns(loop) + SWEEP_S * UINT64_C(1000000000));
}
