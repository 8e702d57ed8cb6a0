/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two whole sites with nothing on them, and a person at a desk who asks their APIs, one thing after
 * another, and compares what they show: no hosts, no town, no judge of blocks.
 */
#ifndef NTH_DESK_H
#define NTH_DESK_H

#include "sim_script.h"

enum { DESK_NAMES = 6, DESK_NAME_SIZE = 80, DESK_UNREST_SIZE = 500 };

struct desk {
    struct sim_run *run;
    char names[DESK_NAMES][DESK_NAME_SIZE]; /* "$0" ... in what is asked */
    bool is_asking;
    unsigned status; /* of the last answer; 0: none came */
    char *reply;     /* its JSON; NULL: nothing was asked yet */
};

struct desk *desk_new(uint64_t seed, bool is_traced);
void desk_free(struct desk *desk);

/* Both sites are up, linked, and nothing is under way at either. What does not come in bounded time
 * fails the run; so do the others. */
void desk_rest(struct desk *desk);
/* False: it did not come, and why. */
bool desk_rests_within(struct desk *desk, unsigned seconds, char ret_unrest[DESK_UNREST_SIZE]);
void desk_wait(struct desk *desk, uint64_t duration_ns);
/* Once; returns the status. */
unsigned desk_ask(struct desk *desk, const struct script_ask *ask);
/* Again and again until it is granted, and has reached its state. */
void desk_get(struct desk *desk, const struct script_ask *ask);

/* What the last reply says, without moments and with numbers for ids: the same in every world. The
 * caller's, for sim_kernel_free(). */
char *desk_words(const struct desk *desk);
/* The words of all these questions (ended by an action of NULL); NULL: one was not answered. */
char *desk_look(struct desk *desk, const struct script_ask *asks);

/* Both stop cleanly, one after the other, and leave no allocation; then they are up again. */
void desk_stop_both(struct desk *desk);
/* Both lose power; they boot by themselves. */
void desk_lose_power(struct desk *desk);

#endif
