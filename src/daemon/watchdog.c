/* SPDX-License-Identifier: Apache-2.0 */
/* Four beats in the time that systemd gives: one that comes late does no harm. */
#include "daemon/watchdog.h"

#include <systemd/sd-daemon.h>

#include "base/check.h"

enum { BEATS = 4 };

static void beat(struct loop_timer *timer)
{
    struct watchdog *watchdog = container_of(timer, struct watchdog, timer);

    atomic_fetch_add(&watchdog->beats, 1);
    loop_timer_set(watchdog->loop, timer, loop_now_ns(watchdog->loop) + watchdog->pause_ns);
}

void watchdog_start(struct watchdog *watchdog, struct loop *loop)
{
    uint64_t usec = 0;

    watchdog->loop = loop;
    watchdog->timer.fired_cb = beat;
    if (sd_watchdog_enabled(0, &usec) <= 0)
        return;
    watchdog->pause_ns = usec * 1000 / BEATS;
    loop_timer_set(loop, &watchdog->timer, loop_now_ns(loop));
}

void watchdog_stop(struct watchdog *watchdog)
{
    if (watchdog->pause_ns > 0)
        loop_timer_cancel(watchdog->loop, &watchdog->timer);
}

void watchdog_tell(struct watchdog *watchdog)
{
    unsigned long beats = atomic_load(&watchdog->beats);

    if (beats != watchdog->seen)
        sd_notify(0, "WATCHDOG=1");
    watchdog->seen = beats;
}
