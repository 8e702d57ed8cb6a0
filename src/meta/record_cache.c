/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: what a site is asked most is what its records say, and that must not cost a query each time:
 * every read is answered from memory, every change goes through to the database first.
 *
 * Invariants
 *  1. Between transactions memory holds exactly what the database holds durably: a change is
 *     entered when the database took it, and taken back with the transaction (or the part of it)
 *     that is undone, whether somebody asked for that or the commit failed.
 *  2. Reads cannot fail: all reading of the database is done at the opening, which fails whole.
 *  3. A row has the position that the database gave it (its rowid). A new one comes behind the
 *     last that there ever was, there and here.
 *  4. Rows are packed; a walk finds its place again by position after each record that it showed,
 *     so whoever looks at it may change records.
 */
#include "meta/record_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "meta/record_index.h"
#include "meta/record_pack.h"

enum { CACHE_MAGIC = 0x63616368, INDEXES_MAX = 8 };

struct table {
    struct roll roll; /* all rows */
    struct record_index indexes[INDEXES_MAX];
    unsigned index_count; /* the first is that of the key */
    uint64_t last;        /* the highest position that was given */
};

/* How to take a change back. */
struct undo {
    enum record_kind kind;
    struct row *row;
    char *packed; /* what it was, of a row that was changed */
    enum { UNDO_MAKE, UNDO_CHANGE, UNDO_REMOVE } what;
};

struct record_cache {
    struct meta meta;
    uint32_t magic;
    struct meta *behind;
    struct table tables[RECORD_KIND_COUNT];
    struct undo *undos;
    unsigned undo_count, undo_max, part_begin;
};

static struct record_cache *cache_of(struct meta *meta)
{
    struct record_cache *cache = container_of(meta, struct record_cache, meta);

    check_magic(cache, CACHE_MAGIC);
    return cache;
}

/* --- tables ---------------------------------------------------------------------------------- */

static void table_init(struct table *table, enum record_kind kind)
{
    const struct record_type *type = record_type(kind);

    for (unsigned i = 0; i < type->field_count; i++)
        if (i == 0 || type->fields[i].is_indexed) {
            check(table->index_count < INDEXES_MAX);
            record_index_init(&table->indexes[table->index_count++], kind, i);
        }
}

static void row_free(struct row *row)
{
    free(row->packed);
    free(row);
}

static void table_fini(struct table *table)
{
    for (unsigned i = 0; i < table->index_count; i++)
        record_index_fini(&table->indexes[i]);
    for (unsigned i = 0; i < table->roll.count; i++)
        row_free(table->roll.rows[i]);
    roll_fini(&table->roll);
}

static void table_add(struct table *table, struct row *row)
{
    roll_add(&table->roll, row);
    for (unsigned i = 0; i < table->index_count; i++)
        record_index_add(&table->indexes[i], row);
}

static void table_remove(struct table *table, struct row *row)
{
    roll_remove(&table->roll, row);
    for (unsigned i = 0; i < table->index_count; i++)
        record_index_remove(&table->indexes[i], row);
}

/* The row's content becomes `packed`; returns what it was. The key stays. */
static char *table_change(struct table *table, struct row *row, char *packed)
{
    char *before = row->packed;
    bool is_moved[INDEXES_MAX] = {false};

    for (unsigned i = 1; i < table->index_count; i++) {
        const struct record_index *index = &table->indexes[i];

        is_moved[i] = strcmp(record_packed_text(index->kind, before, index->field),
                             record_packed_text(index->kind, packed, index->field)) != 0;
        if (is_moved[i])
            record_index_remove(&table->indexes[i], row);
    }
    row->packed = packed;
    for (unsigned i = 1; i < table->index_count; i++)
        if (is_moved[i])
            record_index_add(&table->indexes[i], row);
    return before;
}

static struct row *table_find(const struct table *table, const char *key)
{
    const struct roll *roll = record_index_find(&table->indexes[0], key);

    return roll ? roll->rows[0] : NULL;
}

/* --- undoing --------------------------------------------------------------------------------- */

