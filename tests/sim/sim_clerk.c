/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: a second operator, who does everything that the API offers, in any order, at either site,
 * with disks, pairs and groups of his own; now and then he meddles with the watched group. Most of
 * what he asks is refused. What he gets must stand, and at the end all of it must go. What he
 * forgets: sim_forget.h; what his disks hold: sim_clerk_disk.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "control/relation.h"
#include "sim_alloc.h"
#include "sim_client.h"
#include "sim_forget.h"
#include "sim_town.h"
#include "sim_whole.h"

#define CLERK_DISK_BYTES "65536"

enum { CLERK_DISK_GRAIN = 65536 };

static struct node *any_node(struct sim_run *run)
{
    return &run->nodes[sim_random_below(run->world, RUN_NODES)];
}

static void ask(struct node *node, const char *action, const char *const *pairs, bool is_sure,
                client_done_fn done_cb, void *arg)
{
    struct client_order order = {
        .action = action, .attempts = 4, .is_sure = is_sure, .done_cb = done_cb, .arg = arg};

    for (unsigned i = 0; pairs[i]; i++)
        order.pairs[i] = pairs[i];
    client_ask(node, &order);
}

static void never_mind(void *arg, unsigned status, const char *reply)
{
}

static void use(struct node *node, const char *verb, const char *id, bool is_group,
                const char *extra, const char *value);

static struct clerk_start *note_start(struct node *node, const char *id, bool is_group)
{
    struct town *town = node->run->town;
    struct clerk_start *start = &town->starts[town->start_count++ % ACT_SLOTS];

    *start = (struct clerk_start){.node = node, .is_group = is_group};
    snprintf(start->id, sizeof(start->id), "%s", id);
    return start;
}

/* Some time after a start. */
static void go_on(void *arg)
{
    const struct clerk_start *start = arg;
    struct node *node = start->node;
    struct sim_world *world = node->run->world;
    unsigned dice = (unsigned)sim_random_below(world, 100);

    if (node->run->is_calm || node->run->has_failed ||
        strcmp(start->id, whole_stream_id(node)) == 0) /* its slot was taken meanwhile */
        return;
    if (dice < 25)
        use(node->other, "Failover", start->id, start->is_group, NULL, NULL);
    else if (dice < 40)
        use(node, "Stop", start->id, start->is_group, NULL, NULL);
    if (dice < 50)
        forget_soon(sim_chance(world, 50) ? node : node->other, start->id);
}

/* What runs is used on; else few would be failed over, or be forgotten in such a state. */
static void used(void *arg, unsigned status, const char *reply)
{
    struct clerk_start *start = arg;
    struct sim_run *run = start->node->run;

    if (status == 200 && !run->is_calm)
        sim_after(run->world, sim_random_below(run->world, 3 * SIM_SECOND), go_on, start);
}

/* "Start", "Stop" ... of a pair or group; `extra`: a parameter with its value, or NULL. */
static void use(struct node *node, const char *verb, const char *id, bool is_group,
                const char *extra, const char *value)
{
    bool is_passed = sim_chance(node->run->world, 10);
    const char *region = node_names[is_passed ? 1 - node->index : node->index];
    /* Start and Stop may run at the other site, where the token stands then. */
    bool is_sure = !is_passed && verb[0] != 'S';
    const char *pairs[] = {
        "RegionId", region, is_group ? "ReplicaGroupId" : "ReplicaPairId", id, extra, value, NULL};
    static const char *const actions[][2] = {
        {"StartDiskReplicaPair", "StartDiskReplicaGroup"},
        {"StopDiskReplicaPair", "StopDiskReplicaGroup"},
        {"FailoverDiskReplicaPair", "FailoverDiskReplicaGroup"},
        {"ReprotectDiskReplicaPair", "ReprotectDiskReplicaGroup"},
        {"DeleteDiskReplicaPair", "DeleteDiskReplicaGroup"},
    };

    for (unsigned i = 0; i < ARRAY_COUNT(actions); i++) {
        if (strncmp(actions[i][0], verb, strlen(verb)) == 0)
            ask(node, actions[i][is_group], pairs, is_sure, i == 0 ? used : never_mind,
                i == 0 ? note_start(node, id, is_group) : NULL);
    }
}

/* --- making ---------------------------------------------------------------------------------- */

