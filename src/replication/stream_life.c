/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening:   state (at once) | hold hosts -> replica, tracking, marks -> is_clean off, durably ->
 *            hosts go on
 * Ending:    no more data -> source idle, target quiet -> [journal into the base] -> hold hosts ->
 *            replica closed -> [stores synced, dirty sets and is_clean durable] -> parts away
 *
 * is_clean is off, durably, before the first write of a host: else a crash would trust sets that
 * were true once. It goes on last of all.
 */
#include "replication/stream_life.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/step.h"
#include "replication/dirty_file.h"
#include "replication/reprotect.h"
#include "replication/reprotect_rest.h"
#include "replication/seals.h"
#include "replication/standby.h"
#include "volume/base_write.h"

/* --- opening --------------------------------------------------------------------------------- */

static bool is_tracked_role(enum stream_role role)
{
    return role != STREAM_ROLE_TARGET;
}

static void wait_is_over(struct loop_timer *timer)
{
    struct stream *stream = container_of(timer, struct stream, wait_timer);

    check_magic(stream, STREAM_MAGIC);
    stream_confirm_peer(stream);
}

static void fill_new_state(struct stream *stream, const struct stream_open_options *options)
{
    struct stream_state *state = &stream->state;

    snprintf(state->peer, sizeof(state->peer), "%s", options->peer);
    state->role = options->role;
    state->is_drained = true;
    state->disk_count = options->disk_count;
    for (unsigned i = 0; i < options->disk_count; i++) {
        snprintf(state->disks[i].disk, sizeof(state->disks[i].disk), "%s", options->disks[i]);
        state->disks[i].size_bytes = volume_size_bytes(options->volumes[i]);
        state->disks[i].is_initial = true;
        state->disks[i].is_seeded = options->is_seeded[i];
    }
    if (options->role == STREAM_ROLE_SOURCE) {
        struct generation first = {
            .term = 1, .site = stream->settings.site_id, .incarnation = loop_random(stream->loop)};

        generation_promote(&state->line, &first, 0);
    }
}

static int check_disks(struct stream *stream, const struct stream_open_options *options,
                       struct err *err)
{
    const struct stream_state *state = &stream->state;

    if (state->disk_count != options->disk_count)
        return err_set(err, -EINVAL, "it has %u disks, not %u", state->disk_count,
                       options->disk_count);
    for (unsigned i = 0; i < state->disk_count; i++) {
        if (strcmp(state->disks[i].disk, options->disks[i]) != 0)
            return err_set(err, -EINVAL, "its disk %u is %s, not %s", i, state->disks[i].disk,
                           options->disks[i]);
        /* It had grown, and its owner does not know it yet. */
        if (state->disks[i].size_bytes > volume_size_bytes(options->volumes[i]) &&
            volume_adopt(options->volumes[i], state->disks[i].size_bytes, err) != 0)
            return err_wrap(err, "disk %s has changed its size", options->disks[i]);
        if (state->disks[i].size_bytes != volume_size_bytes(options->volumes[i]))
            return err_set(err, -EINVAL, "disk %s has changed its size", options->disks[i]);
        stream->durable_bytes[i] = state->disks[i].size_bytes;
    }
    return 0;
}

static int mark_all(struct stream *stream, unsigned i, enum tracking_set which)
{
    return tracking_mark(stream->volumes[i], which, 0, volume_block_count(stream->volumes[i]));
}

/* What was saved at a clean stop, instead of the intent bits' regions that tracking_start() took
 * for suspects. A file that cannot be used changes nothing: the bits cover what it says, and
 * `clean` goes from the state before a host writes (open_marked()). */
static int load_exact(struct stream *stream, bool *ret_is_exact, struct err *err)
{
    int error = 0;

    if (stream->state.is_clean)
        error =
            dirty_file_load(stream->loop, stream->folder, stream->volumes, stream->state.disk_count,
                            stream->has_lost_intents, DIRTY_FILE_BYTES_MAX, err);
    *ret_is_exact = stream->state.is_clean && error == 0;
    if (error == 0 || error == -ENOMEM)
        return error;
    log_error("stream",
              "%s: which blocks differ from the peer's is known by regions only, and these will be "
              "compared",
              err->text);
    *err = (struct err){0};
    return 0;
}

/* What may differ from the target. */
static int mark_known(struct stream *stream, struct err *err)
{
    struct stream_state *state = &stream->state;
    bool is_exact;
    int error = load_exact(stream, &is_exact, err);

    stream->is_exact = is_exact;
    if (error != 0)
        return error;
    for (unsigned i = 0; i < state->disk_count && error == 0; i++)
        if (state->role == STREAM_ROLE_SOURCE && state->disks[i].is_initial && !is_exact)
            error =
                mark_all(stream, i, state->disks[i].is_seeded ? TRACKING_SUSPECT : TRACKING_OPEN);
    return error == 0 ? 0 : err_set(err, error, "dirty sets: %s", err_name(error));
}

