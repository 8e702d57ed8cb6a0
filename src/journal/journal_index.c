/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal's memory.
 *
 *   X1  the extents of an epoch do not overlap: of several records for a block the last counts;
 *   X2  the newest view is the union of all committed, unreleased epochs, later over earlier, less
 *       what was superseded; and of those that are leaving, which show what the base has too;
 *   X3  an epoch that somebody reads is freed with its last reader, and its segments with it;
 *   X4  an epoch is in the list when all of it is in the newest view, and its segments stay until
 *       nothing of it is.
 *
 * Keys of the maps: the disk in the upper 16 bits, the block below.
 */
#include "journal/journal_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { KEY_DISK_SHIFT = 48 };

static uint64_t key_of(unsigned disk, uint64_t block)
{
    check(disk < (1u << 15) && block < (1ull << KEY_DISK_SHIFT));
    return (uint64_t)disk << KEY_DISK_SHIFT | block;
}

static struct index_record *record_of(const struct extent *extent)
{
    return (struct index_record *)(uintptr_t)extent->tag;
}

static void extent_for_users(const struct extent *extent, struct journal_extent *ret_extent)
{
    const struct index_record *record = record_of(extent);

    *ret_extent = (struct journal_extent){
        .disk = (unsigned)(extent->at >> KEY_DISK_SHIFT),
        .block = extent->at & ((1ull << KEY_DISK_SHIFT) - 1),
        .count = extent->count,
        .is_hole = record->is_hole,
        .epoch = record->epoch->info.epoch,
        .location = {extent->tag, extent->place},
    };
}

int index_init(struct journal_index *index)
{
    *index = (struct journal_index){.newest = extent_map_new(), .spare = extent_map_new()};
    list_init(&index->leaving);
    list_init(&index->zombies);
    list_init(&index->dying);
    return index->newest == NULL ? -ENOMEM : 0;
}

static void free_epochs(struct list *epochs)
{
    struct list *node;

    while ((node = list_pop(epochs)) != NULL)
        index_epoch_free(list_entry(node, struct index_epoch, node));
}

void index_fini(struct journal_index *index)
{
    check(list_is_empty(&index->zombies));
    for (unsigned i = 0; i < index->epoch_count; i++)
        index_epoch_free(index->epochs[i]);
    free_epochs(&index->leaving);
    free_epochs(&index->dying);
    free(index->epochs);
    extent_map_free(index->newest);
    extent_map_free(index->spare);
}

struct index_epoch *index_epoch_new(void)
{
    struct index_epoch *epoch = calloc(1, sizeof(*epoch));

    if (epoch == NULL)
        return NULL;
    list_init(&epoch->node);
    epoch->map = extent_map_new();
    if (epoch->map == NULL) {
        free(epoch);
        return NULL;
    }
    return epoch;
}

void index_epoch_free(struct index_epoch *epoch)
{
    if (epoch == NULL)
        return;
    check(epoch->readers == 0);
    while (epoch->records != NULL) {
        struct index_record *record = epoch->records;
        epoch->records = record->next;
        free(record);
    }
    extent_map_free(epoch->map);
    free(epoch->extents);
    free(epoch);
}

void index_epoch_drop(struct journal_index *index, struct index_epoch *epoch)
{
    if (epoch == NULL)
        return;
    check(epoch->readers == 0 && list_is_empty(&epoch->node));
    list_append(&index->dying, &epoch->node);
}

struct index_record *index_record_new(unsigned disk, uint64_t block, uint64_t count, bool is_hole)
{
    size_t crc_bytes = is_hole ? 0 : (size_t)count * sizeof(uint32_t);
    struct index_record *record = malloc(sizeof(*record) + crc_bytes);

    if (record != NULL)
        *record =
            (struct index_record){.disk = disk, .block = block, .count = count, .is_hole = is_hole};
    return record;
}

