/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is durable, in order, and what a crash or a cut link leaves (reverse=true; with false the
 * sites change places and the loser is PROMOTED with is_reprotect_open until it is TARGET):
 *
 *   loser FENCED                 nothing else happened: asked again, it starts over
 *   winner: union marked         a superset is marked: harmless
 *   winner SOURCE, open          at each meeting COMMIT is sent until the loser is TARGET
 *   loser: snapshots             made once for each (disk, label, stream): COMMIT again finds them
 *   loser TARGET                 its HELLO alone tells the winner that it is over
 *   winner: open = false
 *
 * Invariants:
 *   1. The loser's dirty sets are dropped only after COMMIT, which says that the winner has them
 *      durably, and with them the loser's own claim to write.
 *   2. The winner becomes SOURCE only after the loser told that its exports are closed.
 *   3. Messages of another exchange than the present one (nonce) are ignored.
 *   4. What was decided and cannot be ended now (the loser has no room for a snapshot, say) goes on
 *      by itself, but not before a pause: neither site begins anew while it rests.
 */
#include "replication/reprotect.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/step.h"
#include "replication/dirty_runs.h"
#include "replication/growth.h"
#include "replication/reprotect_rest.h"
#include "volume/volume.h"

#define PATIENCE_NS (60 * UINT64_C(1000000000))

static void finish(struct stream *stream, int error, const char *why)
{
    struct reprotect *reprotect = &stream->reprotect;
    stream_done_fn done_cb = reprotect->done_cb;

    loop_timer_cancel(stream->loop, &reprotect->timer);
    reprotect->done_cb = NULL;
    if (done_cb != NULL)
        done_cb(reprotect->done_arg, error, why);
    stream_changed(stream);
}

static void send_control(struct stream *stream, uint16_t type, const uint8_t *bytes,
                         uint32_t length)
{
    if (stream->is_link_up)
        (void)link_send_control(stream->link, stream->id, type, bytes, length);
}

static void refuse(struct stream *stream, int error, const char *text)
{
    struct stream_refused refused = {.nonce = stream->reprotect.nonce, .code = (uint32_t)-error};
    uint8_t bytes[STREAM_SMALL_SIZE_MAX];

    snprintf(refused.text, sizeof(refused.text), "%s", text);
    send_control(stream, STREAM_REFUSED, bytes, stream_refused_encode(&refused, bytes));
    stream->reprotect.step = REPROTECT_NONE;
}

static bool is_loser(const struct stream *stream)
{
    return stream->is_open &&
           (stream->state.role == STREAM_ROLE_FENCED ||
            (stream->state.role == STREAM_ROLE_PROMOTED && stream->state.is_reprotect_open &&
             !stream->state.is_reprotect_reverse));
}

/* --- the winner ------------------------------------------------------------------------------ */

static void send_commit(struct stream *stream)
{
    struct stream_commit commit = {.nonce = stream->reprotect.nonce,
                                   .epoch = stream_newest_epoch(stream)};
    uint8_t bytes[STREAM_COMMIT_SIZE_MAX];

    stream_wire_line(stream, &commit.line);
    stream->reprotect.step = REPROTECT_COMMITTED;
    send_control(stream, STREAM_COMMIT, bytes, stream_commit_encode(&commit, bytes));
}

static void winner_saved(struct stream *stream, int error)
{
    step_point("reprotect-winner-saved");
    stream->reprotect.is_unsaved = error != 0; /* then it says nothing until a restart */
    if (error != 0) {
        stream->hold_why = "the change of role could not be stored; restart the daemon";
        stream->reprotect.step = REPROTECT_NONE;
        finish(stream, error, stream->trouble);
    } else {
        stream->hold_why = NULL;
        stream->reprotect.step = REPROTECT_NONE;
        stream_access_changed(stream);
        stream_set_trouble(stream, "");
        stream_send_hello(stream);
        if (stream->has_hello)
            send_commit(stream);
    }
    stream_step_end(stream);
}

/* A line that the loser can only be behind of. PROMOTED sites have theirs from the failover, unless
 * the loser has made one since (both promoted); FENCED ones make one now. */
