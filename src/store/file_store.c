/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver "file": a raw file, sparse, readable by any tool.
 *
 *  1. A store made here is durable, name and size, before store_open() returns; one that could not
 *     be made leaves no file.
 *  2. Trims free space where the file system can; where it cannot they zero in place, and where it
 *     cannot even that they write zeros. A store never answers a trim with "not supported".
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/blockset.h"
#include "base/check.h"
#include "store/file_store.h"

struct file_store {
    struct store store; /* first */
    struct io_file *file;
};

/* In store_op.private while a discard writes zeros. */
struct fill {
    uint64_t offset, left;
    struct iovec iov;
};

_Static_assert(sizeof(struct fill) <= sizeof(((struct store_op *)NULL)->private), "fill fits");

enum { FILL_BYTES = 64 << 10 };

static const uint8_t zeros[FILL_BYTES];

static struct io_file *file_of(struct store *store)
{
    return container_of(store, struct file_store, store)->file;
}

static void transfer_done(struct io_op *io, int64_t result)
{
    store_op_done(container_of(io, struct store_op, io), result < 0 ? (int)result : 0);
}

static void sync_done(struct io_op *io, int64_t result)
{
    store_op_sync_done(container_of(io, struct store_op, io), result < 0 ? (int)result : 0);
}

static void count_done(struct io_op *io, int64_t result)
{
    store_op_done(container_of(io, struct store_op, io), (int)result);
}

static void store_file_read(struct store *store, struct store_op *op, const struct iovec *iov,
                            unsigned iov_count, uint64_t offset)
{
    io_file_read(store->loop, &op->io, file_of(store), iov, iov_count, offset, transfer_done);
}

static void store_file_write(struct store *store, struct store_op *op, const struct iovec *iov,
                             unsigned iov_count, uint64_t offset)
{
    io_file_write(store->loop, &op->io, file_of(store), iov, iov_count, offset, transfer_done);
}

static void store_file_sync(struct store *store, struct store_op *op)
{
    io_file_sync(store->loop, &op->io, file_of(store), sync_done);
}

static void fill_next(struct store_op *op);

static void fill_done(struct io_op *io, int64_t result)
{
    struct store_op *op = container_of(io, struct store_op, io);
    struct fill *fill = (struct fill *)op->private;

    if (result >= 0) {
        check(fill->left >= fill->iov.iov_len);
        fill->offset += fill->iov.iov_len;
        fill->left -= fill->iov.iov_len;
    }
    if (result < 0 || fill->left == 0)
        store_op_done(op, result < 0 ? (int)result : 0);
    else
        fill_next(op);
}

static void fill_next(struct store_op *op)
{
    struct fill *fill = (struct fill *)op->private;

    fill->iov.iov_base = (void *)zeros;
    fill->iov.iov_len = fill->left < FILL_BYTES ? fill->left : FILL_BYTES;
    io_file_write(op->store->loop, &op->io, file_of(op->store), &fill->iov, 1, fill->offset,
                  fill_done);
}

static void discard_zero_done(struct io_op *io, int64_t result)
{
    struct store_op *op = container_of(io, struct store_op, io);

    if (result == -ENOTSUP)
        fill_next(op);
    else
        store_op_done(op, (int)result);
}

static void discard_hole_done(struct io_op *io, int64_t result)
{
    struct store_op *op = container_of(io, struct store_op, io);
    struct fill *fill = (struct fill *)op->private;

    if (result == -ENOTSUP)
        io_file_discard(op->store->loop, &op->io, file_of(op->store), fill->offset, fill->left,
                        IO_DISCARD_ZERO, discard_zero_done);
    else
        store_op_done(op, (int)result);
}

static void store_file_discard(struct store *store, struct store_op *op, uint64_t offset,
                               uint64_t length, enum io_discard_mode mode)
{
    static const io_done_fn done_cbs[] = {
        [IO_DISCARD_HOLE] = discard_hole_done,
        [IO_DISCARD_ZERO] = discard_zero_done,
        [IO_DISCARD_ZERO_FAST] = transfer_done,
    };

    check(mode < ARRAY_COUNT(done_cbs));
    *(struct fill *)op->private = (struct fill){.offset = offset, .left = length};
    io_file_discard(store->loop, &op->io, file_of(store), offset, length, mode, done_cbs[mode]);
}

static void store_file_extents(struct store *store, struct store_op *op, uint64_t offset,
                               uint64_t length, struct io_extent *extents, unsigned extent_max)
{
    io_file_extents(store->loop, &op->io, file_of(store), offset, length, extents, extent_max,
                    count_done);
}

static void store_file_close(struct store *store)
{
    io_file_close(store->loop, file_of(store));
    store->magic = 0;
    free(container_of(store, struct file_store, store));
}

/* What lies there may be longer already: a device, or a file whose growing was cut off. */
static int store_file_grow(struct store *store, uint64_t size_bytes, bool may_extend,
                           struct err *err)
{
    struct io_file *file = file_of(store);
    uint64_t has_bytes = 0;
    int error = io_file_size(store->loop, file, &has_bytes);

    if (error == 0 && has_bytes < size_bytes && (!may_extend || io_file_is_block_device(file)))
        return err_set(err, -ENOSPC, "%s has %llu bytes", store->path,
                       (unsigned long long)has_bytes);
    if (error == 0 && has_bytes < size_bytes)
        error = io_file_resize_now(store->loop, file, size_bytes);
    if (error == 0) {
        error = io_file_sync_now(store->loop, file);
        store->is_fenced = error < 0; /* what others wrote, and would sync, may be lost */
    }
    return error == 0 ? 0 : err_set(err, error, "grow %s: %s", store->path, err_name(error));
}

