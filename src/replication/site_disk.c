/* SPDX-License-Identifier: Apache-2.0 */
/* See site_disk.h: a disk's store, volume and snapshots come and go together. */
#include "replication/site_disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "store/store.h"
#include "volume/volume.h"

static int open_store(struct loop *loop, const struct site_disk_options *options,
                      struct site_disk *disk, struct store **ret_store, struct err *err)
{
    bool is_default = options->path == NULL || options->path[0] == '\0';
    struct store_options store = {.driver = options->driver,
                                  .path = is_default ? disk->path : options->path,
                                  .name = options->id,
                                  .size_bytes = options->size_bytes,
                                  .create = options->create && is_default};

    if (is_default)
        snprintf(disk->path, sizeof(disk->path), "%s/disks/%s.raw", options->folder, options->id);
    return store_open(loop, &store, ret_store, err);
}

/* For good: a power loss does not bring it back. It may have gone before. *ret_is_gone, also with
 * an error: it has no name now. */
static int remove_file(struct loop *loop, const char *path, bool *ret_is_gone)
{
    char folder[PATH_MAX];
    int error = io_unlink(loop, path);

    *ret_is_gone = error == 0 || error == -ENOENT;
    if (!*ret_is_gone)
        return error;
    snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(path, '/') - path), path);
    return io_dir_sync(loop, folder);
}

int site_disk_open(struct loop *loop, const struct site_disk_options *options,
                   struct snapshots *snapshots, struct site_disk **ret_disk, struct err *err)
{
    struct site_disk *disk = calloc(1, sizeof(*disk));
    struct store *store = NULL;
    bool is_gone;

    if (disk == NULL)
        return err_set(err, -ENOMEM, "no memory for disk %s", options->id);
    list_init(&disk->node);
    snprintf(disk->id, sizeof(disk->id), "%s", options->id);
    disk->may_write = disk->told_may_write = true;
    int error = open_store(loop, options, disk, &store, err);
    bool is_made = error == 0 && options->create && disk->path[0] != '\0';

    if (error == 0) {
        error = volume_new(loop, store, disk->id, &disk->volume);
        if (error != 0) {
            store_close(store);
            err_set(err, error, "volume %s: %s", disk->id, err_name(error));
        }
    }
    if (error == 0) {
        error = snapshots_attach(snapshots, disk->id, disk->volume, err);
        if (error != 0)
            volume_free(disk->volume);
    }
    if (error != 0) {
        if (is_made && remove_file(loop, disk->path, &is_gone) != 0)
            error = err_set(err, -EUCLEAN, "disk %s could not be opened, and %s stays", disk->id,
                            disk->path);
        free(disk);
        return error;
    }
    *ret_disk = disk;
    return 0;
}

void site_disk_remove_snapshots(struct snapshots *snapshots, const char *disk)
{
    char id[40];

    while (snapshots_count(snapshots, disk) > 0) {
        snprintf(id, sizeof(id), "%s", layer_describe(snapshots_at(snapshots, disk, 0))->id);
        if (snapshots_remove(snapshots, id, NULL) != 0)
            return;
    }
}

int site_disk_close(struct loop *loop, struct site_disk *disk, struct snapshots *snapshots,
                    bool remove, struct err *err)
{
    bool is_gone = true;
    int error = 0;

    check(disk->stream == NULL);
    if (!volume_is_idle(disk->volume))
        return err_set(err, -EBUSY, "disk %s is in use", disk->id);
    /* A read that is in the layer now may go on in the disk. */
    if (snapshots_is_read(snapshots, disk->id))
        return err_set(err, -EBUSY, "a client reads a snapshot of disk %s", disk->id);
    if (remove)
        site_disk_remove_snapshots(snapshots, disk->id);
    if (remove && disk->path[0] != '\0')
        error = remove_file(loop, disk->path, &is_gone);
    if (error != 0)
        err_set(err, error, "%s: %s; delete it again", disk->path, err_name(error));
    if (!is_gone)
        return error;
    /* What hosts would write to a file without a name is gone with the daemon. */
    snapshots_detach(snapshots, disk->id);
    volume_free(disk->volume);
    list_remove(&disk->node);
    free(disk);
    return error;
}

bool site_disk_set(struct site_disk *disk, bool may_write, const char *why)
{
    if (may_write)
        why = "";
    if (disk->may_write == may_write && strncmp(disk->why, why, sizeof(disk->why) - 1) == 0)
        return disk->is_news;
    snprintf(disk->why, sizeof(disk->why), "%s", why);
    disk->may_write = may_write;
    disk->is_news = true;
    return true;
}

bool site_disk_is_exported(const struct site_disk *disk)
{
    return disk->told_may_write || disk->is_closing;
}
