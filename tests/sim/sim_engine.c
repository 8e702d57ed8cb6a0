/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One site of a schedule: boots its engine as the daemon and the control wing would, hears its
 * callbacks, carries the operator's acts to it.
 *
 * Life of a boot: open disks and stream; all watched places are read and judged; engine_start(), in
 * half of the boots before the reading is done. Hosts come after the judgement.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "io/file.h"
#include "sim_alloc.h"
#include "sim_run.h"
#include "sim_whole.h"

const char *const node_names[RUN_NODES] = {"paris", "lyon"};
static const char *const site_addresses[RUN_NODES] = {"127.0.0.1:901", "127.0.0.1:902"};

const char *node_disk_id(const struct node *node, unsigned disk)
{
    static const char *const ids[JUDGE_DISKS] = {"d-aaaa", "d-bbbb"};

    return node->whole ? whole_disk_id(node, disk) : ids[disk];
}

const char *node_stream_id(const struct node *node)
{
    return node->whole ? whole_stream_id(node) : "pg-sim";
}

const char *node_role_name(enum stream_role role)
{
    static const char *const names[] = {"source", "target", "promoted", "fenced"};

    return role < STREAM_ROLE_COUNT ? names[role] : "?";
}

bool node_is_open(const struct node *node)
{
    bool is_open =
        node->engine && node->is_running && node->line && !node->has_crashed && !node->is_paused;

    for (unsigned i = 0; i < JUDGE_DISKS; i++)
        is_open = is_open && node->may_write[i];
    return is_open;
}

/* --- callbacks of the engine ----------------------------------------------------------------- */

static void observe_event(void *arg)
{
    struct node *node = arg;

    node->is_observing = false;
    node_observe(node);
}

void node_observe_soon(struct node *node)
{
    if (node->is_observing)
        return;
    node->is_observing = true;
    sim_after(node->run->world, 0, observe_event, node);
}

static void close_event(void *arg)
{
    host_close(arg);
}

static void access_cb(void *arg, const char *disk, bool may_write, const char *why)
{
    struct node *node = arg;
    unsigned index = strcmp(disk, node_disk_id(node, 0)) == 0 ? 0 : 1;

    check(strcmp(disk, node_disk_id(node, index)) == 0);
    sim_trace(node->run->world, node->site, "%s %s (%s)", disk,
              may_write ? "may be written" : "is closed", why ? why : "");
    if (!may_write && why)
        fate_refuses(node, why);
    if (!may_write)
        node->must_close[index] = true;
    else
        node->must_close[index] = false;
    node->may_write[index] = may_write;
    if (!may_write)
        sim_after(node->run->world, sim_random_below(node->run->world, 5 * SIM_MS), close_event,
                  node);
}

static void disk_grown_cb(void *arg, const char *disk, uint64_t size_bytes)
{
    struct node *node = arg;

    sim_trace(node->run->world, node->site, "%s has %llu bytes by now", disk,
              (unsigned long long)size_bytes);
}

static void stream_changed_cb(void *arg, const char *stream)
{
    node_observe_soon(arg);
}

static void snapshots_changed_cb(void *arg, const char *disk)
{
    node_observe_soon(arg);
}

static void peer_cb(void *arg, const char *peer, bool is_up, const char *why)
{
    struct node *node = arg;

    sim_trace(node->run->world, node->site, "peer %s is %s (%s)", peer, is_up ? "up" : "down",
              why ? why : "");
}

static void call_cb(void *arg, const char *peer, uint64_t call, const void *bytes, uint32_t length)
{
    struct node *node = arg;

    engine_call_reply(node->engine, call, bytes, length);
}

/* --- boot ------------------------------------------------------------------------------------ */

struct boot {
    struct node *node;
    int error;
    struct err err;
};

void node_fill_options(const struct node *node, struct engine_options *options)
{
    unsigned peer = 1 - node->index;

    *options = (struct engine_options){
        .data_folder = "/data",
        .site_name = node_names[node->index],
        .link_listen = site_addresses[node->index],
        .peer_count = 1,
        .settings = node->run->settings,
        .pieces = node->run->pieces,
    };
    options->peers[0].name = node_names[peer];
    options->peers[0].address = node->run->dials[node->index] ? site_addresses[peer] : NULL;
}

