/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a schedule: no more writes and faults; a decent operator brings both sites together.
 * Within bounded time they must show the same bytes everywhere, nothing that was answered to a host
 * of the surviving line may be missing, and every snapshot must show what it always showed.
 */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "sim_alloc.h"
#include "sim_invariants.h"
#include "sim_run.h"
#include "sim_town.h"

enum { SETTLE_SECONDS = 600, STEP_MS = 50, STEADY_STEPS = 20, WINDOW_BYTES = 64 << 10 };

static void step(struct sim_run *run)
{
    sim_world_run_until(run->world, sim_now_ns(run->world) + STEP_MS * SIM_MS);
}

static bool is_still(const struct node *node)
{
    for (unsigned i = 0; i < JUDGE_DISKS; i++) {
        if (!host_is_quiet(node, i))
            return false;
    }
    return node->engine && node->is_running && node->is_read && node->act == ACT_NONE &&
           !node->is_stopping && !node->is_reprotecting && !node->images &&
           !sim_site_is_paused(node->site);
}

static void make_calm(struct sim_run *run)
{
    run->is_calm = true;
    sim_trace(run->world, NULL, "calm: no more writes, no more faults");
    fate_calm(run);
}

/* One nudge of the operator; true: the stream has nothing left to do. */
static bool nudge(struct sim_run *run)
{
    struct node *a = &run->nodes[0], *b = &run->nodes[1], *source = NULL, *target = NULL;

    if (!is_still(a) || !is_still(b))
        return false;
    node_observe(a);
    node_observe(b);
    for (unsigned i = 0; i < RUN_NODES; i++) {
        struct node *node = &run->nodes[i];
        if (node->role == STREAM_ROLE_SOURCE)
            source = node;
        if (node->role == STREAM_ROLE_TARGET)
            target = node;
        if (node->role == STREAM_ROLE_PROMOTED && sim_chance(run->world, 10)) {
            operator_reprotect(node, run->keeps_promoted || sim_chance(run->world, 50));
            return false;
        }
    }
    for (unsigned i = 0; i < RUN_NODES; i++) {
        struct node *node = &run->nodes[i];
        if (fate_is_rotten(node) && strstr(node->status.trouble, "then restart the daemon")) {
            sim_trace(run->world, node->site, "is restarted, as it asks for");
            operator_lose(node, false);
            return false;
        }
    }
    if (!source || !target)
        return false;
    if (target->status.journal_needed_bytes > 0) {
        sim_trace(run->world, target->site, "gets more space for its journal");
        run->settings.journal_bytes_max = 1 << 30;
        operator_lose(target, false);
        return false;
    }
    if (!source->status.is_started || source->status.is_one_shot) {
        node_act(source, ACT_START, false);
        return false;
    }
    return source->status.is_connected && source->status.backlog_bytes == 0 &&
           target->status.has_point && !source->status.is_initial;
}

static void say_state(struct sim_run *run, char *text, size_t size)
{
    size_t used = 0;

    for (unsigned i = 0; i < RUN_NODES && used < size; i++) {
        const struct node *node = &run->nodes[i];
        const struct engine_stream_status *status = &node->status;
        used += (size_t)snprintf(
            text + used, size - used,
            "; %s: %s%s%s%s%s%s%s%s%s%s epoch %llu backlog %llu trouble '%.90s'",
            sim_site_name(node->site), node_role_name(node->role),
            node->engine ? "" : ", no engine", node->is_running ? "" : ", not running",
            node->act != ACT_NONE ? ", act under way" : "", node->images ? ", reading" : "",
            node->is_reprotecting ? ", reprotecting" : "", node->is_stopping ? ", stopping" : "",
            host_is_quiet(node, 0) && host_is_quiet(node, 1) ? "" : ", host requests hang",
            status->is_started ? ", started" : "", status->is_connected ? ", connected" : "",
            (unsigned long long)status->epoch_acked, (unsigned long long)status->backlog_bytes,
            status->trouble);
    }
}

/* --- the last look --------------------------------------------------------------------------- */

/* The whole disks are read in windows, at both sites in turn. */
struct window {
    struct judge_universe universe; /* of one span */
    uint64_t *values[RUN_NODES];
    bool is_done;
};

static void window_read(struct image *image)
{
    struct window *window = image->arg;

    window->is_done = true;
    if (image->is_bad && !(image->error < 0 && fate_fails_reads(image->node)))
        run_fail(image->node->run, image->node, "last reading: error %d %s", image->error,
                 image->why);
    window->values[image->node->index] = image->values;
    image->values = NULL;
}

static bool is_read(void *arg)
{
    return ((struct window *)arg)->is_done;
}

