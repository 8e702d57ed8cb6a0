/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door of the data wing: looks up what a call names, hands it to the unit that knows, and tells
 * the owner what changed. Reports upward go out in one deferred task a turn, so that the owner may
 * call back without finding a unit half changed.
 */
#include "replication/engine_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "replication/claims.h"
#include "replication/meeting.h"
#include "replication/removal.h"
#include "replication/reprotect.h"
#include "replication/site_id.h"
#include "replication/stream_life.h"

#define EXPIRY_CHECK_NS (60 * UINT64_C(1000000000))

/* --- looking up ------------------------------------------------------------------------------ */

struct site_disk *engine_find_disk(const struct engine *engine, const char *id)
{
    struct list *node, *next;

    list_for_each(node, next, &engine->disks)
    {
        struct site_disk *disk = list_entry(node, struct site_disk, node);

        if (strcmp(disk->id, id) == 0)
            return disk;
    }
    return NULL;
}

struct stream *engine_find_stream(const struct engine *engine, const char *id)
{
    struct list *node, *next;

    list_for_each(node, next, &engine->streams)
    {
        struct stream *stream = list_entry(node, struct stream, node);

        if (strcmp(stream->id, id) == 0)
            return stream;
    }
    return NULL;
}

struct peer *engine_find_peer(struct engine *engine, const char *name)
{
    for (unsigned i = 0; i < engine->peer_count; i++)
        if (strcmp(engine->peers[i].name, name) == 0)
            return &engine->peers[i];
    return NULL;
}

/* --- reports upward -------------------------------------------------------------------------- */

static bool tell_disk(struct engine *engine)
{
    struct list *node, *next;

    list_for_each(node, next, &engine->disks)
    {
        struct site_disk *disk = list_entry(node, struct site_disk, node);

        if (!disk->is_news)
            continue;
        disk->is_news = false;
        disk->is_closing = !disk->may_write && (disk->told_may_write || disk->is_closing);
        disk->told_may_write = disk->may_write;
        engine->callbacks.disk_access_cb(engine->callbacks.arg, disk->id, disk->may_write,
                                         disk->why);
        return true;
    }
    return false;
}

static uint64_t durable_bytes(const struct site_disk *disk)
{
    const struct stream *stream = disk->stream;

    for (unsigned i = 0; stream != NULL && i < stream->state.disk_count; i++)
        if (stream->volumes[i] == disk->volume)
            return stream->durable_bytes[i];
    return volume_size_bytes(disk->volume);
}

static bool tell_grown(struct engine *engine)
{
    struct list *node, *next;

    list_for_each(node, next, &engine->disks)
    {
        struct site_disk *disk = list_entry(node, struct site_disk, node);

        if (!disk->has_grown)
            continue;
        disk->has_grown = false;
        engine->callbacks.disk_grown_cb(engine->callbacks.arg, disk->id, durable_bytes(disk));
        return true;
    }
    return false;
}

static bool tell_stream(struct engine *engine)
{
    struct list *node, *next;

    list_for_each(node, next, &engine->streams)
    {
        struct stream *stream = list_entry(node, struct stream, node);

        if (!stream->is_changed)
            continue;
        stream->is_changed = false;
        engine->callbacks.stream_changed_cb(engine->callbacks.arg, stream->id);
        return true;
    }
    return false;
}

/* The owner may open and close things in each callback: begin anew after it. */
static void run_tell(struct loop_task *task)
{
    struct engine *engine = container_of(task, struct engine, tell);

    check_magic(engine, ENGINE_MAGIC);
    while (tell_disk(engine))
        ;
    while (tell_grown(engine))
        ;
    while (tell_stream(engine))
        ;
}

void engine_tell_soon(struct engine *engine)
{
    loop_defer(engine->loop, &engine->tell);
}

static void snapshots_changed(void *arg, const char *disk)
{
    struct engine *engine = arg;

    check_magic(engine, ENGINE_MAGIC);
    engine->callbacks.snapshots_changed_cb(engine->callbacks.arg, disk);
}

/* --- calls that end later -------------------------------------------------------------------- */

struct later {
    struct loop_task task;
    engine_reply_fn reply_cb;
    void *arg;
    int error;
};

