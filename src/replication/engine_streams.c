/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The streams behind the door: what an operator's call becomes, what a stream reports, and its
 * status. An order that cannot be taken fails in the next turn of the loop, never inside the call.
 */
#include "replication/engine_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/log.h"
#include "replication/claims.h"
#include "replication/failover.h"
#include "replication/growth.h"
#include "replication/meeting.h"
#include "replication/removal.h"
#include "replication/reprotect.h"
#include "replication/stream_life.h"

/* --- what a stream reports ------------------------------------------------------------------- */

void engine_judge_disk(struct engine *engine, struct site_disk *disk)
{
    const char *why = "", *claim = claims_of_disk(engine, disk->id);
    bool may_write = disk->stream != NULL ? stream_may_write(disk->stream, &why) : claim == NULL;
    char text[sizeof(disk->why)];

    if (disk->stream == NULL && claim != NULL) {
        claims_say(claim, text, sizeof(text));
        why = text;
    }

    if (site_disk_set(disk, may_write, why))
        engine_tell_soon(engine);
}

static void stream_access_told(void *arg, struct stream *stream)
{
    struct engine *engine = arg;
    struct list *node, *next;

    check_magic(engine, ENGINE_MAGIC);
    list_for_each(node, next, &engine->disks)
    {
        struct site_disk *disk = list_entry(node, struct site_disk, node);

        if (disk->stream == stream)
            engine_judge_disk(engine, disk);
    }
}

static void stream_change_told(void *arg, struct stream *stream)
{
    struct engine *engine = arg;

    check_magic(engine, ENGINE_MAGIC);
    stream->is_changed = true;
    engine_tell_soon(engine);
}

static void stream_role_told(void *arg, struct stream *stream)
{
    check_magic((struct engine *)arg, ENGINE_MAGIC);
    meeting_again(stream);
}

static void stream_disk_grown(void *arg, struct stream *stream, const char *disk)
{
    struct engine *engine = arg;

    check_magic(engine, ENGINE_MAGIC);
    check_magic(stream, STREAM_MAGIC);
    engine_find_disk(engine, disk)->has_grown = true;
    engine_tell_soon(engine);
}

static bool stream_is_exported(void *arg, struct stream *stream)
{
    struct engine *engine = arg;
    struct list *node, *next;

    check_magic(engine, ENGINE_MAGIC);
    list_for_each(node, next, &engine->disks)
    {
        struct site_disk *disk = list_entry(node, struct site_disk, node);

        if (disk->stream == stream && site_disk_is_exported(disk))
            return true;
    }
    return false;
}

static int make_snapshot(void *arg, struct stream *stream, const char *disk, const char *label,
                         struct err *err)
{
    struct engine *engine = arg;
    char reason[64];

    check_magic(engine, ENGINE_MAGIC);
    /* Which one: a stream that was made anew (its membership changed) begins with g1 again. */
    snprintf(reason, sizeof(reason), "reprotect of %s (%08x)", stream->id,
             (unsigned)generation_newest(&stream->state.line)->incarnation);
    return keeping_make(engine, disk, label, reason, false, err);
}

/* --- orders ---------------------------------------------------------------------------------- */

/* An operator's order: run at once, or when the stream's parts are there; its end is told from the
 * stream, or in a turn of its own when nothing could be begun. */
struct order {
    struct list node; /* waiting in the stream */
    struct loop_task task;
    struct engine *engine;
    struct stream *stream;
    enum {
        ORDER_START,
        ORDER_STOP,
        ORDER_FAILOVER,
        ORDER_REPROTECT,
        ORDER_REMOVE,
        ORDER_PART,
        ORDER_GROW
    } kind;
    bool flag;      /* one shot; reverse; without its journal; is fenced */
    uint64_t point; /* of a failover */
    char disk[40];  /* to grow */
    uint64_t size_bytes;
    engine_done_fn done_cb;
    void *arg;
    struct err err;
};

static void tell_order(struct loop_task *task)
{
    struct order *order = container_of(task, struct order, task);

    order->done_cb(order->arg, order->err.code, order->err.text);
    free(order);
}

/* With the code and text in order->err. */
static void end_order(struct order *order)
{
    order->task.run_cb = tell_order;
    list_init(&order->task.node);
    loop_defer(order->engine->loop, &order->task);
}

/* A fence holds before it is durable, and the peer, which is gone, fences nobody again. */
static int begin_part(struct order *order, struct err *err)
{
    struct stream *stream = order->stream;
    int error = meeting_part(stream, order->flag, order->done_cb, order->arg, err);

    if (error != -EALREADY || stream->state.role != STREAM_ROLE_FENCED)
        return error;
    stream_save_order(stream, order->done_cb, order->arg);
    return 0;
}

