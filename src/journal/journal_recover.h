/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the segments of a journal that was just opened and makes its index. */
#ifndef JOURNAL_JOURNAL_RECOVER_H
#define JOURNAL_JOURNAL_RECOVER_H

#include "journal/journal_parts.h"

/* Blocks. The torn tail and uncommitted records are cut off durably. -EBADMSG: damage, named. */
int journal_recover(struct journal *journal, struct err *err);

#endif
