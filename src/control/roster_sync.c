/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: the surviving site must know the same callers, and both sites may be administered while they
 * are apart.
 *
 * Rules
 *  1. They are pushed a few at a time (pusher.h).
 *  2. What is newer here than what the peer pushed is pushed back.
 *  3. The peer's records are input: checked one by one; one that makes no sense is left out and
 *     named in the log, the others are taken.
 *  4. A deleted record is forgotten when the peer has it and it is old: by then whoever may bring
 * an older life of it has heard of its end. What is made anew under its name has a higher version
 *     than anything that is or was here (roster_record_last()), so a peer that still has it gives
 *     way; and one that comes back from there is not taken. With several peers none is forgotten.
 *  5. No log line and no error holds a secret; the texts that do are wiped where they are ours.
 */
#include "control/roster_sync.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "control/change.h"
#include "control/pusher.h"
#include "control/tree.h"

enum { BATCH_MAX = 16, ITEMS_MAX = 64, KEEP_S = 30 * 86400 };

static const char *const kind_names[] = {
    [RECORD_USER] = "user",
    [RECORD_ACCESS_KEY] = "key",
    [RECORD_POLICY] = "policy",
    [RECORD_POLICY_LINK] = "link",
};

struct roster_sync {
    struct site *site;
    struct pusher pushers[SITE_PEERS_MAX];
};

/* --- pushing --------------------------------------------------------------------------------- */

/* A mark is "key/VERSO…": the kind's name and the id. */
enum { MARK_SIZE = RECORD_ACCESS_ID_SIZE + 8 };

static void format_mark(enum record_kind kind, const char *id, char ret_mark[MARK_SIZE])
{
    check(snprintf(ret_mark, MARK_SIZE, "%s/%s", kind_names[kind], id) < MARK_SIZE);
}

static const char *parse_mark(const char *mark, enum record_kind *ret_kind)
{
    for (unsigned i = ROSTER_KIND_FIRST; i <= ROSTER_KIND_LAST; i++) {
        size_t length = strlen(kind_names[i]);

        *ret_kind = (enum record_kind)i;
        if (strncmp(mark, kind_names[i], length) == 0 && mark[length] == '/')
            return mark + length + 1;
    }
    check(!"a mark of ours");
    return NULL;
}

void roster_sync_mark(struct roster_sync *sync, enum record_kind kind, const char *id)
{
    char mark[MARK_SIZE];

    if (sync->site->is_stopping)
        return;
    format_mark(kind, id, mark);
    for (unsigned i = 0; i < sync->site->peer_count; i++)
        if (sync->site->peers[i].is_up) /* else it gets everything once it is */
            pusher_mark(&sync->pushers[i], mark);
}

/* The record with its secret, as it travels. 0, *ret_item NULL: there is nothing to tell. */
static int item_of(struct site *site, const char *mark, json_t **ret_item)
{
    char secret[SECRET_BOX_SECRET_MAX + 1] = "";
    union roster_record record;
    enum record_kind kind;
    const char *id = parse_mark(mark, &kind);
    int result = meta_get(site->meta, kind, id, &record);

    *ret_item = NULL;
    if (result < 0)
        return result == -ENOENT ? 0 : result;
    if (kind == RECORD_ACCESS_KEY && !record.access.is_deleted &&
        roster_record_unseal(site, &record.key, secret) < 0)
        return 0; /* the peer may have what we lost */
    *ret_item = json_object();
    check(*ret_item);
    tree_set_text(*ret_item, "kind", kind_names[kind]);
    tree_set(*ret_item, "record", tree_from_record(kind, &record));
    if (secret[0])
        tree_set_text(*ret_item, "secret", secret);
    OPENSSL_cleanse(secret, sizeof(secret));
    return 0;
}

