/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data wing of a site as the daemon builds it: the data loop with its thread, and the engine,
 * the NBD server and the bridge to control on it (wing.h).
 */
#ifndef DAEMON_DATA_WING_H
#define DAEMON_DATA_WING_H

#include "daemon/config.h"
#include "daemon/wing.h"

struct data_wing;

struct data_wing_owner {
    struct loop *control_loop; /* runs elsewhere */
    struct sync_note *syncs;   /* NULL: failed syncs are not noted */
    data_events_fn events_cb;  /* on control_loop */
    void *arg;
};

/* Makes the loop, the engine and the NBD server (listening, no export yet). Call data_wing_run()
 * next. */
int data_wing_new(const struct config *config, const struct data_wing_owner *owner,
                  struct data_wing **ret_wing, struct err *err);
/* Starts the thread of the data loop. */
struct loop *data_wing_loop(struct data_wing *wing);
int data_wing_run(struct data_wing *wing, struct err *err);
/* Ends exports, engine and thread, cleanly; waits. Requests still under way are answered before. */
void data_wing_stop(struct data_wing *wing);
void data_wing_free(struct data_wing *wing); /* stopped, or never run */

/* For control_new(): with wing_ops(). */
struct wing *data_wing_wing(struct data_wing *wing);

#endif
