/* SPDX-License-Identifier: Apache-2.0 */
/*
 * R14, R15: one site becomes the source of both sites' changes, the other its target. The exchange:
 *
 *   the loser      closes its exports, drains, tells every block that may differ (DIRTY, DIRTY_END)
 *   the winner     adds them to its own, durably; becomes SOURCE, durably; COMMIT
 *   the loser      keeps its present content as snapshots; becomes TARGET of the winner's line,
 *                  durably; DONE
 *   the winner     notes that it is over
 *
 * The operator asks at the promoted site: reverse=true makes it the winner, false the loser.
 */
#ifndef REPLICATION_REPROTECT_H
#define REPLICATION_REPROTECT_H

#include "replication/stream.h"

/* An error returned: nothing was begun. -EHOSTUNREACH, -EALREADY (no longer promoted). done_cb
 * follows else; on its error the exchange goes on by itself, where it had become durable. */
int reprotect_begin(struct stream *stream, bool is_reverse, stream_done_fn done_cb, void *arg,
                    struct err *err);
/* REPROTECT, DIRTY, DIRTY_END, COMMIT, DONE, REFUSED. False: malformed. */
bool reprotect_frame(struct stream *stream, const struct link_frame_in *frame, struct err *why);
/* After each handshake's decision: goes on with what was cut short. */
void reprotect_met(struct stream *stream);
/* The peer is our target on our line: the exchange is over, whether we heard DONE or not. */
void reprotect_confirmed(struct stream *stream);
void reprotect_link_down(struct stream *stream);
void reprotect_room(struct stream *stream);

#endif
