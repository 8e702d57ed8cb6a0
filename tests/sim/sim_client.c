/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: an answer that was given must stand, and one that was lost must be had by asking again
 * (ClientToken). So a client asks again after a death or a silence, and of the answers it got it
 * asks for some a second time, seconds or deaths later.
 *
 * 1. An attempt belongs to one life of one site; it ends with an answer, a death, or a timeout.
 *    An answer counts from the moment in which the API gave it: the site may die in the next.
 * 2. InternalError without a broken disk is a failure of the schedule.
 */
#include "sim_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/table.h"
#include "base/check.h"
#include "sim_alloc.h"
#include "sim_fate.h"
#include "sim_town.h"
#include "sim_whole.h"

enum { TIMEOUT_MS = 4000, PAUSE_MS = 400, AGAIN_PERCENT = 25 };

struct attempt;

struct client_call {
    struct client_call *next;
    struct node *node;
    struct client_order order;
    char texts[2 * CLIENT_PAIRS_MAX + 2][CLIENT_TEXT_SIZE], token[40], action[40];
    unsigned count; /* texts */
    unsigned token_number;
    bool may_be_done; /* an attempt had no answer, or one that does not tell */
    unsigned attempts_left;
    struct attempt *attempt; /* under way */
    struct sim_event *timer; /* of a pause or a timeout */
    char *first_reply;       /* of the answer that was given: a second must be the same */
};

struct attempt {
    struct attempt *next;
    struct client_call *call; /* NULL: nobody waits for it */
    struct node *node;
    unsigned status;
    char *reply;          /* NULL: not answered */
    unsigned faults;      /* broken disks when it began */
    bool may_have_failed; /* a disk was broken then */
};

static void attempt_again(void *arg);

/* Of the caller's own stream, or of the world's. */
static uint64_t below(const struct client_call *call, uint64_t limit)
{
    return call->order.random ? sim_draw_below(call->order.random, limit)
                              : sim_random_below(call->node->run->world, limit);
}

static void call_free(struct client_call *call)
{
    struct client_call **at = &call->node->run->town->calls;

    while (*at != call)
        at = &(*at)->next;
    *at = call->next;
    if (call->timer)
        sim_after_cancel(call->timer);
    if (call->attempt)
        call->attempt->call = NULL;
    sim_kernel_free(call->first_reply);
    sim_kernel_free(call);
}

static void call_pause(struct client_call *call, uint64_t delay_ns)
{
    call->timer = sim_after(call->node->run->world, delay_ns, attempt_again, call);
}

/* Without an answer. */
static void call_unanswered(struct client_call *call)
{
    if (call->attempt) {
        call->attempt->call = NULL;
        call->attempt = NULL;
        call->may_be_done = true;
    }
    if (call->timer)
        sim_after_cancel(call->timer);
    call->timer = NULL;
    if (call->attempts_left > 0 && --call->attempts_left == 0) {
        if (!call->first_reply)
            call->order.done_cb(call->order.arg, 0, "{}");
        call_free(call);
        return;
    }
    call_pause(call, SIM_MS + below(call, PAUSE_MS * SIM_MS));
}

/* --- an attempt ------------------------------------------------------------------------------ */

static bool may_anything_fail(const struct sim_run *run)
{
    return fate_excuses(&run->nodes[0]) || fate_excuses(&run->nodes[1]);
}

/* It may come behind the loss of power that follows, and from the other site. */
static bool may_have_failed(const struct sim_run *run, const struct attempt *attempt)
{
    return attempt->may_have_failed || run->figures.disk_faults != attempt->faults ||
           may_anything_fail(run);
}

static bool has_code(const char *reply, const char *code)
{
    char text[80];

    client_text(reply, "Code", text, sizeof(text));
    return strcmp(text, code) == 0;
}

