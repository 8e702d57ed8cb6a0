/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: see table.c. They run at the site that is asked, so that each site can be administered while
 * the other is gone; the answer of CreateAccessKey is remembered nowhere (it has the secret), so
 * none of them takes a token.
 */
#include "api/table_access.h"

#include <stddef.h>

#include "control/operations.h"

#define OWN .version = "2026-11-22", .rule = SITE_HERE, .pair_op = -1, .group_op = -1
#define TEXT(field, needed, longest)                                                               \
    {                                                                                              \
        .name = field, .kind = PARAMETER_TEXT, .is_required = needed, .min = 1, .max = longest     \
    }
#define REGION                                                                                     \
    {                                                                                              \
        .name = "RegionId", .kind = PARAMETER_TEXT, .max = 255                                     \
    }
#define NOTE                                                                                       \
    {                                                                                              \
        .name = "Description", .kind = PARAMETER_NOTE, .max = 128                                  \
    }
#define PAGES                                                                                      \
    {.name = "MaxResults", .kind = PARAMETER_INT, .min = 1, .max = 500},                           \
        {.name = "NextToken", .kind = PARAMETER_TEXT, .max = 255},                                 \
        {.name = "PageNumber", .kind = PARAMETER_INT, .min = 1, .max = 1000000},                   \
    {                                                                                              \
        .name = "PageSize", .kind = PARAMETER_INT, .min = 1, .max = 100                            \
    }

const struct operation table_access_rows[TABLE_ACCESS_COUNT] = {
    {.name = "CreateUser",
     OWN,
     .parameters = {REGION, TEXT("UserName", true, 60), NOTE},
     .run = ops_access_create_user},
    {.name = "DeleteUser",
     OWN,
     .parameters = {REGION, TEXT("UserName", true, 60)},
     .run = ops_access_delete_user},
    {.name = "ListUsers",
     .is_read = true,
     OWN,
     .parameters = {REGION, PAGES},
     .run = ops_access_list_users},
    {.name = "CreateAccessKey",
     OWN,
     .parameters = {REGION, TEXT("UserName", false, 60)},
     .run = ops_access_create_key},
    {.name = "UpdateAccessKey",
     OWN,
     .parameters = {REGION,
                    TEXT("UserAccessKeyId", true, 60),
                    {.name = "Status",
                     .kind = PARAMETER_CHOICE,
                     .is_required = true,
                     .choices = "Active|Inactive"}},
     .run = ops_access_update_key},
    {.name = "DeleteAccessKey",
     OWN,
     .parameters = {REGION, TEXT("UserAccessKeyId", true, 60)},
     .run = ops_access_delete_key},
    {.name = "ListAccessKeys",
     .is_read = true,
     OWN,
     .parameters = {REGION, TEXT("UserName", false, 60), PAGES},
     .run = ops_access_list_keys},
    {.name = "CreatePolicy",
     OWN,
     .parameters = {REGION, TEXT("PolicyName", true, 60), TEXT("PolicyDocument", true, 6144), NOTE},
     .run = ops_policy_create},
    {.name = "PutPolicy",
     OWN,
     .parameters = {REGION, TEXT("PolicyName", true, 60), TEXT("PolicyDocument", true, 6144), NOTE},
     .run = ops_policy_put},
    {.name = "DeletePolicy",
     OWN,
     .parameters = {REGION, TEXT("PolicyName", true, 60)},
     .run = ops_policy_delete},
    {.name = "GetPolicy",
     .is_read = true,
     OWN,
     .parameters = {REGION, TEXT("PolicyName", true, 60)},
     .run = ops_policy_get},
    {.name = "ListPolicies",
     .is_read = true,
     OWN,
     .parameters = {REGION, TEXT("UserName", false, 60), PAGES},
     .run = ops_policy_list},
    {.name = "AttachPolicy",
     OWN,
     .parameters = {REGION, TEXT("PolicyName", true, 60), TEXT("UserName", true, 60)},
     .run = ops_policy_attach},
    {.name = "DetachPolicy",
     OWN,
     .parameters = {REGION, TEXT("PolicyName", true, 60), TEXT("UserName", true, 60)},
     .run = ops_policy_detach},
    {.name = "GetCallerIdentity",
     .is_read = true,
     .version = "2015-04-01",
     .rule = SITE_HERE,
     .pair_op = -1,
     .group_op = -1,
     .run = ops_access_show_caller},
};