/* Disks that were there before Verso: nobody has tracked what they hold. */
static void fill_disk(struct node *node, unsigned disk)
{
    struct sim_run *run = node->run;
    struct loop *loop = sim_site_loop(node->site);
    struct io_file *file;
    uint8_t bytes[JUDGE_SECTOR];
    char path[64];

    check(io_dir_make(loop, "/data/disks") == 0 && io_dir_sync(loop, "/data") == 0);
    snprintf(path, sizeof(path), "/data/disks/%s.raw", node_disk_id(node, disk));
    check(io_file_open(loop, path, IO_CREATE, &file, NULL) == 0);
    check(io_file_resize_now(loop, file, run->universe.disk_bytes[disk] - run->lacking[disk]) == 0);
    for (unsigned i = 0; i < run->universe.span_count; i++) {
        const struct judge_span *span = &run->universe.spans[i];
        for (uint64_t at = 0; at < span->length && span->disk == disk; at += JUDGE_SECTOR) {
            if (sim_chance(run->world, 50) ||
                span->offset + at >= run->universe.disk_bytes[disk] - run->lacking[disk])
                continue;
            judge_fill(bytes, sizeof(bytes), disk, span->offset + at, run->next_write++);
            check(io_file_write_now(loop, file, bytes, sizeof(bytes), span->offset + at) == 0);
        }
    }
    check(io_file_sync_now(loop, file) == 0 && io_dir_sync(loop, "/data/disks") == 0);
    io_file_close(loop, file);
}

static int open_disks(struct node *node, struct err *err)
{
    int error = 0;

    for (unsigned i = 0; i < JUDGE_DISKS && error == 0; i++) {
        struct engine_disk_options options = {.id = node_disk_id(node, i),
                                              .driver = "file",
                                              .size_bytes = node->run->universe.disk_bytes[i] -
                                                            node->run->lacking[i],
                                              .create = !node->is_created};
        uint64_t size_bytes;
        if (options.create && node->run->is_filled[node->index]) {
            fill_disk(node, i);
            options.create = false;
        }
        error = engine_disk_open(node->engine, &options, &size_bytes, err);
        /* Larger: by its snapshots. Nobody else has told this owner that it has grown. */
        check(error < 0 || size_bytes >= options.size_bytes);
    }
    return error;
}

static int open_stream(struct node *node, struct err *err)
{
    struct engine_stream_options *options = sim_kernel_alloc(sizeof(*options));
    int error;

    options->id = node_stream_id(node);
    options->peer = node_names[1 - node->index];
    options->role = node->index == 0 ? STREAM_ROLE_SOURCE : STREAM_ROLE_TARGET;
    options->create = !node->is_created;
    options->disk_count = JUDGE_DISKS;
    for (unsigned i = 0; i < JUDGE_DISKS; i++)
        options->disks[i].disk = node_disk_id(node, i);
    error = engine_stream_open(node->engine, options, err);
    sim_kernel_free(options);
    return error;
}

static void boot_open(void *arg)
{
    struct boot *boot = arg;
    struct node *node = boot->node;
    struct loop *loop = sim_site_loop(node->site);
    struct engine_options options;
    struct engine_callbacks callbacks = {
        .disk_access_cb = access_cb,
        .disk_grown_cb = disk_grown_cb,
        .stream_changed_cb = stream_changed_cb,
        .snapshots_changed_cb = snapshots_changed_cb,
        .peer_cb = peer_cb,
        .call_cb = call_cb,
        .arg = node,
    };

    node_fill_options(node, &options);
    if (!node->is_created) {
        check(io_dir_make(loop, "/data") == 0);
        check(io_dir_sync(loop, "/") == 0);
    }
    boot->error = fate_watch_syncs(node, &boot->err);
    if (boot->error == 0)
        boot->error = engine_new(loop, &options, &callbacks, &node->engine, &boot->err);
    if (boot->error == 0)
        boot->error = open_disks(node, &boot->err);
    if (boot->error == 0)
        boot->error = open_stream(node, &boot->err);
}

