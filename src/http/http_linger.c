/* SPDX-License-Identifier: Apache-2.0 */
/* Bounded: so many sockets, so long, and so many bytes a step. Never blocks. */
#include "http/http_linger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINGER_NS (UINT64_C(2) * 1000 * 1000 * 1000)

enum { READS_MAX = 64 };

void http_linger_add(struct http_linger *linger, int fd, uint64_t now_ns)
{
    int own;

    if (linger->count == HTTP_LINGER_MAX)
        return;
    own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (own < 0)
        return;
    (void)shutdown(own, SHUT_WR);
    linger->sockets[linger->count].fd = own;
    linger->sockets[linger->count++].end_ns = now_ns + LINGER_NS;
}

/* Reads and throws away; true: the peer has closed. */
static bool drain(int fd)
{
    char bytes[16384];

    for (unsigned i = 0; i < READS_MAX; i++) {
        ssize_t done = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

        if (done <= 0)
            return done == 0 || (errno != EAGAIN && errno != EINTR);
    }
    return false;
}

void http_linger_step(struct http_linger *linger, uint64_t now_ns)
{
    for (unsigned i = 0; i < linger->count;) {
        if (!drain(linger->sockets[i].fd) && now_ns < linger->sockets[i].end_ns) {
            i++;
            continue;
        }
        close(linger->sockets[i].fd);
        linger->sockets[i] = linger->sockets[--linger->count];
    }
}

void http_linger_fini(struct http_linger *linger)
{
    while (linger->count > 0)
        close(linger->sockets[--linger->count].fd);
}
