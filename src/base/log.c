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

/* How many bytes at `at` a terminal shows as one character; 0: it would obey it, or it is not
 * UTF-8. U+0080 to U+009F are controls as well. */
static size_t visible_length(const unsigned char *at, size_t left)
{
    size_t length = at[0] < 0x80 ? 1 : at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;

    if (length == 1)
        return at[0] >= 0x20 && at[0] != 0x7f;
    if (at[0] < 0xc2 || at[0] > 0xf4 || length > left || (at[0] == 0xc2 && at[1] < 0xa0))
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

static void hide_controls(char *text, size_t length)
{
    for (size_t i = 0; i < length;) {
        size_t step = visible_length((const unsigned char *)text + i, length - i);

        if (step == 0)
            text[i] = '?';
        i += step ? step : 1;
    }
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
    hide_controls(line + head, (size_t)(length - head));
    line[length++] = '\n';
    if (write(STDERR_FILENO, line, (size_t)length) < 0)
        return; /* nowhere left to say it */
}
