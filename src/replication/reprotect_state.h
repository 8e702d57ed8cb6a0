/* SPDX-License-Identifier: Apache-2.0 */
/* Where a reprotect stands at a site; reprotect.c and reprotect_rest.c alone change it. */
#ifndef REPLICATION_REPROTECT_STATE_H
#define REPLICATION_REPROTECT_STATE_H

#include "io/loop.h"
#include "replication/generation.h"

typedef void (*stream_done_fn)(void *arg, int error, const char *why);

enum reprotect_step {
    REPROTECT_NONE,
    REPROTECT_ASKED,     /* we win: the loser's dirty blocks are to come */
    REPROTECT_MARKING,   /* we win: they are being made durable */
    REPROTECT_COMMITTED, /* we win: source, durably; DONE is to come */
    REPROTECT_CLOSING,   /* we lose: exports close, journal drains */
    REPROTECT_TELLING,   /* we lose: our dirty blocks go out */
    REPROTECT_TOLD,      /* we lose: COMMIT is to come */
    REPROTECT_BECOMING   /* we lose: becoming the target */
};

struct reprotect {
    enum reprotect_step step;
    uint64_t nonce;
    bool is_unsaved, is_marked_again; /* we win: SOURCE, not durable yet; bits to be saved anew */
    bool is_become_owed;              /* we lose: bits of when we were to win are being saved */
    stream_done_fn done_cb;           /* of the operator who asked here, or NULL */
    void *done_arg;
    struct loop_timer timer;
    bool is_resting;         /* the peer, or we, could not take the last COMMIT */
    struct loop_timer again; /* is_resting ends */
    uint64_t synced_nonce;   /* we lose: the exchange that asked for the newest sync */
    bool is_sync_old;   /* we lose: one of an exchange before is under way, ours is behind it */
    uint64_t run_count; /* told or heard */
    unsigned tell_disk;
    bool tell_suspects;
    uint64_t tell_block;
    uint64_t peer_epoch;
    struct generation_line line; /* of the COMMIT */
    uint64_t commit_epoch;
};

#endif
