/* SPDX-License-Identifier: Apache-2.0 */
/* The server through its socket: requests, replies, errors, limits, hostile bytes, ends of all
 * kinds. The handshake has its own test of options (test_nbd_handshake.c). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nbd_fixture.h"

static uint8_t *pattern(size_t length, unsigned seed)
{
    uint8_t *bytes = malloc(length);

    assert_non_null(bytes);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)(i * 31 + (i >> 8) * 7 + seed);
    return bytes;
}

/* Reads and compares, by the reply form that `features` make. */
static void expect_data(int fd, unsigned features, uint64_t offset, const uint8_t *wanted,
                        uint32_t length)
{
    uint8_t *bytes = malloc(length);

    client_request(fd, NBD_CMD_READ, 0, 9, offset, length);
    if (features & CLIENT_STRUCTURED) {
        struct client_chunk chunk = client_chunk(fd);

        assert_int_equal(chunk.type, NBD_CHUNK_OFFSET_DATA);
        assert_int_equal(chunk.flags, NBD_CHUNK_DONE);
        assert_true(chunk.cookie == 9);
        assert_int_equal(chunk.length, 8 + length);
        client_recv(fd, bytes, 8);
        assert_true(get_be64(bytes) == offset);
    } else {
        assert_int_equal(client_simple_reply(fd, 9), 0);
    }
    client_recv(fd, bytes, length);
    assert_memory_equal(bytes, wanted, length);
    free(bytes);
}

static void write_read(struct fixture *fixture, unsigned features, uint32_t length)
{
    uint8_t *bytes = pattern(length, length);
    int fd = client_open(fixture, "disk", features);

    client_request(fd, NBD_CMD_WRITE, NBD_CMD_FLAG_FUA, 8, 4096, length);
    client_send(fd, bytes, length);
    assert_int_equal(client_simple_reply(fd, 8), 0);
    expect_data(fd, features, 4096, bytes, length);
    client_request(fd, NBD_CMD_FLUSH, 0, 10, 0, 0);
    assert_int_equal(client_simple_reply(fd, 10), 0);
    client_request(fd, NBD_CMD_WRITE_ZEROES, NBD_CMD_FLAG_NO_HOLE, 11, 4096, 512);
    assert_int_equal(client_simple_reply(fd, 11), 0);
    memset(bytes, 0, 512);
    expect_data(fd, features, 4096, bytes, length);
    client_request(fd, NBD_CMD_DISC, 0, 0, 0, 0);
    client_expect_end(fd);
    free(bytes);
}

static void test_write_and_read(void **state)
{
    static const uint32_t lengths[] = {512,   4096,   12800,      65536,
                                       98816, 262144, 300 * 1024, 32 << 20};

    fixture_add(*state, "disk", false);
    for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        write_read(*state, 0, lengths[i]);
        write_read(*state, CLIENT_STRUCTURED, lengths[i]);
    }
}

/* 2000 requests of mixed sizes in one go: replies come for each, contents are right. */
static void test_pipeline(void **state)
{
    static const uint32_t sizes[] = {512, 4096, 4096, 40960, 131072, 1024};
    int fd = (fixture_add(*state, "disk", false), client_open(*state, "disk", 0));
    uint8_t *bytes = pattern(131072, 3);

    for (unsigned turn = 0; turn < 100; turn++) {
        for (unsigned i = 0; i < 20; i++) {
            uint32_t length = sizes[(turn + i) % 6];

            client_request(fd, NBD_CMD_WRITE, 0, i, (uint64_t)i << 17, length);
            client_send(fd, bytes, length);
        }
        for (unsigned i = 0; i < 20; i++)
            assert_int_equal(client_simple_reply(fd, i), 0);
    }
    for (unsigned i = 0; i < 20; i++)
        expect_data(fd, 0, (uint64_t)i << 17, bytes, sizes[(99 + i) % 6]);
    free(bytes);
    close(fd);
}

