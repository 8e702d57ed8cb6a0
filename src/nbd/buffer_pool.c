/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why not malloc() for each request: a 256 KiB block comes fresh from the kernel each time, and
 * its page faults cost more than the copy into it.
 *
 *   1. used_bytes counts the buffers that are out, by their full size; it passes used_bytes_max
 *      only by small first buffers: at most FIRST_BYTES_MAX for each connection.
 *   2. kept_bytes never passes KEPT_BYTES_MAX: an idle server gives memory back.
 *   3. Every waiter is called after a put, in order, and asks anew.
 */
#include "nbd/buffer_pool.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"

enum { FIRST_BYTES_MAX = 128 << 10, KEPT_BYTES_MAX = 16 << 20 };

void buffer_pool_init(struct buffer_pool *pool, uint64_t used_bytes_max)
{
    *pool = (struct buffer_pool){.used_bytes_max = used_bytes_max};
    for (unsigned i = 0; i < BUFFER_CLASS_COUNT; i++)
        list_init(&pool->free[i]);
    list_init(&pool->waiters);
}

static void buffer_free(struct buffer *buffer)
{
    free(buffer->bytes);
    free(buffer);
}

void buffer_pool_fini(struct buffer_pool *pool)
{
    check(pool->used_bytes == 0);
    check(list_is_empty(&pool->waiters));
    for (unsigned i = 0; i < BUFFER_CLASS_COUNT; i++) {
        struct list *node;

        while ((node = list_pop(&pool->free[i])))
            buffer_free(list_entry(node, struct buffer, node));
    }
}

static unsigned class_of(uint32_t bytes)
{
    unsigned class = 0;

    check(bytes > 0 && bytes <= UINT32_C(1) << BUFFER_SHIFT_MAX);
    while (UINT32_C(1) << (BUFFER_SHIFT_MIN + class) < bytes)
        class ++;
    return class;
}

uint32_t buffer_pool_size(uint32_t bytes)
{
    return UINT32_C(1) << (BUFFER_SHIFT_MIN + class_of(bytes));
}

static struct buffer *buffer_new(uint32_t size_bytes)
{
    struct buffer *buffer = calloc(1, sizeof(*buffer));

    if (buffer == NULL)
        return NULL;
    list_init(&buffer->node);
    buffer->size_bytes = size_bytes;
    buffer->bytes = aligned_alloc(UINT32_C(1) << BUFFER_SHIFT_MIN, size_bytes);
    if (buffer->bytes == NULL) {
        free(buffer);
        return NULL;
    }
    return buffer;
}

int buffer_pool_get(struct buffer_pool *pool, uint32_t bytes, bool is_first,
                    struct buffer **ret_buffer)
{
    unsigned class = class_of(bytes);
    uint32_t size_bytes = buffer_pool_size(bytes);
    struct list *node;

    if (pool->used_bytes + size_bytes > pool->used_bytes_max &&
        !(is_first && size_bytes <= FIRST_BYTES_MAX))
        return -EAGAIN;
    node = list_pop(&pool->free[class]);
    if (node) {
        *ret_buffer = list_entry(node, struct buffer, node);
        check(pool->kept_bytes >= size_bytes);
        pool->kept_bytes -= size_bytes;
    } else {
        *ret_buffer = buffer_new(size_bytes);
        if (*ret_buffer == NULL)
            return -ENOMEM;
    }
    pool->used_bytes += size_bytes;
    return 0;
}

void buffer_pool_put(struct buffer_pool *pool, struct buffer *buffer)
{
    struct list waiters;
    struct list *node;

    check(pool->used_bytes >= buffer->size_bytes);
    check(list_is_empty(&buffer->node));
    pool->used_bytes -= buffer->size_bytes;
    if (pool->kept_bytes + buffer->size_bytes <= KEPT_BYTES_MAX) {
        pool->kept_bytes += buffer->size_bytes;
        list_push(&pool->free[class_of(buffer->size_bytes)], &buffer->node);
    } else {
        buffer_free(buffer);
    }
    if (list_is_empty(&pool->waiters))
        return;
    list_init(&waiters);
    while ((node = list_pop(&pool->waiters)))
        list_append(&waiters, node);
    while ((node = list_pop(&waiters))) {
        struct buffer_waiter *waiter = list_entry(node, struct buffer_waiter, node);
        waiter->ready_cb(waiter);
    }
}

void buffer_waiter_init(struct buffer_waiter *waiter, void (*ready_cb)(struct buffer_waiter *))
{
    waiter->ready_cb = ready_cb;
    list_init(&waiter->node);
}

void buffer_pool_wait(struct buffer_pool *pool, struct buffer_waiter *waiter)
{
    if (list_is_empty(&waiter->node))
        list_append(&pool->waiters, &waiter->node);
}

void buffer_waiter_cancel(struct buffer_waiter *waiter)
{
    list_remove(&waiter->node);
}
