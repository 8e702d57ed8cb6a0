/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: one place says what each operation is called, takes, needs and where it runs; everything
 * else (parsing, errors, passing on, tokens) follows from the row. To add an operation see
 * control/README.md.
 *
 * Parameters that a client may send and that do nothing here (billing, tags, protocol) are not in
 * the rows: unknown parameters are ignored.
 */
#include "api/table.h"

#include <stddef.h>
#include <string.h>

#include "api/table_access.h"
#include "base/check.h"
#include "control/operations.h"

#define EBS "2021-07-30"
#define ECS "2014-05-26"
#define VERSO "2026-11-22"

#define TEXT(field) .name = field, .kind = PARAMETER_TEXT
#define NEEDED(field)                                                                              \
    {                                                                                              \
        TEXT(field), .is_required = true, .min = 1, .max = 255                                     \
    }
/* ECS tells an empty one from one that is not there. */
#define FILLED(field, most)                                                                        \
    {                                                                                              \
        TEXT(field), .is_required = true, .min = 1, .max = most, .empty = API_DISK_EMPTY_PARAMETER \
    }
#define MAYBE(field)                                                                               \
    {                                                                                              \
        TEXT(field), .max = 255                                                                    \
    }
/* Of what is made. Fits a word of the records. */
#define NEW_GROUP(field)                                                                           \
    .name = field, .kind = PARAMETER_GROUP, .min = 2, .max = 60,                                   \
    .error = API_RESOURCE_GROUP_NOT_FOUND
#define RESOURCE_GROUP                                                                             \
    {                                                                                              \
        NEW_GROUP("ResourceGroupId")                                                               \
    }
/* To be looked for. */
#define RESOURCE_GROUP_FILTER                                                                      \
    {                                                                                              \
        TEXT("ResourceGroupId"), .max = 60                                                         \
    }
#define REGION NEEDED("RegionId")
#define REGION_MAYBE MAYBE("RegionId")
#define TOKEN                                                                                      \
    {                                                                                              \
        .name = "ClientToken", .kind = PARAMETER_TOKEN                                             \
    }
#define FLAG(field, value)                                                                         \
    {                                                                                              \
        .name = field, .kind = PARAMETER_BOOL, .absent = value                                     \
    }
#define NUMBER(field, low, high, value)                                                            \
    {                                                                                              \
        .name = field, .kind = PARAMETER_INT, .min = low, .max = high, .absent = value             \
    }
#define CHOICE(field, list, value)                                                                 \
    {                                                                                              \
        .name = field, .kind = PARAMETER_CHOICE, .choices = list, .absent = value                  \
    }
#define NAMES(field, marks)                                                                        \
    {.name = field, .kind = PARAMETER_NAME, .min = 2, .max = 128, .choices = marks},               \
    {                                                                                              \
        .name = "Description", .kind = PARAMETER_NOTE, .min = 2, .max = 256                        \
    }
#define NAME_FILTER                                                                                \
    {                                                                                              \
        TEXT("Name"), .max = 512                                                                   \
    }
#define PAGES                                                                                      \
    NUMBER("MaxResults", 1, 500, NULL), MAYBE("NextToken"),                                        \
        NUMBER("PageNumber", 1, 1000000, NULL), NUMBER("PageSize", 1, 100, NULL)
#define OBJECTIVES                                                                                 \
    NUMBER("RPO", 1, 86400, NULL), FLAG("EnableRtc", NULL), NUMBER("Bandwidth", 0, 1048576000, NULL)
/* At most as many as the contract has. */
/* More is taken for the most. */
#define ECS_PAGES                                                                                  \
    NUMBER("MaxResults", 1, INT32_MAX, NULL), MAYBE("NextToken"),                                  \
        NUMBER("PageNumber", 1, 1000000, NULL), NUMBER("PageSize", 1, 100, NULL)
#define TAGS                                                                                       \
    {                                                                                              \
        .name = "Tag", .kind = PARAMETER_TAGS, .max = 20                                           \
    }
#define TAG_FILTER                                                                                 \
    {                                                                                              \
        .name = "Tag", .kind = PARAMETER_TAG_FILTER, .max = 20                                     \
    }
