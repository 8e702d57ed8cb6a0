/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: any site's door takes calls for both sites. RegionId names the site; where both sites lie in
 * one region it cannot, and the operation's rule finds the site (contract 5.10, S18).
 */
#include "control/route.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "control/consent.h"
#include "control/parts.h"
#include "control/peer.h"
#include "control/relation.h"
#include "control/tree.h"

struct passing {
    struct peer_call peer_call;
    struct call *call;
    void (*done_cb)(struct call *call, json_t *body); /* NULL: it is the call's answer */
    struct consent consent;
    char peer[RECORD_WORD_SIZE];
    json_t *texts; /* of a page that comes in parts; else NULL */
    json_t *whole; /* of it, what came so far; NULL: nothing yet */
};

static void send(struct call *call, const char *peer, json_t *texts, json_t *whole,
                 void (*done_cb)(struct call *call, json_t *body));

/* How many wait for the peer now; none for one that the configuration does not name any more. */
static unsigned count_passed(const struct call *call, const char *name, int more)
{
    struct site_peer *peer = site_peer_named(call->site, name);

    if (peer)
        peer->passed_count += (unsigned)more;
    return peer ? peer->passed_count : 0;
}

/* It may have been done: RequestTimeout would be a lie. */
static void fail_unknown(struct call *call, const struct passing *passing)
{
    char why[500];

    snprintf(why, sizeof(why),
             "site %s has begun it and has not told the end (%.200s): it may be done. Look, or "
             "repeat it with the same ClientToken",
             passing->peer, passing->peer_call.error < 0 ? passing->peer_call.why : "malformed");
    call_fail_internal(call, why);
}

/* A page that was asked for by its number is fetched whole. True: there is more to come. */
static bool fetch_more(struct passing *passing, json_t *body)
{
    json_t *texts = passing->texts ? parts_take(&passing->whole, body, passing->texts) : NULL;

    if (texts)
        send(passing->call, passing->peer, texts, json_incref(passing->whole), passing->done_cb);
    return texts != NULL;
}

static void succeed(struct passing *passing, json_t *body)
{
    struct call *call = passing->call;

    if (fetch_more(passing, body))
        return;
    body = passing->whole ? passing->whole : body;
    if (passing->done_cb)
        passing->done_cb(call, body);
    else
        call_answer(call, 200, json_incref(body));
}

static void pass_done(struct peer_call *peer_call)
{
    struct passing *passing = container_of(peer_call, struct passing, peer_call);
    struct call *call = passing->call;
    int64_t status = tree_int(peer_call->reply, "status", 0);
    json_t *body = json_object_get(peer_call->reply, "body");
    bool is_whole = peer_call->error == 0 && peer_call->status == 200 && status >= 200 &&
                    status <= 599 && json_is_object(body);

    count_passed(call, passing->peer, -1);
    if (consent_close(&passing->consent) && !is_whole)
        fail_unknown(call, passing);
    else if (peer_call->error < 0)
        call_fail(call, API_REQUEST_TIMEOUT, "Site %s is not reachable: %s.", passing->peer,
                  peer_call->why);
    else if (peer_call->status != 200)
        call_fail(call, API_SERVICE_UNAVAILABLE, "Site %s: %s.", passing->peer, peer_call->message);
    else if (!is_whole)
        call_fail_internal(call, "the peer's answer is malformed");
    else if (status == 200)
        succeed(passing, body);
    else
        call_answer(call, (unsigned)status, json_incref(body));
    json_decref(passing->texts);
    json_decref(passing->whole);
    free(passing);
}

