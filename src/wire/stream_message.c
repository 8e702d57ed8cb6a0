/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A peer is trusted with our data, not with our memory: each decoder reads through a bounded
 * cursor, bounds every number, and wants the length to be exactly what the content says (a later
 * version negotiates, it does not append).
 */
#include "wire/stream_message.h"

#include <string.h>
#include <xxhash.h>

#include "base/blockset.h"
#include "base/bytes.h"
#include "base/check.h"

enum { FLAG_STARTED = 1, FLAG_OPEN = 2, FLAG_REVERSE = 4, FLAG_WANTS_REPLY = 8, FLAG_POINT = 16 };

static struct bytes_writer writer_over(uint8_t *bytes, size_t room)
{
    return (struct bytes_writer){.at = bytes, .left = room};
}

static uint32_t written(const struct bytes_writer *writer, const uint8_t *bytes)
{
    check(!writer->failed);
    return (uint32_t)(writer->at - bytes);
}

static bool is_whole(const struct bytes_reader *reader)
{
    return !reader->failed && reader->left == 0;
}

static bool is_run(uint64_t block, uint64_t count, uint64_t count_max)
{
    return count > 0 && count <= count_max && block < STREAM_MESSAGE_BLOCK_LIMIT &&
           count <= STREAM_MESSAGE_BLOCK_LIMIT - block;
}

static void put_generation(struct bytes_writer *writer, const struct stream_generation *generation)
{
    bytes_put_le64(writer, generation->term);
    bytes_put_le64(writer, generation->site);
    bytes_put_le64(writer, generation->incarnation);
}

static struct stream_generation get_generation(struct bytes_reader *reader)
{
    struct stream_generation generation;

    generation.term = bytes_le64(reader);
    generation.site = bytes_le64(reader);
    generation.incarnation = bytes_le64(reader);
    return generation;
}

static void put_line(struct bytes_writer *writer, const struct stream_line *line)
{
    check(line->count <= STREAM_MESSAGE_LINE_MAX);
    for (unsigned i = 0; i < line->count; i++) {
        put_generation(writer, &line->entries[i].id);
        bytes_put_le64(writer, line->entries[i].parent_epoch);
    }
}

/* Terms rise along a line, and what we count on from them is far from any end. */
static bool get_line(struct bytes_reader *reader, uint16_t count, struct stream_line *ret_line)
{
    if (count > STREAM_MESSAGE_LINE_MAX)
        return false;
    ret_line->count = count;
    for (unsigned i = 0; i < count; i++) {
        ret_line->entries[i].id = get_generation(reader);
        ret_line->entries[i].parent_epoch = bytes_le64(reader);
        if (ret_line->entries[i].id.term >= STREAM_MESSAGE_TERM_LIMIT)
            return false;
        if (i > 0 && ret_line->entries[i].id.term <= ret_line->entries[i - 1].id.term)
            return false;
    }
    return !reader->failed;
}

uint32_t stream_hello_encode(const struct stream_hello *hello, uint8_t *ret_bytes)
{
    struct bytes_writer writer = writer_over(ret_bytes, STREAM_HELLO_SIZE_MAX);

    check(hello->disk_count <= STREAM_MESSAGE_DISKS_MAX && hello->role < 4);
    bytes_put_le16(&writer, STREAM_MESSAGE_VERSION);
    bytes_put_u8(&writer, hello->role);
    bytes_put_u8(&writer, (hello->is_started ? FLAG_STARTED : 0) |
                              (hello->is_reprotect_open ? FLAG_OPEN : 0) |
                              (hello->is_reprotect_reverse ? FLAG_REVERSE : 0) |
                              (hello->wants_reply ? FLAG_WANTS_REPLY : 0) |
                              (hello->has_point ? FLAG_POINT : 0));
    bytes_put_le16(&writer, hello->disk_count);
    bytes_put_le16(&writer, hello->line.count);
    bytes_put_le64(&writer, hello->epoch);
    bytes_put_le64(&writer, hello->point_wall_ns);
    put_line(&writer, &hello->line);
    for (unsigned i = 0; i < hello->disk_count; i++) {
        bytes_put_le64(&writer, hello->disks[i].size_bytes);
        bytes_put_le64(&writer, hello->disks[i].is_initial);
    }
    return written(&writer, ret_bytes);
}

