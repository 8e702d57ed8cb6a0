/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: three ways lead here (Start, the peer's preparation, the restart of the daemon), and a crash
 * in the middle must leave no stream that the record does not know of.
 *
 * `opened_serial` != 0 says "the stream of that serial exists, or is about to". It goes back to 0
 * only when the data wing says that nothing is there.
 */
#include "control/opening.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

struct opening {
    struct site *site;
    char id[RECORD_ID_SIZE], peer[RECORD_WORD_SIZE];
    struct data_request request;
    struct data_stream_disk disks[DATA_DISKS_MAX];
    bool is_making; /* the request may turn into one that does not */
    int error;      /* of the opening that found nothing, with why */
    char why[480];
    void (*done_cb)(void *arg, int error, const char *why);
    void *arg;
};

static void opening_end(struct opening *opening, int error, const char *why)
{
    char kept[480];

    snprintf(kept, sizeof(kept), "%s", why);
    opening->done_cb(opening->arg, error, kept);
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

/* A making that failed; or one that a crash cut off before anything was there. A stream that was
 * in use and whose files are gone is another matter: that stays, and is told. */
static bool is_nothing_there(const struct opening *opening)
{
    struct relation relation;

    if (opening->request.create)
        return true;
    return opening->request.error == -ENOENT &&
           relation_load(opening->site, opening->id, &relation) == 0 &&
           (relation_own(&relation)->status == REPLICA_CREATED ||
            relation_own(&relation)->status == REPLICA_STOPPED);
}

static void opening_cleared(struct data_request *request)
{
    struct opening *opening = container_of(request, struct opening, request);
    bool is_recorded;

    site_done(opening->site);
    is_recorded = !opening->site->is_stopping && record_opened(opening, false) == 0;
    /* Nothing was there to be opened: its disks are ordinary disks. */
    opening_end(opening, is_recorded && !opening->is_making ? 0 : opening->error, opening->why);
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
        opening->error = request->error;
        snprintf(opening->why, sizeof(opening->why), "%s", request->why);
        opening->request.op = DATA_STREAM_REMOVE; /* what a making left that was cut off */
        site_submit(opening->site, &opening->request, opening_cleared);
        return;
    }
    if (request->error == 0)
        site_note_trouble(opening->site, opening->id, "");
    opening_end(opening, request->error, request->why);
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

void opening_start(struct site *site, const char *id, bool create,
                   void (*done_cb)(void *arg, int error, const char *why), void *arg)
{
    struct opening *opening = calloc(1, sizeof(*opening));
    struct relation relation;
    int result;

    check(opening);
    opening->site = site;
    opening->is_making = create;
    opening->done_cb = done_cb;
    opening->arg = arg;
    snprintf(opening->id, sizeof(opening->id), "%s", id);
    result = relation_load(site, id, &relation);
    if (result == 0 && create && relation_own(&relation)->opened_serial != 0) {
        /* Already there, of this serial or of one whose removal is under way. */
        bool is_it =
            relation_own(&relation)->opened_serial == relation_own(&relation)->stream_serial;
        opening_end(opening, is_it ? 0 : -EBUSY, is_it ? "" : "an earlier stream is being removed");
        return;
    }
    if (result == 0)
        result = create ? choose_disks(opening, &relation)
                        : recall_disks(opening, relation_own(&relation));
    if (result == 0 && create)
        result = record_opened(opening, true);
    if (result < 0) {
        opening_end(opening, result, err_name(result));
        return;
    }
    snprintf(opening->peer, sizeof(opening->peer), "%s", relation_peer(site, &relation));
    opening->request.op = DATA_STREAM_OPEN;
    opening->request.stream = opening->id;
    opening->request.peer = opening->peer;
    opening->request.is_source = relation_is_source(site, &relation);
    opening->request.create = create;
    opening->request.disks = opening->disks;
    site_submit(site, &opening->request, opening_done);
}
