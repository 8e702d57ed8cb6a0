/* SPDX-License-Identifier: Apache-2.0 */
/* CRC32C against published values and a bit-by-bit reference; the zero test at every place. */
#include "base/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint32_t reference(uint32_t crc, const uint8_t *bytes, size_t length)
{
    crc = ~crc;
    for (size_t i = 0; i < length; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    return ~crc;
}

static void test_published(void **state)
{
    uint8_t bytes[32] = {0};

    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c(0, bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    assert_int_equal(crc32c(0, bytes, 32), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(crc32c(0, bytes, 32), 0x46dd794e);
    assert_int_equal(crc32c(0, NULL, 0), 0);
}

static void test_continued(void **state)
{
    uint8_t bytes[5000];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * i + i / 7);
    for (size_t cut = 0; cut <= sizeof(bytes); cut += 37) {
        uint32_t crc = crc32c(crc32c(0, bytes, cut), bytes + cut, sizeof(bytes) - cut);
        assert_int_equal(crc, crc32c(0, bytes, sizeof(bytes)));
        assert_int_equal(crc32c(0, bytes, cut), reference(0, bytes, cut));
    }
}

static void test_zero(void **state)
{
    uint8_t bytes[300] = {0};

    assert_true(bytes_are_zero(NULL, 0));
    for (size_t length = 1; length <= 260; length++) {
        size_t start = length % 9;
        memset(bytes, 0xff, sizeof(bytes)); /* what lies around must not matter */
        memset(bytes + start, 0, length);
        assert_true(bytes_are_zero(bytes + start, length));
        for (size_t i = 0; i < length; i++) {
            bytes[start + i] = 1;
            assert_false(bytes_are_zero(bytes + start, length));
            bytes[start + i] = 0;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published),
        cmocka_unit_test(test_continued),
        cmocka_unit_test(test_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
