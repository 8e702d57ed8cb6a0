/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a caller signs: the string of V1 and the request of V3 (contract 3.4, 3.5), made again from
 * the request as it came, and the Authorization header of V3 taken apart. Pure: texts in, text out.
 *
 * Nothing raw is ever compared. Clients leave different characters unencoded and write a space in
 * two ways, so every name and value is decoded and encoded again, by RFC 3986.
 */
#ifndef ACCESS_CANONICAL_H
#define ACCESS_CANONICAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CANONICAL_PAIRS_MAX = 256, /* of query and body together */
    CANONICAL_NAMES_MAX = 64,  /* that a V3 caller lists */
    CANONICAL_KEY_SIZE = 128,  /* of an access key's id, with its NUL */
    CANONICAL_SIGNATURE_SIZE = 129,
};

/* Not terminated. */
struct canonical_span {
    const char *at;
    size_t length;
};

/* A header: the name in lower case. */
struct canonical_field {
    const char *name, *value;
};

/* The parts of a request that are signed. */
struct canonical_request {
    const char *method;          /* "GET", "POST" */
    struct canonical_span query; /* without '?' */
    struct canonical_span body;  /* V1: the form */
    const struct canonical_field *fields;
    unsigned field_count;
};

/* "ACS3-HMAC-SHA256 Credential=KEY,SignedHeaders=a;b,Signature=HEX": points into the header. */
struct canonical_authorization {
    struct canonical_span algorithm;
    char key_id[CANONICAL_KEY_SIZE];
    char signature[CANONICAL_SIGNATURE_SIZE];
    struct canonical_span listed; /* as it stands: "a;b" */
    struct canonical_span names[CANONICAL_NAMES_MAX];
    unsigned name_count;
};

struct canonical_pair;

/* Memory that one text after the other is made in; zeroed before first use. */
struct canonical {
    char *text; /* the answer of the last call, terminated */
    size_t length;
    size_t size;
    char *encoded; /* names and values */
    size_t encoded_size;
    struct canonical_pair *pairs;
    unsigned pair_count;
};

void canonical_fini(struct canonical *canonical);

/* The string to sign of V1 into canonical->text: query and form merged, Signature left out. 0, or:
 * -EBADMSG a broken %XX; -EEXIST a name twice with two values, which an order that nobody signed
 * would decide; -E2BIG too many; -ENOMEM. A pair that stands there twice, alike, counts once. */
int canonical_v1(struct canonical *canonical, const struct canonical_request *request);

/* The canonical request of V3 into canonical->text, from the headers that `authorization` lists and
 * the hash of the body as it came. Errors as above, and -ENOENT: a listed header is not there. */
int canonical_v3(struct canonical *canonical, const struct canonical_request *request,
                 const struct canonical_authorization *authorization, const char *body_hash);

/* 0, or -EBADMSG: the names must be in lower case, ascending, each once. The algorithm may be any
 * word. */
int canonical_parse_authorization(const char *header, struct canonical_authorization *ret);
bool canonical_is_listed(const struct canonical_authorization *authorization, const char *name);

#endif
