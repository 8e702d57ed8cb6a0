/* SPDX-License-Identifier: Apache-2.0 */
/* verso status [OBJECT] [--watch], verso wait OBJECT, verso api ACTION */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "cli/commands.h"
#include "cli/outcome.h"
#include "cli/output.h"
#include "cli/safe_text.h"
#include "cli/watch.h"

static const struct output_column stream_columns[] = {
    {"NAME", "Name", OUTPUT_TEXT, false, false},
    {"ID", "Id", OUTPUT_TEXT, false, false},
    {"DIRECTION", "Direction", OUTPUT_TEXT, false, false},
    {"ROLE", "Role", OUTPUT_TEXT, false, false},
    {"STATE", "Status", OUTPUT_TEXT, false, false},
    {"LAG", "LagNs", OUTPUT_AGE, true, false},
    {"BACKLOG", "BacklogBytes", OUTPUT_BYTES, true, false},
    {"SENT", "Sent", OUTPUT_TEXT, true, false},
    {"JOURNAL", "JournalBytes", OUTPUT_BYTES, true, true},
    {"EPOCH", "EpochAcked", OUTPUT_NUMBER, true, true},
    {"APPLIED", "EpochApplied", OUTPUT_NUMBER, true, true},
    {"SHIPPED", "ShippedBytes", OUTPUT_BYTES, true, true},
    {"TERM", "GenerationTerm", OUTPUT_NUMBER, true, true},
    {"READY", "Ready", OUTPUT_TEXT, false, false},
};

static bool is_true(const json_t *object, const char *name)
{
    return json_is_true(json_object_get(object, name));
}

