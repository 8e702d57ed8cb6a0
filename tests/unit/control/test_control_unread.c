/* SPDX-License-Identifier: Apache-2.0 */
/* Records that cannot be read once: nothing is forgotten, nothing is taken for "not there". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "drive.h"
#include "fake_meta.h"

static const uint64_t moment_ns = UINT64_C(30) * 1000000000;

static void cannot_list(struct fake_world *world, unsigned site, enum record_kind kind,
                        unsigned count)
{
    fake_meta_fail(world->sites[site].meta, kind, false, count);
}

static void cannot_get(struct fake_world *world, unsigned site, enum record_kind kind)
{
    fake_meta_fail(world->sites[site].meta, kind, true, 1);
}

static void expect_read(struct fake_world *world, unsigned site)
{
    assert_int_equal(fake_meta_left(world->sites[site].meta), 0);
}

/* Made while the link was cut; at its return the records could not be listed. */
static void test_link_up_is_not_missed(void **state)
{
    static const enum record_kind kinds[] = {RECORD_GROUP, RECORD_PAIR, RECORD_TOMBSTONE};
    struct fake_world *world = *state;
    char group[64];

    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        fake_net(world, false);
        drive_group(world, group);
        cannot_list(world, PARIS, kinds[i], 3);
        fake_net(world, true);
        fake_run(world, moment_ns);
        expect_read(world, PARIS);
        drive_status(world, group, "created");
    }
}

static void test_mark_is_not_missed(void **state)
{
    struct fake_world *world = *state;
    char group[64];

    cannot_get(world, PARIS, RECORD_GROUP);
    drive_group(world, group);
    fake_run(world, moment_ns);
    expect_read(world, PARIS);
    drive_status(world, group, "created");
}

/* The old job would work on, beside the new one. */
static void test_no_change_while_jobs_are_unread(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char count[64];

    drive_pair(world, &pair);
    cannot_list(world, PARIS, RECORD_JOB, 1);
    drive_fails(world, PARIS, 500, "InternalError", "the list of its jobs", "StartDiskReplicaPair",
                "RegionId=cn-paris&ReplicaPairId=%s", pair.id);
    expect_read(world, PARIS);
    drive_status(world, pair.id, "created");
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, "RegionId=cn-paris&ReplicaPairId=%s",
             pair.id);
    fake_copy(world);
    drive_status(world, pair.id, "normal");
    cannot_list(world, PARIS, RECORD_JOB, 1);
    drive_fails(world, PARIS, 500, "InternalError", "the list of its jobs", "ForgetDiskReplica",
                "ReplicaId=%s&Confirm=%s&Reason=test", pair.id, pair.id);
    drive_ok(world, PARIS, "DescribeDiskReplicaPairs", "TotalCount", count, "RegionId=cn-paris");
    assert_string_equal(count, "1");
}

/* Deleted at one site: the other is asked until it could look. */
static void test_deletion_reaches_the_peer(void **state)
{
    struct fake_world *world = *state;

    for (unsigned i = 0; i < 3; i++) {
        struct drive_pair pair;

        drive_pair(world, &pair);
        drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL,
                 "RegionId=cn-paris&ReplicaPairId=%s", pair.id);
        fake_copy(world);
        drive_ok(world, PARIS, "StopDiskReplicaPair", NULL, NULL,
                 "RegionId=cn-paris&ReplicaPairId=%s", pair.id);
        drive_status(world, pair.id, "stopped");
        fake_hold(world, PARIS, DATA_STREAM_REMOVE, false);
        drive_ok(world, PARIS, "DeleteDiskReplicaPair", NULL, NULL,
                 "RegionId=cn-paris&ReplicaPairId=%s", pair.id);
        drive_status(world, pair.id, "deleting");
        if (i == 0) /* is a deletion under way? then: which jobs end? */
            cannot_list(world, LYON, RECORD_JOB, 2);
        else if (i == 1)
            cannot_get(world, LYON, RECORD_PAIR);
        else /* the answer */
            cannot_get(world, PARIS, RECORD_TOMBSTONE);
        fake_release(world, PARIS);
        fake_run(world, moment_ns);
        expect_read(world, i == 2 ? PARIS : LYON);
        drive_status(world, pair.id, "");
    }
}

/* Which pair a disk is in cannot be read: it may be a target's. (The first listing of each call is
 * that of ended one-shots, which comes again.) */
