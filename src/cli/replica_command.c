/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verso pair|group
 * create|list|show|add|remove|start|stop|failover|reprotect|cancel-failover|delete|forget. The
 * verbs that only ask an operation of a record and wait for a state stand in one table.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "cli/commands.h"
#include "cli/outcome.h"
#include "cli/output.h"
#include "cli/watch.h"

enum place { PLACE_HERE, PLACE_DESTINATION, PLACE_PRIMARY };

static const struct act {
    const char *verb, *action; /* action: before DiskReplicaPair or DiskReplicaGroup */
    enum place place;          /* which site must execute it */
    const char *state;         /* awaited; NULL: a recovery point */
    const char *reverse;       /* value of ReverseReplicate, or NULL */
    bool needs_yes;            /* loses redundancy: asks on a terminal */
} acts[] = {
    {"start", "Start", PLACE_HERE, NULL, NULL, false},
    {"stop", "Stop", PLACE_HERE, "stopped", NULL, false},
    {"failover", "Failover", PLACE_DESTINATION, "failovered", NULL, true},
    {"reprotect", "Reprotect", PLACE_DESTINATION, "stopped", "true", false},
    {"cancel-failover", "Reprotect", PLACE_DESTINATION, "stopped", "false", true},
    {"delete", "Delete", PLACE_PRIMARY, "gone", NULL, true},
    {"rm", "Delete", PLACE_PRIMARY, "gone", NULL, true},
};

static const struct output_column pair_columns[] = {
    {"ID", "ReplicaPairId", OUTPUT_TEXT, false, false},
    {"NAME", "PairName", OUTPUT_TEXT, false, false},
    {"STATUS", "Status", OUTPUT_TEXT, false, false},
    {"SOURCE", "SourceDiskId", OUTPUT_TEXT, false, false},
    {"DESTINATION", "DestinationDiskId", OUTPUT_TEXT, false, false},
    {"FROM", "SourceZoneId", OUTPUT_TEXT, false, false},
    {"TO", "DestinationZoneId", OUTPUT_TEXT, false, false},
    {"GROUP", "ReplicaGroupId", OUTPUT_TEXT, false, false},
    {"POINT", "LastRecoverPoint", OUTPUT_TIME, false, false},
    {"RPO", "RPO", OUTPUT_NUMBER, true, true},
    {"SITE", "Site", OUTPUT_TEXT, false, true},
    {"CREATED", "CreateTime", OUTPUT_TIME, false, true},
};

static const struct output_column group_columns[] = {
    {"ID", "ReplicaGroupId", OUTPUT_TEXT, false, false},
    {"NAME", "GroupName", OUTPUT_TEXT, false, false},
    {"STATUS", "Status", OUTPUT_TEXT, false, false},
    {"PAIRS", "PairNumber", OUTPUT_NUMBER, true, false},
    {"FROM", "SourceZoneId", OUTPUT_TEXT, false, false},
    {"TO", "DestinationZoneId", OUTPUT_TEXT, false, false},
    {"POINT", "LastRecoverPoint", OUTPUT_TIME, false, false},
    {"RPO", "RPO", OUTPUT_NUMBER, true, true},
    {"SITE", "Site", OUTPUT_TEXT, false, true},
};

/* The peer of DescribeVersoStatus that --peer names; borrowed from `status`. */
static json_t *find_peer(const json_t *status, const char *name)
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

static int create_call(struct command *command, const struct replica_kind *kind,
                       struct params *params, const char *what)
{
    struct reply reply;
    char action[64], id[64];
    int outcome = 0;

    snprintf(action, sizeof(action), "Create%s", kind->action_suffix);
    client_call(command->client, action, NULL, params, &reply);
    params_fini(params);
    if (!reply_is_good(&reply)) {
        outcome = outcome_tell(&reply, "%s", what);
        reply_fini(&reply);
        return outcome;
    }
    snprintf(id, sizeof(id), "%s", reply_text(reply.body, kind->id_parameter));
    if (!command->options.no_wait)
        outcome = watch_run(
            command, &(struct watch){.kind = kind, .id = id, .state = "created", .timeout_s = 60});
    if (command->options.json)
        output_json(reply.body);
    else
        puts(id);
    reply_fini(&reply);
    return outcome;
}

