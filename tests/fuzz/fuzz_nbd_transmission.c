/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The NBD transmission phase as a whole: handshake as the settings say, then requests, faults of
 * the disk, an export that goes away.
 *
 * Input: settings (1: structured replies, 2: base:allocation, 4: the read-only export, 8: by
 * EXPORT_NAME, 16: replies are not read at first, 32: much may be asked for), then actions. Checked
 * beside crashes: replies are well formed, each answers one request that is open, none comes twice;
 * every sector read is of one write; a client that kept to the protocol gets every reply; the
 * server stops in bounded time.
 *
 * Covers: nbd/transmission.c nbd/connection.c nbd/reply_queue.c nbd/buffer_pool.c
 * wire/nbd_transmission.c.
 */
#include <errno.h>

#include "fuzz_nbd.h"
#include "wire/nbd_proto.h"

enum { REQUESTS_MAX = 256, ACTIONS_MAX = 128, SECTOR = 512, PAYLOAD_MAX = 1 << 18 };
/* What one input may ask for in all, so that inputs stay quick. */
enum { BYTES_MAX = 6 << 20, BYTES_MAX_MUCH = 100 << 20 };

enum action {
    ACTION_REQUEST, /* type 1, flags 1, offset 2, length 2; both in sectors, high ones special */
    ACTION_WRITE,   /* offset 1, length 1, in sectors */
    ACTION_READ,    /* likewise */
    ACTION_BURST,   /* count 1, then as ACTION_REQUEST: the same request many times */
    ACTION_FULL,    /* type 2, flags 2, offset 8, length 4: as they are, no payload */
    ACTION_RAW,     /* length 2, bytes */
    ACTION_PAUSE,   /* 1: milliseconds times its square */
    ACTION_DEAF,    /* stops or starts reading */
    ACTION_REMOVE,  /* the export goes away */
    ACTION_HOLD,    /* the volume holds its requests, or lets them go */
    ACTION_FAULT,   /* which call 1, error 1: the next such call on the disk fails */
    ACTION_TRICKLE, /* what follows is sent in pieces of so many bytes; 1 */
    ACTION_COUNT
};

struct request {
    uint16_t type;
    uint32_t length;
    bool is_open;
};

struct game {
    struct fuzz_nbd nbd;
    struct fuzz_peer peer;
    bool has_chunks, has_allocation;
    bool is_strict;  /* the client has kept to the protocol */
    bool has_faults; /* of the disk */
    bool is_greeted; /* what comes now is replies */
    size_t piece;
    uint64_t budget; /* bytes of good requests that may still be asked for */
    struct request requests[REQUESTS_MAX];
    unsigned request_count, open_count;
    /* What came and is not taken yet. */
    uint8_t held[NBD_CHUNK_HEADER_BYTES + 8];
    size_t held_bytes;
    uint64_t data_left; /* bytes of data that follow */
    bool is_extents;
    uint8_t sector[SECTOR];
    size_t sector_bytes;
};

/* --- what comes back -------------------------------------------------------------------------- */

static struct request *answered(struct game *game, uint64_t cookie)
{
    struct request *request;

    check(cookie < game->request_count);
    request = &game->requests[cookie];
    check(request->is_open);
    request->is_open = false;
    game->open_count--;
    return request;
}

/* Writes of the harness fill a sector with one value: never a mix of two. */
static void take_data(struct game *game, const uint8_t *bytes, size_t length)
{
    const size_t unit = game->is_extents ? NBD_EXTENT_BYTES : SECTOR;

    while (length > 0) {
        size_t part = unit - game->sector_bytes < length ? unit - game->sector_bytes : length;

        memcpy(game->sector + game->sector_bytes, bytes, part);
        game->sector_bytes += part;
        bytes += part;
        length -= part;
        if (game->sector_bytes < unit)
            return;
        game->sector_bytes = 0;
        if (game->is_extents)
            check(get_be32(game->sector) > 0 && get_be32(game->sector + 4) <= 3);
        else if (!game->has_faults)
            check(memcmp(game->sector, game->sector + 1, SECTOR - 1) == 0);
    }
}

