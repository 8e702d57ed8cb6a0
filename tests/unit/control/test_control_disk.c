/* SPDX-License-Identifier: Apache-2.0 */
/* ModifyDiskAttribute and ResizeDisk: what they change, and each error of contract 12.6, 12.7. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "drive.h"
#include "fake_meta.h"

/* A field of a disk, as text. */
static void expect_disk(struct fake_world *world, const char *disk, const char *field,
                        const char *wanted)
{
    json_t *reply =
        drive_ask(world, PARIS, "DescribeDisks", "RegionId=cn-paris&DiskIds=[\"%s\"]", disk);
    json_t *value = json_object_get(
        json_array_get(json_object_get(json_object_get(reply, "Disks"), "Disk"), 0), field);
    char text[200] = "";

    if (json_is_string(value))
        snprintf(text, sizeof(text), "%s", json_string_value(value));
    else if (json_is_integer(value))
        snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(value));
    else
        snprintf(text, sizeof(text), "%s", json_is_true(value) ? "true" : "false");
    json_decref(reply);
    if (strcmp(text, wanted) != 0)
        fail_msg("%s: '%s', not '%s'", field, text, wanted);
}

static void test_attributes(void **state)
{
    struct fake_world *world = *state;
    char disk[64], other[64];

    drive_disk(world, PARIS, disk);
    drive_disk(world, PARIS, other);
    drive_ok(world, PARIS, "ModifyDiskAttribute", NULL, NULL,
             "RegionId=cn-paris&DiskId=%s&DiskName=erp.log&Description=of+the+shop&"
             "DeleteWithInstance=true&DeleteAutoSnapshot=false&EnableAutoSnapshot=true",
             disk);
    expect_disk(world, disk, "DiskName", "erp.log");
    expect_disk(world, disk, "Description", "of the shop");
    expect_disk(world, disk, "DeleteWithInstance", "true");
    expect_disk(world, disk, "DeleteAutoSnapshot", "false");
    expect_disk(world, disk, "EnableAutoSnapshot", "true");
    /* What is not given stays; an attachment takes the default, or what it is told. */
    drive_ok(world, PARIS, "AttachDisk", NULL, NULL, "DiskId=%s&InstanceId=i-1", disk);
    expect_disk(world, disk, "DeleteWithInstance", "true");
    drive_ok(world, PARIS, "ModifyDiskAttribute", NULL, NULL, "DiskId=%s&DeleteWithInstance=false",
             disk);
    expect_disk(world, disk, "DeleteWithInstance", "false");
    expect_disk(world, disk, "DiskName", "erp.log");
    drive_ok(world, PARIS, "ModifyDiskAttribute", NULL, NULL,
             "DiskIds.1=%s&DiskIds.2=%s&DiskName=both", disk, other);
    expect_disk(world, other, "DiskName", "both");
    fake_site_crash(world, PARIS);
    fake_site_start(world, PARIS);
    expect_disk(world, disk, "DiskName", "both");
    expect_disk(world, disk, "EnableAutoSnapshot", "true");
}

