/* SPDX-License-Identifier: Apache-2.0 */
/* Why: a read that fails once must not be taken for "nothing is there". */
#include "fake_meta.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

struct fake_meta {
    struct meta meta;
    struct meta *real;
    enum record_kind kind;
    bool is_get;
    unsigned left, spared;
    unsigned commits, commits_failing, commits_spared;
    const char *put_failing; /* the key of the record; NULL: none */
};

static struct fake_meta *fake_of(struct meta *meta)
{
    return container_of(meta, struct fake_meta, meta);
}

static bool fails(struct meta *meta, enum record_kind kind, bool is_get)
{
    struct fake_meta *fake = fake_of(meta);

    if (fake->left == 0 || fake->kind != kind || fake->is_get != is_get)
        return false;
    if (fake->spared > 0) {
        fake->spared--;
        return false;
    }
    fake->left--;
    return true;
}

static void fake_close(struct meta *meta)
{
    meta_close(fake_of(meta)->real);
    free(fake_of(meta));
}

static int fake_begin(struct meta *meta, struct err *err)
{
    return meta_begin(fake_of(meta)->real, err);
}

static int fake_commit(struct meta *meta, struct err *err)
{
    struct fake_meta *fake = fake_of(meta);

    if (fake->commits_failing == 0 || fake->commits_spared > 0) {
        fake->commits_spared -= fake->commits_spared > 0;
        fake->commits++;
        return meta_commit(fake->real, err);
    }
    fake->commits_failing--;
    meta_rollback(fake->real);
    return err_set(err, -EIO, "made to fail");
}

static void fake_rollback(struct meta *meta)
{
    /* After a failed commit the real one has done so. */
    if (fake_of(meta)->real->is_in_transaction)
        meta_rollback(fake_of(meta)->real);
}

static int fake_get(struct meta *meta, enum record_kind kind, const char *key, void *ret_record)
{
    return fails(meta, kind, true) ? -EIO : meta_get(fake_of(meta)->real, kind, key, ret_record);
}

static int fake_put(struct meta *meta, enum record_kind kind, const void *record, struct err *err)
{
    const char *failing = fake_of(meta)->put_failing;

    if (failing && strcmp(failing, record) == 0) /* the key is first */
        return err_set(err, -EIO, "made to fail");
    return meta_put(fake_of(meta)->real, kind, record, err);
}

static int fake_remove(struct meta *meta, enum record_kind kind, const char *key, struct err *err)
{
    return meta_remove(fake_of(meta)->real, kind, key, err);
}

static int fake_walk(struct meta *meta, const struct meta_query *query, uint64_t after,
                     meta_visit_fn visit_cb, void *arg)
{
    if (fails(meta, query->kind, false))
        return -EIO;
    return meta_walk(fake_of(meta)->real, query, after, visit_cb, arg);
}

static int fake_seek(struct meta *meta, const struct meta_query *query, unsigned index,
                     uint64_t *ret_position)
{
    if (fails(meta, query->kind, false))
        return -EIO;
    return meta_seek(fake_of(meta)->real, query, index, ret_position);
}

static int fake_count(struct meta *meta, const struct meta_query *query, unsigned *ret_count)
{
    if (fails(meta, query->kind, false))
        return -EIO;
    return meta_count(fake_of(meta)->real, query, ret_count);
}

static int fake_last(struct meta *meta, enum record_kind kind, uint64_t *ret_position)
{
    return meta_last(fake_of(meta)->real, kind, ret_position);
}

static int fake_part_begin(struct meta *meta, struct err *err)
{
    return meta_part_begin(fake_of(meta)->real, err);
}

static int fake_part_end(struct meta *meta, struct err *err)
{
    return meta_part_end(fake_of(meta)->real, err);
}

static int fake_part_undo(struct meta *meta, struct err *err)
{
    return meta_part_undo(fake_of(meta)->real, err);
}

static const struct meta_ops fake_ops = {
    .close = fake_close,
    .begin = fake_begin,
    .commit = fake_commit,
    .rollback = fake_rollback,
    .part_begin = fake_part_begin,
    .part_end = fake_part_end,
    .part_undo = fake_part_undo,
    .get = fake_get,
    .put = fake_put,
    .remove = fake_remove,
    .walk = fake_walk,
    .seek = fake_seek,
    .count = fake_count,
    .last = fake_last,
};

struct meta *fake_meta_new(struct meta *real)
{
    struct fake_meta *fake = calloc(1, sizeof(*fake));

    check(fake);
    fake->meta.ops = &fake_ops;
    fake->real = real;
    return &fake->meta;
}

void fake_meta_fail_behind(struct meta *meta, enum record_kind kind, bool is_get, unsigned spared,
                           unsigned count)
{
    struct fake_meta *fake = fake_of(meta);

    check(meta->ops == &fake_ops);
    fake->kind = kind;
    fake->is_get = is_get;
    fake->spared = spared;
    fake->left = count;
}

void fake_meta_fail(struct meta *meta, enum record_kind kind, bool is_get, unsigned count)
{
    fake_meta_fail_behind(meta, kind, is_get, 0, count);
}

unsigned fake_meta_left(const struct meta *meta)
{
    return ((const struct fake_meta *)(const void *)meta)->left;
}

void fake_meta_fail_commits(struct meta *meta, unsigned count)
{
    fake_meta_fail_commits_behind(meta, 0, count);
}

void fake_meta_fail_commits_behind(struct meta *meta, unsigned spared, unsigned count)
{
    fake_of(meta)->commits_spared = spared;
    fake_of(meta)->commits_failing = count;
}

void fake_meta_fail_put(struct meta *meta, const char *key)
{
    fake_of(meta)->put_failing = key;
}

unsigned fake_meta_commits(struct meta *meta)
{
    return fake_of(meta)->commits;
}
