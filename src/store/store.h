/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store: where the bytes of one disk lie. Drivers: `file` (store/file_store.c: a raw file, made
 * by us or imported in place) and `block` (store/block_store.c: an existing block device); later
 * Ceph RBD.
 *
 * Fencing: the first failed sync of a store is final. From then on every operation ends with
 * -EIO, until the store is opened anew after a re-check; asking the kernel again would answer 0
 * over lost bytes.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "store/store_driver.h"

/* Opens and locks. Errors name the path: -ENOENT missing, -EBUSY in use, -ENOSPC too small,
 * -EINVAL a size that is no multiple of 4096, -EEXIST. Blocks: not for the path of a request. */
int store_open(struct loop *loop, const struct store_options *options, struct store **ret_store,
               struct err *err);
void store_close(struct store *store); /* no operation may be in flight; NULL is fine */

/* It has that many bytes from now on, also after a power loss; those it has already are no error.
 * Others are -EINVAL (smaller, no multiple of 4096), -ENOSPC, -EIO, -EROFS, and change nothing.
 * Blocks: not for the path of a request. */
int store_grow(struct store *store, uint64_t size_bytes, struct err *err);
/* Takes more of what is there already: it was given so much before. -ENOSPC: it is not there.
 * Blocks.
 */
int store_adopt(struct store *store, uint64_t size_bytes, struct err *err);

/* Another one than before: somebody wrote to it. 0: not known. Nothing is under way. Blocks. */
int store_stamp(struct store *store, uint64_t *ret_stamp);

void store_read(struct store *store, struct store_op *op, const struct iovec *iov,
                unsigned iov_count, uint64_t offset, store_done_fn done_cb);
void store_write(struct store *store, struct store_op *op, const struct iovec *iov,
                 unsigned iov_count, uint64_t offset, store_done_fn done_cb);
void store_sync(struct store *store, struct store_op *op, store_done_fn done_cb);
/* HOLE falls back to zeros in place where the store has no holes; ZERO_FAST gives -ENOTSUP. */
void store_discard(struct store *store, struct store_op *op, uint64_t offset, uint64_t length,
                   enum io_discard_mode mode, store_done_fn done_cb);
/* done_cb's `error` is the count of extents filled (>= 1), or a negative errno. */
void store_extents(struct store *store, struct store_op *op, uint64_t offset, uint64_t length,
                   struct io_extent *extents, unsigned extent_max, store_done_fn done_cb);

#endif
