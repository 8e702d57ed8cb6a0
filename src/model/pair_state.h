/* SPDX-License-Identifier: Apache-2.0 */
/* Which operation a pair accepts in which state (contract 5.2). Pure. */
#ifndef MODEL_PAIR_STATE_H
#define MODEL_PAIR_STATE_H

#include "model/api_error.h"
#include "model/replica_state.h"

enum pair_op {
    PAIR_START,
    PAIR_START_ONE_SHOT,
    PAIR_STOP,
    PAIR_FAILOVER,
    PAIR_REPROTECT,
    PAIR_DELETE,
    PAIR_MODIFY,     /* name, description */
    PAIR_MODIFY_RPO, /* objectives: RPO, RTC, bandwidth */
    PAIR_ADD_TO_GROUP,
    PAIR_REMOVE_FROM_GROUP,
    PAIR_OP_COUNT
};

enum state_verdict {
    STATE_DENY,
    STATE_ALLOW,
    STATE_REPEAT, /* answer 200, do nothing */
};

/* `state` is the shown one. STATE_DENY: `ret_error` is what to answer. */
enum state_verdict pair_state_judge(enum pair_op op, enum replica_state state,
                                    enum api_error *ret_error);

#endif
