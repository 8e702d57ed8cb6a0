/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forget (ForgetDiskReplica): the clerk gives relations of his up at one site alone, in whatever
 * state they are, and what both sites make of it is judged at rest:
 *
 *   hosts    nothing is forgotten that is attached where hosts do not write
 *   told     a site that forgot where hosts write says so, one where they do not says that
 *   left     what one site alone still has is `invalid` (PeerForgot), and the other has a tombstone
 *            of it that says that it was forgotten; its stream replicates nothing
 *   writers  where hosts wrote at the site that forgot, no disk of a former source opens at the
 *            other one
 */
#ifndef SIM_FORGET_H
#define SIM_FORGET_H

#include <jansson.h>

#include "sim_run.h"

/* Asks that site to give it up, perhaps twice. */
void forget_ask(struct node *node, const char *id);
/* All that is the clerk's. */
void forget_all(struct node *node);
/* One, a moment later. */
void forget_soon(struct node *node, const char *id);
/* At rest: takes what only one site has out of both sites' records, when it is so since the other
 * one forgot it; names it in the town's `one_sided`. JSON of the harness. */
void forget_take_out(struct sim_run *run, json_t *records[RUN_NODES]);
bool forget_is_one_sided(const struct sim_run *run, const char *id);
/* At rest: of what was forgotten, as above. */
void forget_audit(struct sim_run *run);

#endif
