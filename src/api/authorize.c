/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: one table says which resources an operation touches; whoever adds an operation adds its row
 * (a test walks the table of operations). What has no row is for root alone.
 *
 * The region of a resource's name is the one that the call names (RegionId), else this site's: both
 * sites that see a call judge the same name.
 */
#include "api/authorize.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "access/directory.h"
#include "base/check.h"
#include "control/relation.h"
#include "control/tag.h"
#include "control/tree.h"

enum { NAME_SIZE = 512 };

enum scope {
    FREE,    /* nothing is asked: whoever is known may */
    ANY,     /* no resource of its own: "*" of the product */
    ONE,     /* the parameter's resource, by its id's kind */
    NEW,     /* a resource of that kind which is made by it */
    LIST,    /* each entry is asked for when it is listed */
    BOTH,    /* disk and instance */
    SEVERAL, /* each of the parameter's list; without one as LIST */
};

struct row {
    const char *name;
    enum scope scope;
    const char *parameter; /* NEW: the kind */
};

#define PAIR "diskreplicapair"
#define GROUP "diskreplicagroup"

static const struct row rows[] = {
    {"CreateDiskReplicaPair", NEW, PAIR},
    {"StartDiskReplicaPair", ONE, "ReplicaPairId"},
    {"StopDiskReplicaPair", ONE, "ReplicaPairId"},
    {"FailoverDiskReplicaPair", ONE, "ReplicaPairId"},
    {"ReprotectDiskReplicaPair", ONE, "ReplicaPairId"},
    {"ModifyDiskReplicaPair", ONE, "ReplicaPairId"},
    {"DeleteDiskReplicaPair", ONE, "ReplicaPairId"},
    {"DescribeDiskReplicaPairs", LIST, NULL},
    {"DescribeDiskReplicaPairProgress", ONE, "ReplicaPairId"},
    {"CreateDiskReplicaGroup", NEW, GROUP},
    {"StartDiskReplicaGroup", ONE, "ReplicaGroupId"},
    {"StopDiskReplicaGroup", ONE, "ReplicaGroupId"},
    {"FailoverDiskReplicaGroup", ONE, "ReplicaGroupId"},
    {"ReprotectDiskReplicaGroup", ONE, "ReplicaGroupId"},
    {"ModifyDiskReplicaGroup", ONE, "ReplicaGroupId"},
    {"DeleteDiskReplicaGroup", ONE, "ReplicaGroupId"},
    {"DescribeDiskReplicaGroups", LIST, NULL},
    {"AddDiskReplicaPair", ONE, "ReplicaGroupId"}, /* not the pair: contract 4.3 */
    {"RemoveDiskReplicaPair", ONE, "ReplicaGroupId"},
    {"DescribeRegions", ANY, NULL},
    {"DescribeZones", ANY, NULL},
    {"ListReplicaEdgeSupported", ANY, NULL},
    {"TagResources", SEVERAL, "ResourceId"},
    {"UntagResources", SEVERAL, "ResourceId"},
    {"ListTagResources", SEVERAL, "ResourceId"},
    {"ChangeResourceGroup", ONE, "ResourceId"},
    {"DescribeUserTagKeys", LIST, NULL},
    {"DescribeUserTagValues", LIST, NULL},
    {"CreateDisk", NEW, "disk"},
    {"DeleteDisk", ONE, "DiskId"},
    {"ResizeDisk", ONE, "DiskId"},
    {"ReInitDisk", ONE, "DiskId"},
    {"ModifyDiskAttribute", SEVERAL, "DiskIds"},
    {"DescribeDisks", LIST, NULL},
    {"DescribeDiskMonitorData", ONE, "DiskId"},
    {"DescribeDiskMonitorDataList", LIST, NULL},
    {"AttachDisk", BOTH, "DiskId"},
    {"DetachDisk", BOTH, "DiskId"},
    {"GetCallerIdentity", FREE, NULL},
};

/* A call whose caller's policies are asked. */
struct inquiry {
    struct site *site;
    const struct call *call;
    const char *product;
    char action[128];
    const struct policy *const *policies;
    unsigned policy_count;
    /* Of the resource that is asked for: */
    const char *id;        /* NULL: one that is made now, or none */
    const json_t *created; /* its tags, [{"Key":, "Value":}] */
    json_t *tags;          /* [{"TagKey":, "TagValue":}], while it is asked for */
};

static const char *product_of(const struct operation *operation)
{
    if (strcmp(operation->version, "2021-07-30") == 0)
        return "ebs";
    if (strcmp(operation->version, "2014-05-26") == 0)
        return "ecs";
    return strcmp(operation->version, "2015-04-01") == 0 ? "sts" : "verso";
}

/* Our own operations need no row: theirs is the right to administer. */
static const struct row *row_of(const struct operation *operation)
{
    static const struct row own = {"", ANY, NULL};

    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++)
        if (strcmp(rows[i].name, operation->name) == 0)
            return &rows[i];
    return strcmp(product_of(operation), "verso") == 0 ? &own : NULL;
}

