/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: when all is quiet, what the sites tell, what their records hold and what their engines do
 * must be one truth.
 *
 *   records    both sites have the same pairs and groups, field by field, but for what one of them
 *              forgot (sim_forget.h)
 *   Describe   both say the same of them
 *   engine     a stream is there exactly when the record says so, in the role that the record's
 *              state and direction mean; it is started exactly when it should be
 *   writers    no disk of a pair is open at both sites (I8)
 *   sizes      a disk has what its record says, no less than what was answered, and the target's
 *              of a pair no less than the source's
 *   files      no stream and no disk lies on the disk that no record names
 *   tokens     nobody remembers to have done what was answered with RequestTimeout
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "control/jobs.h"
#include "control/relation.h"
#include "control/sync.h"
#include "control/tree.h"
#include "daemon/wing.h"
#include "io/file.h"
#include "sim_alloc.h"
#include "sim_client.h"
#include "sim_fate.h"
#include "sim_forget.h"
#include "sim_town.h"
#include "sim_whole.h"

/* A question to a site, asked as the site. */
struct question {
    struct node *node;
    const char *id;
    bool is_known, is_attached;
    enum replica_state state;
    char *what;
    size_t size;
};

static bool is_up(const struct node *node)
{
    return node->engine && node->whole && node->whole->is_up;
}

static struct site *records_of(const struct node *node)
{
    return control_site(node->whole->control);
}

static void state_call(void *arg)
{
    struct question *question = arg;
    struct relation relation;

    question->is_known = relation_load(records_of(question->node), question->id, &relation) == 0;
    if (question->is_known)
        question->state = relation_ruler(&relation)->status;
}

bool audit_state(struct node *node, const char *id, enum replica_state *ret_state)
{
    struct question question = {.node = node, .id = id};

    if (!is_up(node) || !sim_site_call(node->site, state_call, &question))
        return false;
    *ret_state = question.state;
    return question.is_known;
}

static void disk_call(void *arg)
{
    struct question *question = arg;
    struct disk_record disk;

    question->is_known =
        meta_get(records_of(question->node)->meta, RECORD_DISK, question->id, &disk) == 0;
    question->is_attached = question->is_known && disk.status != DISK_AVAILABLE;
}

bool audit_is_attached(struct node *node, const char *disk, bool *ret_is_known)
{
    struct question question = {.node = node, .id = disk};

    *ret_is_known =
        is_up(node) && sim_site_call(node->site, disk_call, &question) && question.is_known;
    return *ret_is_known && question.is_attached;
}

/* --- unrest ---------------------------------------------------------------------------------- */

static void say(struct question *question, const char *id, const char *text)
{
    size_t length = strlen(question->what);

    if (length + 1 < question->size)
        snprintf(question->what + length, question->size - length, "%s%s %s", length ? "; " : "",
                 id, text);
}

static void each_record(struct question *question, enum record_kind kind,
                        void (*record_cb)(struct question *question, const void *record))
{
    void *records = NULL;
    unsigned count = 0;

    if (meta_list(records_of(question->node)->meta, kind, NULL, NULL, &records, &count) < 0)
        say(question, record_type(kind)->table, "cannot be read");
    for (unsigned i = 0; i < count; i++)
        record_cb(question, (const char *)records + (size_t)i * record_type(kind)->size);
    free(records);
}

static void unrest_job(struct question *question, const void *record)
{
    const struct job_record *job = record;
    char text[60 + sizeof(job->trouble)];

    snprintf(text, sizeof(text), "job, attempt %d: %s", (int)job->attempt_count, job->trouble);
    say(question, job->id, text);
}

static void unrest_relation(struct question *question, const void *record)
{
    const struct replica_record *relation = record;

    if (replica_state_is_transient(relation->status))
        say(question, relation->id, replica_state_name(relation->status));
}

static void unrest_disk(struct question *question, const void *record)
{
    const struct disk_record *disk = record;

    if (disk->status != DISK_AVAILABLE && disk->status != DISK_IN_USE)
        say(question, disk->id, disk_state_name(disk->status));
}

static void unrest_tombstone(struct question *question, const void *record)
{
    const struct tombstone_record *tombstone = record;

    if (!tombstone->is_acked)
        say(question, tombstone->id, "deleted, and the peer does not know");
}