#define SITES                                                                                      \
    REGION, NEEDED("SourceZoneId"), NEEDED("DestinationRegionId"), NEEDED("DestinationZoneId"),    \
        NUMBER("RPO", 1, 86400, "900"), FLAG("EnableRtc", "false"),                                \
        NUMBER("Bandwidth", 0, 1048576000, NULL), RESOURCE_GROUP, TOKEN

#define PAIR_ROW(op)                                                                               \
    .version = EBS, .object = "ReplicaPairId", .pair_op = op, .group_op = -1, .is_remembered = true
#define GROUP_ROW(op)                                                                              \
    .version = EBS, .object = "ReplicaGroupId", .is_group = true, .pair_op = -1, .group_op = op,   \
    .is_remembered = true
#define NO_STATE .pair_op = -1, .group_op = -1

static const struct operation pair_rows[] = {
    {.name = "CreateDiskReplicaPair",
     .asks_late = true,
     .version = EBS,
     .rule = SITE_ZONE,
     .zone = "SourceZoneId",
     NO_STATE,
     .is_remembered = true,
     .parameters = {SITES, NEEDED("DiskId"), NEEDED("DestinationDiskId"), NAMES("PairName", ":_.-"),
                    TAGS, CHOICE("ChargeType", "PREPAY|POSTPAY", "POSTPAY")},
     .run = ops_create_pair},
    {.name = "StartDiskReplicaPair",
     .asks_late = true,
     .rule = SITE_SOURCE,
     PAIR_ROW(PAIR_START),
     .parameters = {REGION, NEEDED("ReplicaPairId"), FLAG("OneShot", "false"), TOKEN},
     .run = ops_relation_start},
    {.name = "StopDiskReplicaPair",
     .is_shared = true,
     .rule = SITE_SOURCE,
     PAIR_ROW(PAIR_STOP),
     .parameters = {REGION, NEEDED("ReplicaPairId"), TOKEN},
     .run = ops_relation_stop},
    {.name = "FailoverDiskReplicaPair",
     .is_shared = true,
     .rule = SITE_TARGET,
     PAIR_ROW(PAIR_FAILOVER),
     .parameters = {REGION, NEEDED("ReplicaPairId"), TOKEN},
     .run = ops_relation_failover},
    {.name = "ReprotectDiskReplicaPair",
     .asks_late = true,
     .rule = SITE_TARGET,
     PAIR_ROW(PAIR_REPROTECT),
     .parameters = {REGION, NEEDED("ReplicaPairId"), FLAG("ReverseReplicate", "true"), TOKEN},
     .run = ops_relation_reprotect},
    {.name = "ModifyDiskReplicaPair",
     .is_shared = true,
     .is_by_record = true,
     .rule = SITE_SOURCE,
     PAIR_ROW(PAIR_MODIFY),
     .parameters = {REGION, NEEDED("ReplicaPairId"), NAMES("PairName", ":_.-"), OBJECTIVES, TOKEN},
     .run = ops_modify_relation},
    {.name = "DeleteDiskReplicaPair",
     .is_shared = true,
     .rule = SITE_PRODUCTION,
     PAIR_ROW(PAIR_DELETE),
     .parameters = {REGION, NEEDED("ReplicaPairId"), TOKEN},
     .run = ops_relation_delete},
    {.name = "DescribeDiskReplicaPairs",
     .is_read = true,
     .version = EBS,
     .rule = SITE_HERE,
     NO_STATE,
     .parameters = {REGION,
                    {.name = "PairIds", .kind = PARAMETER_IDS, .max = 100},
                    NAME_FILTER,
                    CHOICE("Site", "production|backup", NULL),
                    MAYBE("ReplicaGroupId"),
                    RESOURCE_GROUP_FILTER,
                    TAG_FILTER,
                    PAGES},
     .run = ops_show_pairs},
    {.name = "DescribeDiskReplicaPairProgress",
     .is_read = true,
     .version = EBS,
     .rule = SITE_HERE,
     NO_STATE,
     .parameters = {REGION, NEEDED("ReplicaPairId")},
     .run = ops_show_progress},
};

