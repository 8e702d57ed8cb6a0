/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of a stream: what goes in comes out; every truncation and every lengthening of every
 * message is refused; numbers out of bounds are refused; random bytes never make a decoder read
 * past its input (run under ASan, each input lies in its own allocation).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "wire/peer_life.h"
#include "wire/stream_message.h"

typedef bool (*decode_fn)(const uint8_t *bytes, size_t length);

static bool decode_hello(const uint8_t *bytes, size_t length)
{
    struct stream_hello hello;
    return stream_hello_decode(bytes, length, &hello);
}

static bool decode_data(const uint8_t *bytes, size_t length)
{
    struct stream_data data;
    return stream_data_decode(bytes, length, &data);
}

static bool decode_hole(const uint8_t *bytes, size_t length)
{
    struct stream_hole hole;
    return stream_hole_decode(bytes, length, &hole);
}

static bool decode_cut(const uint8_t *bytes, size_t length)
{
    struct stream_cut cut;
    return stream_cut_decode(bytes, length, &cut);
}

static bool decode_ack(const uint8_t *bytes, size_t length)
{
    struct stream_ack ack;
    return stream_ack_decode(bytes, length, &ack);
}

static bool decode_number(const uint8_t *bytes, size_t length)
{
    uint64_t value;
    return stream_number_decode(bytes, length, &value);
}

static bool decode_life(const uint8_t *bytes, size_t length)
{
    struct peer_life life;
    return peer_life_decode(bytes, length, &life);
}

static bool decode_hashes(const uint8_t *bytes, size_t length)
{
    struct stream_hashes hashes;
    return stream_hashes_decode(bytes, length, false, &hashes);
}

static bool decode_verdict(const uint8_t *bytes, size_t length)
{
    struct stream_hashes hashes;
    return stream_hashes_decode(bytes, length, true, &hashes);
}

static bool decode_reprotect(const uint8_t *bytes, size_t length)
{
    struct stream_reprotect reprotect;
    return stream_reprotect_decode(bytes, length, &reprotect);
}

static bool decode_dirty(const uint8_t *bytes, size_t length)
{
    struct stream_dirty dirty;
    return stream_dirty_decode(bytes, length, &dirty);
}

static bool decode_dirty_end(const uint8_t *bytes, size_t length)
{
    struct stream_dirty_end end;
    return stream_dirty_end_decode(bytes, length, &end);
}

static bool decode_commit(const uint8_t *bytes, size_t length)
{
    struct stream_commit commit;
    return stream_commit_decode(bytes, length, &commit);
}

static bool decode_refused(const uint8_t *bytes, size_t length)
{
    struct stream_refused refused;
    return stream_refused_decode(bytes, length, &refused);
}

static const decode_fn decoders[] = {
    decode_hello,     decode_data,   decode_hole,    decode_cut,       decode_ack,
    decode_number,    decode_hashes, decode_verdict, decode_reprotect, decode_dirty,
    decode_dirty_end, decode_commit, decode_refused, decode_life,
};

/* The input in an allocation of exactly its length, so that ASan sees a byte too many. */
static bool decode_exactly(decode_fn decode, const uint8_t *bytes, size_t length)
{
    uint8_t *copy = malloc(length > 0 ? length : 1);

    assert_non_null(copy);
    memcpy(copy, bytes, length);
    bool result = decode(copy, length);

    free(copy);
    return result;
}

static void is_exact(decode_fn decode, const uint8_t *bytes, size_t length)
{
    uint8_t *longer = calloc(1, length + 1);

    assert_non_null(longer);
    memcpy(longer, bytes, length);
    assert_true(decode_exactly(decode, bytes, length));
    for (size_t shorter = 0; shorter < length; shorter++)
        assert_false(decode_exactly(decode, bytes, shorter));
    assert_false(decode_exactly(decode, longer, length + 1));
    free(longer);
}

static struct stream_line make_line(unsigned count)
{
    struct stream_line line = {.count = (uint16_t)count};

    for (unsigned i = 0; i < count; i++) {
        line.entries[i].id = (struct stream_generation){i + 1, 100 + i, 200 + i};
        line.entries[i].parent_epoch = 300 + i;
    }
    return line;
}

