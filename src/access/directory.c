/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: each request asks "whose key is that, and what may he?"; the answer must cost less than
 * reading the request. Four tables by name; a user's policies are gathered once after a change.
 *
 * What a record says holds for one life of its user and policy (uid): a key made for an earlier
 * "anna" opens nothing for a later one.
 */
#include "access/directory.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"

enum { DIRECTORY_MAGIC = 0x64697200, BUCKETS = 1024 };

struct node {
    struct node *next;
    char id[RECORD_ACCESS_ID_SIZE];
};

struct table {
    struct node *buckets[BUCKETS];
};

struct user {
    struct node node;
    char uid[RECORD_WORD_SIZE];
    uint64_t serial; /* of the directory, when `policies` was gathered */
    const struct policy **policies;
    unsigned count;
};

struct key {
    struct node node;
    char user[RECORD_WORD_SIZE], user_uid[RECORD_WORD_SIZE];
    bool is_enabled, is_used; /* used: since it was taken */
    int64_t used_s;
    char secret[DIRECTORY_SECRET_SIZE];
};

struct named_policy {
    struct node node;
    char uid[RECORD_WORD_SIZE];
    struct policy *policy;
};

struct policy_link {
    struct node node;
    char user[RECORD_WORD_SIZE], user_uid[RECORD_WORD_SIZE];
    char policy[RECORD_WORD_SIZE], policy_uid[RECORD_WORD_SIZE];
};

struct directory {
    uint32_t magic;
    uint64_t serial; /* rises with each change of users, policies, links */
    unsigned used_count;
    struct table users, keys, policies, links;
};

/* --- tables ---------------------------------------------------------------------------------- */

static struct node **slot_of(struct table *table, const char *id)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    struct node **slot;

    for (const char *at = id; *at; at++)
        hash = (hash ^ (uint8_t)*at) * UINT64_C(0x100000001b3);
    slot = &table->buckets[hash % BUCKETS];
    while (*slot && strcmp((*slot)->id, id) != 0)
        slot = &(*slot)->next;
    return slot;
}

/* The node of that id, made when there is none. */
static void *node_put(struct table *table, const char *id, size_t size)
{
    struct node **slot = slot_of(table, id);

    if (!*slot) {
        *slot = calloc(1, size);
        check(*slot && strlen(id) < sizeof((*slot)->id));
        strcpy((*slot)->id, id);
    }
    return *slot;
}

static void user_free(struct node *node)
{
    free(((struct user *)node)->policies);
    free(node);
}

static void key_free(struct node *node)
{
    OPENSSL_cleanse(((struct key *)node)->secret, DIRECTORY_SECRET_SIZE);
    free(node);
}

static void policy_node_free(struct node *node)
{
    policy_free(((struct named_policy *)node)->policy);
    free(node);
}

static void link_free(struct node *node)
{
    free(node);
}

static void node_remove(struct table *table, const char *id, void (*free_cb)(struct node *node))
{
    struct node **slot = slot_of(table, id), *node = *slot;

    if (!node)
        return;
    *slot = node->next;
    free_cb(node);
}

static void table_free(struct table *table, void (*free_cb)(struct node *node))
{
    for (unsigned i = 0; i < BUCKETS; i++)
        while (table->buckets[i]) {
            struct node *node = table->buckets[i];

            table->buckets[i] = node->next;
            free_cb(node);
        }
}

struct directory *directory_new(void)
{
    struct directory *directory = calloc(1, sizeof(*directory));

    if (directory) {
        directory->magic = DIRECTORY_MAGIC;
        directory->serial = 1;
    }
    return directory;
}

void directory_free(struct directory *directory)
{
    if (!directory)
        return;
    check_magic(directory, DIRECTORY_MAGIC);
    table_free(&directory->users, user_free);
    table_free(&directory->keys, key_free);
    table_free(&directory->policies, policy_node_free);
    table_free(&directory->links, link_free);
    directory->magic = 0;
    free(directory);
}

/* --- asking ---------------------------------------------------------------------------------- */

const char *directory_user_uid(struct directory *directory, const char *user)
{
    const struct node *node;

    check_magic(directory, DIRECTORY_MAGIC);
    node = *slot_of(&directory->users, user);
    return node ? ((const struct user *)node)->uid : NULL;
}

bool directory_find_key(struct directory *directory, const char *key_id, struct directory_key *ret)
{
    const struct key *key;
    const char *uid;

    check_magic(directory, DIRECTORY_MAGIC);
    key = (const struct key *)*slot_of(&directory->keys, key_id);
    if (!key)
        return false;
    *ret = (struct directory_key){.kind = CALLER_USER,
                                  .user = key->user,
                                  .secret = key->secret,
                                  .is_enabled = key->is_enabled};
    if (strcmp(key->user, "root") == 0) {
        ret->kind = CALLER_ROOT_KEY;
        return true;
    }
    uid = directory_user_uid(directory, key->user);
    return uid && strcmp(uid, key->user_uid) == 0;
}

bool directory_knows(struct directory *directory, const struct caller *caller)
{
    struct directory_key key;

    if (caller->kind == CALLER_LOCAL)
        return true;
    return directory_find_key(directory, caller->key_id, &key) && key.is_enabled &&
           key.kind == caller->kind && strcmp(key.user, caller->user) == 0;
}

