/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of the journal, little-endian. A segment is its header and then records without gaps.
 *
 * Segment header (4096 bytes)          Record header (128 bytes)
 *   0   8 magic "VERSOJRN"               0  4 magic "vjrc"
 *   8   4 version, 1                     4  2 type          6 2 zero
 *  12   4 CRC32C of the 4096 bytes,      8  4 CRC32C of the 128 bytes, this field 0
 *         this field 0                  12  4 CRC32C of the head behind the header
 *  16   8 number                        16  8 sequence
 *  24   8 life                          24  8 life
 *  32  64 stream id, zeros behind it    32  8 segment      40 8 offset
 *  96     zeros                         48  8 partial
 *                                       56  4 disk         60 4 zero
 *                                       64  8 block        72 8 count
 *                                       80  8 bytes of the whole record
 *                                       88 40 zeros
 *
 * A record is valid if and only if its header's CRC holds, it stands at its own place, its life is
 * the segment's, its sequence follows, the head's CRC holds, and the CRC of every block behind the
 * head is the one in the head. Every byte of a record is under one of these CRCs.
 *
 * Records begin at multiples of 512, and so do the blocks of a data record: enough for direct I/O
 * on disks with 512-byte sectors, for 12.5 % on a single 4 KiB block and 0.15 % on 256 of them.
 */
#include "journal/journal_record.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"

enum { JOURNAL_VERSION = 1, RECORD_MAGIC = 0x63726a76, RECORD_CRC_AT = 8, SEGMENT_CRC_AT = 12 };

static const uint8_t segment_magic[8] = {'V', 'E', 'R', 'S', 'O', 'J', 'R', 'N'};

static uint64_t body_bytes(enum record_type type, uint64_t count)
{
    switch (type) {
    case RECORD_DATA:
        return count * sizeof(uint32_t);
    case RECORD_TABLE:
        return count * RECORD_TABLE_ENTRY_BYTES;
    default:
        return RECORD_ALIGN - RECORD_HEADER_BYTES;
    }
}

