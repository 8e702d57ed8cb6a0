/* SPDX-License-Identifier: Apache-2.0 */
/* What an export is to the NBD server: a vtable under a name. */
#ifndef NBD_EXPORT_OPS_H
#define NBD_EXPORT_OPS_H

#include "store/store.h"
#include "volume/volume.h"

/* What an export does; a volume's is made by nbd_export_add_volume(). */
struct nbd_export_ops {
    void (*submit)(void *arg, struct volume_request *request); /* as volume_submit() */
    void (*extents)(void *arg, struct store_op *op, uint64_t offset, uint64_t length,
                    struct io_extent *extents, unsigned extent_max, store_done_fn done_cb);
};

struct nbd_export_options {
    const char *name; /* at most 255 bytes, unique among the exports */
    const char *description;
    uint64_t size_bytes;
    bool is_read_only;
    const struct nbd_export_ops *ops;
    void *arg;
};

#endif
