/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The durable truth of one stream at one site: DATA/streams/<id>/state. Two slots of 16 KiB with a
 * sequence number and a CRC32C; a save writes one, syncs, then writes its twin. Format:
 * docs/stream-state.md. Owner: the stream; the replica changes only `applying`, `applied` and
 * `is_drained`.
 */
#ifndef REPLICATION_STREAM_STATE_H
#define REPLICATION_STREAM_STATE_H

#include "io/file.h"
#include "replication/generation.h"

enum { STREAM_DISKS_MAX = 128 };

/* Whose durable state was put back from an old copy (R16). */
enum old_copy { OLD_COPY_NONE, OLD_COPY_PEER, OLD_COPY_OURS };

struct stream_state {
    char peer[64];
    enum stream_role role;
    struct generation_line line;
    bool is_started, is_one_shot;
    bool has_started_ever;
    bool is_reprotect_open; /* a reprotect's exchange is not confirmed by the peer yet */
    bool is_reprotect_reverse;
    bool has_point;        /* target: the base (with the journal) shows some complete epoch */
    bool is_point_unsaved; /* in memory alone: has_point is not durable yet */
    bool is_clean;         /* a clean stop: dirty sets (file `dirty`) and seals were saved */
    uint64_t epoch;        /* newest number used by the source, or committed straight to the base */
    uint64_t point_wall_ns;        /* cut time of the newest epoch that is in the base alone */
    uint64_t applying, applied;    /* R12: apply has begun with / has ended */
    uint64_t point;                /* promoted: the epoch it was promoted at (R13) */
    bool is_drained;               /* promoted: the journal is all in the base */
    struct generation peer_newest; /* newest generation and epoch ever seen of the peer */
    uint64_t peer_epoch;
    unsigned disk_count;
    struct {
        char disk[40];
        uint64_t size_bytes;
        bool is_initial; /* its first complete copy is not done: data goes straight to the base */
        bool is_copy_unsaved; /* in memory alone: that it is done is not durable yet */
        bool is_seeded;       /* all blocks were suspect at the beginning */
    } disks[STREAM_DISKS_MAX];
};

#endif
