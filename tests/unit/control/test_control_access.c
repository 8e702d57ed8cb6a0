/* SPDX-License-Identifier: Apache-2.0 */
/* Why: users, keys and policies by their operations, and what the policies then allow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/authorize.h"
#include "api/table.h"
#include "roster_drive.h"

#define ALLOW(action, resource) "{'Effect':'Allow','Action':'" action "','Resource':'" resource "'}"

static void test_users(void **state)
{
    struct fake_world *world = *state;
    char text[64];

    drive_fails(world, PARIS, 404, "EntityNotExist.User", "anna", "DeleteUser", "UserName=anna");
    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=anna&Description=of operations");
    drive_fails(world, PARIS, 409, "EntityAlreadyExists.User", "anna", "CreateUser",
                "UserName=anna");
    drive_fails(world, PARIS, 400, "InvalidUserName", NULL, "CreateUser", "UserName=root");
    drive_fails(world, PARIS, 400, "InvalidUserName", NULL, "CreateUser", "UserName=a b");
    drive_fails(world, PARIS, 400, "InvalidUserName", NULL, "CreateUser", "UserName=.a");
    drive_fails(world, PARIS, 400, "MissingUserName", NULL, "CreateUser", "A=b");
    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=bert");
    drive_ok(world, PARIS, "ListUsers", "TotalCount", text, "A=b");
    assert_string_equal(text, "2");
    drive_ok(world, PARIS, "DeleteUser", NULL, NULL, "UserName=anna");
    drive_ok(world, PARIS, "ListUsers", "TotalCount", text, "A=b");
    assert_string_equal(text, "1");
    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=anna");
}

static void test_keys(void **state)
{
    struct fake_world *world = *state;
    struct roster_key root, anna, other;
    char text[64];

    drive_fails(world, PARIS, 404, "EntityNotExist.User", "anna", "CreateAccessKey",
                "UserName=anna");
    roster_drive_key(world, PARIS, NULL, &root);
    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=anna");
    roster_drive_key(world, PARIS, "anna", &anna);
    roster_drive_expect_key(world, PARIS, anna.id, anna.secret);
    assert_string_not_equal(root.id, anna.id);
    drive_ok(world, PARIS, "ListAccessKeys", "TotalCount", text, "A=b");
    assert_string_equal(text, "2");
    drive_ok(world, PARIS, "ListAccessKeys", "TotalCount", text, "UserName=anna");
    assert_string_equal(text, "1");
    drive_ok(world, PARIS, "UpdateAccessKey", NULL, NULL, "UserAccessKeyId=%s&Status=Inactive",
             anna.id);
    roster_drive_as(world, "anna", &anna); /* disabled: nothing, not even who he is */
    drive_fails(world, PARIS, 403, "Forbidden", NULL, "GetCallerIdentity", "A=b");
    roster_drive_as(world, NULL, NULL);
    drive_ok(world, PARIS, "UpdateAccessKey", NULL, NULL, "UserAccessKeyId=%s&Status=Active",
             anna.id);
    drive_fails(world, PARIS, 404, "EntityNotExist.User.AccessKey", "VX", "UpdateAccessKey",
                "UserAccessKeyId=VX&Status=Active");
    drive_fails(world, PARIS, 400, "InvalidStatus", NULL, "UpdateAccessKey",
                "UserAccessKeyId=%s&Status=off", anna.id);
    for (unsigned i = 0; i < 4; i++)
        roster_drive_key(world, PARIS, "anna", &other);
    drive_fails(world, PARIS, 409, "LimitExceeded.User.AccessKey", NULL, "CreateAccessKey",
                "UserName=anna");
    drive_ok(world, PARIS, "DeleteAccessKey", NULL, NULL, "UserAccessKeyId=%s", other.id);
    roster_drive_expect_key(world, PARIS, other.id, NULL);
    drive_ok(world, PARIS, "DeleteUser", NULL, NULL, "UserName=anna");
    roster_drive_expect_key(world, PARIS, anna.id, NULL);
    drive_ok(world, PARIS, "ListAccessKeys", "TotalCount", text, "A=b");
    assert_string_equal(text, "1");
    /* The next anna is another. */
    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=anna");
    roster_drive_expect_key(world, PARIS, anna.id, NULL);
}

