/* SPDX-License-Identifier: Apache-2.0 */
/* ReInitDisk: the disk becomes empty, whatever is killed meanwhile, and no host sees half of it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "drive.h"

#define SECOND UINT64_C(1000000000)

static void attached(struct fake_world *world, char *ret_disk)
{
    drive_disk(world, PARIS, ret_disk);
    drive_ok(world, PARIS, "AttachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s", ret_disk);
}

static void expect_status(struct fake_world *world, const char *disk, const char *wanted)
{
    json_t *reply =
        drive_ask(world, PARIS, "DescribeDisks", "RegionId=cn-paris&DiskIds=[\"%s\"]", disk);
    const json_t *list = json_object_get(json_object_get(reply, "Disks"), "Disk");

    assert_int_equal(json_array_size(list), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "Status")),
                        wanted);
    json_decref(reply);
}

static void expect_empty(struct fake_world *world, const char *disk, unsigned wipes)
{
    fake_run(world, 60 * SECOND);
    expect_status(world, disk, "In_use");
    assert_int_equal(fake_disk_of(world, PARIS, disk)->wipes, wipes);
    assert_true(fake_is_exported(world, PARIS, disk));
}

static void test_becomes_empty(void **state)
{
    struct fake_world *world = *state;
    char disk[64];

    attached(world, disk);
    fake_hold(world, PARIS, DATA_DISK_WIPE, false);
    drive_ok(world, PARIS, "ReInitDisk", NULL, NULL, "DiskId=%s&ClientToken=one", disk);
    fake_run(world, SECOND);
    expect_status(world, disk, "ReIniting");
    assert_false(fake_is_exported(world, PARIS, disk));
    /* Nobody gets it now. */
    drive_fails(world, PARIS, 403, "IncorrectDiskStatus", "ReIniting", "ReInitDisk", "DiskId=%s",
                disk);
    drive_fails(world, PARIS, 403, "IncorrectDiskStatus", NULL, "DetachDisk",
                "InstanceId=i-1&DiskId=%s", disk);
    drive_fails(world, PARIS, 403, "IncorrectDiskStatus", NULL, "AttachDisk",
                "InstanceId=i-1&DiskId=%s", disk);
    drive_fails(world, PARIS, 403, "IncorrectDiskStatus", NULL, "DeleteDisk", "DiskId=%s", disk);
    drive_fails(world, PARIS, 403, "IncorrectDiskStatus", NULL, "ResizeDisk",
                "DiskId=%s&NewSizeBytes=16384", disk);
    fake_release(world, PARIS);
    expect_empty(world, disk, 1);
    /* A repeat of the first call is told what it was told: it wipes nothing. */
    drive_ok(world, PARIS, "ReInitDisk", NULL, NULL, "DiskId=%s&ClientToken=one", disk);
    expect_empty(world, disk, 1);
    drive_ok(world, PARIS, "ReInitDisk", NULL, NULL, "DiskId=%s&ClientToken=two", disk);
    expect_empty(world, disk, 2);
    drive_ok(world, PARIS, "DetachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s", disk);
    drive_ok(world, PARIS, "DeleteDisk", NULL, NULL, "DiskId=%s", disk);
}

static void test_refused(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char disk[64];

    drive_disk(world, PARIS, disk);
    drive_fails(world, PARIS, 404, "InvalidDiskId.NotFound", NULL, "ReInitDisk",
                "RegionId=cn-paris&DiskId=d-none");
    drive_fails(world, PARIS, 403, "IncorrectDiskStatus", "Available", "ReInitDisk", "DiskId=%s",
                disk);
    drive_ok(world, PARIS, "AttachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s", disk);
    fake_disk_of(world, PARIS, disk)->connections = 1;
    drive_fails(world, PARIS, 403, "IncorrectInstanceStatus",
                "The current status of the resource does not support this operation.", "ReInitDisk",
                "DiskId=%s", disk);
    drive_pair(world, &pair);
    drive_ok(world, PARIS, "AttachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s", pair.paris_disk);
    drive_fails(world, PARIS, 403, "IncorrectDiskStatus", pair.id, "ReInitDisk", "DiskId=%s",
                pair.paris_disk);
    fake_run(world, SECOND);
    expect_status(world, disk, "In_use");
    expect_status(world, pair.paris_disk, "In_use");
    assert_int_equal(fake_disk_of(world, PARIS, disk)->wiped, 0);
}

/* Killed before each of its steps, and behind it. */
static void test_killed_in_the_middle(void **state)
{
    static const enum data_op steps[] = {DATA_DISK_DETACH, DATA_DISK_WIPE, DATA_DISK_ATTACH};
    struct fake_world *world = *state;
    char disk[64];

    attached(world, disk);
    for (unsigned i = 0; i < 2 * ARRAY_COUNT(steps); i++) {
        bool is_attach = steps[i / 2] == DATA_DISK_ATTACH;
        unsigned wipes = fake_disk_of(world, PARIS, disk)->wipes;

        fake_hold(world, PARIS, steps[i / 2], i % 2 == 1);
        drive_ok(world, PARIS, "ReInitDisk", NULL, NULL, "DiskId=%s", disk);
        fake_run(world, SECOND);
        fake_site_crash(world, PARIS);
        /* Its first piece fails once, so that there is a moment to look at. */
        world->sites[PARIS].fail_op = DATA_DISK_WIPE;
        world->sites[PARIS].fail_error = -EIO;
        fake_site_start(world, PARIS);
        /* Killed at its last step it was empty, and the record said so. */
        expect_status(world, disk, is_attach ? "In_use" : "ReIniting");
        assert_true(fake_is_exported(world, PARIS, disk) == is_attach);
        world->sites[PARIS].fail_error = 0;
        expect_empty(world, disk, wipes + 1);
    }
}

