/* SPDX-License-Identifier: Apache-2.0 */
/* Why: disks as the ECS operations show them, and our own view: where hosts connect. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "control/operations.h"
#include "control/page.h"
#include "control/replica.h"
#include "control/tree.h"

enum { GIB_SHIFT = 30 };

static void set_time(json_t *tree, const char *name, int64_t seconds)
{
    char text[32] = "";
    time_t at = (time_t)seconds;
    struct tm utc;

    if (seconds > 0 && gmtime_r(&at, &utc))
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
    tree_set_text(tree, name, text);
}

static json_t *wrap(const char *name, json_t *item)
{
    json_t *tree = json_object(), *array = json_array();

    check(tree && array);
    if (item)
        check(json_array_append_new(array, item) == 0);
    tree_set(tree, name, array);
    return tree;
}

static json_t *show_attachment(const struct attachment_record *attachment)
{
    json_t *tree = json_object();

    check(tree);
    tree_set_text(tree, "InstanceId", attachment->instance_id);
    tree_set_text(tree, "Device", attachment->device);
    set_time(tree, "AttachedTime", attachment->attached_s);
    return tree;
}

static json_t *show_disk(struct site *site, const struct disk_record *disk,
                         const struct attachment_record *attachment)
{
    json_t *tree = json_object();

    check(tree);
    tree_set_text(tree, "DiskId", disk->id);
    tree_set_text(tree, "DiskName", disk->name);
    tree_set_text(tree, "Description", disk->description);
    tree_set_text(tree, "RegionId", site->region);
    tree_set_text(tree, "ZoneId", site->zone);
    tree_set_text(tree, "Status", disk_state_name(disk->status));
    tree_set_text(tree, "Type", "data");
    tree_set_text(tree, "Category", disk->category);
    tree_set_text(tree, "PerformanceLevel", disk->performance_level);
    tree_set_int(tree, "Size", (disk->size_bytes + (INT64_C(1) << GIB_SHIFT) - 1) >> GIB_SHIFT);
    tree_set_int(tree, "SizeBytes", disk->size_bytes);
    tree_set_bool(tree, "Encrypted", disk->is_encrypted);
    tree_set_bool(tree, "Portable", true);
    tree_set_bool(tree, "DeleteWithInstance",
                  attachment ? attachment->is_deleted_with_instance : false);
    tree_set_bool(tree, "DeleteAutoSnapshot", true);
    tree_set_bool(tree, "EnableAutoSnapshot", false);
    tree_set_bool(tree, "EnableAutomatedSnapshotPolicy", false);
    tree_set_text(tree, "MultiAttach", disk->is_multi_attach ? "Enabled" : "Disabled");
    tree_set_text(tree, "SerialNumber", disk->id + 2);
    tree_set_text(tree, "InstanceId", attachment ? attachment->instance_id : "");
    tree_set_text(tree, "Device", attachment ? attachment->device : "");
    set_time(tree, "CreationTime", disk->created_s);
    set_time(tree, "AttachedTime", attachment ? attachment->attached_s : 0);
    set_time(tree, "DetachedTime", disk->detached_s);
    tree_set_text(tree, "DiskChargeType", "PostPaid");
    tree_set_text(tree, "ResourceGroupId", disk->resource_group_id);
    tree_set(tree, "Attachments",
             wrap("Attachment", attachment ? show_attachment(attachment) : NULL));
    tree_set(tree, "MountInstances",
             wrap("MountInstance", attachment ? show_attachment(attachment) : NULL));
    tree_set(tree, "OperationLocks", wrap("OperationLock", NULL));
    tree_set(tree, "Tags", wrap("Tag", NULL));
    return tree;
}

static bool is_text_wanted(struct call *call, const char *name, const char *value)
{
    const char *wanted = call_text(call, name);

    return !wanted[0] || strcmp(wanted, value) == 0;
}

static bool is_listed(const json_t *ids, const char *id)
{
    size_t index;
    json_t *item;

    json_array_foreach(ids, index, item)
    {
        if (strcmp(json_string_value(item), id) == 0)
            return true;
    }
    return false;
}

static bool is_wanted(struct call *call, const struct disk_record *disk, const char *instance)
{
    const json_t *ids = json_object_get(call->parameters, "DiskIds");
    const char *status = call_text(call, "Status"), *category = call_text(call, "Category");

    if (ids && !is_listed(ids, disk->id)) /* an empty list matches nothing */
        return false;
    if (strcmp(status, "All") != 0 && strcmp(status, disk_state_name(disk->status)) != 0)
        return false;
    if (strcmp(category, "all") != 0 && strcmp(category, disk->category) != 0)
        return false;
    if (strcmp(call_text(call, "DiskType"), "system") == 0)
        return false;
    if (call_has(call, "Encrypted") && call_bool(call, "Encrypted") != disk->is_encrypted)
        return false;
    return is_text_wanted(call, "DiskName", disk->name) &&
           is_text_wanted(call, "ResourceGroupId", disk->resource_group_id) &&
           is_text_wanted(call, "ZoneId", call->site->zone) &&
           is_text_wanted(call, "InstanceId", instance);
}

