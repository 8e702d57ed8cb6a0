/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What hosts did with each disk, every five seconds, for three days: one ring file a disk,
 * FOLDER/<id>.ring, written without syncs (docs/monitor.md). A moment without a sample (daemon
 * down or busy) is a gap, never a zero. A file that is damaged is begun anew, with an event; a
 * damaged slot is a gap. On the control loop; blocks on small writes to the page cache.
 */
#ifndef CONTROL_MONITOR_H
#define CONTROL_MONITOR_H

#include "control/site.h"

enum {
    MONITOR_PERIOD_S = 5,
    MONITOR_SLOTS = 3 * 86400 / MONITOR_PERIOD_S,
    MONITOR_READ_MAX = 400 * 12, /* slots at a time */
};

struct monitor;

/* What happened in the `elapsed_ms` up to `stamp` * 5 seconds since 1970. */
struct monitor_slot {
    uint32_t stamp; /* 0: gap */
    uint32_t elapsed_ms;
    uint64_t reads, writes, read_bytes, write_bytes, read_us, write_us;
};

struct monitor *monitor_new(const char *folder);
void monitor_free(struct monitor *monitor); /* NULL is fine */

/* From site->snapshot, at a multiple of five seconds. Files of disks that are gone go. */
void monitor_sample(struct monitor *monitor, struct site *site);

/* The slots of stamps `first` ... `first + count - 1`, gaps with stamp 0. */
int monitor_read(struct monitor *monitor, struct site *site, const char *disk, uint32_t first,
                 unsigned count, struct monitor_slot *ret_slots, struct err *err);

#endif
