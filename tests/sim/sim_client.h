/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of the API, as the CLI and the SDKs are: it repeats with the same ClientToken what it
 * got no answer to, and now and then what it did get one to: the answer must be the first one.
 */
#ifndef SIM_CLIENT_H
#define SIM_CLIENT_H

#include "access/caller.h"
#include "sim_kernel.h"
#include "sim_run.h"

enum { CLIENT_PAIRS_MAX = 12, CLIENT_TEXT_SIZE = 160 };

/* `reply` is JSON, valid inside only; status 0: no answer after all attempts. */
typedef void (*client_done_fn)(void *arg, unsigned status, const char *reply);

struct client_order {
    const char *action;
    const char *pairs[2 * CLIENT_PAIRS_MAX + 2]; /* name, value, ..., NULL */
    unsigned attempts;                           /* 0: until it is answered */
    bool is_sure;           /* a repeat is answered from the token at that very site */
    client_done_fn done_cb; /* outside of every site */
    void *arg;
    /* What else a caller may want; NULL: the usual. */
    const struct caller *caller; /* who asks; the caller's until the end */
    const char *version;         /* of the API, where several have the action; the caller's, too */
    struct sim_random *random;   /* for its pauses */
    /* As the site: an attempt begins; it is answered. Not of an answer's repetition. */
    void (*asked_cb)(void *arg);
    client_done_fn seen_cb;
};

/* Asks `node`, wherever the operation runs then. A town ends all calls. */
void client_ask(struct node *node, const struct client_order *order);
/* Answers that were on their way died with the site. */
void client_node_died(struct node *node);
/* No answer is given any more; and, once the world is gone, what was under way. */
void client_end_all(struct sim_run *run);
void client_forget_attempts(struct sim_run *run);

/* The text of a member of a reply, "" when it has none; `size` with its NUL. */
void client_text(const char *reply, const char *name, char *ret_text, size_t size);

#endif
