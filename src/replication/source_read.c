/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots: free -> reading -> unsent -> (fingerprints: asked ->) free. What was read is
 * queued in the order in which reads ended, so content of one block never travels out of order: the
 * range lock keeps a write from coming between two reads of it. Stashed content has no lock: after
 * a merge it is thrown away.
 *
 * A read that ends while nothing may be sent (link lost, stopped, target blocked) took its blocks
 * out of their set; they go back by a merge. No cut is open then, so the merge takes nothing from
 * an epoch under way.
 */
#include "replication/source_parts.h"

#include <errno.h>
#include <stdlib.h>

#include "base/crc32c.h"

#define MEMORY_RETRY_NS (UINT64_C(1000000000) / 10)

static void end_of_reading(struct source *source)
{
    if (source->idle_cb != NULL && source_is_idle(source)) {
        void (*idle_cb)(void *arg) = source->idle_cb;

        source->idle_cb = NULL;
        idle_cb(source->idle_arg);
    }
}

/* Blocks were read: out they go, or back. */
static void slot_was_read(struct slot *slot)
{
    struct source *source = slot->source;

    if (!source_may_send(source)) {
        tracking_merge(source->volumes[slot->volume]);
        source_free_slot(slot);
        return;
    }
    if (!slot->is_hole)
        for (uint64_t i = 0; i < slot->count; i++)
            slot->crcs[i] = crc32c(0, slot->bytes + (i << BLOCK_SHIFT), BLOCK_SIZE);
    slot->state = SLOT_UNSENT;
    slot->sent = 0;
    list_append(&source->unsent, &slot->node);
    source_flush(source);
    source_poll_soon(source);
}

/* The question goes behind all that was sent: of that the target must have what it says. */
static void slot_ask(struct slot *slot)
{
    struct source *source = slot->source;

    if (slot->count > source->read_blocks)
        slot->count = source->read_blocks;
    if (!source_may_send(source)) {
        source_free_slot(slot);
        return;
    }
    slot->token = ++source->token_next;
    slot->state = SLOT_UNSENT;
    list_append(&source->unsent, &slot->node);
    source_flush(source);
    source_poll_soon(source);
}

static void slot_ship_done(struct ship *ship, int error)
{
    struct slot *slot = container_of(ship, struct slot, ship);
    struct source *source = slot->source;

    check(slot->state == SLOT_READING && slot->is_reading);
    slot->is_reading = false;
    slot->block = ship->block;
    slot->count = ship->count;
    slot->is_hole = ship->is_hole;
    if (error == -ENOENT) {
        source_free_slot(slot);
    } else if (error != 0) {
        source_free_slot(slot);
        source_step(source, (struct source_event){.kind = SOURCE_EVENT_READ_FAILED});
        source->callbacks.trouble_cb(source->callbacks.arg,
                                     error == -EBADMSG
                                         ? "the journal under a disk is damaged, the log names the "
                                           "file: replication rests and tries again"
                                         : "disk cannot be read at the source: replication rests "
                                           "and tries again; check the disk's store");
    } else if (slot->work == SLOT_COMPARE) {
        slot_ask(slot);
    } else {
        slot_was_read(slot);
    }
    end_of_reading(source);
}

static void slot_stash_done(struct stash_op *op, int error)
{
    struct slot *slot = container_of(op, struct slot, stash_op);
    struct source *source = slot->source;

    check(slot->state == SLOT_READING && slot->is_reading);
    slot->is_reading = false;
    /* After a merge the block is open again, and this content may be older than what is shipped of
     * it next: no lock kept them in order. */
    if (slot->merge_count != source->merge_count) {
        source_free_slot(slot);
    } else if (error == 0) {
        slot_was_read(slot);
    } else {
        source_free_slot(slot);
        source_step(source, (struct source_event){.kind = SOURCE_EVENT_READ_FAILED});
    }
    end_of_reading(source);
}

/* False: no memory; it is tried again soon. */
static bool slot_begin(struct slot *slot)
{
    struct source *source = slot->source;

    if (slot->bytes == NULL)
        slot->bytes = aligned_alloc(BLOCK_SIZE, (size_t)SLOT_BLOCKS * BLOCK_SIZE);
    if (slot->bytes == NULL)
        loop_timer_set(source->loop, &source->credit_timer,
                       loop_now_ns(source->loop) + MEMORY_RETRY_NS);
    return slot->bytes != NULL;
}