static void boot_start(void *arg)
{
    struct boot *boot = arg;

    boot->error = engine_start(boot->node->engine, &boot->err);
}

static void start_event(void *arg)
{
    struct node *node = arg;
    struct boot boot = {.node = node};

    if (!node->engine || node->is_running || node->is_stopping)
        return;
    node->is_running = true;
    if (!sim_site_call(node->site, boot_start, &boot))
        return;
    if (boot.error < 0)
        node_give_up(node, "start", boot.err.text);
    else
        node_observe(node);
}

void node_give_up(struct node *node, const char *what, const char *why)
{
    sim_trace(node->run->world, node->site, "cannot start: %s: %s", what, why);
    if (!node->may_fail && !fate_refuses(node, why))
        run_fail(node->run, node, "cannot start again: %s: %s", what, why);
    if (sim_site_is_alive(node->site)) {
        sim_site_kill(node->site);
        node_died(node, false);
    }
}

static void give_up_event(void *arg)
{
    struct node *node = arg;

    if (node->engine && !node->is_read && !fate_fails_reads(node))
        node_give_up(node, "reading", "see above");
}

static void read_boot_image(struct node *node);

static void boot_image_done(struct image *image)
{
    struct node *node = image->node;

    if (!node->engine)
        return;
    if (image->is_bad) {
        if (image->error == 0)
            run_fail(node->run, node, "after a start: %s", image->why);
        sim_after(node->run->world, 0, give_up_event, node);
        return;
    }
    if (!node_look(node))
        return;
    if (node->status.role != image->note.role ||
        (node->status.role == STREAM_ROLE_TARGET &&
         node->status.epoch_acked != image->note.epoch)) { /* read while it changed: again */
        read_boot_image(node);
        return;
    }
    node->is_read = true;
    witness_sizes(node);
    if (node->status.role == STREAM_ROLE_TARGET)
        witness_target(node, image);
    else
        witness_writer(node, image);
    sim_after(node->run->world, 0, start_event, node);
}

static void read_boot_image(struct node *node)
{
    image_read(node, &node->run->universe, witness_note(node), boot_image_done, NULL);
}

void node_boot(struct node *node)
{
    struct boot boot = {.node = node};

    if (!sim_site_is_alive(node->site))
        sim_site_restart(node->site);
    if (node->whole) {
        whole_boot(node);
        return;
    }
    if (!sim_site_call(node->site, boot_open, &boot))
        return; /* died in it */
    if (boot.error < 0) {
        node_give_up(node, "open", boot.err.text);
        return;
    }
    node->is_created = true;
    node_observe(node);
    if (node->engine)
        read_boot_image(node);
    if (node->engine && sim_chance(node->run->world, 50))
        start_event(node); /* as a daemon does: the reading goes on beside it */
}

static void boot_event(void *arg)
{
    struct node *node = arg;

    if (!node->engine && !run_is_over(node->run))
        node_boot(node);
}

void node_died(struct node *node, bool power)
{
    struct sim_run *run = node->run;
    uint64_t delay_ns = sim_chance(run->world, 70) ? 300 * SIM_MS : 4 * SIM_SECOND;
    bool is_lost;

    if (node->may_fail && !power && !fate_kernel_goes_on(run)) {
        /* A disk was broken: its kernel may have dropped writes that reads still show. */
        sim_site_power_loss(node->site);
        power = true;
    }
    is_lost = power || sim_disk_sync_failed(node->site); /* the next life sees what its disk has */
    node->engine = NULL;
    node->syncs = NULL;
    whole_died(node);
    node->is_running = node->is_read = false;
    node->is_known = node->is_known && !is_lost;
    node->act = ACT_NONE;
    node->has_crashed = true;
    node->lost_power = node->lost_power || is_lost;
    node->may_fail = false;
    sim_disk_repair(node->site);
    if (node->is_stopping)
        node->is_stopping = node->is_paused = false;
    run->figures.kills += !power;
    run->figures.power_losses += power;
    for (unsigned i = 0; i < JUDGE_DISKS; i++)
        node->may_write[i] = node->must_close[i] = false;
    host_drop(node);
    images_drop(node);
    fate_count(run);
    plant_died(node, power);
    sim_after(run->world, SIM_MS + sim_random_below(run->world, delay_ns), boot_event, node);
}