static void test_disk_of_an_unread_pair(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char disk[64];

    drive_pair(world, &pair);
    drive_disk(world, LYON, disk);
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, "RegionId=cn-paris&ReplicaPairId=%s",
             pair.id);
    fake_copy(world);
    cannot_list(world, LYON, RECORD_PAIR, 2);
    drive_fails(world, LYON, 500, "InternalError", NULL, "AttachDisk", "InstanceId=i-1&DiskId=%s",
                pair.lyon_disk);
    cannot_list(world, LYON, RECORD_PAIR, 2);
    drive_fails(world, LYON, 500, "InternalError", NULL, "DeleteDisk", "DiskId=%s", pair.lyon_disk);
    cannot_list(world, PARIS, RECORD_PAIR, 2);
    drive_fails(world, PARIS, 500, "InternalError", NULL, "CreateDiskReplicaPair",
                "RegionId=cn-paris&SourceZoneId=cn-paris-a&DiskId=%s&DestinationRegionId=cn-lyon&"
                "DestinationZoneId=cn-lyon-a&DestinationDiskId=%s",
                pair.paris_disk, disk);
    drive_ok(world, LYON, "DescribeDisks", "TotalCount", disk, "RegionId=cn-lyon");
    assert_string_equal(disk, "2");
}

static void test_group_of_unread_pairs(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char group[64];

    drive_group(world, group);
    drive_pair(world, &pair);
    drive_add(world, group, &pair);
    cannot_list(world, PARIS, RECORD_PAIR, 2);
    drive_fails(world, PARIS, 500, "InternalError", NULL, "DeleteDiskReplicaGroup",
                "RegionId=cn-paris&ReplicaGroupId=%s", group);
    drive_status(world, group, "created");
}

static void expect_unread(struct fake_world *world, const char *action, const char *id)
{
    bool is_group = strncmp(id, "pg-", 3) == 0, is_start = strncmp(action, "Start", 5) == 0;
    const char *what = is_group ? "Group" : "Pair";

    drive_fails(world, is_start ? PARIS : LYON, 500, "InternalError", NULL, action,
                "RegionId=%s&Replica%sId=%s&ReverseReplicate=false",
                is_start ? "cn-paris" : "cn-lyon", what, id);
    expect_read(world, PARIS);
    expect_read(world, LYON);
}

/* A group whose pairs cannot be read has not none, and is not started without them. */
static void test_start_of_unread_pairs(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char group[64];

    drive_group(world, group);
    drive_pair(world, &pair);
    drive_add(world, group, &pair);
    /* Behind the listing of ended one-shots: has it pairs? which, for the other site? each. */
    for (unsigned spared = 1; spared <= 2; spared++) {
        fake_meta_fail_behind(world->sites[PARIS].meta, RECORD_PAIR, false, spared, 1);
        expect_unread(world, "StartDiskReplicaGroup", group);
        drive_status(world, group, "created");
    }
    fake_meta_fail_behind(world->sites[PARIS].meta, RECORD_PAIR, true, 0, 1);
    expect_unread(world, "StartDiskReplicaGroup", group);
    assert_null(fake_stream_of(world, LYON, group));
    drive_ok(world, PARIS, "StartDiskReplicaGroup", NULL, NULL,
             "RegionId=cn-paris&ReplicaGroupId=%s", group);
    fake_copy(world);
    drive_status(world, group, "normal");
}

/* The other site would not be told of what becomes of those that are in it already. */
static void test_add_beside_unread_pairs(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pairs[2];
    char group[64];

    drive_group(world, group);
    drive_pair(world, &pairs[0]);
    drive_add(world, group, &pairs[0]);
    drive_pair(world, &pairs[1]);
    /* Ended one-shots; the quota; whose stream ends; who is told. */
    for (unsigned spared = 1; spared <= 3; spared++) {
        fake_meta_fail_behind(world->sites[PARIS].meta, RECORD_PAIR, false, spared, 1);
        drive_fails(world, PARIS, 500, "InternalError", NULL, "AddDiskReplicaPair",
                    "RegionId=cn-paris&ReplicaGroupId=%s&ReplicaPairId=%s", group, pairs[1].id);
        expect_read(world, PARIS);
    }
    drive_add(world, group, &pairs[1]);
}

