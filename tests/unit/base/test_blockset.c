/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Block sets against a naive model: one byte a block. Allocations go through the linker's --wrap:
 * they are counted, and fail when a test says so.
 *
 * File-level state: the linker's wrappers have no argument that could carry it.
 */
#include "base/blockset.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LEAF = 32768 };
static const uint64_t HUGE_BLOCKS = UINT64_C(1) << 34; /* 64 TiB */

static unsigned allocations;
static unsigned fail_one_in; /* 0: none fails */
static uint64_t fail_seed;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static bool is_failing(void)
{
    allocations++;
    return fail_one_in > 0 && random_next(&fail_seed) % fail_one_in == 0;
}

void *__wrap_malloc(size_t size)
{
    return is_failing() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return is_failing() ? NULL : __real_calloc(count, size);
}

static void test_empty(void **state)
{
    struct blockset *set = blockset_new(100);
    uint64_t block, count;

    assert_true(blockset_is_empty(set));
    assert_int_equal(blockset_size(set), 100);
    assert_false(blockset_next(set, 0, 10, &block, &count));
    assert_false(blockset_next(set, 100, 10, &block, &count));
    assert_false(blockset_next(set, UINT64_MAX, 10, &block, &count));
    assert_false(blockset_intersects(set, 0, 100));
    assert_int_equal(blockset_mark(set, 100, 0), 0);
    blockset_clear(set, 0, 100);
    blockset_clear_all(set);
    blockset_free(set);
    blockset_free(NULL);

    set = blockset_new(0);
    assert_non_null(set);
    assert_false(blockset_next(set, 0, 1, &block, &count));
    blockset_free(set);
}

static void test_runs(void **state)
{
    struct blockset *set = blockset_new(4 * LEAF);
    uint64_t block, count;

    assert_int_equal(blockset_mark(set, LEAF - 3, LEAF + 6), 0); /* over three leaves */
    assert_int_equal(blockset_count(set), LEAF + 6);
    assert_true(blockset_next(set, 0, UINT64_MAX, &block, &count));
    assert_int_equal(block, LEAF - 3);
    assert_int_equal(count, LEAF + 6);
    assert_true(blockset_next(set, 0, 5, &block, &count));
    assert_int_equal(count, 5);
    assert_true(blockset_next(set, LEAF + 7, UINT64_MAX, &block, &count));
    assert_int_equal(block, LEAF + 7);
    assert_int_equal(count, LEAF - 4);
    assert_false(blockset_next(set, 2 * LEAF + 3, 1, &block, &count));
    assert_true(blockset_has(set, LEAF - 3));
    assert_false(blockset_has(set, LEAF - 4));
    assert_true(blockset_intersects(set, 0, LEAF - 2));
    assert_false(blockset_intersects(set, 0, LEAF - 3));

    assert_int_equal(blockset_mark(set, 4 * LEAF - 1, 1), 0); /* the last block */
    assert_true(blockset_next(set, 3 * LEAF, UINT64_MAX, &block, &count));
    assert_int_equal(block, 4 * LEAF - 1);
    assert_int_equal(count, 1);
    blockset_free(set);
}

/* An idle 1 TiB disk costs next to nothing, one with holes everywhere 32 MiB, and gives it back. */
static void test_memory(void **state)
{
    uint64_t size = UINT64_C(1) << 28;
    struct blockset *set = blockset_new(size);
    uint64_t idle = blockset_memory_bytes(set);

    assert_true(idle < 128 * 1024);
    for (uint64_t block = 0; block < size; block += LEAF)
        assert_int_equal(blockset_mark(set, block + 1, LEAF - 1), 0);
    assert_true(blockset_memory_bytes(set) >= UINT64_C(32) << 20);
    assert_true(blockset_memory_bytes(set) <= (UINT64_C(32) << 20) + 128 * 1024);
    for (uint64_t block = 0; block < size; block += LEAF)
        assert_int_equal(blockset_mark(set, block, 1), 0);
    assert_int_equal(blockset_count(set), size);
    assert_true(blockset_memory_bytes(set) <= idle + 4096);
    blockset_clear(set, 0, size);
    assert_true(blockset_is_empty(set));
    assert_true(blockset_memory_bytes(set) <= idle + 4096);
    blockset_free(set);
}

