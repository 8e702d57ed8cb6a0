/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal of a stream at its target: all disks share it, so one sync commits the group (R9).
 * Format, recovery and "valid if and only if": docs/journal.md and README.md beside this file.
 *
 * Life of an epoch: appends in any order, then journal_commit() writes the extent table and the
 * commit record and syncs. Until then the epoch is partial: it never shows, and it dies with
 * journal_abort(), with the process and with a power loss.
 *
 * The index (in memory, rebuilt by recovery) knows each committed epoch's extents, and for each
 * disk the newest view: where the newest committed, unreleased, not superseded content of a block
 * lies.
 */
#ifndef JOURNAL_JOURNAL_H
#define JOURNAL_JOURNAL_H

#include "base/blockset.h"
#include "io/file.h"

struct journal;

struct journal_options {
    const char *folder;      /* of the segments; made if missing */
    const char *stream;      /* id, stands in every segment header */
    uint64_t segment_bytes;  /* 0: 64 MiB */
    uint64_t table_entries;  /* of one record; 0: the most that it holds */
    uint64_t index_extents;  /* walked in one turn of the loop; 0: 256 */
    uint64_t bytes_max;      /* appends beyond it give -ENOSPC */
    unsigned disk_count_max; /* disks are numbered 0 .. disk_count_max - 1 */
};

struct journal_generation { /* as in the generation table; compared as a whole */
    uint64_t term, site, incarnation;
};

struct journal_epoch {
    uint64_t epoch;
    uint64_t cut_wall_ns; /* source's clock at the cut */
    struct journal_generation generation;
    uint64_t block_count; /* distinct blocks, holes included */
    uint64_t bytes;       /* what it takes in the journal */
    uint64_t digest;      /* as told by the source's CUT */
};

/* Opens and recovers: a torn tail is cut off; damage with a valid record behind it is -EBADMSG and
 * names file and offset. Blocks (before hosts are served). */
int journal_open(struct loop *loop, const struct journal_options *options,
                 struct journal **ret_journal, struct err *err);
/* Nothing in flight. NULL is fine. */
void journal_close(struct journal *journal);

/* Embedded in the requester. */
struct journal_op {
    void (*done_cb)(struct journal_op *op, int error);
    struct list node;
    struct journal *journal;
    struct io_op io;
    struct iovec iov[3];
    uint64_t private[24];
};

/* Appends `count` blocks (at most 256) with the CRC32C of each, made by the source when it read
 * them; they are checked here (-EBADMSG) and at each later reading. `bytes` and `crcs` stay until
 * done_cb, which says that they are written, not that they are durable. -ENOSPC: bytes_max, or the
 * file system is full. After any error the partial epoch can only be aborted; after an I/O error
 * the journal is fenced and every later call fails. */
void journal_append(struct journal *journal, struct journal_op *op, unsigned disk, uint64_t block,
                    uint64_t count, const uint8_t *bytes, const uint32_t *crcs,
                    void (*done_cb)(struct journal_op *op, int error));
/* Appends "these blocks are zeros" (a hole). Any count. */
void journal_append_hole(struct journal *journal, struct journal_op *op, unsigned disk,
                         uint64_t block, uint64_t count,
                         void (*done_cb)(struct journal_op *op, int error));
/* Closes the partial epoch (which may be empty). done_cb 0: it is durable and in the newest view.
 * All appends must have ended. Epoch numbers rise (gaps are fine). */
void journal_commit(struct journal *journal, struct journal_op *op,
                    const struct journal_epoch *epoch,
                    void (*done_cb)(struct journal_op *op, int error));
/* Drops the partial epoch. Appends under way end first; done_cb is called then. */
void journal_abort(struct journal *journal, struct journal_op *op,
                   void (*done_cb)(struct journal_op *op, int error));

/* Committed, unreleased epochs, oldest first. */
unsigned journal_epoch_count(const struct journal *journal);
const struct journal_epoch *journal_epoch_at(const struct journal *journal, unsigned index);
/* The newest epoch that is known to be missing at the front after recovery; 0: none. It must be one
 * that the caller has applied: otherwise segments were lost. */
uint64_t journal_missing(const struct journal *journal);
uint64_t journal_epochs_bytes(const struct journal *journal);  /* of these epochs */
uint64_t journal_bytes(const struct journal *journal);         /* all segments */
uint64_t journal_partial_bytes(const struct journal *journal); /* of the partial epoch */

/* An extent of one epoch or of the newest view. */
struct journal_extent {
    unsigned disk;
    uint64_t block, count;
    bool is_hole;
    uint64_t epoch;
    uint64_t location[2]; /* the journal's */
};

/* Extents of a committed epoch in (disk, block) order, none overlapping, starting at *cursor (0 to
 * begin); false at the end. Valid until the epoch is released. */
bool journal_epoch_next(const struct journal *journal, uint64_t epoch, uint64_t *cursor,
                        struct journal_extent *ret_extent);

/* The newest view at `block`: true and a uniform extent that starts at `block`, of at most `count`
 * blocks; false and in ret_extent->count how many blocks from `block` on are not in the journal. */
bool journal_lookup(const struct journal *journal, unsigned disk, uint64_t block, uint64_t count,
                    struct journal_extent *ret_extent);
/* The first extent of the newest view at or after (disk, block), any disk from there on; for the
 * drain. False: none. */
bool journal_next(const struct journal *journal, unsigned disk, uint64_t block, uint64_t count_max,
                  struct journal_extent *ret_extent);
/* Reads a data extent (or its first part: lower extent->count first; at most 256 blocks) and checks
 * every block's CRC: -EBADMSG names the segment and offset in the log. The extent stays readable
 * until its epoch is released, also when superseded. */
void journal_read(struct journal *journal, struct journal_op *op,
                  const struct journal_extent *extent, uint8_t *bytes,
                  void (*done_cb)(struct journal_op *op, int error));
/* CRCs of the blocks of an extent, as they came with it. */
void journal_crcs(const struct journal *journal, const struct journal_extent *extent,
                  uint32_t *ret_crcs);

/* Takes blocks out of the newest view (a host replaced them, or they are drained to the base). The
 * caller remembers this durably (R10) and says it again after recovery. */
void journal_supersede(struct journal *journal, unsigned disk, uint64_t block, uint64_t count);
/* Epochs <= `epoch` are in the base, durably recorded by the caller ("applied n"): they are not
 * there any more. journal_step() then takes them out of the newest view and frees segments that
 * hold nothing else. */
void journal_release(struct journal *journal, uint64_t epoch);
/* In memory only: epochs > `epoch` do not show any more, once journal_step() has made the newest
 * view anew. Once the caller's decision is durable, journal_discard_after() with the same epoch
 * makes it so on disk. It must be settled, and nothing superseded. */
void journal_forget_after(struct journal *journal, uint64_t epoch);
/* What release, forgetting, abort and reset leave to do grows with their epochs, so it is done in
 * steps, one a turn of the loop: does the next one. True: it was not the last. */
bool journal_step(struct journal *journal);
/* Nothing of it is left but memory to be freed: the newest view shows what the epochs say. */
bool journal_is_settled(const struct journal *journal);
/* Frees a part of the memory, nothing is read or shown from now on; true: journal_close() is what
 * is left. */
bool journal_let_go(struct journal *journal);
/* Durably discards committed epochs > `epoch` (failover to an older point) and the partial one.
 * Blocks; nothing may be in flight or superseded. */
int journal_discard_after(struct journal *journal, uint64_t epoch, struct err *err);
/* Everything goes: segments removed, index empty. Blocks shortly. */
int journal_reset(struct journal *journal, struct err *err);

#endif
