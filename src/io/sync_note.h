/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The note of failed syncs: it outlives the process, not the machine's boot.
 *
 * When a sync fails, the kernel may take pages for clean that never reached the device: reads go on
 * to show them, and later syncs end well. Who heard of it fences; but his successor in the same
 * boot would take them as good. So the first failure is noted in kill-safe memory, before anybody
 * is told of it. A process that finds the note begins a new era, as if the power had been lost:
 *
 *   - loop_boot_id() is another than before, so that no kill-safe memory of an earlier era counts;
 *   - io_file_open() writes back and drops what the kernel keeps of the file, in this life and
 *     each later one of the same boot, so that reads show what the device has; it fails with
 *     -EIO or -EBUSY when it cannot.
 *
 * `path` should lie in memory (tmpfs), not on a device that may be sick: an ordinary file can be
 * evicted as well, and read back as it was before the note.
 */
#ifndef IO_SYNC_NOTE_H
#define IO_SYNC_NOTE_H

#include <stdbool.h>

#include "base/err.h"

struct loop;
struct sync_note;

/* Takes what an earlier process left there, or begins anew. One process at a time. */
int sync_note_open(struct loop *loop, const char *path, struct sync_note **ret_note,
                   struct err *err);
/* No loop may watch with it any more; `loop` is the one it was opened with. NULL is fine. */
void sync_note_close(struct sync_note *note);
/* From any thread; at once, and it cannot fail. */
void sync_note_failed(struct sync_note *note);
/* Did a sync fail in an earlier life of this boot? */
bool sync_note_is_distrusting(const struct sync_note *note);
const char *sync_note_boot_id(const struct sync_note *note);

#endif
