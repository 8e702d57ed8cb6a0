/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a process that met what cannot happen. Uses no other part of base/. */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void check_failed(const char *file, int line, const char *text)
{
    char message[512];
    int length =
        snprintf(message, sizeof(message), "<2>%s:%d: check failed: %s\n", file, line, text);

    if (length > (int)sizeof(message) - 1)
        length = sizeof(message) - 1;
    if (length > 0 && write(STDERR_FILENO, message, (size_t)length) < 0)
        abort();
    abort();
}
