/* SPDX-License-Identifier: Apache-2.0 */
/* ClientToken: whose it is, what it stands for, how long it is known, and what is not remembered.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "meta/meta.h"
#include "roster_drive.h"

#define DISK "RegionId=cn-paris&ZoneId=cn-paris-a"

static const uint64_t hour_ns = UINT64_C(3600) * 1000000000;
static const int64_t years_ns = INT64_C(10) * 365 * 86400 * 1000000000;

static void make(struct fake_world *world, const char *token, char *ret_id)
{
    drive_ok(world, PARIS, "CreateDisk", "DiskId", ret_id, DISK "&SizeBytes=4096&ClientToken=%s",
             token);
}

/* Asked again the disk is the same one, or another. */
static void expect_known(struct fake_world *world, const char *token, const char *id, bool is_known)
{
    char again[64];

    make(world, token, again);
    if ((strcmp(id, again) == 0) != is_known)
        fail_msg("token %s: %s, then %s", token, id, again);
}

static unsigned token_count(struct fake_world *world)
{
    struct meta_query all = {.kind = RECORD_TOKEN};
    unsigned count;

    assert_int_equal(meta_count(world->sites[PARIS].meta, &all, &count), 0);
    return count;
}

/* The same text: RequestId is the door's. */
static void test_the_answer_is_the_same(void **state)
{
    static const char query[] =
        "RegionId=cn-paris&SourceZoneId=cn-paris-a&DestinationRegionId=cn-lyon&"
        "DestinationZoneId=cn-lyon-a&RPO=900&ClientToken=one";
    struct fake_world *world = *state;
    unsigned status;
    json_t *first = fake_ask(world, PARIS, "CreateDiskReplicaGroup", query, &status), *again;
    char *first_text = json_dumps(first, JSON_COMPACT), *again_text;

    assert_int_equal(status, 200);
    fake_site_crash(world, PARIS);
    fake_site_start(world, PARIS);
    again = fake_ask(world, PARIS, "CreateDiskReplicaGroup", query, &status);
    assert_int_equal(status, 200);
    again_text = json_dumps(again, JSON_COMPACT);
    assert_string_equal(first_text, again_text);
    free(first_text);
    free(again_text);
    json_decref(first);
    json_decref(again);
}

/* A user who may all, and who asks next. */
static void be_new_user(struct fake_world *world, const char *name)
{
    struct roster_key key;

    roster_drive_as(world, NULL, NULL);
    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=%s", name);
    roster_drive_policy(world, PARIS, name, "all",
                        "{'Effect':'Allow','Action':'*','Resource':'*'}");
    roster_drive_key(world, PARIS, name, &key);
    roster_drive_as(world, name, &key);
}

static void test_a_token_is_one_callers(void **state)
{
    struct fake_world *world = *state;
    char root[64], anna[64], mismatch[64];
    struct roster_key key;

    make(world, "t", root);
    be_new_user(world, "anna");
    expect_known(world, "t", root, false);
    make(world, "t", anna);
    expect_known(world, "t", anna, true);
    roster_drive_as(world, NULL, NULL);
    expect_known(world, "t", root, true);
    roster_drive_key(world, PARIS, NULL, &key); /* root is one, with keys or without */
    roster_drive_as(world, "root", &key);
    expect_known(world, "t", root, true);
    drive_ok(world, PARIS, "CreateDiskReplicaGroup", "ReplicaGroupId",
             mismatch, /* another operation */
             "RegionId=cn-paris&SourceZoneId=cn-paris-a&DestinationRegionId=cn-lyon&"
             "DestinationZoneId=cn-lyon-a&ClientToken=t");
    expect_known(world, "T", root, false); /* case counts */
}

static void test_a_deleted_users_answers_are_nobodys(void **state)
{
    struct fake_world *world = *state;
    char first[64], second[64];

    be_new_user(world, "anna");
    make(world, "t", first);
    expect_known(world, "t", first, true);
    roster_drive_as(world, NULL, NULL);
    drive_ok(world, PARIS, "DeleteUser", NULL, NULL, "UserName=anna");
    be_new_user(world, "anna");
    expect_known(world, "t", first, false);
    make(world, "t", second);
    expect_known(world, "t", second, true);
}