static void extend_line(struct stream *stream)
{
    struct stream_state *state = &stream->state;
    const struct stream_line *theirs = &stream->hello.line;
    uint64_t their_term = theirs->count > 0 ? theirs->entries[theirs->count - 1].id.term : 0;
    uint64_t our_term = generation_newest(&state->line)->term;

    if (state->role == STREAM_ROLE_PROMOTED && our_term > their_term)
        return;
    struct generation child = {.term = (our_term > their_term ? our_term : their_term) + 1,
                               .site = stream->settings.site_id,
                               .incarnation = loop_random(stream->loop)};

    generation_promote(&state->line, &child, state->epoch);
}

static void become_idle(void *arg);

static void winner_marked(struct stream *stream, int error)
{
    struct stream_state *state = &stream->state;
    uint64_t epoch = stream_newest_epoch(stream);
    bool was_open = state->role == STREAM_ROLE_PROMOTED && !is_loser(stream);

    if (stream->reprotect.is_marked_again) {
        stream->reprotect.is_marked_again = false;
        stream_save_intents(stream, winner_marked);
        return;
    }
    if (stream->reprotect.step == REPROTECT_BECOMING) { /* it loses by now */
        if (stream->reprotect.is_become_owed)
            become_idle(stream);
        stream_step_end(stream);
        return;
    }
    if (error != 0 || stream->reprotect.step != REPROTECT_MARKING) {
        if (error != 0)
            refuse(stream, error, "the winner cannot store intent bits");
        finish(stream, error != 0 ? error : -EHOSTUNREACH, "the exchange was cut short");
        stream_step_end(stream);
        return;
    }
    step_point("reprotect-marked");
    extend_line(stream);
    if (epoch < stream->reprotect.peer_epoch)
        epoch = stream->reprotect.peer_epoch;
    if (epoch < stream->hello.epoch)
        epoch = stream->hello.epoch;
    source_set_epoch(stream->source, epoch);
    state->epoch = epoch;
    state->is_reprotect_reverse = state->role == STREAM_ROLE_PROMOTED;
    state->role = STREAM_ROLE_SOURCE;
    state->is_reprotect_open = true;
    state->is_started = state->is_one_shot = state->has_started_ever = false;
    state->has_point = false;
    for (unsigned i = 0; i < state->disk_count; i++)
        state->disks[i].is_initial = state->disks[i].is_seeded = false;
    stream->hold_why = was_open ? NULL : "a reprotect is under way";
    stream->reprotect.is_unsaved = true; /* hosts go on, the peer does not hear of it yet */
    stream_save(stream, winner_saved);
}

static bool lack_memory(struct stream *stream, int error)
{
    refuse(stream, error, "the winner has no memory for the dirty blocks");
    finish(stream, error, "no memory for the dirty blocks");
    return true;
}

static bool take_dirty(struct stream *stream, const struct link_frame_in *frame, struct err *why)
{
    struct stream_dirty dirty;
    uint64_t block, count;

    link_consumed(stream->link, stream->id, frame->length);
    if (!stream_dirty_decode(frame->bytes, frame->length, &dirty)) {
        err_set(why, -EPROTO, "a malformed DIRTY");
        return false;
    }
    if (stream->reprotect.step != REPROTECT_ASKED || dirty.nonce != stream->reprotect.nonce)
        return true;
    for (unsigned i = 0; i < dirty.run_count; i++) {
        stream_dirty_run(&dirty, i, &block, &count);
        int error = growth_mark_run(stream, &dirty, block, count);

        if (error == -EPROTO)
            return err_set(why, error, "a DIRTY run outside its disk") == 0;
        if (error != 0)
            return lack_memory(stream, error);
        stream->reprotect.run_count++;
    }
    return true;
}

static bool take_dirty_end(struct stream *stream, const struct link_frame_in *frame,
                           struct err *why)
{
    struct stream_dirty_end end;

    link_consumed(stream->link, stream->id, frame->length);
    if (!stream_dirty_end_decode(frame->bytes, frame->length, &end)) {
        err_set(why, -EPROTO, "a malformed DIRTY_END");
        return false;
    }
    if (stream->reprotect.step != REPROTECT_ASKED || end.nonce != stream->reprotect.nonce)
        return true;
    if (end.run_count != stream->reprotect.run_count) {
        err_set(why, -EPROTO, "DIRTY_END counts %llu runs, %llu came",
                (unsigned long long)end.run_count, (unsigned long long)stream->reprotect.run_count);
        return false;
    }
    int error = growth_mark_behind(stream);