static void run_later(struct loop_task *task)
{
    struct later *later = container_of(task, struct later, task);

    later->reply_cb(later->arg, later->error, NULL, 0);
    free(later);
}

static void end_later(struct engine *engine, struct later content)
{
    struct later *later = calloc(1, sizeof(*later));

    check(later != NULL);
    *later = content;
    later->task.run_cb = run_later;
    list_init(&later->task.node);
    loop_defer(engine->loop, &later->task);
}

/* --- the link -------------------------------------------------------------------------------- */

static void peer_up(void *arg)
{
    struct peer *peer = arg;
    struct engine *engine = peer->engine;
    struct list *node, *next;

    check_magic(engine, ENGINE_MAGIC);
    peer->is_up = true;
    list_for_each(node, next, &engine->streams)
    {
        struct stream *stream = list_entry(node, struct stream, node);

        if (stream->link == peer->link)
            meeting_link_up(stream);
    }
    engine->callbacks.peer_cb(engine->callbacks.arg, peer->name, true, "");
}

static void peer_down(void *arg, const char *why)
{
    struct peer *peer = arg;
    struct engine *engine = peer->engine;
    struct list *node, *next;

    check_magic(engine, ENGINE_MAGIC);
    peer->is_up = false;
    link_call_down(peer->calls);
    list_for_each(node, next, &engine->streams)
    {
        struct stream *stream = list_entry(node, struct stream, node);

        if (stream->link == peer->link)
            meeting_link_down(stream);
    }
    engine->callbacks.peer_cb(engine->callbacks.arg, peer->name, false, why);
}

static bool stream_takes(struct stream *stream, const struct link_frame_in *frame, struct err *why)
{
    switch (frame->type) {
    case STREAM_HELLO:
        return meeting_hello(stream, frame, why);
    case STREAM_DATA:
    case STREAM_HOLE:
    case STREAM_CUT:
    case STREAM_ABORT:
    case STREAM_CURRENT:
    case STREAM_HASHES:
    case STREAM_WHO:
        if (stream->target != NULL && target_is_connected(stream->target))
            return target_frame(stream->target, frame, why);
        if (target_is_counted(frame->type))
            link_consumed(stream->link, stream->id, frame->length);
        return true;
    case STREAM_ACK:
    case STREAM_BLOCKED:
    case STREAM_RESUME:
    case STREAM_VERDICT:
    case STREAM_TROUBLE:
    case STREAM_LIFE:
        return stream->source == NULL || source_frame(stream->source, frame, why);
    default:
        return reprotect_frame(stream, frame, why);
    }
}

static bool peer_frame(void *arg, const struct link_frame_in *frame, struct err *why)
{
    struct peer *peer = arg;

    check_magic(peer->engine, ENGINE_MAGIC);
    if (frame->stream[0] == '\0')
        return link_call_frame(peer->calls, frame, why);
    struct stream *stream = engine_find_stream(peer->engine, frame->stream);

    if (stream != NULL && stream->link == peer->link && stream->is_open && !stream->is_ending)
        return stream_takes(stream, frame, why);
    /* Not here (yet): its HELLO will ask for an answer when it is. */
    if (target_is_counted(frame->type))
        link_consumed(peer->link, frame->stream, frame->length);
    return true;
}

static void peer_room(void *arg, const char *id)
{
    struct peer *peer = arg;
    struct stream *stream = engine_find_stream(peer->engine, id);

    if (stream == NULL || stream->link != peer->link || !stream->is_open)
        return;
    if (stream->source != NULL)
        source_room(stream->source);
    reprotect_room(stream);
}

static void peer_calls(void *arg, uint64_t token, const void *bytes, uint32_t length)
{
    struct peer *peer = arg;
    struct engine *engine = peer->engine;

    engine->callbacks.call_cb(engine->callbacks.arg, peer->name,
                              token * ENGINE_PEERS_MAX + peer->index, bytes, length);
}

/* --- engine ---------------------------------------------------------------------------------- */

static int make_folders(struct engine *engine, struct err *err)
{
    static const char *const names[] = {"", "/disks", "/streams", "/layers"};
    char path[PATH_MAX];
    int error = 0;

    for (unsigned i = 0; i < ARRAY_COUNT(names) && error == 0; i++) {
        snprintf(path, sizeof(path), "%s%s", engine->folder, names[i]);
        error = io_dir_make_durable(engine->loop, path);
    }
    return error == 0 ? 0 : err_set(err, error, "%s: %s", path, err_name(error));
}

