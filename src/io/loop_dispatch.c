/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public calls of loop.h, file.h and socket.h: each goes to the loop's implementation through
 * struct loop_ops. (Not named loop.c, because loop_ops.h stands on loop.h and this file on it.)
 * What holds for every implementation is checked here, once:
 *
 *   1. The loop is one.
 *   2. An operation has a callback before its implementation sees it.
 *   3. A range does not run past the end of the number line.
 *   4. A failed sync is noted before anybody hears of it, and a file of which the kernel may show
 *      what its device does not have is forgotten before anybody reads it.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "io/loop_ops.h"
#include "io/sync_note.h"

static const struct loop_ops *ops_of(const struct loop *loop)
{
    check_magic(loop, LOOP_MAGIC);
    return loop->ops;
}

static void check_span(uint64_t offset, uint64_t length)
{
    check(offset <= INT64_MAX && length <= INT64_MAX - offset);
}

void loop_free(struct loop *loop)
{
    if (loop != NULL)
        ops_of(loop)->free(loop);
}

const char *loop_name(struct loop *loop)
{
    return ops_of(loop)->name;
}

void loop_run(struct loop *loop)
{
    ops_of(loop)->run(loop);
}

void loop_stop(struct loop *loop)
{
    ops_of(loop)->stop(loop);
}

uint64_t loop_now_ns(struct loop *loop)
{
    return ops_of(loop)->now_ns(loop);
}

uint64_t loop_wall_ns(struct loop *loop)
{
    return ops_of(loop)->wall_ns(loop);
}

uint64_t loop_random(struct loop *loop)
{
    return ops_of(loop)->random(loop);
}

const char *loop_boot_id(struct loop *loop)
{
    return loop->note != NULL ? sync_note_boot_id(loop->note) : ops_of(loop)->boot_id(loop);
}

void loop_watch_syncs(struct loop *loop, struct sync_note *note)
{
    check_magic(loop, LOOP_MAGIC);
    loop->note = note;
}

void loop_sync_ended(struct loop *loop, int64_t result)
{
    if (result < 0 && loop->note != NULL)
        sync_note_failed(loop->note);
}

static int noted(struct loop *loop, int result)
{
    loop_sync_ended(loop, result);
    return result;
}

void loop_post(struct loop *loop, struct loop_message *message)
{
    check(message->run_cb != NULL);
    ops_of(loop)->post(loop, message);
}

void loop_defer(struct loop *loop, struct loop_task *task)
{
    check(task->run_cb != NULL);
    ops_of(loop)->defer(loop, task);
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns)
{
    check(timer->fired_cb != NULL);
    ops_of(loop)->timer_set(loop, timer, deadline_ns);
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
    ops_of(loop)->timer_cancel(loop, timer);
}

int io_file_open(struct loop *loop, const char *path, unsigned flags, struct io_file **ret_file,
                 struct err *err)
{
    struct io_file *file;
    int error;

    check(!(flags & IO_EXCLUSIVE) || (flags & IO_CREATE));
    error = ops_of(loop)->file_open(loop, path, flags, &file, err);
    /* One that was made here is empty; and without it his maker would not know that it is his. */
    if (error == 0 && !(flags & IO_EXCLUSIVE) && loop->note != NULL &&
        sync_note_is_distrusting(loop->note)) {
        error = noted(loop, ops_of(loop)->file_forget(loop, file));
        if (error != 0) {
            ops_of(loop)->file_close(loop, file);
            err_set(err, error, "open %s: what the kernel keeps of it cannot be dropped: %s", path,
                    err_name(error));
        }
    }
    if (error == 0)
        *ret_file = file;
    return error;
}

void io_file_close(struct loop *loop, struct io_file *file)
{
    ops_of(loop)->file_close(loop, file);
}

bool io_file_is_block_device(struct io_file *file)
{
    return ops_of(((struct io_handle *)file)->loop)->file_is_block_device(file);
}

int io_file_size(struct loop *loop, struct io_file *file, uint64_t *ret_bytes)
{
    return ops_of(loop)->file_size(loop, file, ret_bytes);
}