static const struct operation group_rows[] = {
    {.name = "CreateDiskReplicaGroup",
     .is_shared = true,
     .is_by_record = true,
     .version = EBS,
     .rule = SITE_ZONE,
     .zone = "SourceZoneId",
     NO_STATE,
     .is_remembered = true,
     .parameters = {SITES, NAMES("GroupName", ":_-"), TAGS},
     .run = ops_create_group},
    {.name = "StartDiskReplicaGroup",
     .asks_late = true,
     .rule = SITE_SOURCE,
     GROUP_ROW(GROUP_START),
     .parameters = {REGION, NEEDED("ReplicaGroupId"), FLAG("OneShot", "false"), TOKEN},
     .run = ops_relation_start},
    {.name = "StopDiskReplicaGroup",
     .is_shared = true,
     .rule = SITE_SOURCE,
     GROUP_ROW(GROUP_STOP),
     .parameters = {REGION, NEEDED("ReplicaGroupId"), TOKEN},
     .run = ops_relation_stop},
    {.name = "FailoverDiskReplicaGroup",
     .is_shared = true,
     .rule = SITE_TARGET,
     GROUP_ROW(GROUP_FAILOVER),
     .parameters = {REGION, NEEDED("ReplicaGroupId"), TOKEN},
     .run = ops_relation_failover},
    {.name = "ReprotectDiskReplicaGroup",
     .asks_late = true,
     .rule = SITE_TARGET,
     GROUP_ROW(GROUP_REPROTECT),
     .parameters = {REGION, NEEDED("ReplicaGroupId"), FLAG("ReverseReplicate", "true"), TOKEN},
     .run = ops_relation_reprotect},
    {.name = "ModifyDiskReplicaGroup",
     .is_shared = true,
     .is_by_record = true,
     .rule = SITE_PRODUCTION,
     GROUP_ROW(GROUP_MODIFY),
     .parameters = {REGION, NEEDED("ReplicaGroupId"), NAMES("GroupName", ":_-"), OBJECTIVES, TOKEN},
     .run = ops_modify_relation},
    {.name = "DeleteDiskReplicaGroup",
     .is_shared = true,
     .rule = SITE_PRODUCTION,
     GROUP_ROW(GROUP_DELETE),
     .parameters = {REGION, NEEDED("ReplicaGroupId"), TOKEN},
     .run = ops_relation_delete},
    {.name = "DescribeDiskMonitorData",
     .is_read = true,
     .version = EBS,
     .rule = SITE_DISK,
     .object = "DiskId",
     NO_STATE,
     .parameters = {REGION, NEEDED("DiskId"), NEEDED("StartTime"), NEEDED("EndTime"),
                    NUMBER("Period", 0, 86400, "5"), CHOICE("Type", "basic|pro", "basic")},
     .run = ops_show_monitor},
    {.name = "DescribeDiskReplicaGroups",
     .is_read = true,
     .version = EBS,
     .rule = SITE_HERE,
     NO_STATE,
     .parameters = {REGION,
                    {.name = "GroupIds", .kind = PARAMETER_IDS, .max = 100},
                    NAME_FILTER,
                    CHOICE("Site", "production|backup", NULL),
                    RESOURCE_GROUP_FILTER,
                    TAG_FILTER,
                    PAGES},
     .run = ops_show_groups},
    {.name = "AddDiskReplicaPair",
     .is_shared = true,
     .rule = SITE_PRODUCTION,
     GROUP_ROW(GROUP_ADD_PAIR),
     .parameters = {REGION, NEEDED("ReplicaGroupId"), NEEDED("ReplicaPairId"), TOKEN},
     .run = ops_member_add},
    {.name = "RemoveDiskReplicaPair",
     .is_shared = true,
     .rule = SITE_PRODUCTION,
     GROUP_ROW(GROUP_REMOVE_PAIR),
     .parameters = {REGION, NEEDED("ReplicaGroupId"), NEEDED("ReplicaPairId"), TOKEN},
     .run = ops_member_remove},
};