static void take_simple(struct game *game)
{
    uint32_t error = get_be32(game->held + 4);
    struct request *request = answered(game, get_be64(game->held + 8));

    check(error == 0 || error == NBD_EPERM || error == NBD_EIO || error == NBD_ENOMEM ||
          error == NBD_EINVAL || error == NBD_ENOSPC || error == NBD_EOVERFLOW ||
          error == NBD_ENOTSUP || error == NBD_ESHUTDOWN);
    if (request->type == NBD_CMD_READ || request->type == NBD_CMD_BLOCK_STATUS)
        check(!game->has_chunks);
    if (request->type == NBD_CMD_READ && error == 0)
        game->data_left = request->length;
    game->is_extents = false;
}

static void take_chunk(struct game *game)
{
    uint16_t type = get_be16(game->held + 6);
    uint32_t length = get_be32(game->held + 16);
    struct request *request = answered(game, get_be64(game->held + 8));

    check(game->has_chunks && get_be16(game->held + 4) == NBD_CHUNK_DONE);
    check(request->type == NBD_CMD_READ || request->type == NBD_CMD_BLOCK_STATUS);
    game->is_extents = type == NBD_CHUNK_BLOCK_STATUS;
    if (type == NBD_CHUNK_ERROR) {
        check(length == 6);
    } else if (type == NBD_CHUNK_OFFSET_DATA) {
        check(request->type == NBD_CMD_READ && length == 8 + request->length);
    } else {
        check(game->is_extents && game->has_allocation && request->type == NBD_CMD_BLOCK_STATUS);
        check(length > 4 && (length - 4) % NBD_EXTENT_BYTES == 0);
    }
}

/* How long the head of the message at the front is; 0: not known yet. */
static size_t head_bytes(const struct game *game)
{
    uint32_t magic;

    if (game->held_bytes < NBD_SIMPLE_REPLY_BYTES)
        return 0;
    magic = get_be32(game->held);
    if (magic == NBD_SIMPLE_REPLY_MAGIC)
        return NBD_SIMPLE_REPLY_BYTES;
    check(magic == NBD_CHUNK_MAGIC);
    if (game->held_bytes < NBD_CHUNK_HEADER_BYTES)
        return 0;
    switch (get_be16(game->held + 6)) {
    case NBD_CHUNK_OFFSET_DATA:
        return NBD_CHUNK_HEADER_BYTES + 8;
    case NBD_CHUNK_ERROR:
        return NBD_CHUNK_HEADER_BYTES + 6;
    default:
        return NBD_CHUNK_HEADER_BYTES + 4;
    }
}

static void take_head(struct game *game)
{
    size_t wanted = head_bytes(game);

    if (wanted == 0 || game->held_bytes < wanted)
        return;
    if (get_be32(game->held) == NBD_SIMPLE_REPLY_MAGIC) {
        take_simple(game);
    } else {
        uint32_t length = get_be32(game->held + 16);

        take_chunk(game);
        game->data_left = length - (uint32_t)(wanted - NBD_CHUNK_HEADER_BYTES);
    }
    game->held_bytes = 0;
    game->sector_bytes = 0;
}

static void came(void *arg, const uint8_t *bytes, size_t length)
{
    struct game *game = arg;

    while (game->is_greeted && length > 0) {
        size_t part = length < game->data_left ? length : (size_t)game->data_left;

        if (part > 0) {
            take_data(game, bytes, part);
            game->data_left -= part;
        } else {
            part = 1;
            check(game->held_bytes < sizeof(game->held));
            game->held[game->held_bytes++] = *bytes;
            take_head(game);
        }
        bytes += part;
        length -= part;
    }
}

/* --- what goes out ---------------------------------------------------------------------------- */

static void send_bytes(struct game *game, const void *bytes, size_t length)
{
    size_t piece = game->piece;

    if (piece > 0 && piece < length / 64)
        piece = length / 64;
    if (!fuzz_peer_send(&game->peer, bytes, length, piece))
        game->is_strict = false;
}

static void send_option(struct game *game, uint32_t option, const void *data, uint32_t length)
{
    uint8_t header[NBD_OPTION_HEADER_BYTES];

    put_be64(header, NBD_OPTION_MAGIC);
    put_be32(header + 8, option);
    put_be32(header + 12, length);
    send_bytes(game, header, sizeof(header));
    if (length > 0)
        send_bytes(game, data, length);
}

