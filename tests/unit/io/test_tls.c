/* SPDX-License-Identifier: Apache-2.0 */
/* TLS sessions against each other in memory: right and wrong keys, cuts, damage, a stranger. */
#include "io/tls.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t key[32] = "0123456789abcdef0123456789abcde";
static const uint8_t other_key[32] = "0123456789abcdef0123456789abcdX";

struct ends {
    struct tls *client, *server;
    const uint8_t *server_key;
    size_t key_length;
    const char *known;
    unsigned asked;
};

static bool find_key(void *arg, const char *identity, const uint8_t **ret_psk, size_t *ret_length)
{
    struct ends *ends = arg;

    ends->asked++;
    *ret_psk = ends->server_key;
    *ret_length = ends->key_length;
    return strcmp(identity, ends->known) == 0;
}

static void make_ends(struct ends *ends, const char *shown)
{
    struct tls_options client = {.identity = shown, .psk = key, .psk_length = ends->key_length};
    struct tls_options server = {.is_server = true, .psk_cb = find_key, .arg = ends};

    assert_int_equal(tls_new(&client, &ends->client, NULL), 0);
    assert_int_equal(tls_new(&server, &ends->server, NULL), 0);
}

static void free_ends(struct ends *ends)
{
    tls_free(ends->client);
    tls_free(ends->server);
}

/* Moves what one has to say, `piece` bytes at a time; returns how many. */
static size_t carry(struct tls *from, struct tls *to, size_t piece)
{
    uint8_t bytes[4096];
    size_t total = 0, length;

    while ((length = tls_take_output(from, bytes, piece)) > 0) {
        assert_int_equal(tls_feed(to, bytes, length), 0);
        total += length;
    }
    return total;
}

static void shake(struct ends *ends, size_t piece, int *ret_client, int *ret_server,
                  struct err *err)
{
    *ret_client = *ret_server = 0;
    for (int turn = 0; turn < 4; turn++) {
        if (*ret_client == 0)
            *ret_client = tls_handshake(ends->client, err);
        carry(ends->client, ends->server, piece);
        if (*ret_server == 0)
            *ret_server = tls_handshake(ends->server, err);
        carry(ends->server, ends->client, piece);
    }
}

static void test_right_key(void **state)
{
    static const size_t lengths[] = {16, 32, 200 + 56};
    static uint8_t long_key[256];

    for (size_t i = 0; i < 3; i++) {
        struct ends ends = {.server_key = key, .key_length = lengths[i], .known = "verso:a:b"};
        struct tls_options client = {.identity = "verso:a:b", .psk_length = lengths[i]};
        struct tls_options server = {.is_server = true, .psk_cb = find_key, .arg = &ends};
        uint8_t bytes[64];
        int client_rc, server_rc;

        memset(long_key, 7, sizeof(long_key));
        client.psk = ends.server_key = long_key;
        assert_int_equal(tls_new(&client, &ends.client, NULL), 0);
        assert_int_equal(tls_new(&server, &ends.server, NULL), 0);
        shake(&ends, i == 0 ? 1 : 4096, &client_rc, &server_rc, NULL);
        assert_int_equal(client_rc, 1);
        assert_int_equal(server_rc, 1);
        assert_int_equal(ends.asked, 1);
        assert_int_equal(tls_write(ends.client, "question", 8, NULL), 0);
        carry(ends.client, ends.server, 3);
        assert_int_equal(tls_read(ends.server, bytes, sizeof(bytes), NULL), 8);
        assert_memory_equal(bytes, "question", 8);
        assert_int_equal(tls_read(ends.server, bytes, sizeof(bytes), NULL), 0);
        assert_int_equal(tls_write(ends.server, "answer", 6, NULL), 0);
        carry(ends.server, ends.client, 4096);
        assert_int_equal(tls_read(ends.client, bytes, 4, NULL), 4);
        assert_int_equal(tls_read(ends.client, bytes, 4, NULL), 2);
        free_ends(&ends);
    }
}

static void test_wrong_key(void **state)
{
    struct ends ends = {.server_key = other_key, .key_length = 32, .known = "verso:a:b"};
    struct err err = {0};
    int client_rc, server_rc;

    make_ends(&ends, "verso:a:b");
    shake(&ends, 4096, &client_rc, &server_rc, &err);
    assert_int_equal(server_rc, -EACCES);
    assert_int_equal(client_rc, -EACCES);
    assert_non_null(strstr(err.text, "psk-file"));
    free_ends(&ends);
}

/* The roles are in the identity: the same key under another identity fails alike. */
static void test_unknown_identity(void **state)
{
    struct ends ends = {.server_key = key, .key_length = 32, .known = "verso:a:b"};
    int client_rc, server_rc;

    make_ends(&ends, "verso:b:a");
    shake(&ends, 4096, &client_rc, &server_rc, NULL);
    assert_int_equal(server_rc, -EACCES);
    assert_int_equal(client_rc, -EACCES);
    free_ends(&ends);
}

