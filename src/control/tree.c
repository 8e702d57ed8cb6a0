/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: what travels between two sites is a hostile site's input here; tree_to_record() takes every
 * field by its description and nothing else. Text that is not UTF-8 never enters a tree.
 */
#include "control/tree.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"

static bool field_is_text(const struct record_field *field)
{
    return field->kind != FIELD_INT && field->kind != FIELD_BOOL;
}

/* How many of the tokens begin at this byte outside of a text: 0 or 1. */
static unsigned begins_token(char byte, char before)
{
    if (byte == '{' || byte == '[' || byte == '"')
        return 1;
    if (strchr(" \t\r\n,:]}", byte) != NULL)
        return 0;
    return strchr(" \t\r\n,:[{", before) != NULL; /* a number, true, false, null */
}

static bool is_modest(const char *bytes, size_t length, unsigned token_max)
{
    unsigned depth = 0, tokens = 0;
    bool is_text = false;
    char before = ' ';

    for (size_t i = 0; i < length; before = bytes[i++]) {
        if (is_text) {
            if (bytes[i] == '\\')
                i++;
            else
                is_text = bytes[i] != '"';
            if (i >= length)
                return false;
            continue;
        }
        is_text = bytes[i] == '"';
        tokens += begins_token(bytes[i], before);
        if (bytes[i] == '{' || bytes[i] == '[')
            depth++;
        else if ((bytes[i] == '}' || bytes[i] == ']') && depth > 0)
            depth--;
        if (depth > TREE_DEPTH_MAX || tokens > token_max)
            return false;
    }
    return true;
}

static void *take_memory(size_t size)
{
    void *memory = malloc(size);

    check(memory);
    return memory;
}

void tree_init(void)
{
    json_set_alloc_funcs(take_memory, free);
}

size_t tree_count_tokens(const json_t *tree)
{
    size_t count = 1, index;
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)tree, name, value)
    {
        count += 1 + tree_count_tokens(value);
    }
    json_array_foreach((json_t *)tree, index, value)
    {
        count += tree_count_tokens(value);
    }
    return count;
}

json_t *tree_parse(const void *bytes, size_t length, unsigned token_max)
{
    return is_modest(bytes, length, token_max)
               ? json_loadb(bytes, length, JSON_REJECT_DUPLICATES, NULL)
               : NULL;
}

bool tree_is_in_reach(int64_t theirs, int64_t ours)
{
    return theirs <= ours || theirs - ours <= INT64_C(1) << 32;
}

json_t *tree_from_record(enum record_kind kind, const void *record)
{
    const struct record_type *type = record_type(kind);
    json_t *tree = json_object();

    check(tree);
    for (unsigned i = 0; i < type->field_count; i++) {
        const struct record_field *field = &type->fields[i];

        if (field->is_local)
            continue;
        if (field_is_text(field))
            tree_set_text(tree, field->name, record_text(field, record));
        else if (field->kind == FIELD_BOOL)
            tree_set_bool(tree, field->name, record_int(field, record) != 0);
        else
            tree_set_int(tree, field->name, record_int(field, record));
    }
    return tree;
}

bool tree_to_record(enum record_kind kind, const json_t *tree, void *record)
{
    const struct record_type *type = record_type(kind);

    if (!json_is_object(tree))
        return false;
    for (unsigned i = 0; i < type->field_count; i++) {
        const struct record_field *field = &type->fields[i];
        const json_t *value = json_object_get(tree, field->name);
        bool is_good;

        if (field->is_local)
            continue;
        if (field_is_text(field))
            is_good = json_is_string(value) &&
                      strlen(json_string_value(value)) == json_string_length(value) &&
                      record_set_text(field, record, json_string_value(value));
        else if (field->kind == FIELD_BOOL)
            is_good =
                json_is_boolean(value) && record_set_int(field, record, json_boolean_value(value));
        else
            is_good = json_is_integer(value) && json_integer_value(value) >= 0 &&
                      json_integer_value(value) <= TREE_INT_MAX &&
                      record_set_int(field, record, json_integer_value(value));
        if (!is_good)
            return false;
    }
    return true;
}

const char *tree_text(const json_t *tree, const char *name)
{
    const char *text = json_string_value(json_object_get(tree, name));

    return text ? text : "";
}

int64_t tree_int(const json_t *tree, const char *name, int64_t otherwise)
{
    const json_t *value = json_object_get(tree, name);

    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

bool tree_bool(const json_t *tree, const char *name, bool otherwise)
{
    const json_t *value = json_object_get(tree, name);

    return json_is_boolean(value) ? json_boolean_value(value) : otherwise;
}

void tree_set(json_t *tree, const char *name, json_t *value)
{
    check(value);
    check(json_object_set_new(tree, name, value) == 0);
}

void tree_set_text(json_t *tree, const char *name, const char *text)
{
    json_t *value = json_string(text);

    tree_set(tree, name, value ? value : json_string("?"));
}

void tree_set_int(json_t *tree, const char *name, int64_t value)
{
    tree_set(tree, name, json_integer(value));
}

void tree_set_bool(json_t *tree, const char *name, bool value)
{
    tree_set(tree, name, json_boolean(value));
}

void tree_set_time(json_t *tree, const char *name, int64_t seconds)
{
    char text[32] = "";
    time_t at = (time_t)seconds;
    struct tm utc;

    if (seconds > 0 && gmtime_r(&at, &utc))
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
    tree_set_text(tree, name, text);
}
