/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: what Forget, and all else that the clerk does, makes of the bytes. The watched group is
 * judged by far more (sim_judge.h), but nobody may forget it.
 *
 * What a disk shows is looked up in its file and its stream's journal, so nothing is under way. A
 * disk that becomes a copy shows what its source has, so from then on nothing is known of it until
 * it was seen with a recovery point.
 */
#include "sim_clerk_disk.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "control/relation.h"
#include "replication/engine_parts.h"
#include "sim_client.h"
#include "sim_fate.h"
#include "sim_invariants.h"
#include "sim_town.h"
#include "sim_whole.h"

enum { BLOCK = 4096, SECTOR = 512, FIRST_TURN_MS = 100, TURN_MS = 40 };

static const uint64_t spots[CLERK_SPOTS] = {0, 7, 15}; /* blocks */

struct stamp {
    uint64_t number, spot;
};

static struct clerk_copy *copy_of(const struct node *node, const char *id)
{
    struct town *town = node->run->town;

    for (unsigned i = 0; i < town->disk_count[node->index]; i++) {
        if (strcmp(town->disks[node->index][i], id) == 0)
            return &town->copies[node->index][i];
    }
    return NULL;
}

static const char *id_of(const struct clerk_copy *copy)
{
    const struct town *town = copy->node->run->town;

    return town->disks[copy->node->index][copy - town->copies[copy->node->index]];
}

/* Rot spoils journals; that is told, and judged elsewhere. */
static bool is_judged(const struct sim_run *run)
{
    return !fate_is_rotten(&run->nodes[0]) && !fate_is_rotten(&run->nodes[1]);
}

/* --- what it shows --------------------------------------------------------------------------- */

static unsigned index_in(const struct stream *stream, const char *id)
{
    unsigned index = 0;

    while (index < stream->state.disk_count && strcmp(stream->state.disks[index].disk, id) != 0)
        index++;
    return index;
}

/* False: it cannot be told now. */
static bool show(const struct clerk_copy *copy, unsigned spot, struct stamp *ret_stamps)
{
    const struct site_disk *disk = engine_find_disk(copy->node->engine, id_of(copy));
    const struct stream *stream = disk ? disk->stream : NULL;
    uint8_t bytes[BLOCK];
    unsigned index = 0;

    if (!disk || (stream && (!stream->is_open || stream->is_ending || stream->hold_why)))
        return false;
    if (stream)
        index = index_in(stream, id_of(copy));
    if (stream && index == stream->state.disk_count)
        return false;
    invariants_show(copy->node, stream, id_of(copy), index, spots[spot], bytes);
    for (unsigned i = 0; i < BLOCK / SECTOR; i++)
        memcpy(&ret_stamps[i], bytes + (size_t)i * SECTOR, sizeof(*ret_stamps));
    return true;
}

/* Nothing but what the clerk's hosts wrote to that place, and nothing older than it must. */
static void judge(struct clerk_copy *copy, unsigned spot, const struct stamp *stamps)
{
    struct sim_run *run = copy->node->run;

    for (unsigned i = 0; i < BLOCK / SECTOR; i++) {
        if (stamps[i].number > run->town->last_number ||
            (stamps[i].number > 0 && stamps[i].spot != spot))
            run_fail(run, copy->node, "clerk's disk %s shows number %llu of place %llu in place %u",
                     id_of(copy), (unsigned long long)stamps[i].number,
                     (unsigned long long)stamps[i].spot, spot);
        else if (stamps[i].number < copy->least[spot])
            run_fail(run, copy->node,
                     "clerk's disk %s, %s, has lost what it held: place %u shows number %llu, and "
                     "must show %llu at least",
                     id_of(copy), copy->is_copy ? "a copy" : "no copy", spot,
                     (unsigned long long)stamps[i].number, (unsigned long long)copy->least[spot]);
    }
}

/* What a copy shows with a point, and its source had answered, stays. */
static void learn(struct clerk_copy *copy, unsigned spot, const struct stamp *stamps)
{
    const struct town *town = copy->node->run->town;
    uint64_t number = stamps[0].number;

    for (unsigned i = 1; i < BLOCK / SECTOR; i++)
        if (stamps[i].number < number)
            number = stamps[i].number;
    if (copy->has_point && town->is_answered[number] && number > copy->least[spot])
        copy->least[spot] = number;
}

static void look_at(struct clerk_copy *copy)
{
    struct stamp stamps[BLOCK / SECTOR];

    clerk_disk_look(copy->node);
    for (unsigned spot = 0; spot < CLERK_SPOTS && !copy->is_lost; spot++) {
        if (!show(copy, spot, stamps) || !is_judged(copy->node->run))
            continue;
        judge(copy, spot, stamps);
        learn(copy, spot, stamps);
    }
}

/* --- what becomes of it ---------------------------------------------------------------------- */

