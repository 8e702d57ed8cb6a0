/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending side of a connection's channels. Invariants:
 *
 * 1. A channel's OPEN frame is queued before any frame of the channel, and own frames go first.
 * 2. For each channel: data_bytes <= unconsumed <= window, where unconsumed is all that was queued
 *    and for which no credit came. So data that waits never waits for credit.
 * 3. A channel is in `turns` if and only if it has a frame.
 */
#include "replication/link_queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/crc32c.h"

enum { CHANNEL_MAGIC = 0x6c636861 };

struct link_queue_channel {
    uint32_t magic;
    struct list turn;
    struct list control, data; /* of link_queue_frame */
    char stream[LINK_STREAM_SIZE];
    uint16_t number;
    bool is_waiting_room;
    bool has_parted;
    uint32_t deficit; /* bytes it may still send in this turn */
    uint64_t control_bytes, data_bytes, unconsumed;
};

void link_queue_init(struct link_queue *queue)
{
    *queue = (struct link_queue){0};
    list_init(&queue->own);
    list_init(&queue->turns);
}

static void free_frames(struct list *frames)
{
    struct list *node;

    while ((node = list_pop(frames)) != NULL)
        free(list_entry(node, struct link_queue_frame, node));
}

void link_queue_fini(struct link_queue *queue)
{
    for (unsigned i = 0; i < queue->channel_count; i++) {
        check_magic(queue->channels[i], CHANNEL_MAGIC);
        free_frames(&queue->channels[i]->control);
        free_frames(&queue->channels[i]->data);
        free(queue->channels[i]);
    }
    free(queue->channels);
    free_frames(&queue->own);
    link_queue_init(queue);
}

void link_queue_open(struct link_queue *queue, uint32_t window, const struct link_pieces *pieces)
{
    struct link_pieces *own = &queue->pieces;

    check(queue->window == 0 && window >= LINK_WINDOW_MIN);
    if (pieces != NULL)
        *own = *pieces;
    own->frame_bytes = (uint32_t)piece_or(own->frame_bytes, LINK_FRAME_PAYLOAD_MAX);
    own->window_bytes = (uint32_t)piece_or(own->window_bytes, window);
    own->queue_bytes = (uint32_t)piece_or(own->queue_bytes, LINK_QUEUE_DATA_MAX);
    queue->window = own->window_bytes < window ? own->window_bytes : window;
    check(own->frame_bytes <= queue->window &&
          own->frame_bytes + LINK_FRAME_HEADER_SIZE <= own->queue_bytes);
}

/* A frame of head and payload, in one piece. */
static struct link_queue_frame *make_frame(const struct link_frame *frame, const void *head,
                                           uint32_t head_length, const void *payload)
{
    struct link_queue_frame *made;
    uint8_t *at;

    check(head_length <= frame->length && frame->length <= LINK_FRAME_PAYLOAD_MAX);
    made = malloc(sizeof(*made) + LINK_FRAME_HEADER_SIZE + frame->length);
    if (made == NULL)
        return NULL;
    list_init(&made->node);
    made->frame = *frame;
    at = made->bytes + LINK_FRAME_HEADER_SIZE;
    if (head_length > 0)
        memcpy(at, head, head_length);
    if (frame->length > head_length)
        memcpy(at + head_length, payload, frame->length - head_length);
    made->frame.payload_crc = crc32c(0, at, frame->length);
    return made;
}

int link_queue_own(struct link_queue *queue, uint8_t kind, uint16_t channel, const void *bytes,
                   uint32_t length)
{
    struct link_frame frame = {.kind = kind, .channel = channel, .length = length};
    struct link_queue_frame *made;

    if (queue->own_bytes + length + LINK_FRAME_HEADER_SIZE > LINK_QUEUE_OWN_MAX)
        return -ENOBUFS;
    made = make_frame(&frame, bytes, length, NULL);
    if (made == NULL)
        return -ENOMEM;
    list_append(&queue->own, &made->node);
    queue->own_bytes += link_queue_frame_size(made);
    queue->bytes += link_queue_frame_size(made);
    return 0;
}

