/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: a site that changes the membership of a stopped group ends its stream. When the other site,
 * apart, fails that group over, its failover stands, and the old source has no end of a stream that
 * could lose in a reprotect. So the records alone turn: the old source keeps what its disks hold as
 * snapshots (R15), the promoted site ends its own stream (hosts go on), and the next Start makes
 * new ones, whose disks are compared by hash.
 *
 * Its sign to the other site is a serial that has risen with the state `reprotecting` (sync.c). A
 * cancel of the failover cannot be done so: hosts' disks here would be overwritten without one.
 */
#include "control/anew.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "control/relation_job.h"
#include "control/reopening.h"
#include "control/sync.h"
#include "control/tree.h"

/* --- at the site that asks ------------------------------------------------------------------- */

bool anew_is_past(const struct replica_record *record)
{
    return record->opened_serial != record->stream_serial;
}

int anew_offer(struct site *site, const struct relation *relation, bool is_reverse,
               json_t *arguments, char ret_invalid[RECORD_ID_SIZE])
{
    const struct replica_record *ruler = relation_ruler(relation);
    const struct data_stream_status *stream = site_stream(site, ruler->id);
    bool is_open = ruler->opened_serial == 0 || (stream && stream->role == DATA_ROLE_PROMOTED);
    struct pair_record *pairs = NULL;
    unsigned count = 0;
    json_t *ids;
    int result = relation_members(site, relation, &pairs, &count);

    ret_invalid[0] = 0;
    if (result < 0)
        return result;
    ids = json_array();
    check(ids);
    for (unsigned i = 0; i < count; i++) {
        if (relation->is_group && pairs[i].common.status == REPLICA_INVALID)
            strcpy(ret_invalid, pairs[i].common.id);
        check(json_array_append_new(ids, json_string(pairs[i].common.id)) == 0);
    }
    free(pairs);
    tree_set_bool(arguments, "is_past", anew_is_past(ruler));
    if (is_reverse && is_open && !ret_invalid[0])
        tree_set(arguments, "pairs", ids);
    else
        json_decref(ids);
    return 0;
}

/* What the next Start finds: no stream, the other direction, disks that held a copy. */
static void turn(struct job *job, struct relation *relation)
{
    struct site *site = job->site;
    struct replica_record *own = relation_own(relation);
    char disks[RECORD_DISKS_SIZE];
    struct pair_record *pairs = NULL;
    unsigned count = 0;
    struct change change;
    int result = relation->is_group ? relation_members(site, relation, &pairs, &count) : 0;

    relation_keep_point(site, relation);
    relation_move(relation, REPLICA_STOPPED);
    own->is_reversed = !relation_is_production(site, relation);
    own->opened_serial = 0;
    strcpy(disks, own->opened_disks);
    own->opened_disks[0] = 0;
    relation->pair.is_seeded = true; /* of a group nobody looks */
    change_begin(&change, site);
    if (result < 0)
        change_fail(&change, result, "the list of its pairs");
    for (unsigned i = 0; i < count; i++) {
        pairs[i].is_seeded = true;
        relation_touch(&pairs[i].common);
        change_put(&change, RECORD_PAIR, &pairs[i]);
    }
    relation_put(&change, relation);
    change_remove(&change, RECORD_JOB, job->record.id);
    if (change_commit(&change) < 0) {
        job_retry(job, change.err.text);
    } else {
        job_finish(job);
        reopening_begin(site, disks);
        sync_mark(site, own->id);
        for (unsigned i = 0; i < count; i++)
            sync_mark(site, pairs[i].common.id);
    }
    free(pairs);
}

/* The disks would hold something older than what hosts see: a person decides. */
static void refused(struct job *job, struct relation *relation, const char *why)
{
    log_error("control", "reprotect of %s: %s", job->record.object, why);
    site_note_trouble(job->site, job->record.object, why);
    relation_move(relation, REPLICA_REPROTECT_FAILED);
    job_end(job, relation);
}

/* False: the job has ended, or waits. */
static bool load(struct job *job, struct relation *ret_relation)
{
    if (!job_load(job, ret_relation))
        return false;
    if (relation_own(ret_relation)->status == REPLICA_REPROTECTING)
        return true;
    job_end(job, NULL); /* overtaken */
    return false;
}

