/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: signatures need the secret itself, so it cannot be kept as a hash; but a copy of the
 * database (a backup, a support bundle) must not hold it.
 *
 *     sealed = "v1:" + hex(nonce 12, ciphertext, tag 16)      additional data: the label
 *
 * The key file is read once, before the loops run, with plain calls.
 */
#include "access/secret_box.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/secret.h"

enum { BOX_MAGIC = 0x626f7800, TAG_SIZE = 16, PATH_SIZE = 4096 };

static const char prefix[] = "v1:";

struct secret_box {
    uint32_t magic;
    uint8_t key[SECRET_BOX_KEY_SIZE];
};

struct secret_box *secret_box_new(const uint8_t key[SECRET_BOX_KEY_SIZE])
{
    struct secret_box *box = secret_new(sizeof(*box));

    if (!box)
        return NULL;
    box->magic = BOX_MAGIC;
    memcpy(box->key, key, sizeof(box->key));
    return box;
}

void secret_box_free(struct secret_box *box)
{
    if (!box)
        return;
    check_magic(box, BOX_MAGIC);
    box->magic = 0;
    secret_free(box, sizeof(*box));
}

/* --- the key file ---------------------------------------------------------------------------- */

static int sync_folder(const char *path, struct err *err)
{
    char copy[PATH_SIZE];
    int fd, failed;

    memcpy(copy, path, strlen(path) + 1);
    fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    failed = fd < 0 || fsync(fd) != 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    return failed ? err_set(err, failed, "%s: its folder: %s", path, err_name(failed)) : 0;
}

/* Durable under its name, or not there: it is written beside it and renamed. */
static int make_file(const char *path, uint8_t *key, struct err *err)
{
    char beside[PATH_SIZE];
    int fd, failed = 0;

    if (snprintf(beside, sizeof(beside), "%s.new", path) >= (int)sizeof(beside))
        return err_set(err, -ENAMETOOLONG, "%s: the path is too long", path);
    if (RAND_bytes(key, SECRET_BOX_KEY_SIZE) != 1)
        return err_set(err, -EIO, "%s: no random bytes", path);
    (void)unlink(beside);
    fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_set(err, -errno, "%s: %s", beside, err_name(errno));
    errno = EIO; /* of a short write */
    if (write(fd, key, SECRET_BOX_KEY_SIZE) != SECRET_BOX_KEY_SIZE || fsync(fd) != 0)
        failed = err_set(err, -errno, "%s: %s", beside, err_name(errno));
    close(fd);
    if (failed == 0 && rename(beside, path) != 0)
        failed = err_set(err, -errno, "%s: %s", path, err_name(errno));
    return failed ? failed : sync_folder(path, err);
}

static int read_file(int fd, const char *path, uint8_t *key, struct err *err)
{
    struct stat facts;
    uint8_t more;

    if (fstat(fd, &facts) != 0)
        return err_set(err, -errno, "%s: %s", path, err_name(errno));
    if (!S_ISREG(facts.st_mode))
        return err_set(err, -EINVAL, "%s: is no regular file", path);
    if (facts.st_mode & 077)
        return err_set(err, -EACCES,
                       "%s: others may read it (mode %03o): chmod 600 it, and make new access keys "
                       "if somebody did",
                       path, (unsigned)(facts.st_mode & 0777));
    if (facts.st_uid != geteuid() && facts.st_uid != 0)
        return err_set(err, -EACCES, "%s: belongs to another user (%u): chown it", path,
                       (unsigned)facts.st_uid);
    if (read(fd, key, SECRET_BOX_KEY_SIZE) != SECRET_BOX_KEY_SIZE || read(fd, &more, 1) != 0)
        return err_set(err, -EINVAL,
                       "%s: is not %d bytes long: restore it from the backup of the data folder",
                       path, SECRET_BOX_KEY_SIZE);
    return 0;
}

static int find_key(const char *path, bool has_secrets, uint8_t *key, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), result;

    if (fd < 0 && errno != ENOENT)
        return err_set(err, -errno, "%s: %s", path, err_name(errno));
    if (fd < 0 && has_secrets)
        return err_set(err, -ENOENT,
                       "%s is missing, and the secrets of the access keys cannot be read without "
                       "it: restore it from the backup of the data folder",
                       path);
    if (fd < 0)
        return make_file(path, key, err);
    result = read_file(fd, path, key, err);
    close(fd);
    return result;
}

int secret_box_open(const char *path, bool has_secrets, struct secret_box **ret_box,
                    struct err *err)
{
    static const uint8_t none[SECRET_BOX_KEY_SIZE] = {0};
    struct secret_box *box;
    int result;

