/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: a filter that is ignored shows too much, and clients act on what they are shown. What no
 * disk here has (snapshots as sources, keys of a key service, snapshot policies, locks, prepaid
 * ones) can still be asked for: then no disk is wanted.
 */
#include "control/disk_filter.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "control/tag.h"
#include "control/utc.h"

/* "2026-11-22T15:14Z", or with seconds. */
static bool parse_moment(const char *text, int64_t *ret_s)
{
    char whole[UTC_SIZE];
    size_t length = strlen(text);

    if (length != strlen("2026-11-22T15:14Z"))
        return utc_parse(text, ret_s);
    snprintf(whole, sizeof(whole), "%.16s:00Z", text);
    return text[length - 1] == 'Z' && utc_parse(whole, ret_s);
}

#define START "CreationStartTime"
#define END "CreationEndTime"

static const char *const filters[][2] = {{"Filter.1.Key", "Filter.1.Value"},
                                         {"Filter.2.Key", "Filter.2.Value"}};

/* Is the zone, where one is named, that of any site? */
static bool is_zone_known(struct call *call)
{
    const char *zone = call_text(call, "ZoneId");
    bool is_known = !zone[0] || strcmp(zone, call->site->zone) == 0;

    for (unsigned i = 0; i < call->site->peer_count && !is_known; i++)
        is_known = strcmp(zone, call->site->peers[i].zone) == 0;
    return is_known;
}

bool disk_filter_check(struct call *call)
{
    if (!is_zone_known(call)) {
        call_fail(call, API_DISK_FILTER_ZONE, NULL);
        return false;
    }
    for (unsigned i = 0; i < ARRAY_COUNT(filters); i++) {
        const char *key = call_text(call, filters[i][0]), *value = call_text(call, filters[i][1]);
        int64_t moment_s;

        if (!key[0] && !value[0])
            continue;
        if (strcmp(key, START) != 0 && strcmp(key, END) != 0) {
            call_fail(call, API_DISK_FILTER_KEY, NULL);
            return false;
        }
        if (!parse_moment(value, &moment_s)) {
            call_fail(call, API_DISK_FILTER_VALUE, NULL);
            return false;
        }
    }
    return true;
}

/* Both ends are within. */
static bool is_time_wanted(struct call *call, int64_t made_s)
{
    for (unsigned i = 0; i < ARRAY_COUNT(filters); i++) {
        const char *key = call_text(call, filters[i][0]);
        int64_t moment_s;

        if (!key[0])
            continue;
        check(parse_moment(call_text(call, filters[i][1]), &moment_s));
        if (strcmp(key, START) == 0 ? made_s < moment_s : made_s > moment_s)
            return false;
    }
    return true;
}

static bool is_text_wanted(struct call *call, const char *name, const char *value)
{
    const char *wanted = call_text(call, name);

    return !wanted[0] || strcmp(wanted, value) == 0;
}

static bool is_flag_wanted(struct call *call, const char *name, bool value)
{
    return !call_has(call, name) || call_bool(call, name) == value;
}

static bool are_texts_wanted(struct call *call, const struct disk_record *disk,
                             const char *instance)
{
    const char *status = call_text(call, "Status"), *category = call_text(call, "Category");

    return (strcmp(status, "All") == 0 || strcmp(status, disk_state_name(disk->status)) == 0) &&
           (strcmp(category, "all") == 0 || strcmp(category, disk->category) == 0) &&
           strcmp(call_text(call, "DiskType"), "system") != 0 &&
           is_text_wanted(call, "DiskName", disk->name) &&
           is_text_wanted(call, "ResourceGroupId", disk->resource_group_id) &&
           is_text_wanted(call, "ZoneId", call->site->zone) &&
           is_text_wanted(call, "InstanceId", instance) &&
           is_text_wanted(call, "MultiAttach", disk->is_multi_attach ? "Enabled" : "Disabled") &&
           is_text_wanted(call, "DiskChargeType", "PostPaid") &&
           is_text_wanted(call, "SnapshotId", "") && is_text_wanted(call, "KMSKeyId", "") &&
           is_text_wanted(call, "AutoSnapshotPolicyId", "") &&
           is_text_wanted(call, "LockReason", "");
}

static bool are_flags_wanted(struct call *call, const struct disk_record *disk,
                             const struct attachment_record *attachment)
{
    bool goes_with_instance =
        attachment ? attachment->is_deleted_with_instance : disk->is_deleted_with_instance;

    return is_flag_wanted(call, "Encrypted", disk->is_encrypted) &&
           is_flag_wanted(call, "Portable", true) && is_flag_wanted(call, "EnableShared", false) &&
           is_flag_wanted(call, "DeleteWithInstance", goes_with_instance) &&
           is_flag_wanted(call, "DeleteAutoSnapshot", !disk->keeps_auto_snapshots) &&
           is_flag_wanted(call, "EnableAutoSnapshot", disk->has_auto_snapshots) &&
           is_flag_wanted(call, "EnableAutomatedSnapshotPolicy", false);
}

bool disk_filter_wants(struct call *call, const struct disk_record *disk,
                       const struct attachment_record *attachment)
{
    return is_time_wanted(call, disk->created_s) &&
           are_texts_wanted(call, disk, attachment ? attachment->instance_id : "") &&
           are_flags_wanted(call, disk, attachment) &&
           tag_matches(call->site, disk->id, json_object_get(call->parameters, "Tag"));
}
