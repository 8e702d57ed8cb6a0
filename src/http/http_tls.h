/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The certificate of the TLS listeners, and its change while connections live: a new connection
 * takes the newest, an old one keeps its own until it ends.
 */
#ifndef HTTP_HTTP_TLS_H
#define HTTP_HTTP_TLS_H

#include <gnutls/gnutls.h>

#include "base/err.h"

/* TLS 1.2 and 1.3, forward secrecy, authenticated ciphers. */
#define HTTP_TLS_PRIORITIES                                                                        \
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-CIPHER-ALL:+AES-256-GCM:+CHACHA20-POLY1305:" \
    "+AES-128-GCM:-SHA1:%SERVER_PRECEDENCE"

struct http_tls;
struct http_certificate;

/* PEM files: the certificate with its chain, its key without a password. A key that others may read
 * is refused (root's may be read by its group). The paths are copied. */
int http_tls_new(const char *cert_path, const char *key_path, struct http_tls **ret_tls,
                 struct err *err);
/* Reads both again. On an error the old certificate stays. Any thread. */
int http_tls_reload(struct http_tls *tls, struct err *err);
void http_tls_free(struct http_tls *tls); /* no connection holds it; NULL is fine */

/* Gives a new session the newest certificate, held until http_tls_drop(). NULL: refused. */
struct http_certificate *http_tls_hold(struct http_tls *tls, gnutls_session_t session);
void http_tls_drop(struct http_certificate *certificate); /* NULL is fine */

#endif