static void test_policies(void **state)
{
    struct fake_world *world = *state;
    char text[64];

    drive_fails(world, PARIS, 400, "MalformedPolicyDocument", "Statement[0]: Effect",
                "CreatePolicy",
                "PolicyName=p&PolicyDocument={\"Version\":\"1\",\"Statement\":[{}]}");
    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=anna");
    roster_drive_policy(world, PARIS, "anna", "p", ALLOW("ebs:*", "*"));
    drive_fails(world, PARIS, 409, "EntityAlreadyExists.Policy", "p", "CreatePolicy",
                "PolicyName=p&PolicyDocument={\"Version\":\"1\",\"Statement\":[{\"Effect\":"
                "\"Deny\",\"Action\":\"*\",\"Resource\":\"*\"}]}");
    drive_fails(world, PARIS, 409, "EntityAlreadyExists.User.Policy", "p", "AttachPolicy",
                "PolicyName=p&UserName=anna");
    drive_fails(world, PARIS, 404, "EntityNotExist.Policy", "q", "AttachPolicy",
                "PolicyName=q&UserName=anna");
    drive_fails(world, PARIS, 404, "EntityNotExist.User", "bert", "AttachPolicy",
                "PolicyName=p&UserName=bert");
    drive_ok(world, PARIS, "ListPolicies", "TotalCount", text, "UserName=anna");
    assert_string_equal(text, "1");
    drive_fails(world, PARIS, 409, "DeleteConflict.Policy.User", "1; detach", "DeletePolicy",
                "PolicyName=p");
    drive_ok(world, PARIS, "DetachPolicy", NULL, NULL, "PolicyName=p&UserName=anna");
    drive_fails(world, PARIS, 404, "EntityNotExist.User.Policy", NULL, "DetachPolicy",
                "PolicyName=p&UserName=anna");
    drive_ok(world, PARIS, "ListPolicies", "TotalCount", text, "UserName=anna");
    assert_string_equal(text, "0");
    drive_ok(world, PARIS, "DeletePolicy", NULL, NULL, "PolicyName=p");
    drive_fails(world, PARIS, 404, "EntityNotExist.Policy", "p", "GetPolicy", "PolicyName=p");
}

static void test_identity(void **state)
{
    struct fake_world *world = *state;
    struct roster_key root, anna;
    char text[64];

    drive_ok(world, PARIS, "GetCallerIdentity", "Arn", text, "A=b");
    assert_string_equal(text, "acs:ram::1000000000000001:root");
    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=anna");
    roster_drive_key(world, PARIS, "anna", &anna);
    roster_drive_key(world, PARIS, NULL, &root);
    roster_drive_as(world, "root", &root);
    drive_ok(world, PARIS, "GetCallerIdentity", "IdentityType", text, "A=b");
    assert_string_equal(text, "Account");
    roster_drive_as(world, "anna", &anna);
    drive_ok(world, PARIS, "GetCallerIdentity", "IdentityType", text, "A=b");
    assert_string_equal(text, "RAMUser");
    drive_ok(world, PARIS, "GetCallerIdentity", "Arn", text, "A=b");
    assert_string_equal(text, "acs:ram::1000000000000001:user/anna");
    drive_ok(world, PARIS, "GetCallerIdentity", "AccountId", text, "A=b");
    assert_string_equal(text, "1000000000000001");
}

