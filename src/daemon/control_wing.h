/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control wing of a site as the daemon builds it: the control loop with its thread, the
 * metadata, the operations and the HTTP door. It may block on the metadata; the data wing never
 * waits for it.
 */
#ifndef DAEMON_CONTROL_WING_H
#define DAEMON_CONTROL_WING_H

#include "daemon/config.h"
#include "daemon/data_wing.h"

struct control_wing;

/* Opens DATA/site.db and makes the control loop; nothing runs yet. */
int control_wing_new(const struct config *config, struct control_wing **ret_wing, struct err *err);
struct loop *control_wing_loop(struct control_wing *wing);
/* All loops of the process share it. */
struct sync_note *control_wing_syncs(struct control_wing *wing);
/* For data_wing_new(): a data_events_fn with the wing as its argument. */
void control_wing_event(void *wing, const struct data_event *event);

/* Starts the thread: opens what the records name over `data`, then the HTTP door; waits for it. */
int control_wing_run(struct control_wing *wing, struct data_wing *data, struct err *err);
/* The process is in its sandbox: the door's thread may go into its own. */
void control_wing_sandboxed(struct control_wing *wing);
/* Reads the certificate of the API again; on an error the old one stays. While it runs. */
int control_wing_reload(struct control_wing *wing, struct err *err);
/* Closes the door, answers what is under way, ends jobs at a durable point; waits. Events of the
 * data wing are dropped from then on, but its requests still come back: stop the data wing next. */
void control_wing_quiesce(struct control_wing *wing);
/* Ends the thread. */
void control_wing_stop(struct control_wing *wing);
void control_wing_free(struct control_wing *wing); /* stopped, or never run; NULL is fine */

#endif
