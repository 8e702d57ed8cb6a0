/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Planted defects: each breaks one invariant behind the engine's back, or makes control forget, so
 * that the check for it must see it (sim --plants). With a plant in, other failures are not heard.
 */
#ifndef SIM_PLANT_H
#define SIM_PLANT_H

#include <stdbool.h>

struct meta;
struct node;
struct sim_run;

enum plant {
    PLANT_NONE,
    PLANT_I1,                  /* the target's disk goes back in part */
    PLANT_I2,                  /* the same; heard when a later write is there */
    PLANT_I3,                  /* a kill takes a write with it */
    PLANT_I4,                  /* a power loss takes a flushed write with it */
    PLANT_I8,                  /* a fenced source goes on in the other one's term */
    PLANT_I9,                  /* a snapshot's description is lost */
    PLANT_I10,                 /* as I1 */
    PLANT_I11,                 /* as I1 */
    PLANT_I14,                 /* a site comes back with its state of long ago */
    PLANT_I17,                 /* a run depends on the one before it */
    PLANT_WHOLE,               /* from here on in the control wing of whole sites */
    PLANT_TOKEN = PLANT_WHOLE, /* what was answered to a token is not remembered */
    PLANT_TOMBSTONE,           /* what was deleted is not remembered */
    PLANT_JOB,                 /* a restart forgets the jobs */
    PLANT_TERM,                /* a failover raises no term */
    PLANT_VERSION,             /* a change raises no version */
    PLANT_COMMIT,              /* answered before the transaction is durable */
    PLANT_FORGET,              /* a Forget tells the other site the opposite of who writes */
    PLANT_FENCE,   /* a source that should close, for the other site forgot it, does not */
    PLANT_DISCARD, /* a Forget gives the journal up, unasked */
    PLANT_ROSTER,  /* from here on in users, keys, policies and tags */
    PLANT_KEY = PLANT_ROSTER, /* a restart forgets an access key */
    PLANT_BURIAL,             /* what the other site deleted is not deleted here */
    PLANT_TAGS,               /* a change of tags raises no version */
    PLANT_DOOR,               /* a deleted access key opens */
    PLANT_COUNT
};

const char *plant_name(enum plant plant); /* of the invariant, or of what is broken */
/* Is this failure of the invariant that was broken, or one by which clients and audit tell of what
 * the site forgot? */
bool plant_is_heard(enum plant plant, const char *why);
/* At each turn of fate; when a site has died and is not up again. */
void plant_turn(struct sim_run *run, struct node *node);
void plant_died(struct node *node, bool power);
/* Takes `real`, which the site has just opened, and gives what control shall use; as the site. */
struct meta *plant_meta_new(const struct node *node, struct meta *real);
bool plant_is_of_rosters(enum plant plant);
/* At each turn of the registrar, at that site. */
void plant_roster_turn(struct node *node);

#endif
