/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: the same points and the same faults for all that is played in the simulation.
 *
 * File-level state: check_failed() has no argument that could carry it.
 */
#include "nth_faults.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "sim_alloc.h"

const char *const nth_variant_names[NTH_VARIANTS] = {
    "allocation",   "allocations from here",  "I/O error", "I/O errors from here",
    "disk is full", "disk is full from here", "I/O late",
};

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
    /* The records in memory must be those of the database; a new process reads them from there. */
    "src/meta/record_",
    /* Those of callers: the roster fills it from the records. */
    "src/access/directory.c",
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
    struct nth_faults *faults = arg;
    char text[400];
    unsigned at = 0;

    if (end == BRANCH_NOTED && strncmp(why, "src/", 4) == 0 &&
        (variant > NTH_ALLOCATIONS || !is_by_design(why)))
        end = BRANCH_FAILED;
    faults->failures += end != BRANCH_NOTED;
    leave_numbers_out(why, text, sizeof(text));
    while (at < faults->saying_count &&
           (strcmp(faults->sayings[at].text, text) != 0 || faults->sayings[at].end != end))
        at++;
    if (at == NTH_SAYINGS_MAX)
        return;
    if (at == faults->saying_count) {
        struct nth_saying *saying = &faults->sayings[faults->saying_count++];
        *saying = (struct nth_saying){.point = point, .variant = variant, .end = end};
        snprintf(saying->text, sizeof(saying->text), "%s", text);
        snprintf(saying->first, sizeof(saying->first), "%s", why);
    }
    faults->sayings[at].count++;
}

void nth_faults_judge(struct nth_faults *faults, const char *why)
{
    const struct sim_options *options = faults->options;
    bool is_empty = faults->allocations == 0 && faults->ios == 0;

    if (faults->is_child)
        branches_end(faults->branches, why ? BRANCH_FAILED : BRANCH_NOTED,
                     why ? why : faults->note);
    branches_wait(faults->branches);
    if (!why && (is_empty || (options->point != 0 && !faults->site)))
        why = "no point was passed";
    if (why)
        ended_cb(faults, options->point, faults->variant, BRANCH_FAILED, why);
}

void nth_faults_say(const struct nth_faults *faults, const char *program, const char *name,
                    const char *about)
{
    static const char *const ends[] = {"noted", "FAILED", "DIED"};

    printf("%-18s %6llu allocations %6llu I/Os %8llu runs %6llu failures  %s\n", name,
           (unsigned long long)faults->allocations, (unsigned long long)faults->ios,
           (unsigned long long)branches_count(faults->branches),
           (unsigned long long)faults->failures, about);
    for (unsigned i = 0; i < faults->saying_count; i++) {
        const struct nth_saying *saying = &faults->sayings[i];
        printf("    %s %llu times: %s\n", ends[saying->end], (unsigned long long)saying->count,
               saying->first);
        if (saying->end != BRANCH_NOTED)
            printf("        %s; again: %s --scenario %s --point %llu --variant %u --trace\n",
                   nth_variant_names[saying->variant], program, name,
                   (unsigned long long)saying->point, saying->variant);
    }
    fflush(stdout);
}

/* --- a check that fails in a site ------------------------------------------------------------ */

static struct nth_faults *the_faults;

/* In place of base/check.c: the simulated process ends, not ours. */
void check_failed(const char *file, int line, const char *text)
{
    struct nth_faults *faults = the_faults;
    const char *name = strstr(file, "src/");

    if (faults && name && faults->is_over) {
        snprintf(faults->note, sizeof(faults->note), "%s: %s", name, text);
        faults->is_on = false;
        faults->dying = sim_world_running(faults->world);
        sim_trace(faults->world, faults->dying, "%s:%d: check failed: %s", file, line, text);
        sim_site_abort(faults->world);
    }
    fprintf(stderr, "<2>%s:%d: check failed: %s\n", file, line, text);
    abort();
}

static void struck_cb(void *arg)
{
    struct nth_faults *faults = arg;

    faults->died_cb(faults->arg, faults->dying);
}

/* --- faults ---------------------------------------------------------------------------------- */

static void heal(void *arg)
{
    struct nth_faults *faults = arg;

    if (faults->is_on)
        sim_trace(faults->world, faults->site, "all is well again");
    faults->is_on = false;
}

static void begin_fault(struct nth_faults *faults, struct sim_site *site, enum nth_io io,
                        uint64_t point)
{
    unsigned variant = faults->variant;

    sim_trace(faults->world, site, "point %llu: %s", (unsigned long long)point,
              nth_variant_names[variant]);
    faults->is_over = true;
    faults->site = site;
    faults->io = io;
    faults->is_on = variant == NTH_ALLOCATIONS || variant == NTH_ERRORS || variant == NTH_FULL_ON;
    sim_after(faults->world, NTH_FAULT_NS, heal, faults);
    faults->begun_cb(faults->arg);
}

