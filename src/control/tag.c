/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: tags have no one place that decides: they may be set at either site, also while the sites
 * are apart. So the set of a resource carries who wrote it last, and travels with the record
 * (sync.c) as a whole: what was taken away needs no row that says so.
 */
#include "control/tag.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "control/tree.h"

static void copy(char *to, size_t size, const char *from)
{
    check(strlen(from) < size);
    memset(to, 0, size);
    memcpy(to, from, strlen(from));
}

static void fill(struct tag_record *tag, const char *resource, const char *key, const char *value)
{
    memset(tag, 0, sizeof(*tag));
    check(snprintf(tag->id, sizeof(tag->id), "%s/%s", resource, key) < (int)sizeof(tag->id));
    copy(tag->resource_id, sizeof(tag->resource_id), resource);
    copy(tag->key, sizeof(tag->key), key);
    copy(tag->value, sizeof(tag->value), value);
}

static int load_all(struct site *site, const char *resource, struct tag_record **ret_tags,
                    unsigned *ret_count)
{
    void *records = NULL;
    int result = meta_list(site->meta, RECORD_TAG, "resource_id", resource, &records, ret_count);

    *ret_tags = records;
    return result;
}

static int load_one(struct site *site, const char *resource, const char *key,
                    struct tag_record *ret_tag)
{
    char id[sizeof(ret_tag->id)];

    if (snprintf(id, sizeof(id), "%s/%s", resource, key) >= (int)sizeof(id))
        return -ENOENT;
    return meta_get(site->meta, RECORD_TAG, id, ret_tag);
}

/* Never set: version 0. */
static int load_set(struct site *site, const char *resource, struct tag_set_record *ret_set)
{
    int result = meta_get(site->meta, RECORD_TAG_SET, resource, ret_set);

    if (result != -ENOENT)
        return result;
    memset(ret_set, 0, sizeof(*ret_set));
    copy(ret_set->id, sizeof(ret_set->id), resource);
    return 0;
}

/* --- reading --------------------------------------------------------------------------------- */

json_t *tag_list(struct site *site, const char *resource)
{
    struct tag_record *tags = NULL;
    unsigned count = 0;
    json_t *list;

    if (load_all(site, resource, &tags, &count) < 0)
        return NULL;
    list = json_array();
    check(list);
    for (unsigned i = 0; i < count; i++) {
        json_t *tag = json_object();

        check(tag);
        tree_set_text(tag, "TagKey", tags[i].key);
        tree_set_text(tag, "TagValue", tags[i].value);
        check(json_array_append_new(list, tag) == 0);
    }
    free(tags);
    return list;
}

bool tag_matches(struct site *site, const char *resource, const json_t *filter)
{
    struct tag_record tag;
    size_t index;
    json_t *wanted;

    json_array_foreach((json_t *)filter, index, wanted)
    {
        const char *value = json_string_value(json_object_get(wanted, "Value"));

        if (load_one(site, resource, tree_text(wanted, "Key"), &tag) < 0 ||
            (value && strcmp(value, tag.value) != 0))
            return false;
    }
    return true;
}

int tag_count_with(struct site *site, const char *resource, const json_t *tags)
{
    struct meta_query query = {RECORD_TAG, "resource_id", resource};
    struct tag_record tag;
    unsigned count = 0;
    size_t index;
    json_t *item;
    int result = meta_count(site->meta, &query, &count);

    json_array_foreach((json_t *)tags, index, item)
    {
        if (result >= 0)
            result = load_one(site, resource, tree_text(item, "Key"), &tag);
        if (result == -ENOENT) {
            count++;
            result = 0;
        }
    }
    return result < 0 ? result : (int)count;
}

/* --- changing -------------------------------------------------------------------------------- */

/* This site wrote it last. */
static void touch_set(struct change *change, const char *resource)
{
    struct tag_set_record set;
    int result = load_set(change->site, resource, &set);

    if (result < 0) {
        change_fail(change, result, "the tags");
        return;
    }
    check(set.version < INT64_MAX);
    set.version++;
    copy(set.site, sizeof(set.site), change->site->name);
    change_put(change, RECORD_TAG_SET, &set);
}

