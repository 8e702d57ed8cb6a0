/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nonces of signed requests are remembered where they were asked. So that a request which was heard
 * on the way is not taken once more at another site, that site learns of those that change
 * something: with a call that is passed on, or told behind one that is done here. Reads are not
 * told: who repeats one learns what it showed.
 */
#ifndef CONTROL_SPENT_H
#define CONTROL_SPENT_H

#include "control/call.h"
#include "control/peer.h"

enum { SPENT_MAX = 4096 /* that wait for one peer; past it the oldest go */ };

void spent_init(struct site *site);
void spent_stop(struct site *site);
void spent_fini(struct site *site); /* nothing pending */

/* At the site that was asked, behind the answer: the peers are told, now or when they are there. */
void spent_tell(const struct call *call);
/* At the site to which a call was passed on: true: it goes on. False: its nonce was used here, or
 * it cannot be remembered; the call is answered. */
bool spent_take(struct call *call);
void spent_peer_up(struct site *site, const char *peer);
/* The service "nonces.put". */
void spent_serve(struct peer_answer *answer);

#endif
