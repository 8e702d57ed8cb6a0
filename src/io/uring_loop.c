/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop on io_uring: what each operation's completion means, and the turn.
 *
 *   wait (hands in everything that the last turn queued) -> completions -> timers, messages,
 *   operations done at once, deferred tasks -> wait
 *
 * What does not go through the ring:
 *   - Short operations on files in memory. tmpfs refuses nowait calls, so the kernel would pass
 * each to a thread of its own; a plain pread or pwrite costs less than the hand-over. Their
 * callbacks run later in the same turn.
 *   - Discards and extents, which need fallbacks or have no operation in the ring: two workers.
 *
 *   1. Short reads, writes and sends are continued here; a callback sees all or an error.
 *   2. Sockets are blocking descriptors: io_uring waits for them only so.
 *   3. socket->in.op and socket->out.op are set while an operation is in flight, so a shutdown or a
 *      close knows.
 */
#include "io/uring_loop.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "io/posix_dir.h"
#include "io/posix_file.h"
#include "io/posix_socket.h"
#include "io/posix_work.h"
#include "io/uring_ring.h"

enum { WORKERS = 2 };

struct uring_loop {
    struct posix_loop posix; /* first */
    struct uring_ring ring;
    struct io_op wake_op; /* polls the eventfd */
    bool is_wake_armed;
    bool is_woken;
};

static struct uring_loop *uring_of(struct loop *loop)
{
    return container_of(posix_loop_of(loop), struct uring_loop, posix);
}

static bool is_transient(int result)
{
    return result == -EINTR || result == -EAGAIN;
}

static void complete_transfer(struct uring_loop *uring, struct io_op *op, int result)
{
    struct posix_op *state = posix_op_of(op);

    if (result > 0)
        state->done += (uint64_t)result;
    check(state->done <= state->length);
    if (state->done == state->length)
        op->done_cb(op, (int64_t)state->length);
    else if (result > 0 || is_transient(result))
        uring_ring_submit(&uring->ring, op);
    else if (result < 0)
        op->done_cb(op, result);
    else
        op->done_cb(op, state->kind == OP_READ ? -ENODATA : -EIO);
}

static void complete_send(struct uring_loop *uring, struct io_op *op, int result)
{
    struct posix_op *state = posix_op_of(op);
    struct io_socket *socket = state->target;

    if (result > 0)
        state->done += (uint64_t)result;
    check(state->done <= state->length);
    if (!socket->is_shut && state->done < state->length && (result >= 0 || is_transient(result))) {
        uring_ring_submit(&uring->ring, op);
        return;
    }
    socket->out.op = NULL;
    op->done_cb(op, posix_socket_result(socket, result < 0 ? result : (int64_t)state->length));
}

static void complete_recv(struct uring_loop *uring, struct io_op *op, int result)
{
    struct io_socket *socket = posix_op_of(op)->target;

    if (!socket->is_shut && is_transient(result)) {
        uring_ring_submit(&uring->ring, op);
        return;
    }
    socket->in.op = NULL;
    op->done_cb(op, posix_socket_result(socket, result));
}

static void complete_accept(struct uring_loop *uring, struct io_op *op, int result)
{
    struct io_connect *accept = container_of(op, struct io_connect, op);
    struct io_socket *listener = posix_op_of(op)->target;
    struct posix_address address = {.length = sizeof(address.storage)};

    if (!listener->is_shut && (is_transient(result) || result == -ECONNABORTED ||
                               (result == -EMFILE && posix_loop_lend_spare(&uring->posix)))) {
        uring_ring_submit(&uring->ring, op);
        return;
    }
    listener->in.op = NULL;
    if (result >= 0 && listener->is_shut) {
        close(result);
    } else if (result >= 0) {
        if (getpeername(result, &address.any, &address.length) < 0)
            address = listener->address; /* gone already; the first recv will say so */
        result = posix_socket_new(&uring->posix.loop, result, &address, &accept->socket);
    }
    op->done_cb(op, posix_socket_result(listener, result));
}

static void complete_connect(struct uring_loop *uring, struct io_op *op, int result)
{
    struct io_connect *connect = container_of(op, struct io_connect, op);
    struct io_socket *socket = posix_op_of(op)->target;

    if (result == -EINTR) {
        uring_ring_submit(&uring->ring, op);
        return;
    }
    op->done_cb(op, posix_socket_connected(socket, connect, result));
}

