/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is judged while a schedule runs: each recovery point that the target shows, what a site
 * shows after a death and after its promotion, and every snapshot, again and again.
 *
 * A recovery point is read through the target's volumes; if another one was committed meanwhile the
 * reading means nothing and is dropped.
 */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "sim_alloc.h"
#include "sim_invariants.h"
#include "sim_run.h"

static size_t image_bytes(const struct node *node)
{
    return node->run->universe.sector_count * sizeof(uint64_t);
}

static void keep(const struct node *node, uint64_t **into, const uint64_t *values)
{
    if (!*into)
        *into = sim_kernel_alloc(image_bytes(node));
    memcpy(*into, values, image_bytes(node));
}

void witness_sizes(struct node *node)
{
    const struct sim_run *run = node->run;

    for (unsigned i = 0; i < JUDGE_DISKS && !run->keeps_promoted; i++) {
        if (run->is_grown[i] && node_disk_bytes(node, i) < run->universe.disk_bytes[i] &&
            !fate_is_rotten(node))
            run_fail(node->run, node, "disk %u has shrunk to %llu bytes", i,
                     (unsigned long long)node_disk_bytes(node, i));
    }
}

void witness_known(struct node *node, const struct image *image)
{
    keep(node, &node->known_image, image->values);
    node->is_known = true;
}

/* --- recovery points ------------------------------------------------------------------------- */

/* In virtual time, of the cut of the target's newest point. */
static uint64_t cut_of(const struct node *target)
{
    return sim_site_wall_moment(target->other->site, target->status.point_wall_ns);
}

struct image_note witness_note(const struct node *node)
{
    return (struct image_note){.epoch = node->status.epoch_acked,
                               .cut_ns = cut_of(node),
                               .role = node->status.role,
                               .generation = node->status.generation};
}

/* Can the source's line say anything of a cut at that time? */
static bool can_judge(const struct node *source, uint64_t cut_ns)
{
    return source->line && !(source->has_crashed && source->lost_power) &&
           cut_ns > source->settled_ns;
}

static bool differ(const struct node *node, const uint64_t *a, const uint64_t *b, char *ret_why)
{
    char place[64];

    for (unsigned i = 0; i < node->run->universe.sector_count; i++) {
        if (a[i] == b[i])
            continue;
        snprintf(ret_why, JUDGE_WHY_SIZE, "%s holds write %llu, expected %llu",
                 judge_place(&node->run->universe, i, place, sizeof(place)),
                 (unsigned long long)a[i], (unsigned long long)b[i]);
        return true;
    }
    return false;
}

static void note_judged(struct node *node, const struct image *image)
{
    struct judged *judged = &node->judged[image->note.epoch % JUDGED_MAX];

    node->judged_epoch = judged->epoch = image->note.epoch;
    keep(node, &judged->image, image->values);
}

/* What that point showed when it was the newest; NULL: nobody looked. */
static const uint64_t *judged_image(const struct node *node, uint64_t epoch)
{
    const struct judged *judged = &node->judged[epoch % JUDGED_MAX];

    return epoch != 0 && judged->epoch == epoch ? judged->image : NULL;
}

/* On its way to an older point: what it shows is seen by nobody. */
static bool is_going_back(const struct node *node)
{
    return node->act == ACT_FAILOVER && node->asked_point != 0;
}

void witness_point(struct node *node, uint64_t epoch, uint64_t cut_wall_ns, const uint64_t *values)
{
    uint64_t cut_ns = sim_site_wall_moment(node->other->site, cut_wall_ns);
    char why[JUDGE_WHY_SIZE];

    if (!can_judge(node->other, cut_ns) || fate_is_rotten(node) || is_going_back(node))
        return;
    node->run->figures.points++;
    if (!judge_cut(node->other->line, values, cut_ns, why))
        run_fail(node->run, node, "I1 I2: epoch %llu, cut at %llu us: %s",
                 (unsigned long long)epoch, (unsigned long long)cut_ns / SIM_US, why);
}

