/* SPDX-License-Identifier: Apache-2.0 */
/* The scenarios that matter most, as tables of acts. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "sim_client.h"
#include "sim_script.h"
#include "sim_town.h"

enum { ASKS_MAX = 60 };

static bool is_quiet(const struct node *node)
{
    for (unsigned i = 0; i < JUDGE_DISKS; i++) {
        if (!host_is_quiet(node, i))
            return false;
    }
    return true;
}

static bool can_act(const struct node *node)
{
    return node->engine && node->is_running && node->is_read && node->act == ACT_NONE &&
           !node->is_stopping && !node->is_reprotecting;
}

static struct node *node_in(const struct script *script, enum stream_role role)
{
    struct node *nodes[] = {script->paris, script->lyon};

    for (unsigned i = 0; i < RUN_NODES; i++) {
        if (nodes[i]->engine && nodes[i]->is_running && nodes[i]->role == role)
            return nodes[i];
    }
    return NULL;
}

/* --- acts ------------------------------------------------------------------------------------ */

/* The source is started, and all that hosts wrote is at the target. */
static bool poll_synced(struct script *script)
{
    struct node *source = node_in(script, STREAM_ROLE_SOURCE);
    struct node *target = node_in(script, STREAM_ROLE_TARGET);

    if (!source || !target || !can_act(source) || !can_act(target))
        return false;
    if (!source->status.is_started) {
        node_act(source, ACT_START, false);
        return false;
    }
    return source->status.is_connected && source->status.backlog_bytes == 0 && is_quiet(source) &&
           target->status.has_point && !source->status.is_initial && !target->is_judging;
}

/* The source is connected for a while, in which it compares all that it sent, and sends little. */
static bool poll_copying(struct script *script)
{
    struct node *source = node_in(script, STREAM_ROLE_SOURCE);

    if (!source || !can_act(source))
        return false;
    if (!source->status.is_started)
        node_act(source, ACT_START, false);
    if (script->polls == 1 || !source->status.is_connected)
        script->noted = 0;
    return script->noted++ > 20;
}

static bool write_some(struct script *script, struct node *node, unsigned count)
{
    if (script->polls == 1) {
        script->writes_left[node->index] = count;
        script->noted = script->lyon->status.epoch_acked;
    }
    return script->writes_left[node->index] == 0 && is_quiet(node);
}

static bool poll_paris_writes(struct script *script)
{
    return write_some(script, script->paris, 12);
}

static bool poll_lyon_writes(struct script *script)
{
    return write_some(script, script->lyon, 12);
}

/* After a reprotect: whoever it is. */
static bool poll_source_writes(struct script *script)
{
    struct node *source = node_in(script, STREAM_ROLE_SOURCE);

    return source && write_some(script, source, 12);
}

static bool poll_paris_writes_much(struct script *script)
{
    return write_some(script, script->paris, 100);
}

static bool poll_paris_writes_on(struct script *script)
{
    script->writes_left[0] = 60;
    return true;
}

static bool poll_lyon_writes_on(struct script *script)
{
    script->writes_left[1] = 40;
    return true;
}

static bool poll_applied(struct script *script)
{
    struct node *target = node_in(script, STREAM_ROLE_TARGET);

    return poll_synced(script) && target->status.epoch_applied == target->status.epoch_acked;
}

static bool poll_stopped(struct script *script)
{
    struct node *source = node_in(script, STREAM_ROLE_SOURCE);

    if (!source || !can_act(source) || !is_quiet(source))
        return false;
    if (!source->status.is_started)
        return true;
    node_act(source, ACT_STOP, false);
    return false;
}

static bool poll_promoted(struct script *script)
{
    struct node *lyon = script->lyon;

    if (!can_act(lyon))
        return false;
    if (lyon->role == STREAM_ROLE_PROMOTED)
        return lyon->line != NULL && !lyon->images;
    if (lyon->role == STREAM_ROLE_TARGET && lyon->status.has_point)
        node_failover(lyon, 0);
    return false;
}

static bool poll_drained(struct script *script)
{
    const struct node *lyon = script->lyon;

    return can_act(lyon) && lyon->role == STREAM_ROLE_PROMOTED && !lyon->status.is_draining;
}

