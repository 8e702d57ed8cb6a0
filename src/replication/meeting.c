/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants:
 *   1. Nothing here clears a dirty set, an intent bit or a journal.
 *   2. Data flows only after a verdict SHIP or RECEIVE over the newest HELLO of the peer.
 *   3. A role or line that changes is durable before the peer hears of it, but for FENCED, which
 *      holds from the moment it is decided. So is a first copy.
 *   4. Nothing is shipped to an old copy, or from one (R16, old_copy.c).
 */
#include "replication/meeting.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "replication/growth.h"
#include "replication/reprotect.h"
#include "replication/standby.h"
#include "volume/volume.h"

/* A size that differs has grown at one site (growth.c). A new target's has not, but before its
 * source did: smaller than its source it is another disk. */
static bool has_same_disks(struct stream *stream)
{
    const struct stream_hello *hello = &stream->hello;
    bool is_new_here = stream->state.line.count == 0, is_new_there = hello->line.count == 0;

    if (hello->disk_count != stream->state.disk_count)
        return false;
    for (unsigned i = 0; i < hello->disk_count; i++) {
        uint64_t theirs = hello->disks[i].size_bytes, ours = stream->state.disks[i].size_bytes;

        if ((is_new_here && ours < theirs) || (is_new_there && theirs < ours))
            return false;
    }
    return true;
}

/* --- deeds ----------------------------------------------------------------------------------- */

/* At the first meeting: a target whose base is not whole has nothing to compare with, unless it was
 * seeded. But what was shipped before, as far as that is known, is compared (tracking_doubt()). */
static void settle_incomparable(struct stream *stream)
{
    for (unsigned i = 0; i < stream->state.disk_count && !stream->is_exact; i++) {
        struct volume *volume = stream->volumes[i];

        if (!stream->hello.disks[i].is_initial || stream->state.disks[i].is_seeded ||
            blockset_is_empty(tracking_set(volume, TRACKING_SUSPECT)))
            continue;
        uint64_t block, count, from = 0, size = volume_block_count(volume);

        while (from < size &&
               blockset_next(tracking_set(volume, TRACKING_SUSPECT), from, size, &block, &count)) {
            if (tracking_suspect_differs(volume, block, count) != 0)
                return; /* they stay suspects: compared, which is slower but right */
            from = block + count;
        }
    }
}

/* At the first meeting: the target ended its first copy while we were not there to hear of it, so
 * all that it holds counts as open (mark_known()). Shipped anew it would be one epoch, for which
 * the target's journal may be too small. Without memory it is, all the same. */
static void settle_unheard(struct stream *stream)
{
    for (unsigned i = 0; i < stream->state.disk_count; i++)
        if (stream->state.disks[i].is_initial && !stream->hello.disks[i].is_initial)
            (void)tracking_doubt_open(stream->volumes[i]);
}

static void connect_source(struct stream *stream)
{
    bool is_initial[STREAM_DISKS_MAX];

    for (unsigned i = 0; i < stream->state.disk_count; i++)
        is_initial[i] = stream->hello.disks[i].is_initial;
    source_connected(stream->source, stream->link, generation_newest(&stream->state.line),
                     stream->hello.epoch, stream->hello.has_point, is_initial);
}

/* A first copy whose ACK was lost is done all the same. */
static void note_first_copy(struct stream *stream)
{
    bool is_news = false;

    for (unsigned i = 0; i < stream->state.disk_count; i++) {
        if (!stream->state.disks[i].is_initial || stream->hello.disks[i].is_initial)
            continue;
        stream->state.disks[i].is_initial = stream->state.disks[i].is_seeded = false;
        is_news = true;
    }
    if (is_news)
        stream_save(stream, NULL);
}

