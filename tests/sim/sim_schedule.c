/* SPDX-License-Identifier: Apache-2.0 */
/* One schedule from its seed: sizes, settings, places, speeds; then storm, then calm. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "sim_alloc.h"
#include "sim_invariants.h"
#include "sim_run.h"
#include "sim_town.h"
#include "sim_whole.h"

void run_fail(struct sim_run *run, const struct node *node, const char *format, ...)
{
    char why[sizeof(run->failure) - 60];
    va_list arguments;

    if (run_is_over(run))
        return;
    va_start(arguments, format);
    vsnprintf(why, sizeof(why), format, arguments);
    va_end(arguments);
    if (!plant_is_heard(run->plant, why))
        return;
    run->has_failed = true;
    snprintf(run->failure, sizeof(run->failure), "%s: at %llu us: %s",
             node ? sim_site_name(node->site) : "world",
             (unsigned long long)sim_now_ns(run->world) / SIM_US, why);
    sim_trace(run->world, node ? node->site : NULL, "FAILURE: %s", run->failure);
}

static uint64_t pick(struct sim_world *world, const uint64_t *choices, unsigned count)
{
    return choices[sim_random_below(world, count)];
}

#define PICK(world, ...)                                                                           \
    pick(world, (const uint64_t[]){__VA_ARGS__},                                                   \
         (unsigned)(sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t)))

/* Some disks begin smaller: by a block, across borders of regions, by most of it. */
static void choose_growth(struct sim_run *run)
{
    enum { BLOCK = 4096, REGION = 1024 };
    bool may_grow = sim_chance(run->world, 40);

    for (unsigned i = 0; i < JUDGE_DISKS && may_grow; i++) {
        uint64_t blocks = run->universe.disk_bytes[i] / BLOCK;
        uint64_t less =
            PICK(run->world, 0, 1, 5, blocks / 4, blocks / 2, REGION - 2, REGION + 4, blocks - 6);

        run->lacking[i] = less < blocks - 5 ? less * BLOCK : 0;
    }
}

/* Both ends of a disk, and a few blocks on both sides of each border of regions. */
static void choose_places(struct sim_run *run)
{
    enum { BLOCK = 4096, REGION = 1024 };

    for (unsigned i = 0; i < JUDGE_DISKS; i++)
        run->universe.disk_bytes[i] =
            PICK(run->world, 64, 512, REGION + 8, REGION + 500, 2 * REGION, 2 * REGION + 8) * BLOCK;
    for (unsigned i = 0; i < JUDGE_DISKS; i++) {
        uint64_t blocks = run->universe.disk_bytes[i] / BLOCK;
        judge_universe_add(&run->universe, i, 0, 4 * BLOCK);
        judge_universe_add(&run->universe, i, (blocks / 4) * BLOCK, 3 * BLOCK);
        for (uint64_t border = REGION; border + 5 < blocks; border += REGION)
            judge_universe_add(&run->universe, i, (border - 3) * BLOCK, 6 * BLOCK);
        judge_universe_add(&run->universe, i, (blocks - 2) * BLOCK, 2 * BLOCK);
    }
}

