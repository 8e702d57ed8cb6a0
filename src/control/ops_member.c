/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: which pairs are in a group. A change of membership ends the streams concerned (serials rise,
 * jobs remove what is open, at both sites), and the next Start makes new ones, whose disks are
 * compared by hash where they held a copy before: no dirty state is carried from stream to stream.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "control/jobs.h"
#include "control/judge.h"
#include "control/operations.h"
#include "control/quota.h"
#include "control/sharing.h"
#include "control/token.h"

/* The relation's stream is past; its removal is a job if it is open. */
static void retire_stream(struct change *change, struct replica_record *record)
{
    record->stream_serial++;
    relation_touch(record);
    if (record->opened_serial != 0)
        jobs_add(change, "drop", record->id, "");
}

/* All members of the group but `except` were in a stream that ends now. */
static void seed_members(struct change *change, const struct relation *group, const char *except)
{
    struct pair_record *pairs = NULL;
    unsigned count = 0;

    int result = relation_members(change->site, group, &pairs, &count);

    if (result < 0)
        change_fail(change, result, "the list of its pairs");
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(pairs[i].common.id, except) == 0 || group->group.common.opened_serial == 0)
            continue;
        pairs[i].is_seeded = true;
        relation_touch(&pairs[i].common);
        change_put(change, RECORD_PAIR, &pairs[i]);
    }
    free(pairs);
}

static void mark_all(struct call *call, struct change *change, const struct relation *group,
                     const char *pair)
{
    struct pair_record *pairs = NULL;
    unsigned count = 0;
    int result = relation_members(call->site, group, &pairs, &count);

    if (result < 0)
        change_fail(change, result, "the list of its pairs");
    sharing_mark(call, group->group.common.id);
    sharing_mark(call, pair);
    for (unsigned i = 0; i < count; i++)
        sharing_mark(call, pairs[i].common.id);
    free(pairs);
}

static void finish(struct call *call, struct change *change, const struct relation *group,
                   const char *pair)
{
    token_remember(change, call, NULL);
    mark_all(call, change, group, pair);
    sharing_answer(change, call, NULL);
}

static bool load_pair(struct call *call, struct relation *ret_pair)
{
    const char *id = call_text(call, "ReplicaPairId");

    if (relation_load(call->site, id, ret_pair) == 0 && !ret_pair->is_group)
        return true;
    call_fail(call, API_NO_SUCH_RESOURCE, "Pair %.60s is not known at site %s.", id,
              call->site->name);
    return false;
}

static bool is_same_direction(const struct replica_record *a, const struct replica_record *b)
{
    return strcmp(a->production_site, b->production_site) == 0 &&
           strcmp(a->production_region, b->production_region) == 0 &&
           strcmp(a->production_zone, b->production_zone) == 0 &&
           strcmp(a->backup_site, b->backup_site) == 0 &&
           strcmp(a->backup_region, b->backup_region) == 0 &&
           strcmp(a->backup_zone, b->backup_zone) == 0 && a->is_reversed == b->is_reversed;
}

/* False: answered. */
static bool may_add(struct call *call, const struct relation *group, struct relation *pair)
{
    enum api_error error;
    enum replica_state shown;

    if (relation_is_member(pair)) {
        if (strcmp(pair->pair.group_id, group->group.common.id) == 0)
            judge_repeat(call);
        else
            call_fail(call, API_PAIR_IN_ANOTHER_GROUP, "Pair %s is in group %s.",
                      pair->pair.common.id, pair->pair.group_id);
        return false;
    }
    shown = relation_shown(call->site, pair);
    if (pair_state_judge(PAIR_ADD_TO_GROUP, shown, &error) != STATE_ALLOW) {
        call_fail(call, error, "%s is %s.", pair->pair.common.id, replica_state_name(shown));
        return false;
    }
    if (!is_same_direction(&group->group.common, &pair->pair.common)) {
        call_fail(call, API_PAIR_GROUP_ZONE_CONFLICT, NULL);
        return false;
    }
    return quota_allows_member(call, group, pair);
}

