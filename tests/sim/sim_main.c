/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim --seeds N [--first K] [--jobs J]    runs that many schedules
 * sim --seed K [--trace] [--actions N]    runs one, here, and tells its story
 *
 * sim --plants [--seeds N]                breaks each invariant on purpose: its check must see it
 *
 * Every third schedule is one of whole sites; --sites: all, --engines: none.
 * --twice: each seed twice, which must give the same events. --actions: what hosts, operator and
 * fate do after the Nth action is left out. --older-points: failovers go to older recovery points
 * too. Ends with 0 when all were lawful; else prints the seed and what was seen, and ends with 1.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "sim_batch.h"

static int usage(void)
{
    fprintf(stderr, "usage: sim --seeds N [--first K] [--jobs J] [--keep-going] [--twice]\n"
                    "       sim --seed K [--trace] [--actions N] [--twice]\n"
                    "       sim --plants [--seeds N] [--sites]\n"
                    "       all: [--sites|--engines] [--older-points] [--kernel-goes-on]\n"
                    "            [--small-pieces]\n");
    return 2;
}

/* Takes one argument, or two; returns how many, 0: unknown. */
static int take_argument(struct batch_options *options, const char *name, const char *value,
                         bool *ret_is_single)
{
    bool *const flag = strcmp(name, "--trace") == 0            ? &options->is_traced
                       : strcmp(name, "--keep-going") == 0     ? &options->goes_on
                       : strcmp(name, "--twice") == 0          ? &options->runs_twice
                       : strcmp(name, "--sites") == 0          ? &options->sites
                       : strcmp(name, "--engines") == 0        ? &options->engines
                       : strcmp(name, "--plants") == 0         ? &options->plants
                       : strcmp(name, "--kernel-goes-on") == 0 ? &options->kernel_goes_on
                       : strcmp(name, "--older-points") == 0   ? &options->picks_points
                       : strcmp(name, "--small-pieces") == 0   ? &options->in_pieces
                                                               : NULL;
    uint64_t number = value ? strtoull(value, NULL, 10) : 0;

    if (flag) {
        *flag = true;
        return 1;
    }
    if (!value)
        return 0;
    if (strcmp(name, "--seeds") == 0)
        options->count = number;
    else if (strcmp(name, "--first") == 0)
        options->first = number;
    else if (strcmp(name, "--seed") == 0)
        options->first = number, *ret_is_single = true;
    else if (strcmp(name, "--jobs") == 0)
        options->jobs = (unsigned)number;
    else if (strcmp(name, "--actions") == 0)
        options->actions_max = number;
    else
        return 0;
    return 2;
}

int main(int argc, char **argv)
{
    struct batch_options options = {.count = 100, .jobs = 1};
    bool is_single = false;

    for (int i = 1; i < argc;) {
        int taken = take_argument(&options, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &is_single);
        if (taken == 0)
            return usage();
        i += taken;
    }
    /* Pages of the simulated disks come and go: keep them. */
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    log_set_level(options.is_traced ? LOG_DEBUG : (enum log_level)0);
    if (options.plants)
        return batch_run_plants(&options);
    return is_single ? batch_run_one(&options) : batch_run(&options);
}
