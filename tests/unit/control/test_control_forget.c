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

#define STORY(test) cmocka_unit_test_setup_teardown(test, drive_setup, drive_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_twice_within_a_failover),
        STORY(test_twice_what_was_left_out),
        STORY(test_twice_what_is_left_out_between),
        STORY(test_what_a_delete_left),
        STORY(test_twice_a_copy),
        STORY(test_after_a_failed_failover),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
