/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The target's answer is about its newest committed point: a partial epoch never shows in what a
 * volume reads, and no epoch is committed while suspects are left (source_core.h, invariant 3). In
 * a first copy there is no point yet: it is about what has come so far (target.c, invariant 4).
 */
#include "replication/hash_compare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/check.h"
#include "base/crc32c.h"

_Static_assert(STREAM_HASH_SIZE == sizeof(XXH128_canonical_t), "128 bits");

/* Of a block of zeros: most of a disk is holes. */
static const uint8_t zero_hash[STREAM_HASH_SIZE] = {
    0x3e, 0xe8, 0xdc, 0x4f, 0x9e, 0x7e, 0xe4, 0x95, 0x93, 0xd7, 0x6f, 0xe1, 0x48, 0xc6, 0x89, 0xba,
};

void hash_blocks(const uint8_t *bytes, uint32_t count, uint8_t *ret_hashes)
{
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *block = bytes + (size_t)i * BLOCK_SIZE;
        uint8_t *hash = ret_hashes + (size_t)i * STREAM_HASH_SIZE;
        XXH128_canonical_t canonical;

        if (bytes_are_zero(block, BLOCK_SIZE)) {
            memcpy(hash, zero_hash, STREAM_HASH_SIZE);
            continue;
        }
        XXH128_canonicalFromHash(&canonical, XXH3_128bits(block, BLOCK_SIZE));
        memcpy(hash, &canonical, STREAM_HASH_SIZE);
    }
}

void hash_zero_blocks(uint32_t count, uint8_t *ret_hashes)
{
    check(count > 0);
    for (uint32_t i = 0; i < count; i++)
        memcpy(ret_hashes + (size_t)i * STREAM_HASH_SIZE, zero_hash, STREAM_HASH_SIZE);
}

static void answer_read_done(struct volume_request *request, int error)
{
    struct hash_answer *answer = container_of(request, struct hash_answer, request);
    uint8_t ours[STREAM_HASH_SIZE];

    answer->error = error;
    for (uint32_t i = 0; i < answer->count && error == 0; i++) {
        hash_blocks(answer->bytes + (size_t)i * BLOCK_SIZE, 1, ours);
        if (memcmp(ours, answer->hashes + (size_t)i * STREAM_HASH_SIZE, STREAM_HASH_SIZE) != 0)
            answer->differs[i / 8] |= (uint8_t)(1u << (i % 8));
    }
    answer->done_cb(answer->arg, answer);
    free(answer->bytes);
    free(answer->hashes);
    free(answer);
}

int hash_compare(struct volume *volume, const struct stream_hashes *message,
                 void (*done_cb)(void *arg, struct hash_answer *answer), void *arg)
{
    size_t length = (size_t)message->count * BLOCK_SIZE;
    struct hash_answer *answer = calloc(1, sizeof(*answer));

    check(message->count > 0 && message->count <= STREAM_MESSAGE_BLOCKS_MAX);
    check(message->block + message->count <= volume_block_count(volume));
    if (answer != NULL) {
        answer->hashes = malloc((size_t)message->count * STREAM_HASH_SIZE);
        answer->bytes = aligned_alloc(BLOCK_SIZE, length);
    }
    if (answer == NULL || answer->hashes == NULL || answer->bytes == NULL) {
        if (answer != NULL) {
            free(answer->bytes);
            free(answer->hashes);
        }
        free(answer);
        return -ENOMEM;
    }
    memcpy(answer->hashes, message->bytes, (size_t)message->count * STREAM_HASH_SIZE);
    answer->token = message->token;
    answer->disk = message->disk;
    answer->block = message->block;
    answer->count = message->count;
    answer->done_cb = done_cb;
    answer->arg = arg;
    answer->iov = (struct iovec){.iov_base = answer->bytes, .iov_len = length};
    answer->request = (struct volume_request){.op = VOLUME_READ,
                                              .offset = message->block << BLOCK_SHIFT,
                                              .length = length,
                                              .iov = &answer->iov,
                                              .iov_count = 1,
                                              .done_cb = answer_read_done};
    volume_submit(volume, &answer->request);
    return 0;
}
