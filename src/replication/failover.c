/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   1. stop receiving; what is partial goes            target_disconnected, target_on_quiet
 *   2. intent bits of an earlier life: cleared, durable
 *   3. tracking on, empty                              (hosts cannot write yet)
 *   4. apply stops; blocks after the point are open    replica_promote
 *   5. their intent bits: durable
 *   6. role, generation, point: durable                the promotion
 *   7. hosts may write; the peer is told; the journal drains behind
 *
 * A crash before 6 leaves a target; after 6 a promoted site whose intent bits cover what differs.
 */
#include "replication/failover.h"

#include <errno.h>
#include <stdio.h>

#include "base/check.h"
#include "base/step.h"
#include "replication/standby.h"

static void finish(struct stream *stream, int error, const char *why)
{
    stream_done_fn done_cb = stream->failover_cb;

    stream->hold_why = NULL;
    stream->failover_cb = NULL;
    stream_access_changed(stream);
    stream_changed(stream);
    done_cb(stream->failover_arg, error, why);
}

/* Before step 6: a target it stays. */
static void give_up(struct stream *stream, int error, const char *why)
{
    stream_untrack(stream);
    stream_release(stream);
    finish(stream, error, why);
    stream->has_hello = false; /* what was under way is dropped: the source must begin it anew */
    stream_role_changed(stream);
    standby_begin(stream);
    stream_step_end(stream);
}

static void reopened(void *arg)
{
    struct stream *stream = arg;
    struct err err = {0};

    check_magic(stream, STREAM_MAGIC);
    stream->replica = NULL;
    int error = stream_open_replica(stream, &err);

    if (error == 0)
        error = stream_make_target(stream);
    if (error != 0) {
        stream->is_open = false; /* a restart opens it; until then it receives nothing */
        stream_set_trouble(stream, err.code != 0 ? err.text : err_name(error));
    }
    give_up(stream, stream->failover_error,
            "the promotion could not be prepared: intent bits, or what the journal shows");
}

/* Behind step 4: the journal shows the point, and is not applied. Opened anew it is a target's. */
static void take_back(struct stream *stream, int error)
{
    stream->failover_error = error;
    target_free(stream->target);
    stream->target = NULL;
    replica_close(stream->replica, reopened, stream);
}

static void promotion_saved(struct stream *stream, int error)
{
    step_point("failover-saved");
    if (error != 0) {
        /* The file is fenced: which of the two it holds is unknown, so hosts stay out. */
        stream_done_fn done_cb = stream->failover_cb;

        stream->failover_cb = NULL;
        stream->hold_why = "the failover could not be stored; restart the daemon";
        stream_release(stream);
        done_cb(stream->failover_arg, error, stream->trouble);
        stream_step_end(stream);
        return;
    }
    target_free(stream->target);
    stream->target = NULL;
    step_point("failover-before-drain");
    stream->standby_next = 0;       /* taken */
    replica_drain(stream->replica); /* discards what lies after the point: nobody reads yet */
    stream_release(stream);
    finish(stream, 0, "");
    stream_set_trouble(stream, "");
    stream_role_changed(stream);
    stream_step_end(stream);
}

static void intents_saved(struct stream *stream, int error)
{
    struct stream_state *state = &stream->state;
    uint64_t wall_ns, newest = replica_epoch(stream->replica, &wall_ns);
    struct generation child = {.term = generation_newest(&state->line)->term + 1,
                               .site = stream->settings.site_id,
                               .incarnation = loop_random(stream->loop)};

    if (error != 0) {
        take_back(stream, error);
        return;
    }
    state->role = STREAM_ROLE_PROMOTED;
    state->point = stream->failover_point != 0 ? stream->failover_point : newest;
    if (state->epoch < newest)
        state->epoch = newest;
    if (state->epoch < stream->committed_epoch)
        state->epoch = stream->committed_epoch; /* numbers behind the point are not used again */
    generation_promote(&state->line, &child, state->point);
    state->is_drained = false;
    state->is_started = state->is_one_shot = state->has_started_ever = false;
    state->is_reprotect_open = false;
    step_point("failover-before-save");
    stream_save(stream, promotion_saved);
}

static void promoted(struct replica_op *op, int error)
{
    struct stream *stream = container_of(op, struct stream, failover_op);

    check_magic(stream, STREAM_MAGIC);
    step_point("failover-promoted");
    if (error == 0)
        error = stream->failover_error;
    if (error == -ENODATA)
        give_up(stream, error, "there is no such recovery point");
    else if (error != 0)
        take_back(stream, error);
    else
        stream_save_intents(stream, intents_saved);
}

static void block_differs(void *arg, unsigned disk, uint64_t block, uint64_t count)
{
    struct stream *stream = arg;

    check_magic(stream, STREAM_MAGIC);
    if (tracking_mark(stream->volumes[disk], TRACKING_OPEN, block, count) != 0)
        stream->failover_error = -ENOMEM;
}

static void intents_reset(struct stream *stream, int error)
{
    struct err err = {0};

    if (error == 0)
        error = stream_track(stream, &err);
    if (error != 0) {
        give_up(stream, error, err.code != 0 ? err.text : "intent bits cannot be stored");
        return;
    }
    step_point("failover-tracked");
    stream->failover_error = 0;
    replica_promote(stream->replica, &stream->failover_op, stream->failover_point, block_differs,
                    stream, promoted);
}

static void held(struct stream *stream, int hold_error)
{
    struct err err = {0};

    check(hold_error == 0);
    step_point("failover-held");
    int error = stream_reset_intents(stream, &err);

    if (error != 0)
        give_up(stream, error, err.text);
    else
        stream_save_intents(stream, intents_reset);
}

static void quiet(void *arg)
{
    struct stream *stream = arg;

    check_magic(stream, STREAM_MAGIC);
    step_point("failover-quiet");
    stream_hold(stream, held);
}

int failover_begin(struct stream *stream, uint64_t point, stream_done_fn done_cb, void *arg,
                   struct err *err)
{
    if (stream->state.role == STREAM_ROLE_PROMOTED && stream->hold_why == NULL)
        return -EALREADY;
    if (!stream->is_open || stream->is_ending || stream->hold_why != NULL)
        return err_set(err, -EBUSY, "%s",
                       stream->trouble[0] != '\0' ? stream->trouble : "the stream is not ready");
    if (stream->state.role != STREAM_ROLE_TARGET)
        return err_set(err, -EINVAL, "this site is not the target");
    if (!stream->state.has_point)
        return err_set(err, -ENODATA, "there is no recovery point yet");
    check(stream->failover_cb == NULL);
    stream->hold_why = "a failover is under way";
    stream->failover_cb = done_cb;
    stream->failover_arg = arg;
    stream->failover_point = point;
    stream_step_begin(stream);
    stream_disconnect(stream);
    target_on_quiet(stream->target, quiet, stream);
    return 0;
}
