/* SPDX-License-Identifier: Apache-2.0 */
/* verso disk create|import|list|show|attach|detach|url|resize|delete */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "cli/commands.h"
#include "cli/outcome.h"
#include "cli/output.h"

static const struct output_column disk_columns[] = {
    {"ID", "DiskId", OUTPUT_TEXT, false, false},
    {"NAME", "DiskName", OUTPUT_TEXT, false, false},
    {"SIZE", "SizeBytes", OUTPUT_BYTES, true, false},
    {"STATUS", "Status", OUTPUT_TEXT, false, false},
    {"INSTANCE", "InstanceId", OUTPUT_TEXT, false, false},
    {"PAIR", "ReplicaPairId", OUTPUT_TEXT, false, false},
    {"ZONE", "ZoneId", OUTPUT_TEXT, false, true},
    {"CREATED", "CreationTime", OUTPUT_TEXT, false, true},
};

static const struct output_column show_columns[] = {
    {"id", "DiskId", OUTPUT_TEXT, false, false},
    {"name", "DiskName", OUTPUT_TEXT, false, false},
    {"size", "SizeBytes", OUTPUT_BYTES, false, false},
    {"status", "Status", OUTPUT_TEXT, false, false},
    {"store", "Driver", OUTPUT_TEXT, false, false},
    {"path", "Path", OUTPUT_TEXT, false, false},
    {"pair", "ReplicaPairId", OUTPUT_TEXT, false, false},
    {"attached", "IsAttached", OUTPUT_YES, false, false},
    {"exported", "IsExported", OUTPUT_YES, false, false},
    {"why not", "Why", OUTPUT_TEXT, false, false},
    {"connections", "Connections", OUTPUT_NUMBER, false, false},
};

static const struct output_column snapshot_columns[] = {
    {"SNAPSHOT", "ExportName", OUTPUT_TEXT, false, false},
    {"ID", "SnapshotId", OUTPUT_TEXT, false, false},
    {"CREATED", "CreatedAt", OUTPUT_TIME, false, false},
    {"EXPIRES", "ExpiresAt", OUTPUT_TIME, false, false},
    {"KEPT", "KeptBytes", OUTPUT_BYTES, true, false},
    {"WHY", "Reason", OUTPUT_TEXT, false, false},
};

bool commands_parse_size(const char *text, uint64_t *ret_bytes)
{
    static const char units[] = "KMGTP";
    char *end;
    unsigned long long value;
    const char *unit;
    unsigned shift = 0;

    if (*text < '0' || *text > '9')
        return false;
    value = strtoull(text, &end, 10);
    if (*end != '\0') {
        unit = strchr(units, *end);
        if (unit == NULL ||
            (end[1] != '\0' && strcmp(end + 1, "iB") != 0 && strcmp(end + 1, "B") != 0))
            return false;
        shift = 10 * (unsigned)(unit - units + 1);
    }
    if (value > UINT64_MAX >> shift)
        return false;
    *ret_bytes = value << shift;
    return true;
}

/* RegionId and, when `with_zone`, ZoneId of the site that answers. */
static int add_place(struct command *command, struct params *params, bool with_zone)
{
    int outcome;
    json_t *status = objects_site(command, &outcome);
    json_t *site = json_object_get(status, "Site");

    if (status == NULL)
        return outcome;
    params_add(params, "RegionId", reply_text(site, "Region"));
    if (with_zone)
        params_add(params, "ZoneId", reply_text(site, "Zone"));
    json_decref(status);
    return 0;
}

/* Calls, prints `member` of the reply alone when it is given. Takes `params` over. */
static int run(struct command *command, const char *action, struct params *params,
               const char *member, const char *what)
{
    struct reply reply;
    int outcome = 0;

    client_call(command->client, action, NULL, params, &reply);
    params_fini(params);
    if (!reply_is_good(&reply))
        outcome = outcome_tell(&reply, "%s", what);
    else if (command->options.json)
        output_json(reply.body);
    else if (member)
        puts(reply_text(reply.body, member));
    reply_fini(&reply);
    return outcome;
}