static void test_one_byte_at_a_time(void **state)
{
    uint8_t header[NBD_REQUEST_BYTES];
    uint8_t *bytes = pattern(512, 5);
    int fd = (fixture_add(*state, "disk", false), client_open(*state, "disk", 0));

    client_encode_request(header, NBD_CMD_WRITE, 0, 1, 0, 512);
    for (unsigned i = 0; i < sizeof(header); i++)
        client_send(fd, header + i, 1);
    for (unsigned i = 0; i < 512; i++)
        client_send(fd, bytes + i, 1);
    assert_int_equal(client_simple_reply(fd, 1), 0);
    expect_data(fd, 0, 0, bytes, 512);
    free(bytes);
    close(fd);
}

static void expect_error_chunk(int fd, uint64_t cookie, uint32_t error)
{
    struct client_chunk chunk = client_chunk(fd);
    uint8_t bytes[6];

    assert_int_equal(chunk.type, NBD_CHUNK_ERROR);
    assert_int_equal(chunk.flags, NBD_CHUNK_DONE);
    assert_true(chunk.cookie == cookie);
    assert_int_equal(chunk.length, 6);
    client_recv(fd, bytes, 6);
    assert_int_equal(get_be32(bytes), error);
}

/* Each refusal leaves the connection usable, and what a refused write carried is read away. */
static void test_errors_keep_the_connection(void **state)
{
    struct fixture_export *export = fixture_add(*state, "disk", false);
    uint8_t *bytes = pattern(33 << 20, 1);
    int fd = client_open(*state, "disk", CLIENT_STRUCTURED);

    client_request(fd, NBD_CMD_READ, 0, 1, 1, 512);
    expect_error_chunk(fd, 1, NBD_EINVAL);
    client_request(fd, NBD_CMD_READ, 0, 2, 0, (32 << 20) + 512);
    expect_error_chunk(fd, 2, NBD_EOVERFLOW);
    client_request(fd, NBD_CMD_WRITE, 0, 3, FIXTURE_EXPORT_BYTES, 4096);
    client_send(fd, bytes, 4096);
    assert_int_equal(client_simple_reply(fd, 3), NBD_ENOSPC);
    client_request(fd, NBD_CMD_WRITE, 0, 4, 0, 33 << 20);
    client_send(fd, bytes, 33 << 20);
    assert_int_equal(client_simple_reply(fd, 4), NBD_EINVAL);
    client_request(fd, NBD_CMD_BLOCK_STATUS, 0, 5, 0, 4096);
    expect_error_chunk(fd, 5, NBD_EINVAL);
    client_request(fd, 99, 0, 6, 0, 4096);
    assert_int_equal(client_simple_reply(fd, 6), NBD_EINVAL);
    client_request(fd, NBD_CMD_TRIM, 0, 7, 0, UINT32_MAX);
    assert_int_equal(client_simple_reply(fd, 7), NBD_EINVAL);
    client_request(fd, NBD_CMD_WRITE_ZEROES, 0, 7, 0, UINT32_MAX - 511);
    assert_int_equal(client_simple_reply(fd, 7), NBD_ENOSPC);

    fixture_fail(export, -EIO);
    client_request(fd, NBD_CMD_READ, NBD_CMD_FLAG_DF, 8, 0, 512);
    expect_error_chunk(fd, 8, NBD_EIO);
    fixture_fail(export, -ENOTSUP);
    client_request(fd, NBD_CMD_WRITE_ZEROES, NBD_CMD_FLAG_FAST_ZERO, 9, 0, 512);
    assert_int_equal(client_simple_reply(fd, 9), NBD_ENOTSUP);
    fixture_fail(export, 0);
    client_request(fd, NBD_CMD_TRIM, 0, 10, 0, FIXTURE_EXPORT_BYTES);
    assert_int_equal(client_simple_reply(fd, 10), 0);
    client_request(fd, NBD_CMD_CACHE, 0, 11, 0, FIXTURE_EXPORT_BYTES);
    assert_int_equal(client_simple_reply(fd, 11), 0);
    memset(bytes, 0, 4096);
    expect_data(fd, CLIENT_STRUCTURED, 0, bytes, 4096);
    free(bytes);
    close(fd);
}

