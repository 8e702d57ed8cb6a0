/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operator: at random moments starts, stops, fails over, reprotects both ways, stops daemons
 * cleanly.
 */
#include "base/check.h"
#include "io/sync_note.h"
#include "sim_alloc.h"
#include "sim_run.h"
#include "sim_whole.h"

enum { POLL_MS = 7 };

void operator_lose(struct node *node, bool power)
{
    if (!sim_site_is_alive(node->site))
        return;
    if (power)
        sim_site_power_loss(node->site);
    else
        sim_site_kill(node->site);
    node_died(node, power);
}

static bool is_quiet(const struct node *node)
{
    for (unsigned i = 0; i < JUDGE_DISKS; i++) {
        if (!host_is_quiet(node, i))
            return false;
    }
    return true;
}

/* --- reprotect: detach the losing side, note what it shows, ask ---------------------------------
 */

static void reprotect_end(struct node *node)
{
    node->is_reprotecting = false;
    node->is_paused = node->other->is_paused = false;
}

static void reprotect_ended(void *arg)
{
    struct node *node = arg;

    if (node->act == ACT_REPROTECT && node->engine)
        sim_after(node->run->world, POLL_MS * SIM_MS, reprotect_ended, node);
    else
        reprotect_end(node);
}

static void reprotect_call(void *arg)
{
    struct node *node = arg;

    if (!node->engine || !node->is_running || node->act != ACT_NONE) {
        reprotect_end(node);
        return;
    }
    node_act(node, ACT_REPROTECT, node->reprotect_reverse);
    sim_after(node->run->world, POLL_MS * SIM_MS, reprotect_ended, node);
}

static void loser_read(struct image *image)
{
    struct node *loser = image->node, *asked = image->arg;

    if (loser->engine && !image->is_bad)
        witness_known(loser, image);
    if (loser->engine && image->is_bad && (image->error == 0 || !fate_excuses(loser)))
        run_fail(loser->run, loser, "reading the losing side: error %d %s", image->error,
                 image->why);
    sim_after(asked->run->world, 0, reprotect_call, asked);
}

static void reprotect_wait(void *arg)
{
    struct node *node = arg, *loser = node->reprotect_reverse ? node->other : node;

    if (!is_quiet(loser) || (loser->engine && !loser->is_running)) {
        sim_after(node->run->world, POLL_MS * SIM_MS, reprotect_wait, node);
        return;
    }
    if (loser->engine)
        image_read(loser, &node->run->universe, (struct image_note){0}, loser_read, node);
    else
        reprotect_call(node);
}

void operator_reprotect(struct node *node, bool reverse)
{
    if (node->is_reprotecting || node->other->is_reprotecting || node->is_stopping ||
        node->other->is_stopping)
        return;
    node->is_reprotecting = true;
    node->reprotect_reverse = reverse;
    (reverse ? node->other : node)->is_paused = true;
    reprotect_wait(node);
}

/* --- a clean stop ---------------------------------------------------------------------------- */

struct stop {
    struct node *node;
    unsigned life;
};

static void stop_free_call(void *arg)
{
    struct node *node = arg;

    if (node->whole)
        whole_release(node);
    else
        engine_free(node->engine);
    sync_note_close(node->syncs);
}

static void stop_finish(void *arg)
{
    struct stop *stop = arg;
    struct node *node = stop->node;
    size_t left;

    if (sim_site_life(node->site) == stop->life && node->engine &&
        sim_site_call(node->site, stop_free_call, node)) {
        left = sim_alloc_count(node->site);
        if (left > 0)
            run_fail(node->run, node, "a clean stop leaves %zu allocations", left);
        sim_trace(node->run->world, node->site, "stopped cleanly");
        operator_lose(node, false);
    }
    sim_kernel_free(stop);
}

static void stopped_cb(void *arg)
{
    struct node *node = arg;
    struct stop *stop = sim_kernel_alloc(sizeof(*stop));

    *stop = (struct stop){node, sim_site_life(node->site)};
    sim_after(node->run->world, 0, stop_finish, stop);
}

static void stop_call(void *arg)
{
    struct node *node = arg;

    if (node->whole)
        whole_stop(node, stopped_cb);
    else
        engine_stop(node->engine, stopped_cb, node);
}

