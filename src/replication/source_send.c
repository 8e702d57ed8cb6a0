/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Out goes, in this order: an abort, WHO, what was read, the cut. The digest of the epoch is made
 * of what was really queued on the link, when it was.
 */
#include "replication/source_parts.h"

#include <errno.h>

#include "base/crc32c.h"
#include "replication/hash_compare.h"

enum { ZSTD_LEVEL = -1, ZEROS_MIN = 4 };

#define SECOND_NS UINT64_C(1000000000)

/* May a frame go now? If the limit says no, the timer is set. */
static bool has_credit(struct source *source)
{
    uint64_t now = loop_now_ns(source->loop), passed = now - source->credit_ns;
    int64_t burst = (int64_t)(source->bandwidth_bytes / 8 + BLOCK_SIZE);

    if (source->bandwidth_bytes == 0)
        return true;
    if (passed > SECOND_NS)
        passed = SECOND_NS;
    source->credit_ns = now;
    source->credit_bytes +=
        (int64_t)((double)source->bandwidth_bytes * (double)passed / (double)SECOND_NS);
    if (source->credit_bytes > burst)
        source->credit_bytes = burst;
    if (source->credit_bytes > 0)
        return true;
    source->is_tight = true;
    loop_timer_set(source->loop, &source->credit_timer, now + SECOND_NS / 100);
    return false;
}

static void spend_credit(struct source *source, uint64_t bytes)
{
    source->shipped_bytes += bytes;
    if (source->bandwidth_bytes > 0)
        source->credit_bytes -= (int64_t)bytes;
}

/* Blocks of a slot that go in one frame: from `sent` on, all zeros or (but for short runs of zeros)
 * none. */
static uint64_t next_piece(const struct slot *slot, bool *ret_is_hole)
{
    uint64_t zeros = 0, at = slot->sent;

    *ret_is_hole = slot->is_hole;
    if (slot->is_hole)
        return slot->count;
    while (at < slot->count && zeros < ZEROS_MIN) {
        bool is_zero = bytes_are_zero(slot->bytes + (at << BLOCK_SHIFT), BLOCK_SIZE);

        zeros = is_zero ? zeros + 1 : 0;
        at++;
    }
    if (zeros < ZEROS_MIN)
        return at - slot->sent;
    if (at - zeros > slot->sent)
        return at - zeros - slot->sent;
    while (at < slot->count && bytes_are_zero(slot->bytes + (at << BLOCK_SHIFT), BLOCK_SIZE))
        at++;
    *ret_is_hole = true;
    return at - slot->sent;
}

static int send_hole(struct source *source, const struct slot *slot, uint64_t count)
{
    uint8_t bytes[STREAM_SMALL_SIZE_MAX];
    struct stream_hole hole = {
        .disk = (uint16_t)slot->volume, .block = slot->block + slot->sent, .count = count};
    uint32_t length = stream_hole_encode(&hole, bytes);
    int error = link_send_data(source->link, source->stream, STREAM_HOLE, bytes, length, NULL, 0);

    if (error == 0) {
        source->digest = stream_digest(source->digest, hole.disk, hole.block, hole.count, NULL);
        spend_credit(source, length);
    }
    return error;
}

static void pack(struct source *source, struct stream_data *data)
{
    if (!source->is_tight || !payload_gauge_step(&source->gauge))
        return;
    int64_t packed = payload_compress(source->codec, ZSTD_LEVEL, data->bytes, data->length,
                                      source->packed, data->length - 1);

    if (payload_gauge_note(&source->gauge, data->length, packed > 0 ? (uint64_t)packed : 0)) {
        data->codec = STREAM_CODEC_ZSTD;
        data->bytes = source->packed;
        data->length = (uint32_t)packed;
    }
}

