/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: control and data are two threads in the daemon, so what one says reaches the other later.
 * The second loop of a site is the first with slower messages: they arrive in their order, after a
 * random time (the control thread is inside of SQLite); time, timers and chance are the machine's.
 */
#include <stdlib.h>

#include "base/check.h"
#include "sim_kernel.h"
#include "sim_whole.h"

struct control_loop {
    struct loop loop; /* first */
    struct sim_site *site;
    uint64_t delay_ns, last_ns; /* when the newest message arrives */
    void (*posted_cb)(void *arg);
    void *arg;
};

static struct control_loop *self_of(struct loop *loop)
{
    return container_of(loop, struct control_loop, loop);
}

static struct loop *machine(struct loop *loop)
{
    return sim_site_loop(self_of(loop)->site);
}

static uint64_t control_now(struct loop *loop)
{
    return loop_now_ns(machine(loop));
}

static uint64_t control_wall(struct loop *loop)
{
    return loop_wall_ns(machine(loop));
}

static uint64_t control_random(struct loop *loop)
{
    return loop_random(machine(loop));
}

static const char *control_boot_id(struct loop *loop)
{
    return loop_boot_id(machine(loop));
}

static void run_message(struct sim_event *event)
{
    struct loop_message *message = event->arg;

    message->run_cb(message);
}

static void control_post(struct loop *loop, struct loop_message *message)
{
    struct control_loop *self = self_of(loop);
    uint64_t now_ns = loop_now_ns(machine(loop)), at_ns;

    at_ns = now_ns + sim_draw_below(&self->site->random, self->delay_ns + 1);
    if (at_ns < self->last_ns)
        at_ns = self->last_ns;
    self->last_ns = at_ns;
    sim_event_add(self->site->world, self->site, at_ns - now_ns, "control", run_message)->arg =
        message;
    self->posted_cb(self->arg);
}

static void control_defer(struct loop *loop, struct loop_task *task)
{
    loop_defer(machine(loop), task);
}

static void control_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns)
{
    loop_timer_set(machine(loop), timer, deadline_ns);
}

static void control_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
    loop_timer_cancel(machine(loop), timer);
}

/* Control has no business with files and sockets: what is not here ends the process. */
static const struct loop_ops control_loop_ops = {
    .name = "simulated control",
    .now_ns = control_now,
    .wall_ns = control_wall,
    .random = control_random,
    .boot_id = control_boot_id,
    .post = control_post,
    .defer = control_defer,
    .timer_set = control_timer_set,
    .timer_cancel = control_timer_cancel,
};

struct loop *control_loop_new(struct sim_site *site, uint64_t delay_ns,
                              void (*posted_cb)(void *arg), void *arg)
{
    struct control_loop *self = calloc(1, sizeof(*self));

    check(self);
    *self =
        (struct control_loop){{LOOP_MAGIC, &control_loop_ops}, site, delay_ns, 0, posted_cb, arg};
    return &self->loop;
}

void control_loop_free(struct loop *loop)
{
    free(self_of(loop));
}
