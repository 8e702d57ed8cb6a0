/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: the surviving site must know the same callers, and both sites may be administered while they
 * are apart.
 *
 * Rules
 *  1. One push is under way to a peer at a time, of a few records. One that fails is repeated; a
 *     peer that comes up gets everything. So nothing but the records is durable.
 *  2. What is newer here than what the peer pushed is pushed back.
 *  3. The peer's records are input: checked one by one; one that makes no sense is left out and
 *     named in the log, the others are taken.
 *  4. No log line and no error holds a secret; the texts that do are wiped where they are ours.
 */
#include "control/roster_sync.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "control/change.h"
#include "control/tree.h"

enum { BATCH_MAX = 16, ITEMS_MAX = 64 };

static const char *const kind_names[] = {
    [RECORD_USER] = "user",
    [RECORD_ACCESS_KEY] = "key",
    [RECORD_POLICY] = "policy",
    [RECORD_POLICY_LINK] = "link",
};

struct mark {
    struct list node;
    enum record_kind kind;
    char id[RECORD_ACCESS_ID_SIZE];
};

struct pusher {
    struct roster_sync *sync;
    unsigned peer;
    struct list marks, batch; /* to be pushed; under way */
    struct peer_call call;
    struct loop_timer timer;
    bool is_waiting, is_calling;
    bool is_unlisted; /* the records could not be read: they are to be marked yet */
};

struct roster_sync {
    struct site *site;
    struct pusher pushers[SITE_PEERS_MAX];
};

static void push_next(struct pusher *pusher);
static void mark_all(struct pusher *pusher);

static void pusher_fired(struct loop_timer *timer)
{
    struct pusher *pusher = container_of(timer, struct pusher, timer);

    pusher->is_waiting = false;
    if (pusher->is_unlisted)
        mark_all(pusher);
    push_next(pusher);
}

static void pusher_wait(struct pusher *pusher)
{
    struct site *site = pusher->sync->site;

    pusher->is_waiting = true;
    loop_timer_set(site->loop, &pusher->timer, loop_now_ns(site->loop) + site->retry_max_ns / 5);
}

struct roster_sync *roster_sync_new(struct site *site)
{
    struct roster_sync *sync = calloc(1, sizeof(*sync));

    check(sync);
    sync->site = site;
    for (unsigned i = 0; i < SITE_PEERS_MAX; i++) {
        struct pusher *pusher = &sync->pushers[i];

        pusher->sync = sync;
        pusher->peer = i;
        list_init(&pusher->marks);
        list_init(&pusher->batch);
        pusher->timer.fired_cb = pusher_fired;
    }
    return sync;
}

static void marks_free(struct list *marks)
{
    struct list *node;

    while ((node = list_pop(marks)))
        free(list_entry(node, struct mark, node));
}

void roster_sync_stop(struct roster_sync *sync)
{
    for (unsigned i = 0; i < SITE_PEERS_MAX; i++) {
        loop_timer_cancel(sync->site->loop, &sync->pushers[i].timer);
        sync->pushers[i].is_waiting = false;
        marks_free(&sync->pushers[i].marks);
    }
}

void roster_sync_free(struct roster_sync *sync)
{
    for (unsigned i = 0; i < SITE_PEERS_MAX; i++) {
        check(!sync->pushers[i].is_calling);
        marks_free(&sync->pushers[i].marks);
    }
    free(sync);
}

/* --- pushing --------------------------------------------------------------------------------- */

static void mark_append(struct pusher *pusher, enum record_kind kind, const char *id)
{
    struct mark *mark = calloc(1, sizeof(*mark));

    check(mark && strlen(id) < sizeof(mark->id));
    mark->kind = kind;
    strcpy(mark->id, id);
    list_append(&pusher->marks, &mark->node);
}

static void mark_for(struct pusher *pusher, enum record_kind kind, const char *id)
{
    struct list *node, *next;

    list_for_each(node, next, &pusher->marks)
    {
        const struct mark *mark = list_entry(node, struct mark, node);

        if (mark->kind == kind && strcmp(mark->id, id) == 0)
            return;
    }
    mark_append(pusher, kind, id);
}

void roster_sync_mark(struct roster_sync *sync, enum record_kind kind, const char *id)
{
    if (sync->site->is_stopping)
        return;
    for (unsigned i = 0; i < sync->site->peer_count; i++)
        if (sync->site->peers[i].is_up) { /* else it gets everything once it is */
            mark_for(&sync->pushers[i], kind, id);
            push_next(&sync->pushers[i]);
        }
}

