/* SPDX-License-Identifier: Apache-2.0 */
/* LIFE, a message of a stream (docs/stream.md): which life of a target this is. Pure. */
#ifndef WIRE_PEER_LIFE_H
#define WIRE_PEER_LIFE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PEER_LIFE_SIZE = 32 };

struct peer_life {
    uint64_t token; /* of the question */
    uint64_t life;  /* a number made at the target's start; never 0 */
    uint64_t came;  /* blocks of DATA and HOLE since */
    uint64_t met;   /* token of the question before, in this life; 0: none */
};

/* Returns the length; `ret_bytes` has room for PEER_LIFE_SIZE. */
uint32_t peer_life_encode(const struct peer_life *life, uint8_t *ret_bytes);
/* False: malformed. */
bool peer_life_decode(const uint8_t *bytes, size_t length, struct peer_life *ret_life);

#endif
