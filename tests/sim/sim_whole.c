/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: two daemons are more than two engines. Here a site is what daemon/control_wing.c and
 * daemon/data_wing.c make, without their threads: metadata, control, API, and the wing with its
 * engine, in their order.
 *
 * Life of a boot: all parts are made in one call of the site; control opens what its records name
 * and starts the links; then the door of the API opens, and what the watched disks show is judged
 * before hosts write.
 */
#include "sim_whole.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access/secret_box.h"
#include "base/check.h"
#include "daemon/wing.h"
#include "io/file.h"
#include "meta/event_store.h"
#include "meta/record_cache.h"
#include "sim_alloc.h"
#include "sim_fate.h"
#include "sim_registrar.h"
#include "sim_sqlite.h"
#include "sim_town.h"

enum { CONTROL_DELAY_NS = 3000000 };

static void *json_take(size_t size)
{
    return malloc(size);
}

static void json_give(void *at)
{
    free(at);
}

void whole_make(struct node *node)
{
    struct whole *whole = sim_kernel_alloc(sizeof(*whole));

    /* Jansson's memory is the site's, and its hashes are the same in every world. */
    json_set_alloc_funcs(json_take, json_give);
    json_object_seed(1);
    sim_sqlite_init();
    whole->node = node;
    whole->sqlite = sim_sqlite_new(node->site, "/data/site.db", whole->path);
    if (node->run->plant == PLANT_COMMIT)
        sim_sqlite_skip_log_syncs(whole->sqlite);
    if (node->run->has_office || node->run->registrar) {
        whole->secret_box =
            secret_box_new((const uint8_t[SECRET_BOX_KEY_SIZE]){(uint8_t)(1 + node->index)});
        check(whole->secret_box);
    }
    node->whole = whole;
    sim_site_user_set(node->site, node);
}

void whole_free(struct node *node)
{
    if (!node->whole)
        return;
    sim_sqlite_free(node->whole->sqlite);
    secret_box_free(node->whole->secret_box);
    sim_kernel_free(node->whole);
    node->whole = NULL;
}

const char *whole_disk_id(const struct node *node, unsigned disk)
{
    return node->whole->disk_ids[disk];
}

const char *whole_stream_id(const struct node *node)
{
    return node->whole->stream_id;
}

bool whole_is_busy(const struct node *node)
{
    return node->whole && node->whole->calls > 0;
}

/* --- what it shows --------------------------------------------------------------------------- */

static void read_shown(struct node *node);

static void shown_bad(void *arg)
{
    struct node *node = arg;

    if (node->engine && !node->is_read && !fate_fails_reads(node))
        node_give_up(node, "reading", "see above");
}

static void shown_done(struct image *image)
{
    struct node *node = image->node;
    bool has_stream;

    if (!node->engine)
        return;
    if (image->is_bad) {
        if (image->error == 0)
            run_fail(node->run, node, "after a start: %s", image->why);
        sim_after(node->run->world, 0, shown_bad, node);
        return;
    }
    has_stream = node_look(node);
    if (!node->engine || node->is_read)
        return;
    if (has_stream && node->status.role != image->note.role) { /* read while it changed: again */
        read_shown(node);
        return;
    }
    node->is_read = true;
    witness_sizes(node);
    if (has_stream && node->status.role == STREAM_ROLE_TARGET)
        witness_target(node, image);
    else
        witness_writer(node, image);
}

static bool has_disks(const struct node *node)
{
    bool has_all = true;

    for (unsigned i = 0; i < JUDGE_DISKS; i++)
        has_all = has_all && node->whole->disk_ids[i][0];
    return has_all;
}

static void read_shown(struct node *node)
{
    struct image_note note = witness_note(node);

    image_read(node, &node->run->universe, note, shown_done, NULL);
}

struct glance {
    struct node *node;
    bool has_volumes;
    char trouble[200]; /* why the stream is not open */
};

static void glance_call(void *arg)
{
    struct glance *glance = arg;

    glance->has_volumes = true;
    snprintf(
        glance->trouble, sizeof(glance->trouble), "%s",
        site_trouble(control_site(glance->node->whole->control), whole_stream_id(glance->node)));
    for (unsigned i = 0; i < JUDGE_DISKS; i++)
        glance->has_volumes &=
            engine_disk_volume(glance->node->engine, whole_disk_id(glance->node, i)) != NULL;
}

/* Everything is open: what do the judge's disks show? Outside of the site. */
static void look_first(struct node *node)
{
    struct glance glance = {.node = node};
    bool has_stream;

    if (!node->engine || node->is_read || !has_disks(node) ||
        !sim_site_call(node->site, glance_call, &glance))
        return;
    if (!glance.has_volumes) {
        node_give_up(node, "the watched disks are not open", glance.trouble);
        return;
    }
    has_stream = node_look(node);
    if (!node->engine)
        return;
    if (node->has_role && !has_stream) {
        node_give_up(node, "the watched stream is not open", glance.trouble);
        return;
    }
    /* Open, and told as damaged: what it shows through the base is nobody's. */
    if (has_stream && node->status.trouble[0] && fate_refuses(node, node->status.trouble))
        return;
    if (has_stream || node->index == 0)
        read_shown(node);
    else
        node->is_read = true; /* a disk of its own yet, and nobody's */
    if (node->engine)
        node_observe(node);
}

static void look_first_event(void *arg)
{
    struct node *node = arg;

    if (!node->engine || !node->whole->is_up)
        return;
    node->is_running = true;
    look_first(node);
}

void whole_founded(struct node *node)
{
    node->is_read = node->is_read && node->line;
    look_first_event(node);
}

