/* SPDX-License-Identifier: Apache-2.0 */
/* Disks of both sites through one endpoint, where both lie in one region: passed on, or, in one
 * list, divided. And long lists through the other site's door. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "control/utc.h"
#include "drive.h"

#define TAG "Version=2014-05-26&RegionId=cn-paris&ResourceType=disk&ResourceId.1=%s"

static int setup_one_region(void **state)
{
    *state = fake_world_new(true);
    return 0;
}

/* The ids of a page of disks, as "id id "; the token of the next. */
static void list_disks(struct fake_world *world, unsigned site, const char *query, char *ret_ids,
                       char *ret_token, json_int_t total)
{
    json_t *reply = drive_ask(world, site, "DescribeDisks", "RegionId=cn-paris&%s", query), *disk;
    size_t index;

    ret_ids[0] = 0;
    json_array_foreach(json_object_get(json_object_get(reply, "Disks"), "Disk"), index, disk)
    {
        sprintf(ret_ids + strlen(ret_ids), "%s ",
                json_string_value(json_object_get(disk, "DiskId")));
    }
    strcpy(ret_token, json_string_value(json_object_get(reply, "NextToken")));
    if (total >= 0)
        assert_int_equal(json_integer_value(json_object_get(reply, "TotalCount")), total);
    json_decref(reply);
}

static void expect_tags(struct fake_world *world, unsigned site, const char *disk,
                        const char *wanted)
{
    json_t *reply = drive_ask(world, site, "ListTagResources", TAG, disk), *tag;
    char text[300] = "";
    size_t index;

    json_array_foreach(json_object_get(json_object_get(reply, "TagResources"), "TagResource"),
                       index, tag)
    {
        sprintf(text + strlen(text), "%s=%s ", json_string_value(json_object_get(tag, "TagKey")),
                json_string_value(json_object_get(tag, "TagValue")));
    }
    assert_string_equal(text, wanted);
    json_decref(reply);
}

static void test_tags_of_the_other_sites_disk(void **state)
{
    struct fake_world *world = *state;
    char disks[2][64];

    for (unsigned s = 0; s < 2; s++)
        drive_disk(world, s, disks[s]);
    for (unsigned door = 0; door < 2; door++) {
        drive_ok(world, door, "TagResources", NULL, NULL, TAG "&Tag.1.Key=a&Tag.1.Value=%u",
                 disks[LYON], door);
        expect_tags(world, PARIS, disks[LYON], door == 0 ? "a=0 " : "a=1 ");
        expect_tags(world, LYON, disks[LYON], door == 0 ? "a=0 " : "a=1 ");
    }
    drive_ok(world, PARIS, "UntagResources", NULL, NULL, TAG "&TagKey.1=a", disks[LYON]);
    expect_tags(world, LYON, disks[LYON], "");
    /* Both at once, and one that nobody knows: then nothing is done. */
    drive_ok(world, PARIS, "TagResources", NULL, NULL,
             TAG "&ResourceId.2=%s&Tag.1.Key=both&ClientToken=t-1", disks[LYON], disks[PARIS]);
    drive_ok(world, PARIS, "TagResources", NULL, NULL,
             TAG "&ResourceId.2=%s&Tag.1.Key=both&ClientToken=t-1", disks[LYON], disks[PARIS]);
    for (unsigned s = 0; s < 2; s++)
        expect_tags(world, 1 - s, disks[s], "both= ");
    drive_fails(world, PARIS, 404, "InvalidResourceId.NotFound", "d-none", "UntagResources",
                TAG "&ResourceId.2=%s&ResourceId.3=d-none&All=true", disks[LYON], disks[PARIS]);
    drive_fails(world, PARIS, 404, "InvalidResourceId.NotFound", "d-none", "ListTagResources",
                TAG "&ResourceId.2=d-none", disks[PARIS]);
    drive_ok(world, LYON, "UntagResources", NULL, NULL, TAG "&ResourceId.2=%s&All=true",
             disks[LYON], disks[PARIS]);
    for (unsigned s = 0; s < 2; s++)
        expect_tags(world, s, disks[s], "");
}

