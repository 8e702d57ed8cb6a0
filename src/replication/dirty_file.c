/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Little-endian:
 *
 *   0   4  magic "VDRT"           16   8  runs in all
 *   4   4  version, 1             24   8  0
 *   8   4  disks                  32      runs, 24 bytes each
 *  12   4  0                      end  4  CRC32C of all before
 *
 *   a run:  0 4 disk   4 4 set (0 open, 3 suspect)   8 8 block   16 8 count
 *
 * Valid if and only if: magic, version, disks and length fit, the CRC is right, and each run lies
 * inside its disk. The file is made under another name and renamed, so it is whole or absent.
 */
#include "replication/dirty_file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "volume/tracking.h"

enum {
    DIRTY_MAGIC = 0x54524456,
    DIRTY_VERSION = 1,
    DIRTY_HEADER_SIZE = 32,
    DIRTY_RUN_SIZE = 24,
    DIRTY_PIECE = 1 << 20,
};

static uint64_t count_runs(const struct blockset *set)
{
    uint64_t runs = 0, at = 0, block, count;

    while (blockset_next(set, at, UINT64_MAX, &block, &count)) {
        runs++;
        at = block + count;
        if (at >= blockset_size(set))
            break;
    }
    return runs;
}

/* What a first copy has settled is a word of two running sites (R17): its file says suspect. */
static const struct {
    enum tracking_set set, told_as;
} saved_sets[] = {{TRACKING_OPEN, TRACKING_OPEN},
                  {TRACKING_SUSPECT, TRACKING_SUSPECT},
                  {TRACKING_SETTLED, TRACKING_SUSPECT}};

static void put_runs(uint8_t **at, uint32_t disk, enum tracking_set which,
                     const struct blockset *set)
{
    uint64_t from = 0, block, count;

    while (from < blockset_size(set) && blockset_next(set, from, UINT64_MAX, &block, &count)) {
        put_le32(*at, disk);
        put_le32(*at + 4, which);
        put_le64(*at + 8, block);
        put_le64(*at + 16, count);
        *at += DIRTY_RUN_SIZE;
        from = block + count;
    }
}

static uint64_t file_length(struct volume *const *volumes, unsigned volume_count)
{
    uint64_t runs = 0;

    for (unsigned i = 0; i < volume_count; i++)
        for (unsigned s = 0; s < ARRAY_COUNT(saved_sets); s++)
            runs += count_runs(tracking_set(volumes[i], saved_sets[s].set));
    return DIRTY_HEADER_SIZE + runs * DIRTY_RUN_SIZE + 4;
}

static uint8_t *encode(struct volume *const *volumes, unsigned volume_count, size_t length)
{
    uint64_t runs = (length - DIRTY_HEADER_SIZE - 4) / DIRTY_RUN_SIZE;
    uint8_t *bytes = calloc(1, length), *at = bytes + DIRTY_HEADER_SIZE;

    if (bytes == NULL)
        return NULL;
    put_le32(bytes, DIRTY_MAGIC);
    put_le32(bytes + 4, DIRTY_VERSION);
    put_le32(bytes + 8, volume_count);
    put_le64(bytes + 16, runs);
    for (unsigned i = 0; i < volume_count; i++)
        for (unsigned s = 0; s < ARRAY_COUNT(saved_sets); s++)
            put_runs(&at, i, saved_sets[s].told_as, tracking_set(volumes[i], saved_sets[s].set));
    check(at == bytes + length - 4);
    put_le32(at, crc32c(0, bytes, length - 4));
    return bytes;
}

static int write_pieces(struct loop *loop, struct io_file *file, const uint8_t *bytes,
                        size_t length)
{
    for (size_t at = 0; at < length; at += DIRTY_PIECE) {
        size_t piece = length - at < DIRTY_PIECE ? length - at : DIRTY_PIECE;
        int error = io_file_write_now(loop, file, bytes + at, piece, at);

        if (error != 0)
            return error;
    }
    return io_file_sync_now(loop, file);
}

