/* SPDX-License-Identifier: Apache-2.0 */
/* Why: the database, the directory and the peer hear of a change in this order, and only of one
 * that is durable. */
#include "control/roster.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"

#define USE_NS (UINT64_C(60) * 1000000000)

struct roster_item {
    struct roster_item *next;
    enum record_kind kind;
    union roster_record record;
    char secret[SECRET_BOX_SECRET_MAX + 1];
};

struct roster {
    struct site *site;
    struct loop_timer timer; /* when keys were used */
};

static void write_uses(struct site *site)
{
    char id[RECORD_ACCESS_ID_SIZE];
    struct change change;
    int64_t used_s;

    if (!directory_take_used(site->directory, id, &used_s))
        return;
    change_begin(&change, site);
    do {
        struct access_key_record key;

        if (meta_get(site->meta, RECORD_ACCESS_KEY, id, &key) < 0 || key.access.is_deleted)
            continue; /* it is a help for people; another use will be written */
        key.last_used_s = used_s;
        change_put(&change, RECORD_ACCESS_KEY, &key);
    } while (directory_take_used(site->directory, id, &used_s));
    (void)change_commit(&change);
}

static void use_fired(struct loop_timer *timer)
{
    struct roster *roster = container_of(timer, struct roster, timer);

    write_uses(roster->site);
    loop_timer_set(roster->site->loop, timer, loop_now_ns(roster->site->loop) + USE_NS);
}

void roster_init(struct site *site)
{
    site->directory = directory_new();
    site->roster = calloc(1, sizeof(*site->roster));
    check(site->directory && site->roster);
    site->roster->site = site;
    site->roster->timer.fired_cb = use_fired;
    site->roster_sync = roster_sync_new(site);
    loop_timer_set(site->loop, &site->roster->timer, loop_now_ns(site->loop) + USE_NS);
}

void roster_stop(struct site *site)
{
    loop_timer_cancel(site->loop, &site->roster->timer);
    write_uses(site);
    roster_sync_stop(site->roster_sync);
}

void roster_fini(struct site *site)
{
    if (!site->roster)
        return;
    loop_timer_cancel(site->loop, &site->roster->timer);
    roster_sync_free(site->roster_sync);
    directory_free(site->directory);
    free(site->roster);
    site->roster = NULL;
    site->roster_sync = NULL;
    site->directory = NULL;
}

int roster_prepare(struct site *site, enum record_kind kind, const char *id,
                   union roster_record *record)
{
    struct access_record access = {.created_s = site_now_s(site)};
    int result = meta_get(site->meta, kind, id, record);

    if (result == 0 && !record->access.is_deleted)
        return -EEXIST;
    if (result == 0 || result == -ENOENT)
        result = roster_record_last(site, kind, &access.version);
    if (result < 0)
        return result;
    check(strlen(id) < sizeof(access.id));
    strcpy(access.id, id);
    memset(record, 0, sizeof(*record));
    record->access = access;
    return 0;
}

int roster_get(struct site *site, enum record_kind kind, const char *id,
               union roster_record *record)
{
    int result = meta_get(site->meta, kind, id, record);

    return result == 0 && record->access.is_deleted ? -ENOENT : result;
}

bool roster_key_lives(struct site *site, const struct access_key_record *key)
{
    const char *uid = directory_user_uid(site->directory, key->user);

    return !key->access.is_deleted &&
           (strcmp(key->user, "root") == 0 || (uid && strcmp(uid, key->user_uid) == 0));
}

struct counting {
    struct site *site;
    enum record_kind kind;
    unsigned count;
};

static bool count_living(void *arg, uint64_t position, const void *record)
{
    const struct access_record *access = record;
    struct counting *counting = arg;

    (void)position;
    if (counting->kind == RECORD_ACCESS_KEY)
        counting->count += roster_key_lives(counting->site, record);
    else
        counting->count += !access->is_deleted;
    return true;
}

int roster_count(struct site *site, enum record_kind kind, const char *user, unsigned *ret_count)
{
    struct meta_query query = {.kind = kind, .field = user ? "user" : NULL, .value = user};
    struct counting counting = {.site = site, .kind = kind};
    int result = meta_walk(site->meta, &query, 0, count_living, &counting);

    *ret_count = counting.count;
    return result;
}

void roster_begin(struct roster_edit *edit, struct site *site)
{
    edit->items = NULL;
    change_begin(&edit->change, site);
}

void roster_put(struct roster_edit *edit, enum record_kind kind, union roster_record *record,
                const char *secret)
{
    struct roster_item *item = calloc(1, sizeof(*item));

    check(item && (!secret || strlen(secret) < sizeof(item->secret)));
    record->access.version++;
    strcpy(record->access.site, edit->change.site->name);
    item->kind = kind;
    memcpy(&item->record, record, record_type(kind)->size);
    if (secret)
        strcpy(item->secret, secret);
    item->next = edit->items;
    edit->items = item;
    change_put(&edit->change, kind, &item->record);
}

struct finding {
    struct access_record oldest;
    int64_t last; /* of the kind: it stays */
};

/* The first that is deleted. */
static bool find_deleted(void *arg, uint64_t position, const void *record)
{
    const struct access_record *access = record;
    struct finding *finding = arg;
    bool is_found = access->is_deleted && access->version < finding->last;

    (void)position;
    if (is_found)
        finding->oldest = *access;
    return !is_found;
}

static int find_oldest(struct site *site, enum record_kind kind, struct finding *ret_finding)
{
    struct meta_query all = {.kind = kind};
    unsigned count = 0;
    int result = meta_count(site->meta, &all, &count);

    memset(ret_finding, 0, sizeof(*ret_finding));
    if (result < 0 || count < ROSTER_RECORDS_MAX)
        return result;
    result = roster_record_last(site, kind, &ret_finding->last);
    return result < 0 ? result : meta_walk(site->meta, &all, 0, find_deleted, ret_finding);
}

/* Most are forgotten when the peer knows of them. This is for one that is not there for years: what
 * still lives there of them is buried when it returns (roster_sync.c). */
static void forget_oldest(struct roster_edit *edit, enum record_kind kind)
{
    struct finding finding;
    int result = find_oldest(edit->change.site, kind, &finding);

    if (result < 0)
        change_fail(&edit->change, result, "users, keys and policies");
    if (result < 0 || !finding.oldest.id[0])
        return;
    log_warning("control",
                "%s: %d of them, living and deleted: the end of %s is forgotten; a site that has "
                "not heard of it will when it pushes it",
                record_type(kind)->table, ROSTER_RECORDS_MAX, finding.oldest.id);
    roster_record_forget(&edit->change, kind, &finding.oldest);
}

void roster_remove(struct roster_edit *edit, enum record_kind kind, union roster_record *record)
{
    forget_oldest(edit, kind);
    roster_record_bury(edit->change.site, kind, record);
    roster_put(edit, kind, record, NULL);
}

int roster_commit(struct roster_edit *edit)
{
    struct site *site = edit->change.site;
    int result = change_commit(&edit->change);

    while (edit->items) {
        struct roster_item *item = edit->items;

        edit->items = item->next;
        if (result == 0) {
            (void)roster_record_apply(site, item->kind, &item->record,
                                      item->secret[0] ? item->secret : NULL);
            roster_sync_mark(site->roster_sync, item->kind, item->record.access.id);
        }
        OPENSSL_cleanse(item, sizeof(*item));
        free(item);
    }
    return result;
}
