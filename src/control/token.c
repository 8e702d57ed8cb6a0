/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: clients repeat what they got no answer to. The reply is stored in the same transaction as
 * the effect, so a repeat after a crash finds either both or neither. Failed calls are not kept:
 * nothing was done, and asked again they may succeed.
 *
 * Rules
 *  1. A token is a caller's and an operation's: another's with the same text is another token. The
 *     caller is told by the uid of his user, so one who gets a deleted user's name gets no answers
 *     of his; the operation by its Version too, as two of them may share a name.
 *  2. It stands for the parameters as the operation understands them (typed, with their defaults),
 *     by their SHA-256: signature, nonce, format and what the operation does not know do not count.
 *  3. Its age is counted by a clock of our own, which goes with the loop's and never jumps: it
 *     begins where the newest row, or the row "clock", left it. So no jump of the wall clock makes
 *     a token old or keeps it young; while the daemon is down, tokens do not age.
 *  4. There is a number of tokens at most. Past it the oldest of the caller who has the most go,
 *     however young: nobody pushes out what another needs. It takes a look at all to find him, so
 *     he then has to give until another may have more, and a part of all at least, an old one of
 *     his for each new one of anybody's. Each new one takes along some that are past, so rows leave
 * as fast as they come; an hourly round does the rest.
 */
#include "control/token.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access/signature.h"
#include "base/check.h"

enum { TOKEN_KEEP_S = 86400, TOKENS_MAX = 65536 };
/* The last is a part of all. */
enum { GOING_WITH_ONE = 4, GOING_IN_A_ROUND = 500, GOING_MAX = 1000, GOING_AT_ONCE_PART = 128 };

#define ROUND_NS (UINT64_C(3600) * 1000000000)
#define NEXT_ROUND_NS UINT64_C(50000000)

static const char clock_id[] = "clock"; /* a token's has a '/' */

/* --- the clock ------------------------------------------------------------------------------- */

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* The newest time that a row tells; 0: there is none. */
static int newest_row(struct site *site, int64_t *ret_s)
{
    struct meta_query all = {.kind = RECORD_TOKEN};
    struct token_record record = {0};
    uint64_t position = 0;
    unsigned count;
    int result = meta_count(site->meta, &all, &count);

    *ret_s = 0;
    if (result == 0 && count > 0)
        result = meta_seek(site->meta, &all, count - 1, &position);
    if (result == 0 && count > 0)
        result = meta_next(site->meta, &all, &position, &record);
    if (result == 0 && count > 0)
        *ret_s = record.created_s;
    if (result == 0)
        result = meta_get(site->meta, RECORD_TOKEN, clock_id, &record);
    if (result == 0)
        *ret_s = later(*ret_s, record.created_s);
    return result == -ENOENT ? 0 : result;
}

/* Seconds by the clock of rule 3. */
static int token_now(struct site *site, int64_t *ret_now_s)
{
    uint64_t now_ns = loop_now_ns(site->loop);

    if (site->token_base_s == 0) {
        int64_t newest_s;
        int result = newest_row(site, &newest_s);

        if (result < 0)
            return result;
        site->token_base_s = newest_s > 0 ? newest_s : later(site_now_s(site), 1);
        site->token_base_ns = now_ns;
    }
    *ret_now_s = site->token_base_s + (int64_t)((now_ns - site->token_base_ns) / 1000000000);
    return 0;
}

static bool is_past(const struct token_record *record, int64_t now_s)
{
    return record->created_s + TOKEN_KEEP_S < now_s;
}

/* --- one token ------------------------------------------------------------------------------- */

static void digest_text(const struct call *call, char ret_text[SIGNATURE_HEX_SIZE])
{
    json_t *token = json_incref(json_object_get(call->parameters, "ClientToken"));
    char *text;

    json_object_del(call->parameters, "ClientToken");
    text = json_dumps(call->parameters, JSON_COMPACT | JSON_SORT_KEYS);
    json_object_set_new(call->parameters, "ClientToken", token);
    check(text && signature_hash(call->site->signature, text, strlen(text), ret_text) == 0);
    free(text);
}

/* Stays "" when the call has no token that counts. */
static void fill_key(struct call *call)
{
    const char *token = call_text(call, "ClientToken");

    if (!call->operation->is_remembered || !token[0])
        return;
    check(call->caller_uid[0]); /* authorize_call() sets it */
    check(snprintf(call->token_key, sizeof(call->token_key), "%s/%s/%s/%s", call->operation->name,
                   call->operation->version, call->caller_uid,
                   token) < (int)sizeof(call->token_key));
}

