/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of struct journal, for the units of this folder that write, recover and read it. */
#ifndef JOURNAL_JOURNAL_PARTS_H
#define JOURNAL_JOURNAL_PARTS_H

#include "journal/journal_index.h"
#include "journal/journal_record.h"
#include "journal/journal_segment.h"

enum { JOURNAL_MAGIC = 0x6a726e6c };

struct journal_commit_state { /* one at a time */
    struct journal_op *op;
    struct journal_epoch info;
    uint8_t *head;   /* of the record being written */
    bool is_closing; /* the epoch's list of extents is being made */
    bool is_showing; /* it is durable and goes into the newest view */
    uint64_t extents_written;
    struct journal_segment *segment; /* being written or synced */
    bool is_commit_written;
    struct io_op io;
    struct iovec iov;
};

struct journal {
    uint32_t magic;
    struct loop *loop;
    struct segment_set segments;
    struct journal_index index;
    uint64_t segment_bytes, bytes_max, table_entries, index_extents;
    unsigned disk_count_max;

    uint64_t sequence;       /* last one used */
    uint64_t partial_number; /* of the present or next partial epoch */
    struct index_epoch *partial;
    uint64_t partial_bytes;
    int partial_error;         /* an append ended so: it can only be aborted */
    int fence;                 /* the I/O error that ended the journal, or 0 */
    uint64_t epoch_last;       /* newest ever committed here */
    struct index_end released; /* behind the newest epoch that was released; zeros: unknown */
    uint64_t epoch_missing;    /* newest that is missing at the front */

    unsigned append_count; /* in flight */
    unsigned read_count;
    struct journal_commit_state commit;
    struct list later;  /* journal_op: done, to be told from the task */
    struct list held;   /* appends that wait for the end of a commit */
    struct list aborts; /* that wait for appends and commit */
    struct loop_task task;
};

struct journal_op_state { /* in journal_op.private */
    int error;
    uint8_t *head;
    struct index_record *record;
    struct index_epoch *epoch; /* a read's */
    uint8_t *bytes;
    const uint32_t *crcs;
    uint64_t block, count;
    uint32_t disk;
    bool is_hole;
};

static inline struct journal_op_state *op_state(struct journal_op *op)
{
    _Static_assert(sizeof(struct journal_op_state) <= sizeof(op->private), "fits");
    return (struct journal_op_state *)(void *)op->private;
}

#endif
