/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payload buffers of all connections of a server, with one limit over them. Buffers are powers of
 * two from 4 KiB to 32 MiB, aligned to 4 KiB; a returned one is kept for the next request, so the
 * steady state allocates nothing.
 */
#ifndef NBD_BUFFER_POOL_H
#define NBD_BUFFER_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

enum {
    BUFFER_SHIFT_MIN = 12,
    BUFFER_SHIFT_MAX = 25,
    BUFFER_CLASS_COUNT = BUFFER_SHIFT_MAX - BUFFER_SHIFT_MIN + 1,
};

struct buffer {
    struct list node;
    uint8_t *bytes;
    uint32_t size_bytes;
};

struct buffer_waiter {
    void (*ready_cb)(struct buffer_waiter *waiter); /* must not take a buffer from inside */
    struct list node;
};

struct buffer_pool {
    struct list free[BUFFER_CLASS_COUNT];
    struct list waiters;
    uint64_t used_bytes, used_bytes_max;
    uint64_t kept_bytes; /* on the free lists */
};

void buffer_pool_init(struct buffer_pool *pool, uint64_t used_bytes_max);
void buffer_pool_fini(struct buffer_pool *pool); /* all buffers must be back */

/* A buffer of at least `bytes`. -EAGAIN: over the limit, wait; -ENOMEM. `is_first`: the caller
 * holds no other one; a small buffer is then given past the limit, so that nobody can starve. */
int buffer_pool_get(struct buffer_pool *pool, uint32_t bytes, bool is_first,
                    struct buffer **ret_buffer);
/* What a buffer for `bytes` counts. */
uint32_t buffer_pool_size(uint32_t bytes);
void buffer_pool_put(struct buffer_pool *pool, struct buffer *buffer);

/* Calls ready_cb once when a buffer came back. */
void buffer_waiter_init(struct buffer_waiter *waiter, void (*ready_cb)(struct buffer_waiter *));
void buffer_pool_wait(struct buffer_pool *pool, struct buffer_waiter *waiter);
void buffer_waiter_cancel(struct buffer_waiter *waiter); /* idempotent */

#endif
