/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: the founder, the attendants and the operator's acts. Each asks again until it has what it
 * wants; what is refused is asked again later.
 */
#include "sim_town.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "sim_alloc.h"
#include "sim_clerk_disk.h"
#include "sim_client.h"
#include "sim_fate.h"
#include "sim_registrar.h"
#include "sim_whole.h"

enum { ACT_SECONDS = 6, POLL_MS = 15, REST_SECONDS = 300, STEADY = 60 };

/* --- the founder ----------------------------------------------------------------------------- */

static void found(void *arg);

static void found_later(struct town *town)
{
    sim_after(town->run->world, SIM_MS + sim_random_below(town->run->world, 200 * SIM_MS), found,
              town);
}

static void take_step(struct town *town, const char *reply)
{
    struct sim_run *run = town->run;
    unsigned step = town->step++;
    char *id;

    if (step < 4) {
        client_text(reply, "DiskId", run->nodes[step / 2].whole->disk_ids[step % 2], 40);
        if (step % 2 == 1)
            whole_founded(&run->nodes[step / 2]);
    } else if (step == 4) {
        id = run->nodes[0].whole->stream_id;
        client_text(reply, "ReplicaGroupId", id, 40);
        snprintf(run->nodes[1].whole->stream_id, 40, "%s", id);
    } else if (step < 7) {
        client_text(reply, "ReplicaPairId", town->pair_ids[step - 5], 40);
        town->is_disordered =
            town->pair_ids[1][0] && strcmp(town->pair_ids[0], town->pair_ids[1]) > 0;
        town->step = town->pair_ids[1][0] ? 7 : 6;
        town->wrong = (unsigned)sim_random_below(run->world, JUDGE_DISKS);
    } else if (step == 9) {
        town->is_founded = true;
        sim_trace(run->world, NULL, "the watched group is founded");
    }
}

static void found_answered(void *arg, unsigned status, const char *reply)
{
    struct town *town = arg;

    /* 404: an earlier try, whose answer was lost, deleted it. */
    if (town->is_disordered && (status == 200 || status == 404)) {
        town->is_disordered = false; /* one of them once more, for another id */
        town->step = 5 + town->wrong;
    } else if (status == 200) {
        take_step(town, reply);
    }
    if (!town->is_founded)
        found_later(town);
}

#define SITES(node, peer)                                                                          \
    "RegionId", node_names[node], "SourceZoneId", node_names[node], "DestinationRegionId",         \
        node_names[peer], "DestinationZoneId", node_names[peer]

static void found(void *arg)
{
    struct town *town = arg;
    struct sim_run *run = town->run;
    struct whole *paris = run->nodes[0].whole, *lyon = run->nodes[1].whole;
    unsigned step = town->step, pair = (step - 5) % 2, asked = step < 4 ? step / 2 : 0;
    char size[24];
    struct client_order order = {.is_sure = step < 9,
                                 .done_cb = found_answered,
                                 .arg = town}; /* asked until it is answered */
    const char *disk[] = {
        "RegionId", node_names[asked], "ZoneId", node_names[asked], "SizeBytes", size, NULL};
    const char *group[] = {SITES(0, 1), NULL};
    const char *pairs[] = {SITES(0, 1),           "DiskId",
                           paris->disk_ids[pair], "DestinationDiskId",
                           lyon->disk_ids[pair],  NULL};
    const char *member[] = {
        "RegionId",           node_names[0], "ReplicaGroupId", paris->stream_id, "ReplicaPairId",
        town->pair_ids[pair], NULL};

    if (run->has_failed)
        return;
    snprintf(size, sizeof(size), "%llu",
             (unsigned long long)(run->universe.disk_bytes[step % JUDGE_DISKS] -
                                  run->lacking[step % JUDGE_DISKS]));
    order.action = step < 4    ? "CreateDisk"
                   : step == 4 ? "CreateDiskReplicaGroup"
                   : step < 7  ? "CreateDiskReplicaPair"
                   : step < 9  ? "AddDiskReplicaPair"
                               : "StartDiskReplicaGroup";
    if (town->is_disordered) {
        order = (struct client_order){
            .action = "DeleteDiskReplicaPair",
            .pairs = {"RegionId", node_names[0], "ReplicaPairId", town->pair_ids[town->wrong]},
            .attempts = 5,
            .done_cb = found_answered,
            .arg = town};
        client_ask(&run->nodes[0], &order);
        return;
    }
    if (step < 4)
        memcpy(order.pairs, disk, sizeof(disk));
    else if (step == 4)
        memcpy(order.pairs, group, sizeof(group));
    else if (step < 7)
        memcpy(order.pairs, pairs, sizeof(pairs));
    else
        memcpy(order.pairs, member, step < 9 ? sizeof(member) : 4 * sizeof(member[0]));
    client_ask(&run->nodes[asked], &order);
}

