/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: a line that names something else than what was done hides what was done. Unknown parameters
 * are ignored by operations, so they must not get into a line; and items of a list may have any
 * number.
 */
#include "control/audit_object.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "control/tree.h"

static const struct parameter *parameter_of(const struct operation *operation, const char *name)
{
    for (unsigned i = 0; i < OPERATION_PARAMETERS_MAX && operation->parameters[i].name; i++)
        if (strcmp(operation->parameters[i].name, name) == 0)
            return &operation->parameters[i];
    return NULL;
}

/* The item of "Name.N" with the lowest N above `after`, NULL: there is none. */
static const char *next_item(const json_t *texts, const char *name, long *after)
{
    size_t length = strlen(name);
    const char *at, *found = NULL;
    long lowest = 0;
    json_t *value;

    json_object_foreach((json_t *)texts, at, value)
    {
        long number;
        char *end;

        if (strncmp(at, name, length) != 0 || at[length] != '.')
            continue;
        number = strtol(at + length + 1, &end, 10);
        if (*end != '\0' || number <= *after || (found && number >= lowest))
            continue;
        lowest = number;
        found = json_string_value(value);
    }
    *after = lowest;
    return found;
}

static const char *asked(const struct operation *operation, const json_t *texts, const char *name)
{
    const struct parameter *parameter = operation ? parameter_of(operation, name) : NULL;
    const char *item;
    long number = 0;

    if (operation && !parameter)
        return "";
    if (!parameter || parameter->kind != PARAMETER_LIST)
        return tree_text(texts, name);
    item = next_item(texts, name, &number);
    return item ? item : "";
}

const char *audit_object_of(const struct operation *operation, const json_t *texts,
                            const json_t *body)
{
    static const char *const names[] = {
        "ReplicaPairId", "ReplicaGroupId", "ReplicaId",       "DiskId",   "PairId",
        "ResourceId",    "SnapshotId",     "UserAccessKeyId", "UserName", "PolicyName",
        "PairIds",       "GroupIds",       "DiskIds",         "Id"};
    const char *key = tree_text(json_object_get(body, "AccessKey"), "AccessKeyId");

    if (key[0])
        return key;
    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        const char *named = asked(operation, texts, names[i]);
        const char *made = tree_text(body, names[i]);

        if (named[0] || made[0])
            return named[0] ? named : made;
    }
    return "";
}

/* Ids, so a cut at any byte is none inside of a character. */
static void append(char *text, size_t size, const char *word)
{
    size_t used = strlen(text);

    snprintf(text + used, size - used, "%s%s", used > 0 ? " " : "and ", word);
}

static void append_items(const json_t *texts, const char *name, char *text, size_t size)
{
    long number = 0;
    const char *item = next_item(texts, name, &number);

    while (item && (item = next_item(texts, name, &number)) != NULL)
        append(text, size, item);
}

void audit_object_others(const struct operation *operation, const json_t *texts, const json_t *body,
                         char *ret_text, size_t size)
{
    static const char *const lists[] = {"ResourceId", "DiskIds"};
    const char *user = tree_text(json_object_get(body, "AccessKey"), "UserName");

    ret_text[0] = '\0';
    if (!operation)
        return;
    for (unsigned i = 0; i < ARRAY_COUNT(lists); i++) {
        const struct parameter *parameter = parameter_of(operation, lists[i]);

        if (parameter && parameter->kind == PARAMETER_LIST)
            append_items(texts, lists[i], ret_text, size);
    }
    if (user[0])
        snprintf(ret_text, size, "of user %s", user);
    else if (asked(operation, texts, "UserName")[0] && asked(operation, texts, "PolicyName")[0])
        snprintf(ret_text, size, "policy %s", asked(operation, texts, "PolicyName"));
    else if (asked(operation, texts, "ReplicaPairId")[0] &&
             asked(operation, texts, "ReplicaGroupId")[0])
        snprintf(ret_text, size, "group %s", asked(operation, texts, "ReplicaGroupId"));
}
