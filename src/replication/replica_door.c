/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The replica's life: opening, promotion, closing, and the one task that does all background work.
 *
 * Every completion kicks the task; the task looks at everything that can go on: what was received,
 * apply, a promotion that waits, the drain, the end. So no part calls another, and there is one
 * place where their order stands (work()).
 */
#include "replication/replica.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "replication/replica_apply.h"
#include "replication/replica_drain.h"
#include "replication/replica_overlay.h"
#include "replication/replica_promote.h"
#include "replication/replica_receive.h"
#include "volume/volume.h"

enum { HOLE_BLOCKS = 8192, HOLE_COUNT = 64, DRAIN_BYTES = 64 << 20, INDEX_EXTENTS = 256 };

#define TIMER_NS_MAX (60ull * 1000 * 1000 * 1000)

/* --- what it shows --------------------------------------------------------------------------- */

uint64_t replica_epoch(const struct replica *replica, uint64_t *ret_cut_wall_ns)
{
    unsigned count = journal_epoch_count(replica->journal);
    uint64_t epoch = replica->state->applied;

    check_magic(replica, REPLICA_MAGIC);
    *ret_cut_wall_ns = replica->state->point_wall_ns;
    if (count > 0 && journal_epoch_at(replica->journal, count - 1)->epoch > epoch) {
        epoch = journal_epoch_at(replica->journal, count - 1)->epoch;
        *ret_cut_wall_ns = journal_epoch_at(replica->journal, count - 1)->cut_wall_ns;
    }
    return epoch;
}

uint64_t replica_journal_bytes(const struct replica *replica)
{
    check_magic(replica, REPLICA_MAGIC);
    return journal_bytes(replica->journal);
}

uint64_t replica_needed_bytes(const struct replica *replica)
{
    check_magic(replica, REPLICA_MAGIC);
    return replica->needed_bytes;
}

const char *replica_full_disk(const struct replica *replica)
{
    check_magic(replica, REPLICA_MAGIC);
    return replica->full != NULL ? volume_name(replica->full) : NULL;
}

const char *replica_trouble(const struct replica *replica)
{
    check_magic(replica, REPLICA_MAGIC);
    return replica->trouble;
}

bool replica_is_drained(const struct replica *replica)
{
    check_magic(replica, REPLICA_MAGIC);
    if (replica->state->role == STREAM_ROLE_TARGET)
        return journal_epoch_count(replica->journal) == 0 && replica->apply == APPLY_IDLE;
    return replica->state->is_drained && replica->drain == DRAIN_IDLE && !replica->is_saving;
}

/* --- after a promotion ------------------------------------------------------------------------ */

void replica_drain(struct replica *replica)
{
    struct err err = {0};

    check_magic(replica, REPLICA_MAGIC);
    if (replica->has_forgotten && replica->state->role != STREAM_ROLE_TARGET) {
        /* The promotion is durable now. A failure fences the journal; the next start does it. */
        if (journal_discard_after(replica->journal, replica->state->point, &err) != 0)
            snprintf(replica->trouble, sizeof(replica->trouble), "%.390s", err.text);
        replica->has_forgotten = false;
    }
    replica->wants_drain = true;
    replica_kick(replica);
}

int replica_reset(struct replica *replica, struct err *err)
{
    check_magic(replica, REPLICA_MAGIC);
    check(replica->moving == 0 && replica->reads == 0 && replica->op_count == 0);
    check(replica->apply == APPLY_IDLE && replica->drain == DRAIN_IDLE && !replica->is_saving);
    replica->wants_drain = replica->is_promoted = replica->has_forgotten = false;
    replica->needed_bytes = 0;
    replica->full = NULL;
    replica->trouble[0] = 0;
    return replica_drop_journal(replica, err);
}

/* --- the task -------------------------------------------------------------------------------- */

static void set_timer(struct replica *replica)
{
    uint64_t now = loop_now_ns(replica->loop), at = replica_apply_due_ns(replica);

    if (replica->retry_ns > now && (replica->wants_drain || at < UINT64_MAX))
        at = replica->retry_ns;
    if ((replica->needed_bytes > 0 || replica->full != NULL) && replica->blocked_until_ns > now &&
        replica->blocked_until_ns < at)
        at = replica->blocked_until_ns;
    if (at == UINT64_MAX)
        return;
    if (at <= now) /* due, and something else keeps it: a while */
        at = now + 1000 * 1000 * 1000;
    if (at > now + TIMER_NS_MAX)
        at = now + TIMER_NS_MAX;
    loop_timer_set(replica->loop, &replica->timer, at);
}