static int make_peer(struct engine *engine, const struct engine_options *options, unsigned i,
                     struct err *err)
{
    struct peer *peer = &engine->peers[i];
    const char *address = options->peers[i].address;
    struct link_callbacks link_callbacks = {.up_cb = peer_up,
                                            .down_cb = peer_down,
                                            .frame_cb = peer_frame,
                                            .room_cb = peer_room,
                                            .arg = peer};
    struct link_call_callbacks link_call_callbacks = {.request_cb = peer_calls, .arg = peer};

    peer->engine = engine;
    peer->index = i;
    snprintf(peer->name, sizeof(peer->name), "%s", options->peers[i].name);
    snprintf(peer->address, sizeof(peer->address), "%s", address != NULL ? address : "");
    struct link_options link_options = {
        .site_name = engine->site_name,
        .site_id = engine->site_id,
        .peer_name = peer->name,
        .peer_address = peer->address[0] != '\0' ? peer->address : NULL,
        .psk = options->psk,
        .psk_length = options->psk_length,
        .heartbeat_ns = options->heartbeat_ns,
        .silence_ns = options->silence_ns,
        .pieces = options->pieces.link,
    };
    int error = link_new(engine->loop, &link_options, &link_callbacks, &peer->link, err);

    if (error == 0)
        error = link_call_new(engine->loop, peer->link, &link_call_callbacks, &peer->calls, err);
    return error;
}

static void expire_snapshots(struct loop_timer *timer)
{
    struct engine *engine = container_of(timer, struct engine, expiry);

    check_magic(engine, ENGINE_MAGIC);
    snapshots_expire(engine->snapshots, loop_wall_ns(engine->loop));
    loop_timer_set(engine->loop, timer, loop_now_ns(engine->loop) + EXPIRY_CHECK_NS);
}

static int engine_init(struct engine *engine, const struct engine_options *options, struct err *err)
{
    char path[PATH_MAX];
    int error = make_folders(engine, err);

    snprintf(path, sizeof(path), "%s/layers", engine->folder);
    if (error == 0) {
        removal_sweep(engine);
        error = claims_load(engine, err);
    }
    if (error == 0)
        error = site_id_open(engine->loop, engine->folder, &engine->site_id, err);
    if (error == 0)
        error =
            snapshots_open(engine->loop, path, snapshots_changed, engine, &engine->snapshots, err);
    for (unsigned i = 0; i < options->peer_count && error == 0; i++) {
        error = make_peer(engine, options, i, err);
        engine->peer_count = i + 1;
    }
    return error;
}

int engine_new(struct loop *loop, const struct engine_options *options,
               const struct engine_callbacks *callbacks, struct engine **ret_engine,
               struct err *err)
{
    struct engine *engine = calloc(1, sizeof(*engine));

    check(options->peer_count <= ENGINE_PEERS_MAX && options->settings.interval_ns > 0);
    if (engine == NULL)
        return err_set(err, -ENOMEM, "no memory for the engine");
    engine->magic = ENGINE_MAGIC;
    engine->loop = loop;
    engine->settings = options->settings;
    engine->pieces = options->pieces;
    engine->callbacks = *callbacks;
    list_init(&engine->disks);
    list_init(&engine->streams);
    list_init(&engine->claims);
    list_init(&engine->tell.node);
    engine->tell.run_cb = run_tell;
    engine->expiry.fired_cb = expire_snapshots;
    snprintf(engine->folder, sizeof(engine->folder), "%s", options->data_folder);
    snprintf(engine->site_name, sizeof(engine->site_name), "%s", options->site_name);
    if (options->link_listen != NULL)
        snprintf(engine->listen, sizeof(engine->listen), "%s", options->link_listen);
    int error = engine_init(engine, options, err);

    if (error != 0) {
        engine_free(engine);
        return error;
    }
    *ret_engine = engine;
    return 0;
}

static void tell_lost(void *arg, const char *disk, const char *why)
{
    struct engine *engine = arg;

    if (engine->callbacks.found_cb != NULL)
        engine->callbacks.found_cb(engine->callbacks.arg, disk, true, why);
}