void ops_disk_show_all(struct call *call)
{
    const struct disk_record *disks;
    void *records = NULL;
    unsigned count = 0;
    struct page page;

    if (call_bool(call, "DryRun")) {
        call_fail(call, API_DISK_DRY_RUN, NULL);
        return;
    }
    if (meta_list(call->site->meta, RECORD_DISK, NULL, NULL, &records, &count) < 0) {
        call_fail_internal(call, "metadata");
        return;
    }
    disks = records;
    page_init(&page);
    for (unsigned i = 0; i < count; i++) {
        struct attachment_record attachment;
        bool is_attached =
            meta_get(call->site->meta, RECORD_ATTACHMENT, disks[i].id, &attachment) == 0;

        /* Deleting and Deleted are never shown. */
        if (disks[i].status == DISK_DELETING || disks[i].status == DISK_DELETED ||
            !is_wanted(call, &disks[i], is_attached ? attachment.instance_id : ""))
            continue;
        page_add(&page, disks[i].id,
                 show_disk(call->site, &disks[i], is_attached ? &attachment : NULL));
    }
    free(records);
    page_reply(&page, call, "Disks", "Disk");
}

static json_t *show_uris(struct site *site, const char *id)
{
    json_t *uris = json_array();
    char uri[300];

    check(uris);
    if (site->nbd_socket[0]) {
        snprintf(uri, sizeof(uri), "nbd+unix:///%s?socket=%s", id, site->nbd_socket);
        check(json_array_append_new(uris, json_string(uri)) == 0);
    }
    if (site->nbd_listen[0]) {
        snprintf(uri, sizeof(uri), "nbd://%s/%s", site->nbd_listen, id);
        check(json_array_append_new(uris, json_string(uri)) == 0);
    }
    return uris;
}

/* Verso's own: where hosts reach the disk, whether they may now, and why not. */
void ops_disk_show_connections(struct call *call)
{
    const char *id = call_text(call, "DiskId");
    const struct data_disk_status *status = site_disk(call->site, id);
    struct attachment_record attachment;
    struct disk_record disk;
    struct pair_record pair;
    json_t *reply;

    if (meta_get(call->site->meta, RECORD_DISK, id, &disk) < 0) {
        call_fail(call, API_DISK_NOT_FOUND, "Disk %.60s is not known at site %s.", id,
                  call->site->name);
        return;
    }
    reply = json_object();
    check(reply);
    tree_set_text(reply, "DiskId", disk.id);
    tree_set_text(reply, "Status", disk_state_name(disk.status));
    tree_set_text(reply, "Driver", disk.driver);
    tree_set_text(reply, "Path", disk.path);
    tree_set_int(reply, "SizeBytes", disk.size_bytes);
    tree_set_text(reply, "InstanceId",
                  meta_get(call->site->meta, RECORD_ATTACHMENT, id, &attachment) == 0
                      ? attachment.instance_id
                      : "");
    tree_set_text(reply, "ReplicaPairId",
                  replica_find_by_disk(call->site, id, &pair) ? pair.common.id : "");
    tree_set(reply, "Uris", show_uris(call->site, id));
    tree_set_bool(reply, "IsExported", status && status->is_exported);
    tree_set_bool(reply, "MayWrite", status && status->may_write);
    tree_set_int(reply, "Connections", status ? status->connections : 0);
    tree_set_text(reply, "Why", status ? status->why : "the disk is not open");
    call_reply(call, reply);
}
