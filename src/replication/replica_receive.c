/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receiving.
 *
 *   C1  data of a disk whose first copy is not done goes straight to its base: there is no point to
 *       keep. Those bases are synced before the journal commits the epoch;
 *   C2  has_point and "not initial" are saved after the commit and before it is told: a crash in
 *       between makes the source send that epoch again, which is harmless. A HELLO tells neither
 *       before: the source would keep what it heard (R16);
 *   C3  when the journal is full, data is refused until what is missing has become free, by apply
 *       (which is hurried) and by the abort of the partial epoch;
 *   C4  data that could not be taken spoil the partial epoch: it can only be aborted, whatever is
 *       taken after them;
 *   C5  what comes later for a block wins. The journal numbers its records, and a write of the base
 *       takes its lock when it comes; but a hole goes there in pieces, one lock after the other:
 *       what lies in a hole that is under way waits for its end;
 *   C6  when a base's store has no room, data is refused likewise. What it lacks is not known, and
 *       nothing of ours becomes free there: some seconds later it is tried again.
 */
#include "replication/replica_receive.h"

#include <errno.h>

#include "base/check.h"
#include "base/crc32c.h"

#define DISK_FULL_WAIT_NS (5ull * 1000 * 1000 * 1000)

/* Why nothing can be received now; 0: it can. */
static int refusal(struct replica *replica)
{
    check_magic(replica, REPLICA_MAGIC);
    check(!replica->is_closing);
    if (replica->state->role != STREAM_ROLE_TARGET || replica->has_forgotten)
        return -ESHUTDOWN;
    replica->is_promoted = false; /* a promotion that was given up */
    return 0;
}

/* C3 */
static void note_full(struct replica *replica, uint64_t bytes)
{
    uint64_t needed = journal_partial_bytes(replica->journal) + bytes;

    if (needed > replica->needed_bytes)
        replica->needed_bytes = needed;
    if (journal_bytes(replica->journal) + bytes <= replica->journal_bytes_max)
        replica->blocked_until_ns = loop_now_ns(replica->loop) + DISK_FULL_WAIT_NS;
    replica_kick(replica);
}

/* C6 */
static void note_full_store(struct replica_op *op)
{
    struct replica *replica = op->replica;

    replica->full = replica->disks[replica_op_state(op)->disk].volume;
    replica->blocked_until_ns = loop_now_ns(replica->loop) + DISK_FULL_WAIT_NS;
    replica_kick(replica);
}

static bool has_journal_room(const struct replica *replica)
{
    return replica->needed_bytes == 0 ||
           journal_bytes(replica->journal) + replica->needed_bytes <= replica->journal_bytes_max;
}

static void see_space(struct replica *replica)
{
    if ((replica->needed_bytes == 0 && replica->full == NULL) ||
        journal_partial_bytes(replica->journal) > 0 || replica->op_count > 0 ||
        loop_now_ns(replica->loop) < replica->blocked_until_ns || replica->apply != APPLY_IDLE ||
        !has_journal_room(replica))
        return;
    replica->needed_bytes = 0;
    replica->full = NULL;
    replica->changed_cb(replica->arg);
}

/* --- data ------------------------------------------------------------------------------------ */

static void receive_end(struct replica_op *op, int error)
{
    if (error != 0)
        op->replica->partial_error = error; /* C4 */
    replica_op_end(op, error);
}

static void append_done(struct journal_op *journal_op, int error)
{
    struct replica_op *op = container_of(journal_op, struct replica_op, journal_op);

    if (error == -ENOSPC)
        note_full(op->replica, replica_op_state(op)->bytes);
    receive_end(op, error);
}

static void base_done(struct base_write *write, int error)
{
    struct replica_op *op = container_of(write, struct replica_op, base_write);

    if (error == -ENOSPC)
        note_full_store(op);
    receive_end(op, error);
}

static void base_write(struct replica_op *op, void (*done_cb)(struct base_write *write, int error))
{
    op->base_write.done_cb = done_cb;
    op->base_write.locked_cb = NULL;
    volume_base_write(op->replica->disks[replica_op_state(op)->disk].volume, &op->base_write);
}

static bool is_initial(const struct replica *replica, unsigned disk)
{
    check(disk < replica->disk_count);
    return replica->state->disks[disk].is_initial;
}

static bool is_intact(const uint8_t *bytes, const uint32_t *crcs, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        if (crc32c(0, bytes + i * BLOCK_SIZE, BLOCK_SIZE) != crcs[i])
            return false;
    return true;
}

