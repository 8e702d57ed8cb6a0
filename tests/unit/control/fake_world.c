/* SPDX-License-Identifier: Apache-2.0 */
/* Why: see fake_world.h. The pretended wing follows the promises of control/data_ops.h. */
#include "fake_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access/secret_box.h"
#include "base/check.h"
#include "fake_meta.h"
#include "meta/record_cache.h"

static const uint64_t wall_offset_ns = UINT64_C(1795000000) * 1000000000;

/* --- the loop -------------------------------------------------------------------------------- */

static struct fake_loop *fake_loop_of(struct loop *loop)
{
    return container_of(loop, struct fake_loop, loop);
}

static uint64_t fake_now(struct loop *loop)
{
    return fake_loop_of(loop)->world->now_ns;
}

static uint64_t fake_wall(struct loop *loop)
{
    const struct fake_world *world = fake_loop_of(loop)->world;

    return world->now_ns + wall_offset_ns + (uint64_t)world->wall_jump_ns;
}

static uint64_t fake_random(struct loop *loop)
{
    struct fake_world *world = fake_loop_of(loop)->world;

    world->random = world->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return world->random >> 16 | world->random << 48;
}

static void fake_post(struct loop *loop, struct loop_message *message)
{
    struct fake_loop *fake = fake_loop_of(loop);

    message->next = NULL;
    *fake->last = message;
    fake->last = &message->next;
}

static void fake_defer(struct loop *loop, struct loop_task *task)
{
    if (list_is_empty(&task->node))
        list_append(&fake_loop_of(loop)->tasks, &task->node);
}

static void fake_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
    struct fake_loop *fake = fake_loop_of(loop);

    for (unsigned i = 0; i < FAKE_TIMERS; i++)
        if (fake->timers[i] == timer)
            fake->timers[i] = NULL;
}

static void fake_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns)
{
    struct fake_loop *fake = fake_loop_of(loop);

    fake_timer_cancel(loop, timer);
    timer->deadline_ns = deadline_ns;
    for (unsigned i = 0; i < FAKE_TIMERS; i++)
        if (!fake->timers[i]) {
            fake->timers[i] = timer;
            return;
        }
    check(!"timers enough");
}

static const struct loop_ops fake_ops = {
    .name = "fake",
    .now_ns = fake_now,
    .wall_ns = fake_wall,
    .random = fake_random,
    .post = fake_post,
    .defer = fake_defer,
    .timer_set = fake_timer_set,
    .timer_cancel = fake_timer_cancel,
};

static struct fake_loop *fake_loop_new(struct fake_world *world)
{
    struct fake_loop *fake = calloc(1, sizeof(*fake));

    check(fake);
    fake->loop.magic = LOOP_MAGIC;
    fake->loop.ops = &fake_ops;
    fake->world = world;
    fake->last = &fake->first;
    list_init(&fake->tasks);
    return fake;
}

/* The messages of one turn are those that were there when it began. */
static struct loop_message *message_of_turn(struct fake_loop *fake)
{
    if (fake->turn_left == 0 && list_is_empty(&fake->tasks))
        for (struct loop_message *at = fake->first; at; at = at->next)
            fake->turn_left++;
    if (fake->turn_left == 0)
        return NULL;
    fake->turn_left--;
    return fake->first;
}

static bool loop_turn(struct fake_loop *fake)
{
    struct loop_message *message = message_of_turn(fake);
    struct list *node;

    if (message) {
        fake->first = message->next;
        if (!fake->first)
            fake->last = &fake->first;
        message->run_cb(message);
        return true;
    }
    node = list_pop(&fake->tasks);
    if (node) {
        struct loop_task *task = list_entry(node, struct loop_task, node);

        task->run_cb(task);
        return true;
    }
    for (unsigned i = 0; i < FAKE_TIMERS; i++) {
        struct loop_timer *timer = fake->timers[i];
        if (timer && timer->deadline_ns <= fake->world->now_ns) {
            fake->timers[i] = NULL;
            timer->fired_cb(timer);
            return true;
        }
    }
    return false;
}

static uint64_t next_deadline(struct fake_world *world)
{
    uint64_t next = UINT64_MAX;

    for (unsigned s = 0; s < 2; s++)
        for (unsigned i = 0; world->sites[s].is_alive && i < FAKE_TIMERS; i++) {
            struct loop_timer *timer = world->sites[s].loop->timers[i];
            if (timer && timer->deadline_ns < next)
                next = timer->deadline_ns;
        }
    return next;
}

