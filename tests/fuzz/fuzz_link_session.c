/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A link and its listener against a peer that has the key and says anything.
 *
 * Input: settings (1: the attacked site dials, 2: the greeting is done honestly first, 4: its user
 * talks), then actions. Checked beside crashes: what it sends is well formed; no frame is given to
 * its user that was not sent whole; it stops in bounded time and leaves nothing.
 *
 * Covers: replication/link_session.c replication/link_door.c replication/link_listener.c
 * replication/link_hello.c replication/link_intake.c replication/link_queue.c
 * replication/link_call.c wire/link_frame.c wire/link_message.c.
 */
#include <errno.h>
#include <stdio.h>

#include "base/crc32c.h"
#include "fuzz_link.h"
#include "replication/link.h"
#include "replication/link_call.h"
#include "replication/link_listener.h"

enum { ACTIONS_MAX = 64, BURST_MAX = 40 };

#define ADDRESS "10.0.0.1:10909"
#define ADDRESS_LYON "10.0.0.2:10909"

enum action {
    ACTION_FRAME, /* kind 1, type 1, channel 1, length 2, payload */
    ACTION_HELLO, /* role 1, twist 1, value 1: a HELLO with one thing changed */
    ACTION_READY, /* twist 1: 0 is right */
    ACTION_RAW,   /* length 2, bytes */
    ACTION_PAUSE, /* 1: tenths of a second */
    ACTION_DEAF,
    ACTION_AGAIN,  /* closes, and connects or is dialled anew */
    ACTION_TALK,   /* what 1, length 2: the attacked site's user sends */
    ACTION_BURST,  /* kind 1, channel 1, times 1, length 2: frames of zeros */
    ACTION_CREDIT, /* gives back what came */
    ACTION_CALL,   /* kind 1, number 1, length 1, bytes: a call's frame (see link_call.c) */
    ACTION_GREET,
    ACTION_DROP, /* the attacked site's user drops the link */
    ACTION_COUNT
};

struct game {
    struct fuzz_scene scene;
    struct link *link;
    struct link_listener *listener;
    struct link_call_desk *desk;
    struct io_socket *lyon; /* the stranger's listener */
    struct fuzz_link wire;
    bool dials, talks, is_up;
    unsigned talk_what;
    uint32_t talk_length;
    bool is_listener_stopped, is_link_stopped;
};

/* --- the attacked site ------------------------------------------------------------------------ */

static void call_answered(void *arg, int error, const void *bytes, uint32_t length)
{
    check(error <= 0 && (length == 0 || bytes) && arg);
}

static void on_request(void *arg, uint64_t token, const void *bytes, uint32_t length)
{
    struct game *game = arg;

    link_call_reply(game->desk, token, bytes, length);
}

static void on_up(void *arg)
{
    struct game *game = arg;

    check(!game->is_up);
    game->is_up = true;
}

static void on_down(void *arg, const char *why)
{
    struct game *game = arg;

    check(game->is_up && why[0]);
    game->is_up = false;
    link_call_down(game->desk);
}

static bool on_frame(void *arg, const struct link_frame_in *frame, struct err *why)
{
    struct game *game = arg;

    check(game->is_up && frame->length <= LINK_FRAME_PAYLOAD_MAX);
    (void)crc32c(0, frame->bytes, frame->length);
    if (frame->stream[0] == 0)
        return link_call_frame(game->desk, frame, why);
    if (frame->type % 2 == 0)
        link_consumed(game->link, frame->stream, frame->length);
    if (game->talks)
        (void)link_send_control(game->link, frame->stream, frame->type, frame->bytes,
                                frame->length);
    return frame->type != 99;
}

static void on_room(void *arg, const char *stream)
{
    check(((struct game *)arg)->is_up && stream[0]);
}

