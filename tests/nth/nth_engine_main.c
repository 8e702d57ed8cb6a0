/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nth-engine [--scenario S] [--every J [--phase P]]   each scenario, every n-th call that can fail
 * nth-engine --scenario S --point N --variant V [--trace]     one of them again, as a story
 *
 * Plays the scenarios of the simulation. A point is an allocation of a site or a call for I/O. At
 * each, the process forks once for each variant: there the call fails, alone or with all that
 * follow for a while. Then all is well again; the script goes on, both sites must become equal, and
 * a clean stop must leave no allocation. After a failed allocation no restart is allowed for; after
 * failed I/O the machine is restarted, as an operator does.
 */
#include <stdio.h>
#include <string.h>

#include "nth_faults.h"
#include "sim_alloc.h"
#include "sim_script.h"
#include "sim_town.h"

struct hunt {
    struct nth_faults faults;
    struct script *script;
};

static struct node *node_of(struct hunt *hunt, const struct sim_site *site)
{
    struct script *script = hunt->script;

    return script->paris->site == site ? script->paris : script->lyon;
}

/* --- faults ---------------------------------------------------------------------------------- */

static bool counts(void *arg)
{
    return script_is_counted(((struct hunt *)arg)->script);
}

static void died(void *arg, struct sim_site *site)
{
    struct node *node = node_of(arg, site);

    node->may_fail = false;
    node_died(node, false);
}

static void born(void *arg, struct sim_site *site)
{
    struct hunt *hunt = arg;

    if (hunt->faults.is_on && site == hunt->faults.site)
        node_of(hunt, site)->may_fail = true;
}

/* What a stream of it says that a person should do; "": nothing. */
static const char *trouble_of(struct node *node, char *text, size_t size)
{
    text[0] = '\0';
    if (!node->engine)
        return text;
    if (node->whole)
        audit_trouble(node, text, size);
    else if (node_look(node))
        snprintf(text, size, "%s", node->status.trouble);
    return text;
}

/* Hosts may not fail any more; but for a site that says what troubles it. */
static void forgive(void *arg)
{
    struct hunt *hunt = arg;
    struct node *node = node_of(hunt, hunt->faults.site);
    char trouble[440];

    node->may_fail = trouble_of(node, trouble, sizeof(trouble))[0] != '\0';
}

static void begun(void *arg)
{
    struct hunt *hunt = arg;
    struct sim_world *world = hunt->faults.world;

    node_of(hunt, hunt->faults.site)->may_fail = hunt->faults.variant != NTH_LATE_IO;
    if (hunt->faults.variant <= NTH_ALLOCATIONS)
        sim_after(world, 5 * NTH_FAULT_NS, forgive, hunt);
    hunt->script->over_ns = sim_now_ns(world) + 5 * SIM_SECOND;
}

/* --- a run ----------------------------------------------------------------------------------- */

static bool has_restarted(void *arg)
{
    struct script *script = arg;

    return script->run->has_failed ||
           (sim_site_life(script->paris->site) > script->noted && script->paris->is_read &&
            script->lyon->is_read && script->paris->is_running && script->lyon->is_running);
}

/* Clean stops leave nothing behind (operator_stop() looks). */
static void stop_both(struct script *script)
{
    struct sim_run *run = script->run;

    for (unsigned i = 0; i < RUN_NODES && !run->has_failed; i++) {
        struct node *node = &run->nodes[i];
        unsigned life = sim_site_life(node->site);
        operator_stop(node);
        while (sim_site_life(node->site) == life && !run->has_failed) {
            script->noted = life;
            if (!sim_world_run_for(run->world, has_restarted, script,
                                   sim_now_ns(run->world) + 60 * SIM_SECOND) &&
                sim_site_life(node->site) == life)
                run_fail(run, node, "a clean stop does not end");
        }
    }
}

/* What a site in trouble tells then must hold behind its restart. */
static void meet_anew(struct sim_run *run)
{
    struct sim_site *paris = run->nodes[0].site, *lyon = run->nodes[1].site;

    sim_net_set(run->world, paris, lyon, SIM_NET_CUT);
    sim_world_run_until(run->world, sim_now_ns(run->world) + SIM_SECOND / 2);
    sim_net_set(run->world, paris, lyon, SIM_NET_OK);
}

static bool is_in_trouble(struct hunt *hunt, char *ret_trouble, size_t size)
{
    return !hunt->script->run->has_failed &&
           nth_wants_restart(trouble_of(node_of(hunt, hunt->faults.site), ret_trouble, size));
}

/* In five seconds: a client of whole sites asks for no longer than it is patient. */
static void restart_in_trouble(struct hunt *hunt)
{
    struct sim_run *run = hunt->script->run;
    struct node *node = node_of(hunt, hunt->faults.site);
    uint64_t end_ns = sim_now_ns(run->world) + 5 * SIM_SECOND;
    char trouble[440];

    sim_world_run_until(run->world, end_ns - 3 * SIM_SECOND);
    if (is_in_trouble(hunt, trouble, sizeof(trouble)))
        meet_anew(run);
    sim_world_run_until(run->world, end_ns);
    if (!is_in_trouble(hunt, trouble, sizeof(trouble)))
        return;
    if (hunt->faults.note[0] == '\0')
        snprintf(hunt->faults.note, sizeof(hunt->faults.note), "restarted: %.200s", trouble);
    sim_trace(run->world, node->site, "operator: restarts it: %s", trouble);
    node->may_fail = false;
    operator_lose(node, false);
}

static bool play(struct hunt *hunt)
{
    struct script *script = hunt->script;
    struct sim_run *run = script->run;

    nth_faults_begin(&hunt->faults);
    script_play(script);
    nth_faults_calm(&hunt->faults);
    if (!run->has_failed && hunt->faults.site)
        restart_in_trouble(hunt);
    if (!run->has_failed)
        run_settle(run);
    if (!run->has_failed)
        stop_both(script);
    nth_faults_end(&hunt->faults);
    return !run->has_failed;
}

static bool hunt_scenario(const struct sim_options *options, const struct scenario *scenario,
                          uint64_t *ret_runs)
{
    struct hunt *hunt = sim_kernel_alloc(sizeof(*hunt));
    struct nth_faults *faults = &hunt->faults;
    struct sim_run *run;
    bool is_lawful;

    hunt->script = script_new(scenario, options->seed, options->is_traced);
    run = hunt->script->run;
    *faults = (struct nth_faults){.world = run->world,
                                  .sites = {run->nodes[0].site, run->nodes[1].site},
                                  .counts_cb = counts,
                                  .begun_cb = begun,
                                  .born_cb = born,
                                  .died_cb = died,
                                  .arg = hunt};
    nth_faults_init(faults, options);
    is_lawful = play(hunt);
    nth_faults_judge(faults, is_lawful ? NULL : run->failure);
    nth_faults_say(faults, "nth-engine", scenario->name, scenario->about);
    *ret_runs += branches_count(faults->branches);
    is_lawful = faults->failures == 0;
    script_free(hunt->script);
    nth_faults_fini(faults);
    sim_kernel_free(hunt);
    return is_lawful;
}

int main(int argc, char **argv)
{
    struct sim_options options;

    if (!sim_options_parse(argc, argv, "--point", NTH_VARIANTS, &options))
        return 2;
    return scenarios_hunt(&options, hunt_scenario);
}
