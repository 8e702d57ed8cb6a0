/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every decoder of a stream's messages. Input: the type, then the payload.
 *
 * What is decoded is inside the bounds that the header promises, and encoding it again gives bytes
 * that mean the same.
 *
 * Covers: wire/stream_message.c.
 */
#include <stdlib.h>

#include "fuzz.h"
#include "wire/peer_life.h"
#include "wire/stream_message.h"

static uint8_t out[STREAM_HELLO_SIZE_MAX + STREAM_DIRTY_SIZE_MAX];

static void check_line(const struct stream_line *line)
{
    check(line->count <= STREAM_MESSAGE_LINE_MAX);
    for (unsigned i = 0; i < line->count; i++)
        check(line->entries[i].id.term < STREAM_MESSAGE_TERM_LIMIT &&
              (i == 0 || line->entries[i].id.term > line->entries[i - 1].id.term));
}

static void try_hello(const uint8_t *bytes, size_t length)
{
    static struct stream_hello hello, again;

    if (!stream_hello_decode(bytes, length, &hello))
        return;
    check(hello.role < 4 && hello.disk_count <= STREAM_MESSAGE_DISKS_MAX);
    check_line(&hello.line);
    length = stream_hello_encode(&hello, out);
    check(length <= STREAM_HELLO_SIZE_MAX && stream_hello_decode(out, length, &again));
    check(again.epoch == hello.epoch && again.disk_count == hello.disk_count);
}

static void try_data(const uint8_t *bytes, size_t length)
{
    struct stream_data data;
    uint32_t crcs[STREAM_MESSAGE_BLOCKS_MAX];

    if (!stream_data_decode(bytes, length, &data))
        return;
    check(data.count >= 1 && data.count <= STREAM_MESSAGE_BLOCKS_MAX);
    check(data.disk < STREAM_MESSAGE_DISKS_MAX);
    check(data.block <= STREAM_MESSAGE_BLOCK_LIMIT - data.count);
    check(data.bytes + data.length == bytes + length);
    check(data.codec != STREAM_CODEC_RAW || data.length == data.count * 4096);
    for (unsigned i = 0; i < data.count; i++)
        crcs[i] = get_le32(data.crcs + 4 * i);
    check(stream_data_encode(&data, crcs, out) == STREAM_DATA_HEAD_SIZE + 4 * data.count);
    check(stream_digest(1, data.disk, data.block, data.count, data.crcs) != 1);
}

static void try_hole(const uint8_t *bytes, size_t length)
{
    struct stream_hole hole, again;

    if (!stream_hole_decode(bytes, length, &hole))
        return;
    check(hole.count >= 1 && hole.count <= STREAM_MESSAGE_BLOCK_LIMIT);
    check(hole.block <= STREAM_MESSAGE_BLOCK_LIMIT - hole.count);
    check(stream_hole_decode(out, stream_hole_encode(&hole, out), &again));
    check(again.block == hole.block && again.count == hole.count && again.disk == hole.disk);
}

static void try_hashes(const uint8_t *bytes, size_t length, bool is_verdict)
{
    struct stream_hashes hashes, again;
    size_t size;

    if (!stream_hashes_decode(bytes, length, is_verdict, &hashes))
        return;
    check(hashes.count >= 1 && hashes.count <= STREAM_MESSAGE_BLOCKS_MAX);
    size = is_verdict ? (hashes.count + 7) / 8 : (size_t)hashes.count * STREAM_HASH_SIZE;
    check(hashes.bytes >= bytes && hashes.bytes + size <= bytes + length);
    length = stream_hashes_encode(&hashes, is_verdict, out);
    check(stream_hashes_decode(out, length, is_verdict, &again) && again.token == hashes.token);
}

static void try_dirty(const uint8_t *bytes, size_t length)
{
    struct stream_dirty dirty;

    if (!stream_dirty_decode(bytes, length, &dirty))
        return;
    check(dirty.run_count <= STREAM_MESSAGE_RUNS_MAX);
    for (unsigned i = 0; i < dirty.run_count; i++) {
        uint64_t block, count;

        stream_dirty_run(&dirty, i, &block, &count);
        check(count <= STREAM_MESSAGE_BLOCK_LIMIT && block <= STREAM_MESSAGE_BLOCK_LIMIT);
    }
    check(stream_dirty_encode(&dirty, out) == 16);
}

static void try_commit(const uint8_t *bytes, size_t length)
{
    static struct stream_commit commit, again;

    if (!stream_commit_decode(bytes, length, &commit))
        return;
    check_line(&commit.line);
    length = stream_commit_encode(&commit, out);
    check(stream_commit_decode(out, length, &again) && again.nonce == commit.nonce);
}

static void try_refused(const uint8_t *bytes, size_t length)
{
    struct stream_refused refused, again;

    if (!stream_refused_decode(bytes, length, &refused))
        return;
    check(strlen(refused.text) <= STREAM_MESSAGE_TEXT_MAX);
    length = stream_refused_encode(&refused, out);
    check(stream_refused_decode(out, length, &again) && strcmp(again.text, refused.text) == 0);
}

static void try_small(uint8_t type, const uint8_t *bytes, size_t length)
{
    struct stream_cut cut;
    struct stream_ack ack;
    struct stream_reprotect reprotect;
    struct stream_dirty_end end;
    struct peer_life life;
    uint64_t number;

    if (type == STREAM_LIFE && peer_life_decode(bytes, length, &life))
        check(peer_life_decode(out, peer_life_encode(&life, out), &life));
    if (type == STREAM_CUT && stream_cut_decode(bytes, length, &cut))
        check(stream_cut_decode(out, stream_cut_encode(&cut, out), &cut));
    if (type == STREAM_ACK && stream_ack_decode(bytes, length, &ack))
        check(stream_ack_decode(out, stream_ack_encode(&ack, out), &ack));
    if (type == STREAM_REPROTECT && stream_reprotect_decode(bytes, length, &reprotect))
        check(stream_reprotect_decode(out, stream_reprotect_encode(&reprotect, out), &reprotect));
    if (type == STREAM_DIRTY_END && stream_dirty_end_decode(bytes, length, &end))
        check(stream_dirty_end_decode(out, stream_dirty_end_encode(&end, out), &end));
    if (type == STREAM_CURRENT && stream_number_decode(bytes, length, &number))
        check(stream_number_decode(out, stream_number_encode(number, out), &number));
}

static void try_type(uint8_t type, const uint8_t *bytes, size_t length)
{
    switch (type) {
    case STREAM_HELLO:
        try_hello(bytes, length);
        break;
    case STREAM_DATA:
        try_data(bytes, length);
        break;
    case STREAM_HOLE:
        try_hole(bytes, length);
        break;
    case STREAM_HASHES:
    case STREAM_VERDICT:
        try_hashes(bytes, length, type == STREAM_VERDICT);
        break;
    case STREAM_DIRTY:
        try_dirty(bytes, length);
        break;
    case STREAM_COMMIT:
        try_commit(bytes, length);
        break;
    case STREAM_REFUSED:
        try_refused(bytes, length);
        break;
    default:
        try_small(type, bytes, length);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    uint8_t *copy;

    if (length == 0)
        return 0;
    copy = fuzz_copy(bytes + 1, length - 1);
    try_type(bytes[0], copy, length - 1);
    free(copy);
    return 0;
}
