/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: one caller in a loop must not take the site from the others. For each key one number: when
 * its requests so far would all have been due, at the rate allowed. It may lie a second ahead.
 */
#include "access/throttle.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/crc32c.h"

enum { THROTTLE_MAGIC = 0x7468726f, WAYS = 4 };

#define SECOND_NS UINT64_C(1000000000)

struct bucket {
    char key_id[THROTTLE_KEY_SIZE];
    uint64_t due_ns;
};

struct throttle {
    uint32_t magic;
    unsigned rate;
    struct bucket buckets[THROTTLE_KEYS_MAX];
};

struct throttle *throttle_new(unsigned rate)
{
    struct throttle *throttle = calloc(1, sizeof(*throttle));

    if (!throttle)
        return NULL;
    throttle->magic = THROTTLE_MAGIC;
    throttle->rate = rate;
    return throttle;
}

void throttle_free(struct throttle *throttle)
{
    if (!throttle)
        return;
    check_magic(throttle, THROTTLE_MAGIC);
    throttle->magic = 0;
    free(throttle);
}

/* The key's own, or that of the key which is due first. */
static struct bucket *bucket_of(struct throttle *throttle, const char *key_id)
{
    uint32_t place = crc32c(0, key_id, strlen(key_id)) % (THROTTLE_KEYS_MAX / WAYS) * WAYS;
    struct bucket *found = &throttle->buckets[place];

    for (unsigned i = 0; i < WAYS; i++) {
        struct bucket *bucket = &throttle->buckets[place + i];

        if (strcmp(bucket->key_id, key_id) == 0)
            return bucket;
        if (bucket->due_ns < found->due_ns)
            found = bucket;
    }
    strcpy(found->key_id, key_id);
    found->due_ns = 0;
    return found;
}

uint64_t throttle_ask_ns(struct throttle *throttle, const char *key_id, uint64_t now_ns)
{
    struct bucket *bucket;
    uint64_t step_ns, latest_ns;

    check_magic(throttle, THROTTLE_MAGIC);
    check(strlen(key_id) < THROTTLE_KEY_SIZE);
    if (throttle->rate == 0)
        return 0;
    bucket = bucket_of(throttle, key_id);
    step_ns = SECOND_NS / throttle->rate;
    if (bucket->due_ns < now_ns)
        bucket->due_ns = now_ns;
    latest_ns = now_ns + SECOND_NS - step_ns;
    if (bucket->due_ns > latest_ns)
        return bucket->due_ns - latest_ns;
    bucket->due_ns += step_ns;
    return 0;
}
