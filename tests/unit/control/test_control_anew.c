/* SPDX-License-Identifier: Apache-2.0 */
/* A site changes a stopped group while the other one, apart, fails it over: the failover stands,
 * and the group goes on by its records. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "control/data_ops.h"
#include "drive.h"

#define SECOND UINT64_C(1000000000)

struct story {
    bool has_hosts; /* at paris, until they are told */
    struct drive_pair pairs[2];
    char group[64];
};

static void group_ok(struct fake_world *world, unsigned site, const char *action, const char *id)
{
    drive_ok(world, site, action, NULL, NULL, "RegionId=%s&ReplicaGroupId=%s", drive_regions[site],
             id);
}

static void member_ok(struct fake_world *world, unsigned site, const char *action,
                      const char *group, const char *pair)
{
    drive_ok(world, site, action, NULL, NULL, "RegionId=%s&ReplicaGroupId=%s&ReplicaPairId=%s",
             drive_regions[site], group, pair);
}

static void attach(struct fake_world *world, unsigned site, const char *disk)
{
    drive_ok(world, site, "AttachDisk", NULL, NULL, "DiskId=%s&InstanceId=i-1", disk);
}

/* A group that replicated, was stopped, was changed at paris and failed over at lyon, whose hosts
 * have it. */
static void part(struct fake_world *world, struct story *ret, bool deletes)
{
    drive_group(world, ret->group);
    for (unsigned i = 0; i < 2; i++) {
        drive_pair(world, &ret->pairs[i]);
        drive_add(world, ret->group, &ret->pairs[i]);
    }
    group_ok(world, PARIS, "StartDiskReplicaGroup", ret->group);
    fake_run(world, SECOND);
    fake_copy(world);
    group_ok(world, PARIS, "StopDiskReplicaGroup", ret->group);
    fake_run(world, SECOND);
    fake_net(world, false);
    member_ok(world, PARIS, "RemoveDiskReplicaPair", ret->group, ret->pairs[0].id);
    if (deletes)
        drive_ok(world, PARIS, "DeleteDiskReplicaPair", NULL, NULL,
                 "RegionId=cn-paris&ReplicaPairId=%s", ret->pairs[0].id);
    fake_run(world, SECOND);
    assert_null(fake_stream_of(world, PARIS, ret->group));
    group_ok(world, LYON, "FailoverDiskReplicaGroup", ret->group);
    fake_run(world, SECOND);
    for (unsigned i = 0; i < 2; i++)
        attach(world, LYON, ret->pairs[i].lyon_disk);
    if (ret->has_hosts)
        attach(world, PARIS, ret->pairs[1].paris_disk);
    fake_net(world, true);
    fake_run(world, 2 * SECOND);
    drive_status(world, ret->group, "failovered");
}

static bool is_seeded(struct fake_world *world, unsigned site, const char *group)
{
    const struct fake_stream *stream = fake_stream_of(world, site, group);
    bool all = stream != NULL;

    for (unsigned i = 0; all && i < stream->disk_count; i++)
        all = stream->disks[i].is_seeded;
    return all;
}

/* From a reprotect on: the other direction, all compared, nothing of paris lost. */
static void goes_on(struct fake_world *world, const struct story *story, unsigned first)
{
    fake_run(world, 5 * SECOND);
    drive_status(world, story->group, "stopped");
    for (unsigned i = first; i < 2; i++) {
        assert_int_equal(fake_disk_of(world, PARIS, story->pairs[i].paris_disk)->kept, 1);
        assert_true(fake_is_exported(world, LYON, story->pairs[i].lyon_disk));
        drive_fails(world, PARIS, 403, "IncorrectDiskStatus", "secondary", "AttachDisk",
                    "DiskId=%s&InstanceId=i-2", story->pairs[i].paris_disk);
    }
    drive_ok(world, LYON, "StartDiskReplicaGroup", NULL, NULL, "RegionId=cn-lyon&ReplicaGroupId=%s",
             story->group);
    fake_run(world, SECOND);
    for (unsigned s = 0; s < 2; s++) {
        assert_true(is_seeded(world, s, story->group));
        assert_int_equal(fake_stream_of(world, s, story->group)->role,
                         s == LYON ? DATA_ROLE_SOURCE : DATA_ROLE_TARGET);
        assert_int_equal(fake_stream_of(world, s, story->group)->disk_count, 2 - first);
    }
    fake_copy(world);
    drive_status(world, story->group, "normal");
}

