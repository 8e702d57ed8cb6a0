/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The drain.
 *
 *   D1  a block is drained only if, under the range lock, the newest view still shows the very
 *       content that was read: else a host has replaced it meanwhile, and its write is the newer;
 *   D2  drained counts as superseded (R10): volatile at once, durable behind a base sync, every
 *       64 MiB and at the end, or a crash would revive journal blocks over later host writes;
 *   D3  "drained" is saved after a sync of every base that began when the newest view was empty:
 *       what hosts replaced and did not flush is in it too. Only then the journal goes.
 */
#include "replication/replica_drain.h"

#include <errno.h>

#include "base/check.h"
#include "base/log.h"
#include "base/step.h"
#include "replication/replica_move.h"

/* D1 */
static bool is_still_shown(struct replica_mover *mover)
{
    const struct journal_extent *extent = &mover->extent;
    struct journal_extent shown;

    return journal_lookup(mover->replica->journal, extent->disk, extent->block, extent->count,
                          &shown) &&
           shown.count == extent->count && shown.location[0] == extent->location[0] &&
           shown.location[1] == extent->location[1];
}

/* D2 */
static void moved(struct replica_mover *mover, int error)
{
    struct replica *replica = mover->replica;
    const struct journal_extent *extent = &mover->extent;

    if (error == -ECANCELED) {
        replica->is_pass_clean = false;
    } else if (error != 0) {
        replica->work_error = error;
    } else {
        superseded_mark(replica->superseded, extent->disk, extent->block, extent->count);
        journal_supersede(replica->journal, extent->disk, extent->block, extent->count);
        replica->drain_unsynced += extent->count * BLOCK_SIZE;
    }
}

/* Starts what can be started; true: this pass is at its end, or a sync is due. */
static bool move(struct replica *replica)
{
    const struct pieces *pieces = &replica->pieces;
    uint64_t max = /* whether it is a hole is known behind the lookup only */
        pieces->move_blocks < pieces->hole_blocks ? pieces->move_blocks : pieces->hole_blocks;
    struct replica_mover *mover;
    struct journal_extent extent;

    while (replica->work_error == 0 && !replica->is_closing &&
           (mover = replica_mover_free(replica)) != NULL) {
        if (replica->drain_unsynced >= replica->pieces.drain_bytes ||
            !journal_next(replica->journal, replica->drain_disk, replica->drain_block, max,
                          &extent))
            return replica->moving == 0;
        replica->drain_disk = extent.disk;
        replica->drain_block = extent.block + extent.count;
        replica_mover_start(mover, &extent, is_still_shown, moved);
    }
    return false;
}

static bool is_view_empty(const struct replica *replica)
{
    struct journal_extent extent;

    return !journal_next(replica->journal, 0, 0, 1, &extent);
}

static void begin_pass(struct replica *replica)
{
    replica->drain = DRAIN_MOVE;
    replica->drain_disk = 0;
    replica->drain_block = 0;
    replica->is_pass_clean = true;
}

static void begin_sync(struct replica *replica)
{
    replica->is_drain_final = is_view_empty(replica);
    if (!replica->is_drain_final && replica->drain_unsynced < replica->pieces.drain_bytes) {
        begin_pass(replica); /* something was skipped: look again */
        replica_kick(replica);
        return;
    }
    for (unsigned i = 0; i < replica->disk_count && replica->is_drain_final; i++)
        replica->disks[i].is_touched = true; /* D3 */
    step_point("drain-moved");
    replica->drain_unsynced = 0;
    replica->drain = DRAIN_SYNC;
    replica_sync_bases(replica);
}

static void record(struct replica *replica)
{
    struct stream_state *state = replica->state;
    uint64_t wall_ns, newest = replica_epoch(replica, &wall_ns);

    step_point("drain-synced");
    state->is_drained = true;
    state->applied = state->applying = newest;
    state->point_wall_ns = wall_ns;
    replica->drain = DRAIN_RECORD;
    replica_save_state(replica);
}

static bool is_journal_in_use(const struct replica *replica)
{
    bool is_recording = false;

    for (unsigned i = 0; i < replica->disk_count; i++)
        is_recording = is_recording || replica->disks[i].flushed != NULL;
    return replica->reads > 0 || is_recording;
}

int replica_drop_journal(struct replica *replica, struct err *err)
{
    int error = journal_reset(replica->journal, err);

    step_point("drain-journal-reset");
    superseded_close(replica->superseded);
    replica->superseded = NULL;
    superseded_remove_spares(replica->loop, replica->folder, replica->disk_count);
    if (error == 0)
        error = superseded_remove(replica->loop, replica->folder, replica->disk_count, err);
    return error;
}

static void finish(struct replica *replica)
{
    struct err err = {0};

    if (is_journal_in_use(replica))
        return; /* kicked again when that ends */
    step_point("drain-recorded");
    if (replica_drop_journal(replica, &err) != 0) /* the next start does it */
        log_warning("replica", "%s: %s", replica->stream, err.text);
    replica->drain = DRAIN_IDLE;
    replica->trouble[0] = 0;
    replica->changed_cb(replica->arg);
    replica_kick(replica);
}

static void fail(struct replica *replica)
{
    if (replica->drain == DRAIN_RECORD)
        replica->state->is_drained = false;
    replica->drain = DRAIN_IDLE;
    replica_fail_work(replica, "bringing the journal to the disks");
    replica_kick(replica);
}

void replica_drain_step(struct replica *replica)
{
    if (replica->state->role == STREAM_ROLE_TARGET || replica->is_saving || replica->syncing > 0)
        return;
    if (replica->drain == DRAIN_IDLE) {
        if (!replica->wants_drain || replica->state->is_drained || replica->is_closing ||
            loop_now_ns(replica->loop) < replica->retry_ns)
            return;
        begin_pass(replica);
    }
    if (replica->drain == DRAIN_MOVE && move(replica)) {
        begin_sync(replica);
        return;
    }
    if (replica->moving > 0)
        return;
    if (replica->work_error != 0) {
        fail(replica);
    } else if (replica->drain == DRAIN_MOVE) {
        if (replica->is_closing)
            replica->drain = DRAIN_IDLE;
    } else if (replica->drain == DRAIN_SYNC && replica->is_drain_final) {
        record(replica);
    } else if (replica->drain == DRAIN_SYNC) {
        replica->drain = DRAIN_MOVE; /* on from where it was */
        replica_kick(replica);
    } else if (replica->drain == DRAIN_RECORD) {
        replica->drain = DRAIN_DONE;
        finish(replica);
    } else if (replica->drain == DRAIN_DONE) {
        finish(replica);
    }
}
