/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: a state machine is data. Every move that operations and jobs make stands in `moves`; one
 * that does not is a bug and the mover (control/record) aborts on it. A record taken over from the
 * peer is no move: the peer made it.
 */
#include "model/replica_state.h"

#include <string.h>

#include "base/check.h"

static const char *const names[REPLICA_STATE_COUNT] = {
    [REPLICA_CREATING] = "creating",
    [REPLICA_CREATED] = "created",
    [REPLICA_CREATE_FAILED] = "create_failed",
    [REPLICA_INITIAL_SYNCING] = "initial_syncing",
    [REPLICA_MANUAL_SYNCING] = "manual_syncing",
    [REPLICA_SYNCING] = "syncing",
    [REPLICA_NORMAL] = "normal",
    [REPLICA_STOPPING] = "stopping",
    [REPLICA_STOPPED] = "stopped",
    [REPLICA_STOP_FAILED] = "stop_failed",
    [REPLICA_FAILOVERING] = "failovering",
    [REPLICA_FAILOVERED] = "failovered",
    [REPLICA_FAILOVER_FAILED] = "failover_failed",
    [REPLICA_REPROTECTING] = "reprotecting",
    [REPLICA_REPROTECT_FAILED] = "reprotect_failed",
    [REPLICA_DELETING] = "deleting",
    [REPLICA_DELETE_FAILED] = "delete_failed",
    [REPLICA_DELETED] = "deleted",
    [REPLICA_INVALID] = "invalid",
};

#define TO(state) (UINT32_C(1) << REPLICA_##state)
/* A started record; which of the active states it is stored as says what was asked for. */
#define ACTIVE (TO(INITIAL_SYNCING) | TO(MANUAL_SYNCING) | TO(SYNCING) | TO(NORMAL))

static const uint32_t moves[REPLICA_STATE_COUNT] = {
    [REPLICA_CREATING] = TO(CREATED) | TO(CREATE_FAILED) | TO(FAILOVERING) | TO(INVALID),
    [REPLICA_CREATED] = ACTIVE | TO(STOPPED) | TO(FAILOVERING) | TO(DELETING) | TO(INVALID),
    [REPLICA_CREATE_FAILED] = TO(FAILOVERING) | TO(DELETING),
    [REPLICA_INITIAL_SYNCING] = ACTIVE | TO(STOPPING) | TO(STOPPED) | TO(FAILOVERING) | TO(INVALID),
    [REPLICA_MANUAL_SYNCING] = ACTIVE | TO(STOPPING) | TO(STOPPED) | TO(FAILOVERING) | TO(INVALID),
    [REPLICA_SYNCING] = ACTIVE | TO(STOPPING) | TO(STOPPED) | TO(FAILOVERING) | TO(INVALID),
    [REPLICA_NORMAL] = ACTIVE | TO(STOPPING) | TO(STOPPED) | TO(FAILOVERING) | TO(INVALID),
    [REPLICA_STOPPING] = TO(STOPPED) | TO(STOP_FAILED) | TO(FAILOVERING) | TO(INVALID),
    [REPLICA_STOPPED] = ACTIVE | TO(CREATED) | TO(FAILOVERING) | TO(DELETING) | TO(INVALID),
    [REPLICA_STOP_FAILED] = TO(STOPPING) | TO(FAILOVERING) | TO(INVALID),
    [REPLICA_FAILOVERING] = TO(FAILOVERED) | TO(FAILOVER_FAILED),
    [REPLICA_FAILOVERED] = TO(REPROTECTING) | TO(DELETING) | TO(INVALID),
    [REPLICA_FAILOVER_FAILED] = TO(FAILOVERING) | TO(INVALID),
    [REPLICA_REPROTECTING] = TO(STOPPED) | TO(REPROTECT_FAILED),
    [REPLICA_REPROTECT_FAILED] = TO(REPROTECTING) | TO(FAILOVERING) | TO(INVALID),
    [REPLICA_DELETING] = TO(DELETED) | TO(DELETE_FAILED),
    [REPLICA_DELETE_FAILED] = TO(DELETING) | TO(FAILOVERING),
    [REPLICA_INVALID] = TO(DELETING) | TO(CREATED) | TO(STOPPED),
};

const char *replica_state_name(enum replica_state state)
{
    check((unsigned)state < REPLICA_STATE_COUNT);
    return names[state];
}

bool replica_state_parse(const char *name, enum replica_state *ret_state)
{
    for (unsigned state = 0; state < REPLICA_STATE_COUNT; state++)
        if (strcmp(names[state], name) == 0) {
            *ret_state = (enum replica_state)state;
            return true;
        }
    return false;
}

bool replica_state_may_move(enum replica_state from, enum replica_state to)
{
    check((unsigned)from < REPLICA_STATE_COUNT && (unsigned)to < REPLICA_STATE_COUNT);
    return moves[from] & (UINT32_C(1) << to);
}

bool replica_state_is_active(enum replica_state state)
{
    check((unsigned)state < REPLICA_STATE_COUNT);
    return ACTIVE & (UINT32_C(1) << state);
}

bool replica_state_is_transient(enum replica_state state)
{
    check((unsigned)state < REPLICA_STATE_COUNT);
    return (TO(CREATING) | TO(STOPPING) | TO(FAILOVERING) | TO(REPROTECTING) | TO(DELETING)) &
           (UINT32_C(1) << state);
}

enum replica_state replica_state_shown(enum replica_state state, const struct replica_facts *facts)
{
    if (!replica_state_is_active(state) || state == REPLICA_MANUAL_SYNCING)
        return state;
    if (!facts->has_point)
        return facts->is_group ? REPLICA_SYNCING : REPLICA_INITIAL_SYNCING;
    return facts->point_age_ns < facts->rpo_ns ? REPLICA_NORMAL : REPLICA_SYNCING;
}
