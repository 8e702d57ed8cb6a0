/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the clerk's disks hold. Hosts write a few places of those that are attached, each write with
 * FUA and a number of its own, which only rise; so what a place must show at least is one number.
 *
 *   own    a disk that is no copy keeps what was answered here, whatever becomes of its relation
 *   copy   what a copy showed, and its source had answered, it goes on to show; and so does the
 *          disk when the relation is forgotten, deleted or failed over
 *   equal  at rest both ends of a pair that replicates show the same
 */
#ifndef SIM_CLERK_DISK_H
#define SIM_CLERK_DISK_H

#include "sim_run.h"

struct clerk_copy;
struct nbd_export;

void clerk_disk_start(struct sim_run *run);
/* As the site: its export is there; NULL: it is none of the clerk's. */
struct clerk_copy *clerk_disk_exported(struct node *node, const char *id,
                                       struct nbd_export *export);
/* As the site: no more requests; whole_export_closed() when none is under way. */
void clerk_disk_close(struct clerk_copy *copy);
void clerk_disk_died(struct node *node);
/* Behind each event of that site: follows what became of its disks. */
void clerk_disk_look(struct node *node);
/* What it gives up with a relation's journal nobody can know. */
void clerk_disk_discard(struct node *node);
/* At rest: does each pair of the clerk's that replicates show the same at both ends? False: not
 * yet, and the town's `unrest` says which. */
bool clerk_disk_is_even(struct sim_run *run);

#endif
