/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that will be needed when there may be no room: made before, under "<path>.spare", with all
 * their room (as far as the file system promises any), and nothing written in it. Taken by a
 * rename, which needs none. A spare that is missing, of another size or kind, or written in, is not
 * taken.
 * All of it blocks.
 */
#ifndef REPLICATION_SPARE_H
#define REPLICATION_SPARE_H

#include "base/err.h"
#include "io/file.h"

/* Of zeros. One that is there and good stays. -ENOSPC: there is none now, and none of its room is
 * taken. */
int spare_make(struct loop *loop, const char *path, uint64_t bytes, struct err *err);
/* The same: a bitfile without a bit. */
int spare_make_bitfile(struct loop *loop, const char *path, const char *kind, uint64_t bit_count,
                       struct err *err);
/* True: it lies at `path` now, where nothing was; durable with the next sync of the folder. False:
 * there was none that is good, and there is none. */
bool spare_take(struct loop *loop, const char *path, uint64_t bytes);
bool spare_take_bitfile(struct loop *loop, const char *path, const char *kind, uint64_t bit_count);
void spare_remove(struct loop *loop, const char *path); /* a missing one is fine */

#endif