static void call_boot(void *arg)
{
    struct game *game = arg;
    struct loop *loop = sim_site_loop(game->scene.server);
    struct link_options options = {.site_name = "paris",
                                   .site_id = 42,
                                   .peer_name = "lyon",
                                   .peer_address = game->dials ? ADDRESS_LYON : NULL,
                                   .backoff_min_ns = SIM_MS,
                                   .backoff_max_ns = 2 * SIM_MS};
    struct link_callbacks callbacks = {on_up, on_down, on_frame, on_room, game};
    struct link_call_callbacks calls = {on_request, game};

    check(link_new(loop, &options, &callbacks, &game->link, NULL) == 0);
    check(link_call_new(loop, game->link, &calls, &game->desk, NULL) == 0);
    check(link_listener_new(loop, ADDRESS, &game->link, 1, &game->listener, NULL) == 0);
    link_start(game->link);
}

static void call_talk(void *arg)
{
    static const uint8_t bytes[1 << 16];
    struct game *game = arg;
    int error = 0;

    switch (game->talk_what % 4) {
    case 0:
        error = link_send_control(game->link, "pg-0", 1, bytes, game->talk_length);
        break;
    case 1:
        error =
            link_call_send(game->desk, bytes, game->talk_length, SIM_SECOND, call_answered, game);
        break;
    default:
        for (unsigned i = 0; i < 32 && error == 0; i++)
            error = link_send_data(game->link, game->talk_what % 4 == 2 ? "pg-0" : "pg-1", 2, bytes,
                                   16, bytes, game->talk_length);
    }
    check(error == 0 || error == -ENOTCONN || error == -EAGAIN);
}

static void call_drop(void *arg)
{
    link_drop(((struct game *)arg)->link, "the schedule says so");
}

static void set_flag(void *arg)
{
    *(bool *)arg = true;
}

static void call_stop_listener(void *arg)
{
    struct game *game = arg;

    link_listener_stop(game->listener, set_flag, &game->is_listener_stopped);
}

static void call_stop_link(void *arg)
{
    struct game *game = arg;

    link_stop(game->link, set_flag, &game->is_link_stopped);
}

static void call_free(void *arg)
{
    struct game *game = arg;

    link_call_free(game->desk);
    link_listener_free(game->listener);
    link_free(game->link);
}

/* --- the stranger ----------------------------------------------------------------------------- */

static void call_listen(void *arg)
{
    struct game *game = arg;

    check(io_listen(sim_site_loop(game->scene.client), ADDRESS_LYON, &game->lyon, NULL) == 0);
}

static void enter(struct game *game)
{
    fuzz_link_close(&game->wire);
    check(fuzz_link_open(&game->wire, &game->scene, ADDRESS, game->dials ? game->lyon : NULL));
}

static void act_hello(struct game *game, struct bytes_reader *input)
{
    struct link_hello hello = fuzz_link_hello(&game->wire, bytes_u8(input) & 1);
    uint8_t twist = bytes_u8(input), value = bytes_u8(input);
    uint8_t bytes[LINK_HELLO_SIZE_MAX];
    uint32_t length;

    switch (twist % 9) {
    case 1:
        hello.protocol_min = hello.protocol_max = value;
        break;
    case 2:
        hello.site_id = value == 42 ? 42 : value;
        break;
    case 3:
        snprintf(hello.site, sizeof(hello.site), value & 1 ? "paris" : "marseille");
        break;
    case 4:
        hello.echo ^= value;
        break;
    case 5:
        hello.window = (uint32_t)value << (value & 31);
        break;
    case 6:
        hello.nonce = value;
        break;
    }
    length = link_hello_encode(&hello, bytes);
    if (twist % 9 == 7)
        bytes[value % length] ^= 0x80;
    if (twist % 9 == 8)
        length -= value % length;
    fuzz_link_send(&game->wire, LINK_FRAME_HELLO, 0, 0, bytes, length);
}

static void act_ready(struct game *game, uint8_t twist)
{
    uint8_t bytes[8];

    put_le64(bytes, game->wire.theirs.nonce ^ twist);
    fuzz_link_send(&game->wire, LINK_FRAME_READY, 0, 0, bytes, sizeof(bytes));
}

static const uint8_t *take(struct bytes_reader *input, size_t *length)
{
    *length = *length < input->left ? *length : input->left;
    return bytes_take(input, *length);
}

static void act_frame(struct game *game, struct bytes_reader *input)
{
    uint8_t kind = bytes_u8(input), type = bytes_u8(input);
    uint16_t channel = bytes_u8(input);
    size_t length = bytes_le16(input);
    const uint8_t *bytes = take(input, &length);

    if (channel >= 250)
        channel = (uint16_t)(1020 + channel - 250);
    if (bytes || length == 0)
        fuzz_link_send(&game->wire, kind, type, channel, bytes, (uint32_t)length);
}

