/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: users, keys, policies and tags are kept equal at two sites which may both be asked at any
 * time. Few names, so that much is refused, taken away under others, made again, and changed at
 * both sites while they are apart.
 */
#include "sim_registrar.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "control/control.h"
#include "control/roster.h"
#include "sim_alloc.h"
#include "sim_client.h"
#include "sim_town.h"
#include "sim_whole.h"

enum { USERS = 4, POLICIES = 3 };

static uint64_t below(struct registrar *registrar, uint64_t limit)
{
    return sim_draw_below(&registrar->random, limit);
}

static bool chance(struct registrar *registrar, unsigned percent)
{
    return sim_draw_chance(&registrar->random, percent);
}

/* Drawn apart: a schedule without him is as it was before. */
void run_choose_registrar(struct sim_run *run)
{
    struct sim_random random = {run->seed * 0x9e3779b97f4a7c15u + 0x72656769};
    bool is_here = sim_draw_chance(&random, 50);
    struct registrar *registrar;

    if (run->plant == PLANT_NONE ? !is_here : !plant_is_of_rosters(run->plant))
        return;
    registrar = sim_kernel_alloc(sizeof(*registrar));
    registrar->run = registrar->roster.run = run;
    registrar->random = random;
    registrar->turn_ns = (60 + below(registrar, 600)) * SIM_MS;
    registrar->clears = chance(registrar, 25);
    registrar_choose_quota(registrar);
    for (unsigned i = 0; i < ERRANDS_MAX; i++)
        registrar->errands[i].registrar = registrar;
    run->registrar = registrar;
}

void registrar_free(struct sim_run *run)
{
    if (!run->registrar)
        return;
    roster_facts_free(&run->registrar->roster);
    sim_kernel_free(run->registrar);
    run->registrar = NULL;
}

void registrar_booted(struct node *node)
{
    if (node->run->registrar)
        roster_look(&node->run->registrar->roster, node, ROSTER_BOOTING);
}

void registrar_died(struct node *node)
{
    if (node->run->registrar)
        node->run->registrar->desks[node->index].under_way = 0;
}

/* --- errands --------------------------------------------------------------------------------- */

static void errand_done(void *arg, unsigned status, const char *reply)
{
    struct errand *errand = arg;

    errand->is_busy = false;
    if (errand->is_elsewhere && status != 0) /* else it may be done yet */
        errand->registrar->abroad--;
}

static const char *type_of(const char *resource)
{
    return strncmp(resource, "pg-", 3) == 0     ? "diskreplicagroup"
           : strncmp(resource, "pair-", 5) == 0 ? "diskreplicapair"
                                                : "disk";
}

struct wording {
    struct client_order order;
    unsigned count;
    char texts[12][CLIENT_TEXT_SIZE];
    unsigned text_count;
};

static void add(struct wording *wording, const char *name, const char *value)
{
    char *text = wording->texts[wording->text_count++];

    check(wording->text_count <= ARRAY_COUNT(wording->texts));
    snprintf(text, CLIENT_TEXT_SIZE, "%s", value);
    wording->order.pairs[wording->count++] = name;
    wording->order.pairs[wording->count++] = text;
}

static void word_tags(struct errand *errand, struct wording *wording)
{
    static const char *const names[][3] = {{"Tag.1.Key", "Tag.1.Value", "TagKey.1"},
                                           {"Tag.2.Key", "Tag.2.Value", "TagKey.2"},
                                           {"Tag.3.Key", "Tag.3.Value", "TagKey.3"}};
    bool is_disk = errand->resource[0] == 'd';
    char key[16], value[16];

    wording->order.action = errand->kind == ERRAND_TAG ? "TagResources" : "UntagResources";
    wording->order.version = is_disk ? "2014-05-26" : NULL;
    wording->order.is_sure = !is_disk && !errand->is_elsewhere;
    add(wording, "RegionId", node_names[errand->node->index ^ errand->is_elsewhere]);
    add(wording, "ResourceType", type_of(errand->resource));
    add(wording, "ResourceId.1", errand->resource);
    for (unsigned i = 0; i < errand->tag_count && !errand->flag; i++) {
        errand_tag(errand, i, key, value);
        add(wording, names[i][errand->kind == ERRAND_TAG ? 0 : 2], key);
        if (errand->kind == ERRAND_TAG)
            add(wording, names[i][1], value);
    }
    if (errand->flag)
        add(wording, "All", "true");
}

