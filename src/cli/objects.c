/* SPDX-License-Identifier: Apache-2.0 */
/* Look-ups that all verbs share: lists over all pages, and the object a word names. */
#include "cli/objects.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "cli/outcome.h"

const struct replica_kind replica_kinds[2] = {
    {"pair", "DiskReplicaPair", "ReplicaPairId", "PairIds", "ReplicaPairs", "PairName",
     "SourceRegion", "DestinationRegion"},
    {"group", "DiskReplicaGroup", "ReplicaGroupId", "GroupIds", "ReplicaGroups", "GroupName",
     "SourceRegionId", "DestinationRegionId"},
};

json_t *objects_site(struct command *command, int *ret_outcome)
{
    struct reply reply;

    client_call(command->client, "DescribeVersoStatus", NULL, NULL, &reply);
    if (!reply_is_good(&reply)) {
        *ret_outcome = outcome_tell(&reply, "status");
        reply_fini(&reply);
        return NULL;
    }
    *ret_outcome = 0;
    return reply.body;
}

/* The region name of the site that answers; "" after telling why. */
static int own_region(struct command *command, char *region, size_t size)
{
    int outcome;
    json_t *status = objects_site(command, &outcome);

    if (status == NULL)
        return outcome;
    snprintf(region, size, "%s", reply_text(json_object_get(status, "Site"), "Region"));
    json_decref(status);
    return 0;
}

json_t *objects_pages(struct command *command, const char *action, const struct params *params,
                      const char *outer, const char *inner, int *ret_outcome)
{
    json_t *all = json_array();
    char token[256] = "";

    check(all != NULL);
    for (unsigned page = 0; page < 1000; page++) {
        struct params asked = {0};
        struct reply reply;
        json_t *found;
        for (unsigned i = 0; i < params->count; i++)
            params_add(&asked, params->items[i].name, params->items[i].value);
        if (token[0])
            params_add(&asked, "NextToken", token);
        client_call(command->client, action, NULL, &asked, &reply);
        params_fini(&asked);
        if (!reply_is_good(&reply)) {
            *ret_outcome = outcome_tell(&reply, "%s", action);
            reply_fini(&reply);
            json_decref(all);
            return NULL;
        }
        found = json_object_get(reply.body, outer);
        if (inner)
            found = json_object_get(found, inner);
        json_array_extend(all, found);
        snprintf(token, sizeof(token), "%s", reply_text(reply.body, "NextToken"));
        reply_fini(&reply);
        if (token[0] == '\0')
            break;
    }
    *ret_outcome = 0;
    return all;
}

static json_t *list_replicas(struct command *command, const struct replica_kind *kind,
                             const char *id, int *ret_outcome)
{
    struct params params = {0};
    char action[64], region[64];
    json_t *list;

    *ret_outcome = own_region(command, region, sizeof(region));
    if (*ret_outcome)
        return NULL;
    snprintf(action, sizeof(action), "Describe%ss", kind->action_suffix);
    params_add(&params, "RegionId", region);
    params_add(&params, "MaxResults", "500");
    if (id)
        params_add(&params, kind->ids_parameter, id);
    list = objects_pages(command, action, &params, kind->list_member, NULL, ret_outcome);
    params_fini(&params);
    return list;
}

json_t *objects_list(struct command *command, const struct replica_kind *kind, int *ret_outcome)
{
    return list_replicas(command, kind, NULL, ret_outcome);
}

json_t *objects_read(struct command *command, const struct replica_kind *kind, const char *id,
                     int *ret_outcome)
{
    json_t *list = list_replicas(command, kind, id, ret_outcome);
    json_t *one = json_array_get(list, 0);

    json_incref(one);
    json_decref(list);
    return one;
}

json_t *objects_list_disks(struct command *command, int *ret_outcome)
{
    struct params params = {0};
    char region[64];
    json_t *list;

    *ret_outcome = own_region(command, region, sizeof(region));
    if (*ret_outcome)
        return NULL;
    params_add(&params, "RegionId", region);
    params_add(&params, "MaxResults", "500");
    list = objects_pages(command, "DescribeDisks", &params, "Disks", "Disk", ret_outcome);
    params_fini(&params);
    return list;
}

/* An empty word, as an unset variable leaves one, or the type alone would name whatever there is.
 */
static bool is_prefix(const char *word, const char *id)
{
    const char *dash = strchr(id, '-');
    size_t length = strlen(word);

    return length > (dash ? (size_t)(dash - id) + 1 : 0) && strncmp(id, word, length) == 0;
}

/* The one of `list` that `word` names; takes `list` over. */
static json_t *pick(json_t *list, const char *noun, const char *id_member, const char *name_member,
                    const char *word, int *ret_outcome)
{
    json_t *row, *found = NULL;
    unsigned exact = 0, prefixed = 0;
    size_t index;

    json_array_foreach(list, index, row)
    {
        const char *id = reply_text(row, id_member);
        if (strcmp(id, word) == 0) {
            found = row;
            exact = 1;
            break;
        }
        if (word[0] != '\0' && strcmp(reply_text(row, name_member), word) == 0) {
            found = row;
            exact++;
        } else if (exact == 0 && is_prefix(word, id)) {
            found = row;
            prefixed++;
        }
    }
    if (found == NULL || exact > 1 || (exact == 0 && prefixed > 1)) {
        fprintf(stderr, "verso: %s %s: %s\n  See verso %s list.\n", noun, word,
                found ? "more than one bears this name or prefix: give the id" : "not found", noun);
        *ret_outcome = found ? OUTCOME_USAGE : OUTCOME_NOT_FOUND;
        json_decref(list);
        return NULL;
    }
    json_incref(found);
    json_decref(list);
    return found;
}

json_t *objects_find(struct command *command, const struct replica_kind *kind, const char *word,
                     int *ret_outcome)
{
    json_t *list = objects_list(command, kind, ret_outcome);

    if (list == NULL)
        return NULL;
    return pick(list, kind->noun, kind->id_parameter, kind->name_member, word, ret_outcome);
}

json_t *objects_find_disk(struct command *command, const char *word, int *ret_outcome)
{
    json_t *list = objects_list_disks(command, ret_outcome);

    if (list == NULL)
        return NULL;
    return pick(list, "disk", "DiskId", "DiskName", word, ret_outcome);
}
