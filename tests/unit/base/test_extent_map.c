/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges to values against an array that holds each number's value; splits; size and speed. */
#include "base/extent_map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SPAN = 3000 };

struct naive {
    uint64_t tag[SPAN], place[SPAN]; /* tag 0: nothing there */
};

static uint64_t step(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void compare(const struct extent_map *map, const struct naive *naive)
{
    struct extent extent;
    uint64_t at = 0, seen = 0;

    while (extent_map_find(map, at, &extent)) {
        assert_true(extent.at >= at && extent.count > 0 && extent.at + extent.count <= SPAN);
        for (; at < extent.at; at++)
            assert_int_equal(naive->tag[at], 0);
        for (uint64_t i = 0; i < extent.count; i++, at++) {
            assert_int_equal(naive->tag[at], extent.tag);
            assert_int_equal(naive->place[at], extent.place + i);
        }
        seen++;
    }
    for (; at < SPAN; at++)
        assert_int_equal(naive->tag[at], 0);
    assert_int_equal(seen, extent_map_count(map));
}

static void test_against_naive(void **state)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct extent_map *map = extent_map_new();
        struct naive *naive = calloc(1, sizeof(*naive));
        uint64_t random = seed * 7919, length_max = seed % 4 == 0 ? SPAN : seed % 4 == 1 ? 1 : 20;

        for (uint64_t round = 1; round <= 4000; round++) {
            uint64_t at = step(&random) % SPAN, count = 1 + step(&random) % length_max;
            bool is_set = step(&random) % 3 != 0;

            count = count > SPAN - at ? SPAN - at : count;
            for (uint64_t i = 0; i < count; i++) {
                naive->tag[at + i] = is_set ? round : 0;
                naive->place[at + i] = 1000 * round + i;
            }
            if (is_set)
                assert_int_equal(
                    extent_map_set(map, &(struct extent){at, count, round, 1000 * round}), 0);
            else
                assert_int_equal(extent_map_clear(map, at, count), 0);
            if (round % 200 == 0)
                compare(map, naive);
        }
        compare(map, naive);
        extent_map_clear_all(map);
        assert_int_equal(extent_map_count(map), 0);
        extent_map_free(map);
        free(naive);
    }
}

static void test_find(void **state)
{
    struct extent_map *map = extent_map_new();
    struct extent extent;

    assert_false(extent_map_find(map, 0, &extent));
    extent_map_set(map, &(struct extent){10, 10, 1, 100});
    extent_map_clear(map, 14, 2);
    assert_true(extent_map_find(map, 0, &extent) && extent.at == 10 && extent.count == 4);
    assert_true(extent_map_find(map, 13, &extent) && extent.at == 10);
    assert_true(extent_map_find(map, 14, &extent) && extent.at == 16 && extent.count == 4);
    assert_int_equal(extent.place, 106);
    assert_false(extent_map_find(map, 20, &extent));
    extent_map_clear(map, 0, 0);
    assert_int_equal(extent_map_count(map), 2);
    extent_map_free(map);
}

/* 300 000 single blocks in random order: within 64 bytes each, found again, and gone at once. */
static void test_many(void **state)
{
    struct extent_map *map = extent_map_new();
    uint64_t random = 99, count = 300000;
    struct extent extent;

    for (uint64_t i = 0; i < count; i++) {
        uint64_t at = step(&random) % (1ull << 40);
        assert_int_equal(extent_map_set(map, &(struct extent){at, 1, at, i}), 0);
    }
    assert_true(extent_map_count(map) > count - 10);
    assert_true(extent_map_memory_bytes(map) < count * 64);
    random = 99;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t at = step(&random) % (1ull << 40);
        assert_true(extent_map_find(map, at, &extent) && extent.at == at && extent.tag == at);
    }
    assert_int_equal(extent_map_clear(map, 0, 1ull << 40), 0);
    assert_int_equal(extent_map_count(map), 0);
    for (uint64_t i = 0; i < count; i++) /* ascending inserts fill their leaves */
        assert_int_equal(extent_map_set(map, &(struct extent){i * 2, 1, i, 0}), 0);
    assert_true(extent_map_memory_bytes(map) < count * 40);
    extent_map_free(map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_naive),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