static void unrest_call(void *arg)
{
    struct question *question = arg;
    struct site *site = records_of(question->node);

    each_record(question, RECORD_JOB, unrest_job);
    each_record(question, RECORD_GROUP, unrest_relation);
    each_record(question, RECORD_PAIR, unrest_relation);
    each_record(question, RECORD_DISK, unrest_disk);
    each_record(question, RECORD_TOMBSTONE, unrest_tombstone);
    if (!site->peers[0].is_up)
        say(question, site->peers[0].name, "is down");
}

void audit_unrest(struct node *node, char *ret_what, size_t size)
{
    struct question question = {.node = node, .what = ret_what, .size = size};

    ret_what[0] = '\0';
    if (sim_site_is_paused(node->site)) /* it owes what it has heard already */
        snprintf(ret_what, size, "it stands still");
    else if (!is_up(node) || !sim_site_call(node->site, unrest_call, &question) || !is_up(node))
        snprintf(ret_what, size, "it is down");
}

static void untold_call(void *arg)
{
    struct question *question = arg;

    if (!sync_is_told(records_of(question->node)))
        say(question, sim_site_name(question->node->site), "has not told all its records");
}

void audit_untold(struct sim_run *run, char *ret_what, size_t size)
{
    ret_what[0] = '\0';
    for (unsigned i = 0; i < RUN_NODES && ret_what[0] == '\0'; i++) {
        struct question question = {.node = &run->nodes[i], .what = ret_what, .size = size};

        if (!is_up(question.node) || !sim_site_call(question.node->site, untold_call, &question))
            snprintf(ret_what, size, "it is down");
    }
}

/* --- troubles -------------------------------------------------------------------------------- */

static void first_trouble(struct question *question, const void *record)
{
    const struct replica_record *relation = record;
    struct engine_stream_status status;

    if (question->what[0] == '\0' &&
        engine_stream_status(question->node->engine, relation->id, &status))
        snprintf(question->what, question->size, "%s", status.trouble);
}

static void first_trouble_call(void *arg)
{
    struct question *question = arg;

    each_record(question, RECORD_GROUP, first_trouble);
    each_record(question, RECORD_PAIR, first_trouble);
}

void audit_trouble(struct node *node, char *ret_what, size_t size)
{
    struct question question = {.node = node, .what = ret_what, .size = size};

    ret_what[0] = '\0';
    if (is_up(node))
        sim_site_call(node->site, first_trouble_call, &question);
}

/* --- what rot keeps -------------------------------------------------------------------------- */

/* As DescribeVersoStatus tells it. */
static void trouble_relation(struct question *question, const void *record)
{
    const struct replica_record *relation = record;
    struct site *site = records_of(question->node);
    const struct data_stream_status *stream = site_stream(site, relation->id);

    say(question, relation->id,
        stream && stream->trouble[0] ? stream->trouble : site_trouble(site, relation->id));
}

/* The files of a relation that goes on go as well: of a group whose last pair leaves it. */
static bool is_dropping(const struct question *question, const char *id)
{
    char job[RECORD_ID_SIZE + 8];

    snprintf(job, sizeof(job), "drop/%s/", id);
    return strstr(question->node->run->town->unrest, job) != NULL;
}

static void kept_relation(struct question *question, const void *record)
{
    const struct replica_record *relation = record;

    if (relation->status == REPLICA_DELETE_FAILED || relation->status == REPLICA_DELETING ||
        relation->status == REPLICA_FAILOVER_FAILED || relation->status == REPLICA_FAILOVERING ||
        is_dropping(question, relation->id))
        trouble_relation(question, record);
}

static void kept_call(void *arg)
{
    struct question *question = arg;

    each_record(question, RECORD_GROUP, kept_relation);
    each_record(question, RECORD_PAIR, kept_relation);
}

bool audit_is_kept_by_rot(struct node *node)
{
    char why[300] = "";
    struct question question = {.node = node, .what = why, .size = sizeof(why)};

    return fate_is_rotten(node) && is_up(node) && sim_site_call(node->site, kept_call, &question) &&
           fate_refuses(node, why);
}

static void trouble_call(void *arg)
{
    struct question *question = arg;

    each_record(question, RECORD_GROUP, trouble_relation);
    each_record(question, RECORD_PAIR, trouble_relation);
}

