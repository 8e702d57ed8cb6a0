/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Generations: lines of history. A new one begins at each promotion: (term, site, incarnation),
 * with its parent and the parent's epoch at which it left. A bare counter would collide when both
 * sites promote. Pure: no I/O, clock, log. What two sites do when they meet is a table; each row is
 * tested.
 */
#ifndef REPLICATION_GENERATION_H
#define REPLICATION_GENERATION_H

#include <stdbool.h>
#include <stdint.h>

struct generation {
    uint64_t term;        /* rises by one at each promotion, from 1 */
    uint64_t site;        /* site id of who promoted */
    uint64_t incarnation; /* random */
};

struct generation_entry {
    struct generation id;
    uint64_t parent_epoch; /* epoch of the entry before at which this one begins */
};

/* Of a line that is read from a file. What a peer says is half of it (wire/stream_message.h), so
 * that counting on from there never gets here. */
#define GENERATION_TERM_LIMIT (UINT64_C(1) << 63)

enum { GENERATION_COUNT_MAX = 64 }; /* oldest are forgotten beyond it */

/* Oldest first: entry i's parent is entry i - 1. */
struct generation_line {
    unsigned count;
    struct generation_entry entries[GENERATION_COUNT_MAX];
};

enum stream_role {
    STREAM_ROLE_SOURCE,   /* hosts write here; ships when started */
    STREAM_ROLE_TARGET,   /* receives */
    STREAM_ROLE_PROMOTED, /* was a target, failed over: hosts write here, nothing is shipped */
    STREAM_ROLE_FENCED, /* was a source, met a newer generation: closed, what it wrote is tracked */
    STREAM_ROLE_COUNT
};

bool generation_is_equal(const struct generation *a, const struct generation *b);
/* Higher term wins; between equal terms neither does (0). */
int generation_compare(const struct generation *a, const struct generation *b);
const struct generation *generation_newest(const struct generation_line *line);
/* Appends a child of the newest. */
void generation_promote(struct generation_line *line, const struct generation *child,
                        uint64_t parent_epoch);

enum generation_relation {
    GENERATION_SAME,       /* newest entries equal */
    GENERATION_BEHIND,     /* ours is an ancestor of theirs */
    GENERATION_AHEAD,      /* theirs is an ancestor of ours */
    GENERATION_FORKED,     /* common ancestor, both went on: both promoted */
    GENERATION_FOREIGN,    /* nothing in common */
    GENERATION_EMPTY_OURS, /* we have no history yet (a new target) */
    GENERATION_EMPTY_THEIRS,
    GENERATION_RELATION_COUNT
};

enum generation_relation generation_relate(const struct generation_line *ours,
                                           const struct generation_line *theirs);

enum generation_verdict {
    VERDICT_SHIP,         /* we are the source: ship (delta from our sets) */
    VERDICT_RECEIVE,      /* we are the target of that source */
    VERDICT_FENCE,        /* we are a source and theirs is newer: close exports, become FENCED */
    VERDICT_WAIT,         /* nothing to do until an operator reprotects (or the peer acts) */
    VERDICT_ADOPT,        /* we are a new target without history: take theirs, receive */
    VERDICT_COMMIT_AGAIN, /* a reprotect was cut short: run its exchange again */
    VERDICT_REFUSE        /* foreign, or states that cannot meet: say why, move no data */
};

/* The table: (our role, their role, relation) -> verdict and the sentence for the operator. Every
 * combination has a row; rows that cannot arise are REFUSE. */
enum generation_verdict generation_decide(enum stream_role ours, enum stream_role theirs,
                                          enum generation_relation relation, const char **ret_why);

#endif
