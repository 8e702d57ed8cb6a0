/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that were refused before they reached the router (http_errors.h), for the record of
 * calls: noted on any thread, told on the loop. However large a crowd is, memory and lines are
 * bounded: of one address one is told in HTTP_REFUSAL_SPAN_NS, of HTTP_REFUSAL_ADDRESSES at a time;
 * the others are counted and told with the next line.
 */
#ifndef HTTP_HTTP_REFUSALS_H
#define HTTP_HTTP_REFUSALS_H

#include "io/loop.h"

#define HTTP_REFUSAL_SPAN_NS (UINT64_C(10) * 1000000000)

enum { HTTP_REFUSAL_ADDRESSES = 64 };

struct http_refusal {
    const char *source; /* the client's address; "" for unix */
    const char *request_id;
    unsigned status;
    const char *code, *message;
    unsigned more;   /* of this address since the last that was told */
    unsigned others; /* of other addresses, since anybody's */
};

typedef void (*http_refused_fn)(void *arg, const struct http_refusal *refusal);

struct http_refusals;

/* NULL: no memory. */
struct http_refusals *http_refusals_new(struct loop *loop, http_refused_fn told_cb, void *arg);
/* On the loop; nothing is told any more. NULL is fine. */
void http_refusals_free(struct http_refusals *refusals);
/* Code and message are constants. */
void http_refusals_note(struct http_refusals *refusals, const char *source, unsigned status,
                        const char *code, const char *message, const char *request_id);

#endif
