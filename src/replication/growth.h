/* SPDX-License-Identifier: Apache-2.0 */
/* A disk of a stream becomes larger: the target's first, then the source's. */
#ifndef REPLICATION_GROWTH_H
#define REPLICATION_GROWTH_H

#include "replication/stream.h"

/* Durable at done_cb; an error returned means that nothing was begun. At the target at once; at the
 * source only once the target's disk is known to be as large (-EAGAIN; -EHOSTUNREACH: nothing is
 * known of it). -EBUSY: not in this role or state. */
int growth_begin(struct stream *stream, const char *disk, uint64_t size_bytes,
                 stream_done_fn done_cb, void *arg, struct err *err);
/* At the source: is no disk of the target smaller than ours? */
bool growth_may_ship(const struct stream *stream);
/* At the target: its disks become as large as the source's. True: it is under way, or cannot be,
 * and nothing may be received before the two meet anew. */
bool growth_follow(struct stream *stream);
/* At the winner of a reprotect: what the loser's disks have no room for differs. -ENOMEM. */
int growth_mark_behind(struct stream *stream);
/* There, too: a run that the loser tells. What a larger loser has beyond our end goes for good, but
 * for its snapshot; should our disk grow, all of that is shipped. -EPROTO: it is not even the
 * loser's. */
int growth_mark_run(struct stream *stream, const struct stream_dirty *dirty, uint64_t block,
                    uint64_t count);

#endif
