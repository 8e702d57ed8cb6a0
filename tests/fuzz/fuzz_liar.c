/* SPDX-License-Identifier: Apache-2.0 */
/* See fuzz_liar.h. */
#include "fuzz_liar.h"

#include "base/crc32c.h"
#include "replication/target.h"
#include "wire/payload.h"
#include "wire/peer_life.h"

enum { ACTIONS_MAX = 80, CHANNEL = 1, DATA_BLOCKS_MAX = 16 };

enum action {
    ACTION_HELLO,     /* flags 1, epoch 1, line 1, disks 1 */
    ACTION_DATA,      /* disk 1, block 1, count 1, value 1, twist 1 */
    ACTION_HOLE,      /* disk 1, block 1, count 1 */
    ACTION_CUT,       /* twist 1 */
    ACTION_ACK,       /* twist 1 */
    ACTION_NUMBER,    /* which 1, from LIFE_FROM on LIFE; value 1 */
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

enum { LIFE_FROM = 252 };

static uint8_t buffer[1 << 18];
static struct stream_line line;

/* --- what comes ------------------------------------------------------------------------------- */

static void came(void *arg, const struct link_frame *frame)
{
    static struct stream_hello hello;
    struct fuzz_liar *liar = arg;
    struct stream_hashes hashes;
    struct stream_reprotect reprotect;

    if (frame->kind != LINK_FRAME_CONTROL && frame->kind != LINK_FRAME_DATA)
        return;
    if (frame->type == STREAM_HELLO) {
        check(stream_hello_decode(frame->payload, frame->length, &hello));
        liar->theirs = hello;
        if (hello.epoch > liar->epoch && hello.epoch < UINT32_MAX)
            liar->epoch = hello.epoch;
    } else if (frame->type == STREAM_CUT) {
        check(stream_cut_decode(frame->payload, frame->length, &liar->cut));
    } else if (frame->type == STREAM_HASHES) {
        check(stream_hashes_decode(frame->payload, frame->length, false, &hashes));
        liar->token = hashes.token;
    } else if (frame->type == STREAM_WHO) {
        liar->met = liar->who;
        check(stream_number_decode(frame->payload, frame->length, &liar->who));
    } else if (frame->type == STREAM_REPROTECT) {
        check(stream_reprotect_decode(frame->payload, frame->length, &reprotect));
        liar->nonce = reprotect.nonce;
    }
}

/* --- what goes out ---------------------------------------------------------------------------- */

static void send(struct fuzz_liar *liar, uint16_t type, const void *bytes, uint32_t length)
{
    fuzz_link_send(&liar->wire, target_is_counted(type) ? LINK_FRAME_DATA : LINK_FRAME_CONTROL,
                   type, CHANNEL, bytes, length);
}

static struct stream_generation newest(const struct fuzz_liar *liar)
{
    const struct stream_line *known = liar->said.count ? &liar->said : &liar->theirs.line;

    return known->count ? known->entries[known->count - 1].id : (struct stream_generation){1, 1, 1};
}

/* Their line, or without its end, or with more, or another. */
static void make_line(const struct fuzz_liar *liar, uint8_t how)
{
    line = liar->theirs.line.count ? liar->theirs.line : liar->said;
    if (how % 8 == 1 && line.count > 0)
        line.count--;
    if (how % 8 == 2 && line.count < STREAM_MESSAGE_LINE_MAX) {
        line.entries[line.count].id =
            (struct stream_generation){newest(liar).term + 1 + how / 8 % 4, 77, how};
        line.entries[line.count].parent_epoch = liar->theirs.epoch - (how & 64 ? 1 : 0);
        line.count++;
    }
    if (how % 8 == 3 && line.count > 0)
        line.entries[line.count - 1].id.incarnation ^= how;
    if (how % 8 == 4)
        line.count = 0;
    if (how % 8 == 5 && line.count > 0)
        line.entries[0].id.term = how & 64 ? UINT64_MAX : how;
}

static uint64_t make_epoch(const struct fuzz_liar *liar, uint8_t how)
{
    static const uint64_t extremes[] = {0, 1, UINT64_MAX, UINT64_MAX / 2, 1ull << 48};

    if (how >= 250)
        return extremes[how % 5];
    return liar->theirs.epoch + (uint64_t)(int64_t)(int8_t)how;
}

static void act_hello(struct fuzz_liar *liar, struct bytes_reader *input)
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
    hello.epoch = make_epoch(liar, bytes_u8(input));
    make_line(liar, bytes_u8(input));
    hello.line = liar->said = line;
    disk_flags = bytes_u8(input);
    hello.disk_count = FUZZ_DISKS + (disk_flags == 255);
    for (unsigned i = 0; i < hello.disk_count; i++) {
        hello.disks[i].size_bytes =
            (uint64_t)FUZZ_BLOCKS * BLOCK_SIZE + (disk_flags == 254 ? 4096 : 0);
        if (disk_flags == 253)
            hello.disks[i].size_bytes = UINT64_C(1) << 63;
        hello.disks[i].is_initial = disk_flags >> i & 1;
    }
    send(liar, STREAM_HELLO, buffer, stream_hello_encode(&hello, buffer));
}

