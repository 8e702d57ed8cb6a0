/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: each site must know every pair and group by itself (a failover needs nothing of the other
 * site), and both must agree again after a separation.
 *
 * Rules
 *  1. Records and tombstones are pushed one by one (pusher.h); of a peer that comes up, groups
 * before pairs.
 *  2. Adoption keeps local fields, cancels jobs of the record that stood here, and lets jobs
 *     remove a stream whose serial is past, and start or stop the source's as the record says.
 */
#include "control/sync.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/id.h"
#include "base/log.h"
#include "control/call.h"
#include "control/jobs.h"
#include "control/pusher.h"
#include "control/roster.h"
#include "control/spent.h"
#include "control/tag.h"
#include "control/tree.h"

struct sync {
    struct pusher pushers[SITE_PEERS_MAX];
};

static const char *const verdict_names[] = {
    [SYNC_TAKEN] = "taken",     [SYNC_SAME] = "same",       [SYNC_OLDER] = "older",
    [SYNC_DELETED] = "deleted", [SYNC_UNKNOWN] = "unknown", [SYNC_WAIT] = "wait",
    [SYNC_GOING] = "same",      [SYNC_REFUSED] = "refused",
};

static json_t *tree_of(const struct relation *relation)
{
    json_t *tree = json_object();

    check(tree);
    tree_set_text(tree, "kind", relation->is_group ? "group" : "pair");
    tree_set(tree, "record",
             relation->is_group ? tree_from_record(RECORD_GROUP, &relation->group)
                                : tree_from_record(RECORD_PAIR, &relation->pair));
    return tree;
}

json_t *sync_record_tree(struct site *site, const char *id)
{
    struct relation relation;

    return relation_load(site, id, &relation) < 0 ? NULL : tree_of(&relation);
}

/* --- pushing --------------------------------------------------------------------------------- */

static struct pusher *pusher_of(struct site *site, const char *peer)
{
    for (unsigned i = 0; i < site->peer_count; i++)
        if (strcmp(site->peers[i].name, peer) == 0)
            return &site->sync->pushers[i];
    return NULL;
}

/* Whose it is cannot be read now: each peer gets again what concerns it. */
static void mark_later(struct site *site)
{
    for (unsigned i = 0; i < site->peer_count; i++)
        pusher_mark_all_later(&site->sync->pushers[i]);
}

bool sync_is_told(const struct site *site)
{
    for (unsigned i = 0; i < site->peer_count; i++)
        if (!pusher_is_empty(&site->sync->pushers[i]))
            return false;
    return true;
}

void sync_mark(struct site *site, const char *id)
{
    struct relation relation;
    struct tombstone_record tombstone;
    struct pusher *pusher = NULL;
    int result;

    if (site->is_stopping)
        return;
    result = relation_load(site, id, &relation);
    if (result == 0) {
        pusher = pusher_of(site, relation_peer(site, &relation));
    } else if (result == -ENOENT) {
        result = meta_get(site->meta, RECORD_TOMBSTONE, id, &tombstone);
        if (result == 0 && !tombstone.is_acked)
            pusher = pusher_of(site, tombstone.peer);
    }
    if (result < 0 && result != -ENOENT)
        mark_later(site);
    if (pusher)
        pusher_mark(pusher, id);
}

/* What the peer's word means for our record is repeatable; negative: it could not be recorded. */

/* The peer deleted it when its record had this term: ours goes as well, unless that is under way.
 * Failed over here since, it stays and is invalid: a person decides. What could not be deleted is
 * not tried again while its trouble stands: its failure is a change, which the peer would answer
 * with the same word at once. */
static void delete_as_peer(struct change *change, struct relation *relation, int64_t term)
{
    struct replica_record *own = relation_own(relation);
    bool is_deleting;
    int result = jobs_exist(change->site, "delete", own->id, &is_deleting);

    if (result < 0)
        change_fail(change, result, "the list of its jobs");
    if (result < 0 || is_deleting ||
        (own->status == REPLICA_DELETE_FAILED && site_trouble(change->site, own->id)[0]))
        return;
    if (own->term > term) {
        own->status = REPLICA_INVALID;
        strcpy(own->status_message, "DeviceRemoved");
    } else {
        jobs_cancel(change, own->id);
        own->was_written = relation_is_written(change->site, relation);
        own->status = REPLICA_DELETING;
        jobs_add(change, "delete", own->id, "peer");
    }
    relation_put(change, relation);
}

