/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop without io_uring: epoll for sockets (threads_socket.c), a few workers for files, an
 * eventfd that both the mailbox and the workers ring.
 *
 * A file in memory (tmpfs) waits for no device, so its short operations are done on the loop's
 * thread, later in the turn, each just before its callback.
 *
 *   1. The loop's thread makes no system call that waits, but for epoll.
 *   2. Workers see files only; a socket is touched by the loop's thread alone.
 */
#include "io/threads_loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/check.h"
#include "io/posix_dir.h"
#include "io/posix_file.h"
#include "io/posix_work.h"
#include "io/threads_socket.h"

enum { WORKERS = 4, EVENTS_MAX = 128 };

static struct threads_loop *threads_of(struct loop *loop)
{
    return container_of(posix_loop_of(loop), struct threads_loop, posix);
}

static int timeout_ms(uint64_t wait_ns)
{
    uint64_t wait_ms = wait_ns / 1000000 + (wait_ns % 1000000 != 0);

    if (wait_ns == UINT64_MAX)
        return -1;
    return wait_ms < 1000000 ? (int)wait_ms : 1000000;
}

/* Waits and marks what became ready; true when the eventfd rang. */
static bool wait_events(struct threads_loop *threads, int wait_ms)
{
    struct epoll_event events[EVENTS_MAX];
    bool is_woken = false;
    int count = epoll_wait(threads->epoll_fd, events, EVENTS_MAX, wait_ms);

    check(count >= 0 || errno == EINTR);
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr == NULL)
            is_woken = true;
        else
            threads_socket_notice(threads, events[i].data.ptr, events[i].events);
    }
    return is_woken;
}

static void threads_run(struct loop *loop)
{
    struct threads_loop *threads = threads_of(loop);
    uint64_t wait_ns = 0;

    check(!threads->posix.is_running);
    threads->posix.is_running = true;
    while (!posix_loop_take_stop(&threads->posix)) {
        int wait_ms = threads->ready.head != NULL ? 0 : timeout_ms(wait_ns);

        posix_loop_begin_turn(&threads->posix, wait_events(threads, wait_ms));
        threads_socket_run_ready(threads);
        wait_ns = posix_loop_end_turn(&threads->posix);
    }
    threads->posix.is_running = false;
}

static void threads_free(struct loop *loop)
{
    struct threads_loop *threads = threads_of(loop);

    posix_socket_abandon(&threads->posix);
    posix_loop_fini(&threads->posix);
    close(threads->epoll_fd);
    free(threads);
}

static void start_file_op(struct loop *loop, struct io_op *op)
{
    struct posix_loop *posix = posix_loop_of(loop);

    if (posix_work_is_quick(op))
        posix_loop_quick(posix, op);
    else
        posix_loop_work(posix, op);
}

static void threads_file_read(struct loop *loop, struct io_op *op, struct io_file *file,
                              const struct iovec *iov, unsigned iov_count, uint64_t offset)
{
    posix_work_fill_transfer(op, OP_READ, file, iov, iov_count, offset);
    start_file_op(loop, op);
}

static void threads_file_write(struct loop *loop, struct io_op *op, struct io_file *file,
                               const struct iovec *iov, unsigned iov_count, uint64_t offset)
{
    posix_work_fill_transfer(op, OP_WRITE, file, iov, iov_count, offset);
    start_file_op(loop, op);
}

static void threads_file_sync(struct loop *loop, struct io_op *op, struct io_file *file)
{
    posix_work_fill_sync(op, file);
    start_file_op(loop, op);
}

static void threads_file_discard(struct loop *loop, struct io_op *op, struct io_file *file,
                                 uint64_t offset, uint64_t length, enum io_discard_mode mode)
{
    posix_work_fill_discard(op, file, offset, length, mode);
    start_file_op(loop, op);
}

static void threads_file_extents(struct loop *loop, struct io_op *op, struct io_file *file,
                                 uint64_t offset, uint64_t length, struct io_extent *extents,
                                 unsigned extent_max)
{
    posix_work_fill_extents(op, file, offset, length, extents, extent_max);
    start_file_op(loop, op);
}

static const struct loop_ops threads_ops = {
    .name = "threads",
    .free = threads_free,
    .run = threads_run,
    .stop = posix_loop_stop,
    .now_ns = posix_loop_now_ns,
    .wall_ns = posix_loop_wall_ns,
    .random = posix_loop_random,
    .boot_id = posix_loop_boot_id,
    .post = posix_loop_post,
    .defer = posix_loop_defer,
    .timer_set = posix_loop_timer_set,
    .timer_cancel = posix_loop_timer_cancel,
    .file_open = posix_file_open,
    .file_close = posix_file_close,
    .file_forget = posix_file_forget,
    .file_is_block_device = posix_file_is_block_device,
    .file_size = posix_file_size,
    .file_resize_now = posix_file_resize_now,
    .file_allocate_now = posix_file_allocate_now,
    .file_read_now = posix_file_read_now,
    .file_data_now = posix_file_data_now,
    .file_write_now = posix_file_write_now,
    .file_sync_now = posix_file_sync_now,
    .file_stamp = posix_file_stamp,
    .file_read = threads_file_read,
    .file_write = threads_file_write,
    .file_sync = threads_file_sync,
    .file_discard = threads_file_discard,
    .file_extents = threads_file_extents,
    .map_open = posix_dir_map,
    .map_close = posix_dir_unmap,
    .dir_make = posix_dir_make,
    .dir_sync = posix_dir_sync,
    .dir_list = posix_dir_list,
    .unlink = posix_dir_unlink,
    .rename = posix_dir_rename,
    .listen = threads_socket_listen,
    .accept = threads_socket_accept,
    .connect = threads_socket_connect,
    .recv = threads_socket_recv,
    .send = threads_socket_send,
    .socket_shutdown = threads_socket_shutdown,
    .socket_close = threads_socket_close,
    .socket_peer = posix_socket_peer,
    .socket_port = posix_socket_port,
};

int threads_loop_new(struct loop **ret_loop, struct err *err)
{
    struct threads_loop *threads = calloc(1, sizeof(*threads));
    struct epoll_event event = {.events = EPOLLIN};
    int result;

    if (threads == NULL)
        return err_set(err, -ENOMEM, "make a loop: no memory");
    result = posix_loop_init(&threads->posix, &threads_ops, WORKERS, posix_work_run, err);
    if (result < 0) {
        free(threads);
        return result;
    }
    threads->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (threads->epoll_fd < 0 ||
        epoll_ctl(threads->epoll_fd, EPOLL_CTL_ADD, threads->posix.wake_fd, &event) < 0) {
        result = err_set(err, -errno, "make an epoll: %s", err_name(errno));
        if (threads->epoll_fd >= 0)
            close(threads->epoll_fd);
        posix_loop_fini(&threads->posix);
        free(threads);
        return result;
    }
    *ret_loop = &threads->posix.loop;
    return 0;
}
