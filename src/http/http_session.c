/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: what is no request line the library closes without a word, and when it tells us of the
 * closing the TLS session is gone: nobody could be told any more.
 *
 * As with MHD_queue_response() (http_errors.c), the library calls GnuTLS through the table of
 * dynamic symbols, so the two functions of this file stand before GnuTLS's own. They change nothing
 * of what those do, but for an end of reading that is ours. Sessions that we watch are known by the
 * pointer of the session database, which nobody else sets; others pass. test_http.py fails should a
 * version of the library not come by here.
 */
#include "http/http_session.h"

#include <dlfcn.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/check.h"

typedef ssize_t (*recv_fn)(gnutls_session_t tls, void *data, size_t size);
typedef int (*bye_fn)(gnutls_session_t tls, gnutls_close_request_t how);

static void *find(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);

    check(function != NULL);
    return function;
}

void http_session_watch(struct http_session *session, gnutls_session_t tls,
                        bool (*is_over_cb)(struct http_session *session),
                        void (*closing_cb)(struct http_session *session))
{
    *session =
        (struct http_session){.tls = tls, .is_over_cb = is_over_cb, .closing_cb = closing_cb};
    gnutls_db_set_ptr(tls, session);
}

bool http_session_is_refused(const struct http_session *session)
{
    return session->has_ended ? session->has_words : session->has_read;
}

/* Some clients send an empty line behind a body. */
static bool is_empty(const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (bytes[i] != '\r' && bytes[i] != '\n')
            return false;
    return true;
}

ssize_t gnutls_record_recv(gnutls_session_t tls, void *data, size_t size)
{
    struct http_session *session = gnutls_db_get_ptr(tls);
    ssize_t done = 0;

    if (session == NULL || !session->is_over_cb(session))
        done = ((recv_fn)find("gnutls_record_recv"))(tls, data, size);
    if (session == NULL)
        return done;
    if (done > 0) {
        session->has_read = true;
        session->has_words = session->has_words || !is_empty(data, (size_t)done);
    } else if (done != GNUTLS_E_AGAIN && done != GNUTLS_E_INTERRUPTED) {
        session->has_ended = true;
    }
    return done;
}

int gnutls_bye(gnutls_session_t tls, gnutls_close_request_t how)
{
    struct http_session *session = gnutls_db_get_ptr(tls);

    if (session != NULL)
        session->closing_cb(session);
    return ((bye_fn)find("gnutls_bye"))(tls, how);
}