static uint64_t incarnation_of(const struct stream *stream)
{
    const struct generation_line *line = &stream->state.line;

    return line->count > 0 ? generation_newest(line)->incarnation : 0;
}

static void follow(struct clerk_copy *copy, const struct site_disk *disk)
{
    const struct stream *stream = disk->stream;
    bool is_copy = stream && stream->state.role == STREAM_ROLE_TARGET;
    uint64_t incarnation = is_copy ? incarnation_of(stream) : 0;
    unsigned index = is_copy ? index_in(stream, disk->id) : 0;

    if (is_copy && (!copy->is_copy || incarnation != copy->incarnation))
        memset(copy->least, 0, sizeof(copy->least));
    if (!stream && copy->is_lost) {
        memset(copy->least, 0, sizeof(copy->least));
        copy->is_lost = false;
    }
    copy->is_copy = is_copy;
    copy->incarnation = incarnation;
    copy->has_point = is_copy && stream->state.has_point && index < stream->state.disk_count &&
                      !stream->state.disks[index].is_initial;
}

void clerk_disk_look(struct node *node)
{
    struct town *town = node->run->town;

    if (!town || !node->engine || !node->whole->is_up)
        return;
    for (unsigned i = 0; i < town->disk_count[node->index]; i++) {
        const struct site_disk *disk = engine_find_disk(node->engine, town->disks[node->index][i]);

        if (disk)
            follow(&town->copies[node->index][i], disk);
    }
}

void clerk_disk_discard(struct node *node)
{
    struct town *town = node->run->town;

    for (unsigned i = 0; i < town->disk_count[node->index]; i++) {
        memset(town->copies[node->index][i].least, 0, sizeof(town->copies[node->index][i].least));
        town->copies[node->index][i].is_lost = true;
    }
}

/* --- hosts ----------------------------------------------------------------------------------- */

struct clerk_copy *clerk_disk_exported(struct node *node, const char *id, struct nbd_export *export)
{
    struct clerk_copy *copy = copy_of(node, id);

    if (copy) {
        check(!copy->export && !copy->is_busy);
        copy->export = export;
        copy->is_closing = false;
    }
    return copy;
}

static void close_if_idle(struct clerk_copy *copy)
{
    struct nbd_export *export = copy->export;

    if (!copy->is_closing || copy->is_busy)
        return;
    copy->export = NULL;
    copy->is_closing = false;
    whole_export_closed(export);
}

void clerk_disk_close(struct clerk_copy *copy)
{
    copy->is_closing = true;
    close_if_idle(copy);
}

void clerk_disk_died(struct node *node)
{
    struct town *town = node->run->town;

    for (unsigned i = 0; town && i < CLERK_DISKS; i++) {
        town->copies[node->index][i].export = NULL;
        town->copies[node->index][i].is_busy = false;
        town->copies[node->index][i].is_closing = false;
    }
}

static void write_done(struct volume_request *request, int error)
{
    struct clerk_copy *copy = container_of(request, struct clerk_copy, request);
    struct sim_run *run = copy->node->run;

    check(copy->is_busy && copy->export);
    copy->is_busy = false;
    if (error == 0) {
        clerk_disk_look(copy->node);
        run->town->is_answered[copy->number] = true;
        check(!copy->is_copy);
        copy->least[copy->spot] = copy->number;
    } else if (!copy->is_closing && !fate_excuses(copy->node)) {
        run_fail(run, copy->node, "a write to clerk's disk %s failed with %d", id_of(copy), error);
    }
    close_if_idle(copy);
}

static void write_call(void *arg)
{
    struct clerk_copy *copy = arg;

    volume_submit(engine_disk_volume(copy->node->engine, id_of(copy)), &copy->request);
}

static void write_spot(struct clerk_copy *copy)
{
    struct sim_run *run = copy->node->run;
    struct stamp stamp;

    if (run->town->last_number + 1 == CLERK_NUMBERS)
        return;
    copy->spot = (unsigned)sim_random_below(run->world, CLERK_SPOTS);
    copy->number = ++run->town->last_number;
    stamp = (struct stamp){copy->number, copy->spot};
    for (unsigned at = 0; at < BLOCK; at += SECTOR)
        memcpy(copy->bytes + at, &stamp, sizeof(stamp));
    copy->iov = (struct iovec){copy->bytes, BLOCK};
    copy->request = (struct volume_request){.op = VOLUME_WRITE,
                                            .flags = VOLUME_FUA,
                                            .offset = spots[copy->spot] * BLOCK,
                                            .length = BLOCK,
                                            .iov = &copy->iov,
                                            .iov_count = 1,
                                            .done_cb = write_done};
    copy->is_busy = true;
    run->figures.clerk_writes++;
    sim_trace(run->world, copy->node->site, "clerk's disk %s: writes number %llu to place %u",
              id_of(copy), (unsigned long long)copy->number, copy->spot);
    sim_site_call(copy->node->site, write_call, copy);
}