bool stream_hello_decode(const uint8_t *bytes, size_t length, struct stream_hello *ret_hello)
{
    struct bytes_reader reader = {.at = bytes, .left = length};
    uint16_t version = bytes_le16(&reader);
    uint8_t role = bytes_u8(&reader), flags = bytes_u8(&reader);
    uint16_t disk_count = bytes_le16(&reader), line_count = bytes_le16(&reader);
    uint64_t epoch = bytes_le64(&reader), point_wall_ns = bytes_le64(&reader);

    if (reader.failed || version != STREAM_MESSAGE_VERSION || role >= 4 || flags >= 32 ||
        disk_count == 0 || disk_count > STREAM_MESSAGE_DISKS_MAX || epoch >= UINT64_MAX / 2)
        return false;
    memset(ret_hello, 0, sizeof(*ret_hello));
    ret_hello->role = role;
    ret_hello->is_started = flags & FLAG_STARTED;
    ret_hello->is_reprotect_open = flags & FLAG_OPEN;
    ret_hello->is_reprotect_reverse = flags & FLAG_REVERSE;
    ret_hello->wants_reply = flags & FLAG_WANTS_REPLY;
    ret_hello->has_point = flags & FLAG_POINT;
    ret_hello->epoch = epoch;
    ret_hello->point_wall_ns = point_wall_ns;
    ret_hello->disk_count = disk_count;
    if (!get_line(&reader, line_count, &ret_hello->line))
        return false;
    for (unsigned i = 0; i < disk_count; i++) {
        uint64_t size_bytes = bytes_le64(&reader);

        if (size_bytes % BLOCK_SIZE != 0 || size_bytes > STREAM_MESSAGE_DISK_BYTES_MAX)
            return false;
        ret_hello->disks[i].size_bytes = size_bytes;
        ret_hello->disks[i].is_initial = bytes_le64(&reader) & 1;
    }
    return is_whole(&reader);
}

uint32_t stream_data_encode(const struct stream_data *data, const uint32_t *crcs, uint8_t *ret_head)
{
    struct bytes_writer writer = writer_over(ret_head, STREAM_DATA_HEAD_SIZE + 4 * data->count);

    check(data->disk < STREAM_MESSAGE_DISKS_MAX);
    check(is_run(data->block, data->count, STREAM_MESSAGE_BLOCKS_MAX));
    bytes_put_le16(&writer, data->disk);
    bytes_put_u8(&writer, data->codec);
    bytes_put_u8(&writer, 0);
    bytes_put_le32(&writer, data->count);
    bytes_put_le64(&writer, data->block);
    bytes_put_le64(&writer, data->length);
    for (unsigned i = 0; i < data->count; i++)
        bytes_put_le32(&writer, crcs[i]);
    return written(&writer, ret_head);
}

bool stream_data_decode(const uint8_t *bytes, size_t length, struct stream_data *ret_data)
{
    struct bytes_reader reader = {.at = bytes, .left = length};
    uint16_t disk = bytes_le16(&reader);
    uint8_t codec = bytes_u8(&reader), zero = bytes_u8(&reader);
    uint32_t count = bytes_le32(&reader);
    uint64_t block = bytes_le64(&reader), stored = bytes_le64(&reader);

    if (reader.failed || zero != 0 || disk >= STREAM_MESSAGE_DISKS_MAX ||
        !is_run(block, count, STREAM_MESSAGE_BLOCKS_MAX))
        return false;
    if (codec == STREAM_CODEC_RAW ? stored != (uint64_t)count * BLOCK_SIZE
                                  : stored == 0 || stored >= (uint64_t)count * BLOCK_SIZE)
        return false;
    if (codec != STREAM_CODEC_RAW && codec != STREAM_CODEC_ZSTD)
        return false;
    *ret_data = (struct stream_data){.disk = disk, .codec = codec, .count = count, .block = block};
    ret_data->crcs = bytes_take(&reader, 4 * (size_t)count);
    ret_data->bytes = bytes_take(&reader, stored);
    ret_data->length = (uint32_t)stored;
    return is_whole(&reader);
}