    if (error != 0)
        return lack_memory(stream, error);
    stream->reprotect.step = REPROTECT_MARKING;
    stream->reprotect.peer_epoch = end.epoch;
    /* An exchange that was cut while its marks were stored: those of this one behind them. */
    if (stream->join_cb == winner_marked) {
        stream->reprotect.is_marked_again = true;
        return true;
    }
    stream_step_begin(stream);
    step_point("reprotect-marking");
    stream_save_intents(stream, winner_marked);
    return true;
}

static void confirmed_saved(struct stream *stream, int error)
{
    step_point("reprotect-confirmed");
    finish(stream, error, error != 0 ? stream->trouble : "");
}

void reprotect_confirmed(struct stream *stream)
{
    if (stream->state.role != STREAM_ROLE_SOURCE || !stream->state.is_reprotect_open)
        return;
    stream->state.is_reprotect_open = false;
    stream->reprotect.step = REPROTECT_NONE;
    step_point("reprotect-done-taken");
    stream_save(stream, confirmed_saved);
}

/* --- the loser ------------------------------------------------------------------------------- */

static void tell(struct stream *stream)
{
    struct reprotect *reprotect = &stream->reprotect;
    uint8_t runs[16 * DIRTY_RUNS_MAX], head[STREAM_SMALL_SIZE_MAX];
    struct stream_dirty dirty;

    while (dirty_runs_gather(stream, &dirty, runs)) {
        uint32_t length = stream_dirty_encode(&dirty, head);

        if (link_send_data(stream->link, stream->id, STREAM_DIRTY, head, length, runs,
                           16 * (uint32_t)dirty.run_count) != 0)
            return;
        dirty_runs_advance(reprotect, &dirty, runs);
    }
    struct stream_dirty_end end = {.nonce = reprotect->nonce,
                                   .run_count = reprotect->run_count,
                                   .epoch = stream_newest_epoch(stream)};
    uint32_t length = stream_dirty_end_encode(&end, head);

    if (link_send_data(stream->link, stream->id, STREAM_DIRTY_END, head, length, NULL, 0) == 0)
        reprotect->step = REPROTECT_TOLD;
    step_point("reprotect-told");
}

void reprotect_room(struct stream *stream)
{
    if (stream->reprotect.step == REPROTECT_TELLING)
        tell(stream);
}

/* Closed, drained, nothing being read, synced: what is in the sets now is all there ever will be,
 * also after a power loss. One that an exchange before this one asked for says nothing of that. */
static void loser_synced(struct stream *stream, int error)
{
    struct reprotect *reprotect = &stream->reprotect;
    bool is_old = reprotect->is_sync_old || reprotect->synced_nonce != reprotect->nonce;

    reprotect->is_sync_old = false;
    if (reprotect->step != REPROTECT_CLOSING || is_old)
        return;
    if (error != 0) {
        stream_set_trouble(stream, "disks cannot be synced: the reprotect rests; check the storage "
                                   "of the disks, then restart the daemon");
        refuse(stream, error, "the loser's disks cannot be synced");
        finish(stream, error, stream->trouble);
        return;
    }
    for (unsigned i = 0; i < stream->state.disk_count; i++)
        tracking_merge(stream->volumes[i]);
    step_point("reprotect-loser-synced");
    reprotect->step = REPROTECT_TELLING;
    reprotect->tell_disk = 0;
    reprotect->tell_suspects = false;
    reprotect->tell_block = reprotect->run_count = 0;
    tell(stream);
}

/* Without the sync a power loss could take back a write that both sites have, that is in no set,
 * and that only the intent bits remember, which nobody tells. */
static void loser_idle(void *arg)
{
    struct stream *stream = arg;

    check_magic(stream, STREAM_MAGIC);
    if (stream->reprotect.step != REPROTECT_CLOSING)
        return;
    stream->reprotect.synced_nonce = stream->reprotect.nonce;
    stream->reprotect.is_sync_old = stream->base_synced_cb == loser_synced;
    stream_sync_bases(stream, loser_synced);
}

static void loser_drained(struct stream *stream, int error)
{
    if (error == 0 && stream->reprotect.step == REPROTECT_CLOSING) {
        step_point("reprotect-loser-drained");
        source_on_idle(stream->source, loser_idle, stream);
    }
}

static void loser_closed(struct stream *stream, int error)
{
    if (error == 0 && stream->reprotect.step == REPROTECT_CLOSING)
        stream_wait_drained(stream, loser_drained);
}

