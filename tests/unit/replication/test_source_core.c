/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source's decisions as exact traces: events with facts in, actions out. A trace is written as
 * text, "CUT CLOSE TIMER@100", so that a failure reads as a story.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "replication/source_core.h"

enum { INTERVAL = 100, SMALL = 10, STASHED = 50 };

static const char *const names[] = {"COMPARE", "PRECOPY", "SHIP",    "CUT",      "CLOSE", "MERGE",
                                    "ABORT",   "CLEAR",   "CURRENT", "FINISHED", "TIMER"};

static char *step(struct source_core *core, struct source_event event, char *text)
{
    struct source_actions actions;

    source_core_step(core, &event, &actions);
    text[0] = '\0';
    for (unsigned i = 0; i < actions.count; i++)
        snprintf(text + strlen(text), 200 - strlen(text), "%s%s@%llu", i > 0 ? " " : "",
                 names[actions.list[i].kind], (unsigned long long)actions.list[i].value);
    return text;
}

#define STEP(core, ...) step(core, (struct source_event){__VA_ARGS__}, (char[200]){0})
#define FACTS(now, ...) .facts = {.now_ns = now, .wall_ns = 1000 + (now), .slots = 8, __VA_ARGS__}

static void make(struct source_core *core)
{
    struct source_policy policy = {
        .interval_ns = INTERVAL, .small_blocks = SMALL, .stashed_blocks = STASHED, .retry_ns = 500};

    source_core_init(core, &policy);
}

static void make_connected(struct source_core *core)
{
    make(core);
    (void)STEP(core, SOURCE_EVENT_START, FACTS(0));
    (void)STEP(core, SOURCE_EVENT_CONNECTED, .epoch = 7, .has_point = true, FACTS(0));
}

static void does_nothing_unless_started_and_connected(void **state)
{
    struct source_core core;

    make(&core);
    assert_string_equal(STEP(&core, SOURCE_EVENT_POLL, FACTS(0, .open = 5)), "");
    assert_string_equal(STEP(&core, SOURCE_EVENT_START, FACTS(0, .open = 5)), "");
    assert_string_equal(STEP(&core, SOURCE_EVENT_POLL, FACTS(1, .open = 5)), "");
    assert_string_equal(STEP(&core, SOURCE_EVENT_STOP, FACTS(1, .open = 5)), "MERGE@0");
    assert_string_equal(STEP(&core, SOURCE_EVENT_CONNECTED, .has_point = true, FACTS(2, .open = 5)),
                        "");
}

static void takes_one_epoch_through(void **state)
{
    struct source_core core;

    make_connected(&core);
    assert_string_equal(STEP(&core, SOURCE_EVENT_POLL, FACTS(5, .open = 3)), "CUT@8");
    assert_int_equal(core.cut_wall_ns, 1005);
    assert_string_equal(STEP(&core, SOURCE_EVENT_POLL, FACTS(5, .frozen = 3)), "SHIP@8");
    /* What is open meanwhile waits: never two cuts. */
    assert_string_equal(
        STEP(&core, SOURCE_EVENT_POLL, FACTS(200, .open = 9, .unacked = 3, .ships = 1)), "");
    assert_string_equal(
        STEP(&core, SOURCE_EVENT_POLL, FACTS(200, .open = 9, .unacked = 3, .unsent = 1)), "");
    assert_string_equal(STEP(&core, SOURCE_EVENT_POLL, FACTS(201, .open = 9, .unacked = 3)),
                        "CLOSE@8");
    assert_string_equal(STEP(&core, SOURCE_EVENT_POLL, FACTS(400, .open = 9, .unacked = 3)), "");
    assert_string_equal(
        STEP(&core, SOURCE_EVENT_ACK, .epoch = 8, FACTS(401, .open = 9, .unacked = 3)), "CLEAR@8");
    assert_string_equal(STEP(&core, SOURCE_EVENT_POLL, FACTS(401, .open = 9)), "CUT@9");
}

static void clears_only_by_the_right_ack(void **state)
{
    struct source_core core;

    make_connected(&core);
    assert_string_equal(STEP(&core, SOURCE_EVENT_ACK, .epoch = 7, FACTS(1, .unacked = 2)), "CUT@8");
    assert_string_equal(STEP(&core, SOURCE_EVENT_ACK, .epoch = 8, FACTS(2, .frozen = 1)), "SHIP@8");
    assert_string_equal(STEP(&core, SOURCE_EVENT_POLL, FACTS(3, .unacked = 3)), "CLOSE@8");
    assert_string_equal(STEP(&core, SOURCE_EVENT_ACK, .epoch = 7, FACTS(4, .unacked = 3)), "");
    assert_string_equal(STEP(&core, SOURCE_EVENT_ACK, .epoch = 9, FACTS(5, .unacked = 3)), "");
    assert_int_equal(core.phase, SOURCE_CUT_SENT);
    assert_string_equal(STEP(&core, SOURCE_EVENT_ACK, .epoch = 8, FACTS(6, .unacked = 3)),
                        "CLEAR@8");
    assert_string_equal(STEP(&core, SOURCE_EVENT_ACK, .epoch = 8, FACTS(7)), "TIMER@106");
}

