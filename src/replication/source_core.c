/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source's half of an epoch's life (ARCHITECTURE.md). When to cut:
 *
 *   little is open   once an interval, when something is open or pre-copied or a point is owed
 *   much is open     pre-copy first, until little is left
 *   it does not      (hosts dirty more than half of what the link ships, over a round) cut all the
 *   shrink           same; unless the stash overflowed since the last acknowledgement and could
 *                    overflow again: then only the recovery point's age grows
 */
#include "replication/source_core.h"

#include "base/check.h"

enum { ROUND_INTERVALS = 2 };

void source_core_init(struct source_core *core, const struct source_policy *policy)
{
    check(policy->interval_ns > 0 && policy->small_blocks > 0);
    check(policy->stashed_blocks >= policy->small_blocks);
    *core = (struct source_core){.policy = *policy};
}

static void act(struct source_actions *actions, enum source_action_kind kind, uint64_t value)
{
    check(actions->count < SOURCE_ACTIONS_MAX);
    actions->list[actions->count++] = (struct source_action){.kind = kind, .value = value};
}

static void begin_round(struct source_core *core, const struct source_facts *facts)
{
    core->round_ns = facts->now_ns + ROUND_INTERVALS * core->policy.interval_ns;
    core->round_open = facts->open;
    core->round_shipped = facts->shipped;
}

/* Everything goes back to open. Also without a cut: what was pre-copied is owed again. */
static void merge(struct source_core *core, struct source_actions *actions)
{
    act(actions, SOURCE_ACTION_MERGE, 0);
    if (core->is_connected)
        act(actions, SOURCE_ACTION_ABORT, 0);
    core->phase = SOURCE_OPEN;
    core->is_forced = false;
    core->is_copying = false;
}

bool source_core_awaits_ack(const struct source_core *core, uint64_t epoch)
{
    return core->phase == SOURCE_CUT_SENT && epoch == core->epoch;
}

static void take_ack(struct source_core *core, const struct source_event *event,
                     struct source_actions *actions)
{
    if (!source_core_awaits_ack(core, event->epoch))
        return;
    act(actions, SOURCE_ACTION_CLEAR, core->epoch);
    core->phase = SOURCE_OPEN;
    core->needs_epoch = core->has_overflowed = core->is_forced = false;
    core->current_ns = event->facts.now_ns + core->policy.interval_ns;
    core->is_copying = false;
    if (core->is_one_shot) {
        core->is_started = core->is_one_shot = false;
        act(actions, SOURCE_ACTION_FINISHED, core->epoch);
    }
}

static void take_connected(struct source_core *core, const struct source_event *event)
{
    check(core->phase == SOURCE_OPEN);
    core->is_connected = true;
    core->is_blocked = false;
    core->rest_until_ns = 0;
    if (event->epoch > core->epoch)
        core->epoch = event->epoch;
    if (!event->has_point)
        core->needs_epoch = true;
    core->due_ns = core->current_ns = event->facts.now_ns;
    core->is_copying = false;
}

static void take(struct source_core *core, const struct source_event *event,
                 struct source_actions *actions)
{
    switch (event->kind) {
    case SOURCE_EVENT_POLL:
        return;
    case SOURCE_EVENT_START:
        core->is_started = true;
        core->is_one_shot = event->is_one_shot;
        core->needs_epoch = core->needs_epoch || event->is_one_shot;
        core->is_copying = false;
        return;
    case SOURCE_EVENT_STOP:
        core->is_started = core->is_one_shot = false;
        merge(core, actions);
        return;
    case SOURCE_EVENT_CONNECTED:
        take_connected(core, event);
        return;
    case SOURCE_EVENT_DISCONNECTED:
        core->is_connected = false;
        merge(core, actions);
        return;
    case SOURCE_EVENT_ACK:
        take_ack(core, event, actions);
        return;
    case SOURCE_EVENT_STASH_FULL:
        core->has_overflowed = true;
        merge(core, actions);
        return;
    case SOURCE_EVENT_BLOCKED:
        core->is_blocked = true;
        merge(core, actions);
        return;
    case SOURCE_EVENT_RESUME:
        core->is_blocked = false;
        return;
    case SOURCE_EVENT_READ_FAILED:
        core->rest_until_ns = event->facts.now_ns + core->policy.retry_ns;
        merge(core, actions);
        return;
    }
    check(!"an unknown event");
}