/* Who is connected may use what came behind the old end, and no more. */
static void test_growth_while_connected(void **state)
{
    struct fixture_export *export = fixture_add(*state, "disk", false);
    uint8_t *bytes = pattern(4096, 1);
    int fd = client_open(*state, "disk", 0);

    client_request(fd, NBD_CMD_WRITE, 0, 1, FIXTURE_EXPORT_BYTES, 4096);
    client_send(fd, bytes, 4096);
    assert_int_equal(client_simple_reply(fd, 1), NBD_ENOSPC);
    fixture_grow(*state, export);
    client_request(fd, NBD_CMD_WRITE, 0, 2, FIXTURE_GROWN_BYTES - 4096, 4096);
    client_send(fd, bytes, 4096);
    assert_int_equal(client_simple_reply(fd, 2), 0);
    expect_data(fd, 0, FIXTURE_GROWN_BYTES - 4096, bytes, 4096);
    client_request(fd, NBD_CMD_WRITE, 0, 3, FIXTURE_GROWN_BYTES, 4096);
    client_send(fd, bytes, 4096);
    assert_int_equal(client_simple_reply(fd, 3), NBD_ENOSPC);
    free(bytes);
    close(fd);
}

static void test_read_only(void **state)
{
    uint8_t bytes[512] = {0};
    int fd = (fixture_add(*state, "snapshot", true), client_open(*state, "snapshot", 0));

    client_request(fd, NBD_CMD_WRITE, 0, 1, 0, 512);
    client_send(fd, bytes, 512);
    assert_int_equal(client_simple_reply(fd, 1), NBD_EPERM);
    client_request(fd, NBD_CMD_TRIM, 0, 2, 0, 512);
    assert_int_equal(client_simple_reply(fd, 2), NBD_EPERM);
    client_request(fd, NBD_CMD_FLUSH, 0, 3, 0, 0);
    assert_int_equal(client_simple_reply(fd, 3), 0);
    expect_data(fd, 0, 0, bytes, 512);
    close(fd);
}

static void test_block_status(void **state)
{
    struct fixture_export *export = fixture_add(*state, "disk", false);
    int fd = client_open(*state, "disk", CLIENT_ALLOCATION);
    uint8_t bytes[4 + 4 * NBD_EXTENT_BYTES];
    struct client_chunk chunk;

    client_request(fd, NBD_CMD_BLOCK_STATUS, 0, 1, 512 << 10, 3 << 20);
    chunk = client_chunk(fd);
    assert_int_equal(chunk.type, NBD_CHUNK_BLOCK_STATUS);
    assert_int_equal(chunk.length, sizeof(bytes));
    client_recv(fd, bytes, sizeof(bytes));
    assert_int_equal(get_be32(bytes + 4), 512 << 10);
    assert_int_equal(get_be32(bytes + 8), 0);
    assert_int_equal(get_be32(bytes + 12), 1 << 20);
    assert_int_equal(get_be32(bytes + 16), NBD_STATE_HOLE | NBD_STATE_ZERO);
    assert_int_equal(get_be32(bytes + 28), 512 << 10);

    client_request(fd, NBD_CMD_BLOCK_STATUS, NBD_CMD_FLAG_REQ_ONE, 2, 1 << 20, 3 << 20);
    chunk = client_chunk(fd);
    assert_int_equal(chunk.length, 4 + NBD_EXTENT_BYTES);
    client_recv(fd, bytes, chunk.length);
    assert_int_equal(get_be32(bytes + 4), 1 << 20);
    assert_int_equal(get_be32(bytes + 8), NBD_STATE_HOLE | NBD_STATE_ZERO);

    client_request(fd, NBD_CMD_BLOCK_STATUS, 0, 3, 0, UINT32_MAX);
    expect_error_chunk(fd, 3, NBD_EINVAL);
    fixture_fail(export, -EIO);
    client_request(fd, NBD_CMD_BLOCK_STATUS, 0, 4, 0, 4096);
    expect_error_chunk(fd, 4, NBD_EIO);
    close(fd);
}