/* Does a site whose files rotted say so of one of its relations? */
static bool is_rot_told(struct node *node)
{
    char why[4000] = "";
    struct question question = {.node = node, .what = why, .size = sizeof(why)};

    return fate_is_rotten(node) && is_up(node) &&
           sim_site_call(node->site, trouble_call, &question) && fate_is_told(node, why);
}

/* --- records --------------------------------------------------------------------------------- */

struct ledger {
    struct question question; /* first */
    json_t *records;
    char *text; /* the harness's */
};

static void ledger_add(struct ledger *ledger, enum record_kind kind, const void *record)
{
    json_t *tree = tree_from_record(kind, record);

    json_object_del(tree, "last_point_s"); /* the newest point that each site has seen */
    tree_set(ledger->records, record, tree);
}

static void ledger_pair(struct question *question, const void *record)
{
    ledger_add((struct ledger *)question, RECORD_PAIR, record);
}

static void ledger_group(struct question *question, const void *record)
{
    ledger_add((struct ledger *)question, RECORD_GROUP, record);
}

static void ledger_call(void *arg)
{
    struct ledger *ledger = arg;
    char *text;

    ledger->records = json_object();
    check(ledger->records);
    each_record(&ledger->question, RECORD_PAIR, ledger_pair);
    each_record(&ledger->question, RECORD_GROUP, ledger_group);
    text = json_dumps(ledger->records, JSON_SORT_KEYS);
    check(text);
    ledger->text = sim_kernel_text(text);
    free(text);
    json_decref(ledger->records);
}

/* Where two texts part, with what stands around it. */
static void judge_equal(struct sim_run *run, const char *what, const char *paris, const char *lyon)
{
    size_t at = 0, from;

    while (paris[at] && paris[at] == lyon[at])
        at++;
    if (!paris[at] && !lyon[at])
        return;
    from = at > 160 ? at - 160 : 0;
    run_fail(run, NULL, "at rest %s differ: paris: ...%.240s... lyon: ...%.240s...", what,
             paris + from, lyon + from);
}

/* What only one site has lawfully. */
static void take_out(struct sim_run *run, struct ledger *ledgers)
{
    const void *before = sim_outside_begin();
    json_t *records[RUN_NODES];

    for (unsigned i = 0; i < RUN_NODES; i++) {
        records[i] = json_loads(ledgers[i].text, 0, NULL);
        check(records[i]);
        sim_kernel_free(ledgers[i].text);
    }
    forget_take_out(run, records);
    for (unsigned i = 0; i < RUN_NODES; i++) {
        char *text = json_dumps(records[i], JSON_SORT_KEYS);

        ledgers[i].text = sim_kernel_text(text);
        free(text);
        json_decref(records[i]);
    }
    sim_outside_end(before);
}

static void audit_records(struct sim_run *run)
{
    struct ledger ledgers[RUN_NODES] = {{.question = {0}}};

    for (unsigned i = 0; i < RUN_NODES; i++) {
        char what[100] = "";
        ledgers[i].question =
            (struct question){.node = &run->nodes[i], .what = what, .size = sizeof(what)};
        check(sim_site_call(run->nodes[i].site, ledger_call, &ledgers[i]));
    }
    take_out(run, ledgers);
    judge_equal(run, "the records", ledgers[0].text, ledgers[1].text);
    for (unsigned i = 0; i < RUN_NODES; i++)
        sim_kernel_free(ledgers[i].text);
}

/* --- Describe -------------------------------------------------------------------------------- */

struct telling {
    const struct sim_run *run;
    char *text;
    bool hides_ages; /* wall clocks jumped, or one site has no stream any more, and says why */
};

static void hide_age(json_t *item)
{
    enum replica_state state;

    if (replica_state_parse(tree_text(item, "Status"), &state) && replica_state_is_active(state))
        tree_set_text(item, "Status", "active");
}

/* Pairs of a group that only this site has in it. */
static void hide_members(const struct sim_run *run, json_t *item)
{
    json_t *ids = json_object_get(item, "PairIds");

    for (size_t i = json_array_size(ids); i > 0; i--) {
        if (forget_is_one_sided(run, json_string_value(json_array_get(ids, i - 1))))
            json_array_remove(ids, i - 1);
    }
    if (ids)
        tree_set_int(item, "PairNumber", (int64_t)json_array_size(ids));
}

