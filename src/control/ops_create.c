/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: creating and showing pairs. A pair is created only when both sites have agreed: the peer
 * checks its disk and keeps the record in `creating` until it hears that it lives (sync), or that
 * it never will (pair.drop; the link keeps the order, so that comes behind a pair.prepare that is
 * late). If this site dies in between, the peer's half is dropped at the next contact.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/id.h"
#include "control/change.h"
#include "control/consent.h"
#include "control/judge.h"
#include "control/operations.h"
#include "control/peer.h"
#include "control/quota.h"
#include "control/sharing.h"
#include "control/tag.h"
#include "control/token.h"
#include "control/tree.h"

struct creation {
    struct peer_call peer_call;
    struct site *site;
    struct call *call;
    struct pair_record pair;
};

static void copy(char *to, size_t size, const char *from)
{
    check(strlen(from) < size);
    memset(to, 0, size);
    memcpy(to, from, strlen(from));
}

#define COPY(field, from) copy(field, sizeof(field), from)

/* Is the disk there, and free? False: answered. */
static bool check_disk(struct call *call, const char *id, struct disk_record *ret_disk)
{
    struct pair_record other;
    int result;

    if (meta_get(call->site->meta, RECORD_DISK, id, ret_disk) < 0) {
        call_fail(call, API_NO_SUCH_RESOURCE, "Disk %.60s is not known at site %s.", id,
                  call->site->name);
        return false;
    }
    result = relation_find_by_disk(call->site, id, &other);
    if (result == 0)
        call_fail(call, API_QUOTA_EXCEED, "Disk %s is in pair %s.", id, other.common.id);
    else if (result != -ENOENT)
        call_fail_internal(call, err_name(result));
    if (result != -ENOENT)
        return false;
    if (ops_disk_is_growing(call->site, id)) {
        call_fail(call, API_INVALID_STATUS, "Disk %s is being resized.", id);
        return false;
    }
    if (ret_disk->status != DISK_AVAILABLE && ret_disk->status != DISK_IN_USE) {
        call_fail(call, API_DENIED, "Disk %s is %s.", id, disk_state_name(ret_disk->status));
        return false;
    }
    return true;
}

/* The peer's disk must be of the same. False: answered. */
static bool check_category(struct call *call, const struct disk_record *disk)
{
    if (strcmp(disk->category, "cloud_essd") == 0 || strcmp(disk->category, "cloud_auto") == 0)
        return true;
    call_fail(call, API_DENIED, "Disk %s is of category %s: cloud_essd and cloud_auto replicate.",
              disk->id, disk->category);
    return false;
}

/* No pair that we know has the peer's disk. False: answered. */
static bool check_backup(struct call *call, const char *id)
{
    struct pair_record *pairs;
    void *records = NULL;
    unsigned count = 0;
    int result = meta_list(call->site->meta, RECORD_PAIR, "backup_disk", id, &records, &count);

    pairs = records;
    if (result < 0)
        call_fail_internal(call, err_name(result));
    else if (count > 0)
        call_fail(call, API_QUOTA_EXCEED, "Disk %s is in pair %s.", id, pairs[0].common.id);
    free(records);
    return result == 0 && count == 0;
}

static void create_accept(struct creation *creation)
{
    struct call *call = creation->call;
    struct pair_record *pair = &creation->pair;
    struct disk_record disk;
    struct change change;
    json_t *reply;

    /* Others were served while the peer was asked. */
    if (!check_disk(call, pair->production_disk, &disk) || !quota_allows_pair(call) ||
        !check_backup(call, pair->backup_disk))
        return;
    if (disk.size_bytes != pair->size_bytes) {
        call_fail(call, API_DENIED, "Disk %s was resized meanwhile, from %lld to %lld bytes.",
                  disk.id, (long long)pair->size_bytes, (long long)disk.size_bytes);
        return;
    }
    pair->common.status = REPLICA_CREATED;
    relation_touch(&pair->common);
    reply = json_object();
    check(reply);
    tree_set_text(reply, "ReplicaPairId", pair->common.id);
    change_begin(&change, call->site);
    change_put(&change, RECORD_PAIR, pair);
    tag_put(&change, pair->common.id, json_object_get(call->parameters, "Tag"));
    token_remember(&change, call, reply);
    sharing_mark(call, pair->common.id);
    sharing_answer(&change, call, reply);
}

static void drop_told(struct peer_call *peer_call)
{
    free(container_of(peer_call, struct creation, peer_call));
}

/* The peer may have kept its half. Told once: should that get lost, the link was, and a peer that
 * comes back asks what became of it. Takes `creation` over. */
static void drop_half(struct creation *creation)
{
    const struct replica_record *record = &creation->pair.common;
    json_t *arguments = json_object();

    check(arguments);
    tree_set_text(arguments, "id", record->id);
    peer_call(creation->site, &creation->peer_call, record->backup_site, "pair.drop", arguments,
              drop_told);
}

/* The call is answered, its struct may be gone. */
static void create_end(struct creation *creation)
{
    struct relation relation;

    if (relation_load(creation->site, creation->pair.common.id, &relation) == -ENOENT)
        drop_half(creation);
    else
        free(creation);
}

static void create_consented(void *arg, bool is_given)
{
    struct creation *creation = arg;

    if (is_given)
        create_accept(creation);
    else
        consent_fail(creation->call);
    create_end(creation);
}

