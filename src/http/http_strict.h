/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a head must be, so that a proxy before us and we cannot read it in two ways (request
 * smuggling). The library is lenient in these points. Pure.
 */
#ifndef HTTP_HTTP_STRICT_H
#define HTTP_HTTP_STRICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_field;

struct http_framing {
    bool is_chunked;
    uint64_t length; /* of the body, as declared; 0 without */
};

/*
 * NULL and the framing, or why the head is refused:
 *   - a name is no token, a value has control characters;
 *   - Host is missing (HTTP/1.1), is there twice, or is a list;
 *   - Content-Length is there twice, or is no number below 2^63;
 *   - Transfer-Encoding is there twice, is anything but "chunked", comes with HTTP/1.0 or with a
 *     Content-Length.
 * Values come without the spaces before them; the library knows no chunks and no number with a
 * space behind it, so neither is taken here.
 */
const char *http_strict_head(const char *version, const struct http_field *fields, unsigned count,
                             struct http_framing *ret_framing);

/* The method is a token, the target has neither spaces nor control characters. */
bool http_strict_line(const char *method, const char *target);

/*
 * For a library that parses a head in place (each text ends where its separator was) and stores
 * folded lines elsewhere: false when between two texts there is more than one separator, so a line
 * was folded, a line ended without CR, a NUL stood in it, or the library left a field out.
 * `version` is the last text of the request line; fields in their order; `head_end` is behind the
 * empty line.
 */
bool http_strict_in_place(const char *version, const struct http_field *fields, unsigned count,
                          const char *head_end);

#endif