/* --- boot ------------------------------------------------------------------------------------ */

struct rise {
    struct node *node;
    int error;
    struct err err;
};

static void posted(void *arg)
{
    node_observe_soon(arg);
}

static void control_hears(void *arg, const struct data_event *event)
{
    struct whole *whole = arg;

    if (whole->control && !whole->is_quiet)
        control_event(whole->control, event);
}

static void started(void *arg)
{
    struct whole *whole = arg;

    whole->is_up = true;
    sim_trace(whole->node->run->world, whole->node->site, "the API answers");
    sim_after(whole->node->run->world, 0, look_first_event, whole->node);
}

static int rise_wing(struct whole *whole, struct err *err)
{
    struct node *node = whole->node;
    struct wing_options options = {
        .data_loop = sim_site_loop(node->site),
        .control_loop = whole->control_loop,
        .events_cb = control_hears,
        .arg = whole,
    };
    int error;

    node_fill_options(node, &options.engine);
    error = wing_new(&options, &whole->wing, err);
    if (error == 0)
        node->engine = wing_engine(whole->wing);
    return error;
}

static int rise_control(struct whole *whole, struct err *err)
{
    struct node *node = whole->node;
    const char *name = node_names[node->index], *peer = node_names[1 - node->index];
    struct site_options options = {.name = name, .region = name, .zone = name, .peer_count = 1};
    int error;

    options.secret_box = whole->secret_box;
    registrar_set_quota(node, &options);
    if (node->run->has_office) {
        options.events = whole->events;
        options.monitor_folder = "/data/monitor";
    }
    options.peers[0].name = options.peers[0].region = options.peers[0].zone = peer;
    error = control_new(whole->control_loop, whole->meta, wing_ops(), whole->wing, &options,
                        &whole->control, err);
    if (error == 0)
        error = api_new(whole->control, &whole->api, err);
    if (error == 0)
        control_start(whole->control, started, whole);
    return error;
}

/* As daemon/control_wing.c: without it the site goes on. */
static void open_events(struct whole *whole)
{
    struct sim_site *site = whole->node->site;
    const struct event_limits limits = {0};
    char path[SIM_SQLITE_PATH_SIZE];
    struct err err;

    snprintf(path, sizeof(path), "file:/data/events.db?vfs=sim-%s", sim_site_name(site));
    event_store_open(path, &limits, (int64_t)(loop_wall_ns(sim_site_loop(site)) / SIM_MS),
                     &whole->events, &err);
}

static void rise_call(void *arg)
{
    struct rise *rise = arg;
    struct node *node = rise->node;
    struct whole *whole = node->whole;
    struct loop *loop = sim_site_loop(node->site);

    /* As the daemon's mkdir(): not synced; the engine does that. */
    rise->error = fate_watch_syncs(node, &rise->err);
    if (rise->error == 0)
        rise->error = io_dir_make(loop, "/data");
    if (rise->error == 0)
        rise->error = record_cache_open(whole->path, &whole->meta, &rise->err);
    if (rise->error < 0)
        return;
    whole->meta = plant_meta_new(node, whole->meta);
    if (node->run->has_office)
        open_events(whole);
    whole->control_loop = control_loop_new(node->site, CONTROL_DELAY_NS, posted, node);
    rise->error = rise_wing(whole, &rise->err);
    if (rise->error == 0)
        rise->error = rise_control(whole, &rise->err);
}

void whole_boot(struct node *node)
{
    struct rise rise = {.node = node};

    if (!sim_site_call(node->site, rise_call, &rise))
        return; /* died in it */
    if (rise.error < 0)
        node_give_up(node, "open", rise.err.text);
    else
        node->is_created = true;
    if (rise.error == 0)
        registrar_booted(node);
}

void whole_died(struct node *node)
{
    struct whole *whole = node->whole;

    if (!whole)
        return;
    whole->control_loop = NULL;
    whole->meta = NULL;
    whole->events = NULL;
    whole->control = NULL;
    whole->api = NULL;
    whole->wing = NULL;
    whole->is_up = whole->is_quiet = false;
    whole->calls = 0;
    for (unsigned i = 0; i < JUDGE_DISKS; i++)
        whole->exports[i] = NULL;
    town_node_died(node);
}

/* --- a clean stop ---------------------------------------------------------------------------- */

static void messages_arrived(struct loop_timer *timer)
{
    struct whole *whole = container_of(timer, struct whole, stop_timer);

    whole->stopped_cb(whole->node);
}

/* What the wing said last is still on its way to control; nobody listens. */
static void wing_ended(void *arg)
{
    struct whole *whole = arg;
    struct loop *loop = sim_site_loop(whole->node->site);

    whole->stop_timer = (struct loop_timer){.fired_cb = messages_arrived};
    loop_timer_set(loop, &whole->stop_timer, loop_now_ns(loop) + 2 * CONTROL_DELAY_NS);
}

static void control_ended(void *arg)
{
    struct whole *whole = arg;

    whole->is_quiet = true;
    wing_stop(whole->wing, wing_ended, whole);
}

void whole_stop(struct node *node, void (*stopped_cb)(void *arg))
{
    struct whole *whole = node->whole;

    whole->is_up = false;
    whole->stopped_cb = stopped_cb;
    control_stop(whole->control, control_ended, whole);
}

void whole_release(struct node *node)
{
    struct whole *whole = node->whole;

    api_free(whole->api);
    control_free(whole->control);
    wing_free(whole->wing);
    event_store_close(whole->events);
    meta_close(whole->meta);
    control_loop_free(whole->control_loop);
    whole->control = NULL;
}
