/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: one place for both ways of paging. A token is the position behind which the next page
 * begins, so it holds whatever is made or deleted meanwhile: what was there all the time is seen
 * once. It carries a check over the operation and the site, so that a token of another list, or
 * text that is none, is refused and not taken for a place.
 */
#include "control/page.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "control/tree.h"

enum { PAGE_DEFAULT = 10, TOKEN_LENGTH = 32 };

/* Of the entries in an answer over the link; the rest is for what is around them. */
enum {
    PASSED_BYTES_MAX = DATA_CALL_BYTES_MAX / 8 * 7,
    PASSED_TOKENS_MAX = TREE_REPLY_TOKENS_MAX / 8 * 7,
};

/* A walk over the records of the source. */
struct cursor {
    struct call *call;
    const struct page_source *source;
    struct meta_query query;
    uint64_t position; /* of the last one seen */
    uint64_t *listed;  /* where ids are given: their positions, rising */
    unsigned listed_count, listed_next;
    void *record;     /* the one it stands at */
    json_t *verdicts; /* where the source names owners: of each seen, is it wanted? */
};

static const char *key_of(const struct cursor *cursor)
{
    return record_text(&record_type(cursor->source->kind)->fields[0], cursor->record);
}

/* The position of the record with this key, or -ENOENT. */
static int find_key(struct cursor *cursor, const char *key, uint64_t *ret_position)
{
    struct meta_query query = {.kind = cursor->source->kind,
                               .field = record_type(cursor->source->kind)->fields[0].name,
                               .value = key};
    uint64_t position = 0;
    int result = meta_next(cursor->call->site->meta, &query, &position, cursor->record);

    if (result == 0)
        *ret_position = position;
    return result;
}

static int compare_positions(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;

    return (*left > *right) - (*left < *right);
}

static int list_ids(struct cursor *cursor)
{
    const json_t *ids = cursor->source->ids;
    size_t count = json_array_size(ids);

    cursor->listed = calloc(count + 1, sizeof(*cursor->listed));
    check(cursor->listed);
    for (size_t i = 0; i < count; i++) {
        uint64_t position;
        int result = find_key(cursor, json_string_value(json_array_get(ids, i)), &position);

        if (result < 0 && result != -ENOENT)
            return result;
        if (result == 0)
            cursor->listed[cursor->listed_count++] = position;
    }
    qsort(cursor->listed, cursor->listed_count, sizeof(*cursor->listed), compare_positions);
    return 0;
}

/* Before the first. */
static int cursor_init(struct cursor *cursor, struct call *call, const struct page_source *source)
{
    *cursor = (struct cursor){
        .call = call, .source = source, .query = {source->kind, source->field, source->value}};
    cursor->record = malloc(record_type(source->kind)->size);
    check(cursor->record);
    if (source->owner) {
        cursor->verdicts = json_object();
        check(cursor->verdicts);
    }
    return source->ids ? list_ids(cursor) : 0;
}

static void cursor_fini(struct cursor *cursor)
{
    free(cursor->record);
    free(cursor->listed);
    json_decref(cursor->verdicts);
}

/* The next record that the source's field lets through, or -ENOENT. */
static int next_narrowed(struct cursor *cursor)
{
    struct meta *meta = cursor->call->site->meta;

    if (!cursor->listed)
        return meta_next(meta, &cursor->query, &cursor->position, cursor->record);
    while (cursor->listed_next < cursor->listed_count) {
        uint64_t wanted = cursor->listed[cursor->listed_next++], position = wanted - 1;
        int result;

        if (wanted <= cursor->position) /* an id twice, or before the token's */
            continue;
        result = meta_next(meta, &cursor->query, &position, cursor->record);
        if (result < 0 && result != -ENOENT)
            return result;
        if (result == -ENOENT || position != wanted)
            continue; /* another value */
        cursor->position = position;
        return 0;
    }
    return -ENOENT;
}

/* Of a tag, the resource counts: who lists tags asks for that. */
static bool ask_wanted(struct cursor *cursor)
{
    const struct page_source *source = cursor->source;

    return (!source->is_wanted_cb || source->is_wanted_cb(cursor->call, cursor->record)) &&
           (source->kind == RECORD_TAG || call_may_see(cursor->call, source->kind, key_of(cursor)));
}