static void test_pair_that_the_other_site_deleted(void **state)
{
    struct fake_world *world = *state;
    struct story story = {0};
    const struct drive_pair *left = &story.pairs[0];

    part(world, &story, true);
    drive_expect(world, LYON, left->id, "StatusMessage", "DeviceRemoved");
    drive_fails(world, LYON, 403, "OperationDenied", left->id, "ReprotectDiskReplicaGroup",
                "RegionId=cn-lyon&ReplicaGroupId=%s", story.group);
    drive_fails(world, LYON, 403, "OperationDenied.GroupStatusCannotRemovePair", NULL,
                "RemoveDiskReplicaPair", "RegionId=cn-lyon&ReplicaGroupId=%s&ReplicaPairId=%s",
                story.group, story.pairs[1].id);
    fake_net(world, false); /* needs nobody */
    member_ok(world, LYON, "RemoveDiskReplicaPair", story.group, left->id);
    fake_run(world, SECOND);
    fake_net(world, true);
    fake_run(world, SECOND);
    assert_null(fake_stream_of(world, LYON, story.group));
    drive_status(world, story.group, "failovered");
    drive_expect(world, LYON, left->id, "Status", "invalid");
    drive_expect(world, LYON, left->id, "ReplicaGroupId", "");
    fake_site_crash(world, LYON); /* hosts have their disks again */
    fake_site_start(world, LYON);
    fake_run(world, 2 * SECOND);
    assert_true(fake_is_exported(world, LYON, left->lyon_disk));
    assert_true(fake_is_exported(world, LYON, story.pairs[1].lyon_disk));
    drive_ok(world, LYON, "DeleteDiskReplicaPair", NULL, NULL, "RegionId=cn-lyon&ReplicaPairId=%s",
             left->id);
    fake_run(world, SECOND);
    drive_status(world, left->id, "");
    for (unsigned i = 0; i < 2; i++)
        drive_ok(world, LYON, "DetachDisk", NULL, NULL, "DiskId=%s&InstanceId=i-1",
                 story.pairs[i].lyon_disk);
    drive_fails(world, LYON, 403, "OperationDenied.InvalidStatus", "cannot be cancelled",
                "ReprotectDiskReplicaGroup",
                "RegionId=cn-lyon&ReplicaGroupId=%s&ReverseReplicate=false", story.group);
    for (unsigned i = 0; i < 2; i++)
        attach(world, LYON, story.pairs[i].lyon_disk);
    group_ok(world, LYON, "ReprotectDiskReplicaGroup", story.group);
    goes_on(world, &story, 1);
    assert_int_equal(fake_disk_of(world, PARIS, left->paris_disk)->kept, 0);
}

static void test_pair_that_the_other_site_took_out(void **state)
{
    struct fake_world *world = *state;
    struct story story = {0};

    part(world, &story, false);
    group_ok(world, LYON, "ReprotectDiskReplicaGroup", story.group);
    goes_on(world, &story, 0);
}

static void test_hosts_of_the_old_source(void **state)
{
    struct fake_world *world = *state;
    const char *disk;
    struct story story = {.has_hosts = true};

    part(world, &story, false);
    disk = story.pairs[1].paris_disk;
    drive_fails(world, LYON, 403, "OperationDenied", "detach it first", "ReprotectDiskReplicaGroup",
                "RegionId=cn-lyon&ReplicaGroupId=%s", story.group);
    drive_status(world, story.group, "failovered");
    drive_ok(world, PARIS, "DetachDisk", NULL, NULL, "DiskId=%s&InstanceId=i-1", disk);
    fake_disk_of(world, PARIS, disk)->is_wanted = false;
    world->sites[PARIS].fail_op = DATA_DISK_KEEP;
    world->sites[PARIS].fail_error = -ENOSPC;
    drive_fails(world, LYON, 403, "OperationDenied", "cannot be kept as a snapshot",
                "ReprotectDiskReplicaGroup", "RegionId=cn-lyon&ReplicaGroupId=%s", story.group);
    drive_status(world, story.group, "failovered");
    /* From here on no host gets it: what it wrote would be in no snapshot. */
    drive_fails(world, PARIS, 403, "IncorrectDiskStatus", "primary", "AttachDisk",
                "DiskId=%s&InstanceId=i-1", disk);
    group_ok(world, LYON, "ReprotectDiskReplicaGroup", story.group);
    goes_on(world, &story, 0);
}

