/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two-level bitmap behind dirty tracking: every host write marks here, so one block must cost a
 * shift, a load and an or; and a first copy marks the whole disk, so a whole leaf must cost a bit.
 *
 * Leaf i is of blocks i * 32768 ... i * 32768 + 32767 (128 MiB of disk), and in one of three
 * states:
 *
 *            leaves[i]   counts[i]          live, bit i   full, bit i
 *   empty    NULL        0                  0             0
 *   mixed    512 words   bits set, not 0    1             0
 *   full     NULL        0                  1             1
 *
 * A word of live and full is 64 leaves, 8 GiB of disk: scans hop, and whole leaves are marked,
 * cleared and merged a word at a time, without memory.
 *
 * Invariants, at every return:
 *   1. Each leaf is in one of the three states. One that holds a block at or beyond count_max is
 *      never full.
 *   2. total is the sum of counts[], and 32768 for each full leaf.
 *   3. No bit at or beyond count_max is set.
 *   4. At most one spare leaf is kept, all zero, so that a block which is marked and cleared in
 *      turn does not allocate each time.
 *   5. A leaf becomes full when its last bit is marked, and mixed when a part of it is to be
 *      cleared; that takes memory (blockset_split()). A mixed leaf may have all its bits set
 *      between the two.
 */
#include "base/blockset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum {
    LEAF_SHIFT = 15,
    LEAF_BLOCKS = 1 << LEAF_SHIFT,
    LEAF_WORDS = LEAF_BLOCKS / 64,
    LEAF_BYTES = LEAF_BLOCKS / 8,
};

struct blockset {
    uint64_t count_max;
    uint64_t total;
    uint64_t leaf_count;  /* leaves that count_max asks for */
    uint64_t leaves_held; /* leaves allocated, without the spare */
    uint64_t **leaves;
    uint32_t *counts;
    uint64_t *live;
    uint64_t *full;
    uint64_t *spare;
};

/* Of live and of full. */
static uint64_t word_count(const struct blockset *set)
{
    return (set->leaf_count + 63) / 64;
}

static bool is_full(const struct blockset *set, uint64_t index)
{
    return set->full[index / 64] >> (index % 64) & 1;
}

struct blockset *blockset_new(uint64_t count_max)
{
    struct blockset *set = calloc(1, sizeof(*set));

    if (set == NULL)
        return NULL;
    check(count_max <= UINT64_MAX >> BLOCK_SHIFT);
    set->count_max = count_max;
    set->leaf_count = (count_max + LEAF_BLOCKS - 1) >> LEAF_SHIFT;
    set->leaves = calloc(set->leaf_count + 1, sizeof(*set->leaves));
    set->counts = calloc(set->leaf_count + 1, sizeof(*set->counts));
    set->live = calloc(word_count(set) + 1, sizeof(*set->live));
    set->full = calloc(word_count(set) + 1, sizeof(*set->full));
    if (!set->leaves || !set->counts || !set->live || !set->full) {
        blockset_free(set);
        return NULL;
    }
    return set;
}

void blockset_free(struct blockset *set)
{
    if (set == NULL)
        return;
    if (set->leaves && set->counts && set->live && set->full)
        blockset_clear_all(set);
    free(set->spare);
    free(set->full);
    free(set->live);
    free(set->counts);
    free(set->leaves);
    free(set);
}

/* More room, zeroed behind what is there; NULL: `from` is as it was. */
static void *widen(void *from, uint64_t count, uint64_t new_count, size_t size)
{
    uint8_t *to = realloc(from, new_count * size);

    if (to != NULL)
        memset(to + count * size, 0, (new_count - count) * size);
    return to;
}