/* Hostile bytes end their connection; the neighbour does not notice. */
static void test_malformed_ends_only_itself(void **state)
{
    uint8_t zeroes[512] = {0}, garbage[NBD_REQUEST_BYTES];
    int fd, good = (fixture_add(*state, "disk", false), client_open(*state, "disk", 0));

    memset(garbage, 0xa5, sizeof(garbage));
    fd = client_open(*state, "disk", 0);
    client_send(fd, garbage, sizeof(garbage));
    client_expect_end(fd);
    expect_data(good, 0, 0, zeroes, 512);

    fd = client_open(*state, "disk", 0);
    client_request(fd, NBD_CMD_WRITE, 0, 1, 0, UINT32_MAX);
    client_expect_end(fd);
    fd = client_open(*state, "disk", 0);
    client_request(fd, NBD_CMD_WRITE, 0, 1, 0, UINT32_C(1) << 31);
    client_expect_end(fd);
    expect_data(good, 0, 0, zeroes, 512);
    close(good);
}

/* Gone in the middle of a payload, small and large, and with replies unread. */
static void test_client_dies(void **state)
{
    struct fixture_export *export = fixture_add(*state, "disk", false);
    uint8_t *bytes = pattern(1 << 20, 1);
    int fd;

    for (uint32_t length = 512; length <= 1 << 20; length *= 8) {
        fd = client_open(*state, "disk", 0);
        client_request(fd, NBD_CMD_WRITE, 0, 1, 0, length);
        client_send(fd, bytes, length - 1);
        close(fd);
    }
    fd = client_open(*state, "disk", 0);
    for (unsigned i = 0; i < 100; i++)
        client_request(fd, NBD_CMD_READ, 0, i, 0, 65536);
    close(fd);
    fd = client_open(*state, "disk", 0);
    fixture_hold(export);
    for (unsigned i = 0; i < 10; i++)
        client_request(fd, NBD_CMD_READ, 0, i, 0, 4096);
    fixture_await_held(export, 10);
    close(fd);
    fixture_release(*state, export);
    memset(bytes, 0, 512);
    fd = client_open(*state, "disk", 0);
    expect_data(fd, 0, 0, bytes, 512);
    while (fixture_connections(*state, export) != 1)
        ;
    free(bytes);
    close(fd);
}

/* DISC waits for what is under way. */
static void test_disconnect_completes(void **state)
{
    struct fixture_export *export = fixture_add(*state, "disk", false);
    int fd = client_open(*state, "disk", 0);
    uint8_t bytes[4096];

    fixture_hold(export);
    client_request(fd, NBD_CMD_READ, 0, 1, 0, 4096);
    client_request(fd, NBD_CMD_DISC, 0, 2, 0, 0);
    fixture_await_held(export, 1);
    assert_false(client_is_ended(fd));
    fixture_release(*state, export);
    assert_int_equal(client_simple_reply(fd, 1), 0);
    client_recv(fd, bytes, sizeof(bytes));
    client_expect_end(fd);
}

static bool removed(void *arg)
{
    return fixture_is_removed(arg);
}

