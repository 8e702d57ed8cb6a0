/* SPDX-License-Identifier: Apache-2.0 */
/* The life of pairs and groups at two sites: create, start, fail over, reprotect both ways. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drive.h"

#define PAIR_OK(site, action, region, id)                                                          \
    drive_ok(world, site, action, NULL, NULL, "RegionId=%s&ReplicaPairId=%s", region, id)
#define GROUP_OK(site, action, region, id)                                                         \
    drive_ok(world, site, action, NULL, NULL, "RegionId=%s&ReplicaGroupId=%s", region, id)

static void test_pair_first_copy(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    drive_pair(world, &pair);
    drive_status(world, pair.id, "created");
    drive_expect(world, PARIS, pair.id, "Site", "production");
    drive_expect(world, LYON, pair.id, "Site", "backup");
    drive_expect(world, LYON, pair.id, "SourceDiskId", pair.paris_disk);
    drive_expect(world, PARIS, pair.id, "LastRecoverPoint", "");
    PAIR_OK(PARIS, "StartDiskReplicaPair", "cn-paris", pair.id);
    drive_status(world, pair.id, "initial_syncing");
    fake_copy(world);
    drive_status(world, pair.id, "normal");
    fake_run(world, 901ull * 1000000000);
    drive_status(world, pair.id, "syncing"); /* the point is older than the RPO */
    fake_copy(world);
    drive_status(world, pair.id, "normal");
    PAIR_OK(PARIS, "StopDiskReplicaPair", "cn-paris", pair.id);
    drive_status(world, pair.id, "stopped");
    assert_false(fake_stream_of(world, PARIS, pair.id)->is_started);
}

static void test_one_shot_ends_by_itself(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    drive_pair(world, &pair);
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL,
             "RegionId=cn-paris&ReplicaPairId=%s&OneShot=true", pair.id);
    drive_status(world, pair.id, "manual_syncing");
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL,
             "RegionId=cn-paris&ReplicaPairId=%s&OneShot=true&ClientToken=again", pair.id);
    fake_copy(world);
    drive_status(world, pair.id, "stopped");
    drive_fails(world, PARIS, 403, "OperationDenied.ManualSyncLimit", NULL, "StartDiskReplicaPair",
                "RegionId=cn-paris&ReplicaPairId=%s&OneShot=true", pair.id);
    fake_run(world, 451ull * 1000000000);
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL,
             "RegionId=cn-paris&ReplicaPairId=%s&OneShot=true", pair.id);
}

static void test_either_region_starts_and_stops(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    drive_pair(world, &pair);
    PAIR_OK(LYON, "StartDiskReplicaPair", "cn-lyon", pair.id); /* passed on to the source */
    assert_true(fake_stream_of(world, PARIS, pair.id)->is_started);
    PAIR_OK(PARIS, "StopDiskReplicaPair", "cn-lyon", pair.id); /* there and back again */
    drive_status(world, pair.id, "stopped");
}

/* Two members, started and copied. */
static void make_group(struct fake_world *world, char *ret_group, struct drive_pair pairs[2])
{
    drive_group(world, ret_group);
    for (unsigned i = 0; i < 2; i++) {
        drive_pair(world, &pairs[i]);
        drive_add(world, ret_group, &pairs[i]);
    }
    GROUP_OK(PARIS, "StartDiskReplicaGroup", "cn-paris", ret_group);
    drive_status(world, ret_group, "syncing");
    fake_copy(world);
    drive_status(world, ret_group, "normal");
}

