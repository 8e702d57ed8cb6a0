/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: through one endpoint a client sees one region, also where two sites share it, and names
 * their disks in one list.
 *
 * Rules
 *  1. Changes: our part is judged, then the peer does its part, whole or not at all, then we do
 *     ours. When ours fails behind it the client is told, and asks again: the same once more
 *     changes nothing at the peer.
 *  2. Lists: our entries first. The token of a page that ends among ours is ours; behind them the
 *     peer's is passed through, and told by being none of ours.
 */
#include "control/split.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "control/route.h"
#include "control/sharing.h"
#include "control/tree.h"

enum { PEER_PAGE = 100 /* of PageSize; more disks no list names */ };

static bool is_here(struct site *site, const json_t *id)
{
    struct disk_record disk;

    return meta_get(site->meta, RECORD_DISK, json_string_value(id), &disk) != -ENOENT;
}

/* True: some of the disks are here and some are not, and there is a peer to ask. */
static bool divide(struct call *call, const char *parameter)
{
    const json_t *ids = json_object_get(call->parameters, parameter), *id;
    size_t index;

    if (call->split.is_looked)
        return call->split.own != NULL;
    call->split.is_looked = true;
    if (call->operation->rule != SITE_DISK || !json_is_array(ids) || !route_disk_peer(call))
        return false;
    call->split.own = json_array();
    call->split.others = json_array();
    check(call->split.own && call->split.others);
    json_array_foreach((json_t *)ids, index, id)
    {
        check(json_array_append(is_here(call->site, id) ? call->split.own : call->split.others,
                                (json_t *)id) == 0);
    }
    if (json_array_size(call->split.own) > 0 && json_array_size(call->split.others) > 0)
        return true;
    json_decref(call->split.own);
    json_decref(call->split.others);
    call->split.own = call->split.others = NULL;
    return false;
}

const json_t *split_own(struct call *call, const char *parameter)
{
    return divide(call, parameter) ? call->split.own : json_object_get(call->parameters, parameter);
}

static bool is_in_json(const struct call *call, const char *parameter)
{
    const struct parameter *at = call->operation->parameters;

    while (at->name && strcmp(at->name, parameter) != 0)
        at++;
    return at->name && at->kind == PARAMETER_IDS_JSON;
}

/* The call's texts with the peer's disks alone. */
static json_t *peer_texts(const struct call *call, const char *parameter)
{
    json_t *texts = json_copy(call->texts), *id;
    size_t index, length = strlen(parameter);
    const char *name;
    json_t *value;
    void *next;

    check(texts);
    if (is_in_json(call, parameter)) {
        char *list = json_dumps(call->split.others, JSON_COMPACT);

        check(list);
        tree_set_text(texts, parameter, list);
        free(list);
        return texts;
    }
    json_object_foreach_safe(texts, next, name, value)
    {
        if (strncmp(name, parameter, length) == 0 && name[length] == '.')
            json_object_del(texts, name);
    }
    json_array_foreach(call->split.others, index, id)
    {
        char numbered[80];

        snprintf(numbered, sizeof(numbered), "%s.%zu", parameter, index + 1);
        tree_set_text(texts, numbered, json_string_value(id));
    }
    return texts;
}

/* --- changes --------------------------------------------------------------------------------- */

static void part_done(struct call *call, json_t *body)
{
    (void)body;
    call->split.is_done = true;
    call->split.again_cb(call);
}

static void ask(struct call *call)
{
    json_t *texts = call->split.texts;

    call->split.texts = NULL;
    route_ask(call, route_disk_peer(call), texts, part_done);
}

bool split_ask(struct call *call, const char *parameter, void (*again_cb)(struct call *call))
{
    if (!call->split.others || call->split.is_done)
        return false;
    call->split.again_cb = again_cb;
    call->split.texts = peer_texts(call, parameter);
    sharing_leave(call, ask);
    return true;
}

/* --- lists ----------------------------------------------------------------------------------- */

static json_t *items_of(const struct call *call, const json_t *reply)
{
    json_t *items = json_object_get(reply, call->split.list);

    return call->split.wrapped ? json_object_get(items, call->split.wrapped) : items;
}

/* By pages: the peer told of all of its disks, and those behind ours fill the page up. */
static void append_numbered(struct call *call, json_t *reply, const json_t *theirs)
{
    json_t *items = items_of(call, reply), *item;
    int64_t size = tree_int(reply, "PageSize", 0);
    int64_t begin = (tree_int(reply, "PageNumber", 1) - 1) * size;
    int64_t own_total = tree_int(reply, "TotalCount", 0);
    size_t index;

    json_array_foreach((json_t *)theirs, index, item)
    {
        if (own_total + (int64_t)index >= begin && (int64_t)json_array_size(items) < size)
            check(json_array_append(items, item) == 0);
    }
}

static void merge(struct call *call, json_t *body)
{
    json_t *reply = call->split.reply, *theirs = items_of(call, body);

    call->split.reply = NULL;
    if (!json_is_array(theirs)) {
        json_decref(reply);
        call_fail_internal(call, "the peer's list is malformed");
        return;
    }
    if (call->split.is_numbered)
        append_numbered(call, reply, theirs);
    else
        check(json_array_extend(items_of(call, reply), theirs) == 0);
    if (!call->split.is_numbered)
        tree_set_text(reply, "NextToken", tree_text(body, "NextToken"));
    tree_set_int(reply, "TotalCount",
                 tree_int(reply, "TotalCount", 0) + tree_int(body, "TotalCount", 0));
    call_reply(call, reply);
}

static void pass_through(struct call *call, json_t *body)
{
    call_reply(call, json_incref(body));
}

/* The rest of the page, or all that the peer has, is the peer's. */
static void ask_rest(struct call *call, const char *parameter, json_t *reply)
{
    int64_t size = tree_int(reply, "PageSize", 0), have;
    json_t *texts = peer_texts(call, parameter);
    char number[24];

    have = (int64_t)json_array_size(items_of(call, reply));
    json_object_del(texts, "NextToken");
    json_object_del(texts, "PageNumber");
    json_object_del(texts, "PageSize");
    json_object_del(texts, "MaxResults");
    snprintf(number, sizeof(number), "%lld",
             (long long)(call->split.is_numbered ? PEER_PAGE : size - have));
    tree_set_text(texts, call->split.is_numbered ? "PageSize" : "MaxResults", number);
    call->split.reply = reply;
    route_ask(call, route_disk_peer(call), texts, merge);
}

void split_page(struct call *call, const char *parameter, const struct page_source *source)
{
    const char *token = call_text(call, "NextToken");
    json_t *reply;

    if (!divide(call, parameter)) {
        page_reply(call, source);
        return;
    }
    call->split.list = source->list;
    call->split.wrapped = source->wrapped;
    call->split.is_numbered = page_is_numbered(call);
    if (token[0] && !page_token_is_ours(call, token)) {
        route_ask(call, route_disk_peer(call), peer_texts(call, parameter), pass_through);
        return;
    }
    reply = page_make(call, source);
    if (!reply)
        return;
    if (!call->split.is_numbered && !tree_text(reply, "NextToken")[0] &&
        (int64_t)json_array_size(items_of(call, reply)) >= tree_int(reply, "PageSize", 0))
        page_end_token(call, reply); /* full, and the peer has more */
    if (!call->split.is_numbered && tree_text(reply, "NextToken")[0])
        call_reply(call, reply);
    else
        ask_rest(call, parameter, reply);
}
