/* SPDX-License-Identifier: Apache-2.0 */
/* Why: the same questions in the same order for every operation; see judge.h. */
#include "control/judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "control/audit.h"
#include "control/consent.h"
#include "control/jobs.h"
#include "control/sharing.h"
#include "control/token.h"
#include "control/utc.h"

/* False: answered. */
static bool check_has_pairs(struct call *call, const struct relation *group)
{
    struct pair_record *pairs = NULL;
    unsigned count = 0;
    int result = relation_members(call->site, group, &pairs, &count);

    free(pairs);
    if (result < 0)
        call_fail_internal(call, err_name(result));
    else if (count == 0)
        call_fail(call, API_NO_PAIR_IN_GROUP, NULL);
    return result == 0 && count > 0;
}

/* A state that the table allows although a job is in the middle of something. */
static bool is_busy(enum replica_state state)
{
    return state == REPLICA_CREATING || state == REPLICA_REPROTECTING || state == REPLICA_DELETING;
}

static bool needs_pairs(int group_op)
{
    return group_op == GROUP_START || group_op == GROUP_FAILOVER || group_op == GROUP_REPROTECT;
}

static enum state_verdict judge_state(struct call *call, const struct relation *relation,
                                      enum replica_state shown, enum api_error *ret_error)
{
    unsigned one_shot = call_bool(call, "OneShot") ? 1 : 0; /* the row that follows */

    if (relation->is_group)
        return group_state_judge((enum group_op)(call->operation->group_op + (int)one_shot), shown,
                                 ret_error);
    return pair_state_judge((enum pair_op)(call->operation->pair_op + (int)one_shot), shown,
                            ret_error);
}

static void repeat_consented(void *arg, bool is_given)
{
    struct call *call = arg;
    struct change change;

    if (!is_given) {
        consent_fail(call);
        return;
    }
    change_begin(&change, call->site);
    token_remember(&change, call, NULL);
    sharing_answer(&change, call, NULL);
}

void judge_repeat(struct call *call)
{
    consent_ask(call, repeat_consented, call);
}

enum state_verdict judge_relation(struct call *call, struct relation *ret_relation)
{
    struct site *site = call->site;
    const char *id = call_text(call, call->operation->object);
    enum api_error error = API_INVALID_STATUS;
    enum replica_state shown;
    enum state_verdict verdict;

    if (relation_load(site, id, ret_relation) < 0) {
        call_fail(call, API_NO_SUCH_RESOURCE, "%.60s is not known at site %s.", id, site->name);
        return STATE_DENY;
    }
    if (relation_is_member(ret_relation)) {
        call_fail(call, API_DENIED, "Pair %s is in group %s: ask for the group.", id,
                  ret_relation->pair.group_id);
        return STATE_DENY;
    }
    if (ret_relation->is_group && needs_pairs(call->operation->group_op) &&
        !check_has_pairs(call, ret_relation))
        return STATE_DENY;
    shown = relation_shown(site, ret_relation);
    verdict = judge_state(call, ret_relation, shown, &error);
    if (verdict == STATE_ALLOW && is_busy(shown))
        verdict = STATE_DENY;
    if (verdict == STATE_REPEAT)
        judge_repeat(call);
    else if (verdict == STATE_DENY)
        call_fail(call, error, "%s is %s.", id, replica_state_name(shown));
    return verdict;
}

/* After a failover members' records count up with the group's, so that no membership of before wins
 * over it. */
static void raise_members(struct change *change, const struct relation *group,
                          struct pair_record *pairs, unsigned count)
{
    int64_t term = group->group.common.term;

    for (unsigned i = 0; i < count; i++) {
        if (pairs[i].common.term < term)
            pairs[i].common.term = term;
        relation_touch(&pairs[i].common);
        change_put(change, RECORD_PAIR, &pairs[i]);
    }
}

/* What a failover gives up is known best before it begins. */
static void tell_loss(struct site *site, const char *id)
{
    const struct data_stream_status *stream = site_stream(site, id);
    char at[UTC_SIZE];

    if (!stream)
        return;
    utc_format((int64_t)(stream->point_wall_ns / 1000000000), at);
    audit_event(site, "failover", EVENT_WARNING, id,
                "at the recovery point of %s; what hosts wrote at %s in the %.1f s before this "
                "is not in it",
                at, stream->peer, (double)stream->point_age_ns / 1e9);
}

static void failover_accepted(struct call *call)
{
    tell_loss(call->site, call->object);
    call_reply(call, NULL);
}

void judge_accept(struct call *call, struct relation *relation, enum replica_state to,
                  const char *job, const char *argument)
{
    struct site *site = call->site;
    char id[RECORD_ID_SIZE];
    struct pair_record *pairs = NULL;
    unsigned count = 0;
    struct change change;
    int result = 0;

    strcpy(id, relation_own(relation)->id);
    relation_move(relation, to);
    if (to == REPLICA_FAILOVERING && relation->is_group)
        result = relation_members(site, relation, &pairs, &count);
    change_begin(&change, site);
    if (result < 0)
        change_fail(&change, result, "the list of its pairs");
    raise_members(&change, relation, pairs, count);
    jobs_cancel(&change, id);
    relation_put(&change, relation);
    jobs_add(&change, job, id, argument);
    token_remember(&change, call, NULL);
    sharing_mark(call, id);
    for (unsigned i = 0; i < count; i++)
        sharing_mark(call, pairs[i].common.id);
    free(pairs);
    snprintf(call->object, sizeof(call->object), "%s", id);
    if (to == REPLICA_FAILOVERING)
        sharing_then(&change, call, failover_accepted);
    else
        sharing_answer(&change, call, NULL);
}

void judge_fail_as_peer(struct call *call, const char *peer, const char *code, const char *message)
{
    call_fail(call, api_error_find(code), "Site %s: %s", peer, message);
}