static void told(void *arg, unsigned status, const char *reply)
{
    struct telling *telling = arg;
    const void *before = sim_outside_begin();
    json_t *tree = json_loads(reply, 0, NULL), *all = json_object(), *item;
    const char *lists[] = {"ReplicaPairs", "ReplicaGroups"};
    char *text;
    size_t index;

    for (unsigned i = 0; i < ARRAY_COUNT(lists); i++) {
        json_array_foreach(json_object_get(tree, lists[i]), index, item)
        {
            const char *pair = tree_text(item, "ReplicaPairId");
            const char *id = pair[0] ? pair : tree_text(item, "ReplicaGroupId");
            if (forget_is_one_sided(telling->run, id))
                continue;
            hide_members(telling->run, item);
            json_object_del(item, "Site");
            json_object_del(item, "LastRecoverPoint");
            if (telling->hides_ages) /* the age of a point is a matter of both clocks */
                hide_age(item);
            json_object_set(all, id, item);
        }
    }
    text = json_dumps(all, JSON_SORT_KEYS);
    telling->text = sim_kernel_text(status == 200 ? text : reply);
    free(text);
    json_decref(all);
    json_decref(tree);
    sim_outside_end(before);
}

static bool both_told(void *arg)
{
    struct telling *tellings = arg;

    return tellings[0].text && tellings[1].text;
}

static void audit_describe(struct sim_run *run, const char *action)
{
    struct telling tellings[RUN_NODES] = {{0}};

    bool hides_ages =
        run->figures.jumps > 0 || is_rot_told(&run->nodes[0]) || is_rot_told(&run->nodes[1]);

    for (unsigned i = 0; i < RUN_NODES; i++) {
        tellings[i].hides_ages = hides_ages;
        tellings[i].run = run;
        struct client_order order = {.action = action,
                                     .pairs = {"RegionId", node_names[i], "MaxResults", "500"},
                                     .done_cb = told,
                                     .arg = &tellings[i]};
        client_ask(&run->nodes[i], &order);
    }
    if (!sim_world_run_for(run->world, both_told, tellings,
                           sim_now_ns(run->world) + 30 * SIM_SECOND)) {
        client_end_all(run);
        run_fail(run, NULL, "%s: no answer", action);
    } else {
        judge_equal(run, action, tellings[0].text, tellings[1].text);
    }
    for (unsigned i = 0; i < RUN_NODES; i++)
        sim_kernel_free(tellings[i].text);
}

/* --- sizes ----------------------------------------------------------------------------------- */

static void size_disk(struct question *question, const void *record)
{
    const struct disk_record *disk = record;
    const struct node *node = question->node;
    const struct volume *volume = engine_disk_volume(node->engine, disk->id);
    uint64_t bytes = (uint64_t)disk->size_bytes;
    char text[120];

    if (bytes < clerk_disk_bytes(node, disk->id))
        say(question, disk->id, "has shrunk");
    if (!volume || volume_size_bytes(volume) == bytes)
        return;
    snprintf(text, sizeof(text), "has %llu bytes, its record says %llu",
             (unsigned long long)volume_size_bytes(volume), (unsigned long long)bytes);
    say(question, disk->id, text);
}

/* One end of a pair. */
struct end {
    struct node *node;
    const char *pair;
    enum stream_role role; /* STREAM_ROLE_COUNT: it has no stream */
    int64_t bytes;
};

static void end_call(void *arg)
{
    struct end *end = arg;
    struct site *site = records_of(end->node);
    struct relation relation;
    struct engine_stream_status status;
    struct disk_record disk;

    end->role = STREAM_ROLE_COUNT;
    if (relation_load(site, end->pair, &relation) < 0 ||
        meta_get(site->meta, RECORD_DISK, relation_disk(site, &relation.pair), &disk) < 0 ||
        !engine_stream_status(end->node->engine, relation_ruler(&relation)->id, &status))
        return;
    end->role = status.role;
    end->bytes = disk.size_bytes;
}