static void test_what_they_may(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair one, two;
    struct roster_key key;
    char text[64], statement[300];

    drive_pair(world, &one);
    drive_pair(world, &two);
    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=anna");
    roster_drive_key(world, PARIS, "anna", &key);

    roster_drive_as(world, "anna", &key); /* nothing is attached */
    drive_fails(world, PARIS, 403, "Forbidden.Action",
                "User is not authorized to operate this action.", "DescribeDiskReplicaPairs",
                "RegionId=cn-paris");
    drive_fails(world, PARIS, 403, "Forbidden.Action", NULL, "StartDiskReplicaPair",
                "RegionId=cn-paris&ReplicaPairId=%s", one.id);
    drive_fails(world, PARIS, 403, "Forbidden.Action", NULL, "CreateUser", "UserName=x");
    drive_fails(world, PARIS, 403, "Forbidden.Action", NULL, "CreateAccessKey", "A=b");

    roster_drive_as(world, NULL, NULL);
    snprintf(statement, sizeof(statement), ALLOW("ebs:*", "acs:ebs:*:*:diskreplicapair/%s"),
             one.id);
    roster_drive_policy(world, PARIS, "anna", "one", statement);

    roster_drive_as(world, "anna", &key);
    drive_fails(world, PARIS, 403, "Forbidden", "User is not authorized to operate.",
                "StartDiskReplicaPair", "RegionId=cn-paris&ReplicaPairId=%s", two.id);
    /* What is not there looks the same. */
    drive_fails(world, PARIS, 403, "Forbidden", "User is not authorized to operate.",
                "StartDiskReplicaPair", "RegionId=cn-paris&ReplicaPairId=pair-none");
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, "RegionId=cn-paris&ReplicaPairId=%s",
             one.id);
    drive_ok(world, PARIS, "DescribeDiskReplicaPairs", "TotalCount", text, "RegionId=cn-paris");
    assert_string_equal(text, "1");
    drive_ok(world, PARIS, "DescribeDiskReplicaPairs", "TotalCount", text,
             "RegionId=cn-paris&PairIds=%s", two.id);
    assert_string_equal(text, "0");
    drive_fails(world, PARIS, 400, "InvalidNextToken", NULL, "DescribeDiskReplicaPairs",
                "RegionId=cn-paris&NextToken=%s", two.id);
    drive_ok(world, PARIS, "DescribeDiskReplicaGroups", "TotalCount", text, "RegionId=cn-paris");
    assert_string_equal(text, "0");
    drive_fails(world, PARIS, 403, "Forbidden.Action", NULL, "DescribeDisks", "RegionId=cn-paris");

    /* At the other site, which judges by its own directory. */
    drive_ok(world, PARIS, "DescribeDiskReplicaPairs", "TotalCount", text, "RegionId=cn-lyon");
    assert_string_equal(text, "1");
    drive_fails(world, LYON, 403, "Forbidden", NULL, "StopDiskReplicaPair",
                "RegionId=cn-paris&ReplicaPairId=%s", two.id);
    drive_ok(world, LYON, "StopDiskReplicaPair", NULL, NULL, "RegionId=cn-paris&ReplicaPairId=%s",
             one.id);
}

/* "action type" of the refusal's detail. */
static void expect_detail(struct fake_world *world, const char *action, const char *query,
                          const char *wanted)
{
    unsigned status;
    json_t *reply = fake_ask(world, PARIS, action, query, &status);
    const json_t *detail = json_object_get(reply, "AccessDeniedDetail");
    const char *type = json_string_value(json_object_get(detail, "NoPermissionType"));
    char text[200] = "none";

    assert_int_equal(status, 403);
    if (detail)
        snprintf(text, sizeof(text), "%s %s",
                 json_string_value(json_object_get(detail, "AuthAction")), type ? type : "-");
    assert_string_equal(text, wanted);
    if (detail) {
        assert_string_equal(json_string_value(json_object_get(detail, "AuthPrincipalType")),
                            "SubUser");
        assert_string_equal(json_string_value(json_object_get(detail, "AuthPrincipalOwnerId")),
                            "1000000000000001");
    }
    json_decref(reply);
}