static void shake_hands(struct game *game, unsigned settings)
{
    static const uint8_t flags[4] = {0, 0, 0, NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES};
    const char *name = settings & 4 ? "snapshot" : "disk";
    uint32_t name_length = (uint32_t)strlen(name);
    uint8_t data[64];
    struct bytes_writer writer = {.at = data, .left = sizeof(data)};

    send_bytes(game, flags, sizeof(flags));
    game->has_chunks = settings & 1;
    if (settings & 1)
        send_option(game, NBD_OPT_STRUCTURED_REPLY, NULL, 0);
    bytes_put_be32(&writer, name_length);
    bytes_put(&writer, name, name_length);
    if ((settings & 3) == 3) {
        struct bytes_writer query = writer;

        bytes_put_be32(&query, 1);
        bytes_put_be32(&query, 15);
        bytes_put(&query, "base:allocation", 15);
        send_option(game, NBD_OPT_SET_META_CONTEXT, data, (uint32_t)(query.at - data));
        game->has_allocation = true;
    }
    bytes_put_be16(&writer, 0);
    fuzz_scene_run_us(&game->nbd.scene, 2000); /* the answers are away */
    if (settings & 8)
        send_option(game, NBD_OPT_EXPORT_NAME, name, name_length);
    else
        send_option(game, NBD_OPT_GO, data, (uint32_t)(writer.at - data));
    fuzz_scene_run_us(&game->nbd.scene, 2000);
    game->is_greeted = true;
    if (settings & 16)
        fuzz_peer_deafen(&game->peer, true);
}

static void send_header(struct game *game, uint16_t type, uint16_t flags, uint64_t offset,
                        uint32_t length)
{
    uint8_t header[NBD_REQUEST_BYTES];
    struct request *request = &game->requests[game->request_count];

    put_be32(header, NBD_REQUEST_MAGIC);
    put_be16(header + 4, flags);
    put_be16(header + 6, type);
    put_be64(header + 8, game->request_count);
    put_be64(header + 16, offset);
    put_be32(header + 24, length);
    *request = (struct request){type, length, type != NBD_CMD_DISC};
    game->request_count++;
    game->open_count += request->is_open;
    if (type == NBD_CMD_DISC)
        game->is_strict = false;
    send_bytes(game, header, sizeof(header));
}

static void send_payload(struct game *game, uint32_t length)
{
    static uint8_t payload[PAYLOAD_MAX];

    if (length > sizeof(payload)) {
        game->is_strict = false; /* it owes the rest; what follows is taken for payload */
        length = sizeof(payload);
    }
    memset(payload, (int)game->request_count, length);
    if (length > 0)
        send_bytes(game, payload, length);
}

static uint64_t offset_of(uint16_t value)
{
    static const uint64_t special[] = {0,
                                       1,
                                       511,
                                       FUZZ_NBD_BYTES - SECTOR,
                                       FUZZ_NBD_BYTES,
                                       UINT64_MAX,
                                       1ull << 63,
                                       1ull << 32,
                                       4096 - 512,
                                       FUZZ_NBD_BYTES - 1,
                                       UINT64_MAX - SECTOR + 1,
                                       INT64_MAX,
                                       1ull << 62};

    if (value < 0xff00)
        return (uint64_t)(value % 2048) * SECTOR;
    return special[value % ARRAY_COUNT(special)];
}

static uint32_t length_of(uint16_t value)
{
    static const uint32_t special[] = {0,
                                       1,
                                       511,
                                       1u << 25,
                                       (1u << 25) + SECTOR,
                                       1u << 31,
                                       UINT32_MAX,
                                       UINT32_MAX - SECTOR + 1,
                                       FUZZ_NBD_BYTES,
                                       4096,
                                       FUZZ_NBD_BYTES + SECTOR,
                                       (1u << 26) + SECTOR};

    if (value < 0xff00)
        return (uint32_t)(value % 2049) * SECTOR;
    return special[value % ARRAY_COUNT(special)];
}

static void act_request(struct game *game, struct bytes_reader *input, unsigned times)
{
    uint8_t type = bytes_u8(input) % 10, flags = bytes_u8(input);
    uint64_t offset = offset_of(bytes_be16(input));
    uint32_t length = length_of(bytes_be16(input));

    for (unsigned i = 0; i < times && game->request_count < REQUESTS_MAX; i++) {
        if (length > game->budget && length <= 2 * FUZZ_NBD_BYTES)
            return;
        game->budget -= length <= game->budget ? length : 0;
        send_header(game, type, flags & 31, offset, length);
        if (type == NBD_CMD_WRITE)
            send_payload(game, length);
    }
}

