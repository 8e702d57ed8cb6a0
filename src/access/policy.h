/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies (contract 4.1, 4.2): parsed once, strictly, into something that is quick to ask. Pure.
 *
 * Bounded: POLICY_BYTES_MAX of text, and in it statements, values and depth; matching a pattern
 * takes at most (pattern × text) steps, whatever the wildcards.
 */
#ifndef ACCESS_POLICY_H
#define ACCESS_POLICY_H

#include <stddef.h>

#include "access/policy_question.h"
#include "base/err.h"

struct policy;

/* -EINVAL with a text that names the element: "Statement[2].Condition.IpAddress: ...". */
int policy_parse(const char *text, size_t length, struct policy **ret_policy, struct err *err);
void policy_free(struct policy *policy); /* NULL is fine */

enum policy_verdict {
    POLICY_ALLOWED,
    POLICY_DENIED,  /* by a statement */
    POLICY_UNNAMED, /* no statement allows it */
};

/* A Deny that matches wins, of whatever policy. */
enum policy_verdict policy_evaluate(const struct policy *const *policies, unsigned count,
                                    const struct policy_question *question);

/* Does any verdict depend on tags? Else nobody need look for them. */
bool policy_asks_tags(const struct policy *const *policies, unsigned count);

/* Does any Allow name the action, for whatever resource and condition, and no Deny take it away for
 * all resources without a condition? */
bool policy_names_action(const struct policy *const *policies, unsigned count, const char *action);

/* May the action be allowed on a resource, whichever it is and whatever its tags? False: on none,
 * from this address at this time. The question's resource and tags are not asked. */
bool policy_may_allow(const struct policy *const *policies, unsigned count,
                      const struct policy_question *question);

#endif