static void test_errors_of_modify(void **state)
{
    struct fake_world *world = *state;
    char disk[64], shared[64], query[6000] = "DiskName=ab";

#define MODIFY "ModifyDiskAttribute"
    drive_disk(world, PARIS, disk);
    drive_fails(world, PARIS, 400, "NoAttributeToModify",
                "No attribute to be modified in this request.", MODIFY, "DiskId=%s", disk);
    drive_fails(world, PARIS, 400, "MissingParameter.DiskIdOrDiskIds", NULL, MODIFY, "DiskName=ab");
    drive_fails(world, PARIS, 400, "ParameterConflict.DiskIdAndDiskIds", NULL, MODIFY,
                "DiskId=%s&DiskIds.1=%s&DiskName=ab", disk, disk);
    drive_fails(world, PARIS, 400, "InvalidDiskName.Malformed", NULL, MODIFY,
                "DiskId=%s&DiskName=9", disk);
    drive_fails(world, PARIS, 404, "InvalidDescription.Malformed", NULL, MODIFY,
                "DiskId=%s&Description=http://x", disk);
    drive_fails(world, PARIS, 400, "BurstingEnabledForDiskCategoryUnsupported", NULL, MODIFY,
                "DiskId=%s&BurstingEnabled=true", disk);
    drive_fails(world, PARIS, 400, "BurstingEnabledForDiskCategoryUnsupported", NULL, "CreateDisk",
                "RegionId=cn-paris&ZoneId=cn-paris-a&Size=1&BurstingEnabled=true");
    drive_fails(world, PARIS, 404, "InvalidDiskId.NotFound", "d-none", MODIFY,
                "DiskIds.1=%s&DiskIds.2=d-none&DiskName=nobody", disk);
    expect_disk(world, disk, "DiskName", ""); /* all or none */
    drive_ok(world, PARIS, "CreateDisk", "DiskId", shared,
             "RegionId=cn-paris&ZoneId=cn-paris-a&SizeBytes=8192&MultiAttach=Enabled");
    drive_fails(world, PARIS, 403, "DeleteWithInstance.Conflict", NULL, MODIFY,
                "DiskId=%s&DeleteWithInstance=true", shared);
    drive_fails(world, PARIS, 403, "DeleteWithInstance.Conflict", NULL, "AttachDisk",
                "DiskId=%s&InstanceId=i-1&DeleteWithInstance=true", shared);
    for (unsigned i = 1; i <= 101; i++)
        sprintf(query + strlen(query), "&DiskIds.%u=d-%u", i, i);
    drive_fails(world, PARIS, 403, "InvalidDiskIds.Malformed", NULL, MODIFY, "%s", query);
    fake_hold(world, PARIS, DATA_DISK_CLOSE, false);
    fake_ask_and_forget(world, PARIS, "DeleteDisk", (sprintf(query, "DiskId=%s", shared), query));
    drive_fails(world, PARIS, 403, "IncorrectDiskStatus",
                "The operation is not supported in this status.", MODIFY, "DiskId=%s&DiskName=ab",
                shared);
    fake_release(world, PARIS);
}

static void test_resize(void **state)
{
    struct fake_world *world = *state;
    char disk[64];

    drive_ok(world, PARIS, "CreateDisk", "DiskId", disk,
             "RegionId=cn-paris&ZoneId=cn-paris-a&Size=1");
    drive_ok(world, PARIS, "ResizeDisk", NULL, NULL, "DiskId=%s&NewSize=2&ClientToken=t", disk);
    drive_ok(world, PARIS, "ResizeDisk", NULL, NULL, "DiskId=%s&NewSize=2&ClientToken=t", disk);
    expect_disk(world, disk, "Size", "2");
    assert_int_equal(fake_disk_of(world, PARIS, disk)->size, UINT64_C(2) << 30);
    drive_ok(world, PARIS, "AttachDisk", NULL, NULL, "DiskId=%s&InstanceId=i-1", disk);
    drive_ok(world, PARIS, "ResizeDisk", NULL, NULL,
             "DiskId=%s&NewSizeBytes=2147487744&Type=online", disk);
    expect_disk(world, disk, "SizeBytes", "2147487744");
    assert_true(fake_is_exported(world, PARIS, disk));
    /* Asked where it is not, without a region. */
    drive_ok(world, LYON, "ResizeDisk", NULL, NULL, "DiskId=%s&NewSize=3", disk);
    fake_site_crash(world, PARIS);
    fake_site_start(world, PARIS);
    expect_disk(world, disk, "Size", "3");
}

