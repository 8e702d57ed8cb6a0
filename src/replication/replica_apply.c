/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Apply: the oldest epochs go from the journal to the base.
 *
 *   A1  "applying n" is durable before the base is touched, n being the batch's last epoch: from
 *       then on points before n are gone;
 *   A2  epochs of a batch go one after the other, blocks of one epoch side by side;
 *   A3  the bases are synced before "applied n" is saved, and the journal lets go of the epochs
 *       only when that is durable: so a crash anywhere means doing it again, never a loss;
 *   A4  epochs of the retention window stay, unless the journal runs full, a batch that was begun
 *       has to be ended, or the stream wants everything home.
 */
#include "replication/replica_apply.h"

#include "base/check.h"
#include "base/step.h"
#include "replication/replica_move.h"

static bool must_rest(const struct replica *replica)
{
    return replica->is_promoted || replica->promote_op != NULL || replica->is_closing;
}

static bool is_hurried(const struct replica *replica)
{
    return replica->needed_bytes > 0 ||
           journal_bytes(replica->journal) > replica->journal_bytes_max / 4 * 3;
}

/* A4: how many of the oldest epochs are due. */
static unsigned due_count(const struct replica *replica)
{
    const struct journal *journal = replica->journal;
    unsigned total = journal_epoch_count(journal), count = 0;
    uint64_t wall_ns = loop_wall_ns(replica->loop), behind = journal_epochs_bytes(journal);
    uint64_t taken = 0;

    for (; count < total; count++) {
        const struct journal_epoch *epoch = journal_epoch_at(journal, count);
        bool is_old =
            epoch->cut_wall_ns <= wall_ns && wall_ns - epoch->cut_wall_ns >= replica->retain_ns;
        bool is_begun = epoch->epoch <= replica->state->applying;
        bool is_pressed = is_hurried(replica) && taken < replica->journal_bytes_max / 4;

        if (!is_old && !is_begun && !is_pressed && !replica->wants_drain &&
            behind <= replica->retain_bytes)
            break;
        behind -= epoch->bytes;
        taken += epoch->bytes;
    }
    return count;
}

uint64_t replica_apply_due_ns(const struct replica *replica)
{
    uint64_t now = loop_now_ns(replica->loop), wall_ns = loop_wall_ns(replica->loop), age;
    const struct journal_epoch *epoch;

    if (replica->state->role != STREAM_ROLE_TARGET || replica->apply != APPLY_IDLE ||
        journal_epoch_count(replica->journal) == 0)
        return UINT64_MAX;
    epoch = journal_epoch_at(replica->journal, 0);
    age = wall_ns > epoch->cut_wall_ns ? wall_ns - epoch->cut_wall_ns : 0;
    return age >= replica->retain_ns ? now : now + (replica->retain_ns - age);
}

static void begin(struct replica *replica)
{
    struct stream_state *state = replica->state;
    unsigned count = due_count(replica);
    uint64_t wall_ns, newest = replica_epoch(replica, &wall_ns);

    if (count == 0)
        return;
    if (state->epoch < newest) /* a journal that is lost later will be missed */
        state->epoch = newest;
    replica->apply_last = journal_epoch_at(replica->journal, count - 1)->epoch;
    replica->apply_now = journal_epoch_at(replica->journal, 0)->epoch;
    replica->apply_cursor = 0;
    replica->apply_rest.count = 0;
    step_point("apply-before-mark");
    replica->apply = APPLY_MARK;
    replica->state->applying = replica->apply_last;
    replica_save_state(replica);
}

static void moved(struct replica_mover *mover, int error)
{
    if (error != 0)
        mover->replica->work_error = error;
}

/* The next part of the present epoch. */
static bool next_part(struct replica *replica, struct journal_extent *ret_extent)
{
    struct journal_extent *rest = &replica->apply_rest;
    uint64_t max;

    if (rest->count == 0 &&
        !journal_epoch_next(replica->journal, replica->apply_now, &replica->apply_cursor, rest))
        return false;
    max = replica_move_max(replica, rest);
    *ret_extent = *rest;
    if (ret_extent->count > max)
        ret_extent->count = max;
    rest->block += ret_extent->count;
    rest->location[1] += ret_extent->count;
    rest->count -= ret_extent->count;
    return true;
}

/* True: all epochs of the batch are in the bases. */
static bool move(struct replica *replica)
{
    struct replica_mover *mover;
    struct journal_extent extent;

    while (replica->work_error == 0 && !must_rest(replica) &&
           (mover = replica_mover_free(replica)) != NULL) {
        if (next_part(replica, &extent)) {
            replica_mover_start(mover, &extent, NULL, moved);
            continue;
        }
        if (replica->moving > 0) /* A2 */
            return false;
        if (replica->apply_now == replica->apply_last)
            return true;
        for (unsigned i = 0; i < journal_epoch_count(replica->journal); i++) {
            if (journal_epoch_at(replica->journal, i)->epoch > replica->apply_now) {
                replica->apply_now = journal_epoch_at(replica->journal, i)->epoch;
                break;
            }
        }
        replica->apply_cursor = 0;
    }
    return false;
}

static void finish(struct replica *replica)
{
    replica->apply = APPLY_IDLE;
    replica->trouble[0] = 0;
    step_point("apply-recorded");
    journal_release(replica->journal, replica->apply_last);
    step_point("apply-released");
    replica->changed_cb(replica->arg);
    replica_kick(replica);
}

static uint64_t cut_of(const struct replica *replica, uint64_t epoch)
{
    for (unsigned i = 0; i < journal_epoch_count(replica->journal); i++)
        if (journal_epoch_at(replica->journal, i)->epoch == epoch)
            return journal_epoch_at(replica->journal, i)->cut_wall_ns;
    return 0;
}

/* A3 */
static void record(struct replica *replica)
{
    step_point("apply-synced");
    replica->state->applied = replica->apply_last;
    replica->state->point_wall_ns = cut_of(replica, replica->apply_last);
    replica->apply = APPLY_DONE;
    replica_save_state(replica);
}

void replica_apply_step(struct replica *replica)
{
    bool is_waiting = replica->is_saving || replica->syncing > 0;

    if (replica->apply == APPLY_IDLE) {
        /* Unsettled: space that is about to become free would be made by further epochs. */
        if (replica->state->role == STREAM_ROLE_TARGET && !must_rest(replica) && !is_waiting &&
            journal_is_settled(replica->journal) && loop_now_ns(replica->loop) >= replica->retry_ns)
            begin(replica);
        return;
    }
    if (is_waiting)
        return;
    if (replica->apply == APPLY_MARK && replica->work_error == 0)
        replica->apply = APPLY_MOVE;
    if (replica->apply == APPLY_MOVE && move(replica)) {
        step_point("apply-moved");
        replica->apply = APPLY_SYNC;
        replica_sync_bases(replica);
        return;
    }
    if (replica->moving > 0)
        return;
    if (replica->work_error != 0) {
        replica->apply = APPLY_IDLE;
        replica_fail_work(replica, "bringing epochs to the disks");
        replica_kick(replica);
    } else if (replica->apply == APPLY_MOVE && must_rest(replica)) {
        replica->apply = APPLY_IDLE; /* it is done again, or drained */
        replica_kick(replica);
    } else if (replica->apply == APPLY_SYNC) {
        record(replica);
    } else if (replica->apply == APPLY_DONE) {
        finish(replica);
    }
}