/* Names, objectives, resource groups: the audit compares the records. */
static void word_change(struct errand *errand, struct wording *wording)
{
    bool is_group = strncmp(errand->resource, "pg-", 3) == 0;

    if (errand->resource[0] == 'd') {
        wording->order.action = "ModifyDiskAttribute";
        add(wording, "DiskId", errand->resource);
        add(wording, "DiskName", errand->text);
        return;
    }
    add(wording, "RegionId", node_names[errand->node->index ^ errand->is_elsewhere]);
    if (errand->tag % 3 == 0) {
        wording->order.action = "ChangeResourceGroup";
        add(wording, "ResourceType", type_of(errand->resource));
        add(wording, "ResourceId", errand->resource);
        add(wording, "NewResourceGroupId", errand->flag ? "rg-one" : "rg-two");
        return;
    }
    wording->order.action = is_group ? "ModifyDiskReplicaGroup" : "ModifyDiskReplicaPair";
    add(wording, is_group ? "ReplicaGroupId" : "ReplicaPairId", errand->resource);
    if (errand->tag % 3 == 1)
        add(wording, is_group ? "GroupName" : "PairName", errand->text);
    else
        add(wording, "RPO", errand->flag ? "900" : "1800");
}

static void word(struct errand *errand, struct wording *wording)
{
    static const char *const actions[ERRAND_KIND_COUNT] = {
        "CreateUser",   "DeleteUser", "CreateAccessKey", "UpdateAccessKey", "DeleteAccessKey",
        "CreatePolicy", "PutPolicy",  "DeletePolicy",    "AttachPolicy",    "DetachPolicy"};
    char document[CLIENT_TEXT_SIZE];

    wording->order.action = actions[errand->kind];
    if (errand->kind == ERRAND_TAG || errand->kind == ERRAND_UNTAG) {
        word_tags(errand, wording);
        return;
    }
    if (errand->kind == ERRAND_MODIFY) {
        word_change(errand, wording);
        return;
    }
    if (errand->user[0] && strcmp(errand->user, "root") != 0)
        add(wording, "UserName", errand->user);
    if (errand->kind == ERRAND_UPDATE_KEY || errand->kind == ERRAND_DELETE_KEY)
        add(wording, "UserAccessKeyId", errand->key);
    if (errand->kind == ERRAND_UPDATE_KEY)
        add(wording, "Status", errand->flag ? "Active" : "Inactive");
    if (errand->policy[0])
        add(wording, "PolicyName", errand->policy);
    if (errand->kind == ERRAND_CREATE_POLICY || errand->kind == ERRAND_PUT_POLICY) {
        errand_document(errand, document, sizeof(document));
        add(wording, "PolicyDocument", document);
    }
}

void registrar_send(struct registrar *registrar, struct node *node, const struct errand *wanted)
{
    struct wording wording = {.order = {.done_cb = errand_done,
                                        .asked_cb = errand_asked,
                                        .seen_cb = errand_seen,
                                        .random = &registrar->random}};
    struct errand *errand = NULL;

    for (unsigned i = 0; i < ERRANDS_MAX && !errand; i++)
        if (!registrar->errands[i].is_busy)
            errand = &registrar->errands[i];
    if (!errand)
        return;
    *errand = *wanted;
    errand->registrar = registrar;
    errand->node = node;
    errand->is_busy = true;
    registrar->abroad += errand->is_elsewhere;
    registrar->abroad_count += errand->is_elsewhere;
    snprintf(errand->text, sizeof(errand->text), "t%u", ++registrar->serial);
    word(errand, &wording);
    wording.order.attempts = 4;
    wording.order.arg = errand;
    client_ask(node, &wording.order);
}

/* --- choosing -------------------------------------------------------------------------------- */

/* A pair, group or disk of anybody's; false: there is none yet. */
static bool choose_resource(struct registrar *registrar, struct node *node, char ret_id[40])
{
    struct town *town = registrar->run->town;
    unsigned relations =
        town->relation_count < CLERK_RELATIONS ? town->relation_count : CLERK_RELATIONS;
    unsigned dice = (unsigned)below(registrar, 100);
    const char *id = "";

    if (dice < 30)
        id = whole_stream_id(node);
    else if (dice < 45)
        id = town->pair_ids[below(registrar, JUDGE_DISKS)];
    else if (dice < 80 && relations > 0)
        id = town->relations[below(registrar, relations)].id;
    else if (town->disk_count[node->index] > 0)
        id = town->disks[node->index][below(registrar, town->disk_count[node->index])];
    snprintf(ret_id, 40, "%s", id);
    return id[0] != '\0';
}

