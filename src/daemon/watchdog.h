/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells systemd that the data loop runs (WatchdogSec=). The loop only counts; the main thread looks
 * and tells, so the loop makes no system call for it. A loop that stands still counts no more.
 */
#ifndef DAEMON_WATCHDOG_H
#define DAEMON_WATCHDOG_H

#include <stdatomic.h>

#include "io/loop.h"

struct watchdog {
    struct loop *loop;
    struct loop_timer timer;
    uint64_t pause_ns; /* between beats and between looks; 0: nobody watches */
    atomic_ulong beats;
    unsigned long seen; /* the main thread's */
};

/* Before the loop runs. Reads WATCHDOG_USEC and WATCHDOG_PID. */
void watchdog_start(struct watchdog *watchdog, struct loop *loop);
void watchdog_stop(struct watchdog *watchdog); /* after the loop has ended */
/* On the main thread, every pause_ns. */
void watchdog_tell(struct watchdog *watchdog);

#endif
