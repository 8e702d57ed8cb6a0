/* SPDX-License-Identifier: Apache-2.0 */
/* One mapping a secret; the kernel rounds its size up to pages. */
#include "base/secret.h"

#include <string.h>
#include <sys/mman.h>

#include "base/check.h"

void *secret_new(size_t size)
{
    void *secret = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    check(size > 0);
    if (secret == MAP_FAILED)
        return NULL;
    (void)madvise(secret, size, MADV_DONTDUMP);
    (void)mlock(secret, size);
    return secret;
}

void secret_free(void *secret, size_t size)
{
    if (secret == NULL)
        return;
    explicit_bzero(secret, size);
    check(munmap(secret, size) == 0);
}
