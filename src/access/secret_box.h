/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets at rest: AES-256-GCM by OpenSSL, with a key that lies in a file of its own beside the
 * database (DATA/secret.key, mode 0600). Who has the database alone has no secret.
 */
#ifndef ACCESS_SECRET_BOX_H
#define ACCESS_SECRET_BOX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum {
    SECRET_BOX_KEY_SIZE = 32,
    SECRET_BOX_NONCE_SIZE = 12,
    SECRET_BOX_SECRET_MAX = 128, /* bytes */
    SECRET_BOX_TEXT_SIZE = 320   /* of a sealed secret, with its NUL */
};

struct secret_box;

/* Reads the key file, or makes it when there is none and nothing was sealed yet. Refuses: a file
 * that others may read (-EACCES), one of another length or kind (-EINVAL), none although there are
 * secrets (-ENOENT). Blocks: for the start. */
int secret_box_open(const char *path, bool has_secrets, struct secret_box **ret_box,
                    struct err *err);
/* With a key that is given: for tests. NULL: no memory. */
struct secret_box *secret_box_new(const uint8_t key[SECRET_BOX_KEY_SIZE]);
void secret_box_free(struct secret_box *box); /* wipes the key; NULL is fine */

/* `label` (the access key's id) is bound to it: it opens under no other. `nonce` is never used
 * twice: random. 0, -EIO (no memory). */
int secret_box_seal(struct secret_box *box, const uint8_t nonce[SECRET_BOX_NONCE_SIZE],
                    const char *label, const char *secret, char ret_text[SECRET_BOX_TEXT_SIZE]);
/* -EBADMSG: sealed with another key or label, or damaged. */
int secret_box_unseal(struct secret_box *box, const char *label, const char *text,
                      char ret_secret[SECRET_BOX_SECRET_MAX + 1]);

#endif
