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

/* ended_cb, in the parent: a child was not well; `why`: what it said, or its last words on standard
 * error with the signal that ended it (`died`). */
struct branches *branches_new(unsigned jobs,
                              void (*ended_cb)(void *arg, uint64_t point, unsigned variant,
                                               bool died, const char *why),
                              void *arg);
void branches_free(struct branches *branches);
/* True in the child. The parent waits while all jobs are under way. */
bool branches_fork(struct branches *branches, uint64_t point, unsigned variant);
/* In the child: its end; `failure` NULL: all was well. */
void branches_end(struct branches *branches, const char *failure) __attribute__((noreturn));
void branches_wait(struct branches *branches); /* for all children */
uint64_t branches_count(const struct branches *branches);

#endif
