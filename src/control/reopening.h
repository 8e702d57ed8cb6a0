/* SPDX-License-Identifier: Apache-2.0 */
/* Disks that a start closed for the sake of a stream, once that has ended. See reopening.c. */
#ifndef CONTROL_REOPENING_H
#define CONTROL_REOPENING_H

#include "control/site.h"

/* Of these disks (each followed by a space) those that are not open are opened, and given to the
 * hosts that have them attached; those that cannot be stay as they are, and say why. */
void reopening_begin(struct site *site, const char *disks);

#endif
