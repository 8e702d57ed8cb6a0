/* SPDX-License-Identifier: Apache-2.0 */
/* What the volumes of a stream see of its journal (volume/base_write.h). */
#ifndef REPLICATION_REPLICA_OVERLAY_H
#define REPLICATION_REPLICA_OVERLAY_H

#include "replication/replica_parts.h"

/* Sets or takes away the overlay of every volume of the replica. */
void replica_overlay_set(struct replica *replica, bool is_on);

#endif
