/* SPDX-License-Identifier: Apache-2.0 */
/* Why: the one place where bytes of the peer's control wing become trees, and back. */
#include "control/peer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "control/tree.h"

enum { PEER_VERSION = 1 };

static void parse_reply(struct peer_call *call, const void *bytes, size_t length)
{
    json_t *tree = tree_parse(bytes, length, TREE_REPLY_TOKENS_MAX);
    int64_t status = tree_int(tree, "status", 0);
    json_t *reply = json_object_get(tree, "reply");

    if (tree_int(tree, "v", 0) != PEER_VERSION || status < 200 || status > 599 ||
        (status == 200 && !json_is_object(reply))) {
        call->error = -EBADMSG;
        snprintf(call->why, sizeof(call->why), "the peer's reply is malformed");
    } else {
        call->status = (unsigned)status;
        snprintf(call->code, sizeof(call->code), "%s", tree_text(tree, "code"));
        snprintf(call->message, sizeof(call->message), "%s", tree_text(tree, "message"));
        call->reply = status == 200 ? json_incref(reply) : NULL;
    }
    json_decref(tree);
}

static void call_done(struct data_request *request)
{
    struct peer_call *call = container_of(request, struct peer_call, request);

    site_carried(call->site);
    free(call->text);
    call->text = NULL;
    call->error = request->error;
    snprintf(call->why, sizeof(call->why), "%.190s", request->why);
    if (call->error == 0) {
        parse_reply(call, request->reply, request->reply_length);
        free(request->reply);
        request->reply = NULL;
    }
    json_t *reply = call->reply;
    call->done_cb(call);
    json_decref(reply);
}

void peer_call(struct site *site, struct peer_call *call, const char *peer, const char *name,
               json_t *arguments, void (*done_cb)(struct peer_call *call))
{
    void *arg = call->arg;
    json_t *tree = json_object();

    check(tree && arguments);
    memset(call, 0, sizeof(*call));
    call->arg = arg;
    call->done_cb = done_cb;
    call->site = site;
    tree_set_int(tree, "v", PEER_VERSION);
    tree_set_text(tree, "call", name);
    tree_set(tree, "args", arguments);
    call->text = json_dumps(tree, JSON_COMPACT);
    json_decref(tree);
    check(call->text && strlen(call->text) < DATA_CALL_BYTES_MAX);
    call->request.op = DATA_CALL;
    call->request.peer = peer;
    call->request.bytes = call->text;
    call->request.length = (uint32_t)strlen(call->text);
    call->request.timeout_ns = site->call_timeout_ns;
    site_submit(site, &call->request, call_done);
}

static void answer_done(struct data_request *request)
{
    struct peer_answer *answer = container_of(request, struct peer_answer, request);

    site_carried(answer->site);
    json_decref(answer->arguments);
    free(answer->text);
    free(answer);
}

static void answer_send(struct peer_answer *answer, json_t *tree)
{
    tree_set_int(tree, "v", PEER_VERSION);
    answer->text = json_dumps(tree, JSON_COMPACT);
    json_decref(tree);
    check(answer->text);
    if (strlen(answer->text) >= DATA_CALL_BYTES_MAX) {
        free(answer->text);
        answer->text = strdup("{\"v\":1,\"status\":500,\"code\":\"InternalError\","
                              "\"message\":\"The reply is too large.\"}");
        check(answer->text);
    }
    answer->request = (struct data_request){.op = DATA_CALL_REPLY,
                                            .call = answer->call,
                                            .bytes = answer->text,
                                            .length = (uint32_t)strlen(answer->text)};
    site_submit(answer->site, &answer->request, answer_done);
}

void peer_answer_ok(struct peer_answer *answer, json_t *reply)
{
    json_t *tree = json_object();

    check(tree);
    tree_set_int(tree, "status", 200);
    tree_set(tree, "reply", reply ? reply : json_object());
    answer_send(answer, tree);
}

void peer_answer_fail(struct peer_answer *answer, enum api_error error, const char *format, ...)
{
    const struct api_error_entry *entry = api_error_entry(error);
    json_t *tree = json_object();
    char detail[600] = "";

    check(tree);
    if (format) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(detail, sizeof(detail), format, arguments);
        va_end(arguments);
    }
    tree_set_int(tree, "status", entry->http_status);
    tree_set_text(tree, "code", entry->code);
    tree_set_text(tree, "message", detail);
    answer_send(answer, tree);
}

struct peer_answer *peer_receive(struct site *site, const struct data_event *event,
                                 const struct peer_service *services, unsigned service_count,
                                 const char *special)
{
    struct peer_answer *answer = calloc(1, sizeof(*answer)), *left = NULL;
    json_t *tree = tree_parse(event->bytes, event->length, TREE_CALL_TOKENS_MAX);
    json_t *arguments = json_object_get(tree, "args");
    bool is_special = strcmp(tree_text(tree, "call"), special) == 0;
    const struct peer_service *service = NULL;
    unsigned dropped;

    check(answer && event->kind == DATA_EVENT_CALL);
    answer->site = site;
    answer->call = event->call;
    snprintf(answer->peer, sizeof(answer->peer), "%.63s", event->name);
    for (unsigned i = 0; i < service_count; i++)
        if (strcmp(services[i].name, tree_text(tree, "call")) == 0)
            service = &services[i];
    if (site->is_stopping || !site->is_ready) {
        peer_answer_fail(answer, API_SERVICE_UNAVAILABLE, "site %s is starting or stopping",
                         site->name);
    } else if (tree_int(tree, "v", 0) != PEER_VERSION || !json_is_object(arguments) ||
               (!service && !is_special) || !site_peer_named(site, answer->peer)) {
        if (log_limit_take(&site->malformed_limit, loop_now_ns(site->loop), &dropped))
            log_warning("control", "%s: a call that is malformed or unknown", answer->peer);
        peer_answer_fail(answer, API_NOT_FOUND, "malformed or unknown call");
    } else {
        answer->arguments = json_incref(arguments);
        if (is_special)
            left = answer;
        else
            service->run(answer);
    }
    json_decref(tree);
    return left;
}