static bool world_turn(struct fake_world *world)
{
    bool ran = false;

    for (unsigned s = 0; s < 2; s++)
        while (world->sites[s].is_alive && loop_turn(world->sites[s].loop))
            ran = true;
    return ran;
}

void fake_run(struct fake_world *world, uint64_t ns)
{
    uint64_t end_ns = world->now_ns + ns;

    for (;;) {
        uint64_t next;

        while (world_turn(world))
            ;
        next = next_deadline(world);
        if (next > end_ns)
            break;
        world->now_ns = next > world->now_ns ? next : world->now_ns;
    }
    world->now_ns = end_ns;
}

/* --- the pretended data wing ----------------------------------------------------------------- */

struct fake_disk *fake_disk_of(struct fake_world *world, unsigned site, const char *id)
{
    struct fake_disk *disks = world->sites[site].disks;

    for (unsigned i = 0; i < FAKE_DISKS; i++)
        if (disks[i].exists && strcmp(disks[i].id, id) == 0)
            return &disks[i];
    return NULL;
}

struct fake_stream *fake_stream_of(struct fake_world *world, unsigned site, const char *id)
{
    struct fake_stream *streams = world->sites[site].streams;

    for (unsigned i = 0; i < FAKE_STREAMS; i++)
        if (streams[i].exists && strcmp(streams[i].id, id) == 0)
            return &streams[i];
    return NULL;
}

bool fake_may_write(struct fake_world *world, unsigned site, const char *disk)
{
    struct fake_stream *streams = world->sites[site].streams;

    for (unsigned i = 0; i < FAKE_STREAMS; i++)
        for (unsigned k = 0; streams[i].exists && k < streams[i].disk_count; k++)
            if (strcmp(streams[i].disks[k].disk, disk) == 0 &&
                (!streams[i].is_open || streams[i].is_losing ||
                 streams[i].role == DATA_ROLE_TARGET || streams[i].role == DATA_ROLE_FENCED))
                return false;
    return true;
}

bool fake_is_exported(struct fake_world *world, unsigned site, const char *disk)
{
    return fake_disk_of(world, site, disk)->is_wanted && fake_may_write(world, site, disk);
}

static unsigned index_of(struct fake_site *site)
{
    return (unsigned)(site - site->world->sites);
}

static struct fake_site *peer_of(struct fake_site *site)
{
    return &site->world->sites[1 - index_of(site)];
}

static struct fake_stream *twin_of(struct fake_site *site, const char *id)
{
    struct fake_stream *twin = fake_stream_of(site->world, 1 - index_of(site), id);

    return site->world->is_link_up && twin && twin->is_open ? twin : NULL;
}

static void tell(struct fake_site *site, enum data_event_kind kind, const char *name, bool is_on,
                 const char *why)
{
    struct data_event event = {.kind = kind, .is_on = is_on};

    snprintf(event.name, sizeof(event.name), "%s", name);
    snprintf(event.why, sizeof(event.why), "%s", why);
    if (site->is_alive)
        control_event(site->control, &event);
}

static int disk_open(struct fake_site *site, struct data_request *request)
{
    struct fake_disk *disk = fake_disk_of(site->world, index_of(site), request->disk);

    bool is_odd = strcmp(request->path, "/odd") == 0;

    if (request->path[0] && !is_odd && strncmp(request->path, "/there", 6) != 0) {
        snprintf(request->why, sizeof(request->why), "no such file");
        return -ENOENT;
    }
    if (disk && request->create)
        return -EEXIST;
    if (!disk && !request->create && !request->path[0])
        return -ENOENT;
    if (!disk) {
        disk = site->disks;
        while (disk->exists)
            disk++;
        check(disk < site->disks + FAKE_DISKS);
        *disk = (struct fake_disk){.exists = true, .size = request->size_bytes};
        strcpy(disk->id, request->disk);
        if (request->path[0])
            disk->size = is_odd ? 100 : 8192;
    }
    disk->is_open = true;
    request->size_bytes = disk->size;
    return 0;
}

