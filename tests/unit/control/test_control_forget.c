/* SPDX-License-Identifier: Apache-2.0 */
/* Why: a Forget that is asked for again must tell the other site what the first one would have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "drive.h"

#define PAIR_OK(site, action, region, pair)                                                        \
    drive_ok(world, site, action, NULL, NULL, "RegionId=%s&ReplicaPairId=%s", region, pair)

static void begin(struct fake_world *world, struct drive_pair *pair)
{
    drive_pair(world, pair);
    PAIR_OK(PARIS, "StartDiskReplicaPair", "cn-paris", pair->id);
    fake_copy(world);
    fake_net(world, false);
}

static void attach(struct fake_world *world, const struct drive_pair *pair)
{
    drive_ok(world, LYON, "AttachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s", pair->lyon_disk);
}

static void forget(struct fake_world *world, const struct drive_pair *pair, bool discards)
{
    drive_ok(world, LYON, "ForgetDiskReplica", NULL, NULL,
             "ReplicaId=%s&Confirm=%s&Reason=fire&DiscardJournal=%s", pair->id, pair->id,
             discards ? "true" : "false");
    fake_run(world, 1000000000);
}

static void fail_removal(struct fake_world *world)
{
    world->sites[LYON].fail_op = DATA_STREAM_REMOVE;
    world->sites[LYON].fail_error = -EUCLEAN;
}

/* A start of the daemon cannot open it. */
static void leave_out(struct fake_world *world)
{
    fake_site_crash(world, LYON);
    world->sites[LYON].fail_op = DATA_STREAM_OPEN;
    world->sites[LYON].fail_error = -ENODEV;
    fake_site_start(world, LYON);
    fake_run(world, 1000000000);
}

/* The sites meet again. */
static void assert_paris_is(struct fake_world *world, const struct drive_pair *pair,
                            enum data_role role)
{
    drive_expect(world, LYON, pair->id, "Status", "");
    fake_net(world, true);
    fake_run(world, 20000000000);
    drive_expect(world, PARIS, pair->id, "Status", "invalid");
    assert_int_equal(fake_stream_of(world, PARIS, pair->id)->role, role);
}

/* The first one ended the failover, and hosts may be attached: the stream is a target still. */
static void test_twice_within_a_failover(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    begin(world, &pair);
    fake_hold(world, LYON, DATA_STREAM_FAILOVER, false);
    PAIR_OK(LYON, "FailoverDiskReplicaPair", "cn-lyon", pair.id);
    attach(world, &pair);
    fail_removal(world);
    forget(world, &pair, false);
    drive_expect(world, LYON, pair.id, "Status", "delete_failed");
    forget(world, &pair, true);
    fake_release(world, LYON);
    assert_true(fake_is_exported(world, LYON, pair.lyon_disk));
    assert_paris_is(world, &pair, DATA_ROLE_FENCED);
}

/* Hosts wrote; it cannot be opened, or only before the second one. */
static void forget_promoted(struct fake_world *world, bool is_left_out_first, bool deletes)
{
    struct drive_pair pair;

    begin(world, &pair);
    PAIR_OK(LYON, "FailoverDiskReplicaPair", "cn-lyon", pair.id);
    attach(world, &pair);
    fake_run(world, 1000000000);
    if (is_left_out_first)
        leave_out(world);
    fail_removal(world);
    if (deletes)
        PAIR_OK(LYON, "DeleteDiskReplicaPair", "cn-lyon", pair.id);
    else
        forget(world, &pair, false);
    fake_run(world, 1000000000);
    drive_expect(world, LYON, pair.id, "Status", "delete_failed");
    if (!is_left_out_first)
        leave_out(world);
    forget(world, &pair, true);
    assert_paris_is(world, &pair, DATA_ROLE_FENCED);
}

static void test_twice_what_was_left_out(void **state)
{
    forget_promoted(*state, true, false);
}

static void test_twice_what_is_left_out_between(void **state)
{
    forget_promoted(*state, false, false);
}

static void test_what_a_delete_left(void **state)
{
    forget_promoted(*state, false, true);
}

/* Nobody wrote here: the source goes on. */
static void test_twice_a_copy(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    begin(world, &pair);
    fail_removal(world);
    forget(world, &pair, false);
    drive_expect(world, LYON, pair.id, "Status", "delete_failed");
    leave_out(world);
    forget(world, &pair, true);
    assert_paris_is(world, &pair, DATA_ROLE_SOURCE);
}

