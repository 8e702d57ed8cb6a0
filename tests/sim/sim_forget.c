/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: Forget is the one operation that leaves two sites with different records, and whose word
 * ("hosts write here", or not) decides what the other site may open. The record and the role of the
 * stream are looked at when it is asked for and again when it is answered; where both are alike,
 * what it must tell the other site is known.
 */
#include "sim_forget.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "control/relation.h"
#include "control/tree.h"
#include "sim_clerk_disk.h"
#include "sim_client.h"
#include "sim_fate.h"
#include "sim_town.h"
#include "sim_whole.h"

static const char peer_forgot[] = "PeerForgot";

static struct site *records_of(const struct node *node)
{
    return control_site(node->whole->control);
}

static bool call_site(struct node *node, void (*run_cb)(void *arg), void *arg)
{
    return node->engine && node->whole->is_up && sim_site_call(node->site, run_cb, arg);
}

/* --- asking ---------------------------------------------------------------------------------- */

struct look {
    struct node *node;
    const char *id;
    struct forget_glance glance;
};

static void look_call(void *arg)
{
    struct look *look = arg;
    struct site *site = records_of(look->node);
    struct engine_stream_status status;
    struct attachment_record attachment;
    struct relation relation;

    if (relation_load(site, look->id, &relation) < 0)
        return;
    look->glance = (struct forget_glance){.is_known = true,
                                          .is_source = relation_is_source(site, &relation),
                                          .state = relation_own(&relation)->status,
                                          .term = relation_own(&relation)->term,
                                          .life = sim_site_life(look->node->site),
                                          .role = STREAM_ROLE_COUNT};
    look->glance.is_attached =
        !relation_is_member(&relation) && relation_find_attached(site, &relation, &attachment) > 0;
    if (engine_stream_status(look->node->engine, look->id, &status))
        look->glance.role = status.role;
}

static struct forget_glance glance_at(struct node *node, const char *id)
{
    struct look look = {.node = node, .id = id};

    if (!call_site(node, look_call, &look))
        look.glance.is_known = false;
    return look.glance;
}

static bool is_settled(enum replica_state state)
{
    return replica_state_is_active(state) || state == REPLICA_CREATED || state == REPLICA_STOPPED ||
           state == REPLICA_FAILOVERED || state == REPLICA_FAILOVER_FAILED ||
           state == REPLICA_STOP_FAILED;
}

/* What must be told, if it can be known. */
static enum tombstone_forgotten must_tell(const struct forget_glance *before,
                                          const struct forget_glance *after)
{
    bool is_alike = before->is_known && after->is_known && before->life == after->life &&
                    before->term == after->term && before->role == after->role &&
                    before->is_source == after->is_source && is_settled(before->state);

    if (!is_alike)
        return TOMBSTONE_DELETED;
    if (after->role == STREAM_ROLE_SOURCE || after->role == STREAM_ROLE_PROMOTED)
        return TOMBSTONE_TAKEN;
    if (after->role != STREAM_ROLE_COUNT)
        return TOMBSTONE_LEFT;
    return after->is_source || before->state == REPLICA_FAILOVERED ? TOMBSTONE_TAKEN
                                                                   : TOMBSTONE_LEFT;
}

static void answered(void *arg, unsigned status, const char *reply)
{
    struct forgetting *forgetting = arg;
    struct forget_glance after;

    (void)reply;
    if (status != 200)
        return;
    after = glance_at(forgetting->node, forgetting->id);
    forgetting->must_tell = must_tell(&forgetting->before, &after);
    if (forgetting->must_tell == TOMBSTONE_LEFT && forgetting->before.is_attached &&
        after.is_attached)
        run_fail(forgetting->node->run, forgetting->node,
                 "%s, a disk of which is attached where no hosts write, is forgotten",
                 forgetting->id);
    forgetting->node->run->figures.forgettings++;
}

/* NULL: enough were asked for. Never of the watched group. */
static struct forgetting *begin(struct node *node, const char *id, bool discards)
{
    struct town *town = node->run->town;
    struct forgetting *forgetting;

    if (town->forgetting_count == FORGETTINGS || strcmp(id, whole_stream_id(node)) == 0)
        return NULL;
    forgetting = &town->forgettings[town->forgetting_count++];
    *forgetting = (struct forgetting){.node = node, .discards = discards};
    snprintf(forgetting->id, sizeof(forgetting->id), "%s", id);
    return forgetting;
}

