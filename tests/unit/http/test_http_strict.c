/* SPDX-License-Identifier: Apache-2.0 */
/* Heads as rows; and texts that lie in one buffer as the library leaves them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "http/http_request.h"
#include "http/http_strict.h"

#define HOST                                                                                       \
    {                                                                                              \
        "Host", "x"                                                                                \
    }

static void test_heads(void **state)
{
    static const struct {
        const char *version;
        struct http_field fields[4];
        bool is_fine, is_chunked;
        uint64_t length;
    } rows[] = {
        {"HTTP/1.1", {HOST}, true},
        {"HTTP/1.1", {HOST, {"Content-Length", "17"}}, true, false, 17},
        {"HTTP/1.1",
         {HOST, {"content-LENGTH", "999999999999999999"}},
         true,
         false,
         999999999999999999},
        {"HTTP/1.1", {HOST, {"Transfer-Encoding", "Chunked"}}, true, true},
        {"HTTP/1.0", {{"A", "\xc3\xa4 \tb"}}, true},
        {"HTTP/1.1", {{"host", ""}}, true}, /* allowed, and of no use */
        {"HTTP/1.1", {{"host", "[::1]:8080 "}}, true},
        {"HTTP/1.1", {{"A", "b"}}},
        {"HTTP/1.1", {HOST, HOST}},
        {"HTTP/1.1", {{"Host", "x y"}}},
        {"HTTP/1.1", {{"Host", "x,y"}}},
        {"HTTP/1.1", {{"Host", "user@x"}}},
        {"HTTP/1.1", {HOST, {"", "b"}}},
        {"HTTP/1.1", {HOST, {"A ", "b"}}},
        {"HTTP/1.1", {HOST, {"A\xc3", "b"}}},
        {"HTTP/1.1", {HOST, {"A", "b\x01"}}},
        {"HTTP/1.1", {HOST, {"A", "b\x7f"}}},
        {"HTTP/1.1", {HOST, {"A", "b\rc"}}},
        {"HTTP/1.1", {HOST, {"Content-Length", ""}}},
        {"HTTP/1.1", {HOST, {"Content-Length", "1e3"}}},
        {"HTTP/1.1", {HOST, {"Content-Length", "1 "}}},
        {"HTTP/1.1", {HOST, {"Content-Length", "1000000000000000000"}}},
        {"HTTP/1.1", {HOST, {"Content-Length", "1"}, {"Content-Length", "1"}}},
        {"HTTP/1.1", {HOST, {"Transfer-Encoding", "chunked"}, {"Content-Length", "1"}}},
        {"HTTP/1.1", {HOST, {"Content-Length", "1"}, {"Transfer-Encoding", "chunked"}}},
        {"HTTP/1.1", {HOST, {"Transfer-Encoding", "gzip, chunked"}}},
        {"HTTP/1.1", {HOST, {"Transfer-Encoding", "chunked "}}},
        {"HTTP/1.1", {HOST, {"Transfer-Encoding", "identity"}}},
        {"HTTP/1.1", {HOST, {"Transfer-Encoding", ""}}},
        {"HTTP/1.1", {HOST, {"Transfer-Encoding", "chunked"}, {"Transfer-Encoding", "chunked"}}},
        {"HTTP/1.0", {{"Transfer-Encoding", "chunked"}}},
    };

    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        struct http_framing framing = {.is_chunked = true, .length = 4711};
        unsigned count = 0;
        const char *why;

        while (count < 4 && rows[i].fields[count].name)
            count++;
        why = http_strict_head(rows[i].version, rows[i].fields, count, &framing);
        if ((why == NULL) != rows[i].is_fine)
            fail_msg("row %u: %s", i, why ? why : "taken");
        if (why == NULL) {
            assert_int_equal(framing.is_chunked, rows[i].is_chunked);
            assert_int_equal(framing.length, rows[i].length);
        } else {
            assert_int_equal(framing.length, 4711); /* untouched */
        }
    }
}

static void test_in_place(void **state)
{
    char room[64] = "HTTP/1.1\0\0Host\0 x\0\0B\0\0\0C\0\t y \0\0\0";
    char *good = room, *good_end = room + 33;
    char hole[] = "HTTP/1.1\0\0Host\0 x\0\0\0B\0y\0\0\0";
    char bare[] = "HTTP/1.1\0\0Host\0 x\0B\0y\0\0\0";
    char left_out[] = "HTTP/1.1\0\0Host\0 x\0\0\0no name\0\0\0";
    struct http_field fields[] = {
        {good + 10, good + 16}, {good + 19, good + 21}, {good + 23, good + 27}};
    struct http_field holes[] = {{hole + 10, hole + 16}, {hole + 20, hole + 22}};
    struct http_field bares[] = {{bare + 10, bare + 16}, {bare + 18, bare + 20}};
    struct http_field only[] = {{left_out + 10, left_out + 16}};

    assert_string_equal(fields[2].value, "y ");
    assert_true(http_strict_in_place(good, fields, 3, good_end));
    assert_false(http_strict_in_place(good, fields, 3, good_end - 1)); /* no CR at last */
    assert_false(http_strict_in_place(good, fields, 3, good_end + 1)); /* a NUL at last */
    assert_false(http_strict_in_place(good, fields, 2, good_end));
    assert_false(http_strict_in_place(good, fields + 1, 2, good_end));
    fields[1].value = "elsewhere"; /* where the library puts a folded line */
    assert_false(http_strict_in_place(good, fields, 3, good_end));
    assert_string_equal(holes[1].value, "y");
    assert_false(http_strict_in_place(hole, holes, 2, hole + sizeof(hole)));
    assert_string_equal(bares[1].value, "y");
    assert_false(http_strict_in_place(bare, bares, 2, bare + sizeof(bare)));
    assert_false(http_strict_in_place(left_out, only, 1, left_out + sizeof(left_out)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
