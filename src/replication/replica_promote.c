/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Promotion: the newest view becomes what hosts shall see, in memory only. What makes it durable
 * is the caller's (failover.c).
 *
 *   P1  nothing of it begins before apply rests and the journal is settled;
 *   P2  what lies behind the point is told before it is forgotten (R13);
 *   P3  what walks an epoch goes in pieces, one a turn: there may be millions of extents, and hosts
 *       of other disks are served meanwhile. Nobody reads the view in between: the hosts of these
 *       disks are held, and nothing is received.
 */
#include "replication/replica_promote.h"

#include <errno.h>
#include <stdio.h>

#include "base/check.h"
#include "volume/volume.h"

/* R12: which epochs can be shown. 0 asks for the newest. */
static int find_point(const struct replica *replica, uint64_t point, uint64_t *ret_point)
{
    const struct stream_state *state = replica->state;
    uint64_t wall_ns, newest = replica_epoch(replica, &wall_ns);

    *ret_point = point == 0 ? newest : point;
    if (*ret_point < state->applying || *ret_point < state->applied)
        return -ENODATA;
    if (*ret_point == newest || *ret_point == state->applied)
        return 0;
    for (unsigned i = 0; i < journal_epoch_count(replica->journal); i++)
        if (journal_epoch_at(replica->journal, i)->epoch == *ret_point)
            return 0;
    return -ENODATA;
}

/* P2; true: all is told. */
static bool report_differing(struct replica *replica)
{
    const struct journal *journal = replica->journal;
    uint64_t left = replica->pieces.index_extents;
    struct journal_extent extent;

    for (; replica->differs_epoch < journal_epoch_count(journal); replica->differs_epoch++) {
        uint64_t epoch = journal_epoch_at(journal, replica->differs_epoch)->epoch;

        if (epoch <= replica->promote_point)
            continue;
        while (journal_epoch_next(journal, epoch, &replica->differs_cursor, &extent)) {
            replica->differs_cb(replica->differs_arg, extent.disk, extent.block, extent.count);
            if (--left == 0)
                return false;
        }
        replica->differs_cursor = 0;
    }
    return true;
}

int replica_open_superseded(struct replica *replica, bool is_fresh, struct err *err)
{
    uint64_t block_counts[STREAM_DISKS_MAX];
    bool has_journal[STREAM_DISKS_MAX];
    struct superseded_options options = {.folder = replica->folder,
                                         .disk_count = replica->disk_count,
                                         .block_counts = block_counts,
                                         .has_journal = has_journal,
                                         .is_fresh = is_fresh};

    for (unsigned i = 0; i < replica->disk_count; i++) {
        struct journal_extent extent;

        block_counts[i] = volume_block_count(replica->disks[i].volume);
        has_journal[i] = journal_next(replica->journal, i, 0, 1, &extent) && extent.disk == i;
    }
    return superseded_open(replica->loop, &options, &replica->superseded, err);
}

static void end(struct replica *replica, int error)
{
    struct replica_op *op = replica->promote_op;

    replica->promote_op = NULL;
    replica->promote = PROMOTE_BEGIN;
    replica_op_end(op, error);
}

static void begin(struct replica *replica)
{
    int error = find_point(replica, replica->promote_point, &replica->promote_point);

    if (error != 0) {
        end(replica, error);
        return;
    }
    replica->differs_epoch = 0;
    replica->differs_cursor = 0;
    replica->promote = PROMOTE_DIFFERS;
}

static void forget(struct replica *replica)
{
    uint64_t wall_ns;

    replica->has_forgotten = replica->promote_point < replica_epoch(replica, &wall_ns);
    journal_forget_after(replica->journal, replica->promote_point);
    replica->promote = PROMOTE_FORGET;
}

static void finish(struct replica *replica)
{
    struct err err = {0};
    int error;

    superseded_close(replica->superseded); /* of a promotion that was given up */
    replica->superseded = NULL;
    error = replica_open_superseded(replica, true, &err);
    replica->is_promoted = error == 0;
    if (error != 0)
        snprintf(replica->trouble, sizeof(replica->trouble), "promotion: %.380s", err.text);
    end(replica, error);
}

void replica_promote_step(struct replica *replica)
{
    if (replica->promote_op == NULL || replica->apply != APPLY_IDLE || replica->moving > 0 ||
        replica->is_saving || !journal_is_settled(replica->journal)) /* P1 */
        return;
    if (replica->promote == PROMOTE_BEGIN)
        begin(replica);
    if (replica->promote == PROMOTE_DIFFERS) {
        if (report_differing(replica))
            forget(replica);
        if (replica->promote == PROMOTE_DIFFERS || !journal_is_settled(replica->journal)) {
            replica_kick(replica);
            return;
        }
    }
    if (replica->promote == PROMOTE_FORGET)
        finish(replica);
}

void replica_promote(struct replica *replica, struct replica_op *op, uint64_t point,
                     void (*differs_cb)(void *arg, unsigned disk, uint64_t block, uint64_t count),
                     void *arg, void (*done_cb)(struct replica_op *op, int error))
{
    check_magic(replica, REPLICA_MAGIC);
    check(replica->promote_op == NULL && replica->commit_op == NULL && !replica->is_closing);
    check(replica->state->role == STREAM_ROLE_TARGET);
    check(journal_partial_bytes(replica->journal) == 0);
    replica_op_begin(replica, op, done_cb);
    replica->promote_op = op;
    replica->promote_point = point;
    replica->differs_cb = differs_cb;
    replica->differs_arg = arg;
    replica_kick(replica);
}
