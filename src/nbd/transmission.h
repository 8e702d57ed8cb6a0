/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transmission phase of one connection: bytes become requests on the export, their ends become
 * replies. It owns the requests and their buffers; the connection owns the socket.
 */
#ifndef NBD_TRANSMISSION_H
#define NBD_TRANSMISSION_H

#include "nbd/buffer_pool.h"
#include "nbd/export.h"
#include "nbd/reply_queue.h"
#include "wire/nbd_transmission.h"

enum {
    TRANSMISSION_DISCARD_BYTES_MAX = 64 << 20, /* payload of a refused write that is read away */
};

enum transmission_result {
    TRANSMISSION_MORE,       /* all bytes that make sense so far were consumed */
    TRANSMISSION_STALLED,    /* at a limit: feed again after wake_cb */
    TRANSMISSION_DISCONNECT, /* the client said goodbye */
    TRANSMISSION_BROKEN,     /* the connection must end; `reason` says why */
};

struct transmission_request;

struct transmission {
    uint32_t magic;
    struct nbd_export *export;
    struct buffer_pool *pool;
    struct reply_queue *replies;
    struct nbd_request_limits limits;
    void (*wake_cb)(void *arg); /* a request came to its end, or a buffer may be had */
    void *arg;
    struct list free_requests;
    unsigned request_count; /* from header to sent reply */
    uint64_t buffer_bytes;
    unsigned request_count_max;
    uint64_t buffer_bytes_max;
    struct buffer_waiter waiter;
    struct transmission_request *receiving; /* a write whose payload is not all here */
    uint32_t received_bytes;
    uint64_t discard_bytes;
    uint64_t write_count;  /* write headers taken: tells one payload from the next */
    bool has_large_writes; /* the last write was one: see transmission_receive_hint() */
    char reason[96];
};

void transmission_init(struct transmission *transmission, struct nbd_export *export,
                       struct buffer_pool *pool, struct reply_queue *replies,
                       bool has_structured_replies, bool has_allocation_context);
void transmission_set_wake(struct transmission *transmission, void (*wake_cb)(void *arg),
                           void *arg);
/* Before bytes are fed: how many requests may be under way, and the bytes of their buffers (at
 * least one of the largest). */
void transmission_set_limits(struct transmission *transmission, unsigned request_count_max,
                             uint64_t buffer_bytes_max);
void transmission_fini(struct transmission *transmission); /* must be idle */

/* Takes requests out of `bytes`; replies land in the queue, now or later. */
enum transmission_result transmission_feed(struct transmission *transmission, const uint8_t *bytes,
                                           size_t length, size_t *ret_consumed);
/* Where the rest of a large payload may be received without a copy; 0: nowhere. */
size_t transmission_receive_target(struct transmission *transmission, uint8_t **ret_bytes);
void transmission_received(struct transmission *transmission, size_t length);
/* How many bytes at most the next receive into the shared buffer should take: few when large
 * writes follow each other, so that their payload goes where it is wanted. */
size_t transmission_receive_hint(const struct transmission *transmission, size_t room);

/* A write's payload is not all here. */
bool transmission_is_within_message(const struct transmission *transmission);
/* As transmission_is_idle(), but for a half received write. */
bool transmission_is_answered(const struct transmission *transmission);
/* No more bytes will be fed: a half received write is dropped. */
void transmission_end(struct transmission *transmission);
/* No request of the client's is under way and no reply is unsent. */
bool transmission_is_idle(const struct transmission *transmission);

#endif
