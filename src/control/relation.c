/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: pairs and groups take the same operations; this is what those need to know of either.
 *
 * Invariants
 *  1. A member's own status is not read while it is a member, but for `invalid`: the other site has
 *     deleted it, or given it up.
 *  2. `version` rises with every change, `term` with every failover; both only at the site that
 *     makes the change.
 */
#include "control/relation.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define RTC_NS UINT64_C(600000000000)

static int load(struct site *site, const char *id, struct relation *ret_relation)
{
    int result;

    if (ret_relation->is_group)
        return meta_get(site->meta, RECORD_GROUP, id, &ret_relation->group);
    result = meta_get(site->meta, RECORD_PAIR, id, &ret_relation->pair);
    if (result == 0 && ret_relation->pair.group_id[0])
        result =
            meta_get(site->meta, RECORD_GROUP, ret_relation->pair.group_id, &ret_relation->group);
    return result;
}

int relation_load(struct site *site, const char *id, struct relation *ret_relation)
{
    int result;

    /* Every call does this, and it has 15 KB: of the half that is unused only what names it. */
    ret_relation->is_group = strncmp(id, "pg-", 3) == 0;
    ret_relation->pair.common.id[0] = ret_relation->pair.group_id[0] = '\0';
    ret_relation->group.common.id[0] = '\0';
    result = load(site, id, ret_relation);
    if (result < 0)
        memset(ret_relation, 0, sizeof(*ret_relation));
    return result;
}

bool relation_is_member(const struct relation *relation)
{
    return !relation->is_group && relation->pair.group_id[0];
}

struct replica_record *relation_own(struct relation *relation)
{
    return relation->is_group ? &relation->group.common : &relation->pair.common;
}

const struct replica_record *relation_ruler(const struct relation *relation)
{
    if (relation->is_group || relation->pair.group_id[0])
        return &relation->group.common;
    return &relation->pair.common;
}

bool relation_is_production(const struct site *site, const struct relation *relation)
{
    return strcmp(relation_ruler(relation)->production_site, site->name) == 0;
}

bool relation_is_source(const struct site *site, const struct relation *relation)
{
    return relation_is_production(site, relation) != relation_ruler(relation)->is_reversed;
}

bool relation_is_actor(const struct site *site, const struct relation *relation)
{
    enum replica_state status = relation_ruler(relation)->status;
    bool is_turned = status == REPLICA_FAILOVERING || status == REPLICA_FAILOVERED ||
                     status == REPLICA_FAILOVER_FAILED || status == REPLICA_REPROTECTING ||
                     status == REPLICA_REPROTECT_FAILED;

    return relation_is_source(site, relation) != is_turned;
}

const char *relation_peer(const struct site *site, const struct relation *relation)
{
    const struct replica_record *record = relation_ruler(relation);

    return relation_is_production(site, relation) ? record->backup_site : record->production_site;
}

const char *relation_disk(const struct site *site, const struct pair_record *pair)
{
    return strcmp(pair->common.production_site, site->name) == 0 ? pair->production_disk
                                                                 : pair->backup_disk;
}

bool relation_has_point(const struct site *site, const struct relation *relation)
{
    const struct data_stream_status *stream = site_stream(site, relation_ruler(relation)->id);

    return stream && stream->has_point;
}

/* The source's heartbeat says that nothing newer is missing: then the point is as young. */
static uint64_t newest_ns(const struct data_stream_status *stream)
{
    return stream->current_wall_ns > stream->point_wall_ns ? stream->current_wall_ns
                                                           : stream->point_wall_ns;
}

int64_t relation_point_s(const struct site *site, const struct relation *relation)
{
    const struct replica_record *record = relation_ruler(relation);
    const struct data_stream_status *stream = site_stream(site, record->id);

    if (stream && stream->has_point && newest_ns(stream) > 0)
        return (int64_t)(newest_ns(stream) / 1000000000);
    return record->last_point_s;
}

/* Without its stream: a reprotect was under way, or failed. Whoever cancels a failover detaches the
 * disks here first, and nobody gets them then: who is attached had them from the failover on. */
static bool is_held_by_hosts(struct site *site, const struct relation *relation)
{
    enum replica_state status = relation_ruler(relation)->status;
    struct attachment_record attachment;

    return (status == REPLICA_REPROTECTING || status == REPLICA_REPROTECT_FAILED) &&
           !relation_is_member(relation) && relation_find_attached(site, relation, &attachment) > 0;
}

/* Once its deletion has begun, the status tells no more, and the stream may be left out at a start;
 * but one that is fenced knows that the other site has gone on since. A failover that is under way
 * counts: the promotion ends behind the job that goes with a Forget, and hosts may be attached
 * already. */
