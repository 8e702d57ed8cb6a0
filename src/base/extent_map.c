/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranges to values: a sorted array of leaves, each a sorted array of extents.
 *
 * Two levels are enough: with four million extents the upper array has some 45 000 entries, it is
 * searched by halving, and it moves only when a leaf is made or goes.
 *
 *   E1  extents of the map do not overlap, and they rise from leaf to leaf and within a leaf;
 *   E2  no leaf is empty;
 *   E3  a change reserves what it may need first (two leaves, room above), so that a lack of memory
 *       leaves the map as it was.
 */
#include "base/extent_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { LEAF_EXTENT_MAX = 127, LEAF_SPARE_MAX = 2 };

struct leaf {
    unsigned count;
    struct extent extents[LEAF_EXTENT_MAX];
};

struct extent_map {
    struct leaf **leaves;
    size_t leaf_count, leaf_room;
    struct leaf *spare[LEAF_SPARE_MAX];
    unsigned spare_count;
    uint64_t extent_count;
};

struct place { /* of an extent; leaf == leaf_count: behind the last */
    size_t leaf;
    unsigned index;
};

struct extent_map *extent_map_new(void)
{
    return calloc(1, sizeof(struct extent_map));
}

void extent_map_free(struct extent_map *map)
{
    if (map == NULL)
        return;
    extent_map_clear_all(map);
    while (map->spare_count > 0)
        free(map->spare[--map->spare_count]);
    free(map->leaves);
    free(map);
}

void extent_map_clear_all(struct extent_map *map)
{
    for (size_t i = 0; i < map->leaf_count; i++)
        free(map->leaves[i]);
    map->leaf_count = 0;
    map->extent_count = 0;
}

bool extent_map_shrink(struct extent_map *map)
{
    if (map->leaf_count > 0) {
        struct leaf *leaf = map->leaves[--map->leaf_count];

        map->extent_count -= leaf->count;
        free(leaf);
    }
    return map->leaf_count == 0;
}

static uint64_t end_of(const struct extent *extent)
{
    return extent->at + extent->count;
}

/* E3: after 0, two inserts cannot fail. */
static int reserve(struct extent_map *map)
{
    while (map->spare_count < LEAF_SPARE_MAX) {
        struct leaf *leaf = malloc(sizeof(*leaf));
        if (leaf == NULL)
            return -ENOMEM;
        map->spare[map->spare_count++] = leaf;
    }
    if (map->leaf_room < map->leaf_count + LEAF_SPARE_MAX) {
        size_t room = map->leaf_room * 2 + 16;
        struct leaf **leaves = realloc(map->leaves, room * sizeof(leaves[0]));
        if (leaves == NULL)
            return -ENOMEM;
        map->leaves = leaves;
        map->leaf_room = room;
    }
    return 0;
}

/* The first extent that ends behind `at`. */
static struct place find(const struct extent_map *map, uint64_t at)
{
    struct place place = {0, 0};
    size_t low = 0, high = map->leaf_count;

    while (low < high) { /* the first leaf whose last extent ends behind `at` */
        size_t middle = low + (high - low) / 2;
        const struct leaf *leaf = map->leaves[middle];
        check(leaf->count > 0);
        if (end_of(&leaf->extents[leaf->count - 1]) > at)
            high = middle;
        else
            low = middle + 1;
    }
    place.leaf = low;
    if (low == map->leaf_count)
        return place;
    for (unsigned from = 0, to = map->leaves[low]->count; from < to;) {
        unsigned middle = from + (to - from) / 2;
        if (end_of(&map->leaves[low]->extents[middle]) > at)
            to = middle;
        else
            from = middle + 1;
        place.index = from;
    }
    check(place.index < map->leaves[low]->count);
    return place;
}

static struct extent *at_place(const struct extent_map *map, struct place place)
{
    return place.leaf < map->leaf_count ? &map->leaves[place.leaf]->extents[place.index] : NULL;
}

static void insert_leaf(struct extent_map *map, size_t index, struct leaf *leaf)
{
    check(map->leaf_count < map->leaf_room && index <= map->leaf_count);
    memmove(&map->leaves[index + 1], &map->leaves[index],
            (map->leaf_count - index) * sizeof(map->leaves[0]));
    map->leaves[index] = leaf;
    map->leaf_count++;
}

static struct leaf *take_spare(struct extent_map *map)
{
    check(map->spare_count > 0);
    map->spare[map->spare_count - 1]->count = 0;
    return map->spare[--map->spare_count];
}

/* Puts the extent before `place`. A full leaf is halved; a full last leaf that grows at its end
 * gets an empty neighbour instead, so that ascending inserts fill leaves whole. */
