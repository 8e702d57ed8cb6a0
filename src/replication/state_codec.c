/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a stream's state. A slot is, little-endian:
 *
 *   offset size  field
 *        0    8  magic "VERSOSTA"
 *        8    4  version, 1
 *       12    4  CRC32C of the whole slot with this field 0
 *       16    8  sequence: the higher of two whole slots counts
 *       24    4  length of the body
 *       28    4  0
 *       32    -  body (below, in the order of state_encode); zeros to the end of the slot
 *
 * Valid if and only if magic, CRC and length hold; the CRC covers the zeros behind the body too, so
 * no byte of a slot can change unseen. Magic, version, CRC and sequence stay where they are in
 * every later version.
 */
#include "replication/state_codec.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"

enum {
    STATE_VERSION = 1,
    STATE_HEAD_BYTES = 32,
    STATE_CRC_AT = 12,
    STATE_BODY_MAX = STATE_SLOT_BYTES - STATE_HEAD_BYTES,
};

enum state_flag {
    FLAG_STARTED = 1,
    FLAG_ONE_SHOT = 2,
    FLAG_STARTED_EVER = 4,
    FLAG_REPROTECT_OPEN = 8,
    FLAG_REPROTECT_REVERSE = 16,
    FLAG_POINT = 32,
    FLAG_CLEAN = 64,
    FLAG_DRAINED = 128,
    FLAG_KNOWN = 255,
};

enum state_disk_flag { DISK_FLAG_INITIAL = 1, DISK_FLAG_SEEDED = 2, DISK_FLAG_KNOWN = 3 };

static const uint8_t state_magic[8] = {'V', 'E', 'R', 'S', 'O', 'S', 'T', 'A'};

static unsigned flags_of_state(const struct stream_state *state)
{
    return (state->is_started ? FLAG_STARTED : 0u) | (state->is_one_shot ? FLAG_ONE_SHOT : 0u) |
           (state->has_started_ever ? FLAG_STARTED_EVER : 0u) |
           (state->is_reprotect_open ? FLAG_REPROTECT_OPEN : 0u) |
           (state->is_reprotect_reverse ? FLAG_REPROTECT_REVERSE : 0u) |
           (state->has_point ? FLAG_POINT : 0u) | (state->is_clean ? FLAG_CLEAN : 0u) |
           (state->is_drained ? FLAG_DRAINED : 0u);
}

static void flags_to_state(unsigned flags, struct stream_state *state)
{
    state->is_started = (flags & FLAG_STARTED) != 0;
    state->is_one_shot = (flags & FLAG_ONE_SHOT) != 0;
    state->has_started_ever = (flags & FLAG_STARTED_EVER) != 0;
    state->is_reprotect_open = (flags & FLAG_REPROTECT_OPEN) != 0;
    state->is_reprotect_reverse = (flags & FLAG_REPROTECT_REVERSE) != 0;
    state->has_point = (flags & FLAG_POINT) != 0;
    state->is_clean = (flags & FLAG_CLEAN) != 0;
    state->is_drained = (flags & FLAG_DRAINED) != 0;
}

static void put_text(struct bytes_writer *writer, const char *text, size_t size)
{
    size_t length = strnlen(text, size);

    check(length < size && length <= UINT8_MAX);
    bytes_put_u8(writer, (uint8_t)length);
    bytes_put(writer, text, length);
}

/* A length, that many bytes, none of them NUL, fewer than `size`. */
static void take_text(struct bytes_reader *reader, char *ret_text, size_t size)
{
    size_t length = bytes_u8(reader);
    const uint8_t *at = bytes_take(reader, length);

    if (at == NULL || length >= size || memchr(at, 0, length) != NULL) {
        reader->failed = true;
        return;
    }
    memcpy(ret_text, at, length);
    ret_text[length] = 0;
}

static void put_generation(struct bytes_writer *writer, const struct generation *generation)
{
    bytes_put_le64(writer, generation->term);
    bytes_put_le64(writer, generation->site);
    bytes_put_le64(writer, generation->incarnation);
}

static void take_generation(struct bytes_reader *reader, struct generation *ret_generation)
{
    ret_generation->term = bytes_le64(reader);
    ret_generation->site = bytes_le64(reader);
    ret_generation->incarnation = bytes_le64(reader);
}

static void put_line(struct bytes_writer *writer, const struct generation_line *line)
{
    check(line->count <= GENERATION_COUNT_MAX);
    bytes_put_le32(writer, line->count);
    for (unsigned i = 0; i < line->count; i++) {
        put_generation(writer, &line->entries[i].id);
        bytes_put_le64(writer, line->entries[i].parent_epoch);
    }
}

static void take_line(struct bytes_reader *reader, struct generation_line *ret_line)
{
    uint32_t count = bytes_le32(reader);

    if (count > GENERATION_COUNT_MAX) {
        reader->failed = true;
        return;
    }
    ret_line->count = count;
    for (unsigned i = 0; i < count; i++) {
        struct generation *id = &ret_line->entries[i].id;

        take_generation(reader, id);
        ret_line->entries[i].parent_epoch = bytes_le64(reader);
        if (id->term >= GENERATION_TERM_LIMIT ||
            (i > 0 && id->term <= ret_line->entries[i - 1].id.term))
            reader->failed = true;
    }
}

