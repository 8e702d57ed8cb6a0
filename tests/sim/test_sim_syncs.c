/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sync fails, the process ends, and another begins on the same kernel, which still shows what
 * never reached the device (io/sync_note.h, F8): it must see what the device has, and believe no
 * kill-safe memory; and no power loss may take from it what it was shown.
 */
#include "sim.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "io/file.h"
#include "io/sync_note.h"

enum { BLOCKS = 16, BYTES = BLOCKS * 4096 };

struct bench {
    struct sim_world *world;
    struct sim_site *site;
    struct sync_note *note;
    struct io_file *file;
    struct io_op op;
    char boot_id[64];
    uint8_t bytes[BYTES];
    bool is_watched, is_later;
    int error;
    int64_t ended;
};

static void begin(void *arg)
{
    struct bench *bench = arg;
    struct loop *loop = sim_site_loop(bench->site);

    if (bench->is_watched) {
        check(sync_note_open(loop, "/syncs", &bench->note, NULL) == 0);
        loop_watch_syncs(loop, bench->note);
    }
    snprintf(bench->boot_id, sizeof(bench->boot_id), "%s", loop_boot_id(loop));
    bench->error = io_file_open(loop, "/f", IO_CREATE, &bench->file, NULL);
    check(io_dir_sync(loop, "/") == 0);
}

static void write_all(void *arg)
{
    struct bench *bench = arg;

    check(io_file_write_now(sim_site_loop(bench->site), bench->file, bench->bytes, BYTES, 0) == 0);
}

static void read_all(void *arg)
{
    struct bench *bench = arg;

    check(io_file_read_now(sim_site_loop(bench->site), bench->file, bench->bytes, BYTES, 0) == 0);
}

static void synced(struct io_op *op, int64_t result)
{
    container_of(op, struct bench, op)->ended = result;
}

static void sync_all(void *arg)
{
    struct bench *bench = arg;
    struct loop *loop = sim_site_loop(bench->site);

    bench->ended = 1;
    if (bench->is_later)
        io_file_sync(loop, &bench->op, bench->file, synced);
    else
        bench->ended = io_file_sync_now(loop, bench->file);
}

static int64_t sync_of(struct bench *bench)
{
    sim_site_call(bench->site, sync_all, bench);
    while (bench->ended == 1 && sim_world_step(bench->world))
        ;
    return bench->ended;
}

static void restart(struct bench *bench)
{
    sim_site_restart(bench->site);
    sim_site_call(bench->site, begin, bench);
}

static void life_that_fails(struct bench *bench, uint64_t seed)
{
    bench->world = sim_world_new(seed);
    bench->site = sim_site_new(bench->world, "a");
    sim_site_call(bench->site, begin, bench);
    memset(bench->bytes, 'o', BYTES);
    sim_site_call(bench->site, write_all, bench);
    assert_int_equal(sync_of(bench), 0);
    memset(bench->bytes, 'n', BYTES);
    sim_site_call(bench->site, write_all, bench);
    sim_disk_fail(bench->site, SIM_DISK_SYNC, "/f", 1, -EIO);
    assert_int_equal(sync_of(bench), -EIO);
    sim_site_kill(bench->site);
}

/* What one life was shown, and had synced, is there behind a power loss. */
static bool is_kept(struct bench *bench)
{
    uint8_t shown[BYTES];

    sim_site_call(bench->site, read_all, bench);
    memcpy(shown, bench->bytes, BYTES);
    assert_int_equal(sync_of(bench), 0);
    sim_site_power_loss(bench->site);
    restart(bench);
    assert_int_equal(bench->error, 0);
    sim_site_call(bench->site, read_all, bench);
    return memcmp(shown, bench->bytes, BYTES) == 0;
}

static unsigned count_lost(bool is_watched)
{
    unsigned lost = 0;

    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct bench bench = {.is_watched = is_watched, .is_later = seed % 2};

        life_that_fails(&bench, seed);
        restart(&bench);
        assert_int_equal(bench.error, 0);
        lost += !is_kept(&bench);
        sim_world_free(bench.world);
    }
    return lost;
}

static void test_what_is_shown_stays(void **state)
{
    assert_int_equal(count_lost(true), 0);
    assert_true(count_lost(false) > 15); /* the world is as bad as it says */
}

static void test_eras(void **state)
{
    struct bench bench = {.is_watched = true};
    char first[64], second[64];

    life_that_fails(&bench, 1);
    snprintf(first, sizeof(first), "%s", bench.boot_id);
    restart(&bench);
    snprintf(second, sizeof(second), "%s", bench.boot_id);
    assert_string_not_equal(first, second);
    assert_true(sync_note_is_distrusting(bench.note));
    sim_site_kill(bench.site);
    restart(&bench); /* nothing failed since: the same era, and still what is opened is forgotten */
    assert_string_equal(second, bench.boot_id);
    assert_true(sync_note_is_distrusting(bench.note));
    sim_site_power_loss(bench.site);
    restart(&bench);
    assert_false(sync_note_is_distrusting(bench.note));
    sim_world_free(bench.world);
}

static void make_another(void *arg)
{
    struct bench *bench = arg;
    struct loop *loop = sim_site_loop(bench->site);
    struct io_file *file;

    bench->error = io_file_open(loop, "/g", IO_CREATE | IO_EXCLUSIVE, &file, NULL);
    if (bench->error == 0)
        io_file_close(loop, file);
}

/* Nothing of it is kept by the kernel; and who makes a file and fails must know that it is his. */
static void test_new_file_is_opened(void **state)
{
    struct bench bench = {.is_watched = true};

    life_that_fails(&bench, 3);
    restart(&bench);
    sim_disk_fail(bench.site, SIM_DISK_SYNC, "/g", 1, -EIO);
    sim_site_call(bench.site, make_another, &bench);
    assert_int_equal(bench.error, 0);
    sim_site_call(bench.site, make_another, &bench);
    assert_int_equal(bench.error, -EEXIST);
    sim_world_free(bench.world);
}

static void test_sick_device_is_not_opened(void **state)
{
    struct bench bench = {.is_watched = true};

    life_that_fails(&bench, 3);
    sim_disk_fail(bench.site, SIM_DISK_SYNC, "/f", 1, -EIO);
    restart(&bench);
    assert_int_equal(bench.error, -EIO);
    sim_site_kill(bench.site);
    restart(&bench);
    assert_int_equal(bench.error, 0);
    assert_true(is_kept(&bench));
    sim_world_free(bench.world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_shown_stays),
        cmocka_unit_test(test_eras),
        cmocka_unit_test(test_new_file_is_opened),
        cmocka_unit_test(test_sick_device_is_not_opened),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
