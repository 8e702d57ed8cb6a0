/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Defects planted in the control wing of whole sites, between it and its records: what a site is
 * told to remember, it forgets. The clients and the audit must see each.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "control/control.h"
#include "control/roster.h"
#include "meta/meta.h"
#include "sim_plant.h"
#include "sim_whole.h"

struct plant_meta {
    struct meta meta;
    struct meta *real;
    enum plant plant;
    char site[16]; /* where it is */
};

static struct plant_meta *of(struct meta *meta)
{
    return container_of(meta, struct plant_meta, meta);
}

static void plant_close(struct meta *meta)
{
    meta_close(of(meta)->real);
    free(of(meta));
}

static int plant_begin(struct meta *meta, struct err *err)
{
    return meta_begin(of(meta)->real, err);
}

static int plant_commit(struct meta *meta, struct err *err)
{
    return meta_commit(of(meta)->real, err);
}

static void plant_rollback(struct meta *meta)
{
    if (of(meta)->real->is_in_transaction)
        meta_rollback(of(meta)->real);
}

static int plant_part_begin(struct meta *meta, struct err *err)
{
    return meta_part_begin(of(meta)->real, err);
}

static int plant_part_end(struct meta *meta, struct err *err)
{
    return meta_part_end(of(meta)->real, err);
}

static int plant_part_undo(struct meta *meta, struct err *err)
{
    return meta_part_undo(of(meta)->real, err);
}

static int plant_get(struct meta *meta, enum record_kind kind, const char *key, void *ret_record)
{
    return meta_get(of(meta)->real, kind, key, ret_record);
}

/* Pairs and groups begin with what they have in common. */
static int put_relation(struct plant_meta *self, enum record_kind kind, const void *record,
                        struct err *err)
{
    size_t size = record_type(kind)->size;
    struct replica_record *before = calloc(1, size), *now = calloc(1, size);
    int result;

    check(before && now);
    memcpy(now, record, size);
    if (meta_get(self->real, kind, now->id, before) == 0) {
        if (self->plant == PLANT_TERM && now->term > before->term)
            now->term = before->term;
        if (self->plant == PLANT_VERSION && now->version > before->version)
            now->version = before->version;
    }
    result = meta_put(self->real, kind, now, err);
    free(before);
    free(now);
    return result;
}

static int put_tombstone(struct plant_meta *self, const void *record, struct err *err)
{
    struct tombstone_record tombstone = *(const struct tombstone_record *)record;

    if (tombstone.is_acked) /* it was turned round when it was made */
        return meta_put(self->real, RECORD_TOMBSTONE, record, err);
    if (tombstone.forgotten == TOMBSTONE_LEFT)
        tombstone.forgotten = TOMBSTONE_TAKEN;
    else if (tombstone.forgotten == TOMBSTONE_TAKEN)
        tombstone.forgotten = TOMBSTONE_LEFT;
    return meta_put(self->real, RECORD_TOMBSTONE, &tombstone, err);
}

static int put_job(struct plant_meta *self, const void *record, struct err *err)
{
    struct job_record job = *(const struct job_record *)record;

    if (self->plant == PLANT_FENCE && strcmp(job.kind, "part") == 0)
        job.argument[0] = '\0';
    else if (self->plant == PLANT_DISCARD && strncmp(job.argument, "forget ", 7) == 0)
        strcpy(job.argument + 8, " discard"); /* behind "forget 1" */
    return meta_put(self->real, RECORD_JOB, &job, err);
}

/* What the other site deleted. */
static bool is_burial(const struct plant_meta *self, enum record_kind kind, const void *record)
{
    const struct access_record *access = record;

    return self->plant == PLANT_BURIAL && kind >= RECORD_USER && kind <= RECORD_POLICY_LINK &&
           access->is_deleted && strcmp(access->site, self->site) != 0;
}

static int put_set(struct plant_meta *self, const void *record, struct err *err)
{
    struct tag_set_record before, now = *(const struct tag_set_record *)record;

    if (meta_get(self->real, RECORD_TAG_SET, now.id, &before) == 0 &&
        strcmp(now.site, self->site) == 0 && now.version == before.version + 1)
        now.version--;
    return meta_put(self->real, RECORD_TAG_SET, &now, err);
}