static void carries_hello(void **state)
{
    uint8_t bytes[STREAM_HELLO_SIZE_MAX];
    struct stream_hello hello = {.role = 2,
                                 .is_started = true,
                                 .is_reprotect_open = true,
                                 .wants_reply = true,
                                 .epoch = 77,
                                 .point_wall_ns = 78,
                                 .line = make_line(3),
                                 .disk_count = 2};
    struct stream_hello back;

    hello.disks[0].size_bytes = 1 << 20;
    hello.disks[1].size_bytes = 2 << 20;
    hello.disks[1].is_initial = true;
    uint32_t length = stream_hello_encode(&hello, bytes);

    assert_true(stream_hello_decode(bytes, length, &back));
    assert_memory_equal(&back, &hello, sizeof(hello));
    is_exact(decode_hello, bytes, length);
    hello.line = make_line(STREAM_MESSAGE_LINE_MAX);
    hello.disk_count = STREAM_MESSAGE_DISKS_MAX;
    length = stream_hello_encode(&hello, bytes);
    assert_true(stream_hello_decode(bytes, length, &back));
    assert_int_equal(back.line.entries[63].parent_epoch, 363);
}

static void refuses_bad_hellos(void **state)
{
    uint8_t good[STREAM_HELLO_SIZE_MAX], bytes[STREAM_HELLO_SIZE_MAX];
    struct stream_hello hello = {.role = 1, .line = make_line(2), .disk_count = 1};
    uint32_t length = stream_hello_encode(&hello, good);
    static const struct {
        size_t at;
        uint8_t value;
    } damages[] = {
        {0, 2},     /* version */
        {2, 4},     /* role */
        {3, 0x80},  /* flags */
        {4, 0},     /* disks: none */
        {4, 129},   /* disks: too many */
        {6, 65},    /* line: too long */
        {15, 0xff}, /* epoch near the end of 64 bits */
        {31, 0xff}, /* term near the end */
        {31, 0x40}, /* term at its limit */
        {56, 1},    /* term does not rise */
    };

    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        memcpy(bytes, good, length);
        bytes[damages[i].at] = damages[i].value;
        assert_false(decode_exactly(decode_hello, bytes, length));
    }
}

/* A target grows by what its source says. */
static void refuses_sizes_of_no_disk(void **state)
{
    static const struct {
        uint64_t bytes;
        bool is_good;
    } sizes[] = {
        {4096, true},
        {STREAM_MESSAGE_DISK_BYTES_MAX, true},
        {STREAM_MESSAGE_DISK_BYTES_MAX + 4096, false},
        {4097, false},
        {UINT64_C(1) << 63, false}, /* no file can have that many */
        {UINT64_MAX - 4095, false},
    };
    uint8_t bytes[STREAM_HELLO_SIZE_MAX];
    struct stream_hello hello = {.role = 1, .line = make_line(2), .disk_count = 2};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        hello.disks[1].size_bytes = sizes[i].bytes;
        uint32_t length = stream_hello_encode(&hello, bytes);

        assert_int_equal(decode_exactly(decode_hello, bytes, length), sizes[i].is_good);
    }
}

static void carries_data(void **state)
{
    uint32_t crcs[2] = {0x11223344, 0x55667788};
    uint8_t bytes[STREAM_DATA_HEAD_SIZE + 8 + 2 * 4096] = {0};
    struct stream_data data = {.disk = 3, .count = 2, .block = 1000, .length = 2 * 4096};
    struct stream_data back;
    uint32_t head = stream_data_encode(&data, crcs, bytes);

    assert_int_equal(head, STREAM_DATA_HEAD_SIZE + 8);
    bytes[head] = 0xab;
    assert_true(stream_data_decode(bytes, sizeof(bytes), &back));
    assert_int_equal(back.disk, 3);
    assert_int_equal(back.block, 1000);
    assert_int_equal(back.count, 2);
    assert_int_equal(get_le32(back.crcs + 4), 0x55667788);
    assert_int_equal(back.bytes[0], 0xab);
    assert_false(decode_data(bytes, sizeof(bytes) - 1));
    assert_false(decode_data(bytes, sizeof(bytes) - 4096));
    data.codec = STREAM_CODEC_ZSTD;
    data.length = 5;
    head = stream_data_encode(&data, crcs, bytes);
    is_exact(decode_data, bytes, head + 5);
    bytes[2] = 2; /* an unknown codec */
    assert_false(decode_data(bytes, head + 5));
}