static void ask_now(void *arg)
{
    struct forgetting *forgetting = arg;
    struct node *node = forgetting->node;
    const char *id = forgetting->id;
    struct client_order order = {.action = "ForgetDiskReplica",
                                 .pairs = {"RegionId", node_names[node->index], "ReplicaId", id,
                                           "Confirm", id, "Reason", "the clerk forgets",
                                           forgetting->discards ? "DiscardJournal" : NULL, "true"},
                                 .attempts = 4,
                                 .done_cb = answered,
                                 .arg = forgetting};

    if (run_is_over(node->run))
        return;
    if (forgetting->discards)
        clerk_disk_discard(node);
    forgetting->before = glance_at(node, id);
    client_ask(node, &order);
}

static void ask_once(struct node *node, const char *id, bool discards)
{
    struct forgetting *forgetting = begin(node, id, discards);

    if (forgetting)
        ask_now(forgetting);
}

void forget_ask(struct node *node, const char *id)
{
    struct sim_world *world = node->run->world;
    unsigned dice = (unsigned)sim_random_below(world, 100);
    enum replica_state state;

    /* Most are: what never ran has little to forget. */
    if (!node->run->is_calm && dice < 70 && audit_state(node, id, &state) &&
        state == REPLICA_CREATED)
        return;
    ask_once(node, id, sim_chance(world, 10));
    dice = (unsigned)sim_random_below(world, 100);
    if (dice < 15)
        ask_once(node, id, sim_chance(world, 50));
    else if (dice < 30)
        ask_once(node->other, id, false);
}

/* The other one is lost for good. */
void forget_all(struct node *node)
{
    const struct town *town = node->run->town;

    for (unsigned i = 0; i < town->relation_count && i < CLERK_RELATIONS; i++)
        ask_once(node, town->relations[i].id, sim_chance(node->run->world, 10));
}

void forget_soon(struct node *node, const char *id)
{
    struct sim_world *world = node->run->world;
    struct forgetting *forgetting = begin(node, id, sim_chance(world, 10));

    if (forgetting)
        sim_after(world, sim_random_below(world, 300 * SIM_MS), ask_now, forgetting);
}

/* --- records --------------------------------------------------------------------------------- */

struct memory {
    struct node *node;
    const char *id;
    bool is_there;
    struct tombstone_record tombstone;
};

static void memory_call(void *arg)
{
    struct memory *memory = arg;

    memory->is_there = meta_get(records_of(memory->node)->meta, RECORD_TOMBSTONE, memory->id,
                                &memory->tombstone) == 0;
}

static bool find_tombstone(struct node *node, const char *id,
                           struct tombstone_record *ret_tombstone)
{
    struct memory memory = {.node = node, .id = id};

    check(sim_site_call(node->site, memory_call, &memory));
    *ret_tombstone = memory.tombstone;
    return memory.is_there;
}

static bool is_given_up(const json_t *record)
{
    return strcmp(tree_text(record, "status"), "invalid") == 0 &&
           strcmp(tree_text(record, "status_message"), peer_forgot) == 0;
}

/* A pair follows its group, but was forgotten alone where it was not in it yet. */
static bool is_left(struct node *other, const json_t *records, const char *id, const json_t *record)
{
    const json_t *group = json_object_get(records, tree_text(record, "group_id"));
    struct tombstone_record tombstone;

    return (is_given_up(record) || (group && is_given_up(group))) &&
           find_tombstone(other, id, &tombstone) && tombstone.forgotten != TOMBSTONE_DELETED;
}

static void note_one_sided(struct town *town, const char *id)
{
    size_t length = strlen(town->one_sided);

    snprintf(town->one_sided + length, sizeof(town->one_sided) - length, "%s ", id);
}

/* Groups last: what is in them asks for them. */
static void take_out_of(struct sim_run *run, unsigned index, json_t *records, json_t *others,
                        bool are_groups)
{
    const char *id;
    json_t *record;
    void *next;

    json_object_foreach_safe(records, next, id, record)
    {
        if ((strncmp(id, "pg-", 3) == 0) == are_groups && !json_object_get(others, id) &&
            is_left(&run->nodes[1 - index], records, id, record)) {
            note_one_sided(run->town, id);
            json_object_del(records, id);
        }
    }
}