static void loser_saved(struct stream *stream, int error)
{
    if (stream->reprotect.step != REPROTECT_CLOSING)
        return;
    if (error != 0) {
        refuse(stream, error, "the loser's state cannot be stored");
        finish(stream, error, stream->trouble);
        return;
    }
    if (stream->state.role == STREAM_ROLE_PROMOTED) {
        struct stream_reprotect message = {.nonce = stream->reprotect.nonce, .is_reverse = false};
        uint8_t bytes[STREAM_SMALL_SIZE_MAX];

        send_control(stream, STREAM_REPROTECT, bytes, stream_reprotect_encode(&message, bytes));
    }
    step_point("reprotect-loser-saved");
    stream_wait_closed(stream, loser_closed);
}

static void lose(struct stream *stream, uint64_t nonce)
{
    struct stream_state *state = &stream->state;

    stream->reprotect.step = REPROTECT_CLOSING;
    stream->reprotect.nonce = nonce;
    source_stop(stream->source);
    stream_disconnect(stream);
    state->is_started = state->is_one_shot = false;
    if (state->role == STREAM_ROLE_PROMOTED) {
        state->is_reprotect_open = true;
        state->is_reprotect_reverse = false;
    } else {
        state->role = STREAM_ROLE_FENCED;
        state->is_reprotect_open = false;
        stream->is_waiting_peer = false;
    }
    step_point("reprotect-loser-stopped");
    stream_access_changed(stream);
    stream_save(stream, loser_saved);
}

static void send_done(struct stream *stream)
{
    uint8_t bytes[STREAM_SMALL_SIZE_MAX];

    send_control(stream, STREAM_DONE, bytes, stream_number_encode(stream->reprotect.nonce, bytes));
}

static void become_failed(struct stream *stream, int error, const char *text)
{
    stream->hold_why = NULL;
    stream_release(stream);
    stream_set_trouble(stream, text);
    refuse(stream, error, text);
    finish(stream, error, text);
    reprotect_rest_begin(stream);
    stream_role_changed(stream); /* what was not said meanwhile */
    stream_step_end(stream);
}

static void become_replicating(struct stream *stream)
{
    struct err err = {0};
    int error = stream_open_replica(stream, &err);

    if (error == 0)
        error = replica_reset(stream->replica, &err);
    if (error == 0)
        error = stream_make_target(stream);
    if (error != 0 && err.code == 0)
        err_set(&err, error, "cannot become the target: %s; restart the daemon", err_name(error));
    stream->hold_why = NULL;
    stream_release(stream);
    if (error != 0) {
        /* TARGET durably: a restart opens it; until then it receives nothing. */
        stream->is_open = false;
        stream_set_trouble(stream, err.text);
        finish(stream, error, err.text);
        stream_step_end(stream);
        return;
    }
    step_point("reprotect-before-done");
    stream_set_trouble(stream, "");
    send_done(stream);
    stream->reprotect.step = REPROTECT_NONE;
    finish(stream, 0, "");
    stream_role_changed(stream);
    stream_step_end(stream);
}

static void become_replica_closed(void *arg)
{
    struct stream *stream = arg;

    check_magic(stream, STREAM_MAGIC);
    stream->replica = NULL;
    become_replicating(stream);
}

/* The file is fenced: whether this site is the target already is unknown until a restart. Till then
 * it says nothing and takes no part. */
static void become_unknown(struct stream *stream, int error)
{
    stream->hold_why = "the change of role could not be stored; restart the daemon";
    stream_release(stream);
    stream_access_changed(stream);
    refuse(stream, error, "the loser's state cannot be stored");
    finish(stream, error, stream->hold_why);
    stream_step_end(stream);
}

static void become_saved(struct stream *stream, int error)
{
    struct err err = {0};

    if (error != 0) {
        become_unknown(stream, error);
        return;
    }
    step_point("reprotect-become-saved");
    stream_untrack(stream);
    if (stream->replica == NULL) {
        become_replicating(stream);
        return;
    }
    error = replica_reset(stream->replica, &err);
    if (error != 0)
        stream_set_trouble(stream, err.text);
    replica_close(stream->replica, become_replica_closed, stream);
}

