/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two memories of superseded journal blocks (see the header).
 *
 * superseded.volatile, in the host's byte order (it never outlives the running kernel): a page with
 *   0 8 magic "VERSOVOL"   8 4 version, 1   12 4 disks   16 64 boot id   80 8 x disks: blocks
 * and then for each disk its bits, from a multiple of 4096 on. Valid if and only if all of this is
 * what this process would write; else it is made anew, empty.
 *
 *   S1  a durable bit is set only for blocks marked before a base sync that ended well began;
 *   S2  a volatile bit is set before the host's reply, and never cleared;
 *   S3  once a record could not be stored no flush of that disk ends well before a restart.
 */
#include "replication/superseded.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "replication/spare.h"
#include "store/bitfile_format.h"

enum {
    SUPERSEDED_MAGIC = 0x73757072,
    VOLATILE_VERSION = 1,
    VOLATILE_HEAD_BYTES = 4096,
    VOLATILE_DISKS_MAX = 128,
};

struct volatile_head {
    char magic[8];
    uint32_t version, disk_count;
    char boot_id[64];
    uint64_t block_counts[VOLATILE_DISKS_MAX];
};

struct superseded_disk {
    struct bitfile *file; /* NULL: no block of it is in the journal */
    uint64_t block_count;
    uint64_t *bits;          /* in the mapping */
    struct blockset *marked; /* since the last sync began */
    struct blockset *synced; /* covered by the sync under way, or by one that failed */
};

struct superseded {
    uint32_t magic;
    struct loop *loop;
    uint8_t *map;
    uint64_t map_bytes;
    bool is_new; /* the mapping: no bit is set */
    unsigned disk_count;
    struct superseded_disk disks[VOLATILE_DISKS_MAX];
};

static uint64_t bits_bytes(uint64_t block_count)
{
    return (block_count / 8 + VOLATILE_HEAD_BYTES) / VOLATILE_HEAD_BYTES * VOLATILE_HEAD_BYTES;
}

static void path_volatile(const char *folder, char *ret_path)
{
    check(snprintf(ret_path, PATH_MAX, "%s/superseded.volatile", folder) < PATH_MAX);
}

static void path_durable(const char *folder, unsigned disk, char *ret_path)
{
    check(snprintf(ret_path, PATH_MAX, "%s/superseded-%u", folder, disk) < PATH_MAX);
}

int superseded_remove(struct loop *loop, const char *folder, unsigned disk_count, struct err *err)
{
    char path[PATH_MAX];
    int error;

    path_volatile(folder, path);
    error = io_unlink(loop, path);
    for (unsigned i = 0; i < disk_count && (error == 0 || error == -ENOENT); i++) {
        path_durable(folder, i, path);
        error = io_unlink(loop, path);
    }
    if (error != 0 && error != -ENOENT)
        return err_set(err, error, "%s: cannot remove it: %s", path, err_name(error));
    return 0;
}

static uint64_t volatile_bytes(const struct superseded_options *options)
{
    uint64_t bytes = VOLATILE_HEAD_BYTES;

    for (unsigned i = 0; i < options->disk_count; i++)
        bytes += bits_bytes(options->block_counts[i]);
    return bytes;
}

uint64_t superseded_spare_bytes(const struct superseded_options *options)
{
    uint64_t bytes = volatile_bytes(options);

    for (unsigned i = 0; i < options->disk_count; i++)
        bytes += bitfile_bytes(options->block_counts[i]);
    return bytes;
}

int superseded_make_spare(struct loop *loop, const struct superseded_options *options,
                          unsigned which, struct err *err)
{
    char path[PATH_MAX];

    check(which <= options->disk_count);
    if (which == options->disk_count) {
        path_volatile(options->folder, path);
        return spare_make(loop, path, volatile_bytes(options), err);
    }
    path_durable(options->folder, which, path);
    return spare_make_bitfile(loop, path, "SUPR", options->block_counts[which], err);
}

void superseded_remove_spares(struct loop *loop, const char *folder, unsigned disk_count)
{
    char path[PATH_MAX];

    path_volatile(folder, path);
    spare_remove(loop, path);
    for (unsigned i = 0; i < disk_count; i++) {
        path_durable(folder, i, path);
        spare_remove(loop, path);
    }
}

