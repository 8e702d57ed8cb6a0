/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole engine against a peer that has the key, knows the protocol and lies; hosts and an
 * operator at the attacked site.
 *
 * Input: settings (1: a target, else a source; 2: started), then actions: messages with numbers
 * that make sense but for one twist, or any bytes. What the peer was told (generations, epochs,
 * nonces) is put in by the harness. Checked beside crashes: a site that was never a target holds
 * what its hosts wrote; every order is answered once; it stops in bounded time and leaves nothing.
 *
 * Covers: replication/target.c replication/meeting.c replication/reprotect.c replication/stream.c
 * replication/engine_site.c replication/engine_streams.c replication/source_shell.c
 * replication/source_core.c replication/source_read.c replication/source_send.c
 * replication/hash_compare.c replication/generation.c replication/failover.c
 * replication/replica_receive.c replication/replica_door.c wire/stream_message.c.
 */
#include "base/crc32c.h"
#include "fuzz_engine.h"
#include "fuzz_link.h"
#include "replication/target.h"
#include "wire/stream_message.h"

enum { ACTIONS_MAX = 80, CHANNEL = 1, DATA_BLOCKS_MAX = 16 };

enum action {
    ACTION_HELLO,     /* flags 1, epoch 1, line 1, disks 1 */
    ACTION_DATA,      /* disk 1, block 1, count 1, value 1, twist 1 */
    ACTION_HOLE,      /* disk 1, block 1, count 1 */
    ACTION_CUT,       /* twist 1 */
    ACTION_ACK,       /* twist 1 */
    ACTION_NUMBER,    /* which 1, value 1 */
    ACTION_EMPTY,     /* which 1: ABORT, RESUME */
    ACTION_HASHES,    /* is verdict 1, disk 1, block 1, count 1, value 1, twist 1 */
    ACTION_REPROTECT, /* reverse 1, nonce 1 */
    ACTION_DIRTY,     /* disk 1, suspect 1, runs 1, then block 1, count 1 each */
    ACTION_DIRTY_END, /* runs 1, epoch 1 */
    ACTION_COMMIT,    /* epoch 1, line 1 */
    ACTION_REFUSED,   /* which 1, code 1 */
    ACTION_RAW,       /* type 1, counted 1, length 2, bytes */
    ACTION_PAUSE,     /* 1: times 10 ms */
    ACTION_ORDER,     /* 1 */
    ACTION_WRITE,     /* disk 1, block 1, count 1, value 1 */
    ACTION_AGAIN,     /* a new connection */
    ACTION_CREDIT,
    ACTION_COUNT
};

struct game {
    struct fuzz_engine attacked;
    struct fuzz_link wire;
    /* What it told us. */
    struct stream_hello theirs;
    struct stream_cut cut; /* the last one */
    uint64_t nonce, token;
    /* Our partial epoch, as an honest source counts it. */
    uint64_t epoch, digest, blocks, dirty_runs;
};

static uint8_t buffer[1 << 18];
static struct stream_line line;

/* --- what comes ------------------------------------------------------------------------------- */

static void came(void *arg, const struct link_frame *frame)
{
    static struct stream_hello hello;
    struct game *game = arg;
    struct stream_hashes hashes;
    struct stream_reprotect reprotect;

    if (frame->kind != LINK_FRAME_CONTROL && frame->kind != LINK_FRAME_DATA)
        return;
    if (frame->type == STREAM_HELLO) {
        check(stream_hello_decode(frame->payload, frame->length, &hello));
        game->theirs = hello;
        if (hello.epoch > game->epoch && hello.epoch < UINT32_MAX)
            game->epoch = hello.epoch;
    } else if (frame->type == STREAM_CUT) {
        check(stream_cut_decode(frame->payload, frame->length, &game->cut));
    } else if (frame->type == STREAM_HASHES) {
        check(stream_hashes_decode(frame->payload, frame->length, false, &hashes));
        game->token = hashes.token;
    } else if (frame->type == STREAM_REPROTECT) {
        check(stream_reprotect_decode(frame->payload, frame->length, &reprotect));
        game->nonce = reprotect.nonce;
    }
}

/* --- what goes out ---------------------------------------------------------------------------- */

static void send(struct game *game, uint16_t type, const void *bytes, uint32_t length)
{
    fuzz_link_send(&game->wire, target_is_counted(type) ? LINK_FRAME_DATA : LINK_FRAME_CONTROL,
                   type, CHANNEL, bytes, length);
}

static struct stream_generation newest(const struct game *game)
{
    const struct stream_line *known = &game->theirs.line;

