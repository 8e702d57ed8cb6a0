/* SPDX-License-Identifier: Apache-2.0 */
/* Every operation x state of pairs and groups against the contract's tables, and the moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "model/group_state.h"

/* One letter a state, in the order of enum replica_state (without `deleted`... included): Y
 * allowed, R repeat, . refused. Columns: creating created create_failed initial manual syncing
 * normal stopping stopped stop_failed failovering failovered failover_failed reprotecting
 * reprotect_failed deleting delete_failed deleted invalid */
static const char *const pair_rows[PAIR_OP_COUNT] = {
    [PAIR_START] = ".Y...RR.Y..........",        [PAIR_START_ONE_SHOT] = ".Y..R...Y..........",
    [PAIR_STOP] = "...YYYY..Y.........",         [PAIR_FAILOVER] = "YYYYYYYYYYRRYYYYY..",
    [PAIR_REPROTECT] = "...........Y..Y....",    [PAIR_DELETE] = ".YY.....Y..Y...RY.Y",
    [PAIR_MODIFY] = ".Y......Y..........",       [PAIR_MODIFY_RPO] = ".Y.YYYY.Y..........",
    [PAIR_ADD_TO_GROUP] = ".Y......Y..........", [PAIR_REMOVE_FROM_GROUP] = ".YY.....Y.........Y",
};

static const char *const group_rows[GROUP_OP_COUNT] = {
    [GROUP_START] = ".Y.R.RR.Y..........",     [GROUP_START_ONE_SHOT] = ".Y..R...Y..........",
    [GROUP_STOP] = "...YYYYRRY.........",      [GROUP_FAILOVER] = "...YYYYYYYRRY......",
    [GROUP_REPROTECT] = "...........Y..Y....", [GROUP_DELETE] = ".YY.....Y..Y...RY.Y",
    [GROUP_MODIFY] = ".Y......Y..........",    [GROUP_MODIFY_RPO] = ".Y.YYYY.Y..........",
    [GROUP_ADD_PAIR] = ".Y......Y..........",  [GROUP_REMOVE_PAIR] = ".Y......Y.........Y",
};

static enum state_verdict letter_verdict(char letter)
{
    return letter == 'Y' ? STATE_ALLOW : letter == 'R' ? STATE_REPEAT : STATE_DENY;
}

static void test_pair_table(void **state)
{
    for (unsigned op = 0; op < PAIR_OP_COUNT; op++) {
        assert_int_equal(strlen(pair_rows[op]), REPLICA_STATE_COUNT);
        for (unsigned at = 0; at < REPLICA_STATE_COUNT; at++) {
            enum api_error error = API_OK;
            if (pair_state_judge(op, at, &error) != letter_verdict(pair_rows[op][at]))
                fail_msg("pair op %u in %s", op, replica_state_name(at));
            if (pair_rows[op][at] == '.')
                assert_int_not_equal(error, API_OK);
        }
    }
}

static void test_group_table(void **state)
{
    for (unsigned op = 0; op < GROUP_OP_COUNT; op++) {
        assert_int_equal(strlen(group_rows[op]), REPLICA_STATE_COUNT);
        for (unsigned at = 0; at < REPLICA_STATE_COUNT; at++) {
            enum api_error error = API_OK;
            if (group_state_judge(op, at, &error) != letter_verdict(group_rows[op][at]))
                fail_msg("group op %u in %s", op, replica_state_name(at));
        }
    }
}

static void test_refusals_have_their_code(void **state)
{
    enum api_error error;

    assert_int_equal(pair_state_judge(PAIR_ADD_TO_GROUP, REPLICA_INITIAL_SYNCING, &error),
                     STATE_DENY);
    assert_int_equal(error, API_PAIR_INITIALIZING);
    pair_state_judge(PAIR_ADD_TO_GROUP, REPLICA_NORMAL, &error);
    assert_int_equal(error, API_PAIR_STATUS_CANNOT_ADD);
    pair_state_judge(PAIR_REMOVE_FROM_GROUP, REPLICA_NORMAL, &error);
    assert_int_equal(error, API_PAIR_STATUS_CANNOT_REMOVE);
    group_state_judge(GROUP_ADD_PAIR, REPLICA_NORMAL, &error);
    assert_int_equal(error, API_GROUP_STATUS_CANNOT_ADD);
    group_state_judge(GROUP_REMOVE_PAIR, REPLICA_FAILOVERED, &error);
    assert_int_equal(error, API_GROUP_STATUS_CANNOT_REMOVE);
    pair_state_judge(PAIR_REPROTECT, REPLICA_NORMAL, &error);
    assert_int_equal(error, API_INVALID_STATUS);
}

