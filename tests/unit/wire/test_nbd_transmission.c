/* SPDX-License-Identifier: Apache-2.0 */
/* NBD requests and replies: the refusal of each kind of bad request, and the bytes of each reply.
 */
#include "wire/nbd_transmission.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/check.h"

enum { SIZE = 1 << 20 };

static const struct nbd_request_limits writable = {SIZE, false, true, true};
static const struct nbd_request_limits read_only = {SIZE, true, true, true};
static const struct nbd_request_limits plain = {SIZE, false, false, false};

static void test_decode(void **state)
{
    uint8_t bytes[NBD_REQUEST_BYTES];
    struct bytes_writer writer = {bytes, sizeof(bytes), false};
    struct nbd_request_header header;

    bytes_put_be32(&writer, NBD_REQUEST_MAGIC);
    bytes_put_be16(&writer, NBD_CMD_FLAG_FUA);
    bytes_put_be16(&writer, NBD_CMD_WRITE);
    bytes_put_be64(&writer, UINT64_C(0x0102030405060708));
    bytes_put_be64(&writer, UINT64_C(0x1112131415161718));
    bytes_put_be32(&writer, 0x21222324);
    assert_int_equal(writer.left, 0);
    assert_int_equal(nbd_request_decode(bytes, &header), 0);
    assert_int_equal(header.flags, NBD_CMD_FLAG_FUA);
    assert_int_equal(header.type, NBD_CMD_WRITE);
    assert_true(header.cookie == UINT64_C(0x0102030405060708));
    assert_true(header.offset == UINT64_C(0x1112131415161718));
    assert_int_equal(header.length, 0x21222324);
    bytes[3] ^= 0x80;
    assert_int_equal(nbd_request_decode(bytes, &header), -EPROTO);
}

struct verify_row {
    struct nbd_request_header header; /* flags, type, cookie, offset, length */
    const struct nbd_request_limits *limits;
    uint32_t error;
};