static void test_details_of_a_refusal(void **state)
{
    static const char start[] = "RegionId=cn-paris&ReplicaPairId=pair-none";
    struct fake_world *world = *state;
    struct roster_key key;

    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=anna");
    roster_drive_key(world, PARIS, "anna", &key);
    roster_drive_as(world, "anna", &key);
    expect_detail(world, "StartDiskReplicaPair", start, "ebs:StartDiskReplicaPair ImplicitDeny");
    expect_detail(world, "CreateDisk", "RegionId=cn-paris&Size=no", "ecs:CreateDisk -");
    roster_drive_as(world, NULL, NULL);
    roster_drive_policy(world, PARIS, "anna", "no",
                        "{'Effect':'Deny','Action':'ebs:Start*','Resource':'*'}");
    roster_drive_as(world, "anna", &key);
    expect_detail(world, "StartDiskReplicaPair", start, "ebs:StartDiskReplicaPair ExplicitDeny");
    roster_drive_as(world, NULL, NULL);
    roster_drive_policy(world, PARIS, "anna", "tagged",
                        "{'Effect':'Deny','Action':'*','Resource':'*','Condition':"
                        "{'StringEquals':{'ebs:tag/a':'b'}}}");
    roster_drive_as(world, "anna", &key); /* it would tell what is there */
    expect_detail(world, "StartDiskReplicaPair", start, "ebs:StartDiskReplicaPair -");
    world->caller.key_id[0]++; /* a stranger is told nothing */
    expect_detail(world, "StartDiskReplicaPair", start, "none");
}

static void test_conditions_and_disks(void **state)
{
    struct fake_world *world = *state;
    struct roster_key key;
    char disk[64], text[64], statement[300];

    drive_disk(world, PARIS, disk);
    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=anna");
    roster_drive_key(world, PARIS, "anna", &key);
    snprintf(statement, sizeof(statement), ALLOW("ecs:*", "acs:ecs:cn-paris:*:disk/%s"), disk);
    roster_drive_policy(world, PARIS, "anna", "disk", statement);

    roster_drive_as(world, "anna", &key);
    drive_fails(world, PARIS, 403, "Forbidden", NULL, "AttachDisk", "DiskId=%s&InstanceId=i-1",
                disk); /* both are needed */
    drive_fails(world, PARIS, 403, "Forbidden", NULL, "CreateDisk",
                "RegionId=cn-paris&ZoneId=cn-paris-a&Size=1");
    roster_drive_as(world, NULL, NULL);
    roster_drive_policy(world, PARIS, "anna", "instances",
                        "{'Effect':'Allow','Action':'ecs:*Disk','Resource':"
                        "'acs:ecs:*:*:instance/*','Condition':{'IpAddress':"
                        "{'acs:SourceIp':'192.0.2.0/24'},'Bool':{'acs:SecureTransport':'true'}}}");
    roster_drive_as(world, "anna", &key);
    drive_ok(world, PARIS, "AttachDisk", NULL, NULL, "DiskId=%s&InstanceId=i-1", disk);
    strcpy(world->caller.source, "198.51.100.1");
    drive_fails(world, PARIS, 403, "Forbidden", NULL, "DetachDisk", "DiskId=%s&InstanceId=i-1",
                disk);
    strcpy(world->caller.source, "192.0.2.9");
    world->caller.is_secure = false;
    drive_fails(world, PARIS, 403, "Forbidden", NULL, "DetachDisk", "DiskId=%s&InstanceId=i-1",
                disk);
    drive_ok(world, PARIS, "DescribeDisks", "TotalCount", text, "RegionId=cn-paris");
    assert_string_equal(text, "1");
    drive_ok(world, PARIS, "DescribeDisks", "TotalCount", text, "RegionId=cn-lyon");
    assert_string_equal(text, "0"); /* the policy names a region */
}