int index_epoch_add(struct index_epoch *epoch, struct index_record *record)
{
    struct extent extent = {.at = key_of(record->disk, record->block),
                            .count = record->count,
                            .tag = (uintptr_t)record};

    check(epoch->map != NULL);
    if (extent_map_set(epoch->map, &extent) != 0)
        return -ENOMEM;
    record->epoch = epoch;
    record->next = epoch->records;
    epoch->records = record;
    return 0;
}

int index_epoch_close(struct index_epoch *epoch, uint64_t max)
{
    struct extent extent;

    check(epoch->map != NULL);
    if (epoch->extents == NULL) {
        epoch->extent_count = extent_map_count(epoch->map);
        epoch->extents = malloc((size_t)(epoch->extent_count + 1) * sizeof(extent));
        if (epoch->extents == NULL)
            return -ENOMEM;
        epoch->info.block_count = 0;
    }
    for (; max > 0 && extent_map_find(epoch->map, epoch->listed_to, &extent); max--) {
        check(epoch->step < epoch->extent_count);
        epoch->extents[epoch->step++] = extent;
        epoch->info.block_count += extent.count;
        epoch->listed_to = extent.at + extent.count;
    }
    if (max == 0)
        return 1;
    check(epoch->step == epoch->extent_count);
    epoch->step = epoch->listed_to = 0;
    extent_map_free(epoch->map);
    epoch->map = NULL;
    return 0;
}

void index_epoch_extent(const struct index_epoch *epoch, uint64_t i,
                        struct journal_extent *ret_extent)
{
    check(i < epoch->extent_count);
    extent_for_users(&epoch->extents[i], ret_extent);
}

struct index_end index_epoch_end(const struct index_epoch *epoch)
{
    check(epoch->segment_end != 0);
    return (struct index_end){epoch->info.epoch, epoch->segment_end, epoch->offset_end};
}

/* Of a commit that is durable: without memory for its view the process must end; recovery shows it.
 */
bool index_show(struct journal_index *index, struct index_epoch *epoch, uint64_t max)
{
    check(epoch->map == NULL);
    for (; max > 0 && epoch->step < epoch->extent_count; max--) {
        int error = extent_map_set(index->newest, &epoch->extents[epoch->step++]);
        check(error == 0);
    }
    return epoch->step == epoch->extent_count;
}

int index_reserve(struct journal_index *index)
{
    unsigned room = index->epoch_room * 2 + 64;
    struct index_epoch **epochs;

    if (index->epoch_count < index->epoch_room)
        return 0;
    epochs = realloc(index->epochs, room * sizeof(epochs[0]));
    if (epochs == NULL)
        return -ENOMEM;
    index->epochs = epochs;
    index->epoch_room = room;
    return 0;
}

void index_commit(struct journal_index *index, struct index_epoch *epoch)
{
    const struct index_epoch *before = index_newest(index);

    check(epoch->map == NULL && epoch->step == epoch->extent_count && !index->is_remaking); /* X4 */
    check(before == NULL || before->info.epoch < epoch->info.epoch);
    check(index->epoch_count < index->epoch_room);
    epoch->step = 0;
    index->bytes += epoch->info.bytes;
    index->epochs[index->epoch_count++] = epoch;
}

struct index_epoch *index_newest(const struct journal_index *index)
{
    return index->epoch_count > 0 ? index->epochs[index->epoch_count - 1] : NULL;
}

struct index_epoch *index_find(const struct journal_index *index, uint64_t epoch)
{
    unsigned low = 0, high = index->epoch_count;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (index->epochs[middle]->info.epoch < epoch)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == index->epoch_count || index->epochs[low]->info.epoch != epoch)
        return NULL;
    return index->epochs[low];
}

/* X3 */
static void retire(struct journal_index *index, struct index_epoch *epoch)
{
    epoch->is_released = true;
    if (epoch->readers > 0)
        list_append(&index->zombies, &epoch->node);
    else
        index_epoch_drop(index, epoch);
}

