/* SPDX-License-Identifier: Apache-2.0 */
/* ClientToken: the same token with the same parameters gets the same answer, and one effect. */
#ifndef CONTROL_TOKEN_H
#define CONTROL_TOKEN_H

#include "control/call.h"
#include "control/change.h"

/* Answers a call whose token is known: the old reply, IdempotentParameterMismatch, or
 * LastTokenProcessing while the first call runs. False: new. */
bool token_replay(struct call *call);
/* Inside the transaction that accepts the call. `reply` may be NULL. */
void token_remember(struct change *change, struct call *call, const json_t *reply);
/* Forgets those older than a day. */
void token_purge(struct site *site);

#endif
