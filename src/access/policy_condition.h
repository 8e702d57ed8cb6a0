/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Condition of a policy's statement: {operator: {key: value or [value, ...]}}. All must hold;
 * of several values of one key one is enough. An operator that negates holds when none of the
 * values does, and also when the key is not there. Pure.
 */
#ifndef ACCESS_POLICY_CONDITION_H
#define ACCESS_POLICY_CONDITION_H

#include <jansson.h>

#include "access/policy_question.h"
#include "base/err.h"

struct policy_conditions;

/* `value_count` is counted up and bounded over the whole policy. Texts stay those of `tree`, which
 * must live as long. -EINVAL: `err` names operator and key. */
int policy_condition_parse(const json_t *tree, unsigned *value_count,
                           struct policy_conditions **ret_conditions, struct err *err);
void policy_condition_free(struct policy_conditions *conditions); /* NULL is fine */

/* Is any of them about a tag? */
bool policy_condition_asks_tags(const struct policy_conditions *conditions);

/* Do all hold? NULL: none are asked for. `unknown`: what a condition on tags is when nobody knows
 * them (policy_question.are_tags_unknown). */
bool policy_condition_holds(const struct policy_conditions *conditions,
                            const struct policy_question *question, bool unknown);

#endif