static void test_group_round_trip(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pairs[2];
    char group[64];

    make_group(world, group, pairs);
    drive_status(world, pairs[1].id, "normal"); /* members follow */
    assert_int_equal(fake_stream_of(world, LYON, group)->disk_count, 2);
    assert_null(fake_stream_of(world, LYON, pairs[0].id));

    drive_fails(world, PARIS, 403, "OperationDenied.OperateNotAllowedForPrimary", NULL,
                "FailoverDiskReplicaGroup", "RegionId=cn-paris&ReplicaGroupId=%s", group);
    GROUP_OK(PARIS, "FailoverDiskReplicaGroup", "cn-lyon", group); /* passed on by RegionId */
    drive_status(world, group, "failovered");
    drive_status(world, pairs[0].id, "failovered");
    GROUP_OK(LYON, "FailoverDiskReplicaGroup", "cn-lyon", group); /* a repeat */
    drive_expect(world, LYON, group, "SourceRegionId", "cn-paris");
    assert_int_equal(fake_stream_of(world, PARIS, group)->role, DATA_ROLE_FENCED);

    GROUP_OK(LYON, "ReprotectDiskReplicaGroup", "cn-lyon", group);
    drive_status(world, group, "stopped");
    for (unsigned site = 0; site < 2; site++) {
        drive_expect(world, site, group, "SourceRegionId", "cn-lyon");
        drive_expect(world, site, group, "DestinationZoneId", "cn-paris-a");
        drive_expect(world, site, group, "PrimaryRegion", "cn-paris");
        drive_expect(world, site, group, "StandbyZone", "cn-lyon-a");
        drive_expect(world, site, group, "Site", site == PARIS ? "production" : "backup");
        drive_expect(world, site, pairs[0].id, "SourceDiskId", pairs[0].lyon_disk);
        drive_expect(world, site, pairs[0].id, "DestinationDiskId", pairs[0].paris_disk);
        drive_expect(world, site, pairs[0].id, "SourceRegion", "cn-lyon");
    }

    /* The other direction: lyon is the source, paris the target that fails over. */
    GROUP_OK(PARIS, "StartDiskReplicaGroup", "cn-paris", group);
    assert_true(fake_stream_of(world, LYON, group)->is_started);
    fake_copy(world);
    drive_fails(world, LYON, 403, "OperationDenied.OperateNotAllowedForStandby", NULL,
                "FailoverDiskReplicaGroup", "RegionId=cn-lyon&ReplicaGroupId=%s", group);
    drive_fails(world, LYON, 403, "OperationDenied.OperateNotAllowedForStandby", NULL,
                "ReprotectDiskReplicaGroup", "RegionId=cn-lyon&ReplicaGroupId=%s", group);
    GROUP_OK(PARIS, "FailoverDiskReplicaGroup", "cn-paris", group);
    GROUP_OK(PARIS, "ReprotectDiskReplicaGroup", "cn-paris", group);
    drive_status(world, group, "stopped");
    drive_expect(world, LYON, group, "SourceRegionId", "cn-paris");
    GROUP_OK(PARIS, "StartDiskReplicaGroup", "cn-paris", group);
    fake_copy(world);
    drive_status(world, group, "normal");
}

static void test_failover_cancelled(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pairs[2];
    char group[64];

    make_group(world, group, pairs);
    GROUP_OK(LYON, "FailoverDiskReplicaGroup", "cn-lyon", group);
    drive_ok(world, LYON, "ReprotectDiskReplicaGroup", NULL, NULL,
             "RegionId=cn-lyon&ReplicaGroupId=%s&ReverseReplicate=FALSE", group);
    drive_status(world, group, "stopped");
    drive_expect(world, LYON, group, "SourceRegionId", "cn-paris");
    assert_int_equal(fake_stream_of(world, PARIS, group)->role, DATA_ROLE_SOURCE);
    GROUP_OK(PARIS, "StartDiskReplicaGroup", "cn-paris", group);
    fake_copy(world);
    drive_status(world, group, "normal");
}

static void test_failover_alone_and_return(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pairs[2];
    char group[64];

    make_group(world, group, pairs);
    fake_site_crash(world, PARIS);
    GROUP_OK(LYON, "FailoverDiskReplicaGroup", "cn-lyon", group);
    drive_expect(world, LYON, group, "Status", "failovered");
    drive_ok(world, LYON, "AttachDisk", NULL, NULL, "InstanceId=i-2&DiskId=%s", pairs[0].lyon_disk);
    drive_fails(world, LYON, 504, "RequestTimeout", "paris", "ReprotectDiskReplicaGroup",
                "RegionId=cn-lyon&ReplicaGroupId=%s", group);
    drive_fails(world, LYON, 504, "RequestTimeout", "paris", "DescribeDiskReplicaGroups",
                "RegionId=cn-paris");
    fake_site_start(world, PARIS);
    drive_status(world, group, "failovered"); /* paris learned of it */
    GROUP_OK(LYON, "ReprotectDiskReplicaGroup", "cn-lyon", group);
    drive_status(world, group, "stopped");
    drive_expect(world, PARIS, group, "SourceRegionId", "cn-lyon");
}

