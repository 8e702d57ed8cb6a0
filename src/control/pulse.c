/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: what nobody asks for must be looked at all the same. The beats stand on multiples of five
 * seconds of the wall clock, so that the samples of all disks, before and after a restart, have
 * the same moments.
 */
#include "control/pulse.h"

#include <stdlib.h>

#include "base/check.h"
#include "control/audit.h"
#include "control/monitor.h"
#include "control/notice.h"
#include "control/size_watch.h"

#define PERIOD_NS (PULSE_PERIOD_S * UINT64_C(1000000000))

enum { PULSE_MAGIC = 0x70756c73 };

struct pulse {
    uint32_t magic;
    struct site *site;
    struct notice *notice;
    struct data_request status;
    bool is_asking;
    struct loop_timer timer;
};

static void beat(struct loop_timer *timer);

void pulse_init(struct site *site, const struct site_options *options)
{
    struct pulse *pulse;

    audit_init(site, options->events, options->audit_reads_max, options->audit_refused_max);
    if (options->monitor_folder)
        site->monitor = monitor_new(options->monitor_folder);
    if (!audit_store(site) && !site->monitor)
        return;
    pulse = calloc(1, sizeof(*pulse));
    check(pulse);
    pulse->magic = PULSE_MAGIC;
    pulse->site = site;
    pulse->notice = notice_new();
    pulse->timer.fired_cb = beat;
    site->pulse = pulse;
}

void pulse_fini(struct site *site)
{
    struct pulse *pulse = site->pulse;

    if (pulse) {
        check_magic(pulse, PULSE_MAGIC);
        check(!pulse->is_asking);
        loop_timer_cancel(site->loop, &pulse->timer);
        notice_free(pulse->notice);
        pulse->magic = 0;
        free(pulse);
    }
    site->pulse = NULL;
    monitor_free(site->monitor);
    audit_fini(site);
}

static void arm(struct pulse *pulse)
{
    struct loop *loop = pulse->site->loop;
    uint64_t wall_ns = loop_wall_ns(loop);

    loop_timer_set(loop, &pulse->timer, loop_now_ns(loop) + PERIOD_NS - wall_ns % PERIOD_NS);
}

static void looked(struct data_request *request)
{
    struct pulse *pulse = container_of(request, struct pulse, status);
    struct site *site = pulse->site;

    check_magic(pulse, PULSE_MAGIC);
    site_done(site);
    pulse->is_asking = false;
    site_take_snapshot(site, request);
    if (site->is_stopping)
        return;
    notice_look(pulse->notice, site);
    size_watch_again(site);
    if (site->monitor)
        monitor_sample(site->monitor, site);
}

static void beat(struct loop_timer *timer)
{
    struct pulse *pulse = container_of(timer, struct pulse, timer);

    check_magic(pulse, PULSE_MAGIC);
    arm(pulse);
    if (pulse->is_asking || pulse->site->is_stopping)
        return; /* the data wing is busy: this moment is a gap */
    pulse->is_asking = true;
    pulse->status = (struct data_request){.op = DATA_STATUS};
    site_submit(pulse->site, &pulse->status, looked);
}

void pulse_start(struct site *site)
{
    if (site->pulse)
        arm(site->pulse);
}

void pulse_stop(struct site *site)
{
    if (site->pulse)
        loop_timer_cancel(site->loop, &site->pulse->timer);
}

void pulse_look(struct site *site)
{
    size_watch_again(site);
    if (site->pulse && site->is_ready && !site->is_stopping)
        notice_look(site->pulse->notice, site);
}

void pulse_grown(struct site *site, const char *disk, uint64_t bytes)
{
    size_watch_grown(site, disk, bytes);
}

void pulse_tell_link(struct site *site, const char *peer, bool is_up, const char *why)
{
    if (is_up)
        audit_event(site, "link", EVENT_INFO, peer, "up");
    else
        audit_event(site, "link", EVENT_WARNING, peer, "down: %.200s", why);
}

void pulse_tell_found(struct site *site, const char *id, bool is_lost, const char *why)
{
    /* A stream that a record knows was told when it was left out. */
    if (is_lost || !site_trouble(site, id)[0])
        audit_event(site, is_lost ? "lost" : "left_out", EVENT_CRITICAL, id, "%s", why);
}
