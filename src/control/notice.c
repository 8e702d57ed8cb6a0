/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: most of what an operator must know later happens without a call: a link that is slow, a
 * store that fails. The engine keeps no history; so what changed between two looks is found here,
 * and each change is one line, however often somebody looks. Texts that change at every look
 * (counts in them) make a line a minute at most.
 *
 * What stands in the way is tried again every few seconds, and looks well until it is refused
 * again. So it is over only with proof of it (a newer recovery point, or somebody stopped it or
 * failed it over), or when it has been well for a minute.
 */
#include "control/notice.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "control/audit.h"
#include "control/relation.h"

#define REPEAT_NS UINT64_C(60000000000)
#define OVER_NS UINT64_C(60000000000)

/* How it stood when something was last seen in the way, and since when nothing is. */
struct obstacle {
    uint64_t epoch;
    enum data_role role;
    bool is_started;
    bool is_well;
    uint64_t well_ns;
};

struct stream_memory {
    char id[RECORD_ID_SIZE], trouble[400];
    enum data_role role;
    char full_disk[40];
    bool is_overdue, is_full;
    uint64_t told_ns, disk_told_ns; /* of the trouble, of full_disk */
    struct obstacle in_trouble, in_journal, in_store;
};

struct disk_memory {
    char id[RECORD_ID_SIZE];
    bool is_fenced;
    uint64_t full;
    uint64_t told_ns;
};

struct notice {
    struct stream_memory *streams;
    struct disk_memory *disks;
    unsigned stream_count, disk_count;
};

struct notice *notice_new(void)
{
    struct notice *notice = calloc(1, sizeof(*notice));

    check(notice);
    return notice;
}

void notice_free(struct notice *notice)
{
    if (!notice)
        return;
    free(notice->streams);
    free(notice->disks);
    free(notice);
}

static const char *role_name(enum data_role role)
{
    static const char *const names[] = {[DATA_ROLE_SOURCE] = "source",
                                        [DATA_ROLE_TARGET] = "target",
                                        [DATA_ROLE_PROMOTED] = "promoted",
                                        [DATA_ROLE_FENCED] = "fenced"};

    return names[role];
}

/* --- streams --------------------------------------------------------------------------------- */

static void look_role(struct site *site, const struct data_stream_status *stream,
                      enum data_role before)
{
    enum event_severity severity = stream->role == DATA_ROLE_FENCED     ? EVENT_CRITICAL
                                   : stream->role == DATA_ROLE_PROMOTED ? EVENT_WARNING
                                                                        : EVENT_INFO;

    if (stream->role != before)
        audit_event(site, "role", severity, stream->id, "%s -> %s", role_name(before),
                    role_name(stream->role));
}

static void obstacle_note(struct obstacle *obstacle, const struct data_stream_status *stream)
{
    *obstacle = (struct obstacle){
        .epoch = stream->epoch_acked, .role = stream->role, .is_started = stream->is_started};
}

/* To be asked at each look at which it is not there. */
static bool obstacle_is_over(struct obstacle *obstacle, const struct data_stream_status *stream,
                             uint64_t now_ns)
{
    if (!obstacle->is_well)
        obstacle->well_ns = now_ns;
    obstacle->is_well = true;
    return stream->epoch_acked != obstacle->epoch || stream->role != obstacle->role ||
           stream->is_started != obstacle->is_started || now_ns - obstacle->well_ns >= OVER_NS;
}

static void look_trouble(struct site *site, const struct data_stream_status *stream,
                         struct stream_memory *memory)
{
    uint64_t now_ns = loop_now_ns(site->loop);

    if (stream->trouble[0])
        obstacle_note(&memory->in_trouble, stream);
    if (strcmp(stream->trouble, memory->trouble) == 0)
        return;
    if (!stream->trouble[0]) {
        if (!obstacle_is_over(&memory->in_trouble, stream, now_ns))
            return;
        audit_event(site, "trouble", EVENT_INFO, stream->id, "over: %s", memory->trouble);
    } else if (!memory->trouble[0] || now_ns - memory->told_ns >= REPEAT_NS) {
        audit_event(site, "trouble", EVENT_WARNING, stream->id, "%s", stream->trouble);
        memory->told_ns = now_ns;
    } else {
        return; /* what is remembered stays until the new text may be told */
    }
    strcpy(memory->trouble, stream->trouble);
}

static void look_journal(struct site *site, const struct data_stream_status *stream,
                         struct stream_memory *memory)
{
    if (stream->journal_needed_bytes > 0) {
        obstacle_note(&memory->in_journal, stream);
        if (!memory->is_full)
            audit_event(site, "full", EVENT_CRITICAL, stream->id,
                        "the journal is full: it needs %llu bytes more",
                        (unsigned long long)stream->journal_needed_bytes);
        memory->is_full = true;
    } else if (memory->is_full &&
               obstacle_is_over(&memory->in_journal, stream, loop_now_ns(site->loop))) {
        audit_event(site, "full", EVENT_INFO, stream->id, "over: the journal has room");
        memory->is_full = false;
    }
}

/* A copy that does not fit. Of two disks without room now one is refused, now the other. */
static void look_store(struct site *site, const struct data_stream_status *stream,
                       struct stream_memory *memory)
{
    uint64_t now_ns = loop_now_ns(site->loop);

