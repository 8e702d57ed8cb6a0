/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many connections each address has. An IPv6 address counts by its first 64 bits: a host has
 * as many of the others as it likes. Pure.
 */
#ifndef HTTP_HTTP_ORIGIN_H
#define HTTP_HTTP_ORIGIN_H

#include <stdint.h>
#include <sys/socket.h>

#include "base/list.h"

enum { HTTP_ORIGIN_BUCKETS = 256 };

struct http_origin {
    struct list node;
    uint8_t key[16];
    unsigned count;
};

struct http_origins {
    struct list buckets[HTTP_ORIGIN_BUCKETS];
    uint64_t seed; /* so that nobody can choose addresses of one bucket */
};

void http_origins_init(struct http_origins *origins, uint64_t seed);

/* NULL: no connection of that address, or it has none that counts (unix). */
struct http_origin *http_origins_find(struct http_origins *origins, const struct sockaddr *address);
/* One connection more. NULL: an address that does not count, or no memory. */
struct http_origin *http_origins_join(struct http_origins *origins, const struct sockaddr *address);
/* One less; the last one frees it. */
void http_origin_leave(struct http_origin *origin);

#endif
