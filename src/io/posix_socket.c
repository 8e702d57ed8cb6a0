/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket addresses and the birth and death of socket structs.
 *
 *   1. A unix listener replaces a socket file only when nobody answers behind it; anything that is
 *      not a socket is left alone.
 *   2. A unix listener's file has mode 0660 before the first peer can reach it, and goes with it.
 *   3. An attempt to connect by TCP gives up after about 7 seconds (two repeated SYNs), so that
 *      an operation that cannot be cancelled does not hang for minutes.
 */
#include "io/posix_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"

enum { BACKLOG = 1024, SYN_COUNT = 2, UNIX_SEND_BYTES = 1 << 20 };
enum { PREDECESSOR_TRIES = 100, PREDECESSOR_PAUSE_NS = 20000000 };

static int parse_port(const char *text, in_port_t *ret_port)
{
    unsigned port = 0;

    if (*text == '\0' || strlen(text) > 5 || strspn(text, "0123456789") != strlen(text))
        return -EINVAL;
    for (; *text != '\0'; text++)
        port = port * 10 + (unsigned)(*text - '0');
    if (port > UINT16_MAX)
        return -EINVAL;
    *ret_port = htons((uint16_t)port);
    return 0;
}

static int parse_tcp(const char *text, struct posix_address *address)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address->storage;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address->storage;
    const char *colon = strrchr(text, ':');
    char host[INET6_ADDRSTRLEN];
    size_t length = colon != NULL ? (size_t)(colon - text) : 0;
    bool is_v6 = length > 2 && text[0] == '[' && text[length - 1] == ']';

    if (is_v6) {
        text++;
        length -= 2;
    }
    if (length == 0 || length >= sizeof(host))
        return -EINVAL;
    memcpy(host, text, length);
    host[length] = '\0';
    if (is_v6) {
        v6->sin6_family = AF_INET6;
        address->length = sizeof(*v6);
        if (inet_pton(AF_INET6, host, &v6->sin6_addr) != 1)
            return -EINVAL;
        return parse_port(colon + 1, &v6->sin6_port);
    }
    v4->sin_family = AF_INET;
    address->length = sizeof(*v4);
    if (inet_pton(AF_INET, host, &v4->sin_addr) != 1)
        return -EINVAL;
    return parse_port(colon + 1, &v4->sin_port);
}

int posix_address_parse(const char *text, struct posix_address *ret_address)
{
    struct posix_address address = {0};
    int result = 0;

    if (strncmp(text, "unix:", 5) == 0) {
        size_t length = strlen(text + 5);
        if (length == 0 || length >= sizeof(address.local.sun_path))
            return -EINVAL;
        address.local.sun_family = AF_UNIX;
        memcpy(address.local.sun_path, text + 5, length + 1);
        address.length = sizeof(address.local);
    } else {
        result = parse_tcp(text, &address);
    }
    if (result == 0)
        *ret_address = address;
    return result;
}

static uint16_t address_port(const struct posix_address *address)
{
    if (address->any.sa_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)&address->storage)->sin_port);
    if (address->any.sa_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)&address->storage)->sin6_port);
    return 0;
}

static void address_format(const struct posix_address *address, char *text, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "?";

    if (address->any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &((const struct sockaddr_in *)&address->storage)->sin_addr, host,
                  sizeof(host));
        snprintf(text, size, "%s:%u", host, address_port(address));
    } else if (address->any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)&address->storage)->sin6_addr, host,
                  sizeof(host));
        snprintf(text, size, "[%s]:%u", host, address_port(address));
    } else {
        snprintf(text, size, "unix");
    }
}

/* Failures are of no account: the peer of a fresh connection may be gone already. */
static void set_tcp_options(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {SOL_SOCKET, SO_KEEPALIVE, 1}, /* a peer that lost its power is noticed after two minutes */
        {IPPROTO_TCP, TCP_KEEPIDLE, 60},
        {IPPROTO_TCP, TCP_KEEPINTVL, 15},
        {IPPROTO_TCP, TCP_KEEPCNT, 4},
    };

    for (size_t i = 0; i < ARRAY_COUNT(options); i++)
        (void)setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
}

int posix_socket_new(struct loop *loop, int fd, const struct posix_address *address,
                     struct io_socket **ret_socket)
{
    struct io_socket *socket = calloc(1, sizeof(*socket));
    int send_bytes = UNIX_SEND_BYTES;

    check(fd >= 0);
    if (socket == NULL) {
        close(fd);
        return -ENOMEM;
    }
    socket->handle.loop = loop;
    socket->magic = POSIX_SOCKET_MAGIC;
    socket->fd = fd;
    socket->address = *address;
    socket->in.is_ready = socket->out.is_ready = true;
    address_format(address, socket->peer, sizeof(socket->peer));
    if (address->any.sa_family == AF_INET || address->any.sa_family == AF_INET6)
        set_tcp_options(fd);
    else /* the kernel gives what it allows: a large reply then leaves in one piece, not in two */
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof(send_bytes));
    list_init(&socket->connecting_node);
    posix_loop_of(loop)->open_count++;
    *ret_socket = socket;
    return 0;
}

