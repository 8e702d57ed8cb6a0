/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a stream on a disk that loses writes: whoever saves hears of it at once (S3); and on
 * one that rots: nothing that was saved is lost by it, even if the power goes as well (S2). */
#include "sim.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "replication/state_file.h"

struct bench {
    struct sim_world *world;
    struct sim_site *site;
    struct stream_state state;
    struct state_file *file;
    struct state_save save;
    struct err err;
    int error;
    bool is_made, is_done;
};

static void open_it(void *arg)
{
    struct bench *bench = arg;

    check(bench->is_made || (io_dir_make(sim_site_loop(bench->site), "/s") == 0 &&
                             io_dir_sync(sim_site_loop(bench->site), "/") == 0));
    bench->error = state_file_open(sim_site_loop(bench->site), "/s", !bench->is_made, &bench->state,
                                   &bench->file, &bench->err);
    bench->is_made = true;
}

static void saved(struct state_save *save, int error)
{
    struct bench *bench = container_of(save, struct bench, save);

    bench->error = error;
    bench->is_done = true;
}

static void save_it(void *arg)
{
    struct bench *bench = arg;

    bench->state.epoch++;
    state_file_save(bench->file, &bench->save, saved);
}

static bool is_done(void *arg)
{
    return ((struct bench *)arg)->is_done;
}

static int save_now(struct bench *bench)
{
    bench->is_done = false;
    assert_true(sim_site_call(bench->site, save_it, bench));
    assert_true(
        sim_world_run_for(bench->world, is_done, bench, sim_now_ns(bench->world) + SIM_SECOND));
    return bench->error;
}

static void begin(struct bench *bench, uint64_t seed)
{
    *bench = (struct bench){.world = sim_world_new(seed), .state = {.peer = "lyon", .epoch = 1}};
    bench->site = sim_site_new(bench->world, "a");
    assert_true(sim_site_call(bench->site, open_it, bench));
    assert_int_equal(bench->error, 0);
}

static void test_save_is_durable(void **state)
{
    struct bench bench;

    begin(&bench, 1);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(save_now(&bench), 0);
    sim_site_power_loss(bench.site);
    sim_site_restart(bench.site);
    assert_true(sim_site_call(bench.site, open_it, &bench));
    assert_int_equal(bench.error, 0);
    assert_int_equal(bench.state.epoch, 4);
    sim_world_free(bench.world);
}

/* The newest slot or its twin, wherever it landed instead: the save fails, and so does the next;
 * behind the loss of power there is the one before or the lost one, or the file is damaged, and
 * named. */
static void write_is_lost(unsigned nth)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct bench bench;

        begin(&bench, seed);
        assert_int_equal(save_now(&bench), 0);
        sim_disk_misdirect(bench.site, "/state", nth);
        assert_int_equal(save_now(&bench), -EIO);
        assert_non_null(sim_disk_misdirected(bench.site));
        assert_int_equal(save_now(&bench), -EIO);
        sim_site_power_loss(bench.site);
        sim_site_restart(bench.site);
        assert_true(sim_site_call(bench.site, open_it, &bench));
        if (bench.error == 0)
            assert_in_range(bench.state.epoch, 2, 3);
        else
            assert_non_null(strstr(bench.err.text, "/state is damaged"));
        sim_world_free(bench.world);
    }
}

static void test_lost_write_is_told(void **state)
{
    write_is_lost(1);
}

static void test_lost_twin_is_told(void **state)
{
    write_is_lost(2);
}

/* Whichever slot it is, just behind a save. */
static void test_rot_and_a_loss_of_power_turn_nothing_back(void **state)
{
    char path[SIM_PATH_SIZE];

    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct bench bench;

        begin(&bench, seed);
        assert_int_equal(save_now(&bench), 0);
        assert_true(sim_disk_rot(bench.site, "/state", path));
        sim_site_power_loss(bench.site);
        sim_site_restart(bench.site);
        assert_true(sim_site_call(bench.site, open_it, &bench));
        assert_int_equal(bench.error, 0);
        assert_int_equal(bench.state.epoch, 2);
        sim_world_free(bench.world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_save_is_durable),
        cmocka_unit_test(test_lost_write_is_told),
        cmocka_unit_test(test_lost_twin_is_told),
        cmocka_unit_test(test_rot_and_a_loss_of_power_turn_nothing_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
