/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Polls the records: 20 ms at first, then up to 500 ms apart. Progress goes to standard error, only
 * on a terminal; Ctrl-C ends the watching, never the work.
 */
#include "cli/watch.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/outcome.h"

uint64_t watch_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The stream's line of DescribeVersoStatus, borrowed from `status`. A pair in a group has its
 * group's. */
static json_t *stream_of(const json_t *status, const json_t *record, const char *id)
{
    const char *group = reply_text(record, "ReplicaGroupId");
    json_t *stream;
    size_t index;

    json_array_foreach(json_object_get(status, "Streams"), index, stream)
    {
        const char *stream_id = reply_text(stream, "Id");
        if (strcmp(stream_id, id) == 0 || (*group && strcmp(stream_id, group) == 0))
            return stream;
    }
    return NULL;
}

static bool is_running(const char *state)
{
    return strcmp(state, "normal") == 0 || strstr(state, "syncing") != NULL;
}

static bool has_failed(const char *state)
{
    return strstr(state, "_failed") != NULL || strcmp(state, "invalid") == 0;
}

/* `asked_ns`: before the daemon was asked, so that the point is not taken for younger than it is.
 */
static bool point_reached(const struct watch *watch, const json_t *record, const json_t *stream,
                          uint64_t asked_ns)
{
    uint64_t age_ns = 1000 * (uint64_t)json_integer_value(json_object_get(stream, "PointAgeUs"));

    if (json_integer_value(json_object_get(record, "LastRecoverPoint")) == 0)
        return false;
    if (!is_running(reply_text(record, "Status")))
        return true;
    return stream != NULL && asked_ns > age_ns && asked_ns - age_ns >= watch->since_ns;
}

static void show_progress(struct command *command, const struct watch *watch, const json_t *record,
                          const json_t *stream)
{
    static const char bar[] = "##############################";
    double total = (double)json_integer_value(json_object_get(stream, "TotalBytes"));
    double unshipped = (double)json_integer_value(json_object_get(stream, "UnshippedBytes"));
    int percent = total > 0 ? (int)(100 * (total - unshipped) / total) : 0;

    if (!command->options.stderr_is_terminal || command->options.quiet)
        return;
    if (percent < 0)
        percent = 0;
    fprintf(stderr, "\r%s %-18s [%-30.*s] %3d%%", watch->id, reply_text(record, "Status"),
            percent * 30 / 100, bar, percent);
    fflush(stderr);
}

/* One look: 1 reached, 0 not yet, else -outcome. */
static int look(struct command *command, const struct watch *watch)
{
    uint64_t asked_ns = watch_now_ns();
    int outcome, verdict = 0;
    json_t *record = objects_read(command, watch->kind, watch->id, &outcome);
    json_t *status;

    if (outcome)
        return -outcome;
    if (record == NULL) {
        if (watch->state && strcmp(watch->state, "gone") == 0)
            return 1;
        fprintf(stderr, "verso: %s %s is gone\n", watch->kind->noun, watch->id);
        return -OUTCOME_NOT_FOUND;
    }
    status = objects_site(command, &outcome);
    if (status == NULL) {
        json_decref(record);
        return -outcome;
    }
    json_t *stream = stream_of(status, record, watch->id);
    const char *state = reply_text(record, "Status");
    show_progress(command, watch, record, stream);
    if (watch->recovery_point ? point_reached(watch, record, stream, asked_ns)
                              : strcmp(state, watch->state) == 0) {
        verdict = 1;
    } else if (has_failed(state)) {
        const char *trouble = reply_text(stream, "Trouble");

        fprintf(stderr, "verso: %s %s is %s%s%s\n", watch->kind->noun, watch->id, state,
                *trouble ? ": " : "", trouble);
        verdict = -OUTCOME_FAILED;
    }
    json_decref(status);
    json_decref(record);
    return verdict;
}

int watch_run(struct command *command, const struct watch *watch)
{
    uint64_t started_ns = watch_now_ns();
    double pause = 0.02;
    int verdict;

    for (;;) {
        verdict = look(command, watch);
        if (verdict != 0)
            break;
        if (watch->timeout_s > 0 &&
            (double)(watch_now_ns() - started_ns) / 1e9 >= watch->timeout_s) {
            fprintf(stderr, "verso: %s %s: not %s after %.0f s; the work goes on\n",
                    watch->kind->noun, watch->id,
                    watch->recovery_point ? "at a recovery point" : watch->state, watch->timeout_s);
            verdict = -OUTCOME_TIMED_OUT;
            break;
        }
        nanosleep(&(struct timespec){.tv_nsec = (long)(pause * 1e9)}, NULL);
        if (pause < 0.3)
            pause *= 1.3;
    }
    if (command->options.stderr_is_terminal && !command->options.quiet)
        fputc('\n', stderr);
    return verdict > 0 ? 0 : -verdict;
}