static void put_disks(struct bytes_writer *writer, const struct stream_state *state)
{
    check(state->disk_count <= STREAM_DISKS_MAX);
    bytes_put_le32(writer, state->disk_count);
    for (unsigned i = 0; i < state->disk_count; i++) {
        put_text(writer, state->disks[i].disk, sizeof(state->disks[i].disk));
        bytes_put_le64(writer, state->disks[i].size_bytes);
        bytes_put_u8(writer, (state->disks[i].is_initial ? DISK_FLAG_INITIAL : 0) |
                                 (state->disks[i].is_seeded ? DISK_FLAG_SEEDED : 0));
    }
}

static void take_disks(struct bytes_reader *reader, struct stream_state *state)
{
    uint32_t count = bytes_le32(reader);

    if (count > STREAM_DISKS_MAX) {
        reader->failed = true;
        return;
    }
    state->disk_count = count;
    for (unsigned i = 0; i < count; i++) {
        unsigned flags;

        take_text(reader, state->disks[i].disk, sizeof(state->disks[i].disk));
        state->disks[i].size_bytes = bytes_le64(reader);
        flags = bytes_u8(reader);
        state->disks[i].is_initial = (flags & DISK_FLAG_INITIAL) != 0;
        state->disks[i].is_seeded = (flags & DISK_FLAG_SEEDED) != 0;
        if ((flags & ~(unsigned)DISK_FLAG_KNOWN) != 0)
            reader->failed = true;
    }
}

static void put_body(struct bytes_writer *writer, const struct stream_state *state)
{
    bytes_put_le32(writer, flags_of_state(state));
    check(state->role < STREAM_ROLE_COUNT);
    bytes_put_le32(writer, (uint32_t)state->role);
    bytes_put_le64(writer, state->epoch);
    bytes_put_le64(writer, state->point_wall_ns);
    bytes_put_le64(writer, state->applying);
    bytes_put_le64(writer, state->applied);
    bytes_put_le64(writer, state->point);
    put_generation(writer, &state->peer_newest);
    bytes_put_le64(writer, state->peer_epoch);
    put_text(writer, state->peer, sizeof(state->peer));
    put_line(writer, &state->line);
    put_disks(writer, state);
}

void state_encode(const struct stream_state *state, uint64_t sequence, uint8_t *slot)
{
    struct bytes_writer body = {.at = slot + STATE_HEAD_BYTES, .left = STATE_BODY_MAX};
    uint32_t length;

    memset(slot, 0, STATE_SLOT_BYTES);
    put_body(&body, state);
    check(!body.failed);
    length = (uint32_t)(body.at - (slot + STATE_HEAD_BYTES));
    memcpy(slot, state_magic, sizeof(state_magic));
    put_le32(slot + 8, STATE_VERSION);
    put_le64(slot + 16, sequence);
    put_le32(slot + 24, length);
    put_le32(slot + STATE_CRC_AT, crc32c(0, slot, STATE_SLOT_BYTES));
}

/* The CRC of the slot as if its CRC field were 0. */
static uint32_t slot_crc(const uint8_t *slot)
{
    static const uint8_t zeros[4];
    uint32_t crc = crc32c(0, slot, STATE_CRC_AT);

    crc = crc32c(crc, zeros, sizeof(zeros));
    return crc32c(crc, slot + STATE_CRC_AT + 4, STATE_SLOT_BYTES - STATE_CRC_AT - 4);
}

int state_slot_check(const uint8_t *slot, uint64_t *ret_sequence)
{
    if (memcmp(slot, state_magic, sizeof(state_magic)) != 0 ||
        get_le32(slot + STATE_CRC_AT) != slot_crc(slot))
        return -EBADMSG;
    *ret_sequence = get_le64(slot + 16);
    if (get_le32(slot + 8) != STATE_VERSION)
        return -EPROTONOSUPPORT;
    return get_le32(slot + 24) <= STATE_BODY_MAX && *ret_sequence <= STATE_SEQUENCE_MAX ? 0
                                                                                        : -EBADMSG;
}

int state_decode(const uint8_t *slot, struct stream_state *ret_state)
{
    struct bytes_reader reader = {.at = slot + STATE_HEAD_BYTES, .left = get_le32(slot + 24)};
    uint32_t flags, role;

    check(reader.left <= STATE_BODY_MAX);
    memset(ret_state, 0, sizeof(*ret_state));
    flags = bytes_le32(&reader);
    role = bytes_le32(&reader);
    ret_state->epoch = bytes_le64(&reader);
    ret_state->point_wall_ns = bytes_le64(&reader);
    ret_state->applying = bytes_le64(&reader);
    ret_state->applied = bytes_le64(&reader);
    ret_state->point = bytes_le64(&reader);
    take_generation(&reader, &ret_state->peer_newest);
    ret_state->peer_epoch = bytes_le64(&reader);
    take_text(&reader, ret_state->peer, sizeof(ret_state->peer));
    take_line(&reader, &ret_state->line);
    take_disks(&reader, ret_state);
    if (reader.failed || reader.left != 0 || role >= STREAM_ROLE_COUNT ||
        (flags & ~(uint32_t)FLAG_KNOWN) != 0)
        return -EBADMSG;
    ret_state->role = (enum stream_role)role;
    flags_to_state(flags, ret_state);
    return 0;
}