static bool reprotect(struct script *script, bool reverse)
{
    struct node *lyon = script->lyon;

    if (node_in(script, STREAM_ROLE_SOURCE) && node_in(script, STREAM_ROLE_TARGET) &&
        lyon->act == ACT_NONE && !lyon->is_reprotecting)
        return true;
    if (can_act(lyon) && can_act(script->paris) && lyon->role == STREAM_ROLE_PROMOTED &&
        script->polls % 20 == 0) {
        /* The API wants the disks of both sides detached. */
        lyon->is_paused = script->paris->is_paused = script->run->town != NULL;
        operator_reprotect(lyon, reverse);
    }
    return false;
}

static bool poll_reprotected(struct script *script)
{
    return reprotect(script, false);
}

static bool poll_reversed(struct script *script)
{
    return reprotect(script, true);
}

static bool poll_cut(struct script *script)
{
    sim_net_set(script->run->world, script->paris->site, script->lyon->site, SIM_NET_CUT);
    return true;
}

static bool poll_heal(struct script *script)
{
    if (script->polls < 30)
        return false;
    sim_net_set(script->run->world, script->paris->site, script->lyon->site, SIM_NET_OK);
    return true;
}

static bool poll_a_moment(struct script *script)
{
    return script->polls > 5;
}

static bool stop_and_start(struct script *script, struct node *node)
{
    if (script->polls == 1) {
        script->noted = sim_site_life(node->site);
        operator_stop(node);
    }
    return sim_site_life(node->site) > script->noted && can_act(node);
}

static bool poll_paris_stops(struct script *script)
{
    return stop_and_start(script, script->paris);
}

static bool poll_lyon_stops(struct script *script)
{
    return stop_and_start(script, script->lyon);
}

static bool poll_paris_killed(struct script *script)
{
    if (script->polls == 1)
        operator_lose(script->paris, false);
    return can_act(script->paris);
}

static bool poll_lyon_full(struct script *script)
{
    struct node *lyon = script->lyon;

    if (script->polls == 1)
        sim_disk_limit(lyon->site, sim_disk_used(lyon->site) + 8 * 4096);
    return lyon->status.trouble[0] != '\0' || lyon->status.journal_needed_bytes > 0 ||
           script->polls > 500;
}

static bool poll_lyon_room(struct script *script)
{
    sim_disk_repair(script->lyon->site);
    return true;
}

/* --- sizes ----------------------------------------------------------------------------------- */

static bool has_grown(const struct node *node)
{
    for (unsigned i = 0; i < JUDGE_DISKS; i++) {
        if (!node->growers[i].is_done)
            return false;
    }
    return true;
}

/* One disk of a stream at a time. */
static void grow_next(struct script *script, struct node *node)
{
    if (script->polls % 10 == 1)
        operator_grow(node, script->polls / 10 % JUDGE_DISKS);
}

/* The copies first, as control does; asked again until the source said so. */
static bool poll_grown(struct script *script)
{
    struct node *source = node_in(script, STREAM_ROLE_SOURCE);
    struct node *target = node_in(script, STREAM_ROLE_TARGET);
    bool is_over = true;

    if (script->polls == 1)
        memset(script->run->is_grown, 0, sizeof(script->run->is_grown));
    for (unsigned i = 0; i < JUDGE_DISKS; i++)
        is_over = is_over && script->run->is_grown[i];
    if (is_over || !source || !target || !can_act(source) || !can_act(target))
        return is_over;
    grow_next(script, has_grown(target) ? source : target);
    return false;
}

/* The copies alone: the call ended before the source was asked. */
static bool poll_lyon_grown(struct script *script)
{
    if (!can_act(script->lyon))
        return false;
    if (!has_grown(script->lyon))
        grow_next(script, script->lyon);
    return has_grown(script->lyon);
}

/* Hosts of the promoted site use what its disks have. It must win then: behind a cancelled failover
 * what they wrote there would be nobody's (G2). */
static bool poll_lyon_larger(struct script *script)
{
    script->run->keeps_promoted = true;
    for (unsigned i = 0; i < JUDGE_DISKS; i++)
        script->run->is_grown[i] = true;
    return true;
}

static void force_call(void *arg)
{
    struct node *node = arg;

    engine_stream_force_open(node->engine, node_stream_id(node), "the other site burns");
}