static void merges_when_the_link_drops(void **state)
{
    struct source_core core;

    make_connected(&core);
    (void)STEP(&core, SOURCE_EVENT_POLL, FACTS(5, .open = 3));
    (void)STEP(&core, SOURCE_EVENT_POLL, FACTS(6, .unacked = 3));
    assert_int_equal(core.phase, SOURCE_CUT_SENT);
    /* No ABORT: nobody hears it. */
    assert_string_equal(STEP(&core, SOURCE_EVENT_DISCONNECTED, FACTS(7, .unacked = 3)), "MERGE@0");
    /* The ack of the lost connection clears nothing. */
    assert_string_equal(STEP(&core, SOURCE_EVENT_ACK, .epoch = 8, FACTS(8, .open = 3)), "");
    assert_string_equal(
        STEP(&core, SOURCE_EVENT_CONNECTED, .epoch = 8, .has_point = true, FACTS(9, .open = 3)),
        "CUT@9");
}

static void waits_for_the_interval_and_beats_when_idle(void **state)
{
    struct source_core core;

    make_connected(&core);
    (void)STEP(&core, SOURCE_EVENT_POLL, FACTS(5, .open = 1));
    (void)STEP(&core, SOURCE_EVENT_POLL, FACTS(6, .unacked = 1));
    assert_string_equal(STEP(&core, SOURCE_EVENT_ACK, .epoch = 8, FACTS(7, .unacked = 1)),
                        "CLEAR@8");
    assert_string_equal(STEP(&core, SOURCE_EVENT_POLL, FACTS(8, .open = 1)), "TIMER@105");
    assert_string_equal(STEP(&core, SOURCE_EVENT_POLL, FACTS(8)), "TIMER@107");
    assert_string_equal(STEP(&core, SOURCE_EVENT_POLL, FACTS(107)), "CURRENT@1107 TIMER@207");
    /* Blocks shipped before a cut are owed to an epoch, too. */
    assert_string_equal(STEP(&core, SOURCE_EVENT_POLL, FACTS(210, .unacked = 4)), "CUT@9");
}

static void compares_before_all_else(void **state)
{
    struct source_core core;

    make_connected(&core);
    assert_string_equal(STEP(&core, SOURCE_EVENT_POLL, FACTS(1, .open = 5, .suspect = 20)),
                        "COMPARE@8");
    assert_string_equal(
        STEP(&core, SOURCE_EVENT_POLL, .facts = {.now_ns = 500, .open = 5, .suspect = 2}), "");
    assert_string_equal(STEP(&core, SOURCE_EVENT_POLL, FACTS(500, .open = 5, .compares = 1)), "");
    assert_string_equal(STEP(&core, SOURCE_EVENT_POLL, FACTS(500, .open = 5)), "CUT@8");
}

static void waits_until_what_is_settled_is_known_to_be(void **state)
{
    struct source_core core;

    make_connected(&core);
    assert_string_equal(
        STEP(&core, SOURCE_EVENT_POLL, FACTS(1, .suspect = 2, .settled = 5, .is_unmet = true)), "");
    assert_string_equal(
        STEP(&core, SOURCE_EVENT_POLL, FACTS(2, .open = 900, .settled = 5, .is_unmet = true)), "");
    assert_string_equal(
        STEP(&core, SOURCE_EVENT_POLL, FACTS(3, .open = 5, .settled = 5, .is_unmet = true)), "");
    assert_string_equal(STEP(&core, SOURCE_EVENT_POLL, FACTS(4, .suspect = 2, .settled = 5)),
                        "COMPARE@8");
    /* It is owed to an epoch, as what was shipped is. */
    assert_string_equal(STEP(&core, SOURCE_EVENT_POLL, FACTS(5, .settled = 5)), "CUT@8");
}

static void copies_ahead_until_little_is_left(void **state)
{
    struct source_core core;

    make_connected(&core);
    assert_string_equal(STEP(&core, SOURCE_EVENT_POLL, FACTS(1, .open = 1000)),
                        "PRECOPY@8 TIMER@201");
    /* A round in which the link shipped 500 and hosts dirtied 100: go on. */
    assert_string_equal(STEP(&core, SOURCE_EVENT_POLL, FACTS(201, .open = 600, .shipped = 500)),
                        "PRECOPY@8 TIMER@401");
    /* Little is left, but a read of the open set is under way: no cut (invariant 2). */
    assert_string_equal(
        STEP(&core, SOURCE_EVENT_POLL, FACTS(300, .open = 5, .shipped = 1000, .precopies = 1)), "");
    assert_string_equal(STEP(&core, SOURCE_EVENT_POLL, FACTS(301, .open = 5, .shipped = 1100)),
                        "CUT@8");
}

