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
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "nth_loop.h"
#include "sim_alloc.h"
#include "sim_branch.h"
#include "sim_script.h"

enum { FAILURES_SHOWN = 60, DEATHS_MAX = 60, LOOPS_MAX = 64 };

enum variant {
    ALLOCATION,
    ALLOCATIONS,
    ERROR,
    ERRORS,
    FULL,
    FULL_ON,
    LATE,
    VARIANTS,
};

static const char *const variant_names[VARIANTS] = {
    "allocation",   "allocations from here",  "I/O error", "I/O errors from here",
    "disk is full", "disk is full from here", "I/O late",
};

/* Ends of the process by check(): where, how often. */
struct death {
    char why[300];
    uint64_t count, point;
    unsigned variant;
};

struct hunt {
    struct script *script;
    struct branches *branches;
    uint64_t allocations, ios; /* points of the clean run so far */
    uint64_t every, phase, only_point;
    unsigned variant;
    bool is_child, is_on;  /* is_on: calls of `site` fail */
    bool is_over;          /* no more faults */
    struct sim_site *site; /* the fault's */
    enum nth_io io;
    struct nth_loop *loops[LOOPS_MAX];
    unsigned loop_count;
    uint64_t failures;
    struct death deaths[DEATHS_MAX];
    unsigned death_count;
};

static struct node *node_of(struct hunt *hunt, const struct sim_site *site)
{
    struct script *script = hunt->script;

    return script->paris->site == site ? script->paris : script->lyon;
}

/* --- what children say ----------------------------------------------------------------------- */

static void note_death(struct hunt *hunt, uint64_t point, unsigned variant, const char *why)
{
    unsigned at = 0;

    while (at < hunt->death_count && strcmp(hunt->deaths[at].why, why) != 0)
        at++;
    if (at == DEATHS_MAX)
        return;
    if (at == hunt->death_count) {
        hunt->death_count++;
        hunt->deaths[at] = (struct death){.point = point, .variant = variant};
        snprintf(hunt->deaths[at].why, sizeof(hunt->deaths[at].why), "%s", why);
    }
    hunt->deaths[at].count++;
}

static void ended_cb(void *arg, uint64_t point, unsigned variant, bool died, const char *why)
{
    struct hunt *hunt = arg;

    if (died) {
        note_death(hunt, point, variant, why);
        return;
    }
    if (++hunt->failures > FAILURES_SHOWN)
        return;
    printf("FAILED: %s, %s %llu: %s\n    again: nth-engine --scenario %s --point %llu --variant %u "
           "--trace\n",
           hunt->script->scenario->name, variant_names[variant], (unsigned long long)point, why,
           hunt->script->scenario->name, (unsigned long long)point, variant);
    fflush(stdout);
}

static void say_deaths(const struct hunt *hunt)
{
    for (unsigned i = 0; i < hunt->death_count; i++) {
        const struct death *death = &hunt->deaths[i];
        printf("    ended %llu times: %s\n        (--scenario %s --point %llu --variant %u: %s)\n",
               (unsigned long long)death->count, death->why, hunt->script->scenario->name,
               (unsigned long long)death->point, death->variant, variant_names[death->variant]);
    }
}

/* --- faults ---------------------------------------------------------------------------------- */

static void heal(void *arg)
{
    struct hunt *hunt = arg;

    if (hunt->is_on)
        sim_trace(hunt->script->run->world, hunt->site, "all is well again");
    hunt->is_on = false;
}

static void forgive(void *arg)
{
    struct hunt *hunt = arg;

    node_of(hunt, hunt->site)->may_fail = false;
}

static void begin_fault(struct hunt *hunt, struct sim_site *site, enum nth_io io, uint64_t point)
{
    struct sim_world *world = hunt->script->run->world;
    struct node *node = node_of(hunt, site);

    sim_trace(world, site, "point %llu: %s", (unsigned long long)point,
              variant_names[hunt->variant]);
    hunt->is_over = true;
    hunt->site = site;
    hunt->io = io;
    hunt->is_on =
        hunt->variant == ALLOCATIONS || hunt->variant == ERRORS || hunt->variant == FULL_ON;
    node->may_fail = hunt->variant != LATE;
    sim_after(world, 300 * SIM_MS, heal, hunt);
    if (hunt->variant <= ALLOCATIONS)
        sim_after(world, 900 * SIM_MS, forgive, hunt);
    hunt->script->over_ns = sim_now_ns(world) + 5 * SIM_SECOND;
}

