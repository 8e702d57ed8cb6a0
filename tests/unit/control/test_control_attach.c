/* SPDX-License-Identifier: Apache-2.0 */
/* Which disks hosts get, when the records and the engine's roles do not say the same. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "drive.h"

static void fail_over(struct fake_world *world, struct drive_pair *pair)
{
    drive_pair(world, pair);
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, "RegionId=cn-paris&ReplicaPairId=%s",
             pair->id);
    fake_copy(world);
    drive_ok(world, LYON, "FailoverDiskReplicaPair", NULL, NULL,
             "RegionId=cn-lyon&ReplicaPairId=%s", pair->id);
    drive_status(world, pair->id, "failovered");
}

static void refuse_reprotect(struct fake_world *world, const char *pair, const char *reverse)
{
    world->sites[LYON].fail_op = DATA_STREAM_REPROTECT;
    world->sites[LYON].fail_error = -ESTALE;
    drive_ok(world, LYON, "ReprotectDiskReplicaPair", NULL, NULL,
             "RegionId=cn-lyon&ReplicaPairId=%s&ReverseReplicate=%s", pair, reverse);
    drive_status(world, pair, "reprotect_failed");
}

/* The promoted site has the good content, and hosts get it. */
static void test_attach_after_a_refused_reprotect(void **state)
{
    static const char *const ways[] = {"true", "false"};
    struct fake_world *world = *state;

    for (unsigned i = 0; i < 2; i++) {
        struct drive_pair pair;

        fail_over(world, &pair);
        refuse_reprotect(world, pair.id, ways[i]);
        drive_ok(world, LYON, "AttachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s", pair.lyon_disk);
        assert_true(fake_is_exported(world, LYON, pair.lyon_disk));
        /* Which keeps the failover from being cancelled, as before. */
        drive_fails(world, LYON, 403, "OperationDenied", pair.lyon_disk, "ReprotectDiskReplicaPair",
                    "RegionId=cn-lyon&ReplicaPairId=%s&ReverseReplicate=false", pair.id);
        drive_ok(world, LYON, "DetachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s", pair.lyon_disk);
        drive_ok(world, LYON, "ReprotectDiskReplicaPair", NULL, NULL,
                 "RegionId=cn-lyon&ReplicaPairId=%s&ReverseReplicate=%s", pair.id, ways[i]);
        drive_status(world, pair.id, "stopped");
    }
}

/* A cancel that the engine began and that failed there: the stream is promoted, and its disks are
 * closed until it ends. */
static void test_no_failover_of_a_loser(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    fail_over(world, &pair);
    refuse_reprotect(world, pair.id, "false");
    fake_stream_of(world, LYON, pair.id)->is_losing = true;
    drive_fails(world, LYON, 403, "OperationDenied.InvalidStatus", pair.lyon_disk,
                "FailoverDiskReplicaPair", "RegionId=cn-lyon&ReplicaPairId=%s", pair.id);
    drive_fails(world, LYON, 403, "OperationDenied.InvalidStatus",
                "is closed to hosts: closed by its stream", "FailoverDiskReplicaPair",
                "RegionId=cn-lyon&ReplicaPairId=%s", pair.id);
    drive_status(world, pair.id, "reprotect_failed");
    drive_ok(world, LYON, "ReprotectDiskReplicaPair", NULL, NULL,
             "RegionId=cn-lyon&ReplicaPairId=%s&ReverseReplicate=false", pair.id);
    drive_status(world, pair.id, "stopped");
    assert_true(fake_may_write(world, PARIS, pair.paris_disk));
}

/* One that was refused left the disks open: they are failed over. */
static void test_failover_after_a_refused_reprotect(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    fail_over(world, &pair);
    refuse_reprotect(world, pair.id, "false");
    drive_ok(world, LYON, "FailoverDiskReplicaPair", NULL, NULL,
             "RegionId=cn-lyon&ReplicaPairId=%s", pair.id);
    drive_status(world, pair.id, "failovered");
    drive_ok(world, LYON, "AttachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s", pair.lyon_disk);
    assert_true(fake_is_exported(world, LYON, pair.lyon_disk));
}