static int replica_create(struct command *command, const struct replica_kind *kind)
{
    const struct options *options = &command->options;
    bool is_pair = kind == &replica_kinds[0];
    struct params params = {0};
    json_t *status, *site, *peer, *disk = NULL;
    int outcome;

    if (options->peer == NULL || (is_pair && (options->disk == NULL || options->peer_disk == NULL)))
        return outcome_usage("%s create needs --peer SITE%s", kind->noun,
                             is_pair ? " --disk D --peer-disk D2" : "");
    status = objects_site(command, &outcome);
    if (status == NULL)
        return outcome;
    site = json_object_get(status, "Site");
    peer = find_peer(status, options->peer);
    if (peer == NULL) {
        json_decref(status);
        fprintf(stderr,
                "verso: no peer %s is configured\n  See [peer.NAME] in the configuration.\n",
                options->peer);
        return OUTCOME_NOT_FOUND;
    }
    params_add(&params, "RegionId", reply_text(site, "Region"));
    params_add(&params, "SourceZoneId", reply_text(site, "Zone"));
    params_add(&params, "DestinationRegionId", reply_text(peer, "Region"));
    params_add(&params, "DestinationZoneId", reply_text(peer, "Zone"));
    json_decref(status);
    if (is_pair) {
        disk = objects_find_disk(command, options->disk, &outcome);
        if (disk == NULL) {
            params_fini(&params);
            return outcome;
        }
        params_add(&params, "DiskId", reply_text(disk, "DiskId"));
        params_add(&params, "DestinationDiskId", options->peer_disk);
        json_decref(disk);
    }
    if (options->name)
        params_add(&params, kind->name_member, options->name);
    if (options->description)
        params_add(&params, "Description", options->description);
    if (options->rpo)
        params_add(&params, "RPO", options->rpo);
    return create_call(command, kind, &params, is_pair ? "pair create" : "group create");
}

static int replica_show_list(struct command *command, const struct replica_kind *kind)
{
    bool is_pair = kind == &replica_kinds[0];
    int outcome;
    json_t *record, *list = objects_list(command, kind, &outcome);
    size_t index;

    if (list == NULL)
        return outcome;
    json_array_foreach(list, index, record) json_object_set_new(
        record, "PairNumber",
        json_integer((json_int_t)json_array_size(json_object_get(record, "PairIds"))));
    outcome = output_rows(&command->options, is_pair ? "pairs" : "groups", list,
                          is_pair ? pair_columns : group_columns,
                          is_pair ? ARRAY_COUNT(pair_columns) : ARRAY_COUNT(group_columns));
    json_decref(list);
    return outcome;
}

static int replica_show(struct command *command, const struct replica_kind *kind)
{
    int outcome;
    json_t *record;
    bool is_pair = kind == &replica_kinds[0];

    if (command->options.word_count < 3)
        return outcome_usage("%s show needs a %s", kind->noun, kind->noun);
    record = objects_find(command, kind, command->options.words[2], &outcome);
    if (record == NULL)
        return outcome;
    json_object_set_new(
        record, "PairNumber",
        json_integer((json_int_t)json_array_size(json_object_get(record, "PairIds"))));
    output_fields(&command->options, kind->noun, record, is_pair ? pair_columns : group_columns,
                  is_pair ? ARRAY_COUNT(pair_columns) : ARRAY_COUNT(group_columns));
    json_decref(record);
    return 0;
}

/* Where what only production or the current source may be asked is asked: here when this site may.
 * Of what failed over the other site may be lost, and what is invalid it may not know any more. */
static const char *primary_region(const struct replica_kind *kind, const json_t *record,
                                  const json_t *site)
{
    const char *own = reply_text(site, "Region"), *status = reply_text(record, "Status");

    if (strcmp(status, "failovered") == 0 || strcmp(status, "invalid") == 0 ||
        strcmp(reply_text(record, kind->source_region), own) == 0)
        return own;
    return reply_text(record, "PrimaryRegion");
}

