/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a connection has to send: replies gathered during a turn of the loop go out in one send. A
 * reply is embedded in its request and stays until sent_cb.
 */
#ifndef NBD_REPLY_QUEUE_H
#define NBD_REPLY_QUEUE_H

#include "io/socket.h"

enum { REPLY_HEADER_BYTES_MAX = 28, REPLY_BATCH_COUNT_MAX = 256 };

struct reply {
    struct list node;
    uint32_t header_bytes; /* may be 0 */
    uint32_t payload_bytes;
    const uint8_t *payload;
    void (*sent_cb)(struct reply *reply);
    uint8_t header[REPLY_HEADER_BYTES_MAX];
};

struct reply_queue {
    uint32_t magic;
    struct loop *loop;
    struct io_socket *socket;
    struct io_op op;
    struct list waiting, sending;
    bool is_sending;
    bool has_failed;                /* the socket is dead: replies are dropped */
    void (*progress_cb)(void *arg); /* after a send, good or bad */
    void *arg;
    struct iovec iov[2 * REPLY_BATCH_COUNT_MAX];
    uint8_t headers[REPLY_BATCH_COUNT_MAX * REPLY_HEADER_BYTES_MAX];
};

void reply_queue_init(struct reply_queue *queue, struct loop *loop, struct io_socket *socket,
                      void (*progress_cb)(void *arg), void *arg);
/* Queues `reply`; on a queue that failed, sent_cb is called at once. */
void reply_queue_add(struct reply_queue *queue, struct reply *reply);
/* Sends what waits, unless a send is under way. Call it once a turn. */
void reply_queue_flush(struct reply_queue *queue);
/* The socket is shut down: what waits is dropped (sent_cb each), and all that comes. */
void reply_queue_fail(struct reply_queue *queue);
/* Nothing waits and nothing is being sent. */
bool reply_queue_is_idle(const struct reply_queue *queue);

#endif
