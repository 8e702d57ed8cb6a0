/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream's parts and the steps that all its changes are made of.
 *
 * Who may write here, by role:
 *
 *   SOURCE    yes, but after a restart of a stream that ever ran not before the peer confirmed
 *   TARGET    nobody
 *   PROMOTED  yes, but not once this site agreed to lose in a reprotect
 *   FENCED    nobody
 *
 * and never while a change of role is not durable yet (hold_why).
 */
#include "replication/stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "volume/volume.h"

/* --- durable steps --------------------------------------------------------------------------- */

enum { SPARE_STEPS = 4 };

/* A save of the state under way; either callback, or none. */
struct save_step {
    struct state_save save;
    struct stream *stream; /* of a spare one, NULL: free */
    stream_step_fn step_cb;
    stream_done_fn done_cb;
    void *done_arg;
};

struct base_sync {
    struct base_write write;
    struct stream *stream;
};

static void step_ended(struct stream *stream)
{
    check_magic(stream, STREAM_MAGIC);
    check(stream->step_count > 0);
    stream->step_count--;
}

/* Last in a callback: what waits may free nothing, but it may begin new steps. */
static void tell_rest(struct stream *stream)
{
    stream_step_fn rest_cb = stream->rest_cb;

    if (rest_cb == NULL || stream->step_count > 0)
        return;
    stream->rest_cb = NULL;
    rest_cb(stream, 0);
}

void stream_step_begin(struct stream *stream)
{
    stream->step_count++;
}

void stream_step_end(struct stream *stream)
{
    step_ended(stream);
    tell_rest(stream);
}

void stream_wait_rest(struct stream *stream, stream_step_fn step_cb)
{
    check(stream->rest_cb == NULL);
    stream->rest_cb = step_cb;
    tell_rest(stream);
}

int stream_make_steps(struct stream *stream, unsigned disk_count)
{
    stream->spare_steps = calloc(SPARE_STEPS, sizeof(stream->spare_steps[0]));
    stream->base_syncs = calloc(disk_count, sizeof(stream->base_syncs[0]));
    return stream->spare_steps == NULL || stream->base_syncs == NULL ? -ENOMEM : 0;
}

void stream_free_steps(struct stream *stream)
{
    free(stream->spare_steps);
    free(stream->base_syncs);
}

/* The spare ones are for when memory is short; without any the process must end: what the state
 * says would not be durable. */
static struct save_step *take_save_step(struct stream *stream)
{
    struct save_step *step = malloc(sizeof(*step));

    for (unsigned i = 0; step == NULL; i++) {
        check(i < SPARE_STEPS);
        if (stream->spare_steps[i].stream == NULL)
            step = &stream->spare_steps[i];
    }
    return step;
}

static void give_save_step(struct stream *stream, struct save_step *step)
{
    if (step >= stream->spare_steps && step < stream->spare_steps + SPARE_STEPS)
        step->stream = NULL;
    else
        free(step);
}

static void save_done(struct state_save *save, int error)
{
    struct save_step *step = container_of(save, struct save_step, save);
    struct stream *stream = step->stream;
    struct save_step told = *step;

    give_save_step(told.stream, step);
    step_ended(stream);
    if (error != 0)
        stream_set_trouble(stream, "state cannot be stored: the stream stands still; check the "
                                   "storage of the data folder, then restart the daemon");
    if (told.step_cb != NULL)
        told.step_cb(stream, error);
    if (told.done_cb != NULL)
        told.done_cb(told.done_arg, error, error != 0 ? stream->trouble : "");
    tell_rest(stream);
}

static void save(struct stream *stream, struct save_step content)
{
    struct save_step *step = take_save_step(stream);

    *step = content;
    step->stream = stream;
    list_init(&step->save.node);
    stream->step_count++;
    stream->peer_memory_unsaved = false;
    state_file_save(stream->state_file, &step->save, save_done);
}

void stream_save(struct stream *stream, stream_step_fn step_cb)
{
    save(stream, (struct save_step){.step_cb = step_cb});
}

