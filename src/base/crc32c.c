/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRC32C by isa-l (SSE4.2/PCLMUL where the processor has them, tables elsewhere).
 *
 * isa-l's crc32_iscsi() neither inverts its start value nor its result; RFC 3720 asks for both, so
 * both are inverted here, which also makes a result the start value of its continuation.
 */
#include "base/crc32c.h"

#include <isa-l/crc.h>
#include <isa-l/mem_routines.h>

#include "base/check.h"

enum { CHUNK_BYTES = 1 << 30 }; /* isa-l counts in int */

uint32_t crc32c(uint32_t crc, const void *bytes, size_t length)
{
    unsigned char *at = (unsigned char *)bytes; /* isa-l's prototype lacks const; it only reads */

    check(bytes != NULL || length == 0);
    crc = ~crc;
    while (length > 0) {
        size_t part = length < CHUNK_BYTES ? length : CHUNK_BYTES;
        crc = crc32_iscsi(at, (int)part, crc);
        at += part;
        length -= part;
    }
    return ~crc;
}

bool bytes_are_zero(const void *bytes, size_t length)
{
    const unsigned char *at = bytes;

    check(bytes != NULL || length == 0);
    if (length == 0)
        return true;
    if (at[0] != 0 || at[length - 1] != 0) /* most data says so at once */
        return false;
    return isal_zero_detect((void *)bytes, length) == 0;
}