static void test_errors_of_resize(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char disk[64];

    drive_pair(world, &pair);
    drive_ok(world, PARIS, "CreateDisk", "DiskId", disk,
             "RegionId=cn-paris&ZoneId=cn-paris-a&Size=2");
#define REFUSED(status, code, query, ...)                                                          \
    drive_fails(world, PARIS, status, code, NULL, "ResizeDisk", query, __VA_ARGS__)
    control_site(world->sites[PARIS].control)->is_strict = true;
    REFUSED(400, "IncorrectDiskStatus.InReplication", "DiskId=%s&NewSize=2", pair.paris_disk);
    drive_fails(world, LYON, 400, "IncorrectDiskStatus.InReplication",
                "Disk already in replication.", "ResizeDisk", "DiskId=%s&NewSize=2",
                pair.lyon_disk);
    REFUSED(400, "InvalidParam.Type", "DiskId=%s&NewSize=3&Type=fast", disk);
    REFUSED(400, "IncompleteParamter", "DiskId=%s", disk);
    REFUSED(400, "IncompleteParamter", "NewSize=%d", 3);
    REFUSED(400, "InvalidDataDiskSize.ValueNotSupported", "DiskId=%s&NewSize=0", disk);
    REFUSED(400, "InvalidDataDiskSize.ValueNotSupported", "DiskId=%s&NewSizeBytes=3221225473",
            disk);
    REFUSED(403, "InvalidDiskSize", "DiskId=%s&NewSize=2", disk);
    REFUSED(403, "InvalidDiskSize.TooSmall", "DiskId=%s&NewSize=1", disk);
    REFUSED(403, "InvalidDiskSize.TooLarge", "DiskId=%s&NewSize=131073", disk);
    REFUSED(404, "InvalidDiskId.NotFound", "DiskId=%s&NewSize=3", "d-none");
    drive_fails(world, PARIS, 403, "OperationDenied", "paris is full", "ResizeDisk",
                "DiskId=%s&NewSize=2000", disk);
    control_site(world->sites[PARIS].control)->quota.disk_bytes = UINT64_C(3) << 30;
    REFUSED(400, "QuotaExceed.DiskCapacity", "DiskId=%s&NewSize=4", disk);
    expect_disk(world, disk, "Size", "2");
}

/* While it grows nobody makes a pair of it, and nobody else resizes it. */
static void test_alone_while_it_grows(void **state)
{
    struct fake_world *world = *state;
    char left[64], right[64], query[200];

    drive_disk(world, PARIS, left);
    drive_disk(world, LYON, right);
#define PAIR                                                                                       \
    "RegionId=cn-paris&SourceZoneId=cn-paris-a&DiskId=%s&DestinationRegionId=cn-lyon&"             \
    "DestinationZoneId=cn-lyon-a&DestinationDiskId=%s"
    for (unsigned s = 0; s < 2; s++) {
        fake_hold(world, s, DATA_DISK_GROW, false);
        sprintf(query, "DiskId=%s&NewSizeBytes=%u", s == 0 ? left : right, 16384);
        fake_ask_and_forget(world, s, "ResizeDisk", query);
        drive_fails(world, PARIS, 403, "OperationDenied.InvalidStatus", "being resized",
                    "CreateDiskReplicaPair", PAIR, left, right);
        drive_fails(world, s, 403, "IncorrectDiskStatus", "being resized", "ResizeDisk",
                    "DiskId=%s&NewSizeBytes=20480", s == 0 ? left : right);
        fake_release(world, s);
    }
    drive_ok(world, PARIS, "CreateDiskReplicaPair", NULL, NULL, PAIR, left, right);
}

/* The record cannot be written: answered, no pair by the old size, and asking again ends it. */
static void test_unrecorded_size(void **state)
{
    struct fake_world *world = *state;
    char left[64], right[64];

    drive_disk(world, PARIS, left);
    drive_disk(world, LYON, right);
    fake_meta_fail_put(world->sites[PARIS].meta, left);
    for (unsigned i = 0; i < 2; i++) /* the second time the size is there already */
        drive_fails(world, PARIS, 500, "InternalError", "ask again", "ResizeDisk",
                    "DiskId=%s&NewSizeBytes=16384&ClientToken=t", left);
    fake_meta_fail_put(world->sites[PARIS].meta, NULL);
    expect_disk(world, left, "SizeBytes", "8192");
    drive_fails(world, PARIS, 403, "OperationDenied.InvalidStatus", "being resized",
                "CreateDiskReplicaPair", PAIR, left, right);
    drive_ok(world, PARIS, "ResizeDisk", NULL, NULL, "DiskId=%s&NewSizeBytes=16384&ClientToken=t",
             left);
    expect_disk(world, left, "SizeBytes", "16384");
    drive_ok(world, LYON, "ResizeDisk", NULL, NULL, "DiskId=%s&NewSizeBytes=16384", right);
    drive_ok(world, PARIS, "CreateDiskReplicaPair", NULL, NULL, PAIR, left, right);
}

