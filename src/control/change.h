/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One transaction of an operation or job, with its errors gathered: write it as a straight list of
 * puts and removes and ask once, at the commit.
 *
 *     struct change change;
 *     change_begin(&change, site);
 *     change_put(&change, RECORD_PAIR, &pair);
 *     change_put(&change, RECORD_JOB, &job);
 *     if (change_commit(&change) < 0) ... change.err says why; nothing was changed
 */
#ifndef CONTROL_CHANGE_H
#define CONTROL_CHANGE_H

#include "control/site.h"

struct change_move;

struct change {
    struct site *site;
    /* States that it changes, for the record of events. */
    struct change_move *moves;
    unsigned move_count;
    int result;
    bool is_open;
    bool is_part; /* of a transaction that several share: see sharing.h */
    bool has_put; /* or removed: something is written */
    struct err err;
};

void change_begin(struct change *change, struct site *site);
void change_put(struct change *change, enum record_kind kind, const void *record);
void change_remove(struct change *change, enum record_kind kind, const char *key); /* may lack */
int change_commit(struct change *change); /* of one that is no part */
/* Of one that is a part, for sharing.c; the moves are then the caller's, to be told once they are
 * durable, or freed. */
int change_end_part(struct change *change, struct change_move **ret_moves,
                    unsigned *ret_move_count);
/* Records these moves as events; takes them over. */
void change_tell(struct site *site, struct change_move *moves, unsigned count);
/* What it depends on (`what`) could not be read: the commit will fail with `error`, negative. */
void change_fail(struct change *change, int error, const char *what);

#endif
