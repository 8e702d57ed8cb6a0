/* SPDX-License-Identifier: Apache-2.0 */
/* The operations of a loop, each with a question before it. */
#include "nth_loop.h"

#include "base/check.h"
#include "io/loop_ops.h"
#include "sim_alloc.h"

enum { LATE_NS = 1000000000 };

struct nth_loop {
    struct loop_ops ops; /* what the loop's users meet */
    const struct loop_ops *inner;
    nth_ask_fn ask_cb;
    void *arg;
};

static struct nth_loop *nth_of(struct loop *loop)
{
    return (struct nth_loop *)container_of(loop->ops, struct nth_loop, ops);
}

static int ask(struct loop *loop, enum nth_io io)
{
    struct nth_loop *nth = nth_of(loop);

    return nth->ask_cb(nth->arg, loop, io);
}

/* Of calls that end at once: they cannot be late. */
static int refuse(struct loop *loop, enum nth_io io)
{
    int answer = ask(loop, io);

    return answer < 0 ? answer : 0;
}

/* --- operations that end with an error, or late ---------------------------------------------- */

struct ending {
    struct loop_message message;
    struct loop_timer timer;
    struct io_op op; /* late: the one that is under way in place of the user's */
    struct loop *loop;
    struct io_op *user;
    int64_t result;
};

static void end(struct ending *ending)
{
    struct io_op *user = ending->user;
    int64_t result = ending->result;

    sim_kernel_free(ending);
    user->done_cb(user, result);
}

static void run_message(struct loop_message *message)
{
    end(container_of(message, struct ending, message));
}

static void fire_timer(struct loop_timer *timer)
{
    end(container_of(timer, struct ending, timer));
}

static void late_done(struct io_op *op, int64_t result)
{
    struct ending *ending = container_of(op, struct ending, op);

    ending->result = result;
    loop_timer_set(ending->loop, &ending->timer, loop_now_ns(ending->loop) + LATE_NS);
}

/* NULL: it has got an error; else the operation to submit. */
static struct io_op *admit(struct loop *loop, struct io_op *user, enum nth_io io)
{
    int answer = ask(loop, io);
    struct ending *ending;

    if (answer == 0)
        return user;
    ending = sim_kernel_alloc(sizeof(*ending));
    *ending = (struct ending){.message.run_cb = run_message,
                              .timer.fired_cb = fire_timer,
                              .op.done_cb = late_done,
                              .loop = loop,
                              .user = user,
                              .result = answer};
    if (answer == NTH_LATE)
        return &ending->op;
    nth_of(loop)->inner->post(loop, &ending->message);
    return NULL;
}

/* --- files ----------------------------------------------------------------------------------- */

static int nth_file_open(struct loop *loop, const char *path, unsigned flags,
                         struct io_file **ret_file, struct err *err)
{
    int error = refuse(loop, NTH_NAME);

    if (error < 0)
        return err_set(err, error, "open %s: %s", path, err_name(error));
    return nth_of(loop)->inner->file_open(loop, path, flags, ret_file, err);
}

static int nth_file_resize_now(struct loop *loop, struct io_file *file, uint64_t bytes)
{
    int error = refuse(loop, NTH_NAME);

    return error < 0 ? error : nth_of(loop)->inner->file_resize_now(loop, file, bytes);
}

static int nth_file_read_now(struct loop *loop, struct io_file *file, void *bytes, size_t length,
                             uint64_t offset)
{
    int error = refuse(loop, NTH_READ);

    return error < 0 ? error
                     : nth_of(loop)->inner->file_read_now(loop, file, bytes, length, offset);
}

static int nth_file_write_now(struct loop *loop, struct io_file *file, const void *bytes,
                              size_t length, uint64_t offset)
{
    int error = refuse(loop, NTH_WRITE);

    return error < 0 ? error
                     : nth_of(loop)->inner->file_write_now(loop, file, bytes, length, offset);
}

static int nth_file_sync_now(struct loop *loop, struct io_file *file)
{
    int error = refuse(loop, NTH_SYNC);

    return error < 0 ? error : nth_of(loop)->inner->file_sync_now(loop, file);
}

static void nth_file_read(struct loop *loop, struct io_op *op, struct io_file *file,
                          const struct iovec *iov, unsigned iov_count, uint64_t offset)
{
    if ((op = admit(loop, op, NTH_READ)))
        nth_of(loop)->inner->file_read(loop, op, file, iov, iov_count, offset);
}

static void nth_file_write(struct loop *loop, struct io_op *op, struct io_file *file,
                           const struct iovec *iov, unsigned iov_count, uint64_t offset)
{
    if ((op = admit(loop, op, NTH_WRITE)))
        nth_of(loop)->inner->file_write(loop, op, file, iov, iov_count, offset);
}

static void nth_file_sync(struct loop *loop, struct io_op *op, struct io_file *file)
{
    if ((op = admit(loop, op, NTH_SYNC)))
        nth_of(loop)->inner->file_sync(loop, op, file);
}