bool relation_is_written(struct site *site, const struct relation *relation)
{
    const struct replica_record *record = relation_ruler(relation);
    const struct data_stream_status *stream = site_stream(site, record->id);
    bool is_source = relation_is_source(site, relation);

    if ((record->status == REPLICA_DELETING || record->status == REPLICA_DELETE_FAILED) &&
        record->was_written)
        return !stream || stream->role != DATA_ROLE_FENCED;
    if (record->status == REPLICA_FAILOVERING && !is_source)
        return true;
    if (stream)
        return stream->role == DATA_ROLE_SOURCE || stream->role == DATA_ROLE_PROMOTED;
    return is_source || record->status == REPLICA_FAILOVERED || is_held_by_hosts(site, relation);
}

enum replica_state relation_shown(struct site *site, const struct relation *relation)
{
    const struct replica_record *record = relation_ruler(relation);
    const struct data_stream_status *stream = site_stream(site, record->id);
    struct replica_facts facts = {.is_group = record == &relation->group.common,
                                  .rpo_ns = (uint64_t)record->rpo_s * 1000000000};

    /* Replication time control promises ten minutes, whatever the RPO is. */
    if (record->is_rtc && facts.rpo_ns > RTC_NS)
        facts.rpo_ns = RTC_NS;

    if (stream && stream->has_point) {
        facts.has_point = true;
        facts.point_age_ns = stream->point_age_ns;
    }
    /* The record of the first Start travels behind its data. */
    if (record->status == REPLICA_CREATED && facts.has_point &&
        record->opened_serial == record->stream_serial && !relation_is_source(site, relation))
        return replica_state_shown(REPLICA_SYNCING, &facts);
    return replica_state_shown(record->status, &facts);
}

static int compare_pairs(const void *a, const void *b)
{
    const struct pair_record *left = a, *right = b;

    return strcmp(left->common.id, right->common.id);
}

int relation_members(struct site *site, const struct relation *relation,
                     struct pair_record **ret_pairs, unsigned *ret_count)
{
    void *pairs = NULL;
    int result;

    check(!relation_is_member(relation));
    if (!relation->is_group) {
        pairs = malloc(sizeof(struct pair_record));
        check(pairs);
        memcpy(pairs, &relation->pair, sizeof(struct pair_record));
        *ret_pairs = pairs;
        *ret_count = 1;
        return 0;
    }
    result = meta_list(site->meta, RECORD_PAIR, "group_id", relation->group.common.id, &pairs,
                       ret_count);
    check(result != -ENOMEM); /* not all who ask could tell that from none */
    if (result < 0)
        return result;
    if (*ret_count > 1)
        qsort(pairs, *ret_count, sizeof(struct pair_record), compare_pairs);
    *ret_pairs = pairs;
    return 0;
}

int relation_find_attached(struct site *site, const struct relation *relation,
                           struct attachment_record *ret_attachment)
{
    struct pair_record *pairs = NULL;
    unsigned count = 0;
    int result = relation_members(site, relation, &pairs, &count);

    if (result < 0)
        return result;
    result = -ENOENT;
    for (unsigned i = 0; result == -ENOENT && i < count; i++)
        result =
            meta_get(site->meta, RECORD_ATTACHMENT, relation_disk(site, &pairs[i]), ret_attachment);
    free(pairs);
    return result == 0 ? 1 : result == -ENOENT ? 0 : result;
}

int relation_find_by_disk(struct site *site, const char *disk, struct pair_record *ret_pair)
{
    static const char *const columns[] = {"production_disk", "backup_disk"};

    for (unsigned i = 0; i < ARRAY_COUNT(columns); i++) {
        void *pairs = NULL;
        unsigned count = 0;
        bool found;
        int result = meta_list(site->meta, RECORD_PAIR, columns[i], disk, &pairs, &count);

        if (result < 0)
            return result;
        found = count > 0 && strcmp(relation_disk(site, pairs), disk) == 0;
        if (found)
            memcpy(ret_pair, pairs, sizeof(*ret_pair));
        free(pairs);
        if (found)
            return 0;
    }
    return -ENOENT;
}

void relation_touch(struct replica_record *record)
{
    check(record->version < INT64_MAX);
    record->version++;
}

void relation_move(struct relation *relation, enum replica_state to)
{
    struct replica_record *record = relation_own(relation);

    check(!relation_is_member(relation));
    check(record->status == to || replica_state_may_move(record->status, to));
    record->status = to;
    record->status_message[0] = 0;
    relation_touch(record);
}

void relation_keep_point(const struct site *site, struct relation *relation)
{
    relation_own(relation)->last_point_s = relation_point_s(site, relation);
}

void relation_put(struct change *change, const struct relation *relation)
{
    if (relation->is_group)
        change_put(change, RECORD_GROUP, &relation->group);
    else
        change_put(change, RECORD_PAIR, &relation->pair);
}
