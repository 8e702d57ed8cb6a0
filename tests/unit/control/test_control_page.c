/* SPDX-License-Identifier: Apache-2.0 */
/* Pages: both ways, what changes between two of them, and tokens that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/table.h"
#include "base/check.h"
#include "control/call.h"
#include "control/tree.h"
#include "drive.h"

enum { GROUPS = 7 };

static void make_group(struct fake_world *world, unsigned number, char *ret_id)
{
    drive_ok(world, PARIS, "CreateDiskReplicaGroup", "ReplicaGroupId", ret_id,
             "RegionId=cn-paris&SourceZoneId=cn-paris-a&DestinationRegionId=cn-lyon&"
             "DestinationZoneId=cn-lyon-a&GroupName=Shop-%u&ResourceGroupId=rg-%u",
             number, number % 2);
}

/* One page into `ret_names` ("Shop-0 Shop-1 "); the token of the next. */
static void page(struct fake_world *world, unsigned site, const char *query, char *ret_names,
                 char *ret_token, json_int_t total)
{
    json_t *reply = drive_ask(world, site, "DescribeDiskReplicaGroups", "RegionId=%s&%s",
                              world->sites[site].region, query);
    json_t *groups = json_object_get(reply, "ReplicaGroups"), *group;
    size_t index;

    ret_names[0] = 0;
    json_array_foreach(groups, index, group)
    {
        sprintf(ret_names + strlen(ret_names), "%s ",
                json_string_value(json_object_get(group, "GroupName")) + 5);
    }
    assert_true(json_is_integer(json_object_get(reply, "PageNumber")));
    assert_true(json_is_integer(json_object_get(reply, "PageSize")));
    assert_int_equal(json_integer_value(json_object_get(reply, "TotalCount")), total);
    strcpy(ret_token, json_string_value(json_object_get(reply, "NextToken")));
    json_decref(reply);
}

static void expect(struct fake_world *world, const char *query, const char *names, bool has_more,
                   json_int_t total)
{
    char text[200], token[200];

    page(world, PARIS, query, text, token, total);
    assert_string_equal(text, names);
    assert_int_equal(token[0] != 0, has_more);
}

static void test_by_number(void **state)
{
    struct fake_world *world = *state;
    char id[64];

    for (unsigned i = 0; i < GROUPS; i++)
        make_group(world, i, id);
    expect(world, "PageSize=3", "0 1 2 ", true, 7);
    expect(world, "PageSize=3&PageNumber=2", "3 4 5 ", true, 7);
    expect(world, "PageSize=3&PageNumber=3", "6 ", false, 7);
    expect(world, "PageSize=3&PageNumber=4", "", false, 7);
    expect(world, "PageNumber=1000000&PageSize=100", "", false, 7);
    expect(world, "", "0 1 2 3 4 5 6 ", false, 7);
    expect(world, "MaxResults=2&PageSize=5", "0 1 ", true, 7); /* MaxResults counts */
    drive_fails(world, PARIS, 400, "InvalidPageSize", NULL, "DescribeDiskReplicaGroups",
                "RegionId=cn-paris&PageSize=101");
    drive_fails(world, PARIS, 400, "InvalidPageNumber", NULL, "DescribeDiskReplicaGroups",
                "RegionId=cn-paris&PageNumber=0");
    drive_fails(world, PARIS, 400, "InvalidMaxResults", NULL, "DescribeDiskReplicaGroups",
                "RegionId=cn-paris&MaxResults=501");
}

static void test_tokens_while_things_change(void **state)
{
    struct fake_world *world = *state;
    char ids[GROUPS][64], more[64], token[200], more_token[200], names[200], query[300];

    for (unsigned i = 0; i < GROUPS; i++)
        make_group(world, i, ids[i]);
    page(world, PARIS, "MaxResults=3", names, token, 7);
    assert_string_equal(names, "0 1 2 ");
    /* The last one seen goes, so does one to come; another is made. */
    static const unsigned gone[] = {2, 3};
    for (unsigned i = 0; i < 2; i++)
        drive_ok(world, PARIS, "DeleteDiskReplicaGroup", NULL, NULL,
                 "RegionId=cn-paris&ReplicaGroupId=%s", ids[gone[i]]);
    fake_run(world, UINT64_C(1000000000));
    make_group(world, 9, more);
    /* PageNumber has no effect beside a token. */
    snprintf(query, sizeof(query), "MaxResults=3&PageNumber=9&NextToken=%s", token);
    page(world, PARIS, query, names, token, 6);
    assert_string_equal(names, "4 5 6 ");
    /* Nor has PageSize: a page has 10 then. */
    page(world, PARIS, "PageSize=2", names, more_token, 6);
    snprintf(query, sizeof(query), "PageSize=1&PageNumber=2&NextToken=%s", more_token);
    page(world, PARIS, query, names, more_token, 6);
    assert_string_equal(names, "4 5 6 9 ");
    snprintf(query, sizeof(query), "MaxResults=3&NextToken=%s", token);
    page(world, PARIS, query, names, token, 6);
    assert_string_equal(names, "9 ");
    assert_string_equal(token, "");
    /* The order is that of creation at the other site as well, and stays over a restart. */
    fake_site_crash(world, PARIS);
    fake_site_start(world, PARIS);
    expect(world, "", "0 1 4 5 6 9 ", false, 6);
    page(world, LYON, "", names, token, 6);
    assert_string_equal(names, "0 1 4 5 6 9 ");
}

