/* SPDX-License-Identifier: Apache-2.0 */
/* The loop for kernels and containers without io_uring: epoll and worker threads. */
#ifndef IO_THREADS_LOOP_H
#define IO_THREADS_LOOP_H

#include "io/loop.h"

int threads_loop_new(struct loop **ret_loop, struct err *err);

#endif