#define CATEGORIES                                                                                 \
    "cloud|cloud_efficiency|cloud_ssd|cloud_essd|cloud_auto|cloud_essd_entry|"                     \
    "cloud_regional_disk_auto|elastic_ephemeral_disk_standard|elastic_ephemeral_disk_premium"

#define DISK_NAMES                                                                                 \
    {.name = "DiskName",                                                                           \
     .kind = PARAMETER_NAME_ANY,                                                                   \
     .min = 2,                                                                                     \
     .max = 128,                                                                                   \
     .error = API_DISK_NAME_MALFORMED},                                                            \
    {                                                                                              \
        .name = "Description", .kind = PARAMETER_NOTE, .min = 2, .max = 256,                       \
        .error = API_DISK_DESCRIPTION_MALFORMED                                                    \
    }
#define DISK_KIND                                                                                  \
    {.name = "DiskCategory",                                                                       \
     .kind = PARAMETER_CHOICE,                                                                     \
     .choices = CATEGORIES,                                                                        \
     .absent = "cloud_essd",                                                                       \
     .error = API_DISK_CATEGORY},                                                                  \
        {.name = "PerformanceLevel",                                                               \
         .kind = PARAMETER_CHOICE,                                                                 \
         .choices = "PL0|PL1|PL2|PL3",                                                             \
         .absent = "PL1",                                                                          \
         .error = API_DISK_PERFORMANCE_LEVEL},                                                     \
    {                                                                                              \
        .name = "MultiAttach", .kind = PARAMETER_CHOICE, .choices = "Disabled|Enabled",            \
        .absent = "Disabled", .error = API_DISK_MULTI_ATTACH                                       \
    }

#define FILTER_CHOICE(field, list, value, bad)                                                     \
    {                                                                                              \
        .name = field, .kind = PARAMETER_CHOICE, .choices = list, .absent = value, .error = bad    \
    }
/* What a disk may be asked to be. */
#define DISK_FILTERS                                                                               \
    FILTER_CHOICE("Status", "All|In_use|Available|Attaching|Detaching|Creating|ReIniting", "All",  \
                  API_DISK_FILTER_STATUS),                                                         \
        FILTER_CHOICE("DiskType", "all|system|data", "all", API_DISK_FILTER_TYPE),                 \
        FILTER_CHOICE("Category", "all|" CATEGORIES, "all", API_DISK_FILTER_CATEGORY),             \
        FILTER_CHOICE("MultiAttach", "Disabled|Enabled|LegacyShared", NULL,                        \
                      API_DISK_MULTI_ATTACH),                                                      \
        FILTER_CHOICE("DiskChargeType", "PrePaid|PostPaid", NULL, API_DISK_FILTER_CHARGE),         \
        FILTER_CHOICE("LockReason", "financial|security|recycling|dedicatedhostfinancial", NULL,   \
                      API_DISK_FILTER_LOCK),                                                       \
        FLAG("Encrypted", NULL), FLAG("Portable", NULL), FLAG("EnableShared", NULL),               \
        FLAG("DeleteWithInstance", NULL), FLAG("DeleteAutoSnapshot", NULL),                        \
        FLAG("EnableAutoSnapshot", NULL), FLAG("EnableAutomatedSnapshotPolicy", NULL),             \
        MAYBE("SnapshotId"), MAYBE("KMSKeyId"), MAYBE("AutoSnapshotPolicyId"),                     \
        MAYBE("Filter.1.Key"), MAYBE("Filter.1.Value"), MAYBE("Filter.2.Key"),                     \
        MAYBE("Filter.2.Value")