static void test_attached_primary_keeps_from_reprotect(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pairs[2];
    char group[64];

    make_group(world, group, pairs);
    drive_ok(world, PARIS, "AttachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s",
             pairs[1].paris_disk);
    GROUP_OK(LYON, "FailoverDiskReplicaGroup", "cn-lyon", group);
    drive_fails(world, LYON, 403, "OperationDenied", pairs[1].paris_disk,
                "ReprotectDiskReplicaGroup", "RegionId=cn-lyon&ReplicaGroupId=%s", group);
    drive_status(world, group, "failovered");
    drive_ok(world, PARIS, "DetachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s",
             pairs[1].paris_disk);
    GROUP_OK(LYON, "ReprotectDiskReplicaGroup", "cn-lyon", group);
    drive_status(world, group, "stopped");
}

static void test_members_leave_and_all_is_deleted(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pairs[2];
    char group[64];

    make_group(world, group, pairs);
    GROUP_OK(PARIS, "StopDiskReplicaGroup", "cn-paris", group);
    fake_run(world, 0);
    drive_fails(world, PARIS, 403, "OperationDenied.GroupHasPair", NULL, "DeleteDiskReplicaGroup",
                "RegionId=cn-paris&ReplicaGroupId=%s", group);
    for (unsigned i = 0; i < 2; i++)
        drive_ok(world, PARIS, "RemoveDiskReplicaPair", NULL, NULL,
                 "RegionId=cn-paris&ReplicaGroupId=%s&ReplicaPairId=%s", group, pairs[i].id);
    fake_run(world, 1000000000);
    drive_status(world, pairs[0].id, "stopped");
    drive_expect(world, LYON, pairs[0].id, "ReplicaGroupId", "");
    assert_null(fake_stream_of(world, PARIS, group)); /* the old stream is gone at both */
    assert_null(fake_stream_of(world, LYON, group));
    GROUP_OK(PARIS, "DeleteDiskReplicaGroup", "cn-paris", group);
    PAIR_OK(PARIS, "StartDiskReplicaPair", "cn-paris", pairs[0].id);
    fake_copy(world);
    drive_status(world, pairs[0].id, "normal");
    /* It held a copy before: compared, not copied blindly. */
    assert_true(fake_stream_of(world, PARIS, pairs[0].id)->disks[0].is_seeded);
    PAIR_OK(PARIS, "StopDiskReplicaPair", "cn-paris", pairs[0].id);
    fake_run(world, 0);
    PAIR_OK(PARIS, "DeleteDiskReplicaPair", "cn-paris", pairs[0].id);
    fake_run(world, 1000000000);
    drive_status(world, group, "");
    drive_status(world, pairs[0].id, "");
    assert_null(fake_stream_of(world, LYON, pairs[0].id));
    drive_ok(world, LYON, "DeleteDisk", NULL, NULL, "DiskId=%s", pairs[0].lyon_disk);
}

/* The journal cannot be brought into the disks: nobody gets disks that lack it. */
static void test_delete_that_would_lose_the_journal_fails(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    drive_pair(world, &pair);
    PAIR_OK(PARIS, "StartDiskReplicaPair", "cn-paris", pair.id);
    fake_copy(world);
    fake_net(world, false);
    PAIR_OK(LYON, "FailoverDiskReplicaPair", "cn-lyon", pair.id);
    fake_run(world, 1000000000);
    world->sites[LYON].fail_op = DATA_STREAM_REMOVE;
    world->sites[LYON].fail_error = -EUCLEAN;
    PAIR_OK(LYON, "DeleteDiskReplicaPair", "cn-lyon", pair.id);
    fake_run(world, 1000000000);
    drive_expect(world, LYON, pair.id, "Status", "delete_failed");
    assert_non_null(fake_stream_of(world, LYON, pair.id));
    PAIR_OK(LYON, "DeleteDiskReplicaPair", "cn-lyon", pair.id);
    fake_run(world, 1000000000);
    drive_expect(world, LYON, pair.id, "Status", "");
    assert_null(fake_stream_of(world, LYON, pair.id));
}

