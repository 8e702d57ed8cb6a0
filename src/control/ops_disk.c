/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: disks: made, imported, attached to hosts, let go. The record stands in a transient state
 * (Creating, Detaching, Deleting) while the data wing works, and boot.c finishes what a crash cut
 * off.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/id.h"
#include "control/change.h"
#include "control/jobs.h"
#include "control/operations.h"
#include "control/quota.h"
#include "control/relation.h"
#include "control/sharing.h"
#include "control/tag.h"
#include "control/token.h"
#include "control/tree.h"

enum { GIB_SHIFT = 30, DISK_GRAIN = 4096, GIB_MAX = 131072 };

static void copy(char *to, size_t size, const char *from)
{
    check(strlen(from) < size);
    memset(to, 0, size);
    memcpy(to, from, strlen(from));
}

#define COPY(field, from) copy(field, sizeof(field), from)

static struct call *call_of(struct data_request *request)
{
    struct call *call = container_of(request, struct call, request);

    check_magic(call, CALL_MAGIC);
    site_done(call->site);
    return call;
}

static int put_disk(struct site *site, const struct disk_record *disk)
{
    struct change change;

    change_begin(&change, site);
    change_put(&change, RECORD_DISK, disk);
    return change_commit(&change);
}

/* The same, for the beginning of an operation that goes on in the data wing. */
static void put_disk_then(struct call *call, const struct disk_record *disk,
                          void (*then_cb)(struct call *call))
{
    struct change change;

    change_begin(&change, call->site);
    change_put(&change, RECORD_DISK, disk);
    sharing_then(&change, call, then_cb);
}

static void disk_move(struct disk_record *disk, enum disk_state to)
{
    check(disk_state_may_move(disk->status, to));
    disk->status = to;
}

/* False: answered. */
static bool load_disk(struct call *call, struct disk_record *ret_disk)
{
    const char *id = call_text(call, "DiskId");
    int result = meta_get(call->site->meta, RECORD_DISK, id, ret_disk);

    if (result == 0)
        return true;
    if (result != -ENOENT)
        call_fail_internal(call, err_name(result));
    else
        call_fail(call, API_DISK_NOT_FOUND, "Disk %.60s is not known at site %s.", id,
                  call->site->name);
    return false;
}

/* False: answered. */
static bool judge_disk(struct call *call, enum disk_op op, const struct disk_record *disk)
{
    enum api_error error;

    switch (disk_state_judge(op, disk->status, &error)) {
    case STATE_ALLOW:
        return true;
    case STATE_REPEAT:
        call_reply(call, NULL);
        return false;
    case STATE_DENY:
        break;
    }
    call_fail(call, error, "Disk %s is %s.", disk->id, disk_state_name(disk->status));
    return false;
}

/* --- create, import -------------------------------------------------------------------------- */

static void fill_disk(struct call *call, struct disk_record *disk)
{
    memset(disk, 0, sizeof(*disk));
    id_make("d", 20, site_random, call->site, disk->id);
    COPY(disk->name, call_text(call, "DiskName"));
    COPY(disk->description, call_text(call, "Description"));
    COPY(disk->category, call_text(call, "DiskCategory"));
    COPY(disk->performance_level,
         strcmp(disk->category, "cloud_essd") == 0 ? call_text(call, "PerformanceLevel") : "");
    COPY(disk->resource_group_id, call_text(call, "ResourceGroupId"));
    disk->is_encrypted = call_bool(call, "Encrypted");
    disk->is_multi_attach = strcmp(call_text(call, "MultiAttach"), "Enabled") == 0;
    disk->is_bursting = call_bool(call, "BurstingEnabled");
    disk->provisioned_iops = call_int(call, "ProvisionedIops");
    disk->status = DISK_CREATING;
    disk->created_s = site_now_s(call->site);
    COPY(disk->driver, "file");
}

