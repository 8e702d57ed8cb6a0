/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The NBD handshake as a whole: the real server, up to three clients, time.
 *
 * Input: actions. The low four bits of an action's first byte say what, its high bit that the bytes
 * go out one by one. Checked beside crashes: a client that kept to the form of options gets exactly
 * one final reply for each, well formed; the server stops in bounded time and leaves nothing.
 *
 * Covers: nbd/nbd_handshake.c nbd/connection.c nbd/server.c nbd/export.c wire/nbd_options.c.
 */
#include <stdlib.h>

#include "fuzz_nbd.h"
#include "wire/nbd_proto.h"

enum { CLIENTS = 3, CROWD_MAX = 100, ACTIONS_MAX = 256 };

enum action {
    ACTION_OPTION, /* option 1, length 2, data: header and data fit */
    ACTION_FLAGS,  /* 1: the client's flags */
    ACTION_RAW,    /* length 2, bytes */
    ACTION_CLAIM,  /* option 1, claimed length 4, length 1, data: header and data need not fit */
    ACTION_PAUSE,  /* 1: tenths of a second */
    ACTION_DEAF,   /* stops or starts reading */
    ACTION_CLIENT, /* 1: the next one goes on, connecting anew when it is not connected */
    ACTION_CLOSE,
    ACTION_REQUEST, /* a read, as in the transmission phase */
    ACTION_REPEAT,  /* option 1, times 1, data length 1, data */
    ACTION_CROWD,   /* 1: so many more connect and say nothing */
    ACTION_COUNT
};

struct client {
    struct fuzz_peer peer;
    bool is_strict; /* all that it sent was well formed, so its replies are counted */
    bool has_flags;
    unsigned options, finals; /* sent; answered with ACK or an error */
    uint8_t held[NBD_OPTION_REPLY_HEADER_BYTES + NBD_OPTION_BYTES_MAX];
    size_t held_bytes;
    bool has_greeting;
};

struct game {
    struct fuzz_nbd nbd;
    struct client clients[CLIENTS];
    unsigned current;
    struct fuzz_peer *crowd[CROWD_MAX];
    unsigned crowd_count;
};

/* One message of the server at the front of what is held: its length, 0: not whole yet. */
static size_t take_message(struct client *client)
{
    uint32_t type, length;

    if (!client->has_greeting) {
        if (client->held_bytes < NBD_GREETING_BYTES)
            return 0;
        check(get_be64(client->held) == NBD_MAGIC &&
              get_be64(client->held + 8) == NBD_OPTION_MAGIC);
        client->has_greeting = true;
        return NBD_GREETING_BYTES;
    }
    if (client->held_bytes < NBD_OPTION_REPLY_HEADER_BYTES)
        return 0;
    check(get_be64(client->held) == NBD_OPTION_REPLY_MAGIC);
    type = get_be32(client->held + 12);
    length = get_be32(client->held + 16);
    check(length <= 2 * NBD_NAME_BYTES_MAX);
    if (client->held_bytes < NBD_OPTION_REPLY_HEADER_BYTES + length)
        return 0;
    client->finals += type == NBD_REP_ACK || (type & NBD_REP_ERROR_BIT);
    check(client->finals <= client->options);
    return NBD_OPTION_REPLY_HEADER_BYTES + length;
}

static void came(void *arg, const uint8_t *bytes, size_t length)
{
    struct client *client = arg;
    size_t taken;

    if (!client->is_strict)
        return;
    check(client->held_bytes + length <= sizeof(client->held));
    memcpy(client->held + client->held_bytes, bytes, length);
    client->held_bytes += length;
    while (client->is_strict && (taken = take_message(client)) > 0) {
        client->held_bytes -= taken;
        memmove(client->held, client->held + taken, client->held_bytes);
    }
}

static void enter(struct game *game, struct client *client)
{
    memset(client, 0, sizeof(*client));
    client->is_strict = true;
    client->peer.bytes_cb = came;
    client->peer.arg = client;
    check(fuzz_peer_open(&client->peer, &game->nbd.scene, FUZZ_NBD_ADDRESS));
}

static void send_option(struct client *client, uint32_t option, uint32_t claimed,
                        const uint8_t *data, size_t length, size_t piece)
{
    uint8_t header[NBD_OPTION_HEADER_BYTES];

    put_be64(header, NBD_OPTION_MAGIC);
    put_be32(header + 8, option);
    put_be32(header + 12, claimed);
    if (option == NBD_OPT_EXPORT_NAME || option == NBD_OPT_GO || claimed != length ||
        !client->has_flags || client->options >= 60)
        client->is_strict = false;
    client->options++;
    fuzz_peer_send(&client->peer, header, sizeof(header), piece);
    if (length > 0)
        fuzz_peer_send(&client->peer, data, length, piece ? piece + length / 64 : 0);
}

