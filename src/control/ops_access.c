/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: users and access keys, our own operations. They run at the site that is asked, also when the
 * other one is gone; roster_sync.c brings the sites together.
 *
 * A secret is in one answer, that of CreateAccessKey, and nowhere else.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "control/operations.h"
#include "control/page.h"
#include "control/roster.h"
#include "control/tree.h"

enum { USERS_MAX = 1000, USER_KEYS_MAX = 5, KEY_ID_LETTERS = 20, SECRET_LETTERS = 40 };

/* Reads that failed are no "none". */
static void fail_read(struct call *call, int result, enum api_error absent, const char *what)
{
    if (result == -ENOENT)
        call_fail(call, absent, "%.60s.", what);
    else
        call_fail_internal(call, err_name(result));
}

static void commit(struct call *call, struct roster_edit *edit, json_t *reply)
{
    if (roster_commit(edit) < 0) {
        json_decref(reply);
        call_fail_internal(call, edit->change.err.text);
    } else {
        call_reply(call, reply);
    }
}

/* `count` characters of the alphabet. */
static void draw(struct site *site, const char *alphabet, unsigned count, char *ret_text)
{
    for (unsigned i = 0; i < count; i++)
        ret_text[i] = alphabet[site_random(site) % strlen(alphabet)];
    ret_text[count] = 0;
}

/* --- users ----------------------------------------------------------------------------------- */

static json_t *show_user(struct call *call, const void *record)
{
    const struct user_record *user = record;
    json_t *tree = json_object();

    (void)call;
    check(tree);
    tree_set_text(tree, "UserName", user->access.id);
    tree_set_text(tree, "UserId", user->uid);
    tree_set_text(tree, "Description", user->description);
    tree_set_time(tree, "CreateDate", user->access.created_s);
    return tree;
}

static json_t *wrapped(const char *name, json_t *item)
{
    json_t *tree = json_object();

    check(tree);
    tree_set(tree, name, item);
    return tree;
}

void ops_access_create_user(struct call *call)
{
    const char *name = call_text(call, "UserName");
    union roster_record record;
    struct roster_edit edit;
    unsigned count = 0;
    int result;

    if (!roster_record_is_name(name) || strcmp(name, "root") == 0) {
        call_fail_name(call, API_INVALID_NAME, "UserName",
                       "1 to 60 of letters, digits, '.', '_' and '-', and not \"root\".");
        return;
    }
    result = roster_count(call->site, RECORD_USER, NULL, &count);
    if (result == 0)
        result = roster_prepare(call->site, RECORD_USER, name, &record);
    if (result < 0 || count >= USERS_MAX) {
        if (result == -EEXIST)
            call_fail(call, API_USER_EXISTS, "%.60s.", name);
        else if (result < 0)
            call_fail_internal(call, err_name(result));
        else
            call_fail(call, API_USERS_EXCEED, "%d.", USERS_MAX);
        return;
    }
    record.user.uid[0] = '2';
    draw(call->site, "0123456789", 17, record.user.uid + 1);
    strncpy(record.user.description, call_text(call, "Description"),
            sizeof(record.user.description) - 1);
    roster_begin(&edit, call->site);
    roster_put(&edit, RECORD_USER, &record, NULL);
    commit(call, &edit, wrapped("User", show_user(call, &record)));
}

struct removal {
    struct roster_edit *edit;
    enum record_kind kind;
};

/* Inside the walk: it may change records. */
static bool remove_one(void *arg, uint64_t position, const void *found)
{
    struct removal *removal = arg;
    union roster_record record;

    (void)position;
    memcpy(&record, found, record_type(removal->kind)->size);
    if (!record.access.is_deleted)
        roster_remove(removal->edit, removal->kind, &record);
    return true;
}

void ops_access_delete_user(struct call *call)
{
    static const enum record_kind kinds[] = {RECORD_ACCESS_KEY, RECORD_POLICY_LINK};
    const char *name = call_text(call, "UserName");
    union roster_record record;
    struct roster_edit edit;
    int result = roster_get(call->site, RECORD_USER, name, &record);

    if (result < 0) {
        fail_read(call, result, API_USER_NOT_FOUND, name);
        return;
    }
    roster_begin(&edit, call->site);
    for (unsigned i = 0; i < ARRAY_COUNT(kinds); i++) {
        struct meta_query query = {.kind = kinds[i], .field = "user", .value = name};
        struct removal removal = {.edit = &edit, .kind = kinds[i]};

        result = meta_walk(call->site->meta, &query, 0, remove_one, &removal);
        if (result < 0)
            change_fail(&edit.change, result, "what belongs to the user");
    }
    roster_remove(&edit, RECORD_USER, &record);
    commit(call, &edit, NULL);
}

static bool is_living(struct call *call, const void *record)
{
    const struct access_record *access = record;

    (void)call;
    return !access->is_deleted;
}

void ops_access_list_users(struct call *call)
{
    static const struct page_source source = {
        .kind = RECORD_USER, .is_wanted_cb = is_living, .show_cb = show_user, .list = "Users"};

    page_reply(call, &source);
}

/* --- access keys ----------------------------------------------------------------------------- */

static json_t *show_key(struct call *call, const void *record)
{
    const struct access_key_record *key = record;
    int64_t used_s = directory_used_s(call->site->directory, key->access.id);
    json_t *tree = json_object();

    check(tree);
    tree_set_text(tree, "AccessKeyId", key->access.id);
    tree_set_text(tree, "UserName", key->user);
    tree_set_text(tree, "Status", key->is_enabled ? "Active" : "Inactive");
    tree_set_time(tree, "CreateDate", key->access.created_s);
    tree_set_time(tree, "LastUsedDate", used_s > key->last_used_s ? used_s : key->last_used_s);
    return tree;
}

