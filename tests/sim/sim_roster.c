/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: users, keys, policies and tags may be changed at either site at any time, so nobody can say
 * beforehand what they come to. What can be said of each record: its versions only rise, at each
 * site, over all deaths; a version says one thing; and in the end both sites have the same.
 */
#include "sim_roster.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "control/control.h"
#include "control/roster.h"
#include "control/tag.h"
#include "sim_alloc.h"
#include "sim_whole.h"

struct look {
    struct roster *roster;
    struct node *node;
    struct meta *meta;
    struct site *site; /* NULL: there is none yet */
    uint64_t number;
    enum record_kind kind; /* that is walked */
    int64_t horizons[ROSTER_KIND_COUNT];
    char what[500]; /* the first that is wrong */
};

static const enum record_kind kinds[ROSTER_KIND_COUNT] = {RECORD_USER, RECORD_ACCESS_KEY,
                                                          RECORD_POLICY, RECORD_POLICY_LINK};

void roster_fail(struct node *node, const char *format, ...)
{
    const void *before = sim_outside_begin();
    char why[500];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(why, sizeof(why), format, arguments);
    va_end(arguments);
    run_fail(node->run, node, "rosters: %s", why);
    sim_outside_end(before);
}

static void say(struct look *look, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct look *look, const char *format, ...)
{
    va_list arguments;

    if (look->what[0])
        return;
    va_start(arguments, format);
    vsnprintf(look->what, sizeof(look->what), format, arguments);
    va_end(arguments);
}

/* --- facts ----------------------------------------------------------------------------------- */

static uint64_t mix_text(uint64_t hash, const char *text)
{
    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * 0x100000001b3u;
    return (hash ^ 0xff) * 0x100000001b3u;
}

static struct roster_fact **slot_of(struct roster *roster, enum record_kind kind, const char *id)
{
    uint64_t hash = mix_text(0xcbf29ce484222325u, id);
    struct roster_fact **slot = &roster->buckets[hash % ROSTER_BUCKETS];

    while (*slot && ((*slot)->kind != kind || strcmp((*slot)->id, id) != 0))
        slot = &(*slot)->next;
    return slot;
}

struct roster_fact *roster_fact_of(struct roster *roster, enum record_kind kind, const char *id)
{
    struct roster_fact **slot = slot_of(roster, kind, id);

    if (!*slot) {
        *slot = sim_kernel_alloc(sizeof(**slot));
        (*slot)->kind = kind;
        snprintf((*slot)->id, sizeof((*slot)->id), "%s", id);
    }
    return *slot;
}

void roster_facts_each(struct roster *roster, enum record_kind kind,
                       void (*fact_cb)(void *arg, struct roster_fact *fact), void *arg)
{
    for (unsigned i = 0; i < ROSTER_BUCKETS; i++)
        for (struct roster_fact *fact = roster->buckets[i]; fact; fact = fact->next)
            if (fact->kind == kind)
                fact_cb(arg, fact);
}

void roster_facts_free(struct roster *roster)
{
    for (unsigned i = 0; i < ROSTER_BUCKETS; i++)
        while (roster->buckets[i]) {
            struct roster_fact *fact = roster->buckets[i];

            roster->buckets[i] = fact->next;
            sim_kernel_free(fact);
        }
}

static int order(const struct sight *a, const struct sight *b)
{
    if (a->version != b->version)
        return a->version > b->version ? 1 : -1;
    return strcmp(a->site, b->site);
}

/* The record is there, like this. */
static struct roster_fact *note(struct look *look, const char *id, const struct sight *sight)
{
    struct roster_fact *fact = roster_fact_of(look->roster, look->kind, id);
    struct sight *known = &fact->known[look->node->index];
    const char *table = record_type(look->kind)->table;

