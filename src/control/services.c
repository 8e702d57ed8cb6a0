/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: the other half of operations that need both sites. Whatever the peer says is checked against
 * our own records: it can touch only relations between it and us.
 *
 *     forward.consent consent.c
 *     nonces.put      spent.c
 *     pair.prepare    our disk fits the peer's new pair: keep the record, creating
 *     pair.drop       the peer does not make that pair: our half of it goes
 *     stream.prepare  first start: take the records over, open our end of the stream
 *     reprotect.check the failover is to be left: are our disks detached?
 *     disk.grow       our copy of the peer's disk becomes larger: ops_disk_resize.c
 *     record.put, record.delete: sync.c
 */
#include "control/services.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "control/anew.h"
#include "control/consent.h"
#include "control/opening.h"
#include "control/operations.h"
#include "control/quota.h"
#include "control/roster_sync.h"
#include "control/spent.h"
#include "control/sync.h"
#include "control/tag.h"
#include "control/tree.h"

/* --- pair.prepare ---------------------------------------------------------------------------- */

/* Half a pair of the peer's that it is not making any more: it would have named it. What it has
 * made is in its own records, and it asks for no other pair of those disks. No clock is asked:
 * theirs and ours may both jump. */
static bool is_given_up(const struct peer_answer *answer, const struct pair_record *pair)
{
    json_t *making = json_object_get(answer->arguments, "making"), *item;
    bool is_named = false;
    size_t index;

    json_array_foreach(making, index, item)
    {
        is_named |= json_is_string(item) && strcmp(json_string_value(item), pair->common.id) == 0;
    }
    return json_is_array(making) && !is_named && pair->common.status == REPLICA_CREATING &&
           strcmp(pair->common.production_site, answer->peer) == 0;
}

/* The pairs that keep our disk, or the peer's, from being in this one: at most one each. Their
 * number, or why they cannot be read. */
static int find_others(struct peer_answer *answer, const struct pair_record *pair,
                       struct pair_record ret_others[2])
{
    struct site *site = answer->site;
    struct pair_record *pairs;
    void *records = NULL;
    unsigned count = 0;
    int found = 0, result = relation_find_by_disk(site, pair->backup_disk, &ret_others[0]);

    if (result < 0 && result != -ENOENT)
        return result;
    if (result == 0 && strcmp(ret_others[0].common.id, pair->common.id) != 0)
        found = 1;
    result = meta_list(site->meta, RECORD_PAIR, "production_disk", pair->production_disk, &records,
                       &count);
    if (result < 0)
        return result;
    pairs = records;
    if (count > 0 && strcmp(pairs[0].common.id, pair->common.id) != 0 &&
        (found == 0 || strcmp(pairs[0].common.id, ret_others[0].common.id) != 0))
        ret_others[found++] = pairs[0];
    free(records);
    return found;
}

/* False: answered. */
static bool check_pair(struct peer_answer *answer, const struct pair_record *pair)
{
    struct site *site = answer->site;
    const struct replica_record *record = &pair->common;
    struct disk_record disk;
    struct pair_record others[2];
    int other_count, room;

    if (strcmp(record->backup_site, site->name) != 0 ||
        strcmp(record->backup_region, site->region) != 0 ||
        strcmp(record->backup_zone, site->zone) != 0) {
        peer_answer_fail(answer, API_NO_SUCH_RESOURCE, "this is region %s, zone %s.", site->region,
                         site->zone);
        return false;
    }
    if (meta_get(site->meta, RECORD_DISK, pair->backup_disk, &disk) < 0) {
        peer_answer_fail(answer, API_NO_SUCH_RESOURCE, "disk %s is not known.", pair->backup_disk);
        return false;
    }
    other_count = find_others(answer, pair, others);
    if (other_count < 0) {
        peer_answer_fail(answer, API_INTERNAL_ERROR, "%s", err_name(other_count));
        return false;
    }
    for (int i = 0; i < other_count; i++) {
        if (is_given_up(answer, &others[i]))
            continue;
        peer_answer_fail(answer, API_QUOTA_EXCEED, "disk %s is in pair %s.",
                         strcmp(others[i].backup_disk, disk.id) == 0 ? disk.id
                                                                     : pair->production_disk,
                         others[i].common.id);
        return false;
    }
    room = quota_has_room_for_pair(site);
    if (room < 0)
        peer_answer_fail(answer, API_INTERNAL_ERROR, "%s", err_name(room));
    else if (room == 0)
        peer_answer_fail(answer, API_QUOTA_EXCEED, "at most %u pairs.", site->quota.pairs);
    if (room <= 0)
        return false;
    if (ops_disk_is_growing(site, disk.id)) {
        peer_answer_fail(answer, API_INVALID_STATUS, "disk %s is being resized.", disk.id);
        return false;
    }
    if (disk.status != DISK_AVAILABLE && disk.status != DISK_IN_USE) {
        peer_answer_fail(answer, API_DENIED, "disk %s is %s.", disk.id,
                         disk_state_name(disk.status));
        return false;
    }
    if (disk.size_bytes != pair->size_bytes) {
        peer_answer_fail(answer, API_DENIED, "disk %s has %lld bytes, disk %s has %lld.",
                         pair->production_disk, (long long)pair->size_bytes, disk.id,
                         (long long)disk.size_bytes);
        return false;
    }
    if (strcmp(disk.category, tree_text(answer->arguments, "category")) != 0 ||
        strcmp(disk.performance_level, tree_text(answer->arguments, "performance_level")) != 0) {
        peer_answer_fail(answer, API_DENIED, "disk %s is of another category or level.", disk.id);
        return false;
    }
    return true;
}

