/* SPDX-License-Identifier: Apache-2.0 */
/* See fuzz_engine.h. */
#include "fuzz_engine.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const disks[FUZZ_DISKS] = {"d-0", "d-1"};

static void note_role(struct fuzz_engine *attacked)
{
    struct engine_stream_status status;

    if (engine_stream_status(attacked->engine, "pg-0", &status) &&
        status.role == STREAM_ROLE_TARGET)
        attacked->was_target = true;
}

static void on_access(void *arg, const char *disk, bool may_write, const char *why)
{
    struct fuzz_engine *attacked = arg;

    check(may_write || why[0]);
    if (!may_write)
        engine_disk_closed(attacked->engine, disk);
}

static void on_stream(void *arg, const char *stream)
{
    check(strcmp(stream, "pg-0") == 0);
    note_role(arg);
}

static void on_snapshots(void *arg, const char *disk)
{
    check(arg && disk);
}

static void on_peer(void *arg, const char *peer, bool is_up, const char *why)
{
    check(arg && strcmp(peer, "lyon") == 0 && (is_up || why));
}

static void on_grown(void *arg, const char *disk, uint64_t size_bytes)
{
    check(arg && disk && size_bytes > 0);
}

static void on_call(void *arg, const char *peer, uint64_t call, const void *bytes, uint32_t length)
{
    struct fuzz_engine *attacked = arg;

    engine_call_reply(attacked->engine, call, bytes, length);
}

static void call_boot(void *arg)
{
    struct fuzz_engine *attacked = arg;
    struct engine_callbacks callbacks = {on_access, on_grown, on_stream, on_snapshots,
                                         on_peer,   on_call,  attacked};
    struct engine_options options = {.data_folder = "/data",
                                     .site_name = "paris",
                                     .link_listen = FUZZ_ENGINE_ADDRESS,
                                     .peers = {{.name = "lyon"}},
                                     .peer_count = 1,
                                     .settings = {.interval_ns = 20 * SIM_MS,
                                                  .stash_memory_bytes = 64 * BLOCK_SIZE,
                                                  .stash_disk_bytes = 64 * BLOCK_SIZE,
                                                  .journal_bytes_max = 8 << 20,
                                                  .retain_ns = 300 * SIM_MS,
                                                  .retain_bytes = 1 << 20}};
    struct engine_stream_options stream = {.id = "pg-0",
                                           .peer = "lyon",
                                           .role = attacked->role,
                                           .create = !attacked->is_reopening,
                                           .disk_count = FUZZ_DISKS};
    struct err err = {0};
    uint64_t size;

    attacked->engine = NULL;
    if (engine_new(sim_site_loop(attacked->scene.server), &options, &callbacks, &attacked->engine,
                   &err) != 0) {
        check(attacked->is_reopening && err.text[0]);
        return;
    }
    for (unsigned i = 0; i < FUZZ_DISKS; i++) {
        struct engine_disk_options disk = {.id = disks[i],
                                           .driver = "file",
                                           .size_bytes = (uint64_t)FUZZ_BLOCKS * BLOCK_SIZE,
                                           .create = true};

        check(engine_disk_open(attacked->engine, &disk, &size, NULL) == 0);
        stream.disks[i].disk = disks[i];
    }
    attacked->has_stream = engine_stream_open(attacked->engine, &stream, &err) == 0;
    check(attacked->has_stream || (attacked->is_reopening && err.text[0]));
    check(engine_start(attacked->engine, NULL) == 0);
}

void fuzz_engine_open(struct fuzz_engine *attacked, enum stream_role role)
{
    memset(attacked, 0, sizeof(*attacked));
    attacked->role = role;
    attacked->was_target = role == STREAM_ROLE_TARGET;
    fuzz_scene_open(&attacked->scene);
    fuzz_scene_call(&attacked->scene, call_boot, attacked);
}

void fuzz_engine_reopen(struct fuzz_engine *attacked)
{
    attacked->is_reopening = true;
    fuzz_scene_call(&attacked->scene, call_boot, attacked);
}

static void set_flag(void *arg)
{
    *(bool *)arg = true;
}

static void call_stop(void *arg)
{
    struct fuzz_engine *attacked = arg;

    engine_stop(attacked->engine, set_flag, &attacked->is_stopped);
}

static void call_free(void *arg)
{
    engine_free(((struct fuzz_engine *)arg)->engine);
}

void fuzz_engine_stop(struct fuzz_engine *attacked)
{
    fuzz_scene_call(&attacked->scene, call_stop, attacked);
    fuzz_scene_await(&attacked->scene, &attacked->is_stopped);
    check(attacked->orders_ended == attacked->orders_begun);
    fuzz_scene_call(&attacked->scene, call_free, attacked);
}

void fuzz_engine_close(struct fuzz_engine *attacked)
{
    fuzz_scene_close(&attacked->scene);
}

static void order_done(void *arg, int error, const char *why)
{
    struct fuzz_engine *attacked = arg;

    check(error == 0 || (error < 0 && why && why[0]));
    attacked->orders_ended++;
    check(attacked->orders_ended <= attacked->orders_begun);
}