/* Root's keys are root's alone: who is allowed to make keys is not allowed everything by that. */
static bool may_touch_root(struct call *call, const char *user)
{
    if (strcmp(user, "root") != 0 || caller_is_root(&call->caller))
        return true;
    call_fail(call, API_FORBIDDEN, "Access keys of root are root's own affair.");
    return false;
}

/* Makes the record of a new key and its secret; negative: an errno. */
static int make_key(struct call *call, const char *user, const char *uid,
                    union roster_record *record, char ret_secret[SECRET_LETTERS + 1])
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghijklmnopqrstuvwxyz";
    char id[KEY_ID_LETTERS + 8] = "VERSO", upper[37] = "";
    int result;

    memcpy(upper, letters, 36);
    draw(call->site, upper, KEY_ID_LETTERS, id + strlen(id));
    draw(call->site, letters, SECRET_LETTERS, ret_secret);
    result = roster_prepare(call->site, RECORD_ACCESS_KEY, id, record);
    if (result < 0)
        return result;
    strcpy(record->key.user, user);
    strcpy(record->key.user_uid, uid);
    record->key.is_enabled = true;
    return roster_record_seal(call->site, &record->key, ret_secret);
}

static json_t *show_secret(const union roster_record *record, const char *secret)
{
    json_t *tree = json_object();

    check(tree);
    tree_set_text(tree, "AccessKeyId", record->access.id);
    tree_set_text(tree, "AccessKeySecret", secret);
    tree_set_text(tree, "UserName", record->key.user);
    tree_set_text(tree, "Status", "Active");
    tree_set_time(tree, "CreateDate", record->access.created_s);
    return wrapped("AccessKey", tree);
}

void ops_access_create_key(struct call *call)
{
    const char *user = call_has(call, "UserName") ? call_text(call, "UserName") : "root";
    const char *uid =
        strcmp(user, "root") == 0 ? "root" : directory_user_uid(call->site->directory, user);
    char secret[SECRET_LETTERS + 1];
    union roster_record record;
    struct roster_edit edit;
    unsigned count = 0;
    int result;

    if (!may_touch_root(call, user))
        return;
    if (!uid) {
        call_fail(call, API_USER_NOT_FOUND, "%.60s.", user);
        return;
    }
    result = roster_count(call->site, RECORD_ACCESS_KEY, user, &count);
    if (result == 0 && count >= USER_KEYS_MAX) {
        call_fail(call, API_KEYS_EXCEED, "%d a user; delete one first.", USER_KEYS_MAX);
        return;
    }
    if (result == 0)
        result = make_key(call, user, uid, &record, secret);
    if (result < 0) {
        call_fail_internal(call, err_name(result));
    } else {
        roster_begin(&edit, call->site);
        roster_put(&edit, RECORD_ACCESS_KEY, &record, secret);
        commit(call, &edit, show_secret(&record, secret));
    }
    OPENSSL_cleanse(secret, sizeof(secret));
}

/* The key that the call names, if the caller may touch it; else the call is answered. */
static bool load_key(struct call *call, union roster_record *record)
{
    const char *id = call_text(call, "UserAccessKeyId");
    int result = roster_get(call->site, RECORD_ACCESS_KEY, id, record);

    if (result < 0) {
        fail_read(call, result, API_KEY_NOT_FOUND, id);
        return false;
    }
    return may_touch_root(call, record->key.user);
}

void ops_access_update_key(struct call *call)
{
    bool is_enabled = strcmp(call_text(call, "Status"), "Active") == 0;
    union roster_record record;
    struct roster_edit edit;

    if (!load_key(call, &record))
        return;
    if (record.key.is_enabled == is_enabled) {
        call_reply(call, NULL);
        return;
    }
    record.key.is_enabled = is_enabled;
    roster_begin(&edit, call->site);
    roster_put(&edit, RECORD_ACCESS_KEY, &record, NULL);
    commit(call, &edit, NULL);
}

void ops_access_delete_key(struct call *call)
{
    union roster_record record;
    struct roster_edit edit;

    if (!load_key(call, &record))
        return;
    roster_begin(&edit, call->site);
    roster_remove(&edit, RECORD_ACCESS_KEY, &record);
    commit(call, &edit, NULL);
}

static bool is_living_key(struct call *call, const void *record)
{
    return roster_key_lives(call->site, record);
}

void ops_access_list_keys(struct call *call)
{
    const char *user = call_text(call, "UserName");
    struct page_source source = {.kind = RECORD_ACCESS_KEY,
                                 .field = user[0] ? "user" : NULL,
                                 .value = user[0] ? user : NULL,
                                 .is_wanted_cb = is_living_key,
                                 .show_cb = show_key,
                                 .list = "AccessKeys"};

    page_reply(call, &source);
}

/* --- who am I -------------------------------------------------------------------------------- */

void ops_access_show_caller(struct call *call)
{
    const struct caller *caller = &call->caller;
    const char *account = call->site->account_id;
    const char *uid =
        caller_is_root(caller) ? account : directory_user_uid(call->site->directory, caller->user);
    char arn[3 * RECORD_WORD_SIZE];
    json_t *reply = json_object();

    check(reply);
    if (caller_is_root(caller))
        snprintf(arn, sizeof(arn), "acs:ram::%s:root", account);
    else
        snprintf(arn, sizeof(arn), "acs:ram::%s:user/%s", account, caller->user);
    tree_set_text(reply, "AccountId", account);
    tree_set_text(reply, "UserId", uid ? uid : "");
    tree_set_text(reply, "PrincipalId", uid ? uid : "");
    tree_set_text(reply, "Arn", arn);
    tree_set_text(reply, "IdentityType", caller_is_root(caller) ? "Account" : "RAMUser");
    call_reply(call, reply);
}
