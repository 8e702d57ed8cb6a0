/* SPDX-License-Identifier: Apache-2.0 */
/* Why: disks as the ECS operations show them, and our own view: where hosts connect. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "control/disk_filter.h"
#include "control/jobs.h"
#include "control/operations.h"
#include "control/relation.h"
#include "control/split.h"
#include "control/tag.h"
#include "control/tree.h"

enum { GIB_SHIFT = 30 };

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
    tree_set_time(tree, "AttachedTime", attachment->attached_s);
    return tree;
}

static json_t *show_tags(struct site *site, const char *id)
{
    json_t *tree = json_object(), *tags = tag_list(site, id);

    check(tree);
    if (tags)
        tree_set(tree, "Tag", tags);
    return tree;
}

/* What no disk here has; clients read the fields without asking whether they are there. */
static const char *const never[] = {"ExpiredTime",      "ProductCode",     "ImageId",
                                    "SourceSnapshotId", "KMSKeyId",        "AutoSnapshotPolicyId",
                                    "StorageSetId",     "StorageClusterId"};

static json_t *show_disk(struct site *site, const struct disk_record *disk,
                         const struct attachment_record *attachment)
{
    struct pair_record pair;
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
                  attachment ? attachment->is_deleted_with_instance
                             : disk->is_deleted_with_instance);
    tree_set_bool(tree, "DeleteAutoSnapshot", !disk->keeps_auto_snapshots);
    tree_set_bool(tree, "EnableAutoSnapshot", disk->has_auto_snapshots);
    tree_set_bool(tree, "BurstingEnabled", disk->is_bursting);
    if (strcmp(disk->category, "cloud_auto") == 0)
        tree_set_int(tree, "ProvisionedIops", disk->provisioned_iops);
    tree_set_bool(tree, "EnableAutomatedSnapshotPolicy", false);
    tree_set_text(tree, "MultiAttach", disk->is_multi_attach ? "Enabled" : "Disabled");
    tree_set_text(tree, "SerialNumber", disk->id + 2);
    tree_set_text(tree, "InstanceId", attachment ? attachment->instance_id : "");
    tree_set_text(tree, "Device", attachment ? attachment->device : "");
    tree_set_time(tree, "CreationTime", disk->created_s);
    tree_set_time(tree, "AttachedTime", attachment ? attachment->attached_s : 0);
    tree_set_time(tree, "DetachedTime", disk->detached_s);
    tree_set_text(tree, "DiskChargeType", "PostPaid");
    for (unsigned i = 0; i < ARRAY_COUNT(never); i++)
        tree_set_text(tree, never[i], "");
    tree_set_text(tree, "ResourceGroupId", disk->resource_group_id);
    tree_set_text(tree, "ReplicaPairId", /* ours */
                  relation_find_by_disk(site, disk->id, &pair) == 0 ? pair.common.id : "");
    tree_set(tree, "Attachments",
             wrap("Attachment", attachment ? show_attachment(attachment) : NULL));
    tree_set_int(tree, "MountInstanceNum", attachment ? 1 : 0);
    tree_set(tree, "MountInstances",
             wrap("MountInstance", attachment ? show_attachment(attachment) : NULL));
    tree_set(tree, "OperationLocks", wrap("OperationLock", NULL));
    tree_set(tree, "Tags", show_tags(site, disk->id));
    return tree;
}

/* Its attachment, or none: NULL. */
static const struct attachment_record *attachment_of(struct site *site, const char *disk,
                                                     struct attachment_record *memory)
{
    return meta_get(site->meta, RECORD_ATTACHMENT, disk, memory) == 0 ? memory : NULL;
}

static bool is_disk_wanted(struct call *call, const void *record)
{
    const struct disk_record *disk = record;
    struct attachment_record memory;
    const struct attachment_record *attachment;

    /* Deleting and Deleted are never shown. */
    if (disk->status == DISK_DELETING || disk->status == DISK_DELETED)
        return false;
    attachment = attachment_of(call->site, disk->id, &memory);
    return disk_filter_wants(call, disk, attachment);
}

static json_t *show_any_disk(struct call *call, const void *record)
{
    const struct disk_record *disk = record;
    struct attachment_record memory;

    return show_disk(call->site, disk, attachment_of(call->site, disk->id, &memory));
}

