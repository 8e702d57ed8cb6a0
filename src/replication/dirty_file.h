/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DATA/streams/<id>/dirty: the exact dirty sets of a stream's disks, saved at a clean stop. It
 * counts only while the stream's state says is_clean; without it the intent bits are used, which
 * are coarser. Format: docs/stream-state.md.
 */
#ifndef REPLICATION_DIRTY_FILE_H
#define REPLICATION_DIRTY_FILE_H

#include "io/file.h"
#include "volume/volume.h"

/* Saves open and suspect of the tracked volumes, durably; nothing else may be left in their sets.
 * Blocks. */
int dirty_file_save(struct loop *loop, const char *folder, struct volume *const *volumes,
                    unsigned volume_count, struct err *err);
/* Marks into the tracked volumes what was saved. A file that is not whole is -EBADMSG and nothing
 * is marked. Blocks. */
int dirty_file_load(struct loop *loop, const char *folder, struct volume *const *volumes,
                    unsigned volume_count, struct err *err);

#endif