/* Of a pair that both know: a growth that was cut short leaves the larger one at the target. */
static void audit_ends(struct sim_run *run, const char *pair)
{
    struct end ends[RUN_NODES];

    for (unsigned i = 0; i < RUN_NODES; i++) {
        ends[i] = (struct end){.node = &run->nodes[i], .pair = pair};
        check(sim_site_call(run->nodes[i].site, end_call, &ends[i]));
    }
    for (unsigned i = 0; i < RUN_NODES; i++) {
        const struct end *source = &ends[i], *target = &ends[1 - i];
        if (source->role == STREAM_ROLE_SOURCE && target->role == STREAM_ROLE_TARGET &&
            source->bytes > target->bytes)
            run_fail(run, source->node, "at rest the disk of %s has %lld bytes, its copy %lld",
                     pair, (long long)source->bytes, (long long)target->bytes);
    }
}

/* --- engine ---------------------------------------------------------------------------------- */

/* Which role its stream should have here, by the record at rest. */
static bool is_role(const struct site *site, const struct relation *relation,
                    const struct engine_stream_status *status)
{
    bool is_source = relation_is_source(site, relation);
    enum replica_state state = relation_ruler(relation)->status;

    if (state == REPLICA_REPROTECT_FAILED) /* the engines end by themselves what they began */
        return true;
    if (state == REPLICA_FAILOVERED)
        return is_source ? status->role == STREAM_ROLE_FENCED || status->role == STREAM_ROLE_SOURCE
                         : status->role == STREAM_ROLE_PROMOTED;
    if (state == REPLICA_INVALID || state == REPLICA_FAILOVER_FAILED)
        return true;
    return status->role == (is_source ? STREAM_ROLE_SOURCE : STREAM_ROLE_TARGET);
}

static void engine_relation(struct question *question, const void *record)
{
    const struct replica_record *own = record;
    struct site *site = records_of(question->node);
    struct engine_stream_status status;
    struct relation relation;
    bool is_open = engine_stream_status(question->node->engine, own->id, &status);
    char text[160];

    check(relation_load(site, own->id, &relation) == 0);
    if (!is_open && fate_is_told(question->node, site_trouble(site, own->id)))
        return; /* damaged: it was left out at the start */
    if (is_open != (own->opened_serial != 0)) {
        say(question, own->id, is_open ? "is open, no record says so" : "is not open");
        return;
    }
    if (!is_open)
        return;
    if (own->opened_serial != own->stream_serial)
        say(question, own->id, "an old stream is still there");
    if (!is_role(site, &relation, &status)) {
        snprintf(text, sizeof(text), "is %s %s, its stream is %s", replica_state_name(own->status),
                 relation_is_source(site, &relation) ? "at the source" : "at the target",
                 node_role_name(status.role));
        say(question, own->id, text);
    }
    /* A failover, a stop that failed leave the source as it was. */
    if (status.role == STREAM_ROLE_SOURCE && own->status != REPLICA_MANUAL_SYNCING &&
        own->status != REPLICA_STOP_FAILED && own->status != REPLICA_FAILOVERED &&
        own->status != REPLICA_FAILOVER_FAILED && own->status != REPLICA_REPROTECT_FAILED &&
        status.is_started != replica_state_is_active(own->status)) {
        snprintf(text, sizeof(text), "is %s, its stream is %s", replica_state_name(own->status),
                 status.is_started ? "started" : "stopped");
        say(question, own->id, text);
    }
}

static void found_stream(void *arg, const char *name)
{
    struct question *question = arg;
    struct relation relation;

    if (relation_load(records_of(question->node), name, &relation) < 0 ||
        relation_own(&relation)->opened_serial == 0)
        say(question, name, "lies in /data/streams, and no record says so");
}

static void found_disk(void *arg, const char *name)
{
    struct question *question = arg;
    struct disk_record disk;
    char id[80];

    snprintf(id, sizeof(id), "%.*s", (int)strcspn(name, "."), name);
    if (meta_get(records_of(question->node)->meta, RECORD_DISK, id, &disk) < 0)
        say(question, name, "lies in /data/disks, and no record names it");
}

static void engine_call_(void *arg)
{
    struct question *question = arg;
    struct loop *loop = sim_site_loop(question->node->site);

    each_record(question, RECORD_GROUP, engine_relation);
    each_record(question, RECORD_PAIR, engine_relation);
    each_record(question, RECORD_DISK, size_disk);
    io_dir_list(loop, "/data/streams", found_stream, question);
    io_dir_list(loop, "/data/disks", found_disk, question);
}