static void timer_fired(struct loop_timer *timer)
{
    struct replica *replica = container_of(timer, struct replica, timer);

    check_magic(replica, REPLICA_MAGIC);
    replica_kick(replica);
}

static void destroy(struct replica *replica)
{
    journal_close(replica->journal);
    superseded_close(replica->superseded);
    free(replica->movers);
    replica->magic = 0;
    free(replica);
}

static bool may_close(const struct replica *replica)
{
    bool is_recording = false;

    for (unsigned i = 0; i < replica->disk_count; i++)
        is_recording = is_recording || replica->disks[i].flushed != NULL;
    return replica->is_closing && !is_recording && replica->reads == 0 && replica->moving == 0 &&
           replica->syncing == 0 && !replica->is_saving && replica->op_count == 0 &&
           replica->apply == APPLY_IDLE &&
           (replica->drain == DRAIN_IDLE || replica->drain == DRAIN_DONE) &&
           list_is_empty(&replica->work.node);
}

/* The end, once the memory is free: of millions of records that takes more than a turn. */
static void let_go(struct replica *replica)
{
    void (*closed_cb)(void *arg) = replica->closed_cb;
    void *arg = replica->closed_arg;

    if (!journal_let_go(replica->journal)) {
        replica_kick(replica);
        return;
    }
    destroy(replica);
    closed_cb(arg);
}

static void work(struct loop_task *task)
{
    struct replica *replica = container_of(task, struct replica, work);
    bool is_more;

    check_magic(replica, REPLICA_MAGIC);
    if (replica->is_closed) {
        let_go(replica);
        return;
    }
    is_more = journal_step(replica->journal);
    replica_receive_step(replica);
    replica_apply_step(replica);
    replica_promote_step(replica);
    replica_drain_step(replica);
    loop_timer_cancel(replica->loop, &replica->timer);
    if (may_close(replica)) {
        replica_overlay_set(replica, false);
        replica->is_closed = true;
        let_go(replica);
        return;
    }
    if (is_more)
        replica_kick(replica);
    set_timer(replica);
}

/* --- opening, closing ------------------------------------------------------------------------ */

static int check_journal(const struct replica *replica, struct err *err)
{
    const struct stream_state *state = replica->state;
    uint64_t wall_ns, newest = replica_epoch(replica, &wall_ns);
    uint64_t missing = journal_missing(replica->journal);

    if (missing > state->applied)
        return err_set(err, -EBADMSG,
                       "%s/journal lacks epochs up to %llu, and only those up to %llu are in the "
                       "disks: segments were lost",
                       replica->folder, (unsigned long long)missing,
                       (unsigned long long)state->applied);
    if (state->applying > newest)
        return err_set(err, -EBADMSG,
                       "%s/journal lacks epoch %llu, which is in the disks in part only",
                       replica->folder, (unsigned long long)state->applying);
    if (state->role == STREAM_ROLE_TARGET && newest < state->epoch)
        return err_set(err, -EBADMSG,
                       "%s/journal lacks epoch %llu, which was stored here: the disks hold older "
                       "content",
                       replica->folder, (unsigned long long)state->epoch);
    if (state->role != STREAM_ROLE_TARGET && newest < state->point)
        return err_set(err, -EBADMSG,
                       "%s/journal lacks epoch %llu, at which this site was failed over: the disks "
                       "hold older content",
                       replica->folder, (unsigned long long)state->point);
    return 0;
}

static void restore_superseded(void *arg, unsigned disk, uint64_t block, uint64_t count)
{
    struct replica *replica = arg;

    journal_supersede(replica->journal, disk, block, count);
}

/* What role and state say about the journal that was found. */
static int settle_journal(struct replica *replica, struct err *err)
{
    struct stream_state *state = replica->state;
    int error;

    if (state->role != STREAM_ROLE_TARGET && state->is_drained)
        return replica_drop_journal(replica, err);
    journal_release(replica->journal, state->applied);
    while (journal_step(replica->journal))
        ;
    error = check_journal(replica, err);
    if (error != 0 || state->role == STREAM_ROLE_TARGET) {
        if (error == 0)
            error = superseded_remove(replica->loop, replica->folder, replica->disk_count, err);
        return error;
    }
    if (journal_epoch_count(replica->journal) == 0)
        return 0; /* a base alone: nothing to supersede */
    error = journal_discard_after(replica->journal, state->point, err);
    if (error != 0)
        return error;
    error = replica_open_superseded(replica, false, err);
    if (error == 0)
        superseded_each(replica->superseded, restore_superseded, replica);
    return error;
}

