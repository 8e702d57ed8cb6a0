/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compression that is bounded on the way in (the receiver knows the size from a checked frame, and
 * never allocates by what the compressed bytes claim) and gives up early on what does not shrink.
 */
#include "wire/payload.h"

#include <errno.h>
#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/check.h"

enum { CODEC_MAGIC = 0x7a636f64, GAUGE_MEMORY_BYTES = 8 << 20 };

struct payload_codec {
    uint32_t magic;
    ZSTD_CCtx *compressor;
    ZSTD_DCtx *decompressor;
};

struct payload_codec *payload_codec_new(void)
{
    struct payload_codec *codec = calloc(1, sizeof(*codec));

    if (codec == NULL)
        return NULL;
    codec->magic = CODEC_MAGIC;
    codec->compressor = ZSTD_createCCtx();
    codec->decompressor = ZSTD_createDCtx();
    if (codec->compressor == NULL || codec->decompressor == NULL) {
        payload_codec_free(codec);
        return NULL;
    }
    return codec;
}

void payload_codec_free(struct payload_codec *codec)
{
    if (codec == NULL)
        return;
    check_magic(codec, CODEC_MAGIC);
    ZSTD_freeCCtx(codec->compressor);
    ZSTD_freeDCtx(codec->decompressor);
    codec->magic = 0;
    free(codec);
}

int64_t payload_compress(struct payload_codec *codec, int level, const void *in, size_t in_length,
                         void *out, size_t out_size)
{
    size_t result;

    check_magic(codec, CODEC_MAGIC);
    check(level >= ZSTD_minCLevel() && level <= ZSTD_maxCLevel());
    result = ZSTD_compressCCtx(codec->compressor, out, out_size, in, in_length, level);
    if (!ZSTD_isError(result)) {
        check(result <= out_size);
        return result < out_size ? (int64_t)result : 0;
    }
    return ZSTD_getErrorCode(result) == ZSTD_error_dstSize_tooSmall ? 0 : -ENOMEM;
}

int payload_decompress(struct payload_codec *codec, const void *in, size_t in_length, void *out,
                       size_t out_length)
{
    size_t result;

    check_magic(codec, CODEC_MAGIC);
    result = ZSTD_decompressDCtx(codec->decompressor, out, out_length, in, in_length);
    if (ZSTD_isError(result))
        return ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation ? -ENOMEM : -EBADMSG;
    check(result <= out_length);
    return result == out_length ? 0 : -EBADMSG;
}

bool payload_gauge_step(struct payload_gauge *gauge)
{
    check(gauge->skip_count <= PAYLOAD_SKIP_MAX);
    if (gauge->skip_count == 0)
        return true;
    gauge->skip_count--;
    return false;
}

bool payload_gauge_note(struct payload_gauge *gauge, uint64_t in_bytes, uint64_t out_bytes)
{
    bool paid = out_bytes > 0 && out_bytes <= in_bytes - in_bytes / 8;

    gauge->in_bytes += in_bytes;
    gauge->out_bytes += out_bytes > 0 && out_bytes < in_bytes ? out_bytes : in_bytes;
    if (gauge->in_bytes > GAUGE_MEMORY_BYTES) {
        gauge->in_bytes /= 2;
        gauge->out_bytes /= 2;
    }
    check(gauge->out_bytes <= gauge->in_bytes);
    if (paid) {
        gauge->skip_length = 0;
        return true;
    }
    gauge->skip_length = gauge->skip_length == 0 ? 1 : gauge->skip_length * 2;
    if (gauge->skip_length > PAYLOAD_SKIP_MAX)
        gauge->skip_length = PAYLOAD_SKIP_MAX;
    gauge->skip_count = gauge->skip_length;
    return false;
}

unsigned payload_gauge_permille(const struct payload_gauge *gauge)
{
    return gauge->in_bytes == 0 ? 1000 : (unsigned)(gauge->out_bytes * 1000 / gauge->in_bytes);
}