static bool is_wanted(struct cursor *cursor)
{
    const struct record_field *owner = cursor->source->owner;
    const json_t *known;
    const char *id;
    bool is_good;

    if (!owner)
        return ask_wanted(cursor);
    id = record_text(owner, cursor->record);
    known = json_object_get(cursor->verdicts, id);
    if (known)
        return json_is_true(known);
    is_good = ask_wanted(cursor);
    check(json_object_set_new_nocheck(cursor->verdicts, id, json_boolean(is_good)) == 0);
    return is_good;
}

/* The next one that is wanted, or -ENOENT. */
static int cursor_next(struct cursor *cursor)
{
    int result;

    do
        result = next_narrowed(cursor);
    while (result == 0 && !is_wanted(cursor));
    return result;
}

/* Every record that the source narrows down to is in the list. */
static bool is_whole(const struct call *call, const struct page_source *source)
{
    return !source->ids && !source->is_wanted_cb && !call->may_see_cb;
}

/* Of a whole list: behind the first `count`, or behind all when there are fewer. */
static int cursor_skip(struct cursor *cursor, uint64_t count)
{
    int result;

    if (count == 0)
        return 0;
    if (count >= UINT32_MAX) {
        cursor->position = INT64_MAX;
        return 0;
    }
    result =
        meta_seek(cursor->call->site->meta, &cursor->query, (unsigned)count, &cursor->position);
    if (result == -ENOENT)
        cursor->position = INT64_MAX;
    return result == -ENOENT ? 0 : result;
}

/* --- tokens ---------------------------------------------------------------------------------- */

static uint64_t hash_text(uint64_t hash, const char *text)
{
    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    return (hash ^ 0xff) * UINT64_C(0x100000001b3);
}

/* A check, no secret: a token shows nobody more than he may see anyway. */
static uint64_t hash_list(const struct call *call)
{
    uint64_t hash = hash_text(UINT64_C(0xcbf29ce484222325), call->operation->name);

    hash = hash_text(hash, call->operation->version);
    return hash_text(hash, call->site->name);
}

static uint64_t token_check(const struct call *call, uint64_t position)
{
    return (hash_list(call) ^ position) * UINT64_C(0x9e3779b97f4a7c15);
}

uint64_t page_text_check(const struct call *call, const char *text)
{
    return hash_text(hash_list(call), text);
}

static void format_token(const struct call *call, uint64_t position, char *ret_token)
{
    uint64_t check_sum = token_check(call, position);

    snprintf(ret_token, TOKEN_LENGTH + 1, "%016" PRIx64 "%016" PRIx64, check_sum,
             position ^ check_sum);
}

static int parse_token(const struct call *call, const char *token, uint64_t *ret_position)
{
    uint64_t check_sum, position;

    if (strlen(token) != TOKEN_LENGTH || strspn(token, "0123456789abcdef") != TOKEN_LENGTH ||
        sscanf(token, "%16" SCNx64 "%16" SCNx64, &check_sum, &position) != 2)
        return -EINVAL;
    position ^= check_sum;
    if (position > INT64_MAX || token_check(call, position) != check_sum)
        return -EINVAL;
    *ret_position = position;
    return 0;
}

bool page_token_is_ours(const struct call *call, const char *token)
{
    uint64_t position;

    return parse_token(call, token, &position) == 0;
}

void page_end_token(const struct call *call, json_t *page)
{
    char token[TOKEN_LENGTH + 1];

    format_token(call, INT64_MAX, token);
    tree_set_text(page, "NextToken", token);
}

/* --- the page -------------------------------------------------------------------------------- */

struct page {
    uint64_t size, skip; /* at most so many, behind so many */
    uint64_t after;      /* and behind this position: of the call's token */
    json_t *items;
    char token[TOKEN_LENGTH + 1]; /* of what follows; "": nothing does */
    unsigned total;
    bool is_bounded, is_full; /* for the link; nothing more fits */
    size_t bytes, tokens;     /* of the items so far, where it is bounded */
};

/* The first one always fits: how large an entry is is bounded. */
static bool fits(struct page *page, const json_t *item)
{
    if (!page->is_bounded)
        return true;
    page->bytes += json_dumpb(item, NULL, 0, JSON_COMPACT) + 1;
    page->tokens += tree_count_tokens(item);
    return json_array_size(page->items) == 0 ||
           (page->bytes <= PASSED_BYTES_MAX && page->tokens <= PASSED_TOKENS_MAX);
}

/* Adds the entry that the cursor stands at; false: the page ends before it. */
static bool show(struct cursor *cursor, struct page *page)
{
    json_t *item = cursor->source->show_cb(cursor->call, cursor->record);

    page->is_full = page->is_full || !fits(page, item);
    if (page->is_full)
        json_decref(item);
    else
        check(json_array_append_new(page->items, item) == 0);
    return !page->is_full;
}

