/* SPDX-License-Identifier: Apache-2.0 */
/* A request in the library's hands: what its callbacks do with one. Private to http/. */
#ifndef HTTP_HTTP_EXCHANGE_H
#define HTTP_HTTP_EXCHANGE_H

#include <microhttpd.h>
#include <stdatomic.h>

#include "http/http_errors.h"
#include "http/http_patrol.h"
#include "http/http_peer.h"
#include "http/http_request.h"

/* Of the whole server. */
struct http_front {
    struct loop *loop;
    void (*route_cb)(void *arg, struct http_request *request);
    void *arg;
    const struct http_limits *limits;
    http_queue_fn queue_fn;
    const char *host_id;
    struct http_refusals *refusals;
    char rest_hint[32];      /* Keep-Alive: how long a client may leave a connection unused */
    bool is_parsed_in_place; /* by this version of the library: see http_strict_in_place() */
    atomic_uint waiting;     /* requests given to the loop and not answered */
    atomic_bool is_stopping;
    void (*quiet_cb)(struct http_front *front); /* on the loop, when a request was answered */
};

struct exchange;

/* Where requests come in; the argument of the library's callbacks. */
struct http_gate {
    struct http_front *front;
    struct http_patrol *patrol;
    enum http_door door;
    struct exchange *spares; /* of the library's thread: for the next requests */
    unsigned spare_count;
};

/* MHD_OPTION_URI_LOG_CALLBACK, the handler, MHD_OPTION_NOTIFY_COMPLETED; `arg` is a gate. */
void *http_exchange_uri(void *arg, const char *uri, struct MHD_Connection *connection);
enum MHD_Result http_exchange_request(void *arg, struct MHD_Connection *connection,
                                      const char *path, const char *method, const char *version,
                                      const char *upload, size_t *upload_length, void **state);
void http_exchange_ended(void *arg, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode why);
/* When the library has ended. */
void http_exchange_drop_spares(struct http_gate *gate);

#endif