/* What a first copy does with a disk that no host ever wrote: no leaf is made for it. */
static void test_whole_disk_without_leaves(void **state)
{
    struct blockset *set = blockset_new(HUGE_BLOCKS), *other = blockset_new(HUGE_BLOCKS);
    uint64_t idle = blockset_memory_bytes(set), block, count;

    assert_true(idle < UINT64_C(8) << 20);
    allocations = 0;
    assert_int_equal(blockset_mark(set, 0, HUGE_BLOCKS), 0);
    assert_int_equal(blockset_count(set), HUGE_BLOCKS);
    assert_true(blockset_next(set, 5, UINT64_MAX, &block, &count));
    assert_int_equal(block, 5);
    assert_int_equal(count, HUGE_BLOCKS - 5);
    assert_int_equal(blockset_merge(other, set), 0);
    blockset_clear_all(set);
    assert_int_equal(blockset_merge(set, other), 0);
    for (block = 0; block < HUGE_BLOCKS; block += count) { /* as holes are shipped */
        count = UINT64_C(1) << 18;
        assert_int_equal(blockset_split(set, block, count), 0);
        assert_int_equal(blockset_mark(other, block, count), 0);
        blockset_clear(set, block, count);
    }
    assert_true(blockset_is_empty(set));
    assert_int_equal(allocations, 0);
    assert_int_equal(blockset_memory_bytes(other), idle);
    blockset_clear(other, 1, HUGE_BLOCKS - 1); /* one leaf is split */
    assert_int_equal(blockset_count(other), 1);
    assert_int_equal(allocations, 1);
    blockset_free(set);
    blockset_free(other);
}

/* Full leaves at the ends of words of 64 leaves, and what is before and behind them. */
static void test_runs_over_full_leaves(void **state)
{
    uint64_t size = UINT64_C(192) * LEAF, block, count;
    struct blockset *set = blockset_new(size);

    assert_int_equal(blockset_mark(set, 64 * LEAF - 1, 64 * LEAF + 2), 0);
    assert_true(blockset_next(set, 0, UINT64_MAX, &block, &count));
    assert_int_equal(block, 64 * LEAF - 1);
    assert_int_equal(count, 64 * LEAF + 2);
    assert_true(blockset_next(set, 100 * LEAF + 7, 3, &block, &count));
    assert_int_equal(block, 100 * LEAF + 7);
    assert_int_equal(count, 3);
    assert_true(blockset_has(set, 100 * LEAF));
    assert_false(blockset_has(set, 129 * LEAF));
    assert_false(blockset_intersects(set, 0, 64 * LEAF - 1));
    assert_true(blockset_intersects(set, 0, 64 * LEAF));
    assert_int_equal(blockset_mark(set, 0, size), 0);
    assert_true(blockset_next(set, 0, UINT64_MAX, &block, &count));
    assert_int_equal(count, size);
    assert_int_equal(blockset_resize(set, size + LEAF), 0);
    assert_true(blockset_next(set, size - 1, UINT64_MAX, &block, &count));
    assert_int_equal(count, 1);
    blockset_free(set);
}

/* A mark that fails at its end is taken back where memory stays short: the leaf at its beginning
 * had become full. */
static void test_taken_back_without_memory(void **state)
{
    struct blockset *set = blockset_new(4 * LEAF);

    assert_int_equal(blockset_mark(set, 0, 100), 0);
    assert_int_equal(blockset_mark(set, 100, 2 * LEAF), 0);
    fail_one_in = 1;
    blockset_clear(set, 100, 2 * LEAF);
    assert_int_equal(blockset_count(set), 100);
    assert_int_equal(blockset_mark(set, 3 * LEAF, LEAF), 0); /* whole leaves need none */
    blockset_clear(set, 3 * LEAF, LEAF);
    assert_int_equal(blockset_count(set), 100);
    fail_one_in = 0;
    blockset_free(set);
}

struct pair {
    struct blockset *set;
    uint8_t *model;
    uint64_t size;
};

static void compare(const struct pair *pair)
{
    uint64_t at = 0, block, count, total = 0;

    for (uint64_t i = 0; i < pair->size; i++)
        total += pair->model[i];
    assert_int_equal(blockset_count(pair->set), total);
    while (blockset_next(pair->set, at, UINT64_MAX, &block, &count)) {
        for (; at < block; at++)
            assert_int_equal(pair->model[at], 0);
        for (; at < block + count; at++)
            assert_int_equal(pair->model[at], 1);
        assert_true(at == pair->size || pair->model[at] == 0); /* runs are whole */
    }
    for (; at < pair->size; at++)
        assert_int_equal(pair->model[at], 0);
}