static void look_at_point(struct node *node);

static void point_read(struct image *image)
{
    struct node *node = image->node;
    struct sim_run *run = node->run;
    char why[JUDGE_WHY_SIZE];

    node->is_judging = false;
    if (!node->engine || image->is_dropped)
        return;
    if (image->is_bad) {
        if (image->error == 0 || !fate_excuses(node))
            run_fail(run, node, "reading epoch %llu: error %d %s",
                     (unsigned long long)image->note.epoch, image->error, image->why);
        return;
    }
    if (!node_look(node) || node->status.role != STREAM_ROLE_TARGET)
        return;
    if (node->status.epoch_acked != image->note.epoch) {
        look_at_point(node);
        return;
    }
    if (is_going_back(node))
        return;
    if (!can_judge(node->other, image->note.cut_ns))
        return;
    if (!judge_cut(node->other->line, image->values, image->note.cut_ns, why))
        run_fail(run, node, "I1 I2: epoch %llu, cut at %llu us: %s",
                 (unsigned long long)image->note.epoch,
                 (unsigned long long)image->note.cut_ns / SIM_US, why);
    sim_trace(run->world, node->site, "epoch %llu is judged",
              (unsigned long long)image->note.epoch);
    run->figures.epochs_judged++;
    note_judged(node, image);
}

static void look_at_point(struct node *node)
{
    if (node->is_judging || node->status.epoch_acked == node->judged_epoch || !node->is_running)
        return;
    node->is_judging = true;
    image_read(node, &node->run->universe, witness_note(node), point_read, NULL);
}

/* It could not read its journal at the start, says so and shows nothing: hosts are kept out. */
static bool is_shut(const struct node *node)
{
    return node->may_fail && node->status.trouble[0] != '\0';
}

/* Its volumes show what lies under the journal, to nobody. */
static bool hides_journal(const struct node *node)
{
    return is_shut(node) && (!node->status.is_open || strstr(node->status.trouble, "cannot read"));
}

static void observe_target(struct node *node)
{
    const struct engine_stream_status *status = &node->status;

    if (!status->has_point) {
        if (node->epoch_seen > 0 && node->is_read && node->is_running && !is_shut(node) &&
            !fate_is_rotten(node))
            run_fail(node->run, node, "I14: committed epoch %llu is gone, there is no point",
                     (unsigned long long)node->epoch_seen);
        return;
    }
    /* A commit that landed elsewhere looks like a torn tail: the peer must recognise the site
     * (R16). */
    if (status->epoch_acked < node->epoch_seen && node->is_read && node->is_running &&
        !is_shut(node) && !fate_is_rotten(node))
        run_fail(node->run, node, "I14: committed epoch %llu is gone, newest is %llu",
                 (unsigned long long)node->epoch_seen, (unsigned long long)status->epoch_acked);
    if (status->epoch_acked <= node->epoch_seen)
        return;
    node->epoch_seen = status->epoch_acked;
    sim_trace(node->run->world, node->site, "epoch %llu is committed, cut at %llu us",
              (unsigned long long)status->epoch_acked, (unsigned long long)cut_of(node) / SIM_US);
    look_at_point(node);
}

void witness_target(struct node *node, const struct image *image)
{
    const uint64_t *before = judged_image(node, node->status.epoch_acked);
    char why[JUDGE_WHY_SIZE];

    if (hides_journal(node))
        return;
    if (node->status.has_point && before && image->note.epoch == node->status.epoch_acked &&
        differ(node, image->values, before, why))
        run_fail(node->run, node, "I1: epoch %llu is not what it was before the restart: %s",
                 (unsigned long long)node->status.epoch_acked, why);
    if (node->engine)
        observe_target(node);
}

/* --- writable sites -------------------------------------------------------------------------- */

