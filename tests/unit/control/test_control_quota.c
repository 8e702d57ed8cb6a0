/* SPDX-License-Identifier: Apache-2.0 */
/* Every limit of contract 13, with its code; and what the configured sites look like to clients. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "drive.h"

#define CREATE_PAIR                                                                                \
    "RegionId=cn-paris&SourceZoneId=cn-paris-a&DiskId=%s&DestinationRegionId=cn-lyon&"             \
    "DestinationZoneId=cn-lyon-a&DestinationDiskId=%s"
#define CREATE_GROUP                                                                               \
    "RegionId=cn-paris&SourceZoneId=cn-paris-a&DestinationRegionId=cn-lyon&"                       \
    "DestinationZoneId=cn-lyon-a"

static struct site_quota *quota_of(struct fake_world *world, unsigned site)
{
    return &control_site(world->sites[site].control)->quota;
}

static void test_pairs(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char left[64], right[64];

    drive_pair(world, &pair);
    drive_disk(world, PARIS, left);
    drive_disk(world, LYON, right);
    /* One pair a disk, at either end. */
    drive_fails(world, PARIS, 403, "OperationDenied.QuotaExceed", pair.id, "CreateDiskReplicaPair",
                CREATE_PAIR, pair.paris_disk, right);
    drive_fails(world, PARIS, 403, "OperationDenied.QuotaExceed", pair.id, "CreateDiskReplicaPair",
                CREATE_PAIR, left, pair.lyon_disk);
    quota_of(world, PARIS)->pairs = 1;
    drive_fails(world, PARIS, 403, "OperationDenied.QuotaExceed",
                "The operation is not allowed due to quota exceed. At most 1 pairs at site paris.",
                "CreateDiskReplicaPair", CREATE_PAIR, left, right);
    quota_of(world, PARIS)->pairs = 2;
    quota_of(world, LYON)->pairs = 1; /* the other site counts too */
    drive_fails(world, PARIS, 403, "OperationDenied.QuotaExceed", "Site lyon",
                "CreateDiskReplicaPair", CREATE_PAIR, left, right);
    quota_of(world, LYON)->pairs = 2;
    drive_ok(world, PARIS, "CreateDiskReplicaPair", NULL, NULL, CREATE_PAIR, left, right);
}

/* Two in one moment: both are judged before the other site answered. */
static void test_pairs_at_once(void **state)
{
    struct fake_world *world = *state;
    char left[2][64], right[2][64], queries[2][400];
    struct fake_asked asked[2] = {{.action = "CreateDiskReplicaPair", .query = queries[0]},
                                  {.action = "CreateDiskReplicaPair", .query = queries[1]}};

    for (unsigned i = 0; i < 2; i++) {
        drive_disk(world, PARIS, left[i]);
        drive_disk(world, LYON, right[i]);
        sprintf(queries[i], CREATE_PAIR, left[i], right[i]);
    }
    quota_of(world, PARIS)->pairs = 1;
    fake_ask_together(world, PARIS, asked, 2);
    assert_int_equal(asked[0].status, 200);
    assert_int_equal(asked[1].status, 403);
    assert_string_equal(json_string_value(json_object_get(asked[1].reply, "Code")),
                        "OperationDenied.QuotaExceed");
    json_decref(asked[0].reply);
    json_decref(asked[1].reply);
}

static void test_groups(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char group[64];

    quota_of(world, PARIS)->empty_groups = 2;
    quota_of(world, PARIS)->groups = 3;
    drive_group(world, group);
    drive_group(world, group);
    drive_fails(world, PARIS, 403, "OperationDenied.TooMuchEmptyGroup",
                "Operation failed because of too many empty groups.", "CreateDiskReplicaGroup",
                CREATE_GROUP);
    drive_pair(world, &pair);
    drive_add(world, group, &pair);
    drive_group(world, group);
    quota_of(world, PARIS)->empty_groups = 10;
    drive_fails(world, PARIS, 403, "OperationDenied.QuotaExceed", "At most 3 groups",
                "CreateDiskReplicaGroup", CREATE_GROUP);
}

