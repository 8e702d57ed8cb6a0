/* SPDX-License-Identifier: Apache-2.0 */
/* The drain of a promoted stream: the journal's newest view goes home, behind the hosts' back. */
#ifndef REPLICATION_REPLICA_DRAIN_H
#define REPLICATION_REPLICA_DRAIN_H

#include "replication/replica_parts.h"

/* Does what can be done now. Called by the work task only. */
void replica_drain_step(struct replica *replica);
/* The files of a drained journal go. Nothing reads it. */
int replica_drop_journal(struct replica *replica, struct err *err);

#endif
