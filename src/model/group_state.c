/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: the table of contract 5.4 as a table. Operations that are named in the state they lead to
 * are repeats: 200, nothing done. Our groups show `syncing` for the first copy; `initial_syncing`
 * has its row because a record may hold it.
 */
#include "model/group_state.h"

#include "base/check.h"

#define IN(state) (UINT32_C(1) << REPLICA_##state)

struct row {
    uint32_t allow, repeat;
    enum api_error error;
};

static const struct row rows[GROUP_OP_COUNT] = {
    [GROUP_START] = {IN(CREATED) | IN(STOPPED), IN(INITIAL_SYNCING) | IN(SYNCING) | IN(NORMAL),
                     API_INVALID_STATUS},
    [GROUP_START_ONE_SHOT] = {IN(CREATED) | IN(STOPPED), IN(MANUAL_SYNCING), API_INVALID_STATUS},
    [GROUP_STOP] = {IN(INITIAL_SYNCING) | IN(MANUAL_SYNCING) | IN(SYNCING) | IN(NORMAL) |
                        IN(STOP_FAILED),
                    IN(STOPPING) | IN(STOPPED), API_INVALID_STATUS},
    [GROUP_FAILOVER] = {IN(INITIAL_SYNCING) | IN(MANUAL_SYNCING) | IN(SYNCING) | IN(NORMAL) |
                            IN(STOPPING) | IN(STOP_FAILED) | IN(STOPPED) | IN(FAILOVER_FAILED),
                        IN(FAILOVERING) | IN(FAILOVERED), API_INVALID_STATUS},
    [GROUP_REPROTECT] = {IN(FAILOVERED) | IN(REPROTECT_FAILED), 0, API_INVALID_STATUS},
    [GROUP_DELETE] = {IN(CREATED) | IN(CREATE_FAILED) | IN(STOPPED) | IN(FAILOVERED) | IN(INVALID) |
                          IN(DELETE_FAILED),
                      IN(DELETING), API_INVALID_STATUS},
    [GROUP_MODIFY] = {IN(CREATED) | IN(STOPPED), 0, API_INVALID_STATUS},
    [GROUP_MODIFY_RPO] = {IN(CREATED) | IN(STOPPED) | IN(INITIAL_SYNCING) | IN(MANUAL_SYNCING) |
                              IN(SYNCING) | IN(NORMAL),
                          0, API_INVALID_STATUS},
    [GROUP_ADD_PAIR] = {IN(CREATED) | IN(STOPPED), 0, API_GROUP_STATUS_CANNOT_ADD},
    [GROUP_REMOVE_PAIR] = {IN(CREATED) | IN(STOPPED) | IN(INVALID), 0,
                           API_GROUP_STATUS_CANNOT_REMOVE},
};

enum state_verdict group_state_judge(enum group_op op, enum replica_state state,
                                     enum api_error *ret_error)
{
    check((unsigned)op < GROUP_OP_COUNT && (unsigned)state < REPLICA_STATE_COUNT);
    const struct row *row = &rows[op];
    uint32_t bit = UINT32_C(1) << state;

    check(!(row->allow & row->repeat));
    if (row->allow & bit)
        return STATE_ALLOW;
    if (row->repeat & bit)
        return STATE_REPEAT;
    *ret_error = row->error;
    return STATE_DENY;
}