static const struct operation disk_rows[] = {
    {.name = "CreateDisk",
     .is_shared = true,
     .version = ECS,
     .rule = SITE_ZONE,
     .zone = "ZoneId",
     NO_STATE,
     .is_ecs = true,
     .is_remembered = true,
     .parameters =
         {REGION,
          {TEXT("ZoneId"), .is_required = true, .min = 1, .max = 255,
           .missing = API_DISK_ZONE_MISSING},
          DISK_NAMES,
          {.name = "Size", .kind = PARAMETER_INT, .min = 1, .max = 131072, .error = API_DISK_SIZE},
          {.name = "SizeBytes",
           .kind = PARAMETER_INT,
           .min = 4096,
           .max = INT64_C(131072) << 30,
           .error = API_DISK_SIZE},
          DISK_KIND,
          MAYBE("InstanceId"),
          MAYBE("SnapshotId"),
          NUMBER("ProvisionedIops", 0, INT32_MAX, NULL),
          FLAG("Encrypted", "false"),
          FLAG("BurstingEnabled", "false"),
          RESOURCE_GROUP,
          TAGS,
          TOKEN},
     .run = ops_disk_create},
    {.name = "DeleteDisk",
     .is_shared = true,
     .version = ECS,
     .rule = SITE_DISK,
     .object = "DiskId",
     NO_STATE,
     .no_region = API_DISK_REGION_MALFORMED,
     .is_ecs = true,
     .parameters = {REGION_MAYBE, NEEDED("DiskId")},
     .run = ops_disk_delete},
    {.name = "DescribeDisks",
     .is_read = true,
     .version = ECS,
     .rule = SITE_DISK,
     .object = "DiskIds",
     .zone = "ZoneId",
     NO_STATE,
     .no_region = API_DISK_REGION_NOT_FOUND,
     .is_ecs = true,
     .parameters =
         {{TEXT("RegionId"), .is_required = true, .min = 1, .max = 255,
           .missing = API_DISK_REGION_MISSING},
          {.name = "DiskIds", .kind = PARAMETER_IDS_JSON, .max = 100, .error = API_DISK_IDS},
          MAYBE("ZoneId"),
          MAYBE("InstanceId"),
          {TEXT("DiskName"), .max = 512},
          RESOURCE_GROUP_FILTER,
          TAG_FILTER,
          DISK_FILTERS,
          FLAG("DryRun", "false"),
          ECS_PAGES},
     .run = ops_disk_show_all},
    {.name = "ModifyDiskAttribute",
     .is_shared = true,
     .is_by_record = true,
     .version = ECS,
     .rule = SITE_DISK,
     .object = "DiskId",
     NO_STATE,
     .no_region = API_DISK_REGION_MALFORMED,
     .is_ecs = true,
     .parameters =
         {REGION_MAYBE,
          MAYBE("DiskId"),
          {.name = "DiskIds", .kind = PARAMETER_LIST, .max = 100, .error = API_DISK_IDS_TOO_MANY},
          {.name = "DiskName",
           .kind = PARAMETER_NAME_ANY,
           .min = 2,
           .max = 128,
           .error = API_DISK_NAME_MALFORMED},
          {.name = "Description",
           .kind = PARAMETER_NOTE,
           .min = 2,
           .max = 256,
           .error = API_DISK_NEW_DESCRIPTION_MALFORMED},
          FLAG("DeleteWithInstance", NULL),
          FLAG("DeleteAutoSnapshot", NULL),
          FLAG("EnableAutoSnapshot", NULL),
          FLAG("BurstingEnabled", NULL)},
     .run = ops_disk_modify},
    {.name = "ResizeDisk",
     .version = ECS,
     .rule = SITE_DISK,
     .object = "DiskId",
     NO_STATE,
     .is_ecs = true,
     .is_remembered = true,
     .parameters = {REGION_MAYBE,
                    {TEXT("DiskId"), .is_required = true, .min = 1, .max = 255,
                     .missing = API_DISK_INCOMPLETE},
                    {.name = "NewSize",
                     .kind = PARAMETER_INT,
                     .min = 1,
                     .max = INT32_MAX,
                     .error = API_DISK_NEW_SIZE},
                    {.name = "NewSizeBytes",
                     .kind = PARAMETER_INT,
                     .min = 4096,
                     .max = INT64_MAX,
                     .error = API_DISK_NEW_SIZE},
                    {.name = "Type",
                     .kind = PARAMETER_CHOICE,
                     .choices = "offline|online",
                     .absent = "offline",
                     .error = API_DISK_RESIZE_TYPE},
                    TOKEN},
     .run = ops_disk_resize},
    {.name = "AttachDisk",
     .is_shared = true,
     .version = ECS,
     .rule = SITE_DISK,
     .object = "DiskId",
     NO_STATE,
     .is_ecs = true,
     .parameters = {REGION_MAYBE,
                    FILLED("InstanceId", 60),
                    FILLED("DiskId", 255),
                    {TEXT("Device"), .max = 60, .error = API_DISK_DEVICE},
                    FLAG("DeleteWithInstance", NULL)},
     .run = ops_disk_attach},
    {.name = "DetachDisk",
     .is_shared = true,
     .version = ECS,
     .rule = SITE_DISK,
     .object = "DiskId",
     NO_STATE,
     .is_ecs = true,
     .parameters = {REGION_MAYBE, FILLED("InstanceId", 255), FILLED("DiskId", 255)},
     .run = ops_disk_detach},
    {.name = "ReInitDisk",
     .is_shared = true,
     .version = ECS,
     .rule = SITE_DISK,
     .object = "DiskId",
     NO_STATE,
     .is_ecs = true,
     .is_remembered = true,
     .parameters = {REGION_MAYBE, FILLED("DiskId", 255), TOKEN},
     .run = ops_disk_reinit},
};

