/* SPDX-License-Identifier: Apache-2.0 */
/* The receiving half of the replica: replica_data, _hole, _commit, _abort (replica.h). */
#ifndef REPLICATION_REPLICA_RECEIVE_H
#define REPLICATION_REPLICA_RECEIVE_H

#include "replication/replica_parts.h"

/* Goes on with a commit, tells what is done, sees whether there is space again. Called by the work
 * task only. */
void replica_receive_step(struct replica *replica);

#endif
