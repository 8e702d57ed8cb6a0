/* SPDX-License-Identifier: Apache-2.0 */
/* Why: see parts.h. What the peer says is input: it cannot make us ask for ever, nor for more than
 * the largest page. */
#include "control/parts.h"

#include <stdio.h>

#include "base/check.h"
#include "control/tree.h"

enum { NUMBERED_MAX = 100 /* entries of such a page, by the contract */ };

bool parts_may_come(const json_t *texts)
{
    return !tree_text(texts, "NextToken")[0] && !json_object_get(texts, "MaxResults") &&
           (json_object_get(texts, "PageNumber") || json_object_get(texts, "PageSize"));
}

/* The only list in it; NULL: there is none, or there are several. */
static json_t *find_list(json_t *tree)
{
    json_t *found = NULL, *value;
    const char *name;

    json_object_foreach(tree, name, value)
    {
        if (json_is_array(value) && found)
            return NULL;
        if (json_is_array(value))
            found = value;
    }
    return found;
}

/* The entries: {"ReplicaPairs": [...]}, or {"Disks": {"Disk": [...]}}. */
static json_t *find_items(json_t *body)
{
    json_t *found = find_list(body), *value;
    const char *name;

    json_object_foreach(body, name, value)
    {
        if (!found && json_is_object(value))
            found = find_list(value);
    }
    return found;
}

json_t *parts_take(json_t **whole, json_t *body, const json_t *texts)
{
    json_t *items = find_items(body), *more;
    const char *token = tree_text(body, "NextToken");
    bool is_stuck = json_array_size(items) == 0;
    int64_t missing;
    char number[24];

    if (!*whole) {
        *whole = json_incref(body);
    } else {
        if (items)
            check(json_array_extend(find_items(*whole), items) == 0);
        tree_set_text(*whole, "NextToken", token);
    }
    items = find_items(*whole);
    missing = tree_int(*whole, "PageSize", 0) - (int64_t)json_array_size(items);
    if (is_stuck || !token[0] || missing <= 0 || missing >= NUMBERED_MAX)
        return NULL;
    more = json_copy((json_t *)texts);
    check(more);
    json_object_del(more, "PageNumber");
    json_object_del(more, "PageSize");
    tree_set_text(more, "NextToken", token);
    snprintf(number, sizeof(number), "%lld", (long long)missing);
    tree_set_text(more, "MaxResults", number);
    return more;
}
