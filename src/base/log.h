/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines to standard error, one a line, with the severity prefix that systemd's journal reads.
 * Text that came from outside must go through log_escape(). One of the three units that may hold
 * file-level state (the threshold).
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stddef.h>

enum log_level { LOG_ERROR = 3, LOG_WARNING = 4, LOG_NOTICE = 5, LOG_INFO = 6, LOG_DEBUG = 7 };

/* Lines above `level` are dropped. The default is LOG_INFO. */
void log_set_level(enum log_level level);

/* Writes "area: text" as one line; control characters in the result are escaped. */
void log_line(enum log_level level, const char *area, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Copies at most `size` - 1 printable characters of `text`, others as \xNN; returns `buffer`. */
const char *log_escape(const char *text, size_t length, char *buffer, size_t size);

#define log_error(area, ...) log_line(LOG_ERROR, area, __VA_ARGS__)
#define log_warning(area, ...) log_line(LOG_WARNING, area, __VA_ARGS__)
#define log_notice(area, ...) log_line(LOG_NOTICE, area, __VA_ARGS__)
#define log_info(area, ...) log_line(LOG_INFO, area, __VA_ARGS__)
#define log_debug(area, ...) log_line(LOG_DEBUG, area, __VA_ARGS__)

#endif
