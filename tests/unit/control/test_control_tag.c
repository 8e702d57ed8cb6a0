/* SPDX-License-Identifier: Apache-2.0 */
/* Tags and resource groups: set, found, taken away, the same at both sites, gone with what had
 * them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "drive.h"

#define MOVE "ResourceType=DiskReplicaPair&ResourceId=%s&NewResourceGroupId=%s"
#define TAG "RegionId=cn-paris&ResourceType=DiskReplicaPair&ResourceId.1=%s"

/* The tags as "k=v k=v ", as Describe shows them. */
static void tags_of(struct fake_world *world, unsigned site, const char *id, char *ret_text)
{
    bool is_group = strncmp(id, "pg-", 3) == 0;
    json_t *reply = drive_ask(
        world, site, is_group ? "DescribeDiskReplicaGroups" : "DescribeDiskReplicaPairs",
        "RegionId=%s&%s=%s", world->sites[site].region, is_group ? "GroupIds" : "PairIds", id);
    json_t *list = json_object_get(reply, is_group ? "ReplicaGroups" : "ReplicaPairs"), *tag;
    size_t index;

    ret_text[0] = 0;
    json_array_foreach(json_object_get(json_array_get(list, 0), "Tags"), index, tag)
    {
        sprintf(ret_text + strlen(ret_text), "%s=%s ",
                json_string_value(json_object_get(tag, "TagKey")),
                json_string_value(json_object_get(tag, "TagValue")));
    }
    json_decref(reply);
}

static void expect_tags(struct fake_world *world, unsigned site, const char *id, const char *wanted)
{
    char text[500];

    fake_run(world, 0);
    tags_of(world, site, id, text);
    if (strcmp(text, wanted) != 0)
        fail_msg("%s at %u: '%s', not '%s'", id, site, text, wanted);
}

/* How many entries of `list` the answer has. */
static size_t count_of(struct fake_world *world, const char *action, const char *list,
                       const char *query)
{
    json_t *reply = drive_ask(world, PARIS, action, "%s", query);
    size_t count = json_array_size(json_object_get(reply, list));

    json_decref(reply);
    return count;
}

static void test_set_replace_take_away(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    drive_pair(world, &pair);
    drive_ok(world, PARIS, "TagResources", NULL, NULL,
             TAG "&Tag.1.Key=team&Tag.1.Value=erp&Tag.2.Key=tier", pair.id);
    expect_tags(world, PARIS, pair.id, "team=erp tier= ");
    expect_tags(world, LYON, pair.id, "team=erp tier= ");
    drive_ok(world, LYON, "TagResources", NULL, NULL,
             "RegionId=cn-lyon&ResourceType=diskreplicapair&ResourceId.1=%s&Tag.1.Key=tier&"
             "Tag.1.Value=1",
             pair.id);
    expect_tags(world, PARIS, pair.id, "team=erp tier=1 ");
    drive_ok(world, PARIS, "UntagResources", NULL, NULL, TAG "&TagKey.1=team&TagKey.2=nothing",
             pair.id);
    expect_tags(world, LYON, pair.id, "tier=1 ");
    drive_fails(world, PARIS, 400, "MissingParameter", "TagKey.N", "UntagResources", TAG, pair.id);
    /* All counts only without keys. */
    drive_ok(world, PARIS, "UntagResources", NULL, NULL, TAG "&TagKey.1=nothing&All=true", pair.id);
    expect_tags(world, LYON, pair.id, "tier=1 ");
    drive_ok(world, PARIS, "UntagResources", NULL, NULL, TAG "&All=true", pair.id);
    expect_tags(world, PARIS, pair.id, "");
    expect_tags(world, LYON, pair.id, "");
}

