/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: a disk that is ReIniting becomes empty, whatever happens to the daemon meanwhile. Hosts are
 * kept off first; then piece after piece becomes zeros; the record says In_use again when all of it
 * is durable, and only then do hosts reach it. After a crash it is done from the beginning: nobody
 * has written since.
 */
#include "control/reinit.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"

static struct job *job_of(struct data_request *request)
{
    struct job *job = container_of(request, struct job, request);

    check_magic(job, JOB_MAGIC);
    site_done(job->site);
    return job;
}

static void submit(struct job *job, enum data_op op, uint64_t offset,
                   void (*done_cb)(struct data_request *request))
{
    job->request = (struct data_request){.op = op, .disk = job->record.object, .offset = offset};
    site_submit(job->site, &job->request, done_cb);
}

/* False: the job has ended, or waits. */
static bool goes_on(struct job *job)
{
    int look = job_look(job);

    if (look == 0)
        job_finish(job);
    else if (look < 0)
        job_retry(job, err_name(look));
    return look > 0;
}

static void attached(struct data_request *request)
{
    struct job *job = job_of(request);

    if (request->error < 0 && request->error != -EALREADY)
        log_error("control", "disk %s is empty, and not attached: %s", job->record.object,
                  request->why);
    job_finish(job);
}

/* The job ends with the record's state; hosts come behind that. */
static void record_empty(struct job *job)
{
    struct disk_record disk;
    struct change change;
    int result = meta_get(job->site->meta, RECORD_DISK, job->record.object, &disk);

    if (result < 0 && result != -ENOENT) {
        job_retry(job, err_name(result));
        return;
    }
    change_begin(&change, job->site);
    if (result == 0 && disk.status == DISK_REINITING) {
        disk.status = DISK_IN_USE;
        change_put(&change, RECORD_DISK, &disk);
    }
    change_remove(&change, RECORD_JOB, job->record.id);
    if (change_commit(&change) < 0)
        job_retry(job, change.err.text);
    else if (result == 0 && disk.status == DISK_IN_USE)
        submit(job, DATA_DISK_ATTACH, 0, attached);
    else
        job_finish(job);
}

static void piece_wiped(struct data_request *request)
{
    struct job *job = job_of(request);

    if (!goes_on(job))
        return;
    if (request->error < 0)
        job_retry(job, request->why);
    else if (request->is_whole)
        record_empty(job);
    else
        submit(job, DATA_DISK_WIPE, request->offset, piece_wiped);
}

static void detached(struct data_request *request)
{
    struct job *job = job_of(request);

    if (!goes_on(job))
        return;
    if (request->error < 0)
        job_retry(job, request->why);
    else
        submit(job, DATA_DISK_WIPE, 0, piece_wiped);
}

void reinit_run(struct job *job)
{
    submit(job, DATA_DISK_DETACH, 0, detached);
}
