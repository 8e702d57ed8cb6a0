/* SPDX-License-Identifier: Apache-2.0 */
/* Records as JSON, for the link; and short helpers on trees. Local fields never travel. */
#ifndef CONTROL_TREE_H
#define CONTROL_TREE_H

#include <jansson.h>

#include "meta/records.h"

/* Once, before the first tree: a failed allocation of Jansson's ends the process. It would go on
 * with a text cut off, a member less or a word for malformed, and say so to nobody. */
void tree_init(void);

json_t *tree_from_record(enum record_kind kind, const void *record);
/* A number from the peer is counted up and multiplied here: far from where that would overflow. */
#define TREE_INT_MAX (INT64_C(1) << 53)
/* And what counts up with each change is not further ahead of ours than a site can come in its
 * life: behind a number at its end no change would be possible any more. */
bool tree_is_in_reach(int64_t theirs, int64_t ours);
/* Strict: every travelling field must be there, of its type and range (numbers: 0 to
 * TREE_INT_MAX); local fields of `record` are left as they are. False: `record` is undefined. */
bool tree_to_record(enum record_kind kind, const json_t *tree, void *record);

enum {
    TREE_DEPTH_MAX = 16,
    TREE_TOKENS_MAX = 4096,        /* of what somebody asks */
    TREE_CALL_TOKENS_MAX = 16384,  /* of what a peer asks: the records of the largest group */
    TREE_REPLY_TOKENS_MAX = 65536, /* of what we asked for */
};

/* JSON from outside: NULL when it is malformed, has a name twice, is nested deeper than
 * TREE_DEPTH_MAX or has more than `token_max` tokens (names, values, objects, lists). The last two
 * are seen before anything is made of it. */
json_t *tree_parse(const void *bytes, size_t length, unsigned token_max);
/* As tree_parse() counts them. */
size_t tree_count_tokens(const json_t *tree);

/* The text or "" (also when it is of another type). */
const char *tree_text(const json_t *tree, const char *name);
int64_t tree_int(const json_t *tree, const char *name, int64_t otherwise);
bool tree_bool(const json_t *tree, const char *name, bool otherwise);
/* Takes `value` over; NULL is a failed allocation and ends the process: replies are small. */
void tree_set(json_t *tree, const char *name, json_t *value);
void tree_set_text(json_t *tree, const char *name, const char *text);
void tree_set_int(json_t *tree, const char *name, int64_t value);
void tree_set_bool(json_t *tree, const char *name, bool value);
/* "2026-11-22T08:00:00Z"; "" for 0. */
void tree_set_time(json_t *tree, const char *name, int64_t seconds);

#endif
