/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: Start, Stop, Failover, Reprotect and Delete are the same for pairs and groups.
 *
 * Who is asked
 *  - Start: the peer prepares its end first (StandbyDeviceAttached is seen there). Once both ends
 *    exist, a start needs no peer.
 *  - Stop: nobody; at the source.
 *  - Failover: nobody; at the target. That is what it is for.
 *  - Reprotect: the peer, whether the primary disks are detached; then a job.
 *  - Delete: nobody; the peer hears of it when it can.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "control/anew.h"
#include "control/consent.h"
#include "control/judge.h"
#include "control/opening.h"
#include "control/operations.h"
#include "control/peer.h"
#include "control/sharing.h"
#include "control/sync.h"
#include "control/tree.h"

/* A call that waits for the peer. */
struct asking {
    struct peer_call peer_call;
    struct call *call;
    char peer[RECORD_WORD_SIZE];
    char invalid[RECORD_ID_SIZE]; /* of a reprotect: what keeps it from being one by records */
};

static void ask(struct call *call, const struct relation *relation, const char *name,
                json_t *arguments, const char *invalid, void (*done_cb)(struct peer_call *))
{
    struct asking *asking = calloc(1, sizeof(*asking));

    check(asking);
    asking->call = call;
    strcpy(asking->invalid, invalid);
    strcpy(asking->peer, relation_peer(call->site, relation));
    peer_call(call->site, &asking->peer_call, asking->peer, name, arguments, done_cb);
}

/* --- start ----------------------------------------------------------------------------------- */

static void start_accept(struct call *call)
{
    struct relation relation;
    struct replica_record *own;
    enum replica_state to;

    if (judge_relation(call, &relation) != STATE_ALLOW)
        return;
    own = relation_own(&relation);
    if (own->opened_serial != own->stream_serial) {
        call_fail(call, API_INVALID_STATUS, "%s has other pairs by now.", own->id);
        return;
    }
    if (call_bool(call, "OneShot")) {
        to = REPLICA_MANUAL_SYNCING;
        own->one_shot_s = site_now_s(call->site);
    } else {
        to = relation.is_group ? REPLICA_SYNCING : REPLICA_INITIAL_SYNCING;
    }
    judge_accept(call, &relation, to, "start", "");
}

static void start_consented(void *arg, bool is_given)
{
    if (is_given)
        sharing_join(arg, start_accept);
    else
        consent_fail(arg);
}

static void start_opened(void *arg, int error, const char *why)
{
    struct call *call = arg;

    if (error == -EBUSY)
        call_fail(call, API_INVALID_STATUS, "%s.", why);
    else if (error == -ENOENT || error == -ENODEV) /* a disk that the daemon's start left out */
        call_fail(call, API_DENIED, "%s; see the log.", why);
    else if (error < 0)
        call_fail_internal(call, why);
    else
        consent_ask(call, start_consented, call);
}

static void start_asked(struct peer_call *peer_call)
{
    struct asking *asking = container_of(peer_call, struct asking, peer_call);
    struct call *call = asking->call;
    const char *id = call_text(call, call->operation->object);
    struct relation relation;

    if (peer_call->error == 0 && peer_call->status != 200) {
        judge_fail_as_peer(call, asking->peer, peer_call->code, peer_call->message);
    } else if (judge_relation(call, &relation) != STATE_ALLOW) {
        /* answered */
    } else if (peer_call->error < 0 &&
               (relation_own(&relation)->opened_serial == 0 ||
                relation_own(&relation)->opened_serial != relation_own(&relation)->stream_serial)) {
        call_fail(call, API_REQUEST_TIMEOUT,
                  "Site %s, needed for the first start, is not "
                  "reachable: %s.",
                  asking->peer, peer_call->why);
    } else {
        opening_start(call->site, id, true, start_opened, call);
    }
    free(asking);
}

static int append_record(struct site *site, const char *id, json_t *records)
{
    json_t *record = sync_record_tree(site, id);

    if (!record)
        return -EIO;
    check(json_array_append_new(records, record) == 0);
    return 0;
}

/* NULL: the records cannot be read. */
static json_t *prepare_tree(struct site *site, const struct relation *relation)
{
    const struct replica_record *record = relation_ruler(relation);
    json_t *tree = json_object(), *records = json_array();
    struct pair_record *pairs = NULL;
    unsigned count = 0;
    int result;

    check(tree && records);
    tree_set_text(tree, "id", record->id);
    tree_set_int(tree, "serial", record->stream_serial);
    tree_set(tree, "records", records);
    result = relation_members(site, relation, &pairs, &count);
    if (result == 0 && relation->is_group)
        result = append_record(site, record->id, records);
    for (unsigned i = 0; result == 0 && i < count; i++)
        result = append_record(site, pairs[i].common.id, records);
    free(pairs);
    if (result == 0)
        return tree;
    json_decref(tree);
    return NULL;
}

