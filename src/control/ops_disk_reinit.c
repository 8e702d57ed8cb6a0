/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: ReInitDisk (contract 12.8): an attached disk becomes empty. There are no instances here: a
 * disk that is attached and to which no host is connected stands for one of a stopped instance. The
 * call is answered when the record says ReIniting, durably; the rest is a job's (reinit.c).
 */
#include <errno.h>

#include "base/check.h"
#include "control/operations.h"
#include "control/reinit.h"
#include "control/relation.h"
#include "control/sharing.h"
#include "control/token.h"

/* By the status of the data wing, which is a moment old: who connects in that moment is thrown out
 * as if he had come a moment later. False: answered. */
static bool is_stopped(struct call *call, const struct disk_record *disk)
{
    const struct data_disk_status *status = site_disk(call->site, disk->id);

    if (!status)
        call_fail(call, API_DISK_STATUS, "Disk %s cannot be opened; see the log.", disk->id);
    else if (status->connections > 0)
        call_fail(call, API_REINIT_INSTANCE_STATUS, "%u hosts are connected to disk %s.",
                  status->connections, disk->id);
    else
        return true;
    return false;
}

/* False: answered. */
static bool load(struct call *call, struct disk_record *ret_disk)
{
    const char *id = call_text(call, "DiskId");
    int result = meta_get(call->site->meta, RECORD_DISK, id, ret_disk);
    struct pair_record pair;
    enum api_error error;

    if (result == -ENOENT) {
        call_fail(call, API_DISK_NOT_FOUND, "Disk %.60s is not known at site %s.", id,
                  call->site->name);
        return false;
    }
    if (result == 0)
        result = relation_find_by_disk(call->site, id, &pair);
    if (result < 0 && result != -ENOENT)
        call_fail_internal(call, err_name(result));
    else if (result == 0)
        call_fail(call, API_DISK_STATUS, "Disk %s is in pair %s.", id, pair.common.id);
    else if (disk_state_judge(DISK_REINIT, ret_disk->status, &error) != STATE_ALLOW)
        call_fail(call, error, "Disk %s is %s.", id, disk_state_name(ret_disk->status));
    else
        return is_stopped(call, ret_disk);
    return false;
}

void ops_disk_reinit(struct call *call)
{
    struct disk_record disk;
    struct change change;

    if (!load(call, &disk))
        return;
    check(disk_state_may_move(disk.status, DISK_REINITING));
    disk.status = DISK_REINITING;
    change_begin(&change, call->site);
    change_put(&change, RECORD_DISK, &disk);
    jobs_add(&change, REINIT_JOB, disk.id, "");
    token_remember(&change, call, NULL);
    sharing_answer(&change, call, NULL);
}
