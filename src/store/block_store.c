/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver "block": an existing block device. It differs from a file only in how it is opened: it
 * is never made, never resized, and must be a block device, or a typing error in a path would turn
 * a device into a file on the root file system.
 */
#include <errno.h>

#include "store/block_store.h"
#include "store/file_store.h"

int block_store_open(struct loop *loop, const struct store_options *options,
                     struct store **ret_store, struct err *err)
{
    unsigned flags = IO_LOCK | (options->read_only ? IO_READ_ONLY : 0);
    struct io_file *file;
    int error;

    if (options->create)
        return err_set(err, -EINVAL, "%s: a block device cannot be made", options->path);
    error = io_file_open(loop, options->path, flags, &file, err);
    if (error < 0)
        return error;
    if (!io_file_is_block_device(file))
        error = err_set(err, -EINVAL, "%s is no block device", options->path);
    if (error == 0)
        error = file_store_wrap(loop, file, options, true, ret_store, err);
    if (error < 0)
        io_file_close(loop, file);
    return error;
}
