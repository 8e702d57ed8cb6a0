/* SPDX-License-Identifier: Apache-2.0 */
#include "control/relation_job.h"

#include <errno.h>
#include <string.h>

#include "control/sync.h"

bool job_load(struct job *job, struct relation *ret_relation)
{
    int result = job_look(job);

    if (result == 0) {
        job_finish(job);
        return false;
    }
    if (result > 0)
        result = relation_load(job->site, job->record.object, ret_relation);
    if (result == 0)
        return true;
    if (result == -ENOENT)
        job_end(job, NULL);
    else /* it cannot be read now: that is no reason to give it up */
        job_retry(job, err_name(result));
    return false;
}

void job_end(struct job *job, const struct relation *relation)
{
    struct site *site = job->site;
    struct change change;
    char object[RECORD_ID_SIZE];

    strcpy(object, job->record.object);
    change_begin(&change, site);
    if (relation)
        relation_put(&change, relation);
    change_remove(&change, RECORD_JOB, job->record.id);
    if (change_commit(&change) < 0) {
        job_retry(job, change.err.text);
        return;
    }
    job_finish(job);
    if (relation)
        sync_mark(site, object);
}
