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

enum { SAYINGS_MAX = 40, LOOPS_MAX = 64 };

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

/* What children said, numbers left out: how often, and the first that said so. */
struct saying {
    char text[400], first[400];
    enum branch_end end;
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
    struct sim_site *dying;
    char note[300];
    uint64_t failures;
    struct saying sayings[SAYINGS_MAX];
    unsigned saying_count;
};

static struct node *node_of(struct hunt *hunt, const struct sim_site *site)
{
    struct script *script = hunt->script;

    return script->paris->site == site ? script->paris : script->lyon;
}

/* --- what children say ----------------------------------------------------------------------- */

/* Checks that end the process for want of memory, by design: what is durable is right, and the next
 * life reads it. Everything else that ends it is a failure. */
static const char *const ends_by_design[] = {
    "src/journal/journal_index.c: error == 0",      /* the view of an epoch that is durable */
    "src/volume/ship.c: blockset_mark(",            /* intent bits name the blocks */
    "src/replication/superseded.c: error == 0",     /* the mapped memory has the mark */
    "src/replication/engine_site.c: later != NULL", /* the answer of a call of control's */
    /* Control builds small trees everywhere; it checks each, and its records are transactions. */
    "src/api/",
    "src/control/",
    "src/daemon/wing",
};

static bool is_by_design(const char *why)
{
    for (unsigned i = 0; i < ARRAY_COUNT(ends_by_design); i++) {
        if (strncmp(why, ends_by_design[i], strlen(ends_by_design[i])) == 0)
            return true;
    }
    return false;
}

static void leave_numbers_out(const char *why, char *text, size_t size)
{
    size_t at = 0;

    for (; *why && at + 1 < size; why++) {
        bool is_digit = *why >= '0' && *why <= '9';
        if (!is_digit || at == 0 || text[at - 1] != '#')
            text[at++] = is_digit ? '#' : *why;
    }
    text[at] = '\0';
}

static void ended_cb(void *arg, uint64_t point, unsigned variant, enum branch_end end,
                     const char *why)
{
    struct hunt *hunt = arg;
    char text[400];
    unsigned at = 0;

    if (end == BRANCH_NOTED && strncmp(why, "src/", 4) == 0 && !is_by_design(why))
        end = BRANCH_FAILED;
    hunt->failures += end != BRANCH_NOTED;
    leave_numbers_out(why, text, sizeof(text));
    while (at < hunt->saying_count && strcmp(hunt->sayings[at].text, text) != 0)
        at++;
    if (at == SAYINGS_MAX)
        return;
    if (at == hunt->saying_count) {
        struct saying *saying = &hunt->sayings[hunt->saying_count++];
        *saying = (struct saying){.point = point, .variant = variant, .end = end};
        snprintf(saying->text, sizeof(saying->text), "%s", text);
        snprintf(saying->first, sizeof(saying->first), "%s", why);
    }
    hunt->sayings[at].count++;
}

static void say(const struct hunt *hunt)
{
    static const char *const ends[] = {"noted", "FAILED", "DIED"};

    for (unsigned i = 0; i < hunt->saying_count; i++) {
        const struct saying *saying = &hunt->sayings[i];
        printf("    %s %llu times: %s\n", ends[saying->end], (unsigned long long)saying->count,
               saying->first);
        if (saying->end != BRANCH_NOTED)
            printf(
                "        %s; again: nth-engine --scenario %s --point %llu --variant %u --trace\n",
                variant_names[saying->variant], hunt->script->scenario->name,
                (unsigned long long)saying->point, saying->variant);
    }
}

/* --- a check that fails in a site ------------------------------------------------------------ */

/* check_failed() has no argument that could carry it. */
static struct hunt *the_hunt;

/* In place of base/check.c: the simulated process ends, not ours. */
void check_failed(const char *file, int line, const char *text)
{
    struct hunt *hunt = the_hunt;
    const char *name = strstr(file, "src/");

    if (hunt && name && hunt->is_over) {
        snprintf(hunt->note, sizeof(hunt->note), "%s: %s", name, text);
        hunt->is_on = false;
        hunt->dying = sim_world_running(hunt->script->run->world);
        sim_trace(hunt->script->run->world, hunt->dying, "%s:%d: check failed: %s", file, line,
                  text);
        sim_site_abort(hunt->script->run->world);
    }
    fprintf(stderr, "<2>%s:%d: check failed: %s\n", file, line, text);
    abort();
}

static void struck_cb(void *arg)
{
    struct hunt *hunt = arg;
    struct node *node = node_of(hunt, hunt->dying);

    node->may_fail = false;
    node_died(node, false);
}

/* --- faults ---------------------------------------------------------------------------------- */

static void heal(void *arg)
{
    struct hunt *hunt = arg;

    if (hunt->is_on)
        sim_trace(hunt->script->run->world, hunt->site, "all is well again");
    hunt->is_on = false;
}

