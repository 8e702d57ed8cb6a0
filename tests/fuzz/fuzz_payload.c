/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compressed payloads. Input: a mode, the length that is wanted (2 bytes, in units of 16), bytes.
 * Mode 0: the bytes are what a peer calls compressed. Mode 1: the bytes are compressed by us, one
 * of the result is changed when the mode's high bits say so, and unpacked.
 *
 * Covers: wire/payload.c.
 */
#include <stdlib.h>

#include "fuzz.h"
#include "wire/payload.h"

enum { OUT_MAX = 1 << 20 };

static void round_trip(struct payload_codec *codec, const uint8_t *bytes, size_t length,
                       unsigned mode)
{
    size_t size = length > 1 ? length - 1 : 1;
    uint8_t *packed = malloc(size), *again = malloc(length + 1);
    struct payload_gauge gauge = {0};
    int64_t packed_length;

    check(packed && again);
    packed_length = payload_compress(codec, mode & 2 ? -1 : 3, bytes, length, packed, size);
    check(packed_length >= 0 && packed_length <= (int64_t)size);
    payload_gauge_note(&gauge, length, (uint64_t)packed_length);
    check(payload_gauge_permille(&gauge) <= 1000);
    if (packed_length > 0) {
        if (mode & 0xf0)
            packed[(mode >> 4) * (size_t)packed_length / 16] ^= (uint8_t)(1 << (mode >> 1 & 7));
        int error = payload_decompress(codec, packed, (size_t)packed_length, again,
                                       length - (mode >> 3 & 1));

        check((mode & 0xf8) || (error == 0 && memcmp(again, bytes, length) == 0));
    }
    free(packed);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct bytes_reader input = {.at = bytes, .left = length};
    unsigned mode = bytes_u8(&input);
    size_t out_length = (size_t)bytes_le16(&input) * 16;
    struct payload_codec *codec = payload_codec_new();
    uint8_t *out, *in;

    check(codec);
    if (input.failed)
        out_length = 0;
    in = fuzz_copy(input.at, input.left);
    if (mode & 1) {
        if (input.left > 0)
            round_trip(codec, in, input.left, mode);
    } else {
        out = malloc(out_length + 1);
        check(out && out_length <= OUT_MAX);
        (void)payload_decompress(codec, in, input.left, out, out_length);
        free(out);
    }
    free(in);
    payload_codec_free(codec);
    return 0;
}
