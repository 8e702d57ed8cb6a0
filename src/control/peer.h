/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls between the control wings of two sites: small JSON messages over the link, one request, one
 * reply; docs/api.md lists them. What the peer sends is a stranger's input: bounded, parsed
 * strictly, and checked against the records by whoever serves the call.
 *
 *     request  {"v":1,"call":"record.put","args":{...}}
 *     reply    {"v":1,"status":200,"reply":{...}}
 *              {"v":1,"status":403,"code":"OperationDenied...","message":"..."}
 */
#ifndef CONTROL_PEER_H
#define CONTROL_PEER_H

#include <jansson.h>

#include "control/site.h"
#include "model/api_error.h"

struct peer_call {
    void (*done_cb)(struct peer_call *call);
    void *arg;
    /* The result: */
    int error; /* 0, or -EHOSTUNREACH, -ETIMEDOUT, -EBADMSG: the peer did not answer (sensibly) */
    char why[200];
    unsigned status; /* 200, or an error's: */
    char code[100], message[600];
    json_t *reply; /* an object, freed after done_cb; json_incref() keeps it */
    /* peer.c's: */
    struct site *site;
    struct data_request request;
    char *text;
};

/* Takes `arguments` over. done_cb once, never from inside. */
void peer_call(struct site *site, struct peer_call *call, const char *peer, const char *name,
               json_t *arguments, void (*done_cb)(struct peer_call *call));

/* A call of the peer that is being served; allocated by peer_receive(), freed by the answer. */
struct peer_answer {
    struct site *site;
    char peer[RECORD_WORD_SIZE];
    json_t *arguments; /* an object */
    void *arg;         /* the service's, while it waits */
    uint64_t call;
    struct data_request request;
    char *text;
};

struct peer_service {
    const char *name;
    void (*run)(struct peer_answer *answer); /* answers once, now or later */
};

void peer_answer_ok(struct peer_answer *answer, json_t *reply); /* takes it over; NULL: {} */
void peer_answer_fail(struct peer_answer *answer, enum api_error error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Serves a DATA_EVENT_CALL by the table; malformed or unknown calls get an error. A call named
 * `special` is left to the caller: returned, unanswered. */
struct peer_answer *peer_receive(struct site *site, const struct data_event *event,
                                 const struct peer_service *services, unsigned service_count,
                                 const char *special);

#endif