/* Behind a clean stop: a disk that somebody else wrote to. What differs there is not known; a
 * target cannot say so to its source, and would show points that never were. */
static int check_seals(struct stream *stream, bool *ret_changed, struct err *err)
{
    const struct stream_state *state = &stream->state;
    struct err why = {0};

    memset(ret_changed, 0, state->disk_count * sizeof(*ret_changed));
    if (!state->is_clean)
        return 0;
    int error = seals_check(stream->loop, stream->folder, stream->volumes, state->disk_count,
                            ret_changed, &why);

    if (error != 0 && error != -ENOENT) /* an older program's stop, or a person took it away */
        log_warning("stream", "whether somebody else wrote to its disks is not known: %s",
                    why.text);
    for (unsigned i = 0; i < state->disk_count; i++) {
        if (!ret_changed[i])
            continue;
        if (!is_tracked_role(state->role))
            return err_set(err, -EUCLEAN,
                           "somebody wrote to disk %s while it was closed, it is no copy any more: "
                           "make the pair anew, or remove streams/%s/seals to take it as it is",
                           state->disks[i].disk, stream->id);
        log_error("stream",
                  "somebody wrote to disk %s while it was closed: all of it will be compared",
                  state->disks[i].disk);
    }
    return 0;
}

static int mark_changed(struct stream *stream, const bool *changed, struct err *err)
{
    int error = 0;

    for (unsigned i = 0; i < stream->state.disk_count && error == 0; i++)
        if (changed[i])
            error = mark_all(stream, i, TRACKING_SUSPECT);
    return error == 0 ? 0 : err_set(err, error, "dirty sets: %s", err_name(error));
}

static int make_parts(struct stream *stream, struct err *err)
{
    struct stream_state *state = &stream->state;
    bool changed[STREAM_DISKS_MAX];
    int error = check_seals(stream, changed, err);

    if (error != 0)
        return error;
    if (state->role == STREAM_ROLE_TARGET || !state->is_drained)
        error = stream_open_replica(stream, err);
    if (error == 0 && state->role == STREAM_ROLE_TARGET) {
        error = stream_make_target(stream);
        if (error != 0)
            err_set(err, error, "target: %s", err_name(error));
    }
    if (error == 0 && is_tracked_role(state->role))
        error = stream_track(stream, err);
    if (error == 0 && is_tracked_role(state->role))
        error = mark_known(stream, err);
    if (error == 0 && is_tracked_role(state->role))
        error = mark_changed(stream, changed, err);
    return error;
}

static void open_saved(struct stream *stream, int error)
{
    stream_step_fn opened_cb = stream->opened_cb;

    if (error == 0) {
        seals_end(stream->loop, stream->folder);
        stream->is_open = true;
        if (stream->state.role == STREAM_ROLE_SOURCE && stream->state.is_started)
            source_start(stream->source, stream->state.is_one_shot);
        if (stream->replica != NULL && stream->state.role != STREAM_ROLE_TARGET)
            replica_drain(stream->replica);
        standby_begin(stream);
        if (stream->is_waiting_peer && stream->settings.open_when_peer_silent)
            loop_timer_set(stream->loop, &stream->wait_timer,
                           loop_now_ns(stream->loop) + stream->settings.peer_wait_ns);
    }
    stream_release(stream);
    stream_access_changed(stream);
    stream_changed(stream);
    opened_cb(stream, error);
}

static void open_marked(struct stream *stream, int error)
{
    if (error != 0)
        stream_set_trouble(stream, "intent bits cannot be stored: the stream is not open");
    if (error != 0 || !stream->state.is_clean) {
        open_saved(stream, error);
        return;
    }
    stream->state.is_clean = false;
    stream_save(stream, open_saved);
}

static void open_held(struct stream *stream, int hold_error)
{
    struct err err = {0};

    check(hold_error == 0);
    int error = make_parts(stream, &err);

    if (error != 0) {
        stream_set_trouble(stream, err.text);
        open_saved(stream, error);
    } else if (stream->is_tracked) {
        stream_save_intents(stream, open_marked);
    } else {
        open_marked(stream, 0);
    }
}

