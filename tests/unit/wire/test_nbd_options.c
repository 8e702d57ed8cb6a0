/* SPDX-License-Identifier: Apache-2.0 */
/* NBD options: every message, truncated at every byte, and with lengths that lie. */
#include "wire/nbd_options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/check.h"

/* The first `length` bytes in a block of exactly that size, so that a sanitizer sees overreads. */
static uint8_t *clip(const uint8_t *bytes, size_t length)
{
    uint8_t *copy = malloc(length ? length : 1);

    assert_non_null(copy);
    memcpy(copy, bytes, length);
    return copy;
}

static void test_option_header(void **state)
{
    uint8_t bytes[NBD_OPTION_HEADER_BYTES];
    struct bytes_writer writer = {bytes, sizeof(bytes), false};
    struct nbd_option_header header;

    bytes_put_be64(&writer, NBD_OPTION_MAGIC);
    bytes_put_be32(&writer, NBD_OPT_GO);
    bytes_put_be32(&writer, UINT32_MAX);
    assert_int_equal(nbd_option_header_decode(bytes, &header), 0);
    assert_int_equal(header.option, NBD_OPT_GO);
    assert_int_equal(header.length, UINT32_MAX);
    for (unsigned i = 0; i < 8; i++) {
        bytes[i] ^= 1;
        assert_int_equal(nbd_option_header_decode(bytes, &header), -EPROTO);
        bytes[i] ^= 1;
    }
}

static size_t make_info(uint8_t *bytes, uint32_t name_length, const char *name, uint16_t count,
                        const uint16_t *infos, unsigned info_count)
{
    struct bytes_writer writer = {bytes, 8192, false};

    bytes_put_be32(&writer, name_length);
    bytes_put(&writer, name, strlen(name));
    bytes_put_be16(&writer, count);
    for (unsigned i = 0; i < info_count; i++)
        bytes_put_be16(&writer, infos[i]);
    assert_false(writer.failed);
    return (size_t)(writer.at - bytes);
}

static void test_info_request(void **state)
{
    static const uint16_t infos[] = {NBD_INFO_BLOCK_SIZE, 0x7777, NBD_INFO_NAME, NBD_INFO_EXPORT};
    uint8_t bytes[8192];
    struct nbd_info_request request;
    size_t length = make_info(bytes, 4, "disk", 4, infos, 4);

    assert_int_equal(nbd_info_request_decode(bytes, length, &request), 0);
    assert_int_equal(request.name.length, 4);
    assert_memory_equal(request.name.bytes, "disk", 4);
    assert_true(request.wants_block_size && request.wants_name);
    assert_false(request.wants_description);

    for (size_t cut = 0; cut < length; cut++) {
        uint8_t *clipped = clip(bytes, cut);
        assert_int_equal(nbd_info_request_decode(clipped, cut, &request), -EINVAL);
        free(clipped);
    }
    assert_int_equal(nbd_info_request_decode(bytes, length + 1, &request), -EINVAL);
}

