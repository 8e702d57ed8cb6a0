/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Planted defects: each breaks one invariant behind the engine's back, so that the check for it
 * must see it (sim --plants). With a plant in, failures of other invariants are not heard.
 */
#ifndef SIM_PLANT_H
#define SIM_PLANT_H

#include <stdbool.h>

struct sim_run;
struct node;

enum plant {
    PLANT_NONE,
    PLANT_I1,  /* the target's disk goes back in part */
    PLANT_I2,  /* the same; heard when a later write is there */
    PLANT_I3,  /* a kill takes a write with it */
    PLANT_I4,  /* a power loss takes a flushed write with it */
    PLANT_I8,  /* a fenced source goes on in the other one's term */
    PLANT_I9,  /* a snapshot's description is lost */
    PLANT_I10, /* as I1 */
    PLANT_I11, /* as I1 */
    PLANT_I14, /* a site comes back with its state of long ago */
    PLANT_I17, /* a run depends on the one before it */
    PLANT_COUNT
};

const char *plant_name(enum plant plant); /* of the invariant */
/* Is this failure of the invariant that was broken? */
bool plant_is_heard(enum plant plant, const char *why);
/* At each turn of fate; when a site has died and is not up again. */
void plant_turn(struct sim_run *run, struct node *node);
void plant_died(struct node *node, bool power);

#endif
