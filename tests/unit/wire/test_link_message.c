/* SPDX-License-Identifier: Apache-2.0 */
/* HELLO and REFUSE: there and back, cut at every byte, hostile. */
#include "wire/link_message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/check.h"

static const struct link_hello sample = {
    .protocol_min = 1,
    .protocol_max = 3,
    .role = LINK_ACCEPTOR,
    .site_id = 0x1122334455667788,
    .nonce = 5,
    .echo = 6,
    .window = 8 << 20,
    .site = "paris",
    .software = "verso 0.1.0",
};

static void test_hello(void **state)
{
    uint8_t bytes[LINK_HELLO_SIZE_MAX + 8] = {0};
    struct link_hello hello;
    uint32_t length = link_hello_encode(&sample, bytes);

    assert_int_equal(length, 40 + 5 + 11);
    assert_true(link_hello_decode(bytes, length, &hello));
    assert_memory_equal(&hello, &sample, sizeof(hello));
    /* A later version may add fields behind. */
    assert_true(link_hello_decode(bytes, length + 8, &hello));
    for (uint32_t cut = 0; cut < length; cut++)
        assert_false(link_hello_decode(bytes, cut, &hello));
}

static void test_hello_hostile(void **state)
{
    static const struct {
        unsigned offset;
        uint8_t value;
    } rows[] = {
        {0, 0},    /* minimum 0 */
        {0, 4},    /* minimum above maximum */
        {4, 2},    /* role */
        {5, 0},    /* no name */
        {5, 64},   /* name too long */
        {5, 255},  /* name past the end */
        {6, 64},   /* software too long */
        {7, 1},    /* must be zero */
        {34, 0},   /* window of nothing: 8 MiB has its bit in byte 34 */
        {35, 127}, /* window of 2 GiB */
        {40, '/'}, /* not a name */
        {41, 0},   /* a NUL in the name */
        {47, 10},  /* a line feed in the software */
    };

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t bytes[LINK_HELLO_SIZE_MAX];
        struct link_hello hello;
        uint32_t length = link_hello_encode(&sample, bytes);

        assert_true(link_hello_decode(bytes, length, &hello));
        bytes[rows[i].offset] = rows[i].value;
        assert_false(link_hello_decode(bytes, length, &hello));
    }
}

static void test_refuse(void **state)
{
    struct link_refuse refuse = {.reason = LINK_REFUSAL_VERSION, .text = "yours\n1, mine 2"}, back;
    uint8_t bytes[4 + LINK_REFUSE_TEXT_SIZE];
    uint32_t length = link_refuse_encode(&refuse, bytes);

    assert_true(link_refuse_decode(bytes, length, &back));
    assert_int_equal(back.reason, LINK_REFUSAL_VERSION);
    assert_string_equal(back.text, "yours?1, mine 2");
    for (uint32_t cut = 0; cut < length; cut++)
        assert_false(link_refuse_decode(bytes, cut, &back));
    memset(refuse.text, 'x', sizeof(refuse.text));
    length = link_refuse_encode(&refuse, bytes);
    assert_true(link_refuse_decode(bytes, length, &back));
    assert_int_equal(strlen(back.text), LINK_REFUSE_TEXT_SIZE - 1);
    bytes[4] = 7;
    assert_false(link_refuse_decode(bytes, length, &back));
}

static void test_name(void **state)
{
    assert_true(link_name_is_valid("pg-0aZ_9.x", LINK_STREAM_SIZE));
    assert_false(link_name_is_valid("", LINK_STREAM_SIZE));
    assert_false(link_name_is_valid("a b", LINK_STREAM_SIZE));
    assert_false(link_name_is_valid("a/b", LINK_STREAM_SIZE));
    assert_false(link_name_is_valid("0123456789012345678901234567890123456789", LINK_STREAM_SIZE));
    assert_true(link_name_is_valid("012345678901234567890123456789012345678", LINK_STREAM_SIZE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello),
        cmocka_unit_test(test_hello_hostile),
        cmocka_unit_test(test_refuse),
        cmocka_unit_test(test_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
