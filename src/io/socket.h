/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stream sockets on a loop: unix and TCP (TCP_NODELAY always on).
 *
 * Addresses are text: "unix:/path" or "HOST:PORT" with a numeric host ("127.0.0.1:10809",
 * "[::1]:10809"). A listener on a unix path replaces a stale socket file, not a live one, and makes
 * it mode 0660.
 */
#ifndef IO_SOCKET_H
#define IO_SOCKET_H

#include "io/loop.h"

struct io_socket;

struct io_connect {
    struct io_op op;
    struct io_socket *socket; /* set when the result is 0; then the caller's to close */
};

int io_listen(struct loop *loop, const char *address, struct io_socket **ret_listener,
              struct err *err);
/* The result is 0 and accept->socket, or a negative errno; one accept at a time. Running out of
 * descriptors gives -EMFILE: wait before the next accept. */
void io_accept(struct loop *loop, struct io_connect *accept, struct io_socket *listener,
               io_done_fn done_cb);
/* Cannot be taken back, so it ends by itself: within 10 s, at last with -ETIMEDOUT. */
void io_connect(struct loop *loop, struct io_connect *connect, const char *address,
                io_done_fn done_cb);

/* At least one byte, 0 at the end of the stream, or a negative errno. One at a time a socket. */
void io_recv(struct loop *loop, struct io_op *op, struct io_socket *socket, void *bytes,
             size_t length, io_done_fn done_cb);
/* All bytes or a negative errno. One at a time a socket. */
void io_send(struct loop *loop, struct io_op *op, struct io_socket *socket, const struct iovec *iov,
             unsigned iov_count, io_done_fn done_cb);

/* Ends the connection for both directions: operations in flight end with -ECANCELED or an error. */
void io_socket_shutdown(struct loop *loop, struct io_socket *socket);
/* Frees it. No operation may be in flight (shut down and wait for them first). */
void io_socket_close(struct loop *loop, struct io_socket *socket);
/* "127.0.0.1:52044" or "unix"; for log lines. */
const char *io_socket_peer(struct io_socket *socket);
/* The port a TCP listener got (for port 0). */
uint16_t io_socket_port(struct io_socket *socket);

#endif
