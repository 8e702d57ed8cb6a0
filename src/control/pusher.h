/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells one peer what changed here: marks in the order of marking, each once, and one call under
 * way. What failed is pushed again after a while; a peer that comes up is told everything. What a
 * mark stands for is looked up when it is pushed, so nothing but the records needs to be durable.
 */
#ifndef CONTROL_PUSHER_H
#define CONTROL_PUSHER_H

#include "control/peer.h"

struct pusher;

struct pusher_ops {
    /* Everything that concerns the peer, by pusher_add(). Negative: it cannot be listed now, and is
     * asked for again. */
    int (*list)(struct pusher *pusher);
    /* Makes a call of some marks, which it takes by pusher_take(); *ret_arguments NULL: there is
     * nothing to tell of them. Negative: they cannot be read now; that is no reason to forget that
     * the peer must have them: they are pushed later. */
    int (*make)(struct pusher *pusher, const char **ret_call, json_t **ret_arguments);
    /* The peer answered (below 500) the call that was made of `marks`, an object whose names they
     * are. Negative: they are pushed again. */
    int (*done)(struct pusher *pusher, const struct peer_call *call, const json_t *marks);
};

/* How many marks make a call that is worth it, and how long the first waits for so many. */
struct pusher_gather {
    unsigned count;
    uint64_t time_ns;
};

struct pusher {
    struct site *site;
    unsigned peer; /* of site->peers */
    const struct pusher_ops *ops;
    struct pusher_gather gather; /* zeroes: each goes at once; to be set behind pusher_init() */
    json_t *marks, *batch; /* to be pushed; under way: objects, whose names keep their order */
    struct peer_call call;
    struct loop_timer timer;
    bool is_waiting, is_calling;
    bool is_gathering; /* that is what it waits for */
    bool is_unlisted;  /* all is to be marked yet */
};

void pusher_init(struct pusher *pusher, struct site *site, unsigned peer,
                 const struct pusher_ops *ops);
void pusher_stop(struct pusher *pusher); /* no new calls; the site is stopping */
void pusher_fini(struct pusher *pusher); /* after the stop, nothing under way */

/* This changed: it is pushed as soon as it may be. */
void pusher_mark(struct pusher *pusher, const char *mark);
/* The oldest that wait are not pushed, so that `count_max` are left; how many those were. */
unsigned pusher_trim(struct pusher *pusher, unsigned count_max);
/* Anything may have changed: all is listed anew, in a while. */
void pusher_mark_all_later(struct pusher *pusher);
/* The peer is there (again). */
void pusher_peer_up(struct pusher *pusher);

/* The peer is there and has been told all that was marked until now. */
bool pusher_is_empty(const struct pusher *pusher);

/* For `list`. */
void pusher_add(struct pusher *pusher, const char *mark);
/* For `make`: the first mark that is left, the caller's until the call is done; NULL: none. */
const char *pusher_take(struct pusher *pusher);

const char *pusher_peer_name(const struct pusher *pusher);

#endif
