/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File operations done by blocking calls: what workers run, and what a loop does at once because
 * the file lies in memory.
 */
#ifndef IO_POSIX_WORK_H
#define IO_POSIX_WORK_H

#include "io/file.h"
#include "io/posix_op.h"

/* Does the file operation that the fill calls below described and stores its result in it. May run
 * on any thread. */
void posix_work_run(struct io_op *op);

/* May posix_work_run() be called on the loop's thread, because it cannot wait for a device and is
 * short? */
bool posix_work_is_quick(struct io_op *op);

void posix_work_fill_transfer(struct io_op *op, enum posix_op_kind kind, struct io_file *file,
                              const struct iovec *iov, unsigned iov_count, uint64_t offset);
void posix_work_fill_sync(struct io_op *op, struct io_file *file);
void posix_work_fill_discard(struct io_op *op, struct io_file *file, uint64_t offset,
                             uint64_t length, enum io_discard_mode mode);
void posix_work_fill_extents(struct io_op *op, struct io_file *file, uint64_t offset,
                             uint64_t length, struct io_extent *extents, unsigned extent_max);

#endif
