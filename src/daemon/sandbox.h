/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the process may ask of the kernel once it serves: system calls by an allow list (seccomp).
 * Whatever is not listed answers EPERM. Built with a sanitizer, whose runtime needs more, only a
 * few calls are refused. Operations of the ring have a list of their own: io/uring_ring.c.
 */
#ifndef DAEMON_SANDBOX_H
#define DAEMON_SANDBOX_H

#include "base/err.h"

/* First thing in main(): no core dump, no memory for other processes of the same user. */
void sandbox_hide_memory(void);

/* All threads of the process, present and future. After everything that listens is open. */
int sandbox_enter(struct err *err);

/* The calling thread, after sandbox_enter(): sockets and memory only, no file can be opened, read
 * or written by position. For the thread that reads what API clients send. */
int sandbox_narrow(struct err *err);

#endif
