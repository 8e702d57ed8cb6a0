/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which journal blocks of a promoted stream do not count any more, because a host replaced them or
 * the drain brought them home (R10). Two memories:
 *
 *   durable   superseded-<disk index>, a bitfile (kind SUPR): counts always; a bit is set there
 * only after the base was synced, so what it hides in the journal is in the base for good volatile
 * superseded.volatile, a shared mapping with the kernel's boot id: counts only when the process
 * died and the kernel did not, for then the base's page cache lived on too
 *
 * Format: docs/stream-state.md. Made at promotion, sparse, removed once the journal is drained.
 */
#ifndef REPLICATION_SUPERSEDED_H
#define REPLICATION_SUPERSEDED_H

#include "base/blockset.h"
#include "store/bitfile.h"

struct superseded;

struct superseded_options {
    const char *folder;
    unsigned disk_count;
    const uint64_t *block_counts;
    const bool *has_journal; /* disks with blocks in the journal: only those need a bitfile */
    bool is_fresh;           /* a promotion: whatever lies there is of an earlier one */
};

/* How much room all files of it may come to take. */
uint64_t superseded_spare_bytes(const struct superseded_options *options);
/* For a promotion to come: the file of a disk, or (`which`: their number) what they share, with all
 * its room, beside what is there. A promotion takes them; they go with superseded_remove_spares().
 * Blocks. */
int superseded_make_spare(struct loop *loop, const struct superseded_options *options,
                          unsigned which, struct err *err);
void superseded_remove_spares(struct loop *loop, const char *folder, unsigned disk_count);
/* Blocks. Opened again: superseded_each() then tells what counts. */
int superseded_open(struct loop *loop, const struct superseded_options *options,
                    struct superseded **ret_superseded, struct err *err);
void superseded_close(struct superseded *superseded); /* no save in flight; NULL is fine */
/* Removes all files of it. Missing ones are fine. */
int superseded_remove(struct loop *loop, const char *folder, unsigned disk_count, struct err *err);

void superseded_each(const struct superseded *superseded,
                     void (*range_cb)(void *arg, unsigned disk, uint64_t block, uint64_t count),
                     void *arg);
/* Kill-safe at once; durable with a later flushing and record. */
void superseded_mark(struct superseded *superseded, unsigned disk, uint64_t block, uint64_t count);
/* A sync of the disk's base begins: it covers what is marked now. */
void superseded_flushing(struct superseded *superseded, unsigned disk);
/* That sync ended well: makes what it covered durable. False: there was nothing to record, and
 * done_cb is not called. One at a time a disk. */
bool superseded_record(struct superseded *superseded, unsigned disk, struct bitfile_save *save,
                       void (*done_cb)(struct bitfile_save *save, int error));

#endif