static int begin_order(struct order *order)
{
    struct stream *stream = order->stream;
    struct err *err = &order->err;

    /* Only a restart opens it: no error that says "in a moment". */
    if (stream->has_failed_to_open && order->kind != ORDER_REMOVE)
        return err_set(err, -EUCLEAN, "%s", stream->trouble);
    switch (order->kind) {
    case ORDER_START:
        return stream_start(stream, order->flag, order->done_cb, order->arg, err);
    case ORDER_STOP:
        return stream_stop(stream, order->done_cb, order->arg, err);
    case ORDER_FAILOVER:
        return failover_begin(stream, order->point, order->done_cb, order->arg, err);
    case ORDER_REPROTECT:
        return reprotect_begin(stream, order->flag, order->done_cb, order->arg, err);
    case ORDER_PART:
        return begin_part(order, err);
    case ORDER_GROW:
        return growth_begin(stream, order->disk, order->size_bytes, order->done_cb, order->arg,
                            err);
    case ORDER_REMOVE:
        return removal_begin(order->engine, stream, order->flag, order->done_cb, order->arg, err);
    }
    check(!"an unknown order");
}

static void run_order(struct order *order)
{
    int error = begin_order(order);

    if (error == 0) {
        free(order);
        return;
    }
    if ((order->kind == ORDER_FAILOVER || order->kind == ORDER_PART) && error == -EALREADY)
        order->err = (struct err){0}; /* it is as was asked */
    end_order(order);
}

static void remove_closed(struct order *order, const char *id)
{
    int error = removal_of_closed(order->engine, id, order->flag, &order->err);

    if (error == 0 || error == -ENOENT)
        claims_end(order->engine, id);
}

static void give_order(struct engine *engine, const char *id, struct order content)
{
    struct order *order = malloc(sizeof(*order));

    check_magic(engine, ENGINE_MAGIC);
    if (order == NULL) {
        content.done_cb(content.arg, -ENOMEM, "no memory for the order");
        return;
    }
    *order = content;
    order->engine = engine;
    order->stream = engine_find_stream(engine, id);
    list_init(&order->node);
    if (order->stream == NULL) {
        if (order->kind == ORDER_REMOVE)
            remove_closed(order, id);
        else
            err_set(&order->err, -ENOENT, "there is no stream %s", id);
        end_order(order);
    } else if (order->stream->has_opened) {
        run_order(order);
    } else {
        list_append(&order->stream->orders, &order->node);
    }
}

/* --- streams --------------------------------------------------------------------------------- */

static void stream_opened(struct stream *stream, int error)
{
    struct list *node;

    if (error != 0)
        log_error("engine", "stream %s: %s", stream->id, stream->trouble);
    else if (link_is_up(stream->link))
        meeting_link_up(stream);
    stream->has_opened = true;
    stream->has_failed_to_open = error != 0;
    while ((node = list_pop(&stream->orders)) != NULL)
        run_order(list_entry(node, struct order, node));
}

/* -ENOENT is kept for a stream that is not there: its files go then. */
static int gather_disks(struct engine *engine, const struct engine_stream_options *options,
                        struct stream_open_options *ret_options, struct err *err)
{
    if (options->disk_count == 0 || options->disk_count > ENGINE_DISKS_MAX)
        return err_set(err, -EINVAL, "a stream has 1 to %u disks", ENGINE_DISKS_MAX);
    for (unsigned i = 0; i < options->disk_count; i++) {
        struct site_disk *disk = engine_find_disk(engine, options->disks[i].disk);

        if (disk == NULL)
            return err_set(err, -ENODEV, "disk %s is not open (see verso disk show)",
                           options->disks[i].disk);
        if (disk->stream != NULL)
            return err_set(err, -EBUSY, "disk %s is in %s", disk->id, disk->stream->id);
        const char *claim = claims_of_disk(engine, disk->id);

        if (claim != NULL && options->create)
            return err_set(err, -EBUSY, "disk %s is in %s", disk->id, claim);
        ret_options->disks[i] = disk->id;
        ret_options->is_seeded[i] = options->disks[i].is_seeded;
        ret_options->volumes[i] = disk->volume;
    }
    return 0;
}

static struct stream_settings settings_of(const struct engine *engine)
{
    const struct engine_settings *settings = &engine->settings;

    return (struct stream_settings){
        .interval_ns = settings->interval_ns,
        .stash_memory_bytes = settings->stash_memory_bytes,
        .stash_disk_bytes = settings->stash_disk_bytes,
        .journal_bytes_max = settings->journal_bytes_max,
        .reserve_bytes = settings->failover_reserve_bytes,
        .retain_ns = settings->retain_ns,
        .retain_bytes = settings->retain_bytes,
        .bandwidth_bytes = settings->bandwidth_bytes,
        .pieces = engine->pieces,
        .peer_wait_ns = settings->peer_wait_ns,
        .site_id = engine->site_id,
        .open_when_peer_silent = settings->open_when_peer_silent,
    };
}

