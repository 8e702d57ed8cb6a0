/* SPDX-License-Identifier: Apache-2.0 */
/* Amounts of bytes for people. */
#ifndef BASE_SIZE_TEXT_H
#define BASE_SIZE_TEXT_H

#include <stdint.h>

enum { SIZE_TEXT_SIZE = 24 };

/* "4.0 KiB", "1.5 GiB": in the largest unit that it is one of, rounded up, so that who provides as
 * much has enough. */
void size_text_format(uint64_t bytes, char ret_text[SIZE_TEXT_SIZE]);

#endif
