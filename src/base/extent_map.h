/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ordered map of ranges of unsigned numbers to values. A range set over others overwrites what
 * lies under it and splits what it only touches. Leaves of sorted extents under one sorted array of
 * leaves: 32 bytes an extent, 46 at the usual filling, and a random insert among millions costs a
 * fraction of a microsecond. It answers and never acts: no I/O, no lock, no log.
 */
#ifndef BASE_EXTENT_MAP_H
#define BASE_EXTENT_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct extent_map;

struct extent {
    uint64_t at, count; /* the range [at, at + count); count >= 1, at + count does not overflow */
    uint64_t tag;       /* the value: both halves of a split extent keep it */
    uint64_t place;     /* the value's own position: when an extent loses its first k numbers, or
                           becomes the right half of a split at k, place rises by k */
};

struct extent_map *extent_map_new(void); /* NULL: no memory */
void extent_map_free(struct extent_map *map);

/* Both: 0 or -ENOMEM, and then nothing has changed. */
int extent_map_set(struct extent_map *map, const struct extent *extent);
int extent_map_clear(struct extent_map *map, uint64_t at, uint64_t count);
void extent_map_clear_all(struct extent_map *map);
/* Takes out some of the last extents; true: it is empty. A map of millions is freed so in steps. */
bool extent_map_shrink(struct extent_map *map);

/* The extent that holds `at`, else the first behind it, whole. False: none. */
bool extent_map_find(const struct extent_map *map, uint64_t at, struct extent *ret_extent);

uint64_t extent_map_count(const struct extent_map *map); /* extents */
uint64_t extent_map_memory_bytes(const struct extent_map *map);

#endif
