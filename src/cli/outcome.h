/* SPDX-License-Identifier: Apache-2.0 */
/* Exit codes of verso, and how a failure is told: what failed, why, what to do, with the request
 * id. */
#ifndef CLI_OUTCOME_H
#define CLI_OUTCOME_H

#include "cli/client.h"

enum outcome {
    OUTCOME_DONE = 0,
    OUTCOME_FAILED = 1,
    OUTCOME_USAGE = 2,
    OUTCOME_NOT_FOUND = 3,
    OUTCOME_REFUSED = 4,     /* by state */
    OUTCOME_NOT_ALLOWED = 5, /* by right */
    OUTCOME_TIMED_OUT = 6,   /* the job goes on */
    OUTCOME_PARTLY = 7,
    OUTCOME_UNREACHABLE = 8, /* daemon or peer site */
    OUTCOME_CANCELLED = 9,   /* at the prompt */
};

/* The exit code for a failed reply. */
enum outcome outcome_of_reply(const struct reply *reply);
/* Prints "verso: WHAT: message" with code, hint and request id to standard error; returns the code.
 */
enum outcome outcome_tell(const struct reply *reply, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Prints "verso: ..." and a hint at --help to standard error; returns OUTCOME_USAGE. */
enum outcome outcome_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
