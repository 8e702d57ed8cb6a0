/* SPDX-License-Identifier: Apache-2.0 */
/* Moments as the API writes them: 2026-11-22T15:14:47Z. Pure. */
#ifndef CONTROL_UTC_H
#define CONTROL_UTC_H

#include <stdbool.h>
#include <stdint.h>

enum { UTC_SIZE = 32 };

/* Strict; years 1970 to 9999. */
bool utc_parse(const char *text, int64_t *ret_s);
void utc_format(int64_t seconds, char ret_text[UTC_SIZE]);
/* With milliseconds. */
void utc_format_ms(int64_t ms, char ret_text[UTC_SIZE]);

#endif