    if (known->version > 0 && order(sight, known) < 0)
        say(look, "%s of %s went back from version %lld of %s to %lld of %s", table, id,
            (long long)known->version, known->site, (long long)sight->version, sight->site);
    if ((order(sight, known) == 0 && sight->hash != known->hash) ||
        (order(sight, &fact->best) == 0 && sight->hash != fact->best.hash))
        say(look, "%s of %s: version %lld of %s was something else before", table, id,
            (long long)sight->version, sight->site);
    if (order(sight, &fact->best) > 0)
        fact->best = *sight;
    *known = *sight;
    fact->looks[look->node->index] = look->number;
    return fact;
}

static void walk(struct look *look, enum record_kind kind, meta_visit_fn visit_cb)
{
    struct meta_query all = {.kind = kind};

    look->kind = kind;
    if (meta_walk(look->meta, &all, 0, visit_cb, look) < 0)
        say(look, "%s cannot be read", record_type(kind)->table);
}

static void note_written(struct look *look, unsigned at, const struct sight *sight)
{
    int64_t *written = &look->roster->written[look->node->index][at];

    if (strcmp(sight->site, node_names[look->node->index]) == 0 && sight->version > *written)
        *written = sight->version;
}

/* --- pairs, groups, tags --------------------------------------------------------------------- */

static bool see_relation(void *arg, uint64_t position, const void *record)
{
    const struct replica_record *own = record;
    /* Of two that were changed while apart production's stands: the same version may change. */
    struct sight sight = {.version = (own->term << 32) + own->version};

    note(arg, own->id, &sight);
    return true;
}

static bool see_tag(void *arg, uint64_t position, const void *record)
{
    struct look *look = arg;
    const struct tag_record *tag = record;
    struct roster_fact *set = roster_fact_of(look->roster, RECORD_TAG_SET, tag->resource_id);

    if (set->tags_look != look->number)
        set->tags_hash = set->tag_count = 0;
    set->tags_look = look->number;
    set->tags_hash += mix_text(mix_text(0xcbf29ce484222325u, tag->key), tag->value); /* any order */
    set->tag_count++;
    if (set->tag_count == TAGS_MAX + 1)
        say(look, "%s has more than %d tags", tag->resource_id, TAGS_MAX);
    return true;
}

static bool is_there(struct look *look, const char *resource)
{
    bool is_group = strncmp(resource, "pg-", 3) == 0;
    struct disk_record disk;

    if (strncmp(resource, "d-", 2) == 0)
        return meta_get(look->meta, RECORD_DISK, resource, &disk) == 0;
    return roster_fact_of(look->roster, is_group ? RECORD_GROUP : RECORD_PAIR, resource)
               ->looks[look->node->index] == look->number;
}

static bool see_set(void *arg, uint64_t position, const void *record)
{
    struct look *look = arg;
    const struct tag_set_record *set = record;
    const struct roster_fact *tags = roster_fact_of(look->roster, RECORD_TAG_SET, set->id);
    struct sight sight = {.version = set->version};

    snprintf(sight.site, sizeof(sight.site), "%.15s", set->site);
    if (tags->tags_look == look->number)
        sight.hash = tags->tags_hash;
    note(look, set->id, &sight);
    note_written(look, ROSTER_KIND_COUNT, &sight);
    if (!is_there(look, set->id))
        say(look, "there are tags of %s, which is not there", set->id);
    return true;
}

/* --- users, keys, policies, attachments ------------------------------------------------------ */

static uint64_t hash_of(enum record_kind kind, const union roster_record *record)
{
    const struct access_record *access = &record->access;
    uint64_t hash = 0xcbf29ce484222325u ^ (uint64_t)access->created_s;

    hash = hash * 0x100000001b3u + access->is_deleted;
    switch (kind) {
    case RECORD_USER:
        return mix_text(mix_text(hash, record->user.uid), record->user.description);
    case RECORD_ACCESS_KEY:
        hash = hash * 0x100000001b3u + record->key.is_enabled;
        return mix_text(mix_text(hash, record->key.user), record->key.user_uid);
    case RECORD_POLICY:
        hash = mix_text(mix_text(hash, record->policy.uid), record->policy.description);
        return mix_text(hash, record->policy.document);
    default:
        hash = mix_text(mix_text(hash, record->link.user), record->link.user_uid);
        return mix_text(mix_text(hash, record->link.policy), record->link.policy_uid);
    }
}

