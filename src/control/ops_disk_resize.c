/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: a disk that is in no pair grows in place, attached or not (contract 12.7): what holds its
 * bytes first, the record then, so that a crash in between leaves a disk of the old size in a
 * larger file, and asking again ends it. So does it when the record could not be written, which is
 * answered at once. Nobody makes a pair of it meanwhile (ops_disk_is_growing()).
 *
 * A disk in a pair answers IncorrectDiskStatus.InReplication.
 */
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "control/change.h"
#include "control/operations.h"
#include "control/quota.h"
#include "control/token.h"

enum { GIB_SHIFT = 30, DISK_GRAIN = 4096, GIB_MAX = 131072 };

/* False: answered. */
static bool load_disk(struct call *call, struct disk_record *ret_disk)
{
    const char *id = call_text(call, "DiskId");
    struct pair_record pair;
    int result = meta_get(call->site->meta, RECORD_DISK, id, ret_disk);

    if (result == -ENOENT) {
        call_fail(call, API_DISK_NOT_FOUND, "Disk %.60s is not known at site %s.", id,
                  call->site->name);
        return false;
    }
    if (result == 0)
        result = relation_find_by_disk(call->site, id, &pair);
    if (result == 0)
        call_fail(call, API_DISK_IN_REPLICATION, "Disk %s is in pair %s.", id, pair.common.id);
    else if (result != -ENOENT)
        call_fail_internal(call, err_name(result));
    else if (ret_disk->status != DISK_AVAILABLE && ret_disk->status != DISK_IN_USE)
        call_fail(call, API_DISK_STATUS, "Disk %s is %s.", id, disk_state_name(ret_disk->status));
    else
        return true;
    return false;
}

/* False: answered. */
static bool new_size(struct call *call, const struct disk_record *disk, int64_t *ret_bytes)
{
    const int64_t max = (int64_t)GIB_MAX << GIB_SHIFT;
    int64_t bytes = call_has(call, "NewSizeBytes") ? call_int(call, "NewSizeBytes")
                                                   : call_int(call, "NewSize") << GIB_SHIFT;

    *ret_bytes = bytes;
    if (!call_has(call, "NewSizeBytes") && !call_has(call, "NewSize"))
        call_fail(call, API_DISK_INCOMPLETE, "NewSize is missing.");
    else if (bytes % DISK_GRAIN != 0)
        call_fail(call, API_DISK_NEW_SIZE, "%lld bytes are no multiple of %d.", (long long)bytes,
                  DISK_GRAIN);
    else if (bytes > max)
        call_fail(call, API_DISK_NEW_SIZE_LARGE, "At most %d GiB.", GIB_MAX);
    else if (bytes == disk->size_bytes)
        call_fail(call, API_DISK_NEW_SIZE_SAME, "Disk %s has %lld bytes.", disk->id,
                  (long long)bytes);
    else if (bytes < disk->size_bytes)
        call_fail(call, API_DISK_NEW_SIZE_SMALL, "Disk %s has %lld bytes.", disk->id,
                  (long long)disk->size_bytes);
    else
        return quota_allows_growth(call, bytes - disk->size_bytes);
    return false;
}

/* Hosts may use the new size already: until the record has it too, or a restart has taken the old
 * one again, no pair may be made by the record. */
static void fail_unrecorded(struct call *call)
{
    struct site *site = call->site;

    if (!site->grown)
        site->grown = json_object();
    check(site->grown && json_object_set_new(site->grown, call->object, json_true()) == 0);
    call_fail_internal(call, "the disk has grown, but its record could not be written: ask again");
}

static void record_size(struct call *call)
{
    struct disk_record disk;
    struct change change;
    int result = meta_get(call->site->meta, RECORD_DISK, call->object, &disk);

    if (result == -ENOENT) {
        call_fail(call, API_DISK_NOT_FOUND, "Disk %s was deleted meanwhile.", call->object);
        return;
    }
    if (result < 0) {
        fail_unrecorded(call);
        return;
    }
    disk.size_bytes = (int64_t)call->request.size_bytes;
    change_begin(&change, call->site);
    change_put(&change, RECORD_DISK, &disk);
    token_remember(&change, call, NULL);
    if (change_commit(&change) < 0) {
        fail_unrecorded(call);
        return;
    }
    json_object_del(call->site->grown, call->object);
    call_reply(call, NULL);
}

static void grown(struct data_request *request)
{
    struct call *call = container_of(request, struct call, request);

    check_magic(call, CALL_MAGIC);
    site_done(call->site);
    if (request->error == 0)
        record_size(call);
    else if (request->error == -ENOSPC || request->error == -EBUSY)
        call_fail(call, API_DISK_RESIZE_DENIED, "%s.", request->why);
    else
        call_fail_internal(call, request->why);
}

bool ops_disk_is_growing(struct site *site, const char *id)
{
    return json_object_get(site->grown, id) || call_is_running(site, ops_disk_resize, id);
}

void ops_disk_resize(struct call *call)
{
    struct disk_record disk;
    int64_t bytes;

    if (!load_disk(call, &disk) || !new_size(call, &disk, &bytes))
        return;
    if (call_is_running(call->site, ops_disk_resize, disk.id)) {
        call_fail(call, API_DISK_STATUS, "Disk %s is being resized.", disk.id);
        return;
    }
    strcpy(call->object, disk.id);
    call->request = (struct data_request){
        .op = DATA_DISK_GROW, .disk = call->object, .size_bytes = (uint64_t)bytes};
    site_submit(call->site, &call->request, grown);
}