static void test_one_list_of_tags(void **state)
{
    struct fake_world *world = *state;
    char disks[2][64], query[500], token[64] = "";
    size_t seen = 0;

    for (unsigned s = 0; s < 2; s++) {
        drive_disk(world, s, disks[s]);
        drive_ok(world, s, "TagResources", NULL, NULL, TAG "&Tag.1.Key=a&Tag.2.Key=b&Tag.3.Key=c",
                 disks[s]);
    }
    for (unsigned size = 1; size <= 7; size++) {
        seen = 0;
        do {
            json_t *reply;

            snprintf(query, sizeof(query), TAG "&ResourceId.2=%s&MaxResults=%u&NextToken=%s",
                     disks[LYON], disks[PARIS], size, token);
            reply = drive_ask(world, PARIS, "ListTagResources", "%s", query);
            seen += json_array_size(
                json_object_get(json_object_get(reply, "TagResources"), "TagResource"));
            strcpy(token, json_string_value(json_object_get(reply, "NextToken")));
            json_decref(reply);
        } while (token[0] && seen < 100);
        assert_int_equal(seen, 6);
    }
    drive_fails(world, PARIS, 400, "InvalidNextToken", NULL, "ListTagResources",
                TAG "&ResourceId.2=%s&NextToken=nonsense", disks[LYON], disks[PARIS]);
}

static void test_one_list_of_disks(void **state)
{
    struct fake_world *world = *state;
    char disks[6][64], ids[500] = "[", all[500] = "", seen[500], token[64], query[900];

    for (unsigned i = 0; i < 6; i++) {
        drive_disk(world, i % 2, disks[i]);
        sprintf(ids + strlen(ids), "%s\"%s\"", i ? "," : "", disks[i]);
    }
    strcat(ids, "]");
    for (unsigned i = 0; i < 6; i++) /* ours first */
        sprintf(all + strlen(all), "%s ", disks[i < 3 ? 2 * i : 2 * (i - 3) + 1]);
    snprintf(query, sizeof(query), "DiskIds=%s", ids);
    list_disks(world, PARIS, query, seen, token, 6);
    assert_string_equal(seen, all);
    assert_string_equal(token, "");
    for (unsigned size = 1; size <= 7; size++) { /* by token, and by number */
        char by_token[500] = "", by_number[500] = "";
        unsigned number = 1;

        token[0] = 0;
        do {
            snprintf(query, sizeof(query), "DiskIds=%s&MaxResults=%u&NextToken=%s", ids, size,
                     token);
            list_disks(world, PARIS, query, seen, token, -1);
            strcat(by_token, seen);
        } while (token[0] && strlen(by_token) < strlen(all) + 20);
        assert_string_equal(by_token, all);
        do {
            snprintf(query, sizeof(query), "DiskIds=%s&PageSize=%u&PageNumber=%u", ids, size,
                     number++);
            list_disks(world, PARIS, query, seen, token, 6);
            strcat(by_number, seen);
        } while (seen[0] && number < 9);
        assert_string_equal(by_number, all);
    }
    /* Filters count at both. */
    snprintf(query, sizeof(query), "DiskIds=%s&Status=In_use", ids);
    list_disks(world, PARIS, query, seen, token, 0);
    assert_string_equal(seen, "");
    fake_net(world, false);
    snprintf(query, sizeof(query), "RegionId=cn-paris&DiskIds=%s", ids);
    drive_fails(world, PARIS, 504, "RequestTimeout", "lyon", "DescribeDisks", "%s", query);
}

static void name_of(struct fake_world *world, unsigned site, const char *disk, char *ret_name)
{
    struct disk_record record;

    assert_int_equal(meta_get(world->sites[site].meta, RECORD_DISK, disk, &record), 0);
    strcpy(ret_name, record.name);
}