uint32_t stream_hole_encode(const struct stream_hole *hole, uint8_t *ret_bytes)
{
    struct bytes_writer writer = writer_over(ret_bytes, STREAM_SMALL_SIZE_MAX);

    check(is_run(hole->block, hole->count, STREAM_MESSAGE_BLOCK_LIMIT));
    bytes_put_le64(&writer, hole->disk);
    bytes_put_le64(&writer, hole->block);
    bytes_put_le64(&writer, hole->count);
    return written(&writer, ret_bytes);
}

bool stream_hole_decode(const uint8_t *bytes, size_t length, struct stream_hole *ret_hole)
{
    struct bytes_reader reader = {.at = bytes, .left = length};
    uint64_t disk = bytes_le64(&reader);

    if (disk >= STREAM_MESSAGE_DISKS_MAX)
        return false;
    ret_hole->disk = (uint16_t)disk;
    ret_hole->block = bytes_le64(&reader);
    ret_hole->count = bytes_le64(&reader);
    return is_whole(&reader) &&
           is_run(ret_hole->block, ret_hole->count, STREAM_MESSAGE_BLOCK_LIMIT);
}

uint32_t stream_cut_encode(const struct stream_cut *cut, uint8_t *ret_bytes)
{
    struct bytes_writer writer = writer_over(ret_bytes, STREAM_SMALL_SIZE_MAX);

    bytes_put_le64(&writer, cut->epoch);
    put_generation(&writer, &cut->generation);
    bytes_put_le64(&writer, cut->cut_wall_ns);
    bytes_put_le64(&writer, cut->block_count);
    bytes_put_le64(&writer, cut->digest);
    return written(&writer, ret_bytes);
}

bool stream_cut_decode(const uint8_t *bytes, size_t length, struct stream_cut *ret_cut)
{
    struct bytes_reader reader = {.at = bytes, .left = length};

    ret_cut->epoch = bytes_le64(&reader);
    ret_cut->generation = get_generation(&reader);
    ret_cut->cut_wall_ns = bytes_le64(&reader);
    ret_cut->block_count = bytes_le64(&reader);
    ret_cut->digest = bytes_le64(&reader);
    return is_whole(&reader) && ret_cut->epoch > 0 && ret_cut->epoch < UINT64_MAX / 2;
}

uint32_t stream_ack_encode(const struct stream_ack *ack, uint8_t *ret_bytes)
{
    struct bytes_writer writer = writer_over(ret_bytes, STREAM_SMALL_SIZE_MAX);

    put_generation(&writer, &ack->generation);
    bytes_put_le64(&writer, ack->epoch);
    return written(&writer, ret_bytes);
}

bool stream_ack_decode(const uint8_t *bytes, size_t length, struct stream_ack *ret_ack)
{
    struct bytes_reader reader = {.at = bytes, .left = length};

    ret_ack->generation = get_generation(&reader);
    ret_ack->epoch = bytes_le64(&reader);
    return is_whole(&reader);
}

uint32_t stream_number_encode(uint64_t value, uint8_t *ret_bytes)
{
    put_le64(ret_bytes, value);
    return 8;
}

bool stream_number_decode(const uint8_t *bytes, size_t length, uint64_t *ret_value)
{
    struct bytes_reader reader = {.at = bytes, .left = length};

    *ret_value = bytes_le64(&reader);
    return is_whole(&reader);
}

static size_t hashes_length(uint32_t count, bool is_verdict)
{
    return is_verdict ? (count + 7) / 8 : (size_t)count * STREAM_HASH_SIZE;
}

