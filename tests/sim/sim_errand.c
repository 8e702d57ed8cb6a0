/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: an answer must be true in the moment in which it is given. What was done stands in the
 * records as it was asked for; a refusal has its reason there, and has changed nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "control/control.h"
#include "control/roster.h"
#include "control/tag.h"
#include "sim_alloc.h"
#include "sim_client.h"
#include "sim_registrar.h"
#include "sim_whole.h"

enum { KEYS_OF_USER_MAX = 5 };

static struct site *site_of(const struct errand *errand)
{
    return control_site(errand->node->whole->control);
}

static bool lives(const struct errand *errand, enum record_kind kind, const char *id,
                  union roster_record *record)
{
    return roster_get(site_of(errand), kind, id, record) == 0;
}

static void link_of(const struct errand *errand, char *ret_id, size_t size)
{
    snprintf(ret_id, size, "%s/%s", errand->user, errand->policy);
}

static bool is_attached(const struct errand *errand)
{
    union roster_record user, policy, link;
    char id[40];

    link_of(errand, id, sizeof(id));
    return lives(errand, RECORD_USER, errand->user, &user) &&
           lives(errand, RECORD_POLICY, errand->policy, &policy) &&
           lives(errand, RECORD_POLICY_LINK, id, &link) &&
           strcmp(link.link.user_uid, user.user.uid) == 0 &&
           strcmp(link.link.policy_uid, policy.policy.uid) == 0;
}

void errand_document(const struct errand *errand, char *ret_text, size_t size)
{
    snprintf(ret_text, size,
             "{\"Version\":\"1\",\"Statement\":[{\"Effect\":\"%s\",\"Action\":\"verso:ListUsers\","
             "\"Resource\":\"*\",\"Sid\":\"%s\"}]}",
             errand->flag ? "Deny" : "Allow", errand->text);
}

void errand_tag(const struct errand *errand, unsigned nth, char ret_key[16], char ret_value[16])
{
    snprintf(ret_key, 16, "tag%u", (errand->tag + nth) % TAGS_MAX + 5);
    snprintf(ret_value, 16, "%s", errand->text);
}

/* --- what was done --------------------------------------------------------------------------- */

struct belongings {
    const struct errand *errand;
    unsigned count;
};

static bool count_living(void *arg, uint64_t position, const void *record)
{
    const struct access_record *access = record;
    struct belongings *belongings = arg;

    belongings->count += !access->is_deleted;
    return true;
}

static bool count_his(void *arg, uint64_t position, const void *record)
{
    struct belongings *belongings = arg;

    belongings->count += roster_key_lives(site_of(belongings->errand), record);
    return true;
}

static unsigned count_of(const struct errand *errand, enum record_kind kind, meta_visit_fn visit_cb)
{
    struct meta_query query = {.kind = kind, .field = "user", .value = errand->user};
    struct belongings belongings = {.errand = errand};

    meta_walk(errand->node->whole->meta, &query, 0, visit_cb, &belongings);
    return belongings.count;
}

static const char *judge_user(const struct errand *errand)
{
    union roster_record user;
    bool is_there = lives(errand, RECORD_USER, errand->user, &user);

    if (errand->kind == ERRAND_CREATE_USER)
        return is_there ? NULL : "he is not there";
    if (is_there)
        return "he is still there";
    if (count_of(errand, RECORD_ACCESS_KEY, count_living) > 0)
        return "he left keys";
    return count_of(errand, RECORD_POLICY_LINK, count_living) > 0 ? "policies are attached to him"
                                                                  : NULL;
}

/* The id and the secret are in this answer alone. */
static const char *judge_new_key(struct errand *errand, const char *reply)
{
    struct registrar *registrar = errand->registrar;
    const void *before = sim_outside_begin();
    json_t *tree = json_loads(reply, 0, NULL), *shown = json_object_get(tree, "AccessKey");
    union roster_record record;
    struct roster_fact *fact;

    snprintf(errand->key, sizeof(errand->key), "%s",
             json_string_value(json_object_get(shown, "AccessKeyId")));
    fact = roster_fact_of(&registrar->roster, RECORD_ACCESS_KEY, errand->key);
    snprintf(fact->secret, sizeof(fact->secret), "%s",
             json_string_value(json_object_get(shown, "AccessKeySecret")));
    json_decref(tree);
    sim_outside_end(before);
    if (registrar->key_count < REGISTRAR_KEYS_MAX)
        snprintf(registrar->keys[registrar->key_count++], sizeof(registrar->keys[0]), "%s",
                 errand->key);
    if (!lives(errand, RECORD_ACCESS_KEY, errand->key, &record) || !record.key.is_enabled ||
        strcmp(record.key.user, errand->user) != 0)
        return "the key is not there";
    return count_of(errand, RECORD_ACCESS_KEY, count_his) > KEYS_OF_USER_MAX ? "he has too many"
                                                                             : NULL;
}