static void gather(struct directory *directory, struct user *user)
{
    unsigned count_max = 0;

    user->count = 0;
    for (unsigned i = 0; i < BUCKETS; i++)
        for (struct node *node = directory->links.buckets[i]; node; node = node->next) {
            const struct policy_link *link = (const struct policy_link *)node;
            const struct named_policy *policy;

            if (strcmp(link->user, user->node.id) != 0 || strcmp(link->user_uid, user->uid) != 0)
                continue;
            policy = (const struct named_policy *)*slot_of(&directory->policies, link->policy);
            if (!policy || strcmp(policy->uid, link->policy_uid) != 0)
                continue;
            if (user->count == count_max) {
                count_max = count_max ? 2 * count_max : 8;
                user->policies = realloc(user->policies, count_max * sizeof(*user->policies));
                check(user->policies);
            }
            user->policies[user->count++] = policy->policy;
        }
    user->serial = directory->serial;
}

void directory_policies(struct directory *directory, const char *name,
                        const struct policy *const **ret_policies, unsigned *ret_count)
{
    struct user *user;

    check_magic(directory, DIRECTORY_MAGIC);
    user = (struct user *)*slot_of(&directory->users, name);
    if (user && user->serial != directory->serial)
        gather(directory, user);
    *ret_policies = user ? user->policies : NULL;
    *ret_count = user ? user->count : 0;
}

/* --- use ------------------------------------------------------------------------------------- */

void directory_use_key(struct directory *directory, const char *key_id, int64_t now_s)
{
    struct key *key;

    check_magic(directory, DIRECTORY_MAGIC);
    key = (struct key *)*slot_of(&directory->keys, key_id);
    if (!key || key->used_s >= now_s)
        return;
    key->used_s = now_s;
    directory->used_count += !key->is_used;
    key->is_used = true;
}

int64_t directory_used_s(struct directory *directory, const char *key_id)
{
    const struct key *key;

    check_magic(directory, DIRECTORY_MAGIC);
    key = (const struct key *)*slot_of(&directory->keys, key_id);
    return key ? key->used_s : 0;
}

bool directory_take_used(struct directory *directory, char ret_key_id[RECORD_ACCESS_ID_SIZE],
                         int64_t *ret_s)
{
    check_magic(directory, DIRECTORY_MAGIC);
    for (unsigned i = 0; directory->used_count > 0 && i < BUCKETS; i++)
        for (struct node *node = directory->keys.buckets[i]; node; node = node->next) {
            struct key *key = (struct key *)node;

            if (!key->is_used)
                continue;
            key->is_used = false;
            directory->used_count--;
            strcpy(ret_key_id, key->node.id);
            *ret_s = key->used_s;
            return true;
        }
    return false;
}

/* --- filling --------------------------------------------------------------------------------- */

void directory_apply_user(struct directory *directory, const struct user_record *record)
{
    struct user *user;

    check_magic(directory, DIRECTORY_MAGIC);
    directory->serial++;
    if (record->access.is_deleted) {
        node_remove(&directory->users, record->access.id, user_free);
        return;
    }
    user = node_put(&directory->users, record->access.id, sizeof(*user));
    strcpy(user->uid, record->uid);
}

void directory_apply_key(struct directory *directory, const struct access_key_record *record,
                         const char *secret)
{
    struct key *key;

    check_magic(directory, DIRECTORY_MAGIC);
    key = (struct key *)*slot_of(&directory->keys, record->access.id);
    if (record->access.is_deleted) {
        directory->used_count -= key && key->is_used;
        node_remove(&directory->keys, record->access.id, key_free);
        return;
    }
    check(secret && strlen(secret) < sizeof(key->secret));
    key = node_put(&directory->keys, record->access.id, sizeof(*key));
    strcpy(key->user, record->user);
    strcpy(key->user_uid, record->user_uid);
    strcpy(key->secret, secret);
    key->is_enabled = record->is_enabled;
    if (record->last_used_s > key->used_s)
        key->used_s = record->last_used_s;
}

/* Records are checked before they are kept; one that is not understood now was not written by us,
 * or by a newer us. What it forbids is unknown, so it forbids all. */
static struct policy *compile(const struct policy_record *record)
{
    static const char nothing[] = "{\"Version\":\"1\",\"Statement\":[{\"Effect\":\"Deny\","
                                  "\"Action\":\"*\",\"Resource\":\"*\"}]}";
    struct policy *policy = NULL;
    struct err err = {0};
    int result = policy_parse(record->document, strlen(record->document), &policy, &err);

    check(result != -ENOMEM);
    if (result == 0)
        return policy;
    log_error("access", "policy %s is not understood, so it denies everything: %s",
              record->access.id, err.text);
    check(policy_parse(nothing, strlen(nothing), &policy, &err) == 0);
    return policy;
}

void directory_apply_policy(struct directory *directory, const struct policy_record *record)
{
    struct named_policy *policy;

    check_magic(directory, DIRECTORY_MAGIC);
    directory->serial++;
    if (record->access.is_deleted) {
        node_remove(&directory->policies, record->access.id, policy_node_free);
        return;
    }
    policy = node_put(&directory->policies, record->access.id, sizeof(*policy));
    policy_free(policy->policy);
    policy->policy = compile(record);
    strcpy(policy->uid, record->uid);
}

void directory_apply_link(struct directory *directory, const struct policy_link_record *record)
{
    struct policy_link *link;

    check_magic(directory, DIRECTORY_MAGIC);
    directory->serial++;
    if (record->access.is_deleted) {
        node_remove(&directory->links, record->access.id, link_free);
        return;
    }
    link = node_put(&directory->links, record->access.id, sizeof(*link));
    strcpy(link->user, record->user);
    strcpy(link->user_uid, record->user_uid);
    strcpy(link->policy, record->policy);
    strcpy(link->policy_uid, record->policy_uid);
}