uint32_t stream_hashes_encode(const struct stream_hashes *hashes, bool is_verdict,
                              uint8_t *ret_bytes)
{
    struct bytes_writer writer = writer_over(ret_bytes, STREAM_HASHES_SIZE_MAX);

    check(is_run(hashes->block, hashes->count, STREAM_MESSAGE_BLOCKS_MAX));
    bytes_put_le64(&writer, hashes->token);
    bytes_put_le32(&writer, hashes->disk);
    bytes_put_le32(&writer, hashes->count);
    bytes_put_le64(&writer, hashes->block);
    bytes_put(&writer, hashes->bytes, hashes_length(hashes->count, is_verdict));
    return written(&writer, ret_bytes);
}

bool stream_hashes_decode(const uint8_t *bytes, size_t length, bool is_verdict,
                          struct stream_hashes *ret_hashes)
{
    struct bytes_reader reader = {.at = bytes, .left = length};
    uint64_t token = bytes_le64(&reader);
    uint32_t disk = bytes_le32(&reader), count = bytes_le32(&reader);
    uint64_t block = bytes_le64(&reader);

    if (reader.failed || disk >= STREAM_MESSAGE_DISKS_MAX ||
        !is_run(block, count, STREAM_MESSAGE_BLOCKS_MAX))
        return false;
    *ret_hashes = (struct stream_hashes){
        .token = token, .disk = (uint16_t)disk, .count = count, .block = block};
    ret_hashes->bytes = bytes_take(&reader, hashes_length(count, is_verdict));
    return is_whole(&reader);
}

uint32_t stream_reprotect_encode(const struct stream_reprotect *reprotect, uint8_t *ret_bytes)
{
    struct bytes_writer writer = writer_over(ret_bytes, STREAM_SMALL_SIZE_MAX);

    bytes_put_le64(&writer, reprotect->nonce);
    bytes_put_le64(&writer, reprotect->is_reverse);
    return written(&writer, ret_bytes);
}

bool stream_reprotect_decode(const uint8_t *bytes, size_t length,
                             struct stream_reprotect *ret_reprotect)
{
    struct bytes_reader reader = {.at = bytes, .left = length};

    ret_reprotect->nonce = bytes_le64(&reader);
    uint64_t flags = bytes_le64(&reader);

    ret_reprotect->is_reverse = flags == 1;
    return is_whole(&reader) && flags <= 1;
}

uint32_t stream_dirty_encode(const struct stream_dirty *dirty, uint8_t *ret_bytes)
{
    struct bytes_writer writer = writer_over(ret_bytes, 16);

    check(dirty->run_count > 0 && dirty->run_count <= STREAM_MESSAGE_RUNS_MAX);
    bytes_put_le64(&writer, dirty->nonce);
    bytes_put_le16(&writer, dirty->disk);
    bytes_put_le16(&writer, dirty->is_suspect);
    bytes_put_le32(&writer, dirty->run_count);
    return written(&writer, ret_bytes);
}

void stream_dirty_run(const struct stream_dirty *dirty, unsigned index, uint64_t *ret_block,
                      uint64_t *ret_count)
{
    check(index < dirty->run_count);
    *ret_block = get_le64(dirty->runs + 16 * (size_t)index);
    *ret_count = get_le64(dirty->runs + 16 * (size_t)index + 8);
}

bool stream_dirty_decode(const uint8_t *bytes, size_t length, struct stream_dirty *ret_dirty)
{
    struct bytes_reader reader = {.at = bytes, .left = length};
    uint64_t nonce = bytes_le64(&reader), block, count;
    uint16_t disk = bytes_le16(&reader), kind = bytes_le16(&reader);
    uint32_t run_count = bytes_le32(&reader);

    if (reader.failed || disk >= STREAM_MESSAGE_DISKS_MAX || kind > 1 || run_count == 0 ||
        run_count > STREAM_MESSAGE_RUNS_MAX)
        return false;
    *ret_dirty = (struct stream_dirty){
        .nonce = nonce, .disk = disk, .is_suspect = kind, .run_count = (uint16_t)run_count};
    ret_dirty->runs = bytes_take(&reader, 16 * (size_t)run_count);
    if (!is_whole(&reader))
        return false;
    for (unsigned i = 0; i < run_count; i++) {
        stream_dirty_run(ret_dirty, i, &block, &count);
        if (!is_run(block, count, STREAM_MESSAGE_BLOCK_LIMIT))
            return false;
    }
    return true;
}