static json_int_t integer(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

/* How much of what the other site lacks is on its way, in percent; -1: that is not known, or
 * nothing is missing. */
static int sent_percent(const json_t *stream)
{
    double backlog = (double)integer(stream, "BacklogBytes");
    double unshipped = (double)integer(stream, "UnshippedBytes");

    if (backlog <= 0 || unshipped < 0 || unshipped > backlog ||
        strcmp(reply_text(stream, "Role"), "source") != 0 || !is_true(stream, "IsStarted"))
        return -1;
    return (int)(100 * (backlog - unshipped) / backlog);
}

/* What a failover now would mean, in words. */
static void add_ready(json_t *stream, uint64_t lag_ns)
{
    const char *role = reply_text(stream, "Role");
    char text[64], age[32];

    output_format_age(lag_ns, age, sizeof(age));
    if (strcmp(role, "promoted") == 0)
        snprintf(text, sizeof(text), "no: not protected");
    else if (strcmp(role, "fenced") == 0)
        snprintf(text, sizeof(text), "no: fenced");
    else if (!is_true(stream, "IsOpen") && *reply_text(stream, "Trouble"))
        snprintf(text, sizeof(text), "no: not open");
    else if (!is_true(stream, "HasPoint"))
        snprintf(text, sizeof(text), "no: no recovery point");
    else
        snprintf(text, sizeof(text), "yes, loses <= %s", age);
    json_object_set_new(stream, "Ready", json_string(text));
}

/* Adds what is computed here: direction, lag, how much is sent, readiness. */
static void complete_stream(json_t *stream)
{
    bool has_age = integer(stream, "PointWallUs") > 0 || integer(stream, "CurrentWallUs") > 0;
    json_int_t lag_ns = has_age ? 1000 * integer(stream, "PointAgeUs") : 0;
    int sent = sent_percent(stream);
    char text[16] = "";

    if (sent >= 0)
        snprintf(text, sizeof(text), "%d%%", sent);
    json_object_set_new(stream, "Direction",
                        json_pack("s++", reply_text(stream, "SourceSite"), " -> ",
                                  reply_text(stream, "DestinationSite")));
    json_object_set_new(stream, "LagNs", has_age ? json_integer(lag_ns) : json_null());
    json_object_set_new(stream, "Sent", json_string(text));
    add_ready(stream, (uint64_t)lag_ns);
}

static bool has_text(const json_t *list, const char *member, const char *word)
{
    json_t *one;
    size_t index;

    json_array_foreach(list, index, one)
    {
        const char *text = member ? reply_text(one, member) : json_string_value(one);
        if (text && strcmp(text, word) == 0)
            return true;
    }
    return false;
}

/* By name, id or its beginning, a pair's id, or the id of a disk. */
static bool is_named(const json_t *stream, const char *word)
{
    return word[0] != '\0' && (strcmp(reply_text(stream, "Name"), word) == 0 ||
                               strncmp(reply_text(stream, "Id"), word, strlen(word)) == 0 ||
                               has_text(json_object_get(stream, "PairIds"), NULL, word) ||
                               has_text(json_object_get(stream, "Disks"), "DiskId", word));
}

static const json_t *peer_named(const json_t *status, const char *name)
{
    json_t *peer;
    size_t index;

    json_array_foreach(json_object_get(status, "Peers"), index, peer)
    {
        if (strcmp(reply_text(peer, "Name"), name) == 0)
            return peer;
    }
    return NULL;
}

/* How many bytes a second since `earlier`; "-" when that is not known. */
static void format_rate(json_int_t now, json_int_t before, double seconds, char *text, size_t size)
{
    if (seconds <= 0 || now < before)
        snprintf(text, size, "-");
    else
        output_format_bytes((uint64_t)((double)(now - before) / seconds), false, text, size);
}

/* `earlier` is a status of `seconds` before, or NULL. */
static void print_links(const json_t *status, const json_t *earlier, double seconds)
{
    json_t *peer, *site = json_object_get(status, "Site");
    char out[32], in[32];
    size_t index;

    json_array_foreach(json_object_get(status, "Peers"), index, peer)
    {
        const json_t *before = earlier ? peer_named(earlier, reply_text(peer, "Name")) : NULL;

        printf("%s (this site) <-> %s   link ", reply_text(site, "Name"), reply_text(peer, "Name"));
        if (!is_true(peer, "IsUp")) {
            fputs("down: ", stdout);
            safe_text_put(stdout, reply_text(peer, "Why"));
        } else {
            printf("ok %.1f ms", (double)integer(peer, "RoundTripNs") / 1e6);
        }
        if (before) {
            format_rate(integer(peer, "BytesOut"), integer(before, "BytesOut"), seconds, out,
                        sizeof(out));
            format_rate(integer(peer, "BytesIn"), integer(before, "BytesIn"), seconds, in,
                        sizeof(in));
            printf(", sends %s/s, gets %s/s", out, in);
        }
        putchar('\n');
    }
}

/* Of a state that nothing leaves by itself and whose reason is gone, or was told before a restart.
 */
static const char *way_out_of(const char *state)
{
    if (strcmp(state, "reprotect_failed") == 0)
        return "the change of direction was cut short: ask for the reprotect (or cancel-failover) "
               "again";
    if (strcmp(state, "failover_failed") == 0)
        return "the failover failed, verso event list says why: mend that and ask for it again";
    if (strcmp(state, "stop_failed") == 0)
        return "the stop failed, verso event list says why: mend that and ask for it again";
    return "";
}

/* What stands in the way of a stream that has no trouble to tell of itself; "": nothing. */
static const char *obstacle_of(const json_t *status, const json_t *stream)
{
    const json_t *peer = peer_named(status, reply_text(stream, "Peer"));

    if (is_true(stream, "IsWaitingPeer"))
        return "hosts are kept out: waiting for the other site to confirm that it has not failed "
               "over; when it is lost for good and has not, force-open";
    if (is_true(stream, "IsStarted") && !is_true(stream, "IsConnected") && is_true(peer, "IsUp"))
        return "the link is up, and the other site's end does not take part: see verso status "
               "there";
    return way_out_of(reply_text(stream, "Status"));
}

static void print_troubles(const json_t *status, const json_t *streams)
{
    json_t *stream;
    size_t index;

    json_array_foreach(streams, index, stream)
    {
        const char *name = reply_text(stream, "Name"), *trouble = reply_text(stream, "Trouble");

        if (!*trouble)
            trouble = obstacle_of(status, stream);
        if (!*trouble)
            continue;
        safe_text_put(stdout, *name ? name : reply_text(stream, "Id"));
        fputs(": ", stdout);
        safe_text_put(stdout, trouble);
        putchar('\n');
    }
}

/* The streams that `word` names, all without one; owned. */
static json_t *choose_streams(const json_t *status, const char *word)
{
    json_t *stream, *shown = json_array();
    size_t index;

    check(shown);
    json_array_foreach(json_object_get(status, "Streams"), index, stream)
    {
        complete_stream(stream);
        if (word == NULL || is_named(stream, word))
            check(json_array_append(shown, stream) == 0);
    }
    return shown;
}

static int print_status(struct command *command, const json_t *status, const json_t *earlier,
                        double seconds)
{
    const char *word = command->options.word_count > 1 ? command->options.words[1] : NULL;
    json_t *shown = choose_streams(status, word);
    int outcome = 0;

    if (word != NULL && json_array_size(shown) == 0) {
        fprintf(stderr, "verso: %s: no such pair or group\n  See verso status.\n", word);
        outcome = OUTCOME_NOT_FOUND;
    } else if (command->options.json) {
        json_t *document = json_pack("{s:s, s:O, s:O, s:O}", "api", "verso/v1", "site",
                                     json_object_get(status, "Site"), "peers",
                                     json_object_get(status, "Peers"), "streams", shown);
        output_json(document);
        json_decref(document);
    } else {
        print_links(status, earlier, seconds);
        outcome = output_rows(&command->options, "streams", shown, stream_columns,
                              ARRAY_COUNT(stream_columns));
        if (outcome == 0)
            print_troubles(status, shown);
    }
    json_decref(shown);
    return outcome;
}

/* Again every two seconds, with what travelled in between, until Ctrl-C or --timeout. */
static int watch_status(struct command *command)
{
    const struct options *options = &command->options;
    uint64_t began_ns = watch_now_ns(), at_ns, earlier_ns = 0;
    uint64_t end_ns =
        options->timeout ? began_ns + (uint64_t)(atof(options->timeout) * 1e9) : UINT64_MAX;
    json_t *status, *earlier = NULL;
    int outcome = 0;

    if (options->json)
        return outcome_usage("status: --watch is for people; programs ask again");
    for (;;) {
        at_ns = watch_now_ns();
        status = objects_site(command, &outcome);
        if (status == NULL)
            break;
        if (options->stdout_is_terminal)
            fputs("\033[H\033[2J", stdout);
        outcome = print_status(command, status, earlier, (double)(at_ns - earlier_ns) / 1e9);
        fflush(stdout);
        json_decref(earlier);
        earlier = status;
        earlier_ns = at_ns;
        if (outcome || at_ns + 2000000000 > end_ns)
            break;
        nanosleep(&(struct timespec){.tv_sec = 2}, NULL);
    }
    json_decref(earlier);
    return outcome;
}

int status_command(struct command *command)
{
    json_t *status;
    int outcome;

    if (command->options.watch)
        return watch_status(command);
    status = objects_site(command, &outcome);
    if (status == NULL)
        return outcome;
    outcome = print_status(command, status, NULL, 0);
    json_decref(status);
    return outcome;
}

/* The states of the API, and what wait knows besides. */
static bool is_state(const char *word)
{
    static const char *const states[] = {
        "creating",         "created",    "create_failed",   "initial_syncing", "manual_syncing",
        "syncing",          "normal",     "stopping",        "stopped",         "stop_failed",
        "failovering",      "failovered", "failover_failed", "reprotecting",    "deleting",
        "reprotect_failed", "deleted",    "delete_failed",   "invalid",         "gone",
        "recovery-point"};

    for (unsigned i = 0; i < ARRAY_COUNT(states); i++) {
        if (strcmp(states[i], word) == 0)
            return true;
    }
    return false;
}

int wait_command(struct command *command)
{
    const struct options *options = &command->options;
    const struct replica_kind *kind;
    json_t *status, *record;
    char id[64];
    int outcome;

    if (options->word_count < 2 || options->for_what == NULL)
        return outcome_usage("wait needs an object and --for STATE or --for recovery-point");
    if (!is_state(options->for_what))
        return outcome_usage("wait: %s is no state: created, initial_syncing, syncing, normal, "
                             "stopped, failovered, gone ..., or recovery-point",
                             options->for_what);
    status = objects_site(command, &outcome);
    if (status == NULL)
        return outcome;
    struct watch watch = {
        .id = id,
        .state = options->for_what,
        .recovery_point = strcmp(options->for_what, "recovery-point") == 0,
        .since_ns = watch_now_ns(),
        .timeout_s = options->timeout ? atof(options->timeout) : 0,
    };
    json_decref(status);
    kind = strncmp(options->words[1], "pg-", 3) == 0 ? &replica_kinds[1] : &replica_kinds[0];
    if (strncmp(options->words[1], "pair-", 5) != 0 && kind == &replica_kinds[0]) {
        /* A name: groups first, then pairs. */
        json_t *list = objects_list(command, &replica_kinds[1], &outcome);
        json_t *group;
        size_t index;
        if (list == NULL)
            return outcome;
        json_array_foreach(list, index, group)
        {
            if (strcmp(reply_text(group, "GroupName"), options->words[1]) == 0)
                kind = &replica_kinds[1];
        }
        json_decref(list);
    }
    record = objects_find(command, kind, options->words[1], &outcome);
    if (record == NULL)
        return outcome;
    snprintf(id, sizeof(id), "%s", reply_text(record, kind->id_parameter));
    json_decref(record);
    watch.kind = kind;
    return watch_run(command, &watch);
}

int api_command(struct command *command)
{
    const struct options *options = &command->options;
    struct params params = {0};
    struct reply reply;
    int outcome = 0;

    if (options->word_count < 2)
        return outcome_usage("api needs an action, such as DescribeDisks, and Key=Value pairs");
    for (unsigned i = 2; i < options->word_count; i++) {
        const char *equals = strchr(options->words[i], '=');
        char name[128];
        if (equals == NULL || (size_t)(equals - options->words[i]) >= sizeof(name)) {
            params_fini(&params);
            return outcome_usage("api: %s is not Key=Value", options->words[i]);
        }
        snprintf(name, sizeof(name), "%.*s", (int)(equals - options->words[i]), options->words[i]);
        params_add(&params, name, equals + 1);
    }
    client_call(command->client, options->words[1], options->version, &params, &reply);
    params_fini(&params);
    if (reply.status == 0) {
        outcome = outcome_tell(&reply, "api %s", options->words[1]);
    } else {
        output_json(reply.body);
        outcome = reply_is_good(&reply) ? 0 : (int)outcome_of_reply(&reply);
    }
    reply_fini(&reply);
    return outcome;
}
