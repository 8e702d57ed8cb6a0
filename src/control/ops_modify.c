/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: what of a pair or group can be changed by asking: name and description while it stands still
 * (contract 7.7, 8.7), its objectives also while it runs: they only say how its newest recovery
 * point is judged, so nothing restarts.
 *
 * What a group decides for its pairs is not changed at a pair. A call that changes nothing succeeds
 * in any state.
 */
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "control/judge.h"
#include "control/operations.h"
#include "control/sharing.h"
#include "control/token.h"

struct difference {
    bool has_texts, has_objectives;
};

static void copy(char *to, size_t size, const char *from)
{
    check(strlen(from) < size);
    memset(to, 0, size);
    memcpy(to, from, strlen(from));
}

static bool take_text(struct call *call, const char *parameter, char *field, size_t size)
{
    const char *text = call_text(call, parameter);

    if (!call_has(call, parameter) || strcmp(text, field) == 0)
        return false;
    copy(field, size, text);
    return true;
}

/* Bandwidth is the system's choice (0) but for pairs that were paid in advance. */
static bool takes_bandwidth(const struct relation *relation)
{
    return !relation->is_group && strcmp(relation->pair.charge_type, "PREPAY") == 0;
}

/* What the call asks for, into the record; a member is compared with what its group says. */
static struct difference apply(struct call *call, struct relation *relation)
{
    struct replica_record *own = relation_own(relation);
    const struct replica_record *ruler = relation_ruler(relation);
    struct difference difference = {0};

    difference.has_texts = take_text(call, relation->is_group ? "GroupName" : "PairName", own->name,
                                     sizeof(own->name));
    difference.has_texts |=
        take_text(call, "Description", own->description, sizeof(own->description));
    if (call_has(call, "RPO") && call_int(call, "RPO") != ruler->rpo_s) {
        own->rpo_s = call_int(call, "RPO");
        difference.has_objectives = true;
    }
    if (call_has(call, "EnableRtc") && call_bool(call, "EnableRtc") != ruler->is_rtc) {
        own->is_rtc = call_bool(call, "EnableRtc");
        difference.has_objectives = true;
    }
    if (call_has(call, "Bandwidth") && takes_bandwidth(relation) &&
        call_int(call, "Bandwidth") != ruler->bandwidth_kbit) {
        own->bandwidth_kbit = call_int(call, "Bandwidth");
        difference.has_objectives = true;
    }
    return difference;
}

/* False: answered. */
static bool judge_modify(struct call *call, const struct relation *relation, enum pair_op pair_op,
                         enum group_op group_op)
{
    enum replica_state shown = relation_shown(call->site, relation);
    enum api_error error = API_INVALID_STATUS;
    enum state_verdict verdict = relation->is_group ? group_state_judge(group_op, shown, &error)
                                                    : pair_state_judge(pair_op, shown, &error);

    if (verdict == STATE_ALLOW)
        return true;
    call_fail(call, error, "%s is %s.", relation_ruler(relation)->id, replica_state_name(shown));
    return false;
}

static void modify(struct call *call, struct relation *relation)
{
    struct change change;

    relation_touch(relation_own(relation));
    change_begin(&change, call->site);
    relation_put(&change, relation);
    token_remember(&change, call, NULL);
    sharing_mark(call, relation_own(relation)->id);
    sharing_answer(&change, call, NULL);
}

void ops_modify_relation(struct call *call)
{
    const char *id = call_text(call, call->operation->object);
    struct difference difference;
    struct relation relation;
    int result = relation_load(call->site, id, &relation);

    if (result == -ENOENT)
        call_fail(call, API_NO_SUCH_RESOURCE, "%.60s is not known at site %s.", id,
                  call->site->name);
    else if (result < 0)
        call_fail_internal(call, err_name(result));
    if (result < 0)
        return;
    difference = apply(call, &relation);
    if (!difference.has_texts && !difference.has_objectives)
        judge_repeat(call);
    else if (difference.has_objectives && relation_is_member(&relation))
        call_fail(call, API_DENIED, "Pair %s follows group %s: modify the group.", id,
                  relation.pair.group_id);
    else if ((!difference.has_texts || judge_modify(call, &relation, PAIR_MODIFY, GROUP_MODIFY)) &&
             (!difference.has_objectives ||
              judge_modify(call, &relation, PAIR_MODIFY_RPO, GROUP_MODIFY_RPO)))
        modify(call, &relation);
}
