/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Planted defects. They change bytes of the simulated disks, and for I8 the memory of an engine;
 * what control forgets is in sim_plant_meta.c. Nothing here is ever done in a run that counts.
 */
#include "sim_plant.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "replication/engine_parts.h"
#include "sim_alloc.h"
#include "sim_run.h"

enum { STATE_BYTES = 64 << 10 };

const char *plant_name(enum plant plant)
{
    static const char *const names[PLANT_COUNT] = {
        "",       "I1",     "I2",    "I3",      "I4",        "I8",     "I9",   "I10",
        "I11",    "I14",    "I17",   "token",   "tombstone", "job",    "term", "version",
        "commit", "forget", "fence", "discard", "key",       "burial", "tags", "door"};

    return names[plant];
}

/* How clients and audit tell of each. */
static bool is_told(enum plant plant, const char *why)
{
    static const char *const told[][3] = {
        [PLANT_TOKEN - PLANT_WHOLE] = {"asked again: "},
        [PLANT_TOMBSTONE - PLANT_WHOLE] = {"at rest the records differ", "come to rest"},
        [PLANT_JOB - PLANT_WHOLE] = {"come to rest", "not settled"},
        [PLANT_TERM - PLANT_WHOLE] = {"at rest ", "come to rest", "not settled"},
        [PLANT_VERSION - PLANT_WHOLE] = {"at rest ", "come to rest", "not settled"},
        [PLANT_COMMIT - PLANT_WHOLE] = {"asked again: ", "at rest "},
        [PLANT_FORGET - PLANT_WHOLE] = {"and its tombstone says"},
        [PLANT_FENCE - PLANT_WHOLE] = {"is open to hosts, who wrote at the other site"},
        [PLANT_DISCARD - PLANT_WHOLE] = {"has lost what it held"},
        [PLANT_KEY - PLANT_WHOLE] = {"rosters: access_keys of", " is lost"},
        [PLANT_BURIAL - PLANT_WHOLE] = {"differ: "},
        [PLANT_TAGS - PLANT_WHOLE] = {"rosters: tag_sets of"},
        [PLANT_DOOR - PLANT_WHOLE] = {"opens, and is deleted"},
    };

    for (unsigned i = 0; i < ARRAY_COUNT(told[0]); i++)
        if (told[plant - PLANT_WHOLE][i] && strstr(why, told[plant - PLANT_WHOLE][i]))
            return true;
    return false;
}

bool plant_is_heard(enum plant plant, const char *why)
{
    if (plant >= PLANT_WHOLE)
        return is_told(plant, why);
    const char *at = plant == PLANT_NONE ? why : strstr(why, plant_name(plant));
    char next = at ? at[strlen(plant_name(plant))] : '\0';

    if (plant == PLANT_I2)
        return at && strstr(why, "though a write issued after its answer is there");
    return plant == PLANT_NONE || (at && (next == ':' || next == ' '));
}

/* Some watched sectors go back to zeros, or to the content of an earlier write. */
static void spoil_disk(struct node *node, unsigned count)
{
    struct sim_run *run = node->run;
    uint8_t bytes[JUDGE_SECTOR];
    char path[80];

    for (unsigned i = 0; i < count; i++) {
        const struct judge_span *span =
            &run->universe.spans[sim_random_below(run->world, run->universe.span_count)];
        uint64_t offset =
            span->offset + sim_random_below(run->world, span->length / JUDGE_SECTOR) * JUDGE_SECTOR;
        snprintf(path, sizeof(path), "/data/disks/%s.raw", node_disk_id(node, span->disk));
        judge_fill(bytes, sizeof(bytes), span->disk, offset, sim_chance(run->world, 50) ? 1 : 0);
        sim_disk_poke(node->site, path, bytes, sizeof(bytes), offset);
    }
}

/* Its memory says that it is what the promoted site is. */
static void forge_role(struct node *node)
{
    struct stream *ours =
        node->engine ? engine_find_stream(node->engine, node_stream_id(node)) : NULL;
    struct stream *theirs =
        node->other->engine ? engine_find_stream(node->other->engine, node_stream_id(node->other))
                            : NULL;

    if (!ours || !theirs || ours->state.role != STREAM_ROLE_FENCED ||
        theirs->state.role != STREAM_ROLE_PROMOTED || !ours->is_open || ours->hold_why)
        return;
    ours->state.line = theirs->state.line;
    ours->state.role = STREAM_ROLE_SOURCE;
    ours->is_waiting_peer = false;
}

static void lose_snapshot(struct node *node)
{
    static const uint8_t zeros[JUDGE_SECTOR];
    char path[80];

    for (unsigned i = 0; i < node->snapshot_count; i++) {
        snprintf(path, sizeof(path), "/data/layers/%s.info", node->snapshots[i].id);
        if (!node->snapshots[i].is_removed)
            sim_disk_poke(node->site, path, zeros, sizeof(zeros), 0);
    }
}

/* Keeps the first state it sees, and brings it back at a death long after. */
static void bring_old_state(struct node *node)
{
    struct sim_run *run = node->run;
    uint8_t **kept = &run->plant_memory[node->index];
    char path[80];

    snprintf(path, sizeof(path), "/data/streams/%s/state", node_stream_id(node));
    if (*kept) {
        sim_disk_poke(node->site, path, *kept, STATE_BYTES, 0);
        return;
    }
    *kept = sim_kernel_alloc(STATE_BYTES);
    if (!sim_disk_peek(node->site, path, *kept, STATE_BYTES, 0)) {
        sim_kernel_free(*kept);
        *kept = NULL;
    }
}

void plant_turn(struct sim_run *run, struct node *node)
{
    switch (run->plant) {
    case PLANT_I1:
    case PLANT_I2:
    case PLANT_I10:
    case PLANT_I11:
        if (node->engine && node->role == STREAM_ROLE_TARGET)
            spoil_disk(node, 4);
        break;
    case PLANT_I8:
        forge_role(node);
        break;
    default:
        break;
    }
}

void plant_died(struct node *node, bool power)
{
    enum plant plant = node->run->plant;

    if ((plant == PLANT_I3 && !power) || (plant == PLANT_I4 && power))
        spoil_disk(node, 16);
    if (plant == PLANT_I9)
        lose_snapshot(node);
    if (plant == PLANT_I14 && node->is_created)
        bring_old_state(node);
}