static void never_mind(void *arg, unsigned status, const char *reply)
{
}

/* Hosts want what replicates or was failed over, and let go of what is closed to them, so that a
 * reprotect can be; a lone disk they leave, for it may become a copy. */
static void attend(struct clerk_copy *copy)
{
    struct sim_world *world = copy->node->run->world;
    const struct site_disk *disk = engine_find_disk(copy->node->engine, id_of(copy));
    bool is_wanted = disk && disk->stream && !copy->is_copy && disk->may_write;
    bool is_known, is_attached = audit_is_attached(copy->node, id_of(copy), &is_known);
    struct client_order order = {.action = is_attached ? "DetachDisk" : "AttachDisk",
                                 .pairs = {"InstanceId", "i-clerk", "DiskId", id_of(copy)},
                                 .attempts = 2,
                                 .done_cb = never_mind};

    if (is_known && is_attached != is_wanted && sim_chance(world, 5))
        client_ask(copy->node, &order);
}

static void turn(void *arg)
{
    struct sim_run *run = arg;
    struct node *node = &run->nodes[sim_random_below(run->world, RUN_NODES)];
    unsigned count = run->town->disk_count[node->index];
    struct clerk_copy *copy;

    if (run_is_over(run))
        return;
    sim_after(run->world, sim_random_below(run->world, TURN_MS * SIM_MS), turn, run);
    if (count == 0 || !node->engine || !node->whole->is_up || sim_site_is_paused(node->site))
        return;
    copy = &run->town->copies[node->index][sim_random_below(run->world, count)];
    look_at(copy);
    if (run->is_calm)
        return;
    attend(copy);
    if (node->engine && copy->export && !copy->is_closing && !copy->is_busy)
        write_spot(copy); /* the site may die in either */
}

void clerk_disk_start(struct sim_run *run)
{
    for (unsigned i = 0; i < RUN_NODES; i++) {
        for (unsigned k = 0; k < CLERK_DISKS; k++)
            run->town->copies[i][k].node = &run->nodes[i];
    }
    sim_after(run->world, FIRST_TURN_MS * SIM_MS, turn, run);
}

/* --- both ends ------------------------------------------------------------------------------- */

/* A pair as a site has it. */
struct pair_end {
    struct node *node;
    const char *pair;
    struct clerk_copy *copy; /* our disk of it */
    bool replicates, is_source, is_ready;
};

static void end_call(void *arg)
{
    struct pair_end *end = arg;
    struct site *site = control_site(end->node->whole->control);
    struct engine_stream_status status;
    struct relation relation;

    if (relation_load(site, end->pair, &relation) < 0 ||
        !engine_stream_status(end->node->engine, relation_ruler(&relation)->id, &status))
        return;
    end->copy = copy_of(end->node, relation_disk(site, &relation.pair));
    end->is_source = status.role == STREAM_ROLE_SOURCE;
    end->replicates = end->copy && replica_state_is_active(relation_ruler(&relation)->status) &&
                      relation_ruler(&relation)->status != REPLICA_MANUAL_SYNCING;
    end->is_ready = end->is_source ? status.is_connected && status.backlog_bytes == 0 &&
                                         status.has_point && !status.is_initial
                                   : status.has_point;
}

static bool compare(const struct pair_end *ends)
{
    struct stamp stamps[RUN_NODES][BLOCK / SECTOR];

    for (unsigned spot = 0; spot < CLERK_SPOTS; spot++) {
        for (unsigned i = 0; i < RUN_NODES; i++)
            if (!show(ends[i].copy, spot, stamps[i]))
                return false;
        if (memcmp(stamps[0], stamps[1], sizeof(stamps[0])) != 0)
            return false;
    }
    return true;
}

static bool is_even(struct sim_run *run, const char *pair)
{
    struct pair_end ends[RUN_NODES];

    for (unsigned i = 0; i < RUN_NODES; i++) {
        ends[i] = (struct pair_end){.node = &run->nodes[i], .pair = pair};
        if (!run->nodes[i].engine || !run->nodes[i].whole->is_up ||
            !sim_site_call(run->nodes[i].site, end_call, &ends[i]))
            return false;
    }
    if (!ends[0].replicates || !ends[1].replicates || ends[0].is_source == ends[1].is_source)
        return true;
    return ends[0].is_ready && ends[1].is_ready && compare(ends);
}

bool clerk_disk_is_even(struct sim_run *run)
{
    struct town *town = run->town;

    for (unsigned i = 0; i < town->relation_count && i < CLERK_RELATIONS; i++) {
        const struct clerk_relation *one = &town->relations[i];

        if (one->is_group || !is_judged(run) || is_even(run, one->id))
            continue;
        snprintf(town->unrest, sizeof(town->unrest), "both ends of %s do not show the same",
                 one->id);
        return false;
    }
    return true;
}
