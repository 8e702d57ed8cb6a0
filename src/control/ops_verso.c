/* SPDX-License-Identifier: Apache-2.0 */
/* Why: Verso's own operations (Version 2026-11-22): what `verso status` shows, letting
 * snapshots go, force. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "control/jobs.h"
#include "control/operations.h"
#include "control/relation.h"
#include "control/tree.h"

static const char *const role_names[] = {
    [DATA_ROLE_SOURCE] = "source",
    [DATA_ROLE_TARGET] = "target",
    [DATA_ROLE_PROMOTED] = "promoted",
    [DATA_ROLE_FENCED] = "fenced",
};

static json_t *show_peers(struct site *site)
{
    json_t *peers = json_array();

    check(peers);
    for (unsigned i = 0; i < site->peer_count; i++) {
        const struct site_peer *peer = &site->peers[i];
        json_t *tree = json_object();

        check(tree);
        tree_set_text(tree, "Name", peer->name);
        tree_set_text(tree, "Region", peer->region);
        tree_set_text(tree, "Zone", peer->zone);
        tree_set_bool(tree, "IsUp", peer->is_up);
        tree_set_text(tree, "Why", peer->is_up ? "" : peer->why);
        for (unsigned k = 0; site->snapshot && k < site->snapshot->peer_count; k++) {
            const struct data_peer_status *status = &site->snapshot->peers[k];
            if (strcmp(status->name, peer->name) != 0)
                continue;
            if (!peer->is_up && status->why[0]) /* the last try to connect */
                tree_set_text(tree, "Why", status->why);
            tree_set_int(tree, "RoundTripNs", (int64_t)status->round_trip_ns);
            tree_set_int(tree, "BytesOut", (int64_t)status->bytes_out);
            tree_set_int(tree, "BytesIn", (int64_t)status->bytes_in);
        }
        check(json_array_append_new(peers, tree) == 0);
    }
    return peers;
}

static void show_members(struct site *site, const struct relation *relation,
                         const struct data_stream_status *stream, json_t *tree)
{
    struct pair_record *pairs = NULL;
    unsigned count = 0;
    json_t *ids = json_array(), *disks = json_array();

    check(ids && disks);
    relation_members(site, relation, &pairs, &count);
    for (unsigned i = 0; i < count; i++) {
        json_t *disk = json_object();

        check(disk);
        tree_set_text(disk, "DiskId", relation_disk(site, &pairs[i]));
        tree_set_int(disk, "SizeBytes", pairs[i].size_bytes);
        tree_set_int(disk, "BacklogBytes",
                     stream && i < stream->disk_count ? (int64_t)stream->disk_backlog_bytes[i] : 0);
        check(json_array_append_new(disks, disk) == 0);
        check(json_array_append_new(ids, json_string(pairs[i].common.id)) == 0);
    }
    free(pairs);
    tree_set(tree, "PairIds", ids);
    tree_set(tree, "Disks", disks);
}

/* What the engine says; zeros before the first start. Microseconds: nanoseconds since 1970 are more
 * than a reader of JSON can hold. An age is never told less than it is. */
static void show_stream(const struct data_stream_status *stream, json_t *tree)
{
    uint64_t unshipped = 0;

    for (unsigned i = 0; i < stream->disk_count; i++)
        unshipped += stream->disk_unshipped_bytes[i];
    tree_set_bool(tree, "IsStarted", stream->is_started);
    tree_set_bool(tree, "IsConnected", stream->is_connected);
    tree_set_bool(tree, "HasPoint", stream->has_point);
    tree_set_bool(tree, "IsInitial", stream->is_initial);
    tree_set_bool(tree, "IsDraining", stream->is_draining);
    tree_set_bool(tree, "IsWaitingPeer", stream->is_waiting_peer);
    tree_set_bool(tree, "IsOpen", stream->is_open);
    tree_set_int(tree, "GenerationTerm", (int64_t)stream->generation_term);
    tree_set_int(tree, "EpochAcked", (int64_t)stream->epoch_acked);
    tree_set_int(tree, "EpochApplied", (int64_t)stream->epoch_applied);
    tree_set_int(tree, "PointWallUs", (int64_t)(stream->point_wall_ns / 1000));
    tree_set_int(tree, "CurrentWallUs", (int64_t)(stream->current_wall_ns / 1000));
    tree_set_int(tree, "PointAgeUs", (int64_t)((stream->point_age_ns + 999) / 1000));
    tree_set_int(tree, "BacklogBytes", (int64_t)stream->backlog_bytes);
    tree_set_int(tree, "UnshippedBytes", (int64_t)unshipped);
    tree_set_int(tree, "TotalBytes", (int64_t)stream->total_bytes);
    tree_set_int(tree, "ShippedBytes", (int64_t)stream->shipped_bytes);
    tree_set_int(tree, "JournalBytes", (int64_t)stream->journal_bytes);
    tree_set_int(tree, "JournalNeededBytes", (int64_t)stream->journal_needed_bytes);
    tree_set_text(tree, "FullDiskId", stream->full_disk);
}

/* What keeps it from working. A delete that was refused tells the stream's trouble too, and the way
 * out. */
