/* SPDX-License-Identifier: Apache-2.0 */
/* Disk operations x states, names, moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/disk_state.h"

static void expect(enum disk_op op, enum disk_state at, enum state_verdict verdict,
                   enum api_error error)
{
    enum api_error got = API_OK;

    assert_int_equal(disk_state_judge(op, at, &got), verdict);
    if (verdict == STATE_DENY)
        assert_int_equal(got, error);
}

static void test_answers(void **state)
{
    for (unsigned at = 0; at < DISK_STATE_COUNT; at++) {
        enum api_error error;
        assert_int_equal(disk_state_judge(DISK_ATTACH, at, &error) == STATE_ALLOW,
                         at == DISK_AVAILABLE);
        assert_int_equal(disk_state_judge(DISK_DETACH, at, &error) == STATE_ALLOW,
                         at == DISK_IN_USE);
        assert_int_equal(disk_state_judge(DISK_DELETE, at, &error) == STATE_ALLOW,
                         at == DISK_AVAILABLE);
        assert_int_equal(disk_state_judge(DISK_REINIT, at, &error) == STATE_ALLOW,
                         at == DISK_IN_USE);
    }
    expect(DISK_ATTACH, DISK_IN_USE, STATE_DENY, API_DISK_IN_USE);
    expect(DISK_ATTACH, DISK_CREATING, STATE_DENY, API_DISK_STATUS);
    expect(DISK_DETACH, DISK_AVAILABLE, STATE_DENY, API_DISK_ALREADY_DETACHED);
    expect(DISK_DETACH, DISK_DETACHING, STATE_DENY, API_DISK_DETACHING);
    expect(DISK_DELETE, DISK_IN_USE, STATE_DENY, API_DISK_STILL_ATTACHED);
    expect(DISK_DELETE, DISK_CREATING, STATE_DENY, API_DISK_INITIALIZING);
    expect(DISK_REINIT, DISK_AVAILABLE, STATE_DENY, API_DISK_STATUS);
    expect(DISK_REINIT, DISK_REINITING, STATE_DENY, API_DISK_STATUS);
    expect(DISK_DELETE, DISK_DELETING, STATE_REPEAT, API_OK);
}

static void test_moves_and_names(void **state)
{
    enum disk_state back;

    for (unsigned at = 0; at < DISK_STATE_COUNT; at++) {
        assert_true(disk_state_parse(disk_state_name(at), &back));
        assert_int_equal(back, at);
    }
    assert_false(disk_state_parse("In_Use", &back));
    assert_true(disk_state_may_move(DISK_AVAILABLE, DISK_IN_USE));
    assert_false(disk_state_may_move(DISK_IN_USE, DISK_DELETING));
    assert_false(disk_state_may_move(DISK_DELETED, DISK_AVAILABLE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_moves_and_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
