/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plays a scenario: boots both sites, then asks its acts one after another, each millisecond. Small
 * disks and few watched places, so that a run takes milliseconds.
 */
#include "sim_script.h"

#include <string.h>

#include "sim_alloc.h"
#include "sim_town.h"
#include "sim_whole.h"

enum { BLOCK = 4096, TURN_MS = 1, ACT_SECONDS_MAX = 60 };

static void choose_places(struct judge_universe *universe)
{
    *universe = (struct judge_universe){.disk_bytes = {64 * BLOCK, 1032 * BLOCK}};
    judge_universe_add(universe, 0, 0, 4 * BLOCK);
    judge_universe_add(universe, 0, 62 * BLOCK, 2 * BLOCK);
    judge_universe_add(universe, 1, 0, 3 * BLOCK);
    judge_universe_add(universe, 1, 1021 * BLOCK, 6 * BLOCK);
    judge_universe_add(universe, 1, 1030 * BLOCK, 2 * BLOCK);
}

struct script *script_new(const struct scenario *scenario, uint64_t seed, bool is_traced)
{
    struct script *script = sim_kernel_alloc(sizeof(*script));
    struct sim_run *run = run_new(seed, is_traced);

    script->scenario = scenario;
    script->run = run;
    script->paris = &run->nodes[0];
    script->lyon = &run->nodes[1];
    choose_places(&run->universe);
    memset(run->lacking, 0, sizeof(run->lacking));
    run->settings = (struct engine_settings){
        .interval_ns = 20 * SIM_MS,
        .stash_memory_bytes = 16 * BLOCK,
        .stash_disk_bytes = 1 << 20,
        .journal_bytes_max = 64 << 20,
        .failover_reserve_bytes = 1 << 30,
        .retain_ns = 60 * SIM_SECOND,
        .retain_bytes = 1 << 30,
        .peer_wait_ns = SIM_SECOND,
    };
    run->flush_percent = 12;
    run->has_rests = false;
    run->is_filled[0] = run->is_filled[1] = false;
    run->dials[0] = run->dials[1] = true;
    sim_net_latency(run->world, SIM_MS);
    for (unsigned i = 0; i < RUN_NODES; i++)
        sim_disk_latency(run->nodes[i].site, 200 * SIM_US);
    if (scenario->setup)
        scenario->setup(script);
    if (scenario->is_whole)
        run_make_whole(run);
    return script;
}

void script_free(struct script *script)
{
    run_free(script->run);
    sim_kernel_free(script);
}

bool script_is_counted(const struct script *script)
{
    return script->at >= script->scenario->first && !script->is_over;
}

static const struct script_act *act_of(const struct script *script)
{
    return &script->scenario->acts[script->at];
}

static void script_next(struct script *script)
{
    script->at++;
    script->polls = 0;
    if (script->at == SCRIPT_ACTS_MAX || !act_of(script)->poll)
        script->is_over = true;
    else
        sim_trace(script->run->world, NULL, "act: %s", act_of(script)->what);
}

static void script_turn(void *arg)
{
    struct script *script = arg;
    struct sim_run *run = script->run;

    if (run->has_failed || run->is_calm || script->is_over)
        return;
    for (unsigned i = 0; i < RUN_NODES; i++) {
        struct node *node = &run->nodes[i];
        if (node->engine && node->is_running)
            node_observe(node);
        if (script->writes_left[i] > 0 && node_is_open(node)) {
            script->writes_left[i]--;
            host_issue(node);
        }
    }
    if (script->polls++ == 0 && script->at == 0)
        sim_trace(run->world, NULL, "act: %s", act_of(script)->what);
    if (act_of(script)->poll(script))
        script_next(script);
    else if (script->polls > ACT_SECONDS_MAX * 1000 / TURN_MS && script->over_ns == 0)
        run_fail(run, NULL, "the act '%s' does not end", act_of(script)->what);
    sim_after(run->world, TURN_MS * SIM_MS, script_turn, script);
}

static bool has_ended(void *arg)
{
    const struct script *script = arg;

    return script->is_over || script->run->has_failed ||
           (script->over_ns != 0 && sim_now_ns(script->run->world) >= script->over_ns);
}

void script_play(struct script *script)
{
    struct sim_run *run = script->run;

    for (unsigned i = 0; i < RUN_NODES; i++)
        node_boot(&run->nodes[i]);
    town_open(run);
    sim_after(run->world, SIM_MS, script_turn, script);
    sim_world_run_for(run->world, has_ended, script, UINT64_MAX);
}
