/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a stream for good: its disks become ordinary disks, its files go. */
#ifndef REPLICATION_REMOVAL_H
#define REPLICATION_REMOVAL_H

#include "replication/engine_parts.h"

/* The journal comes into the base first, unless it is given up. An error returned means that
 * nothing was begun; -EUCLEAN: the journal cannot be read, and the disks without it hold other
 * content than the stream shows. done_cb with -ECANCELED: the daemon stops, it is there again after
 * the restart. */
int removal_begin(struct engine *engine, struct stream *stream, bool give_up_journal,
                  engine_done_fn done_cb, void *arg, struct err *err);
/* The same for one that is not open: its state or a disk is missing. -ENOENT: nothing is there. */
int removal_of_closed(struct engine *engine, const char *id, bool give_up_journal, struct err *err);
/* What a crash left of earlier removals. */
void removal_sweep(struct engine *engine);

#endif
