/* SPDX-License-Identifier: Apache-2.0 */
/* The budget of log lines: so many a span, then silence, then how many were dropped, once. */
#include "base/log_limit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_spans(void **state)
{
    struct log_limit limit = {.count_max = 3, .span_ns = 100};
    unsigned dropped;

    for (unsigned i = 0; i < 3; i++)
        assert_true(log_limit_take(&limit, 1000 + i, &dropped));
    for (unsigned i = 0; i < 5; i++)
        assert_false(log_limit_take(&limit, 1099, &dropped));
    assert_int_equal(dropped, 0);
    assert_true(log_limit_take(&limit, 1100, &dropped));
    assert_int_equal(dropped, 5);
    assert_true(log_limit_take(&limit, 1101, &dropped));
    assert_int_equal(dropped, 0);
    assert_true(log_limit_take(&limit, 5000, &dropped));
    assert_int_equal(dropped, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_spans)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