/* What stands at `bytes`, compressed into `out`: its length. */
static uint32_t pack(const uint8_t *bytes, uint32_t length, uint8_t *out)
{
    struct payload_codec *codec = payload_codec_new();
    int64_t packed;

    check(codec);
    packed = payload_compress(codec, 1, bytes, length, out, length - 1);
    check(packed > 0);
    payload_codec_free(codec);
    return (uint32_t)packed;
}

static void act_data(struct fuzz_liar *liar, struct bytes_reader *input)
{
    static uint8_t content[DATA_BLOCKS_MAX * BLOCK_SIZE];
    uint8_t disk = bytes_u8(input), block = bytes_u8(input), count = bytes_u8(input);
    uint8_t value = bytes_u8(input), twist = bytes_u8(input);
    struct stream_data data = {.disk = disk % 3, .block = block};
    uint32_t crcs[DATA_BLOCKS_MAX], head;

    if (data.disk == 2 && twist < 128)
        data.disk = 0;
    data.count = 1 + count % DATA_BLOCKS_MAX;
    if (twist < 128 && data.block + data.count > FUZZ_BLOCKS)
        data.block = FUZZ_BLOCKS - data.count;
    head = STREAM_DATA_HEAD_SIZE + 4 * data.count;
    data.length = data.count * BLOCK_SIZE;
    memset(content, value, data.length);
    for (unsigned i = 0; i < data.count; i++)
        crcs[i] = crc32c(0, content, BLOCK_SIZE) ^ (twist % 8 == 2);
    memcpy(buffer + head, content, data.length);
    if (twist % 8 == 1 || twist % 8 == 4 || twist % 8 == 5) {
        data.codec = STREAM_CODEC_ZSTD;
        data.length = pack(content, data.length - (twist % 8 == 5 ? 1 : 0), buffer + head);
        if (twist % 8 == 1)
            buffer[head + twist % data.length] ^= 0x55;
    }
    check(stream_data_encode(&data, crcs, buffer) == head);
    if (twist % 8 == 3)
        data.length--;
    liar->digest = stream_digest(liar->digest, data.disk, data.block, data.count,
                                 buffer + STREAM_DATA_HEAD_SIZE);
    liar->blocks += data.count;
    send(liar, STREAM_DATA, buffer, head + data.length);
}

static void act_hole(struct fuzz_liar *liar, struct bytes_reader *input)
{
    struct stream_hole hole = {.disk = bytes_u8(input) % 3};

    hole.block = bytes_u8(input);
    hole.count = 1u + bytes_u8(input);
    if (hole.count == 256)
        hole.count = STREAM_MESSAGE_BLOCK_LIMIT - hole.block;
    liar->digest = stream_digest(liar->digest, hole.disk, hole.block, hole.count, NULL);
    liar->blocks += hole.count;
    send(liar, STREAM_HOLE, buffer, stream_hole_encode(&hole, buffer));
}

static void act_cut(struct fuzz_liar *liar, uint8_t twist)
{
    struct stream_cut cut = {.epoch = liar->epoch + 1,
                             .generation = newest(liar),
                             .cut_wall_ns = sim_site_wall_offset_ns(liar->attacked.scene.server) +
                                            sim_now_ns(liar->attacked.scene.world),
                             .block_count = liar->blocks,
                             .digest = liar->digest};

    if (twist % 8 == 1)
        cut.epoch = make_epoch(liar, twist);
    if (twist % 8 == 2)
        cut.generation.term += twist;
    if (twist % 8 == 3)
        cut.digest ^= 1;
    if (twist % 8 == 4)
        cut.block_count++;
    if (twist % 8 == 5)
        cut.cut_wall_ns = twist & 64 ? UINT64_MAX : 0;
    liar->epoch++;
    liar->digest = liar->blocks = 0;
    send(liar, STREAM_CUT, buffer, stream_cut_encode(&cut, buffer));
}