static void test_tags(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair ours, theirs, plain;
    struct roster_key key;
    char text[64];

    drive_pair(world, &ours);
    drive_pair(world, &theirs);
    drive_pair(world, &plain);
    drive_ok(world, PARIS, "TagResources", NULL, NULL,
             "RegionId=cn-paris&ResourceType=DiskReplicaPair&ResourceId.1=%s&Tag.1.Key=team&"
             "Tag.1.Value=a",
             ours.id);
    drive_ok(world, PARIS, "TagResources", NULL, NULL,
             "RegionId=cn-paris&ResourceType=DiskReplicaPair&ResourceId.1=%s&Tag.1.Key=team&"
             "Tag.1.Value=b",
             theirs.id);
    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=anna");
    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=bert");
    roster_drive_key(world, PARIS, "anna", &key);
    roster_drive_policy(world, PARIS, "anna", "team",
                        "{'Effect':'Allow','Action':'ebs:*','Resource':'*','Condition':"
                        "{'StringEquals':{'ebs:tag/team':'a'}}}");
    roster_drive_as(world, "anna", &key);
    drive_ok(world, PARIS, "DescribeDiskReplicaPairs", "TotalCount", text, "RegionId=cn-paris");
    assert_string_equal(text, "1");
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, "RegionId=cn-paris&ReplicaPairId=%s",
             ours.id);
    drive_fails(world, PARIS, 403, "Forbidden", NULL, "StartDiskReplicaPair",
                "RegionId=cn-paris&ReplicaPairId=%s", plain.id);
    drive_fails(world, PARIS, 403, "Forbidden", NULL, "CreateDiskReplicaGroup",
                "RegionId=cn-paris&SourceZoneId=cn-paris-a&DestinationRegionId=cn-lyon&"
                "DestinationZoneId=cn-lyon-a");
    drive_ok(world, PARIS, "CreateDiskReplicaGroup", NULL, NULL,
             "RegionId=cn-paris&SourceZoneId=cn-paris-a&DestinationRegionId=cn-lyon&"
             "DestinationZoneId=cn-lyon-a&Tag.1.Key=team&Tag.1.Value=a");
    drive_ok(world, PARIS, "ListTagResources", NULL, NULL,
             "RegionId=cn-paris&ResourceType=DiskReplicaPair&Tag.1.Key=team");

    /* Who may all but what is b's: what is not there could be. */
    roster_drive_as(world, NULL, NULL);
    roster_drive_key(world, PARIS, "bert", &key);
    roster_drive_policy(world, PARIS, "bert", "all-but",
                        "{'Effect':'Allow','Action':'ebs:*','Resource':'*'},{'Effect':'Deny',"
                        "'Action':'*','Resource':'*','Condition':{'StringEquals':"
                        "{'ebs:tag/team':'b'}}}");
    roster_drive_as(world, "bert", &key);
    drive_ok(world, PARIS, "DescribeDiskReplicaPairs", "TotalCount", text, "RegionId=cn-paris");
    assert_string_equal(text, "2");
    drive_fails(world, PARIS, 403, "Forbidden", NULL, "StartDiskReplicaPair",
                "RegionId=cn-paris&ReplicaPairId=%s", theirs.id);
    drive_fails(world, PARIS, 403, "Forbidden", NULL, "StartDiskReplicaPair",
                "RegionId=cn-paris&ReplicaPairId=pair-none");
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, "RegionId=cn-paris&ReplicaPairId=%s",
             plain.id);
}

/* Contract 3.6: first whether he may, then whether the parameters make sense. */
static void test_authorization_comes_first(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair one, two;
    struct roster_key key;
    char statement[300];

    drive_pair(world, &one);
    drive_pair(world, &two);
    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=anna");
    roster_drive_key(world, PARIS, "anna", &key);
    snprintf(statement, sizeof(statement), ALLOW("ebs:M*", "acs:ebs:*:*:diskreplicapair/%s"),
             one.id);
    roster_drive_policy(world, PARIS, "anna", "one", statement);
    roster_drive_as(world, "anna", &key);
    drive_fails(world, PARIS, 403, "Forbidden.Action", NULL, "DeleteDiskReplicaPair", "A=b");
    drive_fails(world, PARIS, 403, "Forbidden.Action", NULL, "DescribeDiskReplicaPairs",
                "RegionId=cn-paris&MaxResults=0");
    drive_fails(world, PARIS, 403, "Forbidden.Action", NULL, "CreateUser", "A=b");
    drive_fails(world, PARIS, 403, "Forbidden", NULL, "ModifyDiskReplicaPair",
                "RegionId=cn-paris&ReplicaPairId=%s&RPO=x", two.id);
    drive_fails(world, PARIS, 400, "InvalidRPO", NULL, "ModifyDiskReplicaPair",
                "RegionId=cn-paris&ReplicaPairId=%s&RPO=x", one.id);
    drive_fails(world, PARIS, 400, "MissingReplicaPairId", NULL, "ModifyDiskReplicaPair",
                "RegionId=cn-paris");
    drive_fails(world, PARIS, 400, "InvalidReplicaPairId", NULL, "ModifyDiskReplicaPair",
                "RegionId=cn-paris&ReplicaPairId=");
}