static int keep_snapshots(struct stream *stream, struct err *err)
{
    char label[32];

    snprintf(label, sizeof(label), "g%llu",
             (unsigned long long)generation_newest(&stream->state.line)->term);
    for (unsigned i = 0; i < stream->state.disk_count; i++) {
        int error = stream->callbacks.snapshot_cb(stream->callbacks.arg, stream,
                                                  stream->state.disks[i].disk, label, err);

        if (error == -ENOSPC || error == -EDQUOT)
            return err_set(err, error,
                           "no room at the site of disk %s for the snapshot of what it holds; "
                           "make room in the data folder there, the reprotect goes on by itself",
                           stream->state.disks[i].disk);
        if (error != 0)
            return err_wrap(err, "snapshot of %s before it is overwritten",
                            stream->state.disks[i].disk);
    }
    return 0;
}

static void become_synced(struct stream *stream, int sync_error)
{
    struct stream_state *state = &stream->state;
    struct err err = {0};
    uint64_t epoch = stream_newest_epoch(stream);

    if (sync_error != 0) {
        become_failed(stream, sync_error, "the loser's disks cannot be synced");
        return;
    }
    step_point("reprotect-become-synced");
    int error = keep_snapshots(stream, &err);

    if (error != 0) {
        become_failed(stream, error, err.text);
        return;
    }
    if (epoch < stream->reprotect.commit_epoch)
        epoch = stream->reprotect.commit_epoch;
    state->line = stream->reprotect.line;
    state->role = STREAM_ROLE_TARGET;
    state->epoch = state->applying = state->applied = epoch;
    state->has_point = state->is_clean = state->is_reprotect_open = false;
    state->is_started = state->is_one_shot = state->has_started_ever = false;
    state->point = state->point_wall_ns = 0;
    state->is_drained = true;
    stream->acked_wall_ns = stream->current_wall_ns = 0;
    stream->committed_epoch = epoch;
    for (unsigned i = 0; i < state->disk_count; i++)
        state->disks[i].is_initial = state->disks[i].is_seeded = false;
    step_point("reprotect-snapshots-kept");
    stream_save(stream, become_saved);
}

/* R14: what this site holds is what the winner compared with; a power loss must not take it back
 * once nothing remembers which of its writes were not flushed. The snapshot stands on it too. */
static void become_held(struct stream *stream, int error)
{
    check(error == 0);
    stream_sync_bases(stream, become_synced);
}

static void become_idle(void *arg)
{
    struct stream *stream = arg;

    check_magic(stream, STREAM_MAGIC);
    /* Of an exchange that was cut while its marks were stored: behind them, then. */
    stream->reprotect.is_become_owed = stream->join_cb == winner_marked;
    if (!stream->reprotect.is_become_owed)
        stream_hold(stream, become_held);
}

/* The daemon stops before this site could become the target: at the next meeting, then. */
static void become_later(struct stream *stream)
{
    stream->hold_why = NULL;
    stream->reprotect.step = REPROTECT_NONE;
    finish(stream, -ECANCELED, "the daemon stops; it goes on after the restart");
    stream_step_end(stream);
}

static void become_drained(struct stream *stream, int error)
{
    if (error != 0)
        become_later(stream);
    else
        source_on_idle(stream->source, become_idle, stream);
}

static void become_closed(struct stream *stream, int error)
{
    if (error != 0)
        become_later(stream);
    else
        stream_wait_drained(stream, become_drained);
}

static bool take_commit(struct stream *stream, const struct link_frame_in *frame, struct err *why)
{
    struct stream_commit commit;

    if (!stream_commit_decode(frame->bytes, frame->length, &commit)) {
        err_set(why, -EPROTO, "a malformed COMMIT");
        return false;
    }
    if (stream->reprotect.step == REPROTECT_BECOMING || stream->is_ending ||
        stream->hold_why != NULL)
        return true;
    stream->reprotect.nonce = commit.nonce;
    stream_read_line(&commit.line, &stream->reprotect.line);
    enum generation_relation relation =
        generation_relate(&stream->state.line, &stream->reprotect.line);

    if (stream->state.role == STREAM_ROLE_TARGET && relation == GENERATION_SAME) {
        send_done(stream);
        return true;
    }
    /* A new target has no line yet: that is neither. */
    bool is_related = relation == GENERATION_BEHIND || relation == GENERATION_FORKED;

    if (!is_loser(stream) || stream_old_copy_why(stream) != NULL || !is_related ||
        generation_compare(generation_newest(&stream->reprotect.line),
                           generation_newest(&stream->state.line)) <= 0) {
        refuse(stream, -EPROTO,
               "this site did not lose in a reprotect: its role or line is "
               "another");
        return true;
    }
    if (stream->reprotect.step == REPROTECT_ASKED)
        finish(stream, -EALREADY, "a reprotect towards this site was decided before");
    step_point("reprotect-commit-taken");
    stream->reprotect.step = REPROTECT_BECOMING;
    stream->reprotect.commit_epoch = commit.epoch;
    stream->hold_why = "becoming the target of the other site";
    stream_step_begin(stream);
    stream_wait_closed(stream, become_closed);
    return true;
}