static bool is_running(const struct call *call)
{
    struct list *head = &call->site->calls, *node, *next;

    list_for_each(node, next, head)
    {
        if (strcmp(list_entry(node, struct call, node)->token_key, call->token_key) == 0)
            return true;
    }
    return false;
}

bool token_replay(struct call *call)
{
    struct token_record record;
    char wanted[SIGNATURE_HEX_SIZE];
    int64_t now_s;
    int result;

    fill_key(call);
    if (!call->token_key[0])
        return false;
    if (is_running(call)) {
        call_fail(call, API_LAST_TOKEN_PROCESSING, NULL);
        return true;
    }
    result = meta_get(call->site->meta, RECORD_TOKEN, call->token_key, &record);
    if (result == 0)
        result = token_now(call->site, &now_s);
    if (result == -ENOENT || (result == 0 && is_past(&record, now_s)))
        return false;
    if (result < 0) { /* it may have been done: not again */
        call_fail_internal(call, err_name(result));
        return true;
    }
    digest_text(call, wanted);
    if (strcmp(record.digest, wanted) != 0)
        call_fail(call, API_IDEMPOTENT_MISMATCH, NULL);
    else
        call_reply(call, json_loads(record.reply, 0, NULL));
    return true;
}

/* --- many ------------------------------------------------------------------------------------ */

struct holders {
    json_t *counts; /* by uid */
    char uid[RECORD_WORD_SIZE];
    int64_t count; /* in a row, of his, not in counts yet */
    char greatest[RECORD_WORD_SIZE];
    int64_t most, second; /* of the greatest, of the next one */
};

struct leavers {
    struct change *change;
    unsigned going;
};

/* The caller's uid, the third part of a token's id. */
static void copy_holder(const struct token_record *token, char ret_uid[RECORD_WORD_SIZE])
{
    const char *at = strchr(token->id, '/');

    at = at ? strchr(at + 1, '/') : NULL;
    at = at ? at + 1 : "";
    snprintf(ret_uid, RECORD_WORD_SIZE, "%.*s", (int)strcspn(at, "/"), at);
}

static void count_row(struct holders *holders)
{
    int64_t count = json_integer_value(json_object_get(holders->counts, holders->uid));

    if (holders->count > 0)
        check(json_object_set_new(holders->counts, holders->uid,
                                  json_integer(count + holders->count)) == 0);
    holders->count = 0;
}

static bool count_token(void *arg, uint64_t position, const void *record)
{
    struct holders *holders = arg;
    char uid[RECORD_WORD_SIZE];

    (void)position;
    if (strcmp(((const struct token_record *)record)->id, clock_id) == 0)
        return true;
    copy_holder(record, uid);
    if (strcmp(uid, holders->uid) != 0) {
        count_row(holders);
        strcpy(holders->uid, uid);
    }
    holders->count++;
    return true;
}

static void find_greatest(struct holders *holders)
{
    const char *uid;
    json_t *value;

    json_object_foreach(holders->counts, uid, value)
    {
        int64_t count = json_integer_value(value);

        if (count > holders->most) {
            holders->second = holders->most;
            holders->most = count;
            snprintf(holders->greatest, sizeof(holders->greatest), "%s", uid);
        } else if (count > holders->second) {
            holders->second = count;
        }
    }
}

/* Who has the most, and how many of his may go before somebody else could: each new one may be
 * the next one's, and takes one of his. */
static int choose_sweep(struct site *site, int64_t least)
{
    struct meta_query all = {.kind = RECORD_TOKEN};
    struct holders holders = {.counts = json_object()};
    int64_t left;
    int result;

    check(holders.counts);
    result = meta_walk(site->meta, &all, 0, count_token, &holders);
    count_row(&holders);
    find_greatest(&holders);
    json_decref(holders.counts);
    if (result < 0)
        return result;
    left = (holders.most - holders.second) / 2;
    left = left > least ? left : least;
    strcpy(site->token_sweep.uid, holders.greatest);
    site->token_sweep.left = (unsigned)(left < holders.most ? left : holders.most);
    site->token_sweep.position = 0;
    return 0;
}

