/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of the link. docs/link.md is the specification; the short of it:
 *
 *   offset  size  field
 *        0     4  magic "VLNK"
 *        4     1  version of the frame layout, 1
 *        5     1  kind
 *        6     2  flags, 0
 *        8     2  type (CONTROL and DATA), else 0
 *       10     2  channel (OPEN, CREDIT, CONTROL, DATA), else 0
 *       12     4  payload length
 *       16     8  sequence: 0, 1, 2 ... in each direction of a connection
 *       24     4  CRC32C of the payload
 *       28     4  CRC32C of bytes 0 to 27
 *
 * A frame is valid if and only if both checksums hold, magic and version are ours, flags are 0, the
 * kind is known, type, channel and length are inside the bounds of the kind's row in frame_rules,
 * and the sequence is the one after the frame before. Promises of the decoder:
 *
 * 1. Nothing of a header is used before its CRC was checked, nothing of a payload likewise.
 * 2. It holds at most one frame of the allowed length and the slack, whatever comes in.
 * 3. After a bad frame it never gives another.
 */
#include "wire/link_frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"

struct frame_rule {
    bool has_type, has_channel;
    uint32_t length_min, length_max;
};

static const struct frame_rule frame_rules[LINK_FRAME_KIND_COUNT] = {
    [LINK_FRAME_HELLO] = {false, false, 41, LINK_FRAME_PAYLOAD_MAX_GREETING},
    [LINK_FRAME_REFUSE] = {false, false, 4, 512},
    [LINK_FRAME_READY] = {false, false, 8, 8},
    [LINK_FRAME_PING] = {false, false, 8, 8},
    [LINK_FRAME_PONG] = {false, false, 8, 8},
    [LINK_FRAME_OPEN] = {false, true, 1, 39},
    [LINK_FRAME_CREDIT] = {false, true, 4, 4},
    [LINK_FRAME_CONTROL] = {true, true, 0, LINK_FRAME_PAYLOAD_MAX},
    [LINK_FRAME_DATA] = {true, true, 0, LINK_FRAME_PAYLOAD_MAX},
};

static bool is_allowed(const struct link_frame *frame)
{
    const struct frame_rule *rule;

    if (frame->kind == 0 || frame->kind >= LINK_FRAME_KIND_COUNT)
        return false;
    rule = &frame_rules[frame->kind];
    if (!rule->has_type && frame->type != 0)
        return false;
    if (frame->channel > (rule->has_channel ? LINK_FRAME_CHANNEL_MAX : 0))
        return false;
    return frame->length >= rule->length_min && frame->length <= rule->length_max;
}

void link_frame_encode(const struct link_frame *frame, uint8_t *ret_header)
{
    check(is_allowed(frame));
    put_le32(ret_header, LINK_FRAME_MAGIC);
    ret_header[4] = LINK_FRAME_VERSION;
    ret_header[5] = frame->kind;
    put_le16(ret_header + 6, 0);
    put_le16(ret_header + 8, frame->type);
    put_le16(ret_header + 10, frame->channel);
    put_le32(ret_header + 12, frame->length);
    put_le64(ret_header + 16, frame->sequence);
    put_le32(ret_header + 24, frame->payload_crc);
    put_le32(ret_header + 28, crc32c(0, ret_header, 28));
}

int link_frame_decode(const uint8_t *header, struct link_frame *ret_frame, struct err *err)
{
    struct link_frame frame = {0};

    if (get_le32(header) != LINK_FRAME_MAGIC)
        return err_set(err, -EBADMSG, "what came is no frame of a link");
    /* Another layout may keep its checksum elsewhere: the version is told before. */
    if (header[4] != LINK_FRAME_VERSION)
        return err_set(err, -EPROTONOSUPPORT, "the peer's frames have version %u, ours %u",
                       header[4], LINK_FRAME_VERSION);
    if (get_le32(header + 28) != crc32c(0, header, 28))
        return err_set(err, -EBADMSG, "a frame's header came damaged (CRC32C)");
    frame.kind = header[5];
    frame.type = get_le16(header + 8);
    frame.channel = get_le16(header + 10);
    frame.length = get_le32(header + 12);
    frame.sequence = get_le64(header + 16);
    frame.payload_crc = get_le32(header + 24);
    if (get_le16(header + 6) != 0 || !is_allowed(&frame))
        return err_set(err, -EPROTO, "frame of kind %u, channel %u, %u bytes breaks the rules",
                       frame.kind, frame.channel, frame.length);
    *ret_frame = frame;
    return 0;
}