static int stream_open(struct fake_site *site, struct data_request *request)
{
    struct fake_stream *stream = fake_stream_of(site->world, index_of(site), request->stream);

    for (unsigned i = 0; i < request->disk_count; i++) {
        struct fake_disk *disk = fake_disk_of(site->world, index_of(site), request->disks[i].disk);
        if (!disk || !disk->is_open) {
            snprintf(request->why, sizeof(request->why), "the disk is not open");
            return -ENODEV;
        }
    }
    if (stream && request->create)
        return -EEXIST;
    if (!stream && !request->create)
        return -ENOENT;
    if (stream) {
        check(stream->disk_count == request->disk_count); /* as it was made */
        stream->is_open = true;
        for (unsigned i = 0; i < request->disk_count; i++)
            fake_tell_size(site, fake_disk_of(site->world, index_of(site), request->disks[i].disk));
        return 0;
    }
    stream = site->streams;
    while (stream->exists)
        stream++;
    check(stream < site->streams + FAKE_STREAMS && request->disk_count <= DATA_DISKS_MAX);
    *stream =
        (struct fake_stream){.exists = true,
                             .is_open = true,
                             .disk_count = request->disk_count,
                             .role = request->is_source ? DATA_ROLE_SOURCE : DATA_ROLE_TARGET};
    strcpy(stream->id, request->stream);
    memcpy(stream->disks, request->disks, request->disk_count * sizeof(request->disks[0]));
    return 0;
}

static int stream_reprotect(struct fake_site *site, struct fake_stream *stream,
                            struct data_request *request)
{
    struct fake_stream *twin = twin_of(site, stream->id);

    if (stream->role != DATA_ROLE_PROMOTED)
        return -EALREADY;
    if (!twin)
        return -EHOSTUNREACH;
    stream->role = request->reverse ? DATA_ROLE_SOURCE : DATA_ROLE_TARGET;
    twin->role = request->reverse ? DATA_ROLE_TARGET : DATA_ROLE_SOURCE;
    stream->is_started = twin->is_started = stream->is_losing = false;
    return 0;
}

static int stream_failover(struct fake_site *site, struct fake_stream *stream)
{
    struct fake_stream *twin = twin_of(site, stream->id);

    if (!stream->has_point)
        return -ENODATA;
    stream->role = DATA_ROLE_PROMOTED;
    if (twin && twin->role == DATA_ROLE_SOURCE)
        twin->role = DATA_ROLE_FENCED;
    return 0;
}

static int stream_act(struct fake_site *site, struct data_request *request)
{
    struct fake_stream *stream = fake_stream_of(site->world, index_of(site), request->stream);

    if (!stream || !stream->is_open) {
        snprintf(request->why, sizeof(request->why), "no stream %s", request->stream);
        return -ENOENT;
    }
    switch (request->op) {
    case DATA_STREAM_REMOVE:
        stream->exists = false;
        return 0;
    case DATA_STREAM_START:
        if (stream->role != DATA_ROLE_SOURCE)
            return -EPERM;
        stream->is_started = true;
        stream->one_shot = request->one_shot;
        return 0;
    case DATA_STREAM_STOP:
        stream->is_started = false;
        return 0;
    case DATA_STREAM_PART:
        stream->is_started = false;
        if (stream->role == DATA_ROLE_SOURCE && request->fence)
            stream->role = DATA_ROLE_FENCED;
        return 0;
    case DATA_STREAM_FAILOVER:
        return stream_failover(site, stream);
    case DATA_STREAM_REPROTECT:
        return stream_reprotect(site, stream, request);
    default:
        return 0;
    }
}

static void fill_snapshot(struct fake_site *site, struct data_request *request)
{
    unsigned count = 0, disk_count = 0;
    struct data_snapshot *snapshot =
        calloc(1, sizeof(*snapshot) + FAKE_STREAMS * sizeof(struct data_stream_status) +
                      FAKE_DISKS * sizeof(struct data_disk_status));
    check(snapshot);
    snapshot->streams = (void *)(snapshot + 1);
    snapshot->disks = (void *)(snapshot->streams + FAKE_STREAMS);
    for (unsigned i = 0; i < FAKE_STREAMS; i++) {
        const struct fake_stream *stream = &site->streams[i];
        struct data_stream_status *status = &snapshot->streams[count];
        if (!stream->exists || !stream->is_open)
            continue;
        strcpy(status->id, stream->id);
        status->role = stream->role;
        status->is_started = stream->is_started;
        status->has_point = stream->has_point;
        status->point_wall_ns = stream->point_wall_ns;
        status->point_age_ns = site->world->now_ns + wall_offset_ns - stream->point_wall_ns;
        status->disk_count = stream->disk_count;
        status->is_open = true;
        count++;
    }
    for (unsigned i = 0; i < FAKE_DISKS; i++)
        if (site->disks[i].exists && site->disks[i].is_open) {
            struct data_disk_status *status = &snapshot->disks[disk_count++];
            strcpy(status->id, site->disks[i].id);
            status->is_exported = site->disks[i].is_wanted;
            status->connections = site->disks[i].connections;
            status->is_fenced = site->disks[i].is_fenced;
            status->may_write = fake_may_write(site->world, index_of(site), status->id);
            snprintf(status->why, sizeof(status->why), "%s",
                     status->may_write ? "" : "closed by its stream");
        }
    snapshot->stream_count = count;
    snapshot->disk_count = disk_count;
    request->snapshot = snapshot;
}

