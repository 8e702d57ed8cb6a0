/* SPDX-License-Identifier: Apache-2.0 */
/* Nothing that a stranger can put into a line ends it, forges another or moves a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"

/* What log_line() wrote. */
static const char *written(const char *text)
{
    static char line[2000];
    int pair[2], before = dup(STDERR_FILENO);
    ssize_t length;

    assert_int_equal(pipe(pair), 0);
    dup2(pair[1], STDERR_FILENO);
    log_warning("area", "%s", text);
    dup2(before, STDERR_FILENO);
    close(before);
    close(pair[1]);
    length = read(pair[0], line, sizeof(line) - 1);
    close(pair[0]);
    assert_true(length >= 0);
    line[length] = 0;
    return line;
}

static void test_controls(void **state)
{
    char long_text[5000];
    const char *line;

    assert_string_equal(written("plain"), "<4>area: plain\n");
    assert_string_equal(written("a\r\n<3>forged\x1b[31m\x7f"), "<4>area: a?"
                                                               "?<3>forged?[31m?\n");
    assert_string_equal(written("\xc3\xa9\xe4\xbd\xa0\xf0\x9f\x98\x80"),
                        "<4>area: \xc3\xa9\xe4\xbd\xa0\xf0\x9f\x98\x80\n");
    assert_string_equal(written("\xc2\x9b"
                                "31m"),
                        "<4>area: ??31m\n"); /* CSI in eight bits */
    assert_string_equal(written("\x9b"
                                "31m\xff\xc3"),
                        "<4>area: ?31m??\n");
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = 0;
    line = written(long_text);
    assert_true(strlen(line) < 1300 && strchr(line, '\n') == line + strlen(line) - 1);
}

static void test_escape(void **state)
{
    char shown[16];

    assert_string_equal(log_escape("a\n\\\xc3", 4, shown, sizeof(shown)), "a\\x0a\\x5c\\xc3");
    assert_string_equal(log_escape("abc", 3, shown, sizeof(shown)), "abc");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_controls),
        cmocka_unit_test(test_escape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
