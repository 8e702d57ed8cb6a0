/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for keys: pages of its own that no core dump holds, wiped before they go back. It may be
 * swapped out: a page is locked only if the limit of locked memory allows it.
 */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include <stddef.h>

void *secret_new(size_t size);               /* zeroed; NULL: no memory */
void secret_free(void *secret, size_t size); /* NULL is fine */

#endif