static int disk_create(struct command *command)
{
    const struct options *options = &command->options;
    struct params params = {0};
    uint64_t bytes;
    int outcome;

    if (options->size == NULL || !commands_parse_size(options->size, &bytes))
        return outcome_usage("disk create needs --size, such as 1G");
    outcome = add_place(command, &params, true);
    if (outcome == 0) {
        if (options->name)
            params_add(&params, "DiskName", options->name);
        params_addf(&params, "SizeBytes", "%llu", (unsigned long long)bytes);
        return run(command, "CreateDisk", &params, "DiskId", "disk create");
    }
    params_fini(&params);
    return outcome;
}

/* The name as it was given, made absolute: a link such as /dev/disk/by-id/X leads to the same
 * device after a reboot, when what it is called in the kernel may be another one. */
static int add_path(struct params *params, const char *path)
{
    char *folder;

    if (path[0] == '/') {
        params_add(params, "Path", path);
        return 0;
    }
    folder = getcwd(NULL, 0);
    if (folder == NULL)
        return outcome_usage("--path %s: the folder that it begins at cannot be told (%s); give an "
                             "absolute path",
                             path, strerror(errno));
    params_addf(params, "Path", "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, path);
    free(folder);
    return 0;
}

static int disk_import(struct command *command)
{
    const struct options *options = &command->options;
    struct params params = {0};
    int outcome;

    if (options->path == NULL)
        return outcome_usage("disk import needs --path, of a raw file or a block device");
    outcome = add_place(command, &params, true);
    if (outcome) {
        params_fini(&params);
        return outcome;
    }
    outcome = add_path(&params, options->path);
    if (outcome) {
        params_fini(&params);
        return outcome;
    }
    if (options->name)
        params_add(&params, "DiskName", options->name);
    if (options->driver)
        params_add(&params, "Driver", options->driver);
    return run(command, "ImportDisk", &params, "DiskId", "disk import");
}

static int disk_list(struct command *command)
{
    int outcome;
    json_t *list = objects_list_disks(command, &outcome);

    if (list == NULL)
        return outcome;
    outcome =
        output_rows(&command->options, "disks", list, disk_columns, ARRAY_COUNT(disk_columns));
    json_decref(list);
    return outcome;
}

/* DescribeDiskAccess of the disk that words[2] names; owned, or NULL after telling why. */
static json_t *read_access(struct command *command, int *ret_outcome)
{
    struct params params = {0};
    struct reply reply;
    json_t *disk;

    if (command->options.word_count < 3) {
        *ret_outcome = outcome_usage("disk %s needs a disk", command->options.words[1]);
        return NULL;
    }
    disk = objects_find_disk(command, command->options.words[2], ret_outcome);
    if (disk == NULL)
        return NULL;
    params_add(&params, "DiskId", reply_text(disk, "DiskId"));
    json_decref(disk);
    client_call(command->client, "DescribeDiskAccess", NULL, &params, &reply);
    params_fini(&params);
    if (!reply_is_good(&reply)) {
        *ret_outcome = outcome_tell(&reply, "disk %s", command->options.words[2]);
        reply_fini(&reply);
        return NULL;
    }
    disk = json_incref(json_object_get(reply.body, "Disk"));
    reply_fini(&reply);
    return disk;
}

static int disk_show(struct command *command)
{
    int outcome;
    json_t *disk = read_access(command, &outcome);
    json_t *snapshots, *uri;
    size_t index;

    if (disk == NULL)
        return outcome;
    output_fields(&command->options, "disk", disk, show_columns, ARRAY_COUNT(show_columns));
    if (!command->options.json) {
        json_array_foreach(json_object_get(disk, "Uris"), index, uri)
            printf("%-16s %s\n", "url", json_string_value(uri));
        snapshots = json_object_get(disk, "Snapshots");
        if (json_array_size(snapshots) > 0)
            output_rows(&command->options, "snapshots", snapshots, snapshot_columns,
                        ARRAY_COUNT(snapshot_columns));
    }
    json_decref(disk);
    return 0;
}

/* The URI to print: the unix socket's, or with --tcp the network's. */
static const char *uri_of(struct command *command, const json_t *disk)
{
    json_t *uri, *uris = json_object_get(disk, "Uris");
    size_t index;

    json_array_foreach(uris, index, uri)
    {
        const char *text = json_string_value(uri);
        if (text && (strncmp(text, "nbd+unix:", 9) == 0) != command->options.tcp)
            return text;
    }
    uri = json_array_get(uris, 0);
    return json_string_value(uri);
}

static int print_uri(struct command *command)
{
    int outcome;
    json_t *disk = read_access(command, &outcome);
    const char *uri;

    if (disk == NULL)
        return outcome;
    uri = uri_of(command, disk);
    outcome = uri ? 0 : OUTCOME_FAILED;
    if (command->options.json)
        output_fields(&command->options, "disk", disk, NULL, 0);
    else if (uri)
        puts(uri);
    if (!json_is_true(json_object_get(disk, "IsExported")) && !command->options.quiet)
        fprintf(stderr, "verso: disk %s is not exported now: %s\n", reply_text(disk, "DiskId"),
                *reply_text(disk, "Why") ? reply_text(disk, "Why") : "it is not attached");
    json_decref(disk);
    return outcome;
}

/* AttachDisk, DetachDisk, DeleteDisk of the disk that words[2] names. */
static int act_on_disk(struct command *command, const char *action, const char *instance)
{
    struct params params = {0};
    json_t *disk;
    int outcome;

    if (command->options.word_count < 3)
        return outcome_usage("disk %s needs a disk", command->options.words[1]);
    disk = objects_find_disk(command, command->options.words[2], &outcome);
    if (disk == NULL)
        return outcome;
    outcome = add_place(command, &params, false);
    params_add(&params, "DiskId", reply_text(disk, "DiskId"));
    if (instance)
        params_add(&params, "InstanceId", instance);
    json_decref(disk);
    if (outcome == 0)
        return run(command, action, &params, NULL, command->options.words[1]);
    params_fini(&params);
    return outcome;
}

static int disk_attach(struct command *command)
{
    bool json = command->options.json;
    int outcome;

    if (command->options.instance == NULL)
        return outcome_usage(
            "disk attach needs --instance, a name for who uses it, such as i-web1");
    command->options.json = false;
    outcome = act_on_disk(command, "AttachDisk", command->options.instance);
    command->options.json = json;
    return outcome ? outcome : print_uri(command);
}

static int disk_detach(struct command *command)
{
    const char *instance = command->options.instance;
    char held[128];
    json_t *disk;
    int outcome;

    if (instance == NULL && command->options.word_count >= 3) {
        disk = objects_find_disk(command, command->options.words[2], &outcome);
        if (disk == NULL)
            return outcome;
        snprintf(held, sizeof(held), "%s", reply_text(disk, "InstanceId"));
        json_decref(disk);
        instance = held[0] ? held : NULL;
    }
    return act_on_disk(command, "DetachDisk", instance ? instance : "i-none");
}

static int disk_delete(struct command *command)
{
    const struct options *options = &command->options;

    if (options->word_count >= 3 && !options_confirm(options, "delete disk", options->words[2]))
        return OUTCOME_CANCELLED;
    return act_on_disk(command, "DeleteDisk", NULL);
}

static int disk_resize(struct command *command)
{
    const struct options *options = &command->options;
    struct params params = {0};
    uint64_t bytes;
    json_t *disk;
    int outcome;

    if (options->word_count < 3 || options->size == NULL ||
        !commands_parse_size(options->size, &bytes))
        return outcome_usage("disk resize needs a disk and --size, its new size, such as 20G");
    disk = objects_find_disk(command, options->words[2], &outcome);
    if (disk == NULL)
        return outcome;
    params_add(&params, "DiskId", reply_text(disk, "DiskId"));
    params_addf(&params, "NewSizeBytes", "%llu", (unsigned long long)bytes);
    json_decref(disk);
    return run(command, "ResizeDisk", &params, NULL, "disk resize");
}

static const struct {
    const char *verb;
    int (*run)(struct command *command);
} verbs[] = {
    {"create", disk_create}, {"import", disk_import}, {"list", disk_list},     {"ls", disk_list},
    {"show", disk_show},     {"attach", disk_attach}, {"detach", disk_detach}, {"url", print_uri},
    {"delete", disk_delete}, {"rm", disk_delete},     {"resize", disk_resize},
};

int disk_command(struct command *command)
{
    const char *verb = command->options.word_count > 1 ? command->options.words[1] : "list";

    for (unsigned i = 0; i < ARRAY_COUNT(verbs); i++) {
        if (strcmp(verbs[i].verb, verb) == 0)
            return verbs[i].run(command);
    }
    return outcome_usage("disk: unknown verb %s", verb);
}
