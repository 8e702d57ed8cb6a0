/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fate: kills, takes power, cuts the network, breaks disks, lets files rot, stops processes and
 * clocks; in half of the schedules several at once.
 *
 * 1. A disk that was broken on purpose is followed by a loss of power; or, where the kernel goes
 *    on, by the end of the process alone, and then mostly by a loss of power.
 * 2. Rot strikes the engine's own files only: a disk's own bytes carry no checksum, so nobody could
 *    tell (README.md). At most once in a schedule: with one part damaged, nothing else may be lost.
 */
#include "sim_fate.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "io/sync_note.h"
#include "sim_alloc.h"
#include "sim_run.h"

enum { JUMPS_MAX = 6, STACKED = 3 };

struct fate {
    struct sim_net_faults net;
    unsigned stalls[RUN_NODES];
    bool has_pauses, has_jumps, has_rot, has_several, is_calm;
    unsigned jumps[RUN_NODES];
    const struct node *rotten; /* NULL: nothing rots yet */
    bool is_misdirecting;      /* it is rotten only when that write has landed */
};

static unsigned pick(struct sim_world *world, const unsigned *choices, unsigned count)
{
    return choices[sim_random_below(world, count)];
}

#define PICK(world, ...)                                                                           \
    pick(world, (const unsigned[]){__VA_ARGS__},                                                   \
         (unsigned)(sizeof((const unsigned[]){__VA_ARGS__}) / sizeof(unsigned)))

struct fate *fate_new(struct sim_run *run)
{
    struct sim_world *world = run->world;
    struct fate *fate = sim_kernel_alloc(sizeof(*fate));

    fate->net = (struct sim_net_faults){
        .spikes = PICK(world, 0, 0, 300),
        .ghosts = PICK(world, 0, 3),
        .repeats = PICK(world, 0, 0, 0, 0, 0, 0, 2000),
        .replays = PICK(world, 0, 0, 0, 0, 0, 0, 2000),
    };
    for (unsigned i = 0; i < RUN_NODES; i++)
        fate->stalls[i] = PICK(world, 0, 0, 500);
    fate->has_pauses = sim_chance(world, 40);
    fate->has_jumps = sim_chance(world, 30);
    fate->has_rot = sim_chance(world, 10);
    fate->has_several = sim_chance(world, 50);
    return fate;
}

void fate_start(struct sim_run *run)
{
    sim_net_trouble(run->world, &run->fate->net);
    for (unsigned i = 0; i < RUN_NODES; i++)
        sim_disk_stalls(run->nodes[i].site, run->fate->stalls[i]);
}

bool fate_kernel_goes_on(const struct sim_run *run)
{
    return run->kernel_goes_on;
}

int fate_watch_syncs(struct node *node, struct err *err)
{
    struct loop *loop = sim_site_loop(node->site);
    int error = sync_note_open(loop, "/syncs", &node->syncs, err);

    if (error == 0)
        loop_watch_syncs(loop, node->syncs);
    return error;
}

void fate_free(struct fate *fate)
{
    sim_kernel_free(fate);
}

/* --- what is excused ------------------------------------------------------------------------- */

bool fate_is_rotten(const struct node *node)
{
    const struct fate *fate = node->run->fate;

    return fate->rotten == node && (!fate->is_misdirecting || sim_disk_misdirected(node->site));
}

bool fate_excuses(const struct node *node)
{
    return node->may_fail || fate_is_rotten(node);
}

static void refuse(struct node *node, const char *why)
{
    if (node->run->is_refused)
        return;
    sim_trace(node->run->world, node->site, "refuses, which is right: %s", why);
    node->run->is_refused = true;
    node->run->figures.rots = 1;
    node->run->figures.refusals++;
}

bool fate_fails_reads(struct node *node)
{
    if (fate_is_rotten(node))
        refuse(node, "a read fails");
    return fate_is_rotten(node);
}

bool fate_is_told(const struct node *node, const char *why)
{
    /* A state whose newest slot was lost is an old copy, which its peer recognises. */
    return fate_is_rotten(node) &&
           (strstr(why, "/data/") || strstr(why, "is damaged") || strstr(why, "older history") ||
            strstr(why, "old copy") || strstr(why, "disk cannot be read") ||
            strstr(why, "see the log of the daemon's start")); /* which names the file */
}