static void test_members(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pairs[3];
    char group[64], other[64];

    drive_group(world, group);
    drive_group(world, other);
    for (unsigned i = 0; i < 3; i++)
        drive_pair(world, &pairs[i]);
    quota_of(world, PARIS)->group_pairs = 2;
    quota_of(world, PARIS)->group_bytes = 3 * 8192 - 1;
    drive_add(world, group, &pairs[0]);
    drive_fails(world, PARIS, 403, "OperationDenied.PairInAnotherGroup", group,
                "AddDiskReplicaPair", "RegionId=cn-paris&ReplicaGroupId=%s&ReplicaPairId=%s", other,
                pairs[0].id);
    drive_add(world, group, &pairs[1]);
    drive_fails(world, PARIS, 403, "OperationDenied.PairsExceedInGroup", NULL, "AddDiskReplicaPair",
                "RegionId=cn-paris&ReplicaGroupId=%s&ReplicaPairId=%s", group, pairs[2].id);
    quota_of(world, PARIS)->group_pairs = 17;
    drive_fails(world, PARIS, 403, "OperationDenied.GroupTotalDiskCapacityLimit", "24576",
                "AddDiskReplicaPair", "RegionId=cn-paris&ReplicaGroupId=%s&ReplicaPairId=%s", group,
                pairs[2].id);
    quota_of(world, PARIS)->group_bytes = 3 * 8192;
    drive_add(world, group, &pairs[2]);
}

/* As many as a configuration may allow: what the sites tell each other of them is taken. */
static void test_the_largest_group_starts(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char group[64];

    for (unsigned site = 0; site < 2; site++)
        quota_of(world, site)->group_pairs = DATA_DISKS_MAX;
    drive_group(world, group);
    for (unsigned i = 0; i < DATA_DISKS_MAX; i++) {
        drive_pair(world, &pair);
        drive_add(world, group, &pair);
    }
    drive_ok(world, PARIS, "StartDiskReplicaGroup", NULL, NULL,
             "RegionId=cn-paris&ReplicaGroupId=%s", group);
    fake_copy(world);
    fake_run(world, 5000000000);
    drive_expect(world, LYON, group, "Status", "normal");
}

static void test_disks(void **state)
{
    struct fake_world *world = *state;
    char disk[64];

    drive_disk(world, PARIS, disk);
    quota_of(world, PARIS)->disks = 1;
    drive_fails(world, PARIS, 403, "QuotaExceed.PostPaidDisk",
                "Living postPaid disks quota exceeded.", "CreateDisk",
                "RegionId=cn-paris&ZoneId=cn-paris-a&SizeBytes=8192");
    drive_fails(world, PARIS, 403, "QuotaExceed.PostPaidDisk", NULL, "ImportDisk", "Path=/there");
    quota_of(world, PARIS)->disks = 2;
    quota_of(world, PARIS)->disk_bytes = 2 * 8192 - 1;
    drive_fails(world, PARIS, 400, "QuotaExceed.DiskCapacity", "quota in the zone, cn-paris-a.",
                "CreateDisk", "RegionId=cn-paris&ZoneId=cn-paris-a&SizeBytes=8192");
    quota_of(world, PARIS)->disk_bytes = 2 * 8192;
    drive_disk(world, PARIS, disk);
}

/* Two in one moment: the second is judged before the first is in the records. */
static void test_disks_at_once(void **state)
{
    struct fake_world *world = *state;
    struct fake_asked imports[2] = {{.action = "ImportDisk", .query = "Path=/there-1"},
                                    {.action = "ImportDisk", .query = "Path=/there-2"}};
    char disks[2][64], queries[2][100];
    struct fake_asked growths[2] = {{.action = "ResizeDisk", .query = queries[0]},
                                    {.action = "ResizeDisk", .query = queries[1]}};
    struct meta_query all = {.kind = RECORD_DISK};
    unsigned done = 0, count;

    for (unsigned i = 0; i < 2; i++) {
        drive_disk(world, PARIS, disks[i]);
        snprintf(queries[i], 100, "DiskId=%s&NewSizeBytes=16384", disks[i]);
    }
    quota_of(world, PARIS)->disk_bytes = 3 * 8192;
    fake_ask_together(world, PARIS, growths, 2);
    for (unsigned i = 0; i < 2; i++) {
        done += growths[i].status == 200;
        json_decref(growths[i].reply);
    }
    assert_int_equal(done, 1);
    quota_of(world, PARIS)->disk_bytes = 0;
    quota_of(world, PARIS)->disks = 3;
    fake_ask_together(world, PARIS, imports, 2);
    for (unsigned i = 0; i < 2; i++) {
        done += imports[i].status == 200;
        json_decref(imports[i].reply);
    }
    assert_int_equal(done, 2);
    assert_int_equal(meta_count(world->sites[PARIS].meta, &all, &count), 0);
    assert_int_equal(count, 3);
    /* Nor more than the quota of bytes, once its size is known. */
    quota_of(world, PARIS)->disks = 4;
    quota_of(world, PARIS)->disk_bytes = 1;
    drive_fails(world, PARIS, 400, "QuotaExceed.DiskCapacity", NULL, "ImportDisk", "Path=/there-3");
    quota_of(world, PARIS)->disk_bytes = 0;
    drive_ok(world, PARIS, "ImportDisk", NULL, NULL, "Path=/there-3");
}

