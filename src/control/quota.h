/* SPDX-License-Identifier: Apache-2.0 */
/* Quotas (contract 13): how many of what, and how large. False: the call is answered. */
#ifndef CONTROL_QUOTA_H
#define CONTROL_QUOTA_H

#include "control/call.h"
#include "control/relation.h"

/* May there be one more? */
bool quota_allows_pair(struct call *call);
bool quota_allows_group(struct call *call);
bool quota_allows_disk(struct call *call, int64_t size_bytes);
bool quota_allows_group_growth(struct call *call, const struct relation *member, int64_t bytes);
bool quota_allows_growth(struct call *call, int64_t bytes); /* of a disk that is there */
/* May the pair come into the group? */
bool quota_allows_member(struct call *call, const struct relation *group,
                         const struct relation *pair);

/* 1, 0, or why it cannot be told: for a pair that another site makes with us; for what all disks
 * gain; for one more disk. */
int quota_has_room_for_pair(struct site *site);
int quota_has_room_for_bytes(struct site *site, int64_t bytes);
int quota_has_room_for_disk(struct site *site, int64_t bytes);

#endif
