/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: the same as pair_state: states, moves and answers are data. Each refusal has the code that
 * the contract gives for the reason: attached, already detached, still being made.
 */
#include "model/disk_state.h"

#include <string.h>

#include "base/check.h"

static const char *const names[DISK_STATE_COUNT] = {
    [DISK_CREATING] = "Creating", [DISK_AVAILABLE] = "Available", [DISK_ATTACHING] = "Attaching",
    [DISK_IN_USE] = "In_use",     [DISK_DETACHING] = "Detaching", [DISK_REINITING] = "ReIniting",
    [DISK_DELETING] = "Deleting", [DISK_DELETED] = "Deleted",
};

#define TO(state) (UINT32_C(1) << DISK_##state)

static const uint32_t moves[DISK_STATE_COUNT] = {
    [DISK_CREATING] = TO(AVAILABLE) | TO(DELETING),
    [DISK_AVAILABLE] = TO(ATTACHING) | TO(IN_USE) | TO(DELETING),
    [DISK_ATTACHING] = TO(IN_USE) | TO(AVAILABLE),
    [DISK_IN_USE] = TO(DETACHING) | TO(REINITING),
    [DISK_DETACHING] = TO(AVAILABLE) | TO(IN_USE),
    [DISK_REINITING] = TO(IN_USE) | TO(DETACHING),
    [DISK_DELETING] = TO(DELETED) | TO(AVAILABLE),
};

/* API_OK: allowed. */
static const enum api_error answers[DISK_OP_COUNT][DISK_STATE_COUNT] = {
    [DISK_ATTACH] = {[DISK_CREATING] = API_DISK_STATUS,
                     [DISK_AVAILABLE] = API_OK,
                     [DISK_ATTACHING] = API_DISK_STATUS,
                     [DISK_IN_USE] = API_DISK_IN_USE,
                     [DISK_DETACHING] = API_DISK_STATUS,
                     [DISK_REINITING] = API_DISK_STATUS,
                     [DISK_DELETING] = API_DISK_STATUS,
                     [DISK_DELETED] = API_DISK_NOT_FOUND},
    [DISK_DETACH] = {[DISK_CREATING] = API_DISK_STATUS,
                     [DISK_AVAILABLE] = API_DISK_ALREADY_DETACHED,
                     [DISK_ATTACHING] = API_DISK_STATUS,
                     [DISK_IN_USE] = API_OK,
                     [DISK_DETACHING] = API_DISK_DETACHING,
                     [DISK_REINITING] = API_DISK_STATUS,
                     [DISK_DELETING] = API_DISK_STATUS,
                     [DISK_DELETED] = API_DISK_NOT_FOUND},
    [DISK_DELETE] = {[DISK_CREATING] = API_DISK_INITIALIZING,
                     [DISK_AVAILABLE] = API_OK,
                     [DISK_ATTACHING] = API_DISK_STATUS,
                     [DISK_IN_USE] = API_DISK_STILL_ATTACHED,
                     [DISK_DETACHING] = API_DISK_STATUS,
                     [DISK_REINITING] = API_DISK_STATUS,
                     [DISK_DELETING] = API_OK,
                     [DISK_DELETED] = API_DISK_NOT_FOUND},
    [DISK_REINIT] = {[DISK_CREATING] = API_DISK_STATUS,
                     [DISK_AVAILABLE] = API_DISK_STATUS,
                     [DISK_ATTACHING] = API_DISK_STATUS,
                     [DISK_IN_USE] = API_OK,
                     [DISK_DETACHING] = API_DISK_STATUS,
                     [DISK_REINITING] = API_DISK_STATUS,
                     [DISK_DELETING] = API_DISK_STATUS,
                     [DISK_DELETED] = API_DISK_NOT_FOUND},
};

const char *disk_state_name(enum disk_state state)
{
    check((unsigned)state < DISK_STATE_COUNT);
    return names[state];
}

bool disk_state_parse(const char *name, enum disk_state *ret_state)
{
    for (unsigned state = 0; state < DISK_STATE_COUNT; state++)
        if (strcmp(names[state], name) == 0) {
            *ret_state = (enum disk_state)state;
            return true;
        }
    return false;
}

bool disk_state_may_move(enum disk_state from, enum disk_state to)
{
    check((unsigned)from < DISK_STATE_COUNT && (unsigned)to < DISK_STATE_COUNT);
    return moves[from] & (UINT32_C(1) << to);
}

enum state_verdict disk_state_judge(enum disk_op op, enum disk_state state,
                                    enum api_error *ret_error)
{
    check((unsigned)op < DISK_OP_COUNT && (unsigned)state < DISK_STATE_COUNT);
    if (op == DISK_DELETE && state == DISK_DELETING)
        return STATE_REPEAT;
    *ret_error = answers[op][state];
    return *ret_error == API_OK ? STATE_ALLOW : STATE_DENY;
}