static void test_export_removed(void **state)
{
    struct fixture_export *export = fixture_add(*state, "disk", false);
    struct fixture_export *other = fixture_add(*state, "other", false);
    int fd = client_open(*state, "disk", 0), idle = client_open(*state, "disk", 0);
    int neighbour = client_open(*state, "other", 0), half = client_open(*state, "disk", 0);
    uint8_t bytes[4096] = {0};

    fixture_hold(export);
    client_request(half, NBD_CMD_WRITE, 0, 5, 0, 1 << 20);
    client_send(half, bytes, sizeof(bytes));
    client_request(fd, NBD_CMD_READ, 0, 1, 0, 4096);
    fixture_await_held(export, 1);
    fixture_remove(*state, export);
    client_expect_end(idle);
    client_expect_end(half);
    assert_false(fixture_is_removed(export));

    idle = client_connect(*state);
    client_greet(idle, NBD_FIXED_NEWSTYLE);
    client_go(idle, NBD_OPT_GO, "disk");
    assert_int_equal(client_option_result(idle, NBD_OPT_GO), NBD_REP_ERR_UNKNOWN);
    close(idle);

    fixture_release(*state, export);
    assert_int_equal(client_simple_reply(fd, 1), 0);
    client_recv(fd, bytes, sizeof(bytes));
    client_expect_end(fd);
    fixture_await(removed, export);
    expect_data(neighbour, 0, 0, bytes, 4096);
    fixture_remove(*state, other);
    client_expect_end(neighbour);
    fixture_await(removed, other);
    assert_int_equal((fixture_add(*state, "disk", false), 0), 0); /* the name is free again */
}

/* At 256 requests under way the server takes no more; all are answered in the end. */
static void test_request_limit(void **state)
{
    struct fixture_export *export = fixture_add(*state, "disk", false);
    int fd = client_open(*state, "disk", 0);
    uint8_t bytes[600 * NBD_REQUEST_BYTES];

    fixture_hold(export);
    for (unsigned i = 0; i < 600; i++)
        client_encode_request(bytes + i * NBD_REQUEST_BYTES, NBD_CMD_TRIM, 0, i, 0, 512);
    client_send(fd, bytes, sizeof(bytes));
    fixture_await_held(export, 256);
    fixture_release(*state, export);
    for (unsigned i = 0; i < 600; i++)
        assert_int_equal(client_simple_reply(fd, i), 0);
    close(fd);
}

/* A client that asks for much and reads nothing holds at most 64 MiB, and others go on. */
static void test_buffer_limit(void **state)
{
    struct fixture_export *export = fixture_add(*state, "disk", false);
    int greedy = client_open(*state, "disk", 0), good = client_open(*state, "disk", 0);
    uint8_t *bytes = malloc(16 << 20);

    fixture_hold(export);
    for (unsigned i = 0; i < 100; i++)
        client_encode_request(bytes + i * NBD_REQUEST_BYTES, NBD_CMD_READ, 0, i, 0, 16 << 20);
    client_send(greedy, bytes, 100 * NBD_REQUEST_BYTES);
    fixture_await_held(export, 4);
    fixture_release(*state, export);
    memset(bytes, 0, 4096);
    expect_data(good, 0, 0, bytes, 4096);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(client_simple_reply(greedy, i), 0);
        client_recv(greedy, bytes, 16 << 20);
    }
    free(bytes);
    close(greedy);
    close(good);
}

/* With the global budget taken, small requests of others still pass and large ones wait. */
static void test_global_limit(void **state)
{
    const struct nbd_server_options options = {.limits.buffer_bytes_max = 32 << 20};
    struct fixture *fixture = fixture_new(&options);
    struct fixture_export *export = fixture_add(fixture, "disk", false);
    int greedy = client_open(fixture, "disk", 0), good = client_open(fixture, "disk", 0);
    uint8_t *bytes = calloc(1, 32 << 20);

    fixture_hold(export);
    client_request(greedy, NBD_CMD_READ, 0, 1, 0, 32 << 20);
    fixture_await_held(export, 1);
    client_request(good, NBD_CMD_READ, 0, 2, 0, 4096);
    fixture_await_held(export, 2);
    client_request(good, NBD_CMD_READ, 0, 3, 0, 1 << 20); /* must wait */
    fixture_release(fixture, export);
    assert_int_equal(client_simple_reply(good, 2), 0);
    client_recv(good, bytes, 4096);
    assert_int_equal(client_simple_reply(greedy, 1), 0);
    client_recv(greedy, bytes, 32 << 20);
    assert_int_equal(client_simple_reply(good, 3), 0);
    client_recv(good, bytes, 1 << 20);
    free(bytes);
    close(greedy);
    close(good);
    fixture_free(fixture);
}

