/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: what the control wing asks of the engine and of the NBD server, and what it hears of them,
 * as messages between two loops. Neither threads nor configuration: the daemon gives each loop a
 * thread of its own (data_wing.c), the simulation runs both in virtual time.
 *
 * A request: control submits -> loop_post to the data loop -> act() there -> complete() ->
 * loop_post back -> done_cb. An event goes the other way as a copy on the heap. Long acts (a
 * stream's start, a detach) keep the request and complete it from their callback.
 */
#include "daemon/wing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/log.h"
#include "daemon/wing_exports.h"
#include "daemon/wing_status.h"

enum { WING_MAGIC = 0x77696e67 };

struct wing {
    uint32_t magic;
    struct loop *data_loop, *control_loop;
    struct engine *engine;
    struct nbd_server *server;
    struct wing_exports *exports;
    struct wing_status status; /* which streams and peers there are, for DATA_STATUS */
    data_events_fn events_cb;
    void *events_arg;
    void (*stopped_cb)(void *arg);
    void *stopped_arg;
    char data_folder[PATH_MAX]; /* real path; the site's own files, which are no disks of hosts */
};

/* --- upward -------------------------------------------------------------------------------- */

struct event_message {
    struct loop_message message;
    struct wing *wing;
    struct data_event event;
    uint8_t bytes[];
};

static void event_arrived(struct loop_message *message)
{
    struct event_message *one = container_of(message, struct event_message, message);

    one->wing->events_cb(one->wing->events_arg, &one->event);
    free(one);
}

static void send_event(struct wing *wing, const struct data_event *event, const char *name,
                       const char *why)
{
    struct event_message *one = malloc(sizeof(*one) + event->length);

    check(one != NULL);
    one->message.run_cb = event_arrived;
    one->wing = wing;
    one->event = *event;
    snprintf(one->event.name, sizeof(one->event.name), "%s", name);
    snprintf(one->event.why, sizeof(one->event.why), "%s", why ? why : "");
    if (event->length > 0)
        memcpy(one->bytes, event->bytes, event->length);
    one->event.bytes = one->bytes;
    loop_post(wing->control_loop, &one->message);
}

static void disk_access(void *arg, const char *disk, bool may_write, const char *why)
{
    struct wing *wing = arg;

    log_notice("engine", "disk %s: hosts may %swrite%s%s", disk, may_write ? "" : "not ",
               why && *why ? ": " : "", why ? why : "");
    wing_exports_access(wing->exports, disk, may_write, why);
    send_event(wing, &(struct data_event){.kind = DATA_EVENT_DISK_ACCESS, .is_on = may_write}, disk,
               why);
}

static void disk_grown(void *arg, const char *disk, uint64_t size_bytes)
{
    struct wing *wing = arg;

    log_notice("engine", "disk %s has %llu bytes by now", disk, (unsigned long long)size_bytes);
    wing_exports_grow(wing->exports, disk);
    send_event(wing, &(struct data_event){.kind = DATA_EVENT_DISK_GROWN, .size_bytes = size_bytes},
               disk, NULL);
}

static void stream_changed(void *arg, const char *stream)
{
    send_event(arg, &(struct data_event){.kind = DATA_EVENT_STREAM_CHANGED}, stream, NULL);
}

static void snapshots_changed(void *arg, const char *disk)
{
    struct wing *wing = arg;

    wing_exports_snapshots(wing->exports, disk);
    send_event(wing, &(struct data_event){.kind = DATA_EVENT_SNAPSHOTS_CHANGED}, disk, NULL);
}

static void found(void *arg, const char *id, bool is_lost, const char *why)
{
    send_event(arg, &(struct data_event){.kind = DATA_EVENT_FOUND, .is_on = is_lost}, id, why);
}

static void peer_changed(void *arg, const char *peer, bool is_up, const char *why)
{
    log_notice("link", "peer %s is %s%s%s", peer, is_up ? "up" : "down", why && *why ? ": " : "",
               why ? why : "");
    send_event(arg, &(struct data_event){.kind = DATA_EVENT_PEER, .is_on = is_up}, peer, why);
}

static void call_arrived(void *arg, const char *peer, uint64_t call, const void *bytes,
                         uint32_t length)
{
    send_event(arg,
               &(struct data_event){
                   .kind = DATA_EVENT_CALL, .call = call, .bytes = bytes, .length = length},
               peer, NULL);
}

static const struct engine_callbacks engine_callbacks = {
    .disk_access_cb = disk_access,
    .disk_grown_cb = disk_grown,
    .stream_changed_cb = stream_changed,
    .snapshots_changed_cb = snapshots_changed,
    .found_cb = found,
    .peer_cb = peer_changed,
    .call_cb = call_arrived,
};

/* --- requests ------------------------------------------------------------------------------ */

static struct wing *wing_of(struct data_request *request)
{
    struct wing *wing = request->private[0];

    check_magic(wing, WING_MAGIC);
    return wing;
}

static void request_returned(struct loop_message *message)
{
    struct data_request *request = container_of(message, struct data_request, message);
    request->done_cb(request);
}

static void complete(struct data_request *request, int error, const char *why)
{
    struct wing *wing = wing_of(request);

    request->error = error;
    if (why != NULL)
        snprintf(request->why, sizeof(request->why), "%s", why);
    else if (error < 0 && request->why[0] == '\0')
        snprintf(request->why, sizeof(request->why), "%s", err_name(error));
    request->message.run_cb = request_returned;
    loop_post(wing->control_loop, &request->message);
}

static void engine_done(void *arg, int error, const char *why)
{
    complete(arg, error, why);
}

static void disk_wiped(void *arg, int error, const char *why, uint64_t next, bool is_whole)
{
    struct data_request *request = arg;

    request->offset = next;
    request->is_whole = is_whole;
    complete(request, error, why);
}

static void export_gone(void *arg)
{
    complete(arg, 0, NULL);
}

static void call_replied(void *arg, int error, const void *bytes, uint32_t length)
{
    struct data_request *request = arg;

    if (error == 0) {
        request->reply = malloc(length + 1);
        check(request->reply != NULL);
        memcpy(request->reply, bytes, length);
        ((char *)request->reply)[length] = '\0';
        request->reply_length = length;
    }
    complete(request, error, NULL);
}

/* A disk of the site's own by another name of its file. */
static bool is_own_link(const struct wing *wing, const struct stat *facts)
{
    char folder[PATH_MAX + 8];
    struct dirent *entry;
    struct stat one;
    bool is_own = false;
    DIR *disks;

    snprintf(folder, sizeof(folder), "%s/disks", wing->data_folder);
    disks = opendir(folder);
    if (disks == NULL)
        return false;
    while (!is_own && (entry = readdir(disks)) != NULL)
        is_own = fstatat(dirfd(disks), entry->d_name, &one, AT_SYMLINK_NOFOLLOW) == 0 &&
                 one.st_dev == facts->st_dev && one.st_ino == facts->st_ino;
    closedir(disks);
    return is_own;
}

/* A file of the site itself, by whatever name: its database, a journal, another disk's bytes. */
static bool is_own_file(const struct wing *wing, const char *path)
{
    size_t length = strlen(wing->data_folder);
    struct stat facts;
    char real[PATH_MAX];

    if (length == 0 || realpath(path, real) == NULL)
        return false;
    if (strncmp(real, wing->data_folder, length) == 0 && real[length] == '/')
        return true;
    return stat(real, &facts) == 0 && S_ISREG(facts.st_mode) && facts.st_nlink > 1 &&
           is_own_link(wing, &facts);
}

static void disk_open(struct wing *wing, struct data_request *request)
{
    struct err err = {0};
    struct engine_disk_options options = {
        .id = request->disk,
        .driver = request->driver,
        .path = request->path && request->path[0] ? request->path : NULL,
        .size_bytes = request->size_bytes,
        .create = request->create,
    };
    int failed;

    if (options.path != NULL && is_own_file(wing, options.path)) {
        complete(request, -EPERM, "it lies in the site's own data folder");
        return;
    }
    failed = engine_disk_open(wing->engine, &options, &request->size_bytes, &err);
    if (failed == 0) {
        failed = wing_exports_add_disk(wing->exports, request->disk);
        if (failed != 0)
            (void)engine_disk_close(wing->engine, request->disk, request->create, &(struct err){0});
    }
    complete(request, failed, failed && err.code ? err.text : NULL);
}

static void disk_close(struct wing *wing, struct data_request *request)
{
    struct err err = {0};
    bool was_open = engine_disk_volume(wing->engine, request->disk) != NULL;
    int failed = engine_disk_close(wing->engine, request->disk, request->remove, &err);

    if (was_open && engine_disk_volume(wing->engine, request->disk) == NULL)
        wing_exports_remove_disk(wing->exports, request->disk);
    complete(request, failed, failed && err.code ? err.text : NULL);
}

static void disk_attach(struct wing *wing, struct data_request *request)
{
    const char *why = NULL;
    int failed = wing_exports_attach(wing->exports, request->disk, &request->is_exported, &why);

    complete(request, failed, failed ? NULL : why);
}

static void stream_open(struct wing *wing, struct data_request *request)
{
    struct err err = {0};
    struct engine_stream_options *options = calloc(1, sizeof(*options));
    int failed;

    check(options != NULL && request->disk_count <= ENGINE_DISKS_MAX);
    options->id = request->stream;
    options->peer = request->peer;
    options->role = request->is_source ? STREAM_ROLE_SOURCE : STREAM_ROLE_TARGET;
    options->create = request->create;
    options->disk_count = request->disk_count;
    for (unsigned i = 0; i < request->disk_count; i++) {
        options->disks[i].disk = request->disks[i].disk;
        options->disks[i].is_seeded = request->disks[i].is_seeded;
    }
    failed = engine_stream_open(wing->engine, options, &err);
    free(options);
    if (failed == 0)
        wing_status_add_stream(&wing->status, request->stream, request->disk_count);
    complete(request, failed, failed && err.code ? err.text : NULL);
}

static void stream_removed(void *arg, int error, const char *why)
{
    struct data_request *request = arg;

    if (error == 0 || error == -ENOENT)
        wing_status_remove_stream(&wing_of(request)->status, request->stream);
    complete(request, error, why);
}

static void snapshot_unexported(void *arg)
{
    struct data_request *request = arg;
    struct err err = {0};
    int failed = engine_snapshot_remove(wing_of(request)->engine, request->snapshot_id, &err);

    complete(request, failed, failed && err.code ? err.text : NULL);
}

static void snapshot_remove(struct wing *wing, struct data_request *request)
{
    int failed = wing_exports_drop_snapshot(wing->exports, request->snapshot_id,
                                            snapshot_unexported, request);

    if (failed == -ENOENT)
        snapshot_unexported(request);
    else if (failed)
        complete(request, failed, "a client reads this snapshot: end its connection first");
}

/* Of a disk that hosts are kept off. */
static void disk_work(struct wing *wing, struct data_request *request)
{
    if (wing_exports_is_open(wing->exports, request->disk))
        complete(request, -EBUSY, "hosts may reach it");
    else if (request->op == DATA_DISK_WIPE)
        engine_disk_wipe(wing->engine, request->disk, request->offset, disk_wiped, request);
    else
        engine_disk_keep(wing->engine, request->disk, request->label, request->reason, engine_done,
                         request);
}

/* What a request of each kind does, on the data loop. */
static void act(struct wing *wing, struct data_request *request)
{
    struct engine *engine = wing->engine;
    struct err err = {0};
    int failed;

    switch (request->op) {
    case DATA_DISK_OPEN:
        return disk_open(wing, request);
    case DATA_DISK_CLOSE:
        return disk_close(wing, request);
    case DATA_DISK_ATTACH:
        return disk_attach(wing, request);
    case DATA_DISK_GROW:
        return engine_disk_grow(engine, request->disk, request->size_bytes, engine_done, request);
    case DATA_DISK_WIPE:
    case DATA_DISK_KEEP:
        return disk_work(wing, request);
    case DATA_DISK_DETACH:
        failed = wing_exports_detach(wing->exports, request->disk, export_gone, request);
        return failed ? complete(request, failed, NULL) : (void)0;
    case DATA_STREAM_OPEN:
        return stream_open(wing, request);
    case DATA_STREAM_REMOVE:
        return engine_stream_remove(engine, request->stream, request->remove, stream_removed,
                                    request);
    case DATA_STREAM_START:
        return engine_stream_start(engine, request->stream, request->one_shot, engine_done,
                                   request);
    case DATA_STREAM_STOP:
        return engine_stream_stop(engine, request->stream, engine_done, request);
    case DATA_STREAM_FAILOVER:
        return engine_stream_failover(engine, request->stream, request->point, engine_done,
                                      request);
    case DATA_STREAM_REPROTECT:
        return engine_stream_reprotect(engine, request->stream, request->reverse, engine_done,
                                       request);
    case DATA_STREAM_PART:
        return engine_stream_part(engine, request->stream, request->fence, engine_done, request);
    case DATA_STREAM_FORCE_OPEN:
        engine_stream_force_open(engine, request->stream, request->reason);
        return complete(request, 0, NULL);
    case DATA_STATUS:
        request->snapshot =
            wing_status_take(&wing->status, engine, wing->exports, loop_name(wing->data_loop));
        return complete(request, 0, NULL);
    case DATA_SNAPSHOT_LIST:
        wing_status_snapshots(engine, request->disk, &request->snapshots, &request->snapshot_count);
        return complete(request, 0, NULL);
    case DATA_SNAPSHOT_REMOVE:
        return snapshot_remove(wing, request);
    case DATA_CALL:
        return engine_call(engine, request->peer, request->bytes, request->length,
                           request->timeout_ns, call_replied, request);
    case DATA_CALL_REPLY:
        engine_call_reply(engine, request->call, request->bytes, request->length);
        return complete(request, 0, NULL);
    case DATA_START:
        failed = engine_start(engine, &err);
        return complete(request, failed, failed < 0 ? err.text : NULL);
    case DATA_OP_COUNT:
        break;
    }
    check(false);
}

static void request_arrived(struct loop_message *message)
{
    struct data_request *request = container_of(message, struct data_request, message);
    act(wing_of(request), request);
}

static void submit(void *arg, struct data_request *request)
{
    struct wing *wing = arg;

    check_magic(wing, WING_MAGIC);
    request->private[0] = wing;
    request->why[0] = '\0';
    request->error = 0;
    request->message.run_cb = request_arrived;
    loop_post(wing->data_loop, &request->message);
}

const struct data_ops *wing_ops(void)
{
    static const struct data_ops ops = {submit};
    return &ops;
}

/* --- life ---------------------------------------------------------------------------------- */

int wing_new(const struct wing_options *options, struct wing **ret_wing, struct err *err)
{
    struct engine_callbacks callbacks = engine_callbacks;
    struct wing *wing = calloc(1, sizeof(*wing));
    int failed;

    if (wing == NULL)
        return err_set(err, -ENOMEM, "no memory");
    wing->magic = WING_MAGIC;
    wing->data_loop = options->data_loop;
    wing->control_loop = options->control_loop;
    wing->events_cb = options->events_cb;
    wing->events_arg = options->arg;
    wing_status_init(&wing->status, &options->engine);
    if (realpath(options->engine.data_folder, wing->data_folder) == NULL)
        wing->data_folder[0] = '\0'; /* not made yet: nothing lies there */
    failed = nbd_server_new(wing->data_loop, &options->nbd, &wing->server, err);
    if (failed == 0) {
        wing->exports = wing_exports_new(wing->data_loop, wing->server);
        callbacks.arg = wing;
        failed = engine_new(wing->data_loop, &options->engine, &callbacks, &wing->engine, err);
    } else {
        err_wrap(err, "NBD");
    }
    if (failed) {
        wing_free(wing);
        return failed;
    }
    wing_exports_set_engine(wing->exports, wing->engine);
    *ret_wing = wing;
    return 0;
}

struct engine *wing_engine(struct wing *wing)
{
    check_magic(wing, WING_MAGIC);
    return wing->engine;
}

static void engine_stopped(void *arg)
{
    struct wing *wing = arg;
    wing->stopped_cb(wing->stopped_arg);
}

static void server_stopped(void *arg)
{
    struct wing *wing = arg;
    engine_stop(wing->engine, engine_stopped, wing);
}

static void exports_ended(void *arg)
{
    struct wing *wing = arg;
    nbd_server_stop(wing->server, server_stopped, wing);
}

void wing_stop(struct wing *wing, void (*stopped_cb)(void *arg), void *arg)
{
    check_magic(wing, WING_MAGIC);
    wing->stopped_cb = stopped_cb;
    wing->stopped_arg = arg;
    wing_exports_end(wing->exports, exports_ended, wing);
}

void wing_free(struct wing *wing)
{
    if (wing == NULL)
        return;
    wing_exports_free(wing->exports);
    if (wing->engine)
        engine_free(wing->engine);
    if (wing->server)
        nbd_server_free(wing->server);
    wing_status_fini(&wing->status);
    free(wing);
}
