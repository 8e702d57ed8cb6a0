/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two sites meet over a stream: each tells role, line, newest epoch and disks (HELLO), the table of
 * generation.h decides, and here the decision becomes deeds: ship, receive, adopt, fence, wait, run
 * a reprotect again, refuse. It happens again whenever either side's role changes.
 */
#ifndef REPLICATION_MEETING_H
#define REPLICATION_MEETING_H

#include "replication/stream.h"

void meeting_link_up(struct stream *stream);
void meeting_link_down(struct stream *stream);
/* The stream is open while the link may be up already. */
void meeting_opened(struct stream *stream);
/* False: malformed. */
bool meeting_hello(struct stream *stream, const struct link_frame_in *frame, struct err *why);
/* The peer has given the relation up: engine_stream_part(). -EALREADY: nothing to do in this role.
 */
int meeting_part(struct stream *stream, bool is_fenced, stream_done_fn done_cb, void *arg,
                 struct err *err);
/* Our role changed, durably: tell the peer and decide anew. */
void meeting_again(struct stream *stream);

#endif