static void slot_submit(struct slot *slot, enum slot_work work, unsigned volume,
                        enum tracking_set which, uint64_t from, uint64_t count_max)
{
    slot->state = SLOT_READING;
    slot->is_reading = true;
    slot->work = work;
    slot->volume = volume;
    slot->ship.bytes = slot->bytes;
    tracking_ship(slot->source->volumes[volume], &slot->ship, which, from, count_max,
                  slot_ship_done);
}

/* The next run of any volume, in turns; each volume goes on where its last read ended. */
static bool find_run(struct source *source, enum tracking_set which, unsigned *ret_volume,
                     uint64_t *ret_block)
{
    uint64_t count;

    for (unsigned i = 0; i < source->volume_count; i++) {
        unsigned volume = (source->volume_turn + i) % source->volume_count;
        const struct blockset *set = tracking_set(source->volumes[volume], which);

        if (blockset_is_empty(set))
            continue;
        if (!blockset_next(set, source->cursors[volume], source->read_blocks, ret_block, &count))
            check(blockset_next(set, 0, source->read_blocks, ret_block, &count));
        source->cursors[volume] = *ret_block + count;
        if (source->cursors[volume] >= blockset_size(set))
            source->cursors[volume] = 0;
        source->volume_turn = volume + 1;
        *ret_volume = volume;
        return true;
    }
    return false;
}

static bool take_stashed(struct slot *slot)
{
    struct source *source = slot->source;
    unsigned volume;
    uint64_t block;

    if (!stash_take(source->stash, &slot->stash_op, &volume, &block, slot->bytes, slot_stash_done))
        return false;
    slot->state = SLOT_READING;
    slot->is_reading = true;
    slot->work = SLOT_SHIP;
    slot->volume = volume;
    slot->block = block;
    slot->count = 1;
    slot->is_hole = false;
    slot->merge_count = source->merge_count;
    return true;
}

void source_begin_ships(struct source *source, enum slot_work work)
{
    for (unsigned i = 0; i < SLOT_COUNT; i++) {
        struct slot *slot = &source->slots[i];
        enum tracking_set which = work == SLOT_PRECOPY ? TRACKING_OPEN : TRACKING_FROZEN;
        unsigned volume;
        uint64_t block;

        if (slot->state != SLOT_FREE)
            continue;
        if (!slot_begin(slot))
            return;
        if (work == SLOT_SHIP && take_stashed(slot))
            continue;
        if (!find_run(source, which, &volume, &block))
            return;
        slot_submit(slot, work, volume, which, block, source->read_blocks);
    }
}

/* Suspects stay in their set until the verdict: one pass over them at a time, without overlap. */
static bool find_suspects(struct source *source, uint64_t *ret_block, uint64_t *ret_count)
{
    while (source->compare_volume < source->volume_count) {
        const struct blockset *set =
            tracking_set(source->volumes[source->compare_volume], TRACKING_SUSPECT);

        if (source->compare_cursor < blockset_size(set) &&
            blockset_next(set, source->compare_cursor, source->read_blocks, ret_block, ret_count)) {
            source->compare_cursor = *ret_block + *ret_count;
            return true;
        }
        source->compare_volume++;
        source->compare_cursor = 0;
    }
    return false;
}

static unsigned compare_count(const struct source *source)
{
    unsigned count = 0;

    for (unsigned i = 0; i < SLOT_COUNT; i++)
        count += source->slots[i].state != SLOT_FREE && source->slots[i].work == SLOT_COMPARE;
    return count;
}

/* A pass may leave some behind (a read takes less than it was asked for): then another one begins,
 * once all is answered. */
static bool find_more_suspects(struct source *source, uint64_t *ret_block, uint64_t *ret_count)
{
    if (find_suspects(source, ret_block, ret_count))
        return true;
    if (compare_count(source) > 0)
        return false;
    source->compare_volume = 0;
    source->compare_cursor = 0;
    return find_suspects(source, ret_block, ret_count);
}

void source_begin_compares(struct source *source)
{
    for (unsigned i = 0; i < SLOT_COUNT; i++) {
        struct slot *slot = &source->slots[i];
        uint64_t block, count;

        if (slot->state != SLOT_FREE)
            continue;
        if (!slot_begin(slot))
            return;
        if (!find_more_suspects(source, &block, &count))
            return;
        slot_submit(slot, SLOT_COMPARE, source->compare_volume, TRACKING_SUSPECT, block, count);
    }
}