static void nth_file_discard(struct loop *loop, struct io_op *op, struct io_file *file,
                             uint64_t offset, uint64_t length, enum io_discard_mode mode)
{
    if ((op = admit(loop, op, NTH_WRITE)))
        nth_of(loop)->inner->file_discard(loop, op, file, offset, length, mode);
}

static void nth_file_extents(struct loop *loop, struct io_op *op, struct io_file *file,
                             uint64_t offset, uint64_t length, struct io_extent *extents,
                             unsigned extent_max)
{
    if ((op = admit(loop, op, NTH_READ)))
        nth_of(loop)->inner->file_extents(loop, op, file, offset, length, extents, extent_max);
}

static int nth_map_open(struct loop *loop, const char *path, uint64_t bytes, void **ret_at,
                        struct err *err)
{
    int error = refuse(loop, NTH_NAME);

    if (error < 0)
        return err_set(err, error, "map %s: %s", path, err_name(error));
    return nth_of(loop)->inner->map_open(loop, path, bytes, ret_at, err);
}

/* --- folders --------------------------------------------------------------------------------- */

static int nth_dir_make(struct loop *loop, const char *path)
{
    int error = refuse(loop, NTH_NAME);

    return error < 0 ? error : nth_of(loop)->inner->dir_make(loop, path);
}

static int nth_dir_sync(struct loop *loop, const char *path)
{
    int error = refuse(loop, NTH_SYNC);

    return error < 0 ? error : nth_of(loop)->inner->dir_sync(loop, path);
}

static int nth_dir_list(struct loop *loop, const char *path,
                        void (*entry_cb)(void *arg, const char *name), void *arg)
{
    int error = refuse(loop, NTH_NAME);

    return error < 0 ? error : nth_of(loop)->inner->dir_list(loop, path, entry_cb, arg);
}

static int nth_unlink(struct loop *loop, const char *path)
{
    int error = refuse(loop, NTH_NAME);

    return error < 0 ? error : nth_of(loop)->inner->unlink(loop, path);
}

static int nth_rename(struct loop *loop, const char *from, const char *to)
{
    int error = refuse(loop, NTH_NAME);

    return error < 0 ? error : nth_of(loop)->inner->rename(loop, from, to);
}

/* --- sockets --------------------------------------------------------------------------------- */

static int nth_listen(struct loop *loop, const char *address, struct io_socket **ret_listener,
                      struct err *err)
{
    int error = refuse(loop, NTH_SOCKET);

    if (error < 0)
        return err_set(err, error, "listen on %s: %s", address, err_name(error));
    return nth_of(loop)->inner->listen(loop, address, ret_listener, err);
}

/* Late ones are not told apart: the result is in a struct of the user's. */
static void nth_accept(struct loop *loop, struct io_connect *accept, struct io_socket *listener)
{
    nth_of(loop)->inner->accept(loop, accept, listener);
}

static void nth_connect(struct loop *loop, struct io_connect *connect, const char *address)
{
    nth_of(loop)->inner->connect(loop, connect, address);
}

static void nth_recv(struct loop *loop, struct io_op *op, struct io_socket *socket, void *bytes,
                     size_t length)
{
    if ((op = admit(loop, op, NTH_SOCKET)))
        nth_of(loop)->inner->recv(loop, op, socket, bytes, length);
}

static void nth_send(struct loop *loop, struct io_op *op, struct io_socket *socket,
                     const struct iovec *iov, unsigned iov_count)
{
    if ((op = admit(loop, op, NTH_SOCKET)))
        nth_of(loop)->inner->send(loop, op, socket, iov, iov_count);
}

struct nth_loop *nth_loop_new(struct loop *loop, nth_ask_fn ask_cb, void *arg)
{
    struct nth_loop *nth = sim_kernel_alloc(sizeof(*nth));

    nth->inner = loop->ops;
    nth->ask_cb = ask_cb;
    nth->arg = arg;
    nth->ops = *loop->ops;
    nth->ops.file_open = nth_file_open;
    nth->ops.file_resize_now = nth_file_resize_now;
    nth->ops.file_read_now = nth_file_read_now;
    nth->ops.file_write_now = nth_file_write_now;
    nth->ops.file_sync_now = nth_file_sync_now;
    nth->ops.file_read = nth_file_read;
    nth->ops.file_write = nth_file_write;
    nth->ops.file_sync = nth_file_sync;
    nth->ops.file_discard = nth_file_discard;
    nth->ops.file_extents = nth_file_extents;
    nth->ops.map_open = nth_map_open;
    nth->ops.dir_make = nth_dir_make;
    nth->ops.dir_sync = nth_dir_sync;
    nth->ops.dir_list = nth_dir_list;
    nth->ops.unlink = nth_unlink;
    nth->ops.rename = nth_rename;
    nth->ops.listen = nth_listen;
    nth->ops.accept = nth_accept;
    nth->ops.connect = nth_connect;
    nth->ops.recv = nth_recv;
    nth->ops.send = nth_send;
    loop->ops = &nth->ops;
    return nth;
}

void nth_loop_free(struct nth_loop *nth)
{
    sim_kernel_free(nth);
}
