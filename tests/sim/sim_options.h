/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of the programs that branch at points of a scenario (sim_branch.h). */
#ifndef SIM_OPTIONS_H
#define SIM_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct sim_options {
    const char *scenario; /* NULL: all of those chosen */
    uint64_t seed, every, phase;
    uint64_t point; /* a single one; 0: all */
    unsigned variant, jobs;
    bool is_traced, has_engines, has_sites;
};

/* `point_name`: what the program calls a point, as "--point". False, with a usage text on standard
 * error: it makes no sense. */
bool sim_options_parse(int argc, char **argv, const char *point_name, unsigned variants,
                       struct sim_options *ret_options);
/* There is no such scenario: says so; main()'s result. */
int sim_options_unknown(const struct sim_options *options);
/* Settles the allocator and the log for many forks. */
void sim_options_settle(const struct sim_options *options);
/* The last line, and main()'s result. */
int sim_options_end(const struct sim_options *options, uint64_t runs, bool is_lawful);

#endif