/* Mixed, so that each slice has every variant, whatever the number of slices. */
static uint64_t slice_of(uint64_t point, unsigned variant)
{
    return ((point * NTH_VARIANTS + variant) * UINT64_C(0x9e3779b97f4a7c15)) >> 32;
}

/* Is there a fault at this point? In the parent: forks. */
static bool strikes(struct nth_faults *faults, uint64_t point, unsigned variant)
{
    const struct sim_options *options = faults->options;

    if (options->point != 0)
        return point == options->point && variant == faults->variant;
    if (slice_of(point, variant) % options->every != options->phase)
        return false;
    faults->is_child = branches_fork(faults->branches, point, variant);
    if (faults->is_child)
        faults->variant = variant;
    return faults->is_child;
}

static bool is_counted(const struct nth_faults *faults)
{
    return !faults->is_over && faults->counts_cb(faults->arg);
}

static bool allocation_fails(void *arg, const void *owner)
{
    struct nth_faults *faults = arg;
    struct sim_site *site = (struct sim_site *)(uintptr_t)owner;

    if (faults->is_on && faults->variant == NTH_ALLOCATIONS)
        return site == faults->site;
    if (!is_counted(faults))
        return false;
    faults->allocations++;
    for (unsigned variant = NTH_ALLOCATION; variant <= NTH_ALLOCATIONS; variant++) {
        if (strikes(faults, faults->allocations, variant)) {
            begin_fault(faults, site, NTH_IO_COUNT, faults->allocations);
            return true;
        }
    }
    return false;
}

static bool may_be(enum nth_variant variant, enum nth_io io)
{
    if (variant == NTH_FULL || variant == NTH_FULL_ON)
        return io == NTH_WRITE || io == NTH_NAME;
    return variant != NTH_LATE_IO || io != NTH_NAME;
}

static int answer_of(enum nth_variant variant, enum nth_io io)
{
    if (variant == NTH_LATE_IO)
        return NTH_LATE;
    if (variant == NTH_FULL || variant == NTH_FULL_ON)
        return -ENOSPC;
    return io == NTH_SOCKET ? -ECONNRESET : -EIO;
}

static struct sim_site *site_of(struct nth_faults *faults, struct loop *loop)
{
    for (unsigned i = 0; i + 1 < NTH_SITES_MAX; i++) {
        if (faults->sites[i] && sim_site_loop(faults->sites[i]) == loop)
            return faults->sites[i];
    }
    return faults->sites[NTH_SITES_MAX - 1];
}

static int ask_cb(void *arg, struct loop *loop, enum nth_io io)
{
    struct nth_faults *faults = arg;
    const void *before;
    int answer = 0;

    if (faults->is_on && faults->variant >= NTH_ERROR)
        return site_of(faults, loop) == faults->site && may_be(faults->variant, io) &&
                       (io == NTH_SOCKET) == (faults->io == NTH_SOCKET)
                   ? answer_of(faults->variant, io)
                   : 0;
    if (!is_counted(faults))
        return 0;
    before = sim_outside_begin();
    faults->ios++;
    for (unsigned variant = NTH_ERROR; variant < NTH_VARIANTS && answer == 0; variant++) {
        if (may_be(variant, io) && strikes(faults, faults->ios, variant)) {
            begin_fault(faults, site_of(faults, loop), io, faults->ios);
            answer = answer_of(variant, io);
        }
    }
    sim_outside_end(before);
    return answer;
}

static void born_cb(void *arg, struct sim_site *site)
{
    struct nth_faults *faults = arg;

    check(faults->loop_count < NTH_LOOPS_MAX);
    faults->born_cb(faults->arg, site);
    faults->loops[faults->loop_count++] = nth_loop_new(sim_site_loop(site), ask_cb, faults);
}

bool nth_wants_restart(const char *trouble)
{
    return trouble[0] != '\0' && strncmp(trouble, "failed over: ", 13) != 0 &&
           !strstr(trouble, "tried again") && !strstr(trouble, "tries again");
}

/* --- begin and end --------------------------------------------------------------------------- */

void nth_faults_init(struct nth_faults *faults, const struct sim_options *options)
{
    faults->options = options;
    faults->variant = options->variant;
    faults->branches = branches_new(options->jobs, ended_cb, faults);
}

void nth_faults_fini(struct nth_faults *faults)
{
    for (unsigned i = 0; i < faults->loop_count; i++)
        nth_loop_free(faults->loops[i]);
    branches_free(faults->branches);
}

void nth_faults_begin(struct nth_faults *faults)
{
    sim_lives_watch(faults->world, born_cb, faults);
    sim_steps_watch(faults->world, NULL, struck_cb, faults);
    the_faults = faults;
    sim_alloc_watch(allocation_fails, faults);
}

void nth_faults_calm(struct nth_faults *faults)
{
    faults->is_on = false;
    faults->is_over = true;
}

void nth_faults_end(struct nth_faults *faults)
{
    sim_alloc_watch(NULL, NULL);
    the_faults = NULL;
}
