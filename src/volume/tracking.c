/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sets of a tracked volume.
 *
 *  1. A block leaves a set only by moving to the next one (open -> frozen -> unacked, or suspect ->
 *     open or settled by a verdict) or by the target's acknowledgement or verdict. Nothing else
 *     clears.
 *  2. A block that goes into the stash is marked unacked in the same turn, so unacked holds the
 *     stash; a merge therefore needs the sets only.
 *  3. A cut and a merge are a few pointer moves within one callback and cannot fail.
 */
#include "volume/tracking.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "volume/intent_log.h"

static struct tracking *tracking_of(const struct volume *volume)
{
    check_magic(volume, VOLUME_MAGIC);
    check_magic(volume->tracking, TRACKING_MAGIC);
    return volume->tracking;
}

static uint64_t block_count(const struct volume *volume)
{
    return volume->store->size_bytes >> BLOCK_SHIFT;
}

static void tracking_free(struct tracking *tracking)
{
    for (unsigned i = 0; i < TRACKING_SET_COUNT; i++)
        blockset_free(tracking->sets[i]);
    intent_log_fini(tracking);
    tracking->magic = 0;
    free(tracking);
}

static int suspect_regions(struct tracking *tracking)
{
    const struct bitfile *intent = tracking->options.intent;
    uint64_t size = block_count(tracking->volume), region = 0;
    int error = 0;

    while (error == 0 && bitfile_next(intent, region, &region)) {
        uint64_t block = region << REGION_SHIFT, end;

        if (block >= size) /* of a growth that was cut off: no write was there */
            break;
        while (region < bitfile_bit_count(intent) && bitfile_has(intent, region))
            region++;
        end = region << REGION_SHIFT;
        error = blockset_mark(tracking->sets[TRACKING_SUSPECT], block,
                              (end < size ? end : size) - block);
    }
    return error;
}

int tracking_start(struct volume *volume, const struct tracking_options *options)
{
    struct tracking *tracking = calloc(1, sizeof(*tracking));
    int error;

    check_magic(volume, VOLUME_MAGIC);
    check(!volume->tracking && volume->host_count == 0);
    check(options->intent && options->stash && options->stash_full_cb);
    check(bitfile_bit_count(options->intent) >=
          (block_count(volume) + REGION_BLOCKS - 1) / REGION_BLOCKS);
    if (!tracking)
        return -ENOMEM;
    tracking->magic = TRACKING_MAGIC;
    tracking->volume = volume;
    tracking->options = *options;
    list_init(&tracking->starved);
    error = intent_log_init(tracking);
    for (unsigned i = 0; i < TRACKING_SET_COUNT; i++) {
        tracking->sets[i] = blockset_new(block_count(volume));
        if (!tracking->sets[i])
            error = -ENOMEM;
    }
    if (error == 0)
        error = suspect_regions(tracking);
    if (error < 0)
        tracking_free(tracking);
    else
        volume->tracking = tracking;
    return error;
}

void tracking_stop(struct volume *volume)
{
    struct tracking *tracking = tracking_of(volume);

    check(volume->host_count == 0 && volume->sweep_count == 0);
    check(list_is_empty(&tracking->intent_waiting) && !tracking->is_saving);
    check(list_is_empty(&tracking->starved));
    loop_timer_cancel(volume->loop, &tracking->starved_timer);
    volume->tracking = NULL;
    tracking_free(tracking);
}

bool tracking_is_on(const struct volume *volume)
{
    check_magic(volume, VOLUME_MAGIC);
    return volume->tracking != NULL;
}

const struct blockset *tracking_set(const struct volume *volume, enum tracking_set which)
{
    check(which < TRACKING_SET_COUNT);
    return tracking_of(volume)->sets[which];
}

int tracking_mark(struct volume *volume, enum tracking_set which, uint64_t block, uint64_t count)
{
    struct tracking *tracking = tracking_of(volume);
    uint64_t first = block >> REGION_SHIFT, last = (block + count - 1) >> REGION_SHIFT;

    check(which == TRACKING_OPEN || which == TRACKING_SUSPECT);
    check(count > 0);
    bitfile_set(tracking->options.intent, first, last - first + 1);
    if (which == TRACKING_OPEN)
        return tracking_mark_open(tracking, block, count);
    return blockset_mark(tracking->sets[which], block, count);
}

void tracking_save_intent(struct volume *volume, struct bitfile_save *save,
                          void (*done_cb)(struct bitfile_save *save, int error))
{
    bitfile_save(tracking_of(volume)->options.intent, save, done_cb);
}

int tracking_clear_suspect(struct volume *volume, uint64_t block, uint64_t count)
{
    struct tracking *tracking = tracking_of(volume);
    int error = blockset_split(tracking->sets[TRACKING_SUSPECT], block, count);

    if (error != 0)
        return error;
    blockset_clear(tracking->sets[TRACKING_SUSPECT], block, count);
    if (blockset_is_empty(tracking->sets[TRACKING_SUSPECT]))
        intent_log_sweep_later(tracking);
    return 0;
}

int tracking_suspect_equals(struct volume *volume, enum tracking_set into, uint64_t block,
                            uint64_t count)
{
    struct tracking *tracking = tracking_of(volume);
    int error = blockset_split(tracking->sets[TRACKING_SUSPECT], block, count);

    check(into == TRACKING_UNACKED || into == TRACKING_SETTLED);
    if (error == 0)
        error = blockset_mark(tracking->sets[into], block, count);
    if (error == 0)
        blockset_clear(tracking->sets[TRACKING_SUSPECT], block, count);
    return error;
}