    return known->count ? known->entries[known->count - 1].id : (struct stream_generation){1, 1, 1};
}

/* Their line, or without its end, or with more, or another. */
static void make_line(const struct game *game, uint8_t how)
{
    line = game->theirs.line;
    if (how % 8 == 1 && line.count > 0)
        line.count--;
    if (how % 8 == 2 && line.count < STREAM_MESSAGE_LINE_MAX) {
        line.entries[line.count].id =
            (struct stream_generation){newest(game).term + 1 + how / 8 % 4, 77, how};
        line.entries[line.count].parent_epoch = game->theirs.epoch - (how & 64 ? 1 : 0);
        line.count++;
    }
    if (how % 8 == 3 && line.count > 0)
        line.entries[line.count - 1].id.incarnation ^= how;
    if (how % 8 == 4)
        line.count = 0;
    if (how % 8 == 5 && line.count > 0)
        line.entries[0].id.term = how & 64 ? UINT64_MAX : how;
}

static uint64_t make_epoch(const struct game *game, uint8_t how)
{
    static const uint64_t extremes[] = {0, 1, UINT64_MAX, UINT64_MAX / 2, 1ull << 48};

    if (how >= 250)
        return extremes[how % 5];
    return game->theirs.epoch + (uint64_t)(int64_t)(int8_t)how;
}

static void act_hello(struct game *game, struct bytes_reader *input)
{
    static struct stream_hello hello;
    uint8_t flags = bytes_u8(input), disk_flags;

    memset(&hello, 0, sizeof(hello));
    hello.role = flags & 3;
    hello.is_started = flags & 4;
    hello.is_reprotect_open = flags & 8;
    hello.is_reprotect_reverse = flags & 16;
    hello.wants_reply = flags & 32;
    hello.has_point = flags & 64;
    hello.epoch = make_epoch(game, bytes_u8(input));
    make_line(game, bytes_u8(input));
    hello.line = line;
    disk_flags = bytes_u8(input);
    hello.disk_count = FUZZ_DISKS + (disk_flags == 255);
    for (unsigned i = 0; i < hello.disk_count; i++) {
        hello.disks[i].size_bytes =
            (uint64_t)FUZZ_BLOCKS * BLOCK_SIZE + (disk_flags == 254 ? 4096 : 0);
        hello.disks[i].is_initial = disk_flags >> i & 1;
    }
    send(game, STREAM_HELLO, buffer, stream_hello_encode(&hello, buffer));
}

static void act_data(struct game *game, struct bytes_reader *input)
{
    struct stream_data data = {.disk = bytes_u8(input) % 3, .block = bytes_u8(input)};
    uint8_t count = bytes_u8(input), value = bytes_u8(input), twist = bytes_u8(input);
    uint32_t crcs[DATA_BLOCKS_MAX], head, length;

    data.disk = (uint16_t)(data.disk == 2 && twist < 128 ? 0 : data.disk);
    data.count = 1 + count % DATA_BLOCKS_MAX;
    if (twist < 128 && data.block + data.count > FUZZ_BLOCKS)
        data.block = FUZZ_BLOCKS - data.count;
    data.codec = twist % 8 == 1 ? STREAM_CODEC_ZSTD : STREAM_CODEC_RAW;
    length = twist % 8 == 1 ? 40u + twist : data.count * BLOCK_SIZE;
    head = STREAM_DATA_HEAD_SIZE + 4 * data.count;
    memset(buffer + head, value, data.count * BLOCK_SIZE);
    for (unsigned i = 0; i < data.count; i++)
        crcs[i] = crc32c(0, buffer + head, BLOCK_SIZE);
    if (twist % 8 == 2)
        crcs[0] ^= 1;
    check(stream_data_encode(&data, crcs, buffer) == head);
    if (twist % 8 == 3)
        length--;
    game->digest = stream_digest(game->digest, data.disk, data.block, data.count,
                                 buffer + STREAM_DATA_HEAD_SIZE);
    game->blocks += data.count;
    send(game, STREAM_DATA, buffer, head + length);
}

static void act_hole(struct game *game, struct bytes_reader *input)
{
    struct stream_hole hole = {.disk = bytes_u8(input) % 3, .block = bytes_u8(input)};

    hole.count = 1u + bytes_u8(input);
    if (hole.count == 256)
        hole.count = STREAM_MESSAGE_BLOCK_LIMIT - hole.block;
    game->digest = stream_digest(game->digest, hole.disk, hole.block, hole.count, NULL);
    game->blocks += hole.count;
    send(game, STREAM_HOLE, buffer, stream_hole_encode(&hole, buffer));
}

