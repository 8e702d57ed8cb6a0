/* SPDX-License-Identifier: Apache-2.0 */
/* Opening the stream of a pair or group in the data wing: new at its first start, or again. */
#ifndef CONTROL_OPENING_H
#define CONTROL_OPENING_H

#include "control/relation.h"

/* Opens the stream of `id` unless it is. `create`: its files are made if they are not there. The
 * record's opened_serial says so durably before the data wing is asked. done_cb once, perhaps from
 * inside; error: negative errno with why. */
void opening_start(struct site *site, const char *id, bool create,
                   void (*done_cb)(void *arg, int error, const char *why), void *arg);

#endif
