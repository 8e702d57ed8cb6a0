/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Room that is taken before it is needed (see the header).
 *
 *   1. Nobody writes to a spare: what it holds is what it was made with. Whether somebody did all
 *      the same is asked of the file system, which knows what of its room was written; but what
 *      was only read (by a backup) counts as data too, as long as the page cache has it.
 *   2. One that has not all of its room is worse than none: it is removed.
 */
#include "replication/spare.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "store/bitfile_format.h"

static void path_spare(const char *path, char *ret_path)
{
    check(snprintf(ret_path, PATH_MAX, "%s.spare", path) < PATH_MAX);
}

/* Nothing was written from `from` on. */
static bool is_untouched(struct loop *loop, struct io_file *file, uint64_t from, uint64_t to)
{
    return io_file_data_now(loop, file, from, to) == to ||
           (io_file_forget_now(loop, file) == 0 && io_file_data_now(loop, file, from, to) == to);
}

/* `head`: of a bitfile, a page; NULL: it is of zeros. */
static bool is_good(struct loop *loop, const char *spare, const uint8_t *head, uint64_t bytes)
{
    uint64_t has_bytes = 0, head_bytes = head != NULL ? BITFILE_PAGE_BYTES : 0;
    uint8_t found[BITFILE_PAGE_BYTES];
    struct io_file *file;
    bool is_good;

    if (io_file_open(loop, spare, IO_READ_ONLY | IO_SCATTERED, &file, NULL) != 0)
        return false;
    is_good = io_file_size(loop, file, &has_bytes) == 0 && has_bytes == bytes;
    if (is_good && head != NULL)
        is_good = io_file_read_now(loop, file, found, sizeof(found), 0) == 0 &&
                  memcmp(found, head, sizeof(found)) == 0;
    is_good = is_good && is_untouched(loop, file, head_bytes, bytes);
    io_file_close(loop, file);
    return is_good;
}

/* There is room. The head stands in room of its own: a file system may fill what is beside it with
 * zeros, and call them written. */
static int fill(struct loop *loop, struct io_file *file, const uint8_t *head, uint64_t bytes)
{
    int error = io_file_resize_now(loop, file, 0);

    if (error == 0 && head != NULL)
        error = io_file_write_now(loop, file, head, BITFILE_PAGE_BYTES, 0);
    if (error == 0)
        error = io_file_sync_now(loop, file);
    if (error == 0)
        error = io_file_allocate_now(loop, file, bytes);
    return error == 0 ? io_file_sync_now(loop, file) : error;
}

/* What is tried again and again where there is no room must not sync (hosts wait meanwhile): room
 * is asked for first. A good one may lack it, in a data folder that was copied. */
static int make(struct loop *loop, const char *path, const uint8_t *head, uint64_t bytes,
                struct err *err)
{
    struct io_file *file;
    char spare[PATH_MAX];
    bool is_new;
    int error;

    path_spare(path, spare);
    is_new = !is_good(loop, spare, head, bytes);
    if (is_new)
        io_unlink(loop, spare);
    error = io_file_open(loop, spare, IO_CREATE, &file, err);
    if (error != 0)
        return error;
    error = io_file_allocate_now(loop, file, bytes);
    if (error == 0 && is_new)
        error = fill(loop, file, head, bytes);
    io_file_close(loop, file);
    if (error == 0)
        return 0;
    io_unlink(loop, spare);
    return err_set(err, error, "%llu bytes for %s: %s", (unsigned long long)bytes, spare,
                   err_name(error));
}

int spare_make(struct loop *loop, const char *path, uint64_t bytes, struct err *err)
{
    return make(loop, path, NULL, bytes, err);
}

int spare_make_bitfile(struct loop *loop, const char *path, const char *kind, uint64_t bit_count,
                       struct err *err)
{
    uint8_t head[BITFILE_PAGE_BYTES];

    bitfile_header_encode(head, kind, bit_count);
    return make(loop, path, head, bitfile_bytes(bit_count), err);
}

static bool take(struct loop *loop, const char *path, const uint8_t *head, uint64_t bytes)
{
    char spare[PATH_MAX];

    path_spare(path, spare);
    if (is_good(loop, spare, head, bytes) && io_rename(loop, spare, path) == 0)
        return true;
    io_unlink(loop, spare);
    return false;
}

bool spare_take(struct loop *loop, const char *path, uint64_t bytes)
{
    return take(loop, path, NULL, bytes);
}

bool spare_take_bitfile(struct loop *loop, const char *path, const char *kind, uint64_t bit_count)
{
    uint8_t head[BITFILE_PAGE_BYTES];

    bitfile_header_encode(head, kind, bit_count);
    return take(loop, path, head, bitfile_bytes(bit_count));
}

void spare_remove(struct loop *loop, const char *path)
{
    char spare[PATH_MAX];

    path_spare(path, spare);
    io_unlink(loop, spare);
}