static const struct verify_row rows[] = {
    {{0, NBD_CMD_READ, 1, 0, 4096}, &writable, 0},
    {{0, NBD_CMD_READ, 1, SIZE - 512, 512}, &writable, 0},
    {{0, NBD_CMD_READ, 1, SIZE - 512, 1024}, &writable, NBD_EINVAL},
    {{0, NBD_CMD_READ, 1, SIZE, 512}, &writable, NBD_EINVAL},
    {{0, NBD_CMD_READ, 1, UINT64_MAX - 511, 512}, &writable, NBD_EINVAL},
    {{0, NBD_CMD_READ, 1, UINT64_MAX - 511, 1024}, &writable, NBD_EINVAL},
    {{0, NBD_CMD_READ, 1, 1, 512}, &writable, NBD_EINVAL},
    {{0, NBD_CMD_READ, 1, 0, 511}, &writable, NBD_EINVAL},
    {{0, NBD_CMD_READ, 1, 0, 0}, &writable, NBD_EINVAL},
    {{0, NBD_CMD_READ, 1, 0, (32 << 20) + 512}, &writable, NBD_EOVERFLOW},
    {{0, NBD_CMD_READ, 1, 0, UINT32_MAX}, &writable, NBD_EOVERFLOW},
    {{NBD_CMD_FLAG_DF, NBD_CMD_READ, 1, 0, 512}, &writable, 0},
    {{NBD_CMD_FLAG_DF, NBD_CMD_READ, 1, 0, 512}, &plain, NBD_EINVAL},
    {{NBD_CMD_FLAG_NO_HOLE, NBD_CMD_READ, 1, 0, 512}, &writable, NBD_EINVAL},
    {{0, NBD_CMD_READ, 1, 0, 512}, &read_only, 0},
    {{NBD_CMD_FLAG_FUA, NBD_CMD_WRITE, 1, 0, 512}, &writable, 0},
    {{0, NBD_CMD_WRITE, 1, 0, 512}, &read_only, NBD_EPERM},
    {{0, NBD_CMD_WRITE, 1, SIZE - 512, 1024}, &writable, NBD_ENOSPC},
    {{0, NBD_CMD_WRITE, 1, 0, (32 << 20) + 512}, &writable, NBD_EINVAL},
    {{0, NBD_CMD_WRITE, 1, 0, UINT32_MAX}, &writable, NBD_EINVAL},
    {{NBD_CMD_FLAG_DF, NBD_CMD_WRITE, 1, 0, 512}, &writable, NBD_EINVAL},
    {{1 << 5, NBD_CMD_WRITE, 1, 0, 512}, &writable, NBD_EINVAL},
    {{0, NBD_CMD_FLUSH, 1, 0, 0}, &writable, 0},
    {{0, NBD_CMD_FLUSH, 1, 0, 0}, &read_only, 0},
    {{0, NBD_CMD_FLUSH, 1, 512, 0}, &writable, NBD_EINVAL},
    {{0, NBD_CMD_FLUSH, 1, 0, 512}, &writable, NBD_EINVAL},
    {{0, NBD_CMD_TRIM, 1, 0, SIZE}, &writable, 0},
    {{0, NBD_CMD_TRIM, 1, 0, SIZE}, &read_only, NBD_EPERM},
    {{0, NBD_CMD_TRIM, 1, 0, SIZE + 512}, &writable, NBD_EINVAL},
    {{0, NBD_CMD_TRIM, 1, 0, UINT32_MAX - 511}, &writable, NBD_EINVAL},
    {{0, NBD_CMD_WRITE_ZEROES, 1, 0, SIZE}, &writable, 0},
    {{NBD_CMD_FLAG_NO_HOLE | NBD_CMD_FLAG_FAST_ZERO, NBD_CMD_WRITE_ZEROES, 1, 0, SIZE},
     &writable,
     0},
    {{0, NBD_CMD_WRITE_ZEROES, 1, 0, SIZE}, &read_only, NBD_EPERM},
    {{0, NBD_CMD_WRITE_ZEROES, 1, 512, SIZE}, &writable, NBD_ENOSPC},
    {{NBD_CMD_FLAG_REQ_ONE, NBD_CMD_WRITE_ZEROES, 1, 0, SIZE}, &writable, NBD_EINVAL},
    {{0, NBD_CMD_CACHE, 1, 0, SIZE}, &writable, 0},
    {{0, NBD_CMD_CACHE, 1, SIZE, 512}, &writable, NBD_EINVAL},
    {{0, NBD_CMD_BLOCK_STATUS, 1, 0, SIZE}, &writable, 0},
    {{NBD_CMD_FLAG_REQ_ONE, NBD_CMD_BLOCK_STATUS, 1, 0, SIZE}, &read_only, 0},
    {{0, NBD_CMD_BLOCK_STATUS, 1, 0, SIZE}, &plain, NBD_EINVAL},
    {{0, NBD_CMD_BLOCK_STATUS, 1, 0, UINT32_MAX}, &writable, NBD_EINVAL},
    {{0, NBD_CMD_BLOCK_STATUS, 1, 0, 0}, &writable, NBD_EINVAL},
    {{0, 8, 1, 0, 0}, &writable, NBD_EINVAL},
    {{0, UINT16_MAX, 1, 0, 0}, &writable, NBD_EINVAL},
    {{UINT16_MAX, NBD_CMD_DISC, 1, 7, 7}, &writable, 0},
};

static void test_verify(void **state)
{
    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        uint32_t error = nbd_request_verify(&rows[i].header, rows[i].limits);

        if (error != rows[i].error)
            fail_msg("row %u: error %u, wanted %u", i, error, rows[i].error);
    }
}

static void test_verify_huge_export(void **state)
{
    const struct nbd_request_limits huge = {UINT64_MAX - 511, false, true, true};
    const struct nbd_request_header status = {
        0, NBD_CMD_BLOCK_STATUS, 1, UINT64_MAX - 511 - (UINT32_MAX - 511), UINT32_MAX - 511};
    struct nbd_request_header beyond = status;

    assert_int_equal(nbd_request_verify(&status, &huge), 0);
    beyond.offset += 512;
    assert_int_equal(nbd_request_verify(&beyond, &huge), NBD_EINVAL);
}

static void test_errnos(void **state)
{
    assert_int_equal(nbd_error_from_errno(0), 0);
    assert_int_equal(nbd_error_from_errno(-EROFS), NBD_EPERM);
    assert_int_equal(nbd_error_from_errno(-EDQUOT), NBD_ENOSPC);
    assert_int_equal(nbd_error_from_errno(-EFBIG), NBD_ENOSPC);
    assert_int_equal(nbd_error_from_errno(-ENOTSUP), NBD_ENOTSUP);
    assert_int_equal(nbd_error_from_errno(-ESHUTDOWN), NBD_ESHUTDOWN);
    assert_int_equal(nbd_error_from_errno(-EIO), NBD_EIO);
    assert_int_equal(nbd_error_from_errno(-EBADF), NBD_EIO);
}

