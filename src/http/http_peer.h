/* SPDX-License-Identifier: Apache-2.0 */
/* What we know of a connection. Private to http/. */
#ifndef HTTP_HTTP_PEER_H
#define HTTP_HTTP_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "http/http_session.h"

struct http_certificate;
struct http_guest;
struct http_listener;
struct http_refusals;

/* The other end of a connection; its socket context in the library. */
struct http_peer {
    struct http_listener *listener;
    struct http_session session;
    struct http_guest *guest; /* NULL: no memory for it */
    struct http_certificate *certificate;
    char source[64];
    const char *host_id;            /* of the server's options; "": none */
    struct http_refusals *refusals; /* NULL: nobody wants to know */
    bool is_loopback, is_permitted;
    bool has_asked;      /* a request line came */
    bool has_begun;      /* the last request: its head came */
    bool is_head_coming; /* its first line came, and nothing was answered */
    bool is_owed; /* bytes that come now are no request yet: should the library close without a
                   * word, we owe one */
    uint32_t user;
};

#endif