    if (strlen(path) >= PATH_SIZE)
        return err_set(err, -ENAMETOOLONG, "%s: the path is too long", path);
    box = secret_box_new(none);
    if (!box)
        return err_set(err, -ENOMEM, "%s: out of memory", path);
    result = find_key(path, has_secrets, box->key, err);
    if (result < 0) {
        secret_box_free(box);
        return result;
    }
    *ret_box = box;
    return 0;
}

/* --- sealing --------------------------------------------------------------------------------- */

static void to_hex(const uint8_t *bytes, size_t length, char *ret_text)
{
    for (size_t i = 0; i < length; i++)
        sprintf(ret_text + 2 * i, "%02x", bytes[i]);
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool from_hex(const char *text, size_t length, uint8_t *ret_bytes)
{
    for (size_t i = 0; i < length; i++) {
        int high = digit(text[2 * i]), low = high < 0 ? -1 : digit(text[2 * i + 1]);

        if (low < 0)
            return false;
        ret_bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static int encrypt(EVP_CIPHER_CTX *cipher, const struct secret_box *box, const char *label,
                   const char *secret, int length, uint8_t *sealed)
{
    uint8_t *text = sealed + SECRET_BOX_NONCE_SIZE;
    int done;

    if (EVP_EncryptInit_ex(cipher, EVP_aes_256_gcm(), NULL, box->key, sealed) == 1 &&
        EVP_EncryptUpdate(cipher, NULL, &done, (const uint8_t *)label, (int)strlen(label)) == 1 &&
        EVP_EncryptUpdate(cipher, text, &done, (const uint8_t *)secret, length) == 1 &&
        EVP_EncryptFinal_ex(cipher, text + length, &done) == 1 &&
        EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_GET_TAG, TAG_SIZE, text + length) == 1)
        return 0;
    return -EIO;
}

int secret_box_seal(struct secret_box *box, const uint8_t nonce[SECRET_BOX_NONCE_SIZE],
                    const char *label, const char *secret, char ret_text[SECRET_BOX_TEXT_SIZE])
{
    uint8_t sealed[SECRET_BOX_NONCE_SIZE + SECRET_BOX_SECRET_MAX + TAG_SIZE];
    size_t length = strlen(secret);
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    int result;

    check_magic(box, BOX_MAGIC);
    check(length > 0 && length <= SECRET_BOX_SECRET_MAX && strlen(label) < 256);
    memcpy(sealed, nonce, SECRET_BOX_NONCE_SIZE);
    result = cipher ? encrypt(cipher, box, label, secret, (int)length, sealed) : -EIO;
    EVP_CIPHER_CTX_free(cipher);
    if (result < 0)
        return result;
    strcpy(ret_text, prefix);
    to_hex(sealed, SECRET_BOX_NONCE_SIZE + length + TAG_SIZE, ret_text + strlen(prefix));
    return 0;
}

static int decrypt(EVP_CIPHER_CTX *cipher, const struct secret_box *box, const char *label,
                   uint8_t *sealed, int length, uint8_t *secret)
{
    uint8_t *text = sealed + SECRET_BOX_NONCE_SIZE;
    int done;

    if (EVP_DecryptInit_ex(cipher, EVP_aes_256_gcm(), NULL, box->key, sealed) == 1 &&
        EVP_DecryptUpdate(cipher, NULL, &done, (const uint8_t *)label, (int)strlen(label)) == 1 &&
        EVP_DecryptUpdate(cipher, secret, &done, text, length) == 1 &&
        EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_SET_TAG, TAG_SIZE, text + length) == 1 &&
        EVP_DecryptFinal_ex(cipher, secret + length, &done) == 1)
        return 0;
    return -EBADMSG;
}

int secret_box_unseal(struct secret_box *box, const char *label, const char *text,
                      char ret_secret[SECRET_BOX_SECRET_MAX + 1])
{
    enum { AROUND = SECRET_BOX_NONCE_SIZE + TAG_SIZE };
    uint8_t sealed[AROUND + SECRET_BOX_SECRET_MAX];
    size_t length = strlen(text), bytes;
    EVP_CIPHER_CTX *cipher;
    int result;

    check_magic(box, BOX_MAGIC);
    if (strncmp(text, prefix, strlen(prefix)) != 0)
        return -EBADMSG;
    text += strlen(prefix);
    length -= strlen(prefix);
    bytes = length / 2;
    if (length % 2 != 0 || bytes <= AROUND || bytes > sizeof(sealed) ||
        !from_hex(text, bytes, sealed))
        return -EBADMSG;
    cipher = EVP_CIPHER_CTX_new();
    result = cipher
                 ? decrypt(cipher, box, label, sealed, (int)(bytes - AROUND), (uint8_t *)ret_secret)
                 : -EIO;
    EVP_CIPHER_CTX_free(cipher);
    ret_secret[result == 0 ? bytes - AROUND : 0] = 0;
    return result;
}