static void test_the_last_writer_wins_after_a_separation(void **state)
{
    struct fake_world *world = *state;
    char group[64];

    drive_group(world, group);
    fake_run(world, 0);
    fake_net(world, false);
    drive_ok(world, PARIS, "TagResources", NULL, NULL,
             "RegionId=cn-paris&ResourceType=DiskReplicaGroup&ResourceId.1=%s&Tag.1.Key=at&"
             "Tag.1.Value=paris",
             group);
    drive_ok(world, LYON, "TagResources", NULL, NULL,
             "RegionId=cn-lyon&ResourceType=DiskReplicaGroup&ResourceId.1=%s&Tag.1.Key=at&"
             "Tag.1.Value=lyon",
             group);
    fake_net(world, true);
    fake_run(world, UINT64_C(10000000000));
    expect_tags(world, PARIS, group, "at=paris "); /* as often written: by the name */
    expect_tags(world, LYON, group, "at=paris ");
    fake_net(world, false);
    for (unsigned i = 0; i < 2; i++)
        drive_ok(world, LYON, "TagResources", NULL, NULL,
                 "RegionId=cn-lyon&ResourceType=DiskReplicaGroup&ResourceId.1=%s&Tag.1.Key=n&"
                 "Tag.1.Value=%u",
                 group, i);
    drive_ok(world, PARIS, "UntagResources", NULL, NULL,
             "RegionId=cn-paris&ResourceType=DiskReplicaGroup&ResourceId.1=%s&All=true", group);
    fake_net(world, true);
    fake_run(world, UINT64_C(10000000000));
    expect_tags(world, PARIS, group, "at=paris n=1 ");
    expect_tags(world, LYON, group, "at=paris n=1 ");
}

static void test_given_at_the_creation(void **state)
{
    struct fake_world *world = *state;
    char left[64], right[64], pair[64], group[64];
    json_t *reply, *tags;

    drive_ok(world, PARIS, "CreateDisk", "DiskId", left,
             "RegionId=cn-paris&ZoneId=cn-paris-a&SizeBytes=8192&Tag.1.key=team&Tag.1.value=erp");
    reply = drive_ask(world, PARIS, "DescribeDisks", "RegionId=cn-paris&DiskIds=[\"%s\"]", left);
    tags = json_object_get(
        json_object_get(json_array_get(json_object_get(json_object_get(reply, "Disks"), "Disk"), 0),
                        "Tags"),
        "Tag");
    assert_int_equal(json_array_size(tags), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(tags, 0), "TagValue")),
                        "erp");
    json_decref(reply);
    drive_disk(world, LYON, right);
    drive_ok(world, PARIS, "CreateDiskReplicaPair", "ReplicaPairId", pair,
             "RegionId=cn-paris&SourceZoneId=cn-paris-a&DiskId=%s&DestinationRegionId=cn-lyon&"
             "DestinationZoneId=cn-lyon-a&DestinationDiskId=%s&Tag.1.Key=a&Tag.1.Value=1",
             left, right);
    drive_ok(world, PARIS, "CreateDiskReplicaGroup", "ReplicaGroupId", group,
             "RegionId=cn-paris&SourceZoneId=cn-paris-a&DestinationRegionId=cn-lyon&"
             "DestinationZoneId=cn-lyon-a&Tag.1.Key=b&Tag.1.Value=2");
    expect_tags(world, LYON, pair, "a=1 ");
    expect_tags(world, LYON, group, "b=2 ");
}

static void test_filters(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pairs[3];
    char query[500];

    for (unsigned i = 0; i < 3; i++) {
        drive_pair(world, &pairs[i]);
        drive_ok(world, PARIS, "TagResources", NULL, NULL,
                 TAG "&Tag.1.Key=team&Tag.1.Value=%s&Tag.2.Key=n%u", pairs[i].id,
                 i < 2 ? "erp" : "shop", i);
    }
#define PAIRS(text) count_of(world, "DescribeDiskReplicaPairs", "ReplicaPairs", text)
    assert_int_equal(PAIRS("RegionId=cn-paris&Tag.1.Key=team"), 3);
    assert_int_equal(PAIRS("RegionId=cn-paris&Tag.1.Key=team&Tag.1.Value=erp"), 2);
    assert_int_equal(PAIRS("RegionId=cn-paris&Tag.1.Key=team&Tag.1.Value=er"), 0);
    assert_int_equal(PAIRS("RegionId=cn-paris&Tag.1.Key=team&Tag.1.Value=erp&Tag.2.Key=n1"), 1);
    assert_int_equal(PAIRS("RegionId=cn-paris&Tag.1.Key=n1&Tag.2.Key=n2"), 0);
    drive_fails(world, PARIS, 400, "InvalidParameter.TagValue", NULL, "DescribeDiskReplicaPairs",
                "RegionId=cn-paris&Tag.1.Value=erp");
#define LISTED(text) count_of(world, "ListTagResources", "TagResources", text)
    snprintf(query, sizeof(query), TAG, pairs[0].id);
    assert_int_equal(LISTED(query), 2);
    snprintf(query, sizeof(query), TAG "&ResourceId.2=%s&Tag.1.Key=n1", pairs[0].id, pairs[1].id);
    assert_int_equal(LISTED(query), 2); /* those of the second pair */
    assert_int_equal(
        LISTED("RegionId=cn-paris&ResourceType=DISKREPLICAPAIR&Tag.1.Key=team&Tag.1.Value=erp"), 4);
    assert_int_equal(LISTED("RegionId=cn-paris&ResourceType=diskreplicagroup&Tag.1.Key=team"), 0);
}

