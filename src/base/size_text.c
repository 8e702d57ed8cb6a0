/* SPDX-License-Identifier: Apache-2.0 */
/* Why: an amount in a fixed unit reads "0.0" when it is small. */
#include "base/size_text.h"

#include <stdio.h>

void size_text_format(uint64_t bytes, char ret_text[SIZE_TEXT_SIZE])
{
    static const char units[] = "KMGTPE";
    unsigned unit = 0, shift;
    uint64_t tenths;

    while (unit + 1 < sizeof(units) - 1 && bytes >> (10 * (unit + 2)) > 0)
        unit++;
    shift = 10 * (unit + 1);
    tenths = (bytes >> shift) * 10 +
             ((bytes & ((UINT64_C(1) << shift) - 1)) * 5 + (UINT64_C(1) << (shift - 1)) - 1) /
                 (UINT64_C(1) << (shift - 1));
    snprintf(ret_text, SIZE_TEXT_SIZE, "%llu.%u %ciB", (unsigned long long)(tenths / 10),
             (unsigned)(tenths % 10), units[unit]);
}
