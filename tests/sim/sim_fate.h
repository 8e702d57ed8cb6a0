/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fate: what breaks in a schedule, and what a site may therefore do that it otherwise must not.
 *
 * A disk that fails for a while (node->may_fail) excuses errors until the machine has lost power.
 * Rot, and a write that landed elsewhere, excuse more: the site may refuse to go on, for good, if
 * it names a file. That ends the schedule; wrong bytes are never excused.
 */
#ifndef SIM_FATE_H
#define SIM_FATE_H

#include <stdbool.h>

struct err;
struct sim_run;
struct node;
struct fate;

/* Chooses what this schedule has to fear. */
struct fate *fate_new(struct sim_run *run);
void fate_start(struct sim_run *run);
void fate_free(struct fate *fate);
/* One turn at that site: nothing, one fault, or several at once. */
void fate_turn(struct sim_run *run, struct node *node);
void fate_change_network(struct sim_run *run);
/* No new faults; what lasts ends. */
void fate_calm(struct sim_run *run);
/* Is only the daemon started again after a failed sync, not its machine (--kernel-goes-on)? */
bool fate_kernel_goes_on(const struct sim_run *run);
/* A new life: failed syncs are noted, and an earlier life's note is heeded (io/sync_note.h). */
int fate_watch_syncs(struct node *node, struct err *err);
/* Counts what is broken at this moment. */
void fate_count(struct sim_run *run);

/* May operations of this site fail, refuse? */
bool fate_excuses(const struct node *node);
bool fate_is_rotten(const struct node *node);
/* Is that the word of a rotten site, or of its peer, that names what is damaged? */
bool fate_is_told(const struct node *node, const char *why);
/* A rotten site refuses: lawful when it names a file; ends the schedule. False: nothing excuses
 * it. */
bool fate_refuses(struct node *node, const char *why);
/* The same of a read that ends with an error. */
bool fate_fails_reads(struct node *node);

#endif
