/* SPDX-License-Identifier: Apache-2.0 */
/* See fuzz_link.h. */
#include "fuzz_link.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/crc32c.h"

static void take_frame(struct fuzz_link *link, const struct link_frame *frame)
{
    if (frame->kind == LINK_FRAME_HELLO) {
        check(link_hello_decode(frame->payload, frame->length, &link->theirs));
        link->has_hello = true;
    } else if (frame->kind == LINK_FRAME_READY) {
        link->is_ready = true;
    } else {
        if (frame->kind == LINK_FRAME_DATA)
            link->data_bytes[frame->channel % ARRAY_COUNT(link->data_bytes)] += frame->length;
        if (link->frame_cb)
            link->frame_cb(link->arg, frame);
    }
}

static void came(void *arg, const uint8_t *bytes, size_t length)
{
    struct fuzz_link *link = arg;

    while (length > 0) {
        struct link_frame frame;
        size_t room;
        uint8_t *to = link_decoder_room(&link->decoder, &room);
        size_t part = length < room ? length : room;
        int result;

        memcpy(to, bytes, part);
        link_decoder_fill(&link->decoder, part);
        bytes += part;
        length -= part;
        while ((result = link_decoder_next(&link->decoder, &frame, NULL)) == 1)
            take_frame(link, &frame);
        check(result == 0);
    }
}

bool fuzz_link_open(struct fuzz_link *link, struct fuzz_scene *scene, const char *address,
                    struct io_socket *listener)
{
    void (*frame_cb)(void *, const struct link_frame *) = link->frame_cb;
    void *arg = link->arg;

    *link = (struct fuzz_link){.frame_cb = frame_cb, .arg = arg};
    check(link_decoder_init(&link->decoder, LINK_FRAME_PAYLOAD_MAX, 4096) == 0);
    link->has_decoder = true;
    link->peer.bytes_cb = came;
    link->peer.arg = link;
    if (listener ? fuzz_peer_accept(&link->peer, scene, listener)
                 : fuzz_peer_open(&link->peer, scene, address))
        return true;
    fuzz_link_close(link);
    return false;
}

void fuzz_link_close(struct fuzz_link *link)
{
    fuzz_peer_close(&link->peer);
    if (link->has_decoder)
        link_decoder_fini(&link->decoder);
    link->has_decoder = false;
}

struct link_hello fuzz_link_hello(const struct fuzz_link *link, bool is_dialler)
{
    struct link_hello hello = {.protocol_min = LINK_PROTOCOL_MIN,
                               .protocol_max = LINK_PROTOCOL_MAX,
                               .role = is_dialler ? LINK_DIALLER : LINK_ACCEPTOR,
                               .site_id = 77,
                               .nonce = 0x1234567,
                               .echo = is_dialler ? 0 : link->theirs.nonce,
                               .window = 8 << 20};

    snprintf(hello.site, sizeof(hello.site), "lyon");
    snprintf(hello.software, sizeof(hello.software), "fuzz");
    return hello;
}

void fuzz_link_greet(struct fuzz_link *link, bool is_dialler)
{
    struct link_hello hello;
    uint8_t bytes[LINK_HELLO_SIZE_MAX];

    fuzz_scene_run_us(link->peer.scene, 500);
    hello = fuzz_link_hello(link, is_dialler);
    fuzz_link_send(link, LINK_FRAME_HELLO, 0, 0, bytes, link_hello_encode(&hello, bytes));
    fuzz_scene_run_us(link->peer.scene, 500);
    put_le64(bytes, link->theirs.nonce);
    if (is_dialler)
        fuzz_link_send(link, LINK_FRAME_READY, 0, 0, bytes, 8);
    fuzz_scene_run_us(link->peer.scene, 500);
}

void fuzz_link_send(struct fuzz_link *link, uint8_t kind, uint16_t type, uint16_t channel,
                    const void *bytes, uint32_t length)
{
    uint8_t *frame = malloc(LINK_FRAME_HEADER_SIZE + (size_t)length);

    check(frame);
    memset(frame, 0, LINK_FRAME_HEADER_SIZE);
    put_le32(frame, LINK_FRAME_MAGIC);
    frame[4] = LINK_FRAME_VERSION;
    frame[5] = kind;
    put_le16(frame + 8, type);
    put_le16(frame + 10, channel);
    put_le32(frame + 12, length);
    put_le64(frame + 16, link->sequence++);
    put_le32(frame + 24, crc32c(0, bytes, length));
    put_le32(frame + 28, crc32c(0, frame, 28));
    if (length > 0)
        memcpy(frame + LINK_FRAME_HEADER_SIZE, bytes, length);
    fuzz_peer_send(&link->peer, frame, LINK_FRAME_HEADER_SIZE + (size_t)length, 0);
    free(frame);
}

void fuzz_link_credit(struct fuzz_link *link)
{
    for (uint16_t channel = 0; channel < ARRAY_COUNT(link->data_bytes); channel++) {
        uint8_t bytes[4];

        if (link->data_bytes[channel] == 0)
            continue;
        put_le32(bytes, (uint32_t)link->data_bytes[channel]);
        link->data_bytes[channel] = 0;
        fuzz_link_send(link, LINK_FRAME_CREDIT, 0, channel, bytes, sizeof(bytes));
    }
}
