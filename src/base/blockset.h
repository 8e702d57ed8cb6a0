/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of block numbers: a two-level bitmap, one bit a block, leaves allocated on demand and freed
 * when they become empty. An idle 1 TiB disk (2^28 blocks) costs the top level only; a full one
 * 32 MiB. It answers and never acts: no I/O, no lock, no log.
 *
 * A block is 4096 bytes everywhere in Verso; `count` is always a number of blocks.
 */
#ifndef BASE_BLOCKSET_H
#define BASE_BLOCKSET_H

#include <stdbool.h>
#include <stdint.h>

enum { BLOCK_SHIFT = 12, BLOCK_SIZE = 4096 };

struct blockset;

/* A set over blocks 0 .. count_max - 1, empty; NULL when memory is short. */
struct blockset *blockset_new(uint64_t count_max);
void blockset_free(struct blockset *set);
/* Over blocks 0 .. count_max - 1 from here on; what is in it stays, and lies below. -ENOMEM (never
 * when it becomes smaller): it is as it was. */
int blockset_resize(struct blockset *set, uint64_t count_max);

/* Each returns 0 or -ENOMEM; after -ENOMEM the set holds a superset of what it held before
 * (mark) or is unchanged. Ranges must lie inside the set. */
int blockset_mark(struct blockset *set, uint64_t block, uint64_t count);
int blockset_merge(struct blockset *into, const struct blockset *from);

/* Takes blocks out. Never fails. */
void blockset_clear(struct blockset *set, uint64_t block, uint64_t count);
void blockset_clear_all(struct blockset *set);

bool blockset_has(const struct blockset *set, uint64_t block);
bool blockset_intersects(const struct blockset *set, uint64_t block, uint64_t count);
uint64_t blockset_count(const struct blockset *set); /* O(1) */
uint64_t blockset_size(const struct blockset *set);  /* count_max */
bool blockset_is_empty(const struct blockset *set);

/* The first run of set blocks at or after `from`, at most `count_max` long. False: none. */
bool blockset_next(const struct blockset *set, uint64_t from, uint64_t count_max,
                   uint64_t *ret_block, uint64_t *ret_count);

/* Bytes of memory held, for reports and the bench. */
uint64_t blockset_memory_bytes(const struct blockset *set);

#endif
