/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests.
 *
 *   header ─ refused ──────────────────────────────────────────┐
 *     └─ buffer ─ [payload] ─ export (in pieces of at most 32 MiB) ─ reply ─ sent ─ free list
 *
 * Invariants:
 *   1. request_count requests exist between header and sent reply, at most request_count_max;
 *      buffer_bytes is the sum of their buffers, at most buffer_bytes_max. At a limit the header
 * stays unread: a client that does not read its replies stops itself.
 *   2. A request is checked (nbd_request_verify) before anything of it is allocated or done.
 *   3. A request struct goes back to the free list only in reply_sent(), and lives until the
 *      transmission ends: the steady state allocates nothing.
 *   4. Small payloads are copied out of the shared receive buffer into aligned ones of their own
 *      (a copy of 4 KiB in cache costs less than pinning the shared buffer); of large ones only
 * what came with the header.
 */
#include "nbd/transmission.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum {
    TRANSMISSION_MAGIC = 0x6e747261,
    REQUEST_MAGIC = 0x6e726571,
    CONTEXT_ID_ALLOCATION = 1, /* as the handshake promised */
    PIECE_BYTES_MAX = VOLUME_REQUEST_BYTES_MAX,
    DIRECT_BYTES_MIN = 16 << 10, /* less is received into the shared buffer and copied */
    LARGE_BYTES_MIN = 64 << 10,
    LARGE_RECEIVE_BYTES = 4 << 10,
    EXTENT_COUNT_MAX = 512,
    EXTENT_BUFFER_BYTES = EXTENT_COUNT_MAX * (sizeof(struct io_extent) + NBD_EXTENT_BYTES),
};

struct transmission_request {
    uint32_t magic;
    struct list node; /* on the free list */
    struct transmission *transmission;
    struct nbd_request_header header;
    struct buffer *buffer; /* NULL: none */
    struct iovec iov;
    uint64_t done_bytes; /* of header.length, in pieces */
    struct volume_request volume;
    struct store_op extents_op;
    struct reply reply;
};

static void waiter_ready(struct buffer_waiter *waiter)
{
    struct transmission *transmission = list_entry(waiter, struct transmission, waiter);

    check_magic(transmission, TRANSMISSION_MAGIC);
    transmission->wake_cb(transmission->arg);
}

void transmission_init(struct transmission *transmission, struct nbd_export *export,
                       struct buffer_pool *pool, struct reply_queue *replies,
                       bool has_structured_replies, bool has_allocation_context)
{
    *transmission = (struct transmission){
        .magic = TRANSMISSION_MAGIC,
        .export = export,
        .pool = pool,
        .replies = replies,
        .limits = {.size_bytes = export->size_bytes,
                   .is_read_only = export->is_read_only,
                   .has_structured_replies = has_structured_replies,
                   .has_allocation_context = has_allocation_context},
    };
    list_init(&transmission->free_requests);
    buffer_waiter_init(&transmission->waiter, waiter_ready);
}

void transmission_set_wake(struct transmission *transmission, void (*wake_cb)(void *arg), void *arg)
{
    transmission->wake_cb = wake_cb;
    transmission->arg = arg;
}

void transmission_set_limits(struct transmission *transmission, unsigned request_count_max,
                             uint64_t buffer_bytes_max)
{
    check(request_count_max > 0 && buffer_bytes_max >= buffer_pool_size(NBD_PAYLOAD_BYTES_MAX));
    transmission->request_count_max = request_count_max;
    transmission->buffer_bytes_max = buffer_bytes_max;
}

void transmission_fini(struct transmission *transmission)
{
    struct list *node;

    check_magic(transmission, TRANSMISSION_MAGIC);
    check(transmission_is_idle(transmission));
    check(transmission->buffer_bytes == 0);
    buffer_waiter_cancel(&transmission->waiter);
    while ((node = list_pop(&transmission->free_requests)))
        free(list_entry(node, struct transmission_request, node));
    transmission->magic = 0;
}

bool transmission_is_idle(const struct transmission *transmission)
{
    return transmission->request_count == 0;
}

static void release_buffer(struct transmission_request *request)
{
    struct transmission *transmission = request->transmission;

    if (request->buffer == NULL)
        return;
    check(transmission->buffer_bytes >= request->buffer->size_bytes);
    transmission->buffer_bytes -= request->buffer->size_bytes;
    buffer_pool_put(transmission->pool, request->buffer);
    request->buffer = NULL;
}

static void release_request(struct transmission_request *request)
{
    struct transmission *transmission = request->transmission;

    release_buffer(request);
    check(transmission->request_count > 0);
    transmission->request_count--;
    list_push(&transmission->free_requests, &request->node);
    transmission->wake_cb(transmission->arg);
}

