/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scenarios: scripts over two engines that go the same way each time, so that a site can be made to
 * die at each step of them (sim_steps_main.c).
 */
#ifndef SIM_SCRIPT_H
#define SIM_SCRIPT_H

#include "sim_options.h"
#include "sim_run.h"

struct script;

/* One act of a script: asked every millisecond until it says that it is done. It does what it has
 * to do again when a site died meanwhile. `polls` counts from 0 within an act. */
struct script_act {
    const char *what;
    bool (*poll)(struct script *script);
};

enum { SCRIPT_ACTS_MAX = 12, SCRIPT_NAMES_MAX = 4 };

/* A call of the API. Parameters are pairs of texts; "$0" stands for what an earlier one named. */
struct script_ask {
    unsigned site;
    const char *action;
    const char *pairs[14];
    const char *kept;  /* a field of the reply ... */
    unsigned kept_as;  /* ... goes to this name */
    const char *state; /* of the relation kept as $2, waited for afterwards; NULL: none */
};

struct scenario {
    const char *name, *about;
    void (*setup)(struct script *script); /* settings, before the first boot; may be NULL */
    struct script_act acts[SCRIPT_ACTS_MAX];
    unsigned first; /* sites die from this act on */
    bool is_whole;  /* two whole sites, asked by the API */
    const struct script_ask *asks;
};

struct script {
    struct sim_run *run;
    const struct scenario *scenario;
    struct node *paris, *lyon;
    unsigned at, polls;
    bool is_over, is_patient; /* patient: hosts may write for ever */
    unsigned writes_left[RUN_NODES];
    uint64_t noted, over_ns; /* over_ns: it ends then, done or not; 0: never */
    /* of the asks */
    unsigned ask_at, refusals;
    bool is_asking;
    char names[SCRIPT_NAMES_MAX][40];
    char refusal[200]; /* the last */
};

/* The table, ended by a name of NULL. */
const struct scenario *scenario_table(void);
const struct scenario *scenario_find(const char *name);
/* hunt_cb() with each scenario that the options choose: main()'s result. `ret_runs` is counted up.
 */
int scenarios_hunt(const struct sim_options *options,
                   bool (*hunt_cb)(const struct sim_options *options,
                                   const struct scenario *scenario, uint64_t *ret_runs));

/* The same run each time. */
struct script *script_new(const struct scenario *scenario, uint64_t seed, bool is_traced);
void script_free(struct script *script);
/* Is it in the part that matters? */
bool script_is_counted(const struct script *script);
/* Boots both sites, plays all acts. */
void script_play(struct script *script);

#endif