static void act_cut(struct game *game, uint8_t twist)
{
    struct stream_cut cut = {.epoch = game->epoch + 1,
                             .generation = newest(game),
                             .cut_wall_ns = 1790000000ull * SIM_SECOND,
                             .block_count = game->blocks,
                             .digest = game->digest};

    if (twist % 8 == 1)
        cut.epoch = make_epoch(game, twist);
    if (twist % 8 == 2)
        cut.generation.term += twist;
    if (twist % 8 == 3)
        cut.digest ^= 1;
    if (twist % 8 == 4)
        cut.block_count++;
    if (twist % 8 == 5)
        cut.cut_wall_ns = twist & 64 ? UINT64_MAX : 0;
    game->epoch++;
    game->digest = game->blocks = 0;
    send(game, STREAM_CUT, buffer, stream_cut_encode(&cut, buffer));
}

static void act_ack(struct game *game, uint8_t twist)
{
    struct stream_ack ack = {.generation = game->cut.generation, .epoch = game->cut.epoch};

    if (twist % 4 == 1)
        ack.epoch = make_epoch(game, twist);
    if (twist % 4 == 2)
        ack.generation.term += twist;
    send(game, STREAM_ACK, buffer, stream_ack_encode(&ack, buffer));
}

static void act_number(struct game *game, struct bytes_reader *input)
{
    static const uint16_t types[] = {STREAM_CURRENT, STREAM_BLOCKED, STREAM_DONE};
    uint16_t type = types[bytes_u8(input) % 3];
    uint8_t value = bytes_u8(input);
    uint64_t number = type == STREAM_DONE ? game->nonce + value : (uint64_t)value << value % 60;

    send(game, type, buffer, stream_number_encode(number, buffer));
}

static void act_hashes(struct game *game, struct bytes_reader *input)
{
    static uint8_t content[STREAM_MESSAGE_BLOCKS_MAX * STREAM_HASH_SIZE];
    bool is_verdict = bytes_u8(input) & 1;
    struct stream_hashes hashes = {.disk = bytes_u8(input) % 3, .block = bytes_u8(input)};
    uint8_t twist;

    hashes.count = 1u + bytes_u8(input);
    memset(content, bytes_u8(input), sizeof(content));
    twist = bytes_u8(input);
    hashes.token = game->token + twist % 3;
    hashes.bytes = content;
    send(game, is_verdict ? STREAM_VERDICT : STREAM_HASHES, buffer,
         stream_hashes_encode(&hashes, is_verdict, buffer));
}

static void act_reprotect(struct game *game, struct bytes_reader *input)
{
    struct stream_reprotect reprotect = {.is_reverse = bytes_u8(input) & 1};
    uint8_t nonce = bytes_u8(input);

    if (nonce > 0)
        game->nonce = nonce;
    reprotect.nonce = game->nonce;
    game->dirty_runs = 0;
    send(game, STREAM_REPROTECT, buffer, stream_reprotect_encode(&reprotect, buffer));
}

static void act_dirty(struct game *game, struct bytes_reader *input)
{
    struct stream_dirty dirty = {.nonce = game->nonce, .disk = bytes_u8(input) % 3};
    uint32_t length;

    dirty.is_suspect = bytes_u8(input) & 1;
    dirty.run_count = 1 + bytes_u8(input) % 16;
    length = stream_dirty_encode(&dirty, buffer);
    for (unsigned i = 0; i < dirty.run_count; i++, length += 16) {
        put_le64(buffer + length, bytes_u8(input));
        put_le64(buffer + length + 8, bytes_u8(input));
    }
    game->dirty_runs += dirty.run_count;
    send(game, STREAM_DIRTY, buffer, length);
}

static void act_dirty_end(struct game *game, struct bytes_reader *input)
{
    struct stream_dirty_end end = {.nonce = game->nonce,
                                   .run_count = game->dirty_runs + bytes_u8(input) % 4};

    end.epoch = make_epoch(game, bytes_u8(input));
    send(game, STREAM_DIRTY_END, buffer, stream_dirty_end_encode(&end, buffer));
}

static void act_commit(struct game *game, struct bytes_reader *input)
{
    static struct stream_commit commit;

    commit.nonce = game->nonce;
    commit.epoch = make_epoch(game, bytes_u8(input));
    make_line(game, bytes_u8(input));
    if (line.count == 0)
        return;
    commit.line = line;
    send(game, STREAM_COMMIT, buffer, stream_commit_encode(&commit, buffer));
}