static void complete(struct uring_loop *uring, struct io_op *op, int result)
{
    switch (posix_op_of(op)->kind) {
    case OP_READ:
    case OP_WRITE:
        complete_transfer(uring, op, result);
        break;
    case OP_SYNC:
        loop_sync_ended(&uring->posix.loop, result);
        op->done_cb(op, result);
        break;
    case OP_RECV:
        complete_recv(uring, op, result);
        break;
    case OP_SEND:
        complete_send(uring, op, result);
        break;
    case OP_ACCEPT:
        complete_accept(uring, op, result);
        break;
    case OP_CONNECT:
        complete_connect(uring, op, result);
        break;
    case OP_WAKE:
        uring->is_wake_armed = false;
        uring->is_woken = true;
        break;
    default:
        check(false);
    }
}

static void arm_wake(struct uring_loop *uring)
{
    if (uring->is_wake_armed)
        return;
    uring->is_wake_armed = true;
    posix_op_of(&uring->wake_op)->kind = OP_WAKE;
    posix_op_of(&uring->wake_op)->offset = (uint64_t)uring->posix.wake_fd;
    uring_ring_submit(&uring->ring, &uring->wake_op);
}

static void run_turn(struct uring_loop *uring, uint64_t *wait_ns)
{
    struct uring_result results[URING_BATCH_MAX];
    unsigned count;

    arm_wake(uring);
    uring_ring_wait(&uring->ring, *wait_ns);
    count = uring_ring_take(&uring->ring, results);
    posix_loop_begin_turn(&uring->posix, false);
    for (unsigned i = 0; i < count; i++)
        complete(uring, results[i].op, results[i].result);
    if (uring->is_woken)
        posix_loop_begin_turn(&uring->posix, true);
    uring->is_woken = false;
    *wait_ns = posix_loop_end_turn(&uring->posix);
}

static void uring_run(struct loop *loop)
{
    struct uring_loop *uring = uring_of(loop);
    uint64_t wait_ns = 0;

    check(!uring->posix.is_running);
    uring->posix.is_running = true;
    uring_ring_start(&uring->ring);
    while (!posix_loop_take_stop(&uring->posix))
        run_turn(uring, &wait_ns);
    uring_ring_stop(&uring->ring);
    uring->posix.is_running = false;
}

static void uring_free(struct loop *loop)
{
    struct uring_loop *uring = uring_of(loop);

    uring_ring_fini(&uring->ring);
    posix_socket_abandon(&uring->posix);
    posix_loop_fini(&uring->posix);
    free(uring);
}

static void start_transfer(struct loop *loop, struct io_op *op)
{
    if (posix_op_of(op)->length == 0 || posix_work_is_quick(op))
        posix_loop_quick(posix_loop_of(loop), op);
    else
        uring_ring_submit(&uring_of(loop)->ring, op);
}

static void uring_file_read(struct loop *loop, struct io_op *op, struct io_file *file,
                            const struct iovec *iov, unsigned iov_count, uint64_t offset)
{
    posix_work_fill_transfer(op, OP_READ, file, iov, iov_count, offset);
    start_transfer(loop, op);
}

static void uring_file_write(struct loop *loop, struct io_op *op, struct io_file *file,
                             const struct iovec *iov, unsigned iov_count, uint64_t offset)
{
    posix_work_fill_transfer(op, OP_WRITE, file, iov, iov_count, offset);
    start_transfer(loop, op);
}

static void uring_file_sync(struct loop *loop, struct io_op *op, struct io_file *file)
{
    posix_work_fill_sync(op, file);
    if (posix_work_is_quick(op))
        posix_loop_quick(posix_loop_of(loop), op);
    else
        uring_ring_submit(&uring_of(loop)->ring, op);
}

static void start_work(struct loop *loop, struct io_op *op)
{
    if (posix_work_is_quick(op))
        posix_loop_quick(posix_loop_of(loop), op);
    else
        posix_loop_work(posix_loop_of(loop), op);
}

static void uring_file_discard(struct loop *loop, struct io_op *op, struct io_file *file,
                               uint64_t offset, uint64_t length, enum io_discard_mode mode)
{
    posix_work_fill_discard(op, file, offset, length, mode);
    start_work(loop, op);
}

