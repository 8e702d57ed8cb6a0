/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: a signature a request, so the algorithm is not looked up by name each time; and a secret
 * leaves no copy behind.
 */
#include "access/signature.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { SIGNATURE_MAGIC = 0x7369676e, SHA1_SIZE = 20 };

struct signature {
    uint32_t magic;
    EVP_MD *sha256;
    EVP_MD_CTX *hash;
    EVP_MAC *hmac;
    EVP_MAC_CTX *v1, *v3; /* with SHA-1, with SHA-256 */
};

static EVP_MAC_CTX *new_mac(EVP_MAC *hmac, char *digest)
{
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC_CTX *mac = EVP_MAC_CTX_new(hmac);

    if (mac && !EVP_MAC_CTX_set_params(mac, parameters)) {
        EVP_MAC_CTX_free(mac);
        return NULL;
    }
    return mac;
}

int signature_new(struct signature **ret_signature, struct err *err)
{
    struct signature *signature = calloc(1, sizeof(*signature));
    char sha1[] = "SHA1", sha256[] = "SHA256";

    if (!signature)
        return err_set(err, -ENOMEM, "signatures: out of memory");
    signature->magic = SIGNATURE_MAGIC;
    signature->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    signature->hash = EVP_MD_CTX_new();
    signature->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (signature->hmac) {
        signature->v1 = new_mac(signature->hmac, sha1);
        signature->v3 = new_mac(signature->hmac, sha256);
    }
    if (!signature->sha256 || !signature->hash || !signature->v1 || !signature->v3) {
        signature_free(signature);
        return err_set(err, -ENOTSUP, "signatures: OpenSSL has no HMAC with SHA-1 and SHA-256");
    }
    *ret_signature = signature;
    return 0;
}

void signature_free(struct signature *signature)
{
    if (!signature)
        return;
    check_magic(signature, SIGNATURE_MAGIC);
    EVP_MAC_CTX_free(signature->v1);
    EVP_MAC_CTX_free(signature->v3);
    EVP_MAC_free(signature->hmac);
    EVP_MD_CTX_free(signature->hash);
    EVP_MD_free(signature->sha256);
    signature->magic = 0;
    free(signature);
}

static void put_hex(const uint8_t *bytes, size_t length, char *ret_hex)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < length; i++) {
        ret_hex[2 * i] = digits[bytes[i] >> 4];
        ret_hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    ret_hex[2 * length] = 0;
}

int signature_hash(struct signature *signature, const void *bytes, size_t length,
                   char ret_hex[SIGNATURE_HEX_SIZE])
{
    uint8_t hash[SIGNATURE_HASH_SIZE];

    check_magic(signature, SIGNATURE_MAGIC);
    if (!EVP_DigestInit_ex2(signature->hash, signature->sha256, NULL) ||
        !EVP_DigestUpdate(signature->hash, bytes, length) ||
        !EVP_DigestFinal_ex(signature->hash, hash, NULL))
        return -EIO;
    put_hex(hash, sizeof(hash), ret_hex);
    return 0;
}

int signature_v1(struct signature *signature, const char *secret, const char *text, size_t length,
                 char ret_signature[SIGNATURE_V1_SIZE])
{
    uint8_t key[SIGNATURE_SECRET_MAX + 1], mac[SHA1_SIZE];
    size_t key_length = strlen(secret), mac_length = 0;
    bool is_done;

    check_magic(signature, SIGNATURE_MAGIC);
    check(key_length <= SIGNATURE_SECRET_MAX);
    memcpy(key, secret, key_length);
    key[key_length++] = '&';
    is_done = EVP_MAC_init(signature->v1, key, key_length, NULL) &&
              EVP_MAC_update(signature->v1, (const uint8_t *)text, length) &&
              EVP_MAC_final(signature->v1, mac, &mac_length, sizeof(mac));
    OPENSSL_cleanse(key, sizeof(key));
    if (!is_done || mac_length != sizeof(mac))
        return -EIO;
    check(EVP_EncodeBlock((uint8_t *)ret_signature, mac, sizeof(mac)) == SIGNATURE_V1_SIZE - 1);
    return 0;
}

static bool mac_sha256(struct signature *signature, const void *key, size_t key_length,
                       const void *text, size_t length, const void *more, size_t more_length,
                       uint8_t ret_mac[SIGNATURE_HASH_SIZE])
{
    size_t mac_length = 0;

    return EVP_MAC_init(signature->v3, key, key_length, NULL) &&
           EVP_MAC_update(signature->v3, text, length) &&
           EVP_MAC_update(signature->v3, more, more_length) &&
           EVP_MAC_final(signature->v3, ret_mac, &mac_length, SIGNATURE_HASH_SIZE) &&
           mac_length == SIGNATURE_HASH_SIZE;
}

int signature_v3(struct signature *signature, const char *secret, const char *request,
                 size_t length, char ret_text[SIGNATURE_V3_TEXT],
                 char ret_signature[SIGNATURE_HEX_SIZE])
{
    static const char scheme[] = "ACS3-HMAC-SHA256\n";
    uint8_t mac[SIGNATURE_HASH_SIZE];

    check_magic(signature, SIGNATURE_MAGIC);
    check(sizeof(scheme) - 1 + SIGNATURE_HEX_SIZE == SIGNATURE_V3_TEXT);
    memcpy(ret_text, scheme, sizeof(scheme));
    if (signature_hash(signature, request, length, ret_text + sizeof(scheme) - 1) < 0)
        return -EIO;
    /* An empty key would mean "the key of before" to the library. */
    check(secret[0]);
    if (!mac_sha256(signature, secret, strlen(secret), ret_text, SIGNATURE_V3_TEXT - 1, "", 0, mac))
        return -EIO;
    put_hex(mac, sizeof(mac), ret_signature);
    return 0;
}

int signature_tag(struct signature *signature, const uint8_t key[SIGNATURE_HASH_SIZE],
                  const char *first, const char *second, uint8_t ret_tag[SIGNATURE_HASH_SIZE])
{
    check_magic(signature, SIGNATURE_MAGIC);
    if (!mac_sha256(signature, key, SIGNATURE_HASH_SIZE, first, strlen(first) + 1, second,
                    strlen(second), ret_tag))
        return -EIO;
    return 0;
}

bool signature_is_equal(const char *ours, const char *theirs)
{
    size_t length = strlen(ours);

    return strlen(theirs) == length && CRYPTO_memcmp(ours, theirs, length) == 0;
}
