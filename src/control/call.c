/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: the reply is built once, as a tree, whatever form it leaves in. Messages begin with the
 * contract's sentence, which clients compare; what names the thing follows it.
 */
#include "control/call.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "control/tree.h"

#define AGAIN_NS UINT64_C(1000000000)

enum { AGAIN_MAX = 2 }; /* an answer comes within 3 s */

void call_fini(struct call *call)
{
    json_decref(call->parameters);
    json_decref(call->texts);
    json_decref(call->reply);
    json_decref(call->state);
    json_decref(call->marks);
    json_decref(call->later);
    json_decref(call->split.own);
    json_decref(call->split.others);
    json_decref(call->split.texts);
    json_decref(call->split.reply);
    memset(&call->split, 0, sizeof(call->split));
    free(call->moves);
    call->moves = NULL;
    call->parameters = call->texts = call->reply = call->state = NULL;
    call->marks = call->later = NULL;
    call->magic = 0;
}

bool call_is_making(const struct site *site, const char *id)
{
    const struct list *head = &site->calls;

    for (const struct list *node = head->next; node != head; node = node->next)
        if (strcmp(container_of(node, const struct call, node)->object, id) == 0)
            return true;
    return false;
}

const char *call_text(const struct call *call, const char *name)
{
    return tree_text(call->parameters, name);
}

bool call_has(const struct call *call, const char *name)
{
    return json_object_get(call->parameters, name) != NULL;
}

int64_t call_int(const struct call *call, const char *name)
{
    return tree_int(call->parameters, name, 0);
}

bool call_bool(const struct call *call, const char *name)
{
    return tree_bool(call->parameters, name, false);
}

bool call_may_see(const struct call *call, enum record_kind kind, const char *id)
{
    check_magic(call, CALL_MAGIC);
    return !call->may_see_cb || call->may_see_cb(call, kind, id);
}

bool call_only_looks(const char *action)
{
    static const char *const verbs[] = {"Describe", "List", "Get"};

    for (unsigned i = 0; i < ARRAY_COUNT(verbs); i++)
        if (strncmp(action, verbs[i], strlen(verbs[i])) == 0)
            return true;
    return false;
}

bool call_is_running(struct site *site, void (*run)(struct call *call), const char *object)
{
    struct list *node, *next;

    list_for_each(node, next, &site->calls)
    {
        const struct call *call = list_entry(node, struct call, node);

        if (call->operation->run == run && strcmp(call->object, object) == 0)
            return true;
    }
    return false;
}

void call_answer(struct call *call, unsigned http_status, json_t *reply)
{
    check_magic(call, CALL_MAGIC);
    check(!call->reply && reply);
    call->http_status = http_status;
    call->reply = reply;
    if (call->site && call->site->is_sharing && call->site->meta->is_in_transaction)
        list_append(&call->site->held, &call->held_node);
    else
        call_deliver(call);
}

void call_deliver(struct call *call)
{
    list_remove(&call->node);
    call->done_cb(call);
}

void call_revoke(struct call *call, const char *why)
{
    json_decref(call->reply);
    call->reply = NULL;
    call_fail_internal(call, why);
}

void call_reply(struct call *call, json_t *reply)
{
    call->error = API_OK;
    call_answer(call, 200, reply ? reply : json_object());
}

/* Details are made with "%.60s" and the like, which may cut inside a character: its bytes go, so
 * that the text stays UTF-8 and the rest of it is told. */
static void drop_cut_characters(char *text)
{
    char *to = text;

    for (const char *at = text; *at;) {
        unsigned char first = (unsigned char)*at;
        size_t length = first < 0x80   ? 1
                        : first < 0xc0 ? 0
                        : first < 0xe0 ? 2
                        : first < 0xf0 ? 3
                                       : 4;
        size_t have = 1;

        while (have < length && ((unsigned char)at[have] & 0xc0) == 0x80)
            have++;
        if (have == length) {
            memmove(to, at, length);
            to += length;
        }
        at += have;
    }
    *to = '\0';
}

