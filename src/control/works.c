/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: what goes on behind an accepted operation. Each job asks the data wing for one repeatable
 * step and records the outcome and its own end in one transaction.
 *
 *     kind       step                 outcome
 *     start      DATA_STREAM_START    none: the state is already an active one
 *     stop       DATA_STREAM_STOP     stopping -> stopped | stop_failed; of a stream that could
 *                                     not be opened: stopped, and again when it opens after all
 *     failover   DATA_STREAM_FAILOVER failovering -> failovered | failover_failed
 *     reprotect  DATA_STREAM_REPROTECT reprotecting -> stopped | reprotect_failed; direction
 *     creation   none; asks the peer what became of a pair that it began to make with us
 *     drop       DATA_STREAM_REMOVE   the stream of a past serial is gone; not while a target's
 *                                     disk is attached
 *     delete     DATA_STREAM_REMOVE   the record is gone, a tombstone stands | delete_failed
 *     part       DATA_STREAM_PART     none: the record is invalid already
 */
#include "control/works.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "control/anew.h"
#include "control/audit.h"
#include "control/reinit.h"
#include "control/relation_job.h"
#include "control/reopening.h"
#include "control/sync.h"
#include "control/tag.h"

enum { ATTEMPTS_MAX = 8, CREATION_ATTEMPTS = 9 /* some ten seconds */ };

/* It may be otherwise in a moment: the stream is still being opened, the peer is not there. */
static bool is_passing(int error)
{
    return error == -EBUSY || error == -EAGAIN || error == -EHOSTUNREACH || error == -ETIMEDOUT;
}

/* Try again, rather than say that it failed? */
static bool is_worth_a_try(const struct job *job, int error)
{
    return is_passing(error) || (error < 0 && job->record.attempt_count < ATTEMPTS_MAX);
}

static void submit(struct job *job, enum data_op op, void (*done_cb)(struct data_request *request))
{
    memset(&job->request, 0, sizeof(job->request));
    job->request.op = op;
    job->request.stream = job->record.object;
    site_submit(job->site, &job->request, done_cb);
}

static struct job *job_of(struct data_request *request)
{
    struct job *job = container_of(request, struct job, request);

    check_magic(job, JOB_MAGIC);
    site_done(job->site);
    return job;
}

/* --- start, stop ----------------------------------------------------------------------------- */

/* What keeps it from being there says more than that it is not there. */
static const char *why_of(const struct job *job, const struct data_request *request)
{
    const char *trouble = site_trouble(job->site, job->record.object);

    return request->error == -ENOENT && trouble[0] ? trouble : request->why;
}

/* How `what` ended, in log, record of events and status; what keeps a stream from being there stays
 * in the status. */
static void tell_outcome(const struct job *job, const char *what,
                         const struct data_request *request)
{
    struct site *site = job->site;
    const char *id = job->record.object, *noted = site_trouble(site, id);
    size_t length = strlen(what);
    bool is_ours = strncmp(noted, what, length) == 0;
    char text[sizeof(request->why) + 100];

    if (request->error < 0) {
        snprintf(text, sizeof(text), "%s failed: %s; mend it and ask again", what,
                 is_ours ? request->why : why_of(job, request));
        log_error("control", "%s: %s", id, text);
        audit_event(site, "trouble", EVENT_WARNING, id, "%s", text);
        if (is_ours || !noted[0])
            site_note_trouble(site, id, text);
    } else if (is_ours) {
        site_note_trouble(site, id, "");
    }
}

static void start_done(struct data_request *request)
{
    struct job *job = job_of(request);
    struct relation relation;

    if (!job_load(job, &relation))
        return;
    if (request->error < 0)
        job_retry(job, why_of(job, request));
    else
        job_end(job, NULL);
}

