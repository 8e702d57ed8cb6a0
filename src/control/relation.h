/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pair or a group as the operations see it. A pair in a group follows it: state, direction, RPO
 * and recovery point are the group's (contract 5.5), so they are read from the group's record and
 * written there alone.
 */
#ifndef CONTROL_RELATION_H
#define CONTROL_RELATION_H

#include "control/change.h"

struct relation {
    bool is_group;
    struct pair_record pair;   /* is_group: unused */
    struct group_record group; /* of the group itself, or of the group that a pair is in */
};

/* -ENOENT: no such pair or group. */
int relation_load(struct site *site, const char *id, struct relation *ret_relation);

/* A pair that is in a group. */
bool relation_is_member(const struct relation *relation);
/* Its own record: id, name, version. */
struct replica_record *relation_own(struct relation *relation);
/* The record that rules it: the group's for a member. */
const struct replica_record *relation_ruler(const struct relation *relation);

bool relation_is_production(const struct site *site, const struct relation *relation);
bool relation_is_source(const struct site *site, const struct relation *relation);
/* Changes its record, so that two sites do not change it at the same time: the source, or, once it
 * was failed over, the site that did it. */
bool relation_is_actor(const struct site *site, const struct relation *relation);
const char *relation_peer(const struct site *site, const struct relation *relation);
const char *relation_disk(const struct site *site, const struct pair_record *pair); /* ours */
bool relation_has_point(const struct site *site, const struct relation *relation);
int64_t relation_point_s(const struct site *site, const struct relation *relation); /* 0: none */
/* Do hosts write here, or could they as soon as it is gone, with newer content than the other site
 * has? Of one whose deletion was asked for: did they then (its was_written)? */
bool relation_is_written(struct site *site, const struct relation *relation);
/* What the API shows. */
enum replica_state relation_shown(struct site *site, const struct relation *relation);

/* The pairs of its stream (itself, when it is a pair), sorted by id; to be freed. */
int relation_members(struct site *site, const struct relation *relation,
                     struct pair_record **ret_pairs, unsigned *ret_count);
/* The first of our disks in it that is attached. 1; 0: none; negative: it cannot be read. */
int relation_find_attached(struct site *site, const struct relation *relation,
                           struct attachment_record *ret_attachment);
/* The pair in which a disk of ours is; -ENOENT: in none. */
int relation_find_by_disk(struct site *site, const char *disk, struct pair_record *ret_pair);

/* Moves its own record to another state (an unlisted move is a bug) and counts the version up. */
void relation_move(struct relation *relation, enum replica_state to);
/* Something else in it changed: counts the version up. */
void relation_touch(struct replica_record *record);
/* Keeps the newest recovery point in the record, for when the stream is gone. */
void relation_keep_point(const struct site *site, struct relation *relation);
void relation_put(struct change *change, const struct relation *relation);

#endif