static void show_trouble(struct site *site, const struct relation *relation,
                         const struct data_stream_status *stream, json_t *tree)
{
    const struct replica_record *record = relation_ruler(relation);
    const char *id = record->id, *noted = site_trouble(site, id);
    bool is_refused = relation_shown(site, relation) == REPLICA_DELETE_FAILED && noted[0];
    char trouble[RECORD_NAME_SIZE];

    jobs_trouble(site, id, trouble, sizeof(trouble));
    /* The other site's record said so, and ours is an old one of before its start (claims.c). */
    if (!stream && !noted[0] && replica_state_is_active(record->status))
        noted = "it has no stream open at this site: stop it and start it again";
    if (stream && stream->trouble[0] && !is_refused)
        tree_set_text(tree, "Trouble", stream->trouble);
    else
        tree_set_text(tree, "Trouble", trouble[0] ? trouble : noted);
}

static json_t *show_relation(struct site *site, const struct relation *relation)
{
    static const struct data_stream_status none;
    const struct replica_record *record = relation_ruler(relation);
    const struct data_stream_status *stream = site_stream(site, record->id);
    json_t *tree = json_object();

    check(tree);
    tree_set_text(tree, "Id", record->id);
    tree_set_text(tree, "Name", record->name);
    tree_set_text(tree, "Kind", relation->is_group ? "group" : "pair");
    tree_set_text(tree, "Status", replica_state_name(relation_shown(site, relation)));
    tree_set_text(tree, "Peer", relation_peer(site, relation));
    tree_set_text(tree, "Role",
                  stream                               ? role_names[stream->role]
                  : relation_is_source(site, relation) ? "source"
                                                       : "target");
    tree_set_text(tree, "SourceSite",
                  record->is_reversed ? record->backup_site : record->production_site);
    tree_set_text(tree, "DestinationSite",
                  record->is_reversed ? record->production_site : record->backup_site);
    tree_set_bool(tree, "IsReversed", record->is_reversed);
    tree_set_int(tree, "RpoSeconds", record->rpo_s);
    if (relation_point_s(site, relation) > 0)
        tree_set_int(tree, "LastRecoverPoint", relation_point_s(site, relation));
    show_stream(stream ? stream : &none, tree);
    show_trouble(site, relation, stream, tree);
    show_members(site, relation, stream, tree);
    return tree;
}

struct append {
    struct call *call;
    json_t *list;
};

static bool append_relation(void *arg, uint64_t position, const void *record)
{
    struct append *append = arg;
    struct call *call = append->call;
    const char *wanted = call_text(call, "Id"), *id = record; /* it is first */
    struct relation relation;

    if ((!wanted[0] || strcmp(wanted, id) == 0) && relation_load(call->site, id, &relation) == 0 &&
        !relation_is_member(&relation))
        check(json_array_append_new(append->list, show_relation(call->site, &relation)) == 0);
    return true;
}

void ops_verso_show_status(struct call *call)
{
    struct site *site = call->site;
    json_t *reply = json_object(), *own = json_object(), *streams = json_array();
    struct meta_query groups = {.kind = RECORD_GROUP}, pairs = {.kind = RECORD_PAIR};
    struct append append = {.call = call, .list = streams};
    int result;

    check(reply && own && streams);
    tree_set_text(own, "Name", site->name);
    tree_set_text(own, "Region", site->region);
    tree_set_text(own, "Zone", site->zone);
    tree_set_text(own, "Version", VERSO_VERSION);
    tree_set_text(own, "Io", site->snapshot ? site->snapshot->loop : "");
    tree_set_int(reply, "WallUs", (int64_t)(loop_wall_ns(site->loop) / 1000));
    tree_set(reply, "Site", own);
    tree_set(reply, "Peers", show_peers(site));
    result = meta_walk(site->meta, &groups, 0, append_relation, &append);
    if (result == 0)
        result = meta_walk(site->meta, &pairs, 0, append_relation, &append);
    tree_set(reply, "Streams", streams);
    if (result == 0) {
        call_reply(call, reply);
        return;
    }
    json_decref(reply);
    call_fail_internal(call, err_name(result));
}

/* --- snapshots, force ------------------------------------------------------------------------ */

static void simple_done(struct data_request *request)
{
    struct call *call = container_of(request, struct call, request);

    site_done(call->site);
    if (request->error == -ENOENT)
        call_fail(call, API_NO_SUCH_RESOURCE, "%s.", request->why);
    else if (request->error < 0)
        call_fail(call, API_DENIED, "%s.", request->why);
    else
        call_reply(call, NULL);
}

void ops_verso_delete_snapshot(struct call *call)
{
    call->request = (struct data_request){.op = DATA_SNAPSHOT_REMOVE,
                                          .snapshot_id = call_text(call, "SnapshotId")};
    site_submit(call->site, &call->request, simple_done);
}

void ops_verso_force_open(struct call *call)
{
    struct relation relation;
    const char *id = call_text(call, "ReplicaId");

    if (relation_load(call->site, id, &relation) < 0) {
        call_fail(call, API_NO_SUCH_RESOURCE, "%.60s is not known at site %s.", id,
                  call->site->name);
        return;
    }
    if (!relation_is_source(call->site, &relation)) {
        call_fail(call, API_NOT_FOR_STANDBY, NULL);
        return;
    }
    strcpy(call->object, relation_ruler(&relation)->id);
    call->request = (struct data_request){
        .op = DATA_STREAM_FORCE_OPEN, .stream = call->object, .reason = call_text(call, "Reason")};
    site_submit(call->site, &call->request, simple_done);
}