void stream_save_order(struct stream *stream, stream_done_fn done_cb, void *arg)
{
    save(stream, (struct save_step){.done_cb = done_cb, .done_arg = arg});
}

static void join_begin(struct stream *stream, stream_step_fn step_cb)
{
    check(stream->join_cb == NULL && step_cb != NULL);
    stream->join_cb = step_cb;
    stream->join_error = 0;
    stream->join_count = stream->state.disk_count;
    stream->step_count++;
}

static void join_one(struct stream *stream, int error)
{
    check(stream->join_count > 0);
    if (error != 0)
        stream->join_error = error;
    if (--stream->join_count > 0)
        return;
    stream_step_fn step_cb = stream->join_cb;

    stream->join_cb = NULL;
    step_ended(stream);
    step_cb(stream, stream->join_error);
    tell_rest(stream);
}

static void intents_saved(struct bitfile_save *save, int error)
{
    struct intent_save *intent = container_of(save, struct intent_save, save);

    join_one(intent->stream, error);
}

void stream_save_intents(struct stream *stream, stream_step_fn step_cb)
{
    join_begin(stream, step_cb);
    for (unsigned i = 0; i < stream->state.disk_count; i++) {
        struct intent_save *intent = &stream->intent_saves[i];

        intent->stream = stream;
        if (stream->is_tracked)
            tracking_save_intent(stream->volumes[i], &intent->save, intents_saved);
        else
            bitfile_save(stream->intents[i], &intent->save, intents_saved);
    }
}

static void base_synced(struct base_write *write, int error)
{
    struct base_sync *sync = container_of(write, struct base_sync, write);
    struct stream *stream = sync->stream;

    check_magic(stream, STREAM_MAGIC);
    check(stream->base_sync_count > 0);
    if (error != 0)
        stream->base_sync_error = error;
    if (--stream->base_sync_count > 0)
        return;
    stream_step_fn step_cb = stream->base_synced_cb;
    stream_step_fn next_cbs[2] = {stream->base_sync_next_cbs[0], stream->base_sync_next_cbs[1]};

    stream->base_synced_cb = NULL;
    stream->base_sync_next_cbs[0] = stream->base_sync_next_cbs[1] = NULL;
    step_cb(stream, stream->base_sync_error);
    for (unsigned i = 0; i < 2; i++)
        if (next_cbs[i] != NULL)
            stream_sync_bases(stream, next_cbs[i]);
    stream_step_end(stream);
}

void stream_sync_bases(struct stream *stream, stream_step_fn step_cb)
{
    if (stream->base_synced_cb != NULL) {
        unsigned i = stream->base_sync_next_cbs[0] != NULL;

        if (i == 1 && stream->base_sync_next_cbs[0] == step_cb)
            return;
        check(stream->base_sync_next_cbs[i] == NULL);
        stream->base_sync_next_cbs[i] = step_cb;
        return;
    }
    stream->base_synced_cb = step_cb;
    stream->base_sync_count = stream->state.disk_count;
    stream->base_sync_error = 0;
    stream_step_begin(stream);
    for (unsigned i = 0; i < stream->state.disk_count; i++) {
        stream->base_syncs[i].stream = stream;
        volume_base_sync(stream->volumes[i], &stream->base_syncs[i].write, base_synced);
    }
}

static void volume_is_quiet(void *arg)
{
    struct stream *stream = arg;

    check_magic(stream, STREAM_MAGIC);
    join_one(stream, 0);
}

void stream_hold(struct stream *stream, stream_step_fn step_cb)
{
    join_begin(stream, step_cb);
    for (unsigned i = 0; i < stream->state.disk_count; i++)
        volume_hold(stream->volumes[i], volume_is_quiet, stream);
}

void stream_release(struct stream *stream)
{
    for (unsigned i = 0; i < stream->state.disk_count; i++)
        volume_release(stream->volumes[i]);
}

/* --- waits ----------------------------------------------------------------------------------- */