/* An empty list would tell him that everything is gone. */
static void test_lists_that_are_denied(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    struct roster_key key;
    char text[64];

    drive_pair(world, &pair);
    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=anna");
    roster_drive_key(world, PARIS, "anna", &key);
    roster_drive_policy(world, PARIS, "anna", "all", ALLOW("*", "*"));
    roster_drive_policy(world, PARIS, "anna", "secure",
                        "{'Effect':'Deny','Action':'*','Resource':'*','Condition':"
                        "{'Bool':{'acs:SecureTransport':'false'}}}");
    roster_drive_policy(world, PARIS, "anna", "tagged",
                        "{'Effect':'Deny','Action':'*','Resource':'*','Condition':"
                        "{'StringEquals':{'ebs:tag/team':'b'}}}");
    roster_drive_as(world, "anna", &key);
    drive_ok(world, PARIS, "DescribeDiskReplicaPairs", "TotalCount", text, "RegionId=cn-paris");
    assert_string_equal(text, "1");
    world->caller.is_secure = false;
    drive_fails(world, PARIS, 403, "Forbidden", NULL, "DescribeDiskReplicaPairs",
                "RegionId=cn-paris");
    drive_fails(world, PARIS, 403, "Forbidden", NULL, "DescribeDisks", "RegionId=cn-paris");
    drive_fails(world, PARIS, 403, "Forbidden", NULL, "ListTagResources",
                "RegionId=cn-paris&ResourceType=diskreplicapair&Tag.1.Key=a");
    roster_drive_as(world, NULL, NULL);
    roster_drive_policy(world, PARIS, "anna", "never",
                        "{'Effect':'Deny','Action':'ebs:Describe*','Resource':'*'}");
    roster_drive_as(world, "anna", &key);
    drive_fails(world, PARIS, 403, "Forbidden.Action", NULL, "DescribeDiskReplicaPairs",
                "RegionId=cn-paris");
    drive_ok(world, PARIS, "DescribeDisks", NULL, NULL, "RegionId=cn-paris");
}

/* What is only on resources that he may not see does not show. */
static void test_tags_in_use(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair ours, theirs;
    struct roster_key key;
    char policy[300];
    json_t *reply, *list;

    drive_pair(world, &ours);
    drive_pair(world, &theirs);
    drive_ok(world, PARIS, "TagResources", NULL, NULL,
             "RegionId=cn-paris&ResourceType=DiskReplicaPair&ResourceId.1=%s&Tag.1.Key=team&"
             "Tag.1.Value=a",
             ours.id);
    drive_ok(world, PARIS, "TagResources", NULL, NULL,
             "RegionId=cn-paris&ResourceType=DiskReplicaPair&ResourceId.1=%s&Tag.1.Key=team&"
             "Tag.1.Value=b&Tag.2.Key=secret",
             theirs.id);
    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=anna");
    roster_drive_key(world, PARIS, "anna", &key);
    snprintf(policy, sizeof(policy),
             "{'Effect':'Allow','Action':'ebs:DescribeUserTag*','Resource':"
             "'acs:ebs:*:*:diskreplicapair/%s'}",
             ours.id);
    roster_drive_policy(world, PARIS, "anna", "ours", policy);
    roster_drive_as(world, "anna", &key);
    for (unsigned i = 0; i < 2; i++) {
        reply = drive_ask(world, PARIS, i == 0 ? "DescribeUserTagKeys" : "DescribeUserTagValues",
                          "RegionId=cn-paris");
        list = json_object_get(reply, i == 0 ? "TagKeys" : "TagValues");
        assert_int_equal(json_array_size(list), 1);
        assert_string_equal(json_string_value(json_array_get(list, 0)), i == 0 ? "team" : "a");
        json_decref(reply);
    }
    drive_fails(world, PARIS, 403, "Forbidden.Action", NULL, "DescribeDiskReplicaPairs",
                "RegionId=cn-paris");
}