int engine_start(struct engine *engine, struct err *err)
{
    struct link *links[ENGINE_PEERS_MAX];
    struct err why = {0};

    check_magic(engine, ENGINE_MAGIC);
    claims_tell(engine);
    snapshots_tell_lost(engine->snapshots, tell_lost, engine);
    for (unsigned i = 0; i < engine->peer_count; i++)
        links[i] = engine->peers[i].link;
    if (engine->listen[0] != '\0' && engine->peer_count > 0 &&
        link_listener_new(engine->loop, engine->listen, links, engine->peer_count,
                          &engine->listener, &why) != 0)
        snprintf(engine->listen_why, sizeof(engine->listen_why), "%.119s", why.text);
    for (unsigned i = 0; i < engine->peer_count; i++)
        link_start(engine->peers[i].link);
    expire_snapshots(&engine->expiry);
    return why.code != 0 ? err_set(err, why.code, "%s", why.text) : 0;
}

uint16_t engine_link_port(const struct engine *engine)
{
    return engine->listener != NULL ? link_listener_port(engine->listener) : 0;
}

static void stop_one(struct engine *engine)
{
    check(engine->stop_count > 0);
    if (--engine->stop_count > 0)
        return;
    engine->stopped_cb(engine->stopped_arg);
}

static void stop_link_done(void *arg)
{
    struct peer *peer = arg;

    check_magic(peer->engine, ENGINE_MAGIC);
    stop_one(peer->engine);
}

static void stop_links(struct engine *engine)
{
    engine->stop_count = engine->peer_count + 1;
    for (unsigned i = 0; i < engine->peer_count; i++)
        link_stop(engine->peers[i].link, stop_link_done, &engine->peers[i]);
    stop_one(engine);
}

void engine_stop_goes_on(struct engine *engine)
{
    check(engine->stop_count > 0);
    if (--engine->stop_count == 0)
        stop_links(engine);
}

static void stop_stream_done(void *arg, int error, const char *why)
{
    struct engine *engine = arg;

    check_magic(engine, ENGINE_MAGIC);
    if (error != 0)
        log_warning("engine", "a stream did not stop cleanly (%s): %s", err_name(error), why);
    engine_stop_goes_on(engine);
}

static void stop_streams(void *arg)
{
    struct engine *engine = arg;
    struct list *node, *next;

    check_magic(engine, ENGINE_MAGIC);
    engine->stop_count = 1;
    engine->is_ending_streams = true;
    list_for_each(node, next, &engine->streams)
    {
        struct stream *stream = list_entry(node, struct stream, node);

        engine->stop_count++;
        /* A removal ends as well as it goes. */
        if (stream->is_ending)
            stream_end_hurry(stream, -ECANCELED);
        else
            stream_end(stream, true, false, stop_stream_done, engine);
    }
    engine_stop_goes_on(engine);
}

void engine_stop(struct engine *engine, void (*stopped_cb)(void *arg), void *arg)
{
    check_magic(engine, ENGINE_MAGIC);
    check(!engine->is_stopping);
    engine->is_stopping = true;
    engine->stopped_cb = stopped_cb;
    engine->stopped_arg = arg;
    loop_timer_cancel(engine->loop, &engine->expiry);
    if (engine->listener != NULL)
        link_listener_stop(engine->listener, stop_streams, engine);
    else
        stop_streams(engine);
}

void engine_free(struct engine *engine)
{
    struct list *node;

    if (engine == NULL)
        return;
    check_magic(engine, ENGINE_MAGIC);
    loop_timer_cancel(engine->loop, &engine->expiry);
    list_remove(&engine->tell.node);
    while ((node = list_pop(&engine->streams)) != NULL)
        stream_free(list_entry(node, struct stream, node));
    if (engine->listener != NULL)
        link_listener_free(engine->listener);
    for (unsigned i = 0; i < engine->peer_count; i++) {
        if (engine->peers[i].calls != NULL)
            link_call_free(engine->peers[i].calls);
        if (engine->peers[i].link != NULL)
            link_free(engine->peers[i].link);
    }
    while (!list_is_empty(&engine->disks)) {
        struct site_disk *disk = list_entry(engine->disks.next, struct site_disk, node);

        disk->stream = NULL;
        check(site_disk_close(engine->loop, disk, engine->snapshots, false, NULL) == 0);
    }
    if (engine->snapshots != NULL)
        snapshots_close(engine->snapshots);
    claims_free(engine);
    engine->magic = 0;
    free(engine);
}

