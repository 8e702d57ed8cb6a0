/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of a bitfile (docs/bitfile.md). Pure. */
#ifndef STORE_BITFILE_FORMAT_H
#define STORE_BITFILE_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

enum {
    BITFILE_VERSION = 1,
    BITFILE_PAGE_BYTES = 4096,                                       /* header and slots */
    BITFILE_SLOT_HEAD = 32,                                          /* before a slot's bits */
    BITFILE_BITS_BYTES = BITFILE_PAGE_BYTES - BITFILE_SLOT_HEAD,     /* of bits in a slot */
    BITFILE_PAGE_BITS = BITFILE_BITS_BYTES * 8,                      /* 32512 */
    BITFILE_PAGE_WORDS = BITFILE_BITS_BYTES / (int)sizeof(uint64_t), /* 508 */
    BITFILE_SLOTS = 2,
    BITFILE_COPIES = 2, /* of each slot */
};

#define BITFILE_BIT_COUNT_MAX (UINT64_C(1) << 40)
/* More saves than any file sees: a slot beyond it is none of ours, and the next save has room. */
#define BITFILE_SEQUENCE_MAX (UINT64_C(1) << 62)

static inline uint64_t bitfile_page_count(uint64_t bit_count)
{
    return (bit_count + BITFILE_PAGE_BITS - 1) / BITFILE_PAGE_BITS;
}

static inline uint64_t bitfile_slot_offset(uint64_t page, unsigned slot, unsigned copy)
{
    uint64_t index = (page * BITFILE_COPIES + copy) * BITFILE_SLOTS + slot;

    return BITFILE_PAGE_BYTES + index * BITFILE_PAGE_BYTES;
}

static inline uint64_t bitfile_bytes(uint64_t bit_count)
{
    return bitfile_slot_offset(bitfile_page_count(bit_count), 0, 0);
}

void bitfile_header_encode(uint8_t *page, const char *kind, uint64_t bit_count);
/* NULL: good, and `ret_bit_count` is set. Else what is wrong with it, for a message. */
const char *bitfile_header_decode(const uint8_t *page, const char *kind, uint64_t *ret_bit_count);
/* Is it as some program wrote it, of whatever version and kind? */
bool bitfile_header_is_whole(const uint8_t *page);
/* Does a whole one say a version that this program knows? */
bool bitfile_header_is_known(const uint8_t *page);

/* Fills in the head of a slot whose bits stand already behind it. */
void bitfile_slot_seal(uint8_t *slot, const char *kind, uint64_t page, uint64_t sequence);
/* Is it valid? A slot of zeros is: sequence 0, no bit set. `bit_max`: how many of its bits may be
 * set. */
bool bitfile_slot_check(const uint8_t *slot, const char *kind, uint64_t page, uint64_t bit_max,
                        uint64_t *ret_sequence);

#endif