static void start_run(struct job *job)
{
    struct relation relation;

    if (!job_load(job, &relation))
        return;
    if (!replica_state_is_active(relation_own(&relation)->status) ||
        relation_is_member(&relation) || !relation_is_source(job->site, &relation)) {
        job_end(job, NULL); /* overtaken */
        return;
    }
    memset(&job->request, 0, sizeof(job->request));
    job->request.op = DATA_STREAM_START;
    job->request.stream = job->record.object;
    job->request.one_shot = relation_own(&relation)->status == REPLICA_MANUAL_SYNCING;
    site_submit(job->site, &job->request, start_done);
}

/* A stream that is not there (left out at the start, for it is damaged) replicates nothing: it is
 * stopped, and its relation can be deleted. So is one that is fenced by now. */
static void stop_done(struct data_request *request)
{
    struct job *job = job_of(request);
    const struct data_stream_status *stream = site_stream(job->site, job->record.object);
    bool is_past = request->error == -EINVAL && stream && stream->role != DATA_ROLE_SOURCE;
    int error = request->error == -ENOENT || is_past ? 0 : request->error;
    struct relation relation;

    if (!job_load(job, &relation))
        return;
    if (is_worth_a_try(job, error)) {
        job_retry(job, request->why);
        return;
    }
    if (relation_own(&relation)->status != REPLICA_STOPPING) {
        job_end(job, NULL);
        return;
    }
    if (error == request->error)
        tell_outcome(job, "stop", request);
    relation_keep_point(job->site, &relation);
    relation_move(&relation, error == 0 ? REPLICA_STOPPED : REPLICA_STOP_FAILED);
    job_end(job, &relation);
}

static void stop_run(struct job *job)
{
    submit(job, DATA_STREAM_STOP, stop_done);
}

/* --- failover, reprotect --------------------------------------------------------------------- */

static void failover_done(struct data_request *request)
{
    struct job *job = job_of(request);
    struct relation relation;

    if (!job_load(job, &relation))
        return;
    if (request->error != -ENODATA && is_worth_a_try(job, request->error)) {
        job_retry(job, request->why);
        return;
    }
    if (relation_own(&relation)->status != REPLICA_FAILOVERING) {
        job_end(job, NULL);
        return;
    }
    tell_outcome(job, "failover", request);
    relation_keep_point(job->site, &relation);
    relation_move(&relation, request->error == 0 ? REPLICA_FAILOVERED : REPLICA_FAILOVER_FAILED);
    job_end(job, &relation);
}

static void failover_run(struct job *job)
{
    submit(job, DATA_STREAM_FAILOVER, failover_done);
}

/* The engine's word on the direction counts, not what was asked: it goes on with what was begun
 * before a failure or a restart, whichever way is asked later. */
static void reprotect_seen(struct data_request *request)
{
    struct job *job = job_of(request);
    struct site *site = job->site;
    const struct data_stream_status *stream;
    struct relation relation;

    site_take_snapshot(site, request);
    if (!job_load(job, &relation))
        return;
    stream = site_stream(site, job->record.object);
    if (!stream || (stream->role != DATA_ROLE_SOURCE && stream->role != DATA_ROLE_TARGET)) {
        job_retry(job, "the stream is not settled");
        return;
    }
    if (relation_own(&relation)->status != REPLICA_REPROTECTING) {
        job_end(job, NULL);
        return;
    }
    relation_move(&relation, REPLICA_STOPPED);
    relation_own(&relation)->is_reversed =
        (stream->role == DATA_ROLE_SOURCE) != relation_is_production(site, &relation);
    job_end(job, &relation);
}

static void reprotect_done(struct data_request *request)
{
    struct job *job = job_of(request);
    struct relation relation;
    bool is_done = request->error == 0 || request->error == -EALREADY;

    if (!job_load(job, &relation))
        return;
    if (is_passing(request->error)) {
        job_retry(job, request->why);
        return;
    }
    if (relation_own(&relation)->status != REPLICA_REPROTECTING) {
        job_end(job, NULL);
        return;
    }
    if (is_done) {
        submit(job, DATA_STATUS, reprotect_seen);
        return;
    }
    log_error("control", "reprotect of %s: %s", job->record.object, request->why);
    relation_move(&relation, REPLICA_REPROTECT_FAILED);
    job_end(job, &relation);
}

