/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a volume as hosts see it: the overlay where it has the block, else the base. */
#ifndef VOLUME_VIEW_H
#define VOLUME_VIEW_H

#include "volume/volume_state.h"

/* Embedded in the requester; one at a time. */
struct view_read {
    struct store_op store_op;
    struct overlay_read overlay;
    struct iovec iov;
    struct volume *volume;
    uint64_t block, count; /* still to read */
    uint64_t run;          /* blocks in the read under way */
    uint8_t *bytes;
    void (*done_cb)(struct view_read *read, int error);
};

/* Reads whole blocks into `bytes`. Takes no lock: a block that changes meanwhile is read as before
 * or as after. */
void view_read(struct volume *volume, struct view_read *read, uint64_t block, uint64_t count,
               uint8_t *bytes, void (*done_cb)(struct view_read *read, int error));

/* Is one of these blocks in the overlay? */
bool view_has_overlay(const struct volume *volume, uint64_t block, uint64_t count);

#endif
