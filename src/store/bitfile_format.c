/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of a bitfile; the tables stand in docs/bitfile.md. All integers are little-endian. */
#include "store/bitfile_format.h"

#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"

enum { HEAD_MAGIC = 0, HEAD_CRC = 4, HEAD_VERSION = 8, HEAD_KIND = 12, HEAD_BIT_COUNT = 16 };
enum { SLOT_MAGIC = 0, SLOT_CRC = 4, SLOT_SEQUENCE = 8, SLOT_PAGE = 16, SLOT_KIND = 24 };

/* The CRC of a page with its CRC field (bytes 4 to 7) left out. */
static uint32_t page_crc(const uint8_t *page)
{
    return crc32c(crc32c(0, page, 4), page + 8, BITFILE_PAGE_BYTES - 8);
}

void bitfile_header_encode(uint8_t *page, const char *kind, uint64_t bit_count)
{
    check(strlen(kind) == 4);
    memset(page, 0, BITFILE_PAGE_BYTES);
    memcpy(page + HEAD_MAGIC, "VBIT", 4);
    put_le32(page + HEAD_VERSION, BITFILE_VERSION);
    memcpy(page + HEAD_KIND, kind, 4);
    put_le64(page + HEAD_BIT_COUNT, bit_count);
    put_le32(page + HEAD_CRC, page_crc(page));
}

bool bitfile_header_is_whole(const uint8_t *page)
{
    return memcmp(page + HEAD_MAGIC, "VBIT", 4) == 0 && get_le32(page + HEAD_CRC) == page_crc(page);
}

bool bitfile_header_is_known(const uint8_t *page)
{
    return get_le32(page + HEAD_VERSION) == BITFILE_VERSION;
}

const char *bitfile_header_decode(const uint8_t *page, const char *kind, uint64_t *ret_bit_count)
{
    uint64_t bit_count = get_le64(page + HEAD_BIT_COUNT);

    check(strlen(kind) == 4);
    if (memcmp(page + HEAD_MAGIC, "VBIT", 4) != 0)
        return "it is no bitfile";
    if (get_le32(page + HEAD_CRC) != page_crc(page))
        return "the header's checksum is wrong";
    if (!bitfile_header_is_known(page))
        return "its version is unknown to this program";
    if (memcmp(page + HEAD_KIND, kind, 4) != 0)
        return "it is a bitfile of another kind";
    if (bit_count == 0 || bit_count > BITFILE_BIT_COUNT_MAX)
        return "its number of bits is absurd";
    *ret_bit_count = bit_count;
    return NULL;
}

void bitfile_slot_seal(uint8_t *slot, const char *kind, uint64_t page, uint64_t sequence)
{
    check(sequence > 0 && strlen(kind) == 4);
    memset(slot, 0, BITFILE_SLOT_HEAD);
    memcpy(slot + SLOT_MAGIC, "VBPG", 4);
    put_le64(slot + SLOT_SEQUENCE, sequence);
    put_le64(slot + SLOT_PAGE, page);
    memcpy(slot + SLOT_KIND, kind, 4);
    put_le32(slot + SLOT_CRC, page_crc(slot));
}

/* No bit at or behind `bit_max` is set. */
static bool tail_is_clear(const uint8_t *bits, uint64_t bit_max)
{
    for (uint64_t bit = bit_max; bit < BITFILE_PAGE_BITS && bit % 8 != 0; bit++) {
        if (bits[bit / 8] & (1u << bit % 8))
            return false;
    }
    bit_max = (bit_max + 7) / 8;
    return bytes_are_zero(bits + bit_max, BITFILE_BITS_BYTES - bit_max);
}

bool bitfile_slot_check(const uint8_t *slot, const char *kind, uint64_t page, uint64_t bit_max,
                        uint64_t *ret_sequence)
{
    check(bit_max > 0 && bit_max <= BITFILE_PAGE_BITS);
    if (bytes_are_zero(slot, BITFILE_PAGE_BYTES)) {
        *ret_sequence = 0;
        return true;
    }
    if (memcmp(slot + SLOT_MAGIC, "VBPG", 4) != 0 || get_le32(slot + SLOT_CRC) != page_crc(slot) ||
        memcmp(slot + SLOT_KIND, kind, 4) != 0 || get_le64(slot + SLOT_PAGE) != page ||
        !tail_is_clear(slot + BITFILE_SLOT_HEAD, bit_max))
        return false;
    *ret_sequence = get_le64(slot + SLOT_SEQUENCE);
    return *ret_sequence > 0 && *ret_sequence <= BITFILE_SEQUENCE_MAX;
}