/* Is there a fault at this point? In the parent: forks. */
static bool strikes(struct hunt *hunt, uint64_t point, unsigned variant)
{
    if (hunt->only_point != 0)
        return point == hunt->only_point && variant == hunt->variant;
    if ((point * VARIANTS + variant) % hunt->every != hunt->phase)
        return false;
    hunt->is_child = branches_fork(hunt->branches, point, variant);
    if (hunt->is_child)
        hunt->variant = variant;
    return hunt->is_child;
}

static bool is_counted(const struct hunt *hunt)
{
    return !hunt->is_over && script_is_counted(hunt->script);
}

static bool allocation_fails(void *arg, const void *owner)
{
    struct hunt *hunt = arg;
    struct sim_site *site = (struct sim_site *)(uintptr_t)owner;

    if (hunt->is_on && hunt->variant == ALLOCATIONS)
        return site == hunt->site;
    if (!is_counted(hunt))
        return false;
    hunt->allocations++;
    for (unsigned variant = ALLOCATION; variant <= ALLOCATIONS; variant++) {
        if (strikes(hunt, hunt->allocations, variant)) {
            begin_fault(hunt, site, NTH_IO_COUNT, hunt->allocations);
            return true;
        }
    }
    return false;
}

static bool may_be(enum variant variant, enum nth_io io)
{
    if (variant == FULL || variant == FULL_ON)
        return io == NTH_WRITE || io == NTH_NAME;
    return variant != LATE || io != NTH_NAME;
}

static int answer_of(enum variant variant, enum nth_io io)
{
    if (variant == LATE)
        return NTH_LATE;
    if (variant == FULL || variant == FULL_ON)
        return -ENOSPC;
    return io == NTH_SOCKET ? -ECONNRESET : -EIO;
}

static struct sim_site *site_of(struct hunt *hunt, struct loop *loop)
{
    struct sim_site *site = hunt->script->paris->site;

    return sim_site_loop(site) == loop ? site : hunt->script->lyon->site;
}

static int ask_cb(void *arg, struct loop *loop, enum nth_io io)
{
    struct hunt *hunt = arg;
    const void *before;
    int answer = 0;

    if (hunt->is_on && hunt->variant >= ERROR)
        return site_of(hunt, loop) == hunt->site && may_be(hunt->variant, io) &&
                       (io == NTH_SOCKET) == (hunt->io == NTH_SOCKET)
                   ? answer_of(hunt->variant, io)
                   : 0;
    if (!is_counted(hunt))
        return 0;
    before = sim_outside_begin();
    hunt->ios++;
    for (unsigned variant = ERROR; variant < VARIANTS && answer == 0; variant++) {
        if (may_be(variant, io) && strikes(hunt, hunt->ios, variant)) {
            begin_fault(hunt, site_of(hunt, loop), io, hunt->ios);
            answer = answer_of(variant, io);
        }
    }
    sim_outside_end(before);
    return answer;
}

