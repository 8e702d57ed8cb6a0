/* SPDX-License-Identifier: Apache-2.0 */
/* The loser's dirty sets as messages DIRTY (reprotect.c). */
#ifndef REPLICATION_DIRTY_RUNS_H
#define REPLICATION_DIRTY_RUNS_H

#include "replication/stream.h"

enum { DIRTY_RUNS_MAX = STREAM_MESSAGE_RUNS_MAX };

/* The next message from where the telling stands; room for DIRTY_RUNS_MAX runs of 16 bytes. False:
 * all is told. */
bool dirty_runs_gather(struct stream *stream, struct stream_dirty *ret_dirty, uint8_t *ret_runs);
/* That one was sent. */
void dirty_runs_advance(struct reprotect *reprotect, const struct stream_dirty *dirty,
                        const uint8_t *runs);

#endif