static int make_room(struct blockset *set, uint64_t leaf_count)
{
    uint64_t words = (leaf_count + 63) / 64;
    void *at;

    /* What was widened when the next one fails has room that nobody uses. */
    at = widen(set->leaves, set->leaf_count + 1, leaf_count + 1, sizeof(*set->leaves));
    if (at == NULL)
        return -ENOMEM;
    set->leaves = at;
    at = widen(set->counts, set->leaf_count + 1, leaf_count + 1, sizeof(*set->counts));
    if (at == NULL)
        return -ENOMEM;
    set->counts = at;
    at = widen(set->live, word_count(set) + 1, words + 1, sizeof(*set->live));
    if (at == NULL)
        return -ENOMEM;
    set->live = at;
    at = widen(set->full, word_count(set) + 1, words + 1, sizeof(*set->full));
    if (at == NULL)
        return -ENOMEM;
    set->full = at;
    return 0;
}

/* Makes an empty leaf mixed; its count may stay 0 only until the caller has marked in it. */
static int leaf_make(struct blockset *set, uint64_t index)
{
    uint64_t *leaf = set->spare;

    check(set->leaves[index] == NULL && set->counts[index] == 0 && !is_full(set, index));
    set->spare = NULL;
    if (leaf == NULL)
        leaf = calloc(1, LEAF_BYTES);
    if (leaf == NULL)
        return -ENOMEM;
    set->leaves[index] = leaf;
    set->live[index / 64] |= UINT64_C(1) << (index % 64);
    set->leaves_held++;
    return 0;
}

/* Makes a mixed leaf empty; `is_zero` says that its bits are all clear, so that it can be the
 * spare. */
static void leaf_drop(struct blockset *set, uint64_t index, bool is_zero)
{
    check(set->leaves[index] != NULL && set->leaves_held > 0);
    check(set->total >= set->counts[index]);
    if (is_zero && set->spare == NULL)
        set->spare = set->leaves[index];
    else
        free(set->leaves[index]);
    set->leaves[index] = NULL;
    set->live[index / 64] &= ~(UINT64_C(1) << (index % 64));
    set->total -= set->counts[index];
    set->counts[index] = 0;
    set->leaves_held--;
}

/* Makes the leaves `mask` of word `word` full, or empty. Never fails. */
static void leaves_set(struct blockset *set, uint64_t word, uint64_t mask, bool to_full)
{
    uint64_t mixed = set->live[word] & ~set->full[word] & mask;

    for (; mixed != 0; mixed &= mixed - 1)
        leaf_drop(set, word * 64 + (unsigned)__builtin_ctzll(mixed), false);
    set->total -= (uint64_t)__builtin_popcountll(set->full[word] & mask) << LEAF_SHIFT;
    set->full[word] &= ~mask;
    set->live[word] &= ~mask;
    if (!to_full)
        return;
    set->total += (uint64_t)__builtin_popcountll(mask) << LEAF_SHIFT;
    set->full[word] |= mask;
    set->live[word] |= mask;
}

/* A mixed leaf has all its bits set: full from here on. */
static void leaf_join(struct blockset *set, uint64_t index)
{
    check(set->counts[index] == LEAF_BLOCKS);
    if (set->spare == NULL) {
        memset(set->leaves[index], 0, LEAF_BYTES);
        leaf_drop(set, index, true);
    }
    leaves_set(set, index / 64, UINT64_C(1) << (index % 64), true);
}

/* A full leaf becomes mixed, with all its bits set. */
static int leaf_split(struct blockset *set, uint64_t index)
{
    uint64_t *leaf = set->spare;

    check(is_full(set, index));
    set->spare = NULL;
    if (leaf == NULL)
        leaf = malloc(LEAF_BYTES);
    if (leaf == NULL)
        return -ENOMEM;
    memset(leaf, 0xff, LEAF_BYTES);
    set->leaves[index] = leaf;
    set->counts[index] = LEAF_BLOCKS;
    set->full[index / 64] &= ~(UINT64_C(1) << (index % 64));
    set->leaves_held++;
    return 0;
}

/* The bits of word `word` that lie in [first, last]. */
static uint64_t word_mask(uint64_t word, uint64_t first, uint64_t last)
{
    uint64_t mask = UINT64_MAX;

    if (word == first / 64)
        mask &= UINT64_MAX << (first % 64);
    if (word == last / 64)
        mask &= UINT64_MAX >> (63 - last % 64);
    return mask;
}