static unsigned index_of(enum record_kind kind)
{
    return (unsigned)(kind - RECORD_USER);
}

/* With the user goes what is his. */
static bool may_end(struct look *look, const struct roster_fact *fact, const char *user)
{
    unsigned node = look->node->index;

    return fact->may_end[node] ||
           (user[0] && roster_fact_of(look->roster, RECORD_USER, user)->may_end[node]);
}

static const char *user_of(enum record_kind kind, const union roster_record *record)
{
    return kind == RECORD_ACCESS_KEY    ? record->key.user
           : kind == RECORD_POLICY_LINK ? record->link.user
                                        : "";
}

static bool see_record(void *arg, uint64_t position, const void *found)
{
    struct look *look = arg;
    const union roster_record *record = found;
    unsigned node = look->node->index;
    const char *user = user_of(look->kind, record), *table = record_type(look->kind)->table;
    struct roster_fact *fact = roster_fact_of(look->roster, look->kind, record->access.id);
    bool was_there = fact->known[node].version > 0, was_deleted = fact->known[node].is_deleted;
    bool is_key = look->kind == RECORD_ACCESS_KEY, is_end;
    struct sight sight = {.version = record->access.version,
                          .is_deleted = record->access.is_deleted,
                          .hash = hash_of(look->kind, record)};

    snprintf(sight.site, sizeof(sight.site), "%.15s", record->access.site);
    is_end = sight.is_deleted && strcmp(sight.site, node_names[node]) == 0 &&
             order(&sight, &fact->known[node]) != 0;
    note(look, record->access.id, &sight);
    note_written(look, index_of(look->kind), &sight);
    if (is_key)
        snprintf(fact->user, sizeof(fact->user), "%s", user);
    if (is_end && !may_end(look, fact, user))
        say(look, "%s of %s was deleted, and nobody asked for it", table, record->access.id);
    else if (is_end && is_key)
        fact->may_end[node] = true; /* it has one life; whoever is made under its user's name */
    if (is_key && was_deleted && !sight.is_deleted)
        say(look, "%s of %s, deleted here, lives again", table, record->access.id);
    if (!sight.is_deleted && !was_there &&
        sight.version <= look->roster->horizons[node][index_of(look->kind)])
        say(look, "%s of %s, deleted and forgotten, came back", table, record->access.id);
    return true;
}

/* --- what is missing ------------------------------------------------------------------------- */

static void miss(void *arg, struct roster_fact *fact)
{
    struct look *look = arg;
    struct sight *known = &fact->known[look->node->index];
    bool may_be = fact->kind == RECORD_PAIR || fact->kind == RECORD_GROUP;

    if (fact->kind == RECORD_TAG_SET && fact->tags_look == look->number &&
        fact->looks[look->node->index] != look->number)
        say(look, "%s has tags that nobody wrote", fact->id);
    if (known->version == 0 || fact->looks[look->node->index] == look->number)
        return;
    if (fact->kind == RECORD_TAG_SET)
        may_be = !is_there(look, fact->id);
    else if (!may_be)
        may_be = known->version <= look->horizons[index_of(fact->kind)];
    if (!may_be)
        say(look, "%s of %s, version %lld of %s%s, is lost", record_type(fact->kind)->table,
            fact->id, (long long)known->version, known->site, known->is_deleted ? ", deleted" : "");
    memset(known, 0, sizeof(*known));
}