/* The record, durably, and the reply that names it; NULL: it could not be stored. */
static json_t *put_new_disk(struct call *call, const struct disk_record *disk)
{
    json_t *reply = json_object();
    struct change change;

    check(reply);
    tree_set_text(reply, "DiskId", disk->id);
    change_begin(&change, call->site);
    change_put(&change, RECORD_DISK, disk);
    tag_put(&change, disk->id, json_object_get(call->parameters, "Tag"));
    token_remember(&change, call, reply);
    if (change_commit(&change) == 0)
        return reply;
    json_decref(reply);
    return NULL;
}

/* False: answered, or it is done again. */
static bool load_own(struct call *call, struct disk_record *ret_disk,
                     void (*again_cb)(struct call *call), void (*left_cb)(struct call *call))
{
    int result = meta_get(call->site->meta, RECORD_DISK, call->object, ret_disk);

    if (result == -ENOENT)
        call_fail_internal(call, "the disk's record is gone");
    else if (result < 0)
        call_again(call, again_cb, left_cb);
    return result == 0;
}

/* Nothing stays of it. */
static void record_vain(struct call *call)
{
    struct change change;

    if (call->request.error ==
        -EUCLEAN) { /* a file is left: the record stays, for the next start */
        call_fail_internal(call, call->request.why);
        return;
    }
    change_begin(&change, call->site);
    change_remove(&change, RECORD_DISK, call->object);
    tag_forget(&change, call->object);
    if (change_commit(&change) < 0)
        call_again(call, record_vain, record_vain);
    else if (call->request.error == -EFBIG) /* no repetition helps: nothing that clients repeat */
        call_fail(call, API_DISK_SIZE, "%s.", call->request.why);
    else
        call_fail_internal(call, call->request.why);
}

static void create_undone(struct data_request *request)
{
    record_vain(call_of(request));
}

/* Who asked for it was told that it failed, and knows no name of it. */
static void create_undo(struct call *call)
{
    call->request =
        (struct data_request){.op = DATA_DISK_CLOSE, .disk = call->object, .remove = true};
    site_submit(call->site, &call->request, create_undone);
}

static void record_created(struct call *call)
{
    struct disk_record disk;
    json_t *reply;

    if (call->request.error < 0) {
        record_vain(call);
        return;
    }
    if (!load_own(call, &disk, record_created, create_undo))
        return;
    disk_move(&disk, DISK_AVAILABLE);
    reply = put_new_disk(call, &disk);
    if (reply)
        call_reply(call, reply);
    else
        call_again(call, record_created, create_undo);
}

static void create_opened(struct data_request *request)
{
    record_created(call_of(request));
}

static void create_begin(struct call *call)
{
    site_submit(call->site, &call->request, create_opened);
}

/* False: answered. */
static bool disk_size(struct call *call, int64_t *ret_bytes)
{
    if (call_has(call, "SizeBytes")) {
        *ret_bytes = call_int(call, "SizeBytes");
        if (*ret_bytes % DISK_GRAIN != 0) {
            call_fail(call, API_DISK_SIZE, "SizeBytes %lld is not a multiple of %d.",
                      (long long)*ret_bytes, DISK_GRAIN);
            return false;
        }
        return true;
    }
    if (!call_has(call, "Size")) {
        call_fail(call, API_DISK_SIZE_OR_SNAPSHOT, NULL);
        return false;
    }
    *ret_bytes = call_int(call, "Size") << GIB_SHIFT;
    return true;
}

/* False: answered. */
static bool check_zone(struct call *call)
{
    const char *zone = call_text(call, "ZoneId");

    if (strcmp(zone, call->site->zone) == 0)
        return true;
    call_fail(call, API_ZONE_NOT_FOUND, "Zone %.60s is not in region %s; zone %s is.", zone,
              call->site->region, call->site->zone);
    return false;
}

/* The contract's bound: what the category gives besides the size's own. */
static int64_t provisioned_iops_max(int64_t size_bytes)
{
    int64_t gib = (size_bytes + (INT64_C(1) << GIB_SHIFT) - 1) >> GIB_SHIFT;
    int64_t baseline = 1800 + 50 * gib, most;

    baseline = baseline > 50000 ? 50000 : baseline < 3000 ? 3000 : baseline;
    most = 1000 * gib - baseline;
    return most > 50000 ? 50000 : most < 0 ? 0 : most;
}

