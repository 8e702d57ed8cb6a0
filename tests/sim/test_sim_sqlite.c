/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata on the simulated disk: a death at each call into the kernel, from the making of the
 * database to its last commit, by kill and by loss of power. Afterwards every transaction that was
 * committed is there, the one under way wholly or not at all.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "io/file.h"
#include "meta/record_cache.h"
#include "sim_alloc.h"
#include "sim_sqlite.h"

enum { TRANSACTIONS = 6 };

struct fixture {
    struct sim_world *world;
    struct sim_site *site;
    struct sim_sqlite *sqlite;
    char path[SIM_SQLITE_PATH_SIZE];
    unsigned committed, disks, tokens;
    bool is_begun;
    int error;
};

static void open_meta(struct fixture *fixture, struct meta **ret_meta)
{
    struct err err = {0};

    assert_int_equal(io_dir_make_durable(sim_site_loop(fixture->site), "/data"), 0);
    fixture->error = record_cache_open(fixture->path, ret_meta, &err);
    if (fixture->error < 0)
        print_error("%s\n", err.text);
}

static void write_all(void *arg)
{
    struct fixture *fixture = arg;
    struct meta *meta;
    struct err err;

    open_meta(fixture, &meta);
    assert_int_equal(fixture->error, 0);
    for (unsigned i = 0; i < TRANSACTIONS; i++) {
        struct disk_record disk = {.status = DISK_AVAILABLE, .size_bytes = 4096};
        struct token_record token = {.created_s = i};

        snprintf(disk.id, sizeof(disk.id), "d-%u", i);
        snprintf(token.id, sizeof(token.id), "t-%u", i);
        fixture->is_begun = true;
        assert_int_equal(meta_begin(meta, &err), 0);
        assert_int_equal(meta_put(meta, RECORD_DISK, &disk, &err), 0);
        assert_int_equal(meta_put(meta, RECORD_TOKEN, &token, &err), 0);
        assert_int_equal(meta_commit(meta, &err), 0);
        fixture->is_begun = false;
        fixture->committed++;
    }
    meta_close(meta);
}

static unsigned count_of(struct meta *meta, enum record_kind kind)
{
    void *records = NULL;
    unsigned count = 0;

    assert_int_equal(meta_list(meta, kind, NULL, NULL, &records, &count), 0);
    free(records);
    return count;
}

static void read_all(void *arg)
{
    struct fixture *fixture = arg;
    struct meta *meta;

    open_meta(fixture, &meta);
    assert_int_equal(fixture->error, 0);
    fixture->disks = count_of(meta, RECORD_DISK);
    fixture->tokens = count_of(meta, RECORD_TOKEN);
    /* Not closed: that would write the log into the database. */
}

/* What was read once, after a kill, must be there after a power loss: somebody was told. */
static void lose_power(struct fixture *fixture)
{
    unsigned disks = fixture->disks;

    sim_site_power_loss(fixture->site);
    sim_site_restart(fixture->site);
    assert_true(sim_site_call(fixture->site, read_all, fixture));
    assert_int_equal(fixture->disks, disks);
    assert_int_equal(fixture->tokens, disks);
}

/* False: it did not die, all was done before that call. */
static bool die_at(unsigned call, bool power)
{
    struct fixture fixture = {.world = sim_world_new(call * 2 + power)};
    bool has_died;

    fixture.site = sim_site_new(fixture.world, "paris");
    sim_disk_tear(fixture.site, call % 2);
    fixture.sqlite = sim_sqlite_new(fixture.site, "/data/site.db", fixture.path);
    sim_site_crash_after(fixture.site, call, power, NULL, NULL);
    has_died = !sim_site_call(fixture.site, write_all, &fixture);
    if (has_died)
        sim_site_restart(fixture.site);
    sim_site_crash_after(fixture.site, 0, false, NULL, NULL);
    assert_true(sim_site_call(fixture.site, read_all, &fixture));
    assert_int_equal(fixture.disks, fixture.tokens);
    assert_in_range(fixture.disks, fixture.committed, fixture.committed + fixture.is_begun);
    lose_power(&fixture);
    sim_world_free(fixture.world);
    sim_sqlite_free(fixture.sqlite);
    return has_died;
}

static void die_at_each(bool power)
{
    unsigned call = 1;

    while (die_at(call, power))
        call++;
    assert_true(call > 100); /* the commits alone make so many */
}

static void test_kill_at_each_call(void **state)
{
    die_at_each(false);
}

static void test_power_loss_at_each_call(void **state)
{
    die_at_each(true);
}

/* --- calls that fail ------------------------------------------------------------------------- */

static bool refuse(void *arg, const void *owner)
{
    return *(bool *)arg;
}

static void roll_back_without_memory(void *arg)
{
    struct fixture *fixture = arg;
    struct disk_record disk = {.id = "d-1", .status = DISK_AVAILABLE, .size_bytes = 4096};
    struct meta *meta;
    bool is_short = false;
    struct err err;

    open_meta(fixture, &meta);
    assert_int_equal(fixture->error, 0);
    assert_int_equal(meta_begin(meta, &err), 0);
    assert_int_equal(meta_put(meta, RECORD_DISK, &disk, &err), 0);
    sim_alloc_watch(refuse, &is_short);
    is_short = true;
    meta_rollback(meta);
    is_short = false;
    sim_alloc_watch(NULL, NULL);
    assert_int_equal(meta_begin(meta, &err), 0); /* it is not open for ever */
    assert_int_equal(meta_commit(meta, &err), 0);
    meta_close(meta);
    fixture->disks = UINT32_MAX;
    open_meta(fixture, &meta);
    fixture->disks = count_of(meta, RECORD_DISK);
    meta_close(meta);
}

static void test_rollback_without_memory(void **state)
{
    struct fixture fixture = {.world = sim_world_new(1)};

    fixture.site = sim_site_new(fixture.world, "paris");
    fixture.sqlite = sim_sqlite_new(fixture.site, "/data/site.db", fixture.path);
    assert_true(sim_site_call(fixture.site, roll_back_without_memory, &fixture));
    assert_int_equal(fixture.disks, 0);
    sim_world_free(fixture.world);
    sim_sqlite_free(fixture.sqlite);
}

static void open_only(void *arg)
{
    struct fixture *fixture = arg;
    struct meta *meta;

    open_meta(fixture, &meta);
    if (fixture->error == 0)
        meta_close(meta);
}

/* What cannot be read while it is opened, its version too, is an error and no end of the process.
 */
static void test_each_read_of_the_opening_fails(void **state)
{
    unsigned failures = 0;

    for (unsigned nth = 1; nth < 30; nth++) {
        struct fixture fixture = {.world = sim_world_new(nth)};

        fixture.site = sim_site_new(fixture.world, "paris");
        fixture.sqlite = sim_sqlite_new(fixture.site, "/data/site.db", fixture.path);
        sim_disk_fail(fixture.site, SIM_DISK_READ, "site.db", nth, -EIO);
        assert_true(sim_site_call(fixture.site, open_only, &fixture));
        failures += fixture.error < 0;
        sim_disk_repair(fixture.site);
        assert_true(sim_site_call(fixture.site, write_all, &fixture));
        sim_world_free(fixture.world);
        sim_sqlite_free(fixture.sqlite);
    }
    assert_true(failures > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill_at_each_call),
        cmocka_unit_test(test_power_loss_at_each_call),
        cmocka_unit_test(test_rollback_without_memory),
        cmocka_unit_test(test_each_read_of_the_opening_fails),
    };

    sim_sqlite_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