/* The peer deleted it: not tried again with each word of the peer, but when it is opened anew. */
static void test_delete_that_fails_at_the_target_rests(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char other[40];

    for (unsigned i = 0; i < 100; i++) { /* any number of relations have their troubles */
        snprintf(other, sizeof(other), "pair-%u", i);
        site_note_trouble(control_site(world->sites[LYON].control), other, "its journal rots");
    }
    drive_pair(world, &pair);
    PAIR_OK(PARIS, "StartDiskReplicaPair", "cn-paris", pair.id);
    fake_copy(world);
    PAIR_OK(PARIS, "StopDiskReplicaPair", "cn-paris", pair.id);
    fake_run(world, 1000000000);
    world->sites[LYON].fail_op = DATA_STREAM_REMOVE;
    world->sites[LYON].fail_error = -EUCLEAN;
    PAIR_OK(PARIS, "DeleteDiskReplicaPair", "cn-paris", pair.id);
    fake_run(world, 10000000000);
    drive_expect(world, PARIS, pair.id, "Status", "");
    drive_expect(world, LYON, pair.id, "Status", "delete_failed");
    fake_site_crash(world, LYON);
    fake_site_start(world, LYON);
    fake_run(world, 10000000000);
    drive_expect(world, LYON, pair.id, "Status", "");
    assert_null(fake_stream_of(world, LYON, pair.id));
}

/* A group that is failed over, whose production site is lost for good: dissolved at the other one;
 * and the lost one, back after all, does not open. */
/* The peer knows of each deletion, a member's too. */
static void assert_all_are_told(struct fake_world *world, unsigned site)
{
    void *records = NULL;
    unsigned count = 0;

    assert_int_equal(
        meta_list(world->sites[site].meta, RECORD_TOMBSTONE, NULL, NULL, &records, &count), 0);
    assert_int_equal(count, 3);
    for (unsigned i = 0; i < count; i++)
        assert_true(((const struct tombstone_record *)records)[i].is_acked);
    free(records);
}

static void test_forget_ends_a_failed_over_group(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pairs[2];
    char group[64];

    drive_group(world, group);
    for (unsigned i = 0; i < 2; i++) {
        drive_pair(world, &pairs[i]);
        drive_add(world, group, &pairs[i]);
    }
    GROUP_OK(PARIS, "StartDiskReplicaGroup", "cn-paris", group);
    fake_copy(world);
    fake_net(world, false);
    fake_run(world, 0);
    GROUP_OK(LYON, "FailoverDiskReplicaGroup", "cn-lyon", group);
    fake_run(world, 1000000000);
    drive_fails(world, LYON, 403, "OperationDenied", group, "ForgetDiskReplica",
                "ReplicaId=%s&Confirm=%s&Reason=fire", pairs[0].id, pairs[0].id);
    drive_fails(world, LYON, 400, "InvalidParameter", group, "ForgetDiskReplica",
                "ReplicaId=%s&Confirm=another&Reason=fire", group);
    drive_ok(world, LYON, "ForgetDiskReplica", NULL, NULL, "ReplicaId=%s&Confirm=%s&Reason=fire",
             group, group);
    fake_run(world, 1000000000);
    drive_expect(world, LYON, group, "Status", "");
    drive_expect(world, LYON, pairs[1].id, "Status", "");
    assert_null(fake_stream_of(world, LYON, group));
    drive_ok(world, LYON, "AttachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s", pairs[0].lyon_disk);
    /* Nobody told paris of the failover: it is a source as ever, until the link is there. */
    assert_int_equal(fake_stream_of(world, PARIS, group)->role, DATA_ROLE_SOURCE);
    fake_site_crash(world, PARIS);
    fake_site_start(world, PARIS);
    fake_net(world, true);
    fake_run(world, 20000000000);
    drive_expect(world, PARIS, group, "Status", "invalid");
    assert_int_equal(fake_stream_of(world, PARIS, group)->role, DATA_ROLE_FENCED);
    drive_expect(world, LYON, group, "Status", ""); /* it was not brought back */
    drive_ok(world, PARIS, "ForgetDiskReplica", NULL, NULL, "ReplicaId=%s&Confirm=%s&Reason=over",
             group, group);
    fake_run(world, 1000000000);
    drive_status(world, group, "");
    drive_status(world, pairs[0].id, "");
    assert_all_are_told(world, PARIS);
}