/* The leaves [first, end). */
static void leaves_set_range(struct blockset *set, uint64_t first, uint64_t end, bool to_full)
{
    check(first < end);
    for (uint64_t word = first / 64; word <= (end - 1) / 64; word++)
        leaves_set(set, word, word_mask(word, first, end - 1), to_full);
}

/* Sets bits [first, last] of a leaf; returns how many were clear. */
static unsigned leaf_mark(uint64_t *leaf, unsigned first, unsigned last)
{
    unsigned added = 0;

    for (unsigned word = first / 64; word <= last / 64; word++) {
        uint64_t mask = word_mask(word, first, last);
        added += (unsigned)__builtin_popcountll(mask & ~leaf[word]);
        leaf[word] |= mask;
    }
    return added;
}

/* Clears bits [first, last] of a leaf; returns how many were set. */
static unsigned leaf_clear(uint64_t *leaf, unsigned first, unsigned last)
{
    unsigned removed = 0;

    for (unsigned word = first / 64; word <= last / 64; word++) {
        uint64_t mask = word_mask(word, first, last);
        removed += (unsigned)__builtin_popcountll(mask & leaf[word]);
        leaf[word] &= ~mask;
    }
    return removed;
}

/* The part of [block, end) that lies in block's leaf, as its last bit there. */
static unsigned last_in_leaf(uint64_t block, uint64_t end)
{
    uint64_t leaf_end = (block | (LEAF_BLOCKS - 1)) + 1;

    return (unsigned)(((end < leaf_end ? end : leaf_end) - 1) & (LEAF_BLOCKS - 1));
}

static void check_range(const struct blockset *set, uint64_t block, uint64_t count)
{
    check(block <= set->count_max && count <= set->count_max - block);
}

static int mark_in_leaf(struct blockset *set, uint64_t index, unsigned first, unsigned last)
{
    unsigned added;

    if (set->leaves[index] == NULL) {
        if (is_full(set, index))
            return 0;
        if (leaf_make(set, index) < 0)
            return -ENOMEM;
    }
    added = leaf_mark(set->leaves[index], first, last);
    set->counts[index] += added;
    set->total += added;
    if (set->counts[index] == LEAF_BLOCKS)
        leaf_join(set, index);
    return 0;
}

int blockset_mark(struct blockset *set, uint64_t block, uint64_t count)
{
    uint64_t end = block + count;

    check_range(set, block, count);
    while (block < end) {
        uint64_t index = block >> LEAF_SHIFT;
        unsigned first = block & (LEAF_BLOCKS - 1), last;

        if (first == 0 && end - block >= LEAF_BLOCKS) {
            leaves_set_range(set, index, end >> LEAF_SHIFT, true);
            block = end & ~(uint64_t)(LEAF_BLOCKS - 1);
            continue;
        }
        last = last_in_leaf(block, end);
        if (mark_in_leaf(set, index, first, last) < 0)
            return -ENOMEM;
        block += last - first + 1;
    }
    return 0;
}

int blockset_split(struct blockset *set, uint64_t block, uint64_t count)
{
    uint64_t end = block + count;
    uint64_t edges[2] = {block, end};

    check_range(set, block, count);
    if (count == 0)
        return 0;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t index = edges[i] >> LEAF_SHIFT;

        if (edges[i] % LEAF_BLOCKS != 0 && is_full(set, index) && leaf_split(set, index) < 0)
            return -ENOMEM;
    }
    return 0;
}

static void clear_in_leaf(struct blockset *set, uint64_t index, unsigned first, unsigned last)
{
    unsigned removed;

    if (is_full(set, index))
        check(leaf_split(set, index) == 0);
    if (set->leaves[index] == NULL)
        return;
    removed = leaf_clear(set->leaves[index], first, last);
    check(removed <= set->counts[index]);
    set->counts[index] -= removed;
    set->total -= removed;
    if (set->counts[index] == 0)
        leaf_drop(set, index, true);
}

/* From the end to the beginning: what takes a mark back finds the leaf that the mark made at its
 * end, and it is the spare when the leaf at the beginning is split. */