/* --- the attendants -------------------------------------------------------------------------- */

static void attended(void *arg, unsigned status, const char *reply)
{
    struct attendant *attendant = arg;

    attendant->is_asking = false;
}

static void attend_disk(struct attendant *attendant, unsigned disk)
{
    struct node *node = attendant->node;
    struct sim_run *run = node->run;
    bool is_known, is_attached = audit_is_attached(node, whole_disk_id(node, disk), &is_known);
    bool is_mine = node->index == 0 ? !node->has_role || node->role != STREAM_ROLE_TARGET
                                    : node->has_role && node->role != STREAM_ROLE_TARGET;
    struct client_order order = {
        .pairs = {"InstanceId", "i-host", "DiskId", whole_disk_id(node, disk)},
        .attempts = 2,
        .done_cb = attended,
        .arg = attendant};

    if (!is_known || node->is_stopping)
        return;
    if (is_attached && (node->is_paused || (node->has_role && node->role == STREAM_ROLE_TARGET)))
        order.action = "DetachDisk";
    else if (!is_attached && !node->is_paused &&
             (is_mine || (run->town->is_founded && !run->is_calm && sim_chance(run->world, 3))))
        order.action = "AttachDisk";
    else
        return;
    attendant->is_asking = true;
    client_ask(node, &order);
}

static void attend(void *arg)
{
    struct attendant *attendant = arg;
    struct node *node = attendant->node;
    struct sim_world *world = node->run->world;

    if (node->run->has_failed)
        return;
    for (unsigned i = 0; i < JUDGE_DISKS; i++) {
        if (node->engine && node->is_read && node->whole->disk_ids[i][0] && !attendant->is_asking)
            attend_disk(attendant, i);
    }
    sim_after(world, 5 * SIM_MS + sim_random_below(world, 40 * SIM_MS), attend, attendant);
}

/* --- the operator's acts --------------------------------------------------------------------- */

static const char *const act_actions[] = {
    [ACT_START] = "StartDiskReplicaGroup",
    [ACT_STOP] = "StopDiskReplicaGroup",
    [ACT_FAILOVER] = "FailoverDiskReplicaGroup",
    [ACT_REPROTECT] = "ReprotectDiskReplicaGroup",
};

static struct attendant *attendant_of(struct node *node)
{
    return &node->run->town->attendants[node->index];
}

static bool is_current(const struct acting *acting)
{
    return acting->node->act != ACT_NONE &&
           attendant_of(acting->node)->act_serial == acting->serial;
}

static void act_watch(void *arg)
{
    struct acting *acting = arg;
    struct node *node = acting->node;
    struct sim_run *run = node->run;
    enum replica_state state;
    bool is_late = sim_now_ns(run->world) > attendant_of(node)->act_until_ns;

    if (!is_current(acting))
        return;
    if (!is_late && audit_state(node, whole_stream_id(node), &state) &&
        !replica_state_is_transient(state))
        node_act_done(node, 0, replica_state_name(state));
    else if (is_late)
        node_act_done(node, -ETIMEDOUT, "the job goes on");
    else
        sim_after(run->world, POLL_MS * SIM_MS, act_watch, acting);
}

static void act_answered(void *arg, unsigned status, const char *reply)
{
    struct acting *acting = arg;
    char why[120];

    if (!is_current(acting))
        return;
    client_text(reply, "Message", why, sizeof(why));
    if (status != 200)
        node_act_done(acting->node, -EPERM, why);
    else
        act_watch(acting);
}