static void test_attributes_of_both(void **state)
{
    struct fake_world *world = *state;
    char disks[2][64], name[RECORD_NAME_SIZE];

    for (unsigned s = 0; s < 2; s++)
        drive_disk(world, s, disks[s]);
    drive_ok(world, PARIS, "ModifyDiskAttribute", NULL, NULL,
             "RegionId=cn-paris&DiskIds.1=%s&DiskIds.2=%s&DiskName=both", disks[0], disks[1]);
    for (unsigned s = 0; s < 2; s++) {
        name_of(world, s, disks[s], name);
        assert_string_equal(name, "both");
    }
    /* What one site refuses is done at neither. */
    drive_fails(world, PARIS, 404, "InvalidDiskId.NotFound", "d-none", "ModifyDiskAttribute",
                "DiskIds.1=%s&DiskIds.2=%s&DiskIds.3=d-none&DiskName=more", disks[0], disks[1]);
    fake_net(world, false);
    drive_fails(world, PARIS, 504, "RequestTimeout", "lyon", "ModifyDiskAttribute",
                "DiskIds.1=%s&DiskIds.2=%s&DiskName=more", disks[0], disks[1]);
    for (unsigned s = 0; s < 2; s++) {
        name_of(world, s, disks[s], name);
        assert_string_equal(name, "both");
    }
}

/* Divided beside a change of another call, which shares its commit. */
static void test_divided_beside_a_change(void **state)
{
    struct fake_world *world = *state;
    char disks[2][64], queries[2][300], name[RECORD_NAME_SIZE];
    struct fake_asked asked[3] = {{.action = "ModifyDiskAttribute"},
                                  {.action = "ModifyDiskAttribute"},
                                  {.action = "ModifyDiskAttribute"}};

    for (unsigned s = 0; s < 2; s++)
        drive_disk(world, s, disks[s]);
    snprintf(queries[0], 300, "DiskId=%s&Description=own", disks[PARIS]);
    snprintf(queries[1], 300, "DiskIds.1=%s&DiskIds.2=%s&DiskName=both", disks[0], disks[1]);
    for (unsigned i = 0; i < 3; i++)
        asked[i].query = queries[i / 2];
    fake_ask_together(world, PARIS, asked, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(asked[i].status, 200);
        json_decref(asked[i].reply);
    }
    for (unsigned s = 0; s < 2; s++) {
        name_of(world, s, disks[s], name);
        assert_string_equal(name, "both");
    }
}

static void test_monitor_data_of_the_other_sites_disk(void **state)
{
    struct fake_world *world = *state;
    char disk[64], start[UTC_SIZE], end[UTC_SIZE];
    int64_t now_s =
        (int64_t)(world->sites[PARIS].loop->loop.ops->wall_ns(&world->sites[PARIS].loop->loop) /
                  1000000000);

    drive_disk(world, LYON, disk);
    utc_format(now_s - 600, start);
    utc_format(now_s, end);
    for (unsigned door = 0; door < 2; door++)
        drive_ok(world, door, "DescribeDiskMonitorData", NULL, NULL,
                 "RegionId=cn-paris&DiskId=%s&StartTime=%s&EndTime=%s", disk, start, end);
    drive_fails(world, PARIS, 404, "NoSuchResource", "lyon", "DescribeDiskMonitorData",
                "RegionId=cn-paris&DiskId=d-none&StartTime=%s&EndTime=%s", start, end);
}

/* --- long lists ------------------------------------------------------------------------------ */

enum { GROUPS = 480 };

/* More than an answer over the link may have: the page ends early. */
static void test_long_lists_through_the_other_door(void **state)
{
    struct fake_world *world = *state;
    char query[1000], token[64] = "";
    unsigned seen = 0, pages = 0;

    strcpy(query, "RegionId=cn-lyon&SourceZoneId=cn-lyon-a&DestinationRegionId=cn-paris&"
                  "DestinationZoneId=cn-paris-a");
    for (unsigned i = 1; i <= 20; i++)
        sprintf(query + strlen(query), "&Tag.%u.Key=k%u", i, i);
    for (unsigned i = 0; i < GROUPS; i++)
        drive_ok(world, LYON, "CreateDiskReplicaGroup", NULL, NULL, "%s", query);
    do {
        json_t *reply = drive_ask(world, PARIS, "DescribeDiskReplicaGroups",
                                  "RegionId=cn-lyon&MaxResults=500&NextToken=%s", token);

        seen += (unsigned)json_array_size(json_object_get(reply, "ReplicaGroups"));
        pages++;
        strcpy(token, json_string_value(json_object_get(reply, "NextToken")));
        json_decref(reply);
    } while (token[0] && seen < 2 * GROUPS);
    assert_int_equal(seen, GROUPS);
    assert_int_equal(pages, 2);
}

