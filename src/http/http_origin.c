/* SPDX-License-Identifier: Apache-2.0 */
/* Why: a limit of connections for each address. As many entries as there are connections. */
#include "http/http_origin.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool make_key(const struct sockaddr *address, uint8_t *key)
{
    memset(key, 0, 16);
    if (address == NULL)
        return false;
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *four = (const void *)address;

        key[10] = key[11] = 0xff;
        memcpy(key + 12, &four->sin_addr, 4);
        return true;
    }
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const void *)address;

        memcpy(key, &six->sin6_addr, 8);
        return true;
    }
    return false;
}

static struct list *bucket_of(struct http_origins *origins, const uint8_t *key)
{
    uint64_t words[2], mixed;

    memcpy(words, key, sizeof(words));
    mixed = (words[0] ^ origins->seed) * UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ (mixed >> 32) ^ words[1]) * UINT64_C(0xd6e8feb86659fd93);
    return &origins->buckets[(mixed >> 40) % HTTP_ORIGIN_BUCKETS];
}

static struct http_origin *find(struct list *bucket, const uint8_t *key)
{
    struct list *node, *next_node;

    list_for_each(node, next_node, bucket)
    {
        struct http_origin *origin = list_entry(node, struct http_origin, node);

        if (memcmp(origin->key, key, sizeof(origin->key)) == 0)
            return origin;
    }
    return NULL;
}

void http_origins_init(struct http_origins *origins, uint64_t seed)
{
    origins->seed = seed;
    for (unsigned i = 0; i < HTTP_ORIGIN_BUCKETS; i++)
        list_init(&origins->buckets[i]);
}

struct http_origin *http_origins_find(struct http_origins *origins, const struct sockaddr *address)
{
    uint8_t key[16];

    return make_key(address, key) ? find(bucket_of(origins, key), key) : NULL;
}

struct http_origin *http_origins_join(struct http_origins *origins, const struct sockaddr *address)
{
    struct http_origin *origin;
    struct list *bucket;
    uint8_t key[16];

    if (!make_key(address, key))
        return NULL;
    bucket = bucket_of(origins, key);
    origin = find(bucket, key);
    if (origin == NULL) {
        origin = calloc(1, sizeof(*origin));
        if (origin == NULL)
            return NULL;
        memcpy(origin->key, key, sizeof(key));
        list_append(bucket, &origin->node);
    }
    origin->count++;
    return origin;
}

void http_origin_leave(struct http_origin *origin)
{
    check(origin->count > 0);
    if (--origin->count > 0)
        return;
    list_remove(&origin->node);
    free(origin);
}