static void disk_made(void *arg, unsigned status, const char *reply)
{
    struct node *node = arg;
    struct town *town = node->run->town;

    if (status == 200 && town->disk_count[node->index] < CLERK_DISKS)
        client_text(reply, "DiskId", town->disks[node->index][town->disk_count[node->index]++], 40);
}

static void make_disk(struct node *node)
{
    const char *name = node_names[node->index];
    const char *pairs[] = {"RegionId", name, "ZoneId", name, "SizeBytes", CLERK_DISK_BYTES, NULL};

    if (node->run->town->disk_count[node->index] < CLERK_DISKS)
        ask(node, "CreateDisk", pairs, true, disk_made, node);
}

static void note_relation(struct town *town, const char *reply, const char *member, bool is_group)
{
    struct clerk_relation *relation = &town->relations[town->relation_count % CLERK_RELATIONS];

    town->relation_count++;
    relation->is_group = is_group;
    client_text(reply, member, relation->id, sizeof(relation->id));
}

/* Many are used at once; else few would ever run. */
static void pair_made(void *arg, unsigned status, const char *reply)
{
    struct node *node = arg;
    struct sim_run *run = node->run;
    char id[40];

    if (status != 200)
        return;
    note_relation(run->town, reply, "ReplicaPairId", false);
    client_text(reply, "ReplicaPairId", id, sizeof(id));
    if (!run->is_calm && sim_chance(run->world, 50))
        use(node, "Start", id, false, NULL, NULL);
}

static void group_made(void *arg, unsigned status, const char *reply)
{
    struct node *node = arg;

    if (status == 200)
        note_relation(node->run->town, reply, "ReplicaGroupId", true);
}

static const char *any_disk(struct node *node)
{
    struct town *town = node->run->town;
    unsigned count = town->disk_count[node->index];

    return count > 0 ? town->disks[node->index][sim_random_below(node->run->world, count)] : "";
}

static void make_relation(struct node *node, bool is_group)
{
    const char *here = node_names[node->index], *there = node_names[1 - node->index];
    const char *pairs[] = {"RegionId",
                           here,
                           "SourceZoneId",
                           here,
                           "DestinationRegionId",
                           there,
                           "DestinationZoneId",
                           there,
                           is_group ? NULL : "DiskId",
                           any_disk(node),
                           "DestinationDiskId",
                           any_disk(node->other),
                           NULL};

    ask(node, is_group ? "CreateDiskReplicaGroup" : "CreateDiskReplicaPair", pairs, true,
        is_group ? group_made : pair_made, node);
}

/* --- using ----------------------------------------------------------------------------------- */

static const struct clerk_relation *any_relation(struct town *town, int is_group)
{
    struct sim_world *world = town->run->world;
    unsigned count =
        town->relation_count < CLERK_RELATIONS ? town->relation_count : CLERK_RELATIONS;

    for (unsigned i = 0; i < 4 && count > 0; i++) {
        const struct clerk_relation *one = &town->relations[sim_random_below(world, count)];
        enum replica_state state;

        if (is_group >= 0 && one->is_group != (is_group > 0))
            continue;
        if (i > 1 || audit_state(&town->run->nodes[i], one->id, &state))
            return one; /* rarely of what is gone */
    }
    return NULL;
}

/* And the other site is given up, perhaps before it ends. */
static void fail_over(struct node *node, const char *id, bool is_group, bool forgets)
{
    use(node, "Failover", id, is_group, NULL, NULL);
    if (forgets)
        forget_soon(node, id);
}

static void use_somehow(struct node *node, const char *id, bool is_group)
{
    unsigned dice = (unsigned)sim_random_below(node->run->world, 100);
    const char *flag = sim_chance(node->run->world, 50) ? "true" : "false";

    if (dice < 35)
        use(node, "Start", id, is_group, dice < 8 ? "OneShot" : NULL, "true");
    else if (dice < 50)
        use(node, "Stop", id, is_group, NULL, NULL);
    else if (dice < 70)
        fail_over(node, id, is_group, dice < 56 || node->run->plant == PLANT_FENCE);
    else if (dice < 90)
        use(node, "Reprotect", id, is_group, "ReverseReplicate", flag);
    else if (dice < 94)
        use(node, "Delete", id, is_group, NULL, NULL);
    else if (dice < 99)
        forget_ask(node, id);
    else
        forget_all(node);
}

