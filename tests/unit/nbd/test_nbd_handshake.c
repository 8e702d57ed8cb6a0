/* SPDX-License-Identifier: Apache-2.0 */
/* The handshake as a machine of bytes: every order of up to four options, resets, cut messages. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "nbd/nbd_handshake.h"
#include "wire/nbd_options.h"

static void never_submit(void *arg, struct volume_request *request)
{
    fail_msg("a request during the handshake");
}

static void never_extents(void *arg, struct store_op *op, uint64_t offset, uint64_t length,
                          struct io_extent *extents, unsigned extent_max, store_done_fn done_cb)
{
    fail_msg("extents during the handshake");
}

static const struct nbd_export_ops no_ops = {never_submit, never_extents};

struct world {
    struct list exports;
    struct nbd_export *disk, *other;
    struct nbd_handshake handshake;
};

static struct nbd_export *add_export(struct world *world, const char *name, uint64_t serial)
{
    const struct nbd_export_options options = {
        .name = name, .description = "for tests", .size_bytes = 1 << 20, .ops = &no_ops};
    struct nbd_export *export;

    assert_int_equal(export_new(NULL, &options, &export), 0);
    export->serial = serial;
    list_append(&world->exports, &export->node);
    return export;
}

static void begin(struct world *world)
{
    static const uint8_t flags[4] = {0, 0, 0, NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES};
    size_t consumed;

    assert_int_equal(nbd_handshake_init(&world->handshake, &world->exports), 0);
    assert_int_equal(world->handshake.out_bytes, NBD_GREETING_BYTES);
    world->handshake.out_bytes = 0;
    assert_int_equal(nbd_handshake_step(&world->handshake, flags, 4, &consumed),
                     NBD_HANDSHAKE_NEXT);
    assert_int_equal(consumed, 4);
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    list_init(&world->exports);
    world->disk = add_export(world, "disk", 1);
    world->other = add_export(world, "other", 2);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;

    nbd_handshake_fini(&world->handshake);
    export_free(world->disk);
    export_free(world->other);
    free(world);
    return 0;
}

/* Feeds one option; the type of its final reply, 0 when there is none. */
static uint32_t feed(struct world *world, uint32_t type, const uint8_t *bytes, uint32_t length,
                     enum nbd_handshake_result *ret_result)
{
    uint8_t message[8192];
    struct bytes_writer writer = {message, sizeof(message), false};
    struct bytes_reader reader;
    uint32_t final = 0;
    size_t consumed, size;

    bytes_put_be64(&writer, NBD_OPTION_MAGIC);
    bytes_put_be32(&writer, type);
    bytes_put_be32(&writer, length);
    bytes_put(&writer, bytes, length);
    size = (size_t)(writer.at - message);
    for (size_t cut = 0; cut < size; cut++) {
        assert_int_equal(nbd_handshake_step(&world->handshake, message, cut, &consumed),
                         NBD_HANDSHAKE_MORE);
        assert_int_equal(consumed, 0);
    }
    *ret_result = nbd_handshake_step(&world->handshake, message, size, &consumed);
    if (*ret_result == NBD_HANDSHAKE_BROKEN)
        return 0;
    assert_int_equal(consumed, size);
    reader = (struct bytes_reader){world->handshake.out, world->handshake.out_bytes, false};
    if (type != NBD_OPT_EXPORT_NAME) {
        while (reader.left > 0) {
            assert_int_equal(final, 0); /* one final reply, the last */
            assert_true(bytes_be64(&reader) == NBD_OPTION_REPLY_MAGIC);
            assert_int_equal(bytes_be32(&reader), type);
            final = bytes_be32(&reader);
            bytes_take(&reader, bytes_be32(&reader));
            assert_false(reader.failed);
            if (final != NBD_REP_ACK && !(final & NBD_REP_ERROR_BIT))
                final = 0;
        }
    }
    world->handshake.out_bytes = 0;
    return final;
}

static uint32_t info_bytes(uint8_t *bytes, const char *name)
{
    struct bytes_writer writer = {bytes, 64, false};

    bytes_put_be32(&writer, (uint32_t)strlen(name));
    bytes_put(&writer, name, strlen(name));
    bytes_put_be16(&writer, 1);
    bytes_put_be16(&writer, NBD_INFO_NAME);
    return (uint32_t)(writer.at - bytes);
}

static uint32_t meta_bytes(uint8_t *bytes, const char *name, const char *query)
{
    struct bytes_writer writer = {bytes, 64, false};

    bytes_put_be32(&writer, (uint32_t)strlen(name));
    bytes_put(&writer, name, strlen(name));
    bytes_put_be32(&writer, 1);
    bytes_put_be32(&writer, (uint32_t)strlen(query));
    bytes_put(&writer, query, strlen(query));
    return (uint32_t)(writer.at - bytes);
}

enum { OPTION_KINDS = 11 };

/* Feeds option kind `kind` and checks its answer against what the specification says for what was
 * negotiated so far; false when the handshake is over. */
