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
 *  4. What is made has a higher version than anything of its kind that is or was here
 *     (roster_record_last(); the record with the highest one is never forgotten).
 *  5. A deleted record is forgotten when it is old, the peer has it, and the peer has told us all
 *     that lives there. From then on all that is made there is higher (4), and what we do not know
 *     and is not higher than what we forgot (roster_record_horizon()) is an old life of something
 *     that was deleted, out of an old copy: it is buried here, and the peer is told so. With
 *     several peers none is forgotten, unless there are too many (roster.c).
 *  6. No log line and no error holds a secret; the texts that do are wiped where they are ours.
 *  7. A key that was deleted stays so, however often the peer, apart, changed it: its id is never
 *     given again, and who deleted it may have had to. The one who knows of the end writes it anew,
 *     above what came.
 */
#include "control/roster_sync.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "control/audit.h"
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
    struct pusher agers[SITE_PEERS_MAX]; /* old deleted ones once more, until the peer is done */
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

/* The highest version of each kind, looked up once in a while. */
struct lasts {
    int64_t versions[RECORD_KIND_COUNT]; /* 0: not yet */
};

/* 1: an old one, that may be forgotten (the last one stays); 0: not. Negative: it cannot be read.
 */
static int load_old(struct site *site, struct lasts *lasts, const char *mark,
                    enum record_kind *ret_kind, struct access_record *ret_access)
{
    union roster_record record;
    const char *id = parse_mark(mark, ret_kind);
    int64_t *last = &lasts->versions[*ret_kind];
    int result = meta_get(site->meta, *ret_kind, id, &record);

    if (result < 0 || !is_old(site, &record.access))
        return result == -ENOENT ? 0 : result;
    if (*last == 0)
        result = roster_record_last(site, *ret_kind, last);
    *ret_access = record.access;
    return result < 0 ? result : record.access.version < *last;
}

/* Rule 5, of what the peer has taken. */
static int forget_old(struct pusher *pusher, const json_t *marks, bool is_peer_done)
{
    struct site *site = pusher->site;
    struct change change;
    struct lasts lasts = {{0}};
    bool is_begun = false;
    const char *mark;
    json_t *value;
    int result = 0;

    json_object_foreach((json_t *)marks, mark, value)
    {
        struct access_record access;
        enum record_kind kind;

        result = load_old(site, &lasts, mark, &kind, &access);
        if (result > 0 && !is_peer_done)
            return -EAGAIN;
        if (result <= 0)
            continue;
        if (!is_begun)
            change_begin(&change, site);
        is_begun = true;
        roster_record_forget(&change, kind, &access);
    }
    return is_begun ? change_commit(&change) : 0;
}

static bool has_taken(const struct pusher *pusher, const struct peer_call *call)
{
    if (call->status == 200 && tree_int(call->reply, "refused", 0) == 0)
        return true;
    log_warning("control", "%s does not take all of our users, keys and policies: %s",
                pusher_peer_name(pusher),
                call->status != 200 ? call->message : "its log says which");
    return false;
}

static bool is_peer_done(const struct peer_call *call)
{
    return json_is_true(json_object_get(call->reply, "is_done"));
}

/* What cannot be forgotten now is at the next contact. */
static int push_done(struct pusher *pusher, const struct peer_call *call, const json_t *marks)
{
    struct site *site = pusher->site;
    struct lasts lasts = {{0}};
    const char *mark;
    json_t *value;

    if (!has_taken(pusher, call) || site->peer_count != 1 ||
        forget_old(pusher, marks, is_peer_done(call)) != -EAGAIN)
        return 0;
    json_object_foreach((json_t *)marks, mark, value)
    {
        enum record_kind kind;
        struct access_record access;

        if (load_old(site, &lasts, mark, &kind, &access) > 0)
            pusher_mark(&site->roster_sync->agers[pusher->peer], mark);
    }
    return 0;
}

