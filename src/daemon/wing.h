/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine and the NBD server of a site, and the bridge by which the control wing reaches them
 * (control/data_ops.h). Whoever makes it gives it two loops; requests and events hop between them
 * as loop messages, and no object is touched by both.
 */
#ifndef DAEMON_WING_H
#define DAEMON_WING_H

#include "control/data_ops.h"
#include "nbd/server.h"
#include "replication/engine.h"

struct wing;

struct wing_options {
    struct loop *data_loop, *control_loop;
    struct engine_options engine;
    struct nbd_server_options nbd;
    data_events_fn events_cb; /* on the control loop */
    void *arg;
};

/* Makes the engine and the NBD server (listening, no export yet). Texts of the options stay the
 * caller's, as engine_new() and nbd_server_new() have it. Blocks. */
int wing_new(const struct wing_options *options, struct wing **ret_wing, struct err *err);
/* On the data loop: ends exports, clients and the engine, cleanly; then stopped_cb. Requests under
 * way are answered before. */
void wing_stop(struct wing *wing, void (*stopped_cb)(void *arg), void *arg);
/* Stopped, or its loops never ran; NULL is fine. */
void wing_free(struct wing *wing);

/* The wing's own, on the data loop. */
struct engine *wing_engine(struct wing *wing);

/* For control_new(), with the wing as its argument. */
const struct data_ops *wing_ops(void);

#endif