/* The record with its secret, as it travels. 0, *ret_item NULL: there is nothing to tell. */
static int item_of(struct site *site, const struct mark *mark, json_t **ret_item)
{
    char secret[SECRET_BOX_SECRET_MAX + 1] = "";
    union roster_record record;
    int result = meta_get(site->meta, mark->kind, mark->id, &record);

    *ret_item = NULL;
    if (result < 0)
        return result == -ENOENT ? 0 : result;
    if (mark->kind == RECORD_ACCESS_KEY && !record.access.is_deleted &&
        roster_record_unseal(site, &record.key, secret) < 0)
        return 0; /* the peer may have what we lost */
    *ret_item = json_object();
    check(*ret_item);
    tree_set_text(*ret_item, "kind", kind_names[mark->kind]);
    tree_set(*ret_item, "record", tree_from_record(mark->kind, &record));
    if (secret[0])
        tree_set_text(*ret_item, "secret", secret);
    OPENSSL_cleanse(secret, sizeof(secret));
    return 0;
}

static void push_again(struct pusher *pusher)
{
    struct list *node;

    while ((node = list_pop(&pusher->batch))) {
        struct mark *mark = list_entry(node, struct mark, node);

        mark_for(pusher, mark->kind, mark->id);
        free(mark);
    }
    pusher_wait(pusher);
}

static void push_done(struct peer_call *call)
{
    struct pusher *pusher = container_of(call, struct pusher, call);
    struct site *site = pusher->sync->site;

    pusher->is_calling = false;
    if (site->is_stopping) {
        marks_free(&pusher->batch);
        return;
    }
    if (call->error < 0 || call->status >= 500) {
        push_again(pusher);
        return;
    }
    if (call->status != 200 || tree_int(call->reply, "refused", 0) > 0)
        log_warning("control", "%s does not take all of our users, keys and policies: %s",
                    site->peers[pusher->peer].name,
                    call->status != 200 ? call->message : "its log says which");
    marks_free(&pusher->batch);
    push_next(pusher);
}

/* Up to BATCH_MAX marks become a batch and its items. False: they cannot be read now. */
static bool gather_batch(struct pusher *pusher, json_t *items)
{
    while (json_array_size(items) < BATCH_MAX && !list_is_empty(&pusher->marks)) {
        struct mark *mark = list_entry(list_pop(&pusher->marks), struct mark, node);
        json_t *item;
        int result = item_of(pusher->sync->site, mark, &item);

        if (result == 0 && !item) {
            free(mark);
            continue;
        }
        list_append(&pusher->batch, &mark->node);
        if (result < 0)
            return false;
        check(json_array_append_new(items, item) == 0);
    }
    return true;
}

static void push_next(struct pusher *pusher)
{
    struct site *site = pusher->sync->site;
    json_t *items, *tree;

    if (pusher->is_calling || pusher->is_waiting || site->is_stopping || !site->is_ready ||
        !site->peers[pusher->peer].is_up || list_is_empty(&pusher->marks))
        return;
    items = json_array();
    tree = json_object();
    check(items && tree);
    if (!gather_batch(pusher, items)) {
        json_decref(items);
        json_decref(tree);
        push_again(pusher);
        return;
    }
    if (json_array_size(items) == 0) {
        json_decref(items);
        json_decref(tree);
        return;
    }
    tree_set(tree, "items", items);
    pusher->is_calling = true;
    peer_call(site, &pusher->call, site->peers[pusher->peer].name, "access.put", tree, push_done);
}

struct marking {
    struct pusher *pusher;
    enum record_kind kind;
};

static bool mark_one(void *arg, uint64_t position, const void *record)
{
    struct marking *marking = arg;

    (void)position;
    mark_append(marking->pusher, marking->kind, record); /* the id is first */
    return true;
}

static void mark_all(struct pusher *pusher)
{
    int result = 0;

    marks_free(&pusher->marks);
    for (unsigned i = ROSTER_KIND_FIRST; result >= 0 && i <= ROSTER_KIND_LAST; i++) {
        struct meta_query query = {.kind = (enum record_kind)i};
        struct marking marking = {.pusher = pusher, .kind = query.kind};

        result = meta_walk(pusher->sync->site->meta, &query, 0, mark_one, &marking);
    }
    pusher->is_unlisted = result < 0;
    if (result < 0)
        pusher_wait(pusher);
}

void roster_sync_peer_up(struct roster_sync *sync, const char *peer)
{
    for (unsigned i = 0; i < sync->site->peer_count; i++) {
        struct pusher *pusher = &sync->pushers[i];

        if (strcmp(sync->site->peers[i].name, peer) != 0 || sync->site->is_stopping)
            continue;
        loop_timer_cancel(sync->site->loop, &pusher->timer);
        pusher->is_waiting = false;
        mark_all(pusher);
        push_next(pusher);
    }
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
