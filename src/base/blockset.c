/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two-level bitmap behind dirty tracking: every host write marks here, so one block must cost a
 * shift, a load and an or.
 *
 *   leaves[i]  NULL, or 512 words for blocks i * 32768 ... i * 32768 + 32767
 *   counts[i]  bits set in leaf i
 *   live       one bit a leaf: which leaves are there; scans hop over 64 empty leaves (8 GiB of
 *              disk) a word
 *
 * Invariants, at every return:
 *   1. leaves[i] != NULL <=> counts[i] > 0 <=> bit i of live is set.
 *   2. total is the sum of counts[].
 *   3. No bit at or beyond count_max is set.
 *   4. At most one spare leaf is kept, all zero, so that a block which is marked and cleared in
 * turn does not allocate each time.
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
    uint64_t *spare;
};

static uint64_t live_words(const struct blockset *set)
{
    return (set->leaf_count + 63) / 64;
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
    set->live = calloc(live_words(set) + 1, sizeof(*set->live));
    if (set->leaves == NULL || set->counts == NULL || set->live == NULL) {
        blockset_free(set);
        return NULL;
    }
    return set;
}

void blockset_free(struct blockset *set)
{
    if (set == NULL)
        return;
    if (set->leaves != NULL && set->counts != NULL && set->live != NULL)
        blockset_clear_all(set);
    free(set->spare);
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
    at = widen(set->live, live_words(set) + 1, words + 1, sizeof(*set->live));
    if (at == NULL)
        return -ENOMEM;
    set->live = at;
    return 0;
}

/* Makes leaf `index` be there; its count may stay 0 only until the caller has marked in it. */
static int leaf_make(struct blockset *set, uint64_t index)
{
    uint64_t *leaf = set->spare;

    check(set->leaves[index] == NULL && set->counts[index] == 0);
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

/* Drops leaf `index`; `is_zero` says that its bits are all clear, so that it can be the spare. */
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

/* The bits of word `word` that lie in [first, last] of a leaf. */
static uint64_t word_mask(unsigned word, unsigned first, unsigned last)
{
    uint64_t mask = UINT64_MAX;

    if (word == first / 64)
        mask &= UINT64_MAX << (first % 64);
    if (word == last / 64)
        mask &= UINT64_MAX >> (63 - last % 64);
    return mask;
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

int blockset_mark(struct blockset *set, uint64_t block, uint64_t count)
{
    uint64_t end = block + count;

    check_range(set, block, count);
    while (block < end) {
        uint64_t index = block >> LEAF_SHIFT;
        unsigned first = block & (LEAF_BLOCKS - 1), last = last_in_leaf(block, end), added;

        if (set->leaves[index] == NULL && leaf_make(set, index) < 0)
            return -ENOMEM;
        added = leaf_mark(set->leaves[index], first, last);
        set->counts[index] += added;
        set->total += added;
        block += last - first + 1;
    }
    return 0;
}

void blockset_clear(struct blockset *set, uint64_t block, uint64_t count)
{
    uint64_t end = block + count;

    check_range(set, block, count);
    while (block < end) {
        uint64_t index = block >> LEAF_SHIFT;
        unsigned first = block & (LEAF_BLOCKS - 1), last = last_in_leaf(block, end), removed;

        block += last - first + 1;
        if (set->leaves[index] == NULL)
            continue;
        removed = leaf_clear(set->leaves[index], first, last);
        check(removed <= set->counts[index]);
        set->counts[index] -= removed;
        set->total -= removed;
        if (set->counts[index] == 0)
            leaf_drop(set, index, true);
    }
}

/* The first live leaf at or after `index`; leaf_count when there is none. */
static uint64_t live_next(const struct blockset *set, uint64_t index)
{
    uint64_t words = live_words(set);
    uint64_t word = index / 64, bits;

    if (index >= set->leaf_count)
        return set->leaf_count;
    bits = set->live[word] & (UINT64_MAX << (index % 64));
    while (bits == 0) {
        if (++word >= words)
            return set->leaf_count;
        bits = set->live[word];
    }
    return word * 64 + (unsigned)__builtin_ctzll(bits);
}

void blockset_clear_all(struct blockset *set)
{
    for (uint64_t index = live_next(set, 0); index < set->leaf_count;
         index = live_next(set, index + 1))
        leaf_drop(set, index, false);
    check(set->total == 0 && set->leaves_held == 0);
}

int blockset_merge(struct blockset *into, const struct blockset *from)
{
    uint64_t index;

    check(into != from && from->count_max <= into->count_max);
    for (index = live_next(from, 0); index < from->leaf_count; index = live_next(from, index + 1)) {
        if (into->leaves[index] == NULL && leaf_make(into, index) < 0)
            goto undo;
    }
    for (index = live_next(from, 0); index < from->leaf_count; index = live_next(from, index + 1)) {
        unsigned added = 0;

        for (unsigned word = 0; word < LEAF_WORDS; word++) {
            uint64_t bits = from->leaves[index][word] & ~into->leaves[index][word];
            added += (unsigned)__builtin_popcountll(bits);
            into->leaves[index][word] |= bits;
        }
        into->counts[index] += added;
        into->total += added;
    }
    return 0;

undo:
    for (index = live_next(into, 0); index < into->leaf_count; index = live_next(into, index + 1)) {
        if (into->counts[index] == 0)
            leaf_drop(into, index, true);
    }
    return -ENOMEM;
}

bool blockset_has(const struct blockset *set, uint64_t block)
{
    const uint64_t *leaf;

    check(block < set->count_max);
    leaf = set->leaves[block >> LEAF_SHIFT];
    return leaf != NULL && (leaf[(block & (LEAF_BLOCKS - 1)) / 64] >> (block % 64) & 1);
}

/* The first set block at or after `from`; false: none. */
static bool first_set(const struct blockset *set, uint64_t from, uint64_t *ret_block)
{
    uint64_t index = live_next(set, from >> LEAF_SHIFT);
    unsigned bit = index == from >> LEAF_SHIFT ? from & (LEAF_BLOCKS - 1) : 0;

    for (; index < set->leaf_count; index = live_next(set, index + 1), bit = 0) {
        const uint64_t *leaf = set->leaves[index];

        for (unsigned word = bit / 64; word < LEAF_WORDS; word++) {
            uint64_t bits = leaf[word];
            if (word == bit / 64)
                bits &= UINT64_MAX << (bit % 64);
            if (bits != 0) {
                *ret_block = (index << LEAF_SHIFT) + word * 64 + (unsigned)__builtin_ctzll(bits);
                return true;
            }
        }
    }
    return false;
}

/* The first clear block at or after `from`, at most `limit`. */
static uint64_t first_clear(const struct blockset *set, uint64_t from, uint64_t limit)
{
    while (from < limit) {
        const uint64_t *leaf = set->leaves[from >> LEAF_SHIFT];
        uint64_t bits;

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
    if (from >= set->count_max || !first_set(set, from, &block))
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
    return first_set(set, block, &first) && first - block < count;
}

int blockset_resize(struct blockset *set, uint64_t count_max)
{
    uint64_t leaf_count = (count_max + LEAF_BLOCKS - 1) >> LEAF_SHIFT, block;

    check(count_max <= UINT64_MAX >> BLOCK_SHIFT);
    check(count_max >= set->count_max || !first_set(set, count_max, &block));
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
           (live_words(set) + 1) * sizeof(*set->live);
}