/* The failover was answered, a host is attached, and the engine is not that far. */
static void test_forget_while_failing_over(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    drive_pair(world, &pair);
    PAIR_OK(PARIS, "StartDiskReplicaPair", "cn-paris", pair.id);
    fake_copy(world);
    fake_net(world, false);
    fake_hold(world, LYON, DATA_STREAM_FAILOVER, false);
    PAIR_OK(LYON, "FailoverDiskReplicaPair", "cn-lyon", pair.id);
    drive_ok(world, LYON, "AttachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s", pair.lyon_disk);
    assert_int_equal(fake_stream_of(world, LYON, pair.id)->role, DATA_ROLE_TARGET);
    drive_ok(world, LYON, "ForgetDiskReplica", NULL, NULL, "ReplicaId=%s&Confirm=%s&Reason=fire",
             pair.id, pair.id);
    fake_release(world, LYON);
    fake_run(world, 1000000000);
    drive_expect(world, LYON, pair.id, "Status", "");
    assert_true(fake_is_exported(world, LYON, pair.lyon_disk));
    assert_int_equal(fake_stream_of(world, PARIS, pair.id)->role, DATA_ROLE_SOURCE);
    fake_net(world, true);
    fake_run(world, 20000000000);
    drive_expect(world, PARIS, pair.id, "Status", "invalid");
    assert_int_equal(fake_stream_of(world, PARIS, pair.id)->role, DATA_ROLE_FENCED);
}

/* That site's hosts write, and this one, which was told, is fenced: nothing is taken from them. */
static void test_forget_of_a_failover_elsewhere(void **state)
{
    struct fake_world *world = *state;
    struct tombstone_record tombstone;
    struct drive_pair pair;

    drive_pair(world, &pair);
    PAIR_OK(PARIS, "StartDiskReplicaPair", "cn-paris", pair.id);
    fake_copy(world);
    fake_hold(world, LYON, DATA_STREAM_FAILOVER, true);
    PAIR_OK(LYON, "FailoverDiskReplicaPair", "cn-lyon", pair.id);
    fake_run(world, 1000000000);
    drive_expect(world, PARIS, pair.id, "Status", "failovering");
    assert_int_equal(fake_stream_of(world, PARIS, pair.id)->role, DATA_ROLE_FENCED);
    drive_ok(world, PARIS, "ForgetDiskReplica", NULL, NULL, "ReplicaId=%s&Confirm=%s&Reason=moving",
             pair.id, pair.id);
    fake_release(world, LYON);
    fake_run(world, 20000000000);
    drive_expect(world, PARIS, pair.id, "Status", "");
    assert_int_equal(meta_get(world->sites[PARIS].meta, RECORD_TOMBSTONE, pair.id, &tombstone), 0);
    assert_int_equal(tombstone.forgotten, TOMBSTONE_LEFT);
    assert_int_equal(fake_stream_of(world, LYON, pair.id)->role, DATA_ROLE_PROMOTED);
}

/* The target gives it up: the source's hosts write on, and it ships no more. */
static void test_forget_at_the_target_leaves_the_source(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    drive_pair(world, &pair);
    PAIR_OK(PARIS, "StartDiskReplicaPair", "cn-paris", pair.id);
    fake_copy(world);
    drive_ok(world, LYON, "ForgetDiskReplica", NULL, NULL, "ReplicaId=%s&Confirm=%s&Reason=moving",
             pair.id, pair.id);
    fake_run(world, 20000000000);
    drive_expect(world, LYON, pair.id, "Status", "");
    drive_expect(world, PARIS, pair.id, "Status", "invalid");
    assert_int_equal(fake_stream_of(world, PARIS, pair.id)->role, DATA_ROLE_SOURCE);
    assert_false(fake_stream_of(world, PARIS, pair.id)->is_started);
    PAIR_OK(PARIS, "DeleteDiskReplicaPair", "cn-paris", pair.id);
    fake_run(world, 1000000000);
    drive_status(world, pair.id, "");
}

/* The one that gives it up died before the end, and its record came with the link: "deleting". */
static void test_forget_that_was_pushed(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    drive_pair(world, &pair);
    PAIR_OK(PARIS, "StartDiskReplicaPair", "cn-paris", pair.id);
    fake_copy(world);
    drive_write_state(world, PARIS, pair.id, REPLICA_DELETING);
    drive_ok(world, LYON, "ForgetDiskReplica", NULL, NULL, "ReplicaId=%s&Confirm=%s&Reason=moving",
             pair.id, pair.id);
    fake_run(world, 20000000000);
    drive_expect(world, LYON, pair.id, "Status", "");
    drive_expect(world, PARIS, pair.id, "Status", "invalid");
}