static void audit_engine(struct sim_run *run)
{
    for (unsigned i = 0; i < RUN_NODES && !run->has_failed; i++) {
        char what[500] = "";
        struct question question = {.node = &run->nodes[i], .what = what, .size = sizeof(what)};
        check(sim_site_call(run->nodes[i].site, engine_call_, &question));
        if (what[0])
            run_fail(run, &run->nodes[i], "at rest: %s", what);
    }
}

/* --- writers --------------------------------------------------------------------------------- */

struct writer {
    struct node *node;
    const char *stream, *disk;
    bool may_write; /* as a disk of the stream */
};

static void writer_call(void *arg)
{
    struct writer *writer = arg;
    struct engine_stream_status status;
    const char *why;

    writer->may_write = engine_stream_status(writer->node->engine, writer->stream, &status) &&
                        engine_disk_may_write(writer->node->engine, writer->disk, &why);
}

static bool may_write(struct node *node, const json_t *pair, const char *disk)
{
    const char *group = tree_text(pair, "group_id");
    struct writer writer = {.node = node,
                            .stream = group[0] ? group : tree_text(pair, "id"),
                            .disk = tree_text(pair, disk)};

    check(sim_site_call(node->site, writer_call, &writer));
    return writer.may_write;
}

/* I8, and sizes. */
static void audit_pair(struct sim_run *run, const char *id, const json_t *record)
{
    unsigned first = strcmp(tree_text(record, "production_site"), node_names[0]) == 0 ? 0 : 1;

    if (strcmp(tree_text(record, "status"), "created") != 0 &&
        may_write(&run->nodes[first], record, "production_disk") &&
        may_write(&run->nodes[1 - first], record, "backup_disk"))
        run_fail(run, NULL, "at rest both disks of %s may be written (%s)", id,
                 tree_text(record, "status"));
    audit_ends(run, id);
}

static void writers_call(void *arg)
{
    struct ledger *ledger = arg;

    ledger_call(ledger);
}

/* Every pair that both know. */
static void audit_pairs(struct sim_run *run)
{
    struct ledger ledger = {.question = {.node = &run->nodes[0]}};
    char what[100] = "";
    const void *before;
    json_t *records, *record;
    const char *id;

    ledger.question.what = what;
    ledger.question.size = sizeof(what);
    check(sim_site_call(run->nodes[0].site, writers_call, &ledger));
    before = sim_outside_begin();
    records = json_loads(ledger.text, 0, NULL);
    json_object_foreach(records, id, record)
    {
        if (tree_text(record, "production_disk")[0])
            audit_pair(run, id, record);
    }
    json_decref(records);
    sim_outside_end(before);
    sim_kernel_free(ledger.text);
}

/* --- tokens ---------------------------------------------------------------------------------- */

static void token_row(struct question *question, const void *record)
{
    const char *id = record, *at = strstr(id, "/token-");
    unsigned long number = at ? strtoul(at + strlen("/token-"), NULL, 10) : TOKENS_JUDGED;

    if (number < TOKENS_JUDGED && question->node->run->town->is_timed_out[number])
        say(question, id, "was done, and answered with RequestTimeout");
}

static void token_call(void *arg)
{
    each_record(arg, RECORD_TOKEN, token_row);
}

static void audit_tokens(struct sim_run *run)
{
    for (unsigned i = 0; i < RUN_NODES && !run->has_failed; i++) {
        char what[500] = "";
        struct question question = {.node = &run->nodes[i], .what = what, .size = sizeof(what)};

        check(sim_site_call(run->nodes[i].site, token_call, &question));
        if (what[0])
            run_fail(run, &run->nodes[i], "%s", what);
    }
}

void audit_both(struct sim_run *run)
{
    audit_tokens(run);
    if (run->has_failed)
        return;
    audit_records(run);
    if (!run->has_failed)
        audit_describe(run, "DescribeDiskReplicaPairs");
    if (!run->has_failed)
        audit_describe(run, "DescribeDiskReplicaGroups");
    if (!run->has_failed)
        audit_engine(run);
    if (!run->has_failed)
        audit_pairs(run);
    if (!run->has_failed)
        forget_audit(run);
}
