/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many schedules, in worker processes that each run some hundreds of them one after another (a
 * process for each costs more than the schedule). A worker says in shared memory which seed it
 * runs, so that one that aborts or hangs names its seed too.
 */
#ifndef SIM_BATCH_H
#define SIM_BATCH_H

#include <stdbool.h>
#include <stdint.h>

struct batch_options {
    uint64_t first, count;
    unsigned jobs;        /* processes at a time */
    bool goes_on;         /* after a failure */
    bool runs_twice;      /* each seed, and compares (I17) */
    bool picks_points;    /* see struct sim_run */
    bool sites, engines;  /* all schedules of that kind; else every third is of whole sites */
    bool is_traced;       /* one seed: tells its story */
    bool kernel_goes_on;  /* see struct sim_run */
    bool in_pieces;       /* long work goes in small pieces in all schedules; else in one of four */
    bool plants;          /* for each planted defect */
    unsigned plant;       /* enum plant */
    uint64_t actions_max; /* leaves out what hosts, operator and fate do later; 0: nothing */
};

/* Each prints what was seen, and returns 0: all lawful; 1: not. */
int batch_run(const struct batch_options *options);
int batch_run_one(const struct batch_options *options);
/* Plants every defect in turn: 0 when a check saw each of them. */
int batch_run_plants(const struct batch_options *options);

#endif
