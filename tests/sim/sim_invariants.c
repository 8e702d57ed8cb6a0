/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking at everything behind each event would cost more than the engines; so each
 * event is followed by a glance: a few numbers of the site that ran. Only when they tell that
 * something could have become untrue (a set shrank, a point came, a role changed) all watched
 * blocks are looked at.
 */
#include "sim_invariants.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "journal/journal_index.h"
#include "journal/journal_segment.h"
#include "replication/engine_parts.h"
#include "replication/replica_parts.h"
#include "sim_alloc.h"
#include "sim_clerk_disk.h"
#include "sim_run.h"
#include "volume/tracking.h"

enum { TERMS_MAX = 256, BLOCK = 4096 };

/* What a glance sees. */
struct glance {
    const struct stream *stream; /* NULL: not open */
    unsigned life;
    enum stream_role role;
    bool may_write, is_tracked, has_point;
    uint64_t term, incarnation, epoch, applied;
    uint64_t dirty; /* blocks in all sets */
};

struct invariants {
    struct sim_run *run;
    char stream[40]; /* whose terms these are: people may remove it and make another */
    struct glance glances[RUN_NODES];
    uint64_t term_max[RUN_NODES];
    uint64_t point[RUN_NODES], point_incarnation[RUN_NODES];
    int writer[TERMS_MAX]; /* of that term: index of the node, or -1 */
    uint8_t bytes[2][BLOCK];
};

/* NULL: not there, or not of the disks that are watched. */
static const struct stream *stream_of(const struct node *node)
{
    const struct stream *stream;

    if (!node->engine || !node_stream_id(node))
        return NULL;
    /* An engine alone has one; its name need not be looked up behind each event. */
    stream = node->whole || list_is_empty(&node->engine->streams)
                 ? engine_find_stream(node->engine, node_stream_id(node))
                 : list_entry(node->engine->streams.next, struct stream, node);
    if (!stream || !stream->is_open || stream->is_ending || stream->state.disk_count != JUDGE_DISKS)
        return NULL;
    for (unsigned i = 0; i < JUDGE_DISKS && node->whole; i++) {
        const char *id = node_disk_id(node, i);
        if (!id || strcmp(stream->state.disks[i].disk, id) != 0)
            return NULL;
    }
    return stream;
}

static uint64_t dirty_count(const struct stream *stream)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < stream->state.disk_count; i++) {
        for (unsigned set = 0; set < TRACKING_SET_COUNT; set++)
            if (set != TRACKING_SETTLED)
                count += blockset_count(tracking_set(stream->volumes[i], (enum tracking_set)set));
    }
    return count;
}

static struct glance look(const struct node *node)
{
    const struct stream *stream = stream_of(node);
    struct glance glance = {0};
    const struct generation *newest;
    const char *why;

    if (!stream)
        return glance;
    glance.stream = stream;
    glance.life = sim_site_life(node->site);
    glance.role = stream->state.role;
    glance.may_write = stream_may_write(stream, &why);
    glance.is_tracked = stream->is_tracked;
    /* On its way to an older point it shows that one already. */
    glance.has_point = stream->state.has_point && !stream->failover_cb;
    glance.applied = stream->state.applied;
    if (stream->state.line.count > 0) {
        newest = generation_newest(&stream->state.line);
        glance.term = newest->term;
        glance.incarnation = newest->incarnation;
    }
    if (stream->replica && glance.role == STREAM_ROLE_TARGET)
        glance.epoch = stream->committed_epoch;
    if (glance.is_tracked)
        glance.dirty = dirty_count(stream);
    return glance;
}

/* --- I8, I14 --------------------------------------------------------------------------------- */

static void check_writer(struct invariants *invariants, const struct node *node,
                         const struct glance *glance)
{
    int *writer = &invariants->writer[glance->term % TERMS_MAX];

    if (!glance->may_write)
        return;
    if (*writer >= 0 && *writer != (int)node->index)
        run_fail(invariants->run, node, "I8: accepts writes in term %llu, in which %s did",
                 (unsigned long long)glance->term,
                 sim_site_name(invariants->run->nodes[*writer].site));
    *writer = (int)node->index;
}

static void check_order(struct invariants *invariants, const struct node *node,
                        const struct glance *before, const struct glance *glance)
{
    uint64_t *term = &invariants->term_max[node->index], *point = &invariants->point[node->index];

    if (glance->stream && (glance->stream->hold_why || glance->stream->reprotect.is_unsaved))
        return; /* a role that is not durable yet, which nobody hears of */
    if (glance->term < *term && !fate_is_rotten(node)) /* its peer must recognise it */
        run_fail(invariants->run, node, "I14: term %llu after term %llu",
                 (unsigned long long)glance->term, (unsigned long long)*term);
    /* In memory it stands before it is durable: what counts is that the site acted in it. */
    if (glance->may_write ||
        (before->role == STREAM_ROLE_TARGET && glance->role == STREAM_ROLE_TARGET &&
         before->incarnation == glance->incarnation && glance->epoch > before->epoch))
        *term = glance->term;
    if (glance->role != STREAM_ROLE_TARGET || !glance->has_point)
        return;
    if (glance->incarnation == invariants->point_incarnation[node->index] &&
        glance->epoch < *point && !fate_is_rotten(node))
        run_fail(invariants->run, node, "I14: point %llu after point %llu",
                 (unsigned long long)glance->epoch, (unsigned long long)*point);
    invariants->point_incarnation[node->index] = glance->incarnation;
    *point = glance->epoch;
}

