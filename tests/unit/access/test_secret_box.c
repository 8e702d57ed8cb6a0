/* SPDX-License-Identifier: Apache-2.0 */
/* Why: what is sealed opens with the same key and label only, and the key file is kept safe. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "access/secret_box.h"
#include "base/check.h"

static const uint8_t key[SECRET_BOX_KEY_SIZE] = "0123456789abcdef0123456789abcde";
static const uint8_t nonce[SECRET_BOX_NONCE_SIZE] = "unique-once";

static void test_sealing(void **state)
{
    uint8_t other_key[SECRET_BOX_KEY_SIZE] = {1};
    struct secret_box *box = secret_box_new(key), *other = secret_box_new(other_key);
    char text[SECRET_BOX_TEXT_SIZE], secret[SECRET_BOX_SECRET_MAX + 1];
    char longest[SECRET_BOX_SECRET_MAX + 1];

    (void)state;
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = 0;
    assert_int_equal(secret_box_seal(box, nonce, "K1", longest, text), 0);
    assert_int_equal(secret_box_unseal(box, "K1", text, secret), 0);
    assert_string_equal(secret, longest);
    assert_int_equal(secret_box_seal(box, nonce, "K1", "mys3cret", text), 0);
    assert_null(strstr(text, "mys3cret"));
    assert_int_equal(secret_box_unseal(box, "K1", text, secret), 0);
    assert_string_equal(secret, "mys3cret");
    assert_int_equal(secret_box_unseal(box, "K2", text, secret), -EBADMSG);
    assert_string_equal(secret, "");
    assert_int_equal(secret_box_unseal(other, "K1", text, secret), -EBADMSG);
    for (size_t i = 0; i < strlen(text); i++) { /* every character counts */
        char before = text[i];

        text[i] = before == '0' ? '1' : '0';
        assert_int_equal(secret_box_unseal(box, "K1", text, secret), -EBADMSG);
        text[i] = before;
    }
    text[strlen(text) - 2] = 0;
    assert_int_equal(secret_box_unseal(box, "K1", text, secret), -EBADMSG);
    assert_int_equal(secret_box_unseal(box, "K1", "", secret), -EBADMSG);
    assert_int_equal(secret_box_unseal(box, "K1", "v1:00", secret), -EBADMSG);
    secret_box_free(box);
    secret_box_free(other);
}

static void expect_refusal(const char *path, bool has_secrets, int code, const char *told)
{
    struct secret_box *box = NULL;
    struct err err = {0};

    assert_int_equal(secret_box_open(path, has_secrets, &box, &err), code);
    if (!strstr(err.text, told))
        fail_msg("%s", err.text);
}

static void test_key_file(void **state)
{
    char folder[] = "/tmp/secret-box-XXXXXX", path[64], text[SECRET_BOX_TEXT_SIZE];
    char secret[SECRET_BOX_SECRET_MAX + 1];
    struct secret_box *box;
    struct stat facts;
    struct err err = {0};

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/secret.key", folder);
    expect_refusal(path, true, -ENOENT, "missing");
    assert_int_equal(secret_box_open(path, false, &box, &err), 0);
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0600);
    assert_int_equal(facts.st_size, SECRET_BOX_KEY_SIZE);
    assert_int_equal(secret_box_seal(box, nonce, "K", "s", text), 0);
    secret_box_free(box);
    assert_int_equal(secret_box_open(path, true, &box, &err), 0);
    assert_int_equal(secret_box_unseal(box, "K", text, secret), 0);
    secret_box_free(box);
    assert_int_equal(chmod(path, 0640), 0);
    expect_refusal(path, true, -EACCES, "chmod 600");
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(truncate(path, 31), 0);
    expect_refusal(path, false, -EINVAL, "32 bytes");
    assert_int_equal(truncate(path, 33), 0);
    expect_refusal(path, true, -EINVAL, "32 bytes");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/dev/zero", path), 0);
    expect_refusal(path, true, -ELOOP, "secret.key");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sealing),
                                       cmocka_unit_test(test_key_file)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