static void test_administrators(void **state)
{
    struct fake_world *world = *state;
    struct roster_key key, other, root;

    roster_drive_key(world, PARIS, NULL, &root);
    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=anna");
    roster_drive_key(world, PARIS, "anna", &key);
    roster_drive_policy(world, PARIS, "anna", "admin", ALLOW("verso:*", "*"));
    roster_drive_as(world, "anna", &key);
    drive_ok(world, PARIS, "CreateUser", NULL, NULL, "UserName=bert");
    roster_drive_key(world, PARIS, "bert", &other);
    /* Root's keys are not within it. */
    drive_fails(world, PARIS, 403, "Forbidden", "root", "CreateAccessKey", "A=b");
    drive_fails(world, PARIS, 403, "Forbidden", "root", "UpdateAccessKey",
                "UserAccessKeyId=%s&Status=Inactive", root.id);
    drive_fails(world, PARIS, 403, "Forbidden", "root", "DeleteAccessKey", "UserAccessKeyId=%s",
                root.id);
    drive_fails(world, PARIS, 403, "Forbidden.Action", NULL, "DescribeDiskReplicaPairs",
                "RegionId=cn-paris");
    roster_drive_as(world, "root", &root);
    drive_ok(world, PARIS, "DescribeDiskReplicaPairs", NULL, NULL, "RegionId=cn-paris");
    drive_ok(world, PARIS, "DeleteAccessKey", NULL, NULL, "UserAccessKeyId=%s", root.id);
    drive_fails(world, PARIS, 403, "Forbidden", NULL, "DescribeDiskReplicaPairs",
                "RegionId=cn-paris");
}

static void test_every_operation_says_what_it_touches(void **state)
{
    const struct operation *operation;

    (void)state;
    for (unsigned i = 0; (operation = table_at(i)); i++)
        if (!authorize_has_row(operation))
            fail_msg("%s has no row in api/authorize.c", operation->name);
}

/* A walk of all of them for each of a list would be quadratic. */
static void test_what_lists_ask_by_is_indexed(void **state)
{
    static const struct {
        enum record_kind kind;
        const char *field;
    } asked[] = {
        {RECORD_PAIR, "group_id"},    {RECORD_TAG, "resource_id"}, {RECORD_POLICY_LINK, "policy"},
        {RECORD_POLICY_LINK, "user"}, {RECORD_ACCESS_KEY, "user"},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        const struct record_type *type = record_type(asked[i].kind);
        bool is_indexed = false;

        for (unsigned k = 0; k < type->field_count; k++)
            is_indexed |=
                strcmp(type->fields[k].name, asked[i].field) == 0 && type->fields[k].is_indexed;
        if (!is_indexed)
            fail_msg("%s are not found by %s", type->table, asked[i].field);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_users, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_keys, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_policies, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_identity, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_what_they_may, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_details_of_a_refusal, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_conditions_and_disks, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_tags, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_tags_in_use, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_administrators, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_authorization_comes_first, drive_setup,
                                        drive_teardown),
        cmocka_unit_test_setup_teardown(test_lists_that_are_denied, drive_setup, drive_teardown),
        cmocka_unit_test(test_every_operation_says_what_it_touches),
        cmocka_unit_test(test_what_lists_ask_by_is_indexed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
