/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: a disk grows in place, attached or not (contract 12.7): what holds its bytes first, the
 * record then. A crash in between leaves a disk of the old size in a larger file, and asking again
 * ends it. So does it when the record could not be written, which is answered at once. Nobody makes
 * a pair of it meanwhile (ops_disk_is_growing()).
 *
 * The source's disk of a pair grows with its copy; the contract forbids that, and so do we when we
 * are strict:
 *
 *     the peer's disk and its record (disk.grow) ── ours, which takes no larger one than that ──
 *     records ── answer
 *
 * Nothing of it is taken back. Cut short it leaves a copy that is larger than its source, which
 * does no harm, or records behind their disks, which follow (size_watch.c). Asked for the size it
 * has, such a disk goes all the way again and succeeds: who got no answer may ask again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "control/judge.h"
#include "control/operations.h"
#include "control/peer.h"
#include "control/quota.h"
#include "control/size_watch.h"
#include "control/token.h"
#include "control/tree.h"

enum { GIB_SHIFT = 30, DISK_GRAIN = 4096, GIB_MAX = 131072 };

/* A disk to grow, and the pair it is in. */
struct growing {
    struct disk_record disk;
    bool is_paired;
    struct relation relation; /* is_paired */
    int64_t bytes;
};

/* States in which both ends can follow: no change of role behind them that is not over. */
static bool is_steady(enum replica_state state)
{
    return replica_state_is_active(state) || state == REPLICA_CREATED ||
           state == REPLICA_STOPPING || state == REPLICA_STOPPED || state == REPLICA_STOP_FAILED;
}

/* False: answered. */
static bool judge_pair(struct call *call, const struct pair_record *pair, struct growing *growing)
{
    struct relation *relation = &growing->relation;
    int result = relation_load(call->site, pair->common.id, relation);
    enum replica_state shown = REPLICA_INVALID;

    growing->is_paired = true;
    if (result == 0)
        shown = relation_shown(call->site, relation);
    if (result < 0)
        call_fail_internal(call, err_name(result));
    else if (call->site->is_strict)
        call_fail(call, API_DISK_IN_REPLICATION, "Disk %s is in pair %s.", growing->disk.id,
                  pair->common.id);
    else if (!relation_is_source(call->site, relation))
        call_fail(call, API_DISK_IN_REPLICATION,
                  "Disk %s is the copy in pair %s; resize its source, at site %s: both grow.",
                  growing->disk.id, pair->common.id, relation_peer(call->site, relation));
    else if (!is_steady(shown))
        call_fail(call, API_DISK_STATUS, "Pair %s is %s.", pair->common.id,
                  replica_state_name(shown));
    else
        return true;
    return false;
}

/* False: answered. */
static bool load_disk(struct call *call, struct growing *growing)
{
    const char *id = call_text(call, "DiskId");
    struct disk_record *disk = &growing->disk;
    struct pair_record pair;
    int result = meta_get(call->site->meta, RECORD_DISK, id, disk);

    if (result == -ENOENT) {
        call_fail(call, API_DISK_NOT_FOUND, "Disk %.60s is not known at site %s.", id,
                  call->site->name);
        return false;
    }
    if (result == 0)
        result = relation_find_by_disk(call->site, id, &pair);
    if (result < 0 && result != -ENOENT)
        call_fail_internal(call, err_name(result));
    else if (result == 0 && !judge_pair(call, &pair, growing))
        return false;
    else if (disk->status != DISK_AVAILABLE && disk->status != DISK_IN_USE)
        call_fail(call, API_DISK_STATUS, "Disk %s is %s.", id, disk_state_name(disk->status));
    else
        return true;
    return false;
}

/* False: answered. */
static bool new_size(struct call *call, struct growing *growing)
{
    const struct disk_record *disk = &growing->disk;
    const int64_t max = (int64_t)GIB_MAX << GIB_SHIFT;
    int64_t bytes = call_has(call, "NewSizeBytes") ? call_int(call, "NewSizeBytes")
                                                   : call_int(call, "NewSize") << GIB_SHIFT;

    growing->bytes = bytes;
    if (!call_has(call, "NewSizeBytes") && !call_has(call, "NewSize"))
        call_fail(call, API_DISK_INCOMPLETE, "NewSize is missing.");
    else if (bytes % DISK_GRAIN != 0)
        call_fail(call, API_DISK_NEW_SIZE, "%lld bytes are no multiple of %d.", (long long)bytes,
                  DISK_GRAIN);
    else if (bytes > max)
        call_fail(call, API_DISK_NEW_SIZE_LARGE, "At most %d GiB.", GIB_MAX);
    else if (bytes == disk->size_bytes && !growing->is_paired)
        call_fail(call, API_DISK_NEW_SIZE_SAME, "Disk %s has %lld bytes.", disk->id,
                  (long long)bytes);
    else if (bytes < disk->size_bytes)
        call_fail(call, API_DISK_NEW_SIZE_SMALL, "Disk %s has %lld bytes.", disk->id,
                  (long long)disk->size_bytes);
    else
        return (!growing->is_paired || quota_allows_group_growth(call, &growing->relation, disk->id,
                                                                 bytes - disk->size_bytes)) &&
               quota_allows_growth(call, disk->id, bytes - disk->size_bytes);
    return false;
}

