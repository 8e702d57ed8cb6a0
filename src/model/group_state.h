/* SPDX-License-Identifier: Apache-2.0 */
/* Which operation a group accepts in which state (contract 5.4). Pure. */
#ifndef MODEL_GROUP_STATE_H
#define MODEL_GROUP_STATE_H

#include "model/pair_state.h"

enum group_op {
    GROUP_START,
    GROUP_START_ONE_SHOT,
    GROUP_STOP,
    GROUP_FAILOVER,
    GROUP_REPROTECT,
    GROUP_DELETE,
    GROUP_MODIFY, /* as of a pair */
    GROUP_MODIFY_RPO,
    GROUP_ADD_PAIR,
    GROUP_REMOVE_PAIR,
    GROUP_OP_COUNT
};

/* As pair_state_judge(). Membership (NoPairInGroup, GroupHasPair) is the operation's to ask. */
enum state_verdict group_state_judge(enum group_op op, enum replica_state state,
                                     enum api_error *ret_error);

#endif