/* It grew while the other site was asked about the pair: the pair would never copy. */
static void test_resized_while_a_pair_is_made(void **state)
{
    struct fake_world *world = *state;
    char left[64], right[64], query[400], count[64];

    drive_disk(world, PARIS, left);
    drive_disk(world, LYON, right);
    fake_hold(world, LYON, DATA_CALL_REPLY, false);
    sprintf(query, PAIR, left, right);
    fake_ask_and_forget(world, PARIS, "CreateDiskReplicaPair", query);
    drive_ok(world, PARIS, "ResizeDisk", NULL, NULL, "DiskId=%s&NewSizeBytes=16384", left);
    fake_release(world, LYON);
    fake_run(world, 0);
    drive_ok(world, PARIS, "DescribeDiskReplicaPairs", "TotalCount", count, "RegionId=cn-paris");
    assert_string_equal(count, "0");
    drive_fails(world, PARIS, 403, "OperationDenied", "16384", "CreateDiskReplicaPair", PAIR, left,
                right);
    fake_net(world, false);
    fake_net(world, true); /* the other site's half goes at the next contact */
    fake_run(world, UINT64_C(30000000000));
    drive_ok(world, LYON, "ResizeDisk", NULL, NULL, "DiskId=%s&NewSizeBytes=16384", right);
    drive_ok(world, PARIS, "CreateDiskReplicaPair", NULL, NULL, PAIR, left, right);
}

/* Killed between the file and the record: the old size, and asking again ends it. */
static void test_cut_off(void **state)
{
    struct fake_world *world = *state;
    char disk[64], query[200];

    drive_disk(world, PARIS, disk);
    fake_hold(world, PARIS, DATA_DISK_GROW, true);
    sprintf(query, "DiskId=%s&NewSizeBytes=16384", disk);
    fake_ask_and_forget(world, PARIS, "ResizeDisk", query);
    fake_site_crash(world, PARIS);
    fake_site_start(world, PARIS);
    expect_disk(world, disk, "SizeBytes", "8192");
    drive_ok(world, PARIS, "ResizeDisk", NULL, NULL, "%s", query);
    expect_disk(world, disk, "SizeBytes", "16384");
}

static void expect_count(struct fake_world *world, const char *filters, const char *wanted)
{
    char text[64];

    drive_ok(world, PARIS, "DescribeDisks", "TotalCount", text, "RegionId=cn-paris%s", filters);
    if (strcmp(text, wanted) != 0)
        fail_msg("%s: %s disks, not %s", filters, text, wanted);
}

