/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A loop whose I/O fails on request: asked before each call into the kernel, which is then not
 * made. Calls that end at once return the error; operations end with it a turn later.
 */
#ifndef NTH_LOOP_H
#define NTH_LOOP_H

#include "io/loop.h"

/* Files: reads, writes and syncs of either kind; names: open, folders, unlink, rename, resize. */
enum nth_io { NTH_READ, NTH_WRITE, NTH_SYNC, NTH_NAME, NTH_SOCKET, NTH_IO_COUNT };

enum { NTH_LATE = 1 }; /* an answer of nth_ask_fn: it is done, and ends a second later */

/* 0, NTH_LATE, or the error (a negative errno). */
typedef int (*nth_ask_fn)(void *arg, struct loop *loop, enum nth_io io);

struct nth_loop;

/* Stands between `loop` and its users from now on, until the loop is gone; both are the caller's
 * to free then. */
struct nth_loop *nth_loop_new(struct loop *loop, nth_ask_fn ask_cb, void *arg);
void nth_loop_free(struct nth_loop *nth);

#endif
