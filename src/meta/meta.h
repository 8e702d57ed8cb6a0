/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata of a site behind one vtable: SQLite now, PostgreSQL later. Calls block; they belong
 * to the control loop. Every change happens inside a transaction: what an operation was answered
 * with is durable before the answer (the commit syncs).
 *
 * Errors are negative errnos: -ENOENT no such record, -EEXIST a key twice, -EIO / -ENOSPC the
 * database failed (after which the transaction is to be rolled back).
 *
 * Two stand behind it: the database (meta_sqlite_open()), and a cache of all of it in memory, which
 * the daemon puts in front (record_cache.h). Both behave alike.
 *
 * Records of a kind have an order, that in which they were made, and each has a position in it: a
 * number above 0 that it keeps while it exists, also over a restart. No number is given twice: what
 * a page ends with stays the place behind which the next one begins, whatever is deleted.
 */
#ifndef META_META_H
#define META_META_H

#include "base/err.h"
#include "meta/records.h"

struct meta;

/* True: go on. */
typedef bool (*meta_visit_fn)(void *arg, uint64_t position, const void *record);

/* Which records: of a kind; whose text `field` has `value`, or, when it is NULL, all. */
struct meta_query {
    enum record_kind kind;
    const char *field, *value;
};

/* Each slot as the function of its name below. */
struct meta_ops {
    void (*close)(struct meta *meta);
    int (*begin)(struct meta *meta, struct err *err);
    int (*commit)(struct meta *meta, struct err *err);
    void (*rollback)(struct meta *meta);
    int (*part_begin)(struct meta *meta, struct err *err);
    int (*part_end)(struct meta *meta, struct err *err);
    int (*part_undo)(struct meta *meta, struct err *err);
    int (*get)(struct meta *meta, enum record_kind kind, const char *key, void *ret_record);
    int (*put)(struct meta *meta, enum record_kind kind, const void *record, struct err *err);
    int (*remove)(struct meta *meta, enum record_kind kind, const char *key, struct err *err);
    /* NULL: by a walk. */
    int (*next)(struct meta *meta, const struct meta_query *query, uint64_t *position,
                void *ret_record);
    int (*walk)(struct meta *meta, const struct meta_query *query, uint64_t after,
                meta_visit_fn visit_cb, void *arg);
    int (*seek)(struct meta *meta, const struct meta_query *query, unsigned index,
                uint64_t *ret_position);
    int (*count)(struct meta *meta, const struct meta_query *query, unsigned *ret_count);
    int (*last)(struct meta *meta, enum record_kind kind, uint64_t *ret_position);
};

/* First member of each implementation. */
struct meta {
    const struct meta_ops *ops;
    bool is_in_transaction, is_in_part;
};

/* Opens or makes the database at `path`. Refuses, with a message that says what to do: a file that
 * is no database of ours (-EINVAL), one written by a newer Verso (-EPROTONOSUPPORT), a damaged one
 * (-EUCLEAN), one that another process has open (-EBUSY). */
int meta_sqlite_open(const char *path, struct meta **ret_meta, struct err *err);
void meta_close(struct meta *meta); /* NULL is fine */
/* For the whole process, before its first database is opened: failed_cb is called, from any thread,
 * when a sync of a database fails. `watch` must outlive the databases. */
struct meta_sqlite_watch {
    void (*failed_cb)(void *arg);
    void *arg;
};
int meta_sqlite_watch(struct meta_sqlite_watch *watch, struct err *err);

/* Transactions do not nest. After a failed commit nothing of it remains. */
int meta_begin(struct meta *meta, struct err *err);
int meta_commit(struct meta *meta, struct err *err);
void meta_rollback(struct meta *meta);

/* A part of a transaction that can be undone alone; parts do not nest. When the undoing fails, or
 * the ending does, the whole transaction can only be rolled back. */
int meta_part_begin(struct meta *meta, struct err *err);
int meta_part_end(struct meta *meta, struct err *err);
int meta_part_undo(struct meta *meta, struct err *err);

/* -ENOENT: no such record. */
int meta_get(struct meta *meta, enum record_kind kind, const char *key, void *ret_record);
/* Makes or replaces; inside a transaction only. */
int meta_put(struct meta *meta, enum record_kind kind, const void *record, struct err *err);
/* -ENOENT; inside a transaction only. */
int meta_remove(struct meta *meta, enum record_kind kind, const char *key, struct err *err);

/* All records whose text `field` has `value` (NULL: all), in their order. `*ret_records` is one
 * array, to be freed by the caller; NULL when there are none. For a handful: a pair has 10 KB. */
int meta_list(struct meta *meta, enum record_kind kind, const char *field, const char *value,
              void **ret_records, unsigned *ret_count);
/* Shows those behind the position `after` (0: all) to visit_cb, in their order, until it has
 * enough. It may change records meanwhile. */
int meta_walk(struct meta *meta, const struct meta_query *query, uint64_t after,
              meta_visit_fn visit_cb, void *arg);
/* The first one behind *position, which becomes its own; -ENOENT: there is none. */
int meta_next(struct meta *meta, const struct meta_query *query, uint64_t *position,
              void *ret_record);
/* The position behind which the record with that index (from 0) comes; -ENOENT: there are not so
 * many. */
int meta_seek(struct meta *meta, const struct meta_query *query, unsigned index,
              uint64_t *ret_position);
int meta_count(struct meta *meta, const struct meta_query *query, unsigned *ret_count);
/* The highest position that a record of this kind ever had, deleted ones too; 0: there was none. */
int meta_last(struct meta *meta, enum record_kind kind, uint64_t *ret_position);

#endif
