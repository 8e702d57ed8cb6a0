/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integers in byte buffers, and bounded cursors over them. NBD is big-endian, our own formats are
 * little-endian. A reader that runs off the end stays failed and returns zeros, so a decoder reads
 * everything and asks once.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BYTES_DEFINE(bits)                                                                         \
    static inline uint##bits##_t get_le##bits(const void *at)                                      \
    {                                                                                              \
        uint##bits##_t value;                                                                      \
        memcpy(&value, at, sizeof(value));                                                         \
        return le##bits##toh(value);                                                               \
    }                                                                                              \
    static inline uint##bits##_t get_be##bits(const void *at)                                      \
    {                                                                                              \
        uint##bits##_t value;                                                                      \
        memcpy(&value, at, sizeof(value));                                                         \
        return be##bits##toh(value);                                                               \
    }                                                                                              \
    static inline void put_le##bits(void *at, uint##bits##_t value)                                \
    {                                                                                              \
        value = htole##bits(value);                                                                \
        memcpy(at, &value, sizeof(value));                                                         \
    }                                                                                              \
    static inline void put_be##bits(void *at, uint##bits##_t value)                                \
    {                                                                                              \
        value = htobe##bits(value);                                                                \
        memcpy(at, &value, sizeof(value));                                                         \
    }

BYTES_DEFINE(16)
BYTES_DEFINE(32)
BYTES_DEFINE(64)

struct bytes_reader {
    const uint8_t *at;
    size_t left;
    bool failed;
};

struct bytes_writer {
    uint8_t *at;
    size_t left;
    bool failed; /* ran out of room; nothing was written past the end */
};

/* The next `length` bytes, or NULL with `failed` set. */
static inline const uint8_t *bytes_take(struct bytes_reader *reader, size_t length)
{
    const uint8_t *at = reader->at;

    if (reader->failed || reader->left < length) {
        reader->failed = true;
        return NULL;
    }
    reader->at += length;
    reader->left -= length;
    return at;
}

static inline uint8_t bytes_u8(struct bytes_reader *reader)
{
    const uint8_t *at = bytes_take(reader, 1);
    return at ? *at : 0;
}

static inline uint16_t bytes_le16(struct bytes_reader *reader)
{
    const uint8_t *at = bytes_take(reader, 2);
    return at ? get_le16(at) : 0;
}

static inline uint32_t bytes_le32(struct bytes_reader *reader)
{
    const uint8_t *at = bytes_take(reader, 4);
    return at ? get_le32(at) : 0;
}

static inline uint64_t bytes_le64(struct bytes_reader *reader)
{
    const uint8_t *at = bytes_take(reader, 8);
    return at ? get_le64(at) : 0;
}

static inline uint16_t bytes_be16(struct bytes_reader *reader)
{
    const uint8_t *at = bytes_take(reader, 2);
    return at ? get_be16(at) : 0;
}

static inline uint32_t bytes_be32(struct bytes_reader *reader)
{
    const uint8_t *at = bytes_take(reader, 4);
    return at ? get_be32(at) : 0;
}

static inline uint64_t bytes_be64(struct bytes_reader *reader)
{
    const uint8_t *at = bytes_take(reader, 8);
    return at ? get_be64(at) : 0;
}

static inline uint8_t *bytes_room(struct bytes_writer *writer, size_t length)
{
    uint8_t *at = writer->at;

    if (writer->failed || writer->left < length) {
        writer->failed = true;
        return NULL;
    }
    writer->at += length;
    writer->left -= length;
    return at;
}

static inline void bytes_put(struct bytes_writer *writer, const void *from, size_t length)
{
    uint8_t *at = bytes_room(writer, length);
    if (at && length > 0)
        memcpy(at, from, length);
}

static inline void bytes_put_u8(struct bytes_writer *writer, uint8_t value)
{
    bytes_put(writer, &value, 1);
}

static inline void bytes_put_le16(struct bytes_writer *writer, uint16_t value)
{
    uint8_t *at = bytes_room(writer, 2);
    if (at)
        put_le16(at, value);
}

static inline void bytes_put_le32(struct bytes_writer *writer, uint32_t value)
{
    uint8_t *at = bytes_room(writer, 4);
    if (at)
        put_le32(at, value);
}

static inline void bytes_put_le64(struct bytes_writer *writer, uint64_t value)
{
    uint8_t *at = bytes_room(writer, 8);
    if (at)
        put_le64(at, value);
}

static inline void bytes_put_be16(struct bytes_writer *writer, uint16_t value)
{
    uint8_t *at = bytes_room(writer, 2);
    if (at)
        put_be16(at, value);
}

static inline void bytes_put_be32(struct bytes_writer *writer, uint32_t value)
{
    uint8_t *at = bytes_room(writer, 4);
    if (at)
        put_be32(at, value);
}

static inline void bytes_put_be64(struct bytes_writer *writer, uint64_t value)
{
    uint8_t *at = bytes_room(writer, 8);
    if (at)
        put_be64(at, value);
}

#endif