/* The texts of the reply's list as "a b "; `ret_token`: its NextToken. */
static void texts_of(struct fake_world *world, unsigned site, const char *action, const char *query,
                     char *ret_text, char *ret_token)
{
    bool is_keys = strcmp(action, "DescribeUserTagKeys") == 0;
    json_t *reply = drive_ask(world, site, action, "%s", query), *text;
    json_t *list = json_object_get(reply, is_keys ? "TagKeys" : "TagValues");
    size_t index;

    assert_true(json_is_array(list));
    ret_text[0] = 0;
    json_array_foreach(list, index, text)
    {
        sprintf(ret_text + strlen(ret_text), "%s ", json_string_value(text));
    }
    strcpy(ret_token, json_string_value(json_object_get(reply, "NextToken")));
    json_decref(reply);
}

static void expect_texts(struct fake_world *world, unsigned site, const char *action,
                         const char *query, const char *wanted)
{
    char text[1000], token[1200];

    texts_of(world, site, action, query, text, token);
    if (strcmp(text, wanted) != 0 || token[0])
        fail_msg("%s %s at %u: '%s' (%s), not '%s'", action, query, site, text, token, wanted);
}

#define KEYS "DescribeUserTagKeys"
#define VALUES "DescribeUserTagValues"

static void test_keys_and_values_in_use(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char group[64];

    expect_texts(world, PARIS, KEYS, "", "");
    expect_texts(world, PARIS, VALUES, "", "");
    drive_pair_and_group(world, &pair, group);
    drive_ok(world, PARIS, "TagResources", NULL, NULL,
             TAG "&Tag.1.Key=team&Tag.1.Value=shop&Tag.2.Key=Zone&Tag.2.Value=a", pair.id);
    drive_ok(world, PARIS, "TagResources", NULL, NULL,
             "RegionId=cn-paris&ResourceType=diskreplicagroup&ResourceId.1=%s&Tag.1.Key=team&"
             "Tag.1.Value=erp&Tag.2.Key=%%E7%%9B%%98&Tag.2.Value=",
             group);
    /* Those of disks are none of this product's. */
    drive_ok(world, PARIS, "TagResources", NULL, NULL,
             "Version=2014-05-26&RegionId=cn-paris&ResourceType=disk&ResourceId.1=%s&Tag.1.Key=b",
             pair.paris_disk);
    fake_run(world, 0);
    for (unsigned s = 0; s < 2; s++) {
        expect_texts(world, s, KEYS, "", "Zone team \xe7\x9b\x98 ");
        expect_texts(world, s, VALUES, "", " a erp shop ");
    }
    expect_texts(world, PARIS, KEYS, "RegionId=cn-lyon&MaxResults=1", "Zone team \xe7\x9b\x98 ");
    expect_texts(world, PARIS, KEYS, "TagFilterKey=ea", "team ");
    expect_texts(world, PARIS, KEYS, "TagFilterKey=EA", "");
    expect_texts(world, PARIS, VALUES, "TagKey=team", "erp shop ");
    expect_texts(world, PARIS, VALUES, "TagKey=tea", "");
    expect_texts(world, PARIS, VALUES, "TagKey=team&TagFilterValue=ho", "shop ");
    expect_texts(world, PARIS, VALUES, "TagKey=%E7%9B%98", " ");
    drive_fails(world, PARIS, 400, "InvalidMaxResults", NULL, KEYS, "MaxResults=x");
    drive_fails(world, PARIS, 400, "InvalidNextToken", NULL, KEYS, "NextToken=x");
    drive_fails(world, PARIS, 400, "InvalidNextToken", NULL, KEYS,
                "NextToken=00000000000000007465616d");
}