static void change_membership(struct node *node)
{
    struct town *town = node->run->town;
    const struct clerk_relation *group = any_relation(town, 1), *pair = any_relation(town, 0);
    const char *pairs[] = {"RegionId",
                           node_names[node->index],
                           "ReplicaGroupId",
                           group ? group->id : "",
                           "ReplicaPairId",
                           pair ? pair->id : "",
                           NULL};

    if (group && pair)
        ask(node, sim_chance(node->run->world, 60) ? "AddDiskReplicaPair" : "RemoveDiskReplicaPair",
            pairs, true, never_mind, NULL);
}

static void use_disk(struct node *node)
{
    static const char *const actions[] = {"AttachDisk", "DetachDisk", "DeleteDisk"};
    unsigned dice = (unsigned)sim_random_below(node->run->world, 10);
    const char *pairs[] = {"InstanceId", "i-clerk", "DiskId", any_disk(node), NULL};

    ask(node, actions[dice < 5 ? 0 : dice < 9 ? 1 : 2], pairs, false, never_mind, NULL);
}

static void disk_grown(void *arg, unsigned status, const char *reply)
{
    const struct resizing *resizing = arg;
    struct node *node = resizing->node;
    uint64_t *bytes = &node->run->town->disk_bytes[node->index][resizing->disk];

    if (status == 200 && *bytes < resizing->bytes)
        *bytes = resizing->bytes;
}

uint64_t clerk_disk_bytes(const struct node *node, const char *id)
{
    const struct town *town = node->run->town;

    for (unsigned i = 0; i < town->disk_count[node->index]; i++) {
        if (strcmp(town->disks[node->index][i], id) == 0)
            return town->disk_bytes[node->index][i];
    }
    return 0;
}

/* In a pair or not, at the right site or not, larger or not. */
static void resize_disk(struct node *node)
{
    struct town *town = node->run->town;
    struct resizing *resizing = &town->resizings[town->resizing_count++ % ACT_SLOTS];
    char size[24];
    const char *pairs[] = {"DiskId", NULL, "NewSizeBytes", size, NULL};

    if (town->disk_count[node->index] == 0)
        return;
    *resizing = (struct resizing){
        .node = node,
        .disk = (unsigned)sim_random_below(node->run->world, town->disk_count[node->index]),
        .bytes = (1 + sim_random_below(node->run->world, 5)) * CLERK_DISK_GRAIN};
    pairs[1] = town->disks[node->index][resizing->disk];
    snprintf(size, sizeof(size), "%llu", (unsigned long long)resizing->bytes);
    ask(node, "ResizeDisk", pairs, true, disk_grown, resizing);
}

/* With the watched group: everything but its end. */
static void meddle(struct node *node)
{
    unsigned dice = (unsigned)sim_random_below(node->run->world, 100);
    const char *id = whole_stream_id(node);

    if (!node->run->town->is_founded)
        return;
    if (dice < 60)
        use(node, dice < 40 ? "Start" : "Stop", id, true, NULL, NULL);
    else if (dice < 75)
        use(node, "Failover", id, true, NULL, NULL);
    else
        use(node, "Reprotect", id, true, "ReverseReplicate", dice < 90 ? "true" : "false");
}

static void act(struct node *node)
{
    struct sim_run *run = node->run;
    unsigned dice = (unsigned)sim_random_below(run->world, 100);
    const struct clerk_relation *relation = any_relation(run->town, -1);

    if (dice < 8)
        make_disk(node);
    else if (dice < 24)
        make_relation(node, dice < 12);
    else if (dice < 32)
        change_membership(node);
    else if (dice < 36)
        use_disk(node);
    else if (dice < 38)
        resize_disk(node);
    else if (dice < 46)
        meddle(node);
    else if (relation)
        use_somehow(node, relation->id, relation->is_group);
}

/* Now and then several acts in one moment, at one site: they share a commit there. */
static void clerk_turn(void *arg)
{
    struct sim_run *run = arg;
    struct node *node = any_node(run);
    uint64_t count = sim_chance(run->world, 15) ? 2 + sim_random_below(run->world, 5) : 1;

    if (run->is_calm || run->has_failed)
        return;
    for (uint64_t i = 0; i < count; i++)
        act(node);
    sim_after(run->world, SIM_MS + sim_random_below(run->world, run->town->turn_ns), clerk_turn,
              run);
}

void clerk_start(struct sim_run *run)
{
    sim_after(run->world, sim_random_below(run->world, 300 * SIM_MS), clerk_turn, run);
}

/* --- clearing -------------------------------------------------------------------------------- */