static const char *judge_key(const struct errand *errand)
{
    union roster_record record;
    bool is_there = lives(errand, RECORD_ACCESS_KEY, errand->key, &record);

    if (errand->kind == ERRAND_DELETE_KEY)
        return is_there ? "it is still there" : NULL;
    if (!is_there)
        return "it is not there";
    return record.key.is_enabled == errand->flag ? NULL : "it is not changed";
}

static const char *judge_policy(const struct errand *errand)
{
    char document[CLIENT_TEXT_SIZE];
    union roster_record record;
    bool is_there = lives(errand, RECORD_POLICY, errand->policy, &record);

    if (errand->kind == ERRAND_DELETE_POLICY)
        return is_there ? "it is still there" : NULL;
    errand_document(errand, document, sizeof(document));
    if (!is_there)
        return "it is not there";
    return strcmp(record.policy.document, document) == 0 ? NULL : "it says something else";
}

/* Where no other errand came between. */
static const char *judge_tags(const struct errand *errand)
{
    char id[80], key[16], value[16];
    struct tag_record tag;

    for (unsigned i = 0; i < errand->tag_count; i++) {
        bool is_there;

        errand_tag(errand, i, key, value);
        snprintf(id, sizeof(id), "%s/%s", errand->resource, key);
        is_there = meta_get(errand->node->whole->meta, RECORD_TAG, id, &tag) == 0;
        if (errand->kind == ERRAND_UNTAG && is_there)
            return "a tag is still there";
        if (errand->kind == ERRAND_TAG && (!is_there || strcmp(tag.value, value) != 0))
            return "a tag is not there";
    }
    return NULL;
}

static const char *judge_done(struct errand *errand, const char *reply, bool is_alone)
{
    switch (errand->kind) {
    case ERRAND_CREATE_USER:
    case ERRAND_DELETE_USER:
        return judge_user(errand);
    case ERRAND_CREATE_KEY:
        return judge_new_key(errand, reply);
    case ERRAND_UPDATE_KEY:
    case ERRAND_DELETE_KEY:
        return judge_key(errand);
    case ERRAND_CREATE_POLICY:
    case ERRAND_PUT_POLICY:
    case ERRAND_DELETE_POLICY:
        return judge_policy(errand);
    case ERRAND_ATTACH:
        return is_attached(errand) ? NULL : "it is not attached";
    case ERRAND_DETACH:
        return is_attached(errand) ? "it is still attached" : NULL;
    case ERRAND_TAG:
    case ERRAND_UNTAG:
        /* A second answer may be the first one's, by its token. */
        return is_alone && !errand->is_elsewhere && errand->attempts == 1 ? judge_tags(errand)
                                                                          : NULL;
    default:
        return NULL;
    }
}

/* --- what was refused ------------------------------------------------------------------------ */

/* NULL: the records bear the reason out, or say nothing about it. */
static const char *judge_reason(const struct errand *errand, const char *code)
{
    union roster_record record;

    if (strcmp(code, "EntityNotExist.User") == 0)
        return lives(errand, RECORD_USER, errand->user, &record) ? "he is there" : NULL;
    if (strcmp(code, "EntityAlreadyExists.User") == 0)
        return lives(errand, RECORD_USER, errand->user, &record) ? NULL : "he is not there";
    if (strcmp(code, "EntityNotExist.User.AccessKey") == 0)
        return lives(errand, RECORD_ACCESS_KEY, errand->key, &record) ? "it is there" : NULL;
    if (strcmp(code, "EntityNotExist.Policy") == 0)
        return lives(errand, RECORD_POLICY, errand->policy, &record) ? "it is there" : NULL;
    if (strcmp(code, "EntityAlreadyExists.Policy") == 0)
        return lives(errand, RECORD_POLICY, errand->policy, &record) ? NULL : "it is not there";
    if (strcmp(code, "EntityAlreadyExists.User.Policy") == 0)
        return is_attached(errand) ? NULL : "it is not attached";
    if (strcmp(code, "EntityNotExist.User.Policy") == 0)
        return is_attached(errand) ? "it is attached" : NULL;
    if (strcmp(code, "LimitExceeded.User.AccessKey") == 0)
        return count_of(errand, RECORD_ACCESS_KEY, count_his) < KEYS_OF_USER_MAX ? "he has fewer"
                                                                                 : NULL;
    return NULL;
}

