/* SPDX-License-Identifier: Apache-2.0 */
/* R13: a target becomes the writable site, with nothing needed of the peer. */
#ifndef REPLICATION_FAILOVER_H
#define REPLICATION_FAILOVER_H

#include "replication/stream.h"

/* point 0: the newest. done_cb when hosts may write, or with -ENODATA (no such point) or what went
 * wrong; then it is a target as before. An error returned: nothing was begun (-EALREADY: it is
 * promoted). */
int failover_begin(struct stream *stream, uint64_t point, stream_done_fn done_cb, void *arg,
                   struct err *err);

#endif