static void begin_reads(const struct source_facts *facts, enum source_action_kind kind,
                        struct source_actions *actions)
{
    if (facts->slots > 0)
        act(actions, kind, facts->slots);
}

/* Once a round: is the link faster than the hosts? */
static void judge_round(struct source_core *core, const struct source_facts *facts)
{
    if (facts->now_ns < core->round_ns)
        return;
    uint64_t shipped = facts->shipped - core->round_shipped;
    uint64_t left = core->round_open > shipped ? core->round_open - shipped : 0;
    uint64_t dirtied = facts->open > left ? facts->open - left : 0;
    bool fits = facts->open <= core->policy.stashed_blocks;

    if (shipped > 0 && dirtied > shipped / 2 && (fits || !core->has_overflowed))
        core->is_forced = true;
    begin_round(core, facts);
}

static void cut(struct source_core *core, const struct source_facts *facts,
                struct source_actions *actions)
{
    core->epoch++;
    core->cut_wall_ns = facts->wall_ns;
    core->cut_ns = facts->now_ns;
    core->phase = SOURCE_CUT_OPEN;
    core->due_ns = facts->now_ns + core->policy.interval_ns;
    act(actions, SOURCE_ACTION_CUT, core->epoch);
}

static void beat(struct source_core *core, const struct source_facts *facts,
                 struct source_actions *actions)
{
    if (facts->now_ns >= core->current_ns) {
        act(actions, SOURCE_ACTION_CURRENT, facts->wall_ns);
        core->current_ns = facts->now_ns + core->policy.interval_ns;
    }
    act(actions, SOURCE_ACTION_TIMER, core->current_ns);
}

static void decide_open(struct source_core *core, const struct source_facts *facts,
                        struct source_actions *actions)
{
    if (facts->is_unmet)
        return;
    if (facts->suspect > 0 || facts->compares > 0) {
        if (facts->suspect > 0)
            begin_reads(facts, SOURCE_ACTION_COMPARE, actions);
        return;
    }
    bool is_small = facts->open <= core->policy.small_blocks;

    if (!is_small && !core->is_copying)
        begin_round(core, facts);
    core->is_copying = !is_small;
    if (!is_small && !core->is_forced)
        judge_round(core, facts);
    if (!is_small && !core->is_forced) {
        begin_reads(facts, SOURCE_ACTION_PRECOPY, actions);
        act(actions, SOURCE_ACTION_TIMER, core->round_ns);
        return;
    }
    if (facts->precopies > 0)
        return;
    if (facts->open == 0 && facts->unacked == 0 && facts->settled == 0 && !core->needs_epoch)
        beat(core, facts, actions);
    else if (facts->now_ns >= core->due_ns)
        cut(core, facts, actions);
    else
        act(actions, SOURCE_ACTION_TIMER, core->due_ns);
}

static void decide(struct source_core *core, const struct source_facts *facts,
                   struct source_actions *actions)
{
    if (!core->is_started || !core->is_connected || core->is_blocked)
        return;
    if (facts->now_ns < core->rest_until_ns) {
        act(actions, SOURCE_ACTION_TIMER, core->rest_until_ns);
        return;
    }
    switch (core->phase) {
    case SOURCE_OPEN:
        decide_open(core, facts, actions);
        return;
    case SOURCE_CUT_OPEN:
        if (facts->frozen > 0 || facts->stashed > 0)
            begin_reads(facts, SOURCE_ACTION_SHIP, actions);
        else if (facts->ships == 0 && facts->unsent == 0) {
            act(actions, SOURCE_ACTION_CLOSE, core->epoch);
            core->phase = SOURCE_CUT_SENT;
        }
        return;
    case SOURCE_CUT_SENT:
        return;
    }
}

void source_core_step(struct source_core *core, const struct source_event *event,
                      struct source_actions *ret_actions)
{
    ret_actions->count = 0;
    take(core, event, ret_actions);
    /* Actions that change the sets make the facts stale: the shell polls again after them. */
    if (ret_actions->count == 0)
        decide(core, &event->facts, ret_actions);
}
