/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: tags and resource groups (contract 10.3 to 10.6). Tags are set at the site that is asked,
 * also while the other one is away; both learn of it (tag.h). A resource group is a field of the
 * record and is changed where the record is changed.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "control/operations.h"
#include "control/relation.h"
#include "control/route.h"
#include "control/sharing.h"
#include "control/split.h"
#include "control/tag.h"
#include "control/token.h"
#include "control/tree.h"

struct resource_type {
    const char *name;
    enum record_kind kind;
    bool is_ecs;
    bool is_empty; /* known to the contract, none here */
};

static const struct resource_type types[] = {
    {.name = "diskreplicapair", .kind = RECORD_PAIR},
    {.name = "diskreplicagroup", .kind = RECORD_GROUP},
    {.name = "dedicatedblockstoragecluster", .kind = RECORD_PAIR, .is_empty = true},
    {.name = "disk", .kind = RECORD_DISK, .is_ecs = true},
};

/* Clients spell it as they like. NULL: answered. */
static const struct resource_type *find_type(struct call *call)
{
    const char *name = call_text(call, "ResourceType");

    for (unsigned i = 0; i < ARRAY_COUNT(types); i++)
        if (strcasecmp(types[i].name, name) == 0 && types[i].is_ecs == call->operation->is_ecs)
            return &types[i];
    call_fail(call, API_RESOURCE_TYPE_NOT_FOUND, NULL);
    return NULL;
}

static int find_resource(struct site *site, const struct resource_type *type, const char *id)
{
    struct meta_query query = {type->kind, record_type(type->kind)->fields[0].name, id};
    unsigned count = 0;
    int result = type->is_empty ? 0 : meta_count(site->meta, &query, &count);

    if (result < 0)
        return result;
    return count > 0 ? 0 : -ENOENT;
}

/* Are all of ResourceId.N here? False: answered. */
static bool check_resources(struct call *call, const struct resource_type *type)
{
    const json_t *ids = split_own(call, "ResourceId");
    size_t index;
    json_t *id;

    json_array_foreach((json_t *)ids, index, id)
    {
        int result = find_resource(call->site, type, json_string_value(id));

        if (result == 0)
            continue;
        if (result == -ENOENT)
            call_fail(call, API_RESOURCE_IDS_NOT_FOUND, "%.60s is not known at site %s.",
                      json_string_value(id), call->site->name);
        else
            call_fail_internal(call, err_name(result));
        return false;
    }
    return true;
}

static void finish(struct call *call, struct change *change, const struct resource_type *type)
{
    const json_t *ids = split_own(call, "ResourceId");
    size_t index;
    json_t *id;

    token_remember(change, call, NULL);
    json_array_foreach((json_t *)ids, index, id)
    {
        if (type->kind != RECORD_DISK)
            sharing_mark(call, json_string_value(id));
    }
    sharing_answer(change, call, NULL);
}

/* --- set, take away -------------------------------------------------------------------------- */

/* False: answered. */
static bool check_tag_quota(struct call *call)
{
    const json_t *ids = split_own(call, "ResourceId");
    const json_t *tags = json_object_get(call->parameters, "Tag");
    size_t index;
    json_t *id;

    json_array_foreach((json_t *)ids, index, id)
    {
        int count = tag_count_with(call->site, json_string_value(id), tags);

        if (count >= 0 && count <= TAGS_MAX)
            continue;
        if (count < 0)
            call_fail_internal(call, err_name(count));
        else
            call_fail(call, call->operation->is_ecs ? API_DISK_TAGS_EXCEED : API_TAG_QUOTA_EXCEED,
                      "%s would have %d tags; at most %d.", json_string_value(id), count, TAGS_MAX);
        return false;
    }
    return true;
}

void ops_tag_set(struct call *call)
{
    const json_t *ids = split_own(call, "ResourceId");
    const struct resource_type *type = find_type(call);
    struct change change;
    size_t index;
    json_t *id;

    if (!type || !check_resources(call, type) || !check_tag_quota(call) ||
        split_ask(call, "ResourceId", ops_tag_set))
        return;
    change_begin(&change, call->site);
    json_array_foreach((json_t *)ids, index, id)
    {
        tag_put(&change, json_string_value(id), json_object_get(call->parameters, "Tag"));
    }
    finish(call, &change, type);
}

void ops_tag_unset(struct call *call)
{
    const json_t *ids = split_own(call, "ResourceId");
    const json_t *keys = json_object_get(call->parameters, "TagKey");
    const struct resource_type *type = find_type(call);
    struct change change;
    size_t index;
    json_t *id;

    if (!type || !check_resources(call, type))
        return;
    if (!keys && !call_bool(call, "All")) {
        call_fail_name(call, API_MISSING_PARAMETER, "TagKey.N", NULL);
        return;
    }
    if (split_ask(call, "ResourceId", ops_tag_unset))
        return;
    change_begin(&change, call->site);
    json_array_foreach((json_t *)ids, index, id)
    {
        tag_remove(&change, json_string_value(id), keys);
    }
    finish(call, &change, type);
}

