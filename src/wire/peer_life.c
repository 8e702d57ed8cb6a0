/* SPDX-License-Identifier: Apache-2.0 */
/* As with the other messages of a stream, the length is exactly what the content says. */
#include "wire/peer_life.h"

#include "base/bytes.h"
#include "base/check.h"

uint32_t peer_life_encode(const struct peer_life *life, uint8_t *ret_bytes)
{
    check(life->life != 0);
    put_le64(ret_bytes, life->token);
    put_le64(ret_bytes + 8, life->life);
    put_le64(ret_bytes + 16, life->came);
    put_le64(ret_bytes + 24, life->met);
    return PEER_LIFE_SIZE;
}

bool peer_life_decode(const uint8_t *bytes, size_t length, struct peer_life *ret_life)
{
    if (length != PEER_LIFE_SIZE)
        return false;
    ret_life->token = get_le64(bytes);
    ret_life->life = get_le64(bytes + 8);
    ret_life->came = get_le64(bytes + 16);
    ret_life->met = get_le64(bytes + 24);
    return ret_life->life != 0;
}
