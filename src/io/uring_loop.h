/* SPDX-License-Identifier: Apache-2.0 */
/* The loop on io_uring. */
#ifndef IO_URING_LOOP_H
#define IO_URING_LOOP_H

#include "io/loop.h"

/* An error where the kernel forbids io_uring (-EPERM, -ENOSYS) or lacks what we need (-ENOTSUP). */
int uring_loop_new(struct loop **ret_loop, struct err *err);

#endif