static void see_horizons(struct look *look)
{
    for (unsigned i = 0; i < ROSTER_KIND_COUNT; i++) {
        int64_t before = look->roster->horizons[look->node->index][i];
        struct access_horizon_record horizon = {0};

        meta_get(look->meta, RECORD_ACCESS_HORIZON, record_type(kinds[i])->table, &horizon);
        look->horizons[i] = horizon.version;
        if (horizon.version > before)
            sim_trace(look->roster->run->world, look->node->site,
                      "%s up to version %lld are forgotten", record_type(kinds[i])->table,
                      (long long)horizon.version);
        if (horizon.version < before)
            say(look, "the horizon of %s went back from %lld to %lld", record_type(kinds[i])->table,
                (long long)before, (long long)horizon.version);
    }
}

/* --- doors ----------------------------------------------------------------------------------- */

static bool is_living(struct look *look, const struct roster_fact *fact)
{
    const struct sight *known = &fact->known[look->node->index];

    return known->version > 0 && !known->is_deleted;
}

static void look_at_user(void *arg, struct roster_fact *fact)
{
    struct look *look = arg;
    const char *uid = directory_user_uid(look->site->directory, fact->id);
    union roster_record record;

    if (!uid != !is_living(look, fact))
        say(look, "user %s is %s in memory", fact->id, uid ? "still there" : "missing");
    else if (uid && (meta_get(look->meta, RECORD_USER, fact->id, &record) < 0 ||
                     strcmp(uid, record.user.uid) != 0))
        say(look, "user %s in memory is that of another life", fact->id);
}

static void look_at_key(void *arg, struct roster_fact *fact)
{
    struct look *look = arg;
    struct directory_key key;
    union roster_record record;
    bool opens = directory_find_key(look->site->directory, fact->id, &key), lives;

    lives = is_living(look, fact) &&
            meta_get(look->meta, RECORD_ACCESS_KEY, fact->id, &record) == 0 &&
            roster_key_lives(look->site, &record.key);
    if (opens != lives)
        say(look, "access key %s of %s %s", fact->id, fact->user,
            opens ? "opens, and is deleted or its user is" : "does not open");
    if (!opens || !lives)
        return;
    if (key.is_enabled != record.key.is_enabled || strcmp(key.user, record.key.user) != 0)
        say(look, "access key %s is another in memory", fact->id);
    if (!fact->secret[0])
        snprintf(fact->secret, sizeof(fact->secret), "%s", key.secret);
    if (strcmp(fact->secret, key.secret) != 0)
        say(look, "access key %s has another secret", fact->id);
}

struct counting {
    struct look *look;
    const char *user, *uid;
    unsigned count;
};

static bool count_link(void *arg, uint64_t position, const void *record)
{
    struct counting *counting = arg;
    const struct policy_link_record *link = record;
    union roster_record policy;

    if (!link->access.is_deleted && strcmp(link->user_uid, counting->uid) == 0 &&
        meta_get(counting->look->meta, RECORD_POLICY, link->policy, &policy) == 0 &&
        !policy.access.is_deleted && strcmp(policy.policy.uid, link->policy_uid) == 0)
        counting->count++;
    return true;
}

static void look_at_policies(void *arg, struct roster_fact *fact)
{
    struct look *look = arg;
    struct meta_query query = {.kind = RECORD_POLICY_LINK, .field = "user", .value = fact->id};
    struct counting counting = {.look = look};
    const struct policy *const *policies;
    unsigned count;

    counting.uid = directory_user_uid(look->site->directory, fact->id);
    directory_policies(look->site->directory, fact->id, &policies, &count);
    if (counting.uid)
        meta_walk(look->meta, &query, 0, count_link, &counting);
    if (count != counting.count)
        say(look, "user %s has %u policies in memory, %u by the records", fact->id, count,
            counting.count);
}

/* --- the look -------------------------------------------------------------------------------- */

