/* SPDX-License-Identifier: Apache-2.0 */
/* Checksums of our files made right behind an edit: forgeries (fuzz_image.h, seal_cb). */
#ifndef FUZZ_SEAL_H
#define FUZZ_SEAL_H

#include "fuzz_image.h"

/* A segment's header at 0, else a record of the journal. */
void fuzz_seal_journal(struct fuzz_image *image, const struct fuzz_place *mark);
/* Header or slot of a bitfile of that kind. */
void fuzz_seal_bitfile(struct fuzz_image *image, const struct fuzz_place *mark, const char *kind);
void fuzz_seal_layer_info(struct fuzz_image *image, const struct fuzz_place *mark);
/* By the name of the file: the slot of `state`, all of `dirty`, and those above. */
void fuzz_seal_any(struct fuzz_image *image, const struct fuzz_place *mark);

#endif