/* A commit record that landed elsewhere looks like a torn tail: the failover goes to the point
 * before. The peer knows better, and says so (R16). */
static bool is_told_old(struct node *node)
{
    return fate_refuses(node, invariants_trouble(node->other));
}

static void judge_promoted(struct node *node, const struct image *image)
{
    char why[JUDGE_WHY_SIZE];
    uint64_t cut_ns = image->note.cut_ns;
    uint64_t epoch = node->asked_point != 0 ? node->asked_point : image->note.epoch;
    const uint64_t *before = judged_image(node, epoch);

    if (node->asked_point == 0 && epoch < node->epoch_seen && !is_told_old(node))
        run_fail(node->run, node, "I1: promoted at epoch %llu, epoch %llu was committed",
                 (unsigned long long)epoch, (unsigned long long)node->epoch_seen);
    if (before) {
        if (differ(node, image->values, before, why))
            run_fail(node->run, node, "I1: promoted, but does not show epoch %llu: %s",
                     (unsigned long long)epoch, why);
    } else if (node->asked_point == 0 && can_judge(node->other, cut_ns) &&
               !judge_cut(node->other->line, image->values, cut_ns, why)) {
        run_fail(node->run, node, "I1 I2: promoted at epoch %llu: %s", (unsigned long long)epoch,
                 why);
    }
}

void witness_writer(struct node *node, const struct image *image)
{
    struct sim_run *run = node->run;
    char why[JUDGE_WHY_SIZE];

    if (hides_journal(node)) /* the next start is judged */
        return;
    if (!node->line) {
        if (image->note.role == STREAM_ROLE_PROMOTED)
            judge_promoted(node, image);
        node->line = judge_line_new(&run->universe, image->values);
    } else if (node->has_crashed && !judge_crash(node->line, image->values, node->lost_power,
                                                 ++run->tick, sim_now_ns(run->world), why)) {
        run_fail(run, node, "%s: %s",
                 node->lost_power ? "I4: after a power loss" : "I3: after a kill", why);
    }
    if (node->lost_power)
        node->settled_ns = sim_now_ns(run->world);
    node->has_crashed = node->lost_power = false;
    witness_known(node, image);
}

static void read_promoted(struct node *node);

static void promoted_read(struct image *image)
{
    struct node *node = image->node;

    if (!node->engine || node->line || !node_look(node) || node->status.role == STREAM_ROLE_TARGET)
        return;
    if (!generation_is_equal(&node->status.generation, &image->note.generation)) {
        read_promoted(node); /* much has happened meanwhile */
        return;
    }
    if (image->is_bad) {
        if (image->error == 0 || !fate_excuses(node))
            run_fail(node->run, node, "reading after promotion: error %d %s", image->error,
                     image->why);
        return;
    }
    witness_writer(node, image);
}

/* Nobody writes there before that is read: then a new line begins. */
static void read_promoted(struct node *node)
{
    image_read(node, &node->run->universe, witness_note(node), promoted_read, NULL);
}

/* --- snapshots ------------------------------------------------------------------------------- */

struct listing {
    struct node *node;
    unsigned disk, count;
    struct engine_snapshot found[64];
};

static void list_call(void *arg)
{
    struct listing *listing = arg;
    struct engine *engine = listing->node->engine;

    listing->count = engine_snapshot_count(engine, node_disk_id(listing->node, listing->disk));
    if (listing->count > ARRAY_COUNT(listing->found))
        listing->count = ARRAY_COUNT(listing->found);
    for (unsigned i = 0; i < listing->count; i++)
        check(engine_snapshot_at(engine, node_disk_id(listing->node, listing->disk), i,
                                 &listing->found[i]));
}

static struct known_snapshot *find_snapshot(struct node *node, const char *id)
{
    for (unsigned i = 0; i < node->snapshot_count; i++) {
        if (strcmp(node->snapshots[i].id, id) == 0)
            return &node->snapshots[i];
    }
    return NULL;
}