static void look_call(void *arg)
{
    struct look *look = arg;
    struct roster *roster = look->roster;

    if (look->meta->is_in_transaction)
        return;
    look->number = roster->last_look[look->node->index] = ++roster->look_count;
    see_horizons(look);
    walk(look, RECORD_PAIR, see_relation);
    walk(look, RECORD_GROUP, see_relation);
    walk(look, RECORD_TAG, see_tag);
    walk(look, RECORD_TAG_SET, see_set);
    for (unsigned i = 0; i < ROSTER_KIND_COUNT; i++) {
        walk(look, kinds[i], see_record);
        roster_facts_each(roster, kinds[i], miss, look);
    }
    roster_facts_each(roster, RECORD_TAG_SET, miss, look);
    roster_facts_each(roster, RECORD_PAIR, miss, look);
    roster_facts_each(roster, RECORD_GROUP, miss, look);
    roster_look_at_quota(roster, look->node, look->site, look->what, sizeof(look->what));
    memcpy(roster->horizons[look->node->index], look->horizons, sizeof(look->horizons));
    if (look->what[0] || !look->site || !look->site->is_ready || look->site->is_stopping)
        return;
    roster_facts_each(roster, RECORD_USER, look_at_user, look);
    roster_facts_each(roster, RECORD_ACCESS_KEY, look_at_key, look);
    roster_facts_each(roster, RECORD_USER, look_at_policies, look);
}

void roster_look(struct roster *roster, struct node *node, enum roster_look how)
{
    struct look look = {.roster = roster, .node = node};

    if (!node->engine || !node->whole->meta)
        return;
    look.meta = node->whole->meta;
    if (how != ROSTER_BOOTING)
        look.site = control_site(node->whole->control);
    if (how == ROSTER_INSIDE)
        look_call(&look);
    else
        sim_site_call(node->site, look_call, &look);
    if (look.what[0])
        roster_fail(node, "%s", look.what);
}

/* --- both ------------------------------------------------------------------------------------ */

struct comparing {
    struct roster *roster;
    char *what;
    size_t size;
};

static void describe(const struct sight *sight, char *ret_text, size_t size)
{
    if (sight->version == 0)
        snprintf(ret_text, size, "none");
    else
        snprintf(ret_text, size, "version %lld of %s%s", (long long)sight->version, sight->site,
                 sight->is_deleted ? ", deleted" : "");
}

static void compare(void *arg, struct roster_fact *fact)
{
    struct comparing *comparing = arg;
    const struct sight *a = &fact->known[0], *b = &fact->known[1];
    bool is_a = a->version > 0 && !a->is_deleted, is_b = b->version > 0 && !b->is_deleted;
    bool are_both = a->version > 0 && b->version > 0;
    char texts[RUN_NODES][60];

    if (comparing->what[0] || (is_a == is_b && (!are_both || order(a, b) == 0)))
        return;
    for (unsigned i = 0; i < RUN_NODES; i++)
        describe(&fact->known[i], texts[i], sizeof(texts[i]));
    snprintf(comparing->what, comparing->size, "%s of %s differ: paris: %s, lyon: %s",
             record_type(fact->kind)->table, fact->id, texts[0], texts[1]);
}

/* Of what both sites know. */
static void compare_set(void *arg, struct roster_fact *fact)
{
    struct comparing *comparing = arg;
    bool is_group = strncmp(fact->id, "pg-", 3) == 0;
    const struct roster_fact *resource;

    if (strncmp(fact->id, "d-", 2) == 0)
        return;
    resource = roster_fact_of(comparing->roster, is_group ? RECORD_GROUP : RECORD_PAIR, fact->id);
    if (resource->known[0].version > 0 && resource->known[1].version > 0)
        compare(arg, fact);
}

void roster_compare(struct roster *roster, char *ret_what, size_t size)
{
    struct comparing comparing = {.roster = roster, .what = ret_what, .size = size};

    ret_what[0] = '\0';
    for (unsigned i = 0; i < ROSTER_KIND_COUNT; i++)
        roster_facts_each(roster, kinds[i], compare, &comparing);
    roster_facts_each(roster, RECORD_TAG_SET, compare_set, &comparing);
}