/* 0 when there is no such record. */
static int load_if_there(struct site *site, const char *id, struct relation *ret_relation,
                         bool *ret_is_there)
{
    int result = relation_load(site, id, ret_relation);

    *ret_is_there = result == 0;
    return result == -ENOENT ? 0 : result;
}

static int commit_and_wake(struct change *change)
{
    int result = change_commit(change);

    if (result == 0)
        jobs_wake(change->site);
    return result;
}

/* The peer said that the record was deleted there. */
static int push_deleted(struct site *site, const char *id, int64_t term)
{
    struct relation relation;
    struct change change;
    bool is_there;
    int result = load_if_there(site, id, &relation, &is_there);

    if (!is_there)
        return result;
    change_begin(&change, site);
    delete_as_peer(&change, &relation, term);
    return commit_and_wake(&change);
}

/* A stream that is past goes as before: pairs that have left it want their disks. */
static void end_for_peer(struct change *change, const struct replica_record *own, bool is_fenced)
{
    bool is_past = own->opened_serial != own->stream_serial;

    jobs_cancel(change, own->id);
    if (own->opened_serial != 0)
        jobs_add(change, is_past ? "drop" : "part", own->id, is_fenced && !is_past ? "fence" : "");
}

/* The peer has given it up for itself alone: ours stays, for a person to end, but it does nothing
 * any more, and does not open where hosts write over there. A pair that was put into a group here,
 * apart, follows that group, and says so in its message alone: it must be taken out. */
static int take_forgotten(struct site *site, const char *id, int64_t forgotten)
{
    static const char message[] = "PeerForgot";
    struct relation relation;
    struct replica_record *own;
    struct change change;
    bool is_there, goes_here = false;
    int result = load_if_there(site, id, &relation, &is_there);

    if (!is_there)
        return result;
    own = relation_own(&relation);
    if (own->status == REPLICA_DELETING) /* else: theirs said so, on its way to be forgotten */
        result = jobs_exist(site, "delete", id, &goes_here);
    if (result < 0)
        return result;
    if (goes_here || (own->status == REPLICA_INVALID && strcmp(own->status_message, message) == 0))
        return 0;
    log_warning("control", "%s: %s has given it up for itself%s; delete it here as well", id,
                relation_peer(site, &relation),
                forgotten == TOMBSTONE_TAKEN ? ", and hosts write there" : "");
    own->status = REPLICA_INVALID;
    strcpy(own->status_message, message);
    change_begin(&change, site);
    relation_put(&change, &relation);
    if (!relation_is_member(&relation))
        end_for_peer(&change, own, forgotten == TOMBSTONE_TAKEN);
    return commit_and_wake(&change);
}

/* The peer never heard of a record whose creation it had begun: it never came to life. */
static int push_unknown(struct site *site, const char *id)
{
    struct relation relation;
    struct change change;
    bool is_there;
    int result = load_if_there(site, id, &relation, &is_there);

    if (!is_there || relation_own(&relation)->status != REPLICA_CREATING)
        return result;
    change_begin(&change, site);
    change_remove(&change, relation.is_group ? RECORD_GROUP : RECORD_PAIR, id);
    tag_forget(&change, id);
    return change_commit(&change);
}

static int ack_tombstone(struct site *site, const char *id)
{
    struct tombstone_record tombstone;
    struct change change;
    int result = meta_get(site->meta, RECORD_TOMBSTONE, id, &tombstone);

    if (result < 0)
        return result == -ENOENT ? 0 : result;
    tombstone.is_acked = true;
    change_begin(&change, site);
    change_put(&change, RECORD_TOMBSTONE, &tombstone);
    return change_commit(&change);
}

