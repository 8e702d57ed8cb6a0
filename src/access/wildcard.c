/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: a pattern comes from one person and the text from another, so no pair of them may take long.
 * Only the last star is ever gone back to: what an earlier one could take differently, the later
 * one can take as well.
 */
#include "access/wildcard.h"

#include <stddef.h>

static char folded(char c, bool folds_case)
{
    return folds_case && c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static const char *past_character(const char *text)
{
    text++;
    while ((*text & 0xc0) == 0x80)
        text++;
    return text;
}

bool wildcard_match(const char *pattern, const char *text, bool folds_case)
{
    const char *star = NULL, *resume = NULL;

    while (*text) {
        if (*pattern == '*') {
            star = ++pattern;
            resume = text;
        } else if (*pattern == '?') {
            pattern++;
            text = past_character(text);
        } else if (*pattern && folded(*pattern, folds_case) == folded(*text, folds_case)) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}
