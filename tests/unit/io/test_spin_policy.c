/* SPDX-License-Identifier: Apache-2.0 */
/* When a loop looks for news and when it sleeps at once. */
#include "io/spin_policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MAX_NS = 25000, MS = 1000 * 1000 };

static void test_adapts_to_the_waits(void **state)
{
    struct spin_policy policy;

    spin_policy_init(&policy, MAX_NS);
    assert_int_equal(spin_policy_budget(&policy, 1), 0); /* an idle loop does not look */
    spin_policy_slept(&policy, MAX_NS);
    assert_int_equal(spin_policy_budget(&policy, 1), MAX_NS);
    spin_policy_slept(&policy, 10 * MAX_NS);
    assert_int_equal(spin_policy_budget(&policy, 1), MAX_NS / 2);
    for (unsigned i = 0; i < 8; i++)
        spin_policy_slept(&policy, 10 * MAX_NS);
    assert_int_equal(spin_policy_budget(&policy, 1), 0);
    assert_false(spin_policy_wants_check(&policy, UINT64_MAX)); /* and costs nothing */
}

static void test_rests_on_a_shared_core(void **state)
{
    struct spin_policy policy;
    uint64_t now_ns = 1000 * (uint64_t)MS;

    spin_policy_init(&policy, MAX_NS);
    spin_policy_slept(&policy, 1000);
    assert_true(spin_policy_wants_check(&policy, now_ns));
    spin_policy_check(&policy, now_ns, 500); /* of old: says nothing */
    assert_int_equal(spin_policy_budget(&policy, now_ns), MAX_NS);
    assert_false(spin_policy_wants_check(&policy, now_ns + 9 * MS));
    now_ns += 10 * MS;
    spin_policy_check(&policy, now_ns, 501); /* one: the kernel's own work */
    assert_int_equal(spin_policy_budget(&policy, now_ns), MAX_NS);
    now_ns += 10 * MS;
    spin_policy_check(&policy, now_ns, 503);
    assert_int_equal(spin_policy_budget(&policy, now_ns), 0);
    assert_int_equal(spin_policy_budget(&policy, now_ns + 99 * MS), 0);
    assert_int_equal(spin_policy_budget(&policy, now_ns + 100 * MS), MAX_NS);
    spin_policy_check(&policy, now_ns + 300 * MS, 600); /* over a long span: says nothing */
    assert_int_equal(spin_policy_budget(&policy, now_ns + 300 * MS), MAX_NS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adapts_to_the_waits),
        cmocka_unit_test(test_rests_on_a_shared_core),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