/* A task of its own: the owner may free the stream, and callbacks of its parts are behind us. */
static void end_done(struct loop_task *task)
{
    struct stream *stream = container_of(task, struct stream, end_task);
    stream_done_fn end_cb = stream->end_cb;

    check_magic(stream, STREAM_MAGIC);
    loop_timer_cancel(stream->loop, &stream->wait_timer);
    loop_timer_cancel(stream->loop, &stream->reprotect.timer);
    reprotect_rest_end(stream);
    loop_timer_cancel(stream->loop, &stream->growth.timer);
    standby_end(stream);
    stream->end_cb = NULL;
    end_cb(stream->end_arg, stream->end_error, stream->trouble);
}

static struct stream *stream_new(struct loop *loop, const struct stream_open_options *options,
                                 const struct stream_settings *settings,
                                 const struct stream_callbacks *callbacks)
{
    struct stream *stream = calloc(1, sizeof(*stream));

    if (stream == NULL)
        return NULL;
    if (stream_make_steps(stream, options->disk_count) != 0) {
        stream_free_steps(stream);
        free(stream);
        return NULL;
    }
    stream->magic = STREAM_MAGIC;
    stream->loop = loop;
    stream->settings = *settings;
    stream->callbacks = *callbacks;
    stream->link = options->link;
    stream->opened_cb = options->opened_cb;
    stream->wait_timer.fired_cb = wait_is_over;
    stream->end_task.run_cb = end_done;
    list_init(&stream->end_task.node);
    list_init(&stream->node);
    list_init(&stream->orders);
    snprintf(stream->id, sizeof(stream->id), "%s", options->id);
    snprintf(stream->folder, sizeof(stream->folder), "%s", options->folder);
    for (unsigned i = 0; i < options->disk_count; i++)
        stream->volumes[i] = options->volumes[i];
    return stream;
}

int stream_open(struct loop *loop, const struct stream_open_options *options,
                const struct stream_settings *settings, const struct stream_callbacks *callbacks,
                struct stream **ret_stream, struct err *err)
{
    check(options->disk_count > 0 && options->disk_count <= STREAM_DISKS_MAX);
    check(options->role == STREAM_ROLE_SOURCE || options->role == STREAM_ROLE_TARGET);
    struct stream *stream = stream_new(loop, options, settings, callbacks);

    if (stream == NULL)
        return err_set(err, -ENOMEM, "no memory for a stream");
    int error = options->create ? io_dir_make_durable(loop, stream->folder) : 0;

    if (error != 0)
        err_set(err, error, "%s: %s", stream->folder, err_name(error));
    if (error == 0 && options->create)
        fill_new_state(stream, options);
    if (error == 0)
        error = state_file_open(loop, stream->folder, options->create, &stream->state,
                                &stream->state_file, err);
    if (error == 0)
        error = check_disks(stream, options, err);
    if (error != 0) {
        stream_free(stream);
        return error;
    }
    stream->is_waiting_peer = !options->create && stream->state.role == STREAM_ROLE_SOURCE &&
                              stream->state.has_started_ever;
    stream->acked_wall_ns = stream->state.point_wall_ns;
    point_age_learn(&stream->point_age, stream->loop, stream->acked_wall_ns, true);
    stream_hold(stream, open_held);
    *ret_stream = stream;
    return 0;
}

/* --- ending ---------------------------------------------------------------------------------- */

static void end_at_rest(struct stream *stream, int error)
{
    (void)error;
    stream_untrack(stream);
    stream_release(stream);
    loop_defer(stream->loop, &stream->end_task);
}

/* The first counts: that a removal was cut short (-ECANCELED) must not be forgotten. */
static void note_end_error(struct stream *stream, int error)
{
    if (stream->end_error == 0)
        stream->end_error = error;
}

static void end_saved(struct stream *stream, int error)
{
    step_point("stop-saved");
    note_end_error(stream, error);
    stream_wait_rest(stream, end_at_rest);
}

/* Not clean, then: the intent bits will do. */
static void end_unclean(struct stream *stream, int error, const char *why)
{
    char text[sizeof(stream->trouble)];

    snprintf(text, sizeof(text), "%.30s: %.120s; the next start compares what may differ",
             stream->id, why);
    stream_set_trouble(stream, text);
    end_saved(stream, error);
}

static void end_synced(struct stream *stream, int error)
{
    const char *folder = stream->folder;
    unsigned count = stream->state.disk_count;
    struct err err = {0};

    note_end_error(stream, error);
    if (error == 0 && stream->is_tracked)
        error = dirty_file_save(stream->loop, folder, stream->volumes, count, DIRTY_FILE_BYTES_MAX,
                                &err);
    if (error == 0) {
        step_point("stop-dirty-saved");
        error = seals_save(stream->loop, folder, stream->volumes, count, &err);
    }
    if (error != 0) {
        end_unclean(stream, error, err.code != 0 ? err.text : "its disks cannot be synced");
        return;
    }
    stream->state.is_clean = true;
    if (stream->source != NULL)
        stream->state.epoch = stream_newest_epoch(stream);
    if (stream->state.role == STREAM_ROLE_TARGET && stream->state.epoch < stream->committed_epoch)
        stream->state.epoch = stream->committed_epoch;
    stream_save(stream, end_saved);
}