/* --- list ------------------------------------------------------------------------------------ */

static const struct record_field *owner_field(void)
{
    const struct record_type *type = record_type(RECORD_TAG);
    unsigned at = 0;

    while (strcmp(type->fields[at].name, "resource_id") != 0)
        check(++at < type->field_count);
    return &type->fields[at];
}

/* The type is checked: it is there. */
static const struct resource_type *type_of(const struct call *call)
{
    const char *name = call_text(call, "ResourceType");
    unsigned at = 0;

    while (strcasecmp(types[at].name, name) != 0)
        at++;
    check(at < ARRAY_COUNT(types));
    return &types[at];
}

/* It asks the resource alone, not the tag. */
static bool is_tag_wanted(struct call *call, const void *record)
{
    const struct tag_record *tag = record;
    const struct resource_type *type = type_of(call);
    const json_t *ids = split_own(call, "ResourceId");
    bool is_listed = !ids;
    size_t index;
    json_t *id;

    json_array_foreach((json_t *)ids, index, id)
    {
        is_listed = is_listed || strcmp(json_string_value(id), tag->resource_id) == 0;
    }
    return is_listed && find_resource(call->site, type, tag->resource_id) == 0 &&
           call_may_see(call, type->kind, tag->resource_id) &&
           tag_matches(call->site, tag->resource_id, json_object_get(call->parameters, "Tag"));
}

static json_t *show_tag(struct call *call, const void *record)
{
    const struct tag_record *tag = record;
    json_t *tree = json_object();

    check(tree);
    tree_set_text(tree, "ResourceId", tag->resource_id);
    tree_set_text(tree, "ResourceType", type_of(call)->name);
    tree_set_text(tree, "TagKey", tag->key);
    tree_set_text(tree, "TagValue", tag->value);
    return tree;
}

void ops_tag_list(struct call *call)
{
    const json_t *ids = split_own(call, "ResourceId");
    bool is_one = json_array_size(ids) == 1;
    struct page_source source = {.kind = RECORD_TAG,
                                 .field = is_one ? "resource_id" : NULL,
                                 .value = is_one ? json_string_value(json_array_get(ids, 0)) : NULL,
                                 .owner = owner_field(),
                                 .is_wanted_cb = is_tag_wanted,
                                 .show_cb = show_tag,
                                 .list = "TagResources",
                                 .wrapped = call->operation->is_ecs ? "TagResource" : NULL,
                                 .size = PAGE_SIZE_MAX};

    const struct resource_type *type = find_type(call);

    if (!type)
        return;
    if (!ids && !call_has(call, "Tag"))
        call_fail_name(call, API_MISSING_PARAMETER, "ResourceId.N", NULL);
    else if (check_resources(call, type))
        split_page(call, "ResourceId", &source);
}

/* --- resource groups ------------------------------------------------------------------------- */

static void change_group(struct call *call, struct relation *relation)
{
    struct replica_record *own = relation_own(relation);
    struct change change;
    bool is_new = strcmp(own->resource_group_id, call_text(call, "NewResourceGroupId")) != 0;

    change_begin(&change, call->site);
    if (is_new) {
        memset(own->resource_group_id, 0, sizeof(own->resource_group_id));
        strcpy(own->resource_group_id, call_text(call, "NewResourceGroupId"));
        relation_touch(own);
        relation_put(&change, relation);
    }
    token_remember(&change, call, NULL);
    if (is_new)
        sharing_mark(call, own->id);
    sharing_answer(&change, call, NULL);
}

static void pass_to_actor(struct call *call)
{
    struct relation relation;
    int result = relation_load(call->site, call_text(call, "ResourceId"), &relation);

    if (result < 0)
        call_fail_internal(call, err_name(result));
    else
        route_pass(call, relation_peer(call->site, &relation));
}

void ops_tag_change_group(struct call *call)
{
    const char *id = call_text(call, "ResourceId");
    const struct resource_type *type = find_type(call); /* NULL: answered, and the call is gone */
    struct relation relation;
    int result;

    if (!type)
        return;
    result = find_resource(call->site, type, id);
    if (result == 0)
        result = relation_load(call->site, id, &relation);
    if (result == -ENOENT)
        call_fail(call, API_RESOURCE_ID_NOT_FOUND, "%.60s is not known at site %s.", id,
                  call->site->name);
    else if (result < 0)
        call_fail_internal(call, err_name(result));
    else if (relation_is_actor(call->site, &relation))
        change_group(call, &relation);
    else
        sharing_leave(call, pass_to_actor);
}
