/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which call of a simulated site fails, and how: a point is an allocation of a site, or a call of
 * it for I/O. At each one that is chosen the process forks, once for each variant, and in the child
 * that call fails.
 */
#ifndef NTH_FAULTS_H
#define NTH_FAULTS_H

#include "nth_loop.h"
#include "sim.h"
#include "sim_branch.h"
#include "sim_options.h"

enum nth_variant {
    NTH_ALLOCATION,
    NTH_ALLOCATIONS,
    NTH_ERROR,
    NTH_ERRORS,
    NTH_FULL,
    NTH_FULL_ON,
    NTH_LATE_IO,
    NTH_VARIANTS,
};

enum { NTH_LOOPS_MAX = 64, NTH_SAYINGS_MAX = 40, NTH_SITES_MAX = 2 };
#define NTH_FAULT_NS (300 * SIM_MS) /* of the variants that last */

extern const char *const nth_variant_names[NTH_VARIANTS];

/* What children said, numbers left out: how often, and the first that said so. */
struct nth_saying {
    char text[400], first[400];
    enum branch_end end;
    uint64_t count, point;
    unsigned variant;
};

struct nth_faults {
    /* The owner's: */
    struct sim_world *world;
    struct sim_site *sites[NTH_SITES_MAX];             /* NULL: none */
    bool (*counts_cb)(void *arg);                      /* is a call of now a point? */
    void (*begun_cb)(void *arg);                       /* the fault has begun, at `site` */
    void (*born_cb)(void *arg, struct sim_site *site); /* a process of it begins */
    void (*died_cb)(void *arg, struct sim_site *site); /* it ended itself by check() */
    void *arg;
    /* Of nth_faults_init(): */
    const struct sim_options *options;
    struct branches *branches;
    uint64_t allocations, ios; /* points of the clean run so far */
    unsigned variant;
    bool is_child;
    bool is_on;            /* calls of `site` fail */
    bool is_over;          /* no more faults begin */
    struct sim_site *site; /* the fault's; NULL: none yet */
    enum nth_io io;
    struct nth_loop *loops[NTH_LOOPS_MAX];
    unsigned loop_count;
    struct sim_site *dying;
    char note[300]; /* which check() */
    uint64_t failures;
    struct nth_saying sayings[NTH_SAYINGS_MAX];
    unsigned saying_count;
};

/* Zeroed before, but for the owner's part. */
void nth_faults_init(struct nth_faults *faults, const struct sim_options *options);
void nth_faults_fini(struct nth_faults *faults); /* the world is gone */
/* From begin to end calls are counted, fail, and check() ends a site instead of the process. */
void nth_faults_begin(struct nth_faults *faults);
void nth_faults_end(struct nth_faults *faults);
/* No fault begins any more, and what is on ends. */
void nth_faults_calm(struct nth_faults *faults);
/* A site that says what troubles it may want a restart; one that says nothing, or that it tries
 * again, must heal alone. */
bool nth_wants_restart(const char *trouble);
/* The run is over; `why` NULL: it was lawful. Ends a child. In the parent: waits for the children,
 * counts a failure of its own. */
void nth_faults_judge(struct nth_faults *faults, const char *why);
/* One line of figures and what was said; the names are for the command that shows it again. */
void nth_faults_say(const struct nth_faults *faults, const char *program, const char *name,
                    const char *about);

#endif
