/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: repeatList parameters (contract 3.2): numbered from 1, in any order, with gaps. A number
 * that is none (0, 007, 10000) is refused, not ignored: a filter that is ignored shows too much.
 *
 * Tags: the rules of contract 2.2; the products differ in their codes, so those stand in a table.
 */
#include "api/parameter_list.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"

enum { INDEX_MAX = 9999, SLOTS_MAX = 200, TEXT_MAX = 512, TAG_KEY_MAX = 128, TAG_VALUE_MAX = 128 };

/* One number of a list. */
struct slot {
    unsigned index;
    const char *text, *value; /* value: of a tag; text: its key, or the item */
};

struct slots {
    struct slot at[SLOTS_MAX];
    unsigned count;
    bool is_bad; /* a number that is none, or too many */
};

struct tag_errors {
    enum api_error too_many, bad_key, bad_value, no_key;
};

static const struct tag_errors tag_errors[2][2] = {
    /* EBS: set, filter */
    {{API_NUMBER_EXCEED_TAGS, API_INVALID_PARAMETER, API_INVALID_PARAMETER, API_MISSING_PARAMETER},
     {API_NUMBER_EXCEED_TAGS, API_INVALID_PARAMETER, API_INVALID_PARAMETER, API_INVALID_TAG_VALUE}},
    /* ECS */
    {{API_DISK_TAGS_EXCEED, API_DISK_TAG_KEY, API_DISK_TAG_VALUE, API_DISK_TAG_KEY},
     {API_DISK_TAG_COUNT, API_DISK_TAG_KEY, API_DISK_TAG_VALUE, API_DISK_TAG_MISMATCH}},
};

/* Characters of UTF-8 text (which the door has checked). */
static size_t text_length(const char *text)
{
    size_t count = 0;

    for (; *text; text++)
        count += (*text & 0xc0) != 0x80;
    return count;
}

/* "Name.12<rest>": the number, and where the rest begins; 0: a bad number; -1: not of this name. */
static int parse_index(const char *base, const char *name, const char **ret_rest)
{
    size_t length = strlen(base);
    const char *at = name + length + 1;
    int index = 0;

    if (strncmp(name, base, length) != 0 || name[length] != '.' || !(*at >= '0' && *at <= '9'))
        return -1;
    if (*at == '0')
        return 0;
    for (; *at >= '0' && *at <= '9' && index <= INDEX_MAX; at++)
        index = index * 10 + (*at - '0');
    *ret_rest = at;
    return index <= INDEX_MAX ? index : 0;
}

static struct slot *slot_of(struct slots *slots, int index)
{
    for (unsigned i = 0; i < slots->count; i++)
        if (slots->at[i].index == (unsigned)index)
            return &slots->at[i];
    if (index == 0 || slots->count == SLOTS_MAX) {
        slots->is_bad = true;
        return NULL;
    }
    slots->at[slots->count] = (struct slot){.index = (unsigned)index};
    return &slots->at[slots->count++];
}

static int compare_slots(const void *a, const void *b)
{
    const struct slot *left = a, *right = b;

    return left->index < right->index ? -1 : left->index > right->index;
}

/* One text of the request, if it belongs to the list. */
static void take_text(struct slots *slots, bool is_tag, const char *rest, int index,
                      const char *text)
{
    bool is_key = is_tag && strcasecmp(rest, ".Key") == 0;
    bool is_value = is_tag && strcasecmp(rest, ".Value") == 0;
    bool is_capital = (is_key || is_value) && (rest[1] == 'K' || rest[1] == 'V');
    struct slot *slot;

    if (is_tag ? !is_key && !is_value : rest[0] != 0)
        return; /* an unknown parameter */
    slot = slot_of(slots, index);
    if (!slot)
        return;
    /* Both spellings at once: the capital one counts. */
    if (is_value && (is_capital || !slot->value))
        slot->value = text;
    if (!is_value && (!is_key || is_capital || !slot->text))
        slot->text = text;
}

static void collect(struct slots *slots, const struct parameter *parameter, const json_t *texts)
{
    const char *name, *rest = "";
    json_t *value;

    memset(slots, 0, sizeof(*slots));
    json_object_foreach((json_t *)texts, name, value)
    {
        int index = parse_index(parameter->name, name, &rest);

        if (index == 0)
            slots->is_bad = true;
        else if (index > 0)
            take_text(slots, parameter->kind != PARAMETER_LIST, rest, index,
                      json_string_value(value));
    }
    if (slots->count > 0)
        qsort(slots->at, slots->count, sizeof(slots->at[0]), compare_slots);
}