void stream_disk_closed(struct stream *stream)
{
    stream_step_fn closed_cb = stream->closed_cb;

    if (closed_cb == NULL || stream->callbacks.is_exported_cb(stream->callbacks.arg, stream))
        return;
    stream->closed_cb = NULL;
    closed_cb(stream, 0);
}

void stream_wait_closed(struct stream *stream, stream_step_fn step_cb)
{
    stream->closed_cb = step_cb;
    stream_disk_closed(stream);
}

static void tell_drained(struct stream *stream)
{
    stream_step_fn drained_cb = stream->drained_cb;

    if (drained_cb == NULL || (stream->replica != NULL && !replica_is_drained(stream->replica)))
        return;
    stream->drained_cb = NULL;
    drained_cb(stream, 0);
}

void stream_wait_drained(struct stream *stream, stream_step_fn step_cb)
{
    stream->drained_cb = step_cb;
    if (stream->replica != NULL && step_cb != NULL)
        replica_drain(stream->replica);
    tell_drained(stream);
}

/* --- parts ----------------------------------------------------------------------------------- */

static void source_acked(void *arg, uint64_t epoch, uint64_t cut_wall_ns)
{
    struct stream *stream = arg;
    bool is_first = !stream->state.has_point;

    check_magic(stream, STREAM_MAGIC);
    stream->state.has_point = true;
    stream->acked_wall_ns = stream->current_wall_ns = cut_wall_ns;
    stream->state.point_wall_ns = cut_wall_ns;
    for (unsigned i = 0; i < stream->state.disk_count; i++) {
        is_first = is_first || stream->state.disks[i].is_initial;
        stream->state.disks[i].is_initial = stream->state.disks[i].is_seeded = false;
    }
    stream_set_trouble(stream, "");
    if (is_first)
        stream_save(stream, NULL);
}

static void source_finished(void *arg)
{
    struct stream *stream = arg;

    check_magic(stream, STREAM_MAGIC);
    stream->state.is_started = stream->state.is_one_shot = false;
    stream_save(stream, NULL);
    stream_changed(stream);
}

static void set_trouble_of_part(void *arg, const char *text)
{
    stream_set_trouble(arg, text);
}

static void stash_is_full(void *arg)
{
    struct stream *stream = arg;

    check_magic(stream, STREAM_MAGIC);
    source_stash_full(stream->source);
}

static void disk_is_dirty(void *arg)
{
    struct stream *stream = arg;

    check_magic(stream, STREAM_MAGIC);
    if (stream->source != NULL)
        source_dirtied(stream->source);
}

static int make_source(struct stream *stream)
{
    const struct stream_settings *settings = &stream->settings;
    struct source_options options = {
        .stream = stream->id,
        .volumes = stream->volumes,
        .volume_count = stream->state.disk_count,
        .stash = stream->stash,
        .interval_ns = settings->interval_ns,
        .stash_memory_bytes = settings->stash_memory_bytes,
        .stash_disk_bytes = settings->stash_disk_bytes,
        .bandwidth_bytes = settings->bandwidth_bytes,
        .read_blocks = settings->pieces.read_blocks,
    };
    struct source_callbacks callbacks = {.number_cb = stream_number_epoch,
                                         .heard_cb = stream_hear_epoch,
                                         .acked_cb = source_acked,
                                         .finished_cb = source_finished,
                                         .trouble_cb = set_trouble_of_part,
                                         .arg = stream};
    int error = source_new(stream->loop, &options, &callbacks, &stream->source);

    if (error == 0)
        source_set_epoch(stream->source, stream->state.epoch);
    return error;
}

/* A new source makes the files after its state, and all its disk counts as different. Anywhere else
 * a missing file is a loss; but a target's say nothing. */
