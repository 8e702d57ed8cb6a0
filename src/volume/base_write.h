/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What replication needs of a volume at the target: an overlay (the journal's newest view, over
 * which the base shows through), writes to the base behind the hosts' back (apply, drain, first
 * copy), and layers that must keep what they show before the base is overwritten (R11).
 */
#ifndef VOLUME_BASE_WRITE_H
#define VOLUME_BASE_WRITE_H

#include "volume/overlay.h"
#include "volume/preserve.h"
#include "volume/request.h"

/* NULL ops take it away. The volume must be held and quiet, or idle. */
void volume_set_overlay(struct volume *volume, const struct overlay_ops *ops, void *arg);

void volume_set_preserve(struct volume *volume, const struct preserve_ops *ops, void *arg);

enum base_write_kind { BASE_WRITE_DATA, BASE_WRITE_HOLE };

/* A write to the base by replication: exclusive range lock, preserve, store. No tracking, no reply
 * to a host. Embedded in the requester. */
struct base_write {
    enum base_write_kind kind;
    uint64_t block, count;
    const uint8_t *bytes; /* DATA */
    /* Called once the range lock is held, before anything else; returns false to skip the write
     * (done_cb gets -ECANCELED): a drain asks here whether the block still lies in the journal.
     * NULL: go on. */
    bool (*locked_cb)(struct base_write *write);
    void (*done_cb)(struct base_write *write, int error);
    /* The volume's: */
    struct volume_request request;
    uint64_t private[16];
};

void volume_base_write(struct volume *volume, struct base_write *write);
/* Syncs the store; shares a sync with flushes that wait. */
void volume_base_sync(struct volume *volume, struct base_write *write,
                      void (*done_cb)(struct base_write *write, int error));

/* Reads whole blocks of the base alone (no overlay) under the shared range lock: a layer shows what
 * the base still has. */
struct base_read {
    void (*done_cb)(struct base_read *read, int error);
    struct volume_request request;
    struct iovec iov;
    /* Called under the lock; false skips the read with -ECANCELED (the block went into the layer in
     * the meantime: look again). NULL: go on. */
    bool (*locked_cb)(struct base_read *read);
};

void volume_base_read(struct volume *volume, struct base_read *read, uint64_t block, uint64_t count,
                      uint8_t *bytes, void (*done_cb)(struct base_read *read, int error));

#endif
