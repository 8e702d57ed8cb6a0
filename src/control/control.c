/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: the top of the control wing. A call goes: fresh status of the data wing, token, route, the
 * operation's function. Calls that arrive while a status is under way wait for the next one, all
 * together; so the busier the site, the more of them share a round and a commit (sharing.c). Who
 * only looks takes a status that is young enough. Events of the data wing come in here and go to
 * whom they concern.
 */
#include "control/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "control/boot.h"
#include "control/jobs.h"
#include "control/pulse.h"
#include "control/services.h"
#include "control/sharing.h"
#include "control/sync.h"
#include "control/token.h"
#include "control/tree.h"
#include "control/works.h"

enum { CONTROL_MAGIC = 0x6374726c, STOP_POLL_NS = 5000000 };
enum { LINK_MARGIN = 256 }; /* bytes, tokens: around an answer that is passed on */

struct control {
    uint32_t magic;
    struct site site;
    control_execute_fn execute_cb;
    void *execute_arg;
    struct data_request status; /* of the refresh, after an event or for calls */
    bool is_refreshing, is_refresh_wanted;
    bool has_settled_strays;   /* since the start */
    struct list arrived;       /* calls that want a status asked for after them */
    struct loop_task ask_task; /* behind all that arrive in a turn */
    struct list asking;        /* calls for which it is under way */
    unsigned call_count;
    struct loop_timer stop_timer;
    void (*started_cb)(void *arg);
    void *started_arg;
    void (*stopped_cb)(void *arg);
    void *stopped_arg;
};

static void refresh(struct control *control);

static void ask(struct loop_task *task)
{
    refresh(container_of(task, struct control, ask_task));
}

int control_new(struct loop *loop, struct meta *meta, const struct data_ops *ops, void *wing,
                const struct site_options *options, struct control **ret_control, struct err *err)
{
    struct control *control = calloc(1, sizeof(*control));
    const struct job_kind *kinds;
    unsigned kind_count;
    int result;

    if (!control)
        return err_set(err, -ENOMEM, "control: out of memory");
    control->magic = CONTROL_MAGIC;
    tree_init();
    result = site_init(&control->site, loop, meta, options, err);
    if (result < 0) {
        free(control);
        return result;
    }
    control->site.data_ops = ops;
    control->site.data_wing = wing;
    list_init(&control->arrived);
    list_init(&control->asking);
    list_init(&control->ask_task.node);
    control->ask_task.run_cb = ask;
    kinds = works_kinds(&kind_count);
    pulse_init(&control->site, options);
    jobs_init(&control->site, kinds, kind_count);
    sharing_init(&control->site);
    sync_init(&control->site);
    *ret_control = control;
    return 0;
}

void control_free(struct control *control)
{
    if (!control)
        return;
    check_magic(control, CONTROL_MAGIC);
    sync_fini(&control->site);
    jobs_fini(&control->site);
    pulse_fini(&control->site);
    site_fini(&control->site);
    control->magic = 0;
    free(control);
}

void control_set_execute(struct control *control, control_execute_fn execute_cb, void *arg)
{
    check_magic(control, CONTROL_MAGIC);
    control->execute_cb = execute_cb;
    control->execute_arg = arg;
}

struct site *control_site(struct control *control)
{
    check_magic(control, CONTROL_MAGIC);
    return &control->site;
}

/* --- start and stop -------------------------------------------------------------------------- */

static void booted(void *arg)
{
    struct control *control = arg;

    check_magic(control, CONTROL_MAGIC);
    if (!control->site.is_stopping) {
        control->site.is_ready = true;
        token_start(&control->site);
        jobs_wake(&control->site);
        for (unsigned i = 0; i < control->site.peer_count; i++)
            if (control->site.peers[i].is_up)
                sync_peer_up(&control->site, control->site.peers[i].name);
        refresh(control);
        pulse_start(&control->site);
    }
    control->started_cb(control->started_arg);
}

void control_start(struct control *control, void (*started_cb)(void *arg), void *arg)
{
    check_magic(control, CONTROL_MAGIC);
    check(control->execute_cb);
    control->started_cb = started_cb;
    control->started_arg = arg;
    boot_start(&control->site, booted, control);
}

