/* SPDX-License-Identifier: Apache-2.0 */
/* Applying old epochs to the base at a target (R12). */
#ifndef REPLICATION_REPLICA_APPLY_H
#define REPLICATION_REPLICA_APPLY_H

#include "replication/replica_parts.h"

/* Does what can be done now. Called by the work task only. */
void replica_apply_step(struct replica *replica);
/* When an epoch gets due, on the loop's clock; UINT64_MAX: none waits. */
uint64_t replica_apply_due_ns(const struct replica *replica);

#endif
