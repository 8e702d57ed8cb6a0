/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalogue of errors of the API: code, HTTP status and message, exactly as the contract
 * publishes them (clients compare the strings, odd spellings included). Pure.
 */
#ifndef MODEL_API_ERROR_H
#define MODEL_API_ERROR_H

enum api_error {
    API_OK = 0,
    /* The gateway's: before an operation is reached. */
    API_NOT_FOUND, /* no such operation */
    API_UNSUPPORTED_METHOD,
    API_REQUEST_TOO_LARGE,
    API_HEAD_TOO_LARGE,
    API_MISSING_NAME, /* Missing{Name} */
    API_INVALID_NAME, /* Invalid{Name} */
    API_SERVICE_UNAVAILABLE,
    API_INTERNAL_ERROR,
    API_INTERNAL_ERROR_ECS,
    API_REQUEST_TIMEOUT,
    API_FORBIDDEN,
    API_FORBIDDEN_ACTION,
    API_REGION_NOT_FOUND,
    API_ZONE_NOT_FOUND,
    API_IDEMPOTENT_MISMATCH,
    API_LAST_TOKEN_PROCESSING,
    API_INVALID_PARAMETER,
    API_INVALID_PARAMETER_FORMAT,
    API_MISSING_PARAMETER,
    /* Replication. */
    API_NO_SUCH_RESOURCE,
    API_DENIED,
    API_INVALID_STATUS,
    API_QUOTA_EXCEED,
    API_TOO_MUCH_EMPTY_GROUP,
    API_STANDBY_ATTACHED,
    API_GROUP_HAS_PAIR,
    API_NO_PAIR_IN_GROUP,
    API_PAIR_NOT_IN_GROUP,
    API_PAIR_IN_ANOTHER_GROUP,
    API_PAIR_GROUP_ZONE_CONFLICT,
    API_PAIR_GROUP_STATUS_CONFLICT,
    API_PAIR_INITIALIZING,
    API_PAIR_STATUS_CANNOT_ADD,
    API_GROUP_STATUS_CANNOT_ADD,
    API_PAIR_STATUS_CANNOT_REMOVE,
    API_GROUP_STATUS_CANNOT_REMOVE,
    API_PAIRS_EXCEED,
    API_GROUP_CAPACITY_LIMIT,
    API_MANUAL_SYNC_LIMIT,
    API_NOT_FOR_PRIMARY,
    API_NOT_FOR_STANDBY,
    API_RECOVER_POINT_NOT_FOUND,
    /* Disks. */
    API_DISK_NOT_FOUND,
    API_DISK_STATUS,
    API_DISK_INITIALIZING,
    API_DISK_STILL_ATTACHED,
    API_DISK_IN_USE,
    API_DISK_ALREADY_DETACHED,
    API_DISK_DETACHING,
    API_DISK_NOT_ON_INSTANCE,
    API_DISK_IN_REPLICATION,
    API_DISK_NAME_MALFORMED,
    API_DISK_DESCRIPTION_MALFORMED,
    API_DISK_SIZE,
    API_DISK_SIZE_OR_SNAPSHOT,
    API_DISK_ZONE_MISSING,
    API_DISK_CATEGORY,
    API_DISK_SIZE_OR_CATEGORY,
    API_DISK_PERFORMANCE_LEVEL,
    API_DISK_PERFORMANCE_MATCH,
    API_DISK_MULTI_ATTACH,
    API_DISK_IDS,
    API_DISK_IDS_TOO_MANY,
    API_DISK_FILTER_STATUS,
    API_DISK_FILTER_CATEGORY,
    API_DISK_FILTER_TYPE,
    API_DISK_DEVICE,
    API_DISK_DRY_RUN,
    API_ERROR_COUNT
};

struct api_error_entry {
    const char *code;
    unsigned http_status;
    const char *message;
};

/* The entry of an error but API_OK. "%s" in code and message stands for a parameter's name. */
const struct api_error_entry *api_error_entry(enum api_error error);

/* The error with this code, API_INTERNAL_ERROR for a code that is not in the catalogue. */
enum api_error api_error_find(const char *code);

#endif
