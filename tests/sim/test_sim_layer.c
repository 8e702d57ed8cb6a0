/* SPDX-License-Identifier: Apache-2.0 */
/* A layer whose making was cut short by a kill at any call into the kernel, then a power loss: what
 * was listed between the two is there for good, for nobody makes it a second time (R15). */
#include "sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "journal/layer.h"

struct bench {
    struct sim_world *world;
    struct sim_site *site;
    unsigned listed;
    int error;
    bool is_dead;
};

static void died(void *arg)
{
    ((struct bench *)arg)->is_dead = true;
}

static void make(void *arg)
{
    struct bench *bench = arg;
    struct layer_description description = {.size_bytes = 64 * BLOCK_SIZE};
    struct layer *layer;
    struct err err = {0};

    snprintf(description.id, sizeof(description.id), "l-aaaaaaaaaaaaaaaa");
    snprintf(description.disk, sizeof(description.disk), "d-1");
    bench->error = io_dir_make_durable(sim_site_loop(bench->site), "/layers");
    if (bench->error == 0)
        bench->error =
            layer_create(sim_site_loop(bench->site), "/layers", &description, &layer, &err);
    if (bench->error == 0)
        layer_close(layer);
}

static void count_one(void *arg, const char *id)
{
    assert_string_equal(id, "l-aaaaaaaaaaaaaaaa");
    ((struct bench *)arg)->listed++;
}

static void list_them(void *arg)
{
    struct bench *bench = arg;

    bench->listed = 0;
    bench->error = layer_list(sim_site_loop(bench->site), "/layers", count_one, bench);
}

/* After a death; how many are there. */
static unsigned list_after(struct bench *bench)
{
    sim_site_restart(bench->site);
    assert_true(sim_site_call(bench->site, list_them, bench));
    return bench->error == 0 ? bench->listed : 0;
}

static void test_what_is_listed_stays(void **state)
{
    unsigned listed = 0, absent = 0, calls = 0;

    for (bool is_over = false; !is_over; calls++) {
        for (uint64_t seed = 0; seed < 20; seed++) {
            struct bench bench = {.world = sim_world_new(seed)};

            bench.site = sim_site_new(bench.world, "a");
            sim_site_crash_after(bench.site, calls + 1, false, died, &bench);
            is_over = sim_site_call(bench.site, make, &bench);
            if (is_over)
                sim_site_kill(bench.site);
            if (list_after(&bench) == 1) {
                listed++;
                sim_site_power_loss(bench.site);
                assert_int_equal(list_after(&bench), 1);
            } else {
                assert_false(is_over);
                absent++;
            }
            sim_world_free(bench.world);
        }
    }
    assert_true(calls > 10 && listed > 20 && absent > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_is_listed_stays)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
