/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: three ways lead here (Start, the peer's preparation, the restart of the daemon), and a crash
 * in the middle must leave no stream that the record does not know of.
 *
 * `opened_serial` != 0 says "the stream of that serial exists, or is about to". It goes back to 0
 * only when the data wing says that nothing is there. What a failed making left is removed, and
 * that recorded, until both are done; the same stream is not opened meanwhile, nor while another
 * opening of it is under way: that one may fail yet.
 */
#include "control/opening.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"

struct opening {
    struct site *site;
    struct list node; /* of site->openings */
    char id[RECORD_ID_SIZE], peer[RECORD_WORD_SIZE];
    struct data_request request;
    struct data_stream_disk disks[DATA_DISKS_MAX];
    bool is_making;          /* the request may turn into one that does not */
    struct loop_timer timer; /* what is left could not be removed, or that not be recorded */
    void (*done_cb)(void *arg, int error, const char *why);
    void *arg;
};

static void opening_tell(struct opening *opening, int error, const char *why)
{
    char kept[480];

    snprintf(kept, sizeof(kept), "%s", why);
    opening->done_cb(opening->arg, error, kept);
}

static void opening_free(struct opening *opening)
{
    list_remove(&opening->node);
    free(opening);
}

/* Records that the stream of the present serial is there (with those disks), or that none is. */
static int record_opened(struct opening *opening, bool is_open)
{
    struct relation relation;
    struct replica_record *own;
    struct change change;
    int result = relation_load(opening->site, opening->id, &relation);

    if (result < 0)
        return result;
    own = relation_own(&relation);
    own->opened_serial = is_open ? own->stream_serial : 0;
    memset(own->opened_disks, 0, sizeof(own->opened_disks));
    for (unsigned i = 0; is_open && i < opening->request.disk_count; i++) {
        check(strlen(own->opened_disks) + RECORD_ID_SIZE < sizeof(own->opened_disks));
        strcat(strcat(own->opened_disks, opening->disks[i].disk), " ");
    }
    change_begin(&change, opening->site);
    relation_put(&change, &relation);
    return change_commit(&change);
}

/* A making that failed; or one that a crash cut off before anything was there; or a removal of what
 * is past that was cut off behind its last step but the record. A stream that was in use and whose
 * files are gone is another matter: that stays, and is told. */
static bool is_nothing_there(const struct opening *opening)
{
    struct relation relation;

    if (opening->request.create)
        return true;
    return opening->request.error == -ENOENT &&
           relation_load(opening->site, opening->id, &relation) == 0 &&
           (relation_own(&relation)->status == REPLICA_CREATED ||
            relation_own(&relation)->status == REPLICA_STOPPED ||
            relation_own(&relation)->opened_serial != relation_own(&relation)->stream_serial);
}

static void clear(struct opening *opening);

static void clear_again(struct loop_timer *timer)
{
    struct opening *opening = container_of(timer, struct opening, timer);

    site_done(opening->site);
    if (opening->site->is_stopping)
        opening_free(opening); /* the start does it */
    else
        clear(opening);
}

static void cleared(struct data_request *request)
{
    struct opening *opening = container_of(request, struct opening, request);
    struct site *site = opening->site;
    int error = request->error == -ENOENT ? 0 : request->error;

    site_done(site);
    if (error == 0 && !site->is_stopping)
        error = record_opened(opening, false);
    if (error == 0 || error == -ENOENT || site->is_stopping) {
        opening_free(opening);
        return;
    }
    log_error("control", "%s: what a start that failed left cannot be removed: %s; trying again",
              opening->id, request->error < 0 ? request->why : err_name(error));
    site->pending_count++; /* as a request: a stop waits for it */
    opening->timer.fired_cb = clear_again;
    loop_timer_set(site->loop, &opening->timer, loop_now_ns(site->loop) + site->retry_max_ns / 5);
}

/* What a making left that failed, or was cut off. */
static void clear(struct opening *opening)
{
    opening->request.op = DATA_STREAM_REMOVE;
    site_submit(opening->site, &opening->request, cleared);
}

static void opening_done(struct data_request *request)
{
    struct opening *opening = container_of(request, struct opening, request);

    site_done(opening->site);
    if (request->error == -EEXIST && request->create) {
        request->create = false; /* made before a crash */
        site_submit(opening->site, request, opening_done);
        return;
    }
    if (request->error < 0 && !opening->site->is_stopping && is_nothing_there(opening)) {
        /* Nothing was there to be opened: its disks are ordinary disks. */
        opening_tell(opening, opening->is_making ? request->error : 0, request->why);
        clear(opening);
        return;
    }
    if (request->error == 0)
        site_note_trouble(opening->site, opening->id, "");
    opening_tell(opening, request->error, request->why);
    opening_free(opening);
}

/* Of a new stream: the members. */
static int choose_disks(struct opening *opening, const struct relation *relation)
{
    struct pair_record *pairs = NULL;
    unsigned count = 0;
    int result = relation_members(opening->site, relation, &pairs, &count);

    if (result < 0)
        return result;
    if (count == 0 || count > DATA_DISKS_MAX) {
        free(pairs);
        return -EINVAL;
    }
    for (unsigned i = 0; i < count; i++) {
        strcpy(opening->disks[i].disk, relation_disk(opening->site, &pairs[i]));
        opening->disks[i].is_seeded = pairs[i].is_seeded;
    }
    opening->request.disk_count = count;
    free(pairs);
    return 0;
}

/* Of one that is there: those it was made with, whatever the membership is by now. */
static int recall_disks(struct opening *opening, const struct replica_record *record)
{
    const char *at = record->opened_disks;
    unsigned count = 0;

    for (const char *end; (end = strchr(at, ' ')); at = end + 1) {
        if (count == DATA_DISKS_MAX || end - at >= RECORD_ID_SIZE)
            return -EUCLEAN;
        memcpy(opening->disks[count++].disk, at, (size_t)(end - at));
    }
    opening->request.disk_count = count;
    return count > 0 ? 0 : -EUCLEAN;
}

static bool is_under_way(const struct site *site, const char *id)
{
    const struct list *head = &site->openings;

    for (const struct list *node = head->next; node != head; node = node->next)
        if (strcmp(container_of(node, const struct opening, node)->id, id) == 0)
            return true;
    return false;
}

/* 1: it is there already; 0: to be opened, and recorded as such; or why not. */
static int prepare(struct opening *opening, struct relation *relation, const char **ret_why)
{
    const struct replica_record *own = relation_own(relation);
    int result;

    *ret_why = "";
    if (opening->is_making && own->opened_serial != 0) {
        if (own->opened_serial == own->stream_serial) {
            *ret_why = site_trouble(opening->site, opening->id);
            return **ret_why ? -ENODEV : 1; /* the daemon's start could not open it */
        }
        *ret_why = "an earlier stream is being removed";
        return -EBUSY;
    }
    result = opening->is_making ? choose_disks(opening, relation) : recall_disks(opening, own);
    if (result == 0 && opening->is_making)
        result = record_opened(opening, true);
    if (result < 0)
        *ret_why = err_name(result);
    return result;
}

static void open_now(struct opening *opening, const struct relation *relation)
{
    struct site *site = opening->site;

    snprintf(opening->peer, sizeof(opening->peer), "%s", relation_peer(site, relation));
    opening->request.op = DATA_STREAM_OPEN;
    opening->request.stream = opening->id;
    opening->request.peer = opening->peer;
    opening->request.is_source = relation_is_source(site, relation);
    opening->request.create = opening->is_making;
    opening->request.disks = opening->disks;
    site_submit(site, &opening->request, opening_done);
}

void opening_start(struct site *site, const char *id, bool create,
                   void (*done_cb)(void *arg, int error, const char *why), void *arg)
{
    struct opening *opening;
    struct relation relation;
    const char *why;
    int result = relation_load(site, id, &relation);

    if (result < 0 || is_under_way(site, id)) {
        done_cb(arg, result < 0 ? result : -EBUSY,
                result < 0 ? err_name(result) : "another start of it is under way");
        return;
    }
    opening = calloc(1, sizeof(*opening));
    check(opening);
    opening->site = site;
    opening->is_making = create;
    opening->done_cb = done_cb;
    opening->arg = arg;
    snprintf(opening->id, sizeof(opening->id), "%s", id);
    list_append(&site->openings, &opening->node);
    result = prepare(opening, &relation, &why);
    if (result == 0) {
        open_now(opening, &relation);
        return;
    }
    opening_tell(opening, result > 0 ? 0 : result, why);
    opening_free(opening);
}