/* `texts` and `whole` are taken over. */
static void send(struct call *call, const char *peer, json_t *texts, json_t *whole,
                 void (*done_cb)(struct call *call, json_t *body))
{
    struct passing *passing = calloc(1, sizeof(*passing));
    json_t *arguments = json_object(), *caller = caller_tree(&call->caller);

    check(passing && arguments && caller);
    passing->call = call;
    passing->done_cb = done_cb;
    passing->whole = whole;
    if (call->hop_count == 0 && (whole || parts_may_come(texts)))
        passing->texts = json_incref(texts);
    strncpy(passing->peer, peer, sizeof(passing->peer) - 1);
    count_passed(call, peer, 1);
    consent_open(&passing->consent, call, passing->peer, call->site->call_timeout_ns);
    tree_set_text(arguments, "action", call->operation->name);
    tree_set_text(arguments, "version", call->operation->version);
    tree_set_text(arguments, "request_id", call->request_id);
    tree_set_text(arguments, "number", passing->consent.number);
    tree_set_int(arguments, "hops", call->hop_count + 1);
    tree_set(arguments, "caller", caller);
    tree_set(arguments, "parameters", texts);
    peer_call(call->site, &passing->peer_call, passing->peer, "forward", arguments, pass_done);
}

void route_ask(struct call *call, const char *peer, json_t *texts,
               void (*done_cb)(struct call *call, json_t *body))
{
    if (call->hop_count >= CALL_HOPS_MAX) {
        json_decref(texts);
        call_fail(call, API_SERVICE_UNAVAILABLE,
                  "The sites do not agree yet which of them runs this; ask again.");
        return;
    }
    if (count_passed(call, peer, 0) >= SITE_PASSED_MAX) {
        json_decref(texts);
        call_fail(call, API_SERVICE_UNAVAILABLE, "Too many calls wait for site %s.", peer);
        return;
    }
    if (json_dumpb(texts, NULL, 0, JSON_COMPACT) > DATA_CALL_BYTES_MAX / 2) {
        json_decref(texts);
        call_fail(call, API_REQUEST_TOO_LARGE, NULL);
        return;
    }
    send(call, peer, texts, NULL, done_cb);
}

void route_pass(struct call *call, const char *peer)
{
    route_ask(call, peer, json_incref(call->texts), NULL);
}

enum where { WHERE_HERE, WHERE_PEER, WHERE_EITHER, WHERE_NOWHERE };

static enum where where_is(struct call *call, const struct site_peer **ret_peer)
{
    struct site *site = call->site;
    const char *region = call_text(call, "RegionId");
    /* A call that a peer passed on was sent here for a reason. */
    bool is_here = !region[0] || strcmp(region, site->region) == 0 || call->hop_count > 0;

    *ret_peer = region[0] ? site_peer_in(site, region, NULL) : NULL;
    if (is_here)
        return *ret_peer ? WHERE_EITHER : WHERE_HERE;
    return *ret_peer ? WHERE_PEER : WHERE_NOWHERE;
}

/* Both sites lie in the region: the zone tells. */
static bool route_zone(struct call *call)
{
    const char *zone = call->operation->zone ? call_text(call, call->operation->zone) : "";
    const struct site_peer *peer;

    if (!zone[0] || strcmp(zone, call->site->zone) == 0)
        return true;
    peer = site_peer_in(call->site, call_text(call, "RegionId"), zone);
    if (!peer)
        return true; /* the operation itself refuses the zone */
    route_pass(call, peer->name);
    return false;
}

/* True when the call names disks, and none of them is here. */
static bool names_others(struct call *call)
{
    /* ModifyDiskAttribute takes one or several. */
    const json_t *named = json_object_get(
        call->parameters, call_has(call, "DiskIds") ? "DiskIds" : call->operation->object);
    size_t count = json_is_array(named) ? json_array_size(named) : json_is_string(named) ? 1 : 0;
    struct disk_record disk;

    for (size_t i = 0; i < count; i++) {
        const json_t *id = json_is_array(named) ? json_array_get(named, i) : named;

        if (meta_get(call->site->meta, RECORD_DISK, json_string_value(id), &disk) != -ENOENT)
            return false;
    }
    return count > 0;
}

/* Both sites lie in the region, or no region is given (clients leave it out of DetachDisk): the
 * disk tells. One that neither site knows is refused by the peer. */