static void test_every_transient_state_ends(void **state)
{
    for (unsigned from = 0; from < REPLICA_STATE_COUNT; from++) {
        unsigned exits = 0;
        for (unsigned to = 0; to < REPLICA_STATE_COUNT; to++)
            exits += replica_state_may_move(from, to);
        assert_true(from == REPLICA_DELETED ? exits == 0 : exits > 0);
    }
    assert_false(replica_state_may_move(REPLICA_NORMAL, REPLICA_CREATED));
    assert_false(replica_state_may_move(REPLICA_FAILOVERED, REPLICA_NORMAL));
    assert_false(replica_state_may_move(REPLICA_STOPPED, REPLICA_REPROTECTING));
    assert_true(replica_state_may_move(REPLICA_REPROTECTING, REPLICA_STOPPED));
}

/* What an operation is allowed in, its first move must be allowed from: the mover aborts else. */
static void test_allowed_operations_can_move(void **state)
{
    static const struct {
        enum pair_op pair;
        enum group_op group;
        enum replica_state to;
    } rows[] = {
        {PAIR_START, GROUP_START, REPLICA_INITIAL_SYNCING},
        {PAIR_START, GROUP_START, REPLICA_SYNCING},
        {PAIR_START_ONE_SHOT, GROUP_START_ONE_SHOT, REPLICA_MANUAL_SYNCING},
        {PAIR_STOP, GROUP_STOP, REPLICA_STOPPING},
        {PAIR_FAILOVER, GROUP_FAILOVER, REPLICA_FAILOVERING},
        {PAIR_REPROTECT, GROUP_REPROTECT, REPLICA_REPROTECTING},
        {PAIR_DELETE, GROUP_DELETE, REPLICA_DELETING},
    };

    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++)
        for (unsigned at = 0; at < REPLICA_STATE_COUNT; at++) {
            enum api_error error;
            /* Refused by control while their job runs. */
            if (at == REPLICA_CREATING || at == REPLICA_REPROTECTING || at == REPLICA_DELETING)
                continue;
            if (pair_state_judge(rows[i].pair, at, &error) == STATE_ALLOW ||
                group_state_judge(rows[i].group, at, &error) == STATE_ALLOW)
                if (!replica_state_may_move(at, rows[i].to))
                    fail_msg("%s to %s", replica_state_name(at), replica_state_name(rows[i].to));
        }
}

static void test_names_go_both_ways(void **state)
{
    for (unsigned at = 0; at < REPLICA_STATE_COUNT; at++) {
        enum replica_state back = REPLICA_STATE_COUNT;
        assert_true(replica_state_parse(replica_state_name(at), &back));
        assert_int_equal(back, at);
    }
    enum replica_state kept = REPLICA_NORMAL;
    assert_false(replica_state_parse("Normal", &kept));
    assert_int_equal(kept, REPLICA_NORMAL);
}

static void test_shown_state_follows_the_point(void **state)
{
    struct replica_facts facts = {.rpo_ns = 900};

    assert_int_equal(replica_state_shown(REPLICA_SYNCING, &facts), REPLICA_INITIAL_SYNCING);
    facts.is_group = true;
    assert_int_equal(replica_state_shown(REPLICA_SYNCING, &facts), REPLICA_SYNCING);
    facts.has_point = true;
    facts.point_age_ns = 899;
    assert_int_equal(replica_state_shown(REPLICA_SYNCING, &facts), REPLICA_NORMAL);
    facts.point_age_ns = 900;
    assert_int_equal(replica_state_shown(REPLICA_SYNCING, &facts), REPLICA_SYNCING);
    assert_int_equal(replica_state_shown(REPLICA_MANUAL_SYNCING, &facts), REPLICA_MANUAL_SYNCING);
    assert_int_equal(replica_state_shown(REPLICA_FAILOVERED, &facts), REPLICA_FAILOVERED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pair_table),
        cmocka_unit_test(test_group_table),
        cmocka_unit_test(test_refusals_have_their_code),
        cmocka_unit_test(test_every_transient_state_ends),
        cmocka_unit_test(test_allowed_operations_can_move),
        cmocka_unit_test(test_names_go_both_ways),
        cmocka_unit_test(test_shown_state_follows_the_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
