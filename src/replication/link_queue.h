/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What waits to be sent on one connection: the link's own frames first, then the channels in turn,
 * a quantum of bytes each (deficit round robin), in a channel control before data. Pure: no I/O,
 * clock, log.
 */
#ifndef REPLICATION_LINK_QUEUE_H
#define REPLICATION_LINK_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "replication/pieces.h"
#include "wire/link_frame.h"
#include "wire/link_message.h"

enum {
    LINK_QUEUE_QUANTUM = 256 << 10,
    LINK_QUEUE_DATA_MAX = 4 << 20,     /* payload bytes of data that wait, a channel */
    LINK_QUEUE_CONTROL_MAX = 16 << 20, /* of control */
    LINK_QUEUE_OWN_MAX = 1 << 20,      /* of the link's own frames */
};

struct link_queue_frame {
    struct list node;
    struct link_frame frame; /* payload unset */
    uint8_t bytes[];         /* header, encoded when taken; then the payload */
};

struct link_queue_channel;

struct link_queue {
    uint64_t sequence_next;
    uint32_t window;           /* 0 until the peer's is known: then no data frames */
    struct link_pieces pieces; /* none is 0 once there is a window */
    uint64_t bytes;            /* all that waits, with headers */
    uint64_t own_bytes;
    struct list own;   /* of link_queue_frame */
    struct list turns; /* channels with something to send; the head is served */
    struct link_queue_channel *
        *channels; /* LINK_FRAME_CHANNEL_MAX + 1, made with the first; 0: calls */
    unsigned channel_count, parted_count;
};

void link_queue_init(struct link_queue *queue);
void link_queue_fini(struct link_queue *queue);
/* How many data bytes of a channel the peer lets be under way; once, before the first of them.
 * `pieces` NULL: the usual ones. */
void link_queue_open(struct link_queue *queue, uint32_t window, const struct link_pieces *pieces);

/* Each returns 0 with the frame queued, or queues nothing: -ENOMEM; -ENOBUFS: more of this sort
 * waits than may (the peer takes nothing); -ENOSPC: too many streams. */
int link_queue_own(struct link_queue *queue, uint8_t kind, uint16_t channel, const void *bytes,
                   uint32_t length);
/* The stream is not there any more, here. Numbers are given once in a connection, so its own is
 * used up until it comes back. */
void link_queue_part(struct link_queue *queue, const char *stream);
/* Would a new connection have a number for one stream more? */
bool link_queue_has_parted(const struct link_queue *queue);
int link_queue_control(struct link_queue *queue, const char *stream, uint16_t type,
                       const void *bytes, uint32_t length);
/* Also -EAGAIN: window or queue are full; link_queue_next_room() will name the stream. */
int link_queue_data(struct link_queue *queue, const char *stream, uint16_t type, const void *head,
                    uint32_t head_length, const void *payload, uint32_t payload_length);

/* The peer consumed data. False: more than it got, or on a channel that it does not know. */
bool link_queue_credit(struct link_queue *queue, uint16_t channel, uint32_t length);
/* A stream that was told -EAGAIN and can queue the longest data frame now; NULL: none. Each is
 * named once. */
const char *link_queue_next_room(struct link_queue *queue);

/* The next frame to send, encoded; NULL: none. The caller frees it. */
struct link_queue_frame *link_queue_take(struct link_queue *queue);
static inline uint32_t link_queue_frame_size(const struct link_queue_frame *frame)
{
    return LINK_FRAME_HEADER_SIZE + frame->frame.length;
}

#endif
