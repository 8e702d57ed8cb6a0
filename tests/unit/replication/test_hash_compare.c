/* SPDX-License-Identifier: Apache-2.0 */
/* The fingerprint of zeros is a constant: it must be what the hash gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <xxhash.h>

#include <cmocka.h>

#include "replication/hash_compare.h"

static void test_zeros(void **state)
{
    static uint8_t bytes[3 * BLOCK_SIZE];
    uint8_t hashes[3 * STREAM_HASH_SIZE], zeros[3 * STREAM_HASH_SIZE];
    XXH128_canonical_t truth[3];

    (void)state;
    bytes[2 * BLOCK_SIZE - 1] = 1;
    for (unsigned i = 0; i < 3; i++)
        XXH128_canonicalFromHash(&truth[i], XXH3_128bits(bytes + i * BLOCK_SIZE, BLOCK_SIZE));
    hash_blocks(bytes, 3, hashes);
    assert_memory_equal(hashes, truth, sizeof(hashes));
    hash_zero_blocks(3, zeros);
    for (unsigned i = 0; i < 3; i++)
        assert_memory_equal(zeros + i * STREAM_HASH_SIZE, &truth[0], STREAM_HASH_SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_zeros)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
