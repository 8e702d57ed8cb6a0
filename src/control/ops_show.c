/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: pairs and groups as the API shows them. Field names differ between the two (SourceRegion,
 * SourceRegionId) as the contract has them. Primary*, Standby* and Site never change; Source* and
 * Destination* follow the direction.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "control/operations.h"
#include "control/page.h"
#include "control/relation.h"
#include "control/tag.h"
#include "control/tree.h"

/* Does the record answer for both sites, since both lie in one region? */
static bool is_one_region(const struct replica_record *ruler)
{
    return strcmp(ruler->production_region, ruler->backup_region) == 0;
}

/* The site whose record it is: this one. Where a region cannot tell the sites apart, this record
 * stands for either, and for production unless the other is asked for. */
static const char *shown_site(struct call *call, const struct relation *relation)
{
    if (!is_one_region(relation_ruler(relation)))
        return relation_is_production(call->site, relation) ? "production" : "backup";
    return call_has(call, "Site") ? call_text(call, "Site") : "production";
}

static void show_common(struct call *call, const struct relation *relation, json_t *tree)
{
    struct site *site = call->site;
    const char *id = relation->is_group ? relation->group.common.id : relation->pair.common.id;
    json_t *tags = tag_list(site, id);
    const struct replica_record *ruler = relation_ruler(relation);
    int64_t point_s = relation_point_s(site, relation);

    tree_set_text(tree, "Status", replica_state_name(relation_shown(site, relation)));
    tree_set_text(tree, "Site", shown_site(call, relation));
    tree_set_text(tree, "PrimaryRegion", ruler->production_region);
    tree_set_text(tree, "PrimaryZone", ruler->production_zone);
    tree_set_text(tree, "StandbyRegion", ruler->backup_region);
    tree_set_text(tree, "StandbyZone", ruler->backup_zone);
    tree_set_int(tree, "RPO", ruler->rpo_s);
    tree_set_bool(tree, "EnableRtc", ruler->is_rtc);
    tree_set_int(tree, "Bandwidth", ruler->bandwidth_kbit);
    /* Absent until the first point: clients wait for it to be there. */
    if (point_s > 0)
        tree_set_int(tree, "LastRecoverPoint", point_s);
    if (tags)
        tree_set(tree, "Tags", tags);
}

/* A pair's "SourceRegion" is a group's "SourceRegionId". */
static void show_direction(const struct relation *relation, json_t *tree)
{
    static const struct {
        const char *group_region, *pair_region, *zone, *disk;
    } names[] = {
        {"SourceRegionId", "SourceRegion", "SourceZoneId", "SourceDiskId"},
        {"DestinationRegionId", "DestinationRegion", "DestinationZoneId", "DestinationDiskId"}};
    const struct replica_record *ruler = relation_ruler(relation);

    for (unsigned is_destination = 0; is_destination < 2; is_destination++) {
        bool is_backup = (is_destination != 0) != ruler->is_reversed;

        tree_set_text(tree,
                      relation->is_group ? names[is_destination].group_region
                                         : names[is_destination].pair_region,
                      is_backup ? ruler->backup_region : ruler->production_region);
        tree_set_text(tree, names[is_destination].zone,
                      is_backup ? ruler->backup_zone : ruler->production_zone);
        if (relation->is_group)
            continue;
        tree_set_text(tree, names[is_destination].disk,
                      is_backup ? relation->pair.backup_disk : relation->pair.production_disk);
    }
}

static json_t *show_pair(struct call *call, const struct relation *relation)
{
    const struct replica_record *own = &relation->pair.common;
    json_t *tree = json_object();

    check(tree);
    tree_set_text(tree, "ReplicaPairId", own->id);
    tree_set_text(tree, "PairName", own->name);
    tree_set_text(tree, "Description", own->description);
    show_common(call, relation, tree);
    if (own->status_message[0])
        tree_set_text(tree, "StatusMessage", own->status_message);
    show_direction(relation, tree);
    tree_set_text(tree, "ReplicaGroupId", relation->pair.group_id);
    tree_set_text(tree, "ReplicaGroupName",
                  relation_is_member(relation) ? relation->group.common.name : "");
    tree_set_int(tree, "CreateTime", own->created_s);
    tree_set_text(tree, "ChargeType", relation->pair.charge_type);
    tree_set_text(tree, "ResourceGroupId", own->resource_group_id);
    return tree;
}

static json_t *show_group(struct call *call, const struct relation *relation)
{
    const struct replica_record *own = &relation->group.common;
    json_t *tree = json_object(), *ids = json_array();
    struct pair_record *pairs = NULL;
    unsigned count = 0;

    check(tree && ids);
    tree_set_text(tree, "ReplicaGroupId", own->id);
    tree_set_text(tree, "GroupName", own->name);
    tree_set_text(tree, "Description", own->description);
    show_common(call, relation, tree);
    show_direction(relation, tree);
    relation_members(call->site, relation, &pairs, &count);
    for (unsigned i = 0; i < count; i++)
        check(json_array_append_new(ids, json_string(pairs[i].common.id)) == 0);
    free(pairs);
    tree_set(tree, "PairIds", ids);
    tree_set_int(tree, "PairNumber", count);
    tree_set_text(tree, "ResourceGroupId", own->resource_group_id);
    return tree;
}

