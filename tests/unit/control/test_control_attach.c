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

#define STORY(test) cmocka_unit_test_setup_teardown(test, drive_setup, drive_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_attach_after_a_refused_reprotect),
        STORY(test_no_attach_when_the_engine_is_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
