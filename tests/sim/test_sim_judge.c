/* SPDX-License-Identifier: Apache-2.0 */
/* The judge condemns what it must, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sim_judge.h"

struct court {
    struct judge_universe universe;
    struct judge_line *line;
    uint64_t image[16];
    uint64_t tick, now_ns;
    char why[JUDGE_WHY_SIZE];
};

/* Two disks with one watched block each: sectors 0..7 and 8..15 of an image. */
static int set_up(void **state)
{
    static struct court court;

    court = (struct court){.universe.disk_bytes = {1 << 20, 1 << 20}, .tick = 1, .now_ns = 100};
    judge_universe_add(&court.universe, 0, 8192, 4096);
    judge_universe_add(&court.universe, 1, 0, 4096);
    court.line = judge_line_new(&court.universe, court.image);
    *state = &court;
    return 0;
}

static int tear_down(void **state)
{
    struct court *court = *state;

    judge_line_free(court->line);
    return 0;
}

static void issue(struct court *court, unsigned disk, uint64_t write, uint64_t value)
{
    judge_issue(court->line, disk, disk ? 0 : 8192, 512, write, value, ++court->tick);
}

static void answer(struct court *court, unsigned disk, uint64_t write, bool durable)
{
    court->now_ns += 10;
    judge_answer(court->line, disk, disk ? 0 : 8192, 512, write, ++court->tick, court->now_ns,
                 durable);
}

static bool cut(struct court *court, uint64_t at_0, uint64_t at_1, uint64_t cut_ns)
{
    court->image[0] = at_0;
    court->image[8] = at_1;
    return judge_cut(court->line, court->image, cut_ns, court->why);
}

static bool crash(struct court *court, uint64_t at_0, bool power)
{
    court->image[0] = at_0;
    return judge_crash(court->line, court->image, power, ++court->tick, court->now_ns, court->why);
}

static void test_answered_before_the_cut_must_be_there(void **state)
{
    struct court *court = *state;

    issue(court, 0, 1, 1);
    answer(court, 0, 1, false); /* at 110 */
    assert_true(cut(court, 0, 0, 110));
    assert_false(cut(court, 0, 0, 111));
    assert_true(cut(court, 1, 0, 111));
    assert_true(cut(court, 1, 0, 50)); /* newer is fine */
    assert_false(cut(court, 77, 0, 50));
}

static void test_closed_under_answered_before_issued(void **state)
{
    struct court *court = *state;

    issue(court, 0, 1, 1);
    issue(court, 1, 2, 2); /* issued before 1 was answered: free */
    answer(court, 0, 1, false);
    answer(court, 1, 2, false);
    issue(court, 1, 3, 3); /* depends on both */
    assert_true(cut(court, 0, 2, 50));
    assert_true(cut(court, 1, 0, 50));
    assert_false(cut(court, 0, 3, 50));
    assert_non_null(strstr(court->why, "write 1 is missing"));
    assert_true(cut(court, 1, 3, 50));
}

static void test_zeros_may_stand_for_any_of_their_writes(void **state)
{
    struct court *court = *state;

    issue(court, 0, 1, 1);
    answer(court, 0, 1, false);
    issue(court, 1, 2, 2);
    answer(court, 1, 2, false);
    issue(court, 0, 3, 0);              /* a trim: zeros again */
    assert_true(cut(court, 0, 0, 50));  /* nothing yet */
    assert_true(cut(court, 0, 2, 50));  /* the trim, unanswered, is there */
    assert_true(cut(court, 0, 2, 111)); /* as well */
    answer(court, 0, 3, false);         /* at 130 */
    issue(court, 1, 4, 4);
    assert_false(cut(court, 1, 4, 50));
    assert_false(cut(court, 0, 0, 125)); /* 2 is missing */
}

static void test_kill_loses_nothing_answered(void **state)
{
    struct court *court = *state;

    issue(court, 0, 1, 1);
    answer(court, 0, 1, false);
    issue(court, 0, 2, 2);
    assert_false(crash(court, 0, false));
    assert_true(crash(court, 2, false));  /* under way: may be there */
    assert_false(crash(court, 1, false)); /* and then stays */
}

static void test_power_loss_keeps_what_was_flushed(void **state)
{
    struct court *court = *state;
    uint64_t flush_tick;

    issue(court, 0, 1, 1);
    answer(court, 0, 1, false);
    flush_tick = ++court->tick;
    issue(court, 0, 2, 2);
    answer(court, 0, 2, false);
    judge_flushed(court->line, 1, flush_tick); /* the other disk */
    assert_true(crash(court, 2, true));
    judge_flushed(court->line, 0, flush_tick);
    assert_false(crash(court, 0, true));
    assert_true(crash(court, 1, true));
    assert_false(cut(court, 2, 0, 50)); /* rewritten history */
}

static void test_fua_is_flushed(void **state)
{
    struct court *court = *state;

    issue(court, 0, 1, 1);
    answer(court, 0, 1, true);
    assert_false(crash(court, 0, true));
    assert_true(crash(court, 1, true));
}

static void test_reads(void **state)
{
    struct court *court = *state;
    uint64_t before;

    issue(court, 0, 1, 1);
    before = ++court->tick;
    answer(court, 0, 1, false);
    assert_true(judge_read(court->line, 0, 0, before, court->why));
    assert_true(judge_read(court->line, 0, 1, before, court->why));
    assert_false(judge_read(court->line, 0, 0, ++court->tick, court->why));
    assert_false(judge_read(court->line, 0, 9, before, court->why));
}

static void test_content_knows_its_place(void **state)
{
    uint8_t bytes[1024];
    uint64_t values[2];
    char why[JUDGE_WHY_SIZE];

    (void)state;
    judge_fill(bytes, sizeof(bytes), 1, 4096, 42);
    assert_true(judge_values(bytes, sizeof(bytes), 1, 4096, values, why));
    assert_int_equal(values[0], 42);
    assert_int_equal(values[1], 42);
    assert_false(judge_values(bytes, sizeof(bytes), 1, 4608, values, why));
    assert_false(judge_values(bytes, sizeof(bytes), 0, 4096, values, why));
    bytes[700] ^= 1;
    assert_false(judge_values(bytes, sizeof(bytes), 1, 4096, values, why));
    memset(bytes, 0, sizeof(bytes));
    assert_true(judge_values(bytes, sizeof(bytes), 1, 4096, values, why));
    assert_int_equal(values[1], 0);
    bytes[1023] = 1;
    assert_false(judge_values(bytes, sizeof(bytes), 1, 4096, values, why));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answered_before_the_cut_must_be_there, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_closed_under_answered_before_issued, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_zeros_may_stand_for_any_of_their_writes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_kill_loses_nothing_answered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_power_loss_keeps_what_was_flushed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_fua_is_flushed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reads, set_up, tear_down),
        cmocka_unit_test(test_content_knows_its_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