void blockset_clear(struct blockset *set, uint64_t block, uint64_t count)
{
    uint64_t end = block + count;

    check_range(set, block, count);
    while (block < end) {
        uint64_t index = (end - 1) >> LEAF_SHIFT, at = index << LEAF_SHIFT;

        if (end - at == LEAF_BLOCKS && at >= block) {
            uint64_t first = (block + LEAF_BLOCKS - 1) >> LEAF_SHIFT;

            leaves_set_range(set, first, index + 1, false);
            end = first << LEAF_SHIFT;
            continue;
        }
        if (at < block)
            at = block;
        clear_in_leaf(set, index, at & (LEAF_BLOCKS - 1), (end - 1) & (LEAF_BLOCKS - 1));
        end = at;
    }
}

void blockset_clear_all(struct blockset *set)
{
    for (uint64_t word = 0; word < word_count(set); word++)
        leaves_set(set, word, UINT64_MAX, false);
    check(set->total == 0 && set->leaves_held == 0);
}

/* The first leaf at or after `index` and before `end` that is live and, when `is_mixed`, not full;
 * `end` when there is none. */
static uint64_t leaf_next(const struct blockset *set, uint64_t index, uint64_t end, bool is_mixed)
{
    while (index < end) {
        uint64_t word = index / 64;
        uint64_t bits = set->live[word] & (UINT64_MAX << (index % 64));

        if (is_mixed)
            bits &= ~set->full[word];
        if (bits != 0) {
            index = word * 64 + (unsigned)__builtin_ctzll(bits);
            return index < end ? index : end;
        }
        index = (word + 1) * 64;
    }
    return end;
}

static void merge_leaf(struct blockset *into, uint64_t index, const uint64_t *from)
{
    unsigned added = 0;

    if (is_full(into, index))
        return;
    for (unsigned word = 0; word < LEAF_WORDS; word++) {
        uint64_t bits = from[word] & ~into->leaves[index][word];
        added += (unsigned)__builtin_popcountll(bits);
        into->leaves[index][word] |= bits;
    }
    into->counts[index] += added;
    into->total += added;
    if (into->counts[index] == LEAF_BLOCKS)
        leaf_join(into, index);
}

int blockset_merge(struct blockset *into, const struct blockset *from)
{
    uint64_t end = from->leaf_count, i;

    check(into != from && from->count_max <= into->count_max);
    for (i = leaf_next(from, 0, end, true); i < end; i = leaf_next(from, i + 1, end, true)) {
        if (into->leaves[i] == NULL && !is_full(into, i) && leaf_make(into, i) < 0)
            goto undo;
    }
    for (i = leaf_next(from, 0, end, true); i < end; i = leaf_next(from, i + 1, end, true))
        merge_leaf(into, i, from->leaves[i]);
    for (uint64_t word = 0; word < word_count(from); word++)
        leaves_set(into, word, from->full[word], true);
    return 0;

undo:
    for (i = leaf_next(into, 0, end, true); i < end; i = leaf_next(into, i + 1, end, true)) {
        if (into->counts[i] == 0)
            leaf_drop(into, i, true);
    }
    return -ENOMEM;
}

bool blockset_has(const struct blockset *set, uint64_t block)
{
    const uint64_t *leaf;

    check(block < set->count_max);
    leaf = set->leaves[block >> LEAF_SHIFT];
    if (leaf == NULL)
        return is_full(set, block >> LEAF_SHIFT);
    return leaf[(block & (LEAF_BLOCKS - 1)) / 64] >> (block % 64) & 1;
}

/* The first set bit at or after `bit` of a mixed leaf; LEAF_BLOCKS: none. */
static unsigned leaf_first_set(const uint64_t *leaf, unsigned bit)
{
    for (unsigned word = bit / 64; word < LEAF_WORDS; word++) {
        uint64_t bits = leaf[word];
        if (word == bit / 64)
            bits &= UINT64_MAX << (bit % 64);
        if (bits != 0)
            return word * 64 + (unsigned)__builtin_ctzll(bits);
    }
    return LEAF_BLOCKS;
}