/* TagResources is one of pairs and groups, and another one of disks. */
static void test_a_token_is_one_versions(void **state)
{
    struct fake_world *world = *state;
    char disk[64], group[64];

    make(world, "d", disk);
    drive_ok(world, PARIS, "CreateDiskReplicaGroup", "ReplicaGroupId", group,
             "RegionId=cn-paris&SourceZoneId=cn-paris-a&DestinationRegionId=cn-lyon&"
             "DestinationZoneId=cn-lyon-a");
    for (unsigned i = 0; i < 2; i++) {
        drive_ok(world, PARIS, "TagResources", NULL, NULL,
                 "Version=2021-07-30&RegionId=cn-paris&ResourceType=diskreplicagroup&"
                 "ResourceId.1=%s&Tag.1.Key=a&ClientToken=t",
                 group);
        drive_ok(world, PARIS, "TagResources", NULL, NULL,
                 "Version=2014-05-26&RegionId=cn-paris&ResourceType=disk&ResourceId.1=%s&"
                 "Tag.1.Key=a&ClientToken=t",
                 disk);
    }
}

static void test_parameters_are_compared_by_meaning(void **state)
{
    static const char first[] = "RegionId=cn-paris&SourceZoneId=cn-paris-a&"
                                "DestinationRegionId=cn-lyon&DestinationZoneId=cn-lyon-a&"
                                "GroupName=name&ClientToken=t";
    struct fake_world *world = *state;
    char id[64], again[64];

    drive_ok(world, PARIS, "CreateDiskReplicaGroup", "ReplicaGroupId", id, "%s", first);
    drive_ok(world, PARIS, "CreateDiskReplicaGroup", "ReplicaGroupId", again,
             "%s&RPO=900&EnableRtc=False&SignatureNonce=7&Timestamp=now&Format=XML&Unknown=1",
             first);
    assert_string_equal(id, again);
    drive_fails(world, PARIS, 400, "IdempotentParameterMismatch", NULL, "CreateDiskReplicaGroup",
                "%s&RPO=901", first);
    drive_fails(world, PARIS, 400, "IdempotentParameterMismatch", NULL, "CreateDiskReplicaGroup",
                "%s&Description=another", first);
}

/* Nothing was done: the same token may be used for what is allowed by now. */
static void test_failures_are_not_remembered(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char id[64];
    unsigned before;

    drive_pair(world, &pair);
    before = token_count(world);
    drive_fails(world, PARIS, 400, "InvalidSize.ValueNotSupported", NULL, "CreateDisk",
                DISK "&SizeBytes=4097&ClientToken=a");
    drive_fails(world, PARIS, 403, "OperationDenied.InvalidStatus", NULL, "StopDiskReplicaPair",
                "RegionId=cn-paris&ReplicaPairId=%s&ClientToken=b", pair.id);
    drive_fails(world, PARIS, 404, "NoSuchResource", NULL, "StartDiskReplicaPair",
                "RegionId=cn-paris&ReplicaPairId=pair-none&ClientToken=c");
    world->sites[PARIS].fail_error = -5;
    world->sites[PARIS].fail_op = DATA_DISK_OPEN;
    drive_fails(world, PARIS, 500, "InternalError", NULL, "CreateDisk",
                DISK "&SizeBytes=4096&ClientToken=a");
    assert_int_equal(token_count(world), before);
    make(world, "a", id); /* other parameters than the failed one had */
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL,
             "RegionId=cn-paris&ReplicaPairId=%s&ClientToken=b", pair.id);
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL,
             "RegionId=cn-paris&ReplicaPairId=%s&ClientToken=b", pair.id);
}