static void test_replies(void **state)
{
    uint8_t bytes[32];

    nbd_simple_reply_encode(bytes, NBD_EIO, 77);
    assert_int_equal(get_be32(bytes), NBD_SIMPLE_REPLY_MAGIC);
    assert_int_equal(get_be32(bytes + 4), NBD_EIO);
    assert_true(get_be64(bytes + 8) == 77);

    nbd_data_chunk_encode(bytes, 78, 8192, 4096);
    assert_int_equal(get_be32(bytes), NBD_CHUNK_MAGIC);
    assert_int_equal(get_be16(bytes + 4), NBD_CHUNK_DONE);
    assert_int_equal(get_be16(bytes + 6), NBD_CHUNK_OFFSET_DATA);
    assert_int_equal(get_be32(bytes + 16), 4096 + 8);
    assert_true(get_be64(bytes + 20) == 8192);

    nbd_error_chunk_encode(bytes, 79, NBD_EINVAL);
    assert_int_equal(get_be16(bytes + 6), NBD_CHUNK_ERROR);
    assert_int_equal(get_be32(bytes + 16), 6);
    assert_int_equal(get_be32(bytes + 20), NBD_EINVAL);
    assert_int_equal(get_be16(bytes + 24), 0);

    nbd_status_chunk_encode(bytes, 80, 1, 3);
    assert_int_equal(get_be16(bytes + 6), NBD_CHUNK_BLOCK_STATUS);
    assert_int_equal(get_be32(bytes + 16), 4 + 3 * 8);
    assert_int_equal(get_be32(bytes + 20), 1);
}

static void test_extents_merge_and_clamp(void **state)
{
    uint8_t bytes[4 * NBD_EXTENT_BYTES];
    struct nbd_extent_list list = {bytes, 0, 4, 4096, 16384};

    assert_true(nbd_extent_append(&list, 4096, 4096, false));
    assert_true(nbd_extent_append(&list, 8192, 4096, false));
    assert_true(nbd_extent_append(&list, 12288, 1 << 30, true));
    assert_false(nbd_extent_append(&list, 12288 + (1 << 30), 4096, false));
    assert_int_equal(list.count, 2);
    assert_int_equal(get_be32(bytes), 8192);
    assert_int_equal(get_be32(bytes + 4), 0);
    assert_int_equal(get_be32(bytes + 8), 8192);
    assert_int_equal(get_be32(bytes + 12), NBD_STATE_HOLE | NBD_STATE_ZERO);
}

static void test_extents_round_towards_data(void **state)
{
    uint8_t bytes[4 * NBD_EXTENT_BYTES];
    struct nbd_extent_list list = {bytes, 0, 4, 0, 4096};

    /* hole 0..700, data 700..800, hole 800..4096: the sector 512..1023 is data */
    assert_true(nbd_extent_append(&list, 0, 700, true));
    assert_true(nbd_extent_append(&list, 700, 100, false));
    assert_true(nbd_extent_append(&list, 800, 4096 - 800, true));
    assert_int_equal(list.count, 3);
    assert_int_equal(get_be32(bytes), 512);
    assert_int_equal(get_be32(bytes + 4), 3);
    assert_int_equal(get_be32(bytes + 8), 512);
    assert_int_equal(get_be32(bytes + 12), 0);
    assert_int_equal(get_be32(bytes + 16), 3072);
    assert_int_equal(get_be32(bytes + 20), 3);
}

static void test_extents_one(void **state)
{
    uint8_t bytes[NBD_EXTENT_BYTES];
    struct nbd_extent_list list = {bytes, 0, 1, 0, 8192};

    assert_true(nbd_extent_append(&list, 0, 4096, true));
    assert_false(nbd_extent_append(&list, 4096, 4096, false));
    assert_int_equal(list.count, 1);
    assert_int_equal(get_be32(bytes), 4096);
}

static void test_extents_longest(void **state)
{
    uint8_t bytes[NBD_EXTENT_BYTES];
    struct nbd_extent_list list = {bytes, 0, 1, 0, UINT32_MAX - 511};

    assert_true(nbd_extent_append(&list, 0, UINT64_C(1) << 40, true));
    assert_int_equal(get_be32(bytes), UINT32_MAX - 511);
    assert_true(list.length_max == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_verify),
        cmocka_unit_test(test_verify_huge_export),
        cmocka_unit_test(test_errnos),
        cmocka_unit_test(test_replies),
        cmocka_unit_test(test_extents_merge_and_clamp),
        cmocka_unit_test(test_extents_round_towards_data),
        cmocka_unit_test(test_extents_one),
        cmocka_unit_test(test_extents_longest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