/* --- what a site shows ----------------------------------------------------------------------- */

void invariants_show(const struct node *node, const struct stream *stream, const char *disk,
                     unsigned index, uint64_t block, uint8_t *bytes)
{
    struct journal_extent extent;
    char path[80];

    if (stream && stream->replica &&
        journal_lookup(stream->replica->journal, index, block, 1, &extent)) {
        const struct index_record *record = index_extent_record(&extent);
        memset(bytes, 0, BLOCK);
        if (!extent.is_hole)
            sim_file_peek(record->segment->file, bytes, BLOCK,
                          record->offset + extent.location[1] * BLOCK);
        return;
    }
    snprintf(path, sizeof(path), "/data/disks/%s.raw", disk);
    check(sim_disk_peek(node->site, path, bytes, BLOCK, block * BLOCK));
}

static void show(const struct node *node, const struct stream *stream, unsigned disk,
                 uint64_t block, uint8_t *bytes)
{
    if (block >= volume_block_count(stream->volumes[disk])) /* it has not grown */
        memset(bytes, 0, BLOCK);
    else
        invariants_show(node, stream, stream->state.disks[disk].disk, disk, block, bytes);
}

bool invariants_is_hole(const struct node *node, unsigned disk, uint64_t offset, uint64_t length)
{
    const struct stream *stream = stream_of(node);
    uint64_t count = length / BLOCK;
    struct journal_extent extent;
    char path[80];

    if (!stream)
        return false;
    if (stream->replica &&
        (journal_lookup(stream->replica->journal, disk, offset / BLOCK, count, &extent) ||
         extent.count < count))
        return false;
    snprintf(path, sizeof(path), "/data/disks/%s.raw", stream->state.disks[disk].disk);
    return sim_disk_is_hole(node->site, path, offset, length);
}

const char *invariants_trouble(const struct node *node)
{
    const struct stream *stream = stream_of(node);

    return stream ? stream->trouble : "";
}

/* --- I1, I2 ---------------------------------------------------------------------------------- */

static void check_point(struct invariants *invariants, struct node *node,
                        const struct glance *glance)
{
    const struct judge_universe *universe = &invariants->run->universe;
    uint64_t *values = sim_kernel_alloc(universe->sector_count * sizeof(*values));
    uint8_t *bytes = invariants->bytes[0];
    char why[JUDGE_WHY_SIZE];

    for (unsigned i = 0; i < universe->span_count && !run_is_over(invariants->run); i++) {
        const struct judge_span *span = &universe->spans[i];
        for (uint64_t at = 0; at < span->length; at += BLOCK) {
            show(node, glance->stream, span->disk, (span->offset + at) / BLOCK, bytes);
            if (!judge_values(bytes, BLOCK, span->disk, span->offset + at,
                              values + span->first + at / JUDGE_SECTOR, why) &&
                !fate_is_rotten(node))
                run_fail(invariants->run, node, "I1: epoch %llu: %s",
                         (unsigned long long)glance->epoch, why);
        }
    }
    if (!run_is_over(invariants->run))
        witness_point(node, glance->epoch, glance->stream->acked_wall_ns, values);
    sim_kernel_free(values);
}

/* --- I10 ------------------------------------------------------------------------------------- */

/* R17 */
static bool is_settled(const struct stream *ours, const struct stream *theirs, unsigned disk,
                       uint64_t block)
{
    if (!ours->source || !theirs->target || block >= volume_block_count(ours->volumes[disk]))
        return false;
    return blockset_has(tracking_set(ours->volumes[disk], TRACKING_SETTLED), block) &&
           source_settled_life(ours->source) == target_life(theirs->target);
}

static bool is_dirty(const struct stream *stream, unsigned disk, uint64_t block)
{
    if (block >= volume_block_count(stream->volumes[disk]))
        return false;
    for (unsigned set = 0; set < TRACKING_SET_COUNT; set++) {
        if (set != TRACKING_SETTLED &&
            blockset_has(tracking_set(stream->volumes[disk], (enum tracking_set)set), block))
            return true;
    }
    return false;
}