static const uint8_t *take(struct bytes_reader *input, size_t *length)
{
    *length = *length < input->left ? *length : input->left;
    return bytes_take(input, *length);
}

static void act_option(struct client *client, struct bytes_reader *input, enum action action,
                       size_t piece)
{
    uint8_t option = bytes_u8(input), times = 1;
    uint32_t claimed = 0;
    const uint8_t *data;
    size_t length;

    if (action == ACTION_CLAIM)
        claimed = bytes_be32(input);
    if (action == ACTION_REPEAT)
        times = bytes_u8(input) % 80;
    length = action == ACTION_OPTION ? bytes_be16(input) : bytes_u8(input);
    data = take(input, &length);
    if (action != ACTION_CLAIM)
        claimed = (uint32_t)length;
    for (unsigned i = 0; i < times; i++)
        send_option(client, option == 0xff ? 0xffffffffu : option, claimed, data, length, piece);
}

static void send_flags(struct client *client, uint8_t flags, size_t piece)
{
    uint8_t bytes[4] = {0, 0, 0, flags};

    if (client->has_flags || (flags & ~3))
        client->is_strict = false;
    client->has_flags = true;
    fuzz_peer_send(&client->peer, bytes, sizeof(bytes), piece);
}

static void send_request(struct client *client, size_t piece)
{
    uint8_t bytes[NBD_REQUEST_BYTES] = {0};

    client->is_strict = false;
    put_be32(bytes, NBD_REQUEST_MAGIC);
    put_be32(bytes + 24, 512);
    fuzz_peer_send(&client->peer, bytes, sizeof(bytes), piece);
}

static void add_crowd(struct game *game, unsigned count)
{
    while (count-- > 0 && game->crowd_count < CROWD_MAX) {
        struct fuzz_peer *peer = calloc(1, sizeof(*peer));

        check(peer);
        game->crowd[game->crowd_count++] = peer;
        fuzz_peer_open(peer, &game->nbd.scene, FUZZ_NBD_ADDRESS);
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        game->clients[i].is_strict = false; /* it may have to give way */
}

static void act(struct game *game, struct bytes_reader *input)
{
    uint8_t what = bytes_u8(input);
    enum action action = (enum action)((what & 15) % ACTION_COUNT);
    size_t piece = what & 0x80 ? 1 : 0, length;
    struct client *client = &game->clients[game->current];
    const uint8_t *bytes;

    switch (action) {
    case ACTION_FLAGS:
        send_flags(client, bytes_u8(input), piece);
        break;
    case ACTION_RAW:
        length = bytes_be16(input);
        bytes = take(input, &length);
        client->is_strict = false;
        if (length > 0)
            fuzz_peer_send(&client->peer, bytes, length, piece ? piece + length / 64 : 0);
        break;
    case ACTION_PAUSE:
        fuzz_scene_run_us(&game->nbd.scene, (uint64_t)bytes_u8(input) * 100000);
        client->is_strict = false; /* it may have been too slow */
        break;
    case ACTION_DEAF:
        fuzz_peer_deafen(&client->peer, !client->peer.is_deaf);
        break;
    case ACTION_CLIENT:
        game->current = bytes_u8(input) % CLIENTS;
        if (!game->clients[game->current].peer.socket)
            enter(game, &game->clients[game->current]);
        break;
    case ACTION_CLOSE:
        fuzz_peer_close(&client->peer);
        break;
    case ACTION_CROWD:
        add_crowd(game, bytes_u8(input));
        break;
    case ACTION_REQUEST:
        send_request(client, piece);
        break;
    default:
        act_option(client, input, action, piece);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct game game;
    struct bytes_reader input = {.at = bytes, .left = length};

    fuzz_quiet();
    memset(&game, 0, sizeof(game));
    fuzz_nbd_open(&game.nbd);
    enter(&game, &game.clients[0]);
    for (unsigned i = 0; i < ACTIONS_MAX && input.left > 0; i++)
        act(&game, &input);
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *client = &game.clients[i];

        if (!client->peer.socket)
            continue;
        fuzz_peer_deafen(&client->peer, false);
        fuzz_scene_run_us(&game.nbd.scene, 20000);
        check(!client->is_strict || client->peer.is_ended || client->finals == client->options);
        if (i > 0) /* the first is still there when the server stops */
            fuzz_peer_close(&client->peer);
    }
    fuzz_nbd_close(&game.nbd);
    for (unsigned i = 0; i < game.crowd_count; i++)
        free(game.crowd[i]);
    return 0;
}
