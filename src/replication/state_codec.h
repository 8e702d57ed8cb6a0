/* SPDX-License-Identifier: Apache-2.0 */
/* struct stream_state <-> one slot of the file `state`; pure. Format: docs/stream-state.md. */
#ifndef REPLICATION_STATE_CODEC_H
#define REPLICATION_STATE_CODEC_H

#include "replication/stream_state.h"

enum { STATE_SLOT_BYTES = 16384, STATE_SLOT_COUNT = 2 };
#define STATE_SEQUENCE_MAX (UINT64_C(1) << 62) /* more saves than any stream sees */

/* Fills all STATE_SLOT_BYTES of `slot`. */
void state_encode(const struct stream_state *state, uint64_t sequence, uint8_t *slot);
/* Is the slot whole (magic, length, CRC32C)? Then its sequence. -EBADMSG: not whole;
 * -EPROTONOSUPPORT: whole, of a version that we do not know. */
int state_slot_check(const uint8_t *slot, uint64_t *ret_sequence);
/* Of a slot that is whole. -EBADMSG: a value is out of bounds. */
int state_decode(const uint8_t *slot, struct stream_state *ret_state);

#endif
