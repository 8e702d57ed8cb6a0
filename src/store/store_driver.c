/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the operations of every driver end, and so the place that fences (but for a driver's grow).
 *
 *  1. The first failed sync fences its store. A fence is never lifted on an open store.
 *  2. Nothing that ends after the fence ends well, whenever it was submitted: a sync that was under
 *     way beside the failed one may answer 0 over bytes that the kernel has dropped.
 */
#include <errno.h>

#include "base/check.h"
#include "store/store_driver.h"

/* Lies in the io.private of an operation that no driver has seen. */
struct soon {
    struct loop_task task;
    struct store_op *op;
    int64_t result;
};

_Static_assert(sizeof(struct soon) <= sizeof(((struct io_op *)NULL)->private), "soon fits");

void store_op_done(struct store_op *op, int result)
{
    check_magic(op->store, STORE_MAGIC);
    check(op->done_cb != NULL);
    op->done_cb(op, op->store->is_fenced ? -EIO : result);
}

void store_op_sync_done(struct store_op *op, int result)
{
    check_magic(op->store, STORE_MAGIC);
    check(result <= 0);
    if (result < 0)
        op->store->is_fenced = true;
    store_op_done(op, result);
}

static void soon_run(struct loop_task *task)
{
    struct soon *soon = container_of(task, struct soon, task);

    store_op_done(soon->op, (int)soon->result);
}

void store_op_done_soon(struct store_op *op, int result)
{
    struct soon *soon = (struct soon *)op->io.private;

    check_magic(op->store, STORE_MAGIC);
    list_init(&soon->task.node);
    soon->task.run_cb = soon_run;
    soon->op = op;
    soon->result = result;
    loop_defer(op->store->loop, &soon->task);
}