/* What the category must have. False: answered. */
static bool check_category(struct call *call, const struct disk_record *disk)
{
    bool is_auto = strcmp(disk->category, "cloud_auto") == 0;
    enum api_error error = API_OK;

    if (disk->is_bursting && !is_auto)
        error = API_DISK_BURSTING_CATEGORY;
    else if (disk->provisioned_iops > 0 && !is_auto)
        error = API_DISK_IOPS_CATEGORY;
    else if (disk->provisioned_iops > provisioned_iops_max(disk->size_bytes))
        error = API_DISK_IOPS_LIMIT;
    else if (disk->is_multi_attach && strcmp(disk->category, "cloud_essd") != 0)
        error = API_DISK_MULTI_ATTACH;
    if (error != API_OK)
        call_fail(call, error, NULL);
    return error == API_OK;
}

/* Sources that a disk cannot have here. False: answered. */
static bool check_source(struct call *call)
{
    if (call_has(call, "InstanceId"))
        call_fail(call, API_DISK_ZONE_AND_INSTANCE, NULL);
    else if (call_has(call, "SnapshotId"))
        call_fail_name(call, API_INVALID_PARAMETER, "SnapshotId",
                       "Disks are not made of snapshots here.");
    else
        return true;
    return false;
}

void ops_disk_create(struct call *call)
{
    struct disk_record disk;

    if (!check_source(call) || !check_zone(call))
        return;
    fill_disk(call, &disk);
    if (!disk_size(call, &disk.size_bytes) || !check_category(call, &disk) ||
        !quota_allows_disk(call, disk.size_bytes))
        return;
    COPY(call->object, disk.id);
    call->request = (struct data_request){.op = DATA_DISK_OPEN,
                                          .disk = call->object,
                                          .driver = "file",
                                          .path = "",
                                          .size_bytes = (uint64_t)disk.size_bytes,
                                          .create = true};
    put_disk_then(call, &disk, create_begin);
}

/* What the wing opened does not become a disk: it is closed again, before the answer, so that the
 * same path can be imported as soon as it is in order. */
static void import_close(struct call *call, void (*done_cb)(struct data_request *request))
{
    uint64_t size_bytes = call->request.size_bytes;

    call->request = (struct data_request){
        .op = DATA_DISK_CLOSE, .disk = call->object, .size_bytes = size_bytes};
    site_submit(call->site, &call->request, done_cb);
}

static void import_misfits(struct data_request *request)
{
    struct call *call = call_of(request);

    call_fail_name(call, API_INVALID_PARAMETER, "Path", "%s: %llu bytes are no size for a disk.",
                   call_text(call, "Path"), (unsigned long long)request->size_bytes);
}

/* Asked again, now that its size is known and others came while it was opened. */
static void import_is_too_much(struct data_request *request)
{
    struct call *call = call_of(request);

    if (quota_allows_disk(call, (int64_t)request->size_bytes)) /* one has gone meanwhile */
        call_fail(call, API_DISK_QUOTA, "There was no room for it a moment ago: ask again.");
}

static void import_lost(struct data_request *request)
{
    call_fail_internal(call_of(request), "the disk's record could not be stored");
}

static void import_opened(struct data_request *request)
{
    struct call *call = call_of(request);
    struct disk_record disk;

    if (request->error < 0) {
        call_fail_name(call, API_INVALID_PARAMETER, "Path", "%s: %s.", call_text(call, "Path"),
                       request->why[0] ? request->why : err_name(request->error));
        return;
    }
    if (request->size_bytes < DISK_GRAIN || request->size_bytes > (uint64_t)GIB_MAX << GIB_SHIFT) {
        import_close(call, import_misfits);
        return;
    }
    if (quota_has_room_for_disk(call->site, (int64_t)request->size_bytes) <= 0) {
        import_close(call, import_is_too_much);
        return;
    }
    fill_disk(call, &disk);
    COPY(disk.id, call->object);
    COPY(disk.driver, request->driver);
    COPY(disk.path, call_text(call, "Path"));
    disk.size_bytes = (int64_t)request->size_bytes;
    disk_move(&disk, DISK_AVAILABLE);
    json_t *reply = put_new_disk(call, &disk);

    if (reply)
        call_reply(call, reply);
    else
        import_close(call, import_lost);
}