/* A few records. */
static int push_make(struct pusher *pusher, const char **ret_call, json_t **ret_tree)
{
    json_t *items = json_array(), *item;
    const char *mark;
    int result = 0;

    check(items);
    while (result == 0 && json_array_size(items) < BATCH_MAX && (mark = pusher_take(pusher))) {
        result = item_of(pusher->site, mark, &item);
        if (result == 0 && item)
            check(json_array_append_new(items, item) == 0);
    }
    if (result < 0 || json_array_size(items) == 0) {
        json_decref(items);
        return result;
    }
    *ret_call = "access.put";
    *ret_tree = json_object();
    check(*ret_tree);
    tree_set(*ret_tree, "items", items);
    return 0;
}

static bool is_old(struct site *site, const struct access_record *access)
{
    return access->is_deleted && site_now_s(site) - access->created_s > KEEP_S;
}

/* Rule 4, of what the peer has taken. */
static int forget_old(struct site *site, const json_t *marks)
{
    union roster_record record;
    struct change change;
    bool is_begun = false;
    const char *mark;
    json_t *value;
    int result = 0;

    json_object_foreach((json_t *)marks, mark, value)
    {
        enum record_kind kind;
        const char *id = parse_mark(mark, &kind);
        int64_t last;

        result = meta_get(site->meta, kind, id, &record);
        if (result < 0 || !is_old(site, &record.access))
            continue;
        result = roster_record_last(site, kind, &last);
        if (result < 0 || record.access.version == last)
            continue; /* the last one stays: new ones go on from it */
        if (!is_begun)
            change_begin(&change, site);
        is_begun = true;
        change_remove(&change, kind, id);
    }
    return is_begun ? change_commit(&change) : 0;
}

static int push_done(struct pusher *pusher, const struct peer_call *call, const json_t *marks)
{
    if (call->status == 200 && tree_int(call->reply, "refused", 0) == 0 &&
        pusher->site->peer_count == 1)
        (void)forget_old(pusher->site, marks); /* else at the next contact */
    if (call->status != 200 || tree_int(call->reply, "refused", 0) > 0)
        log_warning("control", "%s does not take all of our users, keys and policies: %s",
                    pusher_peer_name(pusher),
                    call->status != 200 ? call->message : "its log says which");
    return 0;
}

struct marking {
    struct pusher *pusher;
    enum record_kind kind;
};

static bool mark_one(void *arg, uint64_t position, const void *record)
{
    struct marking *marking = arg;
    char mark[MARK_SIZE];

    (void)position;
    format_mark(marking->kind, record, mark); /* the id is first */
    pusher_add(marking->pusher, mark);
    return true;
}

static int push_list(struct pusher *pusher)
{
    int result = 0;

    for (unsigned i = ROSTER_KIND_FIRST; result >= 0 && i <= ROSTER_KIND_LAST; i++) {
        struct meta_query query = {.kind = (enum record_kind)i};
        struct marking marking = {.pusher = pusher, .kind = query.kind};

        result = meta_walk(pusher->site->meta, &query, 0, mark_one, &marking);
    }
    return result;
}

void roster_sync_peer_up(struct roster_sync *sync, const char *peer)
{
    for (unsigned i = 0; i < sync->site->peer_count; i++)
        if (strcmp(sync->site->peers[i].name, peer) == 0 && !sync->site->is_stopping)
            pusher_peer_up(&sync->pushers[i]);
}

/* --- start and stop -------------------------------------------------------------------------- */

struct roster_sync *roster_sync_new(struct site *site)
{
    static const struct pusher_ops ops = {.list = push_list, .make = push_make, .done = push_done};
    struct roster_sync *sync = calloc(1, sizeof(*sync));

    check(sync);
    sync->site = site;
    for (unsigned i = 0; i < SITE_PEERS_MAX; i++)
        pusher_init(&sync->pushers[i], site, i, &ops);
    return sync;
}

void roster_sync_stop(struct roster_sync *sync)
{
    for (unsigned i = 0; i < SITE_PEERS_MAX; i++)
        pusher_stop(&sync->pushers[i]);
}

void roster_sync_free(struct roster_sync *sync)
{
    for (unsigned i = 0; i < SITE_PEERS_MAX; i++)
        pusher_fini(&sync->pushers[i]);
    free(sync);
}

/* --- adopting -------------------------------------------------------------------------------- */

struct arrival {
    enum record_kind kind;
    union roster_record record;
    const char *secret;
};

