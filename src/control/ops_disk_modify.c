/* SPDX-License-Identifier: Apache-2.0 */
/* Why: attributes of disks (contract 12.6), of one or of several at once: all of them or none, at
 * each site. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "control/change.h"
#include "control/operations.h"
#include "control/sharing.h"
#include "control/split.h"
#include "control/tree.h"

static const char *const attributes[] = {"DiskName",           "Description",
                                         "DeleteWithInstance", "DeleteAutoSnapshot",
                                         "EnableAutoSnapshot", "BurstingEnabled"};

static void take_text(struct call *call, const char *parameter, char *field, size_t size)
{
    const char *text = call_text(call, parameter);

    if (!call_has(call, parameter))
        return;
    check(strlen(text) < size);
    memset(field, 0, size);
    memcpy(field, text, strlen(text));
}

static void take_flag(struct call *call, const char *parameter, bool *field, bool is_turned)
{
    if (call_has(call, parameter))
        *field = call_bool(call, parameter) != is_turned;
}

static void apply(struct call *call, struct disk_record *disk)
{
    take_text(call, "DiskName", disk->name, sizeof(disk->name));
    take_text(call, "Description", disk->description, sizeof(disk->description));
    take_flag(call, "DeleteWithInstance", &disk->is_deleted_with_instance, false);
    take_flag(call, "DeleteAutoSnapshot", &disk->keeps_auto_snapshots, true);
    take_flag(call, "EnableAutoSnapshot", &disk->has_auto_snapshots, false);
    take_flag(call, "BurstingEnabled", &disk->is_bursting, false);
}

/* False: answered. */
static bool judge_one(struct call *call, const char *id)
{
    struct disk_record disk;
    int result = meta_get(call->site->meta, RECORD_DISK, id, &disk);

    if (result == -ENOENT)
        call_fail(call, API_DISK_NOT_FOUND, "Disk %.60s is not known at site %s.", id,
                  call->site->name);
    else if (result < 0)
        call_fail_internal(call, err_name(result));
    else if (disk.status == DISK_CREATING || disk.status == DISK_DELETING)
        call_fail(call, API_DISK_STATUS_UNSUPPORTED, "Disk %s is %s.", id,
                  disk_state_name(disk.status));
    else if (call_bool(call, "BurstingEnabled") && strcmp(disk.category, "cloud_auto") != 0)
        call_fail(call, API_DISK_BURSTING_CATEGORY, "Disk %s is %s.", id, disk.category);
    else if (call_bool(call, "DeleteWithInstance") && disk.is_multi_attach)
        call_fail(call, API_DISK_DELETE_WITH_INSTANCE, "Disk %s.", id);
    else
        return true;
    return false;
}

static void modify_one(struct call *call, struct change *change, const char *id)
{
    struct attachment_record attachment;
    struct disk_record disk;
    int result = meta_get(call->site->meta, RECORD_DISK, id, &disk);

    if (result < 0) {
        change_fail(change, result, "the disk");
        return;
    }
    apply(call, &disk);
    change_put(change, RECORD_DISK, &disk);
    if (!call_has(call, "DeleteWithInstance"))
        return;
    result = meta_get(call->site->meta, RECORD_ATTACHMENT, id, &attachment);
    attachment.is_deleted_with_instance = disk.is_deleted_with_instance;
    if (result == 0)
        change_put(change, RECORD_ATTACHMENT, &attachment);
    else if (result != -ENOENT)
        change_fail(change, result, "the attachment");
}

/* The disks that the call names, a new array; NULL: answered. */
static json_t *list_disks(struct call *call)
{
    const json_t *ids = split_own(call, "DiskIds");
    json_t *list;

    if (ids && call_has(call, "DiskId"))
        call_fail(call, API_DISK_ID_AND_IDS, NULL);
    else if (!ids && !call_has(call, "DiskId"))
        call_fail(call, API_DISK_ID_OR_IDS_MISSING, NULL);
    else if (ids)
        return json_incref((json_t *)ids);
    else {
        list = json_array();
        check(list && json_array_append_new(list, json_string(call_text(call, "DiskId"))) == 0);
        return list;
    }
    return NULL;
}

static void modify_all(struct call *call, const json_t *ids)
{
    struct change change;
    size_t index;
    json_t *id;

    json_array_foreach((json_t *)ids, index, id)
    {
        if (!judge_one(call, json_string_value(id)))
            return;
    }
    if (split_ask(call, "DiskIds", ops_disk_modify))
        return;
    change_begin(&change, call->site);
    json_array_foreach((json_t *)ids, index, id)
    {
        modify_one(call, &change, json_string_value(id));
    }
    sharing_answer(&change, call, NULL);
}

void ops_disk_modify(struct call *call)
{
    json_t *ids = list_disks(call);
    unsigned given = 0;

    if (!ids)
        return;
    for (unsigned i = 0; i < ARRAY_COUNT(attributes); i++)
        given += call_has(call, attributes[i]);
    if (given == 0)
        call_fail(call, API_DISK_NO_ATTRIBUTE, NULL);
    else
        modify_all(call, ids);
    json_decref(ids);
}
