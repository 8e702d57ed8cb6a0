/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests a second of each access key: a bucket that holds one second's worth. Bounded memory; no
 * I/O, time comes in. A key that was forgotten (4 of those that share its place called later) finds
 * its bucket full.
 */
#ifndef ACCESS_THROTTLE_H
#define ACCESS_THROTTLE_H

#include <stdint.h>

enum { THROTTLE_KEYS_MAX = 1024, THROTTLE_KEY_SIZE = 64 };

struct throttle;

struct throttle *throttle_new(unsigned rate); /* 0: no limit; NULL: no memory */
void throttle_free(struct throttle *throttle);

/* 0: granted; else how long until the next one will be. */
uint64_t throttle_ask_ns(struct throttle *throttle, const char *key_id, uint64_t now_ns);

#endif
