/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the library does with the TLS session of a connection, for which it has no hooks: what it
 * has read, and the moment before it says goodbye, the last one in which a word of ours can be
 * sent. Private to http/; on the library's thread.
 */
#ifndef HTTP_HTTP_SESSION_H
#define HTTP_HTTP_SESSION_H

#include <gnutls/gnutls.h>
#include <stdbool.h>

struct http_session {
    gnutls_session_t tls; /* NULL: plain */
    bool has_read;        /* any byte, ever */
    bool has_words;       /* more than empty lines, since its owner made it false */
    bool has_ended;       /* the peer has closed, or can no longer be understood */
    bool (*is_over_cb)(struct http_session *session);
    void (*closing_cb)(struct http_session *session);
};

/* Before the handshake. `session` lives as long as `tls`. is_over_cb is asked before each read:
 * true is the end to the library, and the session can still be written to, which it cannot once
 * GnuTLS itself has found an end. closing_cb is called before goodbye, more than once perhaps. */
void http_session_watch(struct http_session *session, gnutls_session_t tls,
                        bool (*is_over_cb)(struct http_session *session),
                        void (*closing_cb)(struct http_session *session));
/* Does the library close over what it has read? Not where it only follows the peer's end, before
 * which nothing was said. */
bool http_session_is_refused(const struct http_session *session);

#endif