static void tag_twenty(struct fake_world *world, const char *id, unsigned first)
{
    char query[2000];

    snprintf(query, sizeof(query), TAG, id);
    for (unsigned i = 1; i <= 20; i++)
        sprintf(query + strlen(query), "&Tag.%u.Key=k%03u&Tag.%u.Value=v%03u", i, first + i, i,
                first + i);
    drive_ok(world, PARIS, "TagResources", NULL, NULL, "%s", query);
}

/* 120 keys: a page has ten at least, a hundred at most; a token stays good. */
static void test_pages_of_keys(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pairs[6];
    char text[1000], token[1200], query[1300];

    for (unsigned i = 0; i < ARRAY_COUNT(pairs); i++) {
        drive_pair(world, &pairs[i]);
        tag_twenty(world, pairs[i].id, 20 * i);
    }
    texts_of(world, PARIS, KEYS, "", text, token);
    assert_int_equal(strlen(text), 50);
    texts_of(world, PARIS, KEYS, "MaxResults=-1", text, token);
    assert_int_equal(strlen(text), 50);
    texts_of(world, PARIS, VALUES, "MaxResults=1000", text, token);
    assert_int_equal(strlen(text), 500);
    drive_fails(world, PARIS, 400, "InvalidNextToken", NULL, KEYS, "NextToken=%s", token);
    snprintf(query, sizeof(query), "NextToken=%s&MaxResults=20", token);
    texts_of(world, PARIS, VALUES, query, text, token);
    assert_int_equal(strlen(text), 100);
    assert_string_equal(token, "");
    texts_of(world, PARIS, KEYS, "", text, token);
    assert_memory_equal(text + 45, "k010 ", 6);
    drive_ok(world, PARIS, "UntagResources", NULL, NULL,
             TAG "&TagKey.1=k010&TagKey.2=k001&TagKey.3=k012", pairs[0].id);
    snprintf(query, sizeof(query), "NextToken=%s", token);
    texts_of(world, PARIS, KEYS, query, text, token);
    assert_memory_equal(text, "k011 k013 ", 10);
}

/* Keys and values may be as long as they may be. */
static void test_a_long_key_in_a_token(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char text[16000], token[1200], query[2000];

    drive_pair(world, &pair);
    for (unsigned i = 1; i <= 11; i++) { /* one at a time: a query has its bounds */
        snprintf(query, sizeof(query), TAG "&Tag.1.Key=", pair.id);
        for (unsigned k = 0; k < 90; k++)
            strcat(query, "%E7%9B%98");
        sprintf(query + strlen(query), "%c", 'a' + i);
        drive_ok(world, PARIS, "TagResources", NULL, NULL, "%s", query);
    }
    texts_of(world, PARIS, KEYS, "", text, token);
    assert_int_equal(strlen(token), 16 + 2 * (3 * 90 + 1));
    snprintf(query, sizeof(query), "NextToken=%s", token);
    texts_of(world, PARIS, KEYS, query, text, token);
    assert_int_equal(strlen(text), 3 * 90 + 2);
    assert_string_equal(token, "");
}

static void test_they_go_with_what_had_them(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    unsigned count;

    drive_pair(world, &pair);
    drive_ok(world, PARIS, "TagResources", NULL, NULL, TAG "&Tag.1.Key=a", pair.id);
    drive_ok(world, PARIS, "TagResources", NULL, NULL,
             "Version=2014-05-26&RegionId=cn-paris&ResourceType=disk&ResourceId.1=%s&Tag.1.Key=b",
             pair.paris_disk);
    fake_run(world, 0);
    drive_ok(world, PARIS, "DeleteDiskReplicaPair", NULL, NULL,
             "RegionId=cn-paris&ReplicaPairId=%s", pair.id);
    fake_run(world, UINT64_C(1000000000));
    drive_ok(world, PARIS, "DeleteDisk", NULL, NULL, "DiskId=%s", pair.paris_disk);
    for (unsigned s = 0; s < 2; s++)
        for (unsigned k = 0; k < 2; k++) {
            struct meta_query query = {.kind = k == 0 ? RECORD_TAG : RECORD_TAG_SET};
            assert_int_equal(meta_count(world->sites[s].meta, &query, &count), 0);
            assert_int_equal(count, 0);
        }
}

static void test_they_survive_a_restart(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    drive_pair(world, &pair);
    drive_ok(world, PARIS, "TagResources", NULL, NULL,
             TAG "&Tag.1.Key=k/%%22%%E7%%9B%%98&Tag.1.Value=v", pair.id);
    fake_site_crash(world, PARIS);
    fake_site_start(world, PARIS);
    expect_tags(world, PARIS, pair.id, "k/\"\xe7\x9b\x98=v ");
    expect_tags(world, LYON, pair.id, "k/\"\xe7\x9b\x98=v ");
}

