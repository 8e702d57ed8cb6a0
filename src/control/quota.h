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
/* Of a disk: by so many bytes more than its record has, whatever of it is under way. */
bool quota_allows_group_growth(struct call *call, const struct relation *member, const char *disk,
                               int64_t bytes);
bool quota_allows_growth(struct call *call, const char *disk, int64_t bytes);
/* May the pair come into the group? */
bool quota_allows_member(struct call *call, const struct relation *group,
                         const struct relation *pair);

/* A disk of ours that a peer makes larger: of site->growths, until its record has the size. */
struct quota_growth {
    struct list node;
    char disk[RECORD_ID_SIZE];
    uint64_t bytes;
};

/* 1, 0, or why it cannot be told: for a pair that another site makes with us; for what this disk
 * (NULL: a new one) gains; for one more disk. */
int quota_has_room_for_pair(struct site *site);
int quota_has_room_for_bytes(struct site *site, const char *disk, int64_t bytes);
int quota_has_room_for_disk(struct site *site, int64_t bytes);

#endif
