/* SPDX-License-Identifier: Apache-2.0 */
/* Payloads of a stream's frames, bytes <-> structs; docs/stream.md. Pure. What a decoder returns is
 * inside the bounds named here; what depends on the stream (roles) is the stream's to check. */
#ifndef WIRE_STREAM_MESSAGE_H
#define WIRE_STREAM_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum stream_message_type {
    STREAM_HELLO = 1,
    STREAM_DATA,      /* blocks of the partial epoch; counted */
    STREAM_HOLE,      /* blocks that are zeros */
    STREAM_CUT,       /* ends the partial epoch: commit it */
    STREAM_ACK,       /* it is durable */
    STREAM_ABORT,     /* drop the partial epoch */
    STREAM_CURRENT,   /* heartbeat: nothing newer than this time is missing */
    STREAM_BLOCKED,   /* the journal is full; the partial epoch was dropped */
    STREAM_RESUME,    /* there is room again */
    STREAM_HASHES,    /* fingerprints of suspect blocks */
    STREAM_VERDICT,   /* which of them differ */
    STREAM_REPROTECT, /* begin the exchange */
    STREAM_DIRTY,     /* runs of blocks that changed here; counted */
    STREAM_DIRTY_END,
    STREAM_COMMIT,  /* I am the source now, durably; your blocks are remembered here */
    STREAM_DONE,    /* I am your target now, durably */
    STREAM_REFUSED, /* the exchange cannot go on, and why */
    STREAM_TROUBLE, /* the target cannot take data, and why */
    STREAM_WHO,     /* which life of the target is this? From link protocol 2 on */
    STREAM_LIFE,    /* the answer: wire/peer_life.h */
    STREAM_MESSAGE_COUNT
};

enum {
    STREAM_MESSAGE_VERSION = 1,
    STREAM_MESSAGE_DISKS_MAX = 128,
    STREAM_MESSAGE_LINE_MAX = 64,
    STREAM_MESSAGE_BLOCKS_MAX = 256, /* in DATA, HASHES, VERDICT */
    STREAM_MESSAGE_RUNS_MAX = 1024,
    STREAM_MESSAGE_TEXT_MAX = 199,
    STREAM_DATA_HEAD_SIZE = 24,
    STREAM_HASH_SIZE = 16,
    STREAM_SMALL_SIZE_MAX = 320, /* room for any message of fixed size, REFUSED and TROUBLE */
    STREAM_HELLO_SIZE_MAX = 32 + STREAM_MESSAGE_LINE_MAX * 32 + STREAM_MESSAGE_DISKS_MAX * 16,
    STREAM_COMMIT_SIZE_MAX = 24 + STREAM_MESSAGE_LINE_MAX * 32,
    STREAM_HASHES_SIZE_MAX = 32 + STREAM_MESSAGE_BLOCKS_MAX * STREAM_HASH_SIZE,
    STREAM_DIRTY_SIZE_MAX = 16 + STREAM_MESSAGE_RUNS_MAX * 16,
};

/* Block numbers, counts and terms on the wire stay below, so sums never overflow. */
#define STREAM_MESSAGE_BLOCK_LIMIT (UINT64_C(1) << 48)
#define STREAM_MESSAGE_TERM_LIMIT (UINT64_C(1) << 62)
#define STREAM_MESSAGE_DISK_BYTES_MAX (UINT64_C(1) << 47) /* as control's: a target grows by it */
struct stream_generation {
    uint64_t term, site, incarnation;
};

struct stream_line {
    uint16_t count; /* oldest first */
    struct {
        struct stream_generation id;
        uint64_t parent_epoch;
    } entries[STREAM_MESSAGE_LINE_MAX];
};

struct stream_hello {
    uint8_t role; /* 0..3, as enum stream_role */
    bool is_started;
    bool is_reprotect_open, is_reprotect_reverse;
    bool wants_reply; /* the sender has not heard our hello on this connection */
    bool has_point;
    uint64_t epoch;         /* newest committed (target) or used */
    uint64_t point_wall_ns; /* cut time of that epoch (target); 0: none */
    struct stream_line line;
    uint16_t disk_count;
    struct {
        uint64_t size_bytes;
        bool is_initial;
    } disks[STREAM_MESSAGE_DISKS_MAX];
};

enum stream_codec { STREAM_CODEC_RAW = 0, STREAM_CODEC_ZSTD = 1 };

struct stream_data {
    uint16_t disk;
    uint8_t codec;
    uint32_t count;
    uint64_t block;
    const uint8_t *crcs;  /* `count` little-endian CRC32C */
    const uint8_t *bytes; /* as the codec says */
    uint32_t length;
};

struct stream_hole {
    uint16_t disk;
    uint64_t block, count;
};

struct stream_cut {
    uint64_t epoch;
    struct stream_generation generation;
    uint64_t cut_wall_ns;
    uint64_t block_count; /* sent in this epoch, holes and repeats included */
    uint64_t digest;      /* stream_digest() over all DATA and HOLE of it, in order */
};

