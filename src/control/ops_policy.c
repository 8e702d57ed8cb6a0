/* SPDX-License-Identifier: Apache-2.0 */
/* Why: policies and to whom they are attached, our own operations. A document is parsed before it
 * is kept; what is kept is the author's text, byte for byte. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "control/operations.h"
#include "control/page.h"
#include "control/roster.h"
#include "control/tree.h"

enum { POLICIES_MAX = 1000, USER_POLICIES_MAX = 20 };

static void commit(struct call *call, struct roster_edit *edit, json_t *reply)
{
    if (roster_commit(edit) < 0) {
        json_decref(reply);
        call_fail_internal(call, edit->change.err.text);
    } else {
        call_reply(call, reply);
    }
}

/* Attachments of living users that count: of a policy, or of a user. */
struct links {
    struct site *site;
    const char *policy_uid; /* NULL: any */
    unsigned count;
};

static bool count_link(void *arg, uint64_t position, const void *record)
{
    struct links *links = arg;
    const struct policy_link_record *link = record;
    const char *uid = directory_user_uid(links->site->directory, link->user);

    (void)position;
    if (!link->access.is_deleted && uid && strcmp(uid, link->user_uid) == 0 &&
        (!links->policy_uid || strcmp(links->policy_uid, link->policy_uid) == 0))
        links->count++;
    return true;
}

static int count_links(struct site *site, const char *field, const char *value,
                       const char *policy_uid, unsigned *ret_count)
{
    struct meta_query query = {.kind = RECORD_POLICY_LINK, .field = field, .value = value};
    struct links links = {.site = site, .policy_uid = policy_uid};
    int result = meta_walk(site->meta, &query, 0, count_link, &links);

    *ret_count = links.count;
    return result;
}

static bool is_living(struct call *call, const void *record)
{
    const struct access_record *access = record;

    (void)call;
    return !access->is_deleted;
}

/* --- policies -------------------------------------------------------------------------------- */

static json_t *show_policy(struct call *call, const void *record)
{
    const struct policy_record *policy = record;
    json_t *tree = json_object();
    unsigned count;
    int result = count_links(call->site, "policy", policy->access.id, policy->uid, &count);

    check(tree && result != -ENOMEM);
    tree_set_text(tree, "PolicyName", policy->access.id);
    tree_set_text(tree, "Description", policy->description);
    tree_set_time(tree, "CreateDate", policy->access.created_s);
    if (result == 0)
        tree_set_int(tree, "AttachmentCount", count);
    return tree;
}

static json_t *show_document(struct call *call, const struct policy_record *policy)
{
    json_t *tree = json_object(), *shown = show_policy(call, policy);

    check(tree);
    tree_set_text(shown, "PolicyDocument", policy->document);
    tree_set(tree, "Policy", shown);
    return tree;
}

/* False: it is answered with what is wrong, and where. */
static bool check_document(struct call *call, const char *document)
{
    struct policy *policy = NULL;
    struct err err = {0};
    int result = policy_parse(document, strlen(document), &policy, &err);

    if (result == -ENOMEM)
        call_fail_internal(call, err.text);
    else if (result < 0)
        call_fail(call, API_POLICY_MALFORMED, "%s.", err.text);
    if (result < 0)
        return false;
    policy_free(policy);
    return true;
}

static void set_text(struct call *call, struct policy_record *policy)
{
    memset(policy->document, 0, sizeof(policy->document));
    strncpy(policy->document, call_text(call, "PolicyDocument"), sizeof(policy->document) - 1);
    if (!call_has(call, "Description"))
        return;
    memset(policy->description, 0, sizeof(policy->description));
    strncpy(policy->description, call_text(call, "Description"), sizeof(policy->description) - 1);
}

static int prepare_policy(struct call *call, const char *name, union roster_record *record)
{
    unsigned count;
    int result = roster_count(call->site, RECORD_POLICY, NULL, &count);

    if (result == 0 && count >= POLICIES_MAX)
        return -ENOSPC;
    if (result == 0)
        result = roster_prepare(call->site, RECORD_POLICY, name, record);
    if (result == 0)
        snprintf(record->policy.uid, sizeof(record->policy.uid), "%016llx",
                 (unsigned long long)site_random(call->site));
    return result;
}

static void write_policy(struct call *call, bool may_replace)
{
    const char *name = call_text(call, "PolicyName");
    union roster_record record;
    struct roster_edit edit;
    int result;

    if (!roster_record_is_name(name)) {
        call_fail_name(call, API_INVALID_NAME, "PolicyName",
                       "1 to 60 of letters, digits, '.', '_' and '-'.");
        return;
    }
    if (!check_document(call, call_text(call, "PolicyDocument")))
        return;
    result = may_replace ? roster_get(call->site, RECORD_POLICY, name, &record) : -ENOENT;
    if (result == -ENOENT)
        result = prepare_policy(call, name, &record);
    if (result < 0) {
        if (result == -EEXIST)
            call_fail(call, API_POLICY_EXISTS, "%.60s.", name);
        else if (result == -ENOSPC)
            call_fail(call, API_POLICIES_EXCEED, "%d.", POLICIES_MAX);
        else
            call_fail_internal(call, err_name(result));
        return;
    }
    set_text(call, &record.policy);
    roster_begin(&edit, call->site);
    roster_put(&edit, RECORD_POLICY, &record, NULL);
    commit(call, &edit, show_document(call, &record.policy));
}

void ops_policy_create(struct call *call)
{
    write_policy(call, false);
}

void ops_policy_put(struct call *call)
{
    write_policy(call, true);
}