/* C5 */
static bool must_wait(const struct replica *replica, struct replica_op *op)
{
    const struct replica_op_state *state = replica_op_state(op);

    if (replica->hole_count >= replica->pieces.hole_count)
        return true;
    for (struct list *node = replica->holes.next; node != &replica->holes; node = node->next) {
        const struct replica_op_state *hole =
            replica_op_state(list_entry(node, struct replica_op, node));

        if (hole->disk == state->disk && hole->first < state->end && state->first < hole->end)
            return true;
    }
    return false;
}

static void hole_done(struct base_write *write, int error);

static void base_begin(struct replica_op *op)
{
    if (op->base_write.kind != BASE_WRITE_HOLE) {
        base_write(op, base_done);
        return;
    }
    list_append(&op->replica->holes, &op->node);
    op->replica->hole_count++;
    hole_done(&op->base_write, 0);
}

/* Who waits keeps his place before those who come later. */
static void base_take(struct replica_op *op)
{
    struct replica *replica = op->replica;

    if (!list_is_empty(&replica->behind) || must_wait(replica, op))
        list_append(&replica->behind, &op->node);
    else
        base_begin(op);
}

static void hole_end(struct replica_op *op, int error)
{
    struct replica *replica = op->replica;

    list_remove(&op->node);
    replica->hole_count--;
    receive_end(op, error);
    while (!list_is_empty(&replica->behind)) {
        struct replica_op *next = list_entry(replica->behind.next, struct replica_op, node);

        if (must_wait(replica, next))
            return;
        list_remove(&next->node);
        base_begin(next);
    }
}

/* A long hole goes to the base in pieces. */
static void hole_done(struct base_write *write, int error)
{
    struct replica_op *op = container_of(write, struct replica_op, base_write);
    struct replica_op_state *state = replica_op_state(op);
    uint64_t block = write->block + write->count;
    uint64_t max = op->replica->pieces.hole_blocks;
    uint64_t count = state->bytes < max ? state->bytes : max;

    if (error == -ENOSPC)
        note_full_store(op);
    if (error != 0 || count == 0) {
        hole_end(op, error);
        return;
    }
    state->bytes -= count;
    op->base_write = (struct base_write){.kind = BASE_WRITE_HOLE, .block = block, .count = count};
    base_write(op, hole_done);
}

void replica_data(struct replica *replica, struct replica_op *op, unsigned disk, uint64_t block,
                  uint64_t count, const uint8_t *bytes, const uint32_t *crcs,
                  void (*done_cb)(struct replica_op *op, int error))
{
    int error = refusal(replica);

    check(count >= 1 && count <= REPLICA_BLOCKS);
    replica_op_begin(replica, op, done_cb);
    replica_op_state(op)->disk = disk;
    replica_op_state(op)->bytes = count * BLOCK_SIZE + BLOCK_SIZE;
    replica_op_state(op)->first = block;
    replica_op_state(op)->end = block + count;
    if (error == 0 && is_initial(replica, disk) && !is_intact(bytes, crcs, count))
        error = -EBADMSG;
    if (error != 0) {
        receive_end(op, error);
    } else if (is_initial(replica, disk)) {
        op->base_write = (struct base_write){
            .kind = BASE_WRITE_DATA, .block = block, .count = count, .bytes = bytes};
        base_take(op);
    } else {
        journal_append(replica->journal, &op->journal_op, disk, block, count, bytes, crcs,
                       append_done);
    }
}

void replica_hole(struct replica *replica, struct replica_op *op, unsigned disk, uint64_t block,
                  uint64_t count, void (*done_cb)(struct replica_op *op, int error))
{
    int error = refusal(replica);

    check(count >= 1);
    replica_op_begin(replica, op, done_cb);
    replica_op_state(op)->disk = disk;
    if (error != 0) {
        receive_end(op, error);
    } else if (is_initial(replica, disk)) {
        replica_op_state(op)->bytes = count; /* blocks still to do */
        replica_op_state(op)->first = block;
        replica_op_state(op)->end = block + count;
        op->base_write = (struct base_write){.kind = BASE_WRITE_HOLE, .block = block};
        base_take(op);
    } else {
        replica_op_state(op)->bytes = BLOCK_SIZE;
        journal_append_hole(replica->journal, &op->journal_op, disk, block, count, append_done);
    }
}

/* --- commit ---------------------------------------------------------------------------------- */

static void commit_end(struct replica *replica, int error)
{
    struct replica_op *op = replica->commit_op;

    replica->commit_op = NULL;
    if (error == -ENOSPC)
        note_full(replica, BLOCK_SIZE);
    replica_op_end(op, error);
    if (error == 0)
        replica->changed_cb(replica->arg);
}

