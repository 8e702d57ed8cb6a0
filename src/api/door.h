/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who stands at the door: a request as HTTP gives it in, a caller out, or the error that a gateway
 * of this API answers (contract 3.6, and its order of checks).
 *
 *   action, version, Format -> what the scheme needs -> TLS where V1 needs it -> token -> access
 * key
 *   -> time -> method -> signature -> nonce -> flow control -> (authorization: elsewhere)
 *
 * Taken: V3 (a header Authorization that begins with "ACS3-") everywhere; V1 (parameters) on
 * loopback, the unix socket and over TLS, elsewhere with allow_v1; nothing at all on the unix
 * socket, whose clients are the site's own root. Never a bearer token or one of STS: nobody here
 * issues those. docs/signatures.md. On the control loop; no database is asked.
 */
#ifndef API_DOOR_H
#define API_DOOR_H

#include "access/directory.h"
#include "api/reply_format.h"
#include "http/http_request.h"
#include "model/api_error.h"

enum { DOOR_RATE = 200, DOOR_NONCE_MAX = CALLER_NONCE_SIZE - 1, DOOR_DETAIL_MAX = 64 << 10 };

struct door;

struct door_options {
    struct loop *loop;
    const char *folder;          /* of the nonces */
    struct directory *directory; /* the owner's; NULL: there are no keys */
    bool is_remote;              /* signed requests will come: open the nonces at once */
    bool allow_v1;               /* without TLS, from other machines */
    unsigned rate;               /* requests a second of a key; 0: no limit */
    unsigned nonces_max;         /* 0: NONCES_DEFAULT */
    unsigned clock_window;       /* seconds; 0: NONCES_WINDOW_S */
};

struct door_verdict {
    enum api_error error; /* API_OK: `caller` is proven; else it is what the request says it is */
    const char *name;     /* for "%s" in the error's code and message */
    const char *detail;   /* behind its message; until the next call */
    uint64_t retry_ms;    /* throttled: for how long */
    enum reply_scheme scheme;
    enum reply_form form;
    /* As the scheme names them, "" when it does not; texts of the request. */
    const char *action, *version;
    struct caller caller;
};

/* Where the nonces cannot be opened (a full disk) signed requests are refused for a while; the rest
 * of the daemon needs them not. */
int door_new(const struct door_options *options, struct door **ret_door, struct err *err);
void door_free(struct door *door); /* NULL is fine */

/* Of a request without a problem. What is taken cannot be taken again. */
void door_judge(struct door *door, const struct http_request *request,
                struct door_verdict *ret_verdict);

/* The nonce of a request that was taken at another site is used here as well: API_OK,
 * API_NONCE_USED (it was before), API_SERVICE_UNAVAILABLE (it could not be remembered). What the
 * door would refuse for its time is fine: it cannot be used here either. */
enum api_error door_take_elsewhere(void *door, const char *key_id, const char *nonce,
                                   int64_t time_s);

/* Is this a parameter of the protocol (Action, Signature, ...), which no operation ever sees? */
bool door_is_protocol(const struct door_verdict *verdict, const char *name);

#endif