int engine_stream_open(struct engine *engine, const struct engine_stream_options *options,
                       struct err *err)
{
    struct stream_callbacks callbacks = {.access_cb = stream_access_told,
                                         .changed_cb = stream_change_told,
                                         .role_cb = stream_role_told,
                                         .snapshot_cb = make_snapshot,
                                         .grown_cb = stream_disk_grown,
                                         .is_exported_cb = stream_is_exported,
                                         .arg = engine};
    struct stream_settings settings = settings_of(engine);
    struct peer *peer = engine_find_peer(engine, options->peer);
    char folder[PATH_MAX];
    struct stream_open_options open_options = {.id = options->id,
                                               .peer = options->peer,
                                               .folder = folder,
                                               .role = options->role,
                                               .create = options->create,
                                               .disk_count = options->disk_count,
                                               .opened_cb = stream_opened};
    struct stream *stream;

    check_magic(engine, ENGINE_MAGIC);
    if (peer == NULL)
        return err_set(err, -EINVAL,
                       "there is no [peer.%s] in the configuration (was a site renamed?)",
                       options->peer);
    if (engine_find_stream(engine, options->id) != NULL)
        return err_set(err, -EEXIST, "stream %s is open already", options->id);
    if (options->create && claims_have(engine, options->id))
        return err_set(err, -EEXIST, "stream %s has files here", options->id);
    open_options.link = peer->link;
    snprintf(folder, sizeof(folder), "%s/streams/%s", engine->folder, options->id);
    int error = gather_disks(engine, options, &open_options, err);
    uint64_t sizes[ENGINE_DISKS_MAX];

    for (unsigned i = 0; i < options->disk_count && error == 0; i++)
        sizes[i] = volume_size_bytes(open_options.volumes[i]);
    if (error == 0)
        error = stream_open(engine->loop, &open_options, &settings, &callbacks, &stream, err);
    if (error != 0)
        return err_wrap(err, "stream %s", options->id);
    list_append(&engine->streams, &stream->node);
    for (unsigned i = 0; i < options->disk_count; i++) {
        struct site_disk *disk = engine_find_disk(engine, options->disks[i].disk);

        disk->stream = stream;
        disk->has_grown = disk->has_grown || volume_size_bytes(disk->volume) != sizes[i];
    }
    claims_end(engine, options->id);
    engine_tell_soon(engine);
    stream_access_told(engine, stream);
    return 0;
}

void engine_stream_remove(struct engine *engine, const char *id, bool give_up_journal,
                          engine_done_fn done_cb, void *arg)
{
    give_order(engine, id,
               (struct order){
                   .kind = ORDER_REMOVE, .flag = give_up_journal, .done_cb = done_cb, .arg = arg});
}

void engine_stream_start(struct engine *engine, const char *id, bool one_shot,
                         engine_done_fn done_cb, void *arg)
{
    give_order(
        engine, id,
        (struct order){.kind = ORDER_START, .flag = one_shot, .done_cb = done_cb, .arg = arg});
}

void engine_stream_stop(struct engine *engine, const char *id, engine_done_fn done_cb, void *arg)
{
    give_order(engine, id, (struct order){.kind = ORDER_STOP, .done_cb = done_cb, .arg = arg});
}

void engine_stream_failover(struct engine *engine, const char *id, uint64_t point,
                            engine_done_fn done_cb, void *arg)
{
    give_order(
        engine, id,
        (struct order){.kind = ORDER_FAILOVER, .point = point, .done_cb = done_cb, .arg = arg});
}

void engine_stream_reprotect(struct engine *engine, const char *id, bool reverse,
                             engine_done_fn done_cb, void *arg)
{
    give_order(
        engine, id,
        (struct order){.kind = ORDER_REPROTECT, .flag = reverse, .done_cb = done_cb, .arg = arg});
}

void engine_stream_part(struct engine *engine, const char *id, bool is_fenced,
                        engine_done_fn done_cb, void *arg)
{
    give_order(
        engine, id,
        (struct order){.kind = ORDER_PART, .flag = is_fenced, .done_cb = done_cb, .arg = arg});
}

/* A disk that is in no stream, at once; the end is told in a turn of its own all the same. */
static int grow_alone(struct engine *engine, struct site_disk *disk, uint64_t size_bytes,
                      struct err *err)
{
    int error = volume_grow(disk->volume, size_bytes, err);

    disk->has_grown = disk->has_grown || error == 0;
    engine_tell_soon(engine);
    return error;
}