/* What this site wrote since it was asked. */
static const char *judge_traces(const struct errand *errand)
{
    const int64_t *written = errand->registrar->roster.written[errand->node->index];

    const struct registrar *registrar = errand->registrar;
    bool are_tags_own = errand->is_settled && errand->abroad_count == registrar->abroad_count;
    unsigned kinds = are_tags_own ? ROSTER_KIND_COUNT + 1 : ROSTER_KIND_COUNT;

    for (unsigned i = 0; i < kinds; i++) {
        if (written[i] > errand->written[i])
            return "something was changed";
    }
    return NULL;
}

/* What it makes or ends there; NULL: nothing that can end. */
static struct roster_fact *subject_of(const struct errand *errand)
{
    struct roster *roster = &errand->registrar->roster;
    char id[40];

    switch (errand->kind) {
    case ERRAND_CREATE_USER:
    case ERRAND_DELETE_USER:
        return roster_fact_of(roster, RECORD_USER, errand->user);
    case ERRAND_DELETE_KEY:
        return roster_fact_of(roster, RECORD_ACCESS_KEY, errand->key);
    case ERRAND_CREATE_POLICY:
    case ERRAND_PUT_POLICY:
    case ERRAND_DELETE_POLICY:
        return roster_fact_of(roster, RECORD_POLICY, errand->policy);
    case ERRAND_ATTACH:
    case ERRAND_DETACH:
        link_of(errand, id, sizeof(id));
        return roster_fact_of(roster, RECORD_POLICY_LINK, id);
    default:
        return NULL;
    }
}

static bool is_end(enum errand_kind kind)
{
    return kind == ERRAND_DELETE_USER || kind == ERRAND_DELETE_KEY ||
           kind == ERRAND_DELETE_POLICY || kind == ERRAND_DETACH;
}

/* --- an attempt ------------------------------------------------------------------------------ */

void errand_asked(void *arg)
{
    struct errand *errand = arg;
    struct registrar *registrar = errand->registrar;
    unsigned node = errand->node->index;

    /* All that was written before it is known: what follows is its own. */
    errand->is_alone = registrar->desks[node].under_way == 0;
    if (errand->is_alone)
        roster_look(&registrar->roster, errand->node, ROSTER_INSIDE);
    if (is_end(errand->kind))
        subject_of(errand)->may_end[node] = true;
    errand->attempts++;
    errand->is_settled = registrar->abroad == 0;
    errand->abroad_count = registrar->abroad_count;
    errand->serial = ++registrar->desks[node].serial;
    registrar->desks[node].under_way++;
    memcpy(errand->written, registrar->roster.written[node], sizeof(errand->written));
}

void errand_seen(void *arg, unsigned status, const char *reply)
{
    struct errand *errand = arg;
    struct registrar *registrar = errand->registrar;
    unsigned node = errand->node->index;
    bool is_alone = errand->is_alone && errand->serial == registrar->desks[node].serial;
    const char *why = NULL;
    char code[60];

    if (registrar->desks[node].under_way > 0)
        registrar->desks[node].under_way--;
    client_text(reply, "Code", code, sizeof(code));
    if (status == 200) {
        why = judge_done(errand, reply, is_alone);
        registrar->run->figures.registered++;
    } else if (status < 500) {
        why = judge_reason(errand, code);
    }
    roster_look(&registrar->roster, errand->node, ROSTER_INSIDE);
    if (status == 200 && !is_end(errand->kind) && subject_of(errand) &&
        registrar->desks[node].under_way == 0)
        subject_of(errand)->may_end[node] = false; /* a life of which nobody asked the end yet */
    if (!why && status >= 400 && status < 500 && is_alone && !errand->is_elsewhere)
        why = judge_traces(errand);
    if (why)
        roster_fail(errand->node, "errand %u for %s%s%s%s was answered %u %s, and %s", errand->kind,
                    errand->user, errand->policy, errand->key, errand->resource, status, code, why);
}
