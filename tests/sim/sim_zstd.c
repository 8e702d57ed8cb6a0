/* SPDX-License-Identifier: Apache-2.0 */
/* zstd's contexts, allocated as the site's own memory: the library's malloc() is not seen. */
#define ZSTD_STATIC_LINKING_ONLY
#include <stdlib.h>
#include <zstd.h>

ZSTD_CCtx *__wrap_ZSTD_createCCtx(void);
ZSTD_DCtx *__wrap_ZSTD_createDCtx(void);

static void *take(void *opaque, size_t size)
{
    return malloc(size);
}

static void give(void *opaque, void *at)
{
    free(at);
}

ZSTD_CCtx *__wrap_ZSTD_createCCtx(void)
{
    return ZSTD_createCCtx_advanced((ZSTD_customMem){take, give, NULL});
}

ZSTD_DCtx *__wrap_ZSTD_createDCtx(void)
{
    return ZSTD_createDCtx_advanced((ZSTD_customMem){take, give, NULL});
}