static void reprotect_run(struct job *job)
{
    if (strcmp(job->record.argument, "anew") == 0) {
        anew_run(job);
        return;
    }
    memset(&job->request, 0, sizeof(job->request));
    job->request.op = DATA_STREAM_REPROTECT;
    job->request.stream = job->record.object;
    job->request.reverse = strcmp(job->record.argument, "reverse") == 0;
    site_submit(job->site, &job->request, reprotect_done);
}

/* --- drop, delete ---------------------------------------------------------------------------- */

/* No stream is there. Local alone: no new version, nothing to push. */
static void note_dropped(struct change *change, struct relation *relation)
{
    relation_own(relation)->opened_serial = 0;
    relation_own(relation)->opened_disks[0] = 0;
    relation_put(change, relation);
}

/* The job was cancelled by what the peer did, but a removal that has begun ends all the same. A
 * reprotect would wait for this end of it for ever. */
static void drop_overtaken(struct site *site, const char *id)
{
    struct relation relation;
    struct change change;
    bool is_again = false;
    int result = relation_load(site, id, &relation);

    if (result == 0)
        result = jobs_exist(site, "drop", id, &is_again);
    if (result == -ENOENT || is_again)
        return;
    change_begin(&change, site);
    if (result < 0)
        change_fail(&change, result, id);
    else
        note_dropped(&change, &relation);
    if (change_commit(&change) < 0)
        site_note_trouble(site, id, "the replication has ended, and that could not be stored");
}

/* Of several membership changes each has its job, and the first one's removal is all of them's: the
 * others must not end what was started behind it. */
static bool is_dropped(struct relation *relation)
{
    const struct replica_record *own = relation_own(relation);

    return own->opened_serial == 0 || own->opened_serial == own->stream_serial;
}

static void drop_done(struct data_request *request)
{
    struct job *job = job_of(request);
    bool is_gone = request->error == 0 || request->error == -ENOENT;
    char disks[RECORD_DISKS_SIZE];
    struct relation relation;
    struct change change;

    if (is_gone && !job->site->is_stopping && job_look(job) == 0)
        drop_overtaken(job->site, job->record.object);
    if (!job_load(job, &relation))
        return;
    if (is_dropped(&relation)) {
        job_end(job, NULL);
        return;
    }
    if (!is_gone) {
        job_retry(job, request->why);
        return;
    }
    strcpy(disks, relation_own(&relation)->opened_disks);
    change_begin(&change, job->site);
    note_dropped(&change, &relation);
    change_remove(&change, RECORD_JOB, job->record.id);
    if (change_commit(&change) < 0) {
        job_retry(job, change.err.text);
        return;
    }
    reopening_begin(job->site, disks);
    job_finish(job);
}

/* Is a disk of the stream attached? Those it was made with count, whatever the membership is by
 * now. 1, 0, or why it cannot be read. */
static int is_stream_attached(struct site *site, const struct replica_record *own)
{
    struct attachment_record attachment;
    const char *at = own->opened_disks;
    int result = -ENOENT;

    for (const char *end; result == -ENOENT && (end = strchr(at, ' ')); at = end + 1) {
        char disk[RECORD_ID_SIZE] = "";

        check((size_t)(end - at) < sizeof(disk));
        memcpy(disk, at, (size_t)(end - at));
        result = meta_get(site->meta, RECORD_ATTACHMENT, disk, &attachment);
    }
    return result == 0 ? 1 : result == -ENOENT ? 0 : result;
}

/* The stream is what keeps hosts from a target's disk: it stays while one is attached, as after an
 * attachment in the moment of a reprotect. Failed over, the target's are the source's. */