static void act_burst(struct game *game, struct bytes_reader *input)
{
    static const uint8_t zeros[1 << 16];
    uint8_t kind = bytes_u8(input), channel = bytes_u8(input), times = bytes_u8(input) % BURST_MAX;
    uint32_t length = bytes_le16(input);

    for (unsigned i = 0; i < times; i++)
        fuzz_link_send(&game->wire, kind, 1, channel, zeros, length);
}

static void act_call(struct game *game, struct bytes_reader *input)
{
    uint8_t payload[8 + 256] = {0}, type = bytes_u8(input);
    size_t length;
    const uint8_t *bytes;

    put_le64(payload, bytes_u8(input));
    length = bytes_u8(input);
    bytes = take(input, &length);
    if (bytes)
        memcpy(payload + 8, bytes, length);
    fuzz_link_send(&game->wire, LINK_FRAME_CONTROL, type, LINK_CHANNEL_CALL, payload,
                   (uint32_t)length + 8);
}

static void act_raw(struct game *game, struct bytes_reader *input)
{
    size_t length = bytes_le16(input);
    const uint8_t *bytes = take(input, &length);

    if (bytes && length > 0)
        fuzz_peer_send(&game->wire.peer, bytes, length, 0);
}

static void act(struct game *game, struct bytes_reader *input)
{
    enum action action = (enum action)(bytes_u8(input) % ACTION_COUNT);

    switch (action) {
    case ACTION_HELLO:
        act_hello(game, input);
        break;
    case ACTION_READY:
        act_ready(game, bytes_u8(input));
        break;
    case ACTION_RAW:
        act_raw(game, input);
        break;
    case ACTION_PAUSE:
        fuzz_scene_run_us(&game->scene, bytes_u8(input) * 100000ull);
        break;
    case ACTION_DEAF:
        fuzz_peer_deafen(&game->wire.peer, !game->wire.peer.is_deaf);
        break;
    case ACTION_AGAIN:
        enter(game);
        break;
    case ACTION_TALK:
        game->talk_what = bytes_u8(input);
        game->talk_length = bytes_le16(input);
        fuzz_scene_call(&game->scene, call_talk, game);
        break;
    case ACTION_BURST:
        act_burst(game, input);
        break;
    case ACTION_CREDIT:
        fuzz_link_credit(&game->wire);
        break;
    case ACTION_CALL:
        act_call(game, input);
        break;
    case ACTION_GREET:
        fuzz_link_greet(&game->wire, !game->dials);
        break;
    case ACTION_DROP:
        fuzz_scene_call(&game->scene, call_drop, game);
        break;
    default:
        act_frame(game, input);
    }
    fuzz_scene_run_us(&game->scene, 200);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct game game;
    struct bytes_reader input = {.at = bytes, .left = length};
    uint8_t settings = bytes_u8(&input);

    fuzz_quiet();
    memset(&game, 0, sizeof(game));
    fuzz_scene_open(&game.scene);
    game.dials = settings & 1;
    game.talks = settings & 4;
    check(sim_site_call(game.scene.client, call_listen, &game));
    fuzz_scene_call(&game.scene, call_boot, &game);
    enter(&game);
    if (settings & 2)
        fuzz_link_greet(&game.wire, !game.dials);
    for (unsigned i = 0; i < ACTIONS_MAX && input.left > 0; i++)
        act(&game, &input);
    if (settings & 8)
        fuzz_link_close(&game.wire);
    fuzz_scene_call(&game.scene, call_stop_listener, &game);
    fuzz_scene_await(&game.scene, &game.is_listener_stopped);
    fuzz_scene_call(&game.scene, call_stop_link, &game);
    fuzz_scene_await(&game.scene, &game.is_link_stopped);
    fuzz_scene_run_us(&game.scene, 2000000); /* calls run out */
    fuzz_scene_call(&game.scene, call_free, &game);
    fuzz_link_close(&game.wire);
    fuzz_scene_close(&game.scene);
    return 0;
}