const char *route_disk_peer(const struct call *call)
{
    struct site *site = call->site;
    const char *region = call_text(call, "RegionId");
    const struct site_peer *peer;

    if (call->hop_count > 0)
        return NULL;
    if (!region[0])
        return site->peer_count == 1 ? site->peers[0].name : NULL;
    peer = strcmp(region, site->region) == 0 ? site_peer_in(site, region, NULL) : NULL;
    return peer ? peer->name : NULL;
}

static bool route_disk(struct call *call, bool is_either)
{
    const char *peer = route_disk_peer(call);

    if (call->hop_count > 0)
        return true;
    if (!names_others(call))
        return !is_either || route_zone(call);
    if (peer)
        route_pass(call, peer);
    return !peer;
}

/* The lost site of a failed-over relation cannot be asked: the promoted one may end it alone, and
 * take out of a group what the other site has deleted. Where ending it failed, it is asked again.
 */
static bool is_end_of_failover(const struct operation *operation, const struct relation *relation)
{
    bool is_delete = operation->is_group ? operation->group_op == GROUP_DELETE
                                         : operation->pair_op == PAIR_DELETE;
    bool is_removal = operation->is_group && operation->group_op == GROUP_REMOVE_PAIR;

    enum replica_state status = relation_ruler(relation)->status;

    return ((is_delete || is_removal) && status == REPLICA_FAILOVERED) ||
           (is_delete && status == REPLICA_DELETE_FAILED);
}

/* Failed over to this site, whose record counts then: what the source does in other states is
 * refused in this one, also when the lost site cannot be asked. */
static bool is_promoted(const struct relation *relation, bool is_source)
{
    enum replica_state status = relation_ruler(relation)->status;

    return !is_source && (status == REPLICA_FAILOVERED || status == REPLICA_FAILOVERING);
}

static bool route_relation(struct call *call, bool is_either)
{
    struct site *site = call->site;
    const struct operation *operation = call->operation;
    const char *id = call_text(call, operation->object);
    struct relation relation;
    bool is_source, is_right;

    if (relation_load(site, id, &relation) < 0 || relation.is_group != operation->is_group) {
        call_fail(call, API_NO_SUCH_RESOURCE, "%s %.60s is not known at site %s.",
                  operation->is_group ? "Group" : "Pair", id, site->name);
        return false;
    }
    is_source = relation_is_source(site, &relation);
    switch (operation->rule) {
    case SITE_SOURCE:
        is_right = is_source || is_promoted(&relation, is_source);
        is_either = true; /* either region may ask */
        break;
    case SITE_TARGET:
        is_right = !is_source;
        break;
    default:
        is_right = is_source || relation_is_production(site, &relation) ||
                   relation_own(&relation)->status == REPLICA_INVALID ||
                   is_end_of_failover(operation, &relation);
        break;
    }
    if (is_right)
        return true;
    if (is_either)
        route_pass(call, relation_peer(site, &relation));
    else
        call_fail(call,
                  relation_is_production(site, &relation) ? API_NOT_FOR_PRIMARY
                                                          : API_NOT_FOR_STANDBY,
                  NULL);
    return false;
}

bool route_call(struct call *call)
{
    const struct site_peer *peer;
    enum where where;

    if (call->operation->rule == SITE_ANY)
        return true;
    where = where_is(call, &peer);
    if (where == WHERE_NOWHERE) {
        call_fail(call,
                  call->operation->no_region ? call->operation->no_region : API_REGION_NOT_FOUND,
                  NULL);
        return false;
    }
    if (where == WHERE_PEER) {
        route_pass(call, peer->name);
        return false;
    }
    switch (call->operation->rule) {
    case SITE_ANY:
    case SITE_HERE:
        return true;
    case SITE_ZONE:
        return where == WHERE_HERE || route_zone(call);
    case SITE_DISK:
        return route_disk(call, where == WHERE_EITHER);
    case SITE_SOURCE:
    case SITE_TARGET:
    case SITE_PRODUCTION:
        return route_relation(call, where == WHERE_EITHER);
    }
    check(!"every rule has a case");
    return false;
}
