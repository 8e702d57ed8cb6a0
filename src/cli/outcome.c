/* SPDX-License-Identifier: Apache-2.0 */
/* What a code of the API means for a person at a terminal: a table of prefixes. */
#include "cli/outcome.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "cli/safe_text.h"

static const struct {
    const char *prefix;
    enum outcome outcome;
    const char *hint;
} outcomes[] = {
    {"Unreachable", OUTCOME_UNREACHABLE,
     "Is versod running? Give its socket with --socket PATH or VERSO_SOCKET."},
    {"RequestTimeout", OUTCOME_UNREACHABLE,
     "The other site is needed and did not answer: see verso status."},
    {"NoSuchResource", OUTCOME_NOT_FOUND,
     "See verso disk list, verso pair list, verso group list."},
    {"InvalidDiskId.NotFound", OUTCOME_NOT_FOUND, "See verso disk list."},
    {"InvalidApi.NotFound", OUTCOME_USAGE, NULL},
    {"EntityNotExist", OUTCOME_NOT_FOUND,
     "See verso user list, verso key list, verso policy list."},
    {"EntityAlreadyExists", OUTCOME_REFUSED, NULL},
    {"DeleteConflict.Policy.User", OUTCOME_REFUSED, "Detach it first: verso policy detach."},
    {"LimitExceeded", OUTCOME_REFUSED, NULL},
    {"MalformedPolicyDocument", OUTCOME_USAGE, NULL},
    {"OperationDenied.InvalidStatus", OUTCOME_REFUSED, "See verso status for the present state."},
    {"OperationDenied.OperateNotAllowedForPrimary", OUTCOME_REFUSED,
     "Ask the secondary site: run it there, or give its region."},
    {"OperationDenied.QuotaExceed", OUTCOME_REFUSED, "A disk can be in one pair only."},
    {"OperationDenied", OUTCOME_REFUSED, NULL},
    {"IncorrectDiskStatus", OUTCOME_REFUSED, "See verso disk show."},
    {"DiskInUse", OUTCOME_REFUSED, "Detach it first: verso disk detach."},
    {"Forbidden", OUTCOME_NOT_ALLOWED, NULL},
    {"Missing", OUTCOME_USAGE, NULL},
    {"Invalid", OUTCOME_USAGE, NULL},
};

enum outcome outcome_of_reply(const struct reply *reply)
{
    const char *code = reply_text(reply->body, "Code");

    for (unsigned i = 0; i < ARRAY_COUNT(outcomes); i++) {
        if (strncmp(code, outcomes[i].prefix, strlen(outcomes[i].prefix)) == 0)
            return outcomes[i].outcome;
    }
    return OUTCOME_FAILED;
}

enum outcome outcome_tell(const struct reply *reply, const char *format, ...)
{
    const char *code = reply_text(reply->body, "Code");
    const char *request = reply_text(reply->body, "RequestId");
    va_list arguments;

    fputs("verso: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputs(": ", stderr);
    safe_text_put(stderr, reply_text(reply->body, "Message"));
    fprintf(stderr, "\n  %s", code);
    if (*request)
        fprintf(stderr, " [request %s]", request);
    fputc('\n', stderr);
    for (unsigned i = 0; i < ARRAY_COUNT(outcomes); i++) {
        if (strncmp(code, outcomes[i].prefix, strlen(outcomes[i].prefix)) != 0)
            continue;
        if (outcomes[i].hint)
            fprintf(stderr, "  %s\n", outcomes[i].hint);
        break;
    }
    return outcome_of_reply(reply);
}

enum outcome outcome_usage(const char *format, ...)
{
    va_list arguments;

    fputs("verso: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputs("\n  See verso --help.\n", stderr);
    return OUTCOME_USAGE;
}