static void note_snapshot(struct node *node, unsigned disk, const char *id)
{
    struct known_snapshot *snapshot;

    if (find_snapshot(node, id) || node->snapshot_count == SNAPSHOTS_MAX)
        return;
    snapshot = &node->snapshots[node->snapshot_count++];
    snprintf(snapshot->id, sizeof(snapshot->id), "%s", id);
    snapshot->disk = disk;
    if (node->is_known) {
        keep(node, &snapshot->expected, node->known_image);
        snapshot->has_expected = true;
    }
    sim_trace(node->run->world, node->site, "snapshot %s of %s%s", id, node_disk_id(node, disk),
              node->is_known ? "" : " (content not known)");
}

/* New ones show what the site showed last; known ones must be there. */
static void list_snapshots(struct node *node, unsigned disk)
{
    struct listing listing = {.node = node, .disk = disk};

    if (!node->engine || !sim_site_call(node->site, list_call, &listing))
        return;
    for (unsigned i = 0; i < listing.count; i++)
        note_snapshot(node, disk, listing.found[i].id);
    for (unsigned i = 0; i < node->snapshot_count; i++) {
        struct known_snapshot *known = &node->snapshots[i];
        bool is_there = known->is_removed || known->disk != disk;
        for (unsigned j = 0; j < listing.count; j++)
            is_there = is_there || strcmp(known->id, listing.found[j].id) == 0;
        if (!is_there && !fate_is_rotten(node))
            run_fail(node->run, node, "I9: snapshot %s is gone", known->id);
    }
}

static void snapshot_read(struct image *image)
{
    struct node *node = image->node;
    struct known_snapshot *snapshot = image->arg;
    char place[64];

    if (!node->engine || snapshot->is_removed)
        return;
    if (image->is_bad) {
        if (image->error == 0 || !fate_excuses(node))
            run_fail(node->run, node, "reading snapshot %s: error %d %s", snapshot->id,
                     image->error, image->why);
        return;
    }
    node->run->figures.snapshots_judged++;
    if (!snapshot->has_expected) {
        keep(node, &snapshot->expected, image->values);
        snapshot->has_expected = true;
    }
    for (unsigned i = 0; i < node->run->universe.span_count; i++) {
        const struct judge_span *span = &node->run->universe.spans[i];
        for (unsigned at = span->first;
             span->disk == snapshot->disk && at < span->first + span->length / JUDGE_SECTOR; at++) {
            if (image->values[at] == snapshot->expected[at])
                continue;
            run_fail(node->run, node, "I9: snapshot %s changed: %s holds write %llu, expected %llu",
                     snapshot->id, judge_place(&node->run->universe, at, place, sizeof(place)),
                     (unsigned long long)image->values[at],
                     (unsigned long long)snapshot->expected[at]);
            return;
        }
    }
}

struct removal {
    struct node *node;
    const char *id;
    int error;
    struct err err;
};

static void remove_call(void *arg)
{
    struct removal *removal = arg;

    removal->error = engine_snapshot_remove(removal->node->engine, removal->id, &removal->err);
}

static void let_go(struct node *node, struct known_snapshot *snapshot)
{
    struct removal removal = {.node = node, .id = snapshot->id};

    sim_trace(node->run->world, node->site, "operator: lets snapshot %s go", snapshot->id);
    snapshot->is_removed = true; /* a death inside leaves either */
    if (!sim_site_call(node->site, remove_call, &removal) || removal.error == 0)
        return;
    snapshot->is_removed = fate_excuses(node);
    if (!snapshot->is_removed)
        run_fail(node->run, node, "removing snapshot %s: %s", snapshot->id, removal.err.text);
}

static void let_old_ones_go(struct node *node, unsigned disk)
{
    unsigned kept = 0;

    for (unsigned i = node->snapshot_count; i-- > 0 && node->engine && !node->images;) {
        struct known_snapshot *snapshot = &node->snapshots[i];
        if (snapshot->disk == disk && !snapshot->is_removed && ++kept > SNAPSHOTS_KEPT)
            let_go(node, snapshot);
    }
}