#define RESOURCES                                                                                  \
    {                                                                                              \
        .name = "ResourceId", .kind = PARAMETER_LIST, .is_required = true, .max = 50,              \
        .missing = API_MISSING_PARAMETER, .error = API_NUMBER_EXCEED_RESOURCE_IDS                  \
    }
#define RESOURCES_MAYBE                                                                            \
    {                                                                                              \
        .name = "ResourceId", .kind = PARAMETER_LIST, .max = 50,                                   \
        .error = API_NUMBER_EXCEED_RESOURCE_IDS                                                    \
    }
#define RESOURCE_TYPE(otherwise)                                                                   \
    {                                                                                              \
        TEXT("ResourceType"), .is_required = true, .max = 255, .missing = otherwise,               \
                              .error = API_RESOURCE_TYPE_NOT_FOUND                                 \
    }
#define SOME_TAGS                                                                                  \
    {                                                                                              \
        .name = "Tag", .kind = PARAMETER_TAGS, .is_required = true, .max = 20,                     \
        .missing = API_MISSING_PARAMETER                                                           \
    }
#define TAG_KEYS                                                                                   \
    {                                                                                              \
        .name = "TagKey", .kind = PARAMETER_LIST, .max = 20, .error = API_NUMBER_EXCEED_TAGS,      \
        .twice = API_DUPLICATE_TAG_KEY                                                             \
    }
/* A token holds a key or value, in hexadecimal digits. */
#define TAG_PAGES                                                                                  \
    NUMBER("MaxResults", INT32_MIN, INT32_MAX, NULL),                                              \
    {                                                                                              \
        TEXT("NextToken"), .max = 2048                                                             \
    }
/* Pairs and groups are known at both sites, disks at one. */
#define TAG_ROWS(api, ecs)                                                                         \
    {.name = "TagResources",                                                                       \
     .is_shared = true,                                                                            \
     .is_by_record = true,                                                                         \
     .version = api,                                                                               \
     .rule = (ecs) ? SITE_DISK : SITE_HERE,                                                        \
     .object = (ecs) ? "ResourceId" : NULL,                                                        \
     NO_STATE,                                                                                     \
     .is_ecs = ecs,                                                                                \
     .is_remembered = true,                                                                        \
     .parameters = {REGION, RESOURCE_TYPE(API_MISSING_RESOURCE_TYPE), RESOURCES, SOME_TAGS,        \
                    TOKEN},                                                                        \
     .run = ops_tag_set},                                                                          \
        {.name = "UntagResources",                                                                 \
         .is_shared = true,                                                                        \
         .is_by_record = true,                                                                     \
         .version = api,                                                                           \
         .rule = (ecs) ? SITE_DISK : SITE_HERE,                                                    \
         .object = (ecs) ? "ResourceId" : NULL,                                                    \
         NO_STATE,                                                                                 \
         .is_ecs = ecs,                                                                            \
         .is_remembered = true,                                                                    \
         .parameters = {REGION, RESOURCE_TYPE(API_MISSING_PARAMETER), RESOURCES, TAG_KEYS,         \
                        FLAG("All", "false"), TOKEN},                                              \
         .run = ops_tag_unset},                                                                    \
    {                                                                                              \
        .name = "ListTagResources", .is_read = true, .version = api,                               \
        .rule = (ecs) ? SITE_DISK : SITE_HERE, .object = (ecs) ? "ResourceId" : NULL, NO_STATE,    \
        .is_ecs = ecs,                                                                             \
        .parameters = {REGION,                                                                     \
                       RESOURCE_TYPE(API_MISSING_PARAMETER),                                       \
                       RESOURCES_MAYBE,                                                            \
                       TAG_FILTER,                                                                 \
                       MAYBE("NextToken"),                                                         \
                       NUMBER("MaxResults", 1, 500, NULL),                                         \
                       TOKEN},                                                                     \
        .run = ops_tag_list                                                                        \
    }

