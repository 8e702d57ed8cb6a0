/* SPDX-License-Identifier: Apache-2.0 */
/* The file <id>.info of a layer <-> struct layer_description; pure. Format: docs/layer.md. */
#ifndef JOURNAL_LAYER_INFO_H
#define JOURNAL_LAYER_INFO_H

#include "journal/layer.h"

enum { LAYER_INFO_BYTES = 512 };

void layer_info_encode(const struct layer_description *description, uint8_t *bytes);
/* -EBADMSG: not whole; -EPROTONOSUPPORT: whole, of an unknown version. */
int layer_info_decode(const uint8_t *bytes, struct layer_description *ret_description);

#endif