static int push_done(struct pusher *pusher, const struct peer_call *call, const json_t *marks)
{
    const char *verdict = tree_text(call->reply, "verdict");
    const char *id = json_object_iter_key(json_object_iter((json_t *)marks));
    struct site *site = pusher->site;

    if (strcmp(verdict, "wait") == 0)
        return -EAGAIN;
    if (strcmp(verdict, "deleted") == 0)
        return push_deleted(site, id, tree_int(call->reply, "term", 0));
    if (strcmp(verdict, "forgotten") == 0)
        return take_forgotten(site, id, tree_int(call->reply, "forgotten", 0));
    if (strcmp(verdict, "unknown") == 0)
        return push_unknown(site, id);
    if (strcmp(verdict, "gone") == 0)
        return ack_tombstone(site, id);
    if (call->status != 200 || strcmp(verdict, "refused") == 0)
        log_warning("control", "%s refused our record of %s: %s", pusher_peer_name(pusher), id,
                    call->message);
    return 0;
}

/* With its tags. */
static int make_put(struct site *site, const char *id, const struct relation *relation,
                    json_t **ret_tree)
{
    json_t *tags = NULL;
    int result = tag_tree(site, id, &tags);

    if (result < 0)
        return result;
    *ret_tree = tree_of(relation);
    if (tags)
        tree_set(*ret_tree, "tags", tags);
    return 0;
}

static json_t *make_delete(const struct tombstone_record *tombstone)
{
    json_t *tree = json_object();

    check(tree);
    tree_set_text(tree, "id", tombstone->id);
    tree_set_int(tree, "term", tombstone->term);
    tree_set_int(tree, "forgotten", tombstone->forgotten);
    return tree;
}

/* One record, or its tombstone. */
static int push_make(struct pusher *pusher, const char **ret_call, json_t **ret_tree)
{
    struct site *site = pusher->site;
    const char *id = pusher_take(pusher);
    struct tombstone_record tombstone = {0};
    struct relation relation;
    int result = relation_load(site, id, &relation);

    *ret_call = "record.put";
    if (result == 0)
        return make_put(site, id, &relation, ret_tree);
    if (result == -ENOENT)
        result = meta_get(site->meta, RECORD_TOMBSTONE, id, &tombstone);
    if (result < 0)
        return result == -ENOENT ? 0 : result;
    *ret_call = "record.delete";
    *ret_tree = make_delete(&tombstone);
    return 0;
}

static bool mark_relation(void *arg, uint64_t position, const void *record)
{
    struct pusher *pusher = arg;
    const char *peer = pusher->site->peers[pusher->peer].name;
    const struct replica_record *common = record; /* a pair and a group begin with it */

    if (strcmp(common->production_site, peer) == 0 || strcmp(common->backup_site, peer) == 0)
        pusher_add(pusher, common->id);
    return true;
}

static bool mark_tombstone(void *arg, uint64_t position, const void *record)
{
    const struct tombstone_record *tombstone = record;

    if (!tombstone->is_acked)
        pusher_add(arg, tombstone->id);
    return true;
}

/* Everything that concerns the peer. */
static int push_list(struct pusher *pusher)
{
    struct meta *meta = pusher->site->meta;
    struct meta_query groups = {.kind = RECORD_GROUP}, pairs = {.kind = RECORD_PAIR};
    struct meta_query tombstones = {
        .kind = RECORD_TOMBSTONE, .field = "peer", .value = pusher->site->peers[pusher->peer].name};
    int result = meta_walk(meta, &groups, 0, mark_relation, pusher);

    if (result == 0)
        result = meta_walk(meta, &pairs, 0, mark_relation, pusher);
    if (result == 0)
        result = meta_walk(meta, &tombstones, 0, mark_tombstone, pusher);
    return result;
}

void sync_init(struct site *site)
{
    static const struct pusher_ops ops = {.list = push_list, .make = push_make, .done = push_done};

    roster_init(site);
    spent_init(site);
    site->sync = calloc(1, sizeof(*site->sync));
    check(site->sync);
    for (unsigned i = 0; i < SITE_PEERS_MAX; i++)
        pusher_init(&site->sync->pushers[i], site, i, &ops);
}

