/* SPDX-License-Identifier: Apache-2.0 */
/* Forms: decoding, and everything malformed refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/form.h"

static int parse(struct form *form, const char *text)
{
    /* A copy of exactly that length, so that a reader past the end is caught. */
    size_t length = strlen(text);
    char *exact = malloc(length ? length : 1);
    int result;

    memcpy(exact, text, length);
    result = form_parse(form, exact, length);
    free(exact);
    return result;
}

static void test_decodes(void **state)
{
    struct form form = {0};

    assert_int_equal(parse(&form, "Action=Do+it&Name=%C3%A4%E7%9b%98%26%3D&Empty=&Bare&&x=a=b"), 0);
    assert_int_equal(form.count, 5);
    assert_string_equal(form_get(&form, "Action"), "Do it");
    assert_string_equal(form_get(&form, "Name"), "\xc3\xa4\xe7\x9b\x98&=");
    assert_string_equal(form_get(&form, "Empty"), "");
    assert_string_equal(form_get(&form, "Bare"), "");
    assert_string_equal(form_get(&form, "x"), "a=b");
    assert_null(form_get(&form, "action")); /* names are case-sensitive */
    form_fini(&form);
}

static void test_first_of_a_name_counts(void **state)
{
    struct form form = {0};

    assert_int_equal(parse(&form, "a=1&b=2&a=3"), 0);
    assert_int_equal(parse(&form, "b=9&c=4"), 0); /* the body after the query */
    assert_int_equal(form.count, 3);
    assert_string_equal(form_get(&form, "a"), "1");
    assert_string_equal(form_get(&form, "b"), "2");
    form_fini(&form);
}

static void test_refuses_malformed(void **state)
{
    static const char *const texts[] = {
        "a=%",         "a=%4",           "a=%zz",    "%=1",   "a=%00", "a=%ff",          "a=%c0%80",
        "a=%ed%a0%80", "a=%f5%80%80%80", "a=%e2%82", "a=%c3", "a=%80", "a=%f0%80%80%80", "a=\xff",
        "a=%4%41",
    };

    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct form form = {0};
        assert_int_equal(parse(&form, texts[i]), -EBADMSG);
        assert_int_equal(form.count, 0);
        form_fini(&form);
    }
}

static void test_every_truncation_is_safe(void **state)
{
    static const char whole[] = "Action=%C3%A4&b=%26%3D&c=%F0%9F%98%80&d";

    for (size_t length = 0; length < sizeof(whole); length++) {
        struct form form = {0};
        char *exact = malloc(length + 1);
        memcpy(exact, whole, length);
        int result = form_parse(&form, exact, length);
        assert_true(result == 0 || result == -EBADMSG);
        free(exact);
        form_fini(&form);
    }
}

static void test_too_many(void **state)
{
    struct form form = {0};
    char text[20];

    for (unsigned i = 0; i < FORM_PAIRS_MAX; i++) {
        snprintf(text, sizeof(text), "p%u=1", i);
        assert_int_equal(parse(&form, text), 0);
    }
    assert_int_equal(parse(&form, "more=1"), -E2BIG);
    form_fini(&form);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decodes),           cmocka_unit_test(test_first_of_a_name_counts),
        cmocka_unit_test(test_refuses_malformed), cmocka_unit_test(test_every_truncation_is_safe),
        cmocka_unit_test(test_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
