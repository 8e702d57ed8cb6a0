/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: an answer promises that the work happens, whatever happens to the daemons.
 *
 * Invariants
 *  1. A row exists from the acceptance of the work to the transaction that records its end.
 *  2. A row has at most one struct job, which lives until its function ended.
 *  3. A cancelled job's row is gone; what its function learns afterwards is thrown away.
 */
#include "control/jobs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/id.h"
#include "base/log.h"

enum { QUIET_ATTEMPTS = 3 };

struct jobs {
    const struct job_kind *kinds;
    unsigned kind_count;
    struct list running;
    struct site *site;
    struct loop_timer wake_timer; /* the rows could not be listed */
};

static void wake_fired(struct loop_timer *timer)
{
    jobs_wake(container_of(timer, struct jobs, wake_timer)->site);
}

int jobs_init(struct site *site, const struct job_kind *kinds, unsigned kind_count)
{
    site->jobs = calloc(1, sizeof(*site->jobs));
    check(site->jobs);
    site->jobs->kinds = kinds;
    site->jobs->kind_count = kind_count;
    site->jobs->site = site;
    site->jobs->wake_timer.fired_cb = wake_fired;
    list_init(&site->jobs->running);
    return 0;
}

void jobs_fini(struct site *site)
{
    if (!site->jobs)
        return;
    check(list_is_empty(&site->jobs->running));
    free(site->jobs);
    site->jobs = NULL;
}

void jobs_add(struct change *change, const char *kind, const char *object, const char *argument)
{
    struct job_record record = {.created_s = site_now_s(change->site)};
    char unique[ID_SIZE];

    id_make("j", 8, site_random, change->site, unique);
    snprintf(record.id, sizeof(record.id), "%s/%s/%s", kind, object, unique);
    snprintf(record.kind, sizeof(record.kind), "%s", kind);
    snprintf(record.object, sizeof(record.object), "%s", object);
    snprintf(record.argument, sizeof(record.argument), "%s", argument);
    change_put(change, RECORD_JOB, &record);
}

static int rows_of(struct site *site, const char *object, struct job_record **ret_rows,
                   unsigned *ret_count)
{
    void *rows = NULL;
    unsigned count = 0;
    int result = meta_list(site->meta, RECORD_JOB, "object", object, &rows, &count);

    if (result < 0)
        return result;
    *ret_rows = rows;
    *ret_count = count;
    return 0;
}

void jobs_cancel(struct change *change, const char *object)
{
    struct job_record *rows = NULL;
    unsigned count = 0;
    int result;

    result = rows_of(change->site, object, &rows, &count);
    if (result < 0)
        change_fail(change, result, "the list of its jobs");
    for (unsigned i = 0; i < count; i++)
        change_remove(change, RECORD_JOB, rows[i].id);
    free(rows);
}

int jobs_exist(struct site *site, const char *kind, const char *object, bool *ret_found)
{
    struct job_record *rows = NULL;
    unsigned count = 0;
    int result = rows_of(site, object, &rows, &count);

    *ret_found = false;
    for (unsigned i = 0; i < count; i++)
        *ret_found |= strcmp(rows[i].kind, kind) == 0;
    free(rows);
    return result;
}

void jobs_trouble(struct site *site, const char *object, char *ret_text, size_t size)
{
    struct job_record *rows = NULL;
    unsigned count = 0;
    int result = rows_of(site, object, &rows, &count);

    ret_text[0] = 0;
    if (result < 0)
        snprintf(ret_text, size, "its jobs cannot be listed: %s", err_name(result));
    for (unsigned i = 0; i < count; i++)
        if (rows[i].trouble[0])
            snprintf(ret_text, size, "%s: %s", rows[i].kind, rows[i].trouble);
    free(rows);
}

static struct job *job_of_row(struct jobs *jobs, const char *id)
{
    struct list *node, *next;

    list_for_each(node, next, &jobs->running)
    {
        struct job *job = list_entry(node, struct job, node);
        if (strcmp(job->record.id, id) == 0)
            return job;
    }
    return NULL;
}

static void job_run(struct job *job)
{
    struct jobs *jobs = job->site->jobs;

    check_magic(job, JOB_MAGIC);
    for (unsigned i = 0; i < jobs->kind_count; i++)
        if (strcmp(jobs->kinds[i].name, job->record.kind) == 0) {
            jobs->kinds[i].run(job);
            return;
        }
    log_error("control", "job %s: this version does not know its kind; left alone", job->record.id);
    job_finish(job);
}