/* A filter that is not looked at shows too much. */
static void test_filters(void **state)
{
    static const char *const all[] = {
        "",
        "&Portable=true",
        "&EnableShared=false",
        "&DeleteWithInstance=false",
        "&MultiAttach=Disabled",
        "&DiskChargeType=PostPaid",
        "&EnableAutomatedSnapshotPolicy=false",
        "&Filter.1.Key=CreationStartTime&Filter.1.Value=2001-01-01T00:00Z",
        "&Filter.1.Key=CreationEndTime&Filter.1.Value=2999-01-01T00:00Z",
        "&Filter.1.Key=CreationStartTime&Filter.1.Value=1970-01-01T00:00Z&"
        "Filter.2.Key=CreationEndTime&Filter.2.Value=2999-01-01T00:00:00Z",
    };
    static const char *const none[] = {
        "&Portable=false",
        "&ZoneId=cn-lyon-a",
        "&EnableShared=true",
        "&MultiAttach=LegacyShared",
        "&DiskChargeType=PrePaid",
        "&EnableAutomatedSnapshotPolicy=true",
        "&SnapshotId=s-1",
        "&KMSKeyId=k",
        "&AutoSnapshotPolicyId=sp-1",
        "&LockReason=security",
        "&Filter.1.Key=CreationStartTime&Filter.1.Value=2999-01-01T00:00Z",
        "&Filter.2.Key=CreationEndTime&Filter.2.Value=1971-01-01T00:00Z",
    };
    static const struct {
        const char *filters;
        unsigned status;
        const char *code;
    } refused[] = {
        {"&MultiAttach=x", 403, "InvalidParameter.MultiAttach"},
        {"&DiskChargeType=x", 404, "InvalidDiskChargeType.NotFound"},
        {"&LockReason=x", 404, "InvalidLockReason.NotFound"},
        {"&Portable=x", 400, "InvalidParameter"},
        {"&ZoneId=cn-x-a", 400, "InvalidZoneId.NotFound"},
        {"&Filter.1.Key=Size&Filter.1.Value=1", 404, "InvalidFilterKey.NotFound"},
        {"&Filter.1.Value=2999-01-01T00:00Z", 404, "InvalidFilterKey.NotFound"},
        {"&Filter.2.Key=CreationEndTime", 404, "InvalidFilterValue"},
        {"&Filter.1.Key=CreationEndTime&Filter.1.Value=2026-13-01T00:00Z", 404,
         "InvalidFilterValue"},
        {"&Filter.1.Key=CreationEndTime&Filter.1.Value=2026-11-01T00:00X", 404,
         "InvalidFilterValue"},
    };
    struct fake_world *world = *state;
    char disk[64], other[64];

    drive_disk(world, PARIS, disk);
    drive_disk(world, PARIS, other);
    for (unsigned i = 0; i < ARRAY_COUNT(all); i++)
        expect_count(world, all[i], "2");
    for (unsigned i = 0; i < ARRAY_COUNT(none); i++)
        expect_count(world, none[i], "0");
    for (unsigned i = 0; i < ARRAY_COUNT(refused); i++)
        drive_fails(world, PARIS, refused[i].status, refused[i].code, NULL, "DescribeDisks",
                    "RegionId=cn-paris%s", refused[i].filters);
    drive_ok(world, PARIS, "ModifyDiskAttribute", NULL, NULL,
             "DiskId=%s&DeleteAutoSnapshot=false&EnableAutoSnapshot=true", disk);
    expect_count(world, "&DeleteAutoSnapshot=false", "1");
    expect_count(world, "&EnableAutoSnapshot=true", "1");
    drive_ok(world, PARIS, "AttachDisk", NULL, NULL,
             "DiskId=%s&InstanceId=i-1&DeleteWithInstance=true", disk);
    expect_count(world, "&DeleteWithInstance=true", "1");
    expect_disk(world, disk, "MountInstanceNum", "1");
    expect_disk(world, other, "MountInstanceNum", "0");
}

static void test_created_disks(void **state)
{
#define NEW "RegionId=cn-paris&ZoneId=cn-paris-a"
    static const struct {
        const char *parameters;
        unsigned status;
        const char *code, *part;
    } refused[] = {
        {NEW "&Size=1&InstanceId=i-1", 403, "InvalidParam.ZoneIdAndInstanceId.Conflict", NULL},
        {NEW "&Size=1&SnapshotId=s-1", 400, "InvalidParameter", "SnapshotId"},
        {NEW "&SnapshotId=s-1", 400, "InvalidParameter", "SnapshotId"},
        {NEW "&Size=1&ProvisionedIops=1", 400, "ProvisionedIopsForDiskCategoryUnsupported", NULL},
        {NEW "&Size=10&ProvisionedIops=7001&DiskCategory=cloud_auto", 400,
         "InvalidProvisionedIops.LimitExceed", NULL},
        {NEW "&Size=1000&ProvisionedIops=50001&DiskCategory=cloud_auto", 400,
         "InvalidProvisionedIops.LimitExceed", NULL},
        {NEW "&Size=1&ProvisionedIops=1&DiskCategory=cloud_auto", 400,
         "InvalidProvisionedIops.LimitExceed", NULL},
        {NEW "&Size=1&MultiAttach=Enabled&DiskCategory=cloud_auto", 403,
         "InvalidParameter.MultiAttach", NULL},
        {"RegionId=cn-paris&ZoneId=&Size=1", 400, "MissingParameter", "ZoneId"},
    };
    struct fake_world *world = *state;
    char disk[64];

    for (unsigned i = 0; i < ARRAY_COUNT(refused); i++)
        drive_fails(world, PARIS, refused[i].status, refused[i].code, refused[i].part, "CreateDisk",
                    "%s", refused[i].parameters);
    /* More than a file can hold: not an error that clients repeat. */
    world->sites[PARIS].fail_op = DATA_DISK_OPEN;
    world->sites[PARIS].fail_error = -EFBIG;
    drive_fails(world, PARIS, 400, "InvalidSize.ValueNotSupported", NULL, "CreateDisk", "%s",
                NEW "&Size=131072");
    expect_count(world, "", "0");
    drive_ok(world, PARIS, "CreateDisk", "DiskId", disk,
             NEW "&Size=10&ProvisionedIops=7000&DiskCategory=cloud_auto");
    expect_disk(world, disk, "ProvisionedIops", "7000");
#undef NEW
}

