/* SPDX-License-Identifier: Apache-2.0 */
/* verso status [OBJECT], verso wait OBJECT, verso api ACTION */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "cli/commands.h"
#include "cli/outcome.h"
#include "cli/output.h"
#include "cli/watch.h"

static const struct output_column stream_columns[] = {
    {"NAME", "Name", OUTPUT_TEXT, false, false},
    {"ID", "Id", OUTPUT_TEXT, false, false},
    {"DIRECTION", "Direction", OUTPUT_TEXT, false, false},
    {"ROLE", "Role", OUTPUT_TEXT, false, false},
    {"STATE", "Status", OUTPUT_TEXT, false, false},
    {"LAG", "LagNs", OUTPUT_AGE, true, false},
    {"BACKLOG", "BacklogBytes", OUTPUT_BYTES, true, false},
    {"JOURNAL", "JournalBytes", OUTPUT_BYTES, true, true},
    {"EPOCH", "EpochAcked", OUTPUT_NUMBER, true, true},
    {"APPLIED", "EpochApplied", OUTPUT_NUMBER, true, true},
    {"SHIPPED", "ShippedBytes", OUTPUT_BYTES, true, true},
    {"TERM", "GenerationTerm", OUTPUT_NUMBER, true, true},
    {"READY", "Ready", OUTPUT_TEXT, false, false},
};

/* What a failover now would mean, in words. */
static void add_ready(json_t *stream, uint64_t lag_ns)
{
    const char *role = reply_text(stream, "Role");
    char text[64];

    if (strcmp(role, "promoted") == 0)
        snprintf(text, sizeof(text), "no: not protected");
    else if (strcmp(role, "fenced") == 0)
        snprintf(text, sizeof(text), "no: fenced");
    else if (!json_is_true(json_object_get(stream, "HasPoint")))
        snprintf(text, sizeof(text), "no: no recovery point");
    else
        snprintf(text, sizeof(text), "yes, loses <= %.1fs", (double)lag_ns / 1e9);
    json_object_set_new(stream, "Ready", json_string(text));
}

/* Adds what is computed here: direction, lag, readiness. */
static void complete_stream(json_t *stream)
{
    json_int_t point = json_integer_value(json_object_get(stream, "PointWallUs"));
    json_int_t current = json_integer_value(json_object_get(stream, "CurrentWallUs"));
    bool has_age = point > 0 || current > 0;
    json_int_t lag_ns =
        has_age ? 1000 * json_integer_value(json_object_get(stream, "PointAgeUs")) : 0;

    json_object_set_new(stream, "Direction",
                        json_pack("s++", reply_text(stream, "SourceSite"), " -> ",
                                  reply_text(stream, "DestinationSite")));
    json_object_set_new(stream, "LagNs", has_age ? json_integer(lag_ns) : json_null());
    add_ready(stream, (uint64_t)lag_ns);
}

static bool is_named(const json_t *stream, const char *word)
{
    json_t *pair;
    size_t index;

    if (strcmp(reply_text(stream, "Name"), word) == 0 ||
        strncmp(reply_text(stream, "Id"), word, strlen(word)) == 0)
        return true;
    json_array_foreach(json_object_get(stream, "PairIds"), index, pair)
    {
        if (strcmp(json_string_value(pair) ? json_string_value(pair) : "", word) == 0)
            return true;
    }
    return false;
}

static void print_links(const json_t *status)
{
    json_t *peer, *site = json_object_get(status, "Site");
    size_t index;

    json_array_foreach(json_object_get(status, "Peers"), index, peer)
    {
        bool is_up = json_is_true(json_object_get(peer, "IsUp"));
        printf("%s (this site) <-> %s   link %s", reply_text(site, "Name"),
               reply_text(peer, "Name"), is_up ? "ok" : "down");
        if (is_up)
            printf(" %.1f ms\n",
                   (double)json_integer_value(json_object_get(peer, "RoundTripNs")) / 1e6);
        else
            printf(": %s\n", reply_text(peer, "Why"));
    }
}

static void print_troubles(const json_t *streams)
{
    json_t *stream;
    size_t index;

    json_array_foreach(streams, index, stream)
    {
        if (*reply_text(stream, "Trouble"))
            printf("%s: %s\n", reply_text(stream, "Id"), reply_text(stream, "Trouble"));
    }
}

int status_command(struct command *command)
{
    const char *word = command->options.word_count > 1 ? command->options.words[1] : NULL;
    int outcome;
    json_t *stream, *status = objects_site(command, &outcome);
    json_t *shown = json_array();
    size_t index;

    if (status == NULL) {
        json_decref(shown);
        return outcome;
    }
    json_array_foreach(json_object_get(status, "Streams"), index, stream)
    {
        complete_stream(stream);
        if (word == NULL || is_named(stream, word))
            json_array_append(shown, stream);
    }
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
        print_links(status);
        output_rows(&command->options, "streams", shown, stream_columns,
                    ARRAY_COUNT(stream_columns));
        print_troubles(shown);
    }
    json_decref(shown);
    json_decref(status);
    return outcome;
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