void ops_disk_show_all(struct call *call)
{
    /* An empty list of ids matches nothing. */
    struct page_source source = {.kind = RECORD_DISK,
                                 .ids = split_own(call, "DiskIds"),
                                 .is_wanted_cb = is_disk_wanted,
                                 .show_cb = show_any_disk,
                                 .list = "Disks",
                                 .wrapped = "Disk"};

    if (!disk_filter_check(call))
        return;
    if (call_bool(call, "DryRun"))
        call_fail(call, API_DISK_DRY_RUN, NULL);
    else
        split_page(call, "DiskIds", &source);
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

static json_t *show_snapshots(struct site *site, const struct data_request *request)
{
    json_t *list = json_array();

    check(list);
    for (unsigned i = 0; i < request->snapshot_count; i++) {
        const struct data_disk_snapshot *snapshot = &request->snapshots[i];
        json_t *tree = json_object();
        char name[120];

        check(tree);
        snprintf(name, sizeof(name), "%s@%s", snapshot->disk, snapshot->label);
        tree_set_text(tree, "SnapshotId", snapshot->id);
        tree_set_text(tree, "Label", snapshot->label);
        tree_set_text(tree, "ExportName", name);
        tree_set_text(tree, "Reason", snapshot->reason);
        tree_set_int(tree, "CreatedAt", (int64_t)(snapshot->created_wall_ns / 1000000000));
        tree_set_int(tree, "ExpiresAt", (int64_t)(snapshot->expires_wall_ns / 1000000000));
        tree_set_int(tree, "KeptBytes", (int64_t)snapshot->kept_bytes);
        tree_set_int(tree, "SizeBytes", (int64_t)snapshot->size_bytes);
        tree_set(tree, "Uris", show_uris(site, name));
        check(json_array_append_new(list, tree) == 0);
    }
    return list;
}

/* Of a disk that is not open: what the start said. */
static const char *why_closed(const struct site *site, const char *id)
{
    const char *trouble = site_trouble(site, id);

    return trouble[0] ? trouble : "the disk is not open";
}

/* Why hosts do not reach it, or get errors; of one that is to become empty, what keeps it from
 * that. */
static void show_why(struct site *site, const struct disk_record *disk,
                     const struct data_disk_status *status, json_t *tree)
{
    bool is_reiniting = disk->status == DISK_REINITING;
    const char *why = !status ? why_closed(site, disk->id)
                      : status->is_fenced
                          ? "a sync of its store failed, hosts get errors: check the "
                            "storage, then restart versod"
                          : status->why;
    char text[RECORD_NAME_SIZE + 400], trouble[RECORD_NAME_SIZE] = "";

    if (is_reiniting && !why[0]) {
        jobs_trouble(site, disk->id, trouble, sizeof(trouble));
        why = trouble;
    }
    snprintf(text, sizeof(text), "%s%s%s%s", is_reiniting ? "it is being made empty" : "",
             is_reiniting && why[0] ? ": " : "", why,
             is_reiniting && (!status || status->is_fenced)
                 ? "; it goes on after a restart, or detach the disk to give it up"
                 : "");
    tree_set_text(tree, "Why", text);
}

/* Where its bytes are; what the data wing makes of a disk without a path (site_disk.c). */
static void show_path(const struct site *site, const struct disk_record *disk, json_t *tree)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/%s.raw", site->disks_folder, disk->id);
    tree_set_text(tree, "Path", disk->path[0] || !site->disks_folder[0] ? disk->path : path);
}

static json_t *show_access(struct site *site, const struct disk_record *disk)
{
    const struct data_disk_status *status = site_disk(site, disk->id);
    struct attachment_record attachment = {0};
    struct pair_record pair;
    json_t *tree = json_object();

    check(tree);
    tree_set_text(tree, "DiskId", disk->id);
    tree_set_text(tree, "DiskName", disk->name);
    tree_set_text(tree, "Status", disk_state_name(disk->status));
    tree_set_int(tree, "SizeBytes", disk->size_bytes);
    tree_set_text(tree, "Driver", disk->driver);
    show_path(site, disk, tree);
    tree_set_text(tree, "ReplicaPairId",
                  relation_find_by_disk(site, disk->id, &pair) == 0 ? pair.common.id : "");
    tree_set_bool(tree, "IsAttached",
                  meta_get(site->meta, RECORD_ATTACHMENT, disk->id, &attachment) == 0);
    tree_set_text(tree, "InstanceId", attachment.instance_id);
    tree_set(tree, "Uris", show_uris(site, disk->id));
    tree_set_bool(tree, "IsExported", status && status->is_exported);
    tree_set_bool(tree, "MayWrite", status && status->may_write);
    tree_set_int(tree, "Connections", status ? status->connections : 0);
    show_why(site, disk, status, tree);
    return tree;
}

static void access_done(struct data_request *request)
{
    struct call *call = container_of(request, struct call, request);
    struct disk_record disk;
    json_t *reply, *tree, *snapshots;

    check_magic(call, CALL_MAGIC);
    site_done(call->site);
    if (request->error < 0)
        request->snapshot_count = 0;
    snapshots = show_snapshots(call->site, request);
    free(request->error < 0 ? NULL : request->snapshots);
    request->snapshots = NULL;
    if (meta_get(call->site->meta, RECORD_DISK, call_text(call, "DiskId"), &disk) < 0) {
        json_decref(snapshots);
        call_fail(call, API_DISK_NOT_FOUND, NULL);
        return;
    }
    reply = json_object();
    check(reply);
    tree = show_access(call->site, &disk);
    tree_set(tree, "Snapshots", snapshots);
    tree_set(reply, "Disk", tree);
    call_reply(call, reply);
}

/* Verso's own: where hosts reach the disk, whether they may now, why not, what is kept of it. */
void ops_disk_show_access(struct call *call)
{
    const char *id = call_text(call, "DiskId");
    struct disk_record disk;

    if (meta_get(call->site->meta, RECORD_DISK, id, &disk) < 0) {
        call_fail(call, API_DISK_NOT_FOUND, "Disk %.60s is not known at site %s.", id,
                  call->site->name);
        return;
    }
    call->request = (struct data_request){.op = DATA_SNAPSHOT_LIST, .disk = id};
    site_submit(call->site, &call->request, access_done);
}