static void act_refused(struct game *game, struct bytes_reader *input)
{
    struct stream_refused refused = {.nonce = game->nonce, .text = "no"};
    uint16_t type = bytes_u8(input) & 1 ? STREAM_REFUSED : STREAM_TROUBLE;

    refused.code = 1u + bytes_u8(input) % 200;
    send(game, type, buffer, stream_refused_encode(&refused, buffer));
}

static void act_raw(struct game *game, struct bytes_reader *input)
{
    uint8_t type = bytes_u8(input), kind = bytes_u8(input) & 1;
    size_t length = bytes_le16(input);
    const uint8_t *bytes;

    length = length < input->left ? length : input->left;
    bytes = bytes_take(input, length);
    if (bytes)
        fuzz_link_send(&game->wire, kind ? LINK_FRAME_DATA : LINK_FRAME_CONTROL, type, CHANNEL,
                       bytes, (uint32_t)length);
}

static void enter(struct game *game)
{
    fuzz_link_close(&game->wire);
    if (!fuzz_link_open(&game->wire, &game->attacked.scene, FUZZ_ENGINE_ADDRESS, NULL))
        return;
    fuzz_link_greet(&game->wire, true);
    fuzz_link_send(&game->wire, LINK_FRAME_OPEN, 0, CHANNEL, "pg-0", 4);
    game->digest = game->blocks = 0;
    fuzz_scene_run_us(&game->attacked.scene, 3000);
}

static void act_write(struct game *game, struct bytes_reader *input)
{
    uint8_t disk = bytes_u8(input), block = bytes_u8(input), count = bytes_u8(input);

    fuzz_engine_write(&game->attacked, disk, block, count % 32, bytes_u8(input));
}

static bool act_message(struct game *game, enum action action, struct bytes_reader *input)
{
    switch (action) {
    case ACTION_HELLO:
        act_hello(game, input);
        return true;
    case ACTION_DATA:
        act_data(game, input);
        return true;
    case ACTION_HOLE:
        act_hole(game, input);
        return true;
    case ACTION_CUT:
        act_cut(game, bytes_u8(input));
        return true;
    case ACTION_ACK:
        act_ack(game, bytes_u8(input));
        return true;
    case ACTION_NUMBER:
        act_number(game, input);
        return true;
    case ACTION_EMPTY:
        send(game, bytes_u8(input) & 1 ? STREAM_RESUME : STREAM_ABORT, NULL, 0);
        game->digest = game->blocks = 0;
        return true;
    case ACTION_HASHES:
        act_hashes(game, input);
        return true;
    default:
        return false;
    }
}

static void act(struct game *game, struct bytes_reader *input)
{
    enum action action = (enum action)(bytes_u8(input) % ACTION_COUNT);

    if (act_message(game, action, input))
        return;
    switch (action) {
    case ACTION_REPROTECT:
        act_reprotect(game, input);
        break;
    case ACTION_DIRTY:
        act_dirty(game, input);
        break;
    case ACTION_DIRTY_END:
        act_dirty_end(game, input);
        break;
    case ACTION_COMMIT:
        act_commit(game, input);
        break;
    case ACTION_REFUSED:
        act_refused(game, input);
        break;
    case ACTION_RAW:
        act_raw(game, input);
        break;
    case ACTION_PAUSE:
        fuzz_scene_run_us(&game->attacked.scene, bytes_u8(input) * 10000ull);
        break;
    case ACTION_ORDER:
        fuzz_engine_order(&game->attacked, (enum fuzz_order)(bytes_u8(input) % FUZZ_ORDER_COUNT));
        break;
    case ACTION_WRITE:
        act_write(game, input);
        break;
    case ACTION_AGAIN:
        enter(game);
        break;
    default:
        fuzz_link_credit(&game->wire);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct game game;
    struct bytes_reader input = {.at = bytes, .left = length};
    uint8_t settings = bytes_u8(&input);

    fuzz_quiet();
    memset(&game, 0, sizeof(game));
    fuzz_engine_open(&game.attacked, settings & 1 ? STREAM_ROLE_TARGET : STREAM_ROLE_SOURCE);
    game.wire.frame_cb = came;
    game.wire.arg = &game;
    if (settings & 2)
        fuzz_engine_order(&game.attacked, FUZZ_ORDER_START);
    enter(&game);
    for (unsigned i = 0; i < ACTIONS_MAX && input.left > 0; i++) {
        act(&game, &input);
        fuzz_scene_run_us(&game.attacked.scene, 300);
    }
    fuzz_engine_check(&game.attacked);
    if (settings & 8)
        fuzz_link_close(&game.wire);
    fuzz_engine_stop(&game.attacked);
    fuzz_link_close(&game.wire);
    fuzz_engine_close(&game.attacked);
    return 0;
}