void index_release(struct journal_index *index, uint64_t epoch)
{
    unsigned count = 0;

    check(!index->is_remaking);
    for (; count < index->epoch_count && index->epochs[count]->info.epoch <= epoch; count++) {
        index->bytes -= index->epochs[count]->info.bytes;
        list_append(&index->leaving, &index->epochs[count]->node);
    }
    if (count == 0)
        return;
    index->epoch_count -= count;
    memmove(index->epochs, index->epochs + count, index->epoch_count * sizeof(index->epochs[0]));
}

/* An empty newest view; the old one is freed in steps, with an epoch that goes. */
static void renew(struct journal_index *index, struct index_epoch *epoch)
{
    check(epoch->map == NULL);
    if (index->spare == NULL) {
        extent_map_clear_all(index->newest);
        return;
    }
    epoch->map = index->newest;
    index->newest = index->spare;
    index->spare = extent_map_new();
}

static void forget_last(struct journal_index *index)
{
    struct index_epoch *last = index->epochs[--index->epoch_count];

    index->bytes -= last->info.bytes;
    retire(index, last);
}

void index_forget_after(struct journal_index *index, uint64_t epoch)
{
    struct index_epoch *last = index_newest(index);

    if (last == NULL || last->info.epoch <= epoch)
        return;
    check(list_is_empty(&index->leaving) && !index->is_remaking);
    renew(index, last);
    while ((last = index_newest(index)) != NULL && last->info.epoch > epoch)
        forget_last(index);
    index->is_remaking = index->epoch_count > 0;
    index->remade_count = 0;
}

void index_clear(struct journal_index *index)
{
    struct index_epoch *newest = index_newest(index);
    struct list *node;

    if (newest != NULL)
        renew(index, newest);
    else if (!list_is_empty(&index->leaving))
        renew(index, list_entry(index->leaving.next, struct index_epoch, node));
    check(extent_map_count(index->newest) == 0);
    index->is_remaking = false;
    while (index->epoch_count > 0)
        forget_last(index);
    while ((node = list_pop(&index->leaving)) != NULL)
        retire(index, list_entry(node, struct index_epoch, node));
}

/* --- in steps -------------------------------------------------------------------------------- */

/* What one step may still do. An epoch costs one, whatever it holds. */
static bool pay(uint64_t *budget)
{
    if (*budget == 0)
        return false;
    (*budget)--;
    return true;
}

static void remake(struct journal_index *index, uint64_t *budget)
{
    struct index_epoch *epoch = index->epochs[index->remade_count];
    uint64_t max = *budget, left = epoch->extent_count - epoch->step;

    *budget -= left < max ? left : max;
    if (!index_show(index, epoch, max))
        return;
    epoch->step = 0;
    index->is_remaking = ++index->remade_count < index->epoch_count;
}

/* Takes out of the newest view what lies in `epoch` itself; true: all of it is out. The end of the
 * list is reached the sooner when nothing is in the view. */
static bool hide(struct journal_index *index, struct index_epoch *epoch, uint64_t *budget)
{
    struct extent extent;

    while (epoch->step < epoch->extent_count && extent_map_count(index->newest) > 0) {
        const struct extent *whole = &epoch->extents[epoch->step];

        if (!pay(budget))
            return false;
        if (epoch->listed_to < whole->at)
            epoch->listed_to = whole->at;
        if (!extent_map_find(index->newest, epoch->listed_to, &extent) ||
            extent.at >= whole->at + whole->count) {
            epoch->step++;
            continue;
        }
        epoch->listed_to = extent.at + extent.count;
        if (record_of(&extent)->epoch == epoch) {
            int error = extent_map_clear(index->newest, extent.at, extent.count);
            check(error == 0);
        }
    }
    return true;
}

static void leave(struct journal_index *index, uint64_t *budget)
{
    struct index_epoch *epoch = list_entry(index->leaving.next, struct index_epoch, node);

    if (!hide(index, epoch, budget))
        return;
    list_remove(&epoch->node);
    retire(index, epoch);
    index->has_left = true;
}