void ops_relation_start(struct call *call)
{
    struct relation relation;
    const struct replica_record *own;
    json_t *arguments;
    int64_t since_s;

    if (judge_relation(call, &relation) != STATE_ALLOW)
        return;
    own = relation_own(&relation);
    since_s = site_now_s(call->site) - own->one_shot_s;
    /* A clock that went back holds nobody up. */
    if (call_bool(call, "OneShot") && own->one_shot_s > 0 && since_s >= 0 &&
        since_s * 2 <= own->rpo_s) {
        call_fail(call, API_MANUAL_SYNC_LIMIT, NULL);
        return;
    }
    arguments = prepare_tree(call->site, &relation);
    if (!arguments)
        call_fail_internal(call, "its records cannot be read");
    else
        ask(call, &relation, "stream.prepare", arguments, "", start_asked);
}

/* --- stop, failover, delete ------------------------------------------------------------------ */

void ops_relation_stop(struct call *call)
{
    struct relation relation;

    if (judge_relation(call, &relation) == STATE_ALLOW)
        judge_accept(call, &relation, REPLICA_STOPPING, "stop", "");
}

/* Why a disk that is in a relation is closed to hosts. */
static const char *why_closed(const struct site *site, const char *id)
{
    const struct data_disk_status *disk = site_disk(site, id);
    const char *why = disk && disk->why[0] ? disk->why : site_trouble(site, id);

    return why[0] ? why : "it is not open";
}

/* A cancel of the failover that was begun and failed keeps the disks of the loser closed until it
 * ends: the other site may be the source already. The engine takes a stream that is promoted for
 * failed over, so it would be told that hosts may write. False: answered. */
static bool check_open(struct call *call, const struct relation *relation)
{
    struct site *site = call->site;
    const char *id = relation_ruler(relation)->id, *closed = NULL;
    const struct data_stream_status *stream = site_stream(site, id);
    struct pair_record *pairs = NULL;
    unsigned count = 0;
    int result;

    if (relation_shown(site, relation) != REPLICA_REPROTECT_FAILED || !stream ||
        stream->role != DATA_ROLE_PROMOTED)
        return true;
    result = relation_members(site, relation, &pairs, &count);
    for (unsigned i = 0; !closed && i < count; i++) {
        const struct data_disk_status *disk = site_disk(site, relation_disk(site, &pairs[i]));

        if (!disk || !disk->may_write)
            closed = relation_disk(site, &pairs[i]);
    }
    if (result < 0)
        call_fail_internal(call, err_name(result));
    else if (closed)
        call_fail(
            call, API_INVALID_STATUS,
            "%s is reprotect_failed, and disk %s is closed to hosts: %s. Mend that, or ask for "
            "the reprotect again; when the other site is lost, forget it.",
            id, closed, why_closed(site, closed));
    free(pairs);
    return result == 0 && !closed;
}

/* A stream that a start left out tells nothing of its points. False: answered. */
static bool check_point(struct call *call, const struct relation *relation)
{
    const char *id = relation_ruler(relation)->id, *trouble = site_trouble(call->site, id);

    if (relation_has_point(call->site, relation))
        return true;
    if (!site_stream(call->site, id) && trouble[0])
        call_fail(call, API_INVALID_STATUS,
                  "%s cannot be opened at site %s: %s. Repair that, restart versod there and ask "
                  "again; when it cannot be repaired, forget it.",
                  id, call->site->name, trouble);
    else
        call_fail(call, API_INVALID_STATUS, "%s has no recovery point yet.", id);
    return false;
}

void ops_relation_failover(struct call *call)
{
    const struct replica_record *own;
    struct relation relation;

    if (judge_relation(call, &relation) != STATE_ALLOW)
        return;
    own = relation_own(&relation);
    /* The stream that has the point goes: accepted, this would end the removal's job, and hosts
     * would reach disks that no stream keeps the other site's hosts from. */
    if (own->opened_serial != own->stream_serial && own->opened_serial != 0) {
        call_fail(call, API_INVALID_STATUS,
                  "%s has other pairs by now, and what they had before is being ended.", own->id);
        return;
    }
    if (!check_point(call, &relation) || !check_open(call, &relation))
        return;
    relation_own(&relation)->term++;
    judge_accept(call, &relation, REPLICA_FAILOVERING, "failover", "");
}

