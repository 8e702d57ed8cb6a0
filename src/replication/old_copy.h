/* SPDX-License-Identifier: Apache-2.0 */
/*
 * R16: a site whose durable state was put back from an old copy (a backup, a snapshot of the
 * machine) is recognised. Checked in docs/model/handshake.pml and epochs.py.
 */
#ifndef REPLICATION_OLD_COPY_H
#define REPLICATION_OLD_COPY_H

#include "replication/generation.h"

struct stream;

enum old_copy { OLD_COPY_NONE, OLD_COPY_PEER, OLD_COPY_OURS };

/* Makes durable that an epoch of this number was cut, then source_numbered(). */
void old_copy_number(struct stream *stream, uint64_t epoch);
/* Makes durable that the peer has this epoch, then source_heard(). */
void old_copy_hear(struct stream *stream, uint64_t epoch);

/* What the newest HELLO and its line show; kept in stream->old_copy. Remembers the peer. */
void old_copy_meet(struct stream *stream, const struct generation_line *theirs);
/* The sentence for the operator; NULL: no old copy. */
const char *old_copy_why(const struct stream *stream);

#endif