static void choose_settings(struct sim_run *run)
{
    struct sim_world *world = run->world;

    run->settings = (struct engine_settings){
        .interval_ns = PICK(world, 5, 20, 50, 200, 1000) * SIM_MS,
        .stash_memory_bytes = PICK(world, 4096, 4 * 4096, 16 * 4096, 1 << 20),
        .stash_disk_bytes = PICK(world, 0, 2 * 4096, 1 << 20, 1 << 20),
        .journal_bytes_max = PICK(world, 1 << 20, 64 << 20, 1 << 30),
        .retain_ns = PICK(world, 0, 50, 500, 60000) * SIM_MS,
        .retain_bytes = PICK(world, 0, 64 << 10, 1 << 30),
        .bandwidth_bytes = PICK(world, 0, 0, 0, 1 << 20),
        .open_when_peer_silent = sim_chance(world, 40),
        .peer_wait_ns = PICK(world, 100, 1000, 5000) * SIM_MS,
    };
    run->think_ns = PICK(world, 1, 5, 20) * SIM_MS;
    run->turn_ns = PICK(world, 60, 200, 600) * SIM_MS;
    run->storm_percent = (unsigned)PICK(world, 15, 40, 80);
    run->rough_percent = (unsigned)PICK(world, 0, 0, 6, 20);
    run->length_ns = PICK(world, 2, 3, 4, 6, 8, 40) * SIM_SECOND;
    run->flush_percent = (unsigned)PICK(world, 12, 12, 1);
    run->has_rests = run->length_ns > 8 * SIM_SECOND;
    run->is_filled[0] = sim_chance(world, 50);
    run->is_filled[1] = sim_chance(world, 20);
    sim_net_latency(world, PICK(world, 200, 2000, 20000) * SIM_US);
    run->dials[0] = sim_chance(world, 70);
    run->dials[1] = !run->dials[0] || sim_chance(world, 50);
    run->settings.failover_reserve_bytes = run->seed % 5 < 3 ? 1 << 30 : 0;
}

struct sim_run *run_new(uint64_t seed, bool is_traced)
{
    static const char *const names[RUN_NODES] = {"paris", "lyon"};
    struct sim_run *run = sim_kernel_alloc(sizeof(*run));

    run->world = sim_world_new(seed);
    if (is_traced)
        sim_trace_on(run->world);
    run->seed = seed;
    run->figures.schedules = 1;
    run->next_write = 1;
    run->tick = 1;
    choose_places(run);
    choose_growth(run);
    choose_settings(run);
    for (unsigned i = 0; i < RUN_NODES; i++) {
        struct node *node = &run->nodes[i];
        node->run = run;
        node->index = i;
        node->other = &run->nodes[1 - i];
        node->site = sim_site_new(run->world, names[i]);
        sim_disk_tear(node->site, sim_chance(run->world, 50));
        sim_disk_latency(node->site, PICK(run->world, 200, 2000, 5000) * SIM_US);
    }
    run->fate = fate_new(run);
    run->invariants = invariants_new(run);
    return run;
}

void run_make_whole(struct sim_run *run)
{
    for (unsigned i = 0; i < RUN_NODES; i++)
        whole_make(&run->nodes[i]);
    town_make(run);
}

void run_free(struct sim_run *run)
{
    struct sim_world *world = run->world;

    town_end(run);
    for (unsigned i = 0; i < RUN_NODES; i++) { /* their ends may still want the world */
        run->nodes[i].engine = NULL;
        images_drop(&run->nodes[i]);
    }
    sim_world_free(world);
    town_free(run);
    for (unsigned i = 0; i < RUN_NODES; i++) {
        struct node *node = &run->nodes[i];
        sim_kernel_free(run->plant_memory[i]);
        judge_line_free(node->line);
        judge_line_free(node->line_before);
        for (unsigned k = 0; k < JUDGED_MAX; k++)
            sim_kernel_free(node->judged[k].image);
        whole_free(node);
        sim_kernel_free(node->known_image);
        for (unsigned s = 0; s < node->snapshot_count; s++)
            sim_kernel_free(node->snapshots[s].expected);
    }
    fate_free(run->fate);
    invariants_free(run->invariants);
    sim_kernel_free(run);
}

static bool is_over(void *arg)
{
    struct sim_run *run = arg;

    return run_is_over(run) || sim_now_ns(run->world) >= run->length_ns ||
           (run->actions_max > 0 && run->figures.actions >= run->actions_max);
}

bool run_go(struct sim_run *run)
{
    for (unsigned i = 0; i < RUN_NODES; i++) {
        node_boot(&run->nodes[i]);
        host_start(&run->nodes[i]);
    }
    operator_start(run);
    fate_start(run);
    town_start(run);
    sim_world_run_for(run->world, is_over, run, SIM_SECOND + run->length_ns);
    if (!run_is_over(run))
        run_settle(run);
    return !run->has_failed;
}