json_t *call_error_tree(enum api_error error, const char *name, const char *detail)
{
    const struct api_error_entry *entry = api_error_entry(error);
    const char *blank = detail && detail[0] ? " " : "";
    char code[128], sentence[256], *message;
    json_t *tree = json_object();

    check(tree);
    /* The catalogue's formats hold at most one %s each. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(code, sizeof(code), entry->code, name);
    snprintf(sentence, sizeof(sentence), entry->message, name);
#pragma GCC diagnostic pop
    check(asprintf(&message, "%s%s%s", sentence, blank, detail ? detail : "") >= 0);
    drop_cut_characters(message);
    tree_set_text(tree, "Code", code);
    tree_set_text(tree, "Message", message);
    free(message);
    return tree;
}

static void fail(struct call *call, enum api_error error, const char *name, const char *detail)
{
    call->error = error;
    call_answer(call, api_error_entry(error)->http_status, call_error_tree(error, name, detail));
}

void call_fail(struct call *call, enum api_error error, const char *format, ...)
{
    char detail[700] = "";
    va_list arguments;

    if (format) {
        va_start(arguments, format);
        vsnprintf(detail, sizeof(detail), format, arguments);
        va_end(arguments);
    }
    fail(call, error, "", detail);
}

void call_fail_name(struct call *call, enum api_error error, const char *name, const char *format,
                    ...)
{
    char detail[700] = "";
    va_list arguments;

    if (format) {
        va_start(arguments, format);
        vsnprintf(detail, sizeof(detail), format, arguments);
        va_end(arguments);
    }
    fail(call, error, name, detail);
}

void call_fail_internal(struct call *call, const char *why)
{
    struct site *site = call->site;

    check(site);
    complaint_call(&site->complaint, loop_now_ns(site->loop), call->operation->name, why);
    call_fail(call, call->operation->is_ecs ? API_INTERNAL_ERROR_ECS : API_INTERNAL_ERROR, "%s",
              why);
}

/* --- when the records cannot be changed ------------------------------------------------------- */

static void again_fired(struct loop_timer *timer)
{
    struct call *call = container_of(timer, struct call, again_timer);
    void (*again_cb)(struct call * call) = call->again_cb;

    check_magic(call, CALL_MAGIC);
    call->again_cb = NULL;
    if (call->site->is_stopping)
        call_fail_internal(call, "the records cannot be changed, and the daemon stops");
    else
        again_cb(call);
}

void call_stop(struct site *site)
{
    struct list *node, *next;

    check(site->is_stopping);
    list_for_each(node, next, &site->calls)
    {
        struct call *call = list_entry(node, struct call, node);

        if (!call->again_cb)
            continue;
        loop_timer_cancel(site->loop, &call->again_timer);
        again_fired(&call->again_timer);
    }
}

static void wait_again(struct call *call, void (*again_cb)(struct call *call))
{
    call->again_cb = again_cb;
    call->again_timer.fired_cb = again_fired;
    loop_timer_set(call->site->loop, &call->again_timer, loop_now_ns(call->site->loop) + AGAIN_NS);
}

static void left_done(struct call *call)
{
    log_info("control", "%s: what was left of it at %s ended: %s", call->operation->name,
             call->object, call->http_status == 200 ? "done" : tree_text(call->reply, "Message"));
    call->site->left_count--;
    call_fini(call);
    free(call);
}

/* The rest goes on without its caller. It keeps the token and the object: who asks again meanwhile
 * is told that it is under way. */
static struct call *leave(const struct call *call)
{
    struct call *left = calloc(1, sizeof(*left));

    check(left);
    *left = (struct call){.magic = CALL_MAGIC,
                          .operation = call->operation,
                          .parameters = json_incref(call->parameters),
                          .texts = json_incref(call->texts),
                          .caller = call->caller,
                          .done_cb = left_done,
                          .site = call->site,
                          .is_left = true};
    memcpy(left->request_id, call->request_id, sizeof(left->request_id));
    memcpy(left->caller_uid, call->caller_uid, sizeof(left->caller_uid));
    memcpy(left->token_key, call->token_key, sizeof(left->token_key));
    memcpy(left->object, call->object, sizeof(left->object));
    left->request.error = call->request.error;
    memcpy(left->request.why, call->request.why, sizeof(left->request.why));
    list_append(&call->site->calls, &left->node);
    left->site->left_count++;
    return left;
}

void call_again(struct call *call, void (*again_cb)(struct call *call),
                void (*left_cb)(struct call *call))
{
    check_magic(call, CALL_MAGIC);
    if (!call->is_left && call->again_count == AGAIN_MAX) {
        wait_again(leave(call), left_cb);
        call_fail_internal(call, "the records cannot be changed now; it is ended when they can");
        return;
    }
    call->again_count++;
    wait_again(call, again_cb);
}
