/* SPDX-License-Identifier: Apache-2.0 */
/* CRC32C (Castagnoli, RFC 3720 appendix B.4) by isa-l, and the zero test. */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The CRC of `length` bytes continued from `crc` (0 to begin). crc32c(0, "123456789", 9) is
 * 0xe3069283. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t length);

/* Are all `length` bytes zero? */
bool bytes_are_zero(const void *bytes, size_t length);

#endif