static void link_settle(struct fake_world *world)
{
    struct fake_site *paris = &world->sites[PARIS], *lyon = &world->sites[LYON];
    bool is_up = world->is_net_up && paris->is_alive && lyon->is_alive && paris->is_linked &&
                 lyon->is_linked;

    if (is_up == world->is_link_up)
        return;
    world->is_link_up = is_up;
    for (unsigned s = 0; s < 2; s++) {
        struct fake_site *site = &world->sites[s];
        for (unsigned i = 0; !is_up && i < ARRAY_COUNT(site->calls); i++) {
            struct data_request *request = site->calls[i].request;
            site->calls[i].request = NULL;
            if (!request || !site->is_alive)
                continue;
            request->error = -EHOSTUNREACH;
            request->done_cb(request);
        }
        for (unsigned i = 0; is_up && i < FAKE_STREAMS; i++) {
            struct fake_stream *stream = &site->streams[i];
            struct fake_stream *twin = stream->exists ? twin_of(site, stream->id) : NULL;
            if (twin && twin->role == DATA_ROLE_PROMOTED && stream->role == DATA_ROLE_SOURCE)
                stream->role = DATA_ROLE_FENCED;
        }
        tell(site, DATA_EVENT_PEER, peer_of(site)->name, is_up, is_up ? "" : "cut");
    }
}

static void peer_call_begin(struct fake_site *site, struct data_request *request)
{
    struct fake_site *peer = peer_of(site);
    struct fake_call *call = site->calls;
    struct data_event event = {.kind = DATA_EVENT_CALL};

    if (!site->world->is_link_up) {
        request->error = -EHOSTUNREACH;
        snprintf(request->why, sizeof(request->why), "the link is down");
        request->done_cb(request);
        return;
    }
    while (call < site->calls + FAKE_CALLS && call->request)
        call++;
    if (call == site->calls + FAKE_CALLS) { /* as the link's desk */
        request->error = -ENOBUFS;
        snprintf(request->why, sizeof(request->why), "too many calls");
        request->done_cb(request);
        return;
    }
    call->request = request;
    call->number = ++site->world->call_number;
    snprintf(event.name, sizeof(event.name), "%s", site->name);
    event.call = call->number;
    event.bytes = request->bytes;
    event.length = request->length;
    control_event(peer->control, &event);
}

static void peer_call_reply(struct fake_site *site, struct data_request *reply)
{
    struct fake_site *peer = peer_of(site);

    for (unsigned i = 0; i < ARRAY_COUNT(peer->calls); i++) {
        struct data_request *request = peer->calls[i].request;
        if (!request || peer->calls[i].number != reply->call)
            continue;
        peer->calls[i].request = NULL;
        request->error = 0;
        request->reply = malloc(reply->length);
        check(request->reply);
        memcpy(request->reply, reply->bytes, reply->length);
        request->reply_length = reply->length;
        if (request->done_cb)
            request->done_cb(request);
    }
    reply->error = 0;
    reply->done_cb(reply);
}

/* 4 KiB a piece. */
static int wipe(struct fake_disk *disk, struct data_request *request)
{
    if (!disk || !disk->is_open)
        return -ENOENT;
    check(!disk->is_wanted && request->offset < disk->size);
    if (disk->is_fenced)
        return -EIO;
    check(request->offset == 0 || request->offset == disk->wiped);
    disk->wiped = request->offset + 4096;
    request->offset = disk->wiped;
    request->is_whole = disk->wiped == disk->size;
    disk->wipes += request->is_whole;
    return 0;
}

