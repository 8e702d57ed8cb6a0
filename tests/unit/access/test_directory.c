/* SPDX-License-Identifier: Apache-2.0 */
/* Why: whose key, and what he may; nothing of a user's earlier life counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "access/directory.h"

#define ALLOW_ALL                                                                                  \
    "{\"Version\":\"1\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"}" \
    "]}"

static void put_user(struct directory *directory, const char *name, const char *uid, bool deleted)
{
    struct user_record record = {.access.is_deleted = deleted};

    strcpy(record.access.id, name);
    strcpy(record.uid, uid);
    directory_apply_user(directory, &record);
}

static void put_key(struct directory *directory, const char *id, const char *user, const char *uid,
                    bool is_enabled, bool deleted)
{
    struct access_key_record record = {.access.is_deleted = deleted, .is_enabled = is_enabled};

    strcpy(record.access.id, id);
    strcpy(record.user, user);
    strcpy(record.user_uid, uid);
    directory_apply_key(directory, &record, deleted ? NULL : "secret");
}

static void put_policy(struct directory *directory, const char *uid, const char *document)
{
    struct policy_record record = {.access.id = "all"};

    strcpy(record.uid, uid);
    strcpy(record.document, document);
    directory_apply_policy(directory, &record);
}

static void put_link(struct directory *directory, const char *user_uid, const char *policy_uid,
                     bool deleted)
{
    struct policy_link_record record = {
        .access = {.id = "anna/all", .is_deleted = deleted}, .user = "anna", .policy = "all"};

    strcpy(record.user_uid, user_uid);
    strcpy(record.policy_uid, policy_uid);
    directory_apply_link(directory, &record);
}

static unsigned count_policies(struct directory *directory)
{
    const struct policy *const *policies;
    unsigned count;

    directory_policies(directory, "anna", &policies, &count);
    return count;
}

static void test_lives(void **state)
{
    struct directory *directory = directory_new();
    struct directory_key key;
    struct caller caller = {.kind = CALLER_USER, .user = "anna", .key_id = "K1"};

    (void)state;
    assert_false(directory_find_key(directory, "K1", &key));
    put_user(directory, "anna", "1", false);
    put_key(directory, "K1", "anna", "1", true, false);
    assert_true(directory_find_key(directory, "K1", &key));
    assert_string_equal(key.user, "anna");
    assert_string_equal(key.secret, "secret");
    assert_int_equal(key.kind, CALLER_USER);
    assert_true(directory_knows(directory, &caller));
    caller.kind = CALLER_ROOT_KEY;
    assert_false(directory_knows(directory, &caller));
    caller.kind = CALLER_USER;
    strcpy(caller.user, "bert");
    assert_false(directory_knows(directory, &caller));
    strcpy(caller.user, "anna");

    put_key(directory, "K1", "anna", "1", false, false);
    assert_true(directory_find_key(directory, "K1", &key));
    assert_false(key.is_enabled);
    assert_false(directory_knows(directory, &caller));
    put_key(directory, "K1", "anna", "1", true, false);

    put_policy(directory, "p1", ALLOW_ALL);
    put_link(directory, "1", "p1", false);
    assert_int_equal(count_policies(directory), 1);
    put_policy(directory, "p2", ALLOW_ALL); /* another life of the policy */
    assert_int_equal(count_policies(directory), 0);
    put_policy(directory, "p1", ALLOW_ALL);
    assert_int_equal(count_policies(directory), 1);

    put_user(directory, "anna", "1", true);
    assert_false(directory_find_key(directory, "K1", &key));
    assert_null(directory_user_uid(directory, "anna"));
    assert_int_equal(count_policies(directory), 0);
    put_user(directory, "anna", "2", false); /* another life of the user */
    assert_false(directory_find_key(directory, "K1", &key));
    assert_int_equal(count_policies(directory), 0);
    put_link(directory, "2", "p1", false);
    assert_int_equal(count_policies(directory), 1);
    put_link(directory, "2", "p1", true);
    assert_int_equal(count_policies(directory), 0);

    put_key(directory, "R", "root", "root", true, false);
    assert_true(directory_find_key(directory, "R", &key));
    assert_int_equal(key.kind, CALLER_ROOT_KEY);
    put_key(directory, "R", "root", "root", true, true);
    assert_false(directory_find_key(directory, "R", &key));
    directory_free(directory);
}

static void test_what_is_not_understood_denies(void **state)
{
    struct directory *directory = directory_new();
    struct policy_question question = {.action = "ebs:X", .resource = "acs:ebs:a:b:c"};
    const struct policy *const *policies;
    unsigned count;

    (void)state;
    put_user(directory, "anna", "1", false);
    put_policy(directory, "p1", "{\"Version\":\"9\"}");
    put_link(directory, "1", "p1", false);
    directory_policies(directory, "anna", &policies, &count);
    assert_int_equal(policy_evaluate(policies, count, &question), POLICY_DENIED);
    directory_free(directory);
}

static void test_use(void **state)
{
    struct directory *directory = directory_new();
    char id[RECORD_ACCESS_ID_SIZE];
    int64_t used_s;

    (void)state;
    put_key(directory, "K1", "root", "root", true, false);
    put_key(directory, "K2", "root", "root", true, false);
    directory_use_key(directory, "K1", 5);
    directory_use_key(directory, "K1", 7);
    directory_use_key(directory, "K1", 6);
    directory_use_key(directory, "none", 7);
    assert_true(directory_take_used(directory, id, &used_s));
    assert_string_equal(id, "K1");
    assert_int_equal(used_s, 7);
    assert_false(directory_take_used(directory, id, &used_s));
    assert_int_equal(directory_used_s(directory, "K1"), 7);
    assert_int_equal(directory_used_s(directory, "K2"), 0);
    directory_use_key(directory, "K2", 9);
    put_key(directory, "K2", "root", "root", true, true);
    assert_false(directory_take_used(directory, id, &used_s));
    directory_free(directory);
}

static void test_many(void **state)
{
    struct directory *directory = directory_new();
    struct directory_key key;
    char id[40];

    (void)state;
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(id, sizeof(id), "KEY%u", i);
        put_key(directory, id, "root", "root", true, false);
    }
    for (unsigned i = 0; i < 5000; i += 2) {
        snprintf(id, sizeof(id), "KEY%u", i);
        put_key(directory, id, "root", "root", true, true);
    }
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(id, sizeof(id), "KEY%u", i);
        assert_int_equal(directory_find_key(directory, id, &key), i % 2);
    }
    directory_free(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lives),
        cmocka_unit_test(test_what_is_not_understood_denies),
        cmocka_unit_test(test_use),
        cmocka_unit_test(test_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
