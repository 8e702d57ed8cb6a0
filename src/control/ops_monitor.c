/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: DescribeDiskMonitorData (contract 11.1): what hosts did with a disk. A point at T tells of
 * the period that ends at T; a period without a sample has no point.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "control/monitor.h"
#include "control/operations.h"
#include "control/tree.h"
#include "control/utc.h"

enum { POINTS_MAX = 400, KEPT_S = MONITOR_SLOTS * MONITOR_PERIOD_S };

struct span {
    int64_t start_s, end_s, period_s;
};

/* False: answered. */
static bool take_span(struct call *call, struct span *span)
{
    int64_t now_s = site_now_s(call->site);

    span->period_s = call_int(call, "Period");
    if (span->period_s != 5 && span->period_s != 60)
        call_fail_name(call, API_INVALID_PARAMETER, "Period", "It is 5 or 60.");
    else if (!utc_parse(call_text(call, "StartTime"), &span->start_s))
        call_fail_name(call, API_INVALID_PARAMETER, "StartTime", NULL);
    else if (!utc_parse(call_text(call, "EndTime"), &span->end_s))
        call_fail_name(call, API_INVALID_PARAMETER, "EndTime", NULL);
    else if (span->start_s < now_s - KEPT_S)
        call_fail_name(call, API_INVALID_PARAMETER, "StartTime", "It is more than 3 days ago.");
    else if (span->end_s <= span->start_s)
        call_fail_name(call, API_INVALID_PARAMETER, "EndTime", "It is not after StartTime.");
    else if ((span->end_s - span->start_s) / span->period_s > POINTS_MAX)
        call_fail_name(call, API_INVALID_PARAMETER, "EndTime", "That is more than %d periods.",
                       POINTS_MAX);
    else
        return true;
    return false;
}

static int64_t rate(uint64_t count, uint64_t elapsed_ms, uint64_t unit)
{
    return (int64_t)(((double)count * 1000 / (double)elapsed_ms) / (double)unit + 0.5);
}

static int64_t average(uint64_t sum, uint64_t count)
{
    return count > 0 ? (int64_t)(sum / count) : 0;
}

static json_t *show_point(const char *disk, int64_t at_s, const struct monitor_slot *sum)
{
    json_t *tree = json_object();
    char time[UTC_SIZE];

    check(tree);
    utc_format(at_s, time);
    tree_set_text(tree, "DiskId", disk);
    tree_set_text(tree, "Timestamp", time);
    tree_set_int(tree, "ReadBPS", rate(sum->read_bytes, sum->elapsed_ms, 1000000));
    tree_set_int(tree, "WriteBPS", rate(sum->write_bytes, sum->elapsed_ms, 1000000));
    tree_set_int(tree, "ReadIOPS", rate(sum->reads, sum->elapsed_ms, 1));
    tree_set_int(tree, "WriteIOPS", rate(sum->writes, sum->elapsed_ms, 1));
    /* Of limits that a disk here does not have. */
    tree_set_int(tree, "IOPSPercent", 0);
    tree_set_int(tree, "BPSPercent", 0);
    tree_set_int(tree, "BurstIOCount", 0);
    tree_set_int(tree, "ReadBlockSize", average(sum->read_bytes, sum->reads));
    tree_set_int(tree, "WriteBlockSize", average(sum->write_bytes, sum->writes));
    tree_set_int(tree, "ReadLatency", average(sum->read_us, sum->reads));
    tree_set_int(tree, "WriteLatency", average(sum->write_us, sum->writes));
    tree_set_int(tree, "ReadBytesPerSecond", rate(sum->read_bytes, sum->elapsed_ms, 1));
    tree_set_int(tree, "WriteBytesPerSecond", rate(sum->write_bytes, sum->elapsed_ms, 1));
    return tree;
}

static void add(struct monitor_slot *sum, const struct monitor_slot *slot)
{
    if (slot->stamp == 0)
        return;
    sum->stamp = slot->stamp;
    sum->elapsed_ms += slot->elapsed_ms;
    sum->reads += slot->reads;
    sum->writes += slot->writes;
    sum->read_bytes += slot->read_bytes;
    sum->write_bytes += slot->write_bytes;
    sum->read_us += slot->read_us;
    sum->write_us += slot->write_us;
}

/* The points at multiples of the period in (start, end]. */
static json_t *make_points(const char *disk, int64_t first_s, unsigned point_count,
                           int64_t period_s, const struct monitor_slot *slots)
{
    unsigned slots_each = (unsigned)(period_s / MONITOR_PERIOD_S);
    json_t *points = json_array();

    check(points);
    for (unsigned i = 0; i < point_count; i++) {
        struct monitor_slot sum = {0};

        for (unsigned k = 0; k < slots_each; k++)
            add(&sum, &slots[i * slots_each + k]);
        if (sum.stamp > 0)
            check(json_array_append_new(
                      points, show_point(disk, first_s + (int64_t)i * period_s, &sum)) == 0);
    }
    return points;
}

static void answer(struct call *call, const char *disk, const struct span *span)
{
    int64_t period_s = span->period_s;
    int64_t first_s = (span->start_s / period_s + 1) * period_s;
    int64_t now_s = site_now_s(call->site); /* a period that is not over has no point */
    int64_t last_s = (span->end_s < now_s ? span->end_s : now_s) / period_s * period_s;
    unsigned point_count = last_s >= first_s ? (unsigned)((last_s - first_s) / period_s + 1) : 0;
    unsigned slot_count = point_count * (unsigned)(period_s / MONITOR_PERIOD_S);
    struct monitor_slot *slots = calloc(slot_count + 1, sizeof(*slots));
    struct err err = {0};
    json_t *reply;

    check(slots);
    if (call->site->monitor && slot_count > 0 &&
        monitor_read(call->site->monitor, call->site, disk,
                     (uint32_t)((first_s - period_s) / MONITOR_PERIOD_S + 1), slot_count, slots,
                     &err) < 0) {
        free(slots);
        call_fail_internal(call, err.text);
        return;
    }
    reply = json_object();
    check(reply);
    tree_set(reply, "MonitorData", make_points(disk, first_s, point_count, period_s, slots));
    tree_set_int(reply, "TotalCount",
                 (int64_t)json_array_size(json_object_get(reply, "MonitorData")));
    free(slots);
    call_reply(call, reply);
}

void ops_show_monitor(struct call *call)
{
    const char *disk = call_text(call, "DiskId");
    struct disk_record record;
    struct span span;
    int result;

    if (!take_span(call, &span))
        return;
    result = meta_get(call->site->meta, RECORD_DISK, disk, &record);
    if (result == -ENOENT)
        call_fail(call, API_NO_SUCH_RESOURCE, "Disk %.60s is not known at site %s.", disk,
                  call->site->name);
    else if (result < 0)
        call_fail_internal(call, "metadata");
    else
        answer(call, disk, &span);
}
