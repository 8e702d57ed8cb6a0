/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a layer's description, little-endian:
 *
 *    0  8 magic "VERSOLAY"      48 40 id
 *    8  4 version, 1            88 40 disk
 *   12  4 CRC32C of the 512    128 64 label
 *         bytes, this field 0  192 64 reason
 *   16  8 size in bytes        256    zeros to 512
 *   24  8 created, wall ns
 *   32  8 expires, wall ns     Texts end with NUL inside their field.
 *   40  8 cap in bytes
 *
 * Valid if and only if magic and CRC hold and every text ends.
 */
#include "journal/layer_info.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"

enum { LAYER_VERSION = 1, LAYER_CRC_AT = 12 };

static const uint8_t layer_magic[8] = {'V', 'E', 'R', 'S', 'O', 'L', 'A', 'Y'};

static void put_text(uint8_t *at, const char *text, size_t size)
{
    size_t length = strnlen(text, size);

    check(length < size);
    memcpy(at, text, length);
}

static int take_text(const uint8_t *at, char *ret_text, size_t size)
{
    memcpy(ret_text, at, size);
    return ret_text[size - 1] == 0 ? 0 : -EBADMSG;
}

void layer_info_encode(const struct layer_description *description, uint8_t *bytes)
{
    memset(bytes, 0, LAYER_INFO_BYTES);
    memcpy(bytes, layer_magic, sizeof(layer_magic));
    put_le32(bytes + 8, LAYER_VERSION);
    put_le64(bytes + 16, description->size_bytes);
    put_le64(bytes + 24, description->created_wall_ns);
    put_le64(bytes + 32, description->expires_wall_ns);
    put_le64(bytes + 40, description->bytes_max);
    put_text(bytes + 48, description->id, sizeof(description->id));
    put_text(bytes + 88, description->disk, sizeof(description->disk));
    put_text(bytes + 128, description->label, sizeof(description->label));
    put_text(bytes + 192, description->reason, sizeof(description->reason));
    put_le32(bytes + LAYER_CRC_AT, crc32c(0, bytes, LAYER_INFO_BYTES));
}

int layer_info_decode(const uint8_t *bytes, struct layer_description *ret_description)
{
    struct layer_description description = {.size_bytes = get_le64(bytes + 16),
                                            .created_wall_ns = get_le64(bytes + 24),
                                            .expires_wall_ns = get_le64(bytes + 32),
                                            .bytes_max = get_le64(bytes + 40)};
    uint8_t copy[LAYER_INFO_BYTES];

    memcpy(copy, bytes, sizeof(copy));
    put_le32(copy + LAYER_CRC_AT, 0);
    if (memcmp(bytes, layer_magic, sizeof(layer_magic)) != 0 ||
        get_le32(bytes + LAYER_CRC_AT) != crc32c(0, copy, sizeof(copy)))
        return -EBADMSG;
    if (get_le32(bytes + 8) != LAYER_VERSION)
        return -EPROTONOSUPPORT;
    if (take_text(bytes + 48, description.id, sizeof(description.id)) != 0 ||
        take_text(bytes + 88, description.disk, sizeof(description.disk)) != 0 ||
        take_text(bytes + 128, description.label, sizeof(description.label)) != 0 ||
        take_text(bytes + 192, description.reason, sizeof(description.reason)) != 0)
        return -EBADMSG;
    *ret_description = description;
    return 0;
}