static struct pieces take_pieces(const struct pieces *given)
{
    struct pieces pieces = {0};

    if (given != NULL)
        pieces = *given;
    pieces.hole_blocks = piece_or(pieces.hole_blocks, HOLE_BLOCKS);
    pieces.hole_count = piece_or(pieces.hole_count, HOLE_COUNT);
    pieces.move_blocks = piece_or(pieces.move_blocks, REPLICA_BLOCKS);
    pieces.drain_bytes = piece_or(pieces.drain_bytes, DRAIN_BYTES);
    pieces.index_extents = piece_or(pieces.index_extents, INDEX_EXTENTS);
    check(pieces.move_blocks <= REPLICA_BLOCKS);
    return pieces;
}

static struct replica *allocate(struct loop *loop, const struct replica_options *options)
{
    struct replica *replica = calloc(1, sizeof(*replica));

    if (replica == NULL)
        return NULL;
    replica->magic = REPLICA_MAGIC;
    replica->loop = loop;
    replica->state_file = options->state;
    replica->state = state_file_state(options->state);
    replica->disk_count = replica->state->disk_count;
    replica->journal_bytes_max = options->journal_bytes_max;
    replica->retain_ns = options->retain_ns;
    replica->retain_bytes = options->retain_bytes;
    replica->pieces = take_pieces(options->pieces);
    replica->changed_cb = options->changed_cb;
    replica->arg = options->arg;
    replica->work.run_cb = work;
    replica->timer.fired_cb = timer_fired;
    list_init(&replica->work.node);
    list_init(&replica->later);
    list_init(&replica->holes);
    list_init(&replica->behind);
    list_init(&replica->zeros);
    check(replica->disk_count <= STREAM_DISKS_MAX);
    for (unsigned i = 0; i < replica->disk_count; i++) {
        replica->disks[i].replica = replica;
        replica->disks[i].index = i;
        replica->disks[i].volume = options->volumes[i];
    }
    replica->movers = calloc(REPLICA_DEPTH, sizeof(replica->movers[0]));
    if (replica->movers == NULL) {
        free(replica);
        return NULL;
    }
    for (unsigned i = 0; i < REPLICA_DEPTH; i++)
        replica->movers[i].replica = replica;
    return replica;
}

int replica_open(struct loop *loop, const struct replica_options *options,
                 struct replica **ret_replica, struct err *err)
{
    struct replica *replica = allocate(loop, options);
    struct journal_options journal = {.stream = options->stream,
                                      .bytes_max = options->journal_bytes_max};
    char folder[PATH_MAX];
    int error;

    if (replica == NULL)
        return err_set(err, -ENOMEM, "no memory");
    if (strlen(options->folder) >= sizeof(replica->folder) - 64 ||
        strlen(options->stream) >= sizeof(replica->stream)) {
        free(replica->movers);
        free(replica);
        return err_set(err, -ENAMETOOLONG, "%.100s: name too long", options->folder);
    }
    strcpy(replica->folder, options->folder);
    strcpy(replica->stream, options->stream);
    snprintf(folder, sizeof(folder), "%s/journal", replica->folder);
    journal.folder = folder;
    journal.segment_bytes = replica->pieces.segment_bytes;
    journal.table_entries = replica->pieces.table_entries;
    journal.index_extents = replica->pieces.index_extents;
    journal.disk_count_max = replica->disk_count > 0 ? replica->disk_count : 1;
    error = journal_open(loop, &journal, &replica->journal, err);
    if (error == 0)
        error = settle_journal(replica, err);
    if (error != 0) {
        destroy(replica);
        return error;
    }
    replica_overlay_set(replica, true);
    replica->wants_drain = replica->state->role == STREAM_ROLE_PROMOTED;
    replica_kick(replica);
    *ret_replica = replica;
    return 0;
}

void replica_close(struct replica *replica, void (*closed_cb)(void *arg), void *arg)
{
    check_magic(replica, REPLICA_MAGIC);
    check(!replica->is_closing && closed_cb != NULL);
    replica->is_closing = true;
    replica->closed_cb = closed_cb;
    replica->closed_arg = arg;
    replica_kick(replica);
}
