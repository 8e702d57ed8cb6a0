/* SPDX-License-Identifier: Apache-2.0 */
/* Operations that come together: one commit, each stands or falls alone, all fall with the commit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "drive.h"
#include "fake_meta.h"

enum { MANY = 8 };

#define GROUP                                                                                      \
    "RegionId=cn-paris&SourceZoneId=cn-paris-a&DestinationRegionId=cn-lyon&"                       \
    "DestinationZoneId=cn-lyon-a"

/* Creations of groups with tokens. */
static void fill(struct fake_asked asked[MANY])
{
    static const char *const queries[MANY] = {GROUP "&ClientToken=0", GROUP "&ClientToken=1",
                                              GROUP "&ClientToken=2", GROUP "&ClientToken=3",
                                              GROUP "&ClientToken=4", GROUP "&ClientToken=5",
                                              GROUP "&ClientToken=6", GROUP "&ClientToken=7"};

    memset(asked, 0, MANY * sizeof(*asked));
    for (unsigned i = 0; i < MANY; i++)
        asked[i] = (struct fake_asked){.action = "CreateDiskReplicaGroup", .query = queries[i]};
}

static void drop(struct fake_asked *asked, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        json_decref(asked[i].reply);
}

static const char *field_of(const struct fake_asked *asked, const char *name)
{
    const char *text = json_string_value(json_object_get(asked->reply, name));

    return text ? text : "";
}

static void expect_groups(struct fake_world *world, unsigned site, unsigned count)
{
    char text[64], wanted[16];

    snprintf(wanted, sizeof(wanted), "%u", count);
    drive_ok(world, site, "DescribeDiskReplicaGroups", "TotalCount", text, "RegionId=%s",
             drive_regions[site]);
    assert_string_equal(text, wanted);
}

static void test_one_commit_for_all(void **state)
{
    struct fake_world *world = *state;
    struct fake_asked asked[MANY];
    unsigned before = fake_meta_commits(world->sites[PARIS].meta);

    fill(asked);
    fake_ask_together(world, PARIS, asked, MANY);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(asked[i].status, 200);
    assert_int_equal(fake_meta_commits(world->sites[PARIS].meta) - before, 1);
    expect_groups(world, PARIS, MANY);
    fake_run(world, 0);
    expect_groups(world, LYON, MANY); /* each was told */
    drop(asked, MANY);
}

/* The commit is tried once, for all of them; nothing of any is there, and nothing was sent. */
static void test_all_fall_with_the_commit(void **state)
{
    struct fake_world *world = *state;
    struct fake_asked asked[MANY];

    fake_ask_and_forget(world, PARIS, "DescribeDiskReplicaGroups", "RegionId=cn-paris");
    fill(asked);
    fake_meta_fail_commits(world->sites[PARIS].meta, 2);
    fake_ask_together(world, PARIS, asked, MANY);
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(asked[i].status, 500);
        assert_string_equal(field_of(&asked[i], "Code"), "InternalError");
    }
    drop(asked, MANY);
    expect_groups(world, PARIS, 0);
    expect_groups(world, LYON, 0);
    fake_meta_fail_commits(world->sites[PARIS].meta, 0);
    fill(asked); /* the tokens are free */
    fake_ask_together(world, PARIS, asked, MANY);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(asked[i].status, 200);
    expect_groups(world, PARIS, MANY);
    drop(asked, MANY);
}

static void test_one_falls_alone(void **state)
{
    struct fake_world *world = *state;
    struct fake_asked asked[MANY];

    fill(asked);
    fake_meta_fail_put(world->sites[PARIS].meta, "CreateDiskReplicaGroup/2021-07-30/root/5");
    fake_ask_together(world, PARIS, asked, MANY);
    fake_meta_fail_put(world->sites[PARIS].meta, NULL);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(asked[i].status, i == 5 ? 500 : 200);
    expect_groups(world, PARIS, MANY - 1); /* its group is gone as well */
    fake_site_crash(world, PARIS);
    fake_site_start(world, PARIS);
    expect_groups(world, PARIS, MANY - 1);
    drop(asked, MANY);
}

