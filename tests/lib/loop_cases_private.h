/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files that hold the cases: the state of a case, and small helpers. */
#ifndef TESTS_LIB_LOOP_CASES_PRIVATE_H
#define TESTS_LIB_LOOP_CASES_PRIVATE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "tests/lib/loop_cases.h"

struct loop_case {
    const struct loop_cases *cases;
    struct loop *loop;
    char path[2][256]; /* folder/a, folder/b */
};

/* An operation that stops the loop when its callback ran. */
struct wait_op {
    struct io_op op;
    struct loop *loop;
    int64_t result;
    bool is_done;
};

void wait_op_done(struct io_op *op, int64_t result);
/* Runs the loop until `wait` is done; returns its result. Fails if it was done before. */
int64_t wait_op_run(struct wait_op *wait, struct loop *loop);
int64_t case_read(struct loop *loop, struct io_file *file, void *bytes, size_t length,
                  uint64_t offset);
int64_t case_write(struct loop *loop, struct io_file *file, const void *bytes, size_t length,
                   uint64_t offset);

#define LOOP_CASES_CORE(X)                                                                         \
    X(timers_order)                                                                                \
    X(timers_cancel)                                                                               \
    X(timer_set_again)                                                                             \
    X(timer_fires_after_deadline)                                                                  \
    X(defer_once_a_turn)                                                                           \
    X(defer_from_deferred)                                                                         \
    X(post_order)                                                                                  \
    X(post_from_threads)                                                                           \
    X(made_here_run_there)                                                                         \
    X(stop_and_run_again)                                                                          \
    X(clock_random_boot)

#define LOOP_CASES_FILE(X)                                                                         \
    X(file_open_flags)                                                                             \
    X(file_lock)                                                                                   \
    X(file_now)                                                                                    \
    X(file_read_write)                                                                             \
    X(file_past_end)                                                                               \
    X(file_callback_later)                                                                         \
    X(file_parallel)                                                                               \
    X(file_big)                                                                                    \
    X(file_discard)                                                                                \
    X(file_zero)                                                                                   \
    X(file_extents)                                                                                \
    X(map)                                                                                         \
    X(dirs)

#define LOOP_CASES_SOCKET(X)                                                                       \
    X(socket_echo_unix)                                                                            \
    X(socket_echo_tcp)                                                                             \
    X(socket_big)                                                                                  \
    X(socket_end)                                                                                  \
    X(socket_shutdown_recv)                                                                        \
    X(socket_shutdown_send)                                                                        \
    X(socket_shutdown_accept)                                                                      \
    X(socket_refused)                                                                              \
    X(socket_bad_address)                                                                          \
    X(socket_in_use)                                                                               \
    X(socket_many)                                                                                 \
    X(socket_stress)

#define LOOP_CASE_DECLARE(name) void case_##name(void **state);
LOOP_CASES_CORE(LOOP_CASE_DECLARE)
LOOP_CASES_FILE(LOOP_CASE_DECLARE)
LOOP_CASES_SOCKET(LOOP_CASE_DECLARE)

#endif