/* A start left the disk out: nothing is recorded that is not done. */
static void test_no_attach_of_a_disk_that_is_not_open(void **state)
{
    struct fake_world *world = *state;
    char disk[64];

    drive_disk(world, PARIS, disk);
    fake_site_crash(world, PARIS);
    world->sites[PARIS].fail_op = DATA_DISK_OPEN;
    world->sites[PARIS].fail_error = -EIO;
    fake_site_start(world, PARIS);
    fake_run(world, UINT64_C(10000000000));
    assert_false(fake_disk_of(world, PARIS, disk)->is_open);
    drive_fails(world, PARIS, 403, "IncorrectDiskStatus", "cannot be opened", "AttachDisk",
                "InstanceId=i-1&DiskId=%s", disk);
    fake_site_crash(world, PARIS);
    fake_site_start(world, PARIS);
    fake_run(world, UINT64_C(10000000000));
    drive_ok(world, PARIS, "AttachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s", disk);
    assert_true(fake_is_exported(world, PARIS, disk));
}

/* What failed may have ended all the same: a target's disk is not given out. */
static void test_no_attach_when_the_engine_is_target(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    fail_over(world, &pair);
    refuse_reprotect(world, pair.id, "false");
    fake_stream_of(world, LYON, pair.id)->role = DATA_ROLE_TARGET;
    drive_fails(world, LYON, 403, "IncorrectDiskStatus", "reprotect_failed", "AttachDisk",
                "InstanceId=i-1&DiskId=%s", pair.lyon_disk);
    assert_false(fake_disk_of(world, LYON, pair.lyon_disk)->is_wanted);
}

/* --- pairs without a stream ------------------------------------------------------------------ */

struct duo {
    char group[64];
    struct drive_pair pairs[2];
};

static void start_group(struct fake_world *world, struct duo *duo)
{
    drive_group(world, duo->group);
    for (unsigned i = 0; i < 2; i++) {
        drive_pair(world, &duo->pairs[i]);
        drive_add(world, duo->group, &duo->pairs[i]);
    }
    drive_ok(world, PARIS, "StartDiskReplicaGroup", NULL, NULL,
             "RegionId=cn-paris&ReplicaGroupId=%s", duo->group);
    fake_copy(world);
}

static void remove_pair(struct fake_world *world, const struct duo *duo)
{
    drive_ok(world, PARIS, "RemoveDiskReplicaPair", NULL, NULL,
             "RegionId=cn-paris&ReplicaGroupId=%s&ReplicaPairId=%s", duo->group, duo->pairs[0].id);
    fake_run(world, UINT64_C(30) * 1000000000);
}

static void restart(struct fake_world *world, unsigned site)
{
    fake_site_crash(world, site);
    fake_site_start(world, site);
    fake_run(world, UINT64_C(30) * 1000000000);
}

/* The engine knows of nothing that keeps hosts away: no way leads there. */
static void test_removed_pair_is_not_exported(void **state)
{
    struct fake_world *world = *state;
    struct duo duo;

    start_group(world, &duo);
    drive_ok(world, PARIS, "StopDiskReplicaGroup", NULL, NULL,
             "RegionId=cn-paris&ReplicaGroupId=%s", duo.group);
    remove_pair(world, &duo);
    assert_null(fake_stream_of(world, LYON, duo.group));
    for (unsigned i = 0; i < 2; i++) {
        const char *disk = duo.pairs[i].lyon_disk;

        assert_true(fake_may_write(world, LYON, disk));
        drive_fails(world, LYON, 403, "IncorrectDiskStatus", disk, "AttachDisk",
                    "InstanceId=i-1&DiskId=%s", disk);
        drive_fails(world, LYON, 403, "OperationDenied.OperateNotAllowedForStandby", NULL,
                    "ForceOpenDiskReplica", "ReplicaId=%s&Reason=test", duo.pairs[i].id);
        drive_fails(world, PARIS, 404, "NoSuchResource", NULL, "ForceOpenDiskReplica",
                    "ReplicaId=%s&Reason=test", duo.pairs[i].id);
        assert_false(fake_disk_of(world, LYON, disk)->is_wanted);
    }
    restart(world, LYON);
    for (unsigned i = 0; i < 2; i++)
        assert_false(fake_disk_of(world, LYON, duo.pairs[i].lyon_disk)->is_wanted);
}

/* Reprotect asks the other site whether its disks are detached; while its answer is under way, one
 * is attached at `site`. */
