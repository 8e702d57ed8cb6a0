/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of connections that we closed first. A socket that is closed while bytes of its peer are
 * unread resets the connection, and then the peer may never read our last answer. So we only stop
 * sending, and read what comes, for two seconds or until the peer has closed as well.
 */
#ifndef HTTP_HTTP_LINGER_H
#define HTTP_HTTP_LINGER_H

#include <stdint.h>

enum { HTTP_LINGER_MAX = 64 }; /* at once; beyond that sockets are just closed */

struct http_linger {
    struct {
        int fd;
        uint64_t end_ns;
    } sockets[HTTP_LINGER_MAX];
    unsigned count;
};

/* Takes a second descriptor of the socket; the caller closes his own. */
void http_linger_add(struct http_linger *linger, int fd, uint64_t now_ns);
void http_linger_step(struct http_linger *linger, uint64_t now_ns);
void http_linger_fini(struct http_linger *linger);

#endif
