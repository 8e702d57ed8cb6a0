/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who asks: made by the door (HTTP, tests) once it is proven, carried by the call, and over the
 * link with a call that is passed on. The secret is not part of it.
 */
#ifndef ACCESS_CALLER_H
#define ACCESS_CALLER_H

#include <jansson.h>

#include "meta/records.h"

enum { CALLER_SOURCE_SIZE = 64, CALLER_NONCE_SIZE = 65 };

enum caller_kind {
    CALLER_LOCAL,    /* the unix socket: root of the site, without a key */
    CALLER_ROOT_KEY, /* a key of root */
    CALLER_USER,     /* a key of a user; policies decide */
};

struct caller {
    enum caller_kind kind;
    char user[RECORD_WORD_SIZE];     /* "root", or the user's name */
    char key_id[RECORD_WORD_SIZE];   /* "" for CALLER_LOCAL */
    char source[CALLER_SOURCE_SIZE]; /* the address without port; "": unix socket */
    bool is_secure;                  /* TLS or unix socket */
    int64_t now_s;                   /* when it was proven */
    char nonce[CALLER_NONCE_SIZE];   /* of the signed request; "": it was not signed */
    int64_t signed_s;                /* when, as it says */
};

/* The unix socket, the simulation, tests. */
struct caller caller_local(int64_t now_s);
/* The site's own root: everything is allowed. */
bool caller_is_root(const struct caller *caller);

/* For the link. A new object; NULL for want of memory. */
json_t *caller_tree(const struct caller *caller);
/* Strict: false when anything is missing, too long, of another type, or makes no sense. */
bool caller_parse(const json_t *tree, struct caller *ret_caller);

#endif