/* Is there a condition that must be asked of each record? */
static bool is_filtered(const struct call *call)
{
    return call_has(call, "Name") || call_has(call, "Site") || call_has(call, "ResourceGroupId") ||
           call_has(call, "Tag");
}

static bool is_wanted(struct call *call, const struct relation *relation)
{
    const struct replica_record *own =
        relation->is_group ? &relation->group.common : &relation->pair.common;
    const char *name = call_text(call, "Name"), *site = call_text(call, "Site");
    const char *resource = call_text(call, "ResourceGroupId");
    bool is_production = relation_is_production(call->site, relation);

    if (name[0] && !strcasestr(own->name, name))
        return false;
    if (site[0] && !is_one_region(relation_ruler(relation)) &&
        is_production != (strcmp(site, "production") == 0))
        return false;
    if (resource[0] && strcmp(resource, own->resource_group_id) != 0)
        return false;
    return tag_matches(call->site, own->id, json_object_get(call->parameters, "Tag"));
}

static bool is_relation_wanted(struct call *call, const void *record)
{
    struct relation relation;

    return relation_load(call->site, record, &relation) == 0 && is_wanted(call, &relation);
}

static json_t *show_relation(struct call *call, const void *record)
{
    struct relation relation;
    int result = relation_load(call->site, record, &relation); /* the id is first */

    if (result < 0) /* between two reads: it cannot be read any more */
        return json_object();
    return relation.is_group ? show_group(call, &relation) : show_pair(call, &relation);
}

void ops_show_pairs(struct call *call)
{
    const char *group = call_text(call, "ReplicaGroupId");
    struct page_source source = {.kind = RECORD_PAIR,
                                 .field = group[0] ? "group_id" : NULL,
                                 .value = strcmp(group, "-") == 0 ? "" : group,
                                 .ids = json_object_get(call->parameters, "PairIds"),
                                 .is_wanted_cb = is_filtered(call) ? is_relation_wanted : NULL,
                                 .show_cb = show_relation,
                                 .list = "ReplicaPairs"};

    page_reply(call, &source);
}

void ops_show_groups(struct call *call)
{
    struct page_source source = {.kind = RECORD_GROUP,
                                 .ids = json_object_get(call->parameters, "GroupIds"),
                                 .is_wanted_cb = is_filtered(call) ? is_relation_wanted : NULL,
                                 .show_cb = show_relation,
                                 .list = "ReplicaGroups"};

    page_reply(call, &source);
}

/* Percent of the pair's disk that is the same at both sites, as far as this site knows. */
static int64_t progress(struct site *site, const struct relation *relation)
{
    const struct data_stream_status *stream = site_stream(site, relation_ruler(relation)->id);
    enum replica_state shown = relation_shown(site, relation);
    struct relation ruler;
    struct pair_record *pairs = NULL;
    unsigned count = 0;
    uint64_t unshipped = 0, size = (uint64_t)relation->pair.size_bytes;
    int64_t percent;

    if (shown == REPLICA_NORMAL || (stream && stream->has_point && !stream->backlog_bytes))
        return 100;
    if (!stream || relation_load(site, relation_ruler(relation)->id, &ruler) < 0)
        return 0;
    if (stream->role != DATA_ROLE_SOURCE)
        return stream->has_point ? 100 : 0;
    relation_members(site, &ruler, &pairs, &count);
    for (unsigned i = 0; i < count && i < stream->disk_count; i++)
        if (strcmp(pairs[i].common.id, relation->pair.common.id) == 0)
            unshipped = stream->disk_unshipped_bytes[i];
    free(pairs);
    if (!stream->is_started && !stream->has_point)
        return 0;
    /* A first copy is acknowledged as a whole, at its end: what was shipped is what moves. */
    percent = unshipped >= size ? 0 : (int64_t)((size - unshipped) * 100 / size);
    return percent < 100 ? percent : 99;
}

void ops_show_progress(struct call *call)
{
    const char *id = call_text(call, "ReplicaPairId");
    struct relation relation;
    json_t *reply;

    if (relation_load(call->site, id, &relation) < 0 || relation.is_group) {
        call_fail(call, API_NO_SUCH_RESOURCE, "Pair %.60s is not known at site %s.", id,
                  call->site->name);
        return;
    }
    reply = json_object();
    check(reply);
    tree_set_int(reply, "Progress", progress(call->site, &relation));
    if (relation_point_s(call->site, &relation) > 0)
        tree_set_int(reply, "RecoverPoint", relation_point_s(call->site, &relation));
    call_reply(call, reply);
}