static void act_ack(struct fuzz_liar *liar, uint8_t twist)
{
    struct stream_ack ack = {.generation = liar->cut.generation, .epoch = liar->cut.epoch};

    if (twist % 4 == 1)
        ack.epoch = make_epoch(liar, twist);
    if (twist % 4 == 2)
        ack.generation.term += twist;
    send(liar, STREAM_ACK, buffer, stream_ack_encode(&ack, buffer));
}

static void act_life(struct fuzz_liar *liar, uint8_t twist)
{
    struct peer_life life = {.token = liar->who + (twist % 8 == 7),
                             .life = 1 + (twist & 8),
                             .came = twist / 16,
                             .met = liar->met + (twist % 8 == 6)};

    send(liar, STREAM_LIFE, buffer, peer_life_encode(&life, buffer));
}

static void act_number(struct fuzz_liar *liar, struct bytes_reader *input)
{
    static const uint16_t types[] = {STREAM_CURRENT, STREAM_BLOCKED, STREAM_DONE};
    uint8_t which = bytes_u8(input), value = bytes_u8(input);
    uint16_t type = types[which % 3];
    uint64_t number = type == STREAM_DONE ? liar->nonce + value : (uint64_t)value << value % 60;

    if (which >= LIFE_FROM)
        act_life(liar, value);
    else
        send(liar, type, buffer, stream_number_encode(number, buffer));
}

static void act_hashes(struct fuzz_liar *liar, struct bytes_reader *input)
{
    static uint8_t content[STREAM_MESSAGE_BLOCKS_MAX * STREAM_HASH_SIZE];
    bool is_verdict = bytes_u8(input) & 1;
    struct stream_hashes hashes = {.disk = bytes_u8(input) % 3};
    uint8_t twist;

    hashes.block = bytes_u8(input);
    hashes.count = 1u + bytes_u8(input);
    memset(content, bytes_u8(input), sizeof(content));
    twist = bytes_u8(input);
    hashes.token = liar->token + twist % 3;
    hashes.bytes = content;
    send(liar, is_verdict ? STREAM_VERDICT : STREAM_HASHES, buffer,
         stream_hashes_encode(&hashes, is_verdict, buffer));
}

static void act_reprotect(struct fuzz_liar *liar, struct bytes_reader *input)
{
    struct stream_reprotect reprotect = {.is_reverse = bytes_u8(input) & 1};
    uint8_t nonce = bytes_u8(input);

    if (nonce > 0)
        liar->nonce = nonce;
    reprotect.nonce = liar->nonce;
    liar->dirty_runs = 0;
    send(liar, STREAM_REPROTECT, buffer, stream_reprotect_encode(&reprotect, buffer));
}

static void act_dirty(struct fuzz_liar *liar, struct bytes_reader *input)
{
    struct stream_dirty dirty = {.nonce = liar->nonce, .disk = bytes_u8(input) % 3};
    uint32_t length;

    dirty.is_suspect = bytes_u8(input) & 1;
    dirty.run_count = 1 + bytes_u8(input) % 16;
    length = stream_dirty_encode(&dirty, buffer);
    for (unsigned i = 0; i < dirty.run_count; i++, length += 16) {
        put_le64(buffer + length, bytes_u8(input));
        put_le64(buffer + length + 8, bytes_u8(input));
    }
    liar->dirty_runs += dirty.run_count;
    send(liar, STREAM_DIRTY, buffer, length);
}

static void act_dirty_end(struct fuzz_liar *liar, struct bytes_reader *input)
{
    struct stream_dirty_end end = {.nonce = liar->nonce,
                                   .run_count = liar->dirty_runs + bytes_u8(input) % 4};

    end.epoch = make_epoch(liar, bytes_u8(input));
    send(liar, STREAM_DIRTY_END, buffer, stream_dirty_end_encode(&end, buffer));
}

static void act_commit(struct fuzz_liar *liar, struct bytes_reader *input)
{
    static struct stream_commit commit;

    commit.nonce = liar->nonce;
    commit.epoch = make_epoch(liar, bytes_u8(input));
    make_line(liar, bytes_u8(input));
    if (line.count == 0)
        return;
    commit.line = line;
    send(liar, STREAM_COMMIT, buffer, stream_commit_encode(&commit, buffer));
}

static void act_refused(struct fuzz_liar *liar, struct bytes_reader *input)
{
    struct stream_refused refused = {.nonce = liar->nonce, .text = "no"};
    uint16_t type = bytes_u8(input) & 1 ? STREAM_REFUSED : STREAM_TROUBLE;

    refused.code = 1u + bytes_u8(input) % 200;
    send(liar, type, buffer, stream_refused_encode(&refused, buffer));
}

