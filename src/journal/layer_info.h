/* SPDX-License-Identifier: Apache-2.0 */
/* The file <id>.info of a layer <-> struct layer_description; pure. Format: docs/layer.md. */
#ifndef JOURNAL_LAYER_INFO_H
#define JOURNAL_LAYER_INFO_H

#include <stdint.h>

struct layer_description {
    char id[40];         /* file name: l-... */
    char disk[40];       /* d-... */
    char label[64];      /* the part behind '@' of the export's name: the generation's short text */
    char reason[64];     /* "reprotect of pg-..." */
    uint64_t size_bytes; /* of the disk */
    uint64_t created_wall_ns;
    uint64_t expires_wall_ns; /* 0: never */
    uint64_t bytes_max; /* cap on kept bytes; 0: none. Beyond it the layer is dropped, said so */
};

enum { LAYER_INFO_BYTES = 512 };

void layer_info_encode(const struct layer_description *description, uint8_t *bytes);
/* -EBADMSG: not whole; -EPROTONOSUPPORT: whole, of an unknown version. */
int layer_info_decode(const uint8_t *bytes, struct layer_description *ret_description);

#endif