static bool poll_forced(struct script *script)
{
    struct node *paris = script->paris;

    if (!can_act(paris))
        return false;
    if (node_is_open(paris))
        return true;
    if (paris->status.is_waiting_peer)
        sim_site_call(paris->site, force_call, paris);
    return false;
}

/* --- acts of whole sites --------------------------------------------------------------------- */

static bool poll_founded(struct script *script)
{
    return script->run->town->is_founded;
}

static void ask_answered(void *arg, unsigned status, const char *reply)
{
    struct script *script = arg;
    const struct script_ask *ask = &script->scenario->asks[script->ask_at];

    script->is_asking = false;
    /* No token is kept of a Forget: when its answer was lost it is done, and nothing is there. */
    if (status == 200 || (status == 404 && strcmp(ask->action, "ForgetDiskReplica") == 0)) {
        if (ask->kept)
            client_text(reply, ask->kept, script->names[ask->kept_as], sizeof(script->names[0]));
        script->ask_at++;
        script->refusals = 0;
        return;
    }
    snprintf(script->refusal, sizeof(script->refusal), "%s: %u %.150s", ask->action, status, reply);
    if (++script->refusals == ASKS_MAX)
        run_fail(script->run, NULL, "asked %u times, at last: %s", ASKS_MAX, script->refusal);
}

static void ask_now(struct script *script, const struct script_ask *ask)
{
    struct client_order order = {.action = ask->action, .done_cb = ask_answered, .arg = script};

    for (unsigned i = 0; ask->pairs[i]; i++)
        order.pairs[i] =
            ask->pairs[i][0] == '$' ? script->names[ask->pairs[i][1] - '0'] : ask->pairs[i];
    script->is_asking = true;
    client_ask(&script->run->nodes[ask->site], &order);
}

/* The one after the other, each until it is granted, and until what it began has ended. */
static bool poll_asks(struct script *script)
{
    const struct script_ask *asks = script->scenario->asks, *ask = &asks[script->ask_at];
    const struct script_ask *last = script->ask_at > 0 ? ask - 1 : NULL;
    enum replica_state state;
    bool is_known;

    if (script->is_asking || script->polls % (script->refusals > 0 ? 200 : 20) != 1)
        return false;
    if (last && last->state) {
        is_known = audit_state(&script->run->nodes[last->site], script->names[2], &state);
        if (script->polls % 5000 == 1)
            sim_trace(script->run->world, NULL, "%s is %s, wanted: %s", script->names[2],
                      is_known ? replica_state_name(state) : "not known", last->state);
        if (!is_known || strcmp(replica_state_name(state), last->state) != 0)
            return false;
    }
    if (!ask->action)
        return true;
    ask_now(script, ask);
    return false;
}

/* --- setups ---------------------------------------------------------------------------------- */

static void set_filled(struct script *script)
{
    script->run->is_filled[0] = true;
}

/* What there is takes much longer than the scenario leaves the link up; comparing it does not. */
static void set_slow_copy(struct script *script)
{
    script->run->is_filled[0] = true;
    script->run->pieces.read_blocks = 4;
    script->run->settings.bandwidth_bytes = 4 << 10;
    script->run->settings.stash_memory_bytes = 4096;
}

static void set_small_stash(struct script *script)
{
    script->run->settings.stash_memory_bytes = 4096;
    script->run->settings.stash_disk_bytes = 8192;
    script->run->settings.bandwidth_bytes = 1 << 20;
    script->run->settings.interval_ns = 5 * SIM_MS;
}

static void set_no_retention(struct script *script)
{
    script->run->settings.retain_ns = 0;
    script->run->settings.retain_bytes = 0;
}

static void set_some_retention(struct script *script)
{
    script->run->settings.retain_ns = 60 * SIM_MS;
    script->run->settings.retain_bytes = 64 << 10;
    script->run->settings.interval_ns = 5 * SIM_MS;
}

/* By one block; across the border of two regions. */
static void set_smaller(struct script *script)
{
    script->run->lacking[0] = 4096;
    script->run->lacking[1] = 10 * 4096;
}

static void set_flushes(struct script *script)
{
    script->run->flush_percent = 29;
}