/* Hosts may use the new size already: until the record has it too, or a restart has taken the old
 * one again, no pair may be made by the record. */
static void fail_unrecorded(struct call *call)
{
    struct site *site = call->site;

    if (!site->grown)
        site->grown = json_object();
    check(site->grown);
    if (!json_object_get(site->grown, call->object))
        check(json_object_set_new(site->grown, call->object, json_true()) == 0);
    call_fail_internal(call, "the disk has grown, but its record could not be written: ask again");
}

static json_t *order_reply(struct site *site)
{
    json_t *reply = json_object();
    char order[24];

    check(reply);
    snprintf(order, sizeof(order), "%015llu",
             (unsigned long long)(site_random(site) % UINT64_C(1000000000000000)));
    tree_set_text(reply, "OrderId", order);
    return reply;
}

static void record_size(struct call *call)
{
    struct disk_record disk;
    struct change change;
    json_t *reply;
    int result = meta_get(call->site->meta, RECORD_DISK, call->object, &disk);

    if (result == -ENOENT) {
        call_fail(call, API_DISK_NOT_FOUND, "Disk %s was deleted meanwhile.", call->object);
        return;
    }
    if (result < 0) {
        fail_unrecorded(call);
        return;
    }
    reply = order_reply(call->site);
    change_begin(&change, call->site);
    size_watch_put(&change, &disk, (int64_t)call->request.size_bytes);
    token_remember(&change, call, reply);
    if (change_commit(&change) < 0) {
        json_decref(reply);
        fail_unrecorded(call);
        return;
    }
    json_object_del(call->site->grown, call->object);
    size_watch_tell(call->site, call->object);
    call_reply(call, reply);
}

/* Of the data wing, with a reason that its caller can do something about. */
static bool is_refusal(int error)
{
    return error == -ENOSPC || error == -EBUSY || error == -EAGAIN;
}

static void grown(struct data_request *request)
{
    struct call *call = container_of(request, struct call, request);

    check_magic(call, CALL_MAGIC);
    site_done(call->site);
    if (request->error == 0)
        record_size(call);
    else if (request->error == -EHOSTUNREACH)
        call_fail(call, API_REQUEST_TIMEOUT, "%s.", request->why);
    else if (request->error == -EFBIG)
        call_fail(call, API_DISK_NEW_SIZE_LARGE, "%s.", request->why);
    else if (request->error == -ENOENT) /* a start has left it out, and its log says why */
        call_fail(call, API_DISK_STATUS, "Disk %s cannot be opened; see the log.", call->object);
    else if (is_refusal(request->error))
        call_fail(call, API_DISK_RESIZE_DENIED, "%s.", request->why);
    else
        call_fail_internal(call, request->why);
}

static void grow_ours(struct call *call, int64_t bytes)
{
    call->request = (struct data_request){
        .op = DATA_DISK_GROW, .disk = call->object, .size_bytes = (uint64_t)bytes};
    site_submit(call->site, &call->request, grown);
}

/* --- the copy first -------------------------------------------------------------------------- */

struct asking {
    struct peer_call peer_call;
    struct call *call;
    char peer[RECORD_WORD_SIZE], pair[RECORD_ID_SIZE];
};

/* The world went on: all is judged again, and the pair must be the same. */
static void theirs_grown(struct peer_call *peer_call)
{
    struct asking *asking = container_of(peer_call, struct asking, peer_call);
    struct call *call = asking->call;
    struct growing growing = {0};

    if (peer_call->error < 0) {
        call_fail(call, API_REQUEST_TIMEOUT, "Site %s is not reachable: %s.", asking->peer,
                  peer_call->why);
    } else if (peer_call->status != 200) {
        judge_fail_as_peer(call, asking->peer, peer_call->code, peer_call->message);
    } else if (!load_disk(call, &growing) || !new_size(call, &growing)) {
        /* answered */
    } else if (!growing.is_paired ||
               strcmp(relation_own(&growing.relation)->id, asking->pair) != 0) {
        call_fail(call, API_DISK_STATUS, "Disk %s is not in pair %s any more.", call->object,
                  asking->pair);
    } else {
        grow_ours(call, growing.bytes);
    }
    free(asking);
}

static void grow_theirs(struct call *call, struct growing *growing)
{
    struct relation *relation = &growing->relation;
    struct asking *asking = calloc(1, sizeof(*asking));
    json_t *arguments = json_object();
    const struct pair_record *pair = &relation->pair;
    bool is_production = relation_is_production(call->site, relation);

    check(asking && arguments);
    asking->call = call;
    strcpy(asking->peer, relation_peer(call->site, relation));
    strcpy(asking->pair, pair->common.id);
    tree_set_text(arguments, "id", pair->common.id);
    tree_set_text(arguments, "disk", is_production ? pair->backup_disk : pair->production_disk);
    tree_set_int(arguments, "bytes", growing->bytes);
    peer_call(call->site, &asking->peer_call, asking->peer, "disk.grow", arguments, theirs_grown);
}

