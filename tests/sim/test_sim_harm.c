/* SPDX-License-Identifier: Apache-2.0 */
/* The rarer harm that the simulated world does: rot, writes that land elsewhere, what a failed sync
 * leaves, processes that stand still, clocks that jump. */
#include "sim.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "io/file.h"

enum { PAGES = 8, BYTES = PAGES * SIM_PAGE_BYTES };

struct place {
    struct sim_world *world;
    struct sim_site *site;
    struct io_file *file;
    struct loop_timer timer;
    uint64_t fired_ns;
    int error;
};

/* A synced file of ones, two ... eights. */
static void fill(void *arg)
{
    struct place *place = arg;
    struct loop *loop = sim_site_loop(place->site);
    uint8_t bytes[BYTES];

    for (unsigned i = 0; i < BYTES; i++)
        bytes[i] = (uint8_t)(i / SIM_PAGE_BYTES + 1);
    check(io_dir_make(loop, "/data") == 0 && io_dir_sync(loop, "/") == 0);
    check(io_file_open(loop, "/data/f", IO_CREATE, &place->file, NULL) == 0);
    check(io_file_write_now(loop, place->file, bytes, sizeof(bytes), 0) == 0);
    check(io_file_sync_now(loop, place->file) == 0 && io_dir_sync(loop, "/data") == 0);
}

static void overwrite(void *arg)
{
    struct place *place = arg;
    uint8_t bytes[SIM_PAGE_BYTES];

    memset(bytes, 0xee, sizeof(bytes));
    check(io_file_write_now(sim_site_loop(place->site), place->file, bytes, sizeof(bytes), 0) == 0);
}

static void sync_it(void *arg)
{
    struct place *place = arg;

    place->error = io_file_sync_now(sim_site_loop(place->site), place->file);
}

static struct place make(uint64_t seed)
{
    struct place place = {.world = sim_world_new(seed)};

    place.site = sim_site_new(place.world, "a");
    assert_true(sim_site_call(place.site, fill, &place));
    return place;
}

static unsigned changed(const struct place *place)
{
    uint8_t bytes[BYTES];
    unsigned count = 0;

    assert_true(sim_disk_peek(place->site, "/data/f", bytes, sizeof(bytes), 0));
    for (unsigned i = 0; i < BYTES; i++)
        count += bytes[i] != i / SIM_PAGE_BYTES + 1;
    return count;
}

static void test_rot_stays(void **state)
{
    char path[SIM_PATH_SIZE];

    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct place place = make(seed);
        unsigned count;
        assert_false(sim_disk_rot(place.site, "/other", path));
        assert_int_equal(changed(&place), 0);
        assert_true(sim_disk_rot(place.site, "/f", path));
        assert_string_equal(path, "/data/f");
        count = changed(&place);
        assert_in_range(count, 1, 512);
        sim_site_power_loss(place.site);
        assert_int_equal(changed(&place), count);
        sim_world_free(place.world);
    }
}

static void test_a_write_lands_elsewhere(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct place place = make(seed);
        uint8_t first;
        sim_disk_misdirect(place.site, "/f", 2);
        sim_site_call(place.site, overwrite, &place);
        assert_null(sim_disk_misdirected(place.site));
        assert_int_equal(changed(&place), SIM_PAGE_BYTES);
        sim_disk_peek(place.site, "/data/f", &first, 1, 0);
        assert_int_equal(first, 0xee);
        sim_site_call(place.site, overwrite, &place);
        if (sim_disk_misdirected(place.site)) /* not when it was aimed at its own place */
            assert_int_equal(changed(&place), 2 * SIM_PAGE_BYTES);
        sim_world_free(place.world);
    }
}

/* Reads show what the disk will never hold, until the machine is started again. */
static void test_a_failed_sync_loses(void **state)
{
    unsigned lost = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct place place = make(seed);
        sim_site_call(place.site, overwrite, &place);
        sim_disk_fail(place.site, SIM_DISK_SYNC, "/f", 1, -EIO);
        sim_site_call(place.site, sync_it, &place);
        assert_int_equal(place.error, -EIO);
        sim_site_call(place.site, sync_it, &place);
        assert_int_equal(place.error, 0);
        assert_int_equal(changed(&place), SIM_PAGE_BYTES);
        sim_site_power_loss(place.site);
        lost += changed(&place) == 0;
        sim_world_free(place.world);
    }
    assert_in_range(lost, 8, 32);
}

static void fired(struct loop_timer *timer)
{
    struct place *place = container_of(timer, struct place, timer);

    place->fired_ns = sim_now_ns(place->world);
}

static void set_timer(void *arg)
{
    struct place *place = arg;
    struct loop *loop = sim_site_loop(place->site);

    place->timer.fired_cb = fired;
    loop_timer_set(loop, &place->timer, loop_now_ns(loop) + SIM_SECOND);
}

static void test_a_paused_process_stands_still(void **state)
{
    struct place place = make(1);
    uint64_t begin_ns = sim_now_ns(place.world);

    (void)state;
    sim_site_call(place.site, set_timer, &place);
    sim_site_pause(place.site, 5 * SIM_SECOND);
    sim_world_run_until(place.world, begin_ns + 4 * SIM_SECOND);
    assert_true(sim_site_is_paused(place.site));
    assert_int_equal(place.fired_ns, 0);
    sim_world_run_until(place.world, begin_ns + 6 * SIM_SECOND);
    assert_false(sim_site_is_paused(place.site));
    assert_int_equal(place.fired_ns, begin_ns + 5 * SIM_SECOND);
    sim_world_free(place.world);
}

static void test_wall_clocks_jump(void **state)
{
    struct place place = make(1);
    uint64_t wall_ns, begin_ns = sim_now_ns(place.world);

    (void)state;
    sim_world_run_until(place.world, begin_ns + 10 * SIM_SECOND);
    wall_ns = loop_wall_ns(sim_site_loop(place.site));
    assert_int_equal(sim_site_wall_moment(place.site, wall_ns), begin_ns + 10 * SIM_SECOND);
    sim_site_wall_jump(place.site, -(int64_t)(4 * SIM_SECOND));
    assert_int_equal(loop_wall_ns(sim_site_loop(place.site)), wall_ns - 4 * SIM_SECOND);
    sim_world_run_until(place.world, begin_ns + 30 * SIM_SECOND);
    /* Shown twice: the first time counts. */
    assert_int_equal(sim_site_wall_moment(place.site, wall_ns), begin_ns + 10 * SIM_SECOND);
    assert_int_equal(sim_site_wall_moment(place.site, wall_ns + SIM_SECOND),
                     begin_ns + 15 * SIM_SECOND);
    sim_site_wall_jump(place.site, 3600 * (int64_t)SIM_SECOND);
    sim_world_run_until(place.world, begin_ns + 40 * SIM_SECOND);
    assert_int_equal(sim_site_wall_moment(place.site, wall_ns + 1000 * SIM_SECOND), 0); /* never */
    sim_world_free(place.world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rot_stays),
        cmocka_unit_test(test_a_write_lands_elsewhere),
        cmocka_unit_test(test_a_failed_sync_loses),
        cmocka_unit_test(test_a_paused_process_stands_still),
        cmocka_unit_test(test_wall_clocks_jump),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