static const struct operation tag_rows[] = {
    TAG_ROWS(EBS, false),
    TAG_ROWS(ECS, true),
    {.name = "ChangeResourceGroup",
     .is_shared = true,
     .is_by_record = true,
     .version = EBS,
     .rule = SITE_HERE,
     NO_STATE,
     .is_remembered = true,
     .parameters = {REGION,
                    RESOURCE_TYPE(API_MISSING_RESOURCE_TYPE),
                    {TEXT("ResourceId"), .is_required = true, .min = 1, .max = 255,
                     .missing = API_MISSING_PARAMETER},
                    {NEW_GROUP("NewResourceGroupId"), .is_required = true,
                     .missing = API_MISSING_RESOURCE_GROUP},
                    TOKEN},
     .run = ops_tag_change_group},
    {.name = "DescribeUserTagKeys",
     .is_read = true,
     .version = EBS,
     .rule = SITE_HERE,
     NO_STATE,
     .parameters = {REGION_MAYBE, TAG_PAGES, {TEXT("TagFilterKey"), .max = 512}},
     .run = ops_user_tag_keys},
    {.name = "DescribeUserTagValues",
     .is_read = true,
     .version = EBS,
     .rule = SITE_HERE,
     NO_STATE,
     .parameters = {REGION_MAYBE,
                    TAG_PAGES,
                    {TEXT("TagKey"), .max = 512},
                    {TEXT("TagFilterValue"), .max = 512}},
     .run = ops_user_tag_values},
};

static const struct operation region_rows[] = {
    {.name = "DescribeRegions",
     .is_read = true,
     .version = EBS,
     .rule = SITE_ANY,
     NO_STATE,
     .parameters = {CHOICE("ResourceType", "ear|lens|dbsc", NULL),
                    CHOICE("AcceptLanguage", "zh-CN|en-US|ja", NULL)},
     .run = ops_region_list},
    {.name = "DescribeRegions",
     .is_read = true,
     .version = ECS,
     .rule = SITE_ANY,
     NO_STATE,
     .is_ecs = true,
     .parameters = {MAYBE("ResourceType")},
     .run = ops_region_list},
    {.name = "DescribeZones",
     .version = ECS,
     .rule = SITE_ANY,
     NO_STATE,
     .is_ecs = true,
     .parameters = {REGION},
     .run = ops_region_zones},
    {.name = "ListReplicaEdgeSupported",
     .is_read = true,
     .version = EBS,
     .rule = SITE_ANY,
     NO_STATE,
     .parameters = {REGION, NEEDED("Azone")},
     .run = ops_region_edges},
};

