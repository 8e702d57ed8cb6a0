/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of the loops on a real kernel: addresses, listeners, and what an io_socket is. */
#ifndef IO_POSIX_SOCKET_H
#define IO_POSIX_SOCKET_H

#include <sys/socket.h>
#include <sys/un.h>

#include "io/posix_loop.h"

enum { POSIX_SOCKET_MAGIC = 0x70736f63 };

struct posix_address {
    union {
        struct sockaddr any;
        struct sockaddr_storage storage;
        struct sockaddr_un local;
    };
    socklen_t length;
};

/* One direction of a socket: the operation in flight, if any. */
struct posix_side {
    struct io_op *op;
    bool is_ready;  /* threads: the kernel may have something; false after EAGAIN */
    bool is_queued; /* threads: op lies in the ready queue */
};

struct io_socket {
    struct io_handle handle;
    uint32_t magic;
    int fd;
    bool is_listener;
    bool is_shut;
    struct posix_side in;        /* recv, accept */
    struct posix_side out;       /* send, connect */
    struct list connecting_node; /* in the loop's list until io_connect() ended */
    struct posix_address address;
    char peer[64];
};

static inline struct io_socket *posix_socket_check(struct io_socket *socket)
{
    check_magic(socket, POSIX_SOCKET_MAGIC);
    return socket;
}

/* "unix:/path" or "HOST:PORT" with a numeric host; -EINVAL for anything else. */
int posix_address_parse(const char *text, struct posix_address *ret_address);

/* A socket struct around `fd`, which it takes over (closed when memory is missing: -ENOMEM).
 * `address` is the peer's or, for a listener, its own. */
int posix_socket_new(struct loop *loop, int fd, const struct posix_address *address,
                     struct io_socket **ret_socket);
/* `fd_flags`: SOCK_NONBLOCK or 0, as the implementation likes its descriptors. */
int posix_socket_listen(struct loop *loop, const char *address, int fd_flags,
                        struct io_socket **ret_listener, struct err *err);
/* A socket for io_connect(): not connected yet, its address filled in. */
int posix_socket_prepare(struct loop *loop, const char *address, int fd_flags,
                         struct io_socket **ret_socket);
/* The attempt ended: hands the socket to `connect`, or frees it. Returns `result`. */
int posix_socket_connected(struct io_socket *socket, struct io_connect *connect, int result);
void posix_socket_free(struct io_socket *socket);
/* A loop that ends while it dials, which nobody can cancel: drops the half-made sockets. */
void posix_socket_abandon(struct posix_loop *posix);

/* The kernel's answer to a recv, send or accept as our contract has it. */
int64_t posix_socket_result(const struct io_socket *socket, int64_t result);

const char *posix_socket_peer(struct io_socket *socket);
uint16_t posix_socket_port(struct io_socket *socket);

#endif