static struct link_queue_channel *find_channel(struct link_queue *queue, const char *stream)
{
    for (unsigned i = 0; i < queue->channel_count; i++)
        if (strcmp(queue->channels[i]->stream, stream) == 0)
            return queue->channels[i];
    return NULL;
}

static int make_channel(struct link_queue *queue, const char *stream,
                        struct link_queue_channel **ret_channel)
{
    struct link_queue_channel *channel;

    if (queue->channels == NULL)
        queue->channels = calloc(LINK_FRAME_CHANNEL_MAX + 1, sizeof(queue->channels[0]));
    channel = queue->channels != NULL ? calloc(1, sizeof(*channel)) : NULL;
    if (channel == NULL)
        return -ENOMEM;
    channel->magic = CHANNEL_MAGIC;
    list_init(&channel->turn);
    list_init(&channel->control);
    list_init(&channel->data);
    memcpy(channel->stream, stream, strlen(stream));
    channel->number = (uint16_t)queue->channel_count;
    queue->channels[queue->channel_count++] = channel;
    *ret_channel = channel;
    return 0;
}

static int open_channel(struct link_queue *queue, const char *stream,
                        struct link_queue_channel **ret_channel)
{
    struct link_queue_channel *channel = find_channel(queue, stream);
    int rc;

    if (channel != NULL) {
        queue->parted_count -= channel->has_parted;
        channel->has_parted = false;
        *ret_channel = channel;
        return 0;
    }
    if (queue->channel_count == 0) {
        rc = make_channel(queue, "", &channel);
        if (rc < 0)
            return rc;
    }
    if (stream[0] != 0) {
        check(link_name_is_valid(stream, LINK_STREAM_SIZE));
        if (queue->channel_count > LINK_FRAME_CHANNEL_MAX)
            return -ENOSPC;
        rc = link_queue_own(queue, LINK_FRAME_OPEN, (uint16_t)queue->channel_count, stream,
                            (uint32_t)strlen(stream));
        if (rc < 0)
            return rc;
        /* An OPEN that was queued for nothing would break the numbering. */
        rc = make_channel(queue, stream, &channel);
        if (rc < 0) {
            struct link_queue_frame *frame =
                list_entry(queue->own.prev, struct link_queue_frame, node);

            list_remove(&frame->node);
            queue->own_bytes -= link_queue_frame_size(frame);
            queue->bytes -= link_queue_frame_size(frame);
            free(frame);
            return rc;
        }
    }
    *ret_channel = channel;
    return 0;
}

void link_queue_part(struct link_queue *queue, const char *stream)
{
    struct link_queue_channel *channel = find_channel(queue, stream);

    if (channel == NULL || channel->has_parted)
        return;
    channel->has_parted = true;
    queue->parted_count++;
}

bool link_queue_has_parted(const struct link_queue *queue)
{
    return queue->parted_count > 0;
}

static void queue_frame(struct link_queue *queue, struct link_queue_channel *channel,
                        struct list *frames, struct link_queue_frame *made)
{
    if (list_is_empty(&channel->turn))
        list_append(&queue->turns, &channel->turn);
    list_append(frames, &made->node);
    queue->bytes += link_queue_frame_size(made);
}

int link_queue_control(struct link_queue *queue, const char *stream, uint16_t type,
                       const void *bytes, uint32_t length)
{
    struct link_frame frame = {.kind = LINK_FRAME_CONTROL, .type = type, .length = length};
    struct link_queue_channel *channel;
    struct link_queue_frame *made;
    int rc = open_channel(queue, stream, &channel);

    if (rc < 0)
        return rc;
    if (channel->control_bytes + length + LINK_FRAME_HEADER_SIZE > LINK_QUEUE_CONTROL_MAX)
        return -ENOBUFS;
    frame.channel = channel->number;
    made = make_frame(&frame, bytes, length, NULL);
    if (made == NULL)
        return -ENOMEM;
    queue_frame(queue, channel, &channel->control, made);
    channel->control_bytes += link_queue_frame_size(made);
    return 0;
}

