/* SPDX-License-Identifier: Apache-2.0 */
/* The NBD server of a scene: two exports over volumes over simulated files. */
#ifndef FUZZ_NBD_H
#define FUZZ_NBD_H

#include "fuzz_scene.h"
#include "nbd/server.h"

enum { FUZZ_NBD_BYTES = 1 << 20, FUZZ_NBD_EXPORTS = 2 };

#define FUZZ_NBD_ADDRESS "10.0.0.1:10809"

struct fuzz_nbd {
    struct fuzz_scene scene;
    struct nbd_server *server;
    struct volume *volumes[FUZZ_NBD_EXPORTS];
    struct nbd_export *exports[FUZZ_NBD_EXPORTS]; /* "disk", writable; "snapshot", read-only */
    bool is_removing, is_removed, is_held, is_stopped;
};

void fuzz_nbd_open(struct fuzz_nbd *nbd);
/* The server must be able to stop in bounded time, whatever was done to it, and leave nothing. */
void fuzz_nbd_close(struct fuzz_nbd *nbd);
/* Takes the export "disk" away while it is used. */
void fuzz_nbd_remove(struct fuzz_nbd *nbd);
/* Requests wait at the volume while it is held. */
void fuzz_nbd_hold(struct fuzz_nbd *nbd, bool is_held);

#endif