/* --- acts and looks -------------------------------------------------------------------------- */

struct act_call {
    struct node *node;
    enum act act;
    bool flag;
};

static const char *act_name(enum act act)
{
    static const char *const names[] = {"nothing", "start", "stop", "failover", "reprotect"};

    return names[act];
}

void node_act_done(void *arg, int error, const char *why)
{
    struct node *node = arg;

    sim_trace(node->run->world, node->site, "%s ends with %d (%s)", act_name(node->act), error,
              why ? why : "");
    check(node->act != ACT_NONE);
    node->run->figures.failovers += node->act == ACT_FAILOVER && error == 0;
    node->run->figures.reprotects += node->act == ACT_REPROTECT && error == 0;
    node->act = ACT_NONE;
    node->act_error = error;
    snprintf(node->act_why, sizeof(node->act_why), "%s", why ? why : "");
    node_observe_soon(node);
}

static void act_call(void *arg)
{
    struct act_call *call = arg;
    struct engine *engine = call->node->engine;
    const char *stream = node_stream_id(call->node);

    if (call->act == ACT_START)
        engine_stream_start(engine, stream, call->flag, node_act_done, call->node);
    else if (call->act == ACT_STOP)
        engine_stream_stop(engine, stream, node_act_done, call->node);
    else if (call->act == ACT_FAILOVER)
        engine_stream_failover(engine, stream, call->node->asked_point, node_act_done, call->node);
    else
        engine_stream_reprotect(engine, stream, call->flag, node_act_done, call->node);
}

void node_act(struct node *node, enum act act, bool flag)
{
    struct act_call call = {node, act, flag};

    check(node->act == ACT_NONE && node->engine);
    sim_trace(node->run->world, node->site, "operator: %s%s", act_name(act),
              flag ? (act == ACT_START ? " (one shot)" : " (reverse)") : "");
    node->act = act;
    if (node->whole)
        whole_act(node, act, flag);
    else
        sim_site_call(node->site, act_call, &call);
}

void node_failover(struct node *node, uint64_t point)
{
    if (node->whole)
        point = 0; /* the API knows the newest only */
    node->asked_point = point;
    if (point != 0)
        sim_trace(node->run->world, node->site, "operator: to epoch %llu",
                  (unsigned long long)point);
    node_act(node, ACT_FAILOVER, false);
}

uint64_t node_disk_bytes(const struct node *node, unsigned disk)
{
    return volume_size_bytes(engine_disk_volume(node->engine, node_disk_id(node, disk)));
}

uint64_t node_usable_bytes(const struct node *node, unsigned disk)
{
    const struct sim_run *run = node->run;

    return run->is_grown[disk] ? node_disk_bytes(node, disk)
                               : run->universe.disk_bytes[disk] - run->lacking[disk];
}

struct look {
    struct node *node;
    struct engine_stream_status status;
    bool is_there;
};

static void look_call(void *arg)
{
    struct look *look = arg;
    struct node *node = look->node;
    const char *why;

    look->is_there = engine_stream_status(node->engine, node_stream_id(node), &look->status);
    /* Callbacks tell changes; what holds from the beginning is asked for. */
    for (unsigned i = 0; i < JUDGE_DISKS && node->is_running && !node->whole; i++) {
        if (!node->must_close[i] &&
            engine_disk_may_write(node->engine, node_disk_id(node, i), &why))
            node->may_write[i] = true;
    }
}

bool node_look(struct node *node)
{
    struct look look = {.node = node};

    if (!node->engine || !sim_site_call(node->site, look_call, &look) || !node->engine)
        return false;
    check(look.is_there || node->whole);
    if (!look.is_there)
        return false;
    node->status = look.status;
    return true;
}