/* clang-format off */
#define SYNCED {"first copy", poll_synced}
#define COPYING {"a part of the first copy", poll_copying}
#define PARIS_WRITES {"hosts of paris write", poll_paris_writes}
#define PARIS_WRITES_MUCH {"hosts of paris write much", poll_paris_writes_much}
#define PARIS_WRITES_ON {"hosts of paris go on writing", poll_paris_writes_on}
#define LYON_WRITES {"hosts of lyon write", poll_lyon_writes}
#define LYON_WRITES_ON {"hosts of lyon go on writing", poll_lyon_writes_on}
#define SOURCE_WRITES {"hosts of the source write", poll_source_writes}
#define CATCH_UP {"all is at the target", poll_synced}
#define APPLIED {"all is in the base of the target", poll_applied}
#define STOP {"stop", poll_stopped}
#define FAILOVER {"failover", poll_promoted}
#define DRAINED {"drained", poll_drained}
#define REPROTECT {"reprotect", poll_reprotected}
#define REPROTECT_REVERSE {"reprotect, reverse", poll_reversed}
#define CUT {"the link is cut", poll_cut}
#define HEAL {"the link heals", poll_heal}
#define MOMENT {"a moment", poll_a_moment}
#define PARIS_STOPS {"paris stops and starts", poll_paris_stops}
#define LYON_STOPS {"lyon stops and starts", poll_lyon_stops}
#define PARIS_KILLED {"paris is killed", poll_paris_killed}
#define FULL {"the disk of lyon is full", poll_lyon_full}
#define ROOM {"the disk of lyon has room", poll_lyon_room}
#define FORCED {"force-open", poll_forced}
#define GROWN {"disks grow", poll_grown}
#define LYON_GROWN {"disks of lyon grow", poll_lyon_grown}
#define LYON_LARGER {"hosts of lyon may use the new end", poll_lyon_larger}
#define FOUNDED {"the watched group is founded", poll_founded}
#define ASKS {"asks", poll_asks}

#define PARIS_TO_LYON "RegionId", "paris", "SourceZoneId", "paris", "DestinationRegionId", "lyon", \
    "DestinationZoneId", "lyon"
#define DISK(site) "RegionId", site, "ZoneId", site, "SizeBytes", "65536"

static const struct script_ask disk_asks[] = {
    {0, "CreateDisk", {DISK("paris")}, "DiskId", 0},
    {0, "AttachDisk", {"InstanceId", "i-clerk", "DiskId", "$0"}},
    {0, "DescribeDisks", {"RegionId", "paris"}},
    {0, "DescribeDiskAccess", {"DiskId", "$0"}},
    {0, "DescribeVersoStatus", {NULL}},
    {0, "DetachDisk", {"InstanceId", "i-clerk", "DiskId", "$0"}},
    {0, "DeleteDisk", {"DiskId", "$0"}},
    {0, NULL},
};

static const struct script_ask pair_asks[] = {
    {0, "CreateDisk", {DISK("paris")}, "DiskId", 0},
    {1, "CreateDisk", {DISK("lyon")}, "DiskId", 1},
    {0, "CreateDiskReplicaPair", {PARIS_TO_LYON, "DiskId", "$0", "DestinationDiskId", "$1"},
     "ReplicaPairId", 2, "created"},
    {0, "StartDiskReplicaPair", {"RegionId", "paris", "ReplicaPairId", "$2"}},
    {0, "DescribeDiskReplicaPairs", {"RegionId", "paris"}},
    {0, "DescribeDiskReplicaPairProgress", {"RegionId", "paris", "ReplicaPairId", "$2"}},
    {0, "StopDiskReplicaPair", {"RegionId", "paris", "ReplicaPairId", "$2"}, NULL, 0, "stopped"},
    {0, "DeleteDiskReplicaPair", {"RegionId", "paris", "ReplicaPairId", "$2"}},
    {0, NULL},
};

