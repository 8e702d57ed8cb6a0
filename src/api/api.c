/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: between the door and the operations. What comes from HTTP and what a peer passed on take the
 * same way from "name and texts" on, so both get the same answers.
 */
#include "api/api.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/authorize.h"
#include "api/door.h"
#include "api/parameters.h"
#include "api/reply_format.h"
#include "api/table.h"
#include "base/check.h"
#include "base/id.h"
#include "base/log.h"
#include "control/audit.h"
#include "control/spent.h"
#include "control/tree.h"

enum { API_MAGIC = 0x61706900 };

struct api {
    uint32_t magic;
    struct control *control;
    struct door *door;
    unsigned call_count;
    uint64_t id_state; /* of request ids */
};

/* A call under way. */
struct api_call {
    struct call call;
    struct api *api;
    uint64_t began_ns;
    control_executed_fn done_cb;
    void *done_arg;
};

/* What a peer passed on; what came by our own door is recorded there, with what was refused. */
static void record_passed(const struct api_call *api_call)
{
    const struct call *call = &api_call->call;
    const struct audit_call line = {.caller = &call->caller,
                                    .request_id = call->request_id,
                                    .action = call->operation->name,
                                    .operation = call->operation,
                                    .texts = call->texts,
                                    .body = call->reply,
                                    .http_status = call->http_status,
                                    .began_ns = api_call->began_ns,
                                    .is_read = call_only_looks(call->operation->name),
                                    .is_passed = true};

    if (call->hop_count > 0)
        audit_call(control_site(api_call->api->control), &line);
}

static void execute_done(struct call *call)
{
    struct api_call *api_call = container_of(call, struct api_call, call);

    check(json_is_object(call->reply));
    record_passed(api_call);
    spent_tell(call);
    api_call->done_cb(api_call->done_arg, call->http_status, call->reply);
    api_call->api->call_count--;
    call_fini(call);
    free(api_call);
}

static void refuse(enum api_error error, const char *name, const char *detail,
                   control_executed_fn done_cb, void *done_arg)
{
    json_t *tree = call_error_tree(error, name, detail);

    done_cb(done_arg, api_error_entry(error)->http_status, tree);
    json_decref(tree);
}

struct refusal {
    enum api_error error;
    const char *name;
    json_t *denied; /* the detail, where it is for want of a right; taken over */
};

/* Refused before it runs. */
static void refuse_call(struct api *api, const struct audit_call *line, bool is_passed,
                        const struct refusal *refusal, control_executed_fn done_cb, void *done_arg)
{
    struct site *site = control_site(api->control);
    struct audit_call refused = *line;
    json_t *tree = call_error_tree(refusal->error, refusal->name, NULL);

    if (refusal->denied)
        tree_set(tree, "AccessDeniedDetail", refusal->denied);
    refused.body = tree;
    refused.http_status = api_error_entry(refusal->error)->http_status;
    refused.began_ns = loop_now_ns(site->loop);
    refused.is_read = call_only_looks(line->action);
    refused.is_passed = true;
    if (is_passed)
        audit_call(site, &refused);
    done_cb(done_arg, refused.http_status, tree);
    json_decref(tree);
}

/* Authorization comes before the parameters (contract 3.6): what the caller of these wrong ones is
 * told. */
static void judge_malformed(struct api *api, const struct operation *operation,
                            const struct audit_call *line, struct refusal *refusal)
{
    struct call call = {.magic = CALL_MAGIC,
                        .operation = operation,
                        .parameters = (json_t *)line->texts,
                        .caller = *line->caller};
    enum api_error error = authorize_malformed(control_site(api->control), &call);

    if (error == API_OK)
        return;
    refusal->error = error;
    refusal->denied = authorize_detail(control_site(api->control), &call);
}

static void take_pass(struct call *call, const struct call_pass *pass)
{
    if (!pass)
        return;
    call->hop_count = pass->hop_count;
    snprintf(call->sender, sizeof(call->sender), "%s", pass->sender);
    snprintf(call->pass_number, sizeof(call->pass_number), "%s", pass->number);
}