static int age_list(struct pusher *pusher)
{
    (void)pusher;
    return 0;
}

static int age_done(struct pusher *pusher, const struct peer_call *call, const json_t *marks)
{
    int result = 0;

    if (has_taken(pusher, call))
        result = forget_old(pusher, marks, is_peer_done(call));
    return result == -EAGAIN ? result : 0;
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
        if (strcmp(sync->site->peers[i].name, peer) == 0 && !sync->site->is_stopping) {
            pusher_peer_up(&sync->pushers[i]);
            pusher_peer_up(&sync->agers[i]);
        }
}

/* --- start and stop -------------------------------------------------------------------------- */

struct roster_sync *roster_sync_new(struct site *site)
{
    static const struct pusher_ops ops = {.list = push_list, .make = push_make, .done = push_done};
    static const struct pusher_ops aging = {.list = age_list, .make = push_make, .done = age_done};
    struct roster_sync *sync = calloc(1, sizeof(*sync));

    check(sync);
    sync->site = site;
    for (unsigned i = 0; i < SITE_PEERS_MAX; i++)
        pusher_init(&sync->pushers[i], site, i, &ops);
    for (unsigned i = 0; i < SITE_PEERS_MAX; i++)
        pusher_init(&sync->agers[i], site, i, &aging);
    return sync;
}

void roster_sync_stop(struct roster_sync *sync)
{
    for (unsigned i = 0; i < SITE_PEERS_MAX; i++) {
        pusher_stop(&sync->pushers[i]);
        pusher_stop(&sync->agers[i]);
    }
}