static int open_intent(struct stream *stream, unsigned i, struct err *err)
{
    uint64_t blocks = volume_block_count(stream->volumes[i]);
    uint64_t regions = (blocks + REGION_BLOCKS - 1) / REGION_BLOCKS;
    char path[300];
    bool is_new = stream->state.role == STREAM_ROLE_SOURCE && stream->state.disks[i].is_initial;
    int error = -ENOENT;

    snprintf(path, sizeof(path), "%s/intent-%u", stream->folder, i);
    if (stream->state.role == STREAM_ROLE_TARGET)
        return bitfile_open_blank(stream->loop, path, "INTN", regions, &stream->intents[i], err);
    if (is_new || bitfile_is_there(stream->loop, path))
        error = bitfile_open_grown(stream->loop, path, "INTN", regions, &stream->intents[i], err);
    if (error == -ENOENT || error == -EUCLEAN) {
        log_error("stream",
                  "%s is %s: which blocks differ from the peer's is not known, so "
                  "all of disk %s will be compared",
                  path, error == -ENOENT ? "missing" : "damaged", stream->state.disks[i].disk);
        stream->has_lost_intents[i] = true;
        error = bitfile_make_full(stream->loop, path, "INTN", regions, err);
        if (error == 0)
            error = bitfile_open(stream->loop, path, "INTN", regions, &stream->intents[i], err);
    }
    if (error == 0 && bitfile_fill_doubtful(stream->intents[i]))
        log_warning("stream",
                    "%s: one of two copies is damaged, by a power loss or by rot; what it covers "
                    "will be compared",
                    path);
    return error;
}

static int open_intents(struct stream *stream, struct err *err)
{
    int error = 0;

    for (unsigned i = 0; i < stream->state.disk_count && error == 0; i++)
        if (stream->intents[i] == NULL)
            error = open_intent(stream, i, err);
    return error;
}

int stream_reset_intents(struct stream *stream, struct err *err)
{
    check(!stream->is_tracked);
    int error = open_intents(stream, err);

    for (unsigned i = 0; i < stream->state.disk_count && error == 0; i++)
        bitfile_clear(stream->intents[i], 0, bitfile_bit_count(stream->intents[i]));
    return error;
}

int stream_track(struct stream *stream, struct err *err)
{
    char spill[300];
    struct stash_options stash = {.memory_bytes_max = stream->settings.stash_memory_bytes,
                                  .spill_bytes_max = stream->settings.stash_disk_bytes,
                                  .spill_path = spill,
                                  .volume_count_max = stream->state.disk_count};

    check(!stream->is_tracked);
    snprintf(spill, sizeof(spill), "%s/spill", stream->folder);
    int error = open_intents(stream, err);

    if (error == 0 && stream->stash == NULL)
        error = stash_new(stream->loop, &stash, &stream->stash);
    for (unsigned i = 0; i < stream->state.disk_count && error == 0; i++) {
        struct tracking_options options = {.intent = stream->intents[i],
                                           .stash = stream->stash,
                                           .stash_index = i,
                                           .stash_full_cb = stash_is_full,
                                           .dirtied_cb = disk_is_dirty,
                                           .arg = stream};

        error = tracking_start(stream->volumes[i], &options);
    }
    if (error == 0)
        error = make_source(stream);
    if (error != 0)
        return err->code != 0 ? error : err_set(err, error, "tracking: %s", err_name(error));
    stream->is_tracked = true;
    return 0;
}

void stream_untrack(struct stream *stream)
{
    for (unsigned i = 0; i < stream->state.disk_count; i++) {
        if (tracking_is_on(stream->volumes[i]))
            tracking_stop(stream->volumes[i]);
    }
    source_free(stream->source);
    stream->source = NULL;
    if (stream->stash != NULL)
        stash_free(stream->stash);
    stream->stash = NULL;
    for (unsigned i = 0; i < stream->state.disk_count; i++) {
        bitfile_close(stream->intents[i]);
        stream->intents[i] = NULL;
    }
    stream->is_tracked = false;
}

