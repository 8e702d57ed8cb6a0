/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot layer: what a disk's base held at one moment, kept while the base moves on (R11, R15).
 * DATA/layers/<id>: a sparse file with the kept blocks, <id>.map: a bitfile of which blocks are
 * kept, <id>.info: what it is. A block not kept is still in the base. Format: docs/layer.md.
 */
#ifndef JOURNAL_LAYER_H
#define JOURNAL_LAYER_H

#include "base/blockset.h"
#include "io/file.h"
#include "journal/layer_info.h"

struct layer;

/* Makes a layer durably: empty, so showing the base as it is. Blocks. */
int layer_create(struct loop *loop, const char *folder, const struct layer_description *description,
                 struct layer **ret_layer, struct err *err);
/* What <id>.info says. -EBADMSG: not whole; -EPROTONOSUPPORT: of a newer version. Blocks. */
int layer_read_info(struct loop *loop, const char *folder, const char *id,
                    struct layer_description *ret_description, struct err *err);
/* The layer of a description that was read. -EBADMSG, -EUCLEAN, -EINVAL, -ENOENT: its files are
 * damaged or missing; -EPROTONOSUPPORT: of a newer version; it and other errors may pass. Blocks.
 */
int layer_open(struct loop *loop, const char *folder, const struct layer_description *description,
               struct layer **ret_layer, struct err *err);
/* Renames <id>.info to <id>.lost, durably: the layer exists no more, its files stay for a person
 * (L6). Blocks. */
int layer_set_aside(struct loop *loop, const char *folder, const char *id, struct err *err);
void layer_close(struct layer *layer); /* nothing in flight; NULL is fine */
/* Removes its files. Closes it. */
int layer_remove(struct layer *layer, struct err *err);
/* Calls back with the id of each layer in `folder`. */
int layer_list(struct loop *loop, const char *folder, void (*layer_cb)(void *arg, const char *id),
               void *arg);

const struct layer_description *layer_describe(const struct layer *layer);
uint64_t layer_kept_bytes(const struct layer *layer);
/* 0, or the I/O error after which nothing can be kept any more. */
int layer_fence(const struct layer *layer);

/* How many blocks from `block` on are all kept (true) or all not kept (false), of `count`. */
bool layer_lookup(const struct layer *layer, uint64_t block, uint64_t count, uint64_t *ret_count);

struct layer_op {
    void (*done_cb)(struct layer_op *op, int error);
    struct list node;
    uint64_t private[32];
};

/* Keeps those of the blocks that are not yet kept, durably (data synced, then the map saved; ops
 * that wait together share the syncs), then done_cb. `bytes` stays until then. The caller lets no
 * two ops with a block in common be under way (it holds the range lock). -ENOSPC: nothing was kept,
 * it may be tried again; another error is final (fence). */
void layer_keep(struct layer *layer, struct layer_op *op, uint64_t block, uint64_t count,
                const uint8_t *bytes, void (*done_cb)(struct layer_op *op, int error));
/* Reads kept blocks. */
void layer_read(struct layer *layer, struct layer_op *op, uint64_t block, uint64_t count,
                uint8_t *bytes, void (*done_cb)(struct layer_op *op, int error));

#endif