/* Hosts may have them: they become no target's. */
static void test_unread_attachments(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char group[64];

    drive_group(world, group);
    drive_pair(world, &pair);
    drive_add(world, group, &pair);
    cannot_get(world, LYON, RECORD_ATTACHMENT);
    expect_unread(world, "StartDiskReplicaGroup", group);
    drive_ok(world, PARIS, "StartDiskReplicaGroup", NULL, NULL,
             "RegionId=cn-paris&ReplicaGroupId=%s", group);
    fake_copy(world);
    drive_ok(world, LYON, "FailoverDiskReplicaGroup", NULL, NULL,
             "RegionId=cn-lyon&ReplicaGroupId=%s", group);
    drive_status(world, group, "failovered");
    cannot_get(world, LYON, RECORD_ATTACHMENT);
    expect_unread(world, "ReprotectDiskReplicaGroup", group);
    cannot_get(world, PARIS, RECORD_ATTACHMENT);
    expect_unread(world, "ReprotectDiskReplicaGroup", group);
    fake_meta_fail_behind(world->sites[LYON].meta, RECORD_PAIR, false, 2, 1);
    expect_unread(world, "ReprotectDiskReplicaGroup", group);
    drive_status(world, group, "failovered");
    drive_ok(world, LYON, "ReprotectDiskReplicaGroup", NULL, NULL,
             "RegionId=cn-lyon&ReplicaGroupId=%s&ReverseReplicate=false", group);
    drive_status(world, group, "stopped");
}

/* The outcome came while the job's row could not be read: it is asked for again. */
static void test_job_is_not_forgotten(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    drive_pair(world, &pair);
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, "RegionId=cn-paris&ReplicaPairId=%s",
             pair.id);
    fake_copy(world);
    fake_hold(world, PARIS, DATA_STREAM_STOP, false);
    drive_ok(world, PARIS, "StopDiskReplicaPair", NULL, NULL, "RegionId=cn-paris&ReplicaPairId=%s",
             pair.id);
    cannot_get(world, PARIS, RECORD_JOB);
    fake_release(world, PARIS);
    fake_run(world, moment_ns);
    expect_read(world, PARIS);
    drive_status(world, pair.id, "stopped");
}

/* What the token stands for may have been done: it is not done twice. */
static void test_token_is_not_forgotten(void **state)
{
    static const char asked[] = "RegionId=cn-paris&ZoneId=cn-paris-a&SizeBytes=4096&ClientToken=t1";
    struct fake_world *world = *state;
    char first[64], again[64];

    drive_ok(world, PARIS, "CreateDisk", "DiskId", first, "%s", asked);
    cannot_get(world, PARIS, RECORD_TOKEN);
    drive_fails(world, PARIS, 500, "InternalError", NULL, "CreateDisk", "%s", asked);
    expect_read(world, PARIS);
    drive_ok(world, PARIS, "CreateDisk", "DiskId", again, "%s", asked);
    assert_string_equal(first, again);
}

/* A source's disk without its stream would be written with nobody remembering it. */
static void test_start_waits_for_the_records(void **state)
{
    static const enum record_kind kinds[] = {RECORD_DISK, RECORD_GROUP, RECORD_PAIR};
    struct fake_world *world = *state;
    struct drive_pair pair;

    drive_pair(world, &pair);
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, "RegionId=cn-paris&ReplicaPairId=%s",
             pair.id);
    drive_ok(world, PARIS, "AttachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s", pair.paris_disk);
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct fake_disk *disk = fake_disk_of(world, PARIS, pair.paris_disk);

        fake_site_crash(world, PARIS);
        world->sites[PARIS].unread_kind = kinds[i];
        world->sites[PARIS].unread_count = 2;
        fake_site_start(world, PARIS);
        assert_false(disk->is_wanted);
        fake_run(world, moment_ns);
        assert_true(disk->is_open && disk->is_wanted);
        assert_true(fake_stream_of(world, PARIS, pair.id)->is_open);
    }
}

static void test_stop_while_a_start_waits(void **state)
{
    struct fake_world *world = *state;

    fake_site_crash(world, PARIS);
    world->sites[PARIS].unread_kind = RECORD_PAIR;
    world->sites[PARIS].unread_count = 1000;
    fake_site_start(world, PARIS); /* the teardown stops it */
}

#define STORY(test) cmocka_unit_test_setup_teardown(test, drive_setup, drive_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_link_up_is_not_missed),
        STORY(test_mark_is_not_missed),
        STORY(test_no_change_while_jobs_are_unread),
        STORY(test_deletion_reaches_the_peer),
        STORY(test_disk_of_an_unread_pair),
        STORY(test_group_of_unread_pairs),
        STORY(test_start_of_unread_pairs),
        STORY(test_add_beside_unread_pairs),
        STORY(test_unread_attachments),
        STORY(test_job_is_not_forgotten),
        STORY(test_token_is_not_forgotten),
        STORY(test_start_waits_for_the_records),
        STORY(test_stop_while_a_start_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