static void serve_pair_prepare(struct peer_answer *answer)
{
    struct relation relation, known;
    struct pair_record others[2];
    int other_count;
    struct change change;

    if (!sync_parse(answer->site, answer->peer, answer->arguments, &relation) ||
        relation.is_group || relation.pair.common.status != REPLICA_CREATING ||
        !sync_is_in_reach(answer->site, answer->peer, &relation.pair.common, NULL)) {
        peer_answer_fail(answer, API_INVALID_PARAMETER_FORMAT, "malformed record");
        return;
    }
    if (!check_pair(answer, &relation.pair))
        return;
    if (relation_load(answer->site, relation.pair.common.id, &known) != -ENOENT) {
        peer_answer_fail(answer, API_DENIED, "pair %s exists.", relation.pair.common.id);
        return;
    }
    change_begin(&change, answer->site);
    other_count = find_others(answer, &relation.pair, others);
    if (other_count < 0)
        change_fail(&change, other_count, "the list of pairs");
    for (int i = 0; i < other_count; i++) { /* given up: checked */
        change_remove(&change, RECORD_PAIR, others[i].common.id);
        tag_forget(&change, others[i].common.id);
    }
    change_put(&change, RECORD_PAIR, &relation.pair);
    jobs_add(&change, "creation", relation.pair.common.id, "");
    if (change_commit(&change) < 0) {
        peer_answer_fail(answer, API_INTERNAL_ERROR, "%s", change.err.text);
        return;
    }
    jobs_wake(answer->site);
    peer_answer_ok(answer, NULL);
}

/* Our half; what the peer has made of it since is not touched. */
static void serve_pair_drop(struct peer_answer *answer)
{
    const char *id = tree_text(answer->arguments, "id");
    struct relation relation;
    struct change change;
    int result = relation_load(answer->site, id, &relation);

    if (result == 0 &&
        (relation.is_group || strcmp(relation.pair.common.production_site, answer->peer) != 0)) {
        peer_answer_fail(answer, API_FORBIDDEN, "%.60s is no pair of yours", id);
        return;
    }
    if (result == 0 && relation.pair.common.status == REPLICA_CREATING) {
        change_begin(&change, answer->site);
        change_remove(&change, RECORD_PAIR, id);
        tag_forget(&change, id);
        result = change_commit(&change);
    }
    if (result < 0 && result != -ENOENT)
        peer_answer_fail(answer, API_INTERNAL_ERROR, "%s", err_name(result));
    else
        peer_answer_ok(answer, NULL);
}

/* --- stream.prepare -------------------------------------------------------------------------- */

static void prepare_opened(void *arg, int error, const char *why)
{
    struct peer_answer *answer = arg;

    if (error == 0)
        peer_answer_ok(answer, NULL);
    else if (error == -EBUSY)
        peer_answer_fail(answer, API_INVALID_STATUS, "%s.", why);
    else if (error == -ENOENT || error == -ENODEV) /* a disk that the daemon's start left out */
        peer_answer_fail(answer, API_DENIED, "%s; see its log.", why);
    else
        peer_answer_fail(answer, API_INTERNAL_ERROR, "%s", why);
}

