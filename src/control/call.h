/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call of an operation under way: typed parameters in, a tree out. Embedded in whoever asked
 * (the HTTP door, a peer's call); on the control loop.
 */
#ifndef CONTROL_CALL_H
#define CONTROL_CALL_H

#include <jansson.h>

#include "access/caller.h"
#include "control/operation.h"
#include "control/site.h"

enum { CALL_MAGIC = 0x63616c6c, CALL_HOPS_MAX = 2, CALL_NUMBER_SIZE = 17 };

struct change_move;

/* Of a call whose list names disks of both sites: split.c's. */
struct call_split {
    json_t *own, *others; /* the disks here and there; NULL: it is not split */
    json_t *texts;        /* of the peer's part */
    bool is_looked;       /* it is known whether it is */
    bool is_done;         /* the peer did its part */
    void (*again_cb)(struct call *call);
    const char *list, *wrapped; /* of lists: where the entries are in a reply */
    bool is_numbered;           /* its pages have numbers */
    json_t *reply;              /* our part */
};

struct call {
    uint32_t magic;
    const struct operation *operation;
    json_t *parameters; /* typed, defaults filled in */
    json_t *texts;      /* as they came, for passing on and for the token's digest */
    char request_id[40];
    unsigned hop_count; /* how often it was passed on */
    /* The peer that passed it on, and what it calls it; "": it came by our own door. */
    char sender[RECORD_WORD_SIZE], pass_number[CALL_NUMBER_SIZE];
    bool is_consented; /* or refused: the sender was asked; see consent.h */
    struct caller caller;
    /* Of this life of the caller's user; "root" of root. As it was when the call was allowed. */
    char caller_uid[RECORD_WORD_SIZE];
    bool is_denied, is_unnamed; /* refused by a statement; for want of one */
    /* Of lists: may the caller see this one? Given by api/; NULL: everything. */
    bool (*may_see_cb)(const struct call *call, enum record_kind kind, const char *id);
    /* Called once, on the control loop, perhaps from inside control_submit(). */
    void (*done_cb)(struct call *call);
    void *arg;

    /* The answer: an object without RequestId, or an error. */
    unsigned http_status;
    json_t *reply;
    enum api_error error; /* API_OK when passed on or successful */

    /* For the operation while it waits: */
    struct site *site;
    struct list node;                  /* of site->calls, while it runs here */
    char token_key[RECORD_TOKEN_SIZE]; /* see token.c; "": none */
    struct data_request request;
    json_t *state;
    char object[RECORD_ID_SIZE];        /* what it makes or works on */
    uint64_t growth_bytes;              /* its object, a disk, grows to so much; 0: it does not */
    void (*join_cb)(struct call *call); /* see sharing_join() */
    /* While its change is not durable: see sharing.h. */
    void (*then_cb)(struct call *call);
    json_t *marks, *later;
    struct call_split split;
    struct change_move *moves;
    unsigned move_count;
    struct list held_node;
    struct loop_timer again_timer;
    void (*again_cb)(struct call *call); /* NULL: it does not wait */
    unsigned again_count;
    bool is_left; /* its caller was answered: see call_again() */
};

/* For the end of what the data wing did, when the records cannot be changed: calls again_cb a
 * second later, so that no passing state stays for ever; the caller waits. After two seconds he is
 * told so (InternalError), and what is left goes on without him as a call of its own, with the same
 * object: left_cb, until it succeeds. When the site stops it ends: the restart ends that state. */
void call_again(struct call *call, void (*again_cb)(struct call *call),
                void (*left_cb)(struct call *call));
/* The site stops: those that wait for that end now. */
void call_stop(struct site *site);

/* Is a call under way here that makes this (its `object`)? */
bool call_is_making(const struct site *site, const char *id);

/* Frees the trees; not the struct. */
void call_fini(struct call *call);

const char *call_text(const struct call *call, const char *name); /* "" when absent */
bool call_has(const struct call *call, const char *name);
int64_t call_int(const struct call *call, const char *name);
bool call_bool(const struct call *call, const char *name);

/* For every entry of a list, before it is counted or shown. */
bool call_may_see(const struct call *call, enum record_kind kind, const char *id);

/* Does an operation of that name change nothing? */
bool call_only_looks(const char *action);

/* Is one of these under way here, for this object? */
bool call_is_running(struct site *site, void (*run)(struct call *call), const char *object);

/* Success; takes `reply` over (NULL: RequestId alone). */
void call_reply(struct call *call, json_t *reply);
/* An error of the catalogue; `format` (may be NULL) names the thing and follows the contract's
 * sentence. */
void call_fail(struct call *call, enum api_error error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same, with a name in code and message: Missing{Name}, InvalidParameter. */
void call_fail_name(struct call *call, enum api_error error, const char *name, const char *format,
                    ...) __attribute__((format(printf, 4, 5)));
/* An answer that another site made: status and tree as they are; takes `reply` over. */
void call_answer(struct call *call, unsigned http_status, json_t *reply);
/* Tells an answer that was held back until what it was made from is durable; or InternalError in
 * its place. For sharing.c. */
void call_deliver(struct call *call);
void call_revoke(struct call *call, const char *why);
/* InternalError in the product's wording. */
void call_fail_internal(struct call *call, const char *why);

/* {"Code":..., "Message":...} of an error; for callers without a call. */
json_t *call_error_tree(enum api_error error, const char *name, const char *detail);

#endif