static void ship(struct stream *stream)
{
    stream_confirm_peer(stream);
    if (stream->state.is_reprotect_open)
        reprotect_confirmed(stream);
    if (source_is_connected(stream->source))
        return;
    if (!growth_may_ship(stream)) { /* it follows, and says so */
        stream_set_trouble(stream, "a disk at the other site is smaller: it is made larger there");
        return;
    }
    stream_set_trouble(stream, "");
    if (!stream->has_shipped)
        settle_incomparable(stream);
    if (!stream->has_shipped && stream->hello.has_point)
        settle_unheard(stream);
    stream->has_shipped = true;
    stream->state.has_point = stream->hello.has_point;
    /* What the target has committed on our line is acknowledged, whether we heard it or not. */
    if (stream->state.epoch < stream->hello.epoch)
        stream->state.epoch = stream->hello.epoch;
    if (stream->hello.has_point)
        note_first_copy(stream);
    if (stream->hello.has_point && stream->acked_wall_ns < stream->hello.point_wall_ns) {
        stream->acked_wall_ns = stream->hello.point_wall_ns;
        point_age_learn(&stream->point_age, stream->loop, stream->acked_wall_ns, true);
    }
    connect_source(stream);
}

static void receive(struct stream *stream)
{
    if (target_is_connected(stream->target) || !stream_is_settled(stream) || growth_follow(stream))
        return;
    stream_set_trouble(stream, "");
    target_connected(stream->target, stream->link, generation_newest(&stream->state.line));
    if (stream->standby_next <= stream->state.disk_count) /* a change of role came between */
        standby_begin(stream);
}

static void adopted(struct stream *stream, int error)
{
    if (error != 0)
        return; /* it says nothing until a restart */
    stream->hold_why = NULL;
    meeting_again(stream);
}

static void adopt(struct stream *stream, const struct generation_line *theirs)
{
    check(stream->state.role == STREAM_ROLE_TARGET && stream->state.line.count == 0);
    stream->state.line = *theirs;
    stream->hold_why = "taking over the line of history"; /* not durable: the peer must not hear */
    stream_save(stream, adopted);
}

static void fenced(struct stream *stream, int error)
{
    if (error == 0)
        meeting_again(stream);
}

static void fence(struct stream *stream, const char *why)
{
    stream->state.role = STREAM_ROLE_FENCED;
    stream->state.is_started = stream->state.is_one_shot = false;
    stream->state.is_reprotect_open = false;
    stream->is_waiting_peer = false;
    loop_timer_cancel(stream->loop, &stream->wait_timer);
    source_stop(stream->source);
    stream_access_changed(stream);
    stream_set_trouble(stream, why);
    stream_save(stream, fenced);
}

int meeting_part(struct stream *stream, bool is_fenced, stream_done_fn done_cb, void *arg,
                 struct err *err)
{
    static const char gone[] = "given up: the other site has ended this replication for itself; "
                               "delete it here as well";

    if (!stream->is_open || stream->is_ending || stream->hold_why != NULL)
        return err_set(err, -EBUSY, "the stream is not ready");
    stream_disconnect(stream);
    stream_set_trouble(stream, gone);
    if (stream->state.role != STREAM_ROLE_SOURCE)
        return -EALREADY;
    if (is_fenced) {
        fence(stream, gone);
        stream_save_order(stream, done_cb, arg); /* one file: stored together */
        return 0;
    }
    source_stop(stream->source);
    stream->state.is_started = stream->state.is_one_shot = stream->state.has_started_ever = false;
    stream_confirm_peer(stream);
    stream_save_order(stream, done_cb, arg);
    return 0;
}

/* Both sites hold a child of the same parent, and no reprotect is under way: the lower term closes
 * (equal terms cannot be told apart: a person must). */
static void settle_fork(struct stream *stream, const struct generation_line *theirs,
                        const char *why)
{
    if (stream->state.role != STREAM_ROLE_FENCED &&
        generation_compare(generation_newest(&stream->state.line), generation_newest(theirs)) < 0)
        fence(stream, why);
    else
        stream_set_trouble(stream, why);
}

static void wait(struct stream *stream, enum generation_relation relation,
                 const struct generation_line *theirs, const char *why)
{
    if (relation == GENERATION_FORKED) {
        settle_fork(stream, theirs, why);
        return;
    }
    /* The peer is behind us or new: nothing newer than ours is there. */
    if (stream->state.role == STREAM_ROLE_SOURCE)
        stream_confirm_peer(stream);
    stream_set_trouble(stream, relation == GENERATION_EMPTY_THEIRS ? "" : why);
}

