/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compares what the data wing says with what it said before, and records what changed: roles,
 * troubles, a full journal or disk, a fenced store, a recovery point that is overdue. On the
 * control loop.
 */
#ifndef CONTROL_NOTICE_H
#define CONTROL_NOTICE_H

#include "control/site.h"

struct notice;

struct notice *notice_new(void);
void notice_free(struct notice *notice); /* NULL is fine */

/* Looks at site->snapshot. The first look records nothing but troubles. */
void notice_look(struct notice *notice, struct site *site);

#endif
