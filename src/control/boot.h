/* SPDX-License-Identifier: Apache-2.0 */
/* Brings the data wing to where the records say it was, after a start of the daemon. */
#ifndef CONTROL_BOOT_H
#define CONTROL_BOOT_H

#include "control/site.h"

struct boot;

/* Opens disks, then streams, then lets hosts in, finishes what a crash cut off, starts the links;
 * then done_cb. What cannot be opened is logged and left out. */
void boot_start(struct site *site, void (*done_cb)(void *arg), void *arg);

#endif
