/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A budget for log lines that strangers can cause: so many in a span of time, the rest is counted.
 * Pure; time comes in as a value. One for each cause and owner.
 */
#ifndef BASE_LOG_LIMIT_H
#define BASE_LOG_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

struct log_limit {
    unsigned count_max; /* lines in a span */
    uint64_t span_ns;
    uint64_t start_ns; /* of the span */
    unsigned count;    /* asked for in it */
};

/* May a line be written now? When a span ends in which lines were dropped, `ret_dropped` says how
 * many once, else it is 0. */
bool log_limit_take(struct log_limit *limit, uint64_t now_ns, unsigned *ret_dropped);

#endif