static void drop_run(struct job *job)
{
    struct relation relation;
    bool is_failed_over;
    int attached;

    if (!job_load(job, &relation))
        return;
    if (is_dropped(&relation)) {
        job_end(job, NULL);
        return;
    }
    is_failed_over = relation_own(&relation)->status == REPLICA_FAILOVERED;
    attached = relation_is_source(job->site, &relation) != is_failed_over
                   ? 0
                   : is_stream_attached(job->site, relation_own(&relation));
    if (attached != 0)
        job_retry(job, attached < 0 ? err_name(attached)
                                    : "a disk of this site, which is the target, is attached; "
                                      "detach it");
    else
        submit(job, DATA_STREAM_REMOVE, drop_done);
}

/* "forget 1", "forget 2 discard"; else it is deleted at both sites. See ops_forget.c. */
static enum tombstone_forgotten forgotten_as(const struct job *job)
{
    const char *argument = job->record.argument;

    if (strncmp(argument, "forget ", 7) != 0)
        return TOMBSTONE_DELETED;
    return argument[7] == '0' + TOMBSTONE_TAKEN ? TOMBSTONE_TAKEN : TOMBSTONE_LEFT;
}

/* A member whose own stream of before is not removed yet: it ends by itself, as if it had been
 * forgotten alone. Without its record nothing would remove that stream, and its disk would stay
 * closed. */
static void end_alone(struct change *change, struct pair_record *pair,
                      const struct tombstone_record *tombstone, const char *argument)
{
    pair->group_id[0] = 0;
    pair->common.status = REPLICA_DELETING;
    pair->common.was_written = tombstone->forgotten == TOMBSTONE_TAKEN;
    jobs_cancel(change, pair->common.id);
    change_put(change, RECORD_PAIR, pair);
    jobs_add(change, "delete", pair->common.id, argument);
}

/* Members of a group that is forgotten go with it. One that the peer did not tell us of yet must
 * not hold a group that is deleted. */
static void end_members(struct change *change, struct pair_record *pairs, unsigned count,
                        const struct tombstone_record *tombstone, const char *argument)
{
    for (unsigned i = 0; i < count; i++) {
        struct tombstone_record own = *tombstone;

        if (tombstone->forgotten == TOMBSTONE_DELETED) {
            pairs[i].group_id[0] = 0;
            change_put(change, RECORD_PAIR, &pairs[i]);
            continue;
        }
        if (pairs[i].common.opened_serial != 0) {
            end_alone(change, &pairs[i], tombstone, argument);
            continue;
        }
        strcpy(own.id, pairs[i].common.id);
        change_remove(change, RECORD_PAIR, own.id);
        tag_forget(change, own.id);
        change_put(change, RECORD_TOMBSTONE, &own);
    }
}

/* What the peer must hear of now; else it would at the next time the link comes up. */
static void mark_ended(struct site *site, const struct tombstone_record *tombstone,
                       const struct pair_record *pairs, unsigned count)
{
    sync_mark(site, tombstone->id);
    for (unsigned i = 0; i < count && tombstone->forgotten != TOMBSTONE_DELETED; i++)
        if (pairs[i].common.opened_serial == 0)
            sync_mark(site, pairs[i].common.id);
}