/* --- the peer's call ------------------------------------------------------------------------- */

struct serving {
    struct data_request request;
    struct quota_growth growth;
};

/* It must have that size behind a restart, too, or the source would be larger than its copy for
 * good; where there is no stream nothing but the record tells it. */
static void served(struct data_request *request)
{
    struct serving *serving = container_of(request, struct serving, request);
    struct peer_answer *answer = request->arg;

    site_done(answer->site);
    if (request->error == 0 && !size_watch_settle(answer->site, request->disk, request->size_bytes))
        peer_answer_fail(answer, API_INTERNAL_ERROR,
                         "the copy has grown, but its record could not be written: ask again.");
    else if (request->error == 0)
        peer_answer_ok(answer, NULL);
    else if (request->error == -EFBIG)
        peer_answer_fail(answer, API_DISK_NEW_SIZE_LARGE, "%s.", request->why);
    else if (request->error == -ENOENT)
        peer_answer_fail(answer, API_DISK_STATUS, "disk %s cannot be opened; see its log.",
                         request->disk);
    else if (is_refusal(request->error))
        peer_answer_fail(answer, API_DISK_RESIZE_DENIED, "%s.", request->why);
    else
        peer_answer_fail(answer, API_INTERNAL_ERROR, "%s.", request->why);
    list_remove(&serving->growth.node);
    free(serving);
}

/* Is it ours, and their copy? False: answered. */
static bool judge_copy(struct peer_answer *answer, const char *disk_id, int64_t bytes,
                       struct disk_record *ret_disk)
{
    struct site *site = answer->site;
    const char *id = tree_text(answer->arguments, "id");
    struct relation relation;
    int room;

    if (relation_load(site, id, &relation) < 0 || relation.is_group ||
        strcmp(relation_peer(site, &relation), answer->peer) != 0 ||
        strcmp(relation_disk(site, &relation.pair), disk_id) != 0 ||
        meta_get(site->meta, RECORD_DISK, disk_id, ret_disk) < 0) {
        peer_answer_fail(answer, API_NO_SUCH_RESOURCE, "%.60s is not known.", id);
        return false;
    }
    room = bytes > ret_disk->size_bytes
               ? quota_has_room_for_bytes(site, disk_id, bytes - ret_disk->size_bytes)
               : 1;
    if (site->is_strict)
        peer_answer_fail(answer, API_DISK_IN_REPLICATION, "disk %s is in pair %s.", disk_id, id);
    else if (relation_is_source(site, &relation))
        peer_answer_fail(answer, API_DISK_STATUS, "disk %s is no copy by now.", disk_id);
    else if (ret_disk->status != DISK_AVAILABLE && ret_disk->status != DISK_IN_USE)
        peer_answer_fail(answer, API_DISK_STATUS, "disk %s is %s.", disk_id,
                         disk_state_name(ret_disk->status));
    else if (bytes <= 0 || bytes % DISK_GRAIN != 0 || bytes > (int64_t)GIB_MAX << GIB_SHIFT)
        peer_answer_fail(answer, API_DISK_NEW_SIZE, "malformed size.");
    else if (room < 0)
        peer_answer_fail(answer, API_INTERNAL_ERROR, "%s", err_name(room));
    else if (room == 0)
        peer_answer_fail(answer, API_DISK_RESIZE_DENIED, "its disks would exceed their quota.");
    else
        return true;
    return false;
}

void ops_disk_serve_grow(struct peer_answer *answer)
{
    const char *id = tree_text(answer->arguments, "disk");
    int64_t bytes = tree_int(answer->arguments, "bytes", 0);
    struct disk_record disk;
    struct serving *serving;

    if (!judge_copy(answer, id, bytes, &disk))
        return;
    if (bytes < disk.size_bytes) /* an earlier call came only so far: it stays as large */
        bytes = disk.size_bytes;
    serving = calloc(1, sizeof(*serving));
    check(serving);
    serving->request =
        (struct data_request){.op = DATA_DISK_GROW, .size_bytes = (uint64_t)bytes, .arg = answer};
    serving->growth.bytes = (uint64_t)bytes;
    strcpy(serving->growth.disk, disk.id);
    serving->request.disk = serving->growth.disk;
    list_append(&answer->site->growths, &serving->growth.node);
    site_submit(answer->site, &serving->request, served);
}

/* --- the operation --------------------------------------------------------------------------- */

bool ops_disk_is_growing(struct site *site, const char *id)
{
    return json_object_get(site->grown, id) || call_is_running(site, ops_disk_resize, id);
}

void ops_disk_resize(struct call *call)
{
    struct growing growing = {0};

    if (!load_disk(call, &growing) || !new_size(call, &growing))
        return;
    if (call_is_running(call->site, ops_disk_resize, growing.disk.id)) {
        call_fail(call, API_DISK_STATUS, "Disk %s is being resized.", growing.disk.id);
        return;
    }
    strcpy(call->object, growing.disk.id);
    call->growth_bytes = (uint64_t)growing.bytes;
    if (growing.is_paired)
        grow_theirs(call, &growing);
    else
        grow_ours(call, growing.bytes);
}