static void act_ask(struct acting *acting, bool flag)
{
    struct node *node = acting->node;
    struct client_order order = {
        .action = act_actions[node->act],
        .pairs = {"RegionId", node_names[node->index], "ReplicaGroupId", whole_stream_id(node)},
        .attempts = 3,
        .is_sure = node->act == ACT_FAILOVER || node->act == ACT_REPROTECT,
        .done_cb = act_answered,
        .arg = acting};

    if (node->act == ACT_START && flag) {
        order.pairs[4] = "OneShot";
        order.pairs[5] = "true";
    } else if (node->act == ACT_REPROTECT) {
        order.pairs[4] = "ReverseReplicate";
        order.pairs[5] = flag ? "true" : "false";
    }
    client_ask(node, &order);
}

/* The losing side's disks must be detached first: the attendant does, since it is paused. */
static void reprotect_when_detached(void *arg)
{
    struct acting *acting = arg;
    struct node *node = acting->node;
    struct node *loser = node->reprotect_reverse ? node->other : node;
    bool is_attached = false, is_known;

    if (!is_current(acting))
        return;
    for (unsigned i = 0; i < JUDGE_DISKS; i++)
        is_attached |= audit_is_attached(loser, whole_disk_id(loser, i), &is_known);
    if (is_attached && sim_now_ns(node->run->world) < attendant_of(node)->act_until_ns)
        sim_after(node->run->world, POLL_MS * SIM_MS, reprotect_when_detached, acting);
    else
        act_ask(acting, node->reprotect_reverse);
}

void whole_act(struct node *node, enum act act, bool flag)
{
    struct attendant *attendant = attendant_of(node);
    unsigned serial = ++attendant->act_serial;
    struct acting *acting = &attendant->acts[serial % ACT_SLOTS];

    *acting = (struct acting){node, serial};
    attendant->act_until_ns = sim_now_ns(node->run->world) + ACT_SECONDS * SIM_SECOND;
    if (act == ACT_REPROTECT)
        reprotect_when_detached(acting);
    else
        act_ask(acting, flag);
}

/* --- sizes ----------------------------------------------------------------------------------- */

static void watched_grown(void *arg, unsigned status, const char *reply)
{
    const struct grower *grower = arg;
    struct sim_run *run = grower->node->run;

    if (status != 200)
        return;
    run->figures.growths += !run->is_grown[grower->disk];
    run->is_grown[grower->disk] = true;
    sim_trace(run->world, NULL, "disk %u has grown", grower->disk);
}

void whole_grow(struct grower *grower)
{
    struct node *node = grower->node;
    struct sim_run *run = node->run;
    char size[24];
    struct client_order order = {
        .action = "ResizeDisk",
        .pairs = {"DiskId", whole_disk_id(node, grower->disk), "NewSizeBytes", size},
        .attempts = 3,
        .is_sure = true,
        .done_cb = watched_grown,
        .arg = grower};

    snprintf(size, sizeof(size), "%llu",
             (unsigned long long)run->universe.disk_bytes[grower->disk]);
    if (run->town->is_founded) /* before that the disks could not become pairs any more */
        client_ask(node, &order);
}

/* --- life ------------------------------------------------------------------------------------ */

void town_make(struct sim_run *run)
{
    struct town *town = sim_kernel_alloc(sizeof(*town));

    town->run = run;
    town->turn_ns = (20 + sim_random_below(run->world, 400)) * SIM_MS;
    for (unsigned i = 0; i < RUN_NODES; i++)
        town->attendants[i].node = &run->nodes[i];
    run->town = town;
}

void town_open(struct sim_run *run)
{
    if (!run->town)
        return;
    found_later(run->town);
    for (unsigned i = 0; i < RUN_NODES; i++)
        attend(&run->town->attendants[i]);
}

void town_start(struct sim_run *run)
{
    town_open(run);
    if (!run->town)
        return;
    clerk_start(run);
    clerk_disk_start(run);
    registrar_start(run);
}

void town_end(struct sim_run *run)
{
    if (run->town)
        client_end_all(run);
}

void town_free(struct sim_run *run)
{
    if (!run->town)
        return;
    client_forget_attempts(run);
    registrar_free(run);
    sim_kernel_free(run->town);
}

