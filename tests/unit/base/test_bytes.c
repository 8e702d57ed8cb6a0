/* SPDX-License-Identifier: Apache-2.0 */
/* Cursors over bytes: a round trip, and every truncation of it. */
#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_round_trip(void **state)
{
    uint8_t buffer[18];
    struct bytes_writer writer = {buffer, sizeof(buffer), false};
    struct bytes_reader reader = {buffer, sizeof(buffer), false};

    bytes_put_u8(&writer, 0x12);
    bytes_put_le16(&writer, 0x3456);
    bytes_put_le32(&writer, 0x789abcde);
    bytes_put_le64(&writer, UINT64_C(0x1122334455667788));
    bytes_put(&writer, "abc", 3);
    assert_false(writer.failed);
    assert_int_equal(writer.left, 0);
    assert_int_equal(buffer[1], 0x56);
    bytes_put_u8(&writer, 1);
    assert_true(writer.failed);

    assert_int_equal(bytes_u8(&reader), 0x12);
    assert_int_equal(bytes_le16(&reader), 0x3456);
    assert_int_equal(bytes_le32(&reader), 0x789abcde);
    assert_int_equal(bytes_le64(&reader), UINT64_C(0x1122334455667788));
    assert_memory_equal(bytes_take(&reader, 3), "abc", 3);
    assert_false(reader.failed);
    put_be32(buffer, 0x01020304);
    assert_int_equal(buffer[0], 1);
    assert_int_equal(get_be32(buffer), 0x01020304);
}

static void test_truncated(void **state)
{
    uint8_t buffer[15] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

    for (size_t length = 0; length <= sizeof(buffer); length++) {
        struct bytes_reader reader = {buffer, length, false};

        bytes_u8(&reader);
        bytes_le16(&reader);
        bytes_le32(&reader);
        bytes_le64(&reader);
        assert_int_equal(reader.failed, length < sizeof(buffer));
        assert_true(reader.at <= buffer + length);
        if (reader.failed) {
            assert_int_equal(bytes_u8(&reader), 0); /* stays failed */
            assert_null(bytes_take(&reader, 0));
        }
    }
}

static void test_writer_stops(void **state)
{
    uint8_t buffer[8] = {0};
    struct bytes_writer writer = {buffer, 6, false};

    bytes_put_le32(&writer, 1);
    bytes_put_le32(&writer, UINT32_MAX);
    assert_true(writer.failed);
    bytes_put_u8(&writer, 0xff); /* would fit: must not be written */
    for (int i = 4; i < 8; i++)
        assert_int_equal(buffer[i], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_writer_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
