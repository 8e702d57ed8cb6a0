/* SPDX-License-Identifier: Apache-2.0 */
/* A reprotect by the records alone, when a site has ended the replication while apart. See anew.c.
 */
#ifndef CONTROL_ANEW_H
#define CONTROL_ANEW_H

#include "control/jobs.h"
#include "control/peer.h"
#include "control/relation.h"

/* At the site that asks. Does its own end count no more: it has other pairs than its stream had? */
bool anew_is_past(const struct replica_record *record);
/* Adds to the arguments of reprotect.check what the other site needs to agree to one. Nothing is
 * added when it cannot be: of a cancel, of a stream that is not open, or with an invalid pair in
 * the group, whose id comes back ("": none). Negative: the pairs cannot be listed. */
int anew_offer(struct site *site, const struct relation *relation, bool is_reverse,
               json_t *arguments, char ret_invalid[RECORD_ID_SIZE]);
/* The job's part: our stream ends, the direction turns, the next Start compares all by hash. */
void anew_run(struct job *job);

/* At the other one: was it offered? */
bool anew_is_offered(const struct peer_answer *answer);
/* Keeps what the disks hold as snapshots, then answers {"is_anew": true}, or why not. `relation` is
 * the one that was asked for. */
void anew_serve(struct peer_answer *answer, const struct relation *relation);

#endif
