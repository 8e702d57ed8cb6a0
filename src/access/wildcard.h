/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns with '*' (any run, also an empty one) and '?' (one character of UTF-8). Pure. */
#ifndef ACCESS_WILDCARD_H
#define ACCESS_WILDCARD_H

#include <stdbool.h>

/* At most (length of pattern) × (length of text) steps. Folding is of ASCII letters only. */
bool wildcard_match(const char *pattern, const char *text, bool folds_case);

#endif