static void reply_sent(struct reply *reply)
{
    struct transmission_request *request = list_entry(reply, struct transmission_request, reply);

    check_magic(request, REQUEST_MAGIC);
    release_request(request);
}

/* A request with `buffer_bytes` of buffer (0: none). -EAGAIN: at a limit. */
static int take_request(struct transmission *transmission, uint32_t buffer_bytes,
                        struct transmission_request **ret_request)
{
    struct transmission_request *request;
    struct buffer *buffer = NULL;
    struct list *node;
    int error;

    if (transmission->request_count >= transmission->request_count_max)
        return -EAGAIN;
    if (buffer_bytes > 0) {
        if (transmission->buffer_bytes + buffer_pool_size(buffer_bytes) >
            transmission->buffer_bytes_max)
            return -EAGAIN;
        error = buffer_pool_get(transmission->pool, buffer_bytes, transmission->buffer_bytes == 0,
                                &buffer);
        if (error == -EAGAIN)
            buffer_pool_wait(transmission->pool, &transmission->waiter);
        if (error != 0)
            return error;
    }
    node = list_pop(&transmission->free_requests);
    request =
        node ? list_entry(node, struct transmission_request, node) : calloc(1, sizeof(*request));
    if (request == NULL) {
        if (buffer)
            buffer_pool_put(transmission->pool, buffer);
        return -ENOMEM;
    }
    request->magic = REQUEST_MAGIC;
    list_init(&request->node);
    request->transmission = transmission;
    request->buffer = buffer;
    request->done_bytes = 0;
    request->reply.sent_cb = reply_sent;
    transmission->request_count++;
    transmission->buffer_bytes += buffer ? buffer->size_bytes : 0;
    *ret_request = request;
    return 0;
}

/* Queues the reply; `payload` lies in the request's buffer. */
static void send_reply(struct transmission_request *request, unsigned header_bytes,
                       const uint8_t *payload, uint32_t payload_bytes)
{
    struct transmission *transmission = request->transmission;

    request->reply.header_bytes = header_bytes;
    request->reply.payload = payload;
    request->reply.payload_bytes = payload_bytes;
    reply_queue_add(transmission->replies, &request->reply);
    transmission->wake_cb(transmission->arg);
}

static bool wants_chunk(const struct transmission_request *request)
{
    uint16_t type = request->header.type;

    return request->transmission->limits.has_structured_replies &&
           (type == NBD_CMD_READ || type == NBD_CMD_BLOCK_STATUS);
}

static void send_result(struct transmission_request *request, uint32_t nbd_error)
{
    uint8_t *header = request->reply.header;

    release_buffer(request); /* the next payload finds it still in the cache */
    if (nbd_error != 0 && wants_chunk(request)) {
        nbd_error_chunk_encode(header, request->header.cookie, nbd_error);
        send_reply(request, NBD_ERROR_CHUNK_BYTES, NULL, 0);
        return;
    }
    nbd_simple_reply_encode(header, nbd_error, request->header.cookie);
    send_reply(request, NBD_SIMPLE_REPLY_BYTES, NULL, 0);
}

static void send_data(struct transmission_request *request)
{
    const struct nbd_request_header *header = &request->header;

    if (wants_chunk(request)) {
        nbd_data_chunk_encode(request->reply.header, header->cookie, header->offset,
                              header->length);
        send_reply(request, NBD_DATA_CHUNK_BYTES, request->buffer->bytes, header->length);
        return;
    }
    nbd_simple_reply_encode(request->reply.header, 0, header->cookie);
    send_reply(request, NBD_SIMPLE_REPLY_BYTES, request->buffer->bytes, header->length);
}

static void submit_piece(struct transmission_request *request);

static void request_done(struct volume_request *volume, int error)
{
    struct transmission_request *request = list_entry(volume, struct transmission_request, volume);

    check_magic(request, REQUEST_MAGIC);
    request->done_bytes += volume->length;
    if (error != 0)
        send_result(request, nbd_error_from_errno(error));
    else if (request->done_bytes < request->header.length)
        submit_piece(request);
    else if (request->header.type == NBD_CMD_READ)
        send_data(request);
    else
        send_result(request, 0);
}

static const enum volume_op volume_ops[] = {
    [NBD_CMD_READ] = VOLUME_READ,   [NBD_CMD_WRITE] = VOLUME_WRITE,
    [NBD_CMD_FLUSH] = VOLUME_FLUSH, [NBD_CMD_TRIM] = VOLUME_TRIM,
    [NBD_CMD_CACHE] = VOLUME_CACHE, [NBD_CMD_WRITE_ZEROES] = VOLUME_WRITE_ZEROES,
};

