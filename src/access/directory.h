/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users, access keys and policies in memory, for the way of every request: no database is asked.
 * Filled from the records at the start and after each change, by control/roster.c.
 *
 * A key belongs to one life of a user: when the user was deleted and made again, its uid is another
 * and the old keys and attachments count no more.
 */
#ifndef ACCESS_DIRECTORY_H
#define ACCESS_DIRECTORY_H

#include "access/caller.h"
#include "access/policy.h"

enum { DIRECTORY_SECRET_SIZE = 129 };

struct directory;

struct directory *directory_new(void); /* NULL: no memory */
void directory_free(struct directory *directory);

struct directory_key {
    enum caller_kind kind; /* CALLER_ROOT_KEY or CALLER_USER */
    const char *user;      /* "root" or a name; as long as the directory is not changed */
    const char *secret;    /* the same */
    bool is_enabled;
};

/* False: no such key, or its user is gone. */
bool directory_find_key(struct directory *directory, const char *key_id, struct directory_key *ret);
/* A request was signed rightly with the key; kept until directory_take_used(). */
void directory_use_key(struct directory *directory, const char *key_id, int64_t now_s);

/* The user's uid; NULL: no such user. */
const char *directory_user_uid(struct directory *directory, const char *user);
/* What is attached to the user; none: *ret_count is 0. As long as the directory is not changed. */
void directory_policies(struct directory *directory, const char *user,
                        const struct policy *const **ret_policies, unsigned *ret_count);
/* May this caller still call: the key (and user) is there, enabled, and his? */
bool directory_knows(struct directory *directory, const struct caller *caller);

/* The record as it is now, a deleted one too. `secret`: of an access key that is not deleted. A
 * policy's document was parsed before; one that cannot be is taken as a Deny of everything. */
void directory_apply_user(struct directory *directory, const struct user_record *record);
void directory_apply_key(struct directory *directory, const struct access_key_record *record,
                         const char *secret);
void directory_apply_policy(struct directory *directory, const struct policy_record *record);
void directory_apply_link(struct directory *directory, const struct policy_link_record *record);

/* Hands out one key that was used since: its id and when. False: none is left. */
bool directory_take_used(struct directory *directory, char ret_key_id[RECORD_ACCESS_ID_SIZE],
                         int64_t *ret_s);
/* The newest use known here, taken or not; 0: none. */
int64_t directory_used_s(struct directory *directory, const char *key_id);

#endif