void roster_sync_free(struct roster_sync *sync)
{
    for (unsigned i = 0; i < SITE_PEERS_MAX; i++) {
        pusher_fini(&sync->pushers[i]);
        pusher_fini(&sync->agers[i]);
    }
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

static int commit(struct site *site, const struct arrival *arrival)
{
    struct change change;
    int result;

    change_begin(&change, site);
    change_put(&change, arrival->kind, &arrival->record);
    result = change_commit(&change);
    if (result == 0)
        (void)roster_record_apply(site, arrival->kind, &arrival->record, arrival->secret);
    return result;
}

/* Rule 5: it was deleted here once. */
static int bury(struct site *site, const char *peer, struct arrival *arrival)
{
    struct access_record *access = &arrival->record.access;
    int result;

    if (access->version >= TREE_INT_MAX)
        return 0; /* no version is left for its end: not taken */
    log_warning("control",
                "%s %s came from %s, and was deleted long ago: it is deleted there as well; if "
                "that site is an old copy this is right, else make it anew",
                kind_names[arrival->kind], access->id, peer);
    audit_event(site, "access", EVENT_CRITICAL, access->id,
                "%s of %s, deleted here long ago, came back from there (an old copy?): deleted",
                kind_names[arrival->kind], peer);
    roster_record_bury(site, arrival->kind, &arrival->record);
    access->version++;
    strcpy(access->site, site->name);
    arrival->secret = NULL;
    result = commit(site, arrival);
    if (result == 0)
        roster_sync_mark(site->roster_sync, arrival->kind, access->id);
    return result;
}

/* What we do not have. */
static int adopt_unknown(struct site *site, const char *peer, struct arrival *arrival)
{
    const struct access_record *access = &arrival->record.access;
    int64_t last = 0, horizon = 0;
    int result = roster_record_last(site, arrival->kind, &last);

    if (result == 0)
        result = roster_record_horizon(site, arrival->kind, &horizon);
    if (result < 0)
        return result;
    if (access->is_deleted && access->version <= last)
        return 0; /* perhaps forgotten here; it says nothing */
    if (!access->is_deleted && access->version <= horizon)
        return bury(site, peer, arrival);
    result = settle_local(site, arrival, NULL);
    return result < 0 ? result : commit(site, arrival);
}

/* Rule 7. */
static int keep_deleted(struct site *site, const char *peer, const struct access_record *theirs,
                        union roster_record *ours)
{
    struct arrival end = {.kind = RECORD_ACCESS_KEY};
    int result;

    if (theirs->version >= TREE_INT_MAX)
        return 0; /* no version is left for its end: not taken */
    log_notice("control",
               "key %s, deleted here, was changed at %s meanwhile: deleted there as well",
               theirs->id, peer);
    ours->access.version = theirs->version + 1;
    strcpy(ours->access.site, site->name);
    end.record = *ours;
    result = commit(site, &end);
    if (result == 0)
        roster_sync_mark(site->roster_sync, RECORD_ACCESS_KEY, theirs->id);
    return result;
}

static int adopt(struct site *site, const char *peer, struct arrival *arrival)
{
    union roster_record ours;
    int result = meta_get(site->meta, arrival->kind, arrival->record.access.id, &ours), older;

    if (result == -ENOENT)
        return adopt_unknown(site, peer, arrival);
    if (result < 0)
        return result;
    older = age(&arrival->record.access, &ours.access);
    if (older < 0)
        roster_sync_mark(site->roster_sync, arrival->kind, ours.access.id);
    if (older <= 0)
        return 0;
    if (arrival->kind == RECORD_ACCESS_KEY && ours.access.is_deleted &&
        !arrival->record.access.is_deleted)
        return keep_deleted(site, peer, &arrival->record.access, &ours);
    result = settle_local(site, arrival, &ours);
    return result < 0 ? result : commit(site, arrival);
}

/* New records of a kind go on from the highest version: one at the end of all numbers would be the
 * last of its kind. 1; 0: not taken; or why it cannot be told. */
static int is_in_reach(struct site *site, const char *peer, const struct arrival *arrival)
{
    const struct access_record *access = &arrival->record.access;
    int64_t last = 0, horizon = 0;
    int result;

    if (tree_is_in_reach(access->version, 0)) /* nearly always; the rest looks at all of them */
        return 1;
    result = roster_record_last(site, arrival->kind, &last);
    if (result == 0)
        result = roster_record_horizon(site, arrival->kind, &horizon);
    if (result < 0)
        return result;
    if (tree_is_in_reach(access->version, last > horizon ? last : horizon))
        return 1;
    log_warning("control", "%s: its %s %s is not taken: version %lld is out of reach of ours, %lld",
                peer, kind_names[arrival->kind], access->id, (long long)access->version,
                (long long)last);
    return 0;
}

/* False: it is refused. */
static bool take(struct peer_answer *answer, const json_t *item, int *result)
{
    struct arrival arrival;
    int in_reach = 0;

    if (!parse_item(item, &arrival))
        log_warning("control", "%s: a %.10s of its users, keys and policies is malformed: %.60s",
                    answer->peer, tree_text(item, "kind"),
                    tree_text(json_object_get(item, "record"), "id"));
    else
        in_reach = is_in_reach(answer->site, answer->peer, &arrival);
    if (in_reach < 0 && *result == 0)
        *result = in_reach;
    if (in_reach > 0 && *result == 0)
        *result = adopt(answer->site, answer->peer, &arrival);
    OPENSSL_cleanse(&arrival, sizeof(arrival));
    return in_reach != 0;
}

/* Has the peer been told all that lives here? */
static bool is_done(struct site *site, const char *peer)
{
    for (unsigned i = 0; i < site->peer_count; i++)
        if (strcmp(site->peers[i].name, peer) == 0)
            return pusher_is_empty(&site->roster_sync->pushers[i]);
    return false;
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
        refused += !take(answer, item, &result);
    }
    if (result < 0) {
        peer_answer_fail(answer, API_INTERNAL_ERROR, "the records: %s", err_name(result));
        return;
    }
    json_t *reply = json_object();

    check(reply);
    tree_set_int(reply, "refused", refused);
    tree_set_bool(reply, "is_done", is_done(answer->site, answer->peer));
    peer_answer_ok(answer, reply);
}