static void test_tokens_that_are_none(void **state)
{
    struct fake_world *world = *state;
    char id[64], token[200], names[200], query[300];

    for (unsigned i = 0; i < GROUPS; i++)
        make_group(world, i, id);
    page(world, PARIS, "MaxResults=3", names, token, 7);
    drive_fails(world, PARIS, 400, "InvalidNextToken", NULL, "DescribeDiskReplicaPairs",
                "RegionId=cn-paris&NextToken=%s", token); /* of another list */
    drive_fails(world, LYON, 400, "InvalidNextToken", NULL, "DescribeDiskReplicaGroups",
                "RegionId=cn-lyon&NextToken=%s", token); /* of the other site */
    token[31] = token[31] == '0' ? '1' : '0';
    drive_fails(world, PARIS, 400, "InvalidNextToken", NULL, "DescribeDiskReplicaGroups",
                "RegionId=cn-paris&NextToken=%s", token);
    static const char *const bad[] = {"x", "00000000000000000000000000000000",
                                      "ffffffffffffffffffffffffffffffff", "-1", "0x1"};
    for (unsigned i = 0; i < 5; i++) {
        snprintf(query, sizeof(query), "RegionId=cn-paris&NextToken=%s", bad[i]);
        drive_fails(world, PARIS, 400, "InvalidNextToken", NULL, "DescribeDiskReplicaGroups", "%s",
                    query);
    }
}

static void test_filters_with_pages(void **state)
{
    struct fake_world *world = *state;
    char id[64], first[64] = "", names[200], token[200], query[300];

    for (unsigned i = 0; i < GROUPS; i++) {
        make_group(world, i, id);
        if (i == 0)
            strcpy(first, id);
    }
    fake_run(world, 0);
    page(world, PARIS, "ResourceGroupId=rg-0&MaxResults=2", names, token, 4);
    assert_string_equal(names, "0 2 ");
    snprintf(query, sizeof(query), "ResourceGroupId=rg-0&MaxResults=2&NextToken=%s", token);
    page(world, PARIS, query, names, token, 4);
    assert_string_equal(names, "4 6 ");
    assert_string_equal(token, "");
    expect(world, "Name=sHoP-3", "3 ", false, 1);
    expect(world, "Name=hop&ResourceGroupId=rg-1", "1 3 5 ", false, 3);
    expect(world, "Site=production", "0 1 2 3 4 5 6 ", false, 7);
    expect(world, "Site=backup", "", false, 0);
    page(world, LYON, "Site=backup&PageSize=2", names, token, 7);
    assert_string_equal(names, "0 1 ");
    page(world, LYON, "Site=production", names, token, 0);
    snprintf(query, sizeof(query), "GroupIds=%s,%s,pg-none,%s", id, first, id);
    expect(world, query, "0 6 ", false, 2);
}

static void test_a_hundred_ids_at_most(void **state)
{
    struct fake_world *world = *state;
    char query[6000] = "RegionId=cn-paris&PairIds=pair-0";

    for (unsigned i = 1; i < 100; i++)
        sprintf(query + strlen(query), ",pair-%u", i);
    json_decref(drive_ask(world, PARIS, "DescribeDiskReplicaPairs", "%s", query));
    strcat(query, ",pair-100");
    drive_fails(world, PARIS, 400, "InvalidPairIds", NULL, "DescribeDiskReplicaPairs", "%s", query);
}

static void test_pairs_in_no_group(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pairs[2];
    char group[64];
    json_t *reply;

    drive_group(world, group);
    drive_pair(world, &pairs[0]);
    drive_pair(world, &pairs[1]);
    drive_add(world, group, &pairs[0]);
    for (unsigned i = 0; i < 2; i++) {
        reply = drive_ask(world, PARIS, "DescribeDiskReplicaPairs",
                          "RegionId=cn-paris&ReplicaGroupId=%s", i == 0 ? group : "-");
        json_t *list = json_object_get(reply, "ReplicaPairs");
        assert_int_equal(json_array_size(list), 1);
        assert_string_equal(
            json_string_value(json_object_get(json_array_get(list, 0), "ReplicaPairId")),
            pairs[i].id);
        json_decref(reply);
    }
}

static int setup_one_region(void **state)
{
    *state = fake_world_new(true);
    return 0;
}