void posix_socket_free(struct io_socket *socket)
{
    struct posix_loop *posix = posix_loop_of(posix_socket_check(socket)->handle.loop);

    check(socket->in.op == NULL && socket->out.op == NULL);
    check(!socket->in.is_queued && !socket->out.is_queued && posix->open_count > 0);
    posix->open_count--;
    if (socket->is_listener && socket->address.any.sa_family == AF_UNIX)
        unlink(socket->address.local.sun_path);
    close(socket->fd);
    posix_loop_take_spare(posix);
    socket->magic = 0;
    free(socket);
}

/* Removes a socket file behind which nobody listens. */
static int remove_stale(const struct posix_address *address)
{
    struct stat stat_of;
    int fd, result;

    if (lstat(address->local.sun_path, &stat_of) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(stat_of.st_mode))
        return -EEXIST;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    result = connect(fd, &address->any, address->length) == 0 ? -EADDRINUSE : -errno;
    close(fd);
    if (result == -ECONNREFUSED)
        return unlink(address->local.sun_path) < 0 && errno != ENOENT ? -errno : 0;
    return result == -ENOENT ? 0 : -EADDRINUSE;
}

static int bind_and_listen(int fd, struct posix_address *address)
{
    bool is_unix = address->any.sa_family == AF_UNIX;
    int yes = 1, result = is_unix ? remove_stale(address) : 0;

    if (result < 0)
        return result;
    if (!is_unix && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0)
        return -errno;
    if (address->any.sa_family == AF_INET6 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes)) < 0)
        return -errno;
    if (bind(fd, &address->any, address->length) < 0)
        return -errno;
    if (is_unix && chmod(address->local.sun_path, 0660) < 0)
        return -errno;
    if (listen(fd, BACKLOG) < 0)
        return -errno;
    if (!is_unix) {
        address->length = sizeof(address->storage);
        if (getsockname(fd, &address->any, &address->length) < 0)
            return -errno;
    }
    return 0;
}

int posix_socket_listen(struct loop *loop, const char *text, int fd_flags,
                        struct io_socket **ret_listener, struct err *err)
{
    struct posix_address address = {.length = 0};
    int fd, result;

    if (posix_address_parse(text, &address) < 0)
        return err_set(err, -EINVAL,
                       "listen on %s: not an address (unix:/path, or a numeric HOST:PORT)", text);
    fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | fd_flags, 0);
    if (fd < 0)
        return err_set(err, -errno, "listen on %s: %s", text, err_name(errno));
    result = bind_and_listen(fd, &address);
    /* The ring of a killed predecessor may hold its listener for some milliseconds more. */
    for (unsigned tries = 0; result == -EADDRINUSE && tries < PREDECESSOR_TRIES; tries++) {
        nanosleep(&(struct timespec){.tv_nsec = PREDECESSOR_PAUSE_NS}, NULL);
        result = bind_and_listen(fd, &address);
    }
    if (result < 0) {
        close(fd);
        return err_set(err, result, "listen on %s: %s", text, err_name(result));
    }
    result = posix_socket_new(loop, fd, &address, ret_listener);
    if (result < 0)
        return err_set(err, result, "listen on %s: no memory", text);
    (*ret_listener)->is_listener = true;
    return 0;
}

int posix_socket_prepare(struct loop *loop, const char *text, int fd_flags,
                         struct io_socket **ret_socket)
{
    struct posix_address address = {.length = 0};
    int fd, syn_count = SYN_COUNT, result = posix_address_parse(text, &address);

    if (result < 0)
        return result;
    fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | fd_flags, 0);
    if (fd < 0)
        return -errno;
    if (address.any.sa_family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, &syn_count, sizeof(syn_count));
    result = posix_socket_new(loop, fd, &address, ret_socket);
    if (result == 0)
        list_append(&posix_loop_of(loop)->connecting, &(*ret_socket)->connecting_node);
    return result;
}

int posix_socket_connected(struct io_socket *socket, struct io_connect *connect, int result)
{
    check(connect->socket == NULL && result <= 0);
    list_remove(&socket->connecting_node);
    socket->out.op = NULL;
    if (result == 0)
        connect->socket = socket;
    else
        posix_socket_free(socket);
    return result;
}

void posix_socket_abandon(struct posix_loop *posix)
{
    struct list *node;

    while ((node = list_pop(&posix->connecting)) != NULL) {
        struct io_socket *socket = list_entry(node, struct io_socket, connecting_node);
        socket->out.op = NULL;
        socket->out.is_queued = false;
        posix_socket_free(socket);
    }
}

int64_t posix_socket_result(const struct io_socket *socket, int64_t result)
{
    if (socket->is_shut)
        return -ECANCELED;
    return result == -ENFILE ? -EMFILE : result;
}

const char *posix_socket_peer(struct io_socket *socket)
{
    return posix_socket_check(socket)->peer;
}

uint16_t posix_socket_port(struct io_socket *socket)
{
    return address_port(&posix_socket_check(socket)->address);
}