/* All of one set goes to another one; the larger of the two stays where it lies in memory. */
static int move_all(struct tracking *tracking, enum tracking_set from_set, enum tracking_set to_set)
{
    struct blockset *from = tracking->sets[from_set], *to = tracking->sets[to_set];
    bool is_swapped = blockset_count(from) > blockset_count(to);
    int error = is_swapped ? blockset_merge(from, to) : blockset_merge(to, from);

    if (error != 0)
        return error;
    if (is_swapped) {
        tracking->sets[from_set] = to;
        tracking->sets[to_set] = from;
    }
    blockset_clear_all(tracking->sets[from_set]);
    return 0;
}

int tracking_doubt(struct volume *volume)
{
    return move_all(tracking_of(volume), TRACKING_UNACKED, TRACKING_SUSPECT);
}

int tracking_unsettle(struct volume *volume)
{
    return move_all(tracking_of(volume), TRACKING_SETTLED, TRACKING_SUSPECT);
}

int tracking_doubt_open(struct volume *volume)
{
    return move_all(tracking_of(volume), TRACKING_OPEN, TRACKING_SUSPECT);
}

int tracking_suspect_differs(struct volume *volume, uint64_t block, uint64_t count)
{
    struct tracking *tracking = tracking_of(volume);
    int error = blockset_split(tracking->sets[TRACKING_SUSPECT], block, count);

    if (error == 0)
        error = tracking_mark_open(tracking, block, count);
    if (error == 0)
        blockset_clear(tracking->sets[TRACKING_SUSPECT], block, count);
    return error;
}

/* All or none: they are merged into each other. */
static int widen_sets(struct tracking *tracking, uint64_t blocks)
{
    uint64_t size = blockset_size(tracking->sets[0]);
    unsigned count = 0;

    if (blocks <= size)
        return 0;
    while (count < TRACKING_SET_COUNT && blockset_resize(tracking->sets[count], blocks) == 0)
        count++;
    if (count == TRACKING_SET_COUNT)
        return 0;
    while (count-- > 0)
        (void)blockset_resize(tracking->sets[count], size);
    return -ENOMEM;
}

int tracking_widen(struct volume *volume, uint64_t size_bytes, struct err *err)
{
    struct tracking *tracking = tracking_of(volume);
    uint64_t blocks = size_bytes >> BLOCK_SHIFT, first = block_count(volume) >> REGION_SHIFT;
    int error;

    check(volume->is_held && volume->host_count == 0 && volume->sweep_count == 0);
    check(list_is_empty(&tracking->intent_waiting) && !tracking->is_saving);
    error = widen_sets(tracking, blocks);
    if (error == 0)
        error = intent_log_widen(tracking, (blocks + REGION_BLOCKS - 1) / REGION_BLOCKS, err);
    if (error < 0)
        return err->code != 0 ? error : err_set(err, error, "memory is short");
    bitfile_set(tracking->options.intent, first, ((blocks - 1) >> REGION_SHIFT) - first + 1);
    return 0;
}

int tracking_grow(struct volume *volume, uint64_t size_bytes, struct err *err)
{
    struct tracking *tracking = tracking_of(volume);
    uint64_t first = block_count(volume), count = (size_bytes >> BLOCK_SHIFT) - first;
    int error;

    check(volume->is_held && blockset_size(tracking->sets[TRACKING_OPEN]) >= first + count);
    /* Marked first, as memory may be short; in one turn with the store, so nobody ships it. */
    if (tracking_mark_open(tracking, first, count) < 0) {
        blockset_clear(tracking->sets[TRACKING_OPEN], first, count);
        return err_set(err, -ENOMEM, "memory is short");
    }
    error = store_grow(volume->store, size_bytes, err);
    if (error < 0)
        blockset_clear(tracking->sets[TRACKING_OPEN], first, count);
    return error;
}

void tracking_cut(struct volume *volume)
{
    struct tracking *tracking = tracking_of(volume);
    struct blockset *empty = tracking->sets[TRACKING_FROZEN];

    check(blockset_is_empty(empty));
    tracking->sets[TRACKING_FROZEN] = tracking->sets[TRACKING_OPEN];
    tracking->sets[TRACKING_OPEN] = empty;
    tracking->cut_count++;
}

static void merge_into_open(struct tracking *tracking, enum tracking_set which)
{
    /* Without memory here the process must end: the intent bits then name what is in the sets. */
    check(move_all(tracking, which, TRACKING_OPEN) == 0);
}

void tracking_merge(struct volume *volume)
{
    struct tracking *tracking = tracking_of(volume);
    bool was_empty = blockset_is_empty(tracking->sets[TRACKING_OPEN]);

    merge_into_open(tracking, TRACKING_FROZEN);
    merge_into_open(tracking, TRACKING_UNACKED);
    stash_drop_volume(tracking->options.stash, tracking->options.stash_index);
    tracking->merge_count++;
    if (was_empty && !blockset_is_empty(tracking->sets[TRACKING_OPEN]) &&
        tracking->options.dirtied_cb)
        tracking->options.dirtied_cb(tracking->options.arg);
}

void tracking_acked(struct volume *volume)
{
    struct tracking *tracking = tracking_of(volume);

    blockset_clear_all(tracking->sets[TRACKING_UNACKED]);
    blockset_clear_all(tracking->sets[TRACKING_SETTLED]);
    intent_log_sweep_later(tracking);
}
