/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The states that pairs and groups share, their names in the API, and the moves between them that
 * an operation or a job may make. Pure.
 *
 * A started pair or group shows initial_syncing, syncing or normal, whatever its record holds: what
 * it shows is a matter of its newest recovery point (replica_state_shown()).
 */
#ifndef MODEL_REPLICA_STATE_H
#define MODEL_REPLICA_STATE_H

#include <stdbool.h>
#include <stdint.h>

enum replica_state {
    REPLICA_CREATING,
    REPLICA_CREATED,
    REPLICA_CREATE_FAILED,
    REPLICA_INITIAL_SYNCING,
    REPLICA_MANUAL_SYNCING,
    REPLICA_SYNCING,
    REPLICA_NORMAL,
    REPLICA_STOPPING,
    REPLICA_STOPPED,
    REPLICA_STOP_FAILED,
    REPLICA_FAILOVERING,
    REPLICA_FAILOVERED,
    REPLICA_FAILOVER_FAILED,
    REPLICA_REPROTECTING,
    REPLICA_REPROTECT_FAILED,
    REPLICA_DELETING,
    REPLICA_DELETE_FAILED,
    REPLICA_DELETED,
    REPLICA_INVALID,
    REPLICA_STATE_COUNT
};

/* "initial_syncing" ... */
const char *replica_state_name(enum replica_state state);
/* False: no such name. */
bool replica_state_parse(const char *name, enum replica_state *ret_state);

/* May an operation or a job of this site take a record from one state to the other? */
bool replica_state_may_move(enum replica_state from, enum replica_state to);

/* Replication was started and not stopped: initial_syncing, manual_syncing, syncing, normal. */
bool replica_state_is_active(enum replica_state state);

/* A job is under way that ends by itself: creating, stopping, failovering, reprotecting, deleting.
 */
bool replica_state_is_transient(enum replica_state state);

struct replica_facts {
    bool is_group;
    bool has_point;        /* the first complete copy is done */
    uint64_t point_age_ns; /* of the newest point; has_point */
    uint64_t rpo_ns;
};

/* What a record in `state` shows: active ones by the age of the newest point, others as they are.
 */
enum replica_state replica_state_shown(enum replica_state state, const struct replica_facts *facts);

#endif
