/* SPDX-License-Identifier: Apache-2.0 */
/* Ids: what is made is valid, and what could leave a folder is not. */
#include "base/id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t counter(void *arg)
{
    uint64_t *value = arg;
    return *value += UINT64_C(0x9e3779b97f4a7c15);
}

static void test_make(void **state)
{
    char id[ID_SIZE], other[ID_SIZE];
    uint64_t seed = 1;

    id_make("pair-cn", 16, counter, &seed, id);
    assert_int_equal(strlen(id), strlen("pair-cn-") + 16);
    assert_true(id_is_valid("pair-cn", id));
    assert_true(id_is_valid("pair", id));
    id_make("pair-cn", 16, counter, &seed, other);
    assert_string_not_equal(id, other);
}

static void test_uuid(void **state)
{
    char uuid[37];
    uint64_t seed = 7;

    for (int i = 0; i < 100; i++) {
        id_make_uuid(counter, &seed, uuid);
        assert_int_equal(strlen(uuid), 36);
        assert_int_equal(strspn(uuid, "0123456789ABCDEF-"), 36);
        assert_true(uuid[8] == '-' && uuid[13] == '-' && uuid[18] == '-' && uuid[23] == '-');
        assert_int_equal(uuid[14], '4');
        assert_non_null(strchr("89AB", uuid[19]));
    }
}

static void test_valid(void **state)
{
    static const char *const bad[] = {
        "",
        "d",
        "d-",
        "d-a/b",
        "d-..",
        "d-a.b",
        "e-abc",
        "d-a b",
        "d-\xc3\xa9",
        "D-abc",
        "d-a\n",
        "../d-abc",
        "d-012345678901234567890123456789012",
    };

    assert_true(id_is_valid("d", "d-1"));
    assert_true(id_is_valid("d", "d-aZ-9"));
    assert_true(id_is_valid("d", "d-01234567890123456789012345678901"));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(id_is_valid("d", bad[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_make),
        cmocka_unit_test(test_uuid),
        cmocka_unit_test(test_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
