/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tags: keys with values on pairs, groups and disks. Those of pairs and groups are the same at both
 * sites: of two sets of one resource the one of the last writer stands (version, then the site's
 * name), as a whole. They go with their resource.
 */
#ifndef CONTROL_TAG_H
#define CONTROL_TAG_H

#include <jansson.h>

#include "control/change.h"

enum { TAGS_MAX = 20 }; /* of one resource */

/* [{"TagKey":, "TagValue":}], in the order in which they were set; NULL: they cannot be read. */
json_t *tag_list(struct site *site, const char *resource);
/* Does it have all of these ([{"Key":, "Value":}], without "Value": whatever the value is)? */
bool tag_matches(struct site *site, const char *resource, const json_t *filter);
/* How many it would have with these besides; negative: they cannot be read. */
int tag_count_with(struct site *site, const char *resource, const json_t *tags);

/* Inside a transaction: sets these ([{"Key":, "Value":}]); takes those keys (an array of texts;
 * NULL: all) away. Then sync_mark(), for a pair or group. */
void tag_put(struct change *change, const char *resource, const json_t *tags);
void tag_remove(struct change *change, const char *resource, const json_t *keys);
/* The resource itself goes. */
void tag_forget(struct change *change, const char *resource);

/* For the link: {"version":, "site":, "list": [...]}, NULL without an error: none were ever set. */
int tag_tree(struct site *site, const char *resource, json_t **ret_tree);
/* Takes the peer's if they are newer. 1: ours are; 0: alike or taken; -EINVAL: malformed. */
int tag_adopt(struct site *site, const char *resource, const json_t *tree);

#endif