/* One thing that is left to do at a site, found in its records. */
struct chore {
    struct node *node;
    bool orphans; /* look for those only: the other site deleted it, this one had failed over */
    bool is_there, is_group, is_disk, is_to_forget;
    char action[40], id[40], group[40];
};

static bool is_watched(const struct chore *chore, const char *id)
{
    const struct town *town = chore->node->run->town;

    return strcmp(id, whole_stream_id(chore->node)) == 0 || strcmp(id, town->pair_ids[0]) == 0 ||
           strcmp(id, town->pair_ids[1]) == 0 || strcmp(id, whole_disk_id(chore->node, 0)) == 0 ||
           strcmp(id, whole_disk_id(chore->node, 1)) == 0;
}

/* A group that is failed over cannot let its pairs go. */
static bool is_held(struct site *site, const struct relation *relation)
{
    struct pair_record *pairs = NULL;
    unsigned count = 0;

    if (relation->is_group)
        relation_members(site, relation, &pairs, &count);
    free(pairs);
    return count > 0 && relation_ruler(relation)->status == REPLICA_FAILOVERED;
}

static const char *verb_for(struct site *site, const struct relation *relation)
{
    enum replica_state state = relation_ruler(relation)->status;

    if (is_held(site, relation))
        return "Reprotect";
    if (replica_state_is_active(state) || state == REPLICA_STOP_FAILED)
        return "Stop";
    if (state == REPLICA_FAILOVER_FAILED)
        return "Failover";
    if (state == REPLICA_REPROTECT_FAILED)
        return "Reprotect";
    return "Delete";
}

static bool is_asked_here(struct site *site, const struct relation *relation, const char *verb)
{
    enum replica_state state = relation_ruler(relation)->status;

    if (strcmp(verb, "Failover") == 0 || strcmp(verb, "Reprotect") == 0)
        return !relation_is_source(site, relation);
    if (strcmp(verb, "Stop") == 0)
        return relation_is_source(site, relation);
    return relation_is_production(site, relation) || state == REPLICA_INVALID;
}

static bool is_orphan(const struct replica_record *ruler)
{
    return ruler->status == REPLICA_INVALID && strcmp(ruler->status_message, "DeviceRemoved") == 0;
}

/* A pair in a group that is failed over, which the other site has deleted: it leaves the group, or
 * that is forgotten. */
static bool consider_left(struct chore *chore, const struct relation *relation)
{
    if (!relation_is_member(relation) || !is_orphan(&relation->pair.common))
        return false;
    chore->is_to_forget = sim_chance(chore->node->run->world, 50);
    snprintf(chore->action, sizeof(chore->action), "%s",
             chore->is_to_forget ? "ForgetDiskReplica" : "RemoveDiskReplicaPair");
    snprintf(chore->id, sizeof(chore->id), "%s",
             chore->is_to_forget ? relation->pair.group_id : relation->pair.common.id);
    snprintf(chore->group, sizeof(chore->group), "%s", relation->pair.group_id);
    chore->is_there = true;
    return true;
}

static void consider(struct chore *chore, struct site *site, const char *id)
{
    struct relation relation;
    const char *verb;

    if (chore->is_there || is_watched(chore, id) || relation_load(site, id, &relation) < 0)
        return;
    if (chore->orphans &&
        (consider_left(chore, &relation) || !is_orphan(relation_ruler(&relation))))
        return;
    chore->is_group = relation.is_group;
    verb = verb_for(site, &relation);
    if (!is_asked_here(site, &relation, verb))
        return;
    if (relation_is_member(&relation)) {
        enum replica_state state = relation_ruler(&relation)->status;
        if (state != REPLICA_CREATED && state != REPLICA_STOPPED && state != REPLICA_INVALID)
            return; /* the group first */
        snprintf(chore->action, sizeof(chore->action), "RemoveDiskReplicaPair");
        snprintf(chore->group, sizeof(chore->group), "%s", relation.pair.group_id);
    } else {
        snprintf(chore->action, sizeof(chore->action), "%sDiskReplica%s", verb,
                 relation.is_group ? "Group" : "Pair");
    }
    snprintf(chore->id, sizeof(chore->id), "%s", id);
    chore->is_there = true;
}

struct holding {
    const char *disk;
    bool is_held;
};

static bool look_at_group(void *arg, uint64_t position, const void *record)
{
    struct holding *holding = arg;
    const struct group_record *group = record;

    holding->is_held = strstr(group->common.opened_disks, holding->disk) != NULL;
    return !holding->is_held;
}

