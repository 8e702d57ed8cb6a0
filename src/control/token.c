/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: clients repeat what they got no answer to. The reply is stored in the same transaction as
 * the effect, so a repeat after a crash finds either both or neither. Failed calls are not kept.
 */
#include "control/token.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { TOKEN_KEEP_S = 86400, TOKENS_KEPT = 1000 };

static void hash_text(uint64_t hashes[2], const char *text)
{
    static const uint64_t primes[2] = {UINT64_C(0x100000001b3), UINT64_C(0x9e3779b97f4a7c15)};

    for (;; text++) {
        for (unsigned i = 0; i < 2; i++)
            hashes[i] = (hashes[i] ^ (uint8_t)*text) * primes[i];
        if (!*text)
            return;
    }
}

/* Over the parameters the operation knows: names of protocol parameters do not count. */
static void digest(const struct call *call, char *ret_digest, size_t size)
{
    uint64_t hashes[2] = {UINT64_C(0xcbf29ce484222325), UINT64_C(0x84222325cbf29ce4)};

    for (unsigned i = 0; i < OPERATION_PARAMETERS_MAX; i++) {
        const char *name = call->operation->parameters[i].name;
        const char *text;

        if (!name)
            break;
        text = json_string_value(json_object_get(call->texts, name));
        if (!text || strcmp(name, "ClientToken") == 0)
            continue;
        hash_text(hashes, name);
        hash_text(hashes, text);
    }
    snprintf(ret_digest, size, "%016llx%016llx", (unsigned long long)hashes[0],
             (unsigned long long)hashes[1]);
}

static bool token_key(const struct call *call, char *ret_key, size_t size)
{
    const char *token = call_text(call, "ClientToken");

    if (!call->operation->is_remembered || !token[0])
        return false;
    return snprintf(ret_key, size, "%s/%s", call->operation->name, token) < (int)size;
}

static bool is_running(const struct call *call, const char *key)
{
    struct list *head = &call->site->calls, *node, *next;
    char other[sizeof(((struct token_record *)0)->id)];

    list_for_each(node, next, head)
    {
        if (token_key(list_entry(node, struct call, node), other, sizeof(other)) &&
            strcmp(other, key) == 0)
            return true;
    }
    return false;
}

bool token_replay(struct call *call)
{
    struct token_record record;
    char wanted[RECORD_WORD_SIZE], key[sizeof(record.id)];

    if (!token_key(call, key, sizeof(key)))
        return false;
    if (is_running(call, key)) {
        call_fail(call, API_LAST_TOKEN_PROCESSING, NULL);
        return true;
    }
    int result = meta_get(call->site->meta, RECORD_TOKEN, key, &record);

    if (result == -ENOENT)
        return false;
    if (result < 0) { /* it may have been done: not again */
        call_fail_internal(call, err_name(result));
        return true;
    }
    digest(call, wanted, sizeof(wanted));
    if (strcmp(record.digest, wanted) != 0)
        call_fail(call, API_IDEMPOTENT_MISMATCH, NULL);
    else
        call_reply(call, json_loads(record.reply, 0, NULL));
    return true;
}

void token_remember(struct change *change, struct call *call, const json_t *reply)
{
    struct token_record record = {.created_s = site_now_s(call->site)};
    char *text;

    if (!token_key(call, record.id, sizeof(record.id)))
        return;
    digest(call, record.digest, sizeof(record.digest));
    text = reply ? json_dumps(reply, JSON_COMPACT) : strdup("{}");
    check(text && strlen(text) < sizeof(record.reply));
    strcpy(record.reply, text);
    free(text);
    change_put(change, RECORD_TOKEN, &record);
}

void token_purge(struct site *site)
{
    struct token_record *tokens;
    void *records = NULL;
    unsigned count = 0;
    struct change change;

    if (meta_list(site->meta, RECORD_TOKEN, NULL, NULL, &records, &count) < 0)
        return;
    tokens = records;
    change_begin(&change, site);
    /* Some are kept whatever the clock says: it may have jumped. The newest are the last. */
    for (unsigned i = 0; i + TOKENS_KEPT < count; i++)
        if (tokens[i].created_s + TOKEN_KEEP_S < site_now_s(site))
            change_remove(&change, RECORD_TOKEN, tokens[i].id);
    change_commit(&change);
    free(records);
}
