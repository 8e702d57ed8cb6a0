/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 on a unix socket, on TCP and on TLS, by libmicrohttpd, whose own threads (one for each
 * socket) read and write; each complete request is handed to the owner's loop and waits, suspended,
 * for its reply. It knows nothing of the API: what is wrong with a request is a field of it, and
 * the router makes every reply (but for requests that are not HTTP worth the name:
 * http_errors.h).
 *
 * Who may, on the unix socket: root and the daemon's own user (SO_PEERCRED). On the others the
 * router asks.
 */
#ifndef HTTP_HTTP_SERVER_H
#define HTTP_HTTP_SERVER_H

#include "base/err.h"
#include "http/http_patrol.h"
#include "http/http_refusals.h"
#include "http/http_request.h"
#include "io/loop.h"

enum { HTTP_LISTENERS_MAX = 33 }; /* the unix socket, 16 of each other kind */

struct http_server;

struct http_server_options {
    const char *socket_path;         /* a stale socket is replaced; mode 0660 */
    const char *listen, *tls_listen; /* http_addresses_parse(); NULL: none */
    const char *tls_cert, *tls_key;  /* PEM files, for tls_listen; http_tls.h */
    struct loop *loop;               /* route_cb runs there */
    void (*route_cb)(void *arg, struct http_request *request);
    /* Some of what never reaches the router, on the loop: http_refusals.h. NULL: none. */
    http_refused_fn refused_cb;
    void *arg;
    const char *host_id; /* a word, in the errors that http makes itself; NULL: "" */
    /* On thread `thread` (below HTTP_LISTENERS_MAX) of the library, at each of its connections;
     * NULL: none. */
    void (*connected_cb)(void *arg, unsigned thread);
    void *connected_arg;
    /* A field that is 0: its default. They hold for the unix socket and, apart from it, for all
     * others together: strangers cannot take the places of the local operator. */
    struct http_limits limits;
};

int http_server_new(const struct http_server_options *options, struct http_server **ret_server,
                    struct err *err);
/* Reads certificate and key again, for new connections. On an error the old ones stay. */
int http_server_reload(struct http_server *server, struct err *err);
/* No new requests; once those under way are answered, all is closed and stopped_cb runs, on the
 * loop. Then http_server_free(). */
void http_server_stop(struct http_server *server, void (*stopped_cb)(void *arg), void *arg);
void http_server_free(struct http_server *server); /* NULL is fine */

#endif