    if (stream->full_disk[0])
        obstacle_note(&memory->in_store, stream);
    if (strcmp(stream->full_disk, memory->full_disk) == 0)
        return;
    if (!stream->full_disk[0]) {
        if (!obstacle_is_over(&memory->in_store, stream, now_ns))
            return;
        audit_event(site, "full", EVENT_INFO, stream->id, "over: the store of disk %s has room",
                    memory->full_disk);
    } else if (!memory->full_disk[0] || now_ns - memory->disk_told_ns >= REPEAT_NS) {
        audit_event(site, "full", EVENT_CRITICAL, stream->id,
                    "the store of disk %s has no room for its copy: replication waits for it",
                    stream->full_disk);
        memory->disk_told_ns = now_ns;
    } else {
        return;
    }
    strcpy(memory->full_disk, stream->full_disk);
}

/* Should it have a point that is younger than its RPO? */
static bool is_overdue(struct site *site, const struct data_stream_status *stream,
                       int64_t *ret_rpo_s)
{
    struct relation relation;
    enum replica_state shown;

    if (!stream->has_point || !stream->is_open ||
        (stream->role != DATA_ROLE_SOURCE && stream->role != DATA_ROLE_TARGET))
        return false;
    if (relation_load(site, stream->id, &relation) < 0)
        return false;
    shown = relation_shown(site, &relation);
    *ret_rpo_s = relation_ruler(&relation)->rpo_s;
    return (shown == REPLICA_SYNCING || shown == REPLICA_NORMAL) &&
           stream->point_age_ns / 1000000000 > (uint64_t)*ret_rpo_s;
}

static void look_point(struct site *site, const struct data_stream_status *stream,
                       struct stream_memory *memory)
{
    int64_t rpo_s = 0;
    bool overdue = is_overdue(site, stream, &rpo_s);

    if (overdue && !memory->is_overdue)
        audit_event(site, "overdue", EVENT_WARNING, stream->id,
                    "the newest recovery point is %llu s old; the objective is %lld s",
                    (unsigned long long)(stream->point_age_ns / 1000000000), (long long)rpo_s);
    else if (!overdue && memory->is_overdue)
        audit_event(site, "overdue", EVENT_INFO, stream->id, "over");
    memory->is_overdue = overdue;
}

static void look_stream(struct notice *notice, struct site *site,
                        const struct data_stream_status *stream, unsigned hint,
                        struct stream_memory *ret)
{
    *ret = (struct stream_memory){.role = stream->role};
    strcpy(ret->id, stream->id);
    if (hint >= notice->stream_count || strcmp(notice->streams[hint].id, stream->id) != 0)
        for (hint = 0; hint < notice->stream_count; hint++)
            if (strcmp(notice->streams[hint].id, stream->id) == 0)
                break;
    if (hint < notice->stream_count)
        *ret = notice->streams[hint];
    look_role(site, stream, ret->role);
    ret->role = stream->role;
    look_trouble(site, stream, ret);
    look_journal(site, stream, ret);
    look_store(site, stream, ret);
    look_point(site, stream, ret);
}

/* --- disks ----------------------------------------------------------------------------------- */

static void look_disk(struct notice *notice, struct site *site, const struct data_disk_status *disk,
                      unsigned hint, struct disk_memory *ret)
{
    uint64_t now_ns = loop_now_ns(site->loop);

    *ret = (struct disk_memory){0};
    strcpy(ret->id, disk->id);
    if (hint >= notice->disk_count || strcmp(notice->disks[hint].id, disk->id) != 0)
        for (hint = 0; hint < notice->disk_count; hint++)
            if (strcmp(notice->disks[hint].id, disk->id) == 0)
                break;
    if (hint < notice->disk_count)
        *ret = notice->disks[hint];
    if (disk->is_fenced && !ret->is_fenced)
        audit_event(site, "fenced", EVENT_CRITICAL, disk->id,
                    "a sync of its store failed: hosts get errors until the daemon starts anew");
    ret->is_fenced = disk->is_fenced;
    if (disk->full > ret->full && (ret->told_ns == 0 || now_ns - ret->told_ns >= REPEAT_NS)) {
        audit_event(site, "full", EVENT_CRITICAL, disk->id,
                    "no space is left below its store: %llu writes failed",
                    (unsigned long long)(disk->full - ret->full));
        ret->full = disk->full;
        ret->told_ns = now_ns;
    } else if (disk->full < ret->full) {
        ret->full = disk->full; /* opened anew */
    }
}

void notice_look(struct notice *notice, struct site *site)
{
    const struct data_snapshot *snapshot = site->snapshot;
    struct stream_memory *streams;
    struct disk_memory *disks;

    if (!snapshot)
        return;
    streams = calloc(snapshot->stream_count + 1, sizeof(*streams));
    disks = calloc(snapshot->disk_count + 1, sizeof(*disks));
    check(streams && disks);
    for (unsigned i = 0; i < snapshot->stream_count; i++)
        look_stream(notice, site, &snapshot->streams[i], i, &streams[i]);
    for (unsigned i = 0; i < snapshot->disk_count; i++)
        look_disk(notice, site, &snapshot->disks[i], i, &disks[i]);
    free(notice->streams);
    free(notice->disks);
    *notice = (struct notice){streams, disks, snapshot->stream_count, snapshot->disk_count};
}
