/* SPDX-License-Identifier: Apache-2.0 */
/* Why: sim-steps, nth-engine and nth-control are told the same things in the same words. */
#include "sim_options.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static bool usage(const char *program, const char *point_name)
{
    const char *slash = strrchr(program, '/');
    const char *name = slash ? slash + 1 : program;

    fprintf(stderr,
            "usage: %s [--scenario S | --engines | --sites] [--every J] [--phase P] [--jobs N] "
            "[--seed N]\n"
            "       %s --scenario S %s N --variant V [--trace]\n",
            name, name, point_name);
    return false;
}

static bool take_flag(const char *name, struct sim_options *options)
{
    if (strcmp(name, "--trace") == 0)
        options->is_traced = true;
    else if (strcmp(name, "--sites") == 0)
        options->has_engines = false;
    else if (strcmp(name, "--engines") == 0)
        options->has_sites = false;
    else
        return false;
    return true;
}

static bool take_value(const char *name, const char *value, const char *point_name,
                       struct sim_options *options)
{
    uint64_t number = strtoull(value, NULL, 10);

    if (strcmp(name, "--scenario") == 0)
        options->scenario = value;
    else if (strcmp(name, "--every") == 0)
        options->every = number;
    else if (strcmp(name, "--phase") == 0)
        options->phase = number;
    else if (strcmp(name, "--seed") == 0)
        options->seed = number;
    else if (strcmp(name, point_name) == 0)
        options->point = number;
    else if (strcmp(name, "--variant") == 0)
        options->variant = (unsigned)number;
    else if (strcmp(name, "--jobs") == 0)
        options->jobs = (unsigned)number;
    else
        return false;
    return true;
}

bool sim_options_parse(int argc, char **argv, const char *point_name, unsigned variants,
                       struct sim_options *ret_options)
{
    struct sim_options *options = ret_options;

    *options = (struct sim_options){
        .seed = 1, .every = 1, .jobs = 2, .has_engines = true, .has_sites = true};
    for (int i = 1; i < argc; i++) {
        if (take_flag(argv[i], options))
            continue;
        if (i + 1 == argc || !take_value(argv[i], argv[i + 1], point_name, options))
            return usage(argv[0], point_name);
        i++;
    }
    if (options->every == 0 || options->variant >= variants || options->jobs == 0 ||
        options->jobs > 8 || (options->point != 0 && !options->scenario))
        return usage(argv[0], point_name);
    options->phase %= options->every;
    return true;
}

int sim_options_unknown(const struct sim_options *options)
{
    fprintf(stderr, "there is no scenario \"%s\"\n", options->scenario);
    return 2;
}

void sim_options_settle(const struct sim_options *options)
{
    /* Pages of the simulated disks come and go: keep them. */
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    log_set_level(options->is_traced ? LOG_DEBUG : (enum log_level)0);
}

int sim_options_end(const struct sim_options *options, uint64_t runs, bool is_lawful)
{
    printf("%llu runs, phase %llu of every %llu: %s\n", (unsigned long long)runs,
           (unsigned long long)options->phase, (unsigned long long)options->every,
           is_lawful ? "lawful" : "FAILED");
    return is_lawful ? 0 : 1;
}