static const char *region_of(const struct replica_kind *kind, const struct act *act,
                             const json_t *record, const json_t *site)
{
    if (act->place == PLACE_DESTINATION)
        return reply_text(record, kind->destination_region);
    /* A delete that was refused may be asked again at either site, and the other may be lost. */
    if (act->place == PLACE_PRIMARY && strcmp(reply_text(record, "Status"), "delete_failed") != 0)
        return primary_region(kind, record, site);
    return reply_text(site, "Region");
}

static int await(struct command *command, const struct replica_kind *kind, const struct act *act,
                 const char *id, uint64_t since_ns)
{
    const struct options *options = &command->options;
    struct watch watch = {
        .kind = kind,
        .id = id,
        .state = options->one_shot && act->state == NULL ? "stopped" : act->state,
        .since_ns = since_ns,
        .timeout_s = options->timeout ? atof(options->timeout) : 0,
    };

    watch.recovery_point = watch.state == NULL;
    return options->no_wait ? 0 : watch_run(command, &watch);
}

static int run_act(struct command *command, const struct replica_kind *kind, const struct act *act)
{
    const struct options *options = &command->options;
    struct params params = {0};
    struct reply reply;
    json_t *record, *status;
    char action[64], id[64];
    uint64_t since_ns;
    int outcome;

    if (options->word_count < 3)
        return outcome_usage("%s %s needs a %s", kind->noun, act->verb, kind->noun);
    record = objects_find(command, kind, options->words[2], &outcome);
    if (record == NULL)
        return outcome;
    status = objects_site(command, &outcome);
    if (status == NULL ||
        (act->needs_yes && !options_confirm(options, act->verb, options->words[2]))) {
        outcome = status ? OUTCOME_CANCELLED : outcome;
        json_decref(status);
        json_decref(record);
        return outcome;
    }
    snprintf(id, sizeof(id), "%s", reply_text(record, kind->id_parameter));
    since_ns = watch_now_ns();
    params_add(&params, "RegionId", region_of(kind, act, record, json_object_get(status, "Site")));
    params_add(&params, kind->id_parameter, id);
    if (act->reverse)
        params_add(&params, "ReverseReplicate", act->reverse);
    if (options->one_shot)
        params_add(&params, "OneShot", "true");
    json_decref(status);
    json_decref(record);
    snprintf(action, sizeof(action), "%s%s", act->action, kind->action_suffix);
    client_call(command->client, action, NULL, &params, &reply);
    params_fini(&params);
    if (!reply_is_good(&reply))
        outcome = outcome_tell(&reply, "%s %s: %s", kind->noun, options->words[2], act->verb);
    else
        outcome = await(command, kind, act, id, since_ns);
    if (outcome == 0 && options->json)
        output_json(reply.body);
    reply_fini(&reply);
    return outcome;
}

/* verso group add|remove GROUP PAIR (or --pair PAIR) */
static int change_members(struct command *command, const char *action)
{
    const struct options *options = &command->options;
    const char *pair_word = options->pair             ? options->pair
                            : options->word_count > 3 ? options->words[3]
                                                      : NULL;
    struct params params = {0};
    struct reply reply;
    json_t *group, *pair, *status;
    int outcome;

    if (options->word_count < 3 || pair_word == NULL)
        return outcome_usage("group %s needs a group and a pair", options->words[1]);
    group = objects_find(command, &replica_kinds[1], options->words[2], &outcome);
    if (group == NULL)
        return outcome;
    pair = objects_find(command, &replica_kinds[0], pair_word, &outcome);
    if (pair == NULL) {
        json_decref(group);
        return outcome;
    }
    status = objects_site(command, &outcome);
    if (status == NULL) {
        json_decref(group);
        json_decref(pair);
        return outcome;
    }
    params_add(&params, "RegionId",
               primary_region(&replica_kinds[1], group, json_object_get(status, "Site")));
    json_decref(status);
    params_add(&params, "ReplicaGroupId", reply_text(group, "ReplicaGroupId"));
    params_add(&params, "ReplicaPairId", reply_text(pair, "ReplicaPairId"));
    json_decref(group);
    json_decref(pair);
    client_call(command->client, action, NULL, &params, &reply);
    params_fini(&params);
    if (!reply_is_good(&reply))
        outcome = outcome_tell(&reply, "group %s: %s", options->words[2], options->words[1]);
    else if (options->json)
        output_json(reply.body);
    reply_fini(&reply);
    return outcome;
}

