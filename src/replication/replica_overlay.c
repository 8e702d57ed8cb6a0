/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The overlay: the journal's newest view over each volume's base, and what hosts do to it.
 *
 *   O1  a run that lookup() names lies in one record, so the read that follows in the same turn is
 *       one read of the journal and cannot be overtaken in its middle;
 *   O2  replaced() makes the block volatile-superseded before it leaves the newest view and before
 *       the host is answered; flushed() makes durable what was replaced before that sync (R10).
 */
#include "replication/replica_overlay.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"

struct reading { /* in overlay_read.private */
    struct replica *replica;
    struct journal_op journal_op;
};

static struct replica_disk *disk_of(void *arg)
{
    struct replica_disk *disk = arg;

    check(disk != NULL);
    check_magic(disk->replica, REPLICA_MAGIC);
    return disk;
}

static bool lookup(void *arg, uint64_t block, uint64_t count, uint64_t *ret_count)
{
    struct replica_disk *disk = disk_of(arg);
    struct journal_extent extent;
    bool is_there = journal_lookup(disk->replica->journal, disk->index, block, count, &extent);

    *ret_count = extent.count;
    return is_there;
}

static bool is_hole(void *arg, uint64_t block, uint64_t count)
{
    struct replica_disk *disk = disk_of(arg);
    struct journal_extent extent;

    for (; count > 0; block += extent.count, count -= extent.count)
        if (!journal_lookup(disk->replica->journal, disk->index, block, count, &extent) ||
            !extent.is_hole)
            return false;
    return true;
}

static void read_ended(struct overlay_read *read, int error)
{
    struct reading *reading = (struct reading *)(void *)read->private;
    struct replica *replica = reading->replica;

    check_magic(replica, REPLICA_MAGIC);
    check(replica->reads > 0);
    replica->reads--;
    if (replica->reads == 0)
        replica_kick(replica); /* the end of the drain, or of the replica, may wait for it */
    read->done_cb(read, error);
}

static void read_done(struct journal_op *op, int error)
{
    struct reading *reading = container_of(op, struct reading, journal_op);
    struct overlay_read *read = container_of((void *)reading, struct overlay_read, private);

    read_ended(read, error); /* -EBADMSG: the journal is damaged; a host hears of an I/O error */
}

/* Zeros are told from the task that tells what is done: never from inside. */
static void read_zeros(struct overlay_read *read, uint64_t count, uint8_t *bytes)
{
    struct reading *reading = (struct reading *)(void *)read->private;

    memset(bytes, 0, (size_t)count * BLOCK_SIZE);
    list_append(&reading->replica->zeros, &read->node);
    replica_kick(reading->replica);
}

static void read(void *arg, struct overlay_read *read, uint64_t block, uint64_t count,
                 uint8_t *bytes, void (*done_cb)(struct overlay_read *read, int error))
{
    struct replica_disk *disk = disk_of(arg);
    struct reading *reading = (struct reading *)(void *)read->private;
    struct journal_extent extent;
    bool is_there = journal_lookup(disk->replica->journal, disk->index, block, count, &extent);

    _Static_assert(sizeof(*reading) <= sizeof(read->private), "fits");
    check(is_there && extent.count == count); /* O1 */
    read->done_cb = done_cb;
    reading->replica = disk->replica;
    disk->replica->reads++;
    if (extent.is_hole)
        read_zeros(read, count, bytes);
    else
        journal_read(disk->replica->journal, &reading->journal_op, &extent, bytes, read_done);
}

static void replaced(void *arg, uint64_t block, uint64_t count)
{
    struct replica_disk *disk = disk_of(arg);
    struct replica *replica = disk->replica;
    struct journal_extent extent;

    for (; count > 0; block += extent.count, count -= extent.count) {
        if (!journal_lookup(replica->journal, disk->index, block, count, &extent))
            continue;
        check(replica->superseded != NULL); /* hosts write only once it is promoted */
        superseded_mark(replica->superseded, disk->index, block, extent.count);
        journal_supersede(replica->journal, disk->index, block, extent.count);
    }
}

static void flushing(void *arg)
{
    struct replica_disk *disk = disk_of(arg);

    if (disk->replica->superseded != NULL)
        superseded_flushing(disk->replica->superseded, disk->index);
}

static void recorded(struct bitfile_save *save, int error)
{
    struct replica_disk *disk = container_of(save, struct replica_disk, save);
    struct overlay_read *op = disk->flushed;

    check_magic(disk->replica, REPLICA_MAGIC);
    check(op != NULL);
    disk->flushed = NULL;
    replica_kick(disk->replica);
    op->done_cb(op, error);
}

static void flushed(void *arg, struct overlay_read *op,
                    void (*done_cb)(struct overlay_read *op, int error))
{
    struct replica_disk *disk = disk_of(arg);

    check(disk->flushed == NULL);
    op->done_cb = done_cb;
    disk->flushed = op;
    if (disk->replica->superseded != NULL &&
        superseded_record(disk->replica->superseded, disk->index, &disk->save, recorded))
        return;
    disk->flushed = NULL;
    done_cb(op, 0); /* nothing to record; the flush group's last act was to call us */
}

void replica_overlay_set(struct replica *replica, bool is_on)
{
    static const struct overlay_ops ops = {
        .lookup = lookup,
        .is_hole = is_hole,
        .read = read,
        .replaced = replaced,
        .flushing = flushing,
        .flushed = flushed,
    };

    for (unsigned i = 0; i < replica->disk_count; i++)
        volume_set_overlay(replica->disks[i].volume, is_on ? &ops : NULL,
                           is_on ? &replica->disks[i] : NULL);
}