static int send_blocks(struct source *source, const struct slot *slot, uint64_t count)
{
    uint8_t head[STREAM_DATA_HEAD_SIZE + 4 * SLOT_BLOCKS];
    struct stream_data data = {.disk = (uint16_t)slot->volume,
                               .codec = STREAM_CODEC_RAW,
                               .count = (uint32_t)count,
                               .block = slot->block + slot->sent,
                               .bytes = slot->bytes + (slot->sent << BLOCK_SHIFT),
                               .length = (uint32_t)(count << BLOCK_SHIFT)};

    pack(source, &data);
    uint32_t head_length = stream_data_encode(&data, slot->crcs + slot->sent, head);
    int error = link_send_data(source->link, source->stream, STREAM_DATA, head, head_length,
                               data.bytes, data.length);

    if (error == 0) {
        source->digest = stream_digest(source->digest, data.disk, data.block, data.count,
                                       head + STREAM_DATA_HEAD_SIZE);
        spend_credit(source, head_length + data.length);
    }
    return error;
}

/* True: all of it is out. False: the link or the limit says wait. */
static bool send_slot(struct source *source, struct slot *slot)
{
    while (slot->sent < slot->count) {
        bool is_hole;
        uint64_t count = next_piece(slot, &is_hole);

        if (!has_credit(source))
            return false;
        int error = is_hole ? send_hole(source, slot, count) : send_blocks(source, slot, count);

        if (error == -EAGAIN)
            source->is_tight = true;
        if (error != 0)
            return false;
        slot->sent += count;
        source->block_count += count;
        source->shipped_blocks += count;
    }
    return true;
}

/* True: it is out, and the slot waits for the verdict. */
static bool send_hashes(struct source *source, struct slot *slot)
{
    uint8_t hashes[SLOT_BLOCKS * STREAM_HASH_SIZE], bytes[STREAM_HASHES_SIZE_MAX];
    struct stream_hashes message = {.token = slot->token,
                                    .disk = (uint16_t)slot->volume,
                                    .block = slot->block,
                                    .count = (uint32_t)slot->count,
                                    .bytes = hashes};

    if (slot->is_hole)
        hash_zero_blocks((uint32_t)slot->count, hashes);
    else
        hash_blocks(slot->bytes, (uint32_t)slot->count, hashes);
    uint32_t length = stream_hashes_encode(&message, false, bytes);

    if (link_send_data(source->link, source->stream, STREAM_HASHES, bytes, length, NULL, 0) != 0)
        return false;
    list_remove(&slot->node);
    slot->shipped = source->shipped_blocks;
    slot->state = SLOT_ASKED;
    return true;
}

static int send_cut(struct source *source)
{
    uint8_t bytes[STREAM_SMALL_SIZE_MAX];
    const struct generation *generation = &source->generation;
    struct stream_cut cut = {
        .epoch = source->core.epoch,
        .generation = {generation->term, generation->site, generation->incarnation},
        .cut_wall_ns = source->core.cut_wall_ns,
        .block_count = source->block_count,
        .digest = source->digest,
    };
    uint32_t length = stream_cut_encode(&cut, bytes);

    return link_send_data(source->link, source->stream, STREAM_CUT, bytes, length, NULL, 0);
}

void source_begin_partial(struct source *source)
{
    source->digest = source->block_count = 0;
}

/* Sends what waits, in order: an abort, WHO, blocks, the cut. An error other than "no room" means
 * that the link is going down and will say so. */
void source_flush(struct source *source)
{
    if (source->link == NULL)
        return;
    if (source->abort_unsent) {
        if (link_send_data(source->link, source->stream, STREAM_ABORT, NULL, 0, NULL, 0) != 0)
            return;
        source->abort_unsent = false;
        source_begin_partial(source);
    }
    if (!source_send_who(source))
        return;
    while (!list_is_empty(&source->unsent)) {
        struct slot *slot = list_entry(source->unsent.next, struct slot, node);

        if (slot->work == SLOT_COMPARE ? !send_hashes(source, slot) : !send_slot(source, slot))
            return;
        if (slot->work != SLOT_COMPARE)
            source_free_slot(slot);
    }
    if (source->cut_unsent && source->numbered_epoch >= source->core.epoch &&
        send_cut(source) == 0) {
        source->cut_unsent = false;
        source_begin_partial(source);
    }
}
