/* SPDX-License-Identifier: Apache-2.0 */
/* States of a disk (contract 5.7, 12) and which operation it accepts in which. Pure. */
#ifndef MODEL_DISK_STATE_H
#define MODEL_DISK_STATE_H

#include "model/pair_state.h"

enum disk_state {
    DISK_CREATING,
    DISK_AVAILABLE,
    DISK_ATTACHING,
    DISK_IN_USE,
    DISK_DETACHING,
    DISK_REINITING,
    DISK_DELETING,
    DISK_DELETED,
    DISK_STATE_COUNT
};

enum disk_op { DISK_ATTACH, DISK_DETACH, DISK_DELETE, DISK_REINIT, DISK_OP_COUNT };

const char *disk_state_name(enum disk_state state); /* "In_use" ... */
bool disk_state_parse(const char *name, enum disk_state *ret_state);
bool disk_state_may_move(enum disk_state from, enum disk_state to);
/* As pair_state_judge(). What replication forbids is the operation's to ask. */
enum state_verdict disk_state_judge(enum disk_op op, enum disk_state state,
                                    enum api_error *ret_error);

#endif
