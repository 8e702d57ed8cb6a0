/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Long work that survives restarts. A job is a row of the metadata, written in the transaction that
 * accepts the operation; its kind names a function of the table given at init. The function runs
 * again after a restart or a retry, so each must be repeatable from its beginning. It ends the job
 * by removing the row in the transaction that records the outcome, then calls job_finish().
 */
#ifndef CONTROL_JOBS_H
#define CONTROL_JOBS_H

#include "control/change.h"
#include "control/peer.h"

enum { JOB_MAGIC = 0x6a6f6200 };

struct job {
    uint32_t magic;
    struct job_record record;
    struct site *site;
    struct data_request request; /* for the kind's use, one at a time */
    struct peer_call call;
    struct loop_timer timer;
    struct list node;
    bool is_waiting; /* for the timer */
};

struct job_kind {
    const char *name;
    void (*run)(struct job *job);
};

int jobs_init(struct site *site, const struct job_kind *kinds, unsigned kind_count);
void jobs_fini(struct site *site);

/* Inside a transaction: a new job. */
void jobs_add(struct change *change, const char *kind, const char *object, const char *argument);
/* Inside a transaction: forgets the jobs of an object (their work under way is ignored). When they
 * cannot be listed, the change fails. */
void jobs_cancel(struct change *change, const char *object);
/* After a commit, and at a start: runs rows that are not under way. */
void jobs_wake(struct site *site);
/* Something changed for the better (a peer came up): retries begin at once. */
void jobs_hurry(struct site *site);
/* Ends waiting; running ones end with their request. */
void jobs_stop(struct site *site);
/* Is work of this kind for this object in the rows? Negative: they cannot be read. */
int jobs_exist(struct site *site, const char *kind, const char *object, bool *ret_found);
/* Why the object's job failed last; "" when nothing failed. */
void jobs_trouble(struct site *site, const char *object, char *ret_text, size_t size);

/* 1: not cancelled, and the site goes on. 0: end with job_finish() and change nothing. Negative:
 * its row cannot be read; job_retry(), and change nothing. */
int job_look(const struct job *job);
void job_finish(struct job *job);
/* Again, later. */
void job_retry(struct job *job, const char *why);

#endif