static bool step(struct world *world, unsigned kind, bool *is_structured, bool *is_meta)
{
    uint8_t bytes[4096] = {0};
    enum nbd_handshake_result result;
    uint32_t length;

    switch (kind) {
    case 0:
        assert_int_equal(feed(world, NBD_OPT_STRUCTURED_REPLY, NULL, 0, &result),
                         *is_structured ? NBD_REP_ERR_INVALID : NBD_REP_ACK);
        *is_structured = true;
        return true;
    case 1:
        length = meta_bytes(bytes, "disk", NBD_META_ALLOCATION);
        assert_int_equal(feed(world, NBD_OPT_SET_META_CONTEXT, bytes, length, &result),
                         *is_structured ? NBD_REP_ACK : NBD_REP_ERR_INVALID);
        *is_meta = *is_structured;
        return true;
    case 2: /* for another export: nothing is selected for the disk any more */
        length = meta_bytes(bytes, "other", NBD_META_ALLOCATION);
        feed(world, NBD_OPT_SET_META_CONTEXT, bytes, length, &result);
        *is_meta = false;
        return true;
    case 3: /* failing: forgets too */
        length = meta_bytes(bytes, "nobody", NBD_META_ALLOCATION);
        assert_int_equal(feed(world, NBD_OPT_SET_META_CONTEXT, bytes, length, &result),
                         *is_structured ? NBD_REP_ERR_UNKNOWN : NBD_REP_ERR_INVALID);
        *is_meta = false;
        return true;
    case 4:
        length = meta_bytes(bytes, "disk", "base:");
        assert_int_equal(feed(world, NBD_OPT_LIST_META_CONTEXT, bytes, length, &result),
                         *is_structured ? NBD_REP_ACK : NBD_REP_ERR_INVALID);
        return true;
    case 5:
        assert_int_equal(feed(world, NBD_OPT_STARTTLS, NULL, 0, &result), NBD_REP_ERR_UNSUP);
        return true;
    case 6:
        assert_int_equal(feed(world, NBD_OPT_LIST, NULL, 0, &result), NBD_REP_ACK);
        return true;
    case 7:
        length = info_bytes(bytes, "disk");
        assert_int_equal(feed(world, NBD_OPT_INFO, bytes, length, &result), NBD_REP_ACK);
        assert_int_equal(result, NBD_HANDSHAKE_NEXT);
        return true;
    case 8:
        assert_int_equal(feed(world, NBD_OPT_LIST, bytes, 1, &result), NBD_REP_ERR_INVALID);
        return true;
    case 9:
        assert_int_equal(feed(world, 11, NULL, 0, &result), NBD_REP_ERR_UNSUP);
        return true;
    default:
        assert_int_equal(feed(world, NBD_OPT_ABORT, NULL, 0, &result), NBD_REP_ACK);
        assert_int_equal(result, NBD_HANDSHAKE_GOODBYE);
        return false;
    }
}

/* All sequences of four options, then GO or EXPORT_NAME. */
static void test_every_order(void **state)
{
    struct world *world = *state;
    uint8_t bytes[64];

    for (unsigned number = 0; number < OPTION_KINDS * OPTION_KINDS * OPTION_KINDS * OPTION_KINDS;
         number++) {
        bool is_structured = false, is_meta = false, is_open = true;
        enum nbd_handshake_result result;

        begin(world);
        for (unsigned rest = number, i = 0; i < 4 && is_open; i++, rest /= OPTION_KINDS)
            is_open = step(world, rest % OPTION_KINDS, &is_structured, &is_meta);
        if (is_open) {
            if (number % 2)
                assert_int_equal(feed(world, NBD_OPT_GO, bytes, info_bytes(bytes, "disk"), &result),
                                 NBD_REP_ACK);
            else
                feed(world, NBD_OPT_EXPORT_NAME, (const uint8_t *)"disk", 4, &result);
            assert_int_equal(result, NBD_HANDSHAKE_TRANSMISSION);
            assert_ptr_equal(world->handshake.export, world->disk);
            assert_int_equal(world->handshake.has_structured_replies, is_structured);
            assert_int_equal(nbd_handshake_has_allocation(&world->handshake), is_meta);
        }
        nbd_handshake_fini(&world->handshake);
    }
}

static void test_breaking(void **state)
{
    struct world *world = *state;
    uint8_t bytes[NBD_OPTION_HEADER_BYTES] = {0};
    enum nbd_handshake_result result;
    size_t consumed;

    begin(world);
    feed(world, NBD_OPT_EXPORT_NAME, (const uint8_t *)"no\nbody", 7, &result);
    assert_int_equal(result, NBD_HANDSHAKE_BROKEN);
    assert_null(strchr(world->handshake.reason, '\n'));
    nbd_handshake_fini(&world->handshake);

    begin(world);
    assert_int_equal(nbd_handshake_step(&world->handshake, bytes, sizeof(bytes), &consumed),
                     NBD_HANDSHAKE_BROKEN);
    nbd_handshake_fini(&world->handshake);

    for (unsigned i = 0; i < 3; i++) {
        static const uint32_t lengths[] = {NBD_OPTION_BYTES_MAX + 1, UINT32_C(1) << 31, UINT32_MAX};

        begin(world);
        put_be64(bytes, NBD_OPTION_MAGIC);
        put_be32(bytes + 8, NBD_OPT_GO);
        put_be32(bytes + 12, lengths[i]);
        assert_int_equal(nbd_handshake_step(&world->handshake, bytes, sizeof(bytes), &consumed),
                         NBD_HANDSHAKE_BROKEN);
        nbd_handshake_fini(&world->handshake);
    }
}

