/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines: one write to standard error each, so lines of two threads never mix. */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static _Atomic int level_max = LOG_INFO; /* named exception: see tools/check-style */

void log_set_level(enum log_level level)
{
    atomic_store(&level_max, (int)level);
}

const char *log_escape(const char *text, size_t length, char *buffer, size_t size)
{
    size_t used = 0;

    for (size_t i = 0; i < length && used + 5 <= size; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte >= 0x20 && byte < 0x7f && byte != '\\')
            buffer[used++] = (char)byte;
        else
            used += (size_t)snprintf(buffer + used, size - used, "\\x%02x", byte);
    }
    if (size > 0)
        buffer[used] = '\0';
    return buffer;
}

void log_line(enum log_level level, const char *area, const char *format, ...)
{
    char line[1200];
    va_list arguments;
    int head, length;

    if ((int)level > atomic_load(&level_max))
        return;
    head = snprintf(line, sizeof(line), "<%d>%s: ", (int)level, area);
    va_start(arguments, format);
    length = vsnprintf(line + head, sizeof(line) - (size_t)head - 1, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    length += head;
    if (length > (int)sizeof(line) - 2)
        length = (int)sizeof(line) - 2;
    for (int i = head; i < length; i++) {
        unsigned char byte = (unsigned char)line[i];
        if (byte < 0x20 || byte == 0x7f)
            line[i] = '?';
    }
    line[length++] = '\n';
    if (write(STDERR_FILENO, line, (size_t)length) < 0)
        return; /* nowhere left to say it */
}
