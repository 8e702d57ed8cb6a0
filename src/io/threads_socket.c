/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets under edge-triggered epoll.
 *
 * Each direction of a socket is ready until the kernel says EAGAIN, and again when epoll reports an
 * edge. An operation submitted on a ready side, or waiting on a side that becomes ready, lies in
 * the loop's ready queue and is tried once a turn; else it waits in its side. So a busy socket
 * costs one system call an operation and no change of its epoll registration, ever.
 *
 *   1. side->op is the operation in flight; side->is_queued says that the ready queue holds it.
 *   2. Callbacks run from threads_socket_run_ready() only; reading epoll events touches flags, so a
 *      socket closed by a callback cannot be named by an event still to be looked at.
 */
#include "io/threads_socket.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/check.h"

static struct threads_loop *threads_of(struct loop *loop)
{
    return container_of(posix_loop_of(loop), struct threads_loop, posix);
}

static void queue_side(struct threads_loop *threads, struct posix_side *side)
{
    if (side->op == NULL || side->is_queued || !side->is_ready)
        return;
    side->is_queued = true;
    posix_op_push(&threads->ready, side->op);
}

static void begin(struct threads_loop *threads, struct posix_side *side, struct io_op *op,
                  enum posix_op_kind kind, struct io_socket *socket)
{
    struct posix_op *state = posix_op_of(op);

    check(side->op == NULL); /* one at a time a direction */
    state->kind = kind;
    state->target = socket;
    state->done = 0;
    side->op = op;
    if (socket->is_shut)
        side->is_ready = true;
    queue_side(threads, side);
}

static int watch(struct threads_loop *threads, struct io_socket *socket)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = socket};

    return epoll_ctl(threads->epoll_fd, EPOLL_CTL_ADD, socket->fd, &event) < 0 ? -errno : 0;
}

void threads_socket_notice(struct threads_loop *threads, struct io_socket *socket, uint32_t events)
{
    posix_socket_check(socket);
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        socket->in.is_ready = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        socket->out.is_ready = true;
    queue_side(threads, &socket->in);
    queue_side(threads, &socket->out);
}