static bool remove_his(void *arg, uint64_t position, const void *record)
{
    struct leavers *leavers = arg;
    struct site *site = leavers->change->site;
    const struct token_record *token = record;
    char uid[RECORD_WORD_SIZE];

    site->token_sweep.position = position;
    copy_holder(token, uid);
    if (strcmp(token->id, clock_id) != 0 && strcmp(uid, site->token_sweep.uid) == 0) {
        change_remove(leavers->change, RECORD_TOKEN, token->id);
        leavers->going--;
    }
    return leavers->going > 0;
}

/* Makes room for one more: rule 4. */
static int make_room(struct change *change)
{
    struct site *site = change->site;
    struct meta_query all = {.kind = RECORD_TOKEN};
    unsigned count = 0, count_max = site->tokens_max ? site->tokens_max : TOKENS_MAX, going;
    struct leavers leavers = {.change = change};
    int result = meta_count(site->meta, &all, &count);

    if (result < 0 || count < count_max)
        return result;
    going = count - count_max + 1 < GOING_MAX ? count - count_max + 1 : GOING_MAX;
    if (site->token_sweep.left < going)
        result = choose_sweep(site, (int64_t)going + count_max / GOING_AT_ONCE_PART);
    if (result < 0)
        return result;
    leavers.going = going < site->token_sweep.left ? going : site->token_sweep.left;
    site->token_sweep.left -= leavers.going;
    if (leavers.going > 0)
        result = meta_walk(site->meta, &all, site->token_sweep.position, remove_his, &leavers);
    if (leavers.going > 0) /* some of those that were counted left with age, or were renewed */
        site->token_sweep.left = 0;
    return result;
}

/* Removes the oldest tokens that are past, at most `limit`. Their number, or why they cannot be
 * read. */
static int purge(struct change *change, int64_t now_s, unsigned limit)
{
    struct meta_query all = {.kind = RECORD_TOKEN};
    uint64_t position = 0;
    unsigned gone = 0;
    int result = 0;

    while (result == 0 && gone < limit) {
        struct token_record oldest;

        result = meta_next(change->site->meta, &all, &position, &oldest);
        if (result == 0 && strcmp(oldest.id, clock_id) == 0)
            continue;
        if (result < 0 || !is_past(&oldest, now_s))
            break;
        change_remove(change, RECORD_TOKEN, oldest.id);
        gone++;
    }
    return result < 0 && result != -ENOENT ? result : (int)gone;
}

void token_remember(struct change *change, struct call *call, const json_t *reply)
{
    struct token_record record = {0}, before;
    int result;
    char *text;

    if (!call->token_key[0])
        return;
    strcpy(record.id, call->token_key);
    result = token_now(change->site, &record.created_s);
    if (result == 0)
        result = purge(change, record.created_s, GOING_WITH_ONE);
    if (result >= 0)
        result = make_room(change);
    if (result < 0) {
        change_fail(change, result, "the list of tokens");
        return;
    }
    digest_text(call, record.digest);
    text = reply ? json_dumps(reply, JSON_COMPACT) : strdup("{}");
    check(text && strlen(text) < sizeof(record.reply)); /* ids, nothing longer */
    strcpy(record.reply, text);
    free(text);
    /* One that is past: the new one is the newest. */
    if (meta_get(change->site->meta, RECORD_TOKEN, record.id, &before) != -ENOENT)
        change_remove(change, RECORD_TOKEN, record.id);
    change_put(change, RECORD_TOKEN, &record);
}

static void round_fired(struct loop_timer *timer)
{
    struct site *site = container_of(timer, struct site, token_timer);
    struct token_record own = {0};
    uint64_t wait_ns = ROUND_NS;
    struct change change;
    int result, gone = 0;

    strcpy(own.id, clock_id);
    result = token_now(site, &own.created_s);
    change_begin(&change, site);
    if (result == 0)
        result = gone = purge(&change, own.created_s, GOING_IN_A_ROUND);
    if (result < 0)
        change_fail(&change, result, "the list of tokens");
    change_put(&change, RECORD_TOKEN, &own);
    if (change_commit(&change) == 0 && gone == GOING_IN_A_ROUND)
        wait_ns = NEXT_ROUND_NS;
    loop_timer_set(site->loop, timer, loop_now_ns(site->loop) + wait_ns);
}

void token_start(struct site *site)
{
    site->token_timer.fired_cb = round_fired;
    loop_timer_set(site->loop, &site->token_timer, loop_now_ns(site->loop) + ROUND_NS);
}

void token_stop(struct site *site)
{
    loop_timer_cancel(site->loop, &site->token_timer);
}
