/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared commits: operations that wait together change the records in one transaction, each in a
 * part of its own, and are answered when it is durable. See sharing.c for the rules.
 *
 * An operation that may be run so says is_shared in its row, and ends its change with one of the
 * functions here. They serve as well where nothing is shared (the end of an operation that asked
 * the peer first): then the change is committed at once.
 */
#ifndef CONTROL_SHARING_H
#define CONTROL_SHARING_H

#include "control/call.h"
#include "control/change.h"

/* Ends `change`. When it is durable the peers hear of the records named by sharing_mark(), jobs
 * wake, and the call is answered with `reply` (taken over; NULL: nothing but RequestId). When it
 * fails, with InternalError. */
void sharing_answer(struct change *change, struct call *call, json_t *reply);
/* The same, but instead of the answer then_cb goes on with the operation. */
void sharing_then(struct change *change, struct call *call, void (*then_cb)(struct call *call));
/* It changed nothing, and goes on with then_cb, which may ask the data wing or the peer: now, or
 * behind the commit that others wait for. */
void sharing_leave(struct call *call, void (*then_cb)(struct call *call));
/* Before these: the call changes this pair or group, the peer is to be told. */
void sharing_mark(struct call *call, const char *id);

/* Begins a call, or, with run_cb, runs the rest of one: at the end of this turn of the loop, with
 * all who joined in it, in one transaction. Of the rest the same is asked as of an operation that
 * is_shared: it judges, changes records and ends as that. What has a consent (consent.h) is run at
 * once. */
void sharing_join(struct call *call, void (*run_cb)(struct call *call));
/* Runs the calls of this list (their held_node), emptied: those that may not share first, each for
 * itself, then the others, in one transaction. Token and route are asked first. */
void sharing_run(struct site *site, struct list *calls);
void sharing_run_alone(struct call *call);
void sharing_init(struct site *site);

#endif
