/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Movers. One moves one extent at a time; as many as there are run side by side, and the range lock
 * of the volume keeps them apart from hosts and from each other.
 */
#include "replication/replica_move.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

#define RETRY_NS (10ull * 1000 * 1000 * 1000)

uint64_t replica_move_max(const struct replica *replica, const struct journal_extent *extent)
{
    return extent->is_hole ? replica->pieces.hole_blocks : replica->pieces.move_blocks;
}

struct replica_mover *replica_mover_free(struct replica *replica)
{
    for (unsigned i = 0; i < REPLICA_DEPTH; i++)
        if (!replica->movers[i].is_busy)
            return &replica->movers[i];
    return NULL;
}

static void end(struct replica_mover *mover, int error)
{
    struct replica *replica = mover->replica;

    check_magic(replica, REPLICA_MAGIC);
    check(mover->is_busy && replica->moving > 0);
    free(mover->bytes);
    mover->bytes = NULL;
    mover->is_busy = false;
    replica->moving--;
    mover->done_cb(mover, error);
    replica_kick(replica);
}

static void written(struct base_write *write, int error)
{
    end(container_of(write, struct replica_mover, base_write), error);
}

static bool locked(struct base_write *write)
{
    struct replica_mover *mover = container_of(write, struct replica_mover, base_write);

    return mover->locked_cb == NULL || mover->locked_cb(mover);
}

static void write_base(struct replica_mover *mover)
{
    struct replica_disk *disk = &mover->replica->disks[mover->extent.disk];

    disk->is_touched = true;
    mover->base_write = (struct base_write){
        .kind = mover->extent.is_hole ? BASE_WRITE_HOLE : BASE_WRITE_DATA,
        .block = mover->extent.block,
        .count = mover->extent.count,
        .bytes = mover->bytes,
        .locked_cb = locked,
        .done_cb = written,
    };
    volume_base_write(disk->volume, &mover->base_write);
}

static void read(struct journal_op *op, int error)
{
    struct replica_mover *mover = container_of(op, struct replica_mover, journal_op);

    if (error != 0)
        end(mover, error);
    else
        write_base(mover);
}

void replica_mover_start(struct replica_mover *mover, const struct journal_extent *extent,
                         bool (*locked_cb)(struct replica_mover *mover),
                         void (*done_cb)(struct replica_mover *mover, int error))
{
    struct replica *replica = mover->replica;

    check_magic(replica, REPLICA_MAGIC);
    check(!mover->is_busy && extent->count <= replica_move_max(replica, extent));
    check(extent->disk < replica->disk_count);
    mover->extent = *extent;
    mover->locked_cb = locked_cb;
    mover->done_cb = done_cb;
    mover->is_busy = true;
    replica->moving++;
    if (extent->is_hole) {
        write_base(mover);
        return;
    }
    mover->bytes = malloc((size_t)extent->count * BLOCK_SIZE);
    if (mover->bytes == NULL)
        end(mover, -ENOMEM);
    else
        journal_read(replica->journal, &mover->journal_op, extent, mover->bytes, read);
}

static void synced(struct base_write *write, int error)
{
    struct replica_disk *disk = container_of(write, struct replica_disk, sync);
    struct replica *replica = disk->replica;

    check_magic(replica, REPLICA_MAGIC);
    check(replica->syncing > 0);
    replica->syncing--;
    if (error != 0) {
        disk->is_touched = true;
        replica->work_error = error;
    }
    replica_kick(replica);
}

void replica_sync_bases(struct replica *replica)
{
    check(replica->syncing == 0 && replica->moving == 0);
    for (unsigned i = 0; i < replica->disk_count; i++) {
        struct replica_disk *disk = &replica->disks[i];

        if (!disk->is_touched)
            continue;
        disk->is_touched = false;
        replica->syncing++;
        volume_base_sync(disk->volume, &disk->sync, synced);
    }
    replica_kick(replica);
}

static void saved(struct state_save *save, int error)
{
    struct replica *replica = container_of(save, struct replica, save);

    check_magic(replica, REPLICA_MAGIC);
    replica->is_saving = false;
    replica->is_unsavable = replica->is_unsavable || error != 0;
    if (error != 0)
        replica->work_error = error;
    replica_kick(replica);
}

void replica_save_state(struct replica *replica)
{
    check(!replica->is_saving);
    replica->is_saving = true;
    state_file_save(replica->state_file, &replica->save, saved);
}

void replica_fail_work(struct replica *replica, const char *what)
{
    const char *next = "it is tried again; check the storage of this site";

    check(replica->work_error != 0);
    if (replica->is_unsavable)
        next = "its state cannot be stored: check the storage of the data folder, then restart the "
               "daemon";
    else if (replica->work_error == -EBADMSG)
        next = "the journal is damaged (the log names the place); repair its storage";
    snprintf(replica->trouble, sizeof(replica->trouble), "%s stopped: %s; %s", what,
             err_name(replica->work_error), next);
    replica->work_error = 0;
    replica->retry_ns = loop_now_ns(replica->loop) + RETRY_NS;
    replica->changed_cb(replica->arg);
}