static void test_a_day_and_not_longer(void **state)
{
    struct fake_world *world = *state;
    char id[64], young[64];

    make(world, "old", id);
    fake_run(world, 23 * hour_ns);
    expect_known(world, "old", id, true);
    make(world, "young", young);
    fake_run(world, hour_ns + hour_ns / 60);
    expect_known(world, "young", young, true);
    expect_known(world, "old", id, false);
    /* Made anew it is the youngest. */
    make(world, "old", id);
    fake_run(world, 23 * hour_ns);
    expect_known(world, "old", id, true);
    expect_known(world, "young", young, false);
    fake_run(world, 26 * hour_ns);
    assert_int_equal(token_count(world), 1); /* the clock */
}

static void jump(struct fake_world *world, int64_t ns)
{
    world->wall_jump_ns += ns;
    fake_site_crash(world, PARIS);
    fake_site_start(world, PARIS);
}

/* Neither does a jump make it old, nor keep it for ever. */
static void test_clocks_may_jump(void **state)
{
    struct fake_world *world = *state;
    char id[64], later[64];

    make(world, "t", id);
    world->wall_jump_ns += years_ns;
    expect_known(world, "t", id, true);
    jump(world, 0);
    expect_known(world, "t", id, true);
    make(world, "later", later);
    jump(world, -2 * years_ns);
    expect_known(world, "t", id, true);
    expect_known(world, "later", later, true);
    fake_run(world, 25 * hour_ns);
    jump(world, 2 * years_ns);
    expect_known(world, "t", id, false);
    expect_known(world, "later", later, false);
}

/* Short lives of the daemon add up. */
static void test_age_goes_on_over_restarts(void **state)
{
    struct fake_world *world = *state;
    char id[64];

    make(world, "t", id);
    for (unsigned i = 0; i < 13; i++) {
        fake_run(world, 3 * hour_ns);
        jump(world, 0);
    }
    expect_known(world, "t", id, false);
}

static void test_their_number_is_bounded(void **state)
{
    struct fake_world *world = *state;
    char ids[8][64], token[16];

    world->tokens_max = 5;
    jump(world, 0);
    for (unsigned i = 0; i < 8; i++) {
        snprintf(token, sizeof(token), "t-%u", i);
        make(world, token, ids[i]);
        assert_true(token_count(world) <= 5);
    }
    for (unsigned i = 7; i > 2; i--) {
        snprintf(token, sizeof(token), "t-%u", i);
        expect_known(world, token, ids[i], true);
    }
    expect_known(world, "t-0", ids[0], false);
    world->tokens_max = 2; /* less than there are */
    jump(world, 0);
    make(world, "new", ids[0]);
    assert_true(token_count(world) <= 2);
    expect_known(world, "new", ids[0], true);
}

/* Who makes the most loses the oldest of his own. */
static void test_nobody_pushes_out_anothers(void **state)
{
    struct fake_world *world = *state;
    char ids[2][64], newest[64], token[16];

    world->tokens_max = 8;
    jump(world, 0);
    make(world, "r-0", ids[0]);
    make(world, "r-1", ids[1]);
    be_new_user(world, "anna");
    for (unsigned i = 0; i < 20; i++) {
        snprintf(token, sizeof(token), "t-%u", i);
        make(world, token, newest);
        assert_true(token_count(world) <= 8);
    }
    expect_known(world, "t-19", newest, true);
    roster_drive_as(world, NULL, NULL);
    expect_known(world, "r-0", ids[0], true);
    expect_known(world, "r-1", ids[1], true);
}

#define STORY(test) cmocka_unit_test_setup_teardown(test, drive_setup, drive_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_the_answer_is_the_same),
        STORY(test_a_token_is_one_callers),
        STORY(test_a_deleted_users_answers_are_nobodys),
        STORY(test_a_token_is_one_versions),
        STORY(test_parameters_are_compared_by_meaning),
        STORY(test_failures_are_not_remembered),
        STORY(test_a_day_and_not_longer),
        STORY(test_clocks_may_jump),
        STORY(test_age_goes_on_over_restarts),
        STORY(test_their_number_is_bounded),
        STORY(test_nobody_pushes_out_anothers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