static unsigned volume_flags(const struct nbd_request_header *header)
{
    unsigned flags = 0;

    if (header->type == NBD_CMD_WRITE || header->type == NBD_CMD_TRIM ||
        header->type == NBD_CMD_WRITE_ZEROES)
        flags |= header->flags & NBD_CMD_FLAG_FUA ? VOLUME_FUA : 0;
    if (header->flags & NBD_CMD_FLAG_NO_HOLE)
        flags |= VOLUME_NO_HOLE;
    if (header->flags & NBD_CMD_FLAG_FAST_ZERO)
        flags |= VOLUME_FAST_ZERO;
    return flags;
}

static void submit_piece(struct transmission_request *request)
{
    const struct nbd_request_header *header = &request->header;
    struct volume_request *volume = &request->volume;
    struct nbd_export *export = request->transmission->export;
    uint64_t length = header->length - request->done_bytes;

    check(header->type < ARRAY_COUNT(volume_ops) && header->type != NBD_CMD_DISC);
    volume->op = volume_ops[header->type];
    volume->flags = volume_flags(header);
    volume->offset = header->offset + request->done_bytes;
    volume->length = length < PIECE_BYTES_MAX ? length : PIECE_BYTES_MAX;
    volume->iov = NULL;
    volume->iov_count = 0;
    if (request->buffer) {
        check(length <= request->buffer->size_bytes);
        request->iov = (struct iovec){request->buffer->bytes, length};
        volume->iov = &request->iov;
        volume->iov_count = 1;
    }
    volume->done_cb = request_done;
    export->ops->submit(export->arg, volume);
}

static struct io_extent *extents_of(struct transmission_request *request)
{
    return (struct io_extent *)request->buffer->bytes;
}

static void extents_done(struct store_op *op, int count)
{
    struct transmission_request *request = list_entry(op, struct transmission_request, extents_op);
    const struct nbd_request_header *header = &request->header;
    const struct io_extent *extents = extents_of(request);
    uint8_t *bytes = request->buffer->bytes + EXTENT_COUNT_MAX * sizeof(struct io_extent);
    struct nbd_extent_list list = {
        .bytes = bytes,
        .count_max = header->flags & NBD_CMD_FLAG_REQ_ONE ? 1 : EXTENT_COUNT_MAX,
        .end = header->offset,
        .length_max = header->length,
    };

    check_magic(request, REQUEST_MAGIC);
    if (count < 0) {
        send_result(request, nbd_error_from_errno(count));
        return;
    }
    check(count > 0 && count <= EXTENT_COUNT_MAX);
    for (int i = 0; i < count; i++)
        if (!nbd_extent_append(&list, extents[i].offset, extents[i].length, extents[i].is_hole))
            break;
    if (list.count == 0) /* less than a sector was told: "data" is always true */
        nbd_extent_append(&list, header->offset, header->length, false);
    nbd_status_chunk_encode(request->reply.header, header->cookie, CONTEXT_ID_ALLOCATION,
                            list.count);
    send_reply(request, NBD_STATUS_CHUNK_BYTES, bytes, list.count * NBD_EXTENT_BYTES);
}

static void submit_request(struct transmission_request *request)
{
    const struct nbd_request_header *header = &request->header;
    struct nbd_export *export = request->transmission->export;

    if (header->type == NBD_CMD_BLOCK_STATUS)
        export->ops->extents(export->arg, &request->extents_op, header->offset, header->length,
                             extents_of(request), EXTENT_COUNT_MAX, extents_done);
    else
        submit_piece(request);
}

/* A refused request: its reply, and for a write its payload away. */
static enum transmission_result refuse_request(struct transmission *transmission,
                                               const struct nbd_request_header *header,
                                               uint32_t nbd_error)
{
    struct transmission_request *request;
    int error;

    if (header->type == NBD_CMD_WRITE && header->length > TRANSMISSION_DISCARD_BYTES_MAX) {
        snprintf(transmission->reason, sizeof(transmission->reason), "a write of %u bytes",
                 header->length);
        return TRANSMISSION_BROKEN;
    }
    error = take_request(transmission, 0, &request);
    if (error == -ENOMEM) {
        snprintf(transmission->reason, sizeof(transmission->reason), "no memory for a reply");
        return TRANSMISSION_BROKEN;
    }
    if (error != 0)
        return TRANSMISSION_STALLED;
    request->header = *header;
    if (header->type == NBD_CMD_WRITE) {
        transmission->discard_bytes = header->length;
        transmission->write_count++;
    }
    send_result(request, nbd_error);
    return TRANSMISSION_MORE;
}