bool authorize_has_row(const struct operation *operation)
{
    return row_of(operation) != NULL;
}

/* Only a region that exists gets into a name. */
static const char *region_of(struct site *site, const struct call *call)
{
    const char *region = call_text(call, "RegionId");
    const struct site_peer *peer = region[0] ? site_peer_in(site, region, NULL) : NULL;

    return peer ? peer->region : site->region;
}

static const char *kind_of(const char *id)
{
    if (strncmp(id, "pair-", 5) == 0)
        return PAIR;
    if (strncmp(id, "pg-", 3) == 0)
        return GROUP;
    return strncmp(id, "d-", 2) == 0 ? "disk" : "unknown";
}

/* --- tags ------------------------------------------------------------------------------------ */

static const char *text_of(const json_t *list, const char *key, const char *key_name,
                           const char *value_name)
{
    const json_t *tag;
    size_t i;

    json_array_foreach((json_t *)list, i, tag)
    {
        if (strcmp(tree_text(tag, key_name), key) == 0)
            return tree_text(tag, value_name);
    }
    return NULL;
}

static const char *find_tag(void *arg, const char *product, const char *key)
{
    struct inquiry *inquiry = arg;
    bool is_disk = inquiry->id ? strcmp(kind_of(inquiry->id), "disk") == 0
                               : strcmp(inquiry->product, "ecs") == 0;

    if (is_disk != (strcmp(product, "ecs") == 0))
        return NULL;
    if (!inquiry->id)
        return text_of(inquiry->created, key, "Key", "Value");
    return text_of(inquiry->tags, key, "TagKey", "TagValue");
}

/* False: it is not there, or cannot be read now. */
static bool exists(struct site *site, const char *id)
{
    const char *kind = kind_of(id);
    struct relation relation;
    struct disk_record disk;

    if (strcmp(kind, "disk") == 0)
        return meta_get(site->meta, RECORD_DISK, id, &disk) == 0;
    return relation_load(site, id, &relation) == 0;
}

/* --- asking ---------------------------------------------------------------------------------- */

static struct policy_question question_of(struct inquiry *inquiry, const char *resource)
{
    const struct caller *caller = &inquiry->call->caller;

    return (struct policy_question){.action = inquiry->action,
                                    .resource = resource,
                                    .source = caller->source,
                                    .is_secure = caller->is_secure,
                                    .now_s = caller->now_s,
                                    .tag_cb = find_tag,
                                    .arg = inquiry};
}

static enum policy_verdict ask(struct inquiry *inquiry, const char *product, const char *kind,
                               const char *id)
{
    char name[NAME_SIZE];
    struct policy_question question = question_of(inquiry, name);
    enum policy_verdict verdict;

    snprintf(name, sizeof(name), "acs:%s:%s:%s:%s%s%s", product,
             region_of(inquiry->site, inquiry->call), inquiry->site->account_id, kind,
             id ? "/" : "", id ? id : "");
    if (inquiry->id && policy_asks_tags(inquiry->policies, inquiry->policy_count)) {
        inquiry->tags =
            exists(inquiry->site, inquiry->id) ? tag_list(inquiry->site, inquiry->id) : NULL;
        question.are_tags_unknown = !inquiry->tags;
    }
    verdict = policy_evaluate(inquiry->policies, inquiry->policy_count, &question);
    json_decref(inquiry->tags);
    inquiry->tags = NULL;
    return verdict;
}

static enum policy_verdict ask_id(struct inquiry *inquiry, const char *id)
{
    const char *kind = kind_of(id);

    inquiry->id = id;
    return ask(inquiry, strcmp(kind, "disk") == 0 ? "ecs" : "ebs", kind, id);
}

static void begin(struct inquiry *inquiry, struct site *site, const struct call *call)
{
    *inquiry = (struct inquiry){.site = site, .call = call, .product = product_of(call->operation)};
    snprintf(inquiry->action, sizeof(inquiry->action), "%s:%s", inquiry->product,
             call->operation->name);
    directory_policies(site->directory, call->caller.user, &inquiry->policies,
                       &inquiry->policy_count);
}

/* An entry of a list; his policies may have changed since the call began. */
static bool may_see(const struct call *call, enum record_kind kind, const char *id)
{
    struct inquiry inquiry;

    if (kind != RECORD_PAIR && kind != RECORD_GROUP && kind != RECORD_DISK)
        return true;
    begin(&inquiry, call->site, call);
    return ask_id(&inquiry, id) == POLICY_ALLOWED;
}

static enum policy_verdict ask_several(struct inquiry *inquiry, const json_t *ids)
{
    enum policy_verdict verdict = POLICY_ALLOWED;
    const json_t *id;
    size_t i;

    json_array_foreach((json_t *)ids, i, id)
    {
        verdict = ask_id(inquiry, json_string_value(id));
        if (verdict != POLICY_ALLOWED)
            break;
    }
    return verdict;
}