static void delete_end(struct job *job, struct relation *relation)
{
    struct site *site = job->site;
    struct tombstone_record tombstone = {.term = relation_own(relation)->term,
                                         .is_acked = strcmp(job->record.argument, "peer") == 0,
                                         .created_s = site_now_s(site),
                                         .forgotten = forgotten_as(job)};
    struct pair_record *pairs = NULL;
    unsigned count = 0;
    struct change change;
    int result = 0;

    strcpy(tombstone.id, job->record.object);
    strcpy(tombstone.peer, relation_peer(site, relation));
    if (relation->is_group)
        result = relation_members(site, relation, &pairs, &count);
    change_begin(&change, site);
    if (result < 0)
        change_fail(&change, result, "the list of its pairs");
    end_members(&change, pairs, count, &tombstone, job->record.argument);
    change_remove(&change, relation->is_group ? RECORD_GROUP : RECORD_PAIR, job->record.object);
    tag_forget(&change, job->record.object);
    change_put(&change, RECORD_TOMBSTONE, &tombstone);
    change_remove(&change, RECORD_JOB, job->record.id);
    if (change_commit(&change) < 0) {
        job_retry(job, change.err.text);
    } else {
        site_note_trouble(site, tombstone.id, "");
        job_finish(job);
        mark_ended(site, &tombstone, pairs, count);
        jobs_wake(site);
        reopening_begin(site, relation_own(relation)->opened_disks);
    }
    free(pairs);
}

/* The disks would hold something older than what was shown: a person decides. */
static void delete_refused(struct job *job, struct relation *relation, const char *why)
{
    log_error("control", "%s stays: %s", job->record.object, why);
    site_note_trouble(job->site, job->record.object, why);
    relation_move(relation, REPLICA_DELETE_FAILED);
    job_end(job, relation);
}

static void delete_done(struct data_request *request)
{
    struct job *job = job_of(request);
    struct relation relation;

    if (!job_load(job, &relation))
        return;
    if (request->error == -EUCLEAN)
        delete_refused(job, &relation, request->why);
    else if (request->error < 0 && request->error != -ENOENT)
        job_retry(job, request->why);
    else
        delete_end(job, &relation);
}

/* Also when the record knows of no stream: it may be older than the stream (claims.c). */
static void delete_run(struct job *job)
{
    struct relation relation;

    if (!job_load(job, &relation))
        return;
    memset(&job->request, 0, sizeof(job->request));
    job->request.op = DATA_STREAM_REMOVE;
    job->request.stream = job->record.object;
    job->request.remove = strstr(job->record.argument, "discard") != NULL;
    site_submit(job->site, &job->request, delete_done);
}

/* --- part: the peer has given it up for itself ----------------------------------------------- */

static void part_done(struct data_request *request)
{
    struct job *job = job_of(request);
    struct relation relation;

    if (!job_load(job, &relation))
        return;
    if (request->error < 0 && request->error != -ENOENT)
        job_retry(job, request->why);
    else
        job_end(job, NULL);
}

static void part_run(struct job *job)
{
    memset(&job->request, 0, sizeof(job->request));
    job->request.op = DATA_STREAM_PART;
    job->request.stream = job->record.object;
    job->request.fence = strcmp(job->record.argument, "fence") == 0;
    site_submit(job->site, &job->request, part_done);
}

/* --- creation -------------------------------------------------------------------------------- */

/* The peer asked whether our disk fits, and should have told the end of it long since: asked for by
 * a push, it says (sync_adopt()). A creation takes a moment, so not at once. */
static void creation_run(struct job *job)
{
    struct relation relation;

    if (!job_load(job, &relation))
        return;
    if (relation_own(&relation)->status != REPLICA_CREATING) {
        job_end(job, NULL);
        return;
    }
    if (job->record.attempt_count >= CREATION_ATTEMPTS)
        sync_mark(job->site, job->record.object);
    job_retry(job, "the other site has not told what became of it");
}

/* --- the table ------------------------------------------------------------------------------- */

static const struct job_kind kinds[] = {
    {"start", start_run},         {"stop", stop_run},         {"failover", failover_run},
    {"reprotect", reprotect_run}, {"creation", creation_run}, {"drop", drop_run},
    {"delete", delete_run},       {"part", part_run},         {REINIT_JOB, reinit_run},
};

const struct job_kind *works_kinds(unsigned *ret_count)
{
    *ret_count = ARRAY_COUNT(kinds);
    return kinds;
}