static const struct script_ask turn_asks[] = {
    {0, "CreateDisk", {DISK("paris")}, "DiskId", 0},
    {1, "CreateDisk", {DISK("lyon")}, "DiskId", 1},
    {0, "CreateDiskReplicaPair", {PARIS_TO_LYON, "DiskId", "$0", "DestinationDiskId", "$1"},
     "ReplicaPairId", 2, "created"},
    {0, "StartDiskReplicaPair", {"RegionId", "paris", "ReplicaPairId", "$2"}},
    {1, "FailoverDiskReplicaPair", {"RegionId", "lyon", "ReplicaPairId", "$2"}, NULL, 0,
     "failovered"},
    {1, "ReprotectDiskReplicaPair", {"RegionId", "lyon", "ReplicaPairId", "$2"}, NULL, 0,
     "stopped"},
    {0, NULL},
};

static const struct script_ask size_asks[] = {
    {0, "CreateDisk", {DISK("paris")}, "DiskId", 0},
    {1, "CreateDisk", {DISK("lyon")}, "DiskId", 1},
    {0, "CreateDiskReplicaPair", {PARIS_TO_LYON, "DiskId", "$0", "DestinationDiskId", "$1"},
     "ReplicaPairId", 2, "created"},
    {0, "StartDiskReplicaPair", {"RegionId", "paris", "ReplicaPairId", "$2"}},
    {0, "ResizeDisk", {"DiskId", "$0", "NewSizeBytes", "131072"}},
    {1, "FailoverDiskReplicaPair", {"RegionId", "lyon", "ReplicaPairId", "$2"}, NULL, 0,
     "failovered"},
    {1, "ReprotectDiskReplicaPair",
     {"RegionId", "lyon", "ReplicaPairId", "$2", "ReverseReplicate", "true"}, NULL, 0, "stopped"},
    {1, "ResizeDisk", {"DiskId", "$1", "NewSizeBytes", "196608"}},
    {0, NULL},
};

static const struct script_ask group_asks[] = {
    {0, "CreateDisk", {DISK("paris")}, "DiskId", 0},
    {1, "CreateDisk", {DISK("lyon")}, "DiskId", 1},
    {0, "CreateDiskReplicaPair", {PARIS_TO_LYON, "DiskId", "$0", "DestinationDiskId", "$1"},
     "ReplicaPairId", 2, "created"},
    {0, "StartDiskReplicaPair", {"RegionId", "paris", "ReplicaPairId", "$2"}},
    {0, "StopDiskReplicaPair", {"RegionId", "paris", "ReplicaPairId", "$2"}, NULL, 0, "stopped"},
    /* In the group it is compared by hash. */
    {0, "CreateDiskReplicaGroup", {PARIS_TO_LYON}, "ReplicaGroupId", 3},
    {0, "AddDiskReplicaPair",
     {"RegionId", "paris", "ReplicaGroupId", "$3", "ReplicaPairId", "$2"}},
    {0, "DescribeDiskReplicaGroups", {"RegionId", "paris"}},
    {0, "StartDiskReplicaGroup", {"RegionId", "paris", "ReplicaGroupId", "$3"}},
    {0, "StopDiskReplicaGroup", {"RegionId", "paris", "ReplicaGroupId", "$3"}, NULL, 0, "stopped"},
    {0, "RemoveDiskReplicaPair",
     {"RegionId", "paris", "ReplicaGroupId", "$3", "ReplicaPairId", "$2"}},
    {0, "DeleteDiskReplicaGroup", {"RegionId", "paris", "ReplicaGroupId", "$3"}},
    {0, "DeleteDiskReplicaPair", {"RegionId", "paris", "ReplicaPairId", "$2"}},
    {0, NULL},
};

#define FORGET(site) {"RegionId", site, "ReplicaId", "$2", "Confirm", "$2", "Reason", "it is lost"}

static const struct script_ask forget_asks[] = {
    {0, "CreateDisk", {DISK("paris")}, "DiskId", 0},
    {1, "CreateDisk", {DISK("lyon")}, "DiskId", 1},
    {0, "CreateDiskReplicaPair", {PARIS_TO_LYON, "DiskId", "$0", "DestinationDiskId", "$1"},
     "ReplicaPairId", 2, "created"},
    {0, "StartDiskReplicaPair", {"RegionId", "paris", "ReplicaPairId", "$2"}},
    {1, "FailoverDiskReplicaPair", {"RegionId", "lyon", "ReplicaPairId", "$2"}, NULL, 0,
     "failovered"},
    {1, "ForgetDiskReplica", FORGET("lyon")},
    {0, "ForgetDiskReplica", FORGET("paris")},
    /* Anew, over the same disks. */
    {0, "CreateDiskReplicaPair", {PARIS_TO_LYON, "DiskId", "$0", "DestinationDiskId", "$1"},
     "ReplicaPairId", 2, "created"},
    {0, "StartDiskReplicaPair", {"RegionId", "paris", "ReplicaPairId", "$2"}},
    {1, "ForgetDiskReplica", FORGET("lyon")},
    {0, NULL},
};