void ops_member_add(struct call *call)
{
    struct relation group, pair;
    struct change change;

    if (!load_pair(call, &pair) || judge_relation(call, &group) != STATE_ALLOW ||
        !may_add(call, &group, &pair))
        return;
    change_begin(&change, call->site);
    seed_members(&change, &group, pair.pair.common.id);
    retire_stream(&change, &group.group.common);
    pair.pair.is_seeded = pair.pair.is_seeded || pair.pair.common.opened_serial != 0;
    retire_stream(&change, &pair.pair.common);
    strcpy(pair.pair.group_id, group.group.common.id);
    change_put(&change, RECORD_GROUP, &group.group);
    change_put(&change, RECORD_PAIR, &pair.pair);
    finish(call, &change, &group, pair.pair.common.id);
}

/* The other site, apart, took it out and deleted it, while the group was failed over here, which
 * stands: told as invalid. */
static bool is_left_behind(struct site *site, const struct relation *group,
                           const struct relation *pair)
{
    return group->is_group && group->group.common.status == REPLICA_FAILOVERED &&
           !relation_is_source(site, group) && relation_is_member(pair) &&
           strcmp(pair->pair.group_id, group->group.common.id) == 0 &&
           pair->pair.common.status == REPLICA_INVALID;
}

/* It stays invalid, to be deleted; its disk is the hosts'. What was one stream ends here as well:
 * the rest is reprotected by the records (anew.c). */
static void remove_left_behind(struct call *call, struct relation *group, struct relation *pair)
{
    struct replica_record *own = &pair->pair.common;
    struct change change;

    change_begin(&change, call->site);
    seed_members(&change, group, own->id);
    own->last_point_s = relation_point_s(call->site, pair);
    own->is_reversed = group->group.common.is_reversed;
    own->stream_serial++;
    relation_touch(own);
    pair->pair.is_seeded = false; /* it is never started again */
    pair->pair.group_id[0] = 0;
    relation_keep_point(call->site, group);
    retire_stream(&change, &group->group.common);
    change_put(&change, RECORD_GROUP, &group->group);
    change_put(&change, RECORD_PAIR, &pair->pair);
    finish(call, &change, group, own->id);
}

void ops_member_remove(struct call *call)
{
    struct relation group, pair;
    struct replica_record *own = &pair.pair.common;
    struct change change;

    if (!load_pair(call, &pair))
        return;
    if (relation_load(call->site, call_text(call, call->operation->object), &group) == 0 &&
        is_left_behind(call->site, &group, &pair)) {
        remove_left_behind(call, &group, &pair);
        return;
    }
    if (judge_relation(call, &group) != STATE_ALLOW)
        return;
    if (!relation_is_member(&pair)) {
        call_fail(call, API_PAIR_NOT_IN_GROUP, NULL);
        return;
    }
    if (strcmp(pair.pair.group_id, group.group.common.id) != 0) {
        call_fail(call, API_PAIR_IN_ANOTHER_GROUP, "Pair %s is in group %s.", own->id,
                  pair.pair.group_id);
        return;
    }
    change_begin(&change, call->site);
    seed_members(&change, &group, own->id);
    /* The pair keeps what it had as a member. */
    own->last_point_s = relation_point_s(call->site, &pair);
    own->is_reversed = group.group.common.is_reversed;
    own->status = group.group.common.status == REPLICA_CREATED ? REPLICA_CREATED : REPLICA_STOPPED;
    own->term = own->term > group.group.common.term ? own->term : group.group.common.term;
    own->status_message[0] = 0;
    own->stream_serial++;
    relation_touch(own);
    pair.pair.is_seeded = pair.pair.is_seeded || group.group.common.opened_serial != 0;
    pair.pair.group_id[0] = 0;
    relation_keep_point(call->site, &group);
    retire_stream(&change, &group.group.common);
    change_put(&change, RECORD_GROUP, &group.group);
    change_put(&change, RECORD_PAIR, &pair.pair);
    finish(call, &change, &group, own->id);
}