void town_node_died(struct node *node)
{
    clerk_disk_died(node);
    client_node_died(node);
    registrar_died(node);
}

/* --- the end --------------------------------------------------------------------------------- */

static void unfail(struct node *node)
{
    enum replica_state state;

    if (!node->engine || node->act != ACT_NONE || !audit_state(node, whole_stream_id(node), &state))
        return;
    if (state == REPLICA_FAILOVER_FAILED && node->role != STREAM_ROLE_SOURCE)
        node_failover(node, 0);
    else if (state == REPLICA_REPROTECT_FAILED && sim_chance(node->run->world, 10))
        operator_reprotect(node, sim_chance(node->run->world, 50));
    else if (state == REPLICA_STOP_FAILED && node->role == STREAM_ROLE_SOURCE)
        node_act(node, ACT_STOP, false);
}

bool town_nudge(struct sim_run *run)
{
    char *what;

    if (!run->town)
        return true;
    run->town->unrest[0] = 0;
    if (!run->town->is_founded)
        return false;
    for (unsigned i = 0; i < RUN_NODES; i++) {
        unfail(&run->nodes[i]);
        what = run->town->unrest;
        audit_unrest(&run->nodes[i], what, sizeof(run->town->unrest));
        if (what[0])
            return false;
    }
    return clerk_decides(run) && clerk_disk_is_even(run);
}

/* What a rotten file of one's own keeps from ending, and names it, a person ends. */
static bool is_rot_told(struct sim_run *run)
{
    return fate_refuses(&run->nodes[0], run->town->unrest) ||
           fate_refuses(&run->nodes[1], run->town->unrest);
}

/* Nor does it delete a relation whose disks would then lack what its journal holds. */
static bool is_rot_keeping(struct sim_run *run)
{
    return audit_is_kept_by_rot(&run->nodes[0]) || audit_is_kept_by_rot(&run->nodes[1]);
}

/* One whose write went elsewhere: its disk is whole, its daemon does not go on. */
static bool restarts_rotten(struct sim_run *run)
{
    char why[300];

    for (unsigned i = 0; i < RUN_NODES; i++) {
        struct node *node = &run->nodes[i];

        audit_trouble(node, why, sizeof(why));
        if (!fate_is_rotten(node) || !strstr(why, "then restart the daemon"))
            continue;
        sim_trace(run->world, node->site, "is restarted, as it asks for: %s", why);
        operator_lose(node, false);
        return true;
    }
    return false;
}

static bool clears_all(struct sim_run *run)
{
    return clerk_clears(run) & registrar_clears(run);
}

static bool rest(struct sim_run *run, bool clears)
{
    uint64_t deadline_ns = sim_now_ns(run->world) + REST_SECONDS * SIM_SECOND;
    unsigned steady = 0;
    bool was_restarted = false;
    char what[300] = "";

    while (!run->has_failed && steady < STEADY) {
        sim_world_run_until(run->world, sim_now_ns(run->world) + 50 * SIM_MS);
        steady = town_nudge(run) && (!clears || clears_all(run)) ? steady + 1 : 0;
        if (steady == STEADY) { /* all else is at rest */
            audit_untold(run, what, sizeof(what));
            if (!what[0])
                registrar_unrest(run, what, sizeof(what));
            steady = what[0] ? 0 : STEADY;
        }
        if (sim_now_ns(run->world) > deadline_ns) {
            if (is_rot_told(run) || (clears && is_rot_keeping(run)))
                return false;
            if (!was_restarted && restarts_rotten(run)) {
                was_restarted = true;
                deadline_ns += REST_SECONDS * SIM_SECOND;
                continue;
            }
            run_fail(run, NULL, "control does not come to rest%s: %s; %s",
                     clears ? " after deletions" : "", run->town->unrest, what);
            return false; /* with a plant in, it may be none */
        }
    }
    return !run->has_failed;
}

void town_audit(struct sim_run *run)
{
    if (!run->town || !rest(run, false) || is_rot_keeping(run))
        return;
    audit_both(run);
    registrar_audit(run);
    if (!run->has_failed && rest(run, true) && !is_rot_keeping(run))
        audit_both(run);
}