/* Every error of contract 10.3 to 10.6 that can happen; %s: a pair. */
static const struct {
    const char *action, *query;
    unsigned status;
    const char *code, *part;
} errors[] = {
    {"TagResources", "RegionId=cn-paris&ResourceId.1=%s&Tag.1.Key=a", 404,
     "MissingParameter.ResourceType", "The parameter - ResourceType should not be null"},
    {"TagResources", "RegionId=cn-paris&ResourceType=disk&ResourceId.1=%s&Tag.1.Key=a", 404,
     "InvalidResourceType.NotFound", "The ResourceType provided does not exist in our records."},
    {"TagResources", "RegionId=cn-paris&ResourceType=diskreplicagroup&ResourceId.1=%s&Tag.1.Key=a",
     404, "InvalidResourceId.NotFound", "The specified ResourceIds are not found in our records."},
    {"TagResources",
     "RegionId=cn-paris&ResourceType=dedicatedblockstoragecluster&ResourceId.1=%s&Tag.1.Key=a", 404,
     "InvalidResourceId.NotFound", NULL},
    {"TagResources", TAG, 400, "MissingParameter", "Tag"},
    {"TagResources", "RegionId=cn-paris&ResourceType=diskreplicapair&Tag.1.Key=%s", 400,
     "MissingParameter", "ResourceId"},
    {"TagResources", TAG "&Tag.1.Key=a&Tag.2.Key=a", 400, "Duplicate.TagKey",
     "The Tag.N.Key contain duplicate key."},
    {"TagResources", TAG "&Tag.1.Key=acs:a", 400, "InvalidParameter",
     "The parameter Tag.N.Key is invalid."},
    {"TagResources", TAG "&Tag.1.Key=a&Tag.1.Value=http://x", 400, "InvalidParameter",
     "The parameter Tag.N.Value is invalid."},
    {"TagResources", "RegionId=cn-rome&ResourceType=diskreplicapair&ResourceId.1=%s&Tag.1.Key=a",
     404, "InvalidRegionId.NotFound", "The specified RegionId does not exist."},
    {"UntagResources", TAG "&TagKey.1=a&TagKey.2=a", 400, "Duplicate.TagKey", NULL},
    {"UntagResources", "RegionId=cn-paris&ResourceId.1=%s&All=true", 400, "MissingParameter",
     "ResourceType"},
    {"ListTagResources", "RegionId=cn-paris&ResourceType=diskreplicapair", 400, "MissingParameter",
     "ResourceId.N"},
    {"ListTagResources", TAG "&Tag.1.Value=a", 400, "InvalidParameter.TagValue", NULL},
    {"ListTagResources", TAG "&NextToken=nonsense", 400, "InvalidNextToken", NULL},
    {"ListTagResources", "RegionId=cn-paris&ResourceType=diskreplicapair&ResourceId.1=pair-none",
     404, "InvalidResourceId.NotFound", "pair-none"},
    {"ChangeResourceGroup", "RegionId=cn-paris&ResourceId=%s&NewResourceGroupId=rg-1", 404,
     "MissingParameter.ResourceType", NULL},
    {"ChangeResourceGroup", "RegionId=cn-paris&ResourceType=diskreplicapair&ResourceId=%s", 404,
     "MissingParameter.ResourceGroup", "The parameter - Resource Group should not be null"},
    {"ChangeResourceGroup",
     "RegionId=cn-paris&ResourceType=diskreplicapair&ResourceId=%s&NewResourceGroupId=a+b", 404,
     "InvalidResourceGroup.NotFound", "The ResourceGroup provided does not exist in our records."},
    {"ChangeResourceGroup",
     "RegionId=cn-paris&ResourceType=diskreplicagroup&ResourceId=%s&NewResourceGroupId=rg-1", 404,
     "InvalidResourceId.NotFound", "The specified ResourceId is not found in our records."},
    {"ChangeResourceGroup",
     "RegionId=cn-paris&ResourceType=lens&ResourceId=%s&NewResourceGroupId=rg-1", 404,
     "InvalidResourceType.NotFound", NULL},
};

