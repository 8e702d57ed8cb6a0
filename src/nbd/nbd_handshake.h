/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handshake of one connection as a state machine: it takes bytes, gives bytes, and says what
 * follows. No I/O, no time; the connection owns those.
 */
#ifndef NBD_NBD_HANDSHAKE_H
#define NBD_NBD_HANDSHAKE_H

#include "nbd/export.h"

enum { NBD_HANDSHAKE_OPTIONS_MAX = 64 };

enum nbd_handshake_result {
    NBD_HANDSHAKE_MORE,         /* more bytes are needed; nothing was consumed */
    NBD_HANDSHAKE_NEXT,         /* one message was consumed; ask again */
    NBD_HANDSHAKE_TRANSMISSION, /* `export` is chosen */
    NBD_HANDSHAKE_GOODBYE,      /* the client asked to end */
    NBD_HANDSHAKE_BROKEN,       /* the connection must end; `reason` says why */
};

struct nbd_handshake {
    const struct list *exports; /* struct nbd_export */
    bool has_client_flags, has_no_zeroes;
    bool has_structured_replies;
    uint64_t meta_export_serial; /* base:allocation was selected for this export; 0: not */
    unsigned option_count;
    struct nbd_export *export; /* valid only until control returns to the loop */
    char reason[160];
    /* What must be sent before the next step; the owner sets out_bytes to 0. */
    uint8_t *out;
    size_t out_bytes, out_size;
};

/* Makes the greeting. 0 or -ENOMEM. */
int nbd_handshake_init(struct nbd_handshake *handshake, const struct list *exports);
void nbd_handshake_fini(struct nbd_handshake *handshake);
enum nbd_handshake_result nbd_handshake_step(struct nbd_handshake *handshake, const uint8_t *bytes,
                                             size_t length, size_t *ret_consumed);
/* After NBD_HANDSHAKE_TRANSMISSION: may BLOCK_STATUS be asked? */
bool nbd_handshake_has_allocation(const struct nbd_handshake *handshake);

#endif