bool fate_refuses(struct node *node, const char *why)
{
    if (!fate_is_told(node, why))
        return false;
    refuse(node, why);
    return true;
}

/* --- deaths ---------------------------------------------------------------------------------- */

static void armed_died(void *arg)
{
    struct node *node = arg;

    node_died(node, node->armed_power);
}

static void arm(struct node *node)
{
    struct sim_world *world = node->run->world;
    unsigned calls = 1 + (unsigned)sim_random_below(world, sim_chance(world, 50) ? 40 : 400);

    if (!node->engine)
        return;
    node->armed_power = sim_chance(world, 50);
    sim_trace(world, node->site, "will die at its call %u", calls);
    sim_site_crash_after(node->site, calls, node->armed_power, armed_died, node);
}

/* --- disks ----------------------------------------------------------------------------------- */

static void power_goes(void *arg)
{
    struct node *node = arg;

    if (!node->run->fate->is_calm)
        operator_lose(node, true);
}

static void repair(void *arg)
{
    struct node *node = arg;
    struct sim_world *world = node->run->world;

    sim_disk_repair(node->site);
    if (!node->may_fail)
        return;
    operator_lose(node, !fate_kernel_goes_on(node->run));
    if (fate_kernel_goes_on(node->run) && sim_chance(world, 60))
        sim_after(world, sim_random_below(world, 3 * SIM_SECOND), power_goes, node);
}

static enum sim_disk_call pick_call(const struct sim_run *run)
{
    if (run->kernel_goes_on && sim_chance(run->world, 60))
        return SIM_DISK_SYNC;
    return (enum sim_disk_call)sim_random_below(run->world, SIM_DISK_CALL_COUNT);
}

static void break_disk(struct node *node)
{
    static const char *const parts[] = {"", "disks", "journal", "intent", "state", "layers"};
    struct sim_world *world = node->run->world;
    const char *part;

    if (!node->engine || node->may_fail)
        return;
    node->may_fail = true;
    node->run->figures.disk_faults++;
    if (sim_chance(world, 20)) {
        sim_trace(world, node->site, "disk is nearly full");
        sim_disk_limit(node->site,
                       sim_disk_used(node->site) + sim_random_below(world, 100) * SIM_PAGE_BYTES);
    } else {
        part = parts[sim_random_below(world, ARRAY_COUNT(parts))];
        if (node->whole && sim_chance(world, 30))
            part = "site.db";
        sim_disk_fail(node->site, pick_call(node->run), part,
                      1 + (unsigned)sim_random_below(world, 6), -EIO);
    }
    sim_after(world, sim_random_below(world, 2 * SIM_SECOND), repair, node);
}

/* In whatever this site has of these, beginning with one by chance. What was to land elsewhere and
 * has not yet is forgotten. */
static void rot(struct node *node)
{
    static const char *const parts[] = {"/journal/", "/journal/", "/state",       ".info",
                                        "/dirty",    "/intent-",  "/superseded-", ".map"};
    struct sim_world *world = node->run->world;
    struct fate *fate = node->run->fate;
    unsigned first = (unsigned)sim_random_below(world, ARRAY_COUNT(parts));
    bool is_misdirecting = sim_chance(world, 40);
    unsigned nth = 1 + (unsigned)sim_random_below(world, 10);
    char path[SIM_PATH_SIZE];

    if ((fate->rotten && fate_is_rotten(fate->rotten)) || !node->is_created)
        return;
    if (fate->rotten)
        sim_disk_misdirect(fate->rotten->site, "", 0);
    fate->rotten = NULL;
    fate->is_misdirecting = is_misdirecting;
    for (unsigned i = 0; i < ARRAY_COUNT(parts) && !fate->rotten; i++) {
        const char *part = parts[(first + i) % ARRAY_COUNT(parts)];
        if (is_misdirecting ? sim_disk_has(node->site, part) : sim_disk_rot(node->site, part, path))
            fate->rotten = node;
        if (is_misdirecting && fate->rotten)
            sim_disk_misdirect(node->site, part, nth);
    }
}

/* --- time ------------------------------------------------------------------------------------ */