static void test_key_bounds(void **state)
{
    struct tls_options client = {.identity = "x", .psk = key, .psk_length = TLS_PSK_MIN - 1};
    struct tls *tls;

    assert_int_equal(tls_new(&client, &tls, NULL), -EINVAL);
    client.psk_length = TLS_PSK_MAX + 1;
    assert_int_equal(tls_new(&client, &tls, NULL), -EINVAL);
}

static void test_damage(void **state)
{
    struct ends ends = {.server_key = key, .key_length = 32, .known = "i"};
    uint8_t bytes[256], plain[64];
    int client_rc, server_rc;
    size_t length;

    make_ends(&ends, "i");
    shake(&ends, 4096, &client_rc, &server_rc, NULL);
    assert_int_equal(server_rc, 1);
    assert_int_equal(tls_write(ends.client, "question", 8, NULL), 0);
    length = tls_take_output(ends.client, bytes, sizeof(bytes));
    bytes[length - 1] ^= 1;
    assert_int_equal(tls_feed(ends.server, bytes, length), 0);
    assert_int_equal(tls_read(ends.server, plain, sizeof(plain), NULL), -EPROTO);
    free_ends(&ends);
}

static void test_noise(void **state)
{
    srandom(1);
    for (int round = 0; round < 50; round++) {
        struct ends ends = {.server_key = key, .key_length = 32, .known = "i"};
        uint8_t bytes[600];

        make_ends(&ends, "i");
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (uint8_t)random();
        assert_int_equal(tls_feed(ends.server, bytes, sizeof(bytes)), 0);
        assert_true(tls_handshake(ends.server, NULL) <= 0);
        assert_false(tls_handshake_is_done(ends.server));
        free_ends(&ends);
    }
}

/* Who has no key but offers to talk without one gets nowhere: a client without key at our server.
 */
static void test_stranger(void **state)
{
    struct ends ends = {.server_key = key, .key_length = 32, .known = "i"};
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    uint8_t bytes[4096];
    int length;

    make_ends(&ends, "i");
    SSL_set_bio(ssl, in, out);
    SSL_set_connect_state(ssl);
    (void)SSL_do_handshake(ssl);
    length = BIO_read(out, bytes, sizeof(bytes));
    assert_true(length > 0);
    assert_int_equal(tls_feed(ends.server, bytes, (size_t)length), 0);
    assert_true(tls_handshake(ends.server, NULL) < 0);
    assert_int_equal(ends.asked, 0);
    SSL_free(ssl);
    SSL_CTX_free(context);
    free_ends(&ends);
}

/* A server that has no key but a certificate, and a client that would take any: ours does not. */
static void give_certificate(SSL_CTX *context)
{
    EVP_PKEY *own_key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();

    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, own_key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                               (const unsigned char *)"lyon", -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
    assert_true(X509_sign(certificate, own_key, EVP_sha256()) > 0);
    assert_int_equal(SSL_CTX_use_certificate(context, certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(context, own_key), 1);
    X509_free(certificate);
    EVP_PKEY_free(own_key);
}

static void test_impostor(void **state)
{
    struct tls_options options = {.identity = "i", .psk = key, .psk_length = 32};
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    SSL *ssl;
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    uint8_t bytes[8192];
    struct tls *tls;
    size_t length;
    int got;

    give_certificate(context);
    ssl = SSL_new(context);
    SSL_set_bio(ssl, in, out);
    SSL_set_accept_state(ssl);
    assert_int_equal(tls_new(&options, &tls, NULL), 0);
    assert_int_equal(tls_handshake(tls, NULL), 0);
    length = tls_take_output(tls, bytes, sizeof(bytes));
    assert_int_equal(BIO_write(in, bytes, (int)length), length);
    (void)SSL_do_handshake(ssl);
    got = BIO_read(out, bytes, sizeof(bytes));
    assert_true(got > 300); /* it did answer, with its certificate */
    assert_int_equal(tls_feed(tls, bytes, (size_t)got), 0);
    assert_int_equal(tls_handshake(tls, NULL), -EACCES);
    assert_false(tls_handshake_is_done(tls));
    tls_free(tls);
    SSL_free(ssl);
    SSL_CTX_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_right_key),        cmocka_unit_test(test_wrong_key),
        cmocka_unit_test(test_unknown_identity), cmocka_unit_test(test_key_bounds),
        cmocka_unit_test(test_damage),           cmocka_unit_test(test_noise),
        cmocka_unit_test(test_stranger),         cmocka_unit_test(test_impostor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