void engine_disk_grow(struct engine *engine, const char *id, uint64_t size_bytes,
                      engine_done_fn done_cb, void *arg)
{
    struct order content = {
        .kind = ORDER_GROW, .size_bytes = size_bytes, .done_cb = done_cb, .arg = arg};
    struct site_disk *disk = engine_find_disk(engine, id);
    struct order *order;

    check_magic(engine, ENGINE_MAGIC);
    snprintf(content.disk, sizeof(content.disk), "%s", id);
    if (disk != NULL && disk->stream != NULL) {
        give_order(engine, disk->stream->id, content);
        return;
    }
    order = malloc(sizeof(*order));
    if (order == NULL) {
        done_cb(arg, -ENOMEM, "no memory for the order");
        return;
    }
    *order = content;
    order->engine = engine;
    if (disk == NULL)
        err_set(&order->err, -ENOENT, "there is no disk %s", id);
    else if (claims_of_disk(engine, id) != NULL) /* its stream would not know it again */
        err_set(&order->err, -EBUSY, "%s", disk->why);
    else
        (void)grow_alone(engine, disk, size_bytes, &order->err);
    end_order(order);
}

void engine_stream_force_open(struct engine *engine, const char *id, const char *reason)
{
    struct stream *stream = engine_find_stream(engine, id);

    check_magic(engine, ENGINE_MAGIC);
    if (stream == NULL || !stream->is_waiting_peer)
        return;
    log_notice("engine", "stream %s is opened although its peer is silent: %s", id, reason);
    stream_confirm_peer(stream);
}

static void fill_progress(const struct stream *stream, struct engine_stream_status *status)
{
    const struct stream_state *state = &stream->state;

    for (unsigned i = 0; i < state->disk_count; i++) {
        status->total_bytes += state->disks[i].size_bytes;
        status->backlog_bytes += stream_backlog_bytes(stream, i);
        status->is_initial = status->is_initial || state->disks[i].is_initial;
    }
    status->epoch_acked =
        state->role == STREAM_ROLE_SOURCE ? state->peer_epoch : stream->state.epoch;
    if (state->role == STREAM_ROLE_TARGET && stream->committed_epoch > state->epoch)
        status->epoch_acked = stream->committed_epoch;
    status->point_wall_ns = stream->acked_wall_ns;
    status->current_wall_ns = stream->current_wall_ns;
    status->point_age_ns = point_age_now_ns(&stream->point_age, stream->loop);
    if (stream->source != NULL) {
        uint64_t current_wall_ns, current_ns = source_current_ns(stream->source, &current_wall_ns);

        status->shipped_bytes = source_shipped_bytes(stream->source);
        if (current_ns != 0) {
            status->current_wall_ns = current_wall_ns;
            status->point_age_ns = loop_now_ns(stream->loop) - current_ns;
        }
    }
    if (stream->replica != NULL) {
        status->journal_bytes = replica_journal_bytes(stream->replica);
        status->journal_needed_bytes = replica_needed_bytes(stream->replica);
        const char *full = replica_full_disk(stream->replica);

        snprintf(status->full_disk, sizeof(status->full_disk), "%s", full != NULL ? full : "");
    }
}

bool engine_stream_status(struct engine *engine, const char *id,
                          struct engine_stream_status *ret_status)
{
    const struct stream *stream = engine_find_stream(engine, id);

    if (stream == NULL)
        return false;
    const struct stream_state *state = &stream->state;

    memset(ret_status, 0, sizeof(*ret_status));
    memcpy(ret_status->id, stream->id, sizeof(ret_status->id));
    memcpy(ret_status->peer, state->peer, sizeof(ret_status->peer));
    memcpy(ret_status->trouble, stream->trouble, sizeof(ret_status->trouble));
    ret_status->role = state->role;
    ret_status->is_started = state->is_started;
    ret_status->is_one_shot = state->is_one_shot;
    ret_status->is_connected = (stream->source != NULL && source_is_connected(stream->source)) ||
                               (stream->target != NULL && target_is_connected(stream->target));
    ret_status->has_point = state->has_point && !state->is_point_unsaved;
    ret_status->is_draining = !state->is_drained && state->role != STREAM_ROLE_TARGET;
    ret_status->is_open = stream->is_open;
    ret_status->is_waiting_peer = stream->is_waiting_peer;
    if (state->line.count > 0)
        ret_status->generation = *generation_newest(&state->line);
    ret_status->epoch_applied = state->applied;
    fill_progress(stream, ret_status);
    return true;
}

uint64_t engine_stream_disk_backlog(struct engine *engine, const char *id, unsigned index,
                                    uint64_t *ret_unshipped)
{
    const struct stream *stream = engine_find_stream(engine, id);

    *ret_unshipped = stream != NULL ? stream_unshipped_bytes(stream, index) : 0;
    return stream != NULL ? stream_backlog_bytes(stream, index) : 0;
}
