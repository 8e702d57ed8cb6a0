/* SPDX-License-Identifier: Apache-2.0 */
/* Promotion: the part of the replica's task that fixes the point. */
#ifndef REPLICATION_REPLICA_PROMOTE_H
#define REPLICATION_REPLICA_PROMOTE_H

#include "replication/replica_parts.h"

void replica_promote_step(struct replica *replica);
/* What of the newest view hosts and the drain replace from now on. `is_fresh`: whatever lies there
 * is of an earlier promotion. Blocks. */
int replica_open_superseded(struct replica *replica, bool is_fresh, struct err *err);

#endif