/* --- disks ----------------------------------------------------------------------------------- */

int engine_disk_open(struct engine *engine, const struct engine_disk_options *options,
                     uint64_t *ret_size_bytes, struct err *err)
{
    struct site_disk_options disk_options = {.folder = engine->folder,
                                             .id = options->id,
                                             .driver = options->driver,
                                             .path = options->path,
                                             .size_bytes = options->size_bytes,
                                             .create = options->create};
    struct site_disk *disk;

    check_magic(engine, ENGINE_MAGIC);
    if (engine_find_disk(engine, options->id) != NULL)
        return err_set(err, -EEXIST, "disk %s is open already", options->id);
    int error = site_disk_open(engine->loop, &disk_options, engine->snapshots, &disk, err);

    if (error != 0)
        return error;
    list_append(&engine->disks, &disk->node);
    claims_take(engine, disk);
    if (ret_size_bytes != NULL)
        *ret_size_bytes = volume_size_bytes(disk->volume);
    return 0;
}

/* One that a start left out has its file and its snapshots still; a life that was killed may have
 * taken it away without a sync. */
static int no_disk(struct engine *engine, const char *id, bool remove, struct err *err)
{
    char folder[PATH_MAX], path[PATH_MAX];
    int error = 0;

    check(snprintf(folder, sizeof(folder), "%s/disks", engine->folder) < (int)sizeof(folder));
    check(snprintf(path, sizeof(path), "%s/disks/%s.raw", engine->folder, id) < PATH_MAX);
    if (remove) {
        site_disk_remove_snapshots(engine->snapshots, id);
        error = io_unlink(engine->loop, path);
    }
    if (remove && (error == 0 || error == -ENOENT))
        error = io_dir_sync(engine->loop, folder);
    if (error != 0 && error != -ENOENT)
        return err_set(err, error, "remove %s: %s", path, err_name(error));
    return err_set(err, -ENOENT, "there is no disk %s", id);
}

int engine_disk_close(struct engine *engine, const char *id, bool remove, struct err *err)
{
    struct site_disk *disk = engine_find_disk(engine, id);

    check_magic(engine, ENGINE_MAGIC);
    if (disk == NULL)
        return no_disk(engine, id, remove, err);
    if (disk->stream != NULL)
        return err_set(err, -EBUSY, "disk %s is in %s", id, disk->stream->id);
    return site_disk_close(engine->loop, disk, engine->snapshots, remove, err);
}

struct volume *engine_disk_volume(struct engine *engine, const char *id)
{
    struct site_disk *disk = engine_find_disk(engine, id);

    return disk != NULL ? disk->volume : NULL;
}

uint64_t engine_disk_bytes(const struct engine *engine, const char *id)
{
    const struct site_disk *disk = engine_find_disk(engine, id);

    check(disk != NULL);
    return durable_bytes(disk);
}

bool engine_disk_may_write(struct engine *engine, const char *id, const char **ret_why)
{
    struct site_disk *disk = engine_find_disk(engine, id);

    *ret_why = disk != NULL ? disk->why : "there is no such disk";
    return disk != NULL && disk->may_write;
}

void engine_disk_closed(struct engine *engine, const char *id)
{
    struct site_disk *disk = engine_find_disk(engine, id);

    check_magic(engine, ENGINE_MAGIC);
    if (disk == NULL)
        return;
    disk->is_closing = false;
    if (disk->stream != NULL)
        stream_disk_closed(disk->stream);
}

/* --- snapshots ------------------------------------------------------------------------------- */

unsigned engine_snapshot_count(struct engine *engine, const char *disk)
{
    return snapshots_count(engine->snapshots, disk);
}

bool engine_snapshot_at(struct engine *engine, const char *disk, unsigned index,
                        struct engine_snapshot *ret_snapshot)
{
    const struct layer *layer = snapshots_at(engine->snapshots, disk, index);