static void refuses_runs_out_of_bounds(void **state)
{
    uint8_t bytes[STREAM_SMALL_SIZE_MAX];
    struct stream_hole hole = {.disk = 1, .block = 5, .count = 10};
    uint32_t length = stream_hole_encode(&hole, bytes);

    is_exact(decode_hole, bytes, length);
    put_le64(bytes + 8, UINT64_MAX - 3); /* block + count would overflow */
    assert_false(decode_hole(bytes, length));
    put_le64(bytes + 8, 5);
    put_le64(bytes + 16, 0);
    assert_false(decode_hole(bytes, length));
    put_le64(bytes + 16, STREAM_MESSAGE_BLOCK_LIMIT);
    assert_false(decode_hole(bytes, length));
    put_le64(bytes + 16, 1);
    put_le64(bytes, STREAM_MESSAGE_DISKS_MAX);
    assert_false(decode_hole(bytes, length));
}

static void carries_cut_ack_and_numbers(void **state)
{
    uint8_t bytes[STREAM_SMALL_SIZE_MAX];
    struct stream_cut cut = {
        .epoch = 9, .generation = {1, 2, 3}, .cut_wall_ns = 4, .block_count = 5, .digest = 6};
    struct stream_cut cut_back;
    struct stream_ack ack = {.generation = {7, 8, 9}, .epoch = 10}, ack_back;
    struct peer_life life = {.token = 11, .life = 12, .came = 13, .met = 14}, life_back;
    uint64_t value;
    uint32_t length = stream_cut_encode(&cut, bytes);

    assert_true(stream_cut_decode(bytes, length, &cut_back));
    assert_memory_equal(&cut, &cut_back, sizeof(cut));
    is_exact(decode_cut, bytes, length);
    put_le64(bytes, 0); /* epochs begin at 1 */
    assert_false(decode_cut(bytes, length));
    length = stream_ack_encode(&ack, bytes);
    assert_true(stream_ack_decode(bytes, length, &ack_back));
    assert_memory_equal(&ack, &ack_back, sizeof(ack));
    is_exact(decode_ack, bytes, length);
    length = stream_number_encode(1234, bytes);
    assert_true(stream_number_decode(bytes, length, &value));
    assert_int_equal(value, 1234);
    is_exact(decode_number, bytes, length);
    length = peer_life_encode(&life, bytes);
    assert_true(peer_life_decode(bytes, length, &life_back));
    assert_memory_equal(&life, &life_back, sizeof(life));
    is_exact(decode_life, bytes, length);
    put_le64(bytes + 8, 0); /* no life */
    assert_false(decode_life(bytes, length));
}

static void carries_hashes_and_verdicts(void **state)
{
    uint8_t bytes[STREAM_HASHES_SIZE_MAX], hashes[3 * STREAM_HASH_SIZE] = {1, 2, 3}, bits[1] = {5};
    struct stream_hashes message = {
        .token = 42, .disk = 7, .count = 3, .block = 99, .bytes = hashes};
    struct stream_hashes back;
    uint32_t length = stream_hashes_encode(&message, false, bytes);

    assert_true(stream_hashes_decode(bytes, length, false, &back));
    assert_int_equal(back.token, 42);
    assert_int_equal(back.block, 99);
    assert_memory_equal(back.bytes, hashes, sizeof(hashes));
    is_exact(decode_hashes, bytes, length);
    assert_false(decode_verdict(bytes, length));
    message.bytes = bits;
    length = stream_hashes_encode(&message, true, bytes);
    assert_true(stream_hashes_decode(bytes, length, true, &back));
    assert_int_equal(back.bytes[0], 5);
    is_exact(decode_verdict, bytes, length);
    put_le32(bytes + 12, STREAM_MESSAGE_BLOCKS_MAX + 1);
    assert_false(decode_verdict(bytes, length));
}

