/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: a quota holds whoever makes how much at once, at either site: no pair, group or disk is made
 * where there are as many as may be. It is small from the first start on that comes when the
 * watched group is founded, which must not be kept from it.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "control/site.h"
#include "sim_registrar.h"
#include "sim_town.h"
#include "sim_whole.h"

enum { GROUPS, PAIRS, DISKS };

void registrar_choose_quota(struct registrar *registrar)
{
    struct roster *roster = &registrar->roster;

    if (!sim_draw_chance(&registrar->random, 30))
        return;
    roster->quota[GROUPS] = 1 + (unsigned)sim_draw_below(&registrar->random, 3);
    roster->quota[PAIRS] = JUDGE_DISKS + (unsigned)sim_draw_below(&registrar->random, 3);
    roster->quota[DISKS] = JUDGE_DISKS + (unsigned)sim_draw_below(&registrar->random, 3);
}

void registrar_set_quota(const struct node *node, struct site_options *options)
{
    const struct registrar *registrar = node->run->registrar;

    if (!registrar || !node->run->town->is_founded)
        return;
    options->quota.groups = registrar->roster.quota[GROUPS];
    options->quota.pairs = registrar->roster.quota[PAIRS];
    options->quota.disks = registrar->roster.quota[DISKS];
}

/* The other site's groups come without being asked for, and count as well. */
static bool count_own(void *arg, uint64_t position, const void *record)
{
    const struct group_record *group = record;
    struct quota_count *count = arg;

    count->own += strcmp(group->common.production_site, count->site) == 0;
    return true;
}

void roster_look_at_quota(struct roster *roster, struct node *node, const struct site *site,
                          char *ret_what, size_t size)
{
    static const enum record_kind kinds[] = {RECORD_GROUP, RECORD_PAIR, RECORD_DISK};
    const struct site_quota none = {UINT_MAX, UINT_MAX, UINT_MAX, UINT_MAX};
    const struct site_quota *limits = site ? &site->quota : &none;
    const unsigned quota[] = {limits->groups, limits->pairs, limits->disks};
    struct meta *meta = node->whole->meta;

    for (unsigned i = 0; i < ARRAY_COUNT(kinds); i++) {
        struct quota_count count = {.site = node_names[node->index]};
        struct meta_query query = {.kind = kinds[i]};
        unsigned *before = &roster->counts[node->index][i];

        if (kinds[i] == RECORD_GROUP) {
            meta_walk(meta, &query, 0, count_own, &count);
        } else {
            meta_count(meta, &query, &count.own);
        }
        if (count.own > quota[i] && count.own > *before && !ret_what[0])
            snprintf(ret_what, size, "there are %u %s, there were %u, and at most %u may be",
                     count.own, record_type(kinds[i])->table, *before, quota[i]);
        *before = count.own;
    }
}