static const struct scenario table[] = {
    {"first-copy", "the first copy of a disk that holds something", set_filled,
     {MOMENT, SYNCED}, 1},
    {"copy-cuts", "a first copy whose link is cut again and again", set_slow_copy,
     {COPYING, CUT, HEAL, COPYING, PARIS_WRITES, CUT, HEAL, COPYING, CUT, HEAL, SYNCED}, 1},
    {"epoch", "writes, a cut, a commit", NULL,
     {SYNCED, PARIS_WRITES, CATCH_UP}, 1},
    {"full-stash", "cuts with a full stash", set_small_stash,
     {SYNCED, PARIS_WRITES_ON, CATCH_UP}, 1},
    {"apply", "epochs are applied at once", set_no_retention,
     {SYNCED, PARIS_WRITES, APPLIED}, 1},
    {"retention", "old epochs leave the window", set_some_retention,
     {SYNCED, PARIS_WRITES, CATCH_UP, PARIS_WRITES, APPLIED}, 1},
    {"planned-failover", "stop, then failover", NULL,
     {SYNCED, PARIS_WRITES, CATCH_UP, STOP, FAILOVER, LYON_WRITES}, 3},
    {"forced-failover", "failover while hosts of the source write", NULL,
     {SYNCED, PARIS_WRITES_ON, CUT, FAILOVER, LYON_WRITES_ON, HEAL}, 2},
    {"drain", "the journal is drained while hosts write", NULL,
     {SYNCED, PARIS_WRITES_MUCH, CATCH_UP, FAILOVER, LYON_WRITES_ON, DRAINED}, 3},
    {"superseded", "hosts write and flush much after a promotion", set_flushes,
     {SYNCED, PARIS_WRITES, CATCH_UP, FAILOVER, LYON_WRITES}, 3},
    {"reprotect", "the old source is the source again", NULL,
     {SYNCED, CUT, PARIS_WRITES, FAILOVER, LYON_WRITES, HEAL, REPROTECT, CATCH_UP}, 6},
    {"reprotect-reverse", "the promoted site is the source", NULL,
     {SYNCED, CUT, PARIS_WRITES, FAILOVER, LYON_WRITES, HEAL, REPROTECT_REVERSE, CATCH_UP}, 6},
    {"snapshot", "a layer is kept while the base moves on", set_no_retention,
     {SYNCED, CUT, PARIS_WRITES, FAILOVER, LYON_WRITES, HEAL, REPROTECT_REVERSE, CATCH_UP,
      SOURCE_WRITES, APPLIED}, 8},
    {"clean-stop", "each site stops and starts", NULL,
     {SYNCED, PARIS_WRITES, PARIS_STOPS, PARIS_WRITES, LYON_STOPS, CATCH_UP}, 2},
    {"journal-full", "the journal's disk is full and gets room", NULL,
     {SYNCED, PARIS_WRITES_ON, FULL, ROOM, CATCH_UP}, 1},
    {"link-cut", "the link is cut in the middle of an epoch", NULL,
     {SYNCED, PARIS_WRITES_ON, MOMENT, CUT, HEAL, CATCH_UP}, 2},
    {"force-open", "a source opens by order while its peer is silent", NULL,
     {SYNCED, PARIS_WRITES, CUT, PARIS_KILLED, FORCED, PARIS_WRITES, HEAL, CATCH_UP}, 3},
    {"suspects", "start after a kill: blocks are suspected", NULL,
     {SYNCED, PARIS_WRITES, PARIS_KILLED, CATCH_UP}, 2},
    {"grow", "disks grow while hosts write, then failover", set_smaller,
     {SYNCED, PARIS_WRITES_ON, GROWN, PARIS_WRITES, CATCH_UP, FAILOVER, LYON_WRITES}, 2},
    {"grow-reprotect", "disks that have grown; the old source is the source again", set_smaller,
     {SYNCED, GROWN, PARIS_WRITES, CUT, FAILOVER, LYON_WRITES, HEAL, REPROTECT, SOURCE_WRITES,
      CATCH_UP}, 7},
    {"grow-larger", "the larger copy is promoted, then the target again", set_smaller,
     {SYNCED, LYON_GROWN, CUT, PARIS_WRITES, FAILOVER, LYON_WRITES, HEAL, REPROTECT, GROWN,
      SOURCE_WRITES, CATCH_UP}, 7},
    {"grow-reverse", "the larger copy is promoted, then the source", set_smaller,
     {SYNCED, LYON_GROWN, CUT, PARIS_WRITES, FAILOVER, LYON_LARGER, LYON_WRITES, HEAL,
      REPROTECT_REVERSE, GROWN, SOURCE_WRITES, CATCH_UP}, 8},
    /* Whole sites, asked by the API. */
    {"site-found", "disks, pairs, a group, its members; it starts", NULL,
     {FOUNDED, SYNCED}, 0, true},
    {"site-failover", "a failover by the API", NULL,
     {FOUNDED, SYNCED, PARIS_WRITES, CATCH_UP, FAILOVER, LYON_WRITES}, 4, true},
    {"site-reprotect", "the old source is the source again, by the API", NULL,
     {FOUNDED, SYNCED, CUT, PARIS_WRITES, FAILOVER, LYON_WRITES, HEAL, REPROTECT, CATCH_UP}, 7,
     true},
    {"site-reverse", "the promoted site is the source, by the API", NULL,
     {FOUNDED, SYNCED, CUT, PARIS_WRITES, FAILOVER, LYON_WRITES, HEAL, REPROTECT_REVERSE,
      CATCH_UP}, 7, true},
    {"site-stop", "each whole site stops and starts", NULL,
     {FOUNDED, SYNCED, PARIS_STOPS, LYON_STOPS, CATCH_UP}, 2, true},
    {"api-disk", "a disk: create, attach, show, detach, delete", NULL,
     {FOUNDED, SYNCED, ASKS}, 2, true, disk_asks},
    {"api-pair", "a pair: create, start, show, stop, delete", NULL,
     {FOUNDED, SYNCED, ASKS}, 2, true, pair_asks},
    {"api-turn", "a pair: failover, reprotect", NULL,
     {FOUNDED, SYNCED, ASKS}, 2, true, turn_asks},
    {"api-size", "a pair: its disks grow, failover, reprotect, they grow again", NULL,
     {FOUNDED, SYNCED, ASKS}, 2, true, size_asks},
    {"api-group", "a group: create, add, start, stop, remove, delete", NULL,
     {FOUNDED, SYNCED, ASKS}, 2, true, group_asks},
    {"api-forget", "a pair: failover, forgotten at both sites, made anew, forgotten at its target", NULL,
     {FOUNDED, SYNCED, ASKS}, 2, true, forget_asks},
    {NULL},
};
/* clang-format on */

const struct scenario *scenario_table(void)
{
    return table;
}

const struct scenario *scenario_find(const char *name)
{
    for (const struct scenario *scenario = table; scenario->name; scenario++) {
        if (strcmp(scenario->name, name) == 0)
            return scenario;
    }
    return NULL;
}

static bool is_chosen(const struct scenario *scenario, const struct sim_options *options)
{
    if (options->scenario)
        return strcmp(options->scenario, scenario->name) == 0;
    return scenario->is_whole ? options->has_sites : options->has_engines;
}

int scenarios_hunt(const struct sim_options *options,
                   bool (*hunt_cb)(const struct sim_options *options,
                                   const struct scenario *scenario, uint64_t *ret_runs))
{
    uint64_t runs = 0;
    bool is_lawful = true;

    if (options->scenario && !scenario_find(options->scenario))
        return sim_options_unknown(options);
    sim_options_settle(options);
    for (const struct scenario *scenario = table; scenario->name; scenario++) {
        if (is_chosen(scenario, options))
            is_lawful = hunt_cb(options, scenario, &runs) && is_lawful;
    }
    return sim_options_end(options, runs, is_lawful);
}
