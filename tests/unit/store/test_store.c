/* SPDX-License-Identifier: Apache-2.0 */
/* File stores on a real loop and file system: opening, data, trims, extents. Fencing on the fake.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "store/store.h"
#include "tests/lib/fake_loop.h"

enum { SIZE = 1 << 20, BLOCK = 4096 };

struct site {
    struct loop *loop;
    char folder[64], path[96];
};

static int set_up(void **state)
{
    struct site *site = calloc(1, sizeof(*site));

    check(site != NULL);
    snprintf(site->folder, sizeof(site->folder), "/tmp/verso-store-XXXXXX");
    check(mkdtemp(site->folder) != NULL);
    snprintf(site->path, sizeof(site->path), "%s/d-1.raw", site->folder);
    check(loop_new(LOOP_AUTO, &site->loop, NULL) == 0);
    *state = site;
    return 0;
}

static int tear_down(void **state)
{
    struct site *site = *state;

    loop_free(site->loop);
    unlink(site->path);
    rmdir(site->folder);
    free(site);
    return 0;
}

static int open_store(struct site *site, struct store_options options, struct store **ret_store,
                      struct err *err)
{
    if (!options.driver)
        options.driver = "file";
    if (!options.path)
        options.path = site->path;
    options.name = "d-1";
    return store_open(site->loop, &options, ret_store, err);
}

struct run {
    struct store_op op;
    struct loop *loop;
    int error;
};

static void run_done(struct store_op *op, int error)
{
    struct run *run = container_of(op, struct run, op);

    run->error = error;
    loop_stop(run->loop);
}

static int run_write(struct store *store, uint8_t value, uint64_t offset, size_t length)
{
    struct run run = {.loop = store->loop};
    uint8_t *bytes = malloc(length);
    struct iovec iov[2] = {{bytes, length / 2}, {bytes + length / 2, length - length / 2}};

    memset(bytes, value, length);
    store_write(store, &run.op, iov, 2, offset, run_done);
    loop_run(store->loop);
    free(bytes);
    return run.error;
}

static uint8_t run_read(struct store *store, uint64_t offset)
{
    struct run run = {.loop = store->loop};
    uint8_t byte = 0xaa;
    struct iovec iov = {&byte, 1};

    store_read(store, &run.op, &iov, 1, offset, run_done);
    loop_run(store->loop);
    assert_int_equal(run.error, 0);
    return byte;
}

static void opening_names_what_is_wrong(void **state)
{
    struct site *site = *state;
    struct store *store = NULL, *other = NULL;
    struct err err;

    assert_int_equal(open_store(site, (struct store_options){0}, &store, &err), -ENOENT);
    assert_non_null(strstr(err.text, site->path));
    assert_int_equal(
        open_store(site, (struct store_options){.create = true, .size_bytes = 5000}, &store, &err),
        -EINVAL);
    assert_int_equal(access(site->path, F_OK), -1);
    assert_int_equal(
        open_store(site, (struct store_options){.create = true, .size_bytes = SIZE}, &store, &err),
        0);
    assert_int_equal(store->size_bytes, SIZE);
    assert_int_equal(open_store(site, (struct store_options){0}, &other, &err), -EBUSY);
    store_close(store);
    assert_int_equal(
        open_store(site, (struct store_options){.create = true, .size_bytes = SIZE}, &other, &err),
        -EEXIST);
    assert_int_equal(open_store(site, (struct store_options){.size_bytes = 2 * SIZE}, &other, &err),
                     -ENOSPC);
    assert_int_equal(open_store(site, (struct store_options){.driver = "block"}, &other, &err),
                     -EINVAL);
    assert_int_equal(open_store(site, (struct store_options){.driver = "tape"}, &other, &err),
                     -EINVAL);
    assert_int_equal(truncate(site->path, SIZE + 1), 0);
    assert_int_equal(open_store(site, (struct store_options){0}, &other, &err), -EINVAL);
}

static void data_trims_and_extents(void **state)
{
    struct site *site = *state;
    struct store *store = NULL;
    struct run run = {.loop = site->loop};
    struct io_extent extents[4];

    assert_int_equal(
        open_store(site, (struct store_options){.create = true, .size_bytes = SIZE}, &store, NULL),
        0);
    assert_int_equal(run_write(store, 7, 512, 3 * BLOCK), 0);
    assert_int_equal(run_read(store, 511), 0);
    assert_int_equal(run_read(store, 512), 7);
    assert_int_equal(run_read(store, 512 + 3 * BLOCK - 1), 7);
    store_discard(store, &run.op, BLOCK, 2 * BLOCK, IO_DISCARD_HOLE, run_done);
    loop_run(site->loop);
    assert_int_equal(run.error, 0);
    assert_int_equal(run_read(store, BLOCK - 1), 7);
    assert_int_equal(run_read(store, BLOCK), 0);
    assert_int_equal(run_read(store, 3 * BLOCK), 7);
    store_extents(store, &run.op, 0, SIZE, extents, 4, run_done);
    loop_run(site->loop);
    assert_true(run.error >= 1 && run.error <= 4);
    assert_int_equal(extents[0].offset, 0);
    assert_false(extents[0].is_hole);
    store_sync(store, &run.op, run_done);
    loop_run(site->loop);
    assert_int_equal(run.error, 0);
    store_close(store);
    assert_int_equal(open_store(site, (struct store_options){.read_only = true}, &store, NULL), 0);
    assert_int_equal(run_read(store, 512), 7);
    assert_int_equal(run_write(store, 1, 0, BLOCK), -EROFS);
    store_close(store);
}

/* ---- on the fake loop ----------------------------------------------------------------------- */