/* A host came while the failover was under way, which failed: it does not get the disk beside the
 * other site's source, nor is that source fenced. */
static void test_after_a_failed_failover(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    begin(world, &pair);
    fake_hold(world, LYON, DATA_STREAM_FAILOVER, false);
    PAIR_OK(LYON, "FailoverDiskReplicaPair", "cn-lyon", pair.id);
    attach(world, &pair);
    world->sites[LYON].fail_op = DATA_STREAM_FAILOVER;
    world->sites[LYON].fail_error = -ENODATA;
    fake_release(world, LYON);
    fake_run(world, 1000000000);
    drive_expect(world, LYON, pair.id, "Status", "failover_failed");
    assert_false(fake_is_exported(world, LYON, pair.lyon_disk));
    drive_fails(world, LYON, 403, "OperationDenied", pair.lyon_disk, "ForgetDiskReplica",
                "ReplicaId=%s&Confirm=%s&Reason=fire", pair.id, pair.id);
    leave_out(world); /* detached it can be all the same */
    drive_fails(world, LYON, 403, "OperationDenied", "Detach it first", "ForgetDiskReplica",
                "ReplicaId=%s&Confirm=%s&Reason=fire", pair.id, pair.id);
    drive_expect(world, LYON, pair.id, "Status", "failover_failed");
    drive_ok(world, LYON, "DetachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s", pair.lyon_disk);
    forget(world, &pair, true);
    assert_paris_is(world, &pair, DATA_ROLE_SOURCE);
}

static int64_t version_of(struct fake_world *world, unsigned site, const char *pair)
{
    struct pair_record record;

    assert_int_equal(meta_get(world->sites[site].meta, RECORD_PAIR, pair, &record), 0);
    return record.common.version;
}

/* The other site had put a pair into a group when that was given up here, apart: the pair stands
 * alone here, until it does there as well. */
static void test_a_group_that_had_got_a_pair(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char group[64];

    drive_pair_and_group(world, &pair, group);
    fake_net(world, false);
    drive_add(world, group, &pair);
    drive_ok(world, LYON, "ForgetDiskReplica", NULL, NULL, "ReplicaId=%s&Confirm=%s&Reason=fire",
             group, group);
    fake_run(world, 1000000000);
    fake_net(world, true);
    fake_run(world, 20000000000);
    drive_expect(world, PARIS, group, "Status", "invalid");
    drive_expect(world, PARIS, pair.id, "ReplicaGroupId", group);
    drive_expect(world, LYON, group, "Status", "");
    drive_expect(world, LYON, pair.id, "ReplicaGroupId", "");
    assert_int_equal(version_of(world, LYON, pair.id), version_of(world, PARIS, pair.id));
    drive_ok(world, PARIS, "RemoveDiskReplicaPair", NULL, NULL,
             "RegionId=cn-paris&ReplicaGroupId=%s&ReplicaPairId=%s", group, pair.id);
    drive_ok(world, PARIS, "DeleteDiskReplicaGroup", NULL, NULL,
             "RegionId=cn-paris&ReplicaGroupId=%s", group);
    fake_run(world, 20000000000);
    drive_status(world, pair.id, "stopped");
    PAIR_OK(PARIS, "StartDiskReplicaPair", "cn-paris", pair.id);
    fake_copy(world);
    drive_status(world, pair.id, "normal");
}

/* The pair itself was given up here, and put into a group at the other site, apart: it follows the
 * group there, so only its message tells; taken out it is invalid. */
static void test_a_pair_that_had_got_a_group(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char group[64];

    drive_pair_and_group(world, &pair, group);
    fake_net(world, false);
    drive_add(world, group, &pair);
    forget(world, &pair, false);
    fake_net(world, true);
    fake_run(world, 20000000000);
    drive_expect(world, PARIS, pair.id, "Status", "created");
    drive_expect(world, PARIS, pair.id, "StatusMessage", "PeerForgot");
    drive_fails(world, PARIS, 403, "OperationDenied.InvalidStatus", "take it out of its group",
                "StartDiskReplicaGroup", "RegionId=cn-paris&ReplicaGroupId=%s", group);
    drive_ok(world, PARIS, "RemoveDiskReplicaPair", NULL, NULL,
             "RegionId=cn-paris&ReplicaGroupId=%s&ReplicaPairId=%s", group, pair.id);
    fake_run(world, 20000000000);
    drive_expect(world, PARIS, pair.id, "Status", "invalid");
    drive_expect(world, PARIS, pair.id, "StatusMessage", "PeerForgot");
    PAIR_OK(PARIS, "DeleteDiskReplicaPair", "cn-paris", pair.id);
    fake_run(world, 20000000000);
    drive_status(world, pair.id, "");
}

