/* SPDX-License-Identifier: Apache-2.0 */
/* Each operation alone, so that each has its own "before" and "after". */
#include "nth_operations.h"

#include <stddef.h>

/* clang-format off */
#define PARIS "RegionId", "paris"
#define SITES PARIS, "SourceZoneId", "paris", "DestinationRegionId", "lyon", \
    "DestinationZoneId", "lyon"
#define POLICY "{\"Version\":\"1\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"ebs:*\"," \
    "\"Resource\":\"*\"}]}"
#define POLICY_2 "{\"Version\":\"1\",\"Statement\":[{\"Effect\":\"Deny\",\"Action\":\"ebs:*\"," \
    "\"Resource\":\"*\"}]}"
#define USER {0, "CreateUser", {PARIS, "UserName", "anna", "Description", "a person"}}
#define KEY {0, "CreateAccessKey", {PARIS, "UserName", "anna"}, "AccessKeyId", 0}
#define POLICY_MADE \
    {0, "CreatePolicy", {PARIS, "PolicyName", "all", "PolicyDocument", POLICY}}
#define ATTACHED {0, "AttachPolicy", {PARIS, "PolicyName", "all", "UserName", "anna"}}
#define DISK {0, "CreateDisk", {PARIS, "ZoneId", "paris", "SizeBytes", "65536"}, "DiskId", 0}
#define DISK_2 {1, "CreateDisk", {"RegionId", "lyon", "ZoneId", "lyon", "SizeBytes", "65536"}, \
    "DiskId", 1}
#define PAIR {0, "CreateDiskReplicaPair", {SITES, "DiskId", "$0", "DestinationDiskId", "$1"}, \
    "ReplicaPairId", 2, "created"}
#define GROUP {0, "CreateDiskReplicaGroup", {SITES, "GroupName", "ours"}, "ReplicaGroupId", 3}
#define MEMBER {0, "AddDiskReplicaPair", {PARIS, "ReplicaGroupId", "$3", "ReplicaPairId", "$2"}}
#define THE_PAIR(site) "RegionId", site, "ReplicaPairId", "$2"
#define STARTED {0, "StartDiskReplicaPair", {THE_PAIR("paris")}, NULL, 0, "initial_syncing"}
#define STOPPED {0, "StopDiskReplicaPair", {THE_PAIR("paris")}, NULL, 0, "stopped"}
#define FAILED_OVER {1, "FailoverDiskReplicaPair", {THE_PAIR("lyon")}, NULL, 0, "failovered"}

#define DISKS {0, "DescribeDisks", {PARIS}}, {0, "DescribeDiskAccess", {"DiskId", "$0"}}
#define PAIRS {0, "DescribeDiskReplicaPairs", {PARIS}}, \
    {1, "DescribeDiskReplicaPairs", {"RegionId", "lyon"}}
#define GROUPS {0, "DescribeDiskReplicaGroups", {PARIS}}, \
    {1, "DescribeDiskReplicaGroups", {"RegionId", "lyon"}}
#define USERS {0, "ListUsers", {PARIS}}, {1, "ListUsers", {"RegionId", "lyon"}}
#define KEYS {0, "ListAccessKeys", {PARIS, "UserName", "anna"}}, \
    {1, "ListAccessKeys", {"RegionId", "lyon", "UserName", "anna"}}
#define POLICIES {0, "ListPolicies", {PARIS}}, {1, "ListPolicies", {"RegionId", "lyon"}}, \
    {0, "GetPolicy", {PARIS, "PolicyName", "all"}}
#define LINKS {0, "ListPolicies", {PARIS, "UserName", "anna"}}, \
    {1, "ListPolicies", {"RegionId", "lyon", "UserName", "anna"}}
#define TAGS {0, "ListTagResources", {PARIS, "ResourceType", "diskreplicapair", \
    "ResourceId.1", "$2"}}, {1, "ListTagResources", {"RegionId", "lyon", "ResourceType", \
    "diskreplicapair", "ResourceId.1", "$2"}}