struct fake_run {
    struct store_op op;
    int error;
};

static void fake_done(struct store_op *op, int error)
{
    container_of(op, struct fake_run, op)->error = error;
}

static void first_failed_sync_is_final(void **state)
{
    struct fake_loop fake;
    struct store *store = NULL;
    struct fake_run sync = {.error = 1}, other = {.error = 1}, read = {.error = 1};
    struct store_options options = {
        .driver = "file", .path = "/d", .size_bytes = SIZE, .create = true};
    uint8_t byte;
    struct iovec iov = {&byte, 1};
    unsigned op_count;

    (void)state;
    fake_loop_init(&fake);
    assert_int_equal(store_open(&fake.loop, &options, &store, NULL), 0);
    fake.is_held = true;
    store_sync(store, &sync.op, fake_done);
    store_sync(store, &other.op, fake_done);
    fake.sync_error = -ENOSPC;
    assert_true(fake_loop_complete(&fake));
    assert_true(sync.error < 0 && store->is_fenced);
    fake.sync_error = 0;
    assert_true(fake_loop_complete(&fake));
    assert_int_equal(other.error, -EIO); /* the kernel said 0 */
    op_count = fake.op_count;
    store_read(store, &read.op, &iov, 1, 0, fake_done);
    assert_int_equal(read.error, 1);
    fake_loop_run(&fake);
    assert_int_equal(read.error, -EIO);
    assert_int_equal(fake.op_count, op_count);
    store_close(store);
    fake_loop_fini(&fake);
}

/* The kernel tells once that writes were lost: whoever hears of it tells the others, by the fence.
 */
static void a_failed_sync_of_growing_is_final(void **state)
{
    struct fake_loop fake;
    struct store *store = NULL;
    struct fake_run sync = {.error = 1};
    struct store_options options = {
        .driver = "file", .path = "/d", .size_bytes = SIZE, .create = true};
    struct err err = {0};

    (void)state;
    fake_loop_init(&fake);
    assert_int_equal(store_open(&fake.loop, &options, &store, NULL), 0);
    fake.sync_error = -EIO;
    assert_int_equal(store_grow(store, 2 * SIZE, &err), -EIO);
    assert_int_equal(store->size_bytes, SIZE);
    fake.sync_error = 0;
    store_sync(store, &sync.op, fake_done);
    fake_loop_run(&fake);
    assert_int_equal(sync.error, -EIO);
    store_close(store);
    fake_loop_fini(&fake);
}

/* A file gets longer, durably; what was there stays, what is new reads as zeros. */
static void growing(void **state)
{
    struct site *site = *state;
    struct err err = {0};
    struct store *store;

    assert_int_equal(
        open_store(site, (struct store_options){.create = true, .size_bytes = SIZE}, &store, &err),
        0);
    assert_int_equal(run_write(store, 0x5a, SIZE - BLOCK, BLOCK), 0);
    assert_int_equal(store_grow(store, SIZE - BLOCK, &err), -EINVAL);
    assert_int_equal(store_grow(store, SIZE + 100, &err), -EINVAL);
    assert_int_equal(store_grow(store, UINT64_C(1) << 63, &err), -EINVAL);
    assert_int_equal(store_grow(store, SIZE, &err), 0);
    assert_int_equal(store_grow(store, 2 * SIZE, &err), 0);
    assert_int_equal(store->size_bytes, 2 * SIZE);
    assert_int_equal(run_write(store, 0x77, 2 * SIZE - BLOCK, BLOCK), 0);
    store_close(store);
    /* Opened at the size that was recorded, it is longer than that; growing again ends it. */
    assert_int_equal(open_store(site, (struct store_options){.size_bytes = SIZE}, &store, &err), 0);
    assert_int_equal(store->size_bytes, SIZE);
    assert_int_equal(store_grow(store, 2 * SIZE, &err), 0);
    store_close(store);
    assert_int_equal(open_store(site, (struct store_options){.read_only = true}, &store, &err), 0);
    assert_int_equal(store->size_bytes, 2 * SIZE);
    assert_int_equal(store_grow(store, 4 * SIZE, &err), -EROFS);
    store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(opening_names_what_is_wrong, set_up, tear_down),
        cmocka_unit_test_setup_teardown(data_trims_and_extents, set_up, tear_down),
        cmocka_unit_test_setup_teardown(growing, set_up, tear_down),
        cmocka_unit_test(first_failed_sync_is_final),
        cmocka_unit_test(a_failed_sync_of_growing_is_final),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
