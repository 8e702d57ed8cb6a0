/* SPDX-License-Identifier: Apache-2.0 */
/* Spans follow each other; one begins with the first line after the last one's end. */
#include "base/log_limit.h"

#include "base/check.h"

bool log_limit_take(struct log_limit *limit, uint64_t now_ns, unsigned *ret_dropped)
{
    check(limit->count_max > 0 && limit->span_ns > 0);
    *ret_dropped = 0;
    if (limit->count == 0 || now_ns - limit->start_ns >= limit->span_ns) {
        if (limit->count > limit->count_max)
            *ret_dropped = limit->count - limit->count_max;
        limit->start_ns = now_ns;
        limit->count = 0;
    }
    limit->count++;
    return limit->count <= limit->count_max;
}