/* A given answer is asked for again. */
static void judge_second(struct client_call *call, unsigned status, const char *reply)
{
    struct sim_run *run = call->node->run;

    if (status == 200 && strcmp(reply, call->first_reply) == 0)
        return;
    if (!may_anything_fail(run))
        run_fail(run, call->node, "%s with token %s, asked again: %u %s instead of %s",
                 call->order.action, call->token, status, reply, call->first_reply);
}

static bool is_starting(unsigned status, const char *reply)
{
    return status == 503 || has_code(reply, "LastTokenProcessing");
}

/* The other site had the consent to do it, and has not answered (control/consent.h). */
static bool is_untold(const char *reply)
{
    char message[400];

    client_text(reply, "Message", message, sizeof(message));
    return has_code(reply, "InternalError") && strstr(message, "has not told the end");
}

/* A caller who is told RequestTimeout may count on it that nothing was done, and that nothing will
 * be: the audit looks for the token. */
static void note_timeout(struct client_call *call, const char *reply)
{
    if (has_code(reply, "RequestTimeout") && !call->may_be_done &&
        call->token_number < TOKENS_JUDGED)
        call->node->run->town->is_timed_out[call->token_number] = true;
}

static void call_answered(struct client_call *call, const struct attempt *attempt)
{
    const char *reply = attempt->reply;
    unsigned status = attempt->status;
    struct sim_run *run = call->node->run;
    bool is_second = call->first_reply != NULL;

    sim_trace(run->world, call->node->site, "client: %s %s: %u %.300s", call->order.action,
              call->token, status, reply);
    if (is_untold(reply)) {
        call->may_be_done = true;
        call_unanswered(call);
        return;
    }
    if (is_starting(status, reply)) {
        call_unanswered(call);
        return;
    }
    note_timeout(call, reply);
    if (call->timer)
        sim_after_cancel(call->timer);
    call->timer = NULL;
    if (status >= 500 && has_code(reply, "InternalError") && !may_have_failed(run, attempt))
        run_fail(run, call->node, "%s: %u %.400s", call->order.action, status, reply);
    if (is_second) {
        judge_second(call, status, reply);
        call_free(call);
        return;
    }
    if (status == 200 && call->order.is_sure && below(call, 100) < AGAIN_PERCENT) {
        call->first_reply = sim_kernel_text(reply);
        call->attempts_left = 0;
        call_pause(call, below(call, 3 * SIM_SECOND));
    }
    call->order.done_cb(call->order.arg, status, reply);
    if (!call->first_reply)
        call_free(call);
}

static void attempt_free(struct attempt *attempt)
{
    struct attempt **at = &attempt->node->run->town->attempts;

    while (*at != attempt)
        at = &(*at)->next;
    *at = attempt->next;
    sim_kernel_free(attempt->reply);
    sim_kernel_free(attempt);
}

static void deliver(void *arg)
{
    struct attempt *attempt = arg;
    struct client_call *call = attempt->call;

    if (call) {
        call->attempt = NULL;
        call_answered(call, attempt);
    }
    attempt_free(attempt);
}

/* As the site. */
static void api_answered(void *arg, unsigned status, json_t *body)
{
    struct attempt *attempt = arg;
    char *text;

    sim_alloc_spare(true);
    text = json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS);
    sim_alloc_spare(false);
    check(text && !attempt->reply);
    attempt->status = status;
    attempt->reply = sim_kernel_text(text);
    free(text);
    attempt->node->whole->calls--;
    if (attempt->call && attempt->call->order.seen_cb && !attempt->call->first_reply)
        attempt->call->order.seen_cb(attempt->call->order.arg, status, attempt->reply);
    sim_after(attempt->node->run->world, 0, deliver, attempt);
}

