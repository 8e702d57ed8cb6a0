/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole engine against a peer that has the key, knows the protocol and lies; hosts and an
 * operator at the attacked site.
 *
 * Input: settings (1: a target, else a source; 2: started), then actions: messages with numbers
 * that make sense but for one twist, or any bytes. What the peer was told (generations, epochs,
 * nonces) is put in by the harness. Checked beside crashes: a site that was never a target holds
 * what its hosts wrote; every order is answered once; it stops in bounded time and leaves nothing.
 *
 * Covers: replication/target.c replication/meeting.c replication/reprotect.c replication/stream.c
 * replication/engine_site.c replication/engine_streams.c replication/source_shell.c
 * replication/source_core.c replication/source_read.c replication/source_send.c
 * replication/hash_compare.c replication/generation.c replication/failover.c
 * replication/replica_receive.c replication/replica_door.c wire/stream_message.c.
 */
#include "fuzz_liar.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct fuzz_liar liar;
    struct bytes_reader input = {.at = bytes, .left = length};
    uint8_t settings = bytes_u8(&input);

    fuzz_quiet();
    fuzz_liar_open(&liar, settings);
    fuzz_liar_play(&liar, &input);
    fuzz_engine_check(&liar.attacked);
    if (settings & 8)
        fuzz_link_close(&liar.wire);
    fuzz_engine_stop(&liar.attacked);
    fuzz_link_close(&liar.wire);
    fuzz_engine_close(&liar.attacked);
    return 0;
}
