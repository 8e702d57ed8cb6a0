/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A page of the peer's that is asked for by its number. Where its entries do not fit into one
 * answer over the link it ends early and has a token (page.h), with which the rest of it is
 * fetched: who asks by numbers gets whole pages.
 */
#ifndef CONTROL_PARTS_H
#define CONTROL_PARTS_H

#include <jansson.h>
#include <stdbool.h>

/* Do these texts of a call ask for a page by its number? */
bool parts_may_come(const json_t *texts);
/* Adds the peer's answer to `*whole` (NULL before the first). The texts that ask for what is
 * missing, the caller's; NULL: nothing is, or it does not look like a page. */
json_t *parts_take(json_t **whole, json_t *body, const json_t *texts);

#endif