/* A source that is fenced: the same, its hosts do not get it beside the site that was failed over
 * to. */
static void test_of_a_fenced_source(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    begin(world, &pair);
    fake_net(world, true);
    fake_run(world, 1000000000);
    drive_ok(world, PARIS, "AttachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s", pair.paris_disk);
    PAIR_OK(LYON, "FailoverDiskReplicaPair", "cn-lyon", pair.id);
    fake_run(world, 1000000000);
    assert_false(fake_is_exported(world, PARIS, pair.paris_disk));
    drive_fails(world, PARIS, 403, "OperationDenied", "not the source any more",
                "ForgetDiskReplica", "ReplicaId=%s&Confirm=%s&Reason=fire", pair.id, pair.id);
    drive_status(world, pair.id, "failovered");
    assert_false(fake_is_exported(world, PARIS, pair.paris_disk));
    drive_ok(world, PARIS, "DetachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s", pair.paris_disk);
    drive_ok(world, PARIS, "ForgetDiskReplica", NULL, NULL, "ReplicaId=%s&Confirm=%s&Reason=fire",
             pair.id, pair.id);
    fake_run(world, 1000000000);
    drive_expect(world, PARIS, pair.id, "Status", "");
    drive_expect(world, LYON, pair.id, "Status", "invalid");
    assert_int_equal(fake_stream_of(world, LYON, pair.id)->role, DATA_ROLE_PROMOTED);
}

/* A reprotect that turns the direction is under way, and the stream is left out: the hosts that are
 * attached had the disk all the time. */
static void test_of_a_reprotect_without_its_stream(void **state)
{
    struct fake_world *world = *state;
    struct tombstone_record tombstone;
    struct drive_pair pair;

    begin(world, &pair);
    fake_net(world, true);
    PAIR_OK(LYON, "FailoverDiskReplicaPair", "cn-lyon", pair.id);
    attach(world, &pair);
    fake_run(world, 1000000000);
    fake_hold(world, LYON, DATA_STREAM_REPROTECT, false);
    PAIR_OK(LYON, "ReprotectDiskReplicaPair", "cn-lyon", pair.id);
    fake_run(world, 1000000000);
    drive_expect(world, LYON, pair.id, "Status", "reprotecting");
    leave_out(world);
    fake_net(world, false);
    forget(world, &pair, true);
    assert_int_equal(meta_get(world->sites[LYON].meta, RECORD_TOMBSTONE, pair.id, &tombstone), 0);
    assert_int_equal(tombstone.forgotten, TOMBSTONE_TAKEN);
    assert_true(fake_disk_of(world, LYON, pair.lyon_disk)->is_open); /* and theirs again */
    assert_true(fake_disk_of(world, LYON, pair.lyon_disk)->is_wanted);
}

/* A pair has left the group, whose stream cannot end at once here, when the other site gives the
 * group up: the stream goes all the same, for the pair wants its disk. */