void sync_stop(struct site *site)
{
    roster_stop(site);
    spent_stop(site);
    for (unsigned i = 0; i < SITE_PEERS_MAX; i++)
        pusher_stop(&site->sync->pushers[i]);
}

void sync_fini(struct site *site)
{
    if (!site->sync)
        return;
    for (unsigned i = 0; i < SITE_PEERS_MAX; i++)
        pusher_fini(&site->sync->pushers[i]);
    free(site->sync);
    site->sync = NULL;
    roster_fini(site);
    spent_fini(site);
}

void sync_peer_up(struct site *site, const char *peer)
{
    struct pusher *pusher = pusher_of(site, peer);

    if (!pusher || site->is_stopping)
        return;
    roster_sync_peer_up(site->roster_sync, peer);
    pusher_peer_up(pusher);
    spent_peer_up(site, peer);
}

/* --- adopting -------------------------------------------------------------------------------- */

static bool is_ours_with(struct site *site, const char *peer, const struct replica_record *record)
{
    bool is_production =
        strcmp(record->production_site, site->name) == 0 && strcmp(record->backup_site, peer) == 0;
    bool is_backup =
        strcmp(record->backup_site, site->name) == 0 && strcmp(record->production_site, peer) == 0;

    return (is_production || is_backup) && record->rpo_s >= 1 && record->rpo_s <= 86400 &&
           record->version >= 1;
}

bool sync_parse(struct site *site, const char *peer, const json_t *tree,
                struct relation *ret_relation)
{
    const json_t *record = json_object_get(tree, "record");
    const char *kind = tree_text(tree, "kind");

    memset(ret_relation, 0, sizeof(*ret_relation));
    ret_relation->is_group = strcmp(kind, "group") == 0;
    if (ret_relation->is_group)
        return tree_to_record(RECORD_GROUP, record, &ret_relation->group) &&
               id_is_valid("pg", ret_relation->group.common.id) &&
               is_ours_with(site, peer, &ret_relation->group.common);
    const struct pair_record *pair = &ret_relation->pair;
    return strcmp(kind, "pair") == 0 && tree_to_record(RECORD_PAIR, record, &ret_relation->pair) &&
           id_is_valid("pair", pair->common.id) && is_ours_with(site, peer, &pair->common) &&
           id_is_valid("d", pair->production_disk) && id_is_valid("d", pair->backup_disk) &&
           (!pair->group_id[0] || id_is_valid("pg", pair->group_id)) && pair->size_bytes > 0;
}

bool sync_is_in_reach(struct site *site, const char *peer, const struct replica_record *theirs,
                      const struct replica_record *ours)
{
    static const struct replica_record none;
    unsigned dropped;

    ours = ours ? ours : &none;
    if (tree_is_in_reach(theirs->term, ours->term) &&
        tree_is_in_reach(theirs->version, ours->version) &&
        tree_is_in_reach(theirs->stream_serial, ours->stream_serial))
        return true;
    if (log_limit_take(&site->malformed_limit, loop_now_ns(site->loop), &dropped))
        log_warning("control",
                    "%s: its record of %s is not taken: version %lld, term %lld, serial "
                    "%lld are out of reach of ours (%lld, %lld, %lld)",
                    peer, theirs->id, (long long)theirs->version, (long long)theirs->term,
                    (long long)theirs->stream_serial, (long long)ours->version,
                    (long long)ours->term, (long long)ours->stream_serial);
    return false;
}

/* SYNC_TAKEN: nothing is in the way. SYNC_REFUSED: another record has its disk already. */
static enum sync_verdict judge_disks(struct site *site, const struct relation *theirs)
{
    struct pair_record other;
    int result;

    if (theirs->is_group)
        return SYNC_TAKEN;
    result = relation_find_by_disk(site, relation_disk(site, &theirs->pair), &other);
    if (result < 0)
        return result == -ENOENT ? SYNC_TAKEN : SYNC_WAIT;
    return strcmp(other.common.id, theirs->pair.common.id) == 0 ? SYNC_TAKEN : SYNC_REFUSED;
}

