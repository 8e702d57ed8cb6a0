/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Out goes, in this order: an abort, what was read, the cut. The digest of the epoch is made of
 * what was really queued on the link, when it was.
 */
#include "replication/source_parts.h"

#include <errno.h>

#include "base/check.h"

enum { ZSTD_LEVEL = -1 };

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

static int send_hole(struct source *source, const struct slot *slot)
{
    uint8_t bytes[STREAM_SMALL_SIZE_MAX];
    struct stream_hole hole = {
        .disk = (uint16_t)slot->volume, .block = slot->block, .count = slot->count};
    uint32_t length = stream_hole_encode(&hole, bytes);
    int error = link_send_data(source->link, source->stream, STREAM_HOLE, bytes, length, NULL, 0);

    if (error == 0) {
        source->digest = stream_digest(source->digest, hole.disk, hole.block, hole.count, NULL);
        spend_credit(source, length);
    }
    return error;
}

static int send_blocks(struct source *source, const struct slot *slot)
{
    uint8_t head[STREAM_DATA_HEAD_SIZE + 4 * SLOT_BLOCKS];
    struct stream_data data = {.disk = (uint16_t)slot->volume,
                               .codec = STREAM_CODEC_RAW,
                               .count = (uint32_t)slot->count,
                               .block = slot->block,
                               .bytes = slot->bytes,
                               .length = (uint32_t)(slot->count << BLOCK_SHIFT)};

    if (source->is_tight && payload_gauge_step(&source->gauge)) {
        int64_t packed = payload_compress(source->codec, ZSTD_LEVEL, slot->bytes, data.length,
                                          source->packed, data.length - 1);

        if (payload_gauge_note(&source->gauge, data.length, packed > 0 ? (uint64_t)packed : 0)) {
            data.codec = STREAM_CODEC_ZSTD;
            data.bytes = source->packed;
            data.length = (uint32_t)packed;
        }
    }
    uint32_t head_length = stream_data_encode(&data, slot->crcs, head);
    int error = link_send_data(source->link, source->stream, STREAM_DATA, head, head_length,
                               data.bytes, data.length);

    if (error == 0) {
        source->digest = stream_digest(source->digest, data.disk, data.block, data.count,
                                       head + STREAM_DATA_HEAD_SIZE);
        spend_credit(source, head_length + data.length);
    }
    return error;
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

/* Sends what waits, in order: an abort, blocks, the cut. An error other than "no room" means that
 * the link is going down and will say so. */
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
    while (!list_is_empty(&source->unsent)) {
        struct slot *slot = list_entry(source->unsent.next, struct slot, node);

        if (!has_credit(source))
            return;
        int error = slot->is_hole ? send_hole(source, slot) : send_blocks(source, slot);

        if (error == -EAGAIN)
            source->is_tight = true;
        if (error != 0)
            return;
        source->block_count += slot->count;
        source->shipped_blocks += slot->count;
        source_free_slot(slot);
    }
    if (source->cut_unsent && send_cut(source) == 0) {
        source->cut_unsent = false;
        source_begin_partial(source);
    }
}
