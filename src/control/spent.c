/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: see spent.h.
 *
 * Rules
 *  1. A site that is passed a call takes its nonce before it does anything. So what runs at one
 *     certain site runs once, whichever doors the same request comes to, in whatever order.
 *  2. What runs at the site that is asked, wherever that is, is told behind it: until the peer has
 *     it, the same request may be taken there. It is told behind and not before, since a call may
 *     have a part that is passed on, and that carries the nonce itself.
 *  3. What waits to be told is in memory only, and bounded.
 */
#include "control/spent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "control/pusher.h"
#include "control/tree.h"

enum { BATCH_MAX = 64 };

#define GATHER_NS UINT64_C(2000000)

struct teller {
    struct pusher pusher; /* its marks are the items: "SIGNED KEY NONCE" */
    unsigned lost;        /* gone untold since that was last logged */
};

struct spent {
    struct teller tellers[SITE_PEERS_MAX];
};

/* --- telling --------------------------------------------------------------------------------- */

/* All that is to be told is marked already. */
static int list_nothing(struct pusher *pusher)
{
    return 0;
}

/* Neither number nor key has a blank. */
static json_t *item_of(const char *mark)
{
    const char *key = strchr(mark, ' ') + 1, *end = strchr(key, ' ');
    json_t *item = json_object();

    check(item);
    tree_set(item, "key", json_stringn(key, (size_t)(end - key)));
    tree_set_text(item, "nonce", end + 1);
    tree_set_int(item, "signed", strtoll(mark, NULL, 10));
    return item;
}

static int make_batch(struct pusher *pusher, const char **ret_call, json_t **ret_arguments)
{
    struct teller *teller = container_of(pusher, struct teller, pusher);
    json_t *items = json_array();
    const char *mark;

    if (teller->lost > 0)
        log_warning("control", "%s was away for so long that it does not hear of %u used nonces",
                    pusher_peer_name(pusher), teller->lost);
    teller->lost = 0;
    check(items);
    while (json_array_size(items) < BATCH_MAX && (mark = pusher_take(pusher)))
        check(json_array_append_new(items, item_of(mark)) == 0);
    *ret_call = "nonces.put";
    *ret_arguments = json_object();
    check(*ret_arguments);
    tree_set(*ret_arguments, "items", items);
    return 0;
}

static int batch_told(struct pusher *pusher, const struct peer_call *call, const json_t *marks)
{
    return 0;
}

static const struct pusher_ops ops = {.list = list_nothing, .make = make_batch, .done = batch_told};

void spent_init(struct site *site)
{
    site->spent = calloc(1, sizeof(*site->spent));
    check(site->spent);
    for (unsigned i = 0; i < SITE_PEERS_MAX; i++) {
        struct pusher *pusher = &site->spent->tellers[i].pusher;

        pusher_init(pusher, site, i, &ops);
        pusher->gather = (struct pusher_gather){.count = BATCH_MAX, .time_ns = GATHER_NS};
    }
}

void spent_stop(struct site *site)
{
    for (unsigned i = 0; i < SITE_PEERS_MAX; i++)
        pusher_stop(&site->spent->tellers[i].pusher);
}

void spent_fini(struct site *site)
{
    if (!site->spent)
        return;
    for (unsigned i = 0; i < SITE_PEERS_MAX; i++)
        pusher_fini(&site->spent->tellers[i].pusher);
    free(site->spent);
    site->spent = NULL;
}

static bool is_signed_change(const struct call *call)
{
    return call->caller.nonce[0] && !call_only_looks(call->operation->name);
}

void spent_tell(const struct call *call)
{
    struct site *site = call->site;
    char mark[24 + RECORD_WORD_SIZE + CALLER_NONCE_SIZE];

    if (call->hop_count > 0 || !is_signed_change(call) || !site || site->is_stopping)
        return;
    snprintf(mark, sizeof(mark), "%lld %s %s", (long long)call->caller.signed_s,
             call->caller.key_id, call->caller.nonce);
    for (unsigned i = 0; i < site->peer_count; i++) {
        struct teller *teller = &site->spent->tellers[i];

        pusher_mark(&teller->pusher, mark);
        teller->lost += pusher_trim(&teller->pusher, SPENT_MAX);
    }
}

void spent_peer_up(struct site *site, const char *peer)
{
    for (unsigned i = 0; i < site->peer_count; i++)
        if (strcmp(site->peers[i].name, peer) == 0)
            pusher_peer_up(&site->spent->tellers[i].pusher);
}

/* --- taking ---------------------------------------------------------------------------------- */

static enum api_error take(const struct site *site, const char *key_id, const char *nonce,
                           int64_t signed_s)
{
    return site->take_nonce_cb ? site->take_nonce_cb(site->take_nonce_arg, key_id, nonce, signed_s)
                               : API_OK;
}

bool spent_take(struct call *call)
{
    enum api_error error;

    /* One that comes back over two sites was asked here. */
    if (call->hop_count != 1 || !is_signed_change(call))
        return true;
    error = take(call->site, call->caller.key_id, call->caller.nonce, call->caller.signed_s);
    if (error != API_OK)
        call_fail(call, error, NULL);
    return error == API_OK;
}

static bool is_word(const json_t *item, const char *name, size_t size)
{
    const json_t *value = json_object_get(item, name);
    size_t length = json_string_length(value);

    return length > 0 && length < size && strlen(json_string_value(value)) == length;
}

void spent_serve(struct peer_answer *answer)
{
    json_t *items = json_object_get(answer->arguments, "items"), *item;
    enum api_error error = API_OK;
    size_t index;

    if (!json_is_array(items) || json_array_size(items) > BATCH_MAX) {
        peer_answer_fail(answer, API_INVALID_PARAMETER_FORMAT, "not a list of nonces");
        return;
    }
    json_array_foreach(items, index, item)
    {
        if (!is_word(item, "key", RECORD_WORD_SIZE) || !is_word(item, "nonce", CALLER_NONCE_SIZE) ||
            !json_is_integer(json_object_get(item, "signed"))) {
            peer_answer_fail(answer, API_INVALID_PARAMETER_FORMAT, "not a nonce");
            return;
        }
    }
    json_array_foreach(items, index, item)
    {
        enum api_error one = take(answer->site, tree_text(item, "key"), tree_text(item, "nonce"),
                                  tree_int(item, "signed", 0));
        if (one == API_SERVICE_UNAVAILABLE)
            error = one;
    }
    if (error == API_OK)
        peer_answer_ok(answer, NULL);
    else
        peer_answer_fail(answer, error, "nonces cannot be remembered");
}