static void call_order(void *arg)
{
    struct fuzz_engine *attacked = arg;
    struct engine *engine = attacked->engine;

    attacked->orders_begun++;
    switch (attacked->order) {
    case FUZZ_ORDER_START:
    case FUZZ_ORDER_START_ONCE:
        engine_stream_start(engine, "pg-0", attacked->order == FUZZ_ORDER_START_ONCE, order_done,
                            attacked);
        break;
    case FUZZ_ORDER_STOP:
        engine_stream_stop(engine, "pg-0", order_done, attacked);
        break;
    case FUZZ_ORDER_FAILOVER:
        engine_stream_failover(engine, "pg-0", 0, order_done, attacked);
        break;
    default:
        engine_stream_reprotect(engine, "pg-0", attacked->order == FUZZ_ORDER_REVERSE, order_done,
                                attacked);
    }
}

void fuzz_engine_order(struct fuzz_engine *attacked, enum fuzz_order order)
{
    attacked->order = order;
    fuzz_scene_call(&attacked->scene, call_order, attacked);
}

void fuzz_engine_show(struct fuzz_engine *attacked, const char *when, unsigned number)
{
    struct engine_stream_status status;

    if (!getenv("VERSO_FUZZ_LOG") || !attacked->engine ||
        !engine_stream_status(attacked->engine, "pg-0", &status))
        return;
    fprintf(stderr,
            "%s %u: role %d started %d connected %d point %d initial %d draining %d term %llu "
            "epoch %llu applied %llu backlog %llu orders %u of %u trouble '%s'\n",
            when, number, status.role, status.is_started, status.is_connected, status.has_point,
            status.is_initial, status.is_draining, (unsigned long long)status.generation.term,
            (unsigned long long)status.epoch_acked, (unsigned long long)status.epoch_applied,
            (unsigned long long)status.backlog_bytes, attacked->orders_ended,
            attacked->orders_begun, status.trouble);
}

/* --- a host ----------------------------------------------------------------------------------- */

static void request_done(struct volume_request *request, int error)
{
    struct fuzz_engine *attacked = container_of(request, struct fuzz_engine, request);

    attacked->is_busy = false;
    attacked->is_refused = error != 0;
}

static void submit(struct fuzz_engine *attacked, enum volume_op op)
{
    attacked->iov = (struct iovec){attacked->bytes, (size_t)attacked->count * BLOCK_SIZE};
    attacked->request = (struct volume_request){.op = op,
                                                .offset = (uint64_t)attacked->block * BLOCK_SIZE,
                                                .length = attacked->iov.iov_len,
                                                .iov = &attacked->iov,
                                                .iov_count = 1,
                                                .done_cb = request_done};
    attacked->is_busy = true;
    volume_submit(engine_disk_volume(attacked->engine, disks[attacked->disk]), &attacked->request);
}

static void call_write(void *arg)
{
    struct fuzz_engine *attacked = arg;
    const char *why;

    attacked->is_refused = true;
    if (engine_disk_may_write(attacked->engine, disks[attacked->disk], &why))
        submit(attacked, VOLUME_WRITE);
}

static void call_read(void *arg)
{
    submit(arg, VOLUME_READ);
}

static bool is_idle(void *arg)
{
    return !((struct fuzz_engine *)arg)->is_busy;
}

void fuzz_engine_write(struct fuzz_engine *attacked, unsigned disk, unsigned block, unsigned count,
                       uint8_t value)
{
    struct sim_world *world = attacked->scene.world;

    if (attacked->is_busy)
        return;
    attacked->disk = disk % FUZZ_DISKS;
    attacked->block = block % FUZZ_BLOCKS;
    attacked->count = 1 + count % (FUZZ_BLOCKS - attacked->block);
    memset(attacked->bytes, value, (size_t)attacked->count * BLOCK_SIZE);
    fuzz_scene_call(&attacked->scene, call_write, attacked);
    /* Held requests wait for a change of role, which may wait for the peer. */
    (void)sim_world_run_for(world, is_idle, attacked, sim_now_ns(world) + SIM_SECOND);
    if (!attacked->is_busy && !attacked->is_refused)
        memset(attacked->written[attacked->disk] + attacked->block, value, attacked->count);
    else if (attacked->is_busy)
        attacked->was_target = true; /* when it will be done is not known */
}

void fuzz_engine_check(struct fuzz_engine *attacked)
{
    struct sim_world *world = attacked->scene.world;

    if (attacked->was_target || attacked->is_busy)
        return;
    attacked->block = 0;
    attacked->count = FUZZ_BLOCKS;
    for (attacked->disk = 0; attacked->disk < FUZZ_DISKS; attacked->disk++) {
        fuzz_scene_call(&attacked->scene, call_read, attacked);
        if (!sim_world_run_for(world, is_idle, attacked, sim_now_ns(world) + SIM_SECOND))
            return;
        check(!attacked->is_refused);
        for (unsigned block = 0; block < FUZZ_BLOCKS; block++) {
            const uint8_t *at = attacked->bytes + (size_t)block * BLOCK_SIZE;

            check(at[0] == attacked->written[attacked->disk][block]);
            check(memcmp(at, at + 1, BLOCK_SIZE - 1) == 0);
        }
    }
}
