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

/* As bytes_max: 357 million runs. What is larger is neither saved nor loaded. */
#define DIRTY_FILE_BYTES_MAX (UINT64_C(8) << 30)

/* Saves open and suspect of the tracked volumes, durably; nothing else may be left in their sets.
 * -EFBIG: there is more than bytes_max of it, nothing is written. Blocks. */
int dirty_file_save(struct loop *loop, const char *folder, struct volume *const *volumes,
                    unsigned volume_count, uint64_t bytes_max, struct err *err);
/* Marks into the tracked volumes what was saved, instead of their suspects, but for those that
 * keep_suspects[] says to keep. A file that is not whole is -EBADMSG. An error other than -ENOMEM:
 * the sets are as they were. Blocks. */
int dirty_file_load(struct loop *loop, const char *folder, struct volume *const *volumes,
                    unsigned volume_count, const bool *keep_suspects, uint64_t bytes_max,
                    struct err *err);

#endif
