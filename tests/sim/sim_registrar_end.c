/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: at rest each key that ever was is tried at both sites, by the API: it opens, and may what
 * the policies of its user say, exactly as the records have it. Then what the registrar made goes.
 */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "control/control.h"
#include "control/roster.h"
#include "sim_alloc.h"
#include "sim_client.h"
#include "sim_registrar.h"
#include "sim_town.h"
#include "sim_whole.h"

enum { TRIALS_MAX = 6, TRIAL_SECONDS = 30 };

/* A call of a key's owner. */
struct trial {
    struct node *node;
    const char *key;
    bool is_list; /* ListUsers, which policies allow or not; else GetCallerIdentity */
    bool is_expected;
    struct caller caller;
    unsigned status; /* 0: no answer yet */
};

struct trials {
    struct trial trials[TRIALS_MAX * RUN_NODES * 2];
    unsigned count;
};

/* --- what is to be expected ------------------------------------------------------------------ */

struct rights {
    struct site *site;
    const char *uid;
    bool is_allowed, is_denied;
};

static bool take_right(void *arg, uint64_t position, const void *record)
{
    const struct policy_link_record *link = record;
    struct rights *rights = arg;
    union roster_record policy;

    if (link->access.is_deleted || strcmp(link->user_uid, rights->uid) != 0 ||
        roster_get(rights->site, RECORD_POLICY, link->policy, &policy) < 0 ||
        strcmp(policy.policy.uid, link->policy_uid) != 0)
        return true;
    rights->is_allowed = rights->is_allowed || strstr(policy.policy.document, "\"Allow\"");
    rights->is_denied = rights->is_denied || strstr(policy.policy.document, "\"Deny\"");
    return true;
}

/* As the site. */
static void expect_call(void *arg)
{
    struct trial *trial = arg;
    struct site *site = control_site(trial->node->whole->control);
    struct rights rights = {.site = site};
    struct meta_query query = {.kind = RECORD_POLICY_LINK, .field = "user"};
    union roster_record key;

    trial->caller = (struct caller){.kind = CALLER_USER, .is_secure = true, .now_s = 1};
    snprintf(trial->caller.key_id, sizeof(trial->caller.key_id), "%s", trial->key);
    if (meta_get(site->meta, RECORD_ACCESS_KEY, trial->key, &key) < 0)
        return;
    snprintf(trial->caller.user, sizeof(trial->caller.user), "%s", key.key.user);
    trial->is_expected = key.key.is_enabled && roster_key_lives(site, &key.key);
    if (strcmp(key.key.user, "root") == 0) {
        trial->caller.kind = CALLER_ROOT_KEY;
        return;
    }
    if (!trial->is_expected || !trial->is_list)
        return;
    query.value = key.key.user;
    rights.uid = key.key.user_uid;
    meta_walk(site->meta, &query, 0, take_right, &rights);
    trial->is_expected = rights.is_allowed && !rights.is_denied;
}

/* --- trying ---------------------------------------------------------------------------------- */

static void tried(void *arg, unsigned status, const char *reply)
{
    struct trial *trial = arg;

    trial->status = status;
    if ((status == 200) != trial->is_expected)
        roster_fail(trial->node, "key %s of %s: %s was answered %u %.200s", trial->key,
                    trial->caller.user, trial->is_list ? "ListUsers" : "GetCallerIdentity", status,
                    reply);
}

static void try_key(struct trials *trials, struct registrar *registrar, struct node *node,
                    const char *key, bool is_list)
{
    struct trial *trial = &trials->trials[trials->count++];
    struct client_order order = {.action = is_list ? "ListUsers" : "GetCallerIdentity",
                                 .version = is_list ? "2026-11-22" : "2015-04-01",
                                 .done_cb = tried,
                                 .random = &registrar->random,
                                 .arg = trial};

    *trial = (struct trial){.node = node, .key = key, .is_list = is_list};
    sim_site_call(node->site, expect_call, trial);
    order.caller = &trial->caller;
    client_ask(node, &order);
}

static bool all_tried(void *arg)
{
    const struct trials *trials = arg;

    for (unsigned i = 0; i < trials->count; i++)
        if (trials->trials[i].status == 0)
            return false;
    return true;
}

void registrar_audit(struct sim_run *run)
{
    struct registrar *registrar = run->registrar;
    struct trials *trials;
    unsigned first;

    if (!registrar || registrar->key_count == 0)
        return;
    trials = sim_kernel_alloc(sizeof(*trials));
    first = (unsigned)sim_draw_below(&registrar->random, registrar->key_count);
    for (unsigned i = 0; i < TRIALS_MAX && i < registrar->key_count; i++)
        for (unsigned node = 0; node < RUN_NODES; node++) {
            const char *key = registrar->keys[(first + i) % registrar->key_count];

            try_key(trials, registrar, &run->nodes[node], key, false);
            try_key(trials, registrar, &run->nodes[node], key, true);
        }
    if (!sim_world_run_for(run->world, all_tried, trials,
                           sim_now_ns(run->world) + TRIAL_SECONDS * SIM_SECOND)) {
        client_end_all(run);
        run_fail(run, NULL, "rosters: a call with an access key has no answer");
    }
    sim_kernel_free(trials);
}

/* --- clearing -------------------------------------------------------------------------------- */

struct clearing {
    struct errand errand;
    struct node *node; /* NULL: nothing was found */
    struct sim_run *run;
};

static void find_living(void *arg, struct roster_fact *fact)
{
    struct clearing *clearing = arg;
    struct errand *errand = &clearing->errand;

    for (unsigned i = 0; i < RUN_NODES && !clearing->node; i++)
        if (fact->known[i].version > 0 && !fact->known[i].is_deleted)
            clearing->node = &clearing->run->nodes[i];
    if (!clearing->node || errand->user[0] || errand->key[0] || errand->policy[0])
        return;
    if (fact->kind == RECORD_USER) {
        errand->kind = ERRAND_DELETE_USER;
        snprintf(errand->user, sizeof(errand->user), "%.15s", fact->id);
    } else if (fact->kind == RECORD_ACCESS_KEY) {
        errand->kind = ERRAND_DELETE_KEY;
        snprintf(errand->key, sizeof(errand->key), "%.39s", fact->id);
    } else {
        errand->kind = ERRAND_DELETE_POLICY;
        snprintf(errand->policy, sizeof(errand->policy), "%.15s", fact->id);
    }
}

/* Users, which take their keys along, then other keys, then policies. */
bool registrar_clears(struct sim_run *run)
{
    static const enum record_kind kinds[] = {RECORD_USER, RECORD_ACCESS_KEY, RECORD_POLICY};
    struct registrar *registrar = run->registrar;
    struct clearing clearing = {.run = run};
    char what[200];

    if (!registrar || !registrar->clears)
        return true;
    if (run->town->calls)
        return false;
    registrar_unrest(run, what, sizeof(what));
    for (unsigned i = 0; i < ARRAY_COUNT(kinds) && !clearing.node; i++)
        roster_facts_each(&registrar->roster, kinds[i], find_living, &clearing);
    if (clearing.node) {
        snprintf(run->town->unrest, sizeof(run->town->unrest), "rosters: %s%s%s is still there",
                 clearing.errand.user, clearing.errand.key, clearing.errand.policy);
        registrar_send(registrar, clearing.node, &clearing.errand);
        return false;
    }
    registrar->clears = false;
    return true;
}