static void test_devices(void **state)
{
    struct fake_world *world = *state;
    char one[64], two[64];

    drive_disk(world, PARIS, one);
    drive_disk(world, PARIS, two);
    drive_ok(world, PARIS, "AttachDisk", NULL, NULL, "DiskId=%s&InstanceId=i-1&Device=/dev/xvdb",
             one);
    drive_fails(world, PARIS, 403, "InvalidDevice.InUse", one, "AttachDisk",
                "DiskId=%s&InstanceId=i-1&Device=/dev/xvdb", two);
    drive_ok(world, PARIS, "AttachDisk", NULL, NULL, "DiskId=%s&InstanceId=i-2&Device=/dev/xvdb",
             two);
}

/* The same mistake has another name in each of these (contract 12.2 to 12.6). */
static void test_regions_and_empty_parameters(void **state)
{
    struct fake_world *world = *state;

    drive_fails(world, PARIS, 400, "MissingParamter.RegionId", "The regionId should not be null.",
                "DescribeDisks", "A=b");
    drive_fails(world, PARIS, 400, "InvalidRegion.NotFound", NULL, "DescribeDisks",
                "RegionId=cn-x");
    drive_fails(world, PARIS, 400, "InvalidRegionId.MalFormed", NULL, "DeleteDisk",
                "RegionId=cn-x&DiskId=d-1");
    drive_fails(world, PARIS, 400, "InvalidRegionId.MalFormed", NULL, "ModifyDiskAttribute",
                "RegionId=cn-x&DiskId=d-1&DiskName=abc");
    drive_fails(world, PARIS, 404, "InvalidRegionId.NotFound", NULL, "CreateDisk",
                "RegionId=cn-x&ZoneId=cn-x-a&Size=1");
    drive_fails(world, PARIS, 400, "InvalidParameter", "is empty", "AttachDisk",
                "DiskId=d-1&InstanceId=");
    drive_fails(world, PARIS, 400, "InvalidParameter", "is empty", "DetachDisk",
                "DiskId=&InstanceId=i-1");
    drive_fails(world, PARIS, 400, "MissingInstanceId", NULL, "AttachDisk", "DiskId=d-1");
    drive_fails(world, PARIS, 400, "IncompleteParamter", NULL, "ResizeDisk", "DiskId=&NewSize=2");
    drive_fails(world, PARIS, 404, "MissingParameter.ResourceType", NULL, "TagResources",
                "RegionId=cn-paris&ResourceType=&ResourceId.1=pg-1&Tag.1.Key=a");
}

/* Contract 1 and 7.1: ESSD and ESSD AutoPL. */
static void test_what_replicates(void **state)
{
    static const struct {
        const char *category;
        bool is_fine;
    } rows[] = {{"cloud_auto", true}, {"cloud_efficiency", false}, {"cloud", false}};
    struct fake_world *world = *state;

    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        char disks[2][64], text[400];

        for (unsigned site = 0; site < 2; site++)
            drive_ok(world, site, "CreateDisk", "DiskId", disks[site],
                     "RegionId=%s&ZoneId=%s-a&Size=1&DiskCategory=%s", drive_regions[site],
                     drive_regions[site], rows[i].category);
        snprintf(text, sizeof(text),
                 "RegionId=cn-paris&SourceZoneId=cn-paris-a&DestinationRegionId=cn-lyon&"
                 "DestinationZoneId=cn-lyon-a&DiskId=%s&DestinationDiskId=%s",
                 disks[PARIS], disks[LYON]);
        if (rows[i].is_fine)
            drive_ok(world, PARIS, "CreateDiskReplicaPair", NULL, NULL, "%s", text);
        else
            drive_fails(world, PARIS, 403, "OperationDenied", rows[i].category,
                        "CreateDiskReplicaPair", "%s", text);
    }
}

