/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of the link: whole, cut at every byte, damaged at every bit, out of order, too long. */
#include "wire/link_frame.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"

static size_t make_frame(uint8_t *at, struct link_frame frame, const void *payload)
{
    frame.payload_crc = crc32c(0, payload, frame.length);
    link_frame_encode(&frame, at);
    memcpy(at + LINK_FRAME_HEADER_SIZE, payload, frame.length);
    return LINK_FRAME_HEADER_SIZE + frame.length;
}

static void feed(struct link_decoder *decoder, const uint8_t *bytes, size_t length)
{
    while (length > 0) {
        size_t room;
        uint8_t *at = link_decoder_room(decoder, &room);

        room = room < length ? room : length;
        memcpy(at, bytes, room);
        link_decoder_fill(decoder, room);
        bytes += room;
        length -= room;
    }
}

static const struct link_frame sample = {
    .kind = LINK_FRAME_DATA, .type = 7, .channel = 3, .length = 20, .sequence = 0};
static const char sample_payload[] = "twenty bytes of data";

static void test_golden(void **state)
{
    uint8_t bytes[64];
    static const uint8_t head[28] = {'V', 'L', 'N', 'K', 1, 9, 0, 0, 7, 0, 3,    0,    20,   0,
                                     0,   0,   0,   0,   0, 0, 0, 0, 0, 0, 0x00, 0x00, 0x00, 0x00};

    assert_int_equal(make_frame(bytes, sample, sample_payload), 52);
    assert_memory_equal(bytes, head, 24);
    assert_int_equal(get_le32(bytes + 24), crc32c(0, sample_payload, 20));
    assert_int_equal(get_le32(bytes + 28), crc32c(0, bytes, 28));
}

static void test_every_cut(void **state)
{
    uint8_t bytes[64];
    size_t length = make_frame(bytes, sample, sample_payload);

    for (size_t cut = 0; cut < length; cut++) {
        struct link_decoder decoder;
        struct link_frame frame;

        assert_int_equal(link_decoder_init(&decoder, 64, 0), 0);
        feed(&decoder, bytes, cut);
        assert_int_equal(link_decoder_next(&decoder, &frame, NULL), 0);
        feed(&decoder, bytes + cut, length - cut);
        assert_int_equal(link_decoder_next(&decoder, &frame, NULL), 1);
        assert_int_equal(frame.kind, LINK_FRAME_DATA);
        assert_int_equal(frame.type, 7);
        assert_int_equal(frame.channel, 3);
        assert_int_equal(frame.length, 20);
        assert_memory_equal(frame.payload, sample_payload, 20);
        assert_int_equal(link_decoder_next(&decoder, &frame, NULL), 0);
        link_decoder_fini(&decoder);
    }
}

/* Where others sum the payload alone: no bit of the header goes unnoticed either. */
static void test_drbd_crc_covers_the_header_too(void **state)
{
    uint8_t bytes[128];
    size_t length = make_frame(bytes, sample, sample_payload);
    struct link_frame second = sample;

    second.sequence = 1;
    make_frame(bytes + length, second, sample_payload);
    for (size_t bit = 0; bit < length * 8; bit++) {
        struct link_decoder decoder;
        struct link_frame frame;
        struct err err = {0};

        assert_int_equal(link_decoder_init(&decoder, 64, 64), 0);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        feed(&decoder, bytes, 2 * length);
        assert_true(link_decoder_next(&decoder, &frame, &err) < 0);
        assert_true(err.text[0] != 0);
        assert_true(link_decoder_next(&decoder, &frame, &err) < 0); /* never again */
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        link_decoder_fini(&decoder);
    }
}

static void test_sequence(void **state)
{
    static const struct {
        uint64_t first, second;
        int rc;
    } rows[] = {{0, 1, 1}, {0, 0, -EPROTO}, {0, 2, -EPROTO}, {0, UINT64_MAX, -EPROTO}};

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct link_decoder decoder;
        struct link_frame frame = sample;
        uint8_t bytes[128];
        size_t length = make_frame(bytes, frame, sample_payload);

        frame.sequence = rows[i].second;
        length += make_frame(bytes + length, frame, sample_payload);
        assert_int_equal(link_decoder_init(&decoder, 64, 128), 0);
        feed(&decoder, bytes, length);
        assert_int_equal(link_decoder_next(&decoder, &frame, NULL), 1);
        assert_int_equal(link_decoder_next(&decoder, &frame, NULL), rows[i].rc);
        link_decoder_fini(&decoder);
    }
}