static void remember(struct record_cache *cache, const struct undo *undo)
{
    if (cache->undo_count == cache->undo_max) {
        unsigned count_max = cache->undo_max ? cache->undo_max * 2 : 16;
        struct undo *larger = realloc(cache->undos, count_max * sizeof(*larger));

        check(larger);
        cache->undos = larger;
        cache->undo_max = count_max;
    }
    cache->undos[cache->undo_count++] = *undo;
}

static void undo_to(struct record_cache *cache, unsigned count)
{
    while (cache->undo_count > count) {
        const struct undo *undo = &cache->undos[--cache->undo_count];
        struct table *table = &cache->tables[undo->kind];

        switch (undo->what) {
        case UNDO_MAKE:
            check(undo->row->position == table->last);
            table->last--;
            table_remove(table, undo->row);
            row_free(undo->row);
            break;
        case UNDO_CHANGE:
            free(table_change(table, undo->row, undo->packed));
            break;
        case UNDO_REMOVE:
            table_add(table, undo->row);
            break;
        }
    }
}

static void forget_undos(struct record_cache *cache)
{
    while (cache->undo_count > 0) {
        const struct undo *undo = &cache->undos[--cache->undo_count];

        free(undo->packed);
        if (undo->what == UNDO_REMOVE)
            row_free(undo->row);
    }
}

/* --- the vtable: transactions ---------------------------------------------------------------- */

static void cache_close(struct meta *meta)
{
    struct record_cache *cache = cache_of(meta);

    for (unsigned kind = 0; kind < RECORD_KIND_COUNT; kind++)
        table_fini(&cache->tables[kind]);
    check(cache->undo_count == 0);
    free(cache->undos);
    meta_close(cache->behind);
    cache->magic = 0;
    free(cache);
}

static int cache_begin(struct meta *meta, struct err *err)
{
    struct record_cache *cache = cache_of(meta);

    check(cache->undo_count == 0);
    return meta_begin(cache->behind, err);
}

static int cache_commit(struct meta *meta, struct err *err)
{
    struct record_cache *cache = cache_of(meta);
    int result = meta_commit(cache->behind, err);

    if (result == 0)
        forget_undos(cache);
    return result;
}

static void cache_rollback(struct meta *meta)
{
    struct record_cache *cache = cache_of(meta);

    if (cache->behind->is_in_transaction) /* not after a failed commit */
        meta_rollback(cache->behind);
    undo_to(cache, 0);
}

static int cache_part_begin(struct meta *meta, struct err *err)
{
    struct record_cache *cache = cache_of(meta);

    cache->part_begin = cache->undo_count;
    return meta_part_begin(cache->behind, err);
}

static int cache_part_end(struct meta *meta, struct err *err)
{
    return meta_part_end(cache_of(meta)->behind, err);
}

static int cache_part_undo(struct meta *meta, struct err *err)
{
    struct record_cache *cache = cache_of(meta);

    undo_to(cache, cache->part_begin);
    return meta_part_undo(cache->behind, err);
}

/* --- the vtable: records --------------------------------------------------------------------- */

static int cache_get(struct meta *meta, enum record_kind kind, const char *key, void *ret_record)
{
    const struct row *row = table_find(&cache_of(meta)->tables[kind], key);

    if (!row)
        return -ENOENT;
    record_unpack(kind, row->packed, ret_record);
    return 0;
}

static int cache_put(struct meta *meta, enum record_kind kind, const void *record, struct err *err)
{
    struct record_cache *cache = cache_of(meta);
    struct table *table = &cache->tables[kind];
    char *packed = record_pack(kind, record);
    struct undo undo = {.kind = kind, .what = UNDO_CHANGE};
    int result;

    if (!packed)
        return err_set(err, -ENOMEM, "%s: out of memory", record_type(kind)->table);
    result = meta_put(cache->behind, kind, record, err);
    if (result < 0) {
        free(packed);
        return result;
    }
    undo.row = table_find(table, packed); /* the key is first */
    if (undo.row) {
        undo.packed = table_change(table, undo.row, packed);
    } else {
        undo.what = UNDO_MAKE;
        undo.row = calloc(1, sizeof(*undo.row));
        check(undo.row);
        *undo.row = (struct row){.position = ++table->last, .packed = packed};
        table_add(table, undo.row);
    }
    remember(cache, &undo);
    return 0;
}

