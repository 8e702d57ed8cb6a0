/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: a disk is made empty piece by piece, each as a write of replication, so that what keeps
 * an older state of it (a layer) keeps it here as well, and nobody takes it for a host's. Who asks
 * says where to go on: nothing of it is remembered here, and between two pieces the disk may go, or
 * the daemon stop.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "replication/claims.h"

/* Where the store must write them, a piece is under way for no longer than a large write. */
static const uint64_t PIECE_BYTES = 32 << 20;

struct wipe {
    struct base_write write;
    struct volume *volume;
    uint64_t next;
    engine_wiped_fn done_cb;
    void *arg;
};

static void finish(struct wipe *wipe, int error, bool is_whole)
{
    wipe->done_cb(wipe->arg, error, error < 0 ? err_name(error) : "", wipe->next, is_whole);
    free(wipe);
}

static void synced(struct base_write *write, int error)
{
    finish(container_of(write, struct wipe, write), error, true);
}

static void zeroed(struct base_write *write, int error)
{
    struct wipe *wipe = container_of(write, struct wipe, write);

    if (error == 0 && wipe->next == volume_size_bytes(wipe->volume))
        volume_base_sync(wipe->volume, write, synced);
    else
        finish(wipe, error, false);
}

void engine_disk_wipe(struct engine *engine, const char *id, uint64_t offset,
                      engine_wiped_fn done_cb, void *arg)
{
    struct site_disk *disk = engine_find_disk(engine, id);
    struct wipe *wipe = calloc(1, sizeof(*wipe));
    bool is_taken = disk && (disk->stream || claims_of_disk(engine, id));
    uint64_t size_bytes, length;

    if (!wipe || !disk || is_taken) {
        free(wipe);
        done_cb(arg,
                !disk      ? -ENOENT
                : is_taken ? -EBUSY
                           : -ENOMEM,
                !disk      ? "the disk is not open"
                : is_taken ? "the disk is in a stream"
                           : "no memory",
                offset, false);
        return;
    }
    size_bytes = volume_size_bytes(disk->volume);
    check(offset < size_bytes && offset % BLOCK_SIZE == 0);
    length = size_bytes - offset < PIECE_BYTES ? size_bytes - offset : PIECE_BYTES;
    *wipe = (struct wipe){
        .volume = disk->volume, .next = offset + length, .done_cb = done_cb, .arg = arg};
    wipe->write = (struct base_write){.kind = BASE_WRITE_HOLE,
                                      .block = offset >> BLOCK_SHIFT,
                                      .count = length >> BLOCK_SHIFT,
                                      .done_cb = zeroed};
    volume_base_write(disk->volume, &wipe->write);
}