uint64_t journal_record_head_bytes(enum record_type type, uint64_t count)
{
    uint64_t bytes = RECORD_HEADER_BYTES + body_bytes(type, count);

    return (bytes + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
}

uint64_t journal_record_bytes(enum record_type type, uint64_t count)
{
    return journal_record_head_bytes(type, count) + (type == RECORD_DATA ? count * BLOCK_SIZE : 0);
}

/* The CRC of `length` bytes as if the four at `crc_at` were 0. */
static uint32_t crc_without(const uint8_t *bytes, size_t length, size_t crc_at)
{
    static const uint8_t zeros[4];
    uint32_t crc = crc32c(0, bytes, crc_at);

    crc = crc32c(crc, zeros, sizeof(zeros));
    return crc32c(crc, bytes + crc_at + 4, length - crc_at - 4);
}

/* The body stands in the head already. */
static void seal(const struct journal_record *record, uint8_t *head)
{
    uint64_t head_bytes = journal_record_head_bytes(record->type, record->count);

    check(record->offset % RECORD_ALIGN == 0);
    memset(head, 0, RECORD_HEADER_BYTES);
    put_le32(head, RECORD_MAGIC);
    put_le16(head + 4, (uint16_t)record->type);
    put_le32(head + 12,
             crc32c(0, head + RECORD_HEADER_BYTES, (size_t)head_bytes - RECORD_HEADER_BYTES));
    put_le64(head + 16, record->sequence);
    put_le64(head + 24, record->life);
    put_le64(head + 32, record->segment);
    put_le64(head + 40, record->offset);
    put_le64(head + 48, record->partial);
    put_le32(head + 56, record->disk);
    put_le64(head + 64, record->block);
    put_le64(head + 72, record->count);
    put_le64(head + 80, journal_record_bytes(record->type, record->count));
    put_le32(head + RECORD_CRC_AT, crc32c(0, head, RECORD_HEADER_BYTES));
}

static void clear_head(const struct journal_record *record, enum record_type type, uint8_t *head)
{
    check(record->type == type);
    memset(head, 0, journal_record_head_bytes(type, record->count));
}

void journal_record_encode_data(const struct journal_record *record, const uint32_t *crcs,
                                uint8_t *head)
{
    check(record->count >= 1 && record->count <= RECORD_DATA_BLOCKS_MAX);
    clear_head(record, RECORD_DATA, head);
    for (uint64_t i = 0; i < record->count; i++)
        put_le32(head + RECORD_HEADER_BYTES + 4 * i, crcs[i]);
    seal(record, head);
}

void journal_record_encode_hole(const struct journal_record *record, uint8_t *head)
{
    check(record->count >= 1);
    clear_head(record, RECORD_HOLE, head);
    seal(record, head);
}

void journal_record_encode_table(const struct journal_record *record,
                                 const struct journal_table_entry *entries, uint8_t *head)
{
    check(record->count >= 1 && record->count <= RECORD_TABLE_ENTRIES_MAX);
    clear_head(record, RECORD_TABLE, head);
    for (uint64_t i = 0; i < record->count; i++) {
        uint8_t *at = head + RECORD_HEADER_BYTES + i * RECORD_TABLE_ENTRY_BYTES;

        put_le32(at, entries[i].disk);
        put_le32(at + 4, entries[i].is_hole);
        put_le64(at + 8, entries[i].block);
        put_le64(at + 16, entries[i].count);
        put_le64(at + 24, entries[i].sequence);
        put_le64(at + 32, entries[i].start);
    }
    seal(record, head);
}

void journal_record_encode_commit(const struct journal_record *record,
                                  const struct journal_commit_record *commit, uint8_t *head)
{
    const struct journal_epoch *epoch = &commit->epoch;
    const uint64_t words[] = {
        epoch->epoch,
        epoch->cut_wall_ns,
        epoch->generation.term,
        epoch->generation.site,
        epoch->generation.incarnation,
        epoch->block_count,
        epoch->bytes,
        epoch->digest,
        commit->epoch_previous,
        commit->sequence_first,
        commit->record_count,
        commit->extent_count,
    };

    check(record->count == 1 && record->block <= 1);
    clear_head(record, RECORD_COMMIT, head);
    for (unsigned i = 0; i < ARRAY_COUNT(words); i++)
        put_le64(head + RECORD_HEADER_BYTES + 8 * i, words[i]);
    seal(record, head);
}

static bool is_bounded(const struct journal_record *record, uint16_t type)
{
    switch (type) {
    case RECORD_DATA:
        if (record->count > RECORD_DATA_BLOCKS_MAX)
            return false;
        /* fall through */
    case RECORD_HOLE:
        return record->count >= 1 && record->count <= RECORD_BLOCK_MAX &&
               record->block <= RECORD_BLOCK_MAX - record->count;
    case RECORD_TABLE:
        return record->count >= 1 && record->count <= RECORD_TABLE_ENTRIES_MAX;
    case RECORD_COMMIT:
        return record->count == 1 && record->block <= 1;
    default:
        return false;
    }
}

int journal_record_decode(const uint8_t *bytes, uint64_t segment, uint64_t offset,
                          struct journal_record *ret_record)
{
    struct journal_record record = {
        .type = (enum record_type)get_le16(bytes + 4),
        .sequence = get_le64(bytes + 16),
        .life = get_le64(bytes + 24),
        .segment = get_le64(bytes + 32),
        .offset = get_le64(bytes + 40),
        .partial = get_le64(bytes + 48),
        .disk = get_le32(bytes + 56),
        .block = get_le64(bytes + 64),
        .count = get_le64(bytes + 72),
    };

    if (get_le32(bytes) != RECORD_MAGIC ||
        get_le32(bytes + RECORD_CRC_AT) != crc_without(bytes, RECORD_HEADER_BYTES, RECORD_CRC_AT))
        return -EBADMSG;
    if (record.segment != segment || record.offset != offset ||
        !is_bounded(&record, get_le16(bytes + 4)) ||
        get_le64(bytes + 80) != journal_record_bytes(record.type, record.count))
        return -EBADMSG;
    *ret_record = record;
    return 0;
}

int journal_record_check_head(const struct journal_record *record, const uint8_t *head)
{
    size_t length = (size_t)journal_record_head_bytes(record->type, record->count);
    uint32_t crc = crc32c(0, head + RECORD_HEADER_BYTES, length - RECORD_HEADER_BYTES);

    return crc == get_le32(head + 12) ? 0 : -EBADMSG;
}

void journal_record_crcs(const struct journal_record *record, const uint8_t *head,
                         uint32_t *ret_crcs)
{
    check(record->type == RECORD_DATA);
    for (uint64_t i = 0; i < record->count; i++)
        ret_crcs[i] = get_le32(head + RECORD_HEADER_BYTES + 4 * i);
}

int journal_record_table_entry(const struct journal_record *record, const uint8_t *head,
                               uint64_t index, struct journal_table_entry *ret_entry)
{
    const uint8_t *at = head + RECORD_HEADER_BYTES + index * RECORD_TABLE_ENTRY_BYTES;

    check(record->type == RECORD_TABLE && index < record->count);
    if (get_le32(at + 4) > 1)
        return -EBADMSG;
    *ret_entry = (struct journal_table_entry){
        .disk = get_le32(at),
        .is_hole = get_le32(at + 4) == 1,
        .block = get_le64(at + 8),
        .count = get_le64(at + 16),
        .sequence = get_le64(at + 24),
        .start = get_le64(at + 32),
    };
    return 0;
}

void journal_record_commit(const struct journal_record *record, const uint8_t *head,
                           struct journal_commit_record *ret_commit)
{
    const uint8_t *at = head + RECORD_HEADER_BYTES;

    check(record->type == RECORD_COMMIT);
    *ret_commit = (struct journal_commit_record){
        .epoch = {.epoch = get_le64(at),
                  .cut_wall_ns = get_le64(at + 8),
                  .generation = {get_le64(at + 16), get_le64(at + 24), get_le64(at + 32)},
                  .block_count = get_le64(at + 40),
                  .bytes = get_le64(at + 48),
                  .digest = get_le64(at + 56)},
        .epoch_previous = get_le64(at + 64),
        .sequence_first = get_le64(at + 72),
        .record_count = get_le64(at + 80),
        .extent_count = get_le64(at + 88),
    };
}

void journal_segment_header_encode(const struct journal_segment_header *header, uint8_t *bytes)
{
    size_t length = strnlen(header->stream, SEGMENT_STREAM_MAX);

    check(length < SEGMENT_STREAM_MAX);
    memset(bytes, 0, SEGMENT_HEADER_BYTES);
    memcpy(bytes, segment_magic, sizeof(segment_magic));
    put_le32(bytes + 8, JOURNAL_VERSION);
    put_le64(bytes + 16, header->number);
    put_le64(bytes + 24, header->life);
    memcpy(bytes + 32, header->stream, length);
    put_le32(bytes + SEGMENT_CRC_AT, crc32c(0, bytes, SEGMENT_HEADER_BYTES));
}

int journal_segment_header_decode(const uint8_t *bytes, uint64_t number,
                                  struct journal_segment_header *ret_header)
{
    struct journal_segment_header header = {.number = get_le64(bytes + 16),
                                            .life = get_le64(bytes + 24)};

    if (memcmp(bytes, segment_magic, sizeof(segment_magic)) != 0 ||
        get_le32(bytes + SEGMENT_CRC_AT) !=
            crc_without(bytes, SEGMENT_HEADER_BYTES, SEGMENT_CRC_AT))
        return -EBADMSG;
    if (get_le32(bytes + 8) != JOURNAL_VERSION)
        return -EPROTONOSUPPORT;
    memcpy(header.stream, bytes + 32, SEGMENT_STREAM_MAX);
    if (header.number != number || header.stream[SEGMENT_STREAM_MAX - 1] != 0)
        return -EBADMSG;
    *ret_header = header;
    return 0;
}