int link_decoder_init(struct link_decoder *decoder, uint32_t payload_max, size_t slack)
{
    *decoder = (struct link_decoder){0};
    return link_decoder_grow(decoder, payload_max, slack);
}

int link_decoder_grow(struct link_decoder *decoder, uint32_t payload_max, size_t slack)
{
    size_t size = LINK_FRAME_HEADER_SIZE + (size_t)payload_max + slack;
    uint8_t *bytes;

    check(payload_max >= decoder->payload_max && payload_max <= LINK_FRAME_PAYLOAD_MAX);
    check(size >= decoder->size);
    bytes = realloc(decoder->bytes, size);
    if (bytes == NULL)
        return -ENOMEM;
    decoder->bytes = bytes;
    decoder->size = size;
    decoder->payload_max = payload_max;
    return 0;
}

void link_decoder_fini(struct link_decoder *decoder)
{
    free(decoder->bytes);
    *decoder = (struct link_decoder){0};
}

uint8_t *link_decoder_room(struct link_decoder *decoder, size_t *ret_room)
{
    size_t held = decoder->end - decoder->begin;
    size_t frame_size_max = LINK_FRAME_HEADER_SIZE + (size_t)decoder->payload_max;

    check(held < frame_size_max);
    /* Moving bytes is put off until the room behind them is small. */
    if (held == 0 || decoder->size - decoder->begin < frame_size_max ||
        decoder->size - decoder->end < decoder->size / 8) {
        if (held > 0)
            memmove(decoder->bytes, decoder->bytes + decoder->begin, held);
        decoder->begin = 0;
        decoder->end = held;
    }
    *ret_room = decoder->size - decoder->end;
    check(*ret_room > 0);
    return decoder->bytes + decoder->end;
}

void link_decoder_fill(struct link_decoder *decoder, size_t length)
{
    check(length <= decoder->size - decoder->end);
    decoder->end += length;
}

static int next_frame(struct link_decoder *decoder, struct link_frame *ret_frame, struct err *err)
{
    size_t held = decoder->end - decoder->begin;
    const uint8_t *at = decoder->bytes + decoder->begin;
    struct link_frame frame;
    int rc;

    if (held < LINK_FRAME_HEADER_SIZE)
        return 0;
    rc = link_frame_decode(at, &frame, err);
    if (rc < 0)
        return rc;
    if (frame.length > decoder->payload_max)
        return err_set(err, -EMSGSIZE, "frame of %u bytes, %u are allowed now", frame.length,
                       decoder->payload_max);
    if (frame.sequence != decoder->sequence_next)
        return err_set(err, -EPROTO, "frame %llu came where %llu was due",
                       (unsigned long long)frame.sequence,
                       (unsigned long long)decoder->sequence_next);
    if (held - LINK_FRAME_HEADER_SIZE < frame.length)
        return 0;
    frame.payload = at + LINK_FRAME_HEADER_SIZE;
    if (crc32c(0, frame.payload, frame.length) != frame.payload_crc)
        return err_set(err, -EBADMSG, "a frame's content came damaged (CRC32C)");
    decoder->begin += LINK_FRAME_HEADER_SIZE + (size_t)frame.length;
    decoder->sequence_next++;
    *ret_frame = frame;
    return 1;
}

int link_decoder_next(struct link_decoder *decoder, struct link_frame *ret_frame, struct err *err)
{
    int rc;

    if (decoder->has_failed)
        return err_set(err, -EPROTO, "the bytes before were no frame");
    rc = next_frame(decoder, ret_frame, err);
    if (rc < 0)
        decoder->has_failed = true;
    return rc;
}