/* Hosts may not fail any more; but for a site that says what troubles it. */
static void forgive(void *arg)
{
    struct hunt *hunt = arg;
    struct node *node = node_of(hunt, hunt->site);

    node->may_fail = node->engine && node_look(node) && node->status.trouble[0] != '\0';
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
    if (hunt->is_on && site == hunt->site)
        node_of(hunt, site)->may_fail = true;
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

/* A site that says what troubles it may want a restart; one that says nothing, or that it tries
 * again, must heal alone. */
static bool wants_restart(const char *trouble)
{
    return trouble[0] != '\0' && strncmp(trouble, "failed over: ", 13) != 0 &&
           !strstr(trouble, "tried again") && !strstr(trouble, "tries again");
}

static void restart_in_trouble(struct hunt *hunt)
{
    struct sim_run *run = hunt->script->run;
    struct node *node = node_of(hunt, hunt->site);

    sim_world_run_until(run->world, sim_now_ns(run->world) + 5 * SIM_SECOND);
    if (run->has_failed || !node->engine || !node_look(node) ||
        !wants_restart(node->status.trouble))
        return;
    if (hunt->note[0] == '\0')
        snprintf(hunt->note, sizeof(hunt->note), "restarted: %.200s", node->status.trouble);
    sim_trace(run->world, node->site, "operator: restarts it: %s", node->status.trouble);
    node->may_fail = false;
    operator_lose(node, false);
}

static bool play(struct hunt *hunt)
{
    struct script *script = hunt->script;
    struct sim_run *run = script->run;

    sim_lives_watch(run->world, born_cb, hunt);
    sim_steps_watch(run->world, NULL, struck_cb, hunt);
    the_hunt = hunt;
    sim_alloc_watch(allocation_fails, hunt);
    script_play(script);
    hunt->is_on = false;
    hunt->is_over = true;
    if (!run->has_failed && hunt->site)
        restart_in_trouble(hunt);
    if (!run->has_failed)
        run_settle(run);
    if (!run->has_failed)
        stop_both(script);
    sim_alloc_watch(NULL, NULL);
    the_hunt = NULL;
    return !run->has_failed;
}

struct options {
    const char *scenario;
    uint64_t seed, every, phase, point;
    unsigned variant, jobs;
    bool is_traced, has_engines, has_sites;
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
        branches_end(hunt->branches, is_lawful ? BRANCH_NOTED : BRANCH_FAILED,
                     is_lawful ? hunt->note : hunt->script->run->failure);
    branches_wait(hunt->branches);
    if (is_lawful &&
        (hunt->allocations == 0 || hunt->ios == 0 || (hunt->only_point != 0 && !hunt->site))) {
        is_lawful = false;
        snprintf(hunt->script->run->failure, sizeof(hunt->script->run->failure),
                 "no point was passed");
    }
    if (!is_lawful)
        ended_cb(hunt, options->point, options->variant, BRANCH_FAILED, hunt->script->run->failure);
    printf("%-18s %6llu allocations %6llu I/Os %8llu runs %6llu failures  %s\n", scenario->name,
           (unsigned long long)hunt->allocations, (unsigned long long)hunt->ios,
           (unsigned long long)branches_count(hunt->branches), (unsigned long long)hunt->failures,
           scenario->about);
    say(hunt);
    fflush(stdout);
    *ret_runs += branches_count(hunt->branches);
    is_lawful = hunt->failures == 0;
    script_free(hunt->script);
    for (unsigned i = 0; i < hunt->loop_count; i++)
        nth_loop_free(hunt->loops[i]);
    branches_free(hunt->branches);
    sim_kernel_free(hunt);
    return is_lawful;
}

static int usage(void)
{
    fprintf(stderr, "usage: nth-engine [--scenario S | --engines | --sites] [--every J] [--phase "
                    "P] [--jobs N]\n"
                    "       nth-engine --scenario S --point N --variant V [--trace]\n");
    return 2;
}

static bool parse(int argc, char **argv, struct options *options)
{
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        uint64_t number = value ? strtoull(value, NULL, 10) : 0;
        bool is_flag = strcmp(name, "--trace") == 0 || strcmp(name, "--sites") == 0 ||
                       strcmp(name, "--engines") == 0;
        i += !is_flag;
        if (strcmp(name, "--trace") == 0)
            options->is_traced = true;
        else if (strcmp(name, "--sites") == 0)
            options->has_engines = false;
        else if (strcmp(name, "--engines") == 0)
            options->has_sites = false;
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
    struct options options = {
        .seed = 1, .every = 1, .jobs = 2, .has_engines = true, .has_sites = true};
    uint64_t runs = 0;
    bool is_lawful = true;

    if (!parse(argc, argv, &options))
        return usage();
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    log_set_level(options.is_traced ? LOG_DEBUG : (enum log_level)0);
    for (const struct scenario *scenario = scenario_table(); scenario->name; scenario++) {
        if (options.scenario ? strcmp(options.scenario, scenario->name) == 0
                             : (scenario->is_whole ? options.has_sites : options.has_engines))
            is_lawful = hunt_scenario(&options, scenario, &runs) && is_lawful;
    }
    printf("%llu runs, phase %llu of every %llu: %s\n", (unsigned long long)runs,
           (unsigned long long)options.phase, (unsigned long long)options.every,
           is_lawful ? "lawful" : "FAILED");
    return is_lawful ? 0 : 1;
}