static void test_goes_on_after_an_error(void **state)
{
    static const enum data_op steps[] = {DATA_DISK_DETACH, DATA_DISK_WIPE};
    struct fake_world *world = *state;
    char disk[64];

    attached(world, disk);
    for (unsigned i = 0; i < ARRAY_COUNT(steps); i++) {
        world->sites[PARIS].fail_op = steps[i];
        world->sites[PARIS].fail_error = -ENOSPC;
        drive_ok(world, PARIS, "ReInitDisk", NULL, NULL, "DiskId=%s", disk);
        expect_empty(world, disk, i + 1);
    }
}

/* A pair with a disk that is half empty would copy the other half. */
static void test_no_pair_meanwhile(void **state)
{
    struct fake_world *world = *state;
    char left[64], right[64];

    attached(world, left);
    drive_disk(world, LYON, right);
    fake_hold(world, PARIS, DATA_DISK_WIPE, false);
    drive_ok(world, PARIS, "ReInitDisk", NULL, NULL, "DiskId=%s", left);
    drive_fails(world, PARIS, 403, "OperationDenied", "ReIniting", "CreateDiskReplicaPair",
                "RegionId=cn-paris&SourceZoneId=cn-paris-a&DiskId=%s&DestinationRegionId=cn-lyon&"
                "DestinationZoneId=cn-lyon-a&DestinationDiskId=%s",
                left, right);
    fake_release(world, PARIS);
    expect_empty(world, left, 1);
}

/* Its store cannot be opened, perhaps for good: without this it would stay ReIniting. */
static void test_given_up(void **state)
{
    struct fake_world *world = *state;
    char disk[64];

    attached(world, disk);
    fake_hold(world, PARIS, DATA_DISK_WIPE, false);
    drive_ok(world, PARIS, "ReInitDisk", NULL, NULL, "DiskId=%s", disk);
    fake_run(world, SECOND);
    fake_site_crash(world, PARIS);
    world->sites[PARIS].fail_op = DATA_DISK_OPEN;
    world->sites[PARIS].fail_error = -EIO;
    fake_site_start(world, PARIS);
    fake_run(world, 10 * SECOND);
    expect_status(world, disk, "ReIniting");
    drive_fails(world, PARIS, 403, "DependencyViolation", NULL, "DetachDisk",
                "InstanceId=i-2&DiskId=%s", disk);
    drive_ok(world, PARIS, "DetachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s", disk);
    expect_status(world, disk, "Available");
    /* It can be opened again: its job does not go on. */
    fake_site_crash(world, PARIS);
    fake_site_start(world, PARIS);
    fake_run(world, 60 * SECOND);
    expect_status(world, disk, "Available");
    assert_int_equal(fake_disk_of(world, PARIS, disk)->wipes, 0);
    assert_false(fake_is_exported(world, PARIS, disk));
    drive_ok(world, PARIS, "AttachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s", disk);
    drive_ok(world, PARIS, "ReInitDisk", NULL, NULL, "DiskId=%s", disk);
    expect_empty(world, disk, 1);
    drive_ok(world, PARIS, "DetachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s", disk);
    drive_ok(world, PARIS, "DeleteDisk", NULL, NULL, "DiskId=%s", disk);
}

static void expect_why(struct fake_world *world, const char *disk, const char *part)
{
    json_t *reply = drive_ask(world, PARIS, "DescribeDiskAccess", "DiskId=%s", disk);
    const char *why = json_string_value(json_object_get(json_object_get(reply, "Disk"), "Why"));

    if (!why || !strstr(why, part))
        fail_msg("'%s' lacks '%s'", why, part);
    json_decref(reply);
}

/* A sync failed: for this life of the daemon that is the end. It is told, and can be given up; the
 * next life goes on. */
static void test_store_that_fails(void **state)
{
    struct fake_world *world = *state;
    struct fake_disk *store;
    char disk[64];

    attached(world, disk);
    store = fake_disk_of(world, PARIS, disk);
    world->sites[PARIS].fail_op = DATA_DISK_WIPE;
    world->sites[PARIS].fail_error = -ENOSPC;
    world->sites[PARIS].fail_again = 1000;
    drive_ok(world, PARIS, "ReInitDisk", NULL, NULL, "DiskId=%s", disk);
    fake_run(world, 60 * SECOND);
    expect_why(world, disk, "it is being made empty: reinit: made to fail");
    world->sites[PARIS].fail_error = 0;
    store->is_fenced = true;
    fake_run(world, 60 * SECOND);
    expect_status(world, disk, "ReIniting");
    expect_why(world, disk, "it is being made empty: a sync of its store failed");
    fake_site_crash(world, PARIS);
    store->is_fenced = false;
    fake_site_start(world, PARIS);
    expect_empty(world, disk, 1);
    expect_why(world, disk, "");
    store->is_fenced = true;
    expect_why(world, disk, "hosts get errors");
    drive_ok(world, PARIS, "ReInitDisk", NULL, NULL, "DiskId=%s", disk);
    fake_run(world, 60 * SECOND);
    drive_ok(world, PARIS, "DetachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s", disk);
    expect_status(world, disk, "Available");
    drive_ok(world, PARIS, "DeleteDisk", NULL, NULL, "DiskId=%s", disk);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, drive_setup, drive_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_becomes_empty),        TEST(test_refused),
        TEST(test_killed_in_the_middle), TEST(test_goes_on_after_an_error),
        TEST(test_no_pair_meanwhile),    TEST(test_given_up),
        TEST(test_store_that_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