static void stop_wait(void *arg)
{
    struct node *node = arg;

    if (!node->engine || !node->is_stopping) {
        node->is_stopping = node->is_paused = false;
        return;
    }
    if (!is_quiet(node) || node->images || node->act != ACT_NONE || !node->is_running ||
        whole_is_busy(node)) {
        sim_after(node->run->world, POLL_MS * SIM_MS, stop_wait, node);
        return;
    }
    sim_trace(node->run->world, node->site, "clean stop");
    node->is_running = false;
    sim_site_call(node->site, stop_call, node);
}

void operator_stop(struct node *node)
{
    if (!node->engine || !node->is_running || node->is_stopping || node->is_reprotecting ||
        node->other->is_reprotecting)
        return;
    node->is_stopping = node->is_paused = true;
    stop_wait(node);
}

/* --- growing --------------------------------------------------------------------------------- */

/* Asked of one engine, at any time: that the target comes first is for the engines to see to. */
static void grown(void *arg, int error, const char *why)
{
    struct grower *grower = arg;
    struct node *node = grower->node;
    struct engine_stream_status status;

    sim_trace(node->run->world, node->site, "growing disk %u ends with %d (%s)", grower->disk,
              error, why);
    grower->is_done = error == 0;
    if (error == 0 && engine_stream_status(node->engine, node_stream_id(node), &status) &&
        status.role == STREAM_ROLE_SOURCE) {
        node->run->figures.growths += !node->run->is_grown[grower->disk];
        node->run->is_grown[grower->disk] = true;
    }
}

static void grow_call(void *arg)
{
    struct grower *grower = arg;
    struct node *node = grower->node;

    engine_disk_grow(node->engine, node_disk_id(node, grower->disk),
                     node->run->universe.disk_bytes[grower->disk], grown, grower);
}

void operator_grow(struct node *node, unsigned disk)
{
    struct grower *grower = &node->growers[disk];

    if (!node->engine || !node->is_running || node->is_stopping || sim_site_is_paused(node->site))
        return;
    *grower = (struct grower){node, disk};
    sim_trace(node->run->world, node->site, "operator: grow disk %u", disk);
    if (node->whole)
        whole_grow(grower);
    else
        sim_site_call(node->site, grow_call, grower);
}

/* --- turns ----------------------------------------------------------------------------------- */

static void act_somehow(struct node *node)
{
    struct sim_world *world = node->run->world;
    unsigned dice = (unsigned)sim_random_below(world, 100);

    if (!node->engine || !node->is_running || node->act != ACT_NONE || node->is_stopping ||
        sim_site_is_paused(node->site) || (node->whole && !node->has_role))
        return;
    if (node->role == STREAM_ROLE_SOURCE && !node->status.is_started)
        node_act(node, ACT_START, dice < 10);
    else if (node->role == STREAM_ROLE_SOURCE && dice < 15)
        node_act(node, ACT_STOP, false);
    else if (node->role == STREAM_ROLE_TARGET && node->status.has_point && dice < 30)
        node_failover(node, node->run->picks_points && sim_chance(world, 30) && node->epoch_seen > 4
                                ? node->epoch_seen - sim_random_below(world, 4)
                                : 0);
    else if (node->role == STREAM_ROLE_PROMOTED && dice < 50)
        operator_reprotect(node, dice < 25);
}

static void operator_turn(void *arg)
{
    struct sim_run *run = arg;
    struct node *node = &run->nodes[sim_random_below(run->world, RUN_NODES)];
    bool is_cut = sim_net_get(run->world, run->nodes[0].site, run->nodes[1].site) != SIM_NET_OK;

    if (run->is_calm || run_is_over(run))
        return;
    run->figures.actions++;
    if (is_cut && sim_chance(run->world, 30))
        fate_change_network(run);
    for (unsigned i = 0; i < JUDGE_DISKS; i++)
        if (run->lacking[i] > 0 && sim_chance(run->world, 15))
            operator_grow(&run->nodes[sim_random_below(run->world, RUN_NODES)], i);
    if (sim_chance(run->world, 50))
        act_somehow(node);
    else if (sim_chance(run->world, run->storm_percent))
        fate_turn(run, node);
    sim_after(run->world, sim_random_below(run->world, run->turn_ns), operator_turn, run);
}

void operator_start(struct sim_run *run)
{
    sim_after(run->world, sim_random_below(run->world, 200 * SIM_MS), operator_turn, run);
}
