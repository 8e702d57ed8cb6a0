/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of struct replica, for the units that receive, apply, drain and show. */
#ifndef REPLICATION_REPLICA_PARTS_H
#define REPLICATION_REPLICA_PARTS_H

#include <limits.h>

#include "replication/replica.h"
#include "replication/superseded.h"

enum { REPLICA_MAGIC = 0x7265706c, REPLICA_DEPTH = 16, REPLICA_BLOCKS = 256 };

/* One block range on its way from the journal to the base. */
struct replica_mover {
    struct replica *replica;
    struct journal_extent extent;
    struct journal_op journal_op;
    struct base_write base_write;
    uint8_t *bytes;
    bool is_busy;
    bool (*locked_cb)(struct replica_mover *mover);
    void (*done_cb)(struct replica_mover *mover, int error);
};

struct replica_disk { /* the overlay's argument */
    struct replica *replica;
    unsigned index;
    struct volume *volume;
    struct base_write sync; /* of apply and drain */
    bool is_touched;        /* the base was written since its last sync */
    struct base_write commit_sync;
    struct bitfile_save save;
    struct overlay_read *flushed; /* told when `save` ends */
};

enum apply_phase { APPLY_IDLE, APPLY_MARK, APPLY_MOVE, APPLY_SYNC, APPLY_DONE };
enum promote_phase { PROMOTE_BEGIN, PROMOTE_DIFFERS, PROMOTE_FORGET };
enum drain_phase { DRAIN_IDLE, DRAIN_MOVE, DRAIN_SYNC, DRAIN_RECORD, DRAIN_DONE };

struct replica {
    uint32_t magic;
    struct loop *loop;
    struct journal *journal;
    struct state_file *state_file;
    struct stream_state *state;
    struct superseded *superseded; /* promoted and not drained */
    struct replica_disk disks[STREAM_DISKS_MAX];
    unsigned disk_count;
    char stream[40];
    char folder[PATH_MAX];
    uint64_t journal_bytes_max, retain_ns, retain_bytes;
    struct pieces pieces; /* none is 0, but for those of the journal */
    void (*changed_cb)(void *arg);
    void *arg;

    /* Background work: one step function looks at everything (replica_door.c). */
    struct loop_task work;
    struct loop_timer timer; /* the next epoch gets due, or a retry */
    struct replica_mover *movers;
    unsigned moving;  /* busy movers */
    unsigned syncing; /* base syncs under way */
    bool is_saving;   /* state */
    struct state_save save;
    int work_error;    /* of the batch or pass under way */
    bool is_unsavable; /* the file of the state has had its last error */
    uint64_t retry_ns; /* no work before it */
    char trouble[400];
    unsigned reads;    /* overlay reads under way */
    struct list zeros; /* overlay_read: holes, to be told by the work task */

    enum apply_phase apply;
    uint64_t apply_last, apply_now; /* epochs: the batch's last, the one being moved */
    uint64_t apply_cursor;
    struct journal_extent apply_rest; /* of an extent that is moved in parts */

    enum drain_phase drain;
    bool wants_drain;
    unsigned drain_disk; /* where the pass is */
    uint64_t drain_block;
    uint64_t drain_unsynced; /* bytes moved since the last sync */
    bool is_pass_clean;      /* nothing was skipped since it began */
    bool is_drain_final;     /* the sync under way is the last one */

    /* Promotion (replica_promote.c). */
    struct replica_op *promote_op;
    enum promote_phase promote;
    unsigned differs_epoch; /* in the journal's order, and where in it */
    uint64_t differs_cursor;
    uint64_t promote_point;
    void (*differs_cb)(void *arg, unsigned disk, uint64_t block, uint64_t count);
    void *differs_arg;
    bool is_promoted;   /* since then apply rests */
    bool has_forgotten; /* epochs that are still on disk: goes on as promoted only */

    /* Receiving. */
    uint64_t needed_bytes, blocked_until_ns;
    struct volume *full; /* its store has no room (C6); NULL: none */
    int partial_error;   /* C4: 0, or why the partial epoch cannot be committed */
    unsigned commit_syncs;
    int commit_error;
    bool is_committing;
    struct journal_epoch commit_epoch;
    struct replica_op *commit_op;
    struct state_save commit_save;
    unsigned op_count; /* replica_op under way */
    struct list later; /* replica_op: done, to be told by the work task */
    struct list holes; /* replica_op: of first copies, on their way to the base */
    unsigned hole_count;
    struct list behind; /* replica_op: wait for one of those (C5) */

    bool is_closing;
    bool is_closed; /* but for the memory of the journal */
    void (*closed_cb)(void *arg);
    void *closed_arg;
};

static inline void replica_kick(struct replica *replica)
{
    loop_defer(replica->loop, &replica->work);
}

struct replica_op_state { /* in replica_op.private */
    int error;
    unsigned disk;
    uint64_t bytes;
    uint64_t first, end; /* blocks, of a first copy */
};

static inline struct replica_op_state *replica_op_state(struct replica_op *op)
{
    _Static_assert(sizeof(struct replica_op_state) <= sizeof(op->private), "fits");
    return (struct replica_op_state *)(void *)op->private;
}

static inline void replica_op_begin(struct replica *replica, struct replica_op *op,
                                    void (*done_cb)(struct replica_op *op, int error))
{
    op->replica = replica;
    op->done_cb = done_cb;
    *replica_op_state(op) = (struct replica_op_state){0};
    replica->op_count++;
}

/* Tells it from the work task. */
static inline void replica_op_end(struct replica_op *op, int error)
{
    replica_op_state(op)->error = error;
    list_append(&op->replica->later, &op->node);
    replica_kick(op->replica);
}

#endif
