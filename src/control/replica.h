/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pair or a group as the operations see it. A pair in a group follows it: state, direction, RPO
 * and recovery point are the group's (contract 5.5), so they are read from the group's record and
 * written there alone.
 */
#ifndef CONTROL_REPLICA_H
#define CONTROL_REPLICA_H

#include "control/change.h"

struct replica {
    bool is_group;
    struct pair_record pair;   /* is_group: unused */
    struct group_record group; /* of the group itself, or of the group that a pair is in */
};

/* -ENOENT: no such pair or group. */
int replica_load(struct site *site, const char *id, struct replica *ret_replica);

/* A pair that is in a group. */
bool replica_is_member(const struct replica *replica);
/* Its own record: id, name, version. */
struct replica_record *replica_own(struct replica *replica);
/* The record that rules it: the group's for a member. */
const struct replica_record *replica_ruler(const struct replica *replica);

bool replica_is_production(const struct site *site, const struct replica *replica);
bool replica_is_source(const struct site *site, const struct replica *replica);
const char *replica_peer(const struct site *site, const struct replica *replica);
const char *replica_disk(const struct site *site, const struct pair_record *pair); /* ours */
bool replica_has_point(const struct site *site, const struct replica *replica);
int64_t replica_point_s(const struct site *site, const struct replica *replica); /* 0: none */
/* What the API shows. */
enum replica_state replica_shown(struct site *site, const struct replica *replica);

/* The pairs of its stream (itself, when it is a pair), sorted by id; to be freed. */
int replica_members(struct site *site, const struct replica *replica,
                    struct pair_record **ret_pairs, unsigned *ret_count);
/* The first of our disks in it that is attached; false: none. */
bool replica_find_attached(struct site *site, const struct replica *replica,
                           struct attachment_record *ret_attachment);
/* The pair in which a disk of ours is. */
bool replica_find_by_disk(struct site *site, const char *disk, struct pair_record *ret_pair);

/* Moves its own record to another state (an unlisted move is a bug) and counts the version up. */
void replica_move(struct replica *replica, enum replica_state to);
/* Something else in it changed: counts the version up. */
void replica_touch(struct replica_record *record);
/* Keeps the newest recovery point in the record, for when the stream is gone. */
void replica_keep_point(const struct site *site, struct replica *replica);
void replica_put(struct change *change, const struct replica *replica);

#endif