uint32_t stream_dirty_end_encode(const struct stream_dirty_end *end, uint8_t *ret_bytes)
{
    struct bytes_writer writer = writer_over(ret_bytes, STREAM_SMALL_SIZE_MAX);

    bytes_put_le64(&writer, end->nonce);
    bytes_put_le64(&writer, end->run_count);
    bytes_put_le64(&writer, end->epoch);
    return written(&writer, ret_bytes);
}

bool stream_dirty_end_decode(const uint8_t *bytes, size_t length, struct stream_dirty_end *ret_end)
{
    struct bytes_reader reader = {.at = bytes, .left = length};

    ret_end->nonce = bytes_le64(&reader);
    ret_end->run_count = bytes_le64(&reader);
    ret_end->epoch = bytes_le64(&reader);
    return is_whole(&reader) && ret_end->epoch < UINT64_MAX / 2;
}

uint32_t stream_commit_encode(const struct stream_commit *commit, uint8_t *ret_bytes)
{
    struct bytes_writer writer = writer_over(ret_bytes, STREAM_COMMIT_SIZE_MAX);

    check(commit->line.count > 0);
    bytes_put_le64(&writer, commit->nonce);
    bytes_put_le64(&writer, commit->epoch);
    bytes_put_le64(&writer, commit->line.count);
    put_line(&writer, &commit->line);
    return written(&writer, ret_bytes);
}

bool stream_commit_decode(const uint8_t *bytes, size_t length, struct stream_commit *ret_commit)
{
    struct bytes_reader reader = {.at = bytes, .left = length};

    ret_commit->nonce = bytes_le64(&reader);
    ret_commit->epoch = bytes_le64(&reader);
    uint64_t count = bytes_le64(&reader);

    if (reader.failed || count == 0 || count > STREAM_MESSAGE_LINE_MAX ||
        ret_commit->epoch >= UINT64_MAX / 2)
        return false;
    return get_line(&reader, (uint16_t)count, &ret_commit->line) && is_whole(&reader);
}

uint32_t stream_refused_encode(const struct stream_refused *refused, uint8_t *ret_bytes)
{
    struct bytes_writer writer = writer_over(ret_bytes, STREAM_SMALL_SIZE_MAX);
    size_t length = strnlen(refused->text, STREAM_MESSAGE_TEXT_MAX);

    bytes_put_le64(&writer, refused->nonce);
    bytes_put_le32(&writer, refused->code);
    bytes_put_le32(&writer, (uint32_t)length);
    bytes_put(&writer, refused->text, length);
    return written(&writer, ret_bytes);
}

/* The text goes to logs and status: what cannot be printed becomes '?'. */
bool stream_refused_decode(const uint8_t *bytes, size_t length, struct stream_refused *ret_refused)
{
    struct bytes_reader reader = {.at = bytes, .left = length};

    memset(ret_refused, 0, sizeof(*ret_refused));
    ret_refused->nonce = bytes_le64(&reader);
    ret_refused->code = bytes_le32(&reader);
    uint32_t text_length = bytes_le32(&reader);

    if (reader.failed || text_length > STREAM_MESSAGE_TEXT_MAX || ret_refused->code > 4095)
        return false;
    const uint8_t *text = bytes_take(&reader, text_length);

    if (!is_whole(&reader))
        return false;
    for (uint32_t i = 0; i < text_length; i++)
        ret_refused->text[i] = text[i] >= 0x20 && text[i] < 0x7f ? (char)text[i] : '?';
    return true;
}

uint64_t stream_digest(uint64_t digest, uint16_t disk, uint64_t block, uint64_t count,
                       const uint8_t *crcs)
{
    uint8_t head[32];

    put_le64(head, digest);
    put_le64(head + 8, (uint64_t)disk << 1 | (crcs == NULL));
    put_le64(head + 16, block);
    put_le64(head + 24, count);
    digest = XXH3_64bits(head, sizeof(head));
    return crcs == NULL ? digest : XXH3_64bits_withSeed(crcs, 4 * (size_t)count, digest);
}