static void stream_ended(struct data_request *request)
{
    struct job *job = container_of(request, struct job, request);
    struct site *site = job->site;
    struct relation relation;

    site_done(site);
    if (!load(job, &relation))
        return;
    if (request->error == -EUCLEAN)
        refused(job, &relation, request->why);
    else if (request->error < 0 && request->error != -ENOENT)
        job_retry(job, request->why);
    else
        turn(job, &relation);
}

/* Also when the record knows of no stream: it may be older than the stream (claims.c). */
void anew_run(struct job *job)
{
    struct relation relation;

    if (!load(job, &relation))
        return;
    job->request = (struct data_request){.op = DATA_STREAM_REMOVE, .stream = job->record.object};
    site_submit(job->site, &job->request, stream_ended);
}

/* --- at the other one ------------------------------------------------------------------------ */

struct keeping {
    struct peer_answer *answer;
    struct data_request request;
    size_t next; /* of the pairs that it named */
    char id[RECORD_ID_SIZE], disk[RECORD_ID_SIZE];
    char label[32], reason[64];
};

bool anew_is_offered(const struct peer_answer *answer)
{
    return json_array_size(json_object_get(answer->arguments, "pairs")) > 0;
}

static void end(struct keeping *keeping, const char *why)
{
    json_t *reply;

    if (why) {
        peer_answer_fail(keeping->answer, API_DENIED, "%s", why);
    } else {
        reply = json_object();
        check(reply);
        tree_set_bool(reply, "is_anew", true);
        peer_answer_ok(keeping->answer, reply);
    }
    free(keeping);
}

/* The world went on since. NULL: still as it was when it was asked for. */
static const char *why_not(struct keeping *keeping)
{
    struct site *site = keeping->answer->site;
    struct attachment_record attachment;
    struct relation relation;
    enum replica_state status;

    if (relation_load(site, keeping->id, &relation) < 0 || relation_is_member(&relation))
        return "the records of the sites differ.";
    status = relation_own(&relation)->status;
    if ((status != REPLICA_FAILOVERED && status != REPLICA_REPROTECT_FAILED) ||
        !relation_is_source(site, &relation) || relation_own(&relation)->opened_serial != 0)
        return "the records of the sites differ.";
    return relation_find_attached(site, &relation, &attachment) == 0
               ? NULL
               : "a disk of it is attached; detach it first.";
}

static void keep_next(struct keeping *keeping);

static void kept(struct data_request *request)
{
    struct keeping *keeping = container_of(request, struct keeping, request);
    char why[300];

    site_done(keeping->answer->site);
    if (request->error == 0) {
        keep_next(keeping);
        return;
    }
    snprintf(why, sizeof(why), "what disk %s holds cannot be kept as a snapshot: %.200s.",
             keeping->disk, request->why);
    end(keeping, why);
}

/* False: it named a pair that is not in it here. */
static bool find_disk(struct keeping *keeping, const char *pair)
{
    struct site *site = keeping->answer->site;
    struct relation relation;

    if (relation_load(site, pair, &relation) < 0 || relation.is_group ||
        strcmp(relation_ruler(&relation)->id, keeping->id) != 0)
        return false;
    strcpy(keeping->disk, relation_disk(site, &relation.pair));
    return true;
}

static void keep_next(struct keeping *keeping)
{
    struct peer_answer *answer = keeping->answer;
    const json_t *pairs = json_object_get(answer->arguments, "pairs");
    const char *why = why_not(keeping), *pair;

    if (why || keeping->next == json_array_size(pairs)) {
        end(keeping, why);
        return;
    }
    pair = json_string_value(json_array_get(pairs, keeping->next++));
    if (!pair || !find_disk(keeping, pair)) {
        end(keeping, "the records of the sites differ.");
        return;
    }
    keeping->request = (struct data_request){.op = DATA_DISK_KEEP,
                                             .disk = keeping->disk,
                                             .label = keeping->label,
                                             .reason = keeping->reason};
    site_submit(answer->site, &keeping->request, kept);
}

void anew_serve(struct peer_answer *answer, const struct relation *relation)
{
    const struct replica_record *record = relation_ruler(relation);
    struct keeping *keeping = calloc(1, sizeof(*keeping));

    check(keeping);
    keeping->answer = answer;
    strcpy(keeping->id, record->id);
    snprintf(keeping->label, sizeof(keeping->label), "r%lld", (long long)record->term);
    snprintf(keeping->reason, sizeof(keeping->reason), "reprotect of %.30s by records, %lld",
             record->id, (long long)record->term);
    keep_next(keeping);
}
