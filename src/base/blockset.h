/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of block numbers: a two-level bitmap, one bit a block. A leaf (2^15 blocks) is allocated
 * when some of its blocks are set and some are not; of one that is empty or full a bit is told. So
 * an idle 1 TiB disk (2^28 blocks) and one that is marked as a whole cost the top level only, and
 * at most 32 MiB when every leaf is mixed; to mark, clear, merge or walk whole leaves costs a word
 * for each 64 of them (8 GiB), without memory. It answers and never acts: no I/O, no lock, no log.
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

/* What a blockset_clear() of that range will need, when it takes a part of a full leaf away: 0 or
 * -ENOMEM, and the set holds what it held. Good until the set is marked or merged into again. */
int blockset_split(struct blockset *set, uint64_t block, uint64_t count);

/* Takes blocks out. Never fails behind blockset_split(), when the range is the whole set, or was
 * marked last and is taken back; else the process ends when memory is short. */
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