/* Our end of its stream has gone since: a change of membership here, while the other site was apart
 * and failed over. A reprotect would wait for it for ever, but one that needs none (anew.c). */
static bool is_without_our_end(struct relation *theirs, int64_t our_serial)
{
    const struct replica_record *own = relation_own(theirs);

    return own->status == REPLICA_REPROTECTING && own->opened_serial == 0 &&
           own->stream_serial == our_serial && !relation_is_member(theirs);
}

static bool is_started_or_stopped(enum replica_state status)
{
    return replica_state_is_active(status) || status == REPLICA_STOPPING ||
           status == REPLICA_STOPPED || status == REPLICA_STOP_FAILED;
}

/* What brings a stream to where the record says that it is; NULL: nothing. A one-shot copy that is
 * not going on is over (works_end_one_shots()). */
static const char *job_towards(enum replica_state to, enum replica_state was)
{
    bool is_one_shot = to == REPLICA_MANUAL_SYNCING;

    if (to == REPLICA_STOPPING || (to == REPLICA_STOPPED && was != REPLICA_STOPPED))
        return "stop";
    if (!replica_state_is_active(to))
        return NULL;
    if (replica_state_is_active(was))
        return is_one_shot == (was == REPLICA_MANUAL_SYNCING) ? NULL : "start";
    return is_one_shot ? NULL : "start";
}

/* Theirs stands and our jobs go: a start or a stop of ours that the peer had not heard of is taken
 * back at the source, whether its job has ended or not, and one that is the same goes on. What a
 * cancelled job has asked for is done before what the new one asks for. */
static void follow(struct change *change, struct relation *theirs, struct relation *ours)
{
    const struct replica_record *own = relation_own(theirs);
    enum replica_state was = relation_own(ours)->status;
    bool is_cut_off = false, starts = replica_state_is_active(own->status);
    const char *kind = job_towards(own->status, was), *same = starts ? "start" : "stop";
    int result = jobs_exist(change->site, same, own->id, &is_cut_off);

    if (result < 0)
        change_fail(change, result, "the list of its jobs");
    jobs_cancel(change, own->id);
    if (is_cut_off && (starts || own->status == REPLICA_STOPPED))
        kind = same;
    if (!kind || relation_is_member(theirs) || !is_started_or_stopped(was) ||
        own->opened_serial != own->stream_serial || !relation_is_source(change->site, theirs))
        return;
    if (starts != replica_state_is_active(was))
        log_warning("control",
                    "%s, %s here, was changed at once at the other site, where it was %s: that "
                    "stands, %s",
                    own->id, replica_state_name(was), replica_state_name(own->status), kind);
    jobs_add(change, kind, own->id, "");
}

static enum sync_verdict take(struct site *site, struct relation *theirs,
                              const struct relation *ours)
{
    struct replica_record *record = relation_own(theirs);
    int64_t our_serial = record->stream_serial;
    bool ends_reprotect;
    struct change change;

    change_begin(&change, site);
    if (ours) {
        struct relation own = *ours;
        our_serial = relation_own(&own)->stream_serial;
        record->opened_serial = relation_own(&own)->opened_serial;
        if (relation_point_s(site, ours) > record->last_point_s)
            record->last_point_s = relation_point_s(site, ours);
        strcpy(record->opened_disks, relation_own(&own)->opened_disks);
        record->was_written = relation_is_written(site, ours);
        follow(&change, theirs, &own);
    }
    if (record->opened_serial != 0 && record->opened_serial != record->stream_serial)
        jobs_add(&change, "drop", record->id, "");
    ends_reprotect = is_without_our_end(theirs, our_serial);
    if (ends_reprotect) {
        log_warning("control", "reprotect of %s: the replication has ended here", record->id);
        relation_move(theirs, REPLICA_REPROTECT_FAILED);
    }
    relation_put(&change, theirs);
    if (change_commit(&change) < 0)
        return SYNC_WAIT;
    if (ends_reprotect)
        sync_mark(site, record->id);
    jobs_wake(site);
    return SYNC_TAKEN;
}