static void uring_file_extents(struct loop *loop, struct io_op *op, struct io_file *file,
                               uint64_t offset, uint64_t length, struct io_extent *extents,
                               unsigned extent_max)
{
    posix_work_fill_extents(op, file, offset, length, extents, extent_max);
    start_work(loop, op);
}

/* One operation at a time a direction. */
static void start_socket_op(struct loop *loop, struct posix_side *side, struct io_op *op,
                            enum posix_op_kind kind, struct io_socket *socket)
{
    struct posix_op *state = posix_op_of(op);

    check(side->op == NULL);
    side->op = op;
    state->kind = kind;
    state->target = socket;
    state->done = 0;
    uring_ring_submit(&uring_of(loop)->ring, op);
}

static int uring_listen(struct loop *loop, const char *address, struct io_socket **ret_listener,
                        struct err *err)
{
    return posix_socket_listen(loop, address, 0, ret_listener, err);
}

static void uring_accept(struct loop *loop, struct io_connect *accept, struct io_socket *listener)
{
    check(posix_socket_check(listener)->is_listener);
    start_socket_op(loop, &listener->in, &accept->op, OP_ACCEPT, listener);
}

static void uring_connect(struct loop *loop, struct io_connect *connect, const char *address)
{
    struct io_socket *socket;
    int result = posix_socket_prepare(loop, address, 0, &socket);

    if (result < 0)
        posix_loop_complete(posix_loop_of(loop), &connect->op, result);
    else
        start_socket_op(loop, &socket->out, &connect->op, OP_CONNECT, socket);
}

static void uring_recv(struct loop *loop, struct io_op *op, struct io_socket *socket, void *bytes,
                       size_t length)
{
    posix_op_of(op)->buffer = (struct iovec){bytes, length};
    start_socket_op(loop, &posix_socket_check(socket)->in, op, OP_RECV, socket);
}

static void uring_send(struct loop *loop, struct io_op *op, struct io_socket *socket,
                       const struct iovec *iov, unsigned iov_count)
{
    struct posix_op *state = posix_op_of(op);

    state->iov = iov;
    state->iov_count = iov_count;
    state->length = posix_op_iov_bytes(iov, iov_count);
    if (state->length == 0)
        posix_loop_complete(posix_loop_of(loop), op, 0);
    else
        start_socket_op(loop, &posix_socket_check(socket)->out, op, OP_SEND, socket);
}

static void uring_socket_shutdown(struct loop *loop, struct io_socket *socket)
{
    posix_socket_check(socket)->is_shut = true;
    (void)shutdown(socket->fd, SHUT_RDWR); /* wakes what waits in the kernel */
}

static void uring_socket_close(struct loop *loop, struct io_socket *socket)
{
    check(socket->handle.loop == loop);
    posix_socket_free(socket);
}

static const struct loop_ops uring_ops = {
    .name = "uring",
    .free = uring_free,
    .run = uring_run,
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
    .file_read = uring_file_read,
    .file_write = uring_file_write,
    .file_sync = uring_file_sync,
    .file_discard = uring_file_discard,
    .file_extents = uring_file_extents,
    .map_open = posix_dir_map,
    .map_close = posix_dir_unmap,
    .dir_make = posix_dir_make,
    .dir_sync = posix_dir_sync,
    .dir_list = posix_dir_list,
    .unlink = posix_dir_unlink,
    .rename = posix_dir_rename,
    .listen = uring_listen,
    .accept = uring_accept,
    .connect = uring_connect,
    .recv = uring_recv,
    .send = uring_send,
    .socket_shutdown = uring_socket_shutdown,
    .socket_close = uring_socket_close,
    .socket_peer = posix_socket_peer,
    .socket_port = posix_socket_port,
};

int uring_loop_new(struct loop **ret_loop, struct err *err)
{
    struct uring_loop *uring = calloc(1, sizeof(*uring));
    int result;

    if (uring == NULL)
        return err_set(err, -ENOMEM, "make a loop: no memory");
    result = uring_ring_init(&uring->ring, err);
    if (result < 0) {
        free(uring);
        return result;
    }
    result = posix_loop_init(&uring->posix, &uring_ops, WORKERS, posix_work_run, err);
    if (result < 0) {
        uring_ring_fini(&uring->ring);
        free(uring);
        return result;
    }
    *ret_loop = &uring->posix.loop;
    return 0;
}