static void test_groups_that_cannot_exist(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char left[64], right[64];
    static const char *const wrong[] = {
        "a",
        "a b",
        "a+b",
        "a/b",
        "%E7%9B%98%E7%9B%98",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    static const char *const right_ones[] = {"", "rg-acfmx.A_1"};

    drive_pair(world, &pair);
    drive_disk(world, PARIS, left);
    drive_disk(world, LYON, right);
#define SITES                                                                                      \
    "RegionId=cn-paris&SourceZoneId=cn-paris-a&DestinationRegionId=cn-lyon&DestinationZoneId=cn-"  \
    "lyon-a"
#define NO_GROUP(...)                                                                              \
    drive_fails(world, PARIS, 404, "InvalidResourceGroup.NotFound",                                \
                "The ResourceGroup provided does not exist in our records.", __VA_ARGS__)
    for (unsigned i = 0; i < ARRAY_COUNT(wrong); i++) {
        NO_GROUP("CreateDisk", "RegionId=cn-paris&ZoneId=cn-paris-a&Size=1&ResourceGroupId=%s",
                 wrong[i]);
        NO_GROUP("CreateDiskReplicaGroup", SITES "&ResourceGroupId=%s", wrong[i]);
        NO_GROUP("CreateDiskReplicaPair",
                 SITES "&DiskId=%s&DestinationDiskId=%s&ResourceGroupId=%s", left, right, wrong[i]);
        NO_GROUP("ImportDisk", "Path=/x&ResourceGroupId=%s", wrong[i]);
        NO_GROUP("ChangeResourceGroup", "RegionId=cn-paris&" MOVE, pair.id, wrong[i]);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(right_ones); i++)
        drive_ok(world, PARIS, "CreateDiskReplicaGroup", NULL, NULL, SITES "&ResourceGroupId=%s",
                 right_ones[i]);
}

static void test_every_error(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char query[6000];

    drive_pair(world, &pair);
    for (unsigned i = 0; i < ARRAY_COUNT(errors); i++) {
        const char *at = strstr(errors[i].query, "%s");
        int head = at ? (int)(at - errors[i].query) : (int)strlen(errors[i].query);
        snprintf(query, sizeof(query), "%.*s%s%s", head, errors[i].query, at ? pair.id : "",
                 at ? at + 2 : "");
        drive_fails(world, PARIS, errors[i].status, errors[i].code, errors[i].part,
                    errors[i].action, "%s", query);
    }
    strcpy(query, "RegionId=cn-paris&ResourceType=diskreplicapair&Tag.1.Key=a");
    for (unsigned i = 1; i <= 51; i++)
        sprintf(query + strlen(query), "&ResourceId.%u=pair-%u", i, i);
    drive_fails(world, PARIS, 400, "NumberExceed.ResourceIds",
                "The ResourceIds parameter number is exceed , Valid : 50", "TagResources", "%s",
                query);
}

static void test_twenty_at_most(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char query[6000];

    drive_pair(world, &pair);
    snprintf(query, sizeof(query), TAG, pair.id);
    for (unsigned i = 1; i <= 20; i++)
        sprintf(query + strlen(query), "&Tag.%u.Key=k%u", i, i);
    drive_ok(world, PARIS, "TagResources", NULL, NULL, "%s", query);
    drive_ok(world, PARIS, "TagResources", NULL, NULL, TAG "&Tag.1.Key=k1&Tag.1.Value=new",
             pair.id);
    drive_fails(world, PARIS, 400, "OperationDenied.QuotaExceed",
                "The quota of tags on resource is beyond permitted range.", "TagResources",
                TAG "&Tag.1.Key=k21", pair.id);
    strcat(query, "&Tag.21.Key=k21");
    drive_fails(world, PARIS, 400, "NumberExceed.Tags", "NumberExceed.Tags", "TagResources", "%s",
                query);
}

/* In one moment, so in one commit: each counts, a refused one leaves nothing. */
static void test_several_at_once(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    struct tag_set_record set;
    char queries[3][300];
    struct fake_asked asked[3] = {
        {.action = "TagResources"}, {.action = "UntagResources"}, {.action = "TagResources"}};

    drive_pair(world, &pair);
    drive_ok(world, PARIS, "TagResources", NULL, NULL, TAG "&Tag.1.Key=old", pair.id);
    snprintf(queries[0], 300, TAG "&Tag.1.Key=new&Tag.1.Value=1", pair.id);
    snprintf(queries[1], 300, TAG "&TagKey.1=old", pair.id);
    snprintf(queries[2], 300, TAG "&ResourceId.2=pair-none&Tag.1.Key=never", pair.id);
    for (unsigned i = 0; i < 3; i++)
        asked[i].query = queries[i];
    fake_ask_together(world, PARIS, asked, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(asked[i].status, i < 2 ? 200 : 404);
        json_decref(asked[i].reply);
    }
    expect_tags(world, PARIS, pair.id, "new=1 ");
    expect_tags(world, LYON, pair.id, "new=1 ");
    assert_int_equal(meta_get(world->sites[LYON].meta, RECORD_TAG_SET, pair.id, &set), 0);
    assert_int_equal(set.version, 3);
}

/* What is passed on waits for the commit of those that came with it. */
static void test_passed_on_beside_a_change(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char queries[2][300];
    /* The first one is alone: the others come while the status for it is under way. */
    struct fake_asked asked[3] = {
        {.action = "TagResources"}, {.action = "TagResources"}, {.action = "ChangeResourceGroup"}};

    drive_pair(world, &pair);
    snprintf(queries[0], 300,
             "RegionId=cn-lyon&ResourceType=DiskReplicaPair&ResourceId.1=%s&Tag.1.Key=a", pair.id);
    snprintf(queries[1], 300,
             "RegionId=cn-lyon&ResourceType=DiskReplicaPair&ResourceId=%s&NewResourceGroupId=rg-1",
             pair.id);
    for (unsigned i = 0; i < 3; i++)
        asked[i].query = queries[i / 2];
    fake_ask_together(world, LYON, asked, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(asked[i].status, 200);
        json_decref(asked[i].reply);
    }
    expect_tags(world, PARIS, pair.id, "a= ");
    drive_expect(world, PARIS, pair.id, "ResourceGroupId", "rg-1");
}

static void test_resource_groups(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char group[64];

    drive_pair_and_group(world, &pair, group);
    drive_ok(world, PARIS, "ChangeResourceGroup", NULL, NULL, "RegionId=cn-paris&" MOVE, pair.id,
             "rg-1");
    fake_run(world, 0);
    drive_expect(world, LYON, pair.id, "ResourceGroupId", "rg-1");
    /* Asked at the other site it is done where the record is changed. */
    drive_ok(world, LYON, "ChangeResourceGroup", NULL, NULL, "RegionId=cn-lyon&" MOVE, pair.id,
             "rg-2");
    drive_expect(world, PARIS, pair.id, "ResourceGroupId", "rg-2");
    drive_ok(world, PARIS, "ChangeResourceGroup", NULL, NULL,
             "RegionId=cn-paris&ResourceType=diskreplicagroup&ResourceId=%s&NewResourceGroupId=g.1",
             group);
    assert_int_equal(PAIRS("RegionId=cn-paris&ResourceGroupId=rg-2"), 1);
    assert_int_equal(PAIRS("RegionId=cn-paris&ResourceGroupId=rg-1"), 0);
    /* Failed over, with production lost, the promoted site does it. */
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, "RegionId=cn-paris&ReplicaPairId=%s",
             pair.id);
    fake_copy(world);
    fake_site_crash(world, PARIS);
    drive_ok(world, LYON, "FailoverDiskReplicaPair", NULL, NULL,
             "RegionId=cn-lyon&ReplicaPairId=%s", pair.id);
    fake_run(world, UINT64_C(1000000000));
    drive_ok(world, LYON, "ChangeResourceGroup", NULL, NULL, "RegionId=cn-lyon&" MOVE, pair.id,
             "rg-3");
    fake_site_start(world, PARIS);
    fake_run(world, UINT64_C(1000000000));
    drive_expect(world, PARIS, pair.id, "ResourceGroupId", "rg-3");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, drive_setup, drive_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_set_replace_take_away),
        TEST(test_the_last_writer_wins_after_a_separation),
        TEST(test_given_at_the_creation),
        TEST(test_filters),
        TEST(test_keys_and_values_in_use),
        TEST(test_pages_of_keys),
        TEST(test_a_long_key_in_a_token),
        TEST(test_they_go_with_what_had_them),
        TEST(test_they_survive_a_restart),
        TEST(test_groups_that_cannot_exist),
        TEST(test_every_error),
        TEST(test_twenty_at_most),
        TEST(test_several_at_once),
        TEST(test_passed_on_beside_a_change),
        TEST(test_resource_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