/* The first set block at or after `from` and before `limit`, which is inside; false: none. */
static bool first_set(const struct blockset *set, uint64_t from, uint64_t limit,
                      uint64_t *ret_block)
{
    uint64_t end = (limit + LEAF_BLOCKS - 1) >> LEAF_SHIFT;
    uint64_t index = leaf_next(set, from >> LEAF_SHIFT, end, false);
    unsigned bit = index == from >> LEAF_SHIFT ? from & (LEAF_BLOCKS - 1) : 0;

    for (; index < end; index = leaf_next(set, index + 1, end, false), bit = 0) {
        if (!is_full(set, index))
            bit = leaf_first_set(set->leaves[index], bit);
        if (bit == LEAF_BLOCKS)
            continue;
        *ret_block = (index << LEAF_SHIFT) + bit;
        return *ret_block < limit;
    }
    return false;
}

/* The first leaf at or after `index` that is not full; there is a word of zeros behind the last. */
static uint64_t first_not_full(const struct blockset *set, uint64_t index)
{
    uint64_t word = index / 64, bits = ~set->full[word] & (UINT64_MAX << (index % 64));

    while (bits == 0)
        bits = ~set->full[++word];
    return word * 64 + (unsigned)__builtin_ctzll(bits);
}

/* The first clear block at or after `from`, at most `limit`. */
static uint64_t first_clear(const struct blockset *set, uint64_t from, uint64_t limit)
{
    while (from < limit) {
        uint64_t index = from >> LEAF_SHIFT, bits;
        const uint64_t *leaf = set->leaves[index];

        if (is_full(set, index)) {
            from = first_not_full(set, index) << LEAF_SHIFT;
            continue;
        }
        if (leaf == NULL)
            return from;
        bits = ~leaf[(from & (LEAF_BLOCKS - 1)) / 64] & (UINT64_MAX << (from % 64));
        if (bits != 0) {
            from = (from & ~UINT64_C(63)) + (unsigned)__builtin_ctzll(bits);
            return from < limit ? from : limit;
        }
        from = (from | 63) + 1;
    }
    return limit;
}

bool blockset_next(const struct blockset *set, uint64_t from, uint64_t count_max,
                   uint64_t *ret_block, uint64_t *ret_count)
{
    uint64_t block, limit;

    check(count_max > 0);
    if (from >= set->count_max || !first_set(set, from, set->count_max, &block))
        return false;
    limit = set->count_max - block < count_max ? set->count_max : block + count_max;
    *ret_block = block;
    *ret_count = first_clear(set, block, limit) - block;
    check(*ret_count > 0 && *ret_count <= count_max);
    return true;
}

bool blockset_intersects(const struct blockset *set, uint64_t block, uint64_t count)
{
    uint64_t first;

    check_range(set, block, count);
    if (count == 0)
        return false;
    if (count == 1)
        return blockset_has(set, block);
    return first_set(set, block, block + count, &first);
}

int blockset_resize(struct blockset *set, uint64_t count_max)
{
    uint64_t leaf_count = (count_max + LEAF_BLOCKS - 1) >> LEAF_SHIFT, block;

    check(count_max <= UINT64_MAX >> BLOCK_SHIFT);
    check(count_max >= set->count_max || !first_set(set, count_max, set->count_max, &block));
    if (leaf_count > set->leaf_count && make_room(set, leaf_count) < 0)
        return -ENOMEM;
    set->leaf_count = leaf_count;
    set->count_max = count_max;
    return 0;
}

uint64_t blockset_count(const struct blockset *set)
{
    return set->total;
}

uint64_t blockset_size(const struct blockset *set)
{
    return set->count_max;
}

bool blockset_is_empty(const struct blockset *set)
{
    return set->total == 0;
}

uint64_t blockset_memory_bytes(const struct blockset *set)
{
    uint64_t leaves = set->leaves_held + (set->spare != NULL);

    return sizeof(*set) + leaves * LEAF_BYTES +
           (set->leaf_count + 1) * (sizeof(*set->leaves) + sizeof(*set->counts)) +
           (word_count(set) + 1) * (sizeof(*set->live) + sizeof(*set->full));
}