static const struct operation verso_rows[] = {
    {.name = "ImportDisk",
     .version = VERSO,
     .rule = SITE_ZONE,
     .zone = "ZoneId",
     NO_STATE,
     .is_remembered = true,
     .parameters = {REGION_MAYBE,
                    {TEXT("Path"), .is_required = true, .min = 1, .max = 1000},
                    CHOICE("Driver", "file|block", NULL),
                    MAYBE("ZoneId"),
                    DISK_NAMES,
                    DISK_KIND,
                    RESOURCE_GROUP,
                    TOKEN},
     .run = ops_disk_import},
    {.name = "DescribeDiskAccess",
     .is_read = true,
     .version = VERSO,
     .rule = SITE_DISK,
     .object = "DiskId",
     NO_STATE,
     .parameters = {REGION_MAYBE, NEEDED("DiskId")},
     .run = ops_disk_show_access},
    /* Not is_read: the age of a point must not be that of a moment ago. */
    {.name = "DescribeVersoStatus",
     .version = VERSO,
     .rule = SITE_HERE,
     NO_STATE,
     .parameters = {REGION_MAYBE, MAYBE("Id")},
     .run = ops_verso_show_status},
    {.name = "DescribeReplicaLag",
     .is_read = true,
     .version = VERSO,
     .rule = SITE_HERE,
     NO_STATE,
     .parameters = {REGION_MAYBE, MAYBE("ReplicaId"), CHOICE("Kind", "group|pair", "group"), PAGES},
     .run = ops_show_lag},
    {.name = "DescribeReplicaEvents",
     .is_read = true,
     .version = VERSO,
     .rule = SITE_HERE,
     NO_STATE,
     .parameters = {REGION_MAYBE, MAYBE("ObjectId"), MAYBE("Kind"), MAYBE("Caller"),
                    MAYBE("Operation"), CHOICE("Severity", "info|warning|critical", NULL),
                    MAYBE("StartTime"), MAYBE("EndTime"), FLAG("Reads", "false"),
                    CHOICE("Order", "oldest|newest", NULL),
                    NUMBER("After", 0, INT64_C(9007199254740991), NULL),
                    NUMBER("MaxResults", 1, 500, NULL), MAYBE("NextToken")},
     .run = ops_show_events},
    {.name = "DeleteDiskSnapshot",
     .version = VERSO,
     .rule = SITE_HERE,
     NO_STATE,
     .parameters = {REGION_MAYBE, NEEDED("SnapshotId")},
     .run = ops_verso_delete_snapshot},
    {.name = "ForceOpenDiskReplica",
     .version = VERSO,
     .rule = SITE_HERE,
     NO_STATE,
     .parameters = {REGION_MAYBE,
                    NEEDED("ReplicaId"),
                    {TEXT("Reason"), .is_required = true, .min = 3, .max = 200}},
     .run = ops_verso_force_open},
    {.name = "ForgetDiskReplica",
     .is_shared = true,
     .version = VERSO,
     .rule = SITE_HERE,
     NO_STATE,
     .parameters = {REGION_MAYBE,
                    NEEDED("ReplicaId"),
                    {TEXT("Confirm"), .is_required = true, .min = 1, .max = 255},
                    {TEXT("Reason"), .is_required = true, .min = 3, .max = 200},
                    {TEXT("Operator"), .min = 1, .max = 60},
                    FLAG("DiscardJournal", "false")},
     .run = ops_relation_forget},
};

static const struct {
    const struct operation *rows;
    unsigned count;
} parts[] = {
    {pair_rows, ARRAY_COUNT(pair_rows)},     {group_rows, ARRAY_COUNT(group_rows)},
    {disk_rows, ARRAY_COUNT(disk_rows)},     {tag_rows, ARRAY_COUNT(tag_rows)},
    {region_rows, ARRAY_COUNT(region_rows)}, {verso_rows, ARRAY_COUNT(verso_rows)},
    {table_access_rows, TABLE_ACCESS_COUNT},
};

const struct operation *table_at(unsigned index)
{
    for (unsigned i = 0; i < ARRAY_COUNT(parts); i++) {
        if (index < parts[i].count)
            return &parts[i].rows[index];
        index -= parts[i].count;
    }
    return NULL;
}

const struct operation *table_find(const char *name, const char *version)
{
    const struct operation *operation;

    for (unsigned i = 0; (operation = table_at(i)); i++)
        if (strcmp(operation->name, name) == 0 && strcmp(operation->version, version) == 0)
            return operation;
    return NULL;
}
