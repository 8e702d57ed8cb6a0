/* SPDX-License-Identifier: Apache-2.0 */
/* Block sets against a naive model: one byte a block. */
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

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
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

/* An idle 1 TiB disk costs next to nothing, a fully dirty one 32 MiB, and gives it back. */
static void test_memory(void **state)
{
    struct blockset *set = blockset_new(UINT64_C(1) << 28);
    uint64_t idle = blockset_memory_bytes(set);

    assert_true(idle < 128 * 1024);
    assert_int_equal(blockset_mark(set, 0, UINT64_C(1) << 28), 0);
    assert_int_equal(blockset_count(set), UINT64_C(1) << 28);
    assert_true(blockset_memory_bytes(set) >= UINT64_C(32) << 20);
    assert_true(blockset_memory_bytes(set) <= (UINT64_C(32) << 20) + 128 * 1024);
    blockset_clear(set, 0, UINT64_C(1) << 28);
    assert_true(blockset_is_empty(set));
    assert_true(blockset_memory_bytes(set) <= idle + 4096);
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

static void step(struct pair *pair, uint64_t *seed)
{
    uint64_t block = random_next(seed) % pair->size;
    uint64_t count = random_next(seed) % (random_next(seed) % 8 == 0 ? pair->size : 200);

    if (count > pair->size - block)
        count = pair->size - block;
    switch (random_next(seed) % 4) {
    case 0:
        assert_int_equal(blockset_mark(pair->set, block, count), 0);
        memset(pair->model + block, 1, count);
        break;
    case 1:
        blockset_clear(pair->set, block, count);
        memset(pair->model + block, 0, count);
        break;
    case 2:
        assert_int_equal(blockset_has(pair->set, block), pair->model[block]);
        assert_int_equal(blockset_intersects(pair->set, block, count),
                         count > 0 && memchr(pair->model + block, 1, count) != NULL);
        break;
    case 3:
        assert_int_equal(blockset_mark(pair->set, block, 1), 0);
        pair->model[block] = 1;
        break;
    }
}

static void test_random(void **state)
{
    for (uint64_t run = 1; run <= 12; run++) {
        uint64_t seed = run * UINT64_C(0x9e3779b97f4a7c15);
        struct pair a = {.size = 1 + random_next(&seed) % (5 * LEAF)}, b = {.size = a.size};

        a.set = blockset_new(a.size), b.set = blockset_new(b.size);
        a.model = calloc(1, a.size), b.model = calloc(1, b.size);
        for (int round = 0; round < 8; round++) {
            for (int i = 0; i < 60; i++) {
                step(&a, &seed);
                step(&b, &seed);
            }
            compare(&a);
            assert_int_equal(blockset_merge(b.set, a.set), 0);
            for (uint64_t i = 0; i < a.size; i++)
                b.model[i] |= a.model[i];
            compare(&b);
            if (random_next(&seed) % 3 == 0) {
                blockset_clear_all(a.set);
                memset(a.model, 0, a.size);
                compare(&a);
            }
        }
        blockset_free(a.set);
        blockset_free(b.set);
        free(a.model);
        free(b.model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