static void test_info_lengths_that_lie(void **state)
{
    static const uint32_t lies[] = {5, 4096, 4097, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
    uint8_t bytes[8192];
    struct nbd_info_request request;
    size_t length;
    uint8_t *clipped;

    for (unsigned i = 0; i < ARRAY_COUNT(lies); i++) {
        length = make_info(bytes, lies[i], "disk", 0, NULL, 0);
        clipped = clip(bytes, length);
        assert_int_equal(nbd_info_request_decode(clipped, length, &request), -EINVAL);
        free(clipped);
    }
    /* count x 2 would be 131070 bytes: more than there are */
    length = make_info(bytes, 4, "disk", 0xffff, NULL, 0);
    clipped = clip(bytes, length);
    assert_int_equal(nbd_info_request_decode(clipped, length, &request), -EINVAL);
    free(clipped);
    /* the name swallows the count */
    length = make_info(bytes, 6, "disk", 0, NULL, 0);
    assert_int_equal(nbd_info_request_decode(bytes, length, &request), -EINVAL);
}

static void test_info_name_limits(void **state)
{
    static const uint32_t lengths[] = {0, 255, 256, 257, 4096, 4097};
    uint8_t *bytes = calloc(1, 8192);
    struct nbd_info_request request;

    for (unsigned i = 0; i < ARRAY_COUNT(lengths); i++) {
        uint32_t length = lengths[i];

        memset(bytes, 'x', 8192);
        put_be32(bytes, length);
        put_be16(bytes + 4 + length, 0);
        assert_int_equal(nbd_info_request_decode(bytes, 4 + length + 2, &request),
                         length <= NBD_NAME_BYTES_MAX ? 0 : -EINVAL);
        if (length <= NBD_NAME_BYTES_MAX)
            assert_int_equal(request.name.length, length);
    }
    memset(bytes, 'x', 16);
    put_be32(bytes, 4);
    bytes[6] = '\0';
    put_be16(bytes + 8, 0);
    assert_int_equal(nbd_info_request_decode(bytes, 10, &request), -EINVAL);
    free(bytes);
}

static size_t make_meta(uint8_t *bytes, const char *const *queries, unsigned count)
{
    struct bytes_writer writer = {bytes, 8192, false};

    bytes_put_be32(&writer, 4);
    bytes_put(&writer, "disk", 4);
    bytes_put_be32(&writer, count);
    for (unsigned i = 0; i < count; i++) {
        bytes_put_be32(&writer, (uint32_t)strlen(queries[i]));
        bytes_put(&writer, queries[i], strlen(queries[i]));
    }
    assert_false(writer.failed);
    return (size_t)(writer.at - bytes);
}

static void test_meta_request(void **state)
{
    static const char *const queries[] = {"x-other:thing", "base:allocation", ""};
    static const char *const wildcard[] = {"base:"};
    static const char *const similar[] = {"base:allocation2", "base:allocatio", "Base:allocation"};
    uint8_t bytes[8192];
    struct nbd_meta_request request;
    size_t length = make_meta(bytes, queries, 3);

    assert_int_equal(nbd_meta_request_decode(bytes, length, &request), 0);
    assert_int_equal(request.query_count, 3);
    assert_true(request.has_allocation);
    assert_false(request.has_wildcard);
    for (size_t cut = 0; cut < length; cut++) {
        uint8_t *clipped = clip(bytes, cut);
        assert_int_equal(nbd_meta_request_decode(clipped, cut, &request), -EINVAL);
        free(clipped);
    }
    assert_int_equal(nbd_meta_request_decode(bytes, length + 1, &request), -EINVAL);

    length = make_meta(bytes, wildcard, 1);
    assert_int_equal(nbd_meta_request_decode(bytes, length, &request), 0);
    assert_true(request.has_wildcard && !request.has_allocation);
    length = make_meta(bytes, similar, 3);
    assert_int_equal(nbd_meta_request_decode(bytes, length, &request), 0);
    assert_false(request.has_wildcard || request.has_allocation);
    length = make_meta(bytes, NULL, 0);
    assert_int_equal(nbd_meta_request_decode(bytes, length, &request), 0);
    assert_int_equal(request.query_count, 0);
}

static void test_meta_counts_that_lie(void **state)
{
    static const char *const queries[] = {"base:allocation"};
    static const uint32_t lies[] = {0, 2, 0x10000, 0x7fffffff, 0xffffffff};
    uint8_t bytes[8192];
    struct nbd_meta_request request;
    size_t length = make_meta(bytes, queries, 1);

    for (unsigned i = 0; i < ARRAY_COUNT(lies); i++) {
        uint8_t *clipped;

        put_be32(bytes + 8, lies[i]);
        clipped = clip(bytes, length);
        assert_int_equal(nbd_meta_request_decode(clipped, length, &request), -EINVAL);
        free(clipped);
    }
    put_be32(bytes + 8, 1);
    put_be32(bytes + 12, 0xffffffff);
    assert_int_equal(nbd_meta_request_decode(bytes, length, &request), -EINVAL);
}

static void test_replies(void **state)
{
    uint8_t bytes[512];
    struct bytes_writer writer = {bytes, sizeof(bytes), false};

    nbd_encode_greeting(&writer, NBD_FIXED_NEWSTYLE);
    assert_int_equal(writer.at - bytes, NBD_GREETING_BYTES);
    assert_memory_equal(bytes, "NBDMAGICIHAVEOPT\0\1", NBD_GREETING_BYTES);

    writer = (struct bytes_writer){bytes, sizeof(bytes), false};
    nbd_encode_option_reply(&writer, NBD_OPT_INFO, NBD_REP_ERR_UNKNOWN, "no", 2);
    assert_int_equal(writer.at - bytes, NBD_OPTION_REPLY_HEADER_BYTES + 2);
    assert_true(get_be64(bytes) == NBD_OPTION_REPLY_MAGIC);
    assert_int_equal(get_be32(bytes + 8), NBD_OPT_INFO);
    assert_int_equal(get_be32(bytes + 12), NBD_REP_ERR_UNKNOWN);
    assert_int_equal(get_be32(bytes + 16), 2);

    writer = (struct bytes_writer){bytes, sizeof(bytes), false};
    nbd_encode_server_reply(&writer, "d-1", "a disk");
    assert_int_equal(get_be32(bytes + 16), 4 + 3 + 6);
    assert_int_equal(get_be32(bytes + 20), 3);
    assert_memory_equal(bytes + 24, "d-1a disk", 9);

    writer = (struct bytes_writer){bytes, sizeof(bytes), false};
    nbd_encode_export_info(&writer, NBD_OPT_GO, UINT64_C(0x123456789a000), 0x1d);
    assert_int_equal(writer.at - bytes, NBD_OPTION_REPLY_HEADER_BYTES + 12);
    assert_true(get_be64(bytes + 22) == UINT64_C(0x123456789a000));
    assert_int_equal(get_be16(bytes + 30), 0x1d);

    writer = (struct bytes_writer){bytes, sizeof(bytes), false};
    nbd_encode_block_size_info(&writer, NBD_OPT_GO);
    assert_int_equal(get_be32(bytes + 22), 512);
    assert_int_equal(get_be32(bytes + 26), 4096);
    assert_int_equal(get_be32(bytes + 30), 32 << 20);

    writer = (struct bytes_writer){bytes, sizeof(bytes), false};
    nbd_encode_meta_reply(&writer, NBD_OPT_SET_META_CONTEXT, 7);
    assert_int_equal(get_be32(bytes + 20), 7);
    assert_memory_equal(bytes + 24, "base:allocation", 15);

    writer = (struct bytes_writer){bytes, sizeof(bytes), false};
    nbd_encode_export_name_reply(&writer, 4096, 1, false);
    assert_int_equal(writer.at - bytes, 134);
    nbd_encode_export_name_reply(&writer, 4096, 1, true);
    assert_int_equal(writer.at - bytes, 144);
}

static void test_replies_without_room(void **state)
{
    uint8_t bytes[64];

    for (size_t room = 0; room < 33; room++) {
        struct bytes_writer writer = {bytes, room, false};

        memset(bytes, 0xee, sizeof(bytes));
        nbd_encode_server_reply(&writer, "d-1", "a disk");
        assert_int_equal(writer.failed, room < NBD_OPTION_REPLY_HEADER_BYTES + 13);
        for (size_t i = room; i < sizeof(bytes); i++)
            assert_int_equal(bytes[i], 0xee);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_option_header),
        cmocka_unit_test(test_info_request),
        cmocka_unit_test(test_info_lengths_that_lie),
        cmocka_unit_test(test_info_name_limits),
        cmocka_unit_test(test_meta_request),
        cmocka_unit_test(test_meta_counts_that_lie),
        cmocka_unit_test(test_replies),
        cmocka_unit_test(test_replies_without_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