static int act(struct fake_site *site, struct data_request *request)
{
    struct fake_disk *disk =
        request->disk ? fake_disk_of(site->world, index_of(site), request->disk) : NULL;

    if (site->fail_error && site->fail_op == request->op) {
        int error = site->fail_error;
        site->fail_error = site->fail_again > 0 ? error : 0;
        site->fail_again -= site->fail_again > 0;
        snprintf(request->why, sizeof(request->why), "made to fail");
        return error;
    }
    switch (request->op) {
    case DATA_DISK_OPEN:
        return disk_open(site, request);
    case DATA_DISK_CLOSE:
        if (!disk)
            return -ENOENT;
        disk->is_open = false;
        disk->exists = !request->remove;
        return 0;
    case DATA_DISK_GROW:
        if (!disk || !disk->is_open)
            return -ENOENT;
        return fake_grow(site, disk, request);
    case DATA_DISK_WIPE:
        return wipe(disk, request);
    case DATA_DISK_KEEP:
        return fake_keep(site, disk, request);
    case DATA_DISK_ATTACH:
    case DATA_DISK_DETACH:
        if (!disk || !disk->is_open)
            return -ENOENT;
        disk->is_wanted = request->op == DATA_DISK_ATTACH;
        return 0;
    case DATA_STREAM_OPEN:
        return stream_open(site, request);
    case DATA_STATUS:
        fill_snapshot(site, request);
        return 0;
    case DATA_START:
        site->is_linked = true;
        return 0;
    case DATA_SNAPSHOT_LIST:
        request->snapshots = NULL;
        request->snapshot_count = 0;
        return 0;
    case DATA_SNAPSHOT_REMOVE:
        return -ENOENT;
    default:
        return stream_act(site, request);
    }
}

static void carried(struct loop_message *message)
{
    struct data_request *request = container_of(message, struct data_request, message);
    struct fake_site *site = request->private[0];

    if (site->is_holding && request->op == site->held) {
        if (site->is_held_after)
            act(site, request);
        site->held_request = request;
        return;
    }
    if (request->op == DATA_CALL) {
        peer_call_begin(site, request);
        return;
    }
    if (request->op == DATA_CALL_REPLY) {
        peer_call_reply(site, request);
        return;
    }
    request->error = act(site, request);
    request->done_cb(request);
}

void fake_hold(struct fake_world *world, unsigned index, enum data_op op, bool after)
{
    struct fake_site *site = &world->sites[index];

    site->held = op;
    site->is_holding = true;
    site->is_held_after = after;
    site->held_request = NULL;
}

void fake_release(struct fake_world *world, unsigned index)
{
    struct fake_site *site = &world->sites[index];
    struct data_request *request = site->held_request;

    site->is_holding = false;
    site->held_request = NULL;
    check(request);
    carried(&request->message);
    fake_run(world, 0);
}

static void fake_submit(void *wing, struct data_request *request)
{
    struct fake_site *site = wing;

    request->private[0] = site;
    request->message.run_cb = carried;
    loop_post(&site->loop->loop, &request->message);
}

static const struct data_ops wing_ops = {.submit = fake_submit};

void fake_copy(struct fake_world *world)
{
    fake_run(world, 0);
    for (unsigned s = 0; s < 2; s++)
        for (unsigned i = 0; i < FAKE_STREAMS; i++) {
            struct fake_stream *stream = &world->sites[s].streams[i];
            struct fake_stream *twin =
                stream->exists && stream->is_open ? twin_of(&world->sites[s], stream->id) : NULL;

            if (!twin || !stream->is_started || stream->role != DATA_ROLE_SOURCE ||
                twin->role != DATA_ROLE_TARGET)
                continue;
            stream->has_point = twin->has_point = true;
            stream->point_wall_ns = twin->point_wall_ns = world->now_ns + wall_offset_ns;
            if (stream->one_shot)
                stream->is_started = false;
            /* Both look again: what a Describe shows may else be a tenth of a second old. */
            tell(&world->sites[s], DATA_EVENT_STREAM_CHANGED, stream->id, true, "");
            tell(&world->sites[1 - s], DATA_EVENT_STREAM_CHANGED, stream->id, true, "");
        }
    fake_run(world, 0);
}

/* --- sites ----------------------------------------------------------------------------------- */

static void started(void *arg)
{
    struct fake_site *site = arg;

    link_settle(site->world);
}