/* Its end takes a while, and meanwhile the other site goes on with what it knows. */
static void test_forget_is_not_taken_back(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    drive_pair(world, &pair);
    PAIR_OK(PARIS, "StartDiskReplicaPair", "cn-paris", pair.id);
    fake_copy(world);
    fake_hold(world, LYON, DATA_STREAM_REMOVE, false);
    drive_ok(world, LYON, "ForgetDiskReplica", NULL, NULL, "ReplicaId=%s&Confirm=%s&Reason=moving",
             pair.id, pair.id);
    fake_run(world, 100000000);
    PAIR_OK(PARIS, "StopDiskReplicaPair", "cn-paris", pair.id);
    fake_run(world, 1000000000);
    drive_expect(world, LYON, pair.id, "Status", "deleting");
    fake_release(world, LYON);
    fake_run(world, 20000000000);
    drive_expect(world, LYON, pair.id, "Status", "");
    drive_expect(world, PARIS, pair.id, "Status", "invalid");
}

/* The stream that would be failed over is on its way out: behind it nothing would keep the hosts of
 * both sites apart. */
static void test_no_failover_while_membership_changes(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pairs[2];
    char group[64];

    make_group(world, group, pairs);
    GROUP_OK(PARIS, "StopDiskReplicaGroup", "cn-paris", group);
    drive_status(world, group, "stopped");
    fake_hold(world, LYON, DATA_STREAM_REMOVE, false);
    drive_ok(world, PARIS, "RemoveDiskReplicaPair", NULL, NULL,
             "RegionId=cn-paris&ReplicaGroupId=%s&ReplicaPairId=%s", group, pairs[1].id);
    fake_run(world, 1000000000);
    drive_fails(world, LYON, 403, "OperationDenied.InvalidStatus", "other pairs",
                "FailoverDiskReplicaGroup", "RegionId=cn-lyon&ReplicaGroupId=%s", group);
    fake_release(world, LYON);
    fake_run(world, 1000000000);
    drive_status(world, group, "stopped");
    drive_fails(world, LYON, 403, "OperationDenied.InvalidStatus", "no recovery point",
                "FailoverDiskReplicaGroup", "RegionId=cn-lyon&ReplicaGroupId=%s", group);
    drive_fails(world, LYON, 403, "IncorrectDiskStatus", "secondary", "AttachDisk",
                "InstanceId=host-1&DiskId=%s", pairs[0].lyon_disk);
    GROUP_OK(PARIS, "StartDiskReplicaGroup", "cn-paris", group);
    fake_copy(world);
    drive_status(world, group, "normal");
}

/* Its job was cancelled by what the other site did, and it ended all the same. */
static void test_a_removal_that_was_overtaken(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pairs[2];
    char group[64];

    make_group(world, group, pairs);
    GROUP_OK(PARIS, "StopDiskReplicaGroup", "cn-paris", group);
    drive_status(world, group, "stopped");
    fake_net(world, false);
    fake_hold(world, PARIS, DATA_STREAM_REMOVE, false);
    drive_ok(world, PARIS, "RemoveDiskReplicaPair", NULL, NULL,
             "RegionId=cn-paris&ReplicaGroupId=%s&ReplicaPairId=%s", group, pairs[1].id);
    GROUP_OK(LYON, "FailoverDiskReplicaGroup", "cn-lyon", group);
    fake_net(world, true);
    fake_run(world, 20000000000);
    drive_status(world, group, "failovered");
    fake_release(world, PARIS);
    fake_run(world, 1000000000);
    assert_null(fake_stream_of(world, PARIS, group));
    drive_fails(world, LYON, 403, "OperationDenied", "has ended there", "ReprotectDiskReplicaGroup",
                "RegionId=cn-lyon&ReplicaGroupId=%s&ReverseReplicate=false", group);
    drive_status(world, group, "failovered");
    GROUP_OK(LYON, "ReprotectDiskReplicaGroup", "cn-lyon", group); /* by the records */
    drive_status(world, group, "stopped");
}

/* The source starts, the production site, which is the target, gives another name, and they are
 * apart: of two changes the production site's stands, and the source does not do more than that. */
static void test_a_start_that_was_overtaken(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pairs[2];
    char group[64];

    make_group(world, group, pairs);
    GROUP_OK(LYON, "FailoverDiskReplicaGroup", "cn-lyon", group);
    GROUP_OK(LYON, "ReprotectDiskReplicaGroup", "cn-lyon", group);
    drive_status(world, group, "stopped");
    fake_net(world, false);
    GROUP_OK(LYON, "StartDiskReplicaGroup", "cn-lyon", group);
    drive_ok(world, PARIS, "ModifyDiskReplicaGroup", NULL, NULL,
             "RegionId=cn-paris&ReplicaGroupId=%s&GroupName=other", group);
    fake_run(world, 1000000000);
    fake_net(world, true);
    fake_run(world, 20000000000);
    drive_status(world, group, "stopped");
    assert_false(fake_stream_of(world, LYON, group)->is_started);
}