/* Nothing lies there but spares. */
static int take_spares(struct loop *loop, const struct superseded_options *options, struct err *err)
{
    char path[PATH_MAX];
    bool is_any;
    int error;

    path_volatile(options->folder, path);
    is_any = spare_take(loop, path, volatile_bytes(options));
    for (unsigned i = 0; i < options->disk_count; i++) {
        path_durable(options->folder, i, path);
        if (options->has_journal[i] &&
            spare_take_bitfile(loop, path, "SUPR", options->block_counts[i]))
            is_any = true;
    }
    error = is_any ? io_dir_sync(loop, options->folder) : 0;
    return error == 0 ? 0 : err_set(err, error, "sync %s: %s", options->folder, err_name(error));
}

static int open_durable(struct superseded *superseded, const struct superseded_options *options,
                        struct err *err)
{
    for (unsigned i = 0; i < options->disk_count; i++) {
        char path[PATH_MAX];
        int error;

        if (!options->has_journal[i])
            continue;
        path_durable(options->folder, i, path);
        if (!options->is_fresh && !bitfile_is_there(superseded->loop, path))
            return err_set(err, -ENOENT,
                           "%s is missing: what hosts wrote since the failover would "
                           "be hidden by older blocks",
                           path);
        error = bitfile_open(superseded->loop, path, "SUPR", options->block_counts[i],
                             &superseded->disks[i].file, err);
        if (error != 0)
            return error;
    }
    return 0;
}

static void fill_head(const struct superseded *superseded, struct volatile_head *ret_head)
{
    memset(ret_head, 0, sizeof(*ret_head));
    memcpy(ret_head->magic, "VERSOVOL", 8);
    ret_head->version = VOLATILE_VERSION;
    ret_head->disk_count = superseded->disk_count;
    snprintf(ret_head->boot_id, sizeof(ret_head->boot_id), "%s", loop_boot_id(superseded->loop));
    for (unsigned i = 0; i < superseded->disk_count; i++)
        ret_head->block_counts[i] = superseded->disks[i].block_count;
}

static int map(struct superseded *superseded, const char *path, struct err *err)
{
    void *at;
    int error = io_map_open(superseded->loop, path, superseded->map_bytes, &at, err);

    if (error == 0)
        superseded->map = at;
    return error;
}

/* Takes the mapping of this very kernel and layout, or an empty one. */
static int open_volatile(struct superseded *superseded, const struct superseded_options *options,
                         struct err *err)
{
    struct volatile_head head;
    uint64_t at = VOLATILE_HEAD_BYTES;
    char path[PATH_MAX];
    int error;

    _Static_assert(sizeof(struct volatile_head) <= VOLATILE_HEAD_BYTES, "fits");
    fill_head(superseded, &head);
    superseded->map_bytes = volatile_bytes(options);
    path_volatile(options->folder, path);
    error = map(superseded, path, err);
    if (error == 0 && options->is_fresh) { /* what lay there was removed */
        memcpy(superseded->map, &head, sizeof(head));
        superseded->is_new = true;
    }
    if (error == 0 && memcmp(superseded->map, &head, sizeof(head)) != 0) {
        io_map_close(superseded->loop, superseded->map, superseded->map_bytes);
        superseded->map = NULL;
        error = io_unlink(superseded->loop, path);
        if (error != 0)
            return err_set(err, error, "%s: cannot remove it: %s", path, err_name(error));
        error = map(superseded, path, err);
        if (error == 0)
            memcpy(superseded->map, &head, sizeof(head));
        superseded->is_new = true;
    }
    for (unsigned i = 0; i < superseded->disk_count && error == 0; i++) {
        superseded->disks[i].bits = (uint64_t *)(void *)(superseded->map + at);
        at += bits_bytes(superseded->disks[i].block_count);
    }
    return error;
}

/* Volatile bits that count have yet to be recorded. */
static int mark_unrecorded(struct superseded_disk *disk)
{
    for (uint64_t word = 0; word * 64 < disk->block_count; word++) {
        if (disk->bits[word] == 0)
            continue;
        for (uint64_t bit = 0; bit < 64 && word * 64 + bit < disk->block_count; bit++) {
            uint64_t block = word * 64 + bit;

            if ((disk->bits[word] >> bit & 1) == 0 || bitfile_has(disk->file, block))
                continue;
            if (blockset_mark(disk->marked, block, 1) != 0)
                return -ENOMEM;
        }
    }
    return 0;
}

int superseded_open(struct loop *loop, const struct superseded_options *options,
                    struct superseded **ret_superseded, struct err *err)
{
    struct superseded *superseded = calloc(1, sizeof(*superseded));
    int error = 0;