static const struct nth_operation operations[] = {
    /* Who may what. */
    {"user-create", "CreateUser", {{0}},
     {0, "CreateUser", {PARIS, "UserName", "anna", "Description", "a person"}}, {USERS}},
    {"user-delete", "DeleteUser", {USER},
     {0, "DeleteUser", {PARIS, "UserName", "anna"}}, {USERS, KEYS}},
    {"key-create", "CreateAccessKey", {USER},
     {0, "CreateAccessKey", {PARIS, "UserName", "anna"}}, {KEYS}},
    {"key-update", "UpdateAccessKey", {USER, KEY},
     {0, "UpdateAccessKey", {PARIS, "UserAccessKeyId", "$0", "Status", "Inactive"}}, {KEYS}},
    {"key-delete", "DeleteAccessKey", {USER, KEY},
     {0, "DeleteAccessKey", {PARIS, "UserAccessKeyId", "$0"}}, {KEYS}},
    {"policy-create", "CreatePolicy", {{0}},
     {0, "CreatePolicy", {PARIS, "PolicyName", "all", "PolicyDocument", POLICY}}, {POLICIES}},
    {"policy-put", "PutPolicy over one that is there", {POLICY_MADE},
     {0, "PutPolicy", {PARIS, "PolicyName", "all", "PolicyDocument", POLICY_2}}, {POLICIES}},
    {"policy-delete", "DeletePolicy", {POLICY_MADE},
     {0, "DeletePolicy", {PARIS, "PolicyName", "all"}}, {POLICIES}},
    {"policy-attach", "AttachPolicy", {USER, POLICY_MADE},
     {0, "AttachPolicy", {PARIS, "PolicyName", "all", "UserName", "anna"}}, {LINKS}},
    {"policy-detach", "DetachPolicy", {USER, POLICY_MADE, ATTACHED},
     {0, "DetachPolicy", {PARIS, "PolicyName", "all", "UserName", "anna"}}, {LINKS}},
    {"roster-sync", "users, keys, policies made apart reach the other site",
     {USER, KEY, POLICY_MADE, ATTACHED,
      {1, "CreateUser", {"RegionId", "lyon", "UserName", "bert"}}},
     {0, NULL}, {USERS, LINKS}, .is_apart = true},
    /* Disks. */
    {"disk-create", "CreateDisk", {{0}},
     {0, "CreateDisk", {PARIS, "ZoneId", "paris", "SizeBytes", "65536", "DiskName", "first"}},
     {{0, "DescribeDisks", {PARIS}}}},
    {"disk-delete", "DeleteDisk", {DISK},
     {0, "DeleteDisk", {"DiskId", "$0"}}, {{0, "DescribeDisks", {PARIS}}}},
    {"disk-attach", "AttachDisk", {DISK},
     {0, "AttachDisk", {"InstanceId", "i-host", "DiskId", "$0"}}, {DISKS}},
    {"disk-detach", "DetachDisk",
     {DISK, {0, "AttachDisk", {"InstanceId", "i-host", "DiskId", "$0"}}},
     {0, "DetachDisk", {"InstanceId", "i-host", "DiskId", "$0"}}, {DISKS}},
    {"disk-modify", "ModifyDiskAttribute", {DISK},
     {0, "ModifyDiskAttribute", {"DiskId", "$0", "DiskName", "second", "Description", "of ours"}},
     {DISKS}},
    {"disk-resize", "ResizeDisk of an unpaired disk", {DISK},
     {0, "ResizeDisk", {"DiskId", "$0", "NewSizeBytes", "131072"}}, {DISKS}},
    {"disk-reinit", "ReInitDisk of an attached disk",
     {DISK, {0, "AttachDisk", {"InstanceId", "i-host", "DiskId", "$0"}}},
     {0, "ReInitDisk", {"DiskId", "$0"}}, {DISKS}},
    /* Cut short it leaves a larger copy, which does no harm: the source alone is looked at. */
    {"pair-resize", "ResizeDisk of a disk that replicates: its copy, itself, both records",
     {DISK, DISK_2, PAIR, STARTED},
     {0, "ResizeDisk", {"DiskId", "$0", "NewSizeBytes", "131072"}}, {DISKS}},
    /* Pairs and groups. */
    {"pair-create", "CreateDiskReplicaPair", {DISK, DISK_2},
     {0, "CreateDiskReplicaPair", {SITES, "DiskId", "$0", "DestinationDiskId", "$1"}}, {PAIRS}},
    {"pair-start", "StartDiskReplicaPair", {DISK, DISK_2, PAIR},
     {0, "StartDiskReplicaPair", {THE_PAIR("paris")}}, {PAIRS}},
    {"pair-modify", "ModifyDiskReplicaPair", {DISK, DISK_2, PAIR},
     {0, "ModifyDiskReplicaPair", {THE_PAIR("paris"), "PairName", "two", "RPO", "600"}}, {PAIRS}},
    {"pair-delete", "DeleteDiskReplicaPair", {DISK, DISK_2, PAIR},
     {0, "DeleteDiskReplicaPair", {THE_PAIR("paris")}}, {PAIRS}, .failed = "delete_failed"},
    {"pair-failover", "FailoverDiskReplicaPair", {DISK, DISK_2, PAIR, STARTED},
     {1, "FailoverDiskReplicaPair", {THE_PAIR("lyon")}}, {PAIRS},
     .failed = "failover_failed", .wait_s = 3},
    {"pair-cancel", "ReprotectDiskReplicaPair, ReverseReplicate=false: the failover is cancelled",
     {DISK, DISK_2, PAIR, STARTED, FAILED_OVER},
     {1, "ReprotectDiskReplicaPair", {THE_PAIR("lyon"), "ReverseReplicate", "false"}}, {PAIRS},
     .failed = "reprotect_failed"},
    {"pair-forget", "ForgetDiskReplica", {DISK, DISK_2, PAIR, STARTED, STOPPED},
     {0, "ForgetDiskReplica",
      {"ReplicaId", "$2", "Confirm", "$2", "Reason", "the other site is gone"}}, {PAIRS},
     .is_one_sided = true},
    {"group-create", "CreateDiskReplicaGroup", {{0}},
     {0, "CreateDiskReplicaGroup", {SITES, "GroupName", "ours"}}, {GROUPS}},
    {"group-modify", "ModifyDiskReplicaGroup", {GROUP},
     {0, "ModifyDiskReplicaGroup", {PARIS, "ReplicaGroupId", "$3", "GroupName", "theirs"}},
     {GROUPS}},
    {"group-delete", "DeleteDiskReplicaGroup", {GROUP},
     {0, "DeleteDiskReplicaGroup", {PARIS, "ReplicaGroupId", "$3"}}, {GROUPS}},
    {"member-add", "AddDiskReplicaPair", {DISK, DISK_2, PAIR, GROUP},
     {0, "AddDiskReplicaPair", {PARIS, "ReplicaGroupId", "$3", "ReplicaPairId", "$2"}},
     {PAIRS, GROUPS}},
    {"member-remove", "RemoveDiskReplicaPair", {DISK, DISK_2, PAIR, GROUP, MEMBER},
     {0, "RemoveDiskReplicaPair", {PARIS, "ReplicaGroupId", "$3", "ReplicaPairId", "$2"}},
     {PAIRS, GROUPS}},
    {"group-start", "StartDiskReplicaGroup", {DISK, DISK_2, PAIR, GROUP, MEMBER},
     {0, "StartDiskReplicaGroup", {PARIS, "ReplicaGroupId", "$3"}}, {PAIRS, GROUPS}},
    /* Tags and resource groups. */
    {"tag-set", "TagResources", {DISK, DISK_2, PAIR},
     {0, "TagResources", {PARIS, "ResourceType", "diskreplicapair", "ResourceId.1", "$2",
                          "Tag.1.Key", "owner", "Tag.1.Value", "anna"}}, {TAGS}},
    {"tag-unset", "UntagResources",
     {DISK, DISK_2, PAIR,
      {0, "TagResources", {PARIS, "ResourceType", "diskreplicapair", "ResourceId.1", "$2",
                           "Tag.1.Key", "owner", "Tag.1.Value", "anna"}}},
     {0, "UntagResources", {PARIS, "ResourceType", "diskreplicapair", "ResourceId.1", "$2",
                            "TagKey.1", "owner"}}, {TAGS}},
    {"resource-group", "ChangeResourceGroup", {DISK, DISK_2, PAIR},
     {0, "ChangeResourceGroup", {PARIS, "ResourceType", "diskreplicapair", "ResourceId", "$2",
                                 "NewResourceGroupId", "rg-ours"}}, {PAIRS}},
    /* Looking: what cannot be read is not "none". */
    {"events-read", "DescribeReplicaEvents", {USER, DISK, DISK_2, PAIR},
     {0, "DescribeReplicaEvents", {"Kind", "state"}}, {PAIRS}},
    {"monitor-read", "DescribeDiskMonitorData", {DISK},
     {0, "DescribeDiskMonitorData", {PARIS, "DiskId", "$0", "StartTime", "2026-09-21T14:13:20Z",
                                     "EndTime", "2026-09-21T14:14:20Z"}}, {DISKS}, .wait_s = 30},
    {"lag-read", "DescribeReplicaLag", {DISK, DISK_2, PAIR},
     {0, "DescribeReplicaLag", {"Kind", "pair"}}, {PAIRS}},
    {"status-read", "DescribeVersoStatus", {DISK, DISK_2, PAIR},
     {0, "DescribeVersoStatus", {NULL}}, {PAIRS}},
    /* A start. */
    {"office-start", "a site with users, keys, disks, a pair, events starts",
     {USER, KEY, POLICY_MADE, ATTACHED, DISK, DISK_2, PAIR},
     {0, NULL}, {USERS, LINKS, {0, "DescribeDiskReplicaPairs", {PARIS}}}, .is_start = true},
    {NULL},
};
/* clang-format on */

const struct nth_operation *nth_operations(void)
{
    return operations;
}
