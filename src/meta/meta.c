/* SPDX-License-Identifier: Apache-2.0 */
/* Why: the one place that holds callers to the rules of transactions, whatever lies behind. */
#include "meta/meta.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

void meta_close(struct meta *meta)
{
    if (!meta)
        return;
    check(!meta->is_in_transaction);
    meta->ops->close(meta);
}

int meta_begin(struct meta *meta, struct err *err)
{
    check(!meta->is_in_transaction);
    int result = meta->ops->begin(meta, err);

    meta->is_in_transaction = result == 0;
    return result;
}

int meta_commit(struct meta *meta, struct err *err)
{
    check(meta->is_in_transaction && !meta->is_in_part);
    int result = meta->ops->commit(meta, err);

    if (result < 0)
        meta->ops->rollback(meta);
    meta->is_in_transaction = false;
    return result;
}

void meta_rollback(struct meta *meta)
{
    check(meta->is_in_transaction);
    meta->ops->rollback(meta);
    meta->is_in_transaction = meta->is_in_part = false;
}

int meta_part_begin(struct meta *meta, struct err *err)
{
    check(meta->is_in_transaction && !meta->is_in_part);
    int result = meta->ops->part_begin(meta, err);

    meta->is_in_part = result == 0;
    return result;
}

int meta_part_end(struct meta *meta, struct err *err)
{
    check(meta->is_in_part);
    meta->is_in_part = false;
    return meta->ops->part_end(meta, err);
}

int meta_part_undo(struct meta *meta, struct err *err)
{
    check(meta->is_in_part);
    meta->is_in_part = false;
    return meta->ops->part_undo(meta, err);
}

int meta_get(struct meta *meta, enum record_kind kind, const char *key, void *ret_record)
{
    check(key && ret_record);
    return meta->ops->get(meta, kind, key, ret_record);
}

int meta_put(struct meta *meta, enum record_kind kind, const void *record, struct err *err)
{
    check(meta->is_in_transaction);
    check(((const char *)record)[0] != 0);
    return meta->ops->put(meta, kind, record, err);
}

int meta_remove(struct meta *meta, enum record_kind kind, const char *key, struct err *err)
{
    check(meta->is_in_transaction);
    return meta->ops->remove(meta, kind, key, err);
}

/* --- many ------------------------------------------------------------------------------------ */

struct gathering {
    size_t size;
    char *records;
    unsigned count, count_max;
    bool is_short; /* of memory */
};

static bool gather(void *arg, uint64_t position, const void *record)
{
    struct gathering *gathering = arg;

    if (gathering->count == gathering->count_max) {
        unsigned count_max = gathering->count_max ? gathering->count_max * 2 : 2;
        char *larger = realloc(gathering->records, count_max * gathering->size);

        gathering->is_short = !larger;
        if (!larger)
            return false;
        gathering->records = larger;
        gathering->count_max = count_max;
    }
    memcpy(gathering->records + gathering->count * gathering->size, record, gathering->size);
    gathering->count++;
    return true;
}

int meta_list(struct meta *meta, enum record_kind kind, const char *field, const char *value,
              void **ret_records, unsigned *ret_count)
{
    struct meta_query query = {kind, field, value};
    struct gathering gathering = {.size = record_type(kind)->size};
    int result = meta_walk(meta, &query, 0, gather, &gathering);

    if (result == 0 && gathering.is_short)
        result = -ENOMEM;
    if (result < 0) {
        free(gathering.records);
        return result;
    }
    *ret_records = gathering.records;
    *ret_count = gathering.count;
    return 0;
}

int meta_walk(struct meta *meta, const struct meta_query *query, uint64_t after,
              meta_visit_fn visit_cb, void *arg)
{
    check(!query->field || query->value);
    return meta->ops->walk(meta, query, after, visit_cb, arg);
}

struct first {
    size_t size;
    uint64_t position;
    void *record;
};

static bool take_first(void *arg, uint64_t position, const void *record)
{
    struct first *first = arg;

    first->position = position;
    memcpy(first->record, record, first->size);
    return false;
}

int meta_next(struct meta *meta, const struct meta_query *query, uint64_t *position,
              void *ret_record)
{
    struct first first = {.size = record_type(query->kind)->size, .record = ret_record};
    int result;

    check(!query->field || query->value);
    if (meta->ops->next)
        return meta->ops->next(meta, query, position, ret_record);
    result = meta_walk(meta, query, *position, take_first, &first);
    if (result == 0 && first.position == 0)
        result = -ENOENT;
    if (result == 0)
        *position = first.position;
    return result;
}

int meta_seek(struct meta *meta, const struct meta_query *query, unsigned index,
              uint64_t *ret_position)
{
    check(!query->field || query->value);
    return meta->ops->seek(meta, query, index, ret_position);
}

int meta_count(struct meta *meta, const struct meta_query *query, unsigned *ret_count)
{
    check(!query->field || query->value);
    return meta->ops->count(meta, query, ret_count);
}

int meta_last(struct meta *meta, enum record_kind kind, uint64_t *ret_position)
{
    return meta->ops->last(meta, kind, ret_position);
}
