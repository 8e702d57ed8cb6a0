/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is durable, and when:
 *
 *   state.epoch        at a source: at least the number of every epoch whose CUT has left
 *   state.peer_epoch   the newest epoch the peer was known to have, before its acknowledgement
 *                      clears a block or an intent bit
 *
 * So at a meeting each of these proves that durable state has gone back:
 *
 *   the peer's line is older than one it had; a target or promoted peer has a lower epoch
 *                                                            the peer is the old copy
 *   a target has an epoch of our generation that we never cut          the source is
 *   a promoted site left our generation at an epoch that we never cut  the former source is
 *
 * and without such a mark what changed since the copy was taken is in no epoch, or under an intent
 * bit that the copy has. A crash makes none of these marks.
 */

#include "base/check.h"
#include "replication/stream.h"

static void saved(struct stream *stream, int error)
{
    check(stream->old_copy_saves > 0);
    stream->old_copy_saves--;
    if (error == 0 && stream->old_copy_saves == 0 && stream->source != NULL)
        source_numbered(stream->source, stream->state.epoch);
}

static void heard(struct stream *stream, int error)
{
    if (error == 0 && stream->source != NULL)
        source_heard(stream->source, stream->state.peer_epoch);
}

void stream_number_epoch(void *arg, uint64_t epoch)
{
    struct stream *stream = arg;

    check_magic(stream, STREAM_MAGIC);
    check(epoch > stream->state.epoch);
    stream->state.epoch = epoch;
    stream->old_copy_saves++;
    stream_save(stream, saved);
}

void stream_hear_epoch(void *arg, uint64_t epoch)
{
    struct stream *stream = arg;

    check_magic(stream, STREAM_MAGIC);
    check(epoch <= stream->state.epoch);
    stream->state.peer_epoch = epoch;
    stream_save(stream, heard);
}

/* The epoch at which `line` left `parent`; 0: it did not. */
static uint64_t left_at(const struct generation_line *line, const struct generation *parent)
{
    for (unsigned i = 1; i < line->count; i++)
        if (generation_is_equal(&line->entries[i - 1].id, parent))
            return line->entries[i].parent_epoch;
    return 0;
}

/* A target whose first copy we know to be done says that it is not: its journal is there, its state
 * is one of before (the newest slot rotted, say, and the other had not got its copy). */
static bool is_first_copy_gone(const struct stream *stream, const struct generation *newest)
{
    const struct stream_state *state = &stream->state;
    bool is_gone = false;

    if (stream->hello.role != STREAM_ROLE_TARGET || state->role == STREAM_ROLE_TARGET ||
        state->line.count == 0 || !generation_is_equal(newest, generation_newest(&state->line)))
        return false;
    for (unsigned i = 0; i < state->disk_count && i < stream->hello.disk_count; i++)
        is_gone |= stream->hello.disks[i].is_initial && !state->disks[i].is_initial;
    return is_gone;
}

static bool is_peer_old(const struct stream *stream, const struct generation_line *theirs)
{
    const struct stream_state *state = &stream->state;
    const struct generation *newest = generation_newest(theirs);
    enum stream_role role = (enum stream_role)stream->hello.role;
    uint64_t epoch = stream->hello.epoch;

    if (generation_compare(newest, &state->peer_newest) < 0 || is_first_copy_gone(stream, newest))
        return true;
    if ((role == STREAM_ROLE_TARGET || role == STREAM_ROLE_PROMOTED) && epoch < state->peer_epoch)
        return true;
    if (state->line.count == 0)
        return false;
    if (state->role == STREAM_ROLE_TARGET && role == STREAM_ROLE_SOURCE &&
        generation_is_equal(newest, generation_newest(&state->line)))
        return epoch < stream_newest_epoch(stream);
    return role != STREAM_ROLE_TARGET && epoch < left_at(&state->line, newest);
}

static bool are_we_old(const struct stream *stream, const struct generation_line *theirs)
{
    const struct stream_state *state = &stream->state;
    const struct generation *ours;

    if (state->role == STREAM_ROLE_TARGET || state->line.count == 0)
        return false;
    ours = generation_newest(&state->line);
    if (stream->hello.role == STREAM_ROLE_TARGET &&
        generation_is_equal(generation_newest(theirs), ours))
        return stream->hello.epoch > stream_newest_epoch(stream);
    return left_at(theirs, ours) > stream_newest_epoch(stream);
}

static void remember(struct stream *stream, const struct generation *newest)
{
    struct stream_state *state = &stream->state;

    if (!generation_is_equal(newest, &state->peer_newest)) {
        state->peer_newest = *newest;
        stream->peer_memory_unsaved = true;
    }
    if (stream->hello.role == STREAM_ROLE_TARGET && stream->hello.epoch > state->peer_epoch) {
        state->peer_epoch = stream->hello.epoch;
        stream->peer_memory_unsaved = true;
    }
}

void stream_weigh_peer(struct stream *stream, const struct generation_line *theirs)
{
    if (theirs->count == 0)
        stream->old_copy = stream->state.peer_newest.term > 0 ? OLD_COPY_PEER : OLD_COPY_NONE;
    else if (are_we_old(stream, theirs))
        stream->old_copy = OLD_COPY_OURS;
    else if (is_peer_old(stream, theirs))
        stream->old_copy = OLD_COPY_PEER;
    else
        stream->old_copy = OLD_COPY_NONE;
    /* One with another history is not our peer: what it has says nothing of the peer to come. */
    if (stream->old_copy == OLD_COPY_NONE && theirs->count > 0 &&
        generation_relate(&stream->state.line, theirs) != GENERATION_FOREIGN)
        remember(stream, generation_newest(theirs));
}

const char *stream_old_copy_why(const struct stream *stream)
{
    if (stream->old_copy == OLD_COPY_NONE)
        return NULL;
    if (stream->old_copy == OLD_COPY_PEER)
        return "stale peer: the other site shows less than it had (restored from an old copy?); "
               "delete the pair and create it anew";
    return "stale: the other site has newer data of these disks (this one restored from an old "
           "copy?): fail over to it, or force-open here; then create the pair anew";
}

const char *stream_waiting_why(const struct stream *stream)
{
    if (stream->old_copy == OLD_COPY_OURS)
        return stream_old_copy_why(stream);
    return "waiting for the other site to confirm that it has not failed over; force-open when it "
           "is lost";
}