static void end_one_shot(struct site *site, const char *id)
{
    const struct data_stream_status *stream = site_stream(site, id);
    struct relation relation;
    struct change change;
    bool is_starting;

    /* What cannot be read now is looked at again: works_end_one_shots() comes with each call. */
    if (!stream || stream->is_started || stream->role != DATA_ROLE_SOURCE ||
        jobs_exist(site, "start", id, &is_starting) < 0 || is_starting ||
        relation_load(site, id, &relation) < 0 || relation_is_member(&relation))
        return;
    relation_keep_point(site, &relation);
    relation_move(&relation, REPLICA_STOPPED);
    change_begin(&change, site);
    relation_put(&change, &relation);
    if (change_commit(&change) == 0)
        sync_mark(site, id);
}

void works_end_one_shots(struct site *site)
{
    static const enum record_kind kinds_of[] = {RECORD_GROUP, RECORD_PAIR};

    for (unsigned k = 0; k < ARRAY_COUNT(kinds_of); k++) {
        size_t size = record_type(kinds_of[k])->size;
        void *records = NULL;
        unsigned count = 0;

        if (meta_list(site->meta, kinds_of[k], "status", "manual_syncing", &records, &count) < 0)
            continue;
        for (unsigned i = 0; i < count; i++)
            end_one_shot(site, (const char *)records + (size_t)i * size); /* the id is first */
        free(records);
    }
}

static int add_job(struct site *site, const char *kind, const char *id)
{
    struct change change;
    int result;

    change_begin(&change, site);
    jobs_add(&change, kind, id, "");
    result = change_commit(&change);
    jobs_wake(site);
    return result;
}

/* It was stopped while it could not be opened. */
static int stop_if_stray(struct site *site, const char *id)
{
    const struct data_stream_status *stream = site_stream(site, id);

    if (!stream || stream->role != DATA_ROLE_SOURCE || !stream->is_started)
        return 0;
    log_notice("control", "%s was stopped while it could not be opened: stopping it", id);
    return add_job(site, "stop", id);
}

/* Its newest state rotted, and the one before knows of no start. */
static int start_if_stray(struct site *site, const char *id)
{
    const struct data_stream_status *stream = site_stream(site, id);
    struct relation relation;
    bool is_starting = false;
    int result;

    if (!stream || stream->role != DATA_ROLE_SOURCE || stream->is_started)
        return 0;
    result = relation_load(site, id, &relation);
    if (result == 0)
        result = jobs_exist(site, "start", id, &is_starting);
    if (result < 0 || is_starting || relation_is_member(&relation) ||
        !relation_is_source(site, &relation) ||
        relation_own(&relation)->opened_serial != relation_own(&relation)->stream_serial)
        return result;
    log_warning("control",
                "%s replicates by its record, and its stream knows of no start: "
                "starting it",
                id);
    return add_job(site, "start", id);
}

int works_settle_strays(struct site *site)
{
    static const struct {
        enum replica_state status;
        int (*settle)(struct site *site, const char *id);
    } strays[] = {
        {REPLICA_STOPPED, stop_if_stray},
        {REPLICA_INITIAL_SYNCING, start_if_stray},
        {REPLICA_SYNCING, start_if_stray},
        {REPLICA_NORMAL, start_if_stray},
    };
    static const enum record_kind kinds_of[] = {RECORD_GROUP, RECORD_PAIR};
    int result = 0;

    for (unsigned k = 0; result == 0 && k < ARRAY_COUNT(kinds_of) * ARRAY_COUNT(strays); k++) {
        enum record_kind kind = kinds_of[k % ARRAY_COUNT(kinds_of)];
        unsigned s = k / ARRAY_COUNT(kinds_of), count = 0;
        void *records = NULL;

        result = meta_list(site->meta, kind, "status", replica_state_name(strays[s].status),
                           &records, &count);
        for (unsigned i = 0; result == 0 && i < count; i++) /* the id is first */
            result =
                strays[s].settle(site, (const char *)records + (size_t)i * record_type(kind)->size);
        free(records);
    }
    return result;
}