static void attach_within_reprotect(struct fake_world *world, const struct duo *duo, unsigned site,
                                    const char *disk, const char *reverse)
{
    char query[200];

    drive_ok(world, LYON, "FailoverDiskReplicaGroup", NULL, NULL,
             "RegionId=cn-lyon&ReplicaGroupId=%s", duo->group);
    drive_status(world, duo->group, "failovered");
    fake_hold(world, PARIS, DATA_CALL_REPLY, false);
    snprintf(query, sizeof(query), "RegionId=cn-lyon&ReplicaGroupId=%s&ReverseReplicate=%s",
             duo->group, reverse);
    fake_ask_and_forget(world, LYON, "ReprotectDiskReplicaGroup", query);
    drive_ok(world, site, "AttachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s", disk);
    fake_release(world, PARIS);
    fake_run(world, UINT64_C(1000000000));
}

/* Then the stream of the target stays until the host lets go. */
static void test_attached_target_keeps_its_stream(void **state)
{
    struct fake_world *world = *state;
    struct duo duo;
    const char *disk = duo.pairs[0].paris_disk;

    start_group(world, &duo);
    attach_within_reprotect(world, &duo, PARIS, disk, "true");
    drive_status(world, duo.group, "stopped");
    remove_pair(world, &duo);
    assert_null(fake_stream_of(world, LYON, duo.group));
    assert_false(fake_is_exported(world, PARIS, disk));
    restart(world, PARIS);
    assert_false(fake_is_exported(world, PARIS, disk));
    drive_ok(world, PARIS, "DetachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s", disk);
    fake_run(world, UINT64_C(30) * 1000000000);
    assert_null(fake_stream_of(world, PARIS, duo.group));
    drive_fails(world, PARIS, 403, "IncorrectDiskStatus", disk, "AttachDisk",
                "InstanceId=i-1&DiskId=%s", disk);
    drive_ok(world, LYON, "StartDiskReplicaPair", NULL, NULL, "RegionId=cn-lyon&ReplicaPairId=%s",
             duo.pairs[0].id);
}

static void test_attached_within_cancel(void **state)
{
    struct fake_world *world = *state;
    struct duo duo;

    start_group(world, &duo);
    attach_within_reprotect(world, &duo, LYON, duo.pairs[0].lyon_disk, "false");
    drive_status(world, duo.group, "failovered");
    assert_true(fake_is_exported(world, LYON, duo.pairs[0].lyon_disk));
}

/* As an older version could leave it behind. */
static void test_start_does_not_export_a_lone_copy(void **state)
{
    struct fake_world *world = *state;
    struct attachment_record attachment = {.instance_id = "i-1"};
    struct meta *meta = world->sites[LYON].meta;
    struct disk_record disk;
    struct duo duo;
    struct err err;

    start_group(world, &duo);
    drive_ok(world, PARIS, "StopDiskReplicaGroup", NULL, NULL,
             "RegionId=cn-paris&ReplicaGroupId=%s", duo.group);
    remove_pair(world, &duo);
    assert_int_equal(meta_get(meta, RECORD_DISK, duo.pairs[0].lyon_disk, &disk), 0);
    disk.status = DISK_IN_USE;
    strcpy(attachment.disk_id, disk.id);
    assert_int_equal(meta_begin(meta, &err), 0);
    assert_int_equal(meta_put(meta, RECORD_DISK, &disk, &err), 0);
    assert_int_equal(meta_put(meta, RECORD_ATTACHMENT, &attachment, &err), 0);
    assert_int_equal(meta_commit(meta, &err), 0);
    restart(world, LYON);
    assert_false(fake_is_exported(world, LYON, disk.id));
    drive_ok(world, LYON, "DetachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s", disk.id);
}

#define STORY(test) cmocka_unit_test_setup_teardown(test, drive_setup, drive_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_attach_after_a_refused_reprotect),
        STORY(test_no_failover_of_a_loser),
        STORY(test_failover_after_a_refused_reprotect),
        STORY(test_no_attach_of_a_disk_that_is_not_open),
        STORY(test_no_attach_when_the_engine_is_target),
        STORY(test_removed_pair_is_not_exported),
        STORY(test_attached_target_keeps_its_stream),
        STORY(test_attached_within_cancel),
        STORY(test_start_does_not_export_a_lone_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
