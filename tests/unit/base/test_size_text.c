/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/size_text.h"

static void test_units(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0.0 KiB"},
        {1, "0.1 KiB"},
        {4096, "4.0 KiB"},
        {(1 << 20) - 1, "1024.0 KiB"},
        {1 << 20, "1.0 MiB"},
        {500 * 4096, "2.0 MiB"}, /* 1.95: never less than it is */
        {UINT64_C(3) << 29, "1.5 GiB"},
        {(UINT64_C(3) << 29) + 1, "1.6 GiB"},
        {UINT64_C(1) << 60, "1.0 EiB"},
        {UINT64_MAX, "16.0 EiB"},
    };
    char text[SIZE_TEXT_SIZE];

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_text_format(cases[i].bytes, text);
        assert_string_equal(text, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_units)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