/* Where the region names both sites, the record stands for either; production unless it is asked.
 */
static void test_site_in_one_region(void **state)
{
    struct fake_world *world = *state;
    char group[64], text[64];
    static const char *const sites[] = {"production", "backup"};

    drive_group(world, group);
    fake_run(world, 0);
    drive_show(world, LYON, group, "Site", text);
    assert_string_equal(text, "production");
    for (unsigned i = 0; i < 2; i++) {
        json_t *reply = drive_ask(world, PARIS, "DescribeDiskReplicaGroups",
                                  "RegionId=cn-paris&Site=%s", sites[i]);
        json_t *first = json_array_get(json_object_get(reply, "ReplicaGroups"), 0);
        assert_string_equal(json_string_value(json_object_get(first, "Site")), sites[i]);
        json_decref(reply);
    }
}

static void test_disks_take_more_for_the_most(void **state)
{
    struct fake_world *world = *state;
    char id[64], text[64];

    drive_disk(world, PARIS, id);
    drive_ok(world, PARIS, "DescribeDisks", "PageSize", text, "RegionId=cn-paris&MaxResults=9999");
    assert_string_equal(text, "500");
}

struct counted {
    struct call call;
    unsigned *asked; /* how often it was asked whether he may see one */
    bool is_done;
};

static bool may_see_counted(const struct call *call, enum record_kind kind, const char *id)
{
    (*container_of(call, const struct counted, call)->asked)++;
    return true;
}

static void counted_done(struct call *call)
{
    container_of(call, struct counted, call)->is_done = true;
}

/* How often it is asked for this page; it has `items` of `total`, and is the last one or not. */
static unsigned asked_for(struct fake_world *world, const char *action, json_t *parameters,
                          const char *list, unsigned items, unsigned total, bool has_more)
{
    unsigned asked = 0;
    struct counted counted = {.asked = &asked};
    struct call *call = &counted.call;

    call->magic = CALL_MAGIC;
    for (unsigned i = 0; !call->operation; i++)
        if (strcmp(table_at(i)->name, action) == 0)
            call->operation = table_at(i);
    call->parameters = parameters;
    call->texts = json_object();
    call->may_see_cb = may_see_counted;
    call->done_cb = counted_done;
    control_submit(world->sites[PARIS].control, call);
    fake_run(world, 0);
    assert_true(counted.is_done);
    assert_int_equal(call->http_status, 200);
    assert_int_equal(json_array_size(json_object_get(call->reply, list)), items);
    assert_int_equal(tree_int(call->reply, "TotalCount", 0), total);
    assert_int_equal(tree_text(call->reply, "NextToken")[0] != 0, has_more);
    call_fini(call);
    return asked;
}

/* A policy may be dear to ask: each resource is asked for once a call, in whatever order its tags
 * lie, for the page and the total together. */
static void test_each_is_judged_once(void **state)
{
    struct fake_world *world = *state;
    char ids[4][64];
    unsigned asked;

    for (unsigned i = 0; i < 4; i++)
        make_group(world, i, ids[i]);
    for (unsigned k = 0; k < 3; k++)
        for (unsigned i = 0; i < 4; i++)
            drive_ok(world, PARIS, "TagResources", NULL, NULL,
                     "RegionId=cn-paris&ResourceType=diskreplicagroup&ResourceId.1=%s&"
                     "Tag.1.Key=k%u",
                     ids[i], k);
    asked = asked_for(
        world, "ListTagResources",
        json_pack("{s:s, s:[{s:s}]}", "ResourceType", "diskreplicagroup", "Tag", "Key", "k1"),
        "TagResources", 12, 12, false);
    assert_int_equal(asked, 4);
    asked = asked_for(world, "ListTagResources",
                      json_pack("{s:s, s:[{s:s}], s:i}", "ResourceType", "diskreplicagroup", "Tag",
                                "Key", "k1", "MaxResults", 5),
                      "TagResources", 5, 12, true);
    assert_int_equal(asked, 4);
    asked =
        asked_for(world, "DescribeDiskReplicaGroups", json_object(), "ReplicaGroups", 4, 4, false);
    assert_int_equal(asked, 4);
    asked = asked_for(world, "DescribeDiskReplicaGroups",
                      json_pack("{s:i, s:i}", "PageNumber", 2, "PageSize", 1), "ReplicaGroups", 1,
                      4, true);
    assert_int_equal(asked, 4);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, drive_setup, drive_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_by_number),
        TEST(test_tokens_while_things_change),
        TEST(test_tokens_that_are_none),
        TEST(test_filters_with_pages),
        TEST(test_a_hundred_ids_at_most),
        TEST(test_pairs_in_no_group),
        TEST(test_each_is_judged_once),
        cmocka_unit_test_setup_teardown(test_site_in_one_region, setup_one_region, drive_teardown),
        TEST(test_disks_take_more_for_the_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
