/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control wing of one site: metadata, operations, jobs, the records' agreement with the peer.
 * Built by the daemon; everything on one control loop, which may block on the metadata. The way to
 * the data wing is control/data_ops.h.
 */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include "control/call.h"

struct control;

/* How a call came that a peer passed on. */
struct call_pass {
    unsigned hop_count;          /* how often it was passed on: 1 … CALL_HOPS_MAX */
    const char *sender, *number; /* the peer, and what it calls it */
};

/* The answer of a call that a peer passed on. */
typedef void (*control_executed_fn)(void *arg, unsigned http_status, json_t *body);

/* Looks an operation up by name, parses `texts` and submits it, as the HTTP door does: given by
 * api/, which holds the table. `pass`: NULL of our own door. done_cb once. */
typedef void (*control_execute_fn)(void *arg, const char *action, const char *version,
                                   const json_t *texts, const struct caller *caller,
                                   const char *request_id, const struct call_pass *pass,
                                   control_executed_fn done_cb, void *done_arg);

/* `meta` stays the caller's and outlives the wing. */
int control_new(struct loop *loop, struct meta *meta, const struct data_ops *ops, void *wing,
                const struct site_options *options, struct control **ret_control, struct err *err);
void control_free(struct control *control); /* after control_stop() told so; NULL is fine */
void control_set_execute(struct control *control, control_execute_fn execute_cb, void *arg);

/* Opens what the records name, starts the links, goes on with unfinished jobs; then started_cb. */
void control_start(struct control *control, void (*started_cb)(void *arg), void *arg);
/* No new calls; ends what waits; stopped_cb once nothing of control is under way. */
void control_stop(struct control *control, void (*stopped_cb)(void *arg), void *arg);

/* Runs a call; its trees, operation, request_id, pass, done_cb are filled in. */
void control_submit(struct control *control, struct call *call);

/* For the bridge: a data_events_fn with the control as its argument. */
void control_event(void *control, const struct data_event *event);

/* For tests and the daemon. */
struct site *control_site(struct control *control);

#endif
