/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder of the link's frames and the payloads of HELLO and REFUSE, in pieces of any length.
 *
 * Input: one byte of settings, then records: kind 1, twist 1, type 2, channel 2, length 2, payload.
 * A record becomes a frame with both checksums right; the twist breaks one thing of it, or sends
 * the record's payload as it is. Promise that is checked: frames come out as they were put in, up
 * to the first that was twisted, and none after.
 *
 * Covers: wire/link_frame.c wire/link_message.c.
 */
#include <stdlib.h>

#include "base/crc32c.h"
#include "fuzz.h"
#include "wire/link_frame.h"
#include "wire/link_message.h"

enum { TWIST_NONE, TWIST_HEADER, TWIST_PAYLOAD, TWIST_SEQUENCE, TWIST_LONG, TWIST_RAW, TWISTS };
enum { STREAM_MAX = 1 << 18 };

struct wire {
    uint8_t *bytes;
    size_t length;
    uint64_t sequence;
    unsigned good; /* frames before the first twisted one */
    bool is_twisted;
};

static void check_messages(const struct link_frame *frame)
{
    uint8_t again[LINK_HELLO_SIZE_MAX + LINK_REFUSE_TEXT_SIZE + 4];
    struct link_hello hello, hello_again;
    struct link_refuse refuse, refuse_again;
    uint32_t length;

    if (frame->kind == LINK_FRAME_HELLO &&
        link_hello_decode(frame->payload, frame->length, &hello)) {
        length = link_hello_encode(&hello, again);
        check(length <= LINK_HELLO_SIZE_MAX && link_hello_decode(again, length, &hello_again));
        check(link_name_is_valid(hello.site, sizeof(hello.site)));
        check(hello_again.nonce == hello.nonce && hello_again.window == hello.window);
        check(strcmp(hello_again.site, hello.site) == 0);
    }
    if (frame->kind == LINK_FRAME_REFUSE &&
        link_refuse_decode(frame->payload, frame->length, &refuse)) {
        length = link_refuse_encode(&refuse, again);
        check(link_refuse_decode(again, length, &refuse_again));
        check(strcmp(refuse.text, refuse_again.text) == 0);
    }
}

static void put(struct wire *wire, const uint8_t *bytes, size_t length)
{
    if (length > STREAM_MAX - wire->length)
        length = STREAM_MAX - wire->length;
    if (length > 0)
        memcpy(wire->bytes + wire->length, bytes, length);
    wire->length += length;
}

static void put_frame(struct wire *wire, struct bytes_reader *input, uint32_t payload_max)
{
    uint8_t kind = bytes_u8(input), twist = bytes_u8(input) % (TWISTS * 4);
    uint8_t header[LINK_FRAME_HEADER_SIZE] = {0};
    uint16_t type = bytes_le16(input), channel = bytes_le16(input);
    size_t length = bytes_le16(input);
    struct link_frame frame, again;
    const uint8_t *payload;

    if (length > input->left)
        length = input->left;
    payload = bytes_take(input, length);
    put_le32(header, LINK_FRAME_MAGIC);
    header[4] = LINK_FRAME_VERSION;
    header[5] = kind;
    put_le16(header + 8, type);
    put_le16(header + 10, channel);
    put_le32(header + 12, (uint32_t)length + (twist == TWIST_LONG ? 0x10000u : 0));
    put_le64(header + 16, wire->sequence + (twist == TWIST_SEQUENCE));
    put_le32(header + 24, crc32c(0, payload, length) ^ (twist == TWIST_PAYLOAD));
    put_le32(header + 28, crc32c(0, header, 28) ^ (twist == TWIST_HEADER));
    if (link_frame_decode(header, &frame, NULL) == 0) {
        uint8_t encoded[LINK_FRAME_HEADER_SIZE];

        link_frame_encode(&frame, encoded);
        check(memcmp(encoded, header, sizeof(header)) == 0);
        check(link_frame_decode(encoded, &again, NULL) == 0 && again.kind == frame.kind);
    } else {
        wire->is_twisted = true;
    }
    if (twist < TWISTS && twist != TWIST_NONE)
        wire->is_twisted = true;
    if (length > payload_max)
        wire->is_twisted = true;
    if (twist != TWIST_RAW)
        put(wire, header, sizeof(header));
    put(wire, payload, length);
    wire->sequence++;
    wire->good += !wire->is_twisted && wire->length < STREAM_MAX;
}

/* Feeds all of it, `piece` bytes at a time; returns how many frames came. */
static unsigned feed(struct link_decoder *decoder, const struct wire *wire, size_t piece,
                     bool *ret_failed)
{
    struct link_frame frame;
    unsigned count = 0;
    size_t at = 0;
    int result = 0;

    for (;;) {
        size_t room, length;
        uint8_t *to;

        while ((result = link_decoder_next(decoder, &frame, NULL)) == 1) {
            uint8_t *payload = fuzz_copy(frame.payload, frame.length);

            check(crc32c(0, payload, frame.length) == frame.payload_crc);
            check(frame.sequence == count);
            check_messages(&frame);
            free(payload);
            count++;
        }
        if (result < 0 || at == wire->length)
            break;
        to = link_decoder_room(decoder, &room);
        check(room > 0);
        length = wire->length - at < piece ? wire->length - at : piece;
        length = length < room ? length : room;
        memcpy(to, wire->bytes + at, length);
        link_decoder_fill(decoder, length);
        at += length;
    }
    *ret_failed = result < 0;
    if (result < 0)
        check(link_decoder_next(decoder, &frame, NULL) < 0);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct bytes_reader input = {.at = bytes, .left = length};
    unsigned settings = bytes_u8(&input), count;
    uint32_t payload_max = settings & 1 ? LINK_FRAME_PAYLOAD_MAX_GREETING : 40000;
    struct wire wire = {.bytes = malloc(STREAM_MAX)};
    struct link_decoder decoder;
    bool has_failed;

    check(wire.bytes && link_decoder_init(&decoder, payload_max, settings & 2 ? 4096 : 0) == 0);
    if (settings & 4)
        check(link_decoder_grow(&decoder, payload_max = LINK_FRAME_PAYLOAD_MAX, 8192) == 0);
    while (input.left > 0 && !input.failed)
        put_frame(&wire, &input, payload_max);
    count = feed(&decoder, &wire, settings & 8 ? 1 + (settings >> 4) : STREAM_MAX, &has_failed);
    check(count >= wire.good);
    check(wire.is_twisted || !has_failed);
    link_decoder_fini(&decoder);
    free(wire.bytes);
    return 0;
}
