/* SPDX-License-Identifier: Apache-2.0 */
/* Errors: a code, and a text that grows prefixes on its way up. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

void err_fill(struct err *err, int code, const char *format, ...)
{
    va_list arguments;

    check(code < 0);
    if (err == NULL)
        return;
    err->code = code;
    va_start(arguments, format);
    vsnprintf(err->text, sizeof(err->text), format, arguments);
    va_end(arguments);
}

int err_wrap(struct err *err, const char *format, ...)
{
    char old[sizeof(err->text)];
    va_list arguments;
    int length;

    check(err != NULL && err->code < 0);
    memcpy(old, err->text, sizeof(old));
    va_start(arguments, format);
    length = vsnprintf(err->text, sizeof(err->text), format, arguments);
    va_end(arguments);
    if (length >= 0 && (size_t)length < sizeof(err->text))
        snprintf(err->text + length, sizeof(err->text) - (size_t)length, ": %s", old);
    return err->code;
}

const char *err_name(int code)
{
    const char *name = strerrordesc_np(code < 0 ? -code : code);
    return name ? name : "unknown error";
}