/* A list whose caller could see nothing, whatever there is, is refused: an empty one would tell him
 * that all is gone. */
static enum policy_verdict ask_list(struct inquiry *inquiry, struct call *call)
{
    struct policy_question question = question_of(inquiry, "");

    call->may_see_cb = may_see;
    return policy_may_allow(inquiry->policies, inquiry->policy_count, &question) ? POLICY_ALLOWED
                                                                                 : POLICY_DENIED;
}

static enum policy_verdict ask_row(struct inquiry *inquiry, const struct row *row,
                                   struct call *call)
{
    const json_t *ids;
    enum policy_verdict verdict;

    switch (row->scope) {
    case FREE:
        return POLICY_ALLOWED;
    case ANY:
        return ask(inquiry, inquiry->product, "*", NULL);
    case ONE:
        return ask_id(inquiry, call_text(call, row->parameter));
    case NEW:
        inquiry->created = json_object_get(call->parameters, "Tag");
        return ask(inquiry, inquiry->product, row->parameter, "*");
    case BOTH:
        verdict = ask_id(inquiry, call_text(call, row->parameter));
        if (verdict != POLICY_ALLOWED)
            return verdict;
        inquiry->id = NULL;
        return ask(inquiry, "ecs", "instance", call_text(call, "InstanceId"));
    case SEVERAL:
        ids = json_object_get(call->parameters, row->parameter);
        if (json_array_size(ids) > 0)
            return ask_several(inquiry, ids);
        if (call_has(call, "DiskId"))
            return ask_id(inquiry, call_text(call, "DiskId"));
        break;
    case LIST:
        break;
    }
    return ask_list(inquiry, call);
}

static void set_caller_uid(struct site *site, struct call *call)
{
    const char *uid = caller_is_root(&call->caller)
                          ? "root"
                          : directory_user_uid(site->directory, call->caller.user);

    check(uid); /* the directory knows the caller */
    snprintf(call->caller_uid, sizeof(call->caller_uid), "%s", uid);
}

static bool names_action(const struct inquiry *inquiry)
{
    return policy_names_action(inquiry->policies, inquiry->policy_count, inquiry->action);
}

enum api_error authorize_call(struct site *site, struct call *call)
{
    const struct row *row = row_of(call->operation);
    struct inquiry inquiry;
    enum policy_verdict verdict;

    if (!directory_knows(site->directory, &call->caller))
        return API_FORBIDDEN;
    set_caller_uid(site, call);
    if (caller_is_root(&call->caller))
        return API_OK;
    if (!row)
        return API_FORBIDDEN_ACTION;
    begin(&inquiry, site, call);
    verdict = ask_row(&inquiry, row, call);
    if (verdict == POLICY_ALLOWED)
        return API_OK;
    call->is_denied = verdict == POLICY_DENIED && !call->may_see_cb;
    call->is_unnamed = verdict == POLICY_UNNAMED;
    return names_action(&inquiry) ? API_FORBIDDEN : API_FORBIDDEN_ACTION;
}

json_t *authorize_detail(struct site *site, const struct call *call)
{
    const char *uid = directory_user_uid(site->directory, call->caller.user);
    json_t *tree;
    struct inquiry inquiry;

    if (!uid || !directory_knows(site->directory, &call->caller))
        return NULL;
    begin(&inquiry, site, call);
    tree = json_object();
    check(tree);
    tree_set_text(tree, "AuthAction", inquiry.action);
    tree_set_text(tree, "AuthPrincipalDisplayName", uid);
    tree_set_text(tree, "AuthPrincipalOwnerId", site->account_id);
    tree_set_text(tree, "AuthPrincipalType", "SubUser");
    tree_set_text(tree, "PolicyType", "AccountLevelIdentityBasedPolicy");
    /* Where tags are asked it would tell whether the resource is there. */
    if ((call->is_denied || call->is_unnamed) &&
        !policy_asks_tags(inquiry.policies, inquiry.policy_count))
        tree_set_text(tree, "NoPermissionType", call->is_denied ? "ExplicitDeny" : "ImplicitDeny");
    return tree;
}

enum api_error authorize_malformed(struct site *site, struct call *call)
{
    const struct row *row = row_of(call->operation);
    struct inquiry inquiry;
    const char *id;

    if (!directory_knows(site->directory, &call->caller))
        return API_FORBIDDEN;
    if (caller_is_root(&call->caller) || (row && row->scope == FREE))
        return API_OK;
    if (!row)
        return API_FORBIDDEN_ACTION;
    begin(&inquiry, site, call);
    if (!names_action(&inquiry))
        return API_FORBIDDEN_ACTION;
    id = row->scope == ONE || row->scope == BOTH ? call_text(call, row->parameter) : "";
    if (!id[0] || strlen(id) >= RECORD_WORD_SIZE || ask_id(&inquiry, id) == POLICY_ALLOWED)
        return API_OK;
    return API_FORBIDDEN;
}
