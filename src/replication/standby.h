/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a failover of this target will need room for is made while there is room: intent bits and
 * the memories of superseded blocks. So a full data folder refuses no failover.
 */
#ifndef REPLICATION_STANDBY_H
#define REPLICATION_STANDBY_H

#include "replication/stream.h"

/* An open stream has become a target, or a disk of it has grown. One disk a turn; what finds no
 * room is told as the stream's trouble and tried again. Nothing happens in other roles. */
void standby_begin(struct stream *stream);
void standby_end(struct stream *stream); /* the stream goes */

#endif