/* --- both ------------------------------------------------------------------------------------ */

/* Marks of another try are a superset: they stay. */
static void expect_dirty(struct stream *stream, uint64_t nonce)
{
    stream->reprotect.step = REPROTECT_ASKED;
    stream->reprotect.nonce = nonce;
    stream->reprotect.run_count = 0;
}

static bool take_reprotect(struct stream *stream, const struct link_frame_in *frame,
                           struct err *why)
{
    struct stream_reprotect message;
    enum stream_role role = stream->state.role;

    if (!stream_reprotect_decode(frame->bytes, frame->length, &message)) {
        err_set(why, -EPROTO, "a malformed REPROTECT");
        return false;
    }
    if (stream->reprotect.step == REPROTECT_BECOMING ||
        stream->reprotect.step == REPROTECT_MARKING || stream->reprotect.is_unsaved ||
        stream->is_ending || !stream->is_open)
        return true;
    stream->reprotect.nonce = message.nonce;
    if (stream->growth.is_held) {
        refuse(stream, -EBUSY, stream->hold_why);
        return true;
    }
    if (stream_old_copy_why(stream) != NULL) {
        refuse(stream, -ESTALE, stream_old_copy_why(stream));
        return true;
    }
    /* One that is not open says nothing: it may be the durable winner already. A winner that is
     * open stays it, whichever way is asked now: its COMMIT may be on its way. */
    if (role == STREAM_ROLE_SOURCE && stream->state.is_reprotect_open)
        send_commit(stream);
    else if (message.is_reverse && (role == STREAM_ROLE_SOURCE || role == STREAM_ROLE_FENCED))
        lose(stream, message.nonce);
    else if (!message.is_reverse && role == STREAM_ROLE_FENCED)
        expect_dirty(stream, message.nonce);
    else
        refuse(stream, -EINVAL, "the other site is in a role that cannot take part");
    return true;
}

static bool take_done(struct stream *stream, const struct link_frame_in *frame, struct err *why)
{
    uint64_t nonce;

    if (!stream_number_decode(frame->bytes, frame->length, &nonce)) {
        err_set(why, -EPROTO, "a malformed DONE");
        return false;
    }
    if (stream->reprotect.step == REPROTECT_COMMITTED && nonce == stream->reprotect.nonce)
        reprotect_confirmed(stream);
    return true;
}

/* Its hosts may be writing, whatever it refuses (an old copy, say). */
static bool has_peer_won(const struct stream *stream)
{
    return stream->has_hello && stream->hello.role == STREAM_ROLE_SOURCE &&
           stream->hello.is_reprotect_open;
}

static bool take_refused(struct stream *stream, const struct link_frame_in *frame, struct err *why)
{
    struct stream_refused refused;

    if (!stream_refused_decode(frame->bytes, frame->length, &refused)) {
        err_set(why, -EPROTO, "a malformed REFUSED");
        return false;
    }
    if (refused.nonce != stream->reprotect.nonce || stream->reprotect.step == REPROTECT_NONE ||
        stream->reprotect.step == REPROTECT_BECOMING || stream->reprotect.step == REPROTECT_MARKING)
        return true;
    stream->reprotect.step = REPROTECT_NONE;
    if (stream->state.role == STREAM_ROLE_SOURCE && stream->state.is_reprotect_open)
        reprotect_rest_begin(stream);
    if (is_loser(stream) && stream->state.role == STREAM_ROLE_PROMOTED && !has_peer_won(stream)) {
        stream->state.is_reprotect_open = false;
        stream_save(stream, NULL);
        stream_access_changed(stream);
    }
    stream_set_trouble(stream, refused.text);
    finish(stream, -(int)refused.code, refused.text);
    return true;
}

