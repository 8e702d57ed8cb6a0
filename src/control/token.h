/* SPDX-License-Identifier: Apache-2.0 */
/* ClientToken: the same caller's same token with the same parameters gets the same answer, and one
 * effect, for a day (contract 3.9). */
#ifndef CONTROL_TOKEN_H
#define CONTROL_TOKEN_H

#include "control/call.h"
#include "control/change.h"

/* Answers a call whose token is known: the old reply, IdempotentParameterMismatch, or
 * LastTokenProcessing while the first call runs. False: new. */
bool token_replay(struct call *call);
/* Inside the transaction that accepts the call. `reply` may be NULL. */
void token_remember(struct change *change, struct call *call, const json_t *reply);
/* Old ones go, from now on. */
void token_start(struct site *site);
void token_stop(struct site *site);

#endif
