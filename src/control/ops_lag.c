/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: DescribeReplicaLag: how far the copy is behind, as truly as the asked site can tell. Seconds
 * are told by either site, by clocks that do not jump. Bytes only the source knows: a target
 * says so instead of saying 0.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "control/operations.h"
#include "control/page.h"
#include "control/relation.h"
#include "control/tree.h"

/* Of a stream's disks: the pair's own, or all of them. */
static uint64_t backlog(struct site *site, const struct relation *relation,
                        const struct data_stream_status *stream)
{
    struct relation ruler;
    struct pair_record *pairs = NULL;
    unsigned count = 0;
    uint64_t bytes = stream->backlog_bytes;

    if (!relation_is_member(relation) ||
        relation_load(site, relation_ruler(relation)->id, &ruler) < 0 ||
        relation_members(site, &ruler, &pairs, &count) < 0)
        return bytes;
    for (unsigned i = 0; i < count && i < stream->disk_count; i++)
        if (strcmp(pairs[i].common.id, relation->pair.common.id) == 0)
            bytes = stream->disk_backlog_bytes[i];
    free(pairs);
    return bytes;
}

static const char *explain(const struct data_stream_status *stream, bool is_up)
{
    if (!stream)
        return "It was never started, or is not open here.";
    if (stream->role == DATA_ROLE_PROMOTED || stream->role == DATA_ROLE_FENCED)
        return "It was failed over: nothing is copied until it is reprotected.";
    if (!stream->has_point)
        return "The first copy is not complete: there is no recovery point.";
    if (stream->role == DATA_ROLE_TARGET)
        return is_up ? "The age of the newest recovery point; what is missing only the source can "
                       "tell in bytes."
                     : "The source is not reachable: the age of the newest recovery point; how "
                       "much was written since is not known.";
    return is_up ? "" : "The target is not reachable: what changes waits here.";
}

static bool peer_is_up(const struct site *site, const char *name)
{
    for (unsigned i = 0; i < site->peer_count; i++)
        if (strcmp(site->peers[i].name, name) == 0)
            return site->peers[i].is_up;
    return false;
}

static void show_point(struct site *site, const struct relation *relation,
                       const struct data_stream_status *stream, json_t *tree)
{
    int64_t rpo_s = relation_ruler(relation)->rpo_s;
    /* Up: an age is never told less than it is. */
    uint64_t age_ms = stream && stream->has_point ? (stream->point_age_ns + 999999) / 1000000 : 0;
    bool is_copied =
        stream && (stream->role == DATA_ROLE_SOURCE || stream->role == DATA_ROLE_TARGET);
    bool is_known = stream && stream->has_point && is_copied;

    tree_set_bool(tree, "IsLagKnown", is_known);
    if (is_known) {
        tree_set_int(tree, "LagSeconds", (int64_t)((age_ms + 999) / 1000));
        tree_set_int(tree, "LagMilliseconds", (int64_t)age_ms);
    }
    tree_set_int(tree, "RpoSeconds", rpo_s);
    tree_set_bool(tree, "IsOverdue", is_known && age_ms > (uint64_t)rpo_s * 1000);
    if (relation_point_s(site, relation) > 0)
        tree_set_int(tree, "LastRecoverPoint", relation_point_s(site, relation));
}

static json_t *show_lag(struct site *site, const struct relation *relation)
{
    static const char *const roles[] = {[DATA_ROLE_SOURCE] = "source",
                                        [DATA_ROLE_TARGET] = "target",
                                        [DATA_ROLE_PROMOTED] = "promoted",
                                        [DATA_ROLE_FENCED] = "fenced"};
    const struct replica_record *own =
        relation->is_group ? &relation->group.common : &relation->pair.common;
    const struct data_stream_status *stream = site_stream(site, relation_ruler(relation)->id);
    const char *peer = relation_peer(site, relation);
    bool knows_bytes = stream && stream->role == DATA_ROLE_SOURCE;
    json_t *tree = json_object();

    check(tree);
    tree_set_text(tree, "ReplicaId", own->id);
    tree_set_text(tree, "Kind", relation->is_group ? "group" : "pair");
    tree_set_text(tree, "Status", replica_state_name(relation_shown(site, relation)));
    tree_set_text(tree, "SiteName", site->name);
    tree_set_text(tree, "Role",
                  stream                               ? roles[stream->role]
                  : relation_is_source(site, relation) ? "source"
                                                       : "target");
    tree_set_bool(tree, "IsPeerUp", peer_is_up(site, peer));
    tree_set_bool(tree, "IsConnected", stream && stream->is_connected);
    show_point(site, relation, stream, tree);
    tree_set_bool(tree, "IsBytesKnown", knows_bytes);
    if (knows_bytes)
        tree_set_int(tree, "LagBytes", (int64_t)backlog(site, relation, stream));
    tree_set_text(tree, "Note", explain(stream, peer_is_up(site, peer)));
    return tree;
}

static json_t *show_record(struct call *call, const void *record)
{
    struct relation relation;

    if (relation_load(call->site, record, &relation) < 0) /* the id is first */
        return json_object();
    return show_lag(call->site, &relation);
}

static bool is_lone(struct call *call, const void *record)
{
    (void)call;
    return !((const struct pair_record *)record)->group_id[0];
}

static void show_one(struct call *call, const char *id)
{
    struct relation relation;
    json_t *ids;

    if (relation_load(call->site, id, &relation) < 0) {
        call_fail(call, API_NO_SUCH_RESOURCE, "%.60s is not known at site %s.", id,
                  call->site->name);
        return;
    }
    ids = json_pack("[s]", id);
    check(ids);
    page_reply(call, &(struct page_source){.kind = relation.is_group ? RECORD_GROUP : RECORD_PAIR,
                                           .ids = ids,
                                           .show_cb = show_record,
                                           .list = "Lags"});
    json_decref(ids);
}

void ops_show_lag(struct call *call)
{
    bool is_pair = strcmp(call_text(call, "Kind"), "pair") == 0;

    if (call_has(call, "ReplicaId"))
        show_one(call, call_text(call, "ReplicaId"));
    else
        page_reply(call, &(struct page_source){.kind = is_pair ? RECORD_PAIR : RECORD_GROUP,
                                               .is_wanted_cb = is_pair ? is_lone : NULL,
                                               .show_cb = show_record,
                                               .list = "Lags"});
}