    if (layer == NULL)
        return false;
    const struct layer_description *description = layer_describe(layer);

    *ret_snapshot = (struct engine_snapshot){
        .created_wall_ns = description->created_wall_ns,
        .expires_wall_ns = description->expires_wall_ns,
        .kept_bytes = layer_kept_bytes(layer),
        .size_bytes = description->size_bytes,
    };
    memcpy(ret_snapshot->id, description->id, sizeof(ret_snapshot->id));
    memcpy(ret_snapshot->disk, description->disk, sizeof(ret_snapshot->disk));
    memcpy(ret_snapshot->label, description->label, sizeof(ret_snapshot->label));
    memcpy(ret_snapshot->reason, description->reason, sizeof(ret_snapshot->reason));
    return true;
}

int engine_snapshot_remove(struct engine *engine, const char *id, struct err *err)
{
    return snapshots_remove(engine->snapshots, id, err);
}

void engine_snapshot_submit(struct engine *engine, const char *id, struct volume_request *request)
{
    snapshots_submit(engine->snapshots, id, request);
}

/* --- calls ----------------------------------------------------------------------------------- */

void engine_call(struct engine *engine, const char *name, const void *bytes, uint32_t length,
                 uint64_t timeout_ns, engine_reply_fn reply_cb, void *arg)
{
    struct peer *peer = engine_find_peer(engine, name);
    struct later later = {.reply_cb = reply_cb, .arg = arg, .error = -EHOSTUNREACH};

    check_magic(engine, ENGINE_MAGIC);
    if (peer == NULL) {
        end_later(engine, later);
        return;
    }
    later.error = link_call_send(peer->calls, bytes, length, timeout_ns, reply_cb, arg);
    if (later.error != 0)
        end_later(engine, later);
}

void engine_call_reply(struct engine *engine, uint64_t call, const void *bytes, uint32_t length)
{
    unsigned index = call % ENGINE_PEERS_MAX;

    check_magic(engine, ENGINE_MAGIC);
    check(index < engine->peer_count);
    link_call_reply(engine->peers[index].calls, call / ENGINE_PEERS_MAX, bytes, length);
}

bool engine_peer_is_up(struct engine *engine, const char *name)
{
    const struct peer *peer = engine_find_peer(engine, name);

    return peer != NULL && peer->is_up;
}

/* One that we do not dial: who came last may have been it, with a wrong key, say. */
static void tell_awaited(const struct engine *engine, char *ret_text, size_t size)
{
    const char *refused = engine->listener != NULL ? link_listener_refused(engine->listener) : "";

    snprintf(ret_text, size,
             "it must connect to this site, since no address of it is configured%s%s",
             refused[0] != '\0' ? "; the last connection was refused, " : "", refused);
}

/* Why we do not reach the peer, as last tried, and why it cannot reach us. */
static void tell_why_down(const struct engine *engine, const struct link_status *link,
                          char *ret_text, size_t size)
{
    bool is_deaf = engine->listen_why[0] != '\0', is_tried = link->last_error[0] != '\0';

    snprintf(ret_text, size, "%s%s%s%s", link->last_error, is_deaf && is_tried ? "; " : "",
             is_deaf ? "no peer can connect to this site: " : "", engine->listen_why);
}

bool engine_peer_status(struct engine *engine, const char *name,
                        struct engine_peer_status *ret_status)
{
    const struct peer *peer = engine_find_peer(engine, name);
    const struct link_status *link;

    if (peer == NULL)
        return false;
    memset(ret_status, 0, sizeof(*ret_status));
    snprintf(ret_status->name, sizeof(ret_status->name), "%s", name);
    ret_status->is_up = peer->is_up;
    if (peer->link == NULL)
        return true;
    link = link_status(peer->link);
    if (!peer->is_up)
        tell_why_down(engine, link, ret_status->why, sizeof(ret_status->why));
    if (!peer->is_up && ret_status->why[0] == '\0' && peer->address[0] == '\0')
        tell_awaited(engine, ret_status->why, sizeof(ret_status->why));
    ret_status->round_trip_ns = link->round_trip_ns;
    ret_status->bytes_out = link->bytes_out;
    ret_status->bytes_in = link->bytes_in;
    return true;
}
