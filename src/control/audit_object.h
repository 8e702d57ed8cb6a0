/* SPDX-License-Identifier: Apache-2.0 */
/* What a call was about, for its line in the record of events. */
#ifndef CONTROL_AUDIT_OBJECT_H
#define CONTROL_AUDIT_OBJECT_H

#include <jansson.h>
#include <stddef.h>

#include "control/operation.h"

/* The first that the call names by a parameter of the operation, or that it made: a text of `texts`
 * or `body`, "" when there is none. What the operation does not take is passed over, whatever the
 * caller calls it. `operation` NULL: there is no such operation, any name counts. */
const char *audit_object_of(const struct operation *operation, const json_t *texts,
                            const json_t *body);

/* What else a call that was done is about: further items of a list, a key's user, the policy beside
 * its user; "": nothing. */
void audit_object_others(const struct operation *operation, const json_t *texts, const json_t *body,
                         char *ret_text, size_t size);

#endif
