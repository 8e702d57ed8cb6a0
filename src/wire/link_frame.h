/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of the link between two sites: the 32-byte header and an incremental, bounded decoder.
 * The byte tables are in docs/link.md. Pure: no I/O, clock, log.
 */
#ifndef WIRE_LINK_FRAME_H
#define WIRE_LINK_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
    LINK_FRAME_MAGIC = 0x4b4e4c56, /* "VLNK" */
    LINK_FRAME_VERSION = 1,
    LINK_FRAME_HEADER_SIZE = 32,
    LINK_FRAME_PAYLOAD_MAX = (1 << 20) + (64 << 10), /* 1 MiB of blocks and what describes them */
    LINK_FRAME_PAYLOAD_MAX_GREETING =
        2048, /* all that a peer may make us hold before it is known */
    LINK_FRAME_CHANNEL_MAX = 1023,
};

enum link_frame_kind {
    LINK_FRAME_HELLO = 1, /* who am I; payloads of the first seven: wire/link_message.h */
    LINK_FRAME_REFUSE,    /* why I close */
    LINK_FRAME_READY,     /* the dialler's last step of the handshake */
    LINK_FRAME_PING,
    LINK_FRAME_PONG,
    LINK_FRAME_OPEN,    /* this channel number is that stream */
    LINK_FRAME_CREDIT,  /* so many bytes of data frames were consumed */
    LINK_FRAME_CONTROL, /* the user's, not counted */
    LINK_FRAME_DATA,    /* the user's, counted against the window */
    LINK_FRAME_KIND_COUNT
};

struct link_frame {
    uint8_t kind;
    uint16_t type;    /* the user's, of CONTROL and DATA; else 0 */
    uint16_t channel; /* of OPEN, CREDIT, CONTROL, DATA; else 0 */
    uint32_t length;  /* of the payload */
    uint64_t sequence;
    uint32_t payload_crc;
    const uint8_t *payload; /* decoded: inside the decoder's buffer */
};

/* Writes the header, with its CRC, of a frame whose payload_crc is set. */
void link_frame_encode(const struct link_frame *frame, uint8_t *ret_header);
/* Checks a header and fills `ret_frame` but for the payload. -EBADMSG: not a frame, or damaged;
 * -EPROTONOSUPPORT: another frame version; -EPROTO: a frame that may not be. */
int link_frame_decode(const uint8_t *header, struct link_frame *ret_frame, struct err *err);

/* Bytes come in as they come, frames go out whole and checked. */
struct link_decoder {
    uint8_t *bytes;
    size_t size, begin, end;
    uint32_t payload_max;
    uint64_t sequence_next;
    bool has_failed;
};

/* Frames with a longer payload than `payload_max` are refused before a byte of it is kept; `slack`
 * bytes of buffer are added to take several frames in one receive. 0 or -ENOMEM. */
int link_decoder_init(struct link_decoder *decoder, uint32_t payload_max, size_t slack);
/* The same for a decoder in use; both may only grow. -ENOMEM: it is as it was. */
int link_decoder_grow(struct link_decoder *decoder, uint32_t payload_max, size_t slack);
void link_decoder_fini(struct link_decoder *decoder);

/* Where the next bytes go, at least one; ends the life of frames given out before. Only to be
 * called after link_decoder_next() gave 0. */
uint8_t *link_decoder_room(struct link_decoder *decoder, size_t *ret_room);
void link_decoder_fill(struct link_decoder *decoder, size_t length);
/* 1: a frame; 0: more bytes are needed; or a negative errno, then for ever. */
int link_decoder_next(struct link_decoder *decoder, struct link_frame *ret_frame, struct err *err);

#endif
