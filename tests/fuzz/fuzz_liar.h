/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A peer that has the key, knows the protocol and lies, and the engine that it lies to. Messages
 * make sense but for one twist; what the peer was told (generations, epochs, nonces) is put in.
 * The actions stand in fuzz_liar.c; make_corpus.py writes them.
 */
#ifndef FUZZ_LIAR_H
#define FUZZ_LIAR_H

#include "fuzz_engine.h"
#include "fuzz_link.h"
#include "wire/stream_message.h"

struct fuzz_liar {
    struct fuzz_engine attacked;
    struct fuzz_link wire;
    /* What it told us. */
    struct stream_hello theirs;
    struct stream_line said;         /* the line of our last HELLO */
    struct stream_cut cut;           /* their last one */
    uint64_t nonce, token, who, met; /* met: the question before */
    /* Our partial epoch, as an honest source counts it. */
    uint64_t epoch, digest, blocks, dirty_runs;
};

/* Settings: 1: the attacked site is a target, else a source; 2: it was told to start. */
void fuzz_liar_open(struct fuzz_liar *liar, uint8_t settings);
/* Then the liar's end of the link is the caller's to close, and the engine's. */
void fuzz_liar_play(struct fuzz_liar *liar, struct bytes_reader *input);

#endif
