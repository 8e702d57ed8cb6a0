/* SPDX-License-Identifier: Apache-2.0 */
/* Requests a second: what is granted, how long to wait, many keys in little memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "access/throttle.h"

#define SECOND UINT64_C(1000000000)

static void test_a_seconds_worth_then_the_rate(void **state)
{
    static const unsigned rates[] = {1, 3, 7, 1000, 1000000};

    for (unsigned i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        struct throttle *throttle = throttle_new(rates[i]);
        uint64_t now = 5 * SECOND, wait, granted = 0;

        for (unsigned j = 0; j < rates[i]; j++)
            assert_int_equal(throttle_ask_ns(throttle, "k", now), 0);
        wait = throttle_ask_ns(throttle, "k", now);
        assert_in_range(wait, 1, SECOND / rates[i]);
        /* Neither sooner nor later than it said. */
        assert_int_not_equal(throttle_ask_ns(throttle, "k", now + wait - 1), 0);
        assert_int_equal(throttle_ask_ns(throttle, "k", now + wait), 0);
        /* Who asks all the time gets the rate: two seconds' worth in the second after a rest. */
        now += 100 * SECOND;
        for (unsigned j = 0; j < 2 * rates[i] + 10; j++)
            granted += throttle_ask_ns(throttle, "k", now + j * SECOND / (2 * rates[i] + 10)) == 0;
        assert_in_range(granted, rates[i], 2 * rates[i]);
        throttle_free(throttle);
    }
}

static void test_no_limit(void **state)
{
    struct throttle *throttle = throttle_new(0);

    for (unsigned i = 0; i < 10000; i++)
        assert_int_equal(throttle_ask_ns(throttle, "k", 1), 0);
    throttle_free(throttle);
}

/* More keys than there is room for: each gets its bucket, and who was forgotten gets a full one. */
static void test_many_keys(void **state)
{
    struct throttle *throttle = throttle_new(2);
    char key[THROTTLE_KEY_SIZE];

    for (unsigned i = 0; i < 3 * THROTTLE_KEYS_MAX; i++) {
        snprintf(key, sizeof(key), "LTAI%059u", i);
        assert_int_equal(throttle_ask_ns(throttle, key, SECOND), 0);
        assert_int_equal(throttle_ask_ns(throttle, key, SECOND), 0);
        assert_int_not_equal(throttle_ask_ns(throttle, key, SECOND), 0);
    }
    throttle_free(throttle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_seconds_worth_then_the_rate),
        cmocka_unit_test(test_no_limit),
        cmocka_unit_test(test_many_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
