/* SPDX-License-Identifier: Apache-2.0 */
/* What tracking is made with, and the names of its sets (volume/tracking.h explains them). */
#ifndef VOLUME_TRACKING_OPTIONS_H
#define VOLUME_TRACKING_OPTIONS_H

#include "store/bitfile.h"
#include "volume/stash.h"

enum { REGION_SHIFT = 10, REGION_BLOCKS = 1024 }; /* blocks in a region of the intent log: 4 MiB */

struct tracking_options {
    struct bitfile *intent; /* one bit a region; stays the caller's, outlives the tracking */
    struct stash *stash;    /* shared by the stream's volumes; stays the caller's */
    unsigned stash_index;   /* this volume's number in the stash */
    /* The stash is full: the caller must, before it returns, call tracking_merge() on every volume
     * of the stream (the epoch is aborted into the open one). */
    void (*stash_full_cb)(void *arg);
    /* The open set went from empty to not empty (so a cut is worth while). May be NULL. */
    void (*dirtied_cb)(void *arg);
    void *arg;
};

enum tracking_set {
    TRACKING_OPEN,
    TRACKING_FROZEN,
    TRACKING_UNACKED,
    TRACKING_SUSPECT,
    TRACKING_SETTLED,
    TRACKING_SET_COUNT
};

#endif