/* The newest point seen is no change. */
static bool is_alike(const struct relation *theirs, const struct relation *ours)
{
    struct relation copy = *theirs;
    enum record_kind kind = theirs->is_group ? RECORD_GROUP : RECORD_PAIR;
    const void *our_record = ours->is_group ? (const void *)&ours->group : &ours->pair;
    json_t *left, *right;
    bool alike;

    relation_own(&copy)->last_point_s =
        ours->is_group ? ours->group.common.last_point_s : ours->pair.common.last_point_s;
    left = tree_from_record(kind, copy.is_group ? (const void *)&copy.group : &copy.pair);
    right = tree_from_record(kind, our_record);
    alike = json_equal(left, right);
    json_decref(left);
    json_decref(right);
    return alike;
}

/* What was answered goes on, and a removal that has begun cannot be undone: what the peer has
 * changed meanwhile comes too late. SYNC_TAKEN: nothing is in the way. */
static enum sync_verdict judge_end(struct site *site, const struct replica_record *ours)
{
    bool is_going = false;

    if (ours->status == REPLICA_DELETING && jobs_exist(site, "delete", ours->id, &is_going) < 0)
        return SYNC_WAIT;
    return is_going ? SYNC_GOING : SYNC_TAKEN;
}

/* A group that has ended here before we heard that the peer had put the pair into it: here the pair
 * stands alone, without a stream, until the peer's group ends as well. It would be waited for for
 * ever. */
static int settle_group(struct site *site, struct relation *theirs)
{
    char *id = theirs->pair.group_id;
    struct tombstone_record tombstone;
    struct group_record group;
    int result;

    if (theirs->is_group || !id[0])
        return 0;
    result = meta_get(site->meta, RECORD_GROUP, id, &group);
    if (result != -ENOENT)
        return result;
    result = meta_get(site->meta, RECORD_TOMBSTONE, id, &tombstone);
    if (result == 0)
        id[0] = 0;
    return result;
}

enum sync_verdict sync_adopt(struct site *site, const char *peer, const json_t *tree)
{
    struct relation theirs, ours;
    struct tombstone_record tombstone;
    const struct replica_record *their_own, *our_own;
    enum sync_verdict verdict;
    int result;

    if (!sync_parse(site, peer, tree, &theirs))
        return SYNC_REFUSED;
    their_own = relation_own(&theirs);
    result = meta_get(site->meta, RECORD_TOMBSTONE, their_own->id, &tombstone);
    if (result != -ENOENT) /* one that cannot be read now does not come back to life */
        return result == 0 ? SYNC_DELETED : SYNC_WAIT;
    if (settle_group(site, &theirs) < 0)
        return SYNC_WAIT;
    result = relation_load(site, their_own->id, &ours);
    if ((result == 0 || result == -ENOENT) &&
        !sync_is_in_reach(site, peer, their_own, result == 0 ? relation_own(&ours) : NULL))
        return SYNC_REFUSED;
    if (result == -ENOENT) {
        if (their_own->status == REPLICA_CREATING) /* not yet known, if it is being made */
            return call_is_making(site, their_own->id) ? SYNC_WAIT : SYNC_UNKNOWN;
        verdict = judge_disks(site, &theirs);
        return verdict == SYNC_TAKEN ? take(site, &theirs, NULL) : verdict;
    }
    if (result < 0)
        return SYNC_WAIT;
    our_own = relation_own(&ours);
    if (strcmp(our_own->production_site, their_own->production_site) != 0)
        return SYNC_REFUSED;
    verdict = judge_end(site, our_own);
    if (verdict == SYNC_TAKEN)
        verdict = judge_disks(site, &theirs);
    if (verdict != SYNC_TAKEN)
        return verdict;
    if (their_own->term != our_own->term)
        return their_own->term > our_own->term ? take(site, &theirs, &ours) : SYNC_OLDER;
    if (their_own->version == our_own->version) {
        if (is_alike(&theirs, &ours))
            return SYNC_SAME;
        /* Both changed it while apart: production's stands. */
        return relation_is_production(site, &ours) ? SYNC_OLDER : take(site, &theirs, &ours);
    }
    return their_own->version > our_own->version ? take(site, &theirs, &ours) : SYNC_OLDER;
}