/* After -ENOMEM: a superset, in the range marked, is in the set. */
static void mark(struct pair *pair, uint64_t block, uint64_t count)
{
    if (blockset_mark(pair->set, block, count) == 0) {
        memset(pair->model + block, 1, count);
        return;
    }
    assert_true(fail_one_in > 0);
    for (uint64_t at = block; at < block + count; at++) {
        assert_true(blockset_has(pair->set, at) || pair->model[at] == 0);
        pair->model[at] = blockset_has(pair->set, at);
    }
}

static void clear(struct pair *pair, uint64_t block, uint64_t count)
{
    if (blockset_split(pair->set, block, count) < 0) {
        assert_true(fail_one_in > 0);
        return;
    }
    blockset_clear(pair->set, block, count);
    memset(pair->model + block, 0, count);
}

/* Short runs, long ones, and whole leaves, sometimes off by one. */
static void pick_run(const struct pair *pair, uint64_t *seed, uint64_t *ret_block,
                     uint64_t *ret_count)
{
    uint64_t block = random_next(seed) % pair->size;
    uint64_t count = random_next(seed) % (random_next(seed) % 8 == 0 ? pair->size : 200);

    if (random_next(seed) % 4 == 0) {
        block = block / LEAF * LEAF;
        count = (count % 3 + 1) * LEAF;
        if (random_next(seed) % 4 == 0)
            block++;
        if (random_next(seed) % 4 == 0)
            count--;
    }
    if (block >= pair->size)
        block = pair->size - 1;
    *ret_block = block;
    *ret_count = count > pair->size - block ? pair->size - block : count;
}

static void step(struct pair *pair, uint64_t *seed)
{
    uint64_t block, count;

    pick_run(pair, seed, &block, &count);
    switch (random_next(seed) % 4) {
    case 0:
        mark(pair, block, count);
        break;
    case 1:
        clear(pair, block, count);
        break;
    case 2:
        assert_int_equal(blockset_has(pair->set, block), pair->model[block]);
        assert_int_equal(blockset_intersects(pair->set, block, count),
                         count > 0 && memchr(pair->model + block, 1, count) != NULL);
        break;
    case 3:
        mark(pair, block, 1);
        break;
    }
}

static void merge(struct pair *into, const struct pair *from)
{
    if (blockset_merge(into->set, from->set) < 0) {
        assert_true(fail_one_in > 0);
        return;
    }
    for (uint64_t i = 0; i < from->size; i++)
        into->model[i] |= from->model[i];
}

static void play(uint64_t run, uint64_t leaves, unsigned one_in)
{
    uint64_t seed = run * UINT64_C(0x9e3779b97f4a7c15);
    struct pair a = {.size = 1 + random_next(&seed) % (leaves * LEAF)}, b = {.size = a.size};

    a.set = blockset_new(a.size), b.set = blockset_new(b.size);
    a.model = calloc(1, a.size), b.model = calloc(1, b.size);
    for (int round = 0; round < 8; round++) {
        fail_seed = seed, fail_one_in = one_in;
        for (int i = 0; i < 60; i++) {
            step(&a, &seed);
            step(&b, &seed);
        }
        compare(&a);
        merge(&b, &a);
        compare(&b);
        if (random_next(&seed) % 3 == 0) {
            blockset_clear_all(a.set);
            memset(a.model, 0, a.size);
            compare(&a);
        }
        fail_one_in = 0;
    }
    blockset_free(a.set);
    blockset_free(b.set);
    free(a.model);
    free(b.model);
}

static void test_random(void **state)
{
    for (uint64_t run = 1; run <= 12; run++)
        play(run, 5, 0);
    for (uint64_t run = 13; run <= 15; run++)
        play(run, 140, 0); /* over words of 64 leaves */
}

static void test_random_without_memory(void **state)
{
    for (uint64_t run = 1; run <= 12; run++)
        play(run, 5, 1 + (unsigned)run % 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_whole_disk_without_leaves),
        cmocka_unit_test(test_runs_over_full_leaves),
        cmocka_unit_test(test_taken_back_without_memory),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_random_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