/* More than half the RPO between two one-shot starts. */
static void test_one_shot_interval(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

#define ONE_SHOT "RegionId=cn-paris&ReplicaPairId=%s&OneShot=true"
    drive_pair(world, &pair);
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, ONE_SHOT, pair.id);
    /* While it runs it is a repeat. */
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, ONE_SHOT, pair.id);
    fake_copy(world);
    drive_expect(world, PARIS, pair.id, "Status", "stopped");
    drive_fails(world, PARIS, 403, "OperationDenied.ManualSyncLimit",
                "One shot start manual syncing too frequently, please try again later.",
                "StartDiskReplicaPair", ONE_SHOT, pair.id);
    fake_run(world, UINT64_C(449000000000));
    drive_fails(world, PARIS, 403, "OperationDenied.ManualSyncLimit", NULL, "StartDiskReplicaPair",
                ONE_SHOT, pair.id);
    fake_run(world, UINT64_C(2000000000));
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, ONE_SHOT, pair.id);
    fake_copy(world);
    /* Another RPO, another interval. */
    drive_ok(world, PARIS, "ModifyDiskReplicaPair", NULL, NULL,
             "RegionId=cn-paris&ReplicaPairId=%s&RPO=10", pair.id);
    fake_run(world, UINT64_C(6000000000));
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, ONE_SHOT, pair.id);
}

/* --- regions --------------------------------------------------------------------------------- */

static void expect_tree(struct fake_world *world, unsigned site, const char *action,
                        const char *query, const char *wanted)
{
    json_t *reply = drive_ask(world, site, action, "%s", query);
    json_t *tree = json_loads(wanted, 0, NULL);

    assert_non_null(tree);
    if (!json_equal(reply, tree))
        fail_msg("%s: %s", action, json_dumps(reply, 0));
    json_decref(tree);
    json_decref(reply);
}

#define ZONE(id) "{\"ZoneId\":\"" id "\",\"LocalName\":\"" id "\",\"ResourceTypes\":[\"ear\"]}"
#define REGION(id, more)                                                                           \
    "{\"RegionId\":\"" id "\",\"LocalName\":\"" id                                                 \
    "\",\"RegionEndpoint\":\"gw.example:8443\"," more "}"

static void test_regions(void **state)
{
    struct fake_world *world = *state;

    expect_tree(
        world, PARIS, "DescribeRegions", "RegionId=cn-shanghai&ResourceType=ear",
        "{\"Regions\":[" REGION("cn-paris", "\"Zones\":[" ZONE("cn-paris-a") "]") "," REGION(
            "cn-lyon", "\"Zones\":[" ZONE("cn-lyon-a") "]") "]}");
    expect_tree(world, LYON, "DescribeRegions", "ResourceType=lens", "{\"Regions\":[]}");
    expect_tree(
        world, LYON, "DescribeRegions", "Version=2014-05-26",
        "{\"Regions\":{\"Region\":[" REGION("cn-lyon", "\"Status\":\"available\"") "," REGION(
            "cn-paris", "\"Status\":\"available\"") "]}}");
    drive_fails(world, PARIS, 400, "InvalidResourceType", NULL, "DescribeRegions",
                "ResourceType=moon");
    json_decref(drive_ask(world, PARIS, "DescribeZones", "RegionId=cn-lyon"));
    drive_fails(world, PARIS, 404, "InvalidRegionId.NotFound", NULL, "DescribeZones",
                "RegionId=cn-rome");
    fake_net(world, false); /* no need to ask the other site */
    json_decref(drive_ask(world, PARIS, "DescribeZones", "RegionId=cn-lyon"));
}