    if (superseded == NULL)
        return err_set(err, -ENOMEM, "no memory");
    check(options->disk_count <= VOLATILE_DISKS_MAX);
    superseded->magic = SUPERSEDED_MAGIC;
    superseded->loop = loop;
    superseded->disk_count = options->disk_count;
    if (options->is_fresh)
        error = superseded_remove(loop, options->folder, options->disk_count, err);
    if (error == 0 && options->is_fresh)
        error = take_spares(loop, options, err);
    for (unsigned i = 0; i < options->disk_count && error == 0; i++) {
        struct superseded_disk *disk = &superseded->disks[i];

        disk->block_count = options->block_counts[i];
        disk->marked = blockset_new(disk->block_count);
        disk->synced = blockset_new(disk->block_count);
        if (disk->marked == NULL || disk->synced == NULL)
            error = err_set(err, -ENOMEM, "no memory");
    }
    if (error == 0)
        error = open_durable(superseded, options, err);
    if (error == 0)
        error = open_volatile(superseded, options, err);
    /* Looking into an empty one would fill the page cache with zeros: 2 GiB for 64 TiB. */
    for (unsigned i = 0; i < options->disk_count && error == 0 && !superseded->is_new; i++)
        if (superseded->disks[i].file != NULL && mark_unrecorded(&superseded->disks[i]) != 0)
            error = err_set(err, -ENOMEM, "no memory");
    if (error != 0) {
        superseded_close(superseded);
        return error;
    }
    *ret_superseded = superseded;
    return 0;
}

void superseded_close(struct superseded *superseded)
{
    if (superseded == NULL)
        return;
    check_magic(superseded, SUPERSEDED_MAGIC);
    for (unsigned i = 0; i < superseded->disk_count; i++) {
        bitfile_close(superseded->disks[i].file);
        blockset_free(superseded->disks[i].marked);
        blockset_free(superseded->disks[i].synced);
    }
    if (superseded->map != NULL)
        io_map_close(superseded->loop, superseded->map, superseded->map_bytes);
    superseded->magic = 0;
    free(superseded);
}

void superseded_each(const struct superseded *superseded,
                     void (*range_cb)(void *arg, unsigned disk, uint64_t block, uint64_t count),
                     void *arg)
{
    for (unsigned i = 0; i < superseded->disk_count; i++) {
        const struct superseded_disk *disk = &superseded->disks[i];
        uint64_t at = 0, count;

        for (; disk->file != NULL && bitfile_next(disk->file, at, &at); at++)
            range_cb(arg, i, at, 1);
        for (at = 0; blockset_next(disk->marked, at, UINT64_MAX, &at, &count); at += count)
            range_cb(arg, i, at, count);
    }
}

void superseded_mark(struct superseded *superseded, unsigned disk, uint64_t block, uint64_t count)
{
    struct superseded_disk *place = &superseded->disks[disk];
    int error;

    check_magic(superseded, SUPERSEDED_MAGIC);
    check(disk < superseded->disk_count && place->file != NULL);
    for (uint64_t at = block; at < block + count; at++)
        place->bits[at / 64] |= 1ull << at % 64;
    error = blockset_mark(place->marked, block, count);
    check(error == 0); /* a replaced block that is never recorded would come back */
}

void superseded_flushing(struct superseded *superseded, unsigned disk)
{
    struct superseded_disk *place = &superseded->disks[disk];
    int error;

    check_magic(superseded, SUPERSEDED_MAGIC);
    if (blockset_is_empty(place->marked))
        return;
    error = blockset_merge(place->synced, place->marked);
    check(error == 0);
    blockset_clear_all(place->marked);
}

bool superseded_record(struct superseded *superseded, unsigned disk, struct bitfile_save *save,
                       void (*done_cb)(struct bitfile_save *save, int error))
{
    struct superseded_disk *place = &superseded->disks[disk];
    uint64_t at = 0, count;

    check_magic(superseded, SUPERSEDED_MAGIC);
    /* S3: what an earlier flush could not record is not durable now either. */
    if (blockset_is_empty(place->synced) &&
        (place->file == NULL || bitfile_fence(place->file) == 0))
        return false;
    for (; blockset_next(place->synced, at, UINT64_MAX, &at, &count); at += count)
        bitfile_set(place->file, at, count);
    blockset_clear_all(place->synced);
    bitfile_save(place->file, save, done_cb);
    return true;
}
