/* SPDX-License-Identifier: Apache-2.0 */
/* What every operation on a pair or group asks first. */
#ifndef CONTROL_JUDGE_H
#define CONTROL_JUDGE_H

#include "control/call.h"
#include "control/relation.h"

/* Loads the relation that the call's operation names and judges its state by the operation's row of
 * the model. Anything but STATE_ALLOW: the call is answered (a repeat with success). */
enum state_verdict judge_relation(struct call *call, struct relation *ret_relation);

/* Answers with success and nothing done; asked again with its token, again nothing is done. */
void judge_repeat(struct call *call);

/* Accepts the operation in one transaction: earlier jobs of the relation end, its state moves, the
 * job begins, the token is kept; then answers. */
void judge_accept(struct call *call, struct relation *relation, enum replica_state to,
                  const char *job, const char *argument);

/* Answers with what a peer's refusal says. */
void judge_fail_as_peer(struct call *call, const char *peer, const char *code, const char *message);

#endif
