/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the log says while the metadata cannot be changed: the first failure at once, then at most a
 * line each ten seconds with how many there were since, and when it is over. Each refused call is
 * in the record of events besides (audit.h), with its text.
 */
#ifndef CONTROL_COMPLAINT_H
#define CONTROL_COMPLAINT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log_limit.h"

struct complaint {
    bool is_failing;             /* since a failure; no change was stored and told since */
    struct err newest;           /* failure */
    uint64_t failed_ns, told_ns; /* newest failure; newest line of complaint_failed() */
    unsigned more;               /* failures since the newest line */
    struct log_limit texts;      /* lines that begin, or have another text */
    struct log_limit calls;      /* lines of complaint_call() */
};

void complaint_init(struct complaint *complaint);

/* A change could not be made, and `err` says why: a line, or it is counted. Another text than the
 * last one has its own line, up to ten in ten seconds. */
void complaint_failed(struct complaint *complaint, uint64_t now_ns, const struct err *err);
/* A commit that changed records is durable. Ten seconds behind the last failure that means that it
 * is over; not before: a small change may find room where others do not. */
void complaint_stored(struct complaint *complaint, uint64_t now_ns);
/* The call of `operation` is refused with InternalError: a line, but for what complaint_failed()
 * was just told. At most twenty in ten seconds; those left out are counted. */
void complaint_call(struct complaint *complaint, uint64_t now_ns, const char *operation,
                    const char *why);

#endif