/* A payload that stops coming ends its connection, wanted or to be read away; an idle client stays.
 */
static void test_payload_that_does_not_come(void **state)
{
    const struct nbd_server_options options = {.limits.payload_ns_max = 50 * 1000 * 1000};
    struct fixture *fixture = fixture_new(&options);
    uint8_t bytes[4096] = {0};
    int idle, stuck, refused;

    fixture_add(fixture, "disk", false);
    idle = client_open(fixture, "disk", 0);
    stuck = client_open(fixture, "disk", 0);
    refused = client_open(fixture, "disk", 0);
    client_request(stuck, NBD_CMD_WRITE, 0, 1, 0, 32 << 20);
    client_send(stuck, bytes, sizeof(bytes));
    client_request(refused, NBD_CMD_WRITE, 0, 1, 1, 32 << 20);
    client_expect_end(stuck);
    client_expect_end(refused);
    expect_data(idle, 0, 0, bytes, 4096);
    close(idle);
    fixture_free(fixture);
}

static void test_many_half_open(void **state)
{
    int fds[200], fd;
    uint8_t bytes[512] = {0};

    fixture_add(*state, "disk", false);
    for (unsigned i = 0; i < 200; i++)
        fds[i] = client_connect(*state);
    fd = client_open(*state, "disk", 0);
    expect_data(fd, 0, 0, bytes, 512);
    close(fd);
    for (unsigned i = 0; i < 100; i++)
        close(fds[i]);
    /* the other hundred stay open while the server stops (teardown) */
    fixture_teardown(state);
    for (unsigned i = 100; i < 200; i++)
        close(fds[i]);
    fixture_setup(state);
}

static void test_connection_limit(void **state)
{
    const struct nbd_server_options options = {.limits.connections_max = 3};
    struct fixture *fixture = fixture_new(&options);
    int fds[3], silent, late;
    uint8_t bytes[512] = {0};

    fixture_add(fixture, "disk", false);
    fds[0] = client_open(fixture, "disk", 0);
    fds[1] = client_open(fixture, "disk", 0);
    silent = client_connect(fixture);
    client_greet(silent, NBD_FIXED_NEWSTYLE);
    fds[2] = client_open(fixture, "disk", 0); /* the silent one gives way */
    client_expect_end(silent);
    late = client_connect(fixture);
    client_expect_end(late);
    for (unsigned i = 0; i < 3; i++) {
        expect_data(fds[i], 0, 0, bytes, 512);
        close(fds[i]);
    }
    fixture_free(fixture);
}

/* Stopping with requests under way on one connection, idle ones beside. */
static void test_stop_under_load(void **state)
{
    struct fixture_export *export = fixture_add(*state, "disk", false);
    int fd = client_open(*state, "disk", 0), idle = client_open(*state, "disk", 0);

    fixture_hold(export);
    for (unsigned i = 0; i < 20; i++)
        client_request(fd, NBD_CMD_TRIM, 0, i, 0, 512);
    fixture_await_held(export, 20);
    fixture_teardown(state); /* releases, then stops */
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(client_simple_reply(fd, i), 0);
    client_expect_end(fd);
    client_expect_end(idle);
    fixture_setup(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_write_and_read, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_pipeline, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_one_byte_at_a_time, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_errors_keep_the_connection, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_growth_while_connected, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_read_only, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_block_status, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_malformed_ends_only_itself, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_client_dies, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_disconnect_completes, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_export_removed, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_request_limit, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_buffer_limit, fixture_setup, fixture_teardown),
        cmocka_unit_test(test_global_limit),
        cmocka_unit_test(test_payload_that_does_not_come),
        cmocka_unit_test_setup_teardown(test_many_half_open, fixture_setup, fixture_teardown),
        cmocka_unit_test(test_connection_limit),
        cmocka_unit_test_setup_teardown(test_stop_under_load, fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
