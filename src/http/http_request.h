/* SPDX-License-Identifier: Apache-2.0 */
/* A request as the router gets it, and its answer. http_exchange.c makes the one, takes the other.
 */
#ifndef HTTP_HTTP_REQUEST_H
#define HTTP_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/form.h"

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

/* Lives from route_cb until http_reply(), and so does every text in it. */
struct http_request {
    enum http_problem problem;
    enum http_door door;
    char source[64];  /* the client's address without port; "" for unix */
    bool is_loopback; /* unix, 127.0.0.0/8, ::1 */
    bool is_proved;   /* the router sets it before the reply: the client proved who he is */
    uint32_t user;    /* the client's; unix only */
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
    const char *content_type; /* NULL: JSON; a constant, all else is copied */
    const char *body;
    size_t length;
    uint64_t retry_ms; /* throttled: how long the client should wait; 0: not throttled */
};

/* On the loop, once a request; the answer is copied. The request is gone afterwards. */
void http_reply(struct http_request *request, const struct http_answer *answer);

/* The value of the first field of that name (in lower case); NULL: not there. */
const char *http_field_get(const struct http_request *request, const char *name);

#endif