void api_execute(void *arg, const char *action, const char *version, const json_t *texts,
                 const struct caller *caller, const char *request_id, const struct call_pass *pass,
                 control_executed_fn done_cb, void *done_arg)
{
    struct api *api = arg;
    const struct operation *operation = table_find(action, version);
    const struct audit_call line = {.caller = caller,
                                    .request_id = request_id,
                                    .action = action,
                                    .operation = operation,
                                    .texts = texts};
    struct api_call *api_call;
    struct refusal refusal = {.error = API_NOT_FOUND, .name = ""};
    json_t *typed = NULL;

    check_magic(api, API_MAGIC);
    if (operation)
        refusal.error = parameters_parse(operation, texts, &typed, &refusal.name);
    if (refusal.error != API_OK) {
        if (operation)
            judge_malformed(api, operation, &line, &refusal);
        refuse_call(api, &line, pass != NULL, &refusal, done_cb, done_arg);
        return;
    }
    api_call = calloc(1, sizeof(*api_call));
    check(api_call);
    api_call->api = api;
    api_call->began_ns = loop_now_ns(control_site(api->control)->loop);
    api_call->done_cb = done_cb;
    api_call->done_arg = done_arg;
    api_call->call.magic = CALL_MAGIC;
    api_call->call.operation = operation;
    api_call->call.parameters = typed;
    api_call->call.texts = json_incref((json_t *)texts);
    api_call->call.caller = *caller;
    take_pass(&api_call->call, pass);
    api_call->call.done_cb = execute_done;
    check(api_call->call.texts);
    strncpy(api_call->call.request_id, request_id, sizeof(api_call->call.request_id) - 1);
    refusal.error = authorize_call(control_site(api->control), &api_call->call);
    if (refusal.error != API_OK) {
        refusal.denied = authorize_detail(control_site(api->control), &api_call->call);
        refuse_call(api, &line, pass != NULL, &refusal, done_cb, done_arg);
        call_fini(&api_call->call);
        free(api_call);
        return;
    }
    api->call_count++;
    control_submit(api->control, &api_call->call);
}

int api_new(struct control *control, struct api **ret_api, struct err *err)
{
    struct api *api = calloc(1, sizeof(*api));

    if (!api)
        return err_set(err, -ENOMEM, "api: out of memory");
    api->magic = API_MAGIC;
    api->control = control;
    api->id_state = site_random(control_site(control));
    control_set_execute(control, api_execute, api);
    *ret_api = api;
    return 0;
}

void api_free(struct api *api)
{
    if (!api)
        return;
    check_magic(api, API_MAGIC);
    check(api->call_count == 0);
    api->magic = 0;
    free(api);
}

void api_set_door(struct api *api, struct door *door)
{
    check_magic(api, API_MAGIC);
    api->door = door;
    control_site(api->control)->take_nonce_cb = door_take_elsewhere;
    control_site(api->control)->take_nonce_arg = door;
}

/* --- the door -------------------------------------------------------------------------------- */

/* A request's id must be no other's; that nobody can guess it is not asked. So it costs no call of
 * the system: SplitMix64, from a random beginning. */