static void stop_polled(struct loop_timer *timer)
{
    struct control *control = container_of(timer, struct control, stop_timer);
    struct loop *loop = control->site.loop;

    check_magic(control, CONTROL_MAGIC);
    if (control->site.pending_count > 0 || control->call_count > 0 || control->site.left_count > 0)
        loop_timer_set(loop, timer, loop_now_ns(loop) + STOP_POLL_NS);
    else
        control->stopped_cb(control->stopped_arg);
}

void control_stop(struct control *control, void (*stopped_cb)(void *arg), void *arg)
{
    struct site *site = &control->site;

    check_magic(control, CONTROL_MAGIC);
    check(!site->is_stopping);
    site->is_stopping = true;
    control->stopped_cb = stopped_cb;
    control->stopped_arg = arg;
    call_stop(site);
    token_stop(site);
    pulse_stop(site);
    jobs_stop(site);
    sync_stop(site);
    control->stop_timer.fired_cb = stop_polled;
    loop_timer_set(site->loop, &control->stop_timer, loop_now_ns(site->loop));
}

/* --- calls ----------------------------------------------------------------------------------- */

void control_submit(struct control *control, struct call *call)
{
    check_magic(control, CONTROL_MAGIC);
    check_magic(call, CALL_MAGIC);
    check(call->operation && call->parameters && call->texts && call->done_cb);
    call->site = &control->site;
    list_init(&call->node);
    if (!control->site.is_ready || control->site.is_stopping) {
        call_fail(call, API_SERVICE_UNAVAILABLE, "Site %s is starting or stopping.",
                  control->site.name);
        return;
    }
    if (call->operation->is_read && site_snapshot_is_fresh(&control->site)) {
        sharing_run_alone(call);
        return;
    }
    if (call->operation->is_by_record && site_snapshot_is_fresh(&control->site)) {
        sharing_join(call, NULL);
        return;
    }
    list_append(&control->arrived, &call->held_node);
    loop_defer(control->site.loop, &control->ask_task);
}

/* --- what the peer passes on ----------------------------------------------------------------- */

struct forwarded {
    struct control *control;
    struct peer_answer *answer;
    struct site_peer *peer;
};

/* Pages end before that; what knows no pages is refused, and not asked for again and again. */
static json_t *refuse_large(struct control *control, unsigned *http_status, json_t *body)
{
    char why[300];

    if (json_dumpb(body, NULL, 0, JSON_COMPACT) < DATA_CALL_BYTES_MAX - LINK_MARGIN &&
        tree_count_tokens(body) < TREE_REPLY_TOKENS_MAX - LINK_MARGIN)
        return json_incref(body);
    snprintf(why, sizeof(why),
             "The answer is larger than site %s passes on to another: ask for less (one by its Id, "
             "or pages by MaxResults and NextToken), or at that site.",
             control->site.name);
    *http_status = api_error_entry(API_DENIED)->http_status;
    return call_error_tree(API_DENIED, "", why);
}

static void forward_done(void *arg, unsigned http_status, json_t *body)
{
    struct forwarded *forwarded = arg;
    json_t *reply = json_object();

    check(reply);
    body = refuse_large(forwarded->control, &http_status, body);
    tree_set_int(reply, "status", http_status);
    tree_set(reply, "body", body);
    forwarded->peer->taken_count--;
    peer_answer_ok(forwarded->answer, reply);
    forwarded->control->call_count--;
    free(forwarded);
}

static bool texts_are_sane(const json_t *texts)
{
    const char *name;
    json_t *value;

    if (!json_is_object(texts) || json_object_size(texts) > 200)
        return false;
    json_object_foreach((json_t *)texts, name, value)
    {
        if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
            return false;
    }
    return true;
}