static void judge_window(struct sim_run *run, const struct window *window)
{
    const struct judge_span *span = &window->universe.spans[0];
    struct node *source = &run->nodes[run->nodes[0].role == STREAM_ROLE_SOURCE ? 0 : 1];
    char place[64], why[JUDGE_WHY_SIZE];
    unsigned watched;

    check(source->line || fate_is_rotten(source)); /* else its promotion was read and judged */
    for (unsigned i = 0; i < window->universe.sector_count; i++) {
        uint64_t values[RUN_NODES] = {window->values[0][i], window->values[1][i]};
        if (values[0] != values[1]) {
            run_fail(run, NULL,
                     "I11: the sites did not converge: %s holds write %llu at %s, %llu at %s",
                     judge_place(&window->universe, i, place, sizeof(place)),
                     (unsigned long long)values[0], sim_site_name(run->nodes[0].site),
                     (unsigned long long)values[1], sim_site_name(run->nodes[1].site));
            return;
        }
        if (source->line &&
            judge_sector(&run->universe, span->disk, span->offset + i * JUDGE_SECTOR, &watched) &&
            !judge_read(source->line, watched, values[0], UINT64_MAX, why)) {
            run_fail(run, source, "I11: at the end: %s", why);
            return;
        }
    }
}

static void look_at_window(struct sim_run *run, unsigned disk, uint64_t offset, uint64_t length)
{
    struct window window = {0};
    bool are_holes = true;
    uint64_t deadline_ns = sim_now_ns(run->world) + 60 * SIM_SECOND;

    for (unsigned i = 0; i < RUN_NODES; i++)
        are_holes = are_holes && invariants_is_hole(&run->nodes[i], disk, offset, length);
    if (are_holes && !judge_watches(&run->universe, disk, offset, length))
        return;
    window.universe.disk_bytes[disk] = run->universe.disk_bytes[disk];
    judge_universe_add(&window.universe, disk, offset, length);
    for (unsigned i = 0; i < RUN_NODES && !run_is_over(run); i++) {
        window.is_done = false;
        image_read(&run->nodes[i], &window.universe, (struct image_note){0}, window_read, &window);
        if (!sim_world_run_for(run->world, is_read, &window, deadline_ns))
            run_fail(run, &run->nodes[i], "I11: the last reading hangs");
    }
    if (!run_is_over(run))
        judge_window(run, &window);
    images_drop(&run->nodes[0]);
    images_drop(&run->nodes[1]);
    for (unsigned i = 0; i < RUN_NODES; i++)
        sim_kernel_free(window.values[i]);
}

static bool nothing_is_read(void *arg)
{
    struct sim_run *run = arg;

    return run_is_over(run) || (!run->nodes[0].images && !run->nodes[1].images);
}

static void look_last(struct sim_run *run)
{
    for (unsigned disk = 0; disk < JUDGE_DISKS; disk++) {
        uint64_t bytes = node_disk_bytes(&run->nodes[0], disk);

        if (bytes > node_disk_bytes(&run->nodes[1], disk)) /* the copy may be the larger one */
            bytes = node_disk_bytes(&run->nodes[1], disk);
        for (uint64_t at = 0; at < bytes && !run_is_over(run); at += WINDOW_BYTES)
            look_at_window(run, disk, at, bytes - at < WINDOW_BYTES ? bytes - at : WINDOW_BYTES);
    }
    if (!run_is_over(run)) {
        witness_snapshots(&run->nodes[0]);
        witness_snapshots(&run->nodes[1]);
        if (!sim_world_run_for(run->world, nothing_is_read, run,
                               sim_now_ns(run->world) + 60 * SIM_SECOND))
            run_fail(run, NULL, "I11: the last reading of snapshots hangs");
    }
    images_drop(&run->nodes[0]);
    images_drop(&run->nodes[1]);
}

/* A rotten site may stay where it is, if it says so, or if the other recognises it. */
static bool stands_still_rightly(struct sim_run *run)
{
    for (unsigned i = 0; i < RUN_NODES; i++) {
        struct node *node = &run->nodes[i];
        if (fate_is_rotten(node) &&
            (fate_refuses(node, node->status.trouble) || fate_refuses(node, node->act_why) ||
             fate_refuses(node, node->other->status.trouble)))
            return true;
    }
    return false;
}

/* So may a job of one of its other relations, whose file it names. */
static bool waits_rightly(struct sim_run *run)
{
    return run->town && nudge(run) &&
           (fate_refuses(&run->nodes[0], run->town->unrest) ||
            fate_refuses(&run->nodes[1], run->town->unrest));
}

bool run_settle(struct sim_run *run)
{
    uint64_t deadline_ns;
    unsigned steady = 0;
    char state[600];

    make_calm(run);
    deadline_ns = sim_now_ns(run->world) + SETTLE_SECONDS * SIM_SECOND;
    while (!run_is_over(run) && steady < STEADY_STEPS) {
        steady = town_nudge(run) & nudge(run) ? steady + 1 : 0;
        step(run);
        if (sim_now_ns(run->world) > deadline_ns) {
            say_state(run, state, sizeof(state));
            if (stands_still_rightly(run) || waits_rightly(run))
                return true;
            run_fail(run, NULL, "I11: not settled after %u s%s%s%s", SETTLE_SECONDS, state,
                     run->town ? "; control: " : "", run->town ? run->town->unrest : "");
            return false;
        }
    }
    if (!run_is_over(run))
        town_audit(run);
    if (!run_is_over(run))
        look_last(run);
    return !run->has_failed;
}
