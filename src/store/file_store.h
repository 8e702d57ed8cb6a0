/* SPDX-License-Identifier: Apache-2.0 */
/* The driver "file": a raw file. Its operations serve any io_file, so the driver "block" uses them
 * too. */
#ifndef STORE_FILE_STORE_H
#define STORE_FILE_STORE_H

#include "store/store_driver.h"

/* As store_open() for a regular file. */
int file_store_open(struct loop *loop, const struct store_options *options,
                    struct store **ret_store, struct err *err);

/* Makes a store of an open file, which it takes over on success. Errors as store_open(). */
int file_store_wrap(struct loop *loop, struct io_file *file, const struct store_options *options,
                    bool is_block, struct store **ret_store, struct err *err);

#endif