int io_file_resize_now(struct loop *loop, struct io_file *file, uint64_t bytes)
{
    check_span(0, bytes);
    return ops_of(loop)->file_resize_now(loop, file, bytes);
}

int io_file_allocate_now(struct loop *loop, struct io_file *file, uint64_t bytes)
{
    check(bytes > 0);
    check_span(0, bytes);
    return ops_of(loop)->file_allocate_now(loop, file, bytes);
}

int io_file_read_now(struct loop *loop, struct io_file *file, void *bytes, size_t length,
                     uint64_t offset)
{
    check_span(offset, length);
    return ops_of(loop)->file_read_now(loop, file, bytes, length, offset);
}

uint64_t io_file_data_now(struct loop *loop, struct io_file *file, uint64_t from, uint64_t to)
{
    uint64_t at = ops_of(loop)->file_data_now(loop, file, from, to);

    check(from <= at && at <= to);
    return at;
}

int io_file_write_now(struct loop *loop, struct io_file *file, const void *bytes, size_t length,
                      uint64_t offset)
{
    check_span(offset, length);
    return ops_of(loop)->file_write_now(loop, file, bytes, length, offset);
}

int io_file_sync_now(struct loop *loop, struct io_file *file)
{
    return noted(loop, ops_of(loop)->file_sync_now(loop, file));
}

/* That somebody else uses it is no sync that failed. */
int io_file_forget_now(struct loop *loop, struct io_file *file)
{
    int error = io_file_sync_now(loop, file);

    return error == 0 ? ops_of(loop)->file_forget(loop, file) : error;
}

int io_file_stamp(struct loop *loop, struct io_file *file, uint64_t *ret_stamp)
{
    return noted(loop, ops_of(loop)->file_stamp(loop, file, ret_stamp));
}

void io_file_read(struct loop *loop, struct io_op *op, struct io_file *file,
                  const struct iovec *iov, unsigned iov_count, uint64_t offset, io_done_fn done_cb)
{
    check(done_cb != NULL);
    op->done_cb = done_cb;
    ops_of(loop)->file_read(loop, op, file, iov, iov_count, offset);
}

void io_file_write(struct loop *loop, struct io_op *op, struct io_file *file,
                   const struct iovec *iov, unsigned iov_count, uint64_t offset, io_done_fn done_cb)
{
    check(done_cb != NULL);
    op->done_cb = done_cb;
    ops_of(loop)->file_write(loop, op, file, iov, iov_count, offset);
}

void io_file_sync(struct loop *loop, struct io_op *op, struct io_file *file, io_done_fn done_cb)
{
    check(done_cb != NULL);
    op->done_cb = done_cb;
    ops_of(loop)->file_sync(loop, op, file);
}

void io_file_discard(struct loop *loop, struct io_op *op, struct io_file *file, uint64_t offset,
                     uint64_t length, enum io_discard_mode mode, io_done_fn done_cb)
{
    check(done_cb != NULL);
    check_span(offset, length);
    op->done_cb = done_cb;
    ops_of(loop)->file_discard(loop, op, file, offset, length, mode);
}

void io_file_extents(struct loop *loop, struct io_op *op, struct io_file *file, uint64_t offset,
                     uint64_t length, struct io_extent *extents, unsigned extent_max,
                     io_done_fn done_cb)
{
    check(done_cb != NULL && length > 0 && extent_max > 0);
    check_span(offset, length);
    op->done_cb = done_cb;
    ops_of(loop)->file_extents(loop, op, file, offset, length, extents, extent_max);
}

int io_map_open(struct loop *loop, const char *path, uint64_t bytes, void **ret_at, struct err *err)
{
    check(bytes > 0);
    check_span(0, bytes);
    return ops_of(loop)->map_open(loop, path, bytes, ret_at, err);
}

void io_map_close(struct loop *loop, void *at, uint64_t bytes)
{
    ops_of(loop)->map_close(loop, at, bytes);
}

int io_dir_make(struct loop *loop, const char *path)
{
    return ops_of(loop)->dir_make(loop, path);
}