static void born_cb(void *arg, struct sim_site *site)
{
    struct hunt *hunt = arg;

    check(hunt->loop_count < LOOPS_MAX);
    hunt->loops[hunt->loop_count++] = nth_loop_new(sim_site_loop(site), ask_cb, hunt);
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

static bool play(struct hunt *hunt)
{
    struct script *script = hunt->script;
    struct sim_run *run = script->run;

    sim_lives_watch(run->world, born_cb, hunt);
    sim_alloc_watch(allocation_fails, hunt);
    script_play(script);
    hunt->is_on = false;
    hunt->is_over = true;
    if (!run->has_failed && hunt->site && hunt->variant <= ALLOCATIONS)
        node_of(hunt, hunt->site)->may_fail = false;
    if (!run->has_failed)
        run_settle(run);
    if (!run->has_failed)
        stop_both(script);
    sim_alloc_watch(NULL, NULL);
    return !run->has_failed;
}

struct options {
    const char *scenario;
    uint64_t seed, every, phase, point;
    unsigned variant, jobs;
    bool is_traced;
};

static bool hunt_scenario(const struct options *options, const struct scenario *scenario,
                          uint64_t *ret_runs)
{
    struct hunt *hunt = sim_kernel_alloc(sizeof(*hunt));
    bool is_lawful;

    hunt->every = options->every;
    hunt->phase = options->phase;
    hunt->only_point = options->point;
    hunt->variant = options->variant;
    hunt->branches = branches_new(options->jobs, ended_cb, hunt);
    hunt->script = script_new(scenario, options->seed, options->is_traced);
    is_lawful = play(hunt);
    if (hunt->is_child)
        branches_end(hunt->branches, is_lawful ? NULL : hunt->script->run->failure);
    branches_wait(hunt->branches);
    if (!is_lawful)
        ended_cb(hunt, options->point, options->variant, false, hunt->script->run->failure);
    printf("%-18s %6llu allocations %6llu I/Os %8llu runs %6llu failures  %s\n", scenario->name,
           (unsigned long long)hunt->allocations, (unsigned long long)hunt->ios,
           (unsigned long long)branches_count(hunt->branches), (unsigned long long)hunt->failures,
           scenario->about);
    say_deaths(hunt);
    fflush(stdout);
    *ret_runs += branches_count(hunt->branches);
    is_lawful = hunt->failures == 0 && hunt->death_count == 0;
    script_free(hunt->script);
    for (unsigned i = 0; i < hunt->loop_count; i++)
        nth_loop_free(hunt->loops[i]);
    branches_free(hunt->branches);
    sim_kernel_free(hunt);
    return is_lawful;
}

static int usage(void)
{
    fprintf(stderr, "usage: nth-engine [--scenario S] [--every J] [--phase P] [--jobs N]\n"
                    "       nth-engine --scenario S --point N --variant V [--trace]\n");
    return 2;
}

static bool parse(int argc, char **argv, struct options *options)
{
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        uint64_t number = value ? strtoull(value, NULL, 10) : 0;
        i += strcmp(name, "--trace") != 0;
        if (strcmp(name, "--trace") == 0)
            options->is_traced = true;
        else if (!value)
            return false;
        else if (strcmp(name, "--scenario") == 0)
            options->scenario = value;
        else if (strcmp(name, "--every") == 0)
            options->every = number;
        else if (strcmp(name, "--phase") == 0)
            options->phase = number;
        else if (strcmp(name, "--point") == 0)
            options->point = number;
        else if (strcmp(name, "--variant") == 0)
            options->variant = (unsigned)number;
        else if (strcmp(name, "--jobs") == 0)
            options->jobs = (unsigned)number;
        else
            return false;
    }
    options->phase = options->every ? options->phase % options->every : 0;
    return options->every > 0 && options->variant < VARIANTS && options->jobs > 0 &&
           options->jobs <= 8 && (options->point == 0 || options->scenario) &&
           (!options->scenario || scenario_find(options->scenario));
}

int main(int argc, char **argv)
{
    struct options options = {.seed = 1, .every = 1, .jobs = 2};
    uint64_t runs = 0;
    bool is_lawful = true;

    if (!parse(argc, argv, &options))
        return usage();
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    log_set_level(options.is_traced ? LOG_DEBUG : (enum log_level)0);
    for (const struct scenario *scenario = scenario_table(); scenario->name; scenario++) {
        if (!options.scenario || strcmp(options.scenario, scenario->name) == 0)
            is_lawful = hunt_scenario(&options, scenario, &runs) && is_lawful;
    }
    printf("%llu runs, phase %llu of every %llu: %s\n", (unsigned long long)runs,
           (unsigned long long)options.phase, (unsigned long long)options.every,
           is_lawful ? "lawful" : "FAILED");
    return is_lawful ? 0 : 1;
}