static void job_fired(struct loop_timer *timer)
{
    struct job *job = container_of(timer, struct job, timer);
    struct site *site = job->site;
    int look = job_look(job);

    if (look < 0) {
        loop_timer_set(site->loop, timer, loop_now_ns(site->loop) + site->retry_min_ns);
        return;
    }
    job->is_waiting = false;
    if (look > 0)
        job_run(job);
    else
        job_finish(job);
}

void jobs_wake(struct site *site)
{
    void *listed = NULL;
    const struct job_record *rows;
    unsigned count = 0;

    if (site->is_stopping || !site->is_ready)
        return;
    if (meta_list(site->meta, RECORD_JOB, NULL, NULL, &listed, &count) < 0) {
        /* A job that nobody wakes would never end. */
        loop_timer_set(site->loop, &site->jobs->wake_timer,
                       loop_now_ns(site->loop) + site->retry_min_ns);
        return;
    }
    rows = listed;
    for (unsigned i = 0; i < count; i++) {
        struct job *job;

        if (job_of_row(site->jobs, rows[i].id))
            continue;
        job = calloc(1, sizeof(*job));
        check(job);
        job->magic = JOB_MAGIC;
        job->site = site;
        job->record = rows[i];
        job->timer.fired_cb = job_fired;
        list_append(&site->jobs->running, &job->node);
        /* By the timer, so that a job never runs inside of what woke it. */
        job->is_waiting = true;
        loop_timer_set(site->loop, &job->timer, loop_now_ns(site->loop));
    }
    free(listed);
}

void jobs_hurry(struct site *site)
{
    struct list *node, *next;

    list_for_each(node, next, &site->jobs->running)
    {
        struct job *job = list_entry(node, struct job, node);
        if (job->is_waiting)
            loop_timer_set(site->loop, &job->timer, loop_now_ns(site->loop));
    }
}

void jobs_stop(struct site *site)
{
    struct list *node, *next;

    check(site->is_stopping);
    loop_timer_cancel(site->loop, &site->jobs->wake_timer);
    list_for_each(node, next, &site->jobs->running)
    {
        struct job *job = list_entry(node, struct job, node);
        if (!job->is_waiting)
            continue;
        loop_timer_cancel(site->loop, &job->timer);
        job->is_waiting = false;
        job_finish(job);
    }
}

int job_look(const struct job *job)
{
    struct job_record row;
    int result;

    check_magic(job, JOB_MAGIC);
    if (job->site->is_stopping)
        return 0;
    result = meta_get(job->site->meta, RECORD_JOB, job->record.id, &row);
    return result == -ENOENT ? 0 : result < 0 ? result : 1;
}

void job_finish(struct job *job)
{
    check_magic(job, JOB_MAGIC);
    check(!job->is_waiting);
    list_remove(&job->node);
    job->magic = 0;
    free(job);
}

static void record_trouble(struct job *job, const char *why)
{
    struct change change;

    /* What passes within a moment is no trouble. */
    if (job->record.attempt_count < QUIET_ATTEMPTS ||
        strncmp(job->record.trouble, why, sizeof(job->record.trouble) - 1) == 0)
        return;
    snprintf(job->record.trouble, sizeof(job->record.trouble), "%s", why);
    log_warning("control", "job %s: %s; trying again", job->record.id, why);
    change_begin(&change, job->site);
    change_put(&change, RECORD_JOB, &job->record);
    change_commit(&change);
}

void job_retry(struct job *job, const char *why)
{
    struct site *site = job->site;
    uint64_t wait_ns = site->retry_min_ns;
    int look = job_look(job);

    if (look == 0) {
        job_finish(job);
        return;
    }
    if (look > 0) /* else it may be cancelled: it must not be stored again */
        record_trouble(job, why);
    for (int64_t i = 0; i < job->record.attempt_count && wait_ns < site->retry_max_ns; i++)
        wait_ns *= 2;
    if (wait_ns > site->retry_max_ns)
        wait_ns = site->retry_max_ns;
    job->record.attempt_count++;
    job->is_waiting = true;
    loop_timer_set(site->loop, &job->timer, loop_now_ns(site->loop) + wait_ns);
}