/* Operations on one relation in one moment are judged one after the other, and who was told of
 * what never became durable is told of nothing. */
static void test_judged_in_turn(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char group[64], query[200], modify[300], add[300];
    struct fake_asked asked[4];

    drive_pair(world, &pair);
    drive_group(world, group);
    snprintf(query, sizeof(query), "RegionId=cn-paris&ReplicaGroupId=%s", group);
    snprintf(modify, sizeof(modify), "%s&Description=another", query);
    snprintf(add, sizeof(add), "%s&ReplicaPairId=%s", query, pair.id);
    for (unsigned round = 0; round < 2; round++) {
        struct fake_asked all[4] = {
            {.action = "ModifyDiskReplicaGroup", .query = modify},
            {.action = "DeleteDiskReplicaGroup", .query = query},
            {.action = "AddDiskReplicaPair", .query = add},
            {.action = "DescribeDiskReplicaGroups", .query = "RegionId=cn-paris"},
        };

        memcpy(asked, all, sizeof(asked));
        fake_meta_fail_commits(world->sites[PARIS].meta, round == 0 ? 2 : 0);
        fake_ask_together(world, PARIS, asked, 4);
        for (unsigned i = 0; round == 0 && i < 3; i++)
            assert_int_equal(asked[i].status, 500);
        if (round == 0) {
            fake_meta_fail_commits(world->sites[PARIS].meta, 0);
            drive_status(world, group, "created");
        } else {
            assert_int_equal(asked[0].status, 200);
            assert_int_equal(asked[1].status, 200);
            assert_int_not_equal(asked[2].status, 200); /* it is being deleted, or gone */
            fake_run(world, UINT64_C(1000000000));
            expect_groups(world, LYON, 0);
        }
        drop(asked, 4);
    }
}

/* The same token twice in one moment: once done, once in progress. */
static void test_a_token_twice_at_once(void **state)
{
    struct fake_world *world = *state;
    struct fake_asked asked[MANY];
    unsigned done = 0;

    fill(asked);
    for (unsigned i = 1; i < MANY; i++)
        asked[i].query = asked[1].query;
    fake_ask_together(world, PARIS, asked, MANY);
    for (unsigned i = 1; i < MANY; i++) {
        done += asked[i].status == 200;
        if (asked[i].status != 200)
            assert_string_equal(field_of(&asked[i], "Code"), "LastTokenProcessing");
    }
    assert_int_equal(done, 1);
    expect_groups(world, PARIS, 2);
    drop(asked, MANY);
}

/* What goes on in the data wing begins behind the common commit. */
static void test_disks_begin_behind_the_commit(void **state)
{
    static const char query[] = "RegionId=cn-paris&ZoneId=cn-paris-a&SizeBytes=4096";
    struct fake_world *world = *state;
    struct fake_asked asked[4];
    char count[64];

    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 4; i++)
            asked[i] = (struct fake_asked){.action = "CreateDisk", .query = query};
        fake_meta_fail_commits(world->sites[PARIS].meta, round == 0 ? 2 : 0);
        fake_ask_together(world, PARIS, asked, 4);
        for (unsigned i = 0; i < 4; i++)
            assert_int_equal(asked[i].status, round == 0 ? 500 : 200);
        fake_meta_fail_commits(world->sites[PARIS].meta, 0);
        drive_ok(world, PARIS, "DescribeDisks", "TotalCount", count, "RegionId=cn-paris");
        assert_string_equal(count, round == 0 ? "0" : "4");
        for (unsigned i = 0; round == 0 && i < FAKE_DISKS; i++)
            assert_false(world->sites[PARIS].disks[i].exists);
        drop(asked, 4);
    }
}

