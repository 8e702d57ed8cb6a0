/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The consent of the site that passed a call on. Its caller is told RequestTimeout when no answer
 * comes in time, and that must mean: nothing was done, and nothing will be. So the site that does
 * it asks, before its first change, whether the caller still waits; after a no it does nothing.
 *
 * One that was given is good for the time that it names; what it was given for may be done, also
 * when the answer is lost.
 */
#ifndef CONTROL_CONSENT_H
#define CONTROL_CONSENT_H

#include "control/call.h"
#include "control/peer.h"

/* --- at the site that passes a call on ------------------------------------------------------- */

enum consent_state {
    CONSENT_OPEN,
    CONSENT_PENDING, /* our own sender is asked */
    CONSENT_GIVEN,
    CONSENT_REFUSED, /* for good */
};

/* Embedded in who waits for the answer. */
struct consent {
    struct list node; /* of site->consents */
    struct call *call;
    enum consent_state state;
    char peer[RECORD_WORD_SIZE], number[CALL_NUMBER_SIZE];
    uint64_t began_ns, limit_ns; /* given until began + limit at the latest */
};

/* From here on `peer`, and nobody else, may ask for it by its number. `wait_ns`: how long the
 * answer is waited for; a fifth of it is left for the doing. */
void consent_open(struct consent *consent, struct call *call, const char *peer, uint64_t wait_ns);
/* Nothing is given any more. True: it was. */
bool consent_close(struct consent *consent);
/* The answer to somebody who asks now: OPEN becomes GIVEN or REFUSED. 0: no; else for how long it
 * is good. */
uint64_t consent_step(struct consent *consent, uint64_t now_ns);
/* The service "forward.consent". */
void consent_serve(struct peer_answer *answer);

/* --- at the site that does it ---------------------------------------------------------------- */

typedef void (*consent_fn)(void *arg, bool is_given);

/* Of a call that a peer passed on and that changes something: asks there, once. Otherwise done_cb
 * comes from inside, with true. What is given is given for what begins inside done_cb. */
void consent_ask(struct call *call, consent_fn done_cb, void *arg);
/* Is there something to ask for? */
bool consent_is_due(const struct call *call);
/* Answers a call to which there is no consent. */
void consent_fail(struct call *call);

#endif