static void cuts_all_the_same_when_the_dirt_does_not_shrink(void **state)
{
    struct source_core core;

    make_connected(&core);
    (void)STEP(&core, SOURCE_EVENT_POLL, FACTS(1, .open = 1000));
    assert_string_equal(
        STEP(&core, SOURCE_EVENT_POLL, FACTS(201, .open = 900, .shipped = 500, .precopies = 2)),
        "");
    assert_string_equal(STEP(&core, SOURCE_EVENT_POLL, FACTS(202, .open = 900, .shipped = 500)),
                        "CUT@8");
    /* The stash overflows: everything back. Not forced again while it could overflow again. */
    assert_string_equal(STEP(&core, SOURCE_EVENT_STASH_FULL, FACTS(210, .frozen = 900)),
                        "MERGE@0 ABORT@0");
    (void)STEP(&core, SOURCE_EVENT_POLL, FACTS(211, .open = 900, .shipped = 500));
    assert_string_equal(STEP(&core, SOURCE_EVENT_POLL, FACTS(411, .open = 900, .shipped = 900)),
                        "PRECOPY@8 TIMER@611");
    assert_string_equal(STEP(&core, SOURCE_EVENT_POLL, FACTS(611, .open = STASHED, .shipped = 901)),
                        "PRECOPY@8 TIMER@811");
    assert_string_equal(
        STEP(&core, SOURCE_EVENT_POLL, FACTS(811, .open = STASHED, .shipped = 1000)), "CUT@9");
}

static void owes_a_point_though_nothing_is_dirty(void **state)
{
    struct source_core core;

    make(&core);
    (void)STEP(&core, SOURCE_EVENT_START, FACTS(0));
    assert_string_equal(STEP(&core, SOURCE_EVENT_CONNECTED, .has_point = false, FACTS(0)), "CUT@1");
    assert_string_equal(STEP(&core, SOURCE_EVENT_POLL, FACTS(1)), "CLOSE@1");
    assert_string_equal(STEP(&core, SOURCE_EVENT_ACK, .epoch = 1, FACTS(2)), "CLEAR@1");
    assert_string_equal(STEP(&core, SOURCE_EVENT_POLL, FACTS(3)), "TIMER@102");
}

static void stops_by_itself_after_one_shot(void **state)
{
    struct source_core core;

    make(&core);
    (void)STEP(&core, SOURCE_EVENT_CONNECTED, .has_point = true, FACTS(0));
    assert_string_equal(STEP(&core, SOURCE_EVENT_START, .is_one_shot = true, FACTS(0)), "CUT@1");
    assert_string_equal(STEP(&core, SOURCE_EVENT_POLL, FACTS(1)), "CLOSE@1");
    assert_string_equal(STEP(&core, SOURCE_EVENT_ACK, .epoch = 1, FACTS(2)), "CLEAR@1 FINISHED@1");
    assert_string_equal(STEP(&core, SOURCE_EVENT_POLL, FACTS(300, .open = 4)), "");
}

static void rests_while_blocked_and_after_a_failed_read(void **state)
{
    struct source_core core;

    make_connected(&core);
    (void)STEP(&core, SOURCE_EVENT_POLL, FACTS(5, .open = 3));
    assert_string_equal(STEP(&core, SOURCE_EVENT_BLOCKED, FACTS(6, .frozen = 3)),
                        "MERGE@0 ABORT@0");
    assert_string_equal(STEP(&core, SOURCE_EVENT_POLL, FACTS(500, .open = 3)), "");
    assert_string_equal(STEP(&core, SOURCE_EVENT_RESUME, FACTS(600, .open = 3)), "CUT@9");
    assert_string_equal(STEP(&core, SOURCE_EVENT_READ_FAILED, FACTS(601, .frozen = 3)),
                        "MERGE@0 ABORT@0");
    assert_string_equal(STEP(&core, SOURCE_EVENT_POLL, FACTS(602, .open = 3)), "TIMER@1101");
    assert_string_equal(STEP(&core, SOURCE_EVENT_POLL, FACTS(1101, .open = 3)), "CUT@10");
}

static void continues_from_the_newer_epoch(void **state)
{
    struct source_core core;

    make_connected(&core);
    core.epoch = 20;
    (void)STEP(&core, SOURCE_EVENT_DISCONNECTED, FACTS(1));
    assert_string_equal(
        STEP(&core, SOURCE_EVENT_CONNECTED, .epoch = 9, .has_point = true, FACTS(2, .open = 1)),
        "CUT@21");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(does_nothing_unless_started_and_connected),
        cmocka_unit_test(takes_one_epoch_through),
        cmocka_unit_test(clears_only_by_the_right_ack),
        cmocka_unit_test(merges_when_the_link_drops),
        cmocka_unit_test(waits_for_the_interval_and_beats_when_idle),
        cmocka_unit_test(compares_before_all_else),
        cmocka_unit_test(waits_until_what_is_settled_is_known_to_be),
        cmocka_unit_test(copies_ahead_until_little_is_left),
        cmocka_unit_test(cuts_all_the_same_when_the_dirt_does_not_shrink),
        cmocka_unit_test(owes_a_point_though_nothing_is_dirty),
        cmocka_unit_test(stops_by_itself_after_one_shot),
        cmocka_unit_test(rests_while_blocked_and_after_a_failed_read),
        cmocka_unit_test(continues_from_the_newer_epoch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