static void act_small(struct game *game, struct bytes_reader *input, uint16_t type)
{
    uint64_t offset = (uint64_t)bytes_u8(input) * SECTOR;
    uint32_t length = (1u + bytes_u8(input)) * SECTOR;

    send_header(game, type, type == NBD_CMD_WRITE ? offset / SECTOR & 1 : 0, offset, length);
    if (type == NBD_CMD_WRITE)
        send_payload(game, length);
}

static void act_full(struct game *game, struct bytes_reader *input)
{
    uint16_t type = bytes_be16(input), flags = bytes_be16(input);
    uint64_t offset = bytes_be64(input);

    if (type == NBD_CMD_WRITE)
        game->is_strict = false;
    send_header(game, type, flags, offset, bytes_be32(input));
}

static void act_fault(struct game *game, struct bytes_reader *input)
{
    static const int errors[] = {-EIO, -ENOSPC, -ENOMEM, -EOPNOTSUPP, -EDQUOT};
    enum sim_disk_call call = (enum sim_disk_call)(bytes_u8(input) % SIM_DISK_CALL_COUNT);

    game->has_faults = true;
    sim_disk_fail(game->nbd.scene.server, call, "", 1, errors[bytes_u8(input) % 5]);
}

static void act_raw(struct game *game, struct bytes_reader *input)
{
    size_t length = bytes_be16(input);
    const uint8_t *bytes;

    length = length < input->left ? length : input->left;
    bytes = bytes_take(input, length);
    game->is_strict = game->is_greeted = false; /* its cookies are not ours */
    if (length > 0)
        send_bytes(game, bytes, length);
}

static void act_pause(struct game *game, uint64_t units)
{
    fuzz_scene_run_us(&game->nbd.scene, units * units * 1000);
    if (game->peer.is_deaf)
        game->is_strict = false;
}

static void act(struct game *game, struct bytes_reader *input)
{
    enum action action = (enum action)(bytes_u8(input) % ACTION_COUNT);
    unsigned times = 1;

    switch (action) {
    case ACTION_WRITE:
    case ACTION_READ:
        act_small(game, input, action == ACTION_WRITE ? NBD_CMD_WRITE : NBD_CMD_READ);
        break;
    case ACTION_FULL:
        act_full(game, input);
        break;
    case ACTION_RAW:
        act_raw(game, input);
        break;
    case ACTION_PAUSE:
        act_pause(game, bytes_u8(input));
        break;
    case ACTION_DEAF:
        fuzz_peer_deafen(&game->peer, !game->peer.is_deaf);
        break;
    case ACTION_REMOVE:
        fuzz_nbd_remove(&game->nbd);
        game->is_strict = false;
        break;
    case ACTION_HOLD:
        fuzz_nbd_hold(&game->nbd, !game->nbd.is_held);
        break;
    case ACTION_FAULT:
        act_fault(game, input);
        break;
    case ACTION_TRICKLE:
        game->piece = bytes_u8(input);
        break;
    default:
        times = action == ACTION_BURST ? bytes_u8(input) % 64 : 1;
        act_request(game, input, times);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct game game;
    struct bytes_reader input = {.at = bytes, .left = length};

    fuzz_quiet();
    memset(&game, 0, sizeof(game));
    fuzz_nbd_open(&game.nbd);
    game.is_strict = true;
    game.peer.bytes_cb = came;
    game.peer.arg = &game;
    check(fuzz_peer_open(&game.peer, &game.nbd.scene, FUZZ_NBD_ADDRESS));
    game.budget = length > 0 && bytes[0] & 32 ? BYTES_MAX_MUCH : BYTES_MAX;
    shake_hands(&game, bytes_u8(&input));
    for (unsigned i = 0; i < ACTIONS_MAX && input.left > 0; i++) {
        if (game.request_count == REQUESTS_MAX)
            break;
        act(&game, &input);
    }
    fuzz_nbd_hold(&game.nbd, false);
    fuzz_peer_deafen(&game.peer, false);
    fuzz_scene_run_us(&game.nbd.scene, 3000000);
    check(!game.is_strict || (game.open_count == 0 && !game.peer.is_ended));
    if (length % 2 == 0)
        fuzz_peer_close(&game.peer);
    fuzz_nbd_close(&game.nbd);
    return 0;
}