void tag_put(struct change *change, const char *resource, const json_t *tags)
{
    struct tag_record tag;
    size_t index;
    json_t *item;

    if (json_array_size(tags) == 0)
        return;
    json_array_foreach((json_t *)tags, index, item)
    {
        fill(&tag, resource, tree_text(item, "Key"), tree_text(item, "Value"));
        change_put(change, RECORD_TAG, &tag);
    }
    touch_set(change, resource);
}

static void remove_all(struct change *change, const char *resource)
{
    struct tag_record *tags = NULL;
    unsigned count = 0;
    int result = load_all(change->site, resource, &tags, &count);

    if (result < 0)
        change_fail(change, result, "the tags");
    for (unsigned i = 0; i < count; i++)
        change_remove(change, RECORD_TAG, tags[i].id);
    free(tags);
}

void tag_remove(struct change *change, const char *resource, const json_t *keys)
{
    struct tag_record tag;
    size_t index;
    json_t *key;

    json_array_foreach((json_t *)keys, index, key)
    {
        fill(&tag, resource, json_string_value(key), "");
        change_remove(change, RECORD_TAG, tag.id);
    }
    if (!keys)
        remove_all(change, resource);
    touch_set(change, resource);
}

void tag_forget(struct change *change, const char *resource)
{
    remove_all(change, resource);
    change_remove(change, RECORD_TAG_SET, resource);
}

/* --- the link -------------------------------------------------------------------------------- */

int tag_tree(struct site *site, const char *resource, json_t **ret_tree)
{
    struct tag_set_record set;
    json_t *tree, *list;
    int result = load_set(site, resource, &set);

    *ret_tree = NULL;
    if (result < 0 || set.version == 0)
        return result;
    list = tag_list(site, resource);
    if (!list)
        return -EIO;
    tree = json_object();
    check(tree);
    tree_set_int(tree, "version", set.version);
    tree_set_text(tree, "site", set.site);
    tree_set(tree, "list", list);
    *ret_tree = tree;
    return 0;
}

static bool text_fits(const json_t *tree, const char *name, size_t size, bool may_be_empty)
{
    const json_t *text = json_object_get(tree, name);

    return json_is_string(text) && json_string_length(text) < size &&
           strlen(json_string_value(text)) == json_string_length(text) &&
           (may_be_empty || json_string_length(text) > 0);
}

/* The writer may be any site: its name only breaks ties. */
static bool is_well_formed(const json_t *tree)
{
    const json_t *list = json_object_get(tree, "list");
    size_t index;
    json_t *item;
    bool is_good = json_is_array(list) && json_array_size(list) <= TAGS_MAX &&
                   tree_int(tree, "version", 0) >= 1 &&
                   tree_int(tree, "version", 0) <= TREE_INT_MAX &&
                   text_fits(tree, "site", RECORD_WORD_SIZE, false);

    json_array_foreach((json_t *)list, index, item)
    {
        is_good = is_good && text_fits(item, "TagKey", RECORD_NAME_SIZE, false) &&
                  text_fits(item, "TagValue", RECORD_NAME_SIZE, true);
    }
    return is_good;
}

static int take(struct site *site, const char *resource, const json_t *tree)
{
    const json_t *list = json_object_get(tree, "list");
    struct tag_set_record set = {.version = tree_int(tree, "version", 0)};
    struct tag_record tag;
    struct change change;
    size_t index;
    json_t *item;

    copy(set.id, sizeof(set.id), resource);
    copy(set.site, sizeof(set.site), tree_text(tree, "site"));
    change_begin(&change, site);
    remove_all(&change, resource);
    json_array_foreach((json_t *)list, index, item)
    {
        fill(&tag, resource, tree_text(item, "TagKey"), tree_text(item, "TagValue"));
        change_put(&change, RECORD_TAG, &tag);
    }
    change_put(&change, RECORD_TAG_SET, &set);
    return change_commit(&change);
}

int tag_adopt(struct site *site, const char *resource, const json_t *tree)
{
    struct tag_set_record ours;
    int64_t version = tree_int(tree, "version", 0);
    int order, result = load_set(site, resource, &ours);

    if (result < 0)
        return result;
    if (!tree) /* none were ever set there */
        return ours.version > 0;
    if (!is_well_formed(tree) || !tree_is_in_reach(version, ours.version))
        return -EINVAL;
    order = version != ours.version ? (version > ours.version ? 1 : -1)
                                    : strcmp(tree_text(tree, "site"), ours.site);
    if (order > 0)
        return take(site, resource, tree);
    return order < 0;
}
