/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a volume's tracking, for the units of this folder. */
#ifndef VOLUME_TRACKING_STATE_H
#define VOLUME_TRACKING_STATE_H

#include "volume/tracking_options.h"
#include "volume/volume_state.h"

enum { TRACKING_MAGIC = 0x7472636b };

struct region {
    uint64_t sync_number; /* of the newest sync begun when a write here ended */
    uint32_t writers;     /* writes under way */
    uint32_t written_s;   /* loop time of the end of the newest write */
};

struct tracking {
    uint32_t magic;
    struct volume *volume;
    struct tracking_options options;
    struct blockset *sets[TRACKING_SET_COUNT];
    uint64_t cut_count, merge_count;

    /* Intent (intent_log.c). */
    uint64_t region_count;
    struct region *regions;
    uint64_t first_sync_number; /* of the newest sync begun when tracking began */
    struct list intent_waiting;
    struct list intent_saving;
    struct bitfile_save save;
    bool is_saving;
    bool is_sweep_armed;
    bool is_sweeping;
    struct loop_timer sweep_timer;
    struct loop_task sweep_task;
    uint64_t sweep_at;       /* the region at which the pass goes on */
    unsigned sweep_needs[4]; /* of the regions behind it, by enum need */
    bool is_sweep_synced;    /* the pass behind the sync */
    struct flush_waiter sweep_flush;
    struct bitfile_save sweep_save;

    /* Writes whose dirty mark found no memory (write_path.c). */
    struct list starved;
    struct loop_timer starved_timer;
};

static inline struct blockset *tracking_frozen(const struct tracking *tracking)
{
    return tracking->sets[TRACKING_FROZEN];
}

/* Marks blocks open, and tells when open was empty. -ENOMEM: perhaps not all are marked. */
int tracking_mark_open(struct tracking *tracking, uint64_t block, uint64_t count);

#endif
