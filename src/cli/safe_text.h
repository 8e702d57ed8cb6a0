/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SAFE_TEXT_H
#define CLI_SAFE_TEXT_H

#include <stdio.h>

/* Words of strangers (names, instances, messages that hold them) must not speak to the terminal:
 * control characters leave as '?'. */
void safe_text_put(FILE *to, const char *text);
/* A JSON document means the same behind this: they leave as \uXXXX. Lines stay lines. */
void safe_text_put_json(FILE *to, const char *document);

#endif
