/* SPDX-License-Identifier: Apache-2.0 */
/* The layers over a volume (R11); given with volume_set_preserve(). */
#ifndef VOLUME_PRESERVE_H
#define VOLUME_PRESERVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct preserve_op {
    void (*done_cb)(struct preserve_op *op, int error);
    struct list node;
    uint64_t private[48]; /* the preserver's */
};

/* Layers over this volume, as one. */
struct preserve_ops {
    /* Does some live layer lack one of these blocks? */
    bool (*needs)(void *arg, uint64_t block, uint64_t count);
    /* Makes `bytes` (what the base holds there now) durable in each layer that lacks them, then
     * done_cb. An error fails the base write: nothing a layer shows is ever overwritten. */
    void (*preserve)(void *arg, struct preserve_op *op, uint64_t block, uint64_t count,
                     const uint8_t *bytes, void (*done_cb)(struct preserve_op *op, int error));
};

#endif
