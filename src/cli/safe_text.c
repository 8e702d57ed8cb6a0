/* SPDX-License-Identifier: Apache-2.0 */
/* Why: whoever may name a disk is not whoever looks at it. Text is UTF-8 here; of that, U+0000 to
 * U+001F, U+007F and U+0080 to U+009F are what a terminal obeys. */
#include "cli/safe_text.h"

#include <stdbool.h>

void safe_text_put(FILE *to, const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        bool is_c1 = at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0;

        fputc(*at < 0x20 || *at == 0x7f || is_c1 ? '?' : *at, to);
        at += is_c1;
    }
}