static void act_raw(struct fuzz_liar *liar, struct bytes_reader *input)
{
    uint8_t type = bytes_u8(input), kind = bytes_u8(input) & 1;
    size_t length = bytes_le16(input);
    const uint8_t *bytes;

    length = length < input->left ? length : input->left;
    bytes = bytes_take(input, length);
    if (bytes)
        fuzz_link_send(&liar->wire, kind ? LINK_FRAME_DATA : LINK_FRAME_CONTROL, type, CHANNEL,
                       bytes, (uint32_t)length);
}

static void enter(struct fuzz_liar *liar)
{
    fuzz_link_close(&liar->wire);
    if (!fuzz_link_open(&liar->wire, &liar->attacked.scene, FUZZ_ENGINE_ADDRESS, NULL))
        return;
    fuzz_link_greet(&liar->wire, true);
    fuzz_link_send(&liar->wire, LINK_FRAME_OPEN, 0, CHANNEL, "pg-0", 4);
    liar->digest = liar->blocks = 0;
    fuzz_scene_run_us(&liar->attacked.scene, 3000);
}

static void act_write(struct fuzz_liar *liar, struct bytes_reader *input)
{
    uint8_t disk = bytes_u8(input), block = bytes_u8(input), count = bytes_u8(input);

    fuzz_engine_write(&liar->attacked, disk, block, count % 32, bytes_u8(input));
}

static bool act_message(struct fuzz_liar *liar, enum action action, struct bytes_reader *input)
{
    switch (action) {
    case ACTION_HELLO:
        act_hello(liar, input);
        return true;
    case ACTION_DATA:
        act_data(liar, input);
        return true;
    case ACTION_HOLE:
        act_hole(liar, input);
        return true;
    case ACTION_CUT:
        act_cut(liar, bytes_u8(input));
        return true;
    case ACTION_ACK:
        act_ack(liar, bytes_u8(input));
        return true;
    case ACTION_NUMBER:
        act_number(liar, input);
        return true;
    case ACTION_EMPTY:
        send(liar, bytes_u8(input) & 1 ? STREAM_RESUME : STREAM_ABORT, NULL, 0);
        liar->digest = liar->blocks = 0;
        return true;
    case ACTION_HASHES:
        act_hashes(liar, input);
        return true;
    default:
        return false;
    }
}

static void act(struct fuzz_liar *liar, struct bytes_reader *input)
{
    enum action action = (enum action)(bytes_u8(input) % ACTION_COUNT);

    if (act_message(liar, action, input))
        return;
    switch (action) {
    case ACTION_REPROTECT:
        act_reprotect(liar, input);
        break;
    case ACTION_DIRTY:
        act_dirty(liar, input);
        break;
    case ACTION_DIRTY_END:
        act_dirty_end(liar, input);
        break;
    case ACTION_COMMIT:
        act_commit(liar, input);
        break;
    case ACTION_REFUSED:
        act_refused(liar, input);
        break;
    case ACTION_RAW:
        act_raw(liar, input);
        break;
    case ACTION_PAUSE:
        fuzz_scene_run_us(&liar->attacked.scene, bytes_u8(input) * 10000ull);
        break;
    case ACTION_ORDER:
        fuzz_engine_order(&liar->attacked, (enum fuzz_order)(bytes_u8(input) % FUZZ_ORDER_COUNT));
        break;
    case ACTION_WRITE:
        act_write(liar, input);
        break;
    case ACTION_AGAIN:
        enter(liar);
        break;
    default:
        fuzz_link_credit(&liar->wire);
    }
}

void fuzz_liar_open(struct fuzz_liar *liar, uint8_t settings)
{
    memset(liar, 0, sizeof(*liar));
    fuzz_engine_open(&liar->attacked, settings & 1 ? STREAM_ROLE_TARGET : STREAM_ROLE_SOURCE);
    liar->wire.frame_cb = came;
    liar->wire.arg = liar;
    if (settings & 2)
        fuzz_engine_order(&liar->attacked, FUZZ_ORDER_START);
    enter(liar);
}

void fuzz_liar_play(struct fuzz_liar *liar, struct bytes_reader *input)
{
    for (unsigned i = 0; i < ACTIONS_MAX && input->left > 0; i++) {
        fuzz_engine_show(&liar->attacked, "before action", input->at[0] % ACTION_COUNT);
        act(liar, input);
        fuzz_scene_run_us(&liar->attacked.scene, 300);
    }
}
