/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: which tag keys are in use, and which values (contract 10.7), for who wants to choose one.
 * They are collected from the tags of the pairs and groups that the caller may see, each once, in
 * the order of their bytes. A token holds the last one that was shown, so it stays good whatever is
 * set or taken away meanwhile.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "control/operations.h"
#include "control/page.h"
#include "control/tree.h"

enum { USER_TAG_PAGE_MIN = 10, USER_TAG_PAGE_MAX = 100, CHECK_LENGTH = 16 };

struct listing {
    bool is_of_values;
    const char *list, *filter; /* names of the reply's array, and of the parameter */
};

static const struct listing keys = {.list = "TagKeys", .filter = "TagFilterKey"};
static const struct listing values = {
    .is_of_values = true, .list = "TagValues", .filter = "TagFilterValue"};

/* May he see what has it? `verdicts` keeps the answers: a resource has many tags. */
static bool is_visible(struct call *call, const char *resource, json_t *verdicts)
{
    const json_t *known = json_object_get(verdicts, resource);
    bool is_pair = strncmp(resource, "pair-", 5) == 0, is_good;

    if (known)
        return json_is_true(known);
    is_good = (is_pair || strncmp(resource, "pg-", 3) == 0) &&
              call_may_see(call, is_pair ? RECORD_PAIR : RECORD_GROUP, resource);
    check(json_object_set_new_nocheck(verdicts, resource, json_boolean(is_good)) == 0);
    return is_good;
}

static bool is_chosen(struct call *call, const struct listing *listing,
                      const struct tag_record *tag)
{
    const char *text = listing->is_of_values ? tag->value : tag->key;

    if (listing->is_of_values && call_text(call, "TagKey")[0] &&
        strcmp(call_text(call, "TagKey"), tag->key) != 0)
        return false;
    return strstr(text, call_text(call, listing->filter)) != NULL;
}

/* Those that the caller may see and asks for, as names of `found`. */
static int collect(struct call *call, const struct listing *listing, json_t *found)
{
    struct meta_query query = {.kind = RECORD_TAG};
    struct tag_record tag;
    json_t *verdicts = json_object();
    uint64_t position = 0;
    int result;

    check(verdicts);
    while ((result = meta_next(call->site->meta, &query, &position, &tag)) == 0)
        if (is_chosen(call, listing, &tag) && is_visible(call, tag.resource_id, verdicts))
            check(json_object_set_new_nocheck(found, listing->is_of_values ? tag.value : tag.key,
                                              json_true()) == 0);
    json_decref(verdicts);
    return result == -ENOENT ? 0 : result;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names of `found` in order: an array, to be freed; the texts are `found`'s. */
static const char **sort(json_t *found)
{
    const char **texts = calloc(json_object_size(found) + 1, sizeof(*texts)), *name;
    size_t count = 0;
    json_t *value;

    check(texts);
    json_object_foreach(found, name, value)
    {
        texts[count++] = name;
    }
    qsort(texts, count, sizeof(*texts), compare_texts);
    return texts;
}

/* --- tokens: a check, then the text in hexadecimal digits ------------------------------------- */

static void format_token(const struct call *call, const char *text, json_t *reply)
{
    char *token = malloc(CHECK_LENGTH + 2 * strlen(text) + 1), *to;

    check(token);
    to = token + sprintf(token, "%016" PRIx64, page_text_check(call, text));
    for (; *text; text++)
        to += sprintf(to, "%02x", (unsigned)(uint8_t)*text);
    tree_set_text(reply, "NextToken", token);
    free(token);
}

/* The call's token as the text behind which the page begins, which is freed; NULL: it is none. */
static char *parse_token(const struct call *call)
{
    const char *token = call_text(call, "NextToken");
    size_t length = strlen(token);
    uint64_t check_sum;
    char *text;

    if (length < CHECK_LENGTH || length % 2 != 0 || strspn(token, "0123456789abcdef") != length ||
        sscanf(token, "%16" SCNx64, &check_sum) != 1)
        return NULL;
    text = calloc((length - CHECK_LENGTH) / 2 + 1, 1);
    check(text);
    for (size_t i = CHECK_LENGTH; i < length; i += 2) {
        unsigned byte = 0;

        check(sscanf(token + i, "%2x", &byte) == 1);
        text[(i - CHECK_LENGTH) / 2] = (char)byte;
    }
    if (page_text_check(call, text) == check_sum)
        return text;
    free(text);
    return NULL;
}

/* --- the page -------------------------------------------------------------------------------- */

/* Too few is the least, too many the most: so it is published. */
static size_t page_size(const struct call *call)
{
    int64_t size = call_has(call, "MaxResults") ? call_int(call, "MaxResults") : 0;

    size = size < USER_TAG_PAGE_MIN ? USER_TAG_PAGE_MIN : size;
    return (size_t)(size > USER_TAG_PAGE_MAX ? USER_TAG_PAGE_MAX : size);
}

/* `after`: NULL: from the beginning. */
static json_t *make_page(const struct call *call, const struct listing *listing, json_t *found,
                         const char *after)
{
    const char **texts = sort(found);
    size_t count = json_object_size(found), size = page_size(call), at = 0, end;
    json_t *items = json_array(), *reply = json_object();

    check(items && reply);
    while (after && at < count && strcmp(texts[at], after) <= 0)
        at++;
    end = count - at > size ? at + size : count;
    for (size_t i = at; i < end; i++)
        check(json_array_append_new(items, json_string_nocheck(texts[i])) == 0);
    tree_set(reply, listing->list, items);
    tree_set_int(reply, "MaxResults", (int64_t)size);
    if (end < count)
        format_token(call, texts[end - 1], reply);
    else
        tree_set_text(reply, "NextToken", "");
    free(texts);
    return reply;
}

static void list(struct call *call, const struct listing *listing)
{
    bool is_first = !call_text(call, "NextToken")[0];
    char *after = is_first ? NULL : parse_token(call);
    json_t *found = json_object();
    int result = 0;

    check(found);
    if (is_first || after)
        result = collect(call, listing, found);
    if (!is_first && !after)
        call_fail_name(call, API_INVALID_NAME, "NextToken", NULL);
    else if (result < 0)
        call_fail_internal(call, err_name(result));
    else
        call_reply(call, make_page(call, listing, found, after));
    json_decref(found);
    free(after);
}

void ops_user_tag_keys(struct call *call)
{
    list(call, &keys);
}

void ops_user_tag_values(struct call *call)
{
    list(call, &values);
}