static void test_dies_in_it(void **state)
{
    struct fake_world *world = *state;

    for (unsigned after = 0; after < 2; after++) {
        struct story story = {0};

        part(world, &story, false);
        fake_hold(world, LYON, DATA_STREAM_REMOVE, after == 1);
        group_ok(world, LYON, "ReprotectDiskReplicaGroup", story.group);
        fake_run(world, SECOND);
        drive_status(world, story.group, "reprotecting");
        fake_site_crash(world, LYON);
        fake_site_start(world, LYON);
        goes_on(world, &story, 0);
    }
}

static void test_damaged_journal(void **state)
{
    struct fake_world *world = *state;
    struct story story = {0};

    part(world, &story, false);
    world->sites[LYON].fail_op = DATA_STREAM_REMOVE;
    world->sites[LYON].fail_error = -EUCLEAN;
    group_ok(world, LYON, "ReprotectDiskReplicaGroup", story.group);
    fake_run(world, SECOND);
    drive_status(world, story.group, "reprotect_failed");
    assert_non_null(fake_stream_of(world, LYON, story.group));
    for (unsigned i = 0; i < 2; i++)
        fake_disk_of(world, PARIS, story.pairs[i].paris_disk)->kept = 0;
    group_ok(world, LYON, "ReprotectDiskReplicaGroup", story.group); /* repaired */
    goes_on(world, &story, 0);
}

/* A Stop that the old source accepted before its control heard of the failover: its stream is
 * fenced already, or the stop fails. Neither keeps the group from its reprotect. */
static void test_stop_of_a_fenced_source(void **state)
{
    static const int errors[] = {-EINVAL, -EIO};
    struct fake_world *world = *state;

    for (unsigned i = 0; i < 2; i++) {
        struct fake_site *paris = &world->sites[PARIS];
        struct drive_pair pair;

        drive_pair(world, &pair);
        drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL,
                 "RegionId=cn-paris&ReplicaPairId=%s", pair.id);
        fake_copy(world);
        fake_net(world, false);
        drive_ok(world, LYON, "FailoverDiskReplicaPair", NULL, NULL,
                 "RegionId=cn-lyon&ReplicaPairId=%s", pair.id);
        fake_stream_of(world, PARIS, pair.id)->role = DATA_ROLE_FENCED;
        paris->fail_op = DATA_STREAM_STOP;
        paris->fail_error = errors[i];
        paris->fail_again = 1000;
        drive_ok(world, PARIS, "StopDiskReplicaPair", NULL, NULL,
                 "RegionId=cn-paris&ReplicaPairId=%s", pair.id);
        fake_run(world, 120 * SECOND);
        drive_expect(world, PARIS, pair.id, "Status", i == 0 ? "stopped" : "stop_failed");
        paris->fail_error = 0;
        fake_net(world, true);
        fake_run(world, 20 * SECOND);
        drive_status(world, pair.id, "failovered");
        drive_ok(world, LYON, "ReprotectDiskReplicaPair", NULL, NULL,
                 "RegionId=cn-lyon&ReplicaPairId=%s", pair.id);
        fake_run(world, SECOND);
        drive_status(world, pair.id, "stopped");
    }
}

#define STORY(test) cmocka_unit_test_setup_teardown(test, drive_setup, drive_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_pair_that_the_other_site_deleted), STORY(test_pair_that_the_other_site_took_out),
        STORY(test_hosts_of_the_old_source),          STORY(test_dies_in_it),
        STORY(test_stop_of_a_fenced_source),          STORY(test_damaged_journal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