static void test_unknown_client_flags(void **state)
{
    struct world *world = *state;
    static const uint8_t flags[4] = {0, 0, 0, 4};
    size_t consumed;

    assert_int_equal(nbd_handshake_init(&world->handshake, &world->exports), 0);
    assert_int_equal(nbd_handshake_step(&world->handshake, flags, 4, &consumed),
                     NBD_HANDSHAKE_BROKEN);
}

static void test_option_limit(void **state)
{
    struct world *world = *state;
    enum nbd_handshake_result result;

    begin(world);
    for (unsigned i = 0; i < NBD_HANDSHAKE_OPTIONS_MAX; i++)
        assert_int_equal(feed(world, 99, NULL, 0, &result), NBD_REP_ERR_UNSUP);
    feed(world, 99, NULL, 0, &result);
    assert_int_equal(result, NBD_HANDSHAKE_BROKEN);
}

/* Damaged streams: no step reads past its bytes, consumes more than there are, or goes on after the
 * end. Meant for a sanitizer. */
static void test_damaged_streams(void **state)
{
    struct world *world = *state;
    uint64_t random = 12345;

    for (unsigned turn = 0; turn < 20000; turn++) {
        uint8_t message[160], *clipped;
        struct bytes_writer writer = {message, sizeof(message), false};
        size_t size, at = 0, consumed;
        enum nbd_handshake_result result = NBD_HANDSHAKE_NEXT;

        bytes_put_be32(&writer, NBD_FIXED_NEWSTYLE);
        bytes_put_be64(&writer, NBD_OPTION_MAGIC);
        bytes_put_be64(&writer, (uint64_t)NBD_OPT_STRUCTURED_REPLY << 32);
        bytes_put_be64(&writer, NBD_OPTION_MAGIC);
        bytes_put_be64(&writer, (uint64_t)NBD_OPT_SET_META_CONTEXT << 32 | 31);
        writer.at += meta_bytes(writer.at, "disk", NBD_META_ALLOCATION);
        writer.left -= 31;
        bytes_put_be64(&writer, NBD_OPTION_MAGIC);
        bytes_put_be64(&writer, (uint64_t)NBD_OPT_GO << 32 | 12);
        writer.at += info_bytes(writer.at, "disk");
        size = (size_t)(writer.at - message);
        for (unsigned i = 0; i <= turn % 4; i++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
            message[(random >> 33) % size] = (uint8_t)(random >> 20);
        }
        clipped = malloc(size);
        memcpy(clipped, message, size);
        assert_int_equal(nbd_handshake_init(&world->handshake, &world->exports), 0);
        while (result == NBD_HANDSHAKE_NEXT) {
            result = nbd_handshake_step(&world->handshake, clipped + at, size - at, &consumed);
            assert_true(consumed <= size - at);
            assert_true(result != NBD_HANDSHAKE_NEXT || consumed > 0);
            at += consumed;
        }
        assert_int_equal(result == NBD_HANDSHAKE_TRANSMISSION, world->handshake.export != NULL);
        free(clipped);
        nbd_handshake_fini(&world->handshake);
    }
}

/* A thousand exports with the longest texts: the listing is whole. */
static void test_long_listing(void **state)
{
    struct world *world = *state;
    struct nbd_export *exports[1000];
    char name[EXPORT_TEXT_SIZE];
    enum nbd_handshake_result result;
    uint8_t bytes[16];

    memset(name, 'x', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    for (unsigned i = 0; i < ARRAY_COUNT(exports); i++) {
        snprintf(name, 6, "%05u", i);
        name[5] = 'x';
        exports[i] = add_export(world, name, 10 + i);
    }
    begin(world);
    put_be64(bytes, NBD_OPTION_MAGIC);
    put_be32(bytes + 8, NBD_OPT_LIST);
    put_be32(bytes + 12, 0);
    size_t consumed;
    assert_int_equal(nbd_handshake_step(&world->handshake, bytes, sizeof(bytes), &consumed),
                     NBD_HANDSHAKE_NEXT);
    assert_true(world->handshake.out_bytes > 1000 * 280);
    world->handshake.out_bytes = 0;
    assert_int_equal(feed(world, NBD_OPT_LIST, NULL, 0, &result), NBD_REP_ACK);
    for (unsigned i = 0; i < ARRAY_COUNT(exports); i++)
        export_free(exports[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_breaking, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_client_flags, setup, teardown),
        cmocka_unit_test_setup_teardown(test_option_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_streams, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_listing, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
