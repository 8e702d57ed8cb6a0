/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a store is made of, and what its drivers provide and use. Users of a store include
 * store/store.h; only drivers, and fakes in tests, call what stands here.
 */
#ifndef STORE_STORE_DRIVER_H
#define STORE_STORE_DRIVER_H

#include <limits.h>

#include "io/file.h"

struct store;
struct store_op;

typedef void (*store_done_fn)(struct store_op *op, int error);

/* Embedded in the requester. One operation at a time. */
struct store_op {
    struct io_op io; /* the driver's */
    struct store *store;
    store_done_fn done_cb;
    uint64_t private[4]; /* the driver's */
};

/* A driver's functions; every slot is required. Offsets and lengths are bytes, inside the store. */
struct store_ops {
    const char *name;
    void (*close)(struct store *store);
    void (*read)(struct store *store, struct store_op *op, const struct iovec *iov,
                 unsigned iov_count, uint64_t offset);
    void (*write)(struct store *store, struct store_op *op, const struct iovec *iov,
                  unsigned iov_count, uint64_t offset);
    void (*sync)(struct store *store, struct store_op *op);
    void (*discard)(struct store *store, struct store_op *op, uint64_t offset, uint64_t length,
                    enum io_discard_mode mode);
    void (*extents)(struct store *store, struct store_op *op, uint64_t offset, uint64_t length,
                    struct io_extent *extents, unsigned extent_max);
    /* Makes room for `size_bytes`, more than it has, durably; the store's size is its caller's.
     * -ENOSPC: there is not so much, or, unless it may be extended, not yet. Blocks. */
    int (*grow)(struct store *store, uint64_t size_bytes, bool may_extend, struct err *err);
    /* When it was written last, durably; 0: not known. An error is that of a sync. Blocks. */
    int (*stamp)(struct store *store, uint64_t *ret_stamp);
};

struct store {
    uint32_t magic;
    const struct store_ops *ops;
    struct loop *loop;
    uint64_t size_bytes;
    bool is_fenced;
    bool is_read_only;
    char name[64]; /* for messages: the disk's id */
    char path[PATH_MAX];
};

struct store_options {
    const char *driver; /* "file" or "block" */
    const char *path;
    const char *name;    /* for messages */
    uint64_t size_bytes; /* file: make it this long when `create`; else what it must hold at least,
                            0 for whatever it has */
    bool create;         /* file: it must not exist yet */
    bool read_only;
};

enum { STORE_MAGIC = 0x73746f72 };

/* Ends `op` with `result` (0, a count of extents, or a negative errno), or with -EIO when the store
 * is fenced by now. */
void store_op_done(struct store_op *op, int result);
/* The same for a sync: an error fences the store. */
void store_op_sync_done(struct store_op *op, int result);
/* Ends an operation that reached no driver, after the submitting call returned. */
void store_op_done_soon(struct store_op *op, int result);

#endif