void fake_site_start(struct fake_world *world, unsigned index)
{
    struct fake_site *site = &world->sites[index], *peer = &world->sites[1 - index];
    struct site_options options = {.name = site->name,
                                   .region = site->region,
                                   .zone = site->zone,
                                   .peers = {{peer->name, peer->region, peer->zone}},
                                   .peer_count = 1,
                                   .nbd_socket = "/run/nbd.sock",
                                   .nbd_listen = "127.0.0.1:10809",
                                   .secret_box = site->secret_box,
                                   .endpoint = "gw.example:8443",
                                   .quota = {.group_pairs = 3},
                                   .tokens_max = world->tokens_max};
    const struct event_limits limits = {0};
    char events[160];
    struct err err;

    site->loop = fake_loop_new(world);
    if (record_cache_open(site->path, &site->meta, &err) < 0)
        check(!"the metadata opens");
    site->meta = fake_meta_new(site->meta);
    fake_meta_fail(site->meta, site->unread_kind, false, site->unread_count);
    site->unread_count = 0;
    snprintf(events, sizeof(events), "%s.events", site->path);
    check(event_store_open(events, &limits, 1, &site->events, &err) == 0);
    options.events = site->events;
    check(control_new(&site->loop->loop, site->meta, &wing_ops, site, &options, &site->control,
                      &err) == 0);
    check(api_new(site->control, &site->api, &err) == 0);
    site->is_alive = true;
    site->is_linked = site->is_holding = false;
    control_start(site->control, started, site);
    fake_run(world, 0);
}

/* There when the leak checker is linked in. */
void __lsan_ignore_object(const void *object) __attribute__((weak));

/* What a killed process leaves behind is no leak. */
static void bury(struct fake_world *world, void *object)
{
    check(world->grave_count < ARRAY_COUNT(world->graveyard));
    world->graveyard[world->grave_count++] = object;
    if (__lsan_ignore_object)
        __lsan_ignore_object(object);
}

void fake_site_crash(struct fake_world *world, unsigned index)
{
    struct fake_site *site = &world->sites[index];

    check(site->is_alive);
    site->is_alive = false;
    memset(site->calls, 0, sizeof(site->calls));
    if (site->held_request != NULL)
        bury(world, site->held_request);
    site->held_request = NULL;
    bury(world, site->control);
    bury(world, site->api);
    bury(world, site->loop);
    meta_close(site->meta);
    event_store_close(site->events);
    for (unsigned i = 0; i < FAKE_DISKS; i++)
        site->disks[i].is_open = site->disks[i].is_wanted = false;
    for (unsigned i = 0; i < FAKE_STREAMS; i++)
        site->streams[i].is_open = false;
    link_settle(world);
    fake_run(world, 0);
}

void fake_net(struct fake_world *world, bool is_up)
{
    fake_run(world, 0);
    world->is_net_up = is_up;
    link_settle(world);
    fake_run(world, 0);
}

struct fake_world *fake_world_new(bool is_one_region)
{
    struct fake_world *world = calloc(1, sizeof(*world));

    check(world);
    world->now_ns = 1000000000;
    world->random = 42;
    world->is_net_up = true;
    snprintf(world->folder, sizeof(world->folder), "%s/verso-control-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    check(mkdtemp(world->folder));
    for (unsigned s = 0; s < 2; s++) {
        struct fake_site *site = &world->sites[s];
        site->world = world;
        site->name = s == PARIS ? "paris" : "lyon";
        site->region = s == PARIS || is_one_region ? "cn-paris" : "cn-lyon";
        site->zone = s == PARIS ? "cn-paris-a" : "cn-lyon-a";
        site->secret_box = secret_box_new((const uint8_t[SECRET_BOX_KEY_SIZE]){(uint8_t)(s + 1)});
        check(site->secret_box);
        snprintf(site->path, sizeof(site->path), "%s/%s.db", world->folder, site->name);
    }
    world->caller = caller_local(1);
    fake_site_start(world, PARIS);
    fake_site_start(world, LYON);
    return world;
}

static void stopped(void *arg)
{
    struct fake_site *site = arg;

    site->is_stopped = true;
}

static void site_stop(struct fake_site *site)
{
    control_stop(site->control, stopped, site);
    fake_run(site->world, 100000000);
    check(site->is_stopped);
    control_free(site->control);
    api_free(site->api);
    meta_close(site->meta);
    event_store_close(site->events);
    free(site->loop);
    site->is_alive = false;
}

void fake_world_free(struct fake_world *world)
{
    char command[128];

    fake_net(world, false);
    for (unsigned s = 0; s < 2; s++) {
        if (world->sites[s].is_alive)
            site_stop(&world->sites[s]);
        secret_box_free(world->sites[s].secret_box);
    }
    snprintf(command, sizeof(command), "rm -rf %s", world->folder);
    check(system(command) == 0);
    free(world);
}
