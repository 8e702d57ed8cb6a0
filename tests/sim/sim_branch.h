/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run that branches: at chosen points the process forks, and in the child something goes wrong
 * there. So what comes before the point is played once for all that may follow it.
 */
#ifndef SIM_BRANCH_H
#define SIM_BRANCH_H

#include <stdbool.h>
#include <stdint.h>

struct branches;

enum branch_end {
    BRANCH_NOTED,  /* all was well, and it has something to tell */
    BRANCH_FAILED, /* it says why */
    BRANCH_DIED,   /* by a signal: its last words on standard error */
};

/* ended_cb, in the parent, of children that say something. */
struct branches *branches_new(unsigned jobs,
                              void (*ended_cb)(void *arg, uint64_t point, unsigned variant,
                                               enum branch_end end, const char *why),
                              void *arg);
void branches_free(struct branches *branches);
/* True in the child. The parent waits while all jobs are under way. */
bool branches_fork(struct branches *branches, uint64_t point, unsigned variant);
/* In the child: its end. `why` NULL: nothing to tell. */
void branches_end(struct branches *branches, enum branch_end end, const char *why)
    __attribute__((noreturn));
void branches_wait(struct branches *branches); /* for all children */
uint64_t branches_count(const struct branches *branches);

#endif