/* So many groups at lyon, each with `tag_count` of the longest tags; behind control's back. */
static void put_groups(struct fake_world *world, unsigned count, unsigned tag_count)
{
    struct meta *meta = world->sites[LYON].meta;
    struct group_record group;
    struct err err;
    char id[64];

    drive_ok(world, LYON, "CreateDiskReplicaGroup", "ReplicaGroupId", id,
             "RegionId=cn-lyon&SourceZoneId=cn-lyon-a&DestinationRegionId=cn-paris&"
             "DestinationZoneId=cn-paris-a");
    assert_int_equal(meta_get(meta, RECORD_GROUP, id, &group), 0);
    assert_int_equal(meta_begin(meta, &err), 0);
    for (unsigned i = 1; i < count; i++) {
        snprintf(group.common.id, sizeof(group.common.id), "pg-%020u", i);
        assert_int_equal(meta_put(meta, RECORD_GROUP, &group, &err), 0);
        for (unsigned k = 0; k < tag_count; k++) {
            struct tag_record tag = {0};

            for (unsigned c = 0; c < 126; c++)
                strcat(tag.key, "\xe7\x9b\x98");
            strcpy(tag.value, tag.key);
            sprintf(tag.key + strlen(tag.key), "%02u", k);
            strcpy(tag.resource_id, group.common.id);
            snprintf(tag.id, sizeof(tag.id), "%s/%s", group.common.id, tag.key);
            assert_int_equal(meta_put(meta, RECORD_TAG, &tag, &err), 0);
        }
    }
    assert_int_equal(meta_commit(meta, &err), 0);
}

/* Asked for by its number a page is whole, in as many answers over the link as it takes. */
static void test_large_pages_through_the_other_door(void **state)
{
    struct fake_world *world = *state;
    unsigned seen[2] = {0};

    put_groups(world, 150, 20);
    for (unsigned number = 1; number <= 2; number++)
        for (unsigned door = 0; door < 2; door++) {
            json_t *reply = drive_ask(world, door, "DescribeDiskReplicaGroups",
                                      "RegionId=cn-lyon&PageSize=100&PageNumber=%u", number);

            assert_int_equal(json_array_size(json_object_get(reply, "ReplicaGroups")),
                             number == 1 ? 100 : 50);
            assert_int_equal(json_integer_value(json_object_get(reply, "PageNumber")), number);
            assert_int_equal(json_integer_value(json_object_get(reply, "PageSize")), 100);
            assert_int_equal(json_integer_value(json_object_get(reply, "TotalCount")), 150);
            assert_int_equal(json_string_length(json_object_get(reply, "NextToken")) > 0,
                             number == 1);
            seen[door] += (unsigned)json_array_size(json_object_get(reply, "ReplicaGroups"));
            json_decref(reply);
        }
    assert_int_equal(seen[0], seen[1]);
}

/* What has no pages is refused, and says what to do; by the site's own door it is shown. */
static void test_a_large_status_through_the_other_door(void **state)
{
    struct fake_world *world = *state;
    json_t *reply;

    put_groups(world, 2000, 0);
    drive_fails(world, PARIS, 403, "OperationDenied", "ask for less", "DescribeVersoStatus",
                "RegionId=cn-lyon&Version=2026-11-22");
    drive_ok(world, PARIS, "DescribeVersoStatus", NULL, NULL,
             "RegionId=cn-lyon&Version=2026-11-22&Id=pg-%020u", 7);
    reply = drive_ask(world, LYON, "DescribeVersoStatus", "Version=2026-11-22");
    assert_int_equal(json_array_size(json_object_get(reply, "Streams")), 2000);
    json_decref(reply);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_one_region, drive_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_tags_of_the_other_sites_disk),
        TEST(test_one_list_of_tags),
        TEST(test_one_list_of_disks),
        TEST(test_attributes_of_both),
        TEST(test_divided_beside_a_change),
        TEST(test_monitor_data_of_the_other_sites_disk),
        cmocka_unit_test_setup_teardown(test_long_lists_through_the_other_door, drive_setup,
                                        drive_teardown),
        cmocka_unit_test_setup_teardown(test_large_pages_through_the_other_door, drive_setup,
                                        drive_teardown),
        cmocka_unit_test_setup_teardown(test_a_large_status_through_the_other_door, drive_setup,
                                        drive_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
