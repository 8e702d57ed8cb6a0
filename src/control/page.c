/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: one place for both ways of paging. A token is the id of the last item seen; when that item
 * is gone the token is not valid any more and the client begins anew.
 */
#include "control/page.h"

#include <string.h>

#include "base/check.h"
#include "control/tree.h"

enum { PAGE_DEFAULT = 10 };

void page_init(struct page *page)
{
    page->items = json_array();
    page->tokens = json_array();
    check(page->items && page->tokens);
}

void page_add(struct page *page, const char *id, json_t *item)
{
    check(json_array_append_new(page->items, item) == 0);
    check(json_array_append_new(page->tokens, json_string(id)) == 0);
}

static const char *token_at(const struct page *page, size_t index)
{
    return json_string_value(json_array_get(page->tokens, index));
}

/* False: no item has this id. */
static bool find_after(const struct page *page, const char *token, size_t *ret_first)
{
    for (size_t i = 0; i < json_array_size(page->tokens); i++)
        if (strcmp(token_at(page, i), token) == 0) {
            *ret_first = i + 1;
            return true;
        }
    return false;
}

void page_reply(struct page *page, struct call *call, const char *list, const char *wrapped)
{
    size_t total = json_array_size(page->items), first = 0, size = PAGE_DEFAULT;
    const char *token = call_text(call, "NextToken");
    int64_t number = call_has(call, "PageNumber") ? call_int(call, "PageNumber") : 1;
    json_t *cut, *reply;

    if (call_has(call, "MaxResults"))
        size = (size_t)call_int(call, "MaxResults");
    else if (call_has(call, "PageSize"))
        size = (size_t)call_int(call, "PageSize");
    if (token[0] && !find_after(page, token, &first)) {
        call_fail_name(call, API_INVALID_NAME, "NextToken", NULL);
        goto out;
    }
    if (!token[0])
        first = (size_t)(number - 1) * size;
    cut = json_array();
    reply = json_object();
    check(cut && reply && size > 0);
    for (size_t i = first; i < total && i - first < size; i++)
        check(json_array_append(cut, json_array_get(page->items, i)) == 0);
    tree_set_text(reply, "NextToken", first + size < total ? token_at(page, first + size - 1) : "");
    tree_set_int(reply, "PageNumber", number);
    tree_set_int(reply, "PageSize", (int64_t)size);
    tree_set_int(reply, "TotalCount", (int64_t)total);
    if (wrapped) {
        json_t *wrap = json_object();
        check(wrap);
        tree_set(wrap, wrapped, cut);
        cut = wrap;
    }
    tree_set(reply, list, cut);
    call_reply(call, reply);
out:
    json_decref(page->items);
    json_decref(page->tokens);
}