/* The peer's relation named by "id"; false: answered. */
static bool load_theirs(struct peer_answer *answer, struct relation *ret_relation)
{
    const char *id = tree_text(answer->arguments, "id");

    if (relation_load(answer->site, id, ret_relation) == 0 && !relation_is_member(ret_relation) &&
        strcmp(relation_peer(answer->site, ret_relation), answer->peer) == 0)
        return true;
    peer_answer_fail(answer, API_NO_SUCH_RESOURCE, "%.60s is not known.", id);
    return false;
}

/* False: answered. */
static bool adopt_records(struct peer_answer *answer)
{
    json_t *records = json_object_get(answer->arguments, "records"), *item;
    size_t index;

    json_array_foreach(records, index, item)
    {
        enum sync_verdict verdict = sync_adopt(answer->site, answer->peer, item);
        const char *id = tree_text(json_object_get(item, "record"), "id");

        if (verdict == SYNC_DELETED) {
            peer_answer_fail(answer, API_INVALID_STATUS, "%.60s has ended here; %s.", id,
                             strcmp(id, tree_text(answer->arguments, "id")) == 0
                                 ? "delete it there as well"
                                 : "take it out of its group");
            return false;
        }
        if (verdict == SYNC_OLDER)
            sync_mark(answer->site, id);
        if (verdict != SYNC_TAKEN && verdict != SYNC_SAME) {
            peer_answer_fail(answer, API_INVALID_STATUS, "the records of the sites differ.");
            return false;
        }
    }
    return true;
}

static void serve_stream_prepare(struct peer_answer *answer)
{
    struct relation relation;
    struct attachment_record attachment;
    int attached;

    if (!adopt_records(answer) || !load_theirs(answer, &relation))
        return;
    if (relation_is_source(answer->site, &relation)) {
        peer_answer_fail(answer, API_INVALID_STATUS, "%s is the source.", answer->site->name);
        return;
    }
    if (relation_own(&relation)->stream_serial != tree_int(answer->arguments, "serial", -1)) {
        peer_answer_fail(answer, API_INVALID_STATUS, "the records of the sites differ.");
        return;
    }
    attached = relation_find_attached(answer->site, &relation, &attachment);
    if (attached < 0)
        peer_answer_fail(answer, API_INTERNAL_ERROR, "%s", err_name(attached));
    else if (attached > 0)
        peer_answer_fail(answer, API_STANDBY_ATTACHED, "disk %s is attached to %s.",
                         attachment.disk_id, attachment.instance_id);
    else
        opening_start(answer->site, relation_own(&relation)->id, true, prepare_opened, answer);
}

/* --- reprotect.check ------------------------------------------------------------------------- */

static void serve_reprotect_check(struct peer_answer *answer)
{
    struct relation relation;
    struct attachment_record attachment;
    const char *trouble;
    bool is_gone;
    int attached;

    if (!load_theirs(answer, &relation))
        return;
    /* A reprotect that began without our end could not end, nor be taken back. */
    trouble = site_trouble(answer->site, relation_own(&relation)->id);
    attached = relation_find_attached(answer->site, &relation, &attachment);
    is_gone = relation_own(&relation)->opened_serial == 0; /* its membership changed while apart */
    if (is_gone && !anew_is_offered(answer))
        peer_answer_fail(answer, API_DENIED,
                         "the replication has ended there; forget it and create it anew.");
    else if (trouble[0] && !site_stream(answer->site, relation_own(&relation)->id))
        peer_answer_fail(answer, API_DENIED, "%s; repair it and restart that site.", trouble);
    else if (attached < 0)
        peer_answer_fail(answer, API_INTERNAL_ERROR, "%s", err_name(attached));
    else if (attached > 0)
        peer_answer_fail(answer, API_DENIED, "disk %s is attached to %s; detach it first.",
                         attachment.disk_id, attachment.instance_id);
    else if (!is_gone && tree_bool(answer->arguments, "is_past", false))
        peer_answer_fail(answer, API_DENIED,
                         "what is left of its replication there is being ended; ask again.");
    else if (is_gone)
        anew_serve(answer, &relation);
    else
        peer_answer_ok(answer, NULL);
}

static const struct peer_service table[] = {
    {"forward.consent", consent_serve},       {"nonces.put", spent_serve},
    {"pair.prepare", serve_pair_prepare},     {"pair.drop", serve_pair_drop},
    {"stream.prepare", serve_stream_prepare}, {"reprotect.check", serve_reprotect_check},
    {"record.put", sync_serve_put},           {"record.delete", sync_serve_delete},
    {"disk.grow", ops_disk_serve_grow},       {"access.put", roster_sync_serve},
};

const struct peer_service *services_table(unsigned *ret_count)
{
    *ret_count = ARRAY_COUNT(table);
    return table;
}