void witness_snapshots(struct node *node)
{
    for (unsigned i = 0; i < JUDGE_DISKS; i++) {
        list_snapshots(node, i);
        let_old_ones_go(node, i);
    }
    for (unsigned i = 0; i < node->snapshot_count && node->engine; i++) {
        struct known_snapshot *snapshot = &node->snapshots[i];
        if (!snapshot->is_removed)
            image_read_snapshot(node, snapshot->disk, snapshot->id, snapshot_read, snapshot);
    }
}

/* R15: a site that lost keeps what it showed. */
static void check_kept(struct node *node, unsigned disk)
{
    bool is_kept = !node->is_known;

    for (unsigned i = 0; i < node->snapshot_count && !is_kept; i++) {
        const struct known_snapshot *snapshot = &node->snapshots[i];
        bool is_same = snapshot->disk == disk && snapshot->has_expected;
        for (unsigned s = 0; s < node->run->universe.span_count && is_same; s++) {
            const struct judge_span *span = &node->run->universe.spans[s];
            is_same = span->disk != disk ||
                      memcmp(snapshot->expected + span->first, node->known_image + span->first,
                             span->length / JUDGE_SECTOR * sizeof(uint64_t)) == 0;
        }
        is_kept = is_same;
    }
    if (!is_kept)
        run_fail(node->run, node, "I9: no snapshot keeps what %s showed before this site lost",
                 node_disk_id(node, disk));
}

/* --- roles ----------------------------------------------------------------------------------- */

static void role_changed(struct node *node, enum stream_role before)
{
    sim_trace(node->run->world, node->site, "role: %s -> %s, term %llu, epoch %llu",
              node->has_role ? node_role_name(before) : "none", node_role_name(node->role),
              (unsigned long long)node->status.generation.term,
              (unsigned long long)node->status.epoch_acked);
    if (node->role == STREAM_ROLE_TARGET) {
        bool has_lost = node->has_role && node->line &&
                        !generation_is_equal(&node->status.generation, &node->target_generation);
        for (unsigned i = 0; i < JUDGE_DISKS && node->has_role; i++) {
            list_snapshots(node, i);
            if (has_lost && node->engine && node->snapshot_count < SNAPSHOTS_MAX)
                check_kept(node, i);
        }
        if (node->line) {
            judge_line_free(node->line_before);
            node->line_before = node->line;
        }
        node->line = NULL;
        node->epoch_seen = node->status.has_point ? node->status.epoch_acked : 0;
        node->judged_epoch = 0;
        for (unsigned i = 0; i < JUDGED_MAX; i++)
            node->judged[i].epoch = 0;
        node->has_crashed = node->lost_power = false;
        node->settled_ns = 0;
    }
    if (node->role != STREAM_ROLE_TARGET && !node->line && node->line_before) {
        bool is_same = generation_is_equal(&node->status.generation, &node->line_generation);
        if (is_same) /* it died before it was a target durably: nothing has become of that */
            node->line = node->line_before;
        else
            judge_line_free(node->line_before);
        node->line_before = NULL;
    }
    if (node->role != STREAM_ROLE_TARGET)
        node->line_generation = node->status.generation;
    if (node->role == STREAM_ROLE_PROMOTED && node->is_read && !node->line)
        read_promoted(node);
}

void node_observe(struct node *node)
{
    enum stream_role before = node->role;

    if (!node_look(node))
        return;
    node->role = node->status.role;
    if (!node->has_role || before != node->role)
        role_changed(node, before);
    node->has_role = true;
    if (node->role == STREAM_ROLE_TARGET)
        node->target_generation = node->status.generation;
    if (node->engine && node->role == STREAM_ROLE_TARGET)
        observe_target(node);
}
