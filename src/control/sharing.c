/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: a commit waits for the disk, and one wait serves all who came together.
 *
 * Rules
 *  1. Each operation's change is a part of the transaction: one that fails is undone alone.
 *  2. From the first change to the commit nothing leaves: no answer (not of others either: they may
 *     have read what is not durable yet), no message to the data wing or a peer (site_submit()
 *     checks it), no job that wakes. So a crash before the commit leaves no trace, and one behind
 *     it is as ever: the records and the token say what was done.
 *  3. When the commit fails, all of it is undone, in memory too, and every call that was held is
 *     answered with InternalError, whatever it would have been told.
 *  4. The tokens of calls that are held are in use (site->calls), as before.
 */
#include "control/sharing.h"

#include <errno.h>

#include "base/check.h"
#include "base/step.h"
#include "control/consent.h"
#include "control/jobs.h"
#include "control/route.h"
#include "control/spent.h"
#include "control/sync.h"
#include "control/token.h"
#include "control/tree.h"

void sharing_mark(struct call *call, const char *id)
{
    if (!call->marks)
        call->marks = json_array();
    check(call->marks && json_array_append_new(call->marks, json_string(id)) == 0);
}

/* The call's change is durable. */
static void go_on(struct call *call)
{
    void (*then_cb)(struct call * call) = call->then_cb;
    size_t index;
    json_t *id;

    call->then_cb = NULL;
    change_tell(call->site, call->moves, call->move_count);
    call->moves = NULL;
    json_array_foreach(call->marks, index, id)
    {
        sync_mark(call->site, json_string_value(id));
    }
    then_cb(call);
}

void sharing_then(struct change *change, struct call *call, void (*then_cb)(struct call *call))
{
    struct site *site = call->site;
    int result = change->is_part ? change_end_part(change, &call->moves, &call->move_count)
                                 : change_commit(change);

    if (result < 0) {
        call_fail_internal(call, change->err.text);
        return;
    }
    call->then_cb = then_cb;
    if (site->is_sharing) {
        list_append(&site->held, &call->held_node);
        return;
    }
    jobs_wake(site);
    go_on(call);
}

void sharing_leave(struct call *call, void (*then_cb)(struct call *call))
{
    struct site *site = call->site;

    if (!site->is_sharing || !site->meta->is_in_transaction) {
        then_cb(call);
        return;
    }
    call->then_cb = then_cb;
    list_append(&site->held, &call->held_node);
}

static void answer(struct call *call)
{
    json_t *reply = call->later;

    call->later = NULL;
    call_reply(call, reply);
}

void sharing_answer(struct change *change, struct call *call, json_t *reply)
{
    call->later = reply;
    sharing_then(change, call, answer);
}

static void begin(struct site *site)
{
    check(!site->is_sharing && !site->meta->is_in_transaction && list_is_empty(&site->held));
    site->is_sharing = true;
    site->share_error = 0;
    site->has_shared = false;
}

static int commit(struct site *site, struct err *err)
{
    int result = site->share_error;

    if (!site->meta->is_in_transaction)
        return 0;
    if (result < 0) {
        meta_rollback(site->meta);
        return err_set(err, result, "the records cannot be changed: %s", err_name(result));
    }
    step_point("change-before-commit");
    result = meta_commit(site->meta, err);
    step_point("change-committed");
    return result;
}

static void end(struct site *site)
{
    struct err err = {0};
    struct list *node;
    int result = commit(site, &err);

    if (result < 0)
        complaint_failed(&site->complaint, loop_now_ns(site->loop), &err);
    else if (site->has_shared)
        complaint_stored(&site->complaint, loop_now_ns(site->loop));
    site->is_sharing = false;
    site->share_error = 0;
    if (result == 0 && !list_is_empty(&site->held))
        jobs_wake(site);
    while ((node = list_pop(&site->held))) {
        struct call *call = list_entry(node, struct call, held_node);

        if (result < 0)
            call_revoke(call, err.text);
        else if (call->then_cb)
            go_on(call);
        else
            call_deliver(call);
    }
}

/* --- running --------------------------------------------------------------------------------- */

/* While it waited others were served: it is looked at again, but for the token, which is its own
 * since. */
static void consent_told(void *arg, bool is_given)
{
    struct call *call = arg;
    struct list alone;

    if (!is_given) {
        consent_fail(call);
        return;
    }
    list_init(&alone);
    list_append(&alone, &call->held_node);
    sharing_run(call->site, &alone);
}

/* False: answered, passed on, or the sender is asked first. */
static bool enter(struct call *call)
{
    bool is_back = call->is_consented;

    if ((!is_back && (!spent_take(call) || token_replay(call))) || !route_call(call))
        return false;
    if (is_back)
        return true;
    list_append(&call->site->calls, &call->node);
    if (!consent_is_due(call) || call->operation->asks_late)
        return true;
    consent_ask(call, consent_told, call);
    return false;
}

void sharing_run_alone(struct call *call)
{
    if (enter(call))
        call->operation->run(call);
}

/* Puts those that may share into `sharing`; the others are answered, or run for themselves. */
static void sort(struct site *site, struct list *calls, struct list *sharing)
{
    struct list *node;

    while ((node = list_pop(calls))) {
        struct call *call = list_entry(node, struct call, held_node);

        if (call->join_cb) /* entered before it waited */
            list_append(sharing, &call->held_node);
        else if (site->is_stopping)
            call_fail(call, API_SERVICE_UNAVAILABLE, "Site %s is stopping.", site->name);
        else if (!call->operation->is_shared)
            sharing_run_alone(call);
        else if (enter(call))
            list_append(sharing, &call->held_node);
    }
}

static void run(struct call *call)
{
    void (*run_cb)(struct call * call) = call->join_cb ? call->join_cb : call->operation->run;

    call->join_cb = NULL;
    run_cb(call);
}

void sharing_run(struct site *site, struct list *calls)
{
    struct list sharing, *node;

    list_init(&sharing);
    sort(site, calls, &sharing);
    if (list_is_empty(&sharing))
        return;
    begin(site);
    while ((node = list_pop(&sharing)))
        run(list_entry(node, struct call, held_node));
    end(site);
}

static void joined(struct loop_task *task)
{
    struct site *site = container_of(task, struct site, join_task);

    sharing_run(site, &site->joining);
}

void sharing_init(struct site *site)
{
    list_init(&site->joining);
    list_init(&site->join_task.node);
    site->join_task.run_cb = joined;
}

void sharing_join(struct call *call, void (*run_cb)(struct call *call))
{
    if (run_cb && consent_is_due(call)) { /* what it was given is given for now */
        run_cb(call);
        return;
    }
    call->join_cb = run_cb;
    list_append(&call->site->joining, &call->held_node);
    loop_defer(call->site->loop, &call->site->join_task);
}
