/* SPDX-License-Identifier: Apache-2.0 */
/* Why: what clients compare as text must be written one way. */
#include "control/utc.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static int number_at(const char *text, unsigned at, unsigned digits)
{
    int value = 0;

    for (unsigned i = at; i < at + digits; i++)
        value = value * 10 + (text[i] - '0');
    return value;
}

bool utc_parse(const char *text, int64_t *ret_s)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:ddZ";
    struct tm asked = {0}, made;
    time_t at;

    if (strlen(text) != sizeof(shape) - 1)
        return false;
    for (unsigned i = 0; shape[i]; i++)
        if (shape[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != shape[i])
            return false;
    asked.tm_year = number_at(text, 0, 4) - 1900;
    asked.tm_mon = number_at(text, 5, 2) - 1;
    asked.tm_mday = number_at(text, 8, 2);
    asked.tm_hour = number_at(text, 11, 2);
    asked.tm_min = number_at(text, 14, 2);
    asked.tm_sec = number_at(text, 17, 2);
    made = asked;
    at = timegm(&made); /* carries what is too large: then it is another moment than was written */
    if (at < 0 || made.tm_mon != asked.tm_mon || made.tm_mday != asked.tm_mday ||
        made.tm_hour != asked.tm_hour || made.tm_min != asked.tm_min || made.tm_sec != asked.tm_sec)
        return false;
    *ret_s = at;
    return true;
}

void utc_format(int64_t seconds, char ret_text[UTC_SIZE])
{
    time_t at = (time_t)seconds;
    struct tm utc;

    ret_text[0] = '\0';
    if (gmtime_r(&at, &utc))
        strftime(ret_text, UTC_SIZE, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

void utc_format_ms(int64_t ms, char ret_text[UTC_SIZE])
{
    char seconds[UTC_SIZE];

    utc_format(ms / 1000, seconds);
    snprintf(ret_text, UTC_SIZE, "%.19s.%03dZ", seconds, (int)(ms % 1000));
}