/* What keeps apply or drain from going on; it is tried again by itself. */
static void tell_replica_trouble(struct stream *stream)
{
    const char *trouble = replica_trouble(stream->replica);

    if (trouble[0] != '\0')
        stream_set_trouble(stream, trouble);
    else if (stream->has_replica_trouble)
        stream_set_trouble(stream, "");
    stream->has_replica_trouble = trouble[0] != '\0';
}

static void replica_changed(void *arg)
{
    struct stream *stream = arg;

    check_magic(stream, STREAM_MAGIC);
    if (stream->replica == NULL)
        return;
    if (stream->target != NULL)
        target_space(stream->target);
    tell_replica_trouble(stream);
    tell_drained(stream);
    stream_changed(stream);
}

int stream_open_replica(struct stream *stream, struct err *err)
{
    struct replica_options options = {
        .stream = stream->id,
        .folder = stream->folder,
        .state = stream->state_file,
        .volumes = stream->volumes,
        .journal_bytes_max = stream->settings.journal_bytes_max,
        .retain_ns = stream->settings.retain_ns,
        .retain_bytes = stream->settings.retain_bytes,
        .pieces = &stream->settings.pieces,
        .changed_cb = replica_changed,
        .arg = stream,
    };

    check(stream->replica == NULL);
    int error = replica_open(stream->loop, &options, &stream->replica, err);
    if (error == 0 && stream->state.role == STREAM_ROLE_TARGET)
        stream->committed_epoch = replica_epoch(stream->replica, &stream->acked_wall_ns);
    point_age_learn(&stream->point_age, stream->loop, stream->acked_wall_ns, true);
    return error;
}

static void target_committed(void *arg, uint64_t epoch, uint64_t cut_wall_ns)
{
    struct stream *stream = arg;

    check_magic(stream, STREAM_MAGIC);
    check(epoch > 0);
    stream->committed_epoch = epoch;
    stream->acked_wall_ns = stream->current_wall_ns = cut_wall_ns;
    point_age_learn(&stream->point_age, stream->loop, cut_wall_ns, false);
    stream_changed(stream);
}

static void target_is_current(void *arg, uint64_t wall_ns)
{
    struct stream *stream = arg;

    check_magic(stream, STREAM_MAGIC);
    stream->current_wall_ns = wall_ns;
    point_age_learn(&stream->point_age, stream->loop, wall_ns, false);
}

static void target_settled(void *arg)
{
    struct stream *stream = arg;

    check_magic(stream, STREAM_MAGIC);
    if (stream->hello_is_owed)
        stream_role_changed(stream); /* the two meet, as it was put off */
}

int stream_make_target(struct stream *stream)
{
    struct target_options options = {.stream = stream->id,
                                     .replica = stream->replica,
                                     .volumes = stream->volumes,
                                     .volume_count = stream->state.disk_count};
    struct target_callbacks callbacks = {.committed_cb = target_committed,
                                         .current_cb = target_is_current,
                                         .trouble_cb = set_trouble_of_part,
                                         .settled_cb = target_settled,
                                         .arg = stream};

    check(stream->target == NULL && stream->replica != NULL);
    return target_new(stream->loop, &options, &callbacks, &stream->target);
}

/* --- who may write --------------------------------------------------------------------------- */

bool stream_may_write(const struct stream *stream, const char **ret_why)
{
    const struct stream_state *state = &stream->state;
    const char *why = NULL;

    /* Hosts of a new source stay connected: their requests are held while its sets are made. */
    bool is_new_source = state->role == STREAM_ROLE_SOURCE && !state->has_started_ever;

    if (!stream->is_open && (!is_new_source || stream->trouble[0] != '\0'))
        why = stream->trouble[0] != '\0' ? stream->trouble : "the stream is being opened";
    else if (stream->hold_why != NULL && !stream->growth.is_held)
        why = stream->hold_why;
    else if (state->role == STREAM_ROLE_TARGET)
        why = "target of a replication: fail over to use it";
    else if (state->role == STREAM_ROLE_FENCED)
        why = "fenced: the other site has failed over to a newer generation; reprotect";
    else if (state->role == STREAM_ROLE_PROMOTED && state->is_reprotect_open)
        why = "a reprotect towards this site is under way";
    else if (state->role == STREAM_ROLE_SOURCE && stream->is_waiting_peer)
        why = stream_waiting_why(stream);
    *ret_why = why;
    return why == NULL;
}

