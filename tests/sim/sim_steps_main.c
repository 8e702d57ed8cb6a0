/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim-steps [--scenario S] [--every J [--phase P]]   each scenario; at every step (or some) each
 * death sim-steps --scenario S --step K --variant V [--trace]   one death again, as a story
 *
 * A step is a call of a site into its simulated kernel, or an event of a site. At each, the process
 * forks once for each variant: there one or both sites die, by a kill or by a power loss that
 * leaves of the volatile cache nothing, everything, any 4 KiB or any 512 bytes. Then they start
 * again (in half of the runs the script goes on first), and the judge wants both to become equal,
 * nothing promised lost. The parent goes on to the next step. Ends with 0 when all was lawful.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "sim_branch.h"
#include "sim_script.h"

enum { DEATHS = 5, VICTIMS = 3, VARIANTS = DEATHS * VICTIMS, FAILURES_SHOWN = 40 };

struct hunt {
    struct script *script;
    uint64_t step;           /* of the clean run so far */
    uint64_t every, phase;   /* which of the deaths are tried */
    uint64_t only_step;      /* a single one; 0: all */
    unsigned variant;        /* in a child, or the single one */
    bool is_child, has_died; /* the death was dealt */
    struct node *dying;      /* died in its own call */
    struct branches *branches;
    uint64_t failures;
};

static bool is_victim(unsigned variant, unsigned node)
{
    unsigned victim = variant / DEATHS;

    return victim == 2 || victim == node;
}

static enum sim_damage damage_of(unsigned variant)
{
    static const enum sim_damage damages[DEATHS] = {
        SIM_DAMAGE_RANDOM, SIM_DAMAGE_ALL, SIM_DAMAGE_NONE, SIM_DAMAGE_PAGES, SIM_DAMAGE_SECTORS};

    return damages[variant % DEATHS];
}

static bool is_power(unsigned variant)
{
    return variant % DEATHS != 0;
}

static const char *variant_text(unsigned variant, char *text, size_t size)
{
    static const char *const victims[] = {"paris", "lyon", "both sites"};
    static const char *const deaths[] = {"killed", "without power, no unsynced write survives",
                                         "without power, all unsynced writes survive",
                                         "without power, any 4 KiB survive",
                                         "without power, any 512 bytes survive"};

    snprintf(text, size, "%s %s", victims[variant / DEATHS], deaths[variant % DEATHS]);
    return text;
}

/* --- children -------------------------------------------------------------------------------- */

static void say_failure(void *arg, uint64_t step, unsigned variant, enum branch_end end,
                        const char *why)
{
    struct hunt *hunt = arg;
    const char *name = hunt->script->scenario->name;
    char text[100];

    if (++hunt->failures > FAILURES_SHOWN)
        return;
    printf("FAILED: %s, step %llu, %s: %s\n", name, (unsigned long long)step,
           variant_text(variant, text, sizeof(text)), why);
    printf("    again: sim-steps --scenario %s --step %llu --variant %u --trace\n", name,
           (unsigned long long)step, variant);
    fflush(stdout);
}

/* --- steps ----------------------------------------------------------------------------------- */

static bool dies_here(struct hunt *hunt)
{
    if (hunt->only_step != 0)
        return hunt->step == hunt->only_step;
    for (unsigned i = 0; i < VARIANTS; i++) {
        if ((hunt->step * VARIANTS + i) % hunt->every != hunt->phase)
            continue;
        hunt->variant = i;
        hunt->is_child = branches_fork(hunt->branches, hunt->step, i);
        if (hunt->is_child)
            return true;
    }
    return false;
}

static enum sim_verdict step_cb(void *arg, struct sim_site *site)
{
    struct hunt *hunt = arg;
    struct script *script = hunt->script;
    struct node *node = script->paris->site == site ? script->paris : script->lyon;
    char text[100];