static void serve_forward(struct control *control, struct peer_answer *answer)
{
    const json_t *texts = json_object_get(answer->arguments, "parameters");
    int64_t hops = tree_int(answer->arguments, "hops", 0);
    struct call_pass pass = {.sender = answer->peer,
                             .number = tree_text(answer->arguments, "number")};
    struct site_peer *peer = site_peer_named(&control->site, answer->peer);
    struct forwarded *forwarded;
    struct caller caller;

    if (!texts_are_sane(texts) ||
        !caller_parse(json_object_get(answer->arguments, "caller"), &caller) || hops < 1 ||
        hops > CALL_HOPS_MAX || strlen(pass.number) != CALL_NUMBER_SIZE - 1) {
        peer_answer_fail(answer, API_INVALID_PARAMETER_FORMAT, "malformed call");
        return;
    }
    /* Those whose time is out over there still wait here. */
    if (peer->taken_count >= SITE_PASSED_MAX) {
        peer_answer_fail(answer, API_SERVICE_UNAVAILABLE, "too many calls wait there");
        return;
    }
    pass.hop_count = (unsigned)hops;
    forwarded = calloc(1, sizeof(*forwarded));
    check(forwarded);
    forwarded->control = control;
    forwarded->answer = answer;
    forwarded->peer = peer;
    peer->taken_count++;
    control->call_count++;
    control->execute_cb(control->execute_arg, tree_text(answer->arguments, "action"),
                        tree_text(answer->arguments, "version"), texts, &caller,
                        tree_text(answer->arguments, "request_id"), &pass, forward_done, forwarded);
}

/* peer_receive() knows services by name only; this one needs the wing. */
static void receive_call(struct control *control, const struct data_event *event)
{
    unsigned count;
    const struct peer_service *services = services_table(&count);
    struct peer_answer *answer = peer_receive(&control->site, event, services, count, "forward");

    if (answer)
        serve_forward(control, answer);
}

/* --- events ---------------------------------------------------------------------------------- */

static void refreshed(struct data_request *request)
{
    struct control *control = container_of(request, struct control, status);

    check_magic(control, CONTROL_MAGIC);
    site_done(&control->site);
    control->is_refreshing = false;
    site_take_snapshot(&control->site, request);
    if (!control->site.is_stopping) {
        works_end_one_shots(&control->site);
        control->has_settled_strays =
            control->has_settled_strays || works_settle_strays(&control->site) == 0;
    }
    if (!control->site.is_stopping)
        pulse_look(&control->site);
    sharing_run(&control->site, &control->asking);
    if (control->is_refresh_wanted || !list_is_empty(&control->arrived))
        refresh(control);
}

static void refresh(struct control *control)
{
    struct list *node;

    control->is_refresh_wanted = control->is_refreshing;
    if (control->is_refreshing || (control->site.is_stopping && list_is_empty(&control->arrived)))
        return;
    control->is_refreshing = true;
    while ((node = list_pop(&control->arrived)))
        list_append(&control->asking, node);
    control->status = (struct data_request){.op = DATA_STATUS};
    site_submit(&control->site, &control->status, refreshed);
}

static void peer_changed(struct control *control, const struct data_event *event)
{
    struct site_peer *peer = site_peer_named(&control->site, event->name);

    if (!peer)
        return;
    if (peer->is_up != event->is_on)
        pulse_tell_link(&control->site, peer->name, event->is_on, event->why);
    peer->is_up = event->is_on;
    snprintf(peer->why, sizeof(peer->why), "%s", event->why);
    log_info("control", "link to %s is %s%s%s", peer->name, event->is_on ? "up" : "down",
             event->is_on ? "" : ": ", event->is_on ? "" : event->why);
    if (event->is_on && control->site.is_ready && !control->site.is_stopping) {
        sync_peer_up(&control->site, peer->name);
        jobs_hurry(&control->site);
    }
}

void control_event(void *arg, const struct data_event *event)
{
    struct control *control = arg;

    check_magic(control, CONTROL_MAGIC);
    switch (event->kind) {
    case DATA_EVENT_STREAM_CHANGED:
    case DATA_EVENT_DISK_ACCESS:
        if (control->site.is_ready)
            refresh(control);
        break;
    case DATA_EVENT_DISK_GROWN:
        pulse_grown(&control->site, event->name, event->size_bytes);
        break;
    case DATA_EVENT_SNAPSHOTS_CHANGED:
        break; /* listed when asked for */
    case DATA_EVENT_FOUND:
        pulse_tell_found(&control->site, event->name, event->is_on, event->why);
        break;
    case DATA_EVENT_PEER:
        peer_changed(control, event);
        break;
    case DATA_EVENT_CALL:
        receive_call(control, event);
        break;
    }
}