/* The other way round: the source stops, and the production site's record stands, which says that
 * it goes on. */
static void test_a_stop_that_was_overtaken(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pairs[2];
    char group[64];

    make_group(world, group, pairs);
    GROUP_OK(LYON, "FailoverDiskReplicaGroup", "cn-lyon", group);
    GROUP_OK(LYON, "ReprotectDiskReplicaGroup", "cn-lyon", group);
    drive_status(world, group, "stopped");
    GROUP_OK(LYON, "StartDiskReplicaGroup", "cn-lyon", group);
    fake_copy(world);
    drive_status(world, group, "normal");
    fake_net(world, false);
    GROUP_OK(LYON, "StopDiskReplicaGroup", "cn-lyon", group);
    fake_run(world, 1000000000);
    drive_expect(world, LYON, group, "Status", "stopped");
    for (unsigned rpo = 1800; rpo <= 3600; rpo += 1800)
        drive_ok(world, PARIS, "ModifyDiskReplicaGroup", NULL, NULL,
                 "RegionId=cn-paris&ReplicaGroupId=%s&RPO=%u", group, rpo);
    fake_net(world, true);
    fake_run(world, 20000000000);
    fake_copy(world);
    drive_status(world, group, "normal");
    assert_true(fake_stream_of(world, LYON, group)->is_started);
    GROUP_OK(LYON, "StopDiskReplicaGroup", "cn-lyon", group);
    fake_run(world, 1000000000);
    drive_status(world, group, "stopped");
    assert_false(fake_stream_of(world, LYON, group)->is_started);
}

/* It failed, so the stream goes on, and the production site's record says stopped. */
static void test_a_failed_stop_that_was_overtaken(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pairs[2];
    char group[64];

    make_group(world, group, pairs);
    GROUP_OK(LYON, "FailoverDiskReplicaGroup", "cn-lyon", group);
    GROUP_OK(LYON, "ReprotectDiskReplicaGroup", "cn-lyon", group);
    drive_status(world, group, "stopped");
    fake_net(world, false);
    GROUP_OK(LYON, "StartDiskReplicaGroup", "cn-lyon", group);
    fake_run(world, 1000000000);
    world->sites[LYON].fail_op = DATA_STREAM_STOP;
    world->sites[LYON].fail_error = -EIO;
    world->sites[LYON].fail_again = 8;
    GROUP_OK(LYON, "StopDiskReplicaGroup", "cn-lyon", group);
    fake_run(world, 600000000000);
    drive_expect(world, LYON, group, "Status", "stop_failed");
    assert_true(fake_stream_of(world, LYON, group)->is_started);
    for (unsigned i = 0; i < 4; i++)
        drive_ok(world, PARIS, "ModifyDiskReplicaGroup", NULL, NULL,
                 "RegionId=cn-paris&ReplicaGroupId=%s&GroupName=other-%u", group, i);
    fake_net(world, true);
    fake_run(world, 20000000000);
    drive_status(world, group, "stopped");
    assert_false(fake_stream_of(world, LYON, group)->is_started);
}

static void test_one_region_finds_the_site(void **state)
{
    struct fake_world *world = fake_world_new(true);
    struct drive_pair pair;
    char disk[64];

    /* Zone tells for disks. */
    drive_ok(world, PARIS, "CreateDisk", "DiskId", disk,
             "RegionId=cn-paris&ZoneId=cn-lyon-a&SizeBytes=8192");
    assert_non_null(fake_disk_of(world, LYON, disk));
    drive_pair(world, &pair);
    PAIR_OK(LYON, "StartDiskReplicaPair", "cn-paris", pair.id);
    fake_copy(world);
    PAIR_OK(PARIS, "FailoverDiskReplicaPair", "cn-paris", pair.id);
    drive_status(world, pair.id, "failovered");
    assert_int_equal(fake_stream_of(world, LYON, pair.id)->role, DATA_ROLE_PROMOTED);
    PAIR_OK(PARIS, "ReprotectDiskReplicaPair", "cn-paris", pair.id);
    drive_status(world, pair.id, "stopped");
    PAIR_OK(LYON, "DeleteDiskReplicaPair", "cn-paris", pair.id);
    fake_run(world, 1000000000);
    drive_status(world, pair.id, "");
    fake_world_free(world);
}