static int cache_remove(struct meta *meta, enum record_kind kind, const char *key, struct err *err)
{
    struct record_cache *cache = cache_of(meta);
    struct undo undo = {.kind = kind, .what = UNDO_REMOVE};
    int result;

    undo.row = table_find(&cache->tables[kind], key);
    if (!undo.row)
        return err_set(err, -ENOENT, "%s: no %s", record_type(kind)->table, key);
    result = meta_remove(cache->behind, kind, key, err);
    if (result < 0)
        return result;
    table_remove(&cache->tables[kind], undo.row);
    remember(cache, &undo);
    return 0;
}

/* --- the vtable: many ------------------------------------------------------------------------ */

/* The rows among which all that match are; those that do not match are told by `ret_field`, -1:
 * all match. NULL: there are none. */
static const struct roll *roll_of(const struct table *table, const struct meta_query *query,
                                  int *ret_field)
{
    const struct record_type *type = record_type(query->kind);

    *ret_field = -1;
    if (!query->field)
        return &table->roll;
    for (unsigned i = 0; i < table->index_count; i++)
        if (strcmp(type->fields[table->indexes[i].field].name, query->field) == 0)
            return record_index_find(&table->indexes[i], query->value);
    for (unsigned i = 0; i < type->field_count; i++)
        if (strcmp(type->fields[i].name, query->field) == 0)
            *ret_field = (int)i;
    check(*ret_field >= 0);
    return &table->roll;
}

/* The first that matches behind `after`. `hint`: where it may be, if all stands as it did when the
 * row before was found; this one's place is left there. */
static const struct row *find_from(const struct table *table, const struct meta_query *query,
                                   uint64_t after, unsigned *hint)
{
    int field;
    const struct roll *roll = roll_of(table, query, &field);

    if (!roll)
        return NULL;
    if (*hint == 0 || *hint > roll->count || roll->rows[*hint - 1]->position != after)
        *hint = roll_after(roll, after);
    for (unsigned i = *hint; i < roll->count; i++) {
        const char *packed = roll->rows[i]->packed;

        if (field < 0 ||
            strcmp(record_packed_text(query->kind, packed, (unsigned)field), query->value) == 0) {
            *hint = i + 1;
            return roll->rows[i];
        }
    }
    return NULL;
}

static const struct row *find_next(const struct table *table, const struct meta_query *query,
                                   uint64_t after)
{
    unsigned hint = 0;

    return find_from(table, query, after, &hint);
}

static int cache_walk(struct meta *meta, const struct meta_query *query, uint64_t after,
                      meta_visit_fn visit_cb, void *arg)
{
    struct table *table = &cache_of(meta)->tables[query->kind];
    unsigned hint = 0;
    const struct row *row = find_from(table, query, after, &hint);
    void *record;

    if (!row) /* it is asked often, of what has none */
        return 0;
    record = malloc(record_type(query->kind)->size);
    if (!record)
        return -ENOMEM;
    while (row) {
        after = row->position;
        record_unpack(query->kind, row->packed, record);
        row = visit_cb(arg, after, record) ? find_from(table, query, after, &hint) : NULL;
    }
    free(record);
    return 0;
}

static int cache_next(struct meta *meta, const struct meta_query *query, uint64_t *position,
                      void *ret_record)
{
    const struct row *row = find_next(&cache_of(meta)->tables[query->kind], query, *position);

    if (!row)
        return -ENOENT;
    record_unpack(query->kind, row->packed, ret_record);
    *position = row->position;
    return 0;
}

static int cache_seek(struct meta *meta, const struct meta_query *query, unsigned index,
                      uint64_t *ret_position)
{
    const struct table *table = &cache_of(meta)->tables[query->kind];
    const struct row *row = NULL;
    int field;
    const struct roll *roll = roll_of(table, query, &field);

    if (field < 0) {
        row = roll && index < roll->count ? roll->rows[index] : NULL;
    } else {
        row = find_next(table, query, 0);
        for (unsigned i = 0; row && i < index; i++)
            row = find_next(table, query, row->position);
    }
    if (!row)
        return -ENOENT;
    *ret_position = row->position - 1;
    return 0;
}