/* The records of the page alone are looked at. */
static int take_of_whole(struct cursor *cursor, struct page *page)
{
    uint64_t last = 0;
    int result = 0;

    cursor->position = page->after;
    result = cursor_skip(cursor, page->skip);
    for (uint64_t i = 0;
         i < page->size && result == 0 && (result = cursor_next(cursor)) == 0 && show(cursor, page);
         i++)
        last = cursor->position;
    if (result == 0 && !page->is_full)
        result = cursor_next(cursor); /* is there one more? */
    if (result == 0)
        format_token(cursor->call, last, page->token);
    if (result < 0 && result != -ENOENT)
        return result;
    return meta_count(cursor->call->site->meta, &cursor->query, &page->total);
}

/* One walk for the page and the total: what is wanted may be dear to ask. */
static int take_of_wanted(struct cursor *cursor, struct page *page)
{
    uint64_t last = 0, seen = 0;
    int result;

    while ((result = cursor_next(cursor)) == 0) {
        page->total++;
        if (cursor->position <= page->after || seen++ < page->skip)
            continue;
        if (!page->token[0] && json_array_size(page->items) < page->size && show(cursor, page))
            last = cursor->position;
        else if (!page->token[0])
            format_token(cursor->call, last, page->token);
    }
    return result == -ENOENT ? 0 : result;
}

static json_t *reply_tree(const struct page_source *source, json_t *items)
{
    json_t *reply = json_object();

    check(reply);
    if (source->wrapped) {
        json_t *wrap = json_object();

        check(wrap);
        tree_set(wrap, source->wrapped, items);
        items = wrap;
    }
    tree_set(reply, source->list, items);
    return reply;
}

bool page_is_numbered(const struct call *call)
{
    return !call_text(call, "NextToken")[0] && !call_has(call, "MaxResults") &&
           (call_has(call, "PageNumber") || call_has(call, "PageSize"));
}

/* PageNumber and PageSize have no effect beside a token (contract 3.8). */
static bool has_token(const struct call *call)
{
    return call_text(call, "NextToken")[0] != 0;
}

/* What is asked for past the bound is the bound: ECS says so, EBS refuses it before. */
static uint64_t page_size(const struct call *call, const struct page_source *source)
{
    int64_t size = source->size > 0 ? source->size : PAGE_DEFAULT;

    if (call_has(call, "MaxResults"))
        size = call_int(call, "MaxResults");
    else if (call_has(call, "PageSize") && !has_token(call))
        size = call_int(call, "PageSize");
    check(size > 0);
    return size < PAGE_SIZE_MAX ? (uint64_t)size : PAGE_SIZE_MAX;
}

static int take_page(struct call *call, const struct page_source *source, struct page *page)
{
    const char *token = call_text(call, "NextToken");
    struct cursor cursor;
    int result = 0;

    if (token[0]) {
        page->skip = 0;
        result = parse_token(call, token, &page->after);
    }
    if (result < 0)
        return result;
    result = cursor_init(&cursor, call, source);
    if (result == 0)
        result =
            is_whole(call, source) ? take_of_whole(&cursor, page) : take_of_wanted(&cursor, page);
    cursor_fini(&cursor);
    return result;
}

json_t *page_make(struct call *call, const struct page_source *source)
{
    bool is_numbered = call_has(call, "PageNumber") && !has_token(call);
    int64_t number = is_numbered ? call_int(call, "PageNumber") : 1;
    struct page page = {
        .size = page_size(call, source), .items = json_array(), .is_bounded = call->hop_count > 0};
    json_t *reply;
    int result;

    check(page.items);
    page.skip = (uint64_t)(number - 1) * page.size;
    result = take_page(call, source, &page);
    if (result < 0) {
        json_decref(page.items);
        if (result == -EINVAL)
            call_fail_name(call, API_INVALID_NAME, "NextToken", NULL);
        else
            call_fail_internal(call, err_name(result));
        return NULL;
    }
    reply = reply_tree(source, page.items);
    tree_set_text(reply, "NextToken", page.token);
    tree_set_int(reply, "PageNumber", number);
    tree_set_int(reply, "PageSize", (int64_t)page.size);
    tree_set_int(reply, "TotalCount", page.total);
    return reply;
}

void page_reply(struct call *call, const struct page_source *source)
{
    json_t *page = page_make(call, source);

    if (page)
        call_reply(call, page);
}