static int plant_put(struct meta *meta, enum record_kind kind, const void *record, struct err *err)
{
    struct plant_meta *self = of(meta);
    bool is_relation = kind == RECORD_PAIR || kind == RECORD_GROUP;

    if ((self->plant == PLANT_TOKEN && kind == RECORD_TOKEN) ||
        (self->plant == PLANT_TOMBSTONE && kind == RECORD_TOMBSTONE) ||
        is_burial(self, kind, record))
        return 0;
    if (self->plant == PLANT_TAGS && kind == RECORD_TAG_SET)
        return put_set(self, record, err);
    if (is_relation && (self->plant == PLANT_TERM || self->plant == PLANT_VERSION))
        return put_relation(self, kind, record, err);
    if (self->plant == PLANT_FORGET && kind == RECORD_TOMBSTONE)
        return put_tombstone(self, record, err);
    if ((self->plant == PLANT_FENCE || self->plant == PLANT_DISCARD) && kind == RECORD_JOB)
        return put_job(self, record, err);
    return meta_put(self->real, kind, record, err);
}

static int plant_remove(struct meta *meta, enum record_kind kind, const char *key, struct err *err)
{
    return meta_remove(of(meta)->real, kind, key, err);
}

static int plant_walk(struct meta *meta, const struct meta_query *query, uint64_t after,
                      meta_visit_fn visit_cb, void *arg)
{
    return meta_walk(of(meta)->real, query, after, visit_cb, arg);
}

static int plant_seek(struct meta *meta, const struct meta_query *query, unsigned index,
                      uint64_t *ret_position)
{
    return meta_seek(of(meta)->real, query, index, ret_position);
}

static int plant_count(struct meta *meta, const struct meta_query *query, unsigned *ret_count)
{
    return meta_count(of(meta)->real, query, ret_count);
}

static int plant_last(struct meta *meta, enum record_kind kind, uint64_t *ret_position)
{
    return meta_last(of(meta)->real, kind, ret_position);
}

static const struct meta_ops plant_ops = {
    .close = plant_close,
    .begin = plant_begin,
    .commit = plant_commit,
    .rollback = plant_rollback,
    .part_begin = plant_part_begin,
    .part_end = plant_part_end,
    .part_undo = plant_part_undo,
    .get = plant_get,
    .put = plant_put,
    .remove = plant_remove,
    .walk = plant_walk,
    .seek = plant_seek,
    .count = plant_count,
    .last = plant_last,
};

/* What was going on in the life before is not known any more. */
static void forget_jobs(struct meta *meta)
{
    struct job_record *jobs;
    void *records = NULL;
    unsigned count = 0;
    struct err err;

    if (meta_list(meta, RECORD_JOB, NULL, NULL, &records, &count) < 0 || count == 0)
        return;
    jobs = records;
    if (meta_begin(meta, &err) == 0) {
        for (unsigned i = 0; i < count; i++)
            meta_remove(meta, RECORD_JOB, jobs[i].id, &err);
        meta_commit(meta, &err);
    }
    free(records);
}

static void forget_key(struct meta *meta)
{
    struct access_key_record *keys;
    void *records = NULL;
    unsigned count = 0;
    struct err err;

    if (meta_list(meta, RECORD_ACCESS_KEY, NULL, NULL, &records, &count) < 0)
        return;
    keys = records;
    for (unsigned i = 0; i < count; i++)
        if (!keys[i].access.is_deleted && meta_begin(meta, &err) == 0) {
            meta_remove(meta, RECORD_ACCESS_KEY, keys[i].access.id, &err);
            meta_commit(meta, &err);
            break;
        }
    free(records);
}

struct meta *plant_meta_new(const struct node *node, struct meta *real)
{
    enum plant plant = node->run->plant;
    struct plant_meta *self;

    if (plant == PLANT_JOB)
        forget_jobs(real);
    if (plant == PLANT_KEY)
        forget_key(real);
    if (plant == PLANT_JOB || plant == PLANT_COMMIT || plant == PLANT_KEY || plant == PLANT_DOOR ||
        plant < PLANT_WHOLE)
        return real;
    self = calloc(1, sizeof(*self));
    check(self);
    self->meta.ops = &plant_ops;
    self->real = real;
    self->plant = plant;
    snprintf(self->site, sizeof(self->site), "%s", node_names[node->index]);
    return &self->meta;
}

bool plant_is_of_rosters(enum plant plant)
{
    return plant >= PLANT_ROSTER && plant < PLANT_COUNT;
}

static bool open_door(void *arg, uint64_t position, const void *record)
{
    struct access_key_record key = *(const struct access_key_record *)record;
    struct site *site = arg;

    if (!key.access.is_deleted)
        return true;
    key.access.is_deleted = false;
    directory_apply_key(site->directory, &key, "planted");
    return false;
}

static void door_call(void *arg)
{
    struct node *node = arg;
    struct meta_query keys = {.kind = RECORD_ACCESS_KEY};

    meta_walk(node->whole->meta, &keys, 0, open_door, control_site(node->whole->control));
}

void plant_roster_turn(struct node *node)
{
    if (node->run->plant == PLANT_DOOR && node->engine && node->whole->is_up)
        sim_site_call(node->site, door_call, node);
}