static void carries_the_reprotect(void **state)
{
    uint8_t bytes[STREAM_COMMIT_SIZE_MAX + STREAM_DIRTY_SIZE_MAX];
    struct stream_reprotect reprotect = {.nonce = 5, .is_reverse = true}, reprotect_back;
    struct stream_dirty dirty = {.nonce = 5, .disk = 1, .is_suspect = true, .run_count = 2};
    struct stream_dirty dirty_back;
    struct stream_dirty_end end = {.nonce = 5, .run_count = 2, .epoch = 8}, end_back;
    struct stream_commit commit = {.nonce = 5, .epoch = 8, .line = make_line(4)}, commit_back;
    uint64_t block, count;
    uint32_t length = stream_reprotect_encode(&reprotect, bytes);

    assert_true(stream_reprotect_decode(bytes, length, &reprotect_back));
    assert_true(reprotect_back.is_reverse && reprotect_back.nonce == 5);
    is_exact(decode_reprotect, bytes, length);
    length = stream_dirty_encode(&dirty, bytes);
    put_le64(bytes + length, 10);
    put_le64(bytes + length + 8, 20);
    put_le64(bytes + length + 16, 50);
    put_le64(bytes + length + 24, 1);
    assert_true(stream_dirty_decode(bytes, length + 32, &dirty_back));
    assert_true(dirty_back.is_suspect && dirty_back.disk == 1);
    stream_dirty_run(&dirty_back, 1, &block, &count);
    assert_int_equal(block, 50);
    assert_int_equal(count, 1);
    is_exact(decode_dirty, bytes, length + 32);
    put_le64(bytes + length + 8, 0);
    assert_false(decode_dirty(bytes, length + 32));
    length = stream_dirty_end_encode(&end, bytes);
    assert_true(stream_dirty_end_decode(bytes, length, &end_back));
    assert_int_equal(end_back.epoch, 8);
    is_exact(decode_dirty_end, bytes, length);
    memset(&commit_back, 0, sizeof(commit_back));
    length = stream_commit_encode(&commit, bytes);
    assert_true(stream_commit_decode(bytes, length, &commit_back));
    assert_memory_equal(&commit, &commit_back, sizeof(commit));
    is_exact(decode_commit, bytes, length);
}

static void cleans_texts_of_the_peer(void **state)
{
    uint8_t bytes[STREAM_SMALL_SIZE_MAX];
    struct stream_refused refused = {.nonce = 1, .code = 16, .text = "busy: d-1"}, back;
    uint32_t length = stream_refused_encode(&refused, bytes);

    assert_true(stream_refused_decode(bytes, length, &back));
    assert_string_equal(back.text, "busy: d-1");
    assert_int_equal(back.code, 16);
    is_exact(decode_refused, bytes, length);
    bytes[16] = '\n';
    bytes[17] = 0x1b;
    assert_true(stream_refused_decode(bytes, length, &back));
    assert_string_equal(back.text, "??sy: d-1");
    put_le32(bytes + 8, 1 << 20);
    assert_false(decode_refused(bytes, length));
}

static void digests_order_place_and_kind(void **state)
{
    uint8_t crcs[8] = {1, 2, 3, 4, 5, 6, 7, 8}, other[8] = {1, 2, 3, 4, 5, 6, 7, 9};
    uint64_t a = stream_digest(0, 1, 10, 2, crcs);
    uint64_t ab = stream_digest(a, 1, 20, 2, NULL);
    uint64_t ba = stream_digest(stream_digest(0, 1, 20, 2, NULL), 1, 10, 2, crcs);

    assert_true(a != stream_digest(0, 1, 10, 2, other));
    assert_true(a != stream_digest(0, 1, 11, 2, crcs));
    assert_true(a != stream_digest(0, 2, 10, 2, crcs));
    assert_true(a != stream_digest(0, 1, 10, 2, NULL));
    assert_true(ab != ba && ab != a);
    assert_true(a == stream_digest(0, 1, 10, 2, crcs));
}

static void survives_noise(void **state)
{
    uint8_t bytes[600];
    uint64_t random = 88172645463325252u;

    for (unsigned round = 0; round < 20000; round++) {
        for (size_t i = 0; i < sizeof(bytes); i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            bytes[i] = round % 2 ? (uint8_t)random : (uint8_t)(random & 3);
        }
        for (size_t d = 0; d < sizeof(decoders) / sizeof(decoders[0]); d++)
            (void)decode_exactly(decoders[d], bytes, random % sizeof(bytes));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(carries_hello),
        cmocka_unit_test(refuses_bad_hellos),
        cmocka_unit_test(refuses_sizes_of_no_disk),
        cmocka_unit_test(carries_data),
        cmocka_unit_test(refuses_runs_out_of_bounds),
        cmocka_unit_test(carries_cut_ack_and_numbers),
        cmocka_unit_test(carries_hashes_and_verdicts),
        cmocka_unit_test(carries_the_reprotect),
        cmocka_unit_test(cleans_texts_of_the_peer),
        cmocka_unit_test(digests_order_place_and_kind),
        cmocka_unit_test(survives_noise),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