/* As asked, or by what lies there. */
static const char *import_driver(struct call *call)
{
    struct stat found;

    if (call_has(call, "Driver"))
        return strcmp(call_text(call, "Driver"), "block") == 0 ? "block" : "file";
    return stat(call_text(call, "Path"), &found) == 0 && S_ISBLK(found.st_mode) ? "block" : "file";
}

/* By whatever names: links, or two nodes of one device. */
static bool is_same_store(const char *path, const char *other)
{
    struct stat one, two;

    if (strcmp(path, other) == 0)
        return true;
    if (stat(path, &one) < 0 || stat(other, &two) < 0)
        return false;
    if (S_ISBLK(one.st_mode) && S_ISBLK(two.st_mode))
        return one.st_rdev == two.st_rdev;
    return one.st_dev == two.st_dev && one.st_ino == two.st_ino;
}

/* No disk has that store, also none that is not open: a start may have left it out, and would open
 * it again with what its stream knows of before. False: answered. */
static bool check_store(struct call *call, const char *path)
{
    const struct disk_record *disks;
    const char *holder = NULL;
    void *records = NULL;
    unsigned count = 0;
    int result = meta_list(call->site->meta, RECORD_DISK, NULL, NULL, &records, &count);

    disks = records;
    for (unsigned i = 0; i < count && !holder; i++)
        if (disks[i].path[0] && is_same_store(path, disks[i].path))
            holder = disks[i].id;
    if (result < 0)
        call_fail_internal(call, err_name(result));
    else if (holder)
        call_fail_name(call, API_INVALID_PARAMETER, "Path", "%s: in use by disk %s.", path, holder);
    free(records);
    return result == 0 && !holder;
}

void ops_disk_import(struct call *call)
{
    const char *path = call_text(call, "Path");

    if (!quota_allows_disk(call, 0)) /* its size is not known yet, and it is there already */
        return;
    if (path[0] != '/') {
        call_fail_name(call, API_INVALID_PARAMETER, "Path", "%s: not an absolute path.", path);
        return;
    }
    if (!check_store(call, path))
        return;
    id_make("d", 20, site_random, call->site, call->object);
    call->request = (struct data_request){
        .op = DATA_DISK_OPEN, .disk = call->object, .driver = import_driver(call), .path = path};
    site_submit(call->site, &call->request, import_opened);
}

/* --- delete ---------------------------------------------------------------------------------- */

static void record_deleted(struct call *call)
{
    bool is_gone = call->request.error == 0 || call->request.error == -ENOENT;
    struct disk_record disk;
    struct change change;

    if (!is_gone && !load_own(call, &disk, record_deleted, record_deleted))
        return;
    change_begin(&change, call->site);
    if (is_gone) {
        change_remove(&change, RECORD_DISK, call->object);
        tag_forget(&change, call->object);
    } else {
        disk_move(&disk, DISK_AVAILABLE);
        change_put(&change, RECORD_DISK, &disk);
    }
    if (change_commit(&change) < 0)
        call_again(call, record_deleted, record_deleted);
    else if (is_gone)
        call_reply(call, NULL);
    else
        call_fail(call, API_DISK_STATUS, "Disk %s: %s.", call->object, call->request.why);
}

static void delete_closed(struct data_request *request)
{
    record_deleted(call_of(request));
}

static void delete_begin(struct call *call)
{
    site_submit(call->site, &call->request, delete_closed);
}

void ops_disk_delete(struct call *call)
{
    struct disk_record disk;
    struct pair_record pair;
    int result;

    if (!load_disk(call, &disk) || !judge_disk(call, DISK_DELETE, &disk))
        return;
    result = relation_find_by_disk(call->site, disk.id, &pair);
    if (result == 0)
        call_fail(call, API_DISK_STATUS, "Disk %s is in pair %s.", disk.id, pair.common.id);
    else if (result != -ENOENT)
        call_fail_internal(call, err_name(result));
    if (result != -ENOENT)
        return;
    disk_move(&disk, DISK_DELETING);
    COPY(call->object, disk.id);
    call->request =
        (struct data_request){.op = DATA_DISK_CLOSE, .disk = call->object, .remove = !disk.path[0]};
    put_disk_then(call, &disk, delete_begin);
}

