/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Room that is taken before it is needed (see the header).
 *
 *   1. Nobody writes to a spare: what it holds is what it was made with. Whether somebody did all
 *      the same is asked of the file system, which knows what of its room was written.
 *   2. One that has not all of its room is worse than none: it is removed.
 */
#include "replication/spare.h"

#include <limits.h>
#include <stdio.h>

#include "base/check.h"
#include "store/bitfile.h"
#include "store/bitfile_format.h"

static void path_spare(const char *path, char *ret_path)
{
    check(snprintf(ret_path, PATH_MAX, "%s.spare", path) < PATH_MAX);
}

/* Nothing was written behind the head. */
static bool is_untouched(struct loop *loop, const char *spare, uint64_t head_bytes, uint64_t bytes)
{
    struct io_file *file;
    uint64_t has_bytes;
    bool is_good;

    if (io_file_open(loop, spare, IO_READ_ONLY, &file, NULL) != 0)
        return false;
    is_good = io_file_size(loop, file, &has_bytes) == 0 && has_bytes == bytes &&
              io_file_data_now(loop, file, head_bytes, bytes) == bytes;
    io_file_close(loop, file);
    return is_good;
}

static int take_room(struct loop *loop, const char *spare, uint64_t bytes, struct err *err)
{
    struct io_file *file;
    int error = io_file_open(loop, spare, IO_CREATE, &file, err);

    if (error != 0)
        return error;
    error = io_file_allocate_now(loop, file, bytes);
    if (error == 0)
        error = io_file_sync_now(loop, file);
    io_file_close(loop, file);
    if (error == 0)
        return 0;
    io_unlink(loop, spare);
    return err_set(err, error, "%llu bytes for %s: %s", (unsigned long long)bytes, spare,
                   err_name(error));
}

int spare_make(struct loop *loop, const char *path, uint64_t bytes, struct err *err)
{
    char spare[PATH_MAX];

    path_spare(path, spare);
    if (!is_untouched(loop, spare, 0, bytes))
        io_unlink(loop, spare);
    return take_room(loop, spare, bytes, err);
}

int spare_make_bitfile(struct loop *loop, const char *path, const char *kind, uint64_t bit_count,
                       struct err *err)
{
    uint64_t bytes = bitfile_bytes(bit_count);
    struct bitfile *file;
    char spare[PATH_MAX];

    path_spare(path, spare);
    if (!is_untouched(loop, spare, BITFILE_PAGE_BYTES, bytes)) {
        io_unlink(loop, spare);
        int error = bitfile_open(loop, spare, kind, bit_count, &file, err);

        if (error != 0)
            return error;
        bitfile_close(file);
    }
    return take_room(loop, spare, bytes, err);
}

static bool take(struct loop *loop, const char *path, uint64_t head_bytes, uint64_t bytes)
{
    char spare[PATH_MAX];

    path_spare(path, spare);
    if (is_untouched(loop, spare, head_bytes, bytes) && io_rename(loop, spare, path) == 0)
        return true;
    io_unlink(loop, spare);
    return false;
}

bool spare_take(struct loop *loop, const char *path, uint64_t bytes)
{
    return take(loop, path, 0, bytes);
}

bool spare_take_bitfile(struct loop *loop, const char *path, uint64_t bit_count)
{
    return take(loop, path, BITFILE_PAGE_BYTES, bitfile_bytes(bit_count));
}

void spare_remove(struct loop *loop, const char *path)
{
    char spare[PATH_MAX];

    path_spare(path, spare);
    io_unlink(loop, spare);
}