static void end_closed(struct stream *stream)
{
    if (!stream->end_saves_dirty || !stream->is_open) {
        stream_wait_rest(stream, end_at_rest);
        return;
    }
    stream_sync_bases(stream, end_synced);
}

static void end_replica_closed(void *arg)
{
    struct stream *stream = arg;

    check_magic(stream, STREAM_MAGIC);
    stream->replica = NULL;
    end_closed(stream);
}

static void end_held(struct stream *stream, int error)
{
    check(error == 0);
    if (stream->target != NULL)
        target_free(stream->target);
    stream->target = NULL;
    if (stream->replica != NULL)
        replica_close(stream->replica, end_replica_closed, stream);
    else
        end_closed(stream);
}

static void end_home(struct stream *stream, int error)
{
    (void)error;
    stream_hold(stream, end_held);
}

static void end_quiet(void *arg)
{
    struct stream *stream = arg;

    check_magic(stream, STREAM_MAGIC);
    if (stream->end_brings_home && stream->replica != NULL && stream->is_open)
        stream_wait_drained(stream, end_home);
    else
        end_home(stream, 0);
}

static void end_idle(void *arg)
{
    struct stream *stream = arg;

    check_magic(stream, STREAM_MAGIC);
    if (stream->target != NULL)
        target_on_quiet(stream->target, end_quiet, stream);
    else
        end_quiet(stream);
}

static void end_begun(struct stream *stream, int error)
{
    (void)error;
    if (stream->source != NULL)
        source_on_idle(stream->source, end_idle, stream);
    else
        end_idle(stream);
}

void stream_end(struct stream *stream, bool save_dirty, bool bring_home, stream_done_fn done_cb,
                void *arg)
{
    check(!stream->is_ending && stream->end_cb == NULL);
    stream->is_ending = true;
    stream->end_cb = done_cb;
    stream->end_arg = arg;
    stream->end_saves_dirty = save_dirty;
    stream->end_brings_home = bring_home;
    stream_step_fn waits[] = {stream->closed_cb, stream->drained_cb};

    stream->closed_cb = stream->drained_cb = NULL;
    stream_disconnect(stream);
    reprotect_link_down(stream);
    if (stream->source != NULL)
        source_stop(stream->source);
    for (unsigned i = 0; i < ARRAY_COUNT(waits); i++)
        if (waits[i] != NULL)
            waits[i](stream, -ECANCELED);
    stream_wait_rest(stream, end_begun);
}

void stream_end_hurry(struct stream *stream, int error)
{
    check(stream->is_ending);
    stream->end_brings_home = false;
    if (error != 0) {
        stream->end_error = error;
        stream->end_saves_dirty = true;
    }
    if (stream->drained_cb != end_home)
        return;
    stream->drained_cb = NULL;
    end_home(stream, error);
}

bool stream_needs_journal(const struct stream *stream)
{
    const struct stream_state *state = &stream->state;

    return state->role == STREAM_ROLE_TARGET ? state->has_point : !state->is_drained;
}

void stream_free(struct stream *stream)
{
    if (stream == NULL)
        return;
    check_magic(stream, STREAM_MAGIC);
    check(stream->step_count == 0 && stream->replica == NULL && stream->source == NULL);
    state_file_close(stream->state_file);
    stream->magic = 0;
    stream_free_steps(stream);
    free(stream);
}

struct remover {
    struct loop *loop;
    const char *folder;
    unsigned depth;
    int error;
};

static int remove_folder(struct loop *loop, const char *folder, unsigned depth);

static void remove_entry(void *arg, const char *name)
{
    struct remover *remover = arg;
    char path[512];

    snprintf(path, sizeof(path), "%s/%s", remover->folder, name);
    int error = io_unlink(remover->loop, path);

    if (error != 0 && error != -ENOENT && remover->depth > 0)
        error = remove_folder(remover->loop, path, remover->depth - 1);
    if (error != 0 && error != -ENOENT)
        remover->error = error;
}

static int remove_folder(struct loop *loop, const char *folder, unsigned depth)
{
    struct remover remover = {.loop = loop, .folder = folder, .depth = depth};
    int error = io_dir_list(loop, folder, remove_entry, &remover);

    if (error == -ENOENT)
        return 0;
    if (error == 0)
        error = remover.error;
    return error == 0 ? io_unlink(loop, folder) : error;
}

int stream_remove_files(struct loop *loop, const char *folder)
{
    return remove_folder(loop, folder, 2);
}
