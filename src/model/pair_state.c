/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: the table of contract 5.2 as a table. A state that is not named is refused with the
 * operation's own error. Where the contract says "?": the same operation may be asked again after
 * it failed (S20), and a repeated Delete while it runs is a repeat. Failover needs a recovery point
 * besides: the operation asks for that.
 */
#include "model/pair_state.h"

#include "base/check.h"

#define IN(state) (UINT32_C(1) << REPLICA_##state)
#define ALL ((UINT32_C(1) << REPLICA_STATE_COUNT) - 1)

struct row {
    uint32_t allow, repeat;
    enum api_error error;
};

static const struct row rows[PAIR_OP_COUNT] = {
    [PAIR_START] = {IN(CREATED) | IN(STOPPED), IN(SYNCING) | IN(NORMAL), API_INVALID_STATUS},
    [PAIR_START_ONE_SHOT] = {IN(CREATED) | IN(STOPPED), IN(MANUAL_SYNCING), API_INVALID_STATUS},
    [PAIR_STOP] = {IN(INITIAL_SYNCING) | IN(SYNCING) | IN(MANUAL_SYNCING) | IN(NORMAL) |
                       IN(STOP_FAILED),
                   0, API_INVALID_STATUS},
    [PAIR_FAILOVER] = {ALL & ~(IN(INVALID) | IN(DELETED) | IN(FAILOVERING) | IN(FAILOVERED)),
                       IN(FAILOVERING) | IN(FAILOVERED), API_INVALID_STATUS},
    [PAIR_REPROTECT] = {IN(FAILOVERED) | IN(REPROTECT_FAILED), 0, API_INVALID_STATUS},
    [PAIR_DELETE] = {IN(CREATED) | IN(STOPPED) | IN(FAILOVERED) | IN(INVALID) | IN(CREATE_FAILED) |
                         IN(DELETE_FAILED),
                     IN(DELETING), API_INVALID_STATUS},
    [PAIR_MODIFY] = {IN(CREATED) | IN(STOPPED), 0, API_INVALID_STATUS},
    [PAIR_MODIFY_RPO] = {IN(CREATED) | IN(STOPPED) | IN(INITIAL_SYNCING) | IN(MANUAL_SYNCING) |
                             IN(SYNCING) | IN(NORMAL),
                         0, API_INVALID_STATUS},
    [PAIR_ADD_TO_GROUP] = {IN(CREATED) | IN(STOPPED), 0, API_PAIR_STATUS_CANNOT_ADD},
    [PAIR_REMOVE_FROM_GROUP] = {IN(CREATED) | IN(STOPPED) | IN(INVALID) | IN(CREATE_FAILED), 0,
                                API_PAIR_STATUS_CANNOT_REMOVE},
};

enum state_verdict pair_state_judge(enum pair_op op, enum replica_state state,
                                    enum api_error *ret_error)
{
    check((unsigned)op < PAIR_OP_COUNT && (unsigned)state < REPLICA_STATE_COUNT);
    const struct row *row = &rows[op];
    uint32_t bit = UINT32_C(1) << state;

    check(!(row->allow & row->repeat));
    if (row->allow & bit)
        return STATE_ALLOW;
    if (row->repeat & bit)
        return STATE_REPEAT;
    *ret_error = row->error;
    if (op == PAIR_ADD_TO_GROUP && state == REPLICA_INITIAL_SYNCING)
        *ret_error = API_PAIR_INITIALIZING;
    return STATE_DENY;
}