/* Do these two have to agree, and whose sets name what need not? */
static bool must_agree(const struct glance *a, const struct glance *b)
{
    bool is_same = a->stream && b->stream && a->term == b->term &&
                   a->incarnation == b->incarnation && strcmp(a->stream->id, b->stream->id) == 0;

    return is_same && a->role == STREAM_ROLE_SOURCE && a->is_tracked && !a->stream->hold_why &&
           b->role == STREAM_ROLE_TARGET && b->stream->replica && !b->stream->failover_cb &&
           !b->stream->hold_why; /* being promoted, perhaps to an older point: shown to nobody */
}

struct pair {
    const struct node *source, *target;
    const struct stream *ours, *theirs;
    uint8_t (*bytes)[BLOCK]; /* two */
};

static void check_block(const struct pair *pair, unsigned disk, uint64_t block)
{
    bool is_in_copy = !pair->theirs->state.has_point || pair->theirs->state.disks[disk].is_initial;

    if (is_dirty(pair->ours, disk, block) ||
        (is_in_copy && !is_settled(pair->ours, pair->theirs, disk, block)) ||
        host_changes(pair->source, disk, block * BLOCK, BLOCK))
        return;
    show(pair->source, pair->ours, disk, block, pair->bytes[0]);
    show(pair->target, pair->theirs, disk, block, pair->bytes[1]);
    if (memcmp(pair->bytes[0], pair->bytes[1], BLOCK) == 0 || fate_is_rotten(pair->source) ||
        fate_is_rotten(pair->target))
        return;
    run_fail(pair->source->run, pair->source,
             is_in_copy
                 ? "I10: disk %u block %llu is settled, and differs from epoch %llu of %s"
                 : "I10: disk %u block %llu differs from epoch %llu of %s, and no set holds it",
             disk, (unsigned long long)block, (unsigned long long)pair->theirs->committed_epoch,
             sim_site_name(pair->target->site));
}

static void check_dirty(struct invariants *invariants, const struct node *source)
{
    struct sim_run *run = invariants->run;
    struct glance a = look(source), b = look(source->other); /* now: the other may have died */
    struct pair pair = {source, source->other, a.stream, b.stream, invariants->bytes};

    if (!must_agree(&a, &b))
        return;
    run->figures.audits++;
    for (unsigned i = 0; i < run->universe.span_count && !run_is_over(run); i++) {
        const struct judge_span *span = &run->universe.spans[i];
        for (uint64_t at = 0; at < span->length; at += BLOCK)
            check_block(&pair, span->disk, (span->offset + at) / BLOCK);
    }
}

/* --- behind each event ----------------------------------------------------------------------- */

/* Only more blocks in the sets: nothing can have become untrue. */
static bool only_grew(const struct glance *before, const struct glance *now)
{
    return now->dirty >= before->dirty && now->stream == before->stream &&
           now->life == before->life && now->role == before->role &&
           now->may_write == before->may_write && now->is_tracked == before->is_tracked &&
           now->has_point == before->has_point && now->term == before->term &&
           now->incarnation == before->incarnation && now->epoch == before->epoch &&
           now->applied == before->applied;
}

static void begin_anew(struct invariants *invariants, const struct stream *stream)
{
    snprintf(invariants->stream, sizeof(invariants->stream), "%s", stream->id);
    for (unsigned i = 0; i < TERMS_MAX; i++)
        invariants->writer[i] = -1;
    for (unsigned i = 0; i < RUN_NODES; i++)
        invariants->term_max[i] = invariants->point[i] = invariants->point_incarnation[i] = 0;
}

static void look_again(struct invariants *invariants, unsigned index)
{
    struct node *node = &invariants->run->nodes[index];
    struct glance before = invariants->glances[index], now = look(node);

    invariants->glances[index] = now;
    if (!now.stream || only_grew(&before, &now))
        return;
    if (strcmp(invariants->stream, now.stream->id) != 0)
        begin_anew(invariants, now.stream);
    check_writer(invariants, node, &now);
    check_order(invariants, node, &before, &now);
    if (now.role == STREAM_ROLE_TARGET && now.has_point && now.epoch != before.epoch)
        check_point(invariants, node, &now);
    check_dirty(invariants, node);
    check_dirty(invariants, node->other);
}

static void after_event(void *arg, struct sim_site *site)
{
    struct invariants *invariants = arg;

    if (run_is_over(invariants->run))
        return;
    for (unsigned i = 0; i < RUN_NODES; i++) {
        if (site && invariants->run->nodes[i].site != site)
            continue;
        clerk_disk_look(&invariants->run->nodes[i]);
        look_again(invariants, i);
    }
}

struct invariants *invariants_new(struct sim_run *run)
{
    struct invariants *invariants = sim_kernel_alloc(sizeof(*invariants));

    invariants->run = run;
    sim_world_watch(run->world, after_event, invariants);
    return invariants;
}

void invariants_free(struct invariants *invariants)
{
    sim_kernel_free(invariants);
}