int dirty_file_save(struct loop *loop, const char *folder, struct volume *const *volumes,
                    unsigned volume_count, uint64_t bytes_max, struct err *err)
{
    char path[PATH_MAX], temporary[PATH_MAX];
    struct io_file *file;
    uint64_t length = file_length(volumes, volume_count);

    if (length > bytes_max)
        return err_set(err, -EFBIG, "the dirty sets would take %llu bytes",
                       (unsigned long long)length);
    uint8_t *bytes = encode(volumes, volume_count, length);

    snprintf(path, sizeof(path), "%s/dirty", folder);
    snprintf(temporary, sizeof(temporary), "%s/dirty.new", folder);
    if (bytes == NULL)
        return err_set(err, -ENOMEM, "no memory for the dirty sets");
    int error = io_file_open(loop, temporary, IO_CREATE, &file, err);

    if (error == 0) {
        error = io_file_resize_now(loop, file, length);
        if (error == 0)
            error = write_pieces(loop, file, bytes, length);
        io_file_close(loop, file);
        if (error == 0)
            error = io_rename(loop, temporary, path);
        if (error == 0)
            error = io_dir_sync(loop, folder);
        if (error != 0)
            err_set(err, error, "%s: %s", temporary, err_name(error));
    }
    free(bytes);
    return error;
}

/* Checks a whole file's bytes; returns its runs or NULL. */
static const uint8_t *verify(const uint8_t *bytes, size_t length, struct volume *const *volumes,
                             unsigned volume_count, uint64_t *ret_runs)
{
    if (length < DIRTY_HEADER_SIZE + 4 || get_le32(bytes) != DIRTY_MAGIC ||
        get_le32(bytes + 4) != DIRTY_VERSION || get_le32(bytes + 8) != volume_count ||
        get_le32(bytes + length - 4) != crc32c(0, bytes, length - 4))
        return NULL;
    uint64_t runs = get_le64(bytes + 16);

    if (runs > length / DIRTY_RUN_SIZE || length != DIRTY_HEADER_SIZE + runs * DIRTY_RUN_SIZE + 4)
        return NULL;
    for (uint64_t i = 0; i < runs; i++) {
        const uint8_t *run = bytes + DIRTY_HEADER_SIZE + i * DIRTY_RUN_SIZE;
        uint32_t disk = get_le32(run), which = get_le32(run + 4);
        uint64_t block = get_le64(run + 8), count = get_le64(run + 16);

        if (disk >= volume_count || (which != TRACKING_OPEN && which != TRACKING_SUSPECT))
            return NULL;
        uint64_t size = volume_block_count(volumes[disk]);

        if (count == 0 || block >= size || count > size - block)
            return NULL;
    }
    *ret_runs = runs;
    return bytes + DIRTY_HEADER_SIZE;
}

static int read_all(struct loop *loop, const char *path, uint64_t bytes_max, uint8_t **ret_bytes,
                    size_t *ret_length, struct err *err)
{
    struct io_file *file;
    uint64_t length = 0;
    uint8_t *bytes = NULL;
    int error = io_file_open(loop, path, 0, &file, err);

    if (error != 0)
        return error;
    error = io_file_size(loop, file, &length);
    if (error == 0 && (length == 0 || length > bytes_max))
        error = -EBADMSG;
    if (error == 0 && (bytes = malloc(length)) == NULL)
        error = -ENOMEM;
    for (uint64_t at = 0; error == 0 && at < length; at += DIRTY_PIECE)
        error = io_file_read_now(loop, file, bytes + at,
                                 length - at < DIRTY_PIECE ? length - at : DIRTY_PIECE, at);
    io_file_close(loop, file);
    if (error != 0) {
        free(bytes);
        return err_set(err, error, "%s: %s", path, err_name(error));
    }
    *ret_bytes = bytes;
    *ret_length = length;
    return 0;
}

int dirty_file_load(struct loop *loop, const char *folder, struct volume *const *volumes,
                    unsigned volume_count, const bool *keep_suspects, uint64_t bytes_max,
                    struct err *err)
{
    char path[PATH_MAX];
    uint8_t *bytes = NULL;
    size_t length = 0;
    uint64_t runs = 0;

    snprintf(path, sizeof(path), "%s/dirty", folder);
    int error = read_all(loop, path, bytes_max, &bytes, &length, err);

    if (error != 0)
        return error;
    const uint8_t *run = verify(bytes, length, volumes, volume_count, &runs);

    if (run == NULL)
        error = err_set(err, -EBADMSG, "%s: not whole", path);
    for (unsigned i = 0; error == 0 && i < volume_count; i++)
        if (!keep_suspects[i])
            check(tracking_clear_suspect(volumes[i], 0, volume_block_count(volumes[i])) == 0);
    for (uint64_t i = 0; error == 0 && i < runs; i++, run += DIRTY_RUN_SIZE)
        error = tracking_mark(volumes[get_le32(run)], (enum tracking_set)get_le32(run + 4),
                              get_le64(run + 8), get_le64(run + 16));
    free(bytes);
    if (error != 0 && run != NULL)
        return err_set(err, error, "%s: %s", path, err_name(error));
    return error;
}