void stream_access_changed(struct stream *stream)
{
    stream->callbacks.access_cb(stream->callbacks.arg, stream);
}

void stream_changed(struct stream *stream)
{
    stream->callbacks.changed_cb(stream->callbacks.arg, stream);
}

void stream_role_changed(struct stream *stream)
{
    stream_access_changed(stream); /* the reason is another one */
    stream->callbacks.role_cb(stream->callbacks.arg, stream);
}

void stream_set_trouble(struct stream *stream, const char *text)
{
    check_magic(stream, STREAM_MAGIC);
    if (strncmp(stream->trouble, text, sizeof(stream->trouble) - 1) == 0)
        return;
    snprintf(stream->trouble, sizeof(stream->trouble), "%s", text);
    stream_changed(stream);
}

void stream_confirm_peer(struct stream *stream)
{
    if (!stream->is_waiting_peer)
        return;
    stream->is_waiting_peer = false;
    loop_timer_cancel(stream->loop, &stream->wait_timer);
    stream_access_changed(stream);
    stream_changed(stream);
}

/* --- the peer -------------------------------------------------------------------------------- */

uint64_t stream_newest_epoch(const struct stream *stream)
{
    uint64_t epoch = stream->state.epoch, wall_ns;

    if (stream->source != NULL && source_epoch(stream->source) > epoch)
        epoch = source_epoch(stream->source);
    if (stream->replica != NULL && replica_epoch(stream->replica, &wall_ns) > epoch)
        epoch = replica_epoch(stream->replica, &wall_ns);
    return epoch;
}

static void fill_line(const struct generation_line *line, struct stream_line *ret_line)
{
    ret_line->count = (uint16_t)line->count;
    for (unsigned i = 0; i < line->count; i++) {
        ret_line->entries[i].id.term = line->entries[i].id.term;
        ret_line->entries[i].id.site = line->entries[i].id.site;
        ret_line->entries[i].id.incarnation = line->entries[i].id.incarnation;
        ret_line->entries[i].parent_epoch = line->entries[i].parent_epoch;
    }
}

void stream_wire_line(const struct stream *stream, struct stream_line *ret_line)
{
    fill_line(&stream->state.line, ret_line);
}

void stream_read_line(const struct stream_line *line, struct generation_line *ret_line)
{
    check(line->count <= GENERATION_COUNT_MAX);
    ret_line->count = line->count;
    for (unsigned i = 0; i < line->count; i++) {
        ret_line->entries[i].id.term = line->entries[i].id.term;
        ret_line->entries[i].id.site = line->entries[i].id.site;
        ret_line->entries[i].id.incarnation = line->entries[i].id.incarnation;
        ret_line->entries[i].parent_epoch = line->entries[i].parent_epoch;
    }
}

bool stream_is_settled(const struct stream *stream)
{
    return stream->target == NULL || target_is_connected(stream->target) ||
           target_is_quiet(stream->target);
}

