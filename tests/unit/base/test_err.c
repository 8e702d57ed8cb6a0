/* SPDX-License-Identifier: Apache-2.0 */
/* Error texts: set, wrapped, cut at the buffer's end. */
#include "base/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_wrap(void **state)
{
    struct err err = {0};

    assert_int_equal(err_set(&err, -EIO, "segment %d", 7), -EIO);
    assert_int_equal(err_wrap(&err, "open journal %s", "d-1"), -EIO);
    assert_string_equal(err.text, "open journal d-1: segment 7");
    assert_int_equal(err.code, -EIO);
    assert_int_equal(err_set(NULL, -ENOSPC, "dropped"), -ENOSPC);
    assert_string_equal(err_name(-ENOENT), err_name(ENOENT));
    assert_string_equal(err_name(1 << 20), "unknown error");
}

static void test_long(void **state)
{
    struct err err = {0};

    err_set(&err, -EIO, "%0600d", 1);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    for (int i = 0; i < 200; i++)
        err_wrap(&err, "prefix %d", i);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    assert_memory_equal(err.text, "prefix 199: prefix 198: ", 24);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrap),
        cmocka_unit_test(test_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