static void create_prepared(struct peer_call *peer_call)
{
    struct creation *creation = container_of(peer_call, struct creation, peer_call);
    struct call *call = creation->call;

    if (peer_call->error == 0 && peer_call->status == 200) {
        consent_ask(call, create_consented, creation);
        return;
    }
    if (peer_call->error < 0)
        call_fail(call, API_REQUEST_TIMEOUT, "Site %s is not reachable: %s.",
                  creation->pair.common.backup_site, peer_call->why);
    else if (peer_call->status != 200)
        judge_fail_as_peer(call, creation->pair.common.backup_site, peer_call->code,
                           peer_call->message);
    if (peer_call->error < 0 && peer_call->error != -EHOSTUNREACH)
        drop_half(creation);
    else
        free(creation);
}

/* The peer of the destination; NULL: answered. */
static const struct site_peer *check_sites(struct call *call)
{
    struct site *site = call->site;
    const char *region = call_text(call, "DestinationRegionId");
    const char *zone = call_text(call, "DestinationZoneId");
    const struct site_peer *peer;

    if (strcmp(call_text(call, "SourceZoneId"), site->zone) != 0) {
        call_fail(call, API_NO_SUCH_RESOURCE, "Zone %.60s is not in region %s; zone %s is.",
                  call_text(call, "SourceZoneId"), site->region, site->zone);
        return NULL;
    }
    if (strcmp(region, site->region) == 0 && strcmp(zone, site->zone) == 0) {
        call_fail(call, API_DENIED, "Source and destination are one site.");
        return NULL;
    }
    peer = site_peer_in(site, region, zone);
    if (!peer)
        call_fail(call, API_NO_SUCH_RESOURCE, "No site is known in region %.60s, zone %.60s.",
                  region, zone);
    return peer;
}

static void fill_common(struct call *call, const struct site_peer *peer, const char *name,
                        const char *prefix, unsigned letters, struct replica_record *record)
{
    struct site *site = call->site;

    id_make(prefix, letters, site_random, site, record->id);
    COPY(record->name, name);
    COPY(record->description, call_text(call, "Description"));
    COPY(record->resource_group_id, call_text(call, "ResourceGroupId"));
    COPY(record->production_site, site->name);
    COPY(record->production_region, site->region);
    COPY(record->production_zone, site->zone);
    COPY(record->backup_site, peer->name);
    COPY(record->backup_region, peer->region);
    COPY(record->backup_zone, peer->zone);
    record->rpo_s = call_int(call, "RPO");
    record->is_rtc = call_bool(call, "EnableRtc");
    record->status = REPLICA_CREATING;
    record->term = 1;
    record->version = 1;
    record->stream_serial = 1;
    record->created_s = site_now_s(site);
}

/* The pairs that are being made here: the peer may drop other halves of ours. */
static json_t *making_tree(const struct site *site)
{
    const struct list *head = &site->calls;
    json_t *tree = json_array();

    check(tree);
    for (const struct list *node = head->next; node != head; node = node->next) {
        const char *object = container_of(node, const struct call, node)->object;

        if (strncmp(object, "pair-", 5) == 0)
            check(json_array_append_new(tree, json_string(object)) == 0);
    }
    return tree;
}

void ops_create_pair(struct call *call)
{
    const struct site_peer *peer = check_sites(call);
    struct disk_record disk;
    struct creation *creation;
    json_t *arguments;

    if (!peer || !check_disk(call, call_text(call, "DiskId"), &disk) || !quota_allows_pair(call))
        return;
    if (!check_category(call, &disk))
        return;
    if (!id_is_valid("d", call_text(call, "DestinationDiskId"))) {
        call_fail(call, API_NO_SUCH_RESOURCE, "Disk %.60s is not known at site %s.",
                  call_text(call, "DestinationDiskId"), peer->name);
        return;
    }
    if (!check_backup(call, call_text(call, "DestinationDiskId")))
        return;
    creation = calloc(1, sizeof(*creation));
    check(creation);
    creation->call = call;
    creation->site = call->site;
    fill_common(call, peer, call_text(call, "PairName"), "pair", 14, &creation->pair.common);
    COPY(call->object, creation->pair.common.id);
    COPY(creation->pair.production_disk, disk.id);
    COPY(creation->pair.backup_disk, call_text(call, "DestinationDiskId"));
    COPY(creation->pair.charge_type, call_text(call, "ChargeType"));
    creation->pair.size_bytes = disk.size_bytes;
    if (strcmp(creation->pair.charge_type, "PREPAY") == 0)
        creation->pair.common.bandwidth_kbit =
            call_has(call, "Bandwidth") ? call_int(call, "Bandwidth") : 10240;
    arguments = json_object();
    check(arguments);
    tree_set_text(arguments, "kind", "pair");
    tree_set(arguments, "record", tree_from_record(RECORD_PAIR, &creation->pair));
    tree_set_text(arguments, "category", disk.category);
    tree_set_text(arguments, "performance_level", disk.performance_level);
    tree_set(arguments, "making", making_tree(call->site));
    peer_call(call->site, &creation->peer_call, peer->name, "pair.prepare", arguments,
              create_prepared);
}

/* --- groups ---------------------------------------------------------------------------------- */

void ops_create_group(struct call *call)
{
    const struct site_peer *peer = check_sites(call);
    struct group_record group = {0};
    struct change change;
    json_t *reply;

    if (!peer || !quota_allows_group(call))
        return;
    fill_common(call, peer, call_text(call, "GroupName"), "pg", 16, &group.common);
    group.common.status = REPLICA_CREATED;
    reply = json_object();
    check(reply);
    tree_set_text(reply, "ReplicaGroupId", group.common.id);
    change_begin(&change, call->site);
    change_put(&change, RECORD_GROUP, &group);
    tag_put(&change, group.common.id, json_object_get(call->parameters, "Tag"));
    token_remember(&change, call, reply);
    sharing_mark(call, group.common.id);
    sharing_answer(&change, call, reply);
}