static void test_a_group_whose_stream_is_past(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pairs[2];
    char group[64];

    drive_group(world, group);
    for (unsigned i = 0; i < 2; i++) {
        drive_pair(world, &pairs[i]);
        drive_add(world, group, &pairs[i]);
    }
    drive_ok(world, PARIS, "StartDiskReplicaGroup", NULL, NULL,
             "RegionId=cn-paris&ReplicaGroupId=%s", group);
    fake_copy(world);
    drive_ok(world, PARIS, "StopDiskReplicaGroup", NULL, NULL,
             "RegionId=cn-paris&ReplicaGroupId=%s", group);
    drive_status(world, group, "stopped");
    world->sites[LYON].fail_op = DATA_STREAM_REMOVE;
    world->sites[LYON].fail_error = -EBUSY;
    world->sites[LYON].fail_again = 1000;
    drive_ok(world, PARIS, "RemoveDiskReplicaPair", NULL, NULL,
             "RegionId=cn-paris&ReplicaGroupId=%s&ReplicaPairId=%s", group, pairs[1].id);
    fake_run(world, 12000000000);
    drive_ok(world, PARIS, "ForgetDiskReplica", NULL, NULL, "ReplicaId=%s&Confirm=%s&Reason=fire",
             group, group);
    fake_run(world, 12000000000);
    drive_expect(world, LYON, group, "Status", "invalid");
    world->sites[LYON].fail_error = 0;
    world->sites[LYON].fail_again = 0;
    fake_run(world, 60000000000);
    assert_null(fake_stream_of(world, LYON, group));
    PAIR_OK(PARIS, "StartDiskReplicaPair", "cn-paris", pairs[1].id);
    fake_copy(world);
    drive_status(world, pairs[1].id, "normal");
}

#define STORY(test) cmocka_unit_test_setup_teardown(test, drive_setup, drive_teardown)

/* The end of a pair that no start could open opens its disk: the host went meanwhile. */
static void test_detached_while_its_disk_opens(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    for (unsigned detaches = 0; detaches < 2; detaches++) {
        begin(world, &pair);
        PAIR_OK(LYON, "FailoverDiskReplicaPair", "cn-lyon", pair.id);
        fake_run(world, 1000000000);
        attach(world, &pair);
        leave_out(world);
        assert_false(fake_disk_of(world, LYON, pair.lyon_disk)->is_open);
        fake_hold(world, LYON, DATA_DISK_OPEN, false);
        forget(world, &pair, true);
        if (detaches)
            drive_ok(world, LYON, "DetachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s",
                     pair.lyon_disk);
        fake_release(world, LYON);
        assert_true(fake_disk_of(world, LYON, pair.lyon_disk)->is_open);
        assert_int_equal(fake_disk_of(world, LYON, pair.lyon_disk)->is_wanted, !detaches);
        fake_net(world, true);
        fake_run(world, 20000000000);
    }
}

/* A pair was put into a group, and the end of its own stream is still tried again when the group is
 * given up: the stream goes all the same, and its disk with it. */
static void test_a_group_beside_its_pairs_own_stream(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char group[64];

    drive_pair_and_group(world, &pair, group);
    PAIR_OK(PARIS, "StartDiskReplicaPair", "cn-paris", pair.id);
    fake_copy(world);
    PAIR_OK(PARIS, "StopDiskReplicaPair", "cn-paris", pair.id);
    fake_run(world, 1000000000);
    world->sites[LYON].fail_op = DATA_STREAM_REMOVE;
    world->sites[LYON].fail_error = -EBUSY;
    world->sites[LYON].fail_again = 1000;
    drive_add(world, group, &pair);
    fake_run(world, 30000000000);
    fake_net(world, false);
    assert_non_null(fake_stream_of(world, LYON, pair.id));
    world->sites[LYON].fail_error = 0;
    drive_ok(world, LYON, "ForgetDiskReplica", NULL, NULL,
             "ReplicaId=%s&Confirm=%s&Reason=fire&DiscardJournal=true", group, group);
    fake_run(world, 20000000000);
    assert_null(fake_stream_of(world, LYON, pair.id));
    drive_expect(world, LYON, group, "Status", "");
    drive_expect(world, LYON, pair.id, "Status", "");
    fake_net(world, true);
    fake_run(world, 20000000000);
    drive_expect(world, PARIS, group, "Status", "invalid");
    drive_ok(world, LYON, "DeleteDisk", NULL, NULL, "DiskId=%s", pair.lyon_disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_twice_within_a_failover),
        STORY(test_twice_what_was_left_out),
        STORY(test_twice_what_is_left_out_between),
        STORY(test_what_a_delete_left),
        STORY(test_twice_a_copy),
        STORY(test_of_a_fenced_source),
        STORY(test_of_a_reprotect_without_its_stream),
        STORY(test_after_a_failed_failover),
        STORY(test_a_group_that_had_got_a_pair),
        STORY(test_a_pair_that_had_got_a_group),
        STORY(test_a_group_whose_stream_is_past),
        STORY(test_detached_while_its_disk_opens),
        STORY(test_a_group_beside_its_pairs_own_stream),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