/* A pair that was put into a group when the other site, apart, had forgotten that: there it stands
 * alone. */
static void take_apart(struct sim_run *run, json_t *records, const json_t *others)
{
    const char *id;
    json_t *record;

    json_object_foreach(records, id, record)
    {
        const json_t *other = json_object_get(others, id);

        if (other && !tree_text(other, "group_id")[0] &&
            forget_is_one_sided(run, tree_text(record, "group_id"))) {
            note_one_sided(run->town, id);
            tree_set_text(record, "group_id", "");
        }
    }
}

void forget_take_out(struct sim_run *run, json_t *records[RUN_NODES])
{
    run->town->one_sided[0] = 0;
    for (unsigned i = 0; i < RUN_NODES; i++) {
        take_out_of(run, i, records[i], records[1 - i], false);
        take_out_of(run, i, records[i], records[1 - i], true);
        take_apart(run, records[i], records[1 - i]);
    }
}

bool forget_is_one_sided(const struct sim_run *run, const char *id)
{
    return id[0] && strstr(run->town->one_sided, id) != NULL;
}

/* --- writers --------------------------------------------------------------------------------- */

/* What the site that did not forget it has of it. */
struct rest_of {
    struct node *node;
    const char *id;
    bool is_there; /* record and stream */
    struct engine_stream_status status;
    char open_disk[40];
};

static void rest_call(void *arg)
{
    struct rest_of *rest = arg;
    struct site *site = records_of(rest->node);
    struct pair_record *pairs = NULL;
    struct relation relation;
    unsigned count = 0;
    const char *why;

    if (relation_load(site, rest->id, &relation) < 0 || relation_is_member(&relation) ||
        strcmp(relation_own(&relation)->status_message, peer_forgot) != 0 ||
        !engine_stream_status(rest->node->engine, rest->id, &rest->status))
        return;
    rest->is_there = true;
    check(relation_members(site, &relation, &pairs, &count) == 0);
    for (unsigned i = 0; i < count; i++) {
        const char *disk = relation_disk(site, &pairs[i]);

        if (engine_disk_may_write(rest->node->engine, disk, &why))
            snprintf(rest->open_disk, sizeof(rest->open_disk), "%s", disk);
    }
    free(pairs);
}

static void audit_one(struct sim_run *run, const struct forgetting *forgetting)
{
    struct rest_of rest = {.node = forgetting->node->other, .id = forgetting->id};
    struct tombstone_record tombstone;

    if (find_tombstone(forgetting->node, forgetting->id, &tombstone) &&
        tombstone.forgotten != TOMBSTONE_DELETED && tombstone.forgotten != forgetting->must_tell) {
        run_fail(run, forgetting->node,
                 "at rest %s was forgotten, and its tombstone says %lld, not %d", forgetting->id,
                 (long long)tombstone.forgotten, (int)forgetting->must_tell);
        return;
    }
    check(sim_site_call(rest.node->site, rest_call, &rest));
    if (!rest.is_there)
        return;
    if (rest.status.is_started)
        run_fail(run, rest.node, "at rest %s goes on, and the other site has forgotten it",
                 rest.id);
    else if (forgetting->must_tell == TOMBSTONE_TAKEN && rest.open_disk[0] &&
             rest.status.role != STREAM_ROLE_PROMOTED)
        run_fail(run, rest.node,
                 "at rest disk %s of %s is open to hosts, who wrote at the other site when that "
                 "forgot it",
                 rest.open_disk, rest.id);
    else if (forgetting->must_tell == TOMBSTONE_LEFT && !rest.open_disk[0] &&
             rest.status.role == STREAM_ROLE_SOURCE && !fate_is_rotten(rest.node))
        run_fail(run, rest.node, "at rest no disk of %s is open, a copy of which was forgotten",
                 rest.id);
}

void forget_audit(struct sim_run *run)
{
    struct town *town = run->town;

    for (unsigned i = 0; i < town->forgetting_count && !run->has_failed; i++) {
        if (town->forgettings[i].must_tell != TOMBSTONE_DELETED)
            audit_one(run, &town->forgettings[i]);
    }
}