static void insert(struct extent_map *map, struct place place, const struct extent *extent)
{
    struct leaf *leaf;

    if (map->leaf_count == 0)
        insert_leaf(map, 0, take_spare(map));
    if (place.leaf == map->leaf_count) {
        place.leaf--;
        place.index = map->leaves[place.leaf]->count;
    }
    leaf = map->leaves[place.leaf];
    check(place.index <= leaf->count);
    if (leaf->count == LEAF_EXTENT_MAX) {
        struct leaf *right = take_spare(map);
        unsigned keep = place.index == leaf->count ? leaf->count : leaf->count / 2;

        right->count = leaf->count - keep;
        memcpy(right->extents, &leaf->extents[keep], right->count * sizeof(*extent));
        leaf->count = keep;
        insert_leaf(map, place.leaf + 1, right);
        if (place.index > keep || right->count == 0) {
            leaf = right;
            place.index -= keep;
        }
    }
    memmove(&leaf->extents[place.index + 1], &leaf->extents[place.index],
            (leaf->count - place.index) * sizeof(*extent));
    leaf->extents[place.index] = *extent;
    leaf->count++;
    map->extent_count++;
}

static void remove_leaves(struct extent_map *map, size_t from, size_t to)
{
    check(from <= to && to <= map->leaf_count);
    for (size_t i = from; i < to; i++)
        free(map->leaves[i]);
    memmove(&map->leaves[from], &map->leaves[to], (map->leaf_count - to) * sizeof(map->leaves[0]));
    map->leaf_count -= to - from;
}

/* A thin leaf goes into its right neighbour's room when both fit one half-full leaf. */
static void merge_thin(struct extent_map *map, size_t index)
{
    struct leaf *leaf, *next;

    if (index + 1 >= map->leaf_count)
        return;
    leaf = map->leaves[index];
    next = map->leaves[index + 1];
    if (leaf->count + next->count > LEAF_EXTENT_MAX / 2)
        return;
    memcpy(&leaf->extents[leaf->count], next->extents, next->count * sizeof(next->extents[0]));
    leaf->count += next->count;
    remove_leaves(map, index + 1, index + 2);
}

/* Takes out the extents from `first` up to, not including, `last`. */
static void remove_run(struct extent_map *map, struct place first, struct place last)
{
    struct leaf *leaf;
    size_t from = first.leaf;

    if (first.leaf == last.leaf && first.index == last.index)
        return;
    check(first.leaf < map->leaf_count);
    leaf = map->leaves[first.leaf];
    if (first.leaf == last.leaf) {
        check(first.index < last.index && last.index <= leaf->count);
        memmove(&leaf->extents[first.index], &leaf->extents[last.index],
                (leaf->count - last.index) * sizeof(leaf->extents[0]));
        leaf->count -= last.index - first.index;
        map->extent_count -= last.index - first.index;
    } else {
        map->extent_count -= leaf->count - first.index;
        leaf->count = first.index;
        for (size_t i = first.leaf + 1; i < last.leaf; i++)
            map->extent_count -= map->leaves[i]->count;
        if (last.leaf < map->leaf_count && last.index > 0) {
            struct leaf *end = map->leaves[last.leaf];
            check(last.index < end->count);
            memmove(&end->extents[0], &end->extents[last.index],
                    (end->count - last.index) * sizeof(end->extents[0]));
            end->count -= last.index;
            map->extent_count -= last.index;
        }
        remove_leaves(map, first.leaf + 1, last.leaf);
    }
    if (map->leaves[from]->count == 0)
        remove_leaves(map, from, from + 1);
    else
        merge_thin(map, from);
}

/* Clears the range; reserve() was called. At most one insert. */
static void clear_range(struct extent_map *map, uint64_t at, uint64_t count)
{
    struct place place = find(map, at);
    struct extent *extent = at_place(map, place);
    uint64_t end = at + count;

    if (extent == NULL || extent->at >= end)
        return;
    if (extent->at < at) {
        struct extent right = *extent;

        extent->count = at - extent->at;
        if (end_of(&right) > end) { /* the range lies inside: its right part stays */
            right.place += end - right.at;
            right.count = end_of(&right) - end;
            right.at = end;
            place.index++;
            insert(map, place, &right);
            return;
        }
        place = find(map, at);
    }
    remove_run(map, place, find(map, end));
    extent = at_place(map, find(map, at));
    if (extent != NULL && extent->at < end) { /* it reaches past the end: loses its first part */
        uint64_t lost = end - extent->at;

        check(lost < extent->count);
        extent->at += lost;
        extent->place += lost;
        extent->count -= lost;
    }
}

int extent_map_clear(struct extent_map *map, uint64_t at, uint64_t count)
{
    check(count <= UINT64_MAX - at);
    if (count == 0)
        return 0;
    if (reserve(map) != 0)
        return -ENOMEM;
    clear_range(map, at, count);
    return 0;
}

int extent_map_set(struct extent_map *map, const struct extent *extent)
{
    check(extent->count > 0 && extent->count <= UINT64_MAX - extent->at);
    if (reserve(map) != 0)
        return -ENOMEM;
    clear_range(map, extent->at, extent->count);
    insert(map, find(map, extent->at), extent);
    return 0;
}

bool extent_map_find(const struct extent_map *map, uint64_t at, struct extent *ret_extent)
{
    const struct extent *extent = at_place(map, find(map, at));

    if (extent == NULL)
        return false;
    *ret_extent = *extent;
    return true;
}

uint64_t extent_map_count(const struct extent_map *map)
{
    return map->extent_count;
}

uint64_t extent_map_memory_bytes(const struct extent_map *map)
{
    return sizeof(*map) + map->leaf_room * sizeof(map->leaves[0]) +
           (map->leaf_count + map->spare_count) * sizeof(struct leaf);
}
