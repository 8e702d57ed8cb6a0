/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulated loop of one site: struct loop_ops over virtual time.
 *
 * A turn is the callbacks of all events of the site that stand at one time in a row, then what was
 * deferred. The wall clock of a site stands a
 * random offset away from the others', as clocks do.
 */
#include "sim_kernel.h"

#include <string.h>

#include "sim_slots.h"

/* The site behind a public call; an armed crash may strike here. */
struct sim_site *sim_loop_site(struct loop *loop)
{
    struct sim_loop *sim = container_of(loop, struct sim_loop, loop);

    check_magic(loop, LOOP_MAGIC);
    check(sim->site->loop == sim);
    return sim->site;
}

static void loop_op_free(struct loop *loop)
{
    /* The loop is the machine's: it goes when the site dies. */
    struct sim_site *site = sim_loop_site(loop);

    check(list_is_empty(&site->files) && list_is_empty(&site->sockets));
}

/* For code that wants to run a loop to its end (the cases common to all loops). */
static void loop_op_run(struct loop *loop)
{
    struct sim_loop *sim = container_of(loop, struct sim_loop, loop);
    struct sim_site *site = sim_loop_site(loop);
    struct sim_world *world = site->world;
    bool is_inside = world->running == site;
    const void *before;

    before = sim_alloc_owner_set(NULL);
    world->running = NULL;
    while (!sim->is_stopped)
        check(sim_world_step(world)); /* else: would sleep for ever */
    sim->is_stopped = false;
    if (is_inside)
        world->running = site;
    sim_alloc_owner_set(before);
}

static void loop_op_stop(struct loop *loop)
{
    struct sim_loop *sim = container_of(loop, struct sim_loop, loop);

    sim->is_stopped = true;
}

static uint64_t loop_op_now(struct loop *loop)
{
    return sim_loop_site(loop)->world->now_ns;
}

static uint64_t loop_op_wall(struct loop *loop)
{
    struct sim_site *site = sim_loop_site(loop);

    return site->world->now_ns + site->wall_offset_ns;
}

static uint64_t loop_op_random(struct loop *loop)
{
    return sim_draw(&sim_loop_site(loop)->random);
}

static const char *loop_op_boot_id(struct loop *loop)
{
    return sim_loop_site(loop)->boot_id;
}

static void run_message(struct sim_event *event)
{
    struct loop_message *message = event->arg;

    message->run_cb(message);
}

static void loop_op_post(struct loop *loop, struct loop_message *message)
{
    struct sim_site *site = sim_loop_site(loop);

    sim_event_add(site->world, site, 0, "post", run_message)->arg = message;
}

static void run_turn(struct sim_event *event)
{
    /* Nothing of its own: what was deferred outside of a turn runs behind it. */
}

static void loop_op_defer(struct loop *loop, struct loop_task *task)
{
    struct sim_site *site = sim_loop_site(loop);

    if (!list_is_empty(&task->node))
        return;
    list_append(&site->deferred, &task->node);
    if (site->world->running != site)
        sim_event_add(site->world, site, 0, "defer", run_turn);
}

static struct sim_event *timer_event(struct loop_timer *timer)
{
    return (struct sim_event *)(uintptr_t)timer->private[0];
}

static void run_timer(struct sim_event *event)
{
    struct loop_timer *timer = event->arg;

    check(timer_event(timer) == event);
    timer->private[0] = 0;
    timer->fired_cb(timer);
}

static void loop_op_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
    struct sim_event *event = timer_event(timer);

    if (!event)
        return;
    check(event->site == sim_loop_site(loop) && event->arg == timer);
    timer->private[0] = 0;
    sim_event_cancel(event);
}

static void loop_op_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns)
{
    struct sim_site *site = sim_loop_site(loop);
    uint64_t now_ns = site->world->now_ns;
    struct sim_event *event;

    loop_op_timer_cancel(loop, timer);
    timer->deadline_ns = deadline_ns;
    event = sim_event_add(site->world, site, deadline_ns > now_ns ? deadline_ns - now_ns : 0,
                          "timer", run_timer);
    event->arg = timer;
    timer->private[0] = (uintptr_t)event;
}

static const struct loop_ops sim_loop_ops = {
    .name = "simulated",
    .free = loop_op_free,
    .run = loop_op_run,
    .stop = loop_op_stop,
    .now_ns = loop_op_now,
    .wall_ns = loop_op_wall,
    .random = loop_op_random,
    .boot_id = loop_op_boot_id,
    .post = loop_op_post,
    .defer = loop_op_defer,
    .timer_set = loop_op_timer_set,
    .timer_cancel = loop_op_timer_cancel,
    .file_open = sim_file_open,
    .file_close = sim_file_close,
    .file_forget = sim_file_forget,
    .file_is_block_device = sim_file_is_block_device,
    .file_size = sim_file_size,
    .file_resize_now = sim_file_resize_now,
    .file_allocate_now = sim_file_allocate_now,
    .file_read_now = sim_file_read_now,
    .file_data_now = sim_file_data_now,
    .file_write_now = sim_file_write_now,
    .file_sync_now = sim_file_sync_now,
    .file_stamp = sim_file_stamp,
    .file_read = sim_file_read,
    .file_write = sim_file_write,
    .file_sync = sim_file_sync,
    .file_discard = sim_file_discard,
    .file_extents = sim_file_extents,
    .map_open = sim_map_open,
    .map_close = sim_map_close,
    .dir_make = sim_dir_make,
    .dir_sync = sim_dir_sync,
    .dir_list = sim_dir_list,
    .unlink = sim_unlink,
    .rename = sim_rename,
    .listen = sim_listen,
    .accept = sim_accept,
    .connect = sim_connect,
    .recv = sim_recv,
    .send = sim_send,
    .socket_shutdown = sim_socket_shutdown,
    .socket_close = sim_socket_close,
    .socket_peer = sim_socket_peer,
    .socket_port = sim_socket_port,
};

struct sim_loop *sim_loop_new(struct sim_site *site)
{
    struct sim_loop *sim = sim_kernel_alloc(sizeof(*sim));

    sim->loop.magic = LOOP_MAGIC;
    sim->loop.ops = &sim_loop_ops;
    sim->site = site;
    return sim;
}

void sim_loop_free(struct sim_loop *sim)
{
    sim->loop.magic = 0;
    sim_kernel_free(sim);
}