static enum errand_kind choose_kind(struct registrar *registrar)
{
    static const unsigned char weights[ERRAND_KIND_COUNT] = {10, 4,  12, 12, 7, 3, 9,
                                                             3,  11, 5,  14, 4, 6};
    unsigned dice = (unsigned)below(registrar, 100), kind = 0;

    while (dice >= weights[kind])
        dice -= weights[kind++];
    check(kind < ERRAND_KIND_COUNT);
    return (enum errand_kind)kind;
}

/* False: there is nothing to do it with. */
static bool choose(struct registrar *registrar, struct node *node, struct errand *errand)
{
    enum errand_kind kind = choose_kind(registrar);
    unsigned user = (unsigned)below(registrar, USERS),
             policy = (unsigned)below(registrar, POLICIES);

    *errand = (struct errand){.kind = kind,
                              .flag = chance(registrar, 50),
                              .is_elsewhere = kind >= ERRAND_TAG && chance(registrar, 10),
                              .tag = (unsigned)below(registrar, 100),
                              .tag_count = 1 + (unsigned)below(registrar, 3)};
    if (kind <= ERRAND_CREATE_KEY || kind == ERRAND_ATTACH || kind == ERRAND_DETACH)
        snprintf(errand->user, sizeof(errand->user), "user%u", user);
    if (kind == ERRAND_CREATE_KEY && chance(registrar, 15))
        snprintf(errand->user, sizeof(errand->user), "root");
    if (kind >= ERRAND_CREATE_POLICY && kind <= ERRAND_DETACH)
        snprintf(errand->policy, sizeof(errand->policy), "policy%u", policy);
    if (kind == ERRAND_UPDATE_KEY || kind == ERRAND_DELETE_KEY) {
        if (registrar->key_count == 0)
            return false;
        snprintf(errand->key, sizeof(errand->key), "%s",
                 registrar->keys[below(registrar, registrar->key_count)]);
    }
    if (kind == ERRAND_CREATE_KEY && registrar->key_count == REGISTRAR_KEYS_MAX)
        return false;
    if (kind == ERRAND_TAG)
        errand->flag = false;
    return kind < ERRAND_TAG || choose_resource(registrar, node, errand->resource);
}

struct using
{
    struct node *node;
    const char *key;
};

/* As the door does of a signed request: it is written down once a minute. */
static void use_call(void *arg)
{
    struct using *using = arg;
    struct site *site = control_site(using->node->whole->control);

    directory_use_key(site->directory, using->key, site_now_s(site));
}

static void use_key(struct registrar *registrar, struct node *node)
{
    struct using using = {.node = node};

    if (registrar->key_count == 0 || !node->engine || !node->whole->is_up || node->is_stopping)
        return;
    using.key = registrar->keys[below(registrar, registrar->key_count)];
    sim_site_call(node->site, use_call, &using);
}

/* Now and then the same at both sites, or several in one moment. */
static void turn(void *arg)
{
    struct registrar *registrar = arg;
    struct sim_run *run = registrar->run;
    struct node *node = &run->nodes[below(registrar, RUN_NODES)];
    uint64_t count = chance(registrar, 15) ? 2 + below(registrar, 3) : 1;
    struct errand errand;

    if (run->is_calm || run->has_failed)
        return;
    for (uint64_t i = 0; i < count; i++) {
        bool is_twice = chance(registrar, 12);

        if (!choose(registrar, node, &errand))
            continue;
        registrar_send(registrar, node, &errand);
        if (is_twice)
            registrar_send(registrar, node->other, &errand);
    }
    if (chance(registrar, 10))
        use_key(registrar, node);
    if (chance(registrar, 10))
        roster_look(&registrar->roster, node->other, ROSTER_OUTSIDE);
    plant_roster_turn(node);
    sim_after(run->world, SIM_MS + below(registrar, registrar->turn_ns), turn, registrar);
}

void registrar_start(struct sim_run *run)
{
    if (run->registrar)
        sim_after(run->world, below(run->registrar, 300 * SIM_MS), turn, run->registrar);
}

/* --- the end --------------------------------------------------------------------------------- */

void registrar_unrest(struct sim_run *run, char *ret_what, size_t size)
{
    ret_what[0] = '\0';
    if (!run->registrar)
        return;
    for (unsigned i = 0; i < RUN_NODES; i++)
        roster_look(&run->registrar->roster, &run->nodes[i], ROSTER_OUTSIDE);
    roster_compare(&run->registrar->roster, ret_what, size);
}