/* --- attach, detach -------------------------------------------------------------------------- */

static void attach_done(struct data_request *request)
{
    struct call *call = call_of(request);

    /* Not exported yet is no failure: the engine opens it as soon as hosts may write. */
    if (request->error < 0)
        call_fail_internal(call, request->why);
    else
        call_reply(call, NULL);
}

static void attach_begin(struct call *call)
{
    site_submit(call->site, &call->request, attach_done);
}

/* May hosts have a disk whose other end is the source, by the records? After a reprotect that
 * failed the records do not say how far the engine came; it does. */
static bool is_failed_over(const struct site *site, const struct replica_record *ruler,
                           const char *disk)
{
    const struct data_stream_status *stream = site_stream(site, ruler->id);
    const struct data_disk_status *status = site_disk(site, disk);

    if (ruler->status == REPLICA_FAILOVERED || ruler->status == REPLICA_FAILOVERING)
        return true;
    return ruler->status == REPLICA_REPROTECT_FAILED && stream &&
           (stream->role == DATA_ROLE_PROMOTED || stream->role == DATA_ROLE_SOURCE) && status &&
           status->may_write;
}

/* One that a start left out (the log says why) would be recorded as attached and not be. False:
 * answered. */
static bool check_open(struct call *call, const struct disk_record *disk)
{
    if (!call->site->snapshot || site_disk(call->site, disk->id))
        return true;
    call_fail(call, API_DISK_STATUS, "Disk %s cannot be opened; see the log.", disk->id);
    return false;
}

/* The other site has failed over, and nothing here keeps hosts from the disk: its stream has ended.
 * What they wrote would be in no snapshot that a reprotect by records has made (anew.c). */
static bool is_left_open(const struct replica_record *ruler)
{
    return ruler->opened_serial == 0 &&
           (ruler->status == REPLICA_FAILOVERED || ruler->status == REPLICA_REPROTECT_FAILED);
}

/* A target's disk belongs to replication until it is failed over. False: answered. */
static bool may_attach(struct call *call, const struct disk_record *disk)
{
    struct pair_record pair;
    struct relation relation;
    enum replica_state state;
    bool is_source;
    int result;

    result = relation_find_by_disk(call->site, disk->id, &pair);
    if (result == 0)
        result = relation_load(call->site, pair.common.id, &relation);
    if (result == -ENOENT)
        return true;
    if (result < 0) {
        call_fail_internal(call, err_name(result));
        return false;
    }
    state = relation_ruler(&relation)->status;
    is_source = relation_is_source(call->site, &relation);
    if (is_source ? state != REPLICA_REPROTECTING && !is_left_open(relation_ruler(&relation))
                  : is_failed_over(call->site, relation_ruler(&relation), disk->id))
        return true;
    call_fail(call, API_DISK_STATUS, "Disk %s is the %s disk of pair %s, which is %s.", disk->id,
              is_source ? "primary" : "secondary", pair.common.id, replica_state_name(state));
    return false;
}

/* Is the instance's device, where one is named, free? False: answered. */
static bool check_device(struct call *call)
{
    const char *device = call_text(call, "Device"), *instance = call_text(call, "InstanceId");
    const struct attachment_record *attachments;
    const char *holder = NULL;
    void *records = NULL;
    unsigned count = 0;
    int result = 0;

    if (device[0])
        result = meta_list(call->site->meta, RECORD_ATTACHMENT, "instance_id", instance, &records,
                           &count);
    attachments = records;
    for (unsigned i = 0; i < count && !holder; i++)
        if (strcmp(attachments[i].device, device) == 0)
            holder = attachments[i].disk_id;
    if (result < 0)
        call_fail_internal(call, err_name(result));
    else if (holder)
        call_fail(call, API_DISK_DEVICE_IN_USE, "Disk %s has it.", holder);
    free(records);
    return result == 0 && !holder;
}

