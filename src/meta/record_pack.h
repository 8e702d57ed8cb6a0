/* SPDX-License-Identifier: Apache-2.0 */
/* A record in as few bytes as it has content: a pair has some 400 instead of 10 KB. Pure. */
#ifndef META_RECORD_PACK_H
#define META_RECORD_PACK_H

#include "meta/records.h"

/* To be freed; NULL: out of memory. */
char *record_pack(enum record_kind kind, const void *record);
void record_unpack(enum record_kind kind, const char *packed, void *ret_record);
/* The text of a text field or the name of a state, `field` being the index of one. */
const char *record_packed_text(enum record_kind kind, const char *packed, unsigned field);

#endif
