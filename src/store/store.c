/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door to the drivers: finds the driver of a new store, and refuses what no driver should see.
 *
 *  1. A request that leaves the store's bounds is a bug of the caller, not an error.
 *  2. A fenced store's driver is never called again but for close (store_driver.c ends with -EIO
 *     what is still under way).
 *  3. A read-only store's driver is never asked to write.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/blockset.h"
#include "base/check.h"
#include "store/block_store.h"
#include "store/file_store.h"
#include "store/store.h"

static const struct {
    const char *name;
    int (*open)(struct loop *loop, const struct store_options *options, struct store **ret_store,
                struct err *err);
} drivers[] = {
    {"file", file_store_open},
    {"block", block_store_open},
};

int store_open(struct loop *loop, const struct store_options *options, struct store **ret_store,
               struct err *err)
{
    check(loop != NULL && options->path != NULL && options->driver != NULL);
    if (strlen(options->path) >= PATH_MAX)
        return err_set(err, -ENAMETOOLONG, "open store: the path is too long");
    if (options->size_bytes % BLOCK_SIZE != 0)
        return err_set(err, -EINVAL, "open store %s: the size %llu is no multiple of 4096",
                       options->path, (unsigned long long)options->size_bytes);
    for (size_t i = 0; i < ARRAY_COUNT(drivers); i++) {
        if (strcmp(drivers[i].name, options->driver) == 0)
            return drivers[i].open(loop, options, ret_store, err);
    }
    return err_set(err, -EINVAL, "open store %s: there is no driver \"%s\"", options->path,
                   options->driver);
}

void store_close(struct store *store)
{
    if (!store)
        return;
    check_magic(store, STORE_MAGIC);
    store->ops->close(store);
}

static int enlarge(struct store *store, uint64_t size_bytes, bool may_extend, struct err *err)
{
    int error;

    check_magic(store, STORE_MAGIC);
    if (size_bytes < store->size_bytes || size_bytes % BLOCK_SIZE != 0 || size_bytes > INT64_MAX)
        return err_set(err, -EINVAL, "%s cannot have %llu bytes", store->path,
                       (unsigned long long)size_bytes);
    if (store->is_fenced || store->is_read_only)
        return err_set(err, store->is_fenced ? -EIO : -EROFS, "%s is %s", store->path,
                       store->is_fenced ? "fenced after a failed sync" : "read-only");
    if (size_bytes == store->size_bytes)
        return 0;
    error = store->ops->grow(store, size_bytes, may_extend, err);
    if (error == 0)
        store->size_bytes = size_bytes;
    return error;
}

int store_grow(struct store *store, uint64_t size_bytes, struct err *err)
{
    return enlarge(store, size_bytes, true, err);
}

int store_adopt(struct store *store, uint64_t size_bytes, struct err *err)
{
    return enlarge(store, size_bytes, false, err);
}

int store_stamp(struct store *store, uint64_t *ret_stamp)
{
    int error;

    check_magic(store, STORE_MAGIC);
    if (store->is_fenced)
        return -EIO;
    error = store->ops->stamp(store, ret_stamp);
    store->is_fenced = error < 0; /* it was a sync, and the first failed one is final */
    return error;
}

/* False: `op` is on its way to an error. */
static bool begin(struct store *store, struct store_op *op, bool is_write, store_done_fn done_cb)
{
    check_magic(store, STORE_MAGIC);
    check(done_cb != NULL);
    op->store = store;
    op->done_cb = done_cb;
    if (__builtin_expect(store->is_fenced, 0)) {
        store_op_done_soon(op, -EIO);
        return false;
    }
    if (__builtin_expect(is_write && store->is_read_only, 0)) {
        store_op_done_soon(op, -EROFS);
        return false;
    }
    return true;
}

static void check_range(const struct store *store, uint64_t offset, uint64_t length)
{
    check(length > 0 && length <= store->size_bytes);
    check(offset <= store->size_bytes - length);
}

static uint64_t iov_length(const struct iovec *iov, unsigned iov_count)
{
    uint64_t length = 0;

    for (unsigned i = 0; i < iov_count; i++)
        length += iov[i].iov_len;
    return length;
}

void store_read(struct store *store, struct store_op *op, const struct iovec *iov,
                unsigned iov_count, uint64_t offset, store_done_fn done_cb)
{
    check_range(store, offset, iov_length(iov, iov_count));
    if (begin(store, op, false, done_cb))
        store->ops->read(store, op, iov, iov_count, offset);
}

void store_write(struct store *store, struct store_op *op, const struct iovec *iov,
                 unsigned iov_count, uint64_t offset, store_done_fn done_cb)
{
    check_range(store, offset, iov_length(iov, iov_count));
    if (begin(store, op, true, done_cb))
        store->ops->write(store, op, iov, iov_count, offset);
}

void store_sync(struct store *store, struct store_op *op, store_done_fn done_cb)
{
    if (begin(store, op, false, done_cb))
        store->ops->sync(store, op);
}

void store_discard(struct store *store, struct store_op *op, uint64_t offset, uint64_t length,
                   enum io_discard_mode mode, store_done_fn done_cb)
{
    check_range(store, offset, length);
    if (begin(store, op, true, done_cb))
        store->ops->discard(store, op, offset, length, mode);
}

void store_extents(struct store *store, struct store_op *op, uint64_t offset, uint64_t length,
                   struct io_extent *extents, unsigned extent_max, store_done_fn done_cb)
{
    check_range(store, offset, length);
    check(extents != NULL && extent_max > 0);
    if (begin(store, op, false, done_cb))
        store->ops->extents(store, op, offset, length, extents, extent_max);
}