static int64_t try_accept(struct io_connect *accept, struct io_socket *listener)
{
    struct threads_loop *threads = threads_of(listener->handle.loop);
    struct posix_address address = {.length = sizeof(address.storage)};
    int fd, result;

    do {
        address.length = sizeof(address.storage);
        fd = accept4(listener->fd, &address.any, &address.length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (fd < 0 && (errno == ECONNABORTED || errno == EINTR ||
                        (errno == EMFILE && posix_loop_lend_spare(&threads->posix))));
    if (fd < 0)
        return -errno;
    result = posix_socket_new(listener->handle.loop, fd, &address, &accept->socket);
    if (result < 0)
        return result;
    result = watch(threads, accept->socket);
    if (result < 0) {
        posix_socket_free(accept->socket);
        accept->socket = NULL;
    }
    return result;
}

static int64_t try_connect(struct io_connect *connect, struct io_socket *socket)
{
    int code = 0;
    socklen_t length = sizeof(code);

    if (getsockopt(socket->fd, SOL_SOCKET, SO_ERROR, &code, &length) < 0)
        code = errno;
    return posix_socket_connected(socket, connect, -code);
}

static int64_t try_send(struct posix_op *state, struct io_socket *socket)
{
    while (state->done < state->length) {
        struct iovec single;
        unsigned count;
        const struct iovec *iov = posix_op_rest(state, &single, &count);
        struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = count};
        ssize_t sent = sendmsg(socket->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return -errno;
        state->done += (uint64_t)sent;
    }
    return (int64_t)state->length;
}

static int64_t try_recv(const struct posix_op *state, struct io_socket *socket)
{
    ssize_t count;

    do {
        count = recv(socket->fd, state->buffer.iov_base, state->buffer.iov_len, MSG_DONTWAIT);
    } while (count < 0 && errno == EINTR);
    return count < 0 ? -errno : count;
}

static void try_op(struct threads_loop *threads, struct io_op *op)
{
    struct posix_op *state = posix_op_of(op);
    struct io_socket *socket = posix_socket_check(state->target);
    bool is_in = state->kind == OP_RECV || state->kind == OP_ACCEPT;
    struct posix_side *side = is_in ? &socket->in : &socket->out;
    struct io_connect *connect = container_of(op, struct io_connect, op);
    int64_t result;

    check(side->op == op && side->is_queued);
    side->is_queued = false;
    if (state->kind == OP_CONNECT) {
        op->done_cb(op, try_connect(connect, socket));
        return;
    }
    if (socket->is_shut)
        result = -ECANCELED;
    else if (state->kind == OP_ACCEPT)
        result = try_accept(connect, socket);
    else
        result = state->kind == OP_RECV ? try_recv(state, socket) : try_send(state, socket);
    if (result == -EAGAIN) {
        side->is_ready = false;
        return;
    }
    side->op = NULL;
    op->done_cb(op, posix_socket_result(socket, result));
}

void threads_socket_run_ready(struct threads_loop *threads)
{
    struct posix_op_queue queue = threads->ready;
    struct io_op *op;

    threads->ready.head = NULL;
    while ((op = posix_op_pop(&queue)) != NULL)
        try_op(threads, op);
}

int threads_socket_listen(struct loop *loop, const char *address, struct io_socket **ret_listener,
                          struct err *err)
{
    struct io_socket *listener;
    int result = posix_socket_listen(loop, address, SOCK_NONBLOCK, &listener, err);

    if (result < 0)
        return result;
    result = watch(threads_of(loop), listener);
    if (result < 0) {
        posix_socket_free(listener);
        return err_set(err, result, "listen on %s: %s", address, err_name(result));
    }
    *ret_listener = listener;
    return 0;
}

void threads_socket_accept(struct loop *loop, struct io_connect *accept, struct io_socket *listener)
{
    check(posix_socket_check(listener)->is_listener);
    begin(threads_of(loop), &listener->in, &accept->op, OP_ACCEPT, listener);
}

void threads_socket_connect(struct loop *loop, struct io_connect *connect_op, const char *address)
{
    struct threads_loop *threads = threads_of(loop);
    struct io_socket *socket;
    int result = posix_socket_prepare(loop, address, SOCK_NONBLOCK, &socket);

    if (result < 0) {
        posix_loop_complete(&threads->posix, &connect_op->op, result);
        return;
    }
    if (connect(socket->fd, &socket->address.any, socket->address.length) < 0)
        result = -errno;
    socket->out.is_ready = result == 0;
    if (result == -EINPROGRESS || result == -EINTR)
        result = 0;
    if (result == 0)
        result = watch(threads, socket);
    if (result < 0) {
        posix_loop_complete(&threads->posix, &connect_op->op,
                            posix_socket_connected(socket, connect_op, result));
        return;
    }
    begin(threads, &socket->out, &connect_op->op, OP_CONNECT, socket);
}

void threads_socket_recv(struct loop *loop, struct io_op *op, struct io_socket *socket, void *bytes,
                         size_t length)
{
    posix_op_of(op)->buffer = (struct iovec){bytes, length};
    begin(threads_of(loop), &posix_socket_check(socket)->in, op, OP_RECV, socket);
}

void threads_socket_send(struct loop *loop, struct io_op *op, struct io_socket *socket,
                         const struct iovec *iov, unsigned iov_count)
{
    struct posix_op *state = posix_op_of(op);

    state->iov = iov;
    state->iov_count = iov_count;
    state->length = posix_op_iov_bytes(iov, iov_count);
    begin(threads_of(loop), &posix_socket_check(socket)->out, op, OP_SEND, socket);
}

void threads_socket_shutdown(struct loop *loop, struct io_socket *socket)
{
    struct threads_loop *threads = threads_of(loop);

    posix_socket_check(socket);
    if (socket->is_shut)
        return;
    socket->is_shut = true;
    (void)shutdown(socket->fd, SHUT_RDWR); /* ENOTCONN: the peer was faster */
    socket->in.is_ready = socket->out.is_ready = true;
    queue_side(threads, &socket->in);
    queue_side(threads, &socket->out);
}

void threads_socket_close(struct loop *loop, struct io_socket *socket)
{
    check(socket->handle.loop == loop);
    posix_socket_free(socket); /* close(2) also takes it out of epoll */
}
