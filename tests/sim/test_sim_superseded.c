/* SPDX-License-Identifier: Apache-2.0 */
/* Records of replaced journal blocks on a disk that fails: what a flush may then say (R10, I6). */
#include "sim.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "replication/superseded.h"

struct bench {
    struct sim_world *world;
    struct sim_site *site;
    struct superseded *superseded;
    struct bitfile_save save;
    struct err err;
    uint64_t told; /* bit of each block that superseded_each() names */
    int error;
    bool is_fresh, is_recording, is_done;
};

static void open_it(void *arg)
{
    static const uint64_t block_count = 64;
    static const bool has_journal = true;
    struct bench *bench = arg;
    struct superseded_options options = {.folder = "",
                                         .disk_count = 1,
                                         .block_counts = &block_count,
                                         .has_journal = &has_journal,
                                         .is_fresh = bench->is_fresh};

    bench->error =
        superseded_open(sim_site_loop(bench->site), &options, &bench->superseded, &bench->err);
}

static void tell(void *arg, unsigned disk, uint64_t block, uint64_t count)
{
    check(disk == 0 && block + count <= 64);
    for (uint64_t i = 0; i < count; i++)
        ((struct bench *)arg)->told |= UINT64_C(1) << (block + i);
}

static void tell_each(void *arg)
{
    superseded_each(((struct bench *)arg)->superseded, tell, arg);
}

static void mark_five(void *arg)
{
    superseded_mark(((struct bench *)arg)->superseded, 0, 5, 1);
}

static void recorded(struct bitfile_save *save, int error)
{
    struct bench *bench = container_of(save, struct bench, save);

    bench->error = error;
    bench->is_done = true;
}

/* What the flush group does around a sync of the base that ends well. */
static void flush(void *arg)
{
    struct bench *bench = arg;

    superseded_flushing(bench->superseded, 0);
    bench->is_recording = superseded_record(bench->superseded, 0, &bench->save, recorded);
}

static bool is_done(void *arg)
{
    return ((struct bench *)arg)->is_done;
}

/* The host's answer. */
static int flush_now(struct bench *bench)
{
    bench->is_done = false;
    bench->error = 0;
    assert_true(sim_site_call(bench->site, flush, bench));
    if (bench->is_recording)
        assert_true(
            sim_world_run_for(bench->world, is_done, bench, sim_now_ns(bench->world) + SIM_SECOND));
    return bench->error;
}

static void begin(struct bench *bench)
{
    *bench = (struct bench){.world = sim_world_new(1), .is_fresh = true};
    bench->site = sim_site_new(bench->world, "a");
    assert_true(sim_site_call(bench->site, open_it, bench));
    assert_int_equal(bench->error, 0);
    assert_true(sim_site_call(bench->site, mark_five, bench));
}

static uint64_t after_power_loss(struct bench *bench)
{
    sim_site_power_loss(bench->site);
    sim_site_restart(bench->site);
    bench->is_fresh = false;
    assert_true(sim_site_call(bench->site, open_it, bench));
    assert_int_equal(bench->error, 0);
    assert_true(sim_site_call(bench->site, tell_each, bench));
    return bench->told;
}

static void test_flush_makes_it_durable(void **state)
{
    struct bench bench;

    begin(&bench);
    assert_int_equal(flush_now(&bench), 0);
    assert_true(bench.is_recording);
    assert_int_equal(flush_now(&bench), 0);
    assert_false(bench.is_recording); /* nothing new */
    assert_int_equal(after_power_loss(&bench), 1 << 5);
    sim_world_free(bench.world);
}

/* A host that asks again must not hear that all is well. */
static void test_no_flush_succeeds_over_a_failed_record(void **state)
{
    struct bench bench;

    begin(&bench);
    sim_disk_fail(bench.site, SIM_DISK_WRITE, "superseded-0", 1, -ENOSPC);
    assert_int_equal(flush_now(&bench), -ENOSPC);
    sim_disk_fail(bench.site, SIM_DISK_WRITE, "", 0, 0);
    assert_int_equal(flush_now(&bench), -ENOSPC);
    assert_int_equal(flush_now(&bench), -ENOSPC);
    /* A slot stands twice, and one of the two was written: more than was told may be there. */
    assert_int_equal(after_power_loss(&bench) & ~(UINT64_C(1) << 5), 0);
    sim_world_free(bench.world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flush_makes_it_durable),
        cmocka_unit_test(test_no_flush_succeeds_over_a_failed_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
