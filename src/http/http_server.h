/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 on a unix socket, by libmicrohttpd, whose own thread reads and writes; each complete
 * request is handed to the owner's loop and waits, suspended, for its reply. It knows nothing of
 * the API: what is wrong with a request is a field of it, and the router makes every reply.
 *
 * Who may: root and the daemon's own user (SO_PEERCRED).
 */
#ifndef HTTP_HTTP_SERVER_H
#define HTTP_HTTP_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "http/form.h"
#include "http/http_patrol.h"
#include "io/loop.h"

enum { HTTP_FIELDS_MAX = 64 }; /* of a head */

enum http_problem {
    HTTP_FINE,
    HTTP_FORBIDDEN,      /* another user */
    HTTP_BAD_METHOD,     /* neither GET nor POST */
    HTTP_BAD_PATH,       /* not "/" */
    HTTP_BAD_FORM,       /* query or body malformed */
    HTTP_BAD_TYPE,       /* a body that is no form */
    HTTP_HEAD_TOO_LARGE, /* query and headers */
    HTTP_BODY_TOO_LARGE,
};

enum http_door { HTTP_DOOR_UNIX, HTTP_DOOR_PLAIN, HTTP_DOOR_TLS };

struct http_field {
    const char *name, *value; /* name in lower case; value without spaces around it */
};

struct http_server;

/* Lives from route_cb until http_reply(), and so does every text in it. */
struct http_request {
    enum http_problem problem;
    enum http_door door;
    char source[64]; /* the client's address without port; "" for unix */
    bool is_loopback;
    uint32_t user; /* the client's; unix only */
    const char *method;
    const char *query; /* as it came, without '?'; "" if none */
    const char *body;  /* as it came, without chunks; "" if none */
    size_t body_length;
    struct http_field fields[HTTP_FIELDS_MAX]; /* a name twice: both stand here */
    unsigned field_count;
    struct form form; /* query and body; empty when there is a problem */
    /* Headers x-acs-action, x-acs-version; "" when absent. */
    char action[128], version[32];
};

struct http_answer {
    unsigned status;
    const char *request_id;
    const char *content_type; /* NULL: JSON */
    const char *body;
    size_t length;
    uint64_t retry_ms; /* throttled: how long the client should wait; 0: not throttled */
};

struct http_server_options {
    const char *socket_path; /* a stale socket is replaced; mode 0660 */
    struct loop *loop;       /* route_cb runs there */
    void (*route_cb)(void *arg, struct http_request *request);
    void *arg;
    void (*connected_cb)(void *arg); /* on the library's thread, at each connection; NULL: none */
    void *connected_arg;
    struct http_limits limits; /* a field that is 0: its default */
};

int http_server_new(const struct http_server_options *options, struct http_server **ret_server,
                    struct err *err);
/* No new requests; once those under way are answered, all is closed and stopped_cb runs, on the
 * loop. Then http_server_free(). */
void http_server_stop(struct http_server *server, void (*stopped_cb)(void *arg), void *arg);
void http_server_free(struct http_server *server); /* NULL is fine */

/* On the loop, once a request; the answer is copied. The request is gone afterwards. */
void http_reply(struct http_request *request, const struct http_answer *answer);

/* The value of the first field of that name (in lower case); NULL: not there. */
const char *http_field_get(const struct http_request *request, const char *name);

#endif