void ops_relation_delete(struct call *call)
{
    struct relation relation;
    struct pair_record *pairs = NULL;
    unsigned count = 0;

    if (judge_relation(call, &relation) != STATE_ALLOW)
        return;
    if (relation.is_group) {
        int result = relation_members(call->site, &relation, &pairs, &count);

        free(pairs);
        if (result < 0)
            call_fail_internal(call, err_name(result));
        else if (count > 0)
            call_fail(call, API_GROUP_HAS_PAIR, NULL);
        if (result < 0 || count > 0)
            return;
    }
    relation_own(&relation)->was_written = relation_is_written(call->site, &relation);
    judge_accept(call, &relation, REPLICA_DELETING, "delete", "");
}

/* --- reprotect ------------------------------------------------------------------------------- */

/* Cancelling the failover makes our disks the target again. False: answered. */
static bool check_detached(struct call *call, const struct relation *relation)
{
    struct attachment_record attachment;
    int attached = call_bool(call, "ReverseReplicate")
                       ? 0
                       : relation_find_attached(call->site, relation, &attachment);

    if (attached < 0)
        call_fail_internal(call, err_name(attached));
    else if (attached > 0)
        call_fail(call, API_DENIED, "Disk %s is attached to %s at site %s.", attachment.disk_id,
                  attachment.instance_id, call->site->name);
    return attached == 0;
}

static void reprotect_accept(struct call *call)
{
    struct relation relation;

    if (judge_relation(call, &relation) == STATE_ALLOW && check_detached(call, &relation))
        judge_accept(call, &relation, REPLICA_REPROTECTING, "reprotect",
                     call_bool(call, "ReverseReplicate") ? "reverse" : "cancel");
}

/* By the records: the other site has ended its replication (anew.c). */
static void anew_accept(struct call *call)
{
    struct relation relation;

    if (judge_relation(call, &relation) != STATE_ALLOW)
        return;
    relation_own(&relation)->stream_serial++;
    judge_accept(call, &relation, REPLICA_REPROTECTING, "reprotect", "anew");
}

static void anew_consented(void *arg, bool is_given)
{
    if (is_given)
        sharing_join(arg, anew_accept);
    else
        consent_fail(arg);
}

static void reprotect_consented(void *arg, bool is_given)
{
    if (is_given)
        sharing_join(arg, reprotect_accept);
    else
        consent_fail(arg);
}

static void reprotect_asked(struct peer_call *peer_call)
{
    struct asking *asking = container_of(peer_call, struct asking, peer_call);
    struct call *call = asking->call;

    if (peer_call->error < 0)
        call_fail(call, API_REQUEST_TIMEOUT, "Site %s is not reachable: %s.", asking->peer,
                  peer_call->why);
    else if (peer_call->status != 200 && asking->invalid[0])
        call_fail(call, api_error_find(peer_call->code),
                  "Site %s: %s Or remove pair %s, which is invalid, from the group, and ask again.",
                  asking->peer, peer_call->message, asking->invalid);
    else if (peer_call->status != 200)
        judge_fail_as_peer(call, asking->peer, peer_call->code, peer_call->message);
    else if (tree_bool(peer_call->reply, "is_anew", false))
        consent_ask(call, anew_consented, call);
    else
        consent_ask(call, reprotect_consented, call);
    free(asking);
}

void ops_relation_reprotect(struct call *call)
{
    bool is_reverse = call_bool(call, "ReverseReplicate");
    struct relation relation;
    json_t *arguments;
    char invalid[RECORD_ID_SIZE];
    int result;

    if (judge_relation(call, &relation) != STATE_ALLOW || !check_detached(call, &relation))
        return;
    if (anew_is_past(relation_own(&relation)) && !is_reverse) {
        call_fail(call, API_INVALID_STATUS,
                  "The replication of %s has ended: its failover cannot be cancelled any more.",
                  relation_own(&relation)->id);
        return;
    }
    arguments = json_object();
    check(arguments);
    tree_set_text(arguments, "id", relation_own(&relation)->id);
    result = anew_offer(call->site, &relation, is_reverse, arguments, invalid);
    if (result < 0) {
        json_decref(arguments);
        call_fail_internal(call, err_name(result));
        return;
    }
    ask(call, &relation, "reprotect.check", arguments, invalid, reprotect_asked);
}
