/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata of a site behind one vtable: SQLite now, PostgreSQL later. Calls block; they belong
 * to the control loop. Every change happens inside a transaction: what an operation was answered
 * with is durable before the answer (the commit syncs).
 *
 * Errors are negative errnos: -ENOENT no such record, -EEXIST a key twice, -EIO / -ENOSPC the
 * database failed (after which the transaction is to be rolled back).
 */
#ifndef META_META_H
#define META_META_H

#include "base/err.h"
#include "meta/records.h"

struct meta;

struct meta_ops {
    void (*close)(struct meta *meta);
    int (*begin)(struct meta *meta, struct err *err);
    int (*commit)(struct meta *meta, struct err *err);
    void (*rollback)(struct meta *meta);
    int (*get)(struct meta *meta, enum record_kind kind, const char *key, void *ret_record);
    int (*put)(struct meta *meta, enum record_kind kind, const void *record, struct err *err);
    int (*remove)(struct meta *meta, enum record_kind kind, const char *key, struct err *err);
    int (*list)(struct meta *meta, enum record_kind kind, const char *field, const char *value,
                void **ret_records, unsigned *ret_count);
};

/* First member of each implementation. */
struct meta {
    const struct meta_ops *ops;
    bool is_in_transaction;
};

/* Opens or makes the database at `path`. Refuses, with a message that says what to do: a file that
 * is no database of ours (-EINVAL), one written by a newer Verso (-EPROTONOSUPPORT), a damaged one
 * (-EUCLEAN), one that another process has open (-EBUSY). */
int meta_sqlite_open(const char *path, struct meta **ret_meta, struct err *err);
void meta_close(struct meta *meta); /* NULL is fine */

/* Transactions do not nest. After a failed commit nothing of it remains. */
int meta_begin(struct meta *meta, struct err *err);
int meta_commit(struct meta *meta, struct err *err);
void meta_rollback(struct meta *meta);

/* -ENOENT: no such record. */
int meta_get(struct meta *meta, enum record_kind kind, const char *key, void *ret_record);
/* Makes or replaces; inside a transaction only. */
int meta_put(struct meta *meta, enum record_kind kind, const void *record, struct err *err);
/* -ENOENT; inside a transaction only. */
int meta_remove(struct meta *meta, enum record_kind kind, const char *key, struct err *err);
/* All records whose text `field` has `value` (NULL: all), in the order in which they were made.
 * `*ret_records` is one array, to be freed by the caller; NULL when there are none. */
int meta_list(struct meta *meta, enum record_kind kind, const char *field, const char *value,
              void **ret_records, unsigned *ret_count);

#endif
