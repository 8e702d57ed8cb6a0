/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the implementations on a real kernel keep in io_op.private while an operation is in flight:
 * all of it, so that no operation allocates.
 */
#ifndef IO_POSIX_OP_H
#define IO_POSIX_OP_H

#include <sys/socket.h>

#include "base/check.h"
#include "io/file.h"

enum posix_op_kind {
    OP_READ = 1,
    OP_WRITE,
    OP_SYNC,
    OP_DISCARD,
    OP_EXTENTS,
    OP_ACCEPT,
    OP_CONNECT,
    OP_RECV,
    OP_SEND,
    OP_WAKE,
};

struct posix_op {
    uint32_t kind;
    uint32_t iov_count;
    struct io_op *next; /* in the one queue that holds it */
    void *target;       /* the io_file or io_socket */
    const struct iovec *iov;
    uint64_t offset, length; /* all that was asked for, in bytes */
    uint64_t done;           /* bytes transferred so far */
    int64_t result;          /* while it waits for its callback */
    union {
        struct iovec buffer;   /* recv */
        struct msghdr message; /* send, while the kernel has it */
        uint32_t discard_mode;
        struct {
            struct io_extent *at;
            uint32_t count_max;
        } extents;
    };
};

_Static_assert(sizeof(struct posix_op) <= sizeof(((struct io_op *)0)->private),
               "an operation must fit its private part");

static inline struct posix_op *posix_op_of(struct io_op *op)
{
    return (struct posix_op *)op->private;
}

/* Bytes that `iov` names. */
static inline uint64_t posix_op_iov_bytes(const struct iovec *iov, unsigned iov_count)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < iov_count; i++)
        bytes += iov[i].iov_len;
    return bytes;
}

/* A first in, first out queue of operations, linked by posix_op.next. */
struct posix_op_queue {
    struct io_op *head, *tail;
};

static inline void posix_op_push(struct posix_op_queue *queue, struct io_op *op)
{
    posix_op_of(op)->next = NULL;
    if (queue->head == NULL)
        queue->head = op;
    else
        posix_op_of(queue->tail)->next = op;
    queue->tail = op;
}

static inline struct io_op *posix_op_pop(struct posix_op_queue *queue)
{
    struct io_op *op = queue->head;

    if (op != NULL)
        queue->head = posix_op_of(op)->next;
    return op;
}

/* What is still to transfer, as at most 1024 vectors: the caller's own where a transfer ended on
 * their border, else `single`, the rest of one. */
static inline const struct iovec *posix_op_rest(const struct posix_op *state, struct iovec *single,
                                                unsigned *ret_count)
{
    uint64_t skip = state->done;
    unsigned index = 0;

    check(state->done < state->length);
    while (skip >= state->iov[index].iov_len) /* empty vectors too: a transfer of 0 is an end */
        skip -= state->iov[index++].iov_len;
    check(index < state->iov_count);
    if (skip > 0) {
        single->iov_base = (char *)state->iov[index].iov_base + skip;
        single->iov_len = state->iov[index].iov_len - skip;
        *ret_count = 1;
        return single;
    }
    *ret_count = state->iov_count - index < 1024 ? state->iov_count - index : 1024;
    return state->iov + index;
}

#endif
