/* SPDX-License-Identifier: Apache-2.0 */
/* Rolls against a plain array: rows come at the end, and go from anywhere, mostly the oldest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "meta/record_index.h"

enum { ROWS = 20000, HELD_MAX = 300 };

struct bench {
    struct row rows[ROWS];
    struct row *held[HELD_MAX];
    unsigned count;
    uint64_t random;
};

static unsigned draw(struct bench *bench, unsigned below)
{
    bench->random = bench->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (unsigned)(bench->random >> 33) % below;
}

static void expect_same(const struct roll *roll, const struct bench *bench)
{
    assert_int_equal(roll->count, bench->count);
    for (unsigned i = 0; i < bench->count; i++) {
        assert_ptr_equal(roll->rows[i], bench->held[i]);
        assert_int_equal(roll_after(roll, bench->held[i]->position - 1), i);
        assert_int_equal(roll_after(roll, bench->held[i]->position), i + 1);
    }
}

static void remove_one(struct roll *roll, struct bench *bench, unsigned at)
{
    roll_remove(roll, bench->held[at]);
    for (unsigned i = at; i + 1 < bench->count; i++)
        bench->held[i] = bench->held[i + 1];
    bench->count--;
}

static void test_rolls_keep_their_order(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    struct roll roll = {0};
    unsigned room_max = 0;

    (void)state;
    assert_non_null(bench);
    for (unsigned i = 0; i < ROWS; i++) {
        bench->rows[i].position = 2 * i + 2;
        roll_add(&roll, &bench->rows[i]);
        bench->held[bench->count++] = &bench->rows[i];
        if (bench->count == HELD_MAX || draw(bench, 3) == 0)
            remove_one(&roll, bench, draw(bench, 4) ? 0 : draw(bench, bench->count));
        if (i % 5000 == 4999) /* all go, and it is begun anew */
            while (bench->count > 0)
                remove_one(&roll, bench, draw(bench, bench->count));
        if (i % 16 == 0)
            expect_same(&roll, bench);
        room_max = roll.count_max > room_max ? roll.count_max : room_max;
    }
    assert_true(room_max <= 4 * HELD_MAX); /* what left in front is used again */
    roll_fini(&roll);
    free(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rolls_keep_their_order)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
