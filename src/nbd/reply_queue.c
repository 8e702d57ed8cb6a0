/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gathering of replies.
 *
 *   1. At most one send is under way; replies leave in the order in which they were added.
 *   2. Headers of a batch are copied side by side, so that a row of replies without payload is a
 *      single piece for the kernel.
 *   3. sent_cb is called exactly once for each reply: after its batch was sent, or when the queue
 *      failed.
 */
#include "nbd/reply_queue.h"

#include <string.h>

#include "base/check.h"

enum {
    QUEUE_MAGIC = 0x6e727165,
    BATCH_BYTES_MAX = 1 << 20, /* so that buffers of large reads come back early */
};

void reply_queue_init(struct reply_queue *queue, struct loop *loop, struct io_socket *socket,
                      void (*progress_cb)(void *arg), void *arg)
{
    queue->magic = QUEUE_MAGIC;
    queue->loop = loop;
    queue->socket = socket;
    queue->is_sending = false;
    queue->has_failed = false;
    queue->progress_cb = progress_cb;
    queue->arg = arg;
    list_init(&queue->waiting);
    list_init(&queue->sending);
}

void reply_queue_add(struct reply_queue *queue, struct reply *reply)
{
    check_magic(queue, QUEUE_MAGIC);
    check(reply->header_bytes <= REPLY_HEADER_BYTES_MAX);
    check(reply->header_bytes + reply->payload_bytes > 0);
    if (queue->has_failed) {
        reply->sent_cb(reply);
        return;
    }
    list_append(&queue->waiting, &reply->node);
}

static void release_replies(struct list *replies)
{
    struct list *node;

    while ((node = list_pop(replies))) {
        struct reply *reply = list_entry(node, struct reply, node);
        reply->sent_cb(reply);
    }
}

static void send_done(struct io_op *op, int64_t result)
{
    struct reply_queue *queue = list_entry(op, struct reply_queue, op);

    check_magic(queue, QUEUE_MAGIC);
    check(queue->is_sending);
    queue->is_sending = false;
    release_replies(&queue->sending);
    if (result < 0)
        reply_queue_fail(queue);
    queue->progress_cb(queue->arg);
}

struct batch {
    struct reply_queue *queue;
    unsigned iov_count;
    size_t header_bytes; /* used of queue->headers */
    size_t bytes;
};

static void put_piece(struct batch *batch, const uint8_t *bytes, size_t length)
{
    struct iovec *last = &batch->queue->iov[batch->iov_count];

    if (length == 0)
        return;
    batch->bytes += length;
    if (batch->iov_count > 0 && (uint8_t *)last[-1].iov_base + last[-1].iov_len == bytes) {
        last[-1].iov_len += length;
        return;
    }
    check(batch->iov_count < ARRAY_COUNT(batch->queue->iov));
    *last = (struct iovec){(void *)bytes, length};
    batch->iov_count++;
}

static void put_reply(struct batch *batch, const struct reply *reply)
{
    uint8_t *header = batch->queue->headers + batch->header_bytes;

    memcpy(header, reply->header, reply->header_bytes);
    batch->header_bytes += reply->header_bytes;
    put_piece(batch, header, reply->header_bytes);
    put_piece(batch, reply->payload, reply->payload_bytes);
}

void reply_queue_flush(struct reply_queue *queue)
{
    struct batch batch = {.queue = queue};

    check_magic(queue, QUEUE_MAGIC);
    if (queue->is_sending || list_is_empty(&queue->waiting))
        return;
    for (unsigned count = 0; count < REPLY_BATCH_COUNT_MAX && batch.bytes < BATCH_BYTES_MAX;
         count++) {
        struct list *node = list_pop(&queue->waiting);

        if (node == NULL)
            break;
        put_reply(&batch, list_entry(node, struct reply, node));
        list_append(&queue->sending, node);
    }
    queue->is_sending = true;
    io_send(queue->loop, &queue->op, queue->socket, queue->iov, batch.iov_count, send_done);
}

void reply_queue_fail(struct reply_queue *queue)
{
    check_magic(queue, QUEUE_MAGIC);
    queue->has_failed = true;
    release_replies(&queue->waiting);
}

bool reply_queue_is_idle(const struct reply_queue *queue)
{
    return !queue->is_sending && list_is_empty(&queue->waiting);
}
