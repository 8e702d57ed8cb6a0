/* SPDX-License-Identifier: Apache-2.0 */
/* A tree as an XML 1.0 document. Pure. */
#ifndef API_XML_TEXT_H
#define API_XML_TEXT_H

#include <jansson.h>

/*
 * `root` becomes the root element (what is no name character becomes '_'), a member an element of
 * its name, an array its name repeated once an item, so an empty one nothing; numbers and booleans
 * are plain text, null nothing. The caller's to free(); NUL behind *ret_length.
 */
char *xml_text_make(const char *root, const json_t *tree, size_t *ret_length);

#endif