void ops_disk_attach(struct call *call)
{
    struct attachment_record attachment = {.attached_s = site_now_s(call->site)};
    struct disk_record disk;
    struct change change;

    if (!load_disk(call, &disk) || !judge_disk(call, DISK_ATTACH, &disk) ||
        !may_attach(call, &disk) || !check_open(call, &disk) || !check_device(call))
        return;
    COPY(attachment.disk_id, disk.id);
    COPY(attachment.instance_id, call_text(call, "InstanceId"));
    COPY(attachment.device, call_has(call, "Device") ? call_text(call, "Device") : "");
    attachment.is_deleted_with_instance = call_has(call, "DeleteWithInstance")
                                              ? call_bool(call, "DeleteWithInstance")
                                              : disk.is_deleted_with_instance;
    if (attachment.is_deleted_with_instance && disk.is_multi_attach) {
        call_fail(call, API_DISK_DELETE_WITH_INSTANCE, NULL);
        return;
    }
    disk_move(&disk, DISK_ATTACHING);
    disk_move(&disk, DISK_IN_USE);
    change_begin(&change, call->site);
    change_put(&change, RECORD_DISK, &disk);
    change_put(&change, RECORD_ATTACHMENT, &attachment);
    COPY(call->object, disk.id);
    call->request = (struct data_request){.op = DATA_DISK_ATTACH, .disk = call->object};
    sharing_then(&change, call, attach_begin);
}

static void record_detached(struct call *call)
{
    struct disk_record disk;
    struct change change;

    if (!load_own(call, &disk, record_detached, record_detached))
        return;
    if (call->request.error < 0 && call->request.error != -ENOENT) {
        disk_move(&disk, DISK_IN_USE);
        if (put_disk(call->site, &disk) < 0)
            call_again(call, record_detached, record_detached);
        else
            call_fail_internal(call, call->request.why);
        return;
    }
    disk_move(&disk, DISK_AVAILABLE);
    disk.detached_s = site_now_s(call->site);
    change_begin(&change, call->site);
    change_remove(&change, RECORD_ATTACHMENT, disk.id);
    change_put(&change, RECORD_DISK, &disk);
    if (change_commit(&change) < 0)
        call_again(call, record_detached, record_detached);
    else
        call_reply(call, NULL);
}

static void detach_done(struct data_request *request)
{
    record_detached(call_of(request));
}

static void detach_begin(struct call *call)
{
    site_submit(call->site, &call->request, detach_done);
}

/* A disk that is to become empty, and that a start left out, or whose store is fenced until the
 * next start: nothing else leads out of that, should its store be lost. Hosts do not get it back
 * unasked: it may be half empty. */
static bool is_stuck(const struct call *call, const struct disk_record *disk)
{
    const struct data_disk_status *status = site_disk(call->site, disk->id);

    return disk->status == DISK_REINITING && call->site->snapshot && (!status || status->is_fenced);
}

void ops_disk_detach(struct call *call)
{
    struct attachment_record attachment = {0};
    struct disk_record disk;
    struct change change;

    if (!load_disk(call, &disk) ||
        (!is_stuck(call, &disk) && !judge_disk(call, DISK_DETACH, &disk)))
        return;
    if (meta_get(call->site->meta, RECORD_ATTACHMENT, disk.id, &attachment) < 0 ||
        strcmp(attachment.instance_id, call_text(call, "InstanceId")) != 0) {
        call_fail(call, API_DISK_NOT_ON_INSTANCE, "Disk %s is attached to %s.", disk.id,
                  attachment.instance_id);
        return;
    }
    disk_move(&disk, DISK_DETACHING);
    COPY(call->object, disk.id);
    call->request = (struct data_request){.op = DATA_DISK_DETACH, .disk = call->object};
    change_begin(&change, call->site);
    change_put(&change, RECORD_DISK, &disk);
    jobs_cancel(&change, disk.id);
    sharing_then(&change, call, detach_begin);
}
