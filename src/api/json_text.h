/* SPDX-License-Identifier: Apache-2.0 */
/* A tree as compact JSON. Pure. */
#ifndef API_JSON_TEXT_H
#define API_JSON_TEXT_H

#include <jansson.h>
#include <stdint.h>

enum { JSON_TEXT_DEPTH_MAX = 32 };

/* What readers would round is cut: to 2^53 - 1 on either side. */
int64_t json_text_cut(int64_t value);

/*
 * As json_dumps() with JSON_COMPACT, but for integers (json_text_cut()) and for what lies deeper
 * than JSON_TEXT_DEPTH_MAX (null). The caller's to free(); NUL behind *ret_length.
 */
char *json_text_make(const json_t *tree, size_t *ret_length);

#endif
