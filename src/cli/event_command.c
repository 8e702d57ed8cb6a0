/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verso event list|follow. Follow asks for what came after the last number it printed, again and
 * again, also over restarts of the daemon: numbers only rise, so no line is lost or printed twice.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "cli/commands.h"
#include "cli/outcome.h"
#include "cli/output.h"
#include "cli/safe_text.h"

enum { LIST_DEFAULT = 50, FOLLOW_FIRST = 10, PAGE = 500 };

static const struct output_column columns[] = {
    {"NUMBER", "Number", OUTPUT_NUMBER, true, true},
    {"TIME", "Time", OUTPUT_TEXT, false, false},
    {"SEVERITY", "Severity", OUTPUT_TEXT, false, false},
    {"KIND", "Kind", OUTPUT_TEXT, false, false},
    {"OBJECT", "ObjectId", OUTPUT_TEXT, false, false},
    {"CALLER", "Caller", OUTPUT_TEXT, false, false},
    {"SOURCE", "SourceIp", OUTPUT_TEXT, false, true},
    {"KEY", "AccessKeyId", OUTPUT_TEXT, false, true},
    {"OPERATION", "Operation", OUTPUT_TEXT, false, false},
    {"STATUS", "Status", OUTPUT_NUMBER, true, false},
    {"CODE", "ErrorCode", OUTPUT_TEXT, false, true},
    {"REQUEST", "CallRequestId", OUTPUT_TEXT, false, true},
    {"TEXT", "Text", OUTPUT_TEXT, false, false},
};

static void add_filters(const struct options *options, struct params *params)
{
    const struct {
        const char *name, *value;
    } filters[] = {{"ObjectId", options->object},  {"Kind", options->kind},
                   {"Caller", options->caller},    {"Operation", options->operation},
                   {"StartTime", options->since},  {"EndTime", options->until},
                   {"Severity", options->severity}};

    for (unsigned i = 0; i < ARRAY_COUNT(filters); i++)
        if (filters[i].value)
            params_add(params, filters[i].name, filters[i].value);
    if (options->reads)
        params_add(params, "Reads", "true");
}

/* A page of what came before the number `at` (newest) or behind it, 0: any; its lines (the
 * caller's) oldest first, or NULL with the reply's outcome. */
static json_t *ask(struct command *command, json_int_t at, bool is_newest, unsigned count,
                   struct reply *ret_reply)
{
    struct params params = {0};
    json_t *lines, *line;
    size_t index;

    add_filters(&command->options, &params);
    params_addf(&params, "MaxResults", "%u", count);
    params_add(&params, "Order", is_newest ? "newest" : "oldest");
    if (at > 0)
        params_addf(&params, is_newest ? "NextToken" : "After", "%lld", (long long)at);
    client_call(command->client, "DescribeReplicaEvents", NULL, &params, ret_reply);
    params_fini(&params);
    if (!reply_is_good(ret_reply))
        return NULL;
    lines = json_array();
    check(lines);
    json_array_foreach(json_object_get(ret_reply->body, "Events"), index, line)
    {
        check(json_array_insert(lines, is_newest ? 0 : index, line) == 0);
    }
    return lines;
}

/* Where the next page begins, which may be empty as this one; 0: there is none. */
static json_int_t next_of(const struct reply *reply)
{
    return strtoll(reply_text(reply->body, "NextToken"), NULL, 10);
}

static int list(struct command *command)
{
    const char *limit = command->options.limit;
    long wanted = limit ? strtol(limit, NULL, 10) : LIST_DEFAULT;
    json_t *all = json_array(), *lines;
    struct reply reply;
    json_int_t before = 0;
    int outcome = 0;

    check(all);
    if (wanted < 1 || wanted > 1000000) {
        json_decref(all);
        return outcome_usage("--limit: %s is not a number from 1 to 1000000", limit);
    }
    while (wanted > 0) {
        lines = ask(command, before, true, wanted < PAGE ? (unsigned)wanted : PAGE, &reply);
        if (!lines) {
            outcome = outcome_tell(&reply, "event list");
            reply_fini(&reply);
            json_decref(all);
            return outcome;
        }
        size_t count = json_array_size(lines);
        before = next_of(&reply);
        check(json_array_extend(lines, all) == 0); /* older ones go before */
        json_decref(all);
        all = lines;
        wanted -= (long)count;
        reply_fini(&reply);
        if (before == 0)
            break;
    }
    outcome = output_rows(&command->options, "events", all, columns, ARRAY_COUNT(columns));
    json_decref(all);
    return outcome;
}

/* --- follow ---------------------------------------------------------------------------------- */

static void put_word(const json_t *line, const char *name)
{
    safe_text_put(stdout, reply_text(line, name));
    putchar(' ');
}

static void print_line(const struct options *options, const json_t *line)
{
    char *text;

    if (options->json) {
        text = json_dumps(line, JSON_COMPACT);
        check(text);
        safe_text_put_json(stdout, text);
        putchar('\n');
        free(text);
        return;
    }
    put_word(line, "Time");
    printf("%-8s ", reply_text(line, "Severity"));
    put_word(line, "Kind");
    put_word(line, "ObjectId");
    if (*reply_text(line, "CallRequestId")) {
        put_word(line, "Operation");
        fputs("by ", stdout);
        safe_text_put(stdout,
                      *reply_text(line, "Caller") ? reply_text(line, "Caller") : "a stranger");
        printf(": %lld ", (long long)json_integer_value(json_object_get(line, "Status")));
        put_word(line, "ErrorCode");
    }
    safe_text_put(stdout, reply_text(line, "Text"));
    putchar('\n');
}

static json_int_t print_lines(const struct options *options, const json_t *lines, json_int_t after)
{
    json_t *line;
    size_t index;

    json_array_foreach(lines, index, line)
    {
        print_line(options, line);
        after = json_integer_value(json_object_get(line, "Number"));
    }
    fflush(stdout);
    return after;
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int follow(struct command *command)
{
    const struct options *options = &command->options;
    uint64_t end_ns = options->timeout ? now_ns() + (uint64_t)(atof(options->timeout) * 1e9) : 0;
    bool is_begun = false, is_away = false;
    json_int_t after = 0, next;
    struct reply reply;

    do {
        json_t *lines = ask(command, after, !is_begun, is_begun ? PAGE : FOLLOW_FIRST, &reply);
        next = lines ? next_of(&reply) : 0;

        if (!lines && reply.status != 0 && reply.status < 500) {
            int outcome = outcome_tell(&reply, "event follow");
            reply_fini(&reply);
            return outcome;
        }
        if (!lines && !is_away && !options->quiet)
            fprintf(stderr, "verso: the daemon does not answer; going on when it does\n");
        is_away = !lines;
        after = print_lines(options, lines, after);
        if (next != 0 && (is_begun || json_array_size(lines) == 0))
            after = next; /* at the beginning: towards the oldest, until there is one */
        else
            next = 0;
        is_begun |= lines != NULL && next == 0;
        json_decref(lines);
        reply_fini(&reply);
        if (next == 0)
            nanosleep(&(struct timespec){.tv_nsec = 500000000}, NULL);
    } while (end_ns == 0 || now_ns() < end_ns);
    return 0;
}

int event_command(struct command *command)
{
    const char *verb = command->options.word_count > 1 ? command->options.words[1] : "list";

    if (strcmp(verb, "list") == 0)
        return list(command);
    if (strcmp(verb, "follow") == 0)
        return follow(command);
    return outcome_usage("event: unknown verb %s", verb);
}
