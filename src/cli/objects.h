/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pairs and groups as verso sees them: two kinds of one noun. The table says which operation,
 * parameter and list belong to each, so that every verb is written once.
 */
#ifndef CLI_OBJECTS_H
#define CLI_OBJECTS_H

#include "cli/options.h"

struct replica_kind {
    const char *noun;          /* "pair", "group" */
    const char *action_suffix; /* "DiskReplicaPair", "DiskReplicaGroup" */
    const char *id_parameter;  /* "ReplicaPairId" */
    const char *ids_parameter; /* filter of the Describe operation: "PairIds" */
    const char *list_member;   /* "ReplicaPairs" */
    const char *name_member;   /* "PairName" */
    const char *source_region, *destination_region; /* members with the present direction */
};

extern const struct replica_kind replica_kinds[2];

/* The site that answers and its peers, from DescribeVersoStatus; NULL after telling why. Owned by
 * the caller. */
json_t *objects_site(struct command *command, int *ret_outcome);
/* The list (of `outer`, or of `inner` in it) of all pages of an action; NULL after telling why. */
json_t *objects_pages(struct command *command, const char *action, const struct params *params,
                      const char *outer, const char *inner, int *ret_outcome);
/* Every record of a kind, all pages; NULL after telling why. */
json_t *objects_list(struct command *command, const struct replica_kind *kind, int *ret_outcome);
/* The record that `word` names: id, name, or unique prefix of an id; NULL after telling why. */
json_t *objects_find(struct command *command, const struct replica_kind *kind, const char *word,
                     int *ret_outcome);
/* The record anew by id; NULL with *ret_outcome 0: gone. */
json_t *objects_read(struct command *command, const struct replica_kind *kind, const char *id,
                     int *ret_outcome);
/* The disk that `word` names, as DescribeDisks tells it. */
json_t *objects_find_disk(struct command *command, const char *word, int *ret_outcome);
json_t *objects_list_disks(struct command *command, int *ret_outcome);

#endif