bool reprotect_frame(struct stream *stream, const struct link_frame_in *frame, struct err *why)
{
    switch (frame->type) {
    case STREAM_REPROTECT:
        return take_reprotect(stream, frame, why);
    case STREAM_DIRTY:
        return take_dirty(stream, frame, why);
    case STREAM_DIRTY_END:
        return take_dirty_end(stream, frame, why);
    case STREAM_COMMIT:
        return take_commit(stream, frame, why);
    case STREAM_DONE:
        return take_done(stream, frame, why);
    case STREAM_REFUSED:
        return take_refused(stream, frame, why);
    default:
        err_set(why, -EPROTO, "a frame of type %u", frame->type);
        return false;
    }
}

void reprotect_met(struct stream *stream)
{
    struct stream_state *state = &stream->state;

    if (!stream->has_hello || stream->hold_why != NULL ||
        stream->reprotect.step != REPROTECT_NONE || stream->reprotect.is_resting ||
        stream_old_copy_why(stream) != NULL)
        return;
    if (state->role == STREAM_ROLE_SOURCE && state->is_reprotect_open &&
        stream->verdict == VERDICT_COMMIT_AGAIN) {
        stream->reprotect.nonce = loop_random(stream->loop);
        send_commit(stream);
    } else if (is_loser(stream) && state->role == STREAM_ROLE_PROMOTED) {
        lose(stream, loop_random(stream->loop));
    }
}

void reprotect_link_down(struct stream *stream)
{
    enum reprotect_step step = stream->reprotect.step;

    reprotect_rest_end(stream); /* who was restarted may be well again */
    /* An order may wait without a step: what the peer asked meanwhile was refused. */
    if (step == REPROTECT_BECOMING || (step == REPROTECT_NONE && !stream->reprotect.done_cb))
        return;
    if (step != REPROTECT_MARKING && step != REPROTECT_NONE)
        stream->closed_cb = stream->drained_cb = NULL;
    stream->reprotect.step = REPROTECT_NONE;
    finish(stream, -EHOSTUNREACH,
           "the exchange was cut short; it goes on when the other site is there, or ask again");
}

static void patience_is_over(struct loop_timer *timer)
{
    struct reprotect *reprotect = container_of(timer, struct reprotect, timer);
    struct stream *stream = container_of(reprotect, struct stream, reprotect);

    check_magic(stream, STREAM_MAGIC);
    finish(stream, -ETIMEDOUT, "the other site takes long; it goes on, or ask again");
}

int reprotect_begin(struct stream *stream, bool is_reverse, stream_done_fn done_cb, void *arg,
                    struct err *err)
{
    struct stream_reprotect message = {.is_reverse = true};
    uint8_t bytes[STREAM_SMALL_SIZE_MAX];
    enum stream_role role = stream->state.role;

    if (stream->is_open && role != STREAM_ROLE_PROMOTED &&
        !(role == STREAM_ROLE_SOURCE && stream->state.is_reprotect_open))
        return err_set(err, -EALREADY, "this site is not failed over");
    if (!stream->is_open || stream->is_ending || stream->hold_why != NULL ||
        stream->reprotect.is_unsaved)
        return err_set(err, -EBUSY, "the stream is not ready");
    if (!stream->has_hello)
        return err_set(err, -EHOSTUNREACH, "the other site is not reachable");
    if (stream_old_copy_why(stream) != NULL)
        return err_set(err, -ESTALE, "%s", stream_old_copy_why(stream));
    if (stream->reprotect.done_cb != NULL || stream->reprotect.step == REPROTECT_BECOMING ||
        stream->reprotect.step == REPROTECT_MARKING)
        return err_set(err, -EBUSY, "a reprotect is under way");
    stream->reprotect.done_cb = done_cb;
    stream->reprotect.done_arg = arg;
    stream->reprotect.timer.fired_cb = patience_is_over;
    loop_timer_set(stream->loop, &stream->reprotect.timer, loop_now_ns(stream->loop) + PATIENCE_NS);
    if (role == STREAM_ROLE_SOURCE) {
        send_commit(stream);
    } else if (is_reverse) {
        message.nonce = loop_random(stream->loop);
        expect_dirty(stream, message.nonce);
        send_control(stream, STREAM_REPROTECT, bytes, stream_reprotect_encode(&message, bytes));
    } else {
        lose(stream, loop_random(stream->loop));
    }
    return 0;
}
