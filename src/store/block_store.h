/* SPDX-License-Identifier: Apache-2.0 */
/* The driver "block": an existing block device, in place. */
#ifndef STORE_BLOCK_STORE_H
#define STORE_BLOCK_STORE_H

#include "store/store_driver.h"

/* As store_open() for a block device; `create` is -EINVAL. */
int block_store_open(struct loop *loop, const struct store_options *options,
                     struct store **ret_store, struct err *err);

#endif
