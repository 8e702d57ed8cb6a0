/* SPDX-License-Identifier: Apache-2.0 */
/* Why: whoever may name a disk is not whoever looks at it. Text is UTF-8 here; of that, U+0000 to
 * U+001F, U+007F and U+0080 to U+009F are what a terminal obeys. */
#include "cli/safe_text.h"

#include <stdbool.h>

static bool is_c1(const unsigned char *at)
{
    return at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0;
}

void safe_text_put(FILE *to, const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        bool is_two = is_c1(at);

        fputc(*at < 0x20 || *at == 0x7f || is_two ? '?' : *at, to);
        at += is_two;
    }
}

/* Raw, the others can only stand in a text of the document, but for white space between them. */
static void put_json_byte(FILE *to, const unsigned char *at)
{
    if (*at == '\n' || *at == '\t' || (*at == '\r' && at[1] == '\n'))
        fputc(*at, to);
    else if (*at == '\r')
        fputc(' ', to);
    else if (*at < 0x20 || *at == 0x7f)
        fprintf(to, "\\u%04x", *at);
    else
        fputc(*at, to);
}

void safe_text_put_json(FILE *to, const char *document)
{
    for (const unsigned char *at = (const unsigned char *)document; *at; at++) {
        if (is_c1(at))
            fprintf(to, "\\u%04x", *++at);
        else
            put_json_byte(to, at);
    }
}