static void api_ask(void *arg)
{
    struct attempt *attempt = arg;
    struct client_call *call = attempt->call;
    json_t *texts;
    static const char *const versions[] = {"2021-07-30", "2014-05-26", "2026-11-22"};
    struct caller caller = call->order.caller ? *call->order.caller : caller_local(1);
    const char *asked = call->order.version;
    unsigned version = 0;

    sim_alloc_spare(true);
    texts = json_object();
    check(texts);
    for (unsigned i = 0; i < call->count; i += 2)
        check(json_object_set_new(texts, call->texts[i], json_string(call->texts[i + 1])) == 0);
    check(json_object_set_new(texts, "ClientToken", json_string(call->token)) == 0);
    sim_alloc_spare(false);
    call->node->whole->calls++;
    while (version + 1 < ARRAY_COUNT(versions) &&
           !table_find(call->order.action, versions[version]))
        version++;
    if (call->order.asked_cb && !call->first_reply)
        call->order.asked_cb(call->order.arg);
    api_execute(call->node->whole->api, call->order.action, asked ? asked : versions[version],
                texts, &caller, "sim", NULL, api_answered, attempt);
    json_decref(texts);
}

static void call_timeout(void *arg)
{
    struct client_call *call = arg;

    call->timer = NULL;
    call_unanswered(call);
}

static void attempt_start(struct client_call *call)
{
    struct node *node = call->node;
    struct attempt *attempt;

    if (!node->engine || !node->whole->is_up || node->is_stopping ||
        sim_site_is_paused(node->site)) {
        call_unanswered(call);
        return;
    }
    attempt = sim_kernel_alloc(sizeof(*attempt));
    attempt->call = call;
    attempt->node = node;
    attempt->faults = node->run->figures.disk_faults;
    attempt->may_have_failed = may_anything_fail(node->run);
    attempt->next = node->run->town->attempts;
    node->run->town->attempts = attempt;
    call->attempt = attempt;
    call->timer = sim_after(node->run->world, SIM_SECOND + below(call, TIMEOUT_MS * SIM_MS),
                            call_timeout, call);
    sim_site_call(node->site, api_ask, attempt);
}

static void attempt_again(void *arg)
{
    struct client_call *call = arg;

    call->timer = NULL;
    attempt_start(call);
}

/* --- the door -------------------------------------------------------------------------------- */

void client_ask(struct node *node, const struct client_order *order)
{
    struct client_call *call = sim_kernel_alloc(sizeof(*call));
    struct sim_run *run = node->run;

    call->node = node;
    call->order = *order;
    call->attempts_left = order->attempts;
    snprintf(call->action, sizeof(call->action), "%s", order->action);
    call->order.action = call->action;
    call->token_number = run->town->next_token++;
    snprintf(call->token, sizeof(call->token), "token-%u", call->token_number);
    for (; order->pairs[call->count]; call->count++) {
        check(call->count < 2 * CLIENT_PAIRS_MAX);
        snprintf(call->texts[call->count], CLIENT_TEXT_SIZE, "%s", order->pairs[call->count]);
    }
    check(call->count % 2 == 0);
    call->next = run->town->calls;
    run->town->calls = call;
    sim_trace(run->world, node->site, "client: asks %s %s %s", order->action,
              call->count > 2 ? call->texts[3] : "", call->token);
    call_pause(call, 0);
}

void client_node_died(struct node *node)
{
    struct attempt *attempt, *next;

    for (attempt = node->run->town->attempts; attempt; attempt = next) {
        struct client_call *call = attempt->call;
        next = attempt->next;
        if (attempt->node != node || attempt->reply)
            continue;
        if (call) {
            call->attempt = NULL;
            call->may_be_done = true;
        }
        attempt_free(attempt);
        if (call)
            call_unanswered(call); /* asks later, if at all: no attempt begins in here */
    }
}

void client_end_all(struct sim_run *run)
{
    while (run->town->calls)
        call_free(run->town->calls);
}

void client_forget_attempts(struct sim_run *run)
{
    while (run->town->attempts)
        attempt_free(run->town->attempts);
}

void client_text(const char *reply, const char *name, char *ret_text, size_t size)
{
    const void *before = sim_outside_begin();
    json_t *tree = json_loads(reply, 0, NULL);
    const char *text = json_string_value(json_object_get(tree, name));

    snprintf(ret_text, size, "%s", text ? text : "");
    json_decref(tree);
    sim_outside_end(before);
}