/* Well-summed headers that may not be. */
static void test_rules(void **state)
{
    static const struct {
        uint8_t version, kind;
        uint16_t flags, type, channel;
        uint32_t length;
        int rc;
    } rows[] = {
        {1, LINK_FRAME_DATA, 0, 65535, 1023, LINK_FRAME_PAYLOAD_MAX, 0},
        {1, LINK_FRAME_PING, 0, 0, 0, 8, 0},
        {2, LINK_FRAME_DATA, 0, 1, 1, 0, -EPROTONOSUPPORT},
        {0, LINK_FRAME_DATA, 0, 1, 1, 0, -EPROTONOSUPPORT},
        {1, 0, 0, 0, 0, 0, -EPROTO},
        {1, LINK_FRAME_KIND_COUNT, 0, 0, 0, 0, -EPROTO},
        {1, 255, 0, 0, 0, 0, -EPROTO},
        {1, LINK_FRAME_DATA, 1, 1, 1, 0, -EPROTO},
        {1, LINK_FRAME_DATA, 0, 1, 1024, 0, -EPROTO},
        {1, LINK_FRAME_DATA, 0, 1, 1, LINK_FRAME_PAYLOAD_MAX + 1, -EPROTO},
        {1, LINK_FRAME_DATA, 0, 1, 1, UINT32_MAX, -EPROTO},
        {1, LINK_FRAME_PING, 0, 1, 0, 8, -EPROTO},
        {1, LINK_FRAME_PING, 0, 0, 1, 8, -EPROTO},
        {1, LINK_FRAME_PING, 0, 0, 0, 7, -EPROTO},
        {1, LINK_FRAME_CREDIT, 0, 0, 1, 5, -EPROTO},
        {1, LINK_FRAME_OPEN, 0, 0, 1, 0, -EPROTO},
        {1, LINK_FRAME_OPEN, 0, 0, 1, 40, -EPROTO},
        {1, LINK_FRAME_HELLO, 0, 0, 0, 40, -EPROTO},
        {1, LINK_FRAME_HELLO, 0, 0, 0, LINK_FRAME_PAYLOAD_MAX_GREETING + 1, -EPROTO},
    };

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t header[LINK_FRAME_HEADER_SIZE] = {0};
        struct link_frame frame;
        struct err err = {0};

        put_le32(header, LINK_FRAME_MAGIC);
        header[4] = rows[i].version;
        header[5] = rows[i].kind;
        put_le16(header + 6, rows[i].flags);
        put_le16(header + 8, rows[i].type);
        put_le16(header + 10, rows[i].channel);
        put_le32(header + 12, rows[i].length);
        put_le32(header + 28, crc32c(0, header, 28));
        assert_int_equal(link_frame_decode(header, &frame, &err), rows[i].rc);
        if (rows[i].version == 2)
            assert_non_null(strstr(err.text, "version 2, ours 1"));
    }
}

/* A length beyond what is allowed now is refused by the header alone. */
static void test_bound(void **state)
{
    struct link_decoder decoder;
    struct link_frame frame = sample;
    uint8_t bytes[128];
    size_t room;

    assert_int_equal(link_decoder_init(&decoder, 16, 0), 0);
    make_frame(bytes, frame, sample_payload);
    feed(&decoder, bytes, LINK_FRAME_HEADER_SIZE);
    assert_int_equal(link_decoder_next(&decoder, &frame, NULL), -EMSGSIZE);
    link_decoder_fini(&decoder);

    assert_int_equal(link_decoder_init(&decoder, 16, 0), 0);
    link_decoder_room(&decoder, &room);
    assert_int_equal(room, LINK_FRAME_HEADER_SIZE + 16);
    assert_int_equal(link_decoder_grow(&decoder, 64, 0), 0);
    feed(&decoder, bytes, LINK_FRAME_HEADER_SIZE + sample.length);
    assert_int_equal(link_decoder_next(&decoder, &frame, NULL), 1);
    link_decoder_fini(&decoder);
}

/* Many frames of random sizes through a small buffer, in random pieces. */
static void test_stream(void **state)
{
    enum { COUNT = 2000, LENGTH_MAX = 3000 };
    uint8_t *bytes = malloc((size_t)COUNT * (LENGTH_MAX + LINK_FRAME_HEADER_SIZE));
    uint8_t payload[LENGTH_MAX];
    struct link_decoder decoder;
    size_t total = 0, at = 0;
    unsigned seen = 0;

    srandom(1);
    for (unsigned i = 0; i < COUNT; i++) {
        uint32_t length = (uint32_t)random() % LENGTH_MAX;

        memset(payload, (int)i, length);
        total += make_frame(
            bytes + total,
            (struct link_frame){
                .kind = LINK_FRAME_CONTROL, .type = (uint16_t)i, .length = length, .sequence = i},
            payload);
    }
    assert_int_equal(link_decoder_init(&decoder, LENGTH_MAX, 500), 0);
    while (at < total) {
        size_t room, piece = (size_t)random() % 5000 + 1;
        uint8_t *into = link_decoder_room(&decoder, &room);
        struct link_frame frame;

        piece = piece < room ? piece : room;
        piece = piece < total - at ? piece : total - at;
        memcpy(into, bytes + at, piece);
        link_decoder_fill(&decoder, piece);
        at += piece;
        while (link_decoder_next(&decoder, &frame, NULL) == 1) {
            assert_int_equal(frame.type, seen);
            if (frame.length > 0)
                assert_int_equal(frame.payload[frame.length - 1], seen & 255);
            seen++;
        }
        assert_false(decoder.has_failed);
    }
    assert_int_equal(seen, COUNT);
    link_decoder_fini(&decoder);
    free(bytes);
}

static void test_noise(void **state)
{
    srandom(2);
    for (int round = 0; round < 2000; round++) {
        struct link_decoder decoder;
        struct link_frame frame;
        uint8_t bytes[256];

        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (uint8_t)random();
        if (round % 2 == 0) {
            put_le32(bytes, LINK_FRAME_MAGIC);
            bytes[4] = 1;
        }
        assert_int_equal(link_decoder_init(&decoder, 256, 256), 0);
        feed(&decoder, bytes, sizeof(bytes));
        assert_true(link_decoder_next(&decoder, &frame, NULL) < 0);
        link_decoder_fini(&decoder);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),   cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_sequence), cmocka_unit_test(test_drbd_crc_covers_the_header_too),
        cmocka_unit_test(test_rules),    cmocka_unit_test(test_bound),
        cmocka_unit_test(test_stream),   cmocka_unit_test(test_noise),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
