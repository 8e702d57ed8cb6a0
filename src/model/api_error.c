/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: one table is compared with the contract, line by line, instead of strings spread over the
 * operations. Spellings (two spaces, "DiskStillAttached ... to the disk") are the contract's.
 */
#include "model/api_error.h"

#include <string.h>

#include "base/check.h"

#define DENIED "OperationDenied"

static const struct api_error_entry entries[API_ERROR_COUNT] = {
    [API_NOT_FOUND] = {"InvalidApi.NotFound", 404,
                       "Specified api is not found, please check your url and method."},
    [API_UNSUPPORTED_METHOD] = {"UnsupportedHTTPMethod", 400, "This http method is not supported."},
    [API_REQUEST_TOO_LARGE] = {"RequestTooLarge", 413, "The request is too large."},
    [API_HEAD_TOO_LARGE] = {"RequestHeaderTooLarge", 431, "The request header is too large."},
    [API_MISSING_NAME] = {"Missing%s", 400, "%s is mandatory for this action."},
    [API_INVALID_NAME] = {"Invalid%s", 400, "Specified parameter %s is not valid."},
    [API_SERVICE_UNAVAILABLE] = {"ServiceUnavailable", 503,
                                 "The request has failed due to a temporary failure of the "
                                 "server."},
    [API_INTERNAL_ERROR] = {"InternalError", 500,
                            "The request processing has failed due to some unknown error, "
                            "exception or failure."},
    [API_INTERNAL_ERROR_ECS] = {"InternalError", 500,
                                "The request processing has failed due to some unknown error."},
    [API_REQUEST_TIMEOUT] = {"RequestTimeout", 504,
                             "The request is timeout, please try again later."},
    [API_FORBIDDEN] = {"Forbidden", 403, "User is not authorized to operate."},
    [API_FORBIDDEN_ACTION] = {"Forbidden.Action", 403,
                              "User is not authorized to operate this action."},
    [API_REGION_NOT_FOUND] = {"InvalidRegionId.NotFound", 404,
                              "The specified RegionId does not exist."},
    [API_ZONE_NOT_FOUND] = {"InvalidZoneId.NotFound", 404, "The specified ZoneId does not exist."},
    [API_IDEMPOTENT_MISMATCH] = {"IdempotentParameterMismatch", 400,
                                 "The specified parameter has changed while using an already used "
                                 "clientToken."},
    [API_LAST_TOKEN_PROCESSING] = {"LastTokenProcessing", 403,
                                   "The last token request is processing."},
    [API_INVALID_PARAMETER] = {"InvalidParameter", 400, "The parameter %s is invalid."},
    [API_INVALID_PARAMETER_FORMAT] = {"InvalidParameter.Format", 400,
                                      "Specified parameter format is not valid."},
    [API_MISSING_PARAMETER] = {"MissingParameter", 400,
                               "The input parameter %s that is mandatory for processing this "
                               "request is not supplied."},

    [API_NO_SUCH_RESOURCE] = {"NoSuchResource", 404, "The specified resource does not exist."},
    [API_DENIED] = {DENIED, 403, "The operation is not allowed."},
    [API_INVALID_STATUS] = {DENIED ".InvalidStatus", 403,
                            "The operation is not allowed in current status."},
    [API_QUOTA_EXCEED] = {DENIED ".QuotaExceed", 403,
                          "The operation is not allowed due to quota exceed."},
    [API_TOO_MUCH_EMPTY_GROUP] = {DENIED ".TooMuchEmptyGroup", 403,
                                  "Operation failed because of too many empty groups."},
    [API_STANDBY_ATTACHED] = {DENIED ".StandbyDeviceAttached", 400,
                              "The secondary disk is attached."},
    [API_GROUP_HAS_PAIR] = {DENIED ".GroupHasPair", 403,
                            "The group cannot be deleted due to not empty."},
    [API_NO_PAIR_IN_GROUP] = {DENIED ".NoPairInGroup", 403,
                              "The operation is not allowed because no pair in the group."},
    [API_PAIR_NOT_IN_GROUP] = {DENIED ".PairNotInGroup", 403,
                               "The operation is not allowed because pair is not in any group."},
    [API_PAIR_IN_ANOTHER_GROUP] = {DENIED ".PairInAnotherGroup", 403,
                                   "The operation is not allowed because pair is already in "
                                   "another group."},
    [API_PAIR_GROUP_ZONE_CONFLICT] = {DENIED ".PairGroupAZoneConflict", 403,
                                      "The operation is not allowed due to pair and group having "
                                      "different RegionId or ZoneId."},
    [API_PAIR_GROUP_STATUS_CONFLICT] = {DENIED ".PairGroupStatusConflict", 403,
                                        "The operation is not allowed due to pair and group "
                                        "status are not consistent."},
    [API_PAIR_INITIALIZING] = {DENIED ".PairInitializing", 403,
                               "The operation is not allowed due to pair initializing,  please "
                               "try again later."},
    [API_PAIR_STATUS_CANNOT_ADD] = {DENIED ".PairStatusCannotAddToGroup", 403,
                                    "The pair cannot be added in pair current status."},
    [API_GROUP_STATUS_CANNOT_ADD] = {DENIED ".GroupStatusCannotAddPair", 403,
                                     "The pair cannot be added in group current status."},
    [API_PAIR_STATUS_CANNOT_REMOVE] = {DENIED ".PairStatusCannotRemoveFromGroup", 403,
                                       "The pair cannot be removed in pair  current status."},
    [API_GROUP_STATUS_CANNOT_REMOVE] = {DENIED ".GroupStatusCannotRemovePair", 403,
                                        "The pair cannot be removed in group current status."},
    [API_PAIRS_EXCEED] = {DENIED ".PairsExceedInGroup", 403,
                          "The operation is not allowed due to too much pair in the group."},
    [API_GROUP_CAPACITY_LIMIT] = {DENIED ".GroupTotalDiskCapacityLimit", 403,
                                  "The disk space in the replication pair-consistent group exceeds "
                                  "the upper limit."},
    [API_MANUAL_SYNC_LIMIT] = {DENIED ".ManualSyncLimit", 403,
                               "One shot start manual syncing too frequently, please try again "
                               "later."},
    [API_NOT_FOR_PRIMARY] = {DENIED ".OperateNotAllowedForPrimary", 403,
                             "Operation is not allowed on the primary site."},
    [API_NOT_FOR_STANDBY] = {DENIED ".OperateNotAllowedForStandby", 403,
                             "Operation is not allowed on the secondary site."},
    [API_RECOVER_POINT_NOT_FOUND] = {DENIED ".RecoverPointNotFound", 403,
                                     "Recover point is not found."},

    [API_DUPLICATE_TAG_KEY] = {"Duplicate.TagKey", 400, "The Tag.N.Key contain duplicate key."},
    [API_NUMBER_EXCEED_TAGS] = {"NumberExceed.Tags", 400, "NumberExceed.Tags"},
    [API_NUMBER_EXCEED_RESOURCE_IDS] = {"NumberExceed.ResourceIds", 400,
                                        "The ResourceIds parameter number is exceed , Valid : 50"},
    [API_INVALID_TAG_VALUE] = {"InvalidParameter.TagValue", 400,
                               "The parameter Tag.N.Value is given without Tag.N.Key."},
    [API_TAG_QUOTA_EXCEED] = {DENIED ".QuotaExceed", 400,
                              "The quota of tags on resource is beyond permitted range."},
    [API_RESOURCE_IDS_NOT_FOUND] = {"InvalidResourceId.NotFound", 404,
                                    "The specified ResourceIds are not found in our records."},
    [API_RESOURCE_ID_NOT_FOUND] = {"InvalidResourceId.NotFound", 404,
                                   "The specified ResourceId is not found in our records."},
    [API_RESOURCE_TYPE_NOT_FOUND] = {"InvalidResourceType.NotFound", 404,
                                     "The ResourceType provided does not exist in our records."},
    [API_RESOURCE_GROUP_NOT_FOUND] = {"InvalidResourceGroup.NotFound", 404,
                                      "The ResourceGroup provided does not exist in our records."},
    [API_MISSING_RESOURCE_TYPE] = {"MissingParameter.ResourceType", 404,
                                   "The parameter - ResourceType should not be null"},
    [API_MISSING_RESOURCE_GROUP] = {"MissingParameter.ResourceGroup", 404,
                                    "The parameter - Resource Group should not be null"},

    [API_DISK_NOT_FOUND] = {"InvalidDiskId.NotFound", 404, "The specified disk does not exist."},
    [API_DISK_STATUS] = {"IncorrectDiskStatus", 403,
                         "The current disk status does not support this operation."},
    [API_DISK_INITIALIZING] = {"IncorrectDiskStatus.Initializing", 403,
                               "The current disk status does not support this operation."},
    [API_DISK_STILL_ATTACHED] = {"DiskStillAttached", 403,
                                 "The disk is still attached to the disk."},
    [API_DISK_IN_USE] = {"InvalidDisk.InUse", 404, "The specified disk has been occupied."},
    [API_DISK_ALREADY_DETACHED] = {"InvalidDisk.AlreadyDetached", 404,
                                   "The specified disk has been detached."},
    [API_DISK_DETACHING] = {"InvalidOperation.DiskDetachingFromThisEcs", 403,
                            "The specified disk is detaching from this ecs."},
    [API_DISK_NOT_ON_INSTANCE] = {"DependencyViolation", 403,
                                  "The specified disk has not been attached on the specified "
                                  "instance."},
    [API_DISK_IN_REPLICATION] = {"IncorrectDiskStatus.InReplication", 400,
                                 "Disk already in replication."},
    [API_DISK_NAME_MALFORMED] = {"InvalidDiskName.Malformed", 400,
                                 "The specified disk name is wrongly formed."},
    [API_DISK_DESCRIPTION_MALFORMED] = {"InvalidDescription.Malformed", 400,
                                        "The specified description is wrongly formed."},
    [API_DISK_SIZE] = {"InvalidSize.ValueNotSupported", 400,
                       "The specified parameter Size is not valid."},
    [API_DISK_SIZE_OR_SNAPSHOT] = {"MissingParameter", 400,
                                   "The input parameter either \"SnapshotId\" or \"Size\" should "
                                   "be specified."},
    [API_DISK_ZONE_MISSING] = {"MissingParameter", 400,
                               "The input parameter ZoneId that is mandatory for processing this "
                               "request is not supplied."},
    [API_DISK_CATEGORY] = {"InvalidDiskCategory.ValueNotSupported", 400,
                           "The specified parameter \"DiskCategory\" is not valid."},
    [API_DISK_SIZE_OR_CATEGORY] = {"InvalidDiskSizeOrCategory", 400,
                                   "The specified disk category or size is invalid."},
    [API_DISK_PERFORMANCE_LEVEL] = {"InvalidPerformanceLevel.Malformed", 400,
                                    "The specified parameter PerformanceLevel is not valid."},
    [API_DISK_PERFORMANCE_MATCH] = {DENIED ".PerformanceLevelNotMatch", 403,
                                    "The specified PerformanceLevel and Size do not match."},
    [API_DISK_MULTI_ATTACH] = {"InvalidParameter.MultiAttach", 403,
                               "The specified param MultiAttach is not valid."},
    [API_DISK_IDS] = {"InvalidParameter.DiskIds", 400,
                      "The specified parameter diskIds is not valid."},
    [API_DISK_IDS_TOO_MANY] = {"InvalidDiskIds.Malformed", 403,
                               "The amount of specified disk Ids exceeds the limit."},
    [API_DISK_FILTER_STATUS] = {"InvalidStatus.ValueNotSupported", 400,
                                "The specified disk status is not supported."},
    [API_DISK_FILTER_CATEGORY] = {"InvalidCategory.ValueNotSupported", 400,
                                  "The specified disk category is not supported."},
    [API_DISK_FILTER_TYPE] = {"InvalidDiskType.ValueNotSupported", 400,
                              "The specified disk type is not supported."},
    [API_DISK_DEVICE] = {"InvalidDevice.Malformed", 400, "The specified device is not valid."},
    [API_DISK_DRY_RUN] = {"DryRunOperation", 400,
                          "Request validation has been passed with DryRun flag set."},
    [API_DISK_TAGS_EXCEED] = {"QuotaExceed.Tags", 403,
                              "The quota of tags on resource is beyond permitted range."},
    [API_DISK_TAG_KEY] = {"InvalidTagKey.Malformed", 400, "The specified Tag.n.Key is not valid."},
    [API_DISK_TAG_VALUE] = {"InvalidTagValue.Malformed", 400,
                            "The specified Tag.n.Value is not valid."},
    [API_DISK_TAG_COUNT] = {"InvalidTagCount", 400,
                            "The specified tags are beyond the permitted range."},
    [API_DISK_TAG_MISMATCH] = {"InvalidTag.Mismatch", 400,
                               "The specified Tag.n.Key and Tag.n.Value are not match."},
    [API_DISK_NO_ATTRIBUTE] = {"NoAttributeToModify", 400,
                               "No attribute to be modified in this request."},
    [API_DISK_ID_OR_IDS_MISSING] = {"MissingParameter.DiskIdOrDiskIds", 400,
                                    "Specified parameter DiskId or DiskIds is missing."},
    [API_DISK_ID_AND_IDS] = {"ParameterConflict.DiskIdAndDiskIds", 400,
                             "Specified parameter DiskId and DiskIds conflict, only one can be "
                             "chosen."},
    [API_DISK_NEW_DESCRIPTION_MALFORMED] = {"InvalidDescription.Malformed", 404,
                                            "The specified description is wrongly formed."},
    [API_DISK_BURSTING_CATEGORY] = {"BurstingEnabledForDiskCategoryUnsupported", 400,
                                    "The specified disk category does not support bursting "
                                    "enabled."},
    [API_DISK_DELETE_WITH_INSTANCE] = {"DeleteWithInstance.Conflict", 403,
                                       "Multi attach disk cannot be set to DeleteWithInstance "
                                       "attribute."},
    [API_DISK_INCOMPLETE] = {"IncompleteParamter", 400,
                             "Some fields can not be null in this request."},
    [API_DISK_RESIZE_TYPE] = {"InvalidParam.Type", 400, "The specified type is not supported."},
    [API_DISK_NEW_SIZE] = {"InvalidDataDiskSize.ValueNotSupported", 400,
                           "The specified DataDisk.n.Size is not valid."},
    [API_DISK_NEW_SIZE_SAME] = {"InvalidDiskSize", 403,
                                "Specified new disk size is less than or equal the original disk "
                                "size."},
    [API_DISK_NEW_SIZE_SMALL] = {"InvalidDiskSize.TooSmall", 403,
                                 "Specified new disk size is less than the original disk size."},
    [API_DISK_NEW_SIZE_LARGE] = {"InvalidDiskSize.TooLarge", 403,
                                 "Specified new disk size is beyond the permitted range."},
    [API_DISK_RESIZE_DENIED] = {DENIED, 403,
                                "The status of the disk or the instance that the disk is attaching "
                                "with does not support the operation."},
    [API_DISK_QUOTA] = {"QuotaExceed.PostPaidDisk", 403, "Living postPaid disks quota exceeded."},
    [API_DISK_CAPACITY_QUOTA] = {"QuotaExceed.DiskCapacity", 400,
                                 "The used capacity of disk type has exceeded the quota in the "
                                 "zone, %s."},

    [API_USER_NOT_FOUND] = {"EntityNotExist.User", 404, "The user does not exist."},
    [API_USER_EXISTS] = {"EntityAlreadyExists.User", 409, "The user does already exist."},
    [API_KEY_NOT_FOUND] = {"EntityNotExist.User.AccessKey", 404, "The access key does not exist."},
    [API_POLICY_NOT_FOUND] = {"EntityNotExist.Policy", 404, "The policy does not exist."},
    [API_POLICY_EXISTS] = {"EntityAlreadyExists.Policy", 409, "The policy does already exist."},
    [API_POLICY_MALFORMED] = {"MalformedPolicyDocument", 400,
                              "The specified policy document is not valid."},
    [API_POLICY_ATTACHED] = {"DeleteConflict.Policy.User", 409,
                             "The policy is attached to one or more users."},
    [API_LINK_NOT_FOUND] = {"EntityNotExist.User.Policy", 404,
                            "The policy is not attached to the user."},
    [API_LINK_EXISTS] = {"EntityAlreadyExists.User.Policy", 409,
                         "The policy is attached to the user already."},
    [API_USERS_EXCEED] = {"LimitExceeded.User", 409,
                          "The count of users beyond the current limits."},
    [API_KEYS_EXCEED] = {"LimitExceeded.User.AccessKey", 409,
                         "The count of access keys beyond the current limits."},
    [API_POLICIES_EXCEED] = {"LimitExceeded.Policy", 409,
                             "The count of policies beyond the current limits."},
    [API_LINKS_EXCEED] = {"LimitExceeded.User.Policy", 409,
                          "The count of attached policies beyond the current limits."},
};

const struct api_error_entry *api_error_entry(enum api_error error)
{
    check(error > API_OK && error < API_ERROR_COUNT);
    check(entries[error].code);
    return &entries[error];
}

enum api_error api_error_find(const char *code)
{
    for (unsigned error = API_OK + 1; error < API_ERROR_COUNT; error++)
        if (strcmp(entries[error].code, code) == 0)
            return (enum api_error)error;
    return API_INTERNAL_ERROR;
}
