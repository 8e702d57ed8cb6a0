/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of what the engine and the exports know, in control's terms. */
#include "daemon/wing_status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "volume/volume.h"

void wing_status_init(struct wing_status *status, const struct engine_options *options)
{
    memset(status, 0, sizeof(*status));
    status->peer_count = options->peer_count;
    for (unsigned i = 0; i < options->peer_count; i++)
        snprintf(status->peers[i], sizeof(status->peers[i]), "%s", options->peers[i].name);
}

void wing_status_fini(struct wing_status *status)
{
    free(status->streams);
    status->streams = NULL;
}

void wing_status_add_stream(struct wing_status *status, const char *id, unsigned disk_count)
{
    struct wing_stream *streams =
        realloc(status->streams, (status->stream_count + 1) * sizeof(*streams));

    check(streams != NULL);
    status->streams = streams;
    snprintf(streams[status->stream_count].id, sizeof(streams[0].id), "%s", id);
    streams[status->stream_count++].disk_count = disk_count;
}

void wing_status_remove_stream(struct wing_status *status, const char *id)
{
    for (unsigned i = 0; i < status->stream_count; i++) {
        if (strcmp(status->streams[i].id, id) == 0) {
            status->streams[i] = status->streams[--status->stream_count];
            return;
        }
    }
}

static void copy_stream(struct engine *engine, const struct wing_stream *stream,
                        struct data_stream_status *ret)
{
    struct engine_stream_status from;

    memset(ret, 0, sizeof(*ret));
    snprintf(ret->id, sizeof(ret->id), "%s", stream->id);
    if (!engine_stream_status(engine, stream->id, &from))
        return;
    snprintf(ret->peer, sizeof(ret->peer), "%s", from.peer);
    ret->role = (enum data_role)from.role;
    ret->is_started = from.is_started;
    ret->is_one_shot = from.is_one_shot;
    ret->is_connected = from.is_connected;
    ret->has_point = from.has_point;
    ret->is_initial = from.is_initial;
    ret->is_draining = from.is_draining;
    ret->is_open = from.is_open;
    ret->is_waiting_peer = from.is_waiting_peer;
    ret->generation_term = from.generation.term;
    ret->epoch_acked = from.epoch_acked;
    ret->epoch_applied = from.epoch_applied;
    ret->point_wall_ns = from.point_wall_ns;
    ret->current_wall_ns = from.current_wall_ns;
    ret->point_age_ns = from.point_age_ns;
    ret->backlog_bytes = from.backlog_bytes;
    ret->total_bytes = from.total_bytes;
    ret->shipped_bytes = from.shipped_bytes;
    ret->journal_bytes = from.journal_bytes;
    ret->journal_needed_bytes = from.journal_needed_bytes;
    snprintf(ret->full_disk, sizeof(ret->full_disk), "%s", from.full_disk);
    snprintf(ret->trouble, sizeof(ret->trouble), "%s", from.trouble);
    ret->disk_count = stream->disk_count;
    for (unsigned i = 0; i < stream->disk_count && i < DATA_DISKS_MAX; i++)
        ret->disk_backlog_bytes[i] =
            engine_stream_disk_backlog(engine, stream->id, i, &ret->disk_unshipped_bytes[i]);
}

static void copy_peer(struct engine *engine, const char *name, struct data_peer_status *ret)
{
    struct engine_peer_status from;

    memset(ret, 0, sizeof(*ret));
    snprintf(ret->name, sizeof(ret->name), "%s", name);
    if (!engine_peer_status(engine, name, &from))
        return;
    ret->is_up = from.is_up;
    snprintf(ret->why, sizeof(ret->why), "%s", from.why);
    ret->round_trip_ns = from.round_trip_ns;
    ret->bytes_out = from.bytes_out;
    ret->bytes_in = from.bytes_in;
}

static void copy_disk(struct engine *engine, const struct wing_exports *exports, unsigned index,
                      struct data_disk_status *ret)
{
    const struct volume_counters *counters;
    struct wing_disk_facts facts;
    struct volume *volume;

    memset(ret, 0, sizeof(*ret));
    wing_exports_disk_at(exports, index, &facts);
    snprintf(ret->id, sizeof(ret->id), "%s", facts.id);
    snprintf(ret->why, sizeof(ret->why), "%s", facts.why);
    ret->is_attached = facts.is_attached;
    ret->may_write = facts.may_write;
    ret->is_exported = facts.is_exported;
    ret->connections = facts.connections;
    volume = engine_disk_volume(engine, facts.id);
    if (volume == NULL)
        return;
    counters = volume_counters(volume);
    ret->is_fenced = volume_is_fenced(volume);
    ret->reads = counters->reads;
    ret->writes = counters->writes;
    ret->read_bytes = counters->read_bytes;
    ret->write_bytes = counters->write_bytes;
    ret->read_ns = counters->read_ns;
    ret->write_ns = counters->write_ns;
    ret->errors = counters->errors;
    ret->full = counters->full;
}

struct data_snapshot *wing_status_take(const struct wing_status *status, struct engine *engine,
                                       const struct wing_exports *exports, const char *loop)
{
    unsigned disk_count = wing_exports_disk_count(exports);
    struct data_snapshot *taken =
        malloc(sizeof(*taken) + status->stream_count * sizeof(*taken->streams) +
               status->peer_count * sizeof(*taken->peers) + disk_count * sizeof(*taken->disks));

    check(taken != NULL);
    snprintf(taken->loop, sizeof(taken->loop), "%s", loop);
    taken->stream_count = status->stream_count;
    taken->peer_count = status->peer_count;
    taken->disk_count = disk_count;
    taken->streams = (struct data_stream_status *)(taken + 1);
    taken->peers = (struct data_peer_status *)(taken->streams + taken->stream_count);
    taken->disks = (struct data_disk_status *)(taken->peers + taken->peer_count);
    for (unsigned i = 0; i < status->stream_count; i++)
        copy_stream(engine, &status->streams[i], &taken->streams[i]);
    for (unsigned i = 0; i < status->peer_count; i++)
        copy_peer(engine, status->peers[i], &taken->peers[i]);
    for (unsigned i = 0; i < disk_count; i++)
        copy_disk(engine, exports, i, &taken->disks[i]);
    return taken;
}

void wing_status_snapshots(struct engine *engine, const char *disk,
                           struct data_disk_snapshot **ret_snapshots, unsigned *ret_count)
{
    unsigned count = engine_snapshot_count(engine, disk);
    struct data_disk_snapshot *list = count ? calloc(count, sizeof(*list)) : NULL;
    struct engine_snapshot from;

    check(count == 0 || list != NULL);
    for (unsigned i = 0; i < count; i++) {
        if (!engine_snapshot_at(engine, disk, i, &from))
            continue;
        snprintf(list[i].id, sizeof(list[i].id), "%s", from.id);
        snprintf(list[i].disk, sizeof(list[i].disk), "%s", from.disk);
        snprintf(list[i].label, sizeof(list[i].label), "%s", from.label);
        snprintf(list[i].reason, sizeof(list[i].reason), "%s", from.reason);
        list[i].created_wall_ns = from.created_wall_ns;
        list[i].expires_wall_ns = from.expires_wall_ns;
        list[i].kept_bytes = from.kept_bytes;
        list[i].size_bytes = from.size_bytes;
    }
    *ret_snapshots = list;
    *ret_count = count;
}