static bool parse_item(const json_t *item, struct arrival *ret)
{
    const json_t *secret = json_object_get(item, "secret");
    const char *kind = tree_text(item, "kind");

    memset(ret, 0, sizeof(*ret));
    ret->kind = RECORD_KIND_COUNT;
    for (unsigned i = ROSTER_KIND_FIRST; i <= ROSTER_KIND_LAST; i++)
        if (strcmp(kind_names[i], kind) == 0)
            ret->kind = (enum record_kind)i;
    if (ret->kind == RECORD_KIND_COUNT ||
        !tree_to_record(ret->kind, json_object_get(item, "record"), &ret->record) ||
        !roster_record_is_sane(ret->kind, &ret->record))
        return false;
    if (ret->kind != RECORD_ACCESS_KEY || ret->record.access.is_deleted)
        return !secret;
    ret->secret = json_string_value(secret);
    return ret->secret && ret->secret[0] && json_string_length(secret) <= SECRET_BOX_SECRET_MAX;
}

/* Positive: theirs is newer; 0: the same version. */
static int age(const struct access_record *theirs, const struct access_record *ours)
{
    if (theirs->version != ours->version)
        return theirs->version > ours->version ? 1 : -1;
    return strcmp(theirs->site, ours->site);
}

/* Local fields stay ours. */
static int settle_local(struct site *site, struct arrival *arrival, const union roster_record *ours)
{
    struct access_key_record *key = &arrival->record.key;

    if (arrival->kind != RECORD_ACCESS_KEY)
        return 0;
    if (ours)
        key->last_used_s = ours->key.last_used_s;
    return arrival->secret ? roster_record_seal(site, key, arrival->secret) : 0;
}

static int adopt(struct site *site, struct arrival *arrival)
{
    union roster_record ours;
    struct change change;
    int result = meta_get(site->meta, arrival->kind, arrival->record.access.id, &ours), older = 1;
    bool is_new = result == -ENOENT;

    if (result < 0 && !is_new)
        return result;
    if (is_new && arrival->record.access.is_deleted) {
        int64_t last;

        result = roster_record_last(site, arrival->kind, &last);
        if (result < 0 || arrival->record.access.version <= last)
            return result; /* perhaps forgotten here; it says nothing */
    }
    if (!is_new)
        older = age(&arrival->record.access, &ours.access);
    if (older < 0)
        roster_sync_mark(site->roster_sync, arrival->kind, ours.access.id);
    if (older <= 0)
        return 0;
    result = settle_local(site, arrival, is_new ? NULL : &ours);
    if (result < 0)
        return result;
    change_begin(&change, site);
    change_put(&change, arrival->kind, &arrival->record);
    result = change_commit(&change);
    if (result == 0)
        (void)roster_record_apply(site, arrival->kind, &arrival->record, arrival->secret);
    return result;
}

void roster_sync_serve(struct peer_answer *answer)
{
    const json_t *items = json_object_get(answer->arguments, "items");
    const json_t *item;
    size_t i;
    int result = 0;
    int64_t refused = 0;

    if (!json_is_array(items) || json_array_size(items) > ITEMS_MAX) {
        peer_answer_fail(answer, API_INVALID_PARAMETER_FORMAT, "malformed list");
        return;
    }
    json_array_foreach((json_t *)items, i, item)
    {
        struct arrival arrival;

        if (!parse_item(item, &arrival)) {
            log_warning("control",
                        "%s: a %.10s of its users, keys and policies is malformed: %.60s",
                        answer->peer, tree_text(item, "kind"),
                        tree_text(json_object_get(item, "record"), "id"));
            refused++;
        } else if (result == 0) {
            result = adopt(answer->site, &arrival);
        }
        OPENSSL_cleanse(&arrival, sizeof(arrival));
    }
    if (result < 0) {
        peer_answer_fail(answer, API_INTERNAL_ERROR, "the records: %s", err_name(result));
        return;
    }
    json_t *reply = json_object();

    check(reply);
    tree_set_int(reply, "refused", refused);
    peer_answer_ok(answer, reply);
}
