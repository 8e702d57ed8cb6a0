/* SPDX-License-Identifier: Apache-2.0 */
/* The records say what size the disks have. */
#ifndef CONTROL_SIZE_WATCH_H
#define CONTROL_SIZE_WATCH_H

#include "control/change.h"

/* The disk's size, and that of its pair when this site rules its record. */
void size_watch_put(struct change *change, struct disk_record *disk, int64_t bytes);
/* Behind the commit: the peer hears of the pair. */
void size_watch_tell(struct site *site, const char *disk);

/* The data wing says so (DATA_EVENT_DISK_GROWN). */
void size_watch_grown(struct site *site, const char *disk, uint64_t bytes);
/* The disk's record says at least so, durably; false: not yet. */
bool size_watch_settle(struct site *site, const char *disk, uint64_t bytes);
/* Records that could not be written: tries again. */
void size_watch_again(struct site *site);

#endif
