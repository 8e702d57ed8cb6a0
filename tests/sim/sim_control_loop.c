/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: control and data are two threads in the daemon, so what one says reaches the other later.
 * The second loop of a site is the first with slower messages: they arrive in their order, after a
 * random time (the control thread is inside of SQLite); time, timers and chance are the machine's.
 */
#include <stdlib.h>

#include "base/check.h"
#include "io/file.h"
#include "sim_alloc.h"
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

static int control_file_open(struct loop *loop, const char *path, unsigned flags,
                             struct io_file **ret_file, struct err *err)
{
    return io_file_open(machine(loop), path, flags, ret_file, err);
}

static void control_file_close(struct loop *loop, struct io_file *file)
{
    io_file_close(machine(loop), file);
}

static int control_file_size(struct loop *loop, struct io_file *file, uint64_t *ret_bytes)
{
    return io_file_size(machine(loop), file, ret_bytes);
}

static int control_file_resize_now(struct loop *loop, struct io_file *file, uint64_t bytes)
{
    return io_file_resize_now(machine(loop), file, bytes);
}

static int control_file_read_now(struct loop *loop, struct io_file *file, void *bytes,
                                 size_t length, uint64_t offset)
{
    return io_file_read_now(machine(loop), file, bytes, length, offset);
}

static int control_file_write_now(struct loop *loop, struct io_file *file, const void *bytes,
                                  size_t length, uint64_t offset)
{
    return io_file_write_now(machine(loop), file, bytes, length, offset);
}

static int control_dir_make(struct loop *loop, const char *path)
{
    return io_dir_make(machine(loop), path);
}

static int control_dir_list(struct loop *loop, const char *path,
                            void (*entry_cb)(void *arg, const char *name), void *arg)
{
    return io_dir_list(machine(loop), path, entry_cb, arg);
}

static int control_unlink(struct loop *loop, const char *path)
{
    return io_unlink(machine(loop), path);
}

/* Control has no business with sockets, nor with operations that end later: what is not here ends
 * the process. */
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
    .file_open = control_file_open,
    .file_close = control_file_close,
    .file_size = control_file_size,
    .file_resize_now = control_file_resize_now,
    .file_read_now = control_file_read_now,
    .file_write_now = control_file_write_now,
    .dir_make = control_dir_make,
    .dir_list = control_dir_list,
    .unlink = control_unlink,
};

struct loop *control_loop_new(struct sim_site *site, uint64_t delay_ns,
                              void (*posted_cb)(void *arg), void *arg)
{
    struct control_loop *self = sim_owned_alloc(sizeof(*self));

    *self = (struct control_loop){
        {LOOP_MAGIC, &control_loop_ops, NULL}, site, delay_ns, 0, posted_cb, arg};
    return &self->loop;
}

void control_loop_free(struct loop *loop)
{
    free(self_of(loop));
}
