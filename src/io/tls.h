/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One TLS 1.3 session with an external pre-shared key, bytes in and bytes out: no socket, no loop.
 *
 * Cipher TLS_AES_128_GCM_SHA256, key exchange always with ECDHE; no certificates, tickets, early
 * data, compression. The identity travels in clear; the binder proves the key over it.
 */
#ifndef IO_TLS_H
#define IO_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct tls;

enum { TLS_PSK_MIN = 16, TLS_PSK_MAX = 256, TLS_IDENTITY_SIZE = 160 };

struct tls_options {
    bool is_server;
    const char *identity; /* client: what it shows */
    const uint8_t *psk;   /* client: copied */
    size_t psk_length;    /* TLS_PSK_MIN .. TLS_PSK_MAX */
    /* Server: the key of an identity. False, unknown: the handshake fails just as with a wrong
     * key. Called from inside tls_handshake(). */
    bool (*psk_cb)(void *arg, const char *identity, const uint8_t **ret_psk, size_t *ret_length);
    void *arg;
};

/* Loads what OpenSSL reads from files, once, so that no session has to. From any thread. */
void tls_load(void);

int tls_new(const struct tls_options *options, struct tls **ret_tls, struct err *err);
void tls_free(struct tls *tls);

/* What came from the peer. 0 or -ENOMEM. */
int tls_feed(struct tls *tls, const void *bytes, size_t length);
/* 1: done; 0: needs more from the peer; -EACCES: the peer has not our key; -EPROTO: no TLS of ours.
 * There may be output in each case. */
int tls_handshake(struct tls *tls, struct err *err);
bool tls_handshake_is_done(const struct tls *tls);
/* Decrypted bytes; 0: none now; -EPIPE: the peer ended the session; -EPROTO: damaged. */
int64_t tls_read(struct tls *tls, void *bytes, size_t size, struct err *err);
/* Encrypts all of it into the output. 0, -EPROTO. */
int tls_write(struct tls *tls, const void *bytes, size_t length, struct err *err);
/* Bytes to send to the peer: how many wait, and taking at most `size` of them. */
size_t tls_output_size(struct tls *tls);
size_t tls_take_output(struct tls *tls, void *bytes, size_t size);

#endif
