/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arithmetic of signatures, by OpenSSL 3: HMAC-SHA1 for V1, HMAC-SHA256 for V3. What to sign
 * makes access/canonical.h.
 *
 * An object belongs to one thread: algorithms are fetched once, contexts are used again.
 */
#ifndef ACCESS_SIGNATURE_H
#define ACCESS_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
    SIGNATURE_HASH_SIZE = 32, /* bytes of SHA-256 */
    SIGNATURE_HEX_SIZE = 65,
    SIGNATURE_V1_SIZE = 29,    /* base64 of 20 bytes */
    SIGNATURE_V3_TEXT = 82,    /* "ACS3-HMAC-SHA256\n" and the hash, with the NUL */
    SIGNATURE_SECRET_MAX = 128 /* bytes of a secret */
};

struct signature;

int signature_new(struct signature **ret_signature, struct err *err);
void signature_free(struct signature *signature); /* NULL is fine */

/* The functions below: 0, or -EIO when the library fails (no memory). */

int signature_hash(struct signature *signature, const void *bytes, size_t length,
                   char ret_hex[SIGNATURE_HEX_SIZE]);
/* Of the string to sign; the key is the secret and "&". */
int signature_v1(struct signature *signature, const char *secret, const char *text, size_t length,
                 char ret_signature[SIGNATURE_V1_SIZE]);
/* Of the canonical request; `ret_text` is the string to sign. */
int signature_v3(struct signature *signature, const char *secret, const char *request,
                 size_t length, char ret_text[SIGNATURE_V3_TEXT],
                 char ret_signature[SIGNATURE_HEX_SIZE]);
/* HMAC-SHA256 of two parts, the first with its NUL: a keyed name for a table. */
int signature_tag(struct signature *signature, const uint8_t key[SIGNATURE_HASH_SIZE],
                  const char *first, const char *second, uint8_t ret_tag[SIGNATURE_HASH_SIZE]);

/* Takes the same time wherever they differ. */
bool signature_is_equal(const char *ours, const char *theirs);

#endif