/* True: ours are newer, and are to be pushed. */
static bool adopt_tags(struct peer_answer *answer, const char *id, enum sync_verdict *verdict)
{
    int result = tag_adopt(answer->site, id, json_object_get(answer->arguments, "tags"));

    if (result < 0)
        *verdict = result == -EINVAL ? SYNC_REFUSED : SYNC_WAIT;
    return result > 0;
}

void sync_serve_put(struct peer_answer *answer)
{
    struct site *site = answer->site;
    enum sync_verdict verdict = sync_adopt(site, answer->peer, answer->arguments);
    const char *id = tree_text(json_object_get(answer->arguments, "record"), "id");
    struct tombstone_record tombstone;
    json_t *reply = json_object();
    bool has_newer_tags = false;

    check(reply);
    if (verdict == SYNC_TAKEN || verdict == SYNC_SAME || verdict == SYNC_OLDER)
        has_newer_tags = adopt_tags(answer, id, &verdict);
    tree_set_text(reply, "verdict", verdict_names[verdict]);
    if (verdict == SYNC_DELETED && meta_get(site->meta, RECORD_TOMBSTONE, id, &tombstone) == 0) {
        tree_set_int(reply, "term", tombstone.term);
        if (tombstone.forgotten != TOMBSTONE_DELETED) {
            tree_set_text(reply, "verdict", "forgotten");
            tree_set_int(reply, "forgotten", tombstone.forgotten);
        }
    }
    if (verdict == SYNC_OLDER || has_newer_tags)
        sync_mark(site, id);
    peer_answer_ok(answer, reply);
}

static void answer_verdict(struct peer_answer *answer, const char *verdict)
{
    json_t *reply = json_object();

    check(reply);
    tree_set_text(reply, "verdict", verdict);
    peer_answer_ok(answer, reply);
}

/* Ours, NULL: none, goes as theirs did. */
static int take_deleted(struct peer_answer *answer, const char *id, int64_t term,
                        struct relation *relation)
{
    struct tombstone_record tombstone = {.term = term, .is_acked = true};
    struct change change;

    change_begin(&change, answer->site);
    if (!relation) {
        strcpy(tombstone.id, id);
        strcpy(tombstone.peer, answer->peer);
        tombstone.created_s = site_now_s(answer->site);
        change_put(&change, RECORD_TOMBSTONE, &tombstone);
    } else {
        delete_as_peer(&change, relation, term);
    }
    return commit_and_wake(&change);
}

/* It answers "gone" once it is durable here that ours goes or is invalid, so that the peer need not
 * tell it again. A record that cannot be read is no record that is gone: the peer asks again. */
void sync_serve_delete(struct peer_answer *answer)
{
    struct site *site = answer->site;
    const char *id = tree_text(answer->arguments, "id");
    int64_t term = tree_int(answer->arguments, "term", 0);
    int64_t forgotten = tree_int(answer->arguments, "forgotten", TOMBSTONE_DELETED);
    struct relation relation;
    bool is_there;
    int result;

    if (!id_is_valid("pair", id) && !id_is_valid("pg", id)) {
        peer_answer_fail(answer, API_INVALID_PARAMETER_FORMAT, "not an id");
        return;
    }
    if (term < 0 || term > TREE_INT_MAX) {
        peer_answer_fail(answer, API_INVALID_PARAMETER_FORMAT, "not a term");
        return;
    }
    result = load_if_there(site, id, &relation, &is_there);
    if (is_there && strcmp(relation_peer(site, &relation), answer->peer) != 0) {
        peer_answer_fail(answer, API_FORBIDDEN, "%s is no relation of yours", id);
        return;
    }
    if (result == 0 && is_there && forgotten != TOMBSTONE_DELETED)
        result = take_forgotten(site, id, forgotten);
    else if (result == 0)
        result = take_deleted(answer, id, term, is_there ? &relation : NULL);
    if (result < 0) {
        peer_answer_fail(answer, API_INTERNAL_ERROR, "%s: %s", id, err_name(result));
        return;
    }
    answer_verdict(answer, "gone");
}