static int cache_count(struct meta *meta, const struct meta_query *query, unsigned *ret_count)
{
    const struct table *table = &cache_of(meta)->tables[query->kind];
    unsigned hint = 0;
    int field;
    const struct roll *roll = roll_of(table, query, &field);

    if (field < 0) {
        *ret_count = roll ? roll->count : 0;
        return 0;
    }
    *ret_count = 0;
    for (const struct row *row = find_from(table, query, 0, &hint); row;
         row = find_from(table, query, row->position, &hint))
        (*ret_count)++;
    return 0;
}

static int cache_last(struct meta *meta, enum record_kind kind, uint64_t *ret_position)
{
    *ret_position = cache_of(meta)->tables[kind].last;
    return 0;
}

static const struct meta_ops cache_ops = {
    .close = cache_close,
    .begin = cache_begin,
    .commit = cache_commit,
    .rollback = cache_rollback,
    .part_begin = cache_part_begin,
    .part_end = cache_part_end,
    .part_undo = cache_part_undo,
    .get = cache_get,
    .put = cache_put,
    .remove = cache_remove,
    .walk = cache_walk,
    .next = cache_next,
    .seek = cache_seek,
    .count = cache_count,
    .last = cache_last,
};

/* --- opening --------------------------------------------------------------------------------- */

struct loading {
    struct table *table;
    enum record_kind kind;
    int error;
};

/* Of a damaged database rows may come out of order, or one key twice. */
static bool load_row(void *arg, uint64_t position, const void *record)
{
    struct loading *loading = arg;
    struct table *table = loading->table;
    struct row *row;

    if (position <= table->last || table_find(table, record)) {
        loading->error = -EUCLEAN;
        return false;
    }
    row = calloc(1, sizeof(*row));
    if (row)
        *row = (struct row){.position = position, .packed = record_pack(loading->kind, record)};
    if (!row || !row->packed) {
        free(row);
        loading->error = -ENOMEM;
        return false;
    }
    table_add(table, row);
    table->last = position;
    return true;
}

static int load_table(struct record_cache *cache, struct meta *behind, enum record_kind kind,
                      struct err *err)
{
    struct loading loading = {.table = &cache->tables[kind], .kind = kind};
    struct meta_query query = {.kind = kind};
    int result = meta_walk(behind, &query, 0, load_row, &loading);

    if (result == 0)
        result = loading.error;
    if (result == 0)
        result = meta_last(behind, kind, &loading.table->last);
    if (result < 0)
        err_set(err, result, "table %s cannot be read: %s", record_type(kind)->table,
                err_name(result));
    return result;
}

int record_cache_new(struct meta *behind, struct meta **ret_meta, struct err *err)
{
    struct record_cache *cache = calloc(1, sizeof(*cache));
    int result = 0;

    if (!cache)
        return err_set(err, -ENOMEM, "metadata: out of memory");
    cache->magic = CACHE_MAGIC;
    cache->meta.ops = &cache_ops;
    for (enum record_kind kind = 0; kind < RECORD_KIND_COUNT; kind++)
        table_init(&cache->tables[kind], kind);
    for (enum record_kind kind = 0; result == 0 && kind < RECORD_KIND_COUNT; kind++)
        result = load_table(cache, behind, kind, err);
    if (result < 0) {
        cache_close(&cache->meta);
        return result;
    }
    cache->behind = behind;
    *ret_meta = &cache->meta;
    return 0;
}

int record_cache_open(const char *path, struct meta **ret_meta, struct err *err)
{
    struct meta *database;
    int result = meta_sqlite_open(path, &database, err);

    if (result < 0)
        return result;
    result = record_cache_new(database, ret_meta, err);
    if (result < 0) {
        meta_close(database);
        return err_wrap(err, "%s", path);
    }
    return 0;
}
