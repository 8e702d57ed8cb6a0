/* SPDX-License-Identifier: Apache-2.0 */
/* The writing half of the journal: journal_append, _append_hole, _commit, _abort (journal.h), and
 * what journal.c needs of it. */
#ifndef JOURNAL_JOURNAL_WRITE_H
#define JOURNAL_JOURNAL_WRITE_H

#include "journal/journal_parts.h"

void journal_write_init(struct journal *journal);
/* Calls op->done_cb with `error` from the loop, never from inside. */
void journal_finish_later(struct journal *journal, struct journal_op *op, int error);
/* Frees the segments at the front that no epoch needs. */
int journal_free_segments(struct journal *journal);

#endif