/* An operator's word that a source may open its disks although the peer is silent. */
static int force_open(struct command *command, const struct replica_kind *kind)
{
    const struct options *options = &command->options;
    struct params params = {0};
    struct reply reply;
    json_t *record;
    int outcome;

    if (options->word_count < 3 || options->reason == NULL)
        return outcome_usage("%s force-open needs a %s and --reason TEXT, which is kept in the log",
                             kind->noun, kind->noun);
    record = objects_find(command, kind, options->words[2], &outcome);
    if (record == NULL)
        return outcome;
    params_add(&params, "ReplicaId", reply_text(record, kind->id_parameter));
    params_add(&params, "Reason", options->reason);
    json_decref(record);
    client_call(command->client, "ForceOpenDiskReplica", NULL, &params, &reply);
    params_fini(&params);
    if (!reply_is_good(&reply))
        outcome = outcome_tell(&reply, "%s %s: force-open", kind->noun, options->words[2]);
    else if (options->json)
        output_json(reply.body);
    reply_fini(&reply);
    return outcome;
}

/* The end of a relation at this site alone, whatever state it is in. */
static int forget(struct command *command, const struct replica_kind *kind)
{
    const struct options *options = &command->options;
    struct params params = {0};
    struct reply reply;
    char id[64], operator[64];
    json_t *record;
    int outcome;

    if (options->word_count < 3 || options->force == NULL || options->reason == NULL)
        return outcome_usage("%s forget needs a %s, its name again (--force NAME) and --reason "
                             "TEXT, which is kept in the log",
                             kind->noun, kind->noun);
    record = objects_find(command, kind, options->words[2], &outcome);
    if (record == NULL)
        return outcome;
    snprintf(id, sizeof(id), "%s", reply_text(record, kind->id_parameter));
    json_decref(record);
    const char *user = getenv("SUDO_USER") != NULL ? getenv("SUDO_USER") : getenv("LOGNAME");

    snprintf(operator, sizeof(operator), "%.40s (uid %u)", user != NULL ? user : "", getuid());
    params_add(&params, "ReplicaId", id);
    params_add(&params, "Confirm", options->force);
    params_add(&params, "Reason", options->reason);
    params_add(&params, "Operator", operator);
    if (options->discard_journal)
        params_add(&params, "DiscardJournal", "true");
    client_call(command->client, "ForgetDiskReplica", NULL, &params, &reply);
    params_fini(&params);
    if (!reply_is_good(&reply))
        outcome = outcome_tell(&reply, "%s %s: forget", kind->noun, options->words[2]);
    else if (!options->no_wait)
        outcome = watch_run(
            command, &(struct watch){.kind = kind,
                                     .id = id,
                                     .state = "gone",
                                     .timeout_s = options->timeout ? atof(options->timeout) : 0});
    if (outcome == 0 && options->json)
        output_json(reply.body);
    reply_fini(&reply);
    return outcome;
}

int replica_command(struct command *command, const struct replica_kind *kind)
{
    const char *verb = command->options.word_count > 1 ? command->options.words[1] : "list";
    bool is_group = kind == &replica_kinds[1];

    if (strcmp(verb, "create") == 0)
        return replica_create(command, kind);
    if (strcmp(verb, "list") == 0 || strcmp(verb, "ls") == 0)
        return replica_show_list(command, kind);
    if (strcmp(verb, "show") == 0)
        return replica_show(command, kind);
    if (is_group && strcmp(verb, "add") == 0)
        return change_members(command, "AddDiskReplicaPair");
    if (is_group && strcmp(verb, "remove") == 0)
        return change_members(command, "RemoveDiskReplicaPair");
    if (strcmp(verb, "force-open") == 0)
        return force_open(command, kind);
    if (strcmp(verb, "forget") == 0)
        return forget(command, kind);
    for (unsigned i = 0; i < ARRAY_COUNT(acts); i++) {
        if (strcmp(acts[i].verb, verb) == 0)
            return run_act(command, kind, &acts[i]);
    }
    return outcome_usage("%s: unknown verb %s", kind->noun, verb);
}