/* What asked the peer first shares the commit at its end; and what judges by records needs no
 * status of the data wing. */
static void test_after_a_wait(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pairs[4];
    char queries[4][200];
    struct fake_asked asked[4];
    unsigned before;

    for (unsigned i = 0; i < 4; i++) {
        drive_pair(world, &pairs[i]);
        snprintf(queries[i], sizeof(queries[i]), "RegionId=cn-paris&ReplicaPairId=%.60s",
                 pairs[i].id);
        asked[i] = (struct fake_asked){.action = "StartDiskReplicaPair", .query = queries[i]};
    }
    before = fake_meta_commits(world->sites[PARIS].meta);
    fake_ask_together(world, PARIS, asked, 4);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(asked[i].status, 200);
    /* Of each: that its stream is open, that its job ended. Of all: that they are started. */
    assert_in_range(fake_meta_commits(world->sites[PARIS].meta) - before, 1, 9);
    drop(asked, 4);
}

static void test_by_record(void **state)
{
    struct fake_world *world = *state;
    struct fake_asked asked[MANY];
    unsigned before;

    fill(asked);
    fake_ask_and_forget(world, PARIS, "DescribeDiskReplicaGroups", "RegionId=cn-paris");
    fake_hold(world, PARIS, DATA_STATUS, false);
    before = fake_meta_commits(world->sites[PARIS].meta);
    fake_ask_together(world, PARIS, asked, MANY);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(asked[i].status, 200);
    assert_int_equal(fake_meta_commits(world->sites[PARIS].meta) - before, 1);
    fake_ask_and_forget(world, PARIS, "DescribeVersoStatus", ""); /* this does */
    fake_release(world, PARIS);
    drop(asked, MANY);
}

/* How many lines with `part` were logged into it. */
static unsigned count_lines(FILE *log, const char *part)
{
    char line[2000];
    unsigned count = 0;

    rewind(log);
    while (fgets(line, sizeof(line), log))
        count += strstr(line, part) != NULL;
    return count;
}

/* Metadata without room, asked much for half a minute, alone and together: a line each ten seconds;
 * then there is room, and that is told. */
static void test_no_flood_of_lines(void **state)
{
    struct fake_world *world = *state;
    struct fake_asked asked[MANY];
    FILE *log = tmpfile();
    int before = dup(STDERR_FILENO);
    unsigned status;

    assert_non_null(log);
    dup2(fileno(log), STDERR_FILENO);
    fake_meta_fail_commits(world->sites[PARIS].meta, 1000);
    for (unsigned i = 0; i < 60; i++) {
        fill(asked);
        fake_ask_together(world, PARIS, asked, MANY);
        drop(asked, MANY);
        json_decref(fake_ask(world, PARIS, "CreateDiskReplicaGroup", GROUP, &status));
        fake_run(world, 500000000);
    }
    fake_meta_fail_commits(world->sites[PARIS].meta, 0);
    fake_run(world, UINT64_C(11000000000));
    fill(asked);
    fake_ask_together(world, PARIS, asked, MANY);
    dup2(before, STDERR_FILENO);
    close(before);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(asked[i].status, 200);
    drop(asked, MANY);
    assert_in_range(count_lines(log, "metadata: made to fail"), 3, 5);
    assert_int_equal(count_lines(log, "CreateDiskReplicaGroup: "), 0); /* in the events */
    assert_int_equal(count_lines(log, "metadata: changes are stored again"), 1);
    fclose(log);
}

#define STORY(test) cmocka_unit_test_setup_teardown(test, drive_setup, drive_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_one_commit_for_all),    STORY(test_all_fall_with_the_commit),
        STORY(test_one_falls_alone),       STORY(test_judged_in_turn),
        STORY(test_a_token_twice_at_once), STORY(test_disks_begin_behind_the_commit),
        STORY(test_after_a_wait),          STORY(test_by_record),
        STORY(test_no_flood_of_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
