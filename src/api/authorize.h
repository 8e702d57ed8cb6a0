/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a call asks to be allowed: operation and parameters become an action, resources (contract
 * 4.3) and a context, and the caller's policies are asked. Local root and keys of root are allowed
 * everything.
 *
 * Who may not see a resource is not told whether it is there: he gets 403 either way. For that the
 * tags of what is not there are unknown: an Allow that asks for a tag does not hold, a Deny does.
 */
#ifndef API_AUTHORIZE_H
#define API_AUTHORIZE_H

#include "control/call.h"

/* API_OK; API_FORBIDDEN: not on this resource, or not under this condition; API_FORBIDDEN_ACTION:
 * nothing allows him the operation at all. `call` has operation, parameters and caller; for lists
 * it gets its may_see_cb. */
enum api_error authorize_call(struct site *site, struct call *call);
/* Behind API_FORBIDDEN and API_FORBIDDEN_ACTION: the AccessDeniedDetail of the reply
 * (contract 3.7), the caller's; NULL: the caller is nobody whom we know. */
json_t *authorize_detail(struct site *site, const struct call *call);

/* The same of a call whose parameters are wrong (`call` has them as texts), as far as it can be
 * told: who may not ask at all, or not about the resource that he names, does not learn what is
 * wrong. */
enum api_error authorize_malformed(struct site *site, struct call *call);

/* Is it said which resources the operation touches? For the test; one that is not is root's. */
bool authorize_has_row(const struct operation *operation);

#endif