int io_dir_make_durable(struct loop *loop, const char *path)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int error = io_dir_make(loop, path);

    if (error != 0)
        return error;
    if (slash == NULL)
        return io_dir_sync(loop, ".");
    if ((size_t)(slash - path) >= sizeof(parent))
        return -ENAMETOOLONG;
    snprintf(parent, sizeof(parent), "%.*s", slash == path ? 1 : (int)(slash - path), path);
    return io_dir_sync(loop, parent);
}

int io_dir_sync(struct loop *loop, const char *path)
{
    return noted(loop, ops_of(loop)->dir_sync(loop, path));
}

int io_dir_list(struct loop *loop, const char *path, void (*entry_cb)(void *arg, const char *name),
                void *arg)
{
    check(entry_cb != NULL);
    return ops_of(loop)->dir_list(loop, path, entry_cb, arg);
}

int io_unlink(struct loop *loop, const char *path)
{
    return ops_of(loop)->unlink(loop, path);
}

int io_rename(struct loop *loop, const char *from, const char *to)
{
    return ops_of(loop)->rename(loop, from, to);
}

int io_file_replace(struct loop *loop, const char *folder, const char *name, const void *bytes,
                    size_t length, struct err *err)
{
    char path[PATH_MAX], made[PATH_MAX];
    struct io_file *file;

    if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path) ||
        snprintf(made, sizeof(made), "%s/%s.new", folder, name) >= (int)sizeof(made))
        return err_set(err, -ENAMETOOLONG, "%s/%s: the path is too long", folder, name);
    int error = io_file_open(loop, made, IO_CREATE, &file, err);

    if (error != 0)
        return error;
    error = io_file_resize_now(loop, file, length);
    if (error == 0)
        error = io_file_write_now(loop, file, bytes, length, 0);
    if (error == 0)
        error = io_file_sync_now(loop, file);
    io_file_close(loop, file);
    if (error == 0)
        error = io_rename(loop, made, path);
    if (error == 0)
        error = io_dir_sync(loop, folder);
    return error == 0 ? 0 : err_set(err, error, "write %s: %s", path, err_name(error));
}

int io_listen(struct loop *loop, const char *address, struct io_socket **ret_listener,
              struct err *err)
{
    return ops_of(loop)->listen(loop, address, ret_listener, err);
}

void io_accept(struct loop *loop, struct io_connect *accept, struct io_socket *listener,
               io_done_fn done_cb)
{
    check(done_cb != NULL);
    accept->op.done_cb = done_cb;
    accept->socket = NULL;
    ops_of(loop)->accept(loop, accept, listener);
}

void io_connect(struct loop *loop, struct io_connect *connect, const char *address,
                io_done_fn done_cb)
{
    check(done_cb != NULL);
    connect->op.done_cb = done_cb;
    connect->socket = NULL;
    ops_of(loop)->connect(loop, connect, address);
}

void io_recv(struct loop *loop, struct io_op *op, struct io_socket *socket, void *bytes,
             size_t length, io_done_fn done_cb)
{
    check(done_cb != NULL && length > 0);
    op->done_cb = done_cb;
    ops_of(loop)->recv(loop, op, socket, bytes, length);
}

void io_send(struct loop *loop, struct io_op *op, struct io_socket *socket, const struct iovec *iov,
             unsigned iov_count, io_done_fn done_cb)
{
    check(done_cb != NULL && iov_count > 0);
    op->done_cb = done_cb;
    ops_of(loop)->send(loop, op, socket, iov, iov_count);
}

void io_socket_shutdown(struct loop *loop, struct io_socket *socket)
{
    ops_of(loop)->socket_shutdown(loop, socket);
}

void io_socket_close(struct loop *loop, struct io_socket *socket)
{
    ops_of(loop)->socket_close(loop, socket);
}

const char *io_socket_peer(struct io_socket *socket)
{
    return ops_of(((struct io_handle *)socket)->loop)->socket_peer(socket);
}

uint16_t io_socket_port(struct io_socket *socket)
{
    return ops_of(((struct io_handle *)socket)->loop)->socket_port(socket);
}