static void bury(struct journal_index *index, uint64_t *budget)
{
    struct index_epoch *epoch = list_entry(index->dying.next, struct index_epoch, node);

    while (epoch->records != NULL && pay(budget)) {
        struct index_record *record = epoch->records;

        epoch->records = record->next;
        free(record);
    }
    while (epoch->map != NULL && !extent_map_shrink(epoch->map))
        if (!pay(budget))
            return;
    if (epoch->records != NULL)
        return;
    list_remove(&epoch->node);
    check(index->dying.next != &epoch->node);
    index_epoch_free(epoch);
}

bool index_is_settled(const struct journal_index *index)
{
    return !index->is_remaking && list_is_empty(&index->leaving);
}

bool index_step(struct journal_index *index, uint64_t max)
{
    uint64_t budget = max + 1; /* an epoch is begun, and something of it done */

    check(max > 0 && max < UINT64_MAX);
    while (pay(&budget)) {
        if (index->is_remaking)
            remake(index, &budget);
        else if (!list_is_empty(&index->leaving))
            leave(index, &budget);
        else if (!list_is_empty(&index->dying))
            bury(index, &budget);
        else
            return false;
    }
    return !index_is_settled(index) || !list_is_empty(&index->dying);
}

bool index_take_left(struct journal_index *index)
{
    bool has_left = index->has_left;

    index->has_left = false;
    return has_left;
}

static uint64_t oldest_segment(const struct list *epochs, uint64_t oldest)
{
    for (const struct list *node = epochs->next; node != epochs; node = node->next) {
        const struct index_epoch *epoch = list_entry(node, struct index_epoch, node);
        if (epoch->segment_first < oldest)
            oldest = epoch->segment_first;
    }
    return oldest;
}

uint64_t index_segment_needed(const struct journal_index *index)
{
    uint64_t needed = index->epoch_count > 0 ? index->epochs[0]->segment_first : UINT64_MAX;

    return oldest_segment(&index->zombies, oldest_segment(&index->leaving, needed));
}

/* The part of `extent` in [from, from + count). */
static void clip(struct extent *extent, uint64_t from, uint64_t count)
{
    if (extent->at < from) {
        extent->place += from - extent->at;
        extent->count -= from - extent->at;
        extent->at = from;
    }
    if (extent->count > count - (extent->at - from))
        extent->count = count - (extent->at - from);
}

bool index_lookup(const struct journal_index *index, unsigned disk, uint64_t block, uint64_t count,
                  struct journal_extent *ret_extent)
{
    uint64_t key = key_of(disk, block);
    struct extent extent;

    check(count > 0);
    if (!extent_map_find(index->newest, key, &extent) || extent.at >= key + count) {
        *ret_extent = (struct journal_extent){.disk = disk, .block = block, .count = count};
        return false;
    }
    if (extent.at > key) {
        *ret_extent =
            (struct journal_extent){.disk = disk, .block = block, .count = extent.at - key};
        return false;
    }
    clip(&extent, key, count);
    extent_for_users(&extent, ret_extent);
    return true;
}

bool index_next(const struct journal_index *index, unsigned disk, uint64_t block,
                uint64_t count_max, struct journal_extent *ret_extent)
{
    uint64_t key = key_of(disk, block);
    struct extent extent;

    check(count_max > 0);
    if (!extent_map_find(index->newest, key, &extent))
        return false;
    clip(&extent, extent.at > key ? extent.at : key, count_max);
    extent_for_users(&extent, ret_extent);
    return true;
}

void index_supersede(struct journal_index *index, unsigned disk, uint64_t block, uint64_t count)
{
    int error = extent_map_clear(index->newest, key_of(disk, block), count);

    check(error == 0); /* out of memory: going on would show what a host has replaced */
}

void index_read_begin(const struct index_record *record)
{
    record->epoch->readers++;
}

bool index_read_end(struct journal_index *index, struct index_epoch *epoch)
{
    check(epoch->readers > 0);
    if (--epoch->readers > 0 || !epoch->is_released)
        return false;
    list_remove(&epoch->node);
    index_epoch_drop(index, epoch);
    return true;
}

struct index_record *index_extent_record(const struct journal_extent *extent)
{
    return (struct index_record *)(uintptr_t)extent->location[0];
}
