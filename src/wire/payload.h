/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compression of payloads (zstd), and a gauge that says when trying is worth the time. Contexts are
 * the caller's and are used again and again; one thread at a time.
 */
#ifndef WIRE_PAYLOAD_H
#define WIRE_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct payload_codec;

struct payload_codec *payload_codec_new(void); /* NULL: no memory */
void payload_codec_free(struct payload_codec *codec);

/* Compresses at zstd's `level` (negative ones are fast). Returns the length in `out`, 0 when it
 * would not be shorter than `out_size` (nothing useful is in `out` then), or -ENOMEM. */
int64_t payload_compress(struct payload_codec *codec, int level, const void *in, size_t in_length,
                         void *out, size_t out_size);
/* Fills exactly `out_length` bytes, never more, whatever comes in. -EBADMSG: not that; -ENOMEM. */
int payload_decompress(struct payload_codec *codec, const void *in, size_t in_length, void *out,
                       size_t out_length);

/* Does it pay? Zero-initialised. After payloads that did not shrink, more and more of the next ones
 * (up to 64) are sent raw before another try. */
struct payload_gauge {
    uint32_t skip_count;          /* still to skip */
    uint32_t skip_length;         /* of the last rest, doubled with each failure */
    uint64_t in_bytes, out_bytes; /* of recent tries: halved when they grow */
};

enum { PAYLOAD_SKIP_MAX = 64 };

/* Asked once before each payload: try to compress it? */
bool payload_gauge_step(struct payload_gauge *gauge);
/* Tells how a try ended; out_bytes 0 or >= in_bytes: it did not shrink. True: it paid, send it
 * compressed (it saved an eighth at least). */
bool payload_gauge_note(struct payload_gauge *gauge, uint64_t in_bytes, uint64_t out_bytes);
/* Recent size after compression, in thousandths of the size before; 1000 when nothing is known. */
unsigned payload_gauge_permille(const struct payload_gauge *gauge);

#endif
