/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole site: control, metadata, API, the wing and its engine, as the daemon puts them together,
 * on two loops of one machine. The harness asks it as a client of the API does, and judges its
 * engine as it judges one that stands alone.
 *
 * Functions with a node that has no whole site do nothing.
 */
#ifndef SIM_WHOLE_H
#define SIM_WHOLE_H

#include "api/api.h"
#include "meta/meta.h"
#include "sim_image.h"
#include "sim_run.h"

struct wing;
struct event_store;
struct secret_box;
struct sim_sqlite;
struct door_export;
struct nbd_export;

struct whole {
    struct node *node;
    struct sim_sqlite *sqlite;
    char path[96];                                 /* of the metadata, for meta_sqlite_open() */
    struct secret_box *secret_box;                 /* the harness's; NULL: no access keys */
    char stream_id[40], disk_ids[JUDGE_DISKS][40]; /* what the judge watches; "": not made yet */
    /* Of this life: */
    struct loop *control_loop;
    struct meta *meta;
    struct event_store *events; /* NULL: none are recorded */
    struct control *control;
    struct api *api;
    struct wing *wing;
    bool is_up;    /* the door of the API is open */
    bool is_quiet; /* control has ended: events are dropped */
    struct door_export *exports[JUDGE_DISKS];
    void (*stopped_cb)(void *arg);
    struct loop_timer stop_timer;
    unsigned calls; /* of clients, unanswered */
};

/* Before run_go(): whole sites and a town instead of two engines. */
void run_make_whole(struct sim_run *run);

/* sim_engine.c, for whole sites */
extern const char *const node_names[RUN_NODES];
void node_fill_options(const struct node *node, struct engine_options *options);
/* It does not start: a failure, unless its disk was broken on purpose. */
void node_give_up(struct node *node, const char *what, const char *why);
/* node_observe(), from outside of the site. */
void node_observe_soon(struct node *node);
void node_act_done(void *node, int error, const char *why);

/* Before the first boot. */
void whole_make(struct node *node);
void whole_free(struct node *node); /* the site is gone */

/* The site is alive. Judges what it shows once its records are open. */
void whole_boot(struct node *node);
void whole_died(struct node *node);
/* As the site: a clean stop, then stopped_cb with the node; then everything is freed. */
void whole_stop(struct node *node, void (*stopped_cb)(void *arg));
void whole_release(struct node *node);
bool whole_is_busy(const struct node *node); /* calls of clients are under way */
/* What the founder made is there to be read now, at its first site. */
void whole_founded(struct node *node);

const char *whole_disk_id(const struct node *node, unsigned disk);
const char *whole_stream_id(const struct node *node);
/* As the site: hosts let go of an export that was taken away (sim_door.c). */
void whole_disk_closed(struct node *node, unsigned disk);
void whole_export_closed(struct nbd_export *export); /* the same, of a disk of the clerk's */
/* An operator's act, as calls of the API (sim_town.c). */
void whole_act(struct node *node, enum act act, bool flag);
void whole_grow(struct grower *grower);

/* sim_control_loop.c: the loop of the control wing: messages to it take up to `delay_ns`, in
 * order; posted_cb(arg) at each. Site's memory. */
struct loop *control_loop_new(struct sim_site *site, uint64_t delay_ns,
                              void (*posted_cb)(void *arg), void *arg);
void control_loop_free(struct loop *loop);

#endif
