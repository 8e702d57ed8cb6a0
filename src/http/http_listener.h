/* SPDX-License-Identifier: Apache-2.0 */
/* One listening socket with a thread of the library behind it. Private to http/. */
#ifndef HTTP_HTTP_LISTENER_H
#define HTTP_HTTP_LISTENER_H

#include "http/http_exchange.h"
#include "http/http_tls.h"
#include "io/posix_socket.h"

struct http_listener {
    struct http_gate gate;
    int fd;
    struct MHD_Daemon *daemon;
    struct http_tls *tls; /* NULL: plain */
    unsigned index;
    void (*connected_cb)(void *arg, unsigned index);
    void *connected_arg;
};

/* A stale socket is replaced; mode 0660. The descriptor, or an error. */
int http_listener_bind_unix(const char *path, struct err *err);
int http_listener_bind_tcp(const struct posix_address *address, struct err *err);

/* With all fields but daemon set. On an error fd is still the caller's. */
int http_listener_start(struct http_listener *listener);
/* No new connections. */
void http_listener_quiesce(struct http_listener *listener);
/* Ends the thread, if it was started, and all connections; closes fd. */
void http_listener_stop(struct http_listener *listener);

#endif
