/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: pairs and groups (sync.c) and users, keys and policies (roster_sync.c) are made alike at two
 * sites in one way, so that way is here once.
 *
 * Rules
 *  1. One call is under way to a peer at a time. What is marked meanwhile is pushed behind it, also
 *     what is in it: it may have changed since.
 *  2. After a failure nothing is pushed for a while; then all that is marked, in its order.
 *  3. Marks are the names of an object: found at once among many, and kept in order.
 *  4. Where one call takes many marks, the first of them waits a moment for others, or until there
 *     are enough for a call.
 */
#include "control/pusher.h"

#include "base/check.h"

static void go(struct pusher *pusher);

const char *pusher_peer_name(const struct pusher *pusher)
{
    return pusher->site->peers[pusher->peer].name;
}

static void wait_for(struct pusher *pusher, uint64_t time_ns)
{
    struct loop *loop = pusher->site->loop;

    pusher->is_waiting = true;
    pusher->is_gathering = false;
    loop_timer_set(loop, &pusher->timer, loop_now_ns(loop) + time_ns);
}

static void set_timer(struct pusher *pusher)
{
    wait_for(pusher, pusher->site->retry_max_ns / 5);
}

static void wait_no_more(struct pusher *pusher)
{
    loop_timer_cancel(pusher->site->loop, &pusher->timer);
    pusher->is_waiting = false;
    pusher->is_gathering = false;
}

/* Rule 4. */
static void gather(struct pusher *pusher)
{
    size_t count = json_object_size(pusher->marks);

    if (pusher->is_gathering && count >= pusher->gather.count)
        wait_no_more(pusher);
    if (pusher->is_calling || pusher->is_waiting || count == 0 || count >= pusher->gather.count)
        return;
    wait_for(pusher, pusher->gather.time_ns);
    pusher->is_gathering = true;
}

static void list_all(struct pusher *pusher)
{
    pusher->is_unlisted = pusher->ops->list(pusher) < 0;
    if (pusher->is_unlisted)
        set_timer(pusher);
}

static void fired(struct loop_timer *timer)
{
    struct pusher *pusher = container_of(timer, struct pusher, timer);

    pusher->is_waiting = false;
    pusher->is_gathering = false;
    if (pusher->is_unlisted)
        list_all(pusher);
    go(pusher);
}

void pusher_init(struct pusher *pusher, struct site *site, unsigned peer,
                 const struct pusher_ops *ops)
{
    *pusher = (struct pusher){.site = site, .peer = peer, .ops = ops};
    pusher->marks = json_object();
    pusher->batch = json_object();
    check(pusher->marks && pusher->batch);
    pusher->timer.fired_cb = fired;
}

void pusher_stop(struct pusher *pusher)
{
    wait_no_more(pusher);
    json_object_clear(pusher->marks);
}

void pusher_fini(struct pusher *pusher)
{
    check(!pusher->is_calling);
    json_decref(pusher->marks);
    json_decref(pusher->batch);
    pusher->marks = pusher->batch = NULL;
}

void pusher_add(struct pusher *pusher, const char *mark)
{
    if (!json_object_get(pusher->marks, mark))
        check(json_object_set_new_nocheck(pusher->marks, mark, json_true()) == 0);
}

void pusher_mark(struct pusher *pusher, const char *mark)
{
    pusher_add(pusher, mark);
    gather(pusher);
    go(pusher);
}

unsigned pusher_trim(struct pusher *pusher, unsigned count_max)
{
    unsigned count = 0;

    while (json_object_size(pusher->marks) > count_max) {
        check(json_object_del(pusher->marks,
                              json_object_iter_key(json_object_iter(pusher->marks))) == 0);
        count++;
    }
    return count;
}

void pusher_mark_all_later(struct pusher *pusher)
{
    pusher->is_unlisted = true;
    if (!pusher->is_waiting || pusher->is_gathering)
        set_timer(pusher);
}

void pusher_peer_up(struct pusher *pusher)
{
    wait_no_more(pusher);
    list_all(pusher);
    go(pusher);
}

/* --- pushing --------------------------------------------------------------------------------- */

const char *pusher_take(struct pusher *pusher)
{
    const char *mark = json_object_iter_key(json_object_iter(pusher->marks)), *taken;

    if (!mark)
        return NULL;
    check(json_object_set_new_nocheck(pusher->batch, mark, json_true()) == 0);
    taken = json_object_iter_key(json_object_iter_at(pusher->batch, mark));
    check(taken && json_object_del(pusher->marks, mark) == 0);
    return taken;
}

static void push_again(struct pusher *pusher)
{
    const char *mark;
    json_t *value;

    json_object_foreach(pusher->batch, mark, value)
    {
        pusher_add(pusher, mark);
    }
    json_object_clear(pusher->batch);
    set_timer(pusher);
}

static void call_done(struct peer_call *call)
{
    struct pusher *pusher = container_of(call, struct pusher, call);
    bool is_again = call->error < 0 || call->status >= 500;

    pusher->is_calling = false;
    if (pusher->site->is_stopping) {
        json_object_clear(pusher->batch);
        return;
    }
    if (is_again || pusher->ops->done(pusher, call, pusher->batch) < 0) {
        push_again(pusher);
        return;
    }
    json_object_clear(pusher->batch);
    gather(pusher);
    go(pusher);
}

bool pusher_is_empty(const struct pusher *pusher)
{
    const struct site *site = pusher->site;

    return site->is_ready && !site->is_stopping && site->peers[pusher->peer].is_up &&
           !pusher->is_calling && !pusher->is_unlisted && json_object_size(pusher->marks) == 0;
}

static bool may_push(const struct pusher *pusher)
{
    const struct site *site = pusher->site;

    return !pusher->is_calling && !pusher->is_waiting && !site->is_stopping && site->is_ready &&
           site->peers[pusher->peer].is_up && json_object_size(pusher->marks) > 0;
}

static void go(struct pusher *pusher)
{
    while (may_push(pusher)) {
        const char *name = NULL;
        json_t *arguments = NULL;

        if (pusher->ops->make(pusher, &name, &arguments) < 0) {
            check(!arguments);
            push_again(pusher);
        } else if (!arguments) {
            json_object_clear(pusher->batch);
        } else {
            pusher->is_calling = true;
            peer_call(pusher->site, &pusher->call, pusher_peer_name(pusher), name, arguments,
                      call_done);
        }
    }
}