struct stream_ack {
    struct stream_generation generation;
    uint64_t epoch;
};

struct stream_hashes {
    uint64_t token; /* comes back in the verdict */
    uint16_t disk;
    uint32_t count;
    uint64_t block;
    const uint8_t *bytes; /* HASHES: STREAM_HASH_SIZE each; VERDICT: a bit each, 1 = differs */
};

struct stream_reprotect {
    uint64_t nonce;  /* of this exchange; in all its messages */
    bool is_reverse; /* true: you lose, send me your dirty blocks; false: you win, mine follow */
};

struct stream_dirty {
    uint64_t nonce;
    uint16_t disk;
    bool is_suspect;
    uint16_t run_count;
    const uint8_t *runs; /* (block, count) */
};

struct stream_dirty_end {
    uint64_t nonce;
    uint64_t run_count; /* sent in all */
    uint64_t epoch;     /* newest of the loser */
};

struct stream_commit {
    uint64_t nonce;
    uint64_t epoch; /* the target's newest from now on */
    struct stream_line line;
};

struct stream_refused {
    uint64_t nonce;
    uint32_t code; /* positive errno */
    char text[STREAM_MESSAGE_TEXT_MAX + 1];
};

/* Encoders return the length written; the room is as the names of the sizes say. */
uint32_t stream_hello_encode(const struct stream_hello *hello, uint8_t *ret_bytes);
/* Only the head and the checksums' place is the caller's: STREAM_DATA_HEAD_SIZE + 4 * count. */
uint32_t stream_data_encode(const struct stream_data *data, const uint32_t *crcs,
                            uint8_t *ret_head);
uint32_t stream_hole_encode(const struct stream_hole *hole, uint8_t *ret_bytes);
uint32_t stream_cut_encode(const struct stream_cut *cut, uint8_t *ret_bytes);
uint32_t stream_ack_encode(const struct stream_ack *ack, uint8_t *ret_bytes);
/* CURRENT (a time), BLOCKED (bytes), DONE (a nonce), WHO (a token): one number. */
uint32_t stream_number_encode(uint64_t value, uint8_t *ret_bytes);
/* `is_verdict`: `bytes` is the bitmap. */
uint32_t stream_hashes_encode(const struct stream_hashes *hashes, bool is_verdict,
                              uint8_t *ret_bytes);
uint32_t stream_reprotect_encode(const struct stream_reprotect *reprotect, uint8_t *ret_bytes);
/* The head alone (16 bytes); the runs follow, 16 bytes each, little-endian. */
uint32_t stream_dirty_encode(const struct stream_dirty *dirty, uint8_t *ret_bytes);
uint32_t stream_dirty_end_encode(const struct stream_dirty_end *end, uint8_t *ret_bytes);
uint32_t stream_commit_encode(const struct stream_commit *commit, uint8_t *ret_bytes);
uint32_t stream_refused_encode(const struct stream_refused *refused, uint8_t *ret_bytes);

/* Each: false when malformed: too short, too long, or a value out of its bounds. Pointers returned
 * lie inside `bytes`. */
bool stream_hello_decode(const uint8_t *bytes, size_t length, struct stream_hello *ret_hello);
bool stream_data_decode(const uint8_t *bytes, size_t length, struct stream_data *ret_data);
bool stream_hole_decode(const uint8_t *bytes, size_t length, struct stream_hole *ret_hole);
bool stream_cut_decode(const uint8_t *bytes, size_t length, struct stream_cut *ret_cut);
bool stream_ack_decode(const uint8_t *bytes, size_t length, struct stream_ack *ret_ack);
bool stream_number_decode(const uint8_t *bytes, size_t length, uint64_t *ret_value);
bool stream_hashes_decode(const uint8_t *bytes, size_t length, bool is_verdict,
                          struct stream_hashes *ret_hashes);
bool stream_reprotect_decode(const uint8_t *bytes, size_t length,
                             struct stream_reprotect *ret_reprotect);
bool stream_dirty_decode(const uint8_t *bytes, size_t length, struct stream_dirty *ret_dirty);
/* Run `index` of a decoded message. */
void stream_dirty_run(const struct stream_dirty *dirty, unsigned index, uint64_t *ret_block,
                      uint64_t *ret_count);
bool stream_dirty_end_decode(const uint8_t *bytes, size_t length, struct stream_dirty_end *ret_end);
bool stream_commit_decode(const uint8_t *bytes, size_t length, struct stream_commit *ret_commit);
bool stream_refused_decode(const uint8_t *bytes, size_t length, struct stream_refused *ret_refused);

/* One step of the digest of an epoch, from 0: a run and its checksums (little-endian bytes as in
 * DATA; NULL for a hole). */
uint64_t stream_digest(uint64_t digest, uint16_t disk, uint64_t block, uint64_t count,
                       const uint8_t *crcs);

#endif
