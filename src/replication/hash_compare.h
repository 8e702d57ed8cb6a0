/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fingerprints of blocks (XXH3, 128 bits): after an unclean stop the source sends those of its
 * suspect blocks, the target says which differ from what it shows, and only those travel. Not a
 * defence against a peer that lies; a peer may change all its own blocks anyway.
 */
#ifndef REPLICATION_HASH_COMPARE_H
#define REPLICATION_HASH_COMPARE_H

#include "volume/volume.h"
#include "wire/stream_message.h"

/* STREAM_HASH_SIZE bytes for each of `count` blocks. */
void hash_blocks(const uint8_t *bytes, uint32_t count, uint8_t *ret_hashes);
void hash_zero_blocks(uint32_t count, uint8_t *ret_hashes);

/* Reads the blocks as hosts would see them and compares. `message` must lie inside the volume; its
 * bytes are copied. done_cb, once, never from inside: 0 and a bitmap of (count + 7) / 8 bytes, 1 =
 * differs, valid during the call; or a negative errno. -ENOMEM at once: nothing was begun. */
struct hash_answer {
    uint64_t token;
    uint16_t disk;
    uint64_t block;
    uint32_t count;
    int error;
    uint8_t differs[STREAM_MESSAGE_BLOCKS_MAX / 8];
    void (*done_cb)(void *arg, struct hash_answer *answer);
    void *arg;
    uint8_t *hashes;
    uint8_t *bytes;
    struct iovec iov;
    struct volume_request request;
};

int hash_compare(struct volume *volume, const struct stream_hashes *message,
                 void (*done_cb)(void *arg, struct hash_answer *answer), void *arg);

#endif