/* What the data wing did cannot be recorded, for long: the caller is told within 3 s, what is
 * left ends by itself. */
static void ask_unrecorded(struct fake_world *world, const char *action, const char *query)
{
    struct meta *meta = world->sites[PARIS].meta;
    uint64_t began_ns = world->now_ns;
    unsigned status = 0;
    json_t *reply;

    fake_meta_fail_commits_behind(meta, 1, 8);
    reply = fake_ask(world, PARIS, action, query, &status);
    assert_int_equal(status, 500);
    assert_true(world->now_ns - began_ns < UINT64_C(3000000000));
    assert_string_equal(json_string_value(json_object_get(reply, "Code")), "InternalError");
    assert_non_null(strstr(json_string_value(json_object_get(reply, "Message")),
                           "the records cannot be changed now"));
    json_decref(reply);
}

static void test_cannot_be_recorded(void **state)
{
    struct fake_world *world = *state;
    char disk[64], query[200], count[64];

    ask_unrecorded(world, "CreateDisk",
                   "RegionId=cn-paris&ZoneId=cn-paris-a&SizeBytes=8192&ClientToken=t");
    drive_ok(world, PARIS, "DescribeDisks", "TotalCount", count, "RegionId=cn-paris");
    assert_string_equal(count, "1"); /* Creating */
    drive_fails(world, PARIS, 403, "LastTokenProcessing", NULL, "CreateDisk",
                "RegionId=cn-paris&ZoneId=cn-paris-a&SizeBytes=8192&ClientToken=t");
    fake_run(world, UINT64_C(10000000000));
    drive_ok(world, PARIS, "DescribeDisks", "TotalCount", count, "RegionId=cn-paris");
    assert_string_equal(count, "0"); /* it failed, so nothing of it stays */
    for (unsigned i = 0; i < FAKE_DISKS; i++)
        assert_false(world->sites[PARIS].disks[i].exists);

    drive_ok(world, PARIS, "CreateDisk", "DiskId", disk,
             "RegionId=cn-paris&ZoneId=cn-paris-a&SizeBytes=8192&ClientToken=t");
    drive_ok(world, PARIS, "AttachDisk", NULL, NULL, "DiskId=%s&InstanceId=i-1", disk);
    sprintf(query, "DiskId=%s&InstanceId=i-1", disk);
    ask_unrecorded(world, "DetachDisk", query);
    expect_disk(world, disk, "Status", "Detaching");
    fake_run(world, UINT64_C(10000000000));
    expect_disk(world, disk, "Status", "Available");
    sprintf(query, "DiskId=%s", disk);
    ask_unrecorded(world, "DeleteDisk", query);
    drive_fails(world, PARIS, 403, "IncorrectDiskStatus", NULL, "AttachDisk",
                "DiskId=%s&InstanceId=i-1", disk);
    fake_run(world, UINT64_C(10000000000));
    drive_fails(world, PARIS, 404, "InvalidDiskId.NotFound", NULL, "AttachDisk",
                "DiskId=%s&InstanceId=i-1", disk);
}

/* The daemon stops while something is left: that waits for nobody, and the next start ends it.
 */
static void test_left_at_the_stop(void **state)
{
    struct fake_world *world = *state;
    char disk[64], query[200];

    drive_disk(world, PARIS, disk);
    sprintf(query, "DiskId=%s", disk);
    ask_unrecorded(world, "DeleteDisk", query);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, drive_setup, drive_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_filters, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_devices, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_created_disks, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_regions_and_empty_parameters, drive_setup,
                                        drive_teardown),
        cmocka_unit_test_setup_teardown(test_what_replicates, drive_setup, drive_teardown),
        TEST(test_attributes),
        TEST(test_errors_of_modify),
        TEST(test_resize),
        TEST(test_errors_of_resize),
        TEST(test_alone_while_it_grows),
        TEST(test_cut_off),
        TEST(test_resized_while_a_pair_is_made),
        TEST(test_unrecorded_size),
        TEST(test_cannot_be_recorded),
        TEST(test_left_at_the_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