static void commit_saved(struct state_save *save, int error)
{
    struct replica *replica = container_of(save, struct replica, commit_save);

    check_magic(replica, REPLICA_MAGIC);
    if (error == 0) {
        replica->state->is_point_unsaved = false;
        for (unsigned i = 0; i < replica->disk_count; i++)
            replica->state->disks[i].is_copy_unsaved = false;
    }
    /* Room that comes later helps nobody here: the file of the state ends with its first error, and
     * the epochs behind this one would be told without it. */
    commit_end(replica, error == -ENOSPC || error == -ENOMEM ? -EIO : error);
}

/* C2 */
static void journal_done(struct journal_op *journal_op, int error)
{
    struct replica_op *op = container_of(journal_op, struct replica_op, journal_op);
    struct replica *replica = op->replica;
    struct stream_state *state = replica->state;
    bool is_changed = !state->has_point || state->is_point_unsaved;

    for (unsigned i = 0; i < replica->disk_count; i++)
        is_changed = is_changed || state->disks[i].is_initial || state->disks[i].is_copy_unsaved;
    if (error != 0 || !is_changed) {
        commit_end(replica, error);
        return;
    }
    for (unsigned i = 0; i < replica->disk_count; i++) {
        state->disks[i].is_copy_unsaved |= state->disks[i].is_initial;
        state->disks[i].is_initial = false;
    }
    state->is_point_unsaved = state->is_point_unsaved || !state->has_point;
    state->has_point = true;
    if (state->epoch < replica->commit_epoch.epoch)
        state->epoch = replica->commit_epoch.epoch;
    state_file_save(replica->state_file, &replica->commit_save, commit_saved);
}

static void base_synced(struct base_write *write, int error)
{
    struct replica_disk *disk = container_of(write, struct replica_disk, commit_sync);
    struct replica *replica = disk->replica;

    check_magic(replica, REPLICA_MAGIC);
    check(replica->commit_syncs > 0);
    replica->commit_syncs--;
    if (error != 0)
        replica->commit_error = error;
    replica_kick(replica);
}

void replica_commit(struct replica *replica, struct replica_op *op,
                    const struct journal_epoch *epoch,
                    void (*done_cb)(struct replica_op *op, int error))
{
    int error = refusal(replica);

    if (error == 0)
        error = replica->partial_error;
    replica_op_begin(replica, op, done_cb);
    if (error != 0) {
        replica_op_end(op, error);
        return;
    }
    check(replica->commit_op == NULL && !replica->is_committing);
    replica->commit_op = op;
    replica->commit_epoch = *epoch;
    replica->commit_error = 0;
    replica->is_committing = true;
    for (unsigned i = 0; i < replica->disk_count; i++) {
        if (!is_initial(replica, i))
            continue;
        replica->commit_syncs++;
        volume_base_sync(replica->disks[i].volume, &replica->disks[i].commit_sync, base_synced);
    }
    replica_kick(replica);
}

/* C1: the bases are synced. */
static void commit_step(struct replica *replica)
{
    if (!replica->is_committing || replica->commit_syncs > 0)
        return;
    replica->is_committing = false;
    if (replica->commit_error != 0)
        commit_end(replica, replica->commit_error);
    else
        journal_commit(replica->journal, &replica->commit_op->journal_op, &replica->commit_epoch,
                       journal_done);
}

static void abort_done(struct journal_op *journal_op, int error)
{
    struct replica_op *op = container_of(journal_op, struct replica_op, journal_op);

    if (error == 0)
        op->replica->partial_error = 0;
    replica_op_end(op, error);
}

void replica_abort(struct replica *replica, struct replica_op *op,
                   void (*done_cb)(struct replica_op *op, int error))
{
    check_magic(replica, REPLICA_MAGIC);
    check(replica->commit_op == NULL);
    replica_op_begin(replica, op, done_cb);
    journal_abort(replica->journal, &op->journal_op, abort_done);
}

void replica_receive_step(struct replica *replica)
{
    struct list done, *node;

    commit_step(replica);
    list_init(&done);
    while ((node = list_pop(&replica->later)) != NULL)
        list_append(&done, node);
    while ((node = list_pop(&done)) != NULL) {
        struct replica_op *op = list_entry(node, struct replica_op, node);

        check(replica->op_count > 0);
        replica->op_count--;
        op->done_cb(op, replica_op_state(op)->error);
    }
    while ((node = list_pop(&replica->zeros)) != NULL) {
        struct overlay_read *read = list_entry(node, struct overlay_read, node);

        check(replica->reads > 0);
        replica->reads--;
        read->done_cb(read, 0);
    }
    see_space(replica);
}