/* Does an earlier slot have the same text? */
static bool is_twice(const struct slots *slots, unsigned at)
{
    for (unsigned i = 0; i < at; i++)
        if (strcmp(slots->at[i].text, slots->at[at].text) == 0)
            return true;
    return false;
}

/* --- plain lists ----------------------------------------------------------------------------- */

static enum api_error judge_items(const struct parameter *parameter, const struct slots *slots)
{
    if (slots->is_bad)
        return API_INVALID_PARAMETER;
    for (unsigned i = 0; i < slots->count; i++) {
        const char *text = slots->at[i].text;

        if (!text[0] || strlen(text) > TEXT_MAX)
            return API_INVALID_PARAMETER;
        if (parameter->twice != API_OK && is_twice(slots, i))
            return parameter->twice;
    }
    if (slots->count > (unsigned)parameter->max)
        return parameter->error != API_OK ? parameter->error : API_INVALID_PARAMETER;
    return API_OK;
}

static json_t *items_tree(const struct slots *slots)
{
    json_t *list = json_array();

    check(list);
    for (unsigned i = 0; i < slots->count; i++)
        if (!is_twice(slots, i))
            check(json_array_append_new(list, json_string(slots->at[i].text)) == 0);
    return list;
}

/* --- tags ------------------------------------------------------------------------------------ */

static bool has_link(const char *text)
{
    return strcasestr(text, "http://") || strcasestr(text, "https://");
}

static bool key_is_good(const char *key, bool is_filter)
{
    size_t length = text_length(key);

    if (length < 1 || length > TAG_KEY_MAX)
        return false;
    return is_filter || (strncasecmp(key, "aliyun", 6) != 0 && strncasecmp(key, "acs:", 4) != 0 &&
                         !has_link(key));
}

static bool value_is_good(const char *value, bool is_filter, bool is_ecs)
{
    if (text_length(value) > TAG_VALUE_MAX)
        return false;
    return is_filter || ((is_ecs || strncasecmp(value, "acs:", 4) != 0) && !has_link(value));
}

static enum api_error judge_tags(const struct operation *operation,
                                 const struct parameter *parameter, const struct slots *slots,
                                 const char **ret_name)
{
    bool is_filter = parameter->kind == PARAMETER_TAG_FILTER;
    const struct tag_errors *errors = &tag_errors[operation->is_ecs][is_filter];

    *ret_name = "Tag.N.Key";
    if (slots->is_bad)
        return errors->bad_key;
    for (unsigned i = 0; i < slots->count; i++)
        if (!slots->at[i].text)
            return errors->no_key;
    if (slots->count > (unsigned)parameter->max)
        return errors->too_many;
    for (unsigned i = 0; i < slots->count; i++) {
        const struct slot *slot = &slots->at[i];

        if (!key_is_good(slot->text, is_filter))
            return errors->bad_key;
        if (is_twice(slots, i))
            return API_DUPLICATE_TAG_KEY;
        if (slot->value && !value_is_good(slot->value, is_filter, operation->is_ecs)) {
            *ret_name = "Tag.N.Value";
            return errors->bad_value;
        }
    }
    return API_OK;
}

/* An empty value of a filter says as much as none. */
static json_t *tags_tree(const struct slots *slots, bool is_filter)
{
    json_t *list = json_array();

    check(list);
    for (unsigned i = 0; i < slots->count; i++) {
        const char *value = slots->at[i].value ? slots->at[i].value : "";
        json_t *tag = json_object();

        check(tag && json_object_set_new(tag, "Key", json_string(slots->at[i].text)) == 0);
        if (!is_filter || value[0])
            check(json_object_set_new(tag, "Value", json_string(value)) == 0);
        check(json_array_append_new(list, tag) == 0);
    }
    return list;
}

enum api_error parameter_list_parse(const struct operation *operation,
                                    const struct parameter *parameter, const json_t *texts,
                                    json_t **ret_value, const char **ret_name)
{
    struct slots slots;
    enum api_error error;

    collect(&slots, parameter, texts);
    *ret_name = parameter->name;
    *ret_value = NULL;
    if (slots.count == 0 && !slots.is_bad)
        return API_OK;
    error = parameter->kind == PARAMETER_LIST ? judge_items(parameter, &slots)
                                              : judge_tags(operation, parameter, &slots, ret_name);
    if (error != API_OK)
        return error;
    *ret_value = parameter->kind == PARAMETER_LIST
                     ? items_tree(&slots)
                     : tags_tree(&slots, parameter->kind == PARAMETER_TAG_FILTER);
    return API_OK;
}