/* Headers count for the queue, lest empty frames pile up; the window counts payloads alone. */
static bool has_room(const struct link_queue *queue, const struct link_queue_channel *channel,
                     uint32_t length)
{
    return channel->data_bytes + LINK_FRAME_HEADER_SIZE + length <= queue->pieces.queue_bytes &&
           channel->unconsumed + length <= queue->window;
}

int link_queue_data(struct link_queue *queue, const char *stream, uint16_t type, const void *head,
                    uint32_t head_length, const void *payload, uint32_t payload_length)
{
    uint32_t length = head_length + payload_length;
    struct link_frame frame = {.kind = LINK_FRAME_DATA, .type = type, .length = length};
    struct link_queue_channel *channel;
    struct link_queue_frame *made;
    int rc = open_channel(queue, stream, &channel);

    check(head_length <= LINK_FRAME_PAYLOAD_MAX && payload_length <= LINK_FRAME_PAYLOAD_MAX);
    if (rc < 0)
        return rc;
    if (!has_room(queue, channel, length)) {
        channel->is_waiting_room = true;
        return -EAGAIN;
    }
    frame.channel = channel->number;
    made = make_frame(&frame, head, head_length, payload);
    if (made == NULL)
        return -ENOMEM;
    queue_frame(queue, channel, &channel->data, made);
    channel->data_bytes += link_queue_frame_size(made);
    channel->unconsumed += length;
    check(channel->unconsumed <= queue->window);
    return 0;
}

bool link_queue_credit(struct link_queue *queue, uint16_t channel, uint32_t length)
{
    struct link_queue_channel *credited;

    if (channel >= queue->channel_count)
        return false;
    credited = queue->channels[channel];
    if (length > credited->unconsumed)
        return false;
    credited->unconsumed -= length;
    return true;
}

const char *link_queue_next_room(struct link_queue *queue)
{
    for (unsigned i = 0; i < queue->channel_count; i++) {
        struct link_queue_channel *channel = queue->channels[i];

        if (channel->is_waiting_room && has_room(queue, channel, queue->pieces.frame_bytes)) {
            channel->is_waiting_room = false;
            return channel->stream;
        }
    }
    return NULL;
}

static struct link_queue_frame *peek_frame(const struct link_queue_channel *channel)
{
    const struct list *frames =
        list_is_empty(&channel->control) ? &channel->data : &channel->control;

    check(!list_is_empty(frames));
    return list_entry(frames->next, struct link_queue_frame, node);
}

/* Deficit round robin: a channel that cannot pay its next frame gets a quantum and goes last. */
static struct link_queue_frame *take_in_turn(struct link_queue *queue)
{
    for (;;) {
        struct link_queue_channel *channel =
            list_entry(queue->turns.next, struct link_queue_channel, turn);
        struct link_queue_frame *frame = peek_frame(channel);
        uint32_t size = link_queue_frame_size(frame);

        check_magic(channel, CHANNEL_MAGIC);
        if (channel->deficit < size) {
            channel->deficit += (uint32_t)piece_or(queue->pieces.turn_bytes, LINK_QUEUE_QUANTUM);
            list_remove(&channel->turn);
            list_append(&queue->turns, &channel->turn);
            continue;
        }
        channel->deficit -= size;
        list_remove(&frame->node);
        if (frame->frame.kind == LINK_FRAME_CONTROL)
            channel->control_bytes -= size;
        else
            channel->data_bytes -= size;
        if (list_is_empty(&channel->control) && list_is_empty(&channel->data)) {
            channel->deficit = 0;
            list_remove(&channel->turn);
        }
        return frame;
    }
}

struct link_queue_frame *link_queue_take(struct link_queue *queue)
{
    struct link_queue_frame *frame;

    if (!list_is_empty(&queue->own)) {
        frame = list_entry(list_pop(&queue->own), struct link_queue_frame, node);
        queue->own_bytes -= link_queue_frame_size(frame);
    } else if (!list_is_empty(&queue->turns)) {
        frame = take_in_turn(queue);
    } else {
        check(queue->bytes == 0);
        return NULL;
    }
    queue->bytes -= link_queue_frame_size(frame);
    frame->frame.sequence = queue->sequence_next++;
    link_frame_encode(&frame->frame, frame->bytes);
    return frame;
}