    if (hunt->has_died || !script_is_counted(script))
        return SIM_GO_ON;
    hunt->step++;
    if (!dies_here(hunt))
        return SIM_GO_ON;
    hunt->has_died = true;
    sim_trace(script->run->world, node->site, "step %llu: %s", (unsigned long long)hunt->step,
              variant_text(hunt->variant, text, sizeof(text)));
    for (unsigned i = 0; i < RUN_NODES; i++)
        sim_disk_damage(script->run->nodes[i].site, damage_of(hunt->variant));
    if (!is_victim(hunt->variant, node->index))
        return SIM_STOP;
    hunt->dying = node;
    return is_power(hunt->variant) ? SIM_STOP_DIES_POWER : SIM_STOP_DIES;
}

static void struck_cb(void *arg)
{
    struct hunt *hunt = arg;
    struct script *script = hunt->script;
    bool power = is_power(hunt->variant);

    for (unsigned i = 0; i < RUN_NODES; i++) {
        struct node *node = &script->run->nodes[i];
        if (!is_victim(hunt->variant, i))
            continue;
        if (sim_site_is_alive(node->site)) {
            operator_lose(node, power);
        } else if (node == hunt->dying) {
            node_died(node, power);
        } else if (power) { /* its next boot is planned */
            sim_site_power_loss(node->site);
            node->lost_power = true;
            node->is_known = false;
        }
    }
    /* Half of the runs go on with the script, half end here. */
    script->over_ns =
        sim_now_ns(script->run->world) + ((hunt->step + hunt->variant) % 2 ? 3 * SIM_SECOND : 0);
}

/* The whole run, or in a child its end; true: lawful. */
static bool play(struct hunt *hunt)
{
    struct script *script = hunt->script;

    sim_steps_watch(script->run->world, step_cb, struck_cb, hunt);
    script_play(script);
    if (!script->run->has_failed)
        run_settle(script->run);
    return !script->run->has_failed;
}

/* --- runs ------------------------------------------------------------------------------------ */

static bool hunt_scenario(const struct sim_options *options, const struct scenario *scenario,
                          uint64_t *ret_runs)
{
    struct hunt hunt = {.every = options->every,
                        .phase = options->phase,
                        .only_step = options->point,
                        .variant = options->variant};
    struct timespec begin, end;
    bool is_lawful;

    clock_gettime(CLOCK_MONOTONIC, &begin);
    hunt.branches = branches_new(options->jobs, say_failure, &hunt);
    hunt.script = script_new(scenario, options->seed, options->is_traced);
    is_lawful = play(&hunt);
    if (hunt.is_child)
        branches_end(hunt.branches, is_lawful ? BRANCH_NOTED : BRANCH_FAILED,
                     is_lawful ? NULL : hunt.script->run->failure);
    branches_wait(hunt.branches);
    if (is_lawful && (hunt.step == 0 || hunt.step < hunt.only_step)) {
        is_lawful = false;
        snprintf(hunt.script->run->failure, sizeof(hunt.script->run->failure),
                 "it has only %llu steps", (unsigned long long)hunt.step);
    }
    if (!is_lawful)
        say_failure(&hunt, options->point, options->variant, BRANCH_FAILED,
                    hunt.script->run->failure);
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%-18s %7llu steps %8llu runs %6llu failures %6.1f s  %s\n", scenario->name,
           (unsigned long long)hunt.step, (unsigned long long)branches_count(hunt.branches),
           (unsigned long long)hunt.failures,
           (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9,
           scenario->about);
    fflush(stdout);
    *ret_runs += branches_count(hunt.branches);
    script_free(hunt.script);
    branches_free(hunt.branches);
    return hunt.failures == 0;
}

static int list_scenarios(void)
{
    for (const struct scenario *scenario = scenario_table(); scenario->name; scenario++)
        printf("%-18s %s\n", scenario->name, scenario->about);
    return 0;
}

int main(int argc, char **argv)
{
    struct sim_options options;

    if (argc == 2 && strcmp(argv[1], "--list") == 0)
        return list_scenarios();
    if (!sim_options_parse(argc, argv, "--step", VARIANTS, &options))
        return 2;
    return scenarios_hunt(&options, hunt_scenario);
}