static void test_edges(void **state)
{
    struct fake_world *world = *state;
    static const char lyon[] = "{\"SupportedRegions\":[{\"RegionId\":\"cn-lyon\",\"Zones\":[{"
                               "\"ZoneId\":\"cn-lyon-a\",\"SupportRtc\":true}]}],"
                               "\"NextToken\":\"\",\"MaxResults\":1}";

    for (unsigned s = 0; s < 2; s++)
        expect_tree(world, s, "ListReplicaEdgeSupported", "RegionId=cn-paris&Azone=cn-paris-a",
                    lyon);
    expect_tree(world, PARIS, "ListReplicaEdgeSupported", "RegionId=cn-paris&Azone=cn-paris-x",
                "{\"SupportedRegions\":[],\"NextToken\":\"\",\"MaxResults\":0}");
    drive_fails(world, PARIS, 400, "MissingAzone", NULL, "ListReplicaEdgeSupported",
                "RegionId=cn-paris");
}

static int setup_one_region(void **state)
{
    *state = fake_world_new(true);
    return 0;
}

static void test_two_zones_of_one_region(void **state)
{
    expect_tree(*state, PARIS, "DescribeRegions", "",
                "{\"Regions\":[" REGION(
                    "cn-paris", "\"Zones\":[" ZONE("cn-paris-a") "," ZONE("cn-lyon-a") "]") "]}");
    expect_tree(*state, PARIS, "ListReplicaEdgeSupported", "RegionId=cn-paris&Azone=cn-lyon-a",
                "{\"SupportedRegions\":[{\"RegionId\":\"cn-paris\",\"Zones\":[{\"ZoneId\":"
                "\"cn-paris-a\",\"SupportRtc\":true}]}],\"NextToken\":\"\",\"MaxResults\":1}");
}

/* Of the two at most `count` come about. */
static void grow_together(struct fake_world *world, const struct drive_pair pairs[2],
                          unsigned count)
{
    char queries[2][100];
    struct fake_asked growths[2] = {{.action = "ResizeDisk", .query = queries[0]},
                                    {.action = "ResizeDisk", .query = queries[1]}};
    unsigned done = 0;

    for (unsigned i = 0; i < 2; i++)
        snprintf(queries[i], 100, "DiskId=%s&NewSizeBytes=16384", pairs[i].paris_disk);
    fake_ask_together(world, PARIS, growths, 2);
    for (unsigned i = 0; i < 2; i++) {
        done += growths[i].status == 200;
        json_decref(growths[i].reply);
    }
    assert_int_equal(done, count);
}

/* What the peer lets grow is in no call of its own. */
static void test_copies_at_once(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pairs[2];

    for (unsigned i = 0; i < 2; i++)
        drive_pair(world, &pairs[i]);
    quota_of(world, LYON)->disk_bytes = 3 * 8192;
    grow_together(world, pairs, 1);
    quota_of(world, LYON)->disk_bytes = 4 * 8192;
    grow_together(world, pairs, 2);
}

static void test_members_grow_at_once(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pairs[2];
    char group[64];

    drive_group(world, group);
    for (unsigned i = 0; i < 2; i++) {
        drive_pair(world, &pairs[i]);
        drive_add(world, group, &pairs[i]);
    }
    quota_of(world, PARIS)->group_bytes = 3 * 8192;
    grow_together(world, pairs, 1);
    quota_of(world, PARIS)->group_bytes = 4 * 8192;
    grow_together(world, pairs, 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, drive_setup, drive_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_pairs),
        TEST(test_pairs_at_once),
        TEST(test_groups),
        TEST(test_members),
        TEST(test_the_largest_group_starts),
        TEST(test_disks),
        TEST(test_disks_at_once),
        TEST(test_copies_at_once),
        TEST(test_members_grow_at_once),
        TEST(test_one_shot_interval),
        TEST(test_regions),
        TEST(test_edges),
        cmocka_unit_test_setup_teardown(test_two_zones_of_one_region, setup_one_region,
                                        drive_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