/* The stream of a group that its pair has left: a group that the other site has forgotten keeps it
 * until it is deleted here. */
static bool is_held_by_group(struct site *site, const char *disk)
{
    struct meta_query groups = {.kind = RECORD_GROUP};
    struct holding holding = {.disk = disk};

    return meta_walk(site->meta, &groups, 0, look_at_group, &holding) == 0 && holding.is_held;
}

static void consider_disk(struct chore *chore, struct site *site, const struct disk_record *disk,
                          bool is_last)
{
    struct pair_record pair;

    if (chore->is_there || chore->orphans || is_watched(chore, disk->id) ||
        (disk->status != DISK_IN_USE && relation_find_by_disk(site, disk->id, &pair) == 0) ||
        (disk->status != DISK_IN_USE && !is_last && is_held_by_group(site, disk->id)))
        return;
    chore->is_there = chore->is_disk = true;
    snprintf(chore->id, sizeof(chore->id), "%s", disk->id);
    snprintf(chore->action, sizeof(chore->action), "%s",
             disk->status == DISK_IN_USE ? "DetachDisk" : "DeleteDisk");
}

/* Disks first, and those that a group holds when nothing else is left. */
static void chore_find(void *arg)
{
    static const enum record_kind kinds[] = {RECORD_DISK, RECORD_PAIR, RECORD_GROUP, RECORD_DISK};
    struct chore *chore = arg;
    struct site *site = control_site(chore->node->whole->control);

    for (unsigned k = 0; k < ARRAY_COUNT(kinds); k++) {
        void *records = NULL;
        unsigned count = 0;

        if (meta_list(site->meta, kinds[k], NULL, NULL, &records, &count) < 0)
            continue;
        for (unsigned i = 0; i < count; i++) {
            const char *id = (const char *)records + (size_t)i * record_type(kinds[k])->size;
            if (kinds[k] == RECORD_DISK)
                consider_disk(chore, site, (const void *)id, k > 0);
            else
                consider(chore, site, id);
        }
        free(records);
    }
}

/* A failed over group whose other half has ended has one way out. */
static void reprotect_answered(void *arg, unsigned status, const char *reply)
{
    struct town *town = arg;

    town->must_forget = status == 403 && strstr(reply, "has ended there") != NULL;
}

static void chore_do(const struct chore *chore)
{
    struct town *town = chore->node->run->town;
    bool is_reprotect = strncmp(chore->action, "Reprotect", 9) == 0;
    bool forgets = chore->is_to_forget || (is_reprotect && town->must_forget) ||
                   (!chore->is_disk && !chore->group[0] && sim_chance(town->run->world, 30));
    struct node *where =
        chore->is_to_forget || sim_chance(town->run->world, 50) ? chore->node : chore->node->other;
    const char *id_name = chore->is_disk    ? "DiskId"
                          : chore->is_group ? "ReplicaGroupId"
                                            : "ReplicaPairId";
    const char *pairs[] = {"RegionId",
                           node_names[chore->node->index],
                           id_name,
                           chore->id,
                           chore->is_disk    ? "InstanceId"
                           : chore->group[0] ? "ReplicaGroupId"
                                             : NULL,
                           chore->is_disk ? "i-clerk" : chore->group,
                           NULL};

    town->must_forget = false;
    if (forgets)
        forget_ask(where, chore->id);
    else
        ask(chore->node, chore->action, pairs, false,
            is_reprotect ? reprotect_answered : never_mind, town);
}

static bool clear(struct sim_run *run, unsigned first, bool orphans)
{
    bool is_clear = true;

    for (unsigned i = 0; i < RUN_NODES; i++) {
        struct chore chore = {.node = &run->nodes[(first + i) % RUN_NODES], .orphans = orphans};
        if (!chore.node->engine || !chore.node->whole->is_up ||
            !sim_site_call(chore.node->site, chore_find, &chore))
            return false;
        if (chore.is_there && !run->town->calls)
            chore_do(&chore);
        if (chore.is_there)
            snprintf(run->town->unrest, sizeof(run->town->unrest), "%s: %s of %s to do",
                     sim_site_name(chore.node->site), chore.action, chore.id);
        is_clear &= !chore.is_there;
    }
    return is_clear;
}

bool clerk_clears(struct sim_run *run)
{
    return clear(run, (unsigned)sim_random_below(run->world, RUN_NODES), false);
}

bool clerk_decides(struct sim_run *run)
{
    return clear(run, 0, true);
}