static uint64_t next_id(void *arg)
{
    struct api *api = arg;
    uint64_t value = api->id_state += UINT64_C(0x9e3779b97f4a7c15);

    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

struct visit {
    struct api *api;
    struct http_request *request;
    char request_id[40];
    char action[128];
    const struct operation *operation; /* NULL: unknown, or it did not come so far */
    enum reply_form form;
    uint64_t began_ns, retry_ms;
    bool is_proven; /* caller is */
    struct caller caller;
    json_t *texts; /* NULL: it did not come so far */
};

/* The key that a request claims; a word for the record, proven by nobody. */
static void claimed_key(const struct http_request *request, char *to, size_t size)
{
    const char *in_form = form_get(&request->form, "AccessKeyId");
    const char *header = http_field_get(request, "authorization");
    const char *at = header ? strstr(header, "Credential=") : NULL;

    if (in_form)
        snprintf(to, size, "%s", in_form);
    else if (at)
        snprintf(to, size, "%.*s", (int)strcspn(at + 11, ", "), at + 11);
}

static void record_visit(const struct visit *visit, unsigned http_status, const json_t *body)
{
    char key_id[CALLER_SOURCE_SIZE] = "";
    const struct audit_call line = {.caller = visit->is_proven ? &visit->caller : NULL,
                                    .source = visit->request->source,
                                    .key_id = key_id,
                                    .request_id = visit->request_id,
                                    .action = visit->action,
                                    .operation = visit->operation,
                                    .texts = visit->texts,
                                    .body = body,
                                    .http_status = http_status,
                                    .began_ns = visit->began_ns,
                                    .is_read = call_only_looks(visit->action)};

    if (!visit->is_proven)
        claimed_key(visit->request, key_id, sizeof(key_id));
    audit_call(control_site(visit->api->control), &line);
}

static void visit_done(void *arg, unsigned http_status, json_t *body)
{
    struct visit *visit = arg;
    const struct reply_head head = {.form = visit->form,
                                    .http_status = http_status,
                                    .action = visit->action,
                                    .request_id = visit->request_id,
                                    .host_id = control_site(visit->api->control)->name};
    struct reply reply;

    record_visit(visit, http_status, body);
    reply_make(&head, body, &reply);
    if (reply.is_broken)
        log_error("api", "%s: the reply (status %u) is not fit to leave", visit->action,
                  http_status);
    http_reply(visit->request, &(struct http_answer){.status = reply.http_status,
                                                     .request_id = visit->request_id,
                                                     .content_type = reply.content_type,
                                                     .body = reply.text,
                                                     .length = reply.length,
                                                     .retry_ms = visit->retry_ms});
    free(reply.text);
    json_decref(visit->texts);
    free(visit);
}

static enum api_error problem_error(enum http_problem problem)
{
    switch (problem) {
    case HTTP_FORBIDDEN:
        return API_FORBIDDEN;
    case HTTP_BAD_METHOD:
        return API_UNSUPPORTED_METHOD;
    case HTTP_BAD_PATH:
        return API_NOT_FOUND;
    case HTTP_BAD_FORM:
    case HTTP_BAD_TYPE:
        return API_INVALID_PARAMETER_FORMAT;
    case HTTP_HEAD_TOO_LARGE:
        return API_HEAD_TOO_LARGE;
    case HTTP_BODY_TOO_LARGE:
        return API_REQUEST_TOO_LARGE;
    case HTTP_FINE:
        break;
    }
    return API_OK;
}

/* What an operation sees of a request. */
static json_t *texts_of(const struct http_request *request, const struct door_verdict *verdict)
{
    json_t *texts = json_object();

    check(texts);
    for (unsigned i = 0; i < request->form.count; i++)
        if (!door_is_protocol(verdict, request->form.pairs[i].name))
            tree_set_text(texts, request->form.pairs[i].name, request->form.pairs[i].value);
    return texts;
}

void api_route(void *arg, struct http_request *request)
{
    struct api *api = arg;
    struct visit *visit = calloc(1, sizeof(*visit));
    struct door_verdict verdict;

    check_magic(api, API_MAGIC);
    check(visit && api->door);
    visit->api = api;
    visit->request = request;
    visit->began_ns = loop_now_ns(control_site(api->control)->loop);
    id_make_uuid(next_id, api, visit->request_id);
    if (request->problem != HTTP_FINE) {
        refuse(problem_error(request->problem), "", NULL, visit_done, visit);
        return;
    }
    door_judge(api->door, request, &verdict);
    visit->form = verdict.form;
    visit->retry_ms = verdict.retry_ms;
    visit->caller = verdict.caller;
    visit->is_proven = request->is_proved = verdict.error == API_OK;
    snprintf(visit->action, sizeof(visit->action), "%s", verdict.action);
    if (!visit->is_proven) {
        refuse(verdict.error, verdict.name, verdict.detail, visit_done, visit);
        return;
    }
    visit->operation = table_find(verdict.action, verdict.version);
    visit->texts = texts_of(request, &verdict);
    api_execute(api, verdict.action, verdict.version, visit->texts, &visit->caller,
                visit->request_id, NULL, visit_done, visit);
}

void api_refused(void *arg, const struct http_refusal *refusal)
{
    struct api *api = arg;
    struct site *site = control_site(api->control);
    struct audit_call line = {.source = refusal->source,
                              .request_id = refusal->request_id,
                              .action = "",
                              .http_status = refusal->status,
                              .began_ns = loop_now_ns(site->loop)};
    char message[300];
    json_t *body = json_object();

    check_magic(api, API_MAGIC);
    check(body);
    snprintf(message, sizeof(message), "%s", refusal->message);
    if (refusal->more > 0 || refusal->others > 0)
        snprintf(message, sizeof(message),
                 "%s Since the last line: %u more from there, %u from elsewhere.", refusal->message,
                 refusal->more, refusal->others);
    tree_set_text(body, "Code", refusal->code);
    tree_set_text(body, "Message", message);
    line.body = body;
    audit_call(site, &line);
    json_decref(body);
}