static int store_file_stamp(struct store *store, uint64_t *ret_stamp)
{
    return io_file_stamp(store->loop, file_of(store), ret_stamp);
}

#define FILE_STORE_OPS(driver_name)                                                                \
    {                                                                                              \
        .name = driver_name, .close = store_file_close, .read = store_file_read,                   \
        .write = store_file_write, .sync = store_file_sync, .discard = store_file_discard,         \
        .extents = store_file_extents, .grow = store_file_grow, .stamp = store_file_stamp          \
    }

static const struct store_ops file_ops = FILE_STORE_OPS("file");
static const struct store_ops block_ops = FILE_STORE_OPS("block");

static int check_size(struct loop *loop, struct io_file *file, const struct store_options *options,
                      uint64_t *ret_bytes, struct err *err)
{
    uint64_t has_bytes = 0;
    int error = io_file_size(loop, file, &has_bytes);

    if (error < 0)
        return err_set(err, error, "size of %s: %s", options->path, err_name(error));
    if (has_bytes < options->size_bytes)
        return err_set(err, -ENOSPC, "%s has %llu bytes, %llu are needed", options->path,
                       (unsigned long long)has_bytes, (unsigned long long)options->size_bytes);
    if (options->size_bytes > 0)
        has_bytes = options->size_bytes;
    if (has_bytes == 0 || has_bytes % BLOCK_SIZE != 0)
        return err_set(err, -EINVAL, "%s has %llu bytes, which is no multiple of 4096",
                       options->path, (unsigned long long)has_bytes);
    *ret_bytes = has_bytes;
    return 0;
}

int file_store_wrap(struct loop *loop, struct io_file *file, const struct store_options *options,
                    bool is_block, struct store **ret_store, struct err *err)
{
    struct file_store *store;
    uint64_t size_bytes = 0;
    int error = check_size(loop, file, options, &size_bytes, err);

    if (error < 0)
        return error;
    store = calloc(1, sizeof(*store));
    if (!store)
        return err_set(err, -ENOMEM, "open %s: memory is short", options->path);
    store->file = file;
    store->store.magic = STORE_MAGIC;
    store->store.ops = is_block ? &block_ops : &file_ops;
    store->store.loop = loop;
    store->store.size_bytes = size_bytes;
    store->store.is_read_only = options->read_only;
    snprintf(store->store.name, sizeof(store->store.name), "%s",
             options->name ? options->name : options->path);
    snprintf(store->store.path, sizeof(store->store.path), "%s", options->path);
    *ret_store = &store->store;
    return 0;
}

static int sync_folder(struct loop *loop, const char *path, struct err *err)
{
    char folder[PATH_MAX];
    char *slash;
    int error;

    snprintf(folder, sizeof(folder), "%s", path);
    slash = strrchr(folder, '/');
    if (!slash)
        snprintf(folder, sizeof(folder), ".");
    else
        slash[slash == folder ? 1 : 0] = '\0';
    error = io_dir_sync(loop, folder);
    return error < 0 ? err_set(err, error, "sync folder %s: %s", folder, err_name(error)) : 0;
}

/* Makes length and name of a new file durable. */
static int make_durable(struct loop *loop, struct io_file *file,
                        const struct store_options *options, struct err *err)
{
    int error = io_file_resize_now(loop, file, options->size_bytes);

    if (error == 0)
        error = io_file_sync_now(loop, file);
    if (error < 0)
        return err_set(err, error, "make %s: %s", options->path, err_name(error));
    return sync_folder(loop, options->path, err);
}

/* A file whose making failed goes, durably: else it may be back behind a loss of power. */
static int unmake(struct loop *loop, const char *path, int making_error, struct err *err)
{
    int error = io_unlink(loop, path);

    if (error == 0 || error == -ENOENT)
        error = sync_folder(loop, path, NULL);
    return error == 0 ? making_error
                      : err_set(err, -EUCLEAN, "make %s: %s; what was made of it stays: %s", path,
                                err_name(making_error), err_name(error));
}

/* One that is to be made may be there, empty: its making was cut off. */
static int open_file(struct loop *loop, const struct store_options *options, unsigned flags,
                     struct io_file **ret_file, struct err *err)
{
    int error = io_file_open(loop, options->path, flags, ret_file, err);
    uint64_t bytes = 1;

    if (error != -EEXIST || io_file_open(loop, options->path, IO_LOCK, ret_file, NULL) < 0)
        return error;
    if (io_file_size(loop, *ret_file, &bytes) == 0 && bytes == 0 &&
        !io_file_is_block_device(*ret_file))
        return 0;
    io_file_close(loop, *ret_file);
    return error;
}

int file_store_open(struct loop *loop, const struct store_options *options,
                    struct store **ret_store, struct err *err)
{
    unsigned flags = IO_LOCK;
    struct io_file *file;
    int error;

    if (options->create && options->size_bytes == 0)
        return err_set(err, -EINVAL, "make %s: a size is needed", options->path);
    if (options->create)
        flags |= IO_CREATE | IO_EXCLUSIVE;
    if (options->read_only)
        flags |= IO_READ_ONLY;
    error = open_file(loop, options, flags, &file, err);
    if (error < 0)
        return error;
    if (io_file_is_block_device(file))
        error = err_set(err, -EINVAL, "%s is a block device: import it as one", options->path);
    if (error == 0 && options->create)
        error = make_durable(loop, file, options, err);
    if (error == 0)
        error = file_store_wrap(loop, file, options, false, ret_store, err);
    if (error < 0) {
        io_file_close(loop, file);
        if (options->create)
            error = unmake(loop, options->path, error, err);
    }
    return error;
}