static void pause_site(struct node *node)
{
    struct sim_world *world = node->run->world;
    uint64_t seconds =
        sim_chance(world, 70) ? 1 + sim_random_below(world, 5) : 1 + sim_random_below(world, 60);

    if (!node->engine || sim_site_is_paused(node->site))
        return;
    node->run->figures.pauses++;
    sim_site_pause(node->site, seconds * SIM_SECOND - sim_random_below(world, SIM_SECOND));
}

static void jump(struct node *node)
{
    static const int64_t seconds[] = {3600, -3600, 315576000, -315576000, -2, -60, 7};
    struct fate *fate = node->run->fate;
    int64_t delta = seconds[sim_random_below(node->run->world, ARRAY_COUNT(seconds))];

    if (fate->jumps[node->index] == JUMPS_MAX)
        return;
    /* Not before 1990. */
    if (delta < 0 &&
        sim_site_wall_offset_ns(node->site) / SIM_SECOND < (uint64_t)-delta + 20 * 31557600ull)
        delta = -delta;
    fate->jumps[node->index]++;
    node->run->figures.jumps++;
    sim_site_wall_jump(node->site, delta * (int64_t)SIM_SECOND);
}

/* --- turns ----------------------------------------------------------------------------------- */

void fate_change_network(struct sim_run *run)
{
    struct sim_site *a = run->nodes[0].site, *b = run->nodes[1].site;

    run->figures.network_faults++;
    if (sim_net_get(run->world, a, b) != SIM_NET_OK)
        sim_net_set(run->world, a, b, SIM_NET_OK);
    else
        sim_net_set(run->world, a, b, sim_chance(run->world, 70) ? SIM_NET_CUT : SIM_NET_BLACKHOLE);
}

static void strike(struct sim_run *run, struct node *node)
{
    unsigned dice = (unsigned)sim_random_below(run->world, 100);

    if (dice < 18)
        operator_lose(node, sim_chance(run->world, 50));
    else if (dice < 40)
        arm(node);
    else if (dice < 52)
        fate_change_network(run);
    else if (dice < 62 && node->engine && node->is_running)
        witness_snapshots(node);
    else if (dice < 68)
        operator_stop(node);
    else if (dice < 68 + run->rough_percent)
        break_disk(node);
    else if (dice < 91 && run->fate->has_pauses)
        pause_site(node);
    else if (dice < 94 && run->fate->has_jumps)
        jump(node);
    else if (dice >= 90 && run->fate->has_rot)
        rot(node);
}

void fate_turn(struct sim_run *run, struct node *node)
{
    unsigned count = 1;

    plant_turn(run, node);
    if (run->fate->has_several && sim_chance(run->world, 30))
        count = 2 + (unsigned)sim_random_below(run->world, 2);
    while (count-- > 0) {
        strike(run, node);
        node = sim_chance(run->world, 50) ? node : node->other;
    }
    fate_count(run);
}

void fate_calm(struct sim_run *run)
{
    run->fate->is_calm = true;
    sim_net_set(run->world, run->nodes[0].site, run->nodes[1].site, SIM_NET_OK);
    sim_net_trouble(run->world, &(struct sim_net_faults){0});
    for (unsigned i = 0; i < RUN_NODES; i++) {
        struct node *node = &run->nodes[i];
        sim_site_crash_after(node->site, 0, false, NULL, NULL);
        sim_disk_repair(node->site);
        if (!sim_disk_misdirected(node->site))
            sim_disk_misdirect(node->site, "", 0);
        sim_disk_stalls(node->site, 0);
        if (node->may_fail)
            operator_lose(node, true);
    }
}

void fate_count(struct sim_run *run)
{
    unsigned count = sim_net_get(run->world, run->nodes[0].site, run->nodes[1].site) != SIM_NET_OK;

    for (unsigned i = 0; i < RUN_NODES; i++) {
        const struct node *node = &run->nodes[i];
        count += !node->engine;
        count += node->may_fail;
        count += sim_site_is_paused(node->site);
    }
    for (unsigned i = 0; i < RUN_NODES; i++)
        run->figures.rots |= fate_is_rotten(&run->nodes[i]);
    count += run->figures.rots != 0;
    if (count >= STACKED)
        run->figures.stacked = 1;
}