void stream_send_hello(struct stream *stream)
{
    struct stream_hello hello = {0};
    uint8_t bytes[STREAM_HELLO_SIZE_MAX];
    uint64_t wall_ns;

    /* While a role changes, what the state says is not durable and its parts are not there yet: the
     * end of the change says it. */
    if (!stream->is_link_up || !stream->is_open || stream->is_ending || stream->hold_why != NULL ||
        stream->reprotect.is_unsaved)
        return;
    /* A commit of the last connection may still end: what we say of our newest epoch, and what we
     * compare by hash, must not be older than it. */
    stream->hello_is_owed = !stream_is_settled(stream);
    if (stream->hello_is_owed)
        return;
    hello.role = (uint8_t)stream->state.role;
    hello.is_started = stream->state.is_started;
    hello.is_reprotect_open = stream->state.is_reprotect_open;
    hello.is_reprotect_reverse = stream->state.is_reprotect_reverse;
    /* Of a first copy it says what is durable: the peer keeps it, and takes us for an old copy when
     * a restart takes it back (R16). */
    hello.has_point = stream->state.has_point && !stream->state.is_point_unsaved;
    hello.wants_reply = !stream->has_hello;
    hello.point_wall_ns = stream->acked_wall_ns;
    hello.epoch = stream->state.role == STREAM_ROLE_TARGET && stream->replica != NULL
                      ? replica_epoch(stream->replica, &wall_ns)
                      : stream_newest_epoch(stream);
    if (hello.epoch < stream->state.epoch && stream->state.role == STREAM_ROLE_TARGET)
        hello.epoch = stream->state.epoch;
    fill_line(&stream->state.line, &hello.line);
    hello.disk_count = (uint16_t)stream->state.disk_count;
    for (unsigned i = 0; i < stream->state.disk_count; i++) {
        hello.disks[i].size_bytes = stream->durable_bytes[i];
        hello.disks[i].is_initial =
            stream->state.disks[i].is_initial || stream->state.disks[i].is_copy_unsaved;
    }
    if (link_send_control(stream->link, stream->id, STREAM_HELLO, bytes,
                          stream_hello_encode(&hello, bytes)) == -ENOSPC)
        stream_set_trouble(stream, "more than 1023 streams with one peer: this one is not "
                                   "replicated; put pairs into groups");
}

void stream_disconnect(struct stream *stream)
{
    if (stream->source != NULL)
        source_disconnected(stream->source);
    if (stream->target != NULL)
        target_disconnected(stream->target);
}

/* --- start, stop ----------------------------------------------------------------------------- */

static int check_order(const struct stream *stream, struct err *err)
{
    if (!stream->is_open || stream->is_ending)
        return err_set(err, -EBUSY, "%s",
                       stream->trouble[0] != '\0' ? stream->trouble : "the stream is not open");
    if (stream->state.role != STREAM_ROLE_SOURCE)
        return err_set(err, -EINVAL, "this site is not the source");
    return 0;
}

int stream_start(struct stream *stream, bool is_one_shot, stream_done_fn done_cb, void *arg,
                 struct err *err)
{
    int error = check_order(stream, err);

    if (error != 0)
        return error;
    stream->state.is_started = stream->state.has_started_ever = true;
    stream->state.is_one_shot = is_one_shot;
    stream_save_order(stream, done_cb, arg);
    source_start(stream->source, is_one_shot);
    stream_changed(stream);
    return 0;
}

int stream_stop(struct stream *stream, stream_done_fn done_cb, void *arg, struct err *err)
{
    int error = check_order(stream, err);

    if (error != 0)
        return error;
    stream->state.is_started = stream->state.is_one_shot = false;
    source_stop(stream->source);
    stream_save_order(stream, done_cb, arg);
    stream_changed(stream);
    return 0;
}

uint64_t stream_backlog_bytes(const struct stream *stream, unsigned disk)
{
    uint64_t bytes = stream_unshipped_bytes(stream, disk);

    if (disk >= stream->state.disk_count || !stream->is_tracked)
        return 0;
    return bytes +
           (blockset_count(tracking_set(stream->volumes[disk], TRACKING_UNACKED)) << BLOCK_SHIFT);
}

uint64_t stream_unshipped_bytes(const struct stream *stream, unsigned disk)
{
    uint64_t blocks = 0;

    if (disk >= stream->state.disk_count || !stream->is_tracked)
        return 0;
    for (unsigned set = 0; set < TRACKING_SET_COUNT; set++)
        if (set != TRACKING_UNACKED && set != TRACKING_SETTLED)
            blocks += blockset_count(tracking_set(stream->volumes[disk], (enum tracking_set)set));
    return blocks << BLOCK_SHIFT;
}