/* Once, when it came: what is shipped meanwhile makes us newer than it. */
static void weigh(struct stream *stream, const struct generation_line *theirs)
{
    if (!stream->is_hello_weighed)
        stream_weigh_peer(stream, theirs);
    stream->is_hello_weighed = true;
}

static void decide(struct stream *stream)
{
    struct generation_line theirs;
    const char *why;

    if (!stream->is_open || stream->is_ending || !stream->has_hello || stream->reprotect.is_unsaved)
        return;
    stream_read_line(&stream->hello.line, &theirs);
    if (stream->growth.is_held)
        weigh(stream, &theirs); /* and goes on shipping */
    if (stream->hold_why != NULL)
        return;
    if (!has_same_disks(stream)) {
        stream_disconnect(stream);
        stream->verdict = VERDICT_REFUSE;
        stream_set_trouble(stream, "disks differ: the two sites do not hold the same number or "
                                   "sizes of disks in this stream");
        return;
    }
    weigh(stream, &theirs);
    enum generation_relation relation = generation_relate(&stream->state.line, &theirs);
    enum generation_verdict verdict =
        generation_decide(stream->state.role, (enum stream_role)stream->hello.role, relation, &why);

    /* A newer generation closes the exports whatever else is wrong. */
    if (stream_old_copy_why(stream) != NULL && verdict != VERDICT_FENCE) {
        /* What an old target shows says at least that nobody was promoted there. */
        if (verdict == VERDICT_SHIP && stream->old_copy == OLD_COPY_PEER)
            stream_confirm_peer(stream);
        verdict = VERDICT_REFUSE;
        why = stream_old_copy_why(stream);
    }
    stream->verdict = verdict;
    if (verdict != VERDICT_SHIP && verdict != VERDICT_RECEIVE)
        stream_disconnect(stream);
    switch (verdict) {
    case VERDICT_SHIP:
        ship(stream);
        break;
    case VERDICT_RECEIVE:
        receive(stream);
        break;
    case VERDICT_ADOPT:
        adopt(stream, &theirs);
        break;
    case VERDICT_FENCE:
        fence(stream, why);
        break;
    case VERDICT_WAIT:
        wait(stream, relation, &theirs, why);
        break;
    case VERDICT_COMMIT_AGAIN:
        if (stream->state.role == STREAM_ROLE_SOURCE)
            stream_confirm_peer(stream);
        if (!stream->state.is_reprotect_open && !stream->hello.is_reprotect_open)
            settle_fork(stream, &theirs, why);
        break;
    case VERDICT_REFUSE:
        stream_set_trouble(stream, why);
        if (stream->is_waiting_peer)
            stream_access_changed(stream); /* for another reason now */
        break;
    }
    reprotect_met(stream);
    stream_changed(stream);
}

/* --- events ---------------------------------------------------------------------------------- */

void meeting_link_up(struct stream *stream)
{
    stream->is_link_up = true;
    stream->has_hello = false;
    stream_send_hello(stream);
    stream_changed(stream);
}

void meeting_link_down(struct stream *stream)
{
    stream->is_link_up = stream->has_hello = false;
    stream_disconnect(stream);
    reprotect_link_down(stream);
    if (stream->peer_memory_unsaved && stream->is_open && !stream->is_ending)
        stream_save(stream, NULL);
    stream_changed(stream);
}

void meeting_opened(struct stream *stream)
{
    stream_send_hello(stream);
    decide(stream);
}

void meeting_again(struct stream *stream)
{
    stream_send_hello(stream);
    decide(stream);
}

bool meeting_hello(struct stream *stream, const struct link_frame_in *frame, struct err *why)
{
    struct stream_hello hello;

    if (!stream_hello_decode(frame->bytes, frame->length, &hello)) {
        err_set(why, -EPROTO, "a malformed HELLO of stream %s", stream->id);
        return false;
    }
    if (!stream->is_link_up)
        return true;
    /* A stream that was opened anew over there knows nothing of what was under way. */
    if (hello.wants_reply && stream->has_hello) {
        stream_disconnect(stream);
        reprotect_link_down(stream);
    }
    stream->hello = hello;
    stream->has_hello = true;
    stream->is_hello_weighed = false;
    if (hello.wants_reply)
        stream_send_hello(stream);
    decide(stream);
    return true;
}
