/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The link to one peer site: one TCP connection, either side may dial, TLS 1.3 with a pre-shared
 * key, versioned handshake, heartbeats, reconnect with backoff and jitter. All streams and the
 * control wing's calls share it: each channel has a queue, the queues are served in turn, a quantum
 * of bytes each. Frames: wire/link_frame.h, docs/link.md.
 *
 * Credit: a channel may have at most its window of payload bytes sent and not yet consumed by the
 * receiver (link_consumed()); so neither side buffers without bound. Control frames are not
 * counted.
 *
 * Order: data frames of a stream arrive in the order of sending, and so do its control frames; but
 * control frames overtake data frames that wait. What must stay behind data (a cut) is sent as a
 * data frame, be it empty.
 */
#ifndef REPLICATION_LINK_H
#define REPLICATION_LINK_H

#include "io/socket.h"
#include "replication/pieces.h"

struct link;
struct link_session;
struct link_hello;

enum { LINK_CHANNEL_CALL = 0, LINK_CHANNEL_STREAM_FIRST = 1 }; /* channel ids are per connection */

struct link_options {
    const char *site_name; /* ours */
    uint64_t site_id;      /* random, made once a data directory */
    const char *peer_name;
    const char *peer_address; /* "HOST:PORT" to dial, or NULL: wait to be dialled */
    const uint8_t *psk;       /* copied; NULL: no TLS (tests and simulation only) */
    size_t psk_length;
    uint64_t heartbeat_ns;                   /* 0: 5 s */
    uint64_t silence_ns;                     /* 0: 15 s without a frame ends the connection */
    uint64_t backoff_min_ns, backoff_max_ns; /* 0: 100 ms, 10 s */
    struct link_pieces pieces;               /* 0s: the usual ones */
};

struct link_frame_in {
    const char *stream; /* the stream's id; "" on the call channel */
    uint16_t type;      /* the user's */
    const uint8_t *bytes;
    uint32_t length;
};

/* What the owner gives; called on the loop. */
struct link_callbacks {
    void (*up_cb)(void *arg);                    /* handshake done; send may be called */
    void (*down_cb)(void *arg, const char *why); /* all that was queued or under way is lost */
    /* A frame came, checked (CRC), in order (see above). Returns false to end the connection
     * (the content is malformed; `why` goes to the log). Data frames count against the window until
     * link_consumed(). */
    bool (*frame_cb)(void *arg, const struct link_frame_in *frame, struct err *why);
    /* Room again on the stream's queue after link_send_data() gave -EAGAIN. */
    void (*room_cb)(void *arg, const char *stream);
    void *arg;
};

struct link_status {
    bool is_up;
    uint64_t since_ns; /* up or down since; loop_now_ns */
    uint64_t heard_ns; /* the last frame of the peer */
    uint64_t round_trip_ns;
    uint64_t bytes_out, bytes_in; /* on the wire, over all connections */
    uint64_t queued_bytes;        /* waiting to be sent, all channels */
    uint64_t peer_site_id;
    char last_error[160]; /* why it is down */
};

int link_new(struct loop *loop, const struct link_options *options,
             const struct link_callbacks *callbacks, struct link **ret_link, struct err *err);
void link_free(struct link *link); /* after link_stop() told so */
void link_start(struct link *link);
void link_stop(struct link *link, void (*stopped_cb)(void *arg), void *arg);
bool link_is_up(const struct link *link);
/* The version of the protocol that both speak on this connection; 0 while it is down. */
unsigned link_protocol(const struct link *link);
const struct link_status *link_status(struct link *link);
/* Drops the connection (a protocol violation seen by the owner); reconnects by itself. */
void link_drop(struct link *link, const char *why);

/* Queues a frame; the bytes are copied; at most LINK_FRAME_PAYLOAD_MAX (1 MiB + 64 KiB) with the
 * head. Nothing is queued on an error. Control frames: 0, -ENOTCONN (also when the peer takes so
 * little that more than 16 MiB wait, or memory is short: the connection ends), -ENOSPC (more than
 * 1023 streams; when some of them are past, the connection ends for new numbers). Data frames: also
 * -EAGAIN when the stream's window or queue is full; room_cb follows.
 */
int link_send_control(struct link *link, const char *stream, uint16_t type, const void *bytes,
                      uint32_t length);
int link_send_data(struct link *link, const char *stream, uint16_t type, const void *head,
                   uint32_t head_length, const void *payload, uint32_t payload_length);
/* The stream is past: it sends nothing more. */
void link_part(struct link *link, const char *stream);
/* The receiver is done with so many bytes of data frames: credit goes back. Unknown streams and
 * more than is owed are ignored: a frame of an earlier connection may be done with late. */
void link_consumed(struct link *link, const char *stream, uint32_t length);

/* For link_listener. */
const struct link_options *link_settings(const struct link *link);
/* A connection whose HELLO names our peer, with the key proved: it is the link's from here on. */
void link_accept(struct link *link, struct link_session *session, const struct link_hello *hello);

#endif
