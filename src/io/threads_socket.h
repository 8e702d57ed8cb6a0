/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets under epoll. Slots of loop_ops, and what the loop itself calls. */
#ifndef IO_THREADS_SOCKET_H
#define IO_THREADS_SOCKET_H

#include "io/posix_socket.h"

struct threads_loop {
    struct posix_loop posix; /* first */
    int epoll_fd;
    struct posix_op_queue ready; /* socket operations to try */
};

/* epoll says that `events` happened to `socket`. Calls no callback. */
void threads_socket_notice(struct threads_loop *threads, struct io_socket *socket, uint32_t events);
/* Tries the operations that were ready before this call. */
void threads_socket_run_ready(struct threads_loop *threads);

int threads_socket_listen(struct loop *loop, const char *address, struct io_socket **ret_listener,
                          struct err *err);
void threads_socket_accept(struct loop *loop, struct io_connect *accept,
                           struct io_socket *listener);
void threads_socket_connect(struct loop *loop, struct io_connect *connect, const char *address);
void threads_socket_recv(struct loop *loop, struct io_op *op, struct io_socket *socket, void *bytes,
                         size_t length);
void threads_socket_send(struct loop *loop, struct io_op *op, struct io_socket *socket,
                         const struct iovec *iov, unsigned iov_count);
void threads_socket_shutdown(struct loop *loop, struct io_socket *socket);
void threads_socket_close(struct loop *loop, struct io_socket *socket);

#endif