static uint32_t buffer_bytes_of(const struct nbd_request_header *header)
{
    switch (header->type) {
    case NBD_CMD_READ:
    case NBD_CMD_WRITE:
        return header->length;
    case NBD_CMD_BLOCK_STATUS:
        return EXTENT_BUFFER_BYTES;
    default:
        return 0;
    }
}

static enum transmission_result take_header(struct transmission *transmission, const uint8_t *bytes)
{
    struct nbd_request_header header;
    struct transmission_request *request;
    uint32_t nbd_error;
    int error;

    if (nbd_request_decode(bytes, &header) != 0) {
        snprintf(transmission->reason, sizeof(transmission->reason),
                 "a request without its magic (0x%08x)", get_be32(bytes));
        return TRANSMISSION_BROKEN;
    }
    if (header.type == NBD_CMD_DISC)
        return TRANSMISSION_DISCONNECT;
    transmission->limits.size_bytes = transmission->export->size_bytes; /* it may have grown */
    nbd_error = nbd_request_verify(&header, &transmission->limits);
    if (nbd_error != 0)
        return refuse_request(transmission, &header, nbd_error);
    error = take_request(transmission, buffer_bytes_of(&header), &request);
    if (error == -ENOMEM)
        return refuse_request(transmission, &header, NBD_ENOMEM);
    if (error != 0)
        return TRANSMISSION_STALLED;
    request->header = header;
    if (header.type == NBD_CMD_WRITE) {
        transmission->receiving = request;
        transmission->received_bytes = 0;
        transmission->write_count++;
        transmission->has_large_writes = header.length >= LARGE_BYTES_MIN;
    } else {
        submit_request(request);
    }
    return TRANSMISSION_MORE;
}

void transmission_received(struct transmission *transmission, size_t length)
{
    struct transmission_request *request = transmission->receiving;

    check(request != NULL);
    check(length <= request->header.length - transmission->received_bytes);
    transmission->received_bytes += (uint32_t)length;
    if (transmission->received_bytes < request->header.length)
        return;
    transmission->receiving = NULL;
    submit_request(request);
}

/* What `bytes` hold of the current write's payload, wanted or not; how much it was. */
static size_t feed_payload(struct transmission *transmission, const uint8_t *bytes, size_t length)
{
    size_t wanted = transmission->discard_bytes;

    if (transmission->receiving)
        wanted = transmission->receiving->header.length - transmission->received_bytes;
    if (length > wanted)
        length = wanted;
    if (length == 0)
        return 0;
    if (transmission->receiving) {
        memcpy(transmission->receiving->buffer->bytes + transmission->received_bytes, bytes,
               length);
        transmission_received(transmission, length);
    } else {
        transmission->discard_bytes -= length;
    }
    return length;
}

enum transmission_result transmission_feed(struct transmission *transmission, const uint8_t *bytes,
                                           size_t length, size_t *ret_consumed)
{
    enum transmission_result result = TRANSMISSION_MORE;
    size_t at = 0;

    check_magic(transmission, TRANSMISSION_MAGIC);
    for (;;) {
        at += feed_payload(transmission, bytes + at, length - at);
        if (transmission->receiving || transmission->discard_bytes > 0 ||
            length - at < NBD_REQUEST_BYTES)
            break;
        result = take_header(transmission, bytes + at);
        if (result == TRANSMISSION_STALLED || result == TRANSMISSION_BROKEN)
            break;
        at += NBD_REQUEST_BYTES;
        if (result == TRANSMISSION_DISCONNECT)
            break;
    }
    *ret_consumed = at;
    return result;
}

size_t transmission_receive_target(struct transmission *transmission, uint8_t **ret_bytes)
{
    struct transmission_request *request = transmission->receiving;
    size_t left;

    if (request == NULL)
        return 0;
    left = request->header.length - transmission->received_bytes;
    if (left < DIRECT_BYTES_MIN)
        return 0;
    *ret_bytes = request->buffer->bytes + transmission->received_bytes;
    return left;
}

size_t transmission_receive_hint(const struct transmission *transmission, size_t room)
{
    if (transmission->has_large_writes && transmission->receiving == NULL &&
        room > LARGE_RECEIVE_BYTES)
        return LARGE_RECEIVE_BYTES;
    return room;
}

bool transmission_is_within_message(const struct transmission *transmission)
{
    return transmission->receiving != NULL || transmission->discard_bytes > 0;
}

bool transmission_is_answered(const struct transmission *transmission)
{
    return transmission->request_count == (transmission->receiving ? 1 : 0);
}

void transmission_end(struct transmission *transmission)
{
    struct transmission_request *request = transmission->receiving;

    check_magic(transmission, TRANSMISSION_MAGIC);
    buffer_waiter_cancel(&transmission->waiter);
    transmission->receiving = NULL;
    transmission->discard_bytes = 0;
    if (request)
        release_request(request);
}
