/* SPDX-License-Identifier: Apache-2.0 */
/* Compression: there and back, never past the expected size, hostile input; the gauge. */
#include "wire/payload.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIZE = 64 << 10 };

static int setup(void **state)
{
    *state = payload_codec_new();
    return *state == NULL;
}

static int teardown(void **state)
{
    payload_codec_free(*state);
    payload_codec_free(NULL);
    return 0;
}

static void fill_text(uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)("replication "[i % 12] + (i / 4096) % 3);
}

static void fill_noise(uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)random();
}

static void test_round_trip(void **state)
{
    static const int levels[] = {-7, -1, 1, 3};
    uint8_t *in = malloc(SIZE), *packed = malloc(SIZE), *back = malloc(SIZE + 1);

    fill_text(in, SIZE);
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        int64_t length = payload_compress(*state, levels[i], in, SIZE, packed, SIZE);

        assert_true(length > 0 && length < SIZE / 8);
        memset(back, 0xee, SIZE + 1);
        assert_int_equal(payload_decompress(*state, packed, (size_t)length, back, SIZE), 0);
        assert_memory_equal(in, back, SIZE);
        assert_int_equal(back[SIZE], 0xee);
        /* Another size than expected is refused, and nothing goes past the end. */
        assert_int_equal(payload_decompress(*state, packed, (size_t)length, back, SIZE + 1),
                         -EBADMSG);
        back[SIZE - 4096] = 0xdd;
        assert_int_equal(payload_decompress(*state, packed, (size_t)length, back, SIZE - 4096),
                         -EBADMSG);
        assert_int_equal(back[SIZE - 4096], 0xdd);
    }
    free(in);
    free(packed);
    free(back);
}

static void test_incompressible(void **state)
{
    uint8_t *in = malloc(SIZE), *packed = malloc(SIZE);

    srandom(1);
    fill_noise(in, SIZE);
    assert_int_equal(payload_compress(*state, 1, in, SIZE, packed, SIZE), 0);
    assert_int_equal(payload_compress(*state, 1, in, SIZE, packed, 16), 0);
    free(in);
    free(packed);
}

static void test_hostile(void **state)
{
    uint8_t *in = malloc(4096), *packed = malloc(4096), *back = malloc(4096);
    int64_t length;

    fill_text(in, 4096);
    length = payload_compress(*state, 1, in, 4096, packed, 4096);
    assert_true(length > 0);
    for (int64_t cut = 0; cut < length; cut++)
        assert_int_equal(payload_decompress(*state, packed, (size_t)cut, back, 4096), -EBADMSG);
    srandom(3);
    for (int round = 0; round < 5000; round++) {
        int64_t at = random() % length;
        uint8_t old = packed[at];

        packed[at] ^= (uint8_t)(1 << random() % 8);
        (void)payload_decompress(*state, packed, (size_t)length, back, 4096); /* no crash */
        packed[at] = old;
    }
    assert_int_equal(payload_decompress(*state, packed, (size_t)length, back, 4096), 0);
    assert_memory_equal(in, back, 4096);
    free(in);
    free(packed);
    free(back);
}

static void test_gauge(void **state)
{
    struct payload_gauge gauge = {0};
    unsigned tries = 0;

    assert_int_equal(payload_gauge_permille(&gauge), 1000);
    for (int i = 0; i < 1000; i++) {
        if (!payload_gauge_step(&gauge))
            continue;
        tries++;
        assert_false(payload_gauge_note(&gauge, 65536, 0));
    }
    assert_true(tries >= 1000 / 65 && tries < 30);
    assert_int_equal(payload_gauge_permille(&gauge), 1000);

    /* The first that pays ends the rests. */
    while (!payload_gauge_step(&gauge))
        ;
    assert_true(payload_gauge_note(&gauge, 65536, 20000));
    for (int i = 0; i < 1000; i++) {
        assert_true(payload_gauge_step(&gauge));
        assert_true(payload_gauge_note(&gauge, 65536, 16384));
    }
    assert_in_range(payload_gauge_permille(&gauge), 240, 270);
    /* Less than an eighth saved does not pay. */
    assert_false(payload_gauge_note(&gauge, 65536, 60000));
    assert_false(payload_gauge_step(&gauge));
    assert_true(payload_gauge_step(&gauge));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_incompressible),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_gauge),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
