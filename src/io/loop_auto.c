/* SPDX-License-Identifier: Apache-2.0 */
/* Which loop runs here: io_uring where the kernel lets us, else threads. */
#include "base/check.h"
#include "io/loop.h"
#include "io/threads_loop.h"
#include "io/uring_loop.h"

int loop_new(enum loop_kind kind, struct loop **ret_loop, struct err *err)
{
    check(kind == LOOP_AUTO || kind == LOOP_URING || kind == LOOP_THREADS);
    if (kind == LOOP_URING)
        return uring_loop_new(ret_loop, err);
    if (kind == LOOP_AUTO && uring_loop_new(ret_loop, NULL) == 0)
        return 0;
    return threads_loop_new(ret_loop, err);
}