/* The record that the parameter names; else the call is answered. */
static bool load(struct call *call, enum record_kind kind, const char *parameter,
                 union roster_record *record)
{
    const char *id = call_text(call, parameter);
    int result = roster_get(call->site, kind, id, record);

    if (result == -ENOENT)
        call_fail(call, kind == RECORD_USER ? API_USER_NOT_FOUND : API_POLICY_NOT_FOUND, "%.60s.",
                  id);
    else if (result < 0)
        call_fail_internal(call, err_name(result));
    return result == 0;
}

void ops_policy_delete(struct call *call)
{
    union roster_record record;
    struct roster_edit edit;
    unsigned count;

    if (!load(call, RECORD_POLICY, "PolicyName", &record))
        return;
    if (count_links(call->site, "policy", record.access.id, record.policy.uid, &count) < 0) {
        call_fail_internal(call, "the attachments cannot be read");
        return;
    }
    if (count > 0) { /* a Deny that goes unnoticed would allow */
        call_fail(call, API_POLICY_ATTACHED, "%u; detach it first.", count);
        return;
    }
    roster_begin(&edit, call->site);
    roster_remove(&edit, RECORD_POLICY, &record);
    commit(call, &edit, NULL);
}

void ops_policy_get(struct call *call)
{
    union roster_record record;

    if (load(call, RECORD_POLICY, "PolicyName", &record))
        call_reply(call, show_document(call, &record.policy));
}

/* --- attachments ----------------------------------------------------------------------------- */

static void link_id(const char *user, const char *policy, char ret_id[RECORD_ACCESS_ID_SIZE])
{
    snprintf(ret_id, RECORD_ACCESS_ID_SIZE, "%.60s/%.60s", user, policy);
}

/* Does the attachment count for the user and the policy as they live now? */
static bool is_link_of(const struct policy_link_record *link, const struct user_record *user,
                       const struct policy_record *policy)
{
    return strcmp(link->user_uid, user->uid) == 0 && strcmp(link->policy_uid, policy->uid) == 0;
}

static bool is_attached(struct call *call, const void *record)
{
    const char *name = call_text(call, "UserName");
    const struct policy_record *policy = record;
    union roster_record user, link;
    char id[RECORD_ACCESS_ID_SIZE];

    if (policy->access.is_deleted)
        return false;
    link_id(name, policy->access.id, id);
    return roster_get(call->site, RECORD_USER, name, &user) == 0 &&
           roster_get(call->site, RECORD_POLICY_LINK, id, &link) == 0 &&
           is_link_of(&link.link, &user.user, policy);
}

void ops_policy_list(struct call *call)
{
    struct page_source source = {.kind = RECORD_POLICY,
                                 .is_wanted_cb = is_living,
                                 .show_cb = show_policy,
                                 .list = "Policies"};
    union roster_record user;

    if (call_has(call, "UserName")) {
        if (!load(call, RECORD_USER, "UserName", &user))
            return;
        source.is_wanted_cb = is_attached;
    }
    page_reply(call, &source);
}

/* A new attachment, or one of an earlier life that is taken over. -EEXIST: it counts already. */
static int prepare_link(struct call *call, const struct user_record *user,
                        const struct policy_record *policy, union roster_record *record)
{
    char id[RECORD_ACCESS_ID_SIZE];
    int result;

    link_id(user->access.id, policy->access.id, id);
    result = roster_prepare(call->site, RECORD_POLICY_LINK, id, record);
    if (result == -EEXIST && !is_link_of(&record->link, user, policy))
        result = 0;
    if (result < 0)
        return result;
    strcpy(record->link.user, user->access.id);
    strcpy(record->link.user_uid, user->uid);
    strcpy(record->link.policy, policy->access.id);
    strcpy(record->link.policy_uid, policy->uid);
    return 0;
}

void ops_policy_attach(struct call *call)
{
    union roster_record user, policy, link;
    struct roster_edit edit;
    unsigned count = 0;
    int result;

    if (!load(call, RECORD_USER, "UserName", &user) ||
        !load(call, RECORD_POLICY, "PolicyName", &policy))
        return;
    result = count_links(call->site, "user", user.access.id, NULL, &count);
    if (result == 0)
        result = prepare_link(call, &user.user, &policy.policy, &link);
    if (result == -EEXIST)
        call_fail(call, API_LINK_EXISTS, "%.60s.", policy.access.id);
    else if (result < 0)
        call_fail_internal(call, err_name(result));
    else if (count >= USER_POLICIES_MAX)
        call_fail(call, API_LINKS_EXCEED, "%d a user.", USER_POLICIES_MAX);
    else {
        roster_begin(&edit, call->site);
        roster_put(&edit, RECORD_POLICY_LINK, &link, NULL);
        commit(call, &edit, NULL);
    }
}

void ops_policy_detach(struct call *call)
{
    union roster_record user, policy, link;
    char id[RECORD_ACCESS_ID_SIZE];
    struct roster_edit edit;
    int result;

    if (!load(call, RECORD_USER, "UserName", &user) ||
        !load(call, RECORD_POLICY, "PolicyName", &policy))
        return;
    link_id(user.access.id, policy.access.id, id);
    result = roster_get(call->site, RECORD_POLICY_LINK, id, &link);
    if (result == 0 && !is_link_of(&link.link, &user.user, &policy.policy))
        result = -ENOENT;
    if (result == -ENOENT)
        call_fail(call, API_LINK_NOT_FOUND, "%.60s.", id);
    else if (result < 0)
        call_fail_internal(call, err_name(result));
    else {
        roster_begin(&edit, call->site);
        roster_remove(&edit, RECORD_POLICY_LINK, &link);
        commit(call, &edit, NULL);
    }
}