/* The source died after the first copy, before it could tell that it had started. */
static void test_a_first_point_is_enough_to_fail_over(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pairs[2];
    char group[64];

    make_group(world, group, pairs);
    drive_write_state(world, LYON, group, REPLICA_CREATED);
    fake_net(world, false);
    drive_expect(world, LYON, group, "Status", "normal");
    GROUP_OK(LYON, "FailoverDiskReplicaGroup", "cn-lyon", group);
    drive_expect(world, LYON, group, "Status", "failovered");
    fake_net(world, true);
    fake_run(world, UINT64_C(5000000000));
    drive_status(world, group, "failovered");
}

static int64_t point_age_us(struct fake_world *world, unsigned site)
{
    unsigned status = 0;
    json_t *reply = fake_ask(world, site, "DescribeVersoStatus", "", &status);
    int64_t age;

    assert_int_equal(status, 200);
    age = json_integer_value(
        json_object_get(json_array_get(json_object_get(reply, "Streams"), 0), "PointAgeUs"));
    json_decref(reply);
    return age;
}

/* Who waits for a point that holds his write reckons with it: an age of a moment ago says that the
 * point is younger than it is. */
static void test_an_age_is_that_of_now(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pairs[2];
    char group[64];
    int64_t before;

    make_group(world, group, pairs);
    before = point_age_us(world, PARIS);
    for (unsigned i = 1; i <= 10; i++) {
        fake_run(world, 10000000);
        assert_true(point_age_us(world, PARIS) >= before + i * 10000);
    }
}

/* One endpoint is enough: the disk tells the site where the region does not. */
static void test_a_disk_is_found_at_the_other_site(void **state)
{
    for (unsigned is_one_region = 0; is_one_region < 2; is_one_region++) {
        struct fake_world *world = fake_world_new(is_one_region == 1);
        const char *region = is_one_region ? "RegionId=cn-paris&" : "";
        char disk[64];

        drive_ok(world, LYON, "CreateDisk", "DiskId", disk,
                 "RegionId=%s&ZoneId=cn-lyon-a&SizeBytes=8192",
                 is_one_region ? "cn-paris" : "cn-lyon");
        fake_run(world, 1000000000);
        if (is_one_region)
            drive_ok(world, PARIS, "DescribeDisks", NULL, NULL, "%sDiskIds=[\"%s\"]", region, disk);
        drive_ok(world, PARIS, "AttachDisk", NULL, NULL, "%sInstanceId=i-1&DiskId=%s", region,
                 disk);
        assert_true(fake_disk_of(world, LYON, disk)->is_wanted);
        drive_ok(world, PARIS, "DetachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s", disk);
        drive_ok(world, PARIS, "DeleteDisk", NULL, NULL, "DiskId=%s", disk);
        fake_run(world, 1000000000);
        assert_null(fake_disk_of(world, LYON, disk));
        drive_fails(world, PARIS, 404, "InvalidDiskId.NotFound", "lyon", "DeleteDisk", "DiskId=%s",
                    disk);
        fake_world_free(world);
    }
}

#define STORY(test) cmocka_unit_test_setup_teardown(test, drive_setup, drive_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_pair_first_copy),
        STORY(test_one_shot_ends_by_itself),
        STORY(test_either_region_starts_and_stops),
        STORY(test_group_round_trip),
        STORY(test_failover_cancelled),
        STORY(test_failover_alone_and_return),
        STORY(test_attached_primary_keeps_from_reprotect),
        STORY(test_members_leave_and_all_is_deleted),
        STORY(test_delete_that_would_lose_the_journal_fails),
        STORY(test_delete_that_fails_at_the_target_rests),
        STORY(test_forget_ends_a_failed_over_group),
        STORY(test_forget_while_failing_over),
        STORY(test_forget_of_a_failover_elsewhere),
        STORY(test_forget_at_the_target_leaves_the_source),
        STORY(test_forget_that_was_pushed),
        STORY(test_forget_is_not_taken_back),
        STORY(test_no_failover_while_membership_changes),
        STORY(test_a_removal_that_was_overtaken),
        STORY(test_a_start_that_was_overtaken),
        STORY(test_a_stop_that_was_overtaken),
        STORY(test_a_failed_stop_that_was_overtaken),
        cmocka_unit_test(test_one_region_finds_the_site),
        STORY(test_a_first_point_is_enough_to_fail_over),
        STORY(test_an_age_is_that_of_now),
        cmocka_unit_test(test_a_disk_is_found_at_the_other_site),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
