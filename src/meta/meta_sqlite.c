/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: the metadata of a site in one SQLite file (DATA/site.db), write-ahead log, synchronous=FULL.
 *
 * Promises
 *  1. A committed transaction survives a power loss; one that was not committed leaves nothing.
 *  2. One process at a time: the file is locked exclusively from open to close.
 *  3. A file that is not ours, newer than we know, or damaged is refused before anything is
 *     written to it.
 *  4. What is read after an opening is durable. A process that was killed between the write of a
 *     transaction and its sync leaves it in the page cache, where it looks committed.
 *  5. The columns are those of records.c: at opening each table's statements are prepared once, so
 *     a mismatch is found then and not in the middle of an operation.
 *  6. The write-ahead log has its room from the start on, as far as there is any then or later: on
 *     a full disk what is changed (a failover) is still stored.
 *  7. A rowid is never given twice: the last row's is written down when it is removed.
 */
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/check.h"
#include "base/log.h"
#include "meta/meta.h"
#include "meta/schema.h"

enum {
    META_MAGIC = 0x6d657461,
    SQL_SIZE = 4096,
    /* Of the log, held from the start on. SQLite begins it anew once a quarter is used, which takes
     * no room but for new rows: so a full disk refuses no failover of what is known. */
    LOG_BYTES = 16 << 20,
    LOG_WAIT = 100,
    LOG_LEAVES = 3 * LOG_BYTES,
};

/* Of a table, twice its name. */
#define LAST_POSITION                                                                              \
    "max(ifnull((SELECT max(rowid) FROM %s), 0),"                                                  \
    " ifnull((SELECT position FROM last_positions WHERE name = '%s'), 0))"

/* What begins and ends transactions: several a call, so prepared as well. */
enum step { STEP_BEGIN, STEP_COMMIT, STEP_PART, STEP_PART_END, STEP_COUNT };

static const char *const step_texts[STEP_COUNT] = {
    [STEP_BEGIN] = "BEGIN IMMEDIATE",
    [STEP_COMMIT] = "COMMIT",
    [STEP_PART] = "SAVEPOINT part",
    [STEP_PART_END] = "RELEASE part",
};

struct meta_sqlite {
    struct meta meta;
    uint32_t magic;
    sqlite3 *database;
    bool has_log_room, has_told_room; /* promise 6 */
    unsigned log_wait;                /* so many changes until it is tried again */
    sqlite3_stmt *get[RECORD_KIND_COUNT];
    sqlite3_stmt *put[RECORD_KIND_COUNT];
    sqlite3_stmt *remove[RECORD_KIND_COUNT];
    sqlite3_stmt *note_last[RECORD_KIND_COUNT]; /* before the row of that key goes */
    sqlite3_stmt *steps[STEP_COUNT];
};

static struct meta_sqlite *sqlite_of(struct meta *meta)
{
    struct meta_sqlite *self = container_of(meta, struct meta_sqlite, meta);

    check_magic(self, META_MAGIC);
    return self;
}

static int error_code(int sqlite_code)
{
    switch (sqlite_code & 0xff) {
    case SQLITE_CONSTRAINT:
        return -EEXIST;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_CORRUPT:
        return -EUCLEAN;
    case SQLITE_NOTADB:
        return -EINVAL;
    default:
        return -EIO;
    }
}

static int fail(struct meta_sqlite *self, struct err *err, const char *what)
{
    int code = error_code(sqlite3_extended_errcode(self->database));

    return err_set(err, code, "%s: %s", what, sqlite3_errmsg(self->database));
}

static int execute(struct meta_sqlite *self, const char *sql, struct err *err)
{
    if (sqlite3_exec(self->database, sql, NULL, NULL, NULL) != SQLITE_OK)
        return fail(self, err, "metadata");
    return 0;
}

/* The first column of the first row of a pragma, or -1. */
static int64_t pragma_number(struct meta_sqlite *self, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    int64_t value = -1;

    if (sqlite3_prepare_v2(self->database, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return value;
}

static int take_step(struct meta *meta, enum step step, struct err *err)
{
    struct meta_sqlite *self = sqlite_of(meta);
    int result = 0;

    if (sqlite3_step(self->steps[step]) != SQLITE_DONE)
        result = fail(self, err, "metadata");
    sqlite3_reset(self->steps[step]);
    return result;
}

/* Where room is scarce others need it more, a start among them; a try that fails may keep what it
 * got. What no file system says, as in tests, is taken for room. */
static bool has_room_for_log(struct meta_sqlite *self)
{
    const char *path = sqlite3_db_filename(self->database, "main");
    struct statvfs room;

    return path == NULL || path[0] == '\0' || statvfs(path, &room) < 0 ||
           room.f_bavail >= (LOG_BYTES + LOG_LEAVES) / room.f_frsize;
}

/* Promise 6. SQLite takes a log that is longer than what is in it, and never makes it shorter. A
 * file system of the tests has no such call. */
static void hold_log_room(struct meta_sqlite *self)
{
    sqlite3_file *log = NULL;
    sqlite3_int64 bytes = LOG_BYTES;
    int chunk = LOG_BYTES, result;

    if (self->has_log_room)
        return;
    if (self->log_wait > 0) {
        self->log_wait--;
        return;
    }
    if (sqlite3_file_control(self->database, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) !=
            SQLITE_OK ||
        log == NULL || log->pMethods == NULL ||
        log->pMethods->xFileControl(log, SQLITE_FCNTL_CHUNK_SIZE, &chunk) != SQLITE_OK)
        return;
    result = has_room_for_log(self)
                 ? log->pMethods->xFileControl(log, SQLITE_FCNTL_SIZE_HINT, &bytes)
                 : SQLITE_FULL;
    self->has_log_room = result == SQLITE_OK;
    self->log_wait = LOG_WAIT;
    if (result != SQLITE_OK && !self->has_told_room)
        log_warning("meta", "no room for all of its log: on a full disk changes may be refused");
    else if (result == SQLITE_OK && self->has_told_room)
        log_info("meta", "its log has its room");
    self->has_told_room = result != SQLITE_OK;
}

static int meta_sqlite_commit(struct meta *meta, struct err *err)
{
    int result = take_step(meta, STEP_COMMIT, err);

    if (result == 0)
        hold_log_room(sqlite_of(meta));
    return result;
}

static void meta_sqlite_rollback(struct meta *meta)
{
    struct meta_sqlite *self = sqlite_of(meta);

    /* A failed statement may have rolled back already. */
    if (!sqlite3_get_autocommit(self->database))
        sqlite3_exec(self->database, "ROLLBACK", NULL, NULL, NULL);
}

static int meta_sqlite_begin(struct meta *meta, struct err *err)
{
    /* The last one is still open if there was no memory to roll it back. */
    meta_sqlite_rollback(meta);
    return take_step(meta, STEP_BEGIN, err);
}

static int meta_sqlite_part_begin(struct meta *meta, struct err *err)
{
    return take_step(meta, STEP_PART, err);
}

static int meta_sqlite_part_end(struct meta *meta, struct err *err)
{
    return take_step(meta, STEP_PART_END, err);
}

static int meta_sqlite_part_undo(struct meta *meta, struct err *err)
{
    return execute(sqlite_of(meta), "ROLLBACK TO part; RELEASE part", err);
}

static bool field_is_text(const struct record_field *field)
{
    return field->kind != FIELD_INT && field->kind != FIELD_BOOL;
}

/* Fills `record` from a row whose columns, from `first` on, are the type's fields in order. */
static int row_load(sqlite3_stmt *row, int first, const struct record_type *type, void *record)
{
    memset(record, 0, type->size);
    for (unsigned i = 0; i < type->field_count; i++) {
        const struct record_field *field = &type->fields[i];
        int column = first + (int)i;
        bool is_good;

        if (field_is_text(field)) {
            bool is_null = sqlite3_column_type(row, column) == SQLITE_NULL;
            const char *text = (const char *)sqlite3_column_text(row, column);
            if (!text && !is_null)
                return -ENOMEM;
            is_good = record_set_text(field, record, text ? text : "");
        } else {
            is_good = record_set_int(field, record, sqlite3_column_int64(row, column));
        }
        if (!is_good)
            return -EUCLEAN;
    }
    return 0;
}

static int meta_sqlite_get(struct meta *meta, enum record_kind kind, const char *key,
                           void *ret_record)
{
    struct meta_sqlite *self = sqlite_of(meta);
    sqlite3_stmt *statement = self->get[kind];
    int result;

    sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
    result = sqlite3_step(statement);
    if (result == SQLITE_ROW)
        result = row_load(statement, 0, record_type(kind), ret_record);
    else
        result = result == SQLITE_DONE ? -ENOENT : error_code(result);
    sqlite3_reset(statement);
    return result;
}

static int meta_sqlite_put(struct meta *meta, enum record_kind kind, const void *record,
                           struct err *err)
{
    struct meta_sqlite *self = sqlite_of(meta);
    const struct record_type *type = record_type(kind);
    sqlite3_stmt *statement = self->put[kind];
    int result = 0;

    for (unsigned i = 0; i < type->field_count; i++) {
        const struct record_field *field = &type->fields[i];
        int at = (int)i + 1;

        if (!field_is_text(field))
            sqlite3_bind_int64(statement, at, record_int(field, record));
        else if (field->is_reference && !record_text(field, record)[0])
            sqlite3_bind_null(statement, at);
        else
            sqlite3_bind_text(statement, at, record_text(field, record), -1, SQLITE_STATIC);
    }
    if (sqlite3_step(statement) != SQLITE_DONE)
        result = fail(self, err, type->table);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return result;
}

static int note_last(struct meta_sqlite *self, enum record_kind kind, const char *key,
                     struct err *err)
{
    sqlite3_stmt *statement = self->note_last[kind];
    int result = 0;

    sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
    if (sqlite3_step(statement) != SQLITE_DONE)
        result = fail(self, err, "last_positions");
    sqlite3_reset(statement);
    return result;
}

static int meta_sqlite_remove(struct meta *meta, enum record_kind kind, const char *key,
                              struct err *err)
{
    struct meta_sqlite *self = sqlite_of(meta);
    sqlite3_stmt *statement = self->remove[kind];
    int result = note_last(self, kind, key, err);

    if (result < 0)
        return result;
    sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
    if (sqlite3_step(statement) != SQLITE_DONE)
        result = fail(self, err, record_type(kind)->table);
    else if (sqlite3_changes(self->database) == 0)
        result = err_set(err, -ENOENT, "%s: no %s", record_type(kind)->table, key);
    sqlite3_reset(statement);
    return result;
}

/* "id, name, ..." */
static void append_columns(char *sql, const struct record_type *type)
{
    for (unsigned i = 0; i < type->field_count; i++) {
        if (i > 0)
            strcat(sql, ", ");
        strcat(sql, type->fields[i].name);
    }
    check(strlen(sql) < SQL_SIZE / 2);
}

/* "SELECT <columns> FROM table WHERE rowid > ?1 [AND field = ?2] <end>", bound. */
static int query_prepare(struct meta_sqlite *self, const struct meta_query *query,
                         const char *columns, uint64_t after, const char *end,
                         sqlite3_stmt **ret_statement)
{
    const struct record_type *type = record_type(query->kind);
    char sql[SQL_SIZE] = "SELECT ";
    int result;

    if (columns)
        strcat(sql, columns);
    else
        append_columns(strcat(sql, "rowid, "), type);
    snprintf(sql + strlen(sql), SQL_SIZE - strlen(sql), " FROM %s WHERE rowid > ?1", type->table);
    if (query->field)
        snprintf(sql + strlen(sql), SQL_SIZE - strlen(sql), " AND ifnull(%s, '') = ?2",
                 query->field);
    strcat(sql, end);
    result = sqlite3_prepare_v2(self->database, sql, -1, ret_statement, NULL);
    if (result != SQLITE_OK)
        return error_code(result);
    sqlite3_bind_int64(*ret_statement, 1, (sqlite3_int64)after);
    if (query->field)
        sqlite3_bind_text(*ret_statement, 2, query->value, -1, SQLITE_STATIC);
    return 0;
}

static int meta_sqlite_walk(struct meta *meta, const struct meta_query *query, uint64_t after,
                            meta_visit_fn visit_cb, void *arg)
{
    const struct record_type *type = record_type(query->kind);
    sqlite3_stmt *statement = NULL;
    void *record = malloc(type->size);
    int result = -ENOMEM;

    if (record)
        result = query_prepare(sqlite_of(meta), query, NULL, after, " ORDER BY rowid", &statement);
    while (result == 0) {
        int code = sqlite3_step(statement);
        if (code != SQLITE_ROW) {
            result = code == SQLITE_DONE ? 0 : error_code(code);
            break;
        }
        result = row_load(statement, 1, type, record);
        if (result == 0 && !visit_cb(arg, (uint64_t)sqlite3_column_int64(statement, 0), record))
            break;
    }
    sqlite3_finalize(statement);
    free(record);
    return result;
}

/* One number; -ENOENT: no row. */
static int query_number(sqlite3_stmt *statement, int64_t *ret_number)
{
    int code = sqlite3_step(statement);

    if (code == SQLITE_ROW)
        *ret_number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return code == SQLITE_ROW ? 0 : code == SQLITE_DONE ? -ENOENT : error_code(code);
}

static int meta_sqlite_seek(struct meta *meta, const struct meta_query *query, unsigned index,
                            uint64_t *ret_position)
{
    sqlite3_stmt *statement = NULL;
    int64_t rowid = 0;
    int result = query_prepare(sqlite_of(meta), query, "rowid", 0,
                               " ORDER BY rowid LIMIT 1 OFFSET ?3", &statement);

    if (result < 0)
        return result;
    sqlite3_bind_int64(statement, 3, index);
    result = query_number(statement, &rowid);
    if (result == 0)
        *ret_position = (uint64_t)rowid - 1;
    return result;
}

static int meta_sqlite_count(struct meta *meta, const struct meta_query *query, unsigned *ret_count)
{
    sqlite3_stmt *statement = NULL;
    int64_t count = 0;
    int result = query_prepare(sqlite_of(meta), query, "count(*)", 0, "", &statement);

    if (result == 0)
        result = query_number(statement, &count);
    if (result == 0)
        *ret_count = (unsigned)count;
    return result;
}

static int meta_sqlite_last(struct meta *meta, enum record_kind kind, uint64_t *ret_position)
{
    const char *table = record_type(kind)->table;
    sqlite3_stmt *statement = NULL;
    int64_t last = 0;
    char sql[SQL_SIZE];
    int result;

    snprintf(sql, SQL_SIZE, "SELECT " LAST_POSITION, table, table);
    result = sqlite3_prepare_v2(sqlite_of(meta)->database, sql, -1, &statement, NULL);
    if (result != SQLITE_OK)
        return error_code(result);
    result = query_number(statement, &last);
    if (result == 0)
        *ret_position = (uint64_t)last;
    return result;
}

static int prepare(struct meta_sqlite *self, const char *sql, sqlite3_stmt **ret, struct err *err)
{
    if (sqlite3_prepare_v3(self->database, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL) !=
        SQLITE_OK)
        return fail(self, err, "metadata: the schema does not fit this program");
    return 0;
}

static int prepare_kind(struct meta_sqlite *self, enum record_kind kind, struct err *err)
{
    const struct record_type *type = record_type(kind);
    const char *key = type->fields[0].name;
    char sql[SQL_SIZE] = "SELECT ";
    int result;

    append_columns(sql, type);
    snprintf(sql + strlen(sql), SQL_SIZE - strlen(sql), " FROM %s WHERE %s = ?1", type->table, key);
    result = prepare(self, sql, &self->get[kind], err);
    if (result < 0)
        return result;

    snprintf(sql, SQL_SIZE, "DELETE FROM %s WHERE %s = ?1", type->table, key);
    result = prepare(self, sql, &self->remove[kind], err);
    if (result < 0)
        return result;

    snprintf(sql, SQL_SIZE,
             "INSERT INTO last_positions (name, position) SELECT '%s', rowid FROM %s "
             "WHERE %s = ?1 AND rowid = (SELECT max(rowid) FROM %s) "
             "ON CONFLICT (name) DO UPDATE SET position = max(position, excluded.position)",
             type->table, type->table, key, type->table);
    result = prepare(self, sql, &self->note_last[kind], err);
    if (result < 0)
        return result;

    snprintf(sql, SQL_SIZE, "INSERT INTO %s (rowid, ", type->table);
    append_columns(sql, type);
    snprintf(sql + strlen(sql), SQL_SIZE - strlen(sql), ") VALUES (" LAST_POSITION " + 1, ?1",
             type->table, type->table);
    for (unsigned i = 1; i < type->field_count; i++)
        snprintf(sql + strlen(sql), SQL_SIZE - strlen(sql), ", ?%u", i + 1);
    snprintf(sql + strlen(sql), SQL_SIZE - strlen(sql), ") ON CONFLICT(%s) DO UPDATE SET ", key);
    for (unsigned i = 1; i < type->field_count; i++)
        snprintf(sql + strlen(sql), SQL_SIZE - strlen(sql), "%s%s = ?%u", i > 1 ? ", " : "",
                 type->fields[i].name, i + 1);
    return prepare(self, sql, &self->put[kind], err);
}

static int migrate(struct meta_sqlite *self, struct err *err)
{
    int64_t version = pragma_number(self, "PRAGMA user_version");
    char sql[80];

    if (version < 0)
        return fail(self, err, "schema");
    for (; version < (int64_t)schema_version(); version++) {
        int result = execute(self, "BEGIN IMMEDIATE", err);
        if (result == 0)
            result = execute(self, schema_migration((unsigned)version), err);
        snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", (int)version + 1);
        if (result == 0)
            result = execute(self, sql, err);
        snprintf(sql, sizeof(sql), "PRAGMA application_id = %d", SCHEMA_APPLICATION_ID);
        if (result == 0)
            result = execute(self, sql, err);
        if (result == 0)
            result = execute(self, "COMMIT", err);
        if (result < 0) {
            meta_sqlite_rollback(&self->meta);
            return err_wrap(err, "schema %d", (int)version + 1);
        }
    }
    return 0;
}

static bool is_sound(struct meta_sqlite *self, char *ret_finding, size_t size)
{
    sqlite3_stmt *statement = NULL;
    bool sound = false;

    snprintf(ret_finding, size, "the check could not run");
    if (sqlite3_prepare_v2(self->database, "PRAGMA quick_check(1)", -1, &statement, NULL) ==
            SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        snprintf(ret_finding, size, "%s", text ? text : "");
        sound = strcmp(ret_finding, "ok") == 0;
    }
    sqlite3_finalize(statement);
    return sound;
}

/* Refuses what we must not touch (promise 3). */
static int inspect(struct meta_sqlite *self, const char *path, struct err *err)
{
    int64_t version = pragma_number(self, "PRAGMA user_version");
    int64_t application = pragma_number(self, "PRAGMA application_id");
    int64_t table_count = pragma_number(self, "SELECT count(*) FROM sqlite_master");
    char finding[200];

    if (version < 0 || application < 0 || table_count < 0) {
        int code = error_code(sqlite3_extended_errcode(self->database));
        if (code == -EBUSY)
            return err_set(err, code, "%s: another process has it open", path);
        return err_set(err, code == -EINVAL ? -EINVAL : -EUCLEAN,
                       "%s: cannot be read (%s): damaged, or no database of Verso; restore it from "
                       "a backup",
                       path, sqlite3_errmsg(self->database));
    }
    if (table_count > 0 && application != SCHEMA_APPLICATION_ID)
        return err_set(err, -EINVAL,
                       "%s: a database, but not one of Verso: give another data "
                       "folder",
                       path);
    if (version > (int64_t)schema_version())
        return err_set(err, -EPROTONOSUPPORT,
                       "%s: written by a newer Verso (schema %d, this one knows %u): install that "
                       "version again, or restore the backup made before the upgrade",
                       path, (int)version, schema_version());
    if (!is_sound(self, finding, sizeof(finding)))
        return err_set(err, -EUCLEAN, "%s: damaged (%s): restore it from a backup", path, finding);
    return 0;
}

static void meta_sqlite_close(struct meta *meta)
{
    struct meta_sqlite *self = sqlite_of(meta);

    for (unsigned kind = 0; kind < RECORD_KIND_COUNT; kind++) {
        sqlite3_finalize(self->get[kind]);
        sqlite3_finalize(self->put[kind]);
        sqlite3_finalize(self->remove[kind]);
        sqlite3_finalize(self->note_last[kind]);
    }
    for (unsigned step = 0; step < STEP_COUNT; step++)
        sqlite3_finalize(self->steps[step]);
    check(sqlite3_close(self->database) == SQLITE_OK);
    free(self);
}

static const struct meta_ops sqlite_ops = {
    .close = meta_sqlite_close,
    .begin = meta_sqlite_begin,
    .commit = meta_sqlite_commit,
    .rollback = meta_sqlite_rollback,
    .part_begin = meta_sqlite_part_begin,
    .part_end = meta_sqlite_part_end,
    .part_undo = meta_sqlite_part_undo,
    .get = meta_sqlite_get,
    .put = meta_sqlite_put,
    .remove = meta_sqlite_remove,
    .walk = meta_sqlite_walk,
    .seek = meta_sqlite_seek,
    .count = meta_sqlite_count,
    .last = meta_sqlite_last,
};

/* Promise 4. Everything in the log goes into the database: the log is synced before, the database
 * behind. */
static int make_durable(struct meta_sqlite *self, const char *path, struct err *err)
{
    if (pragma_number(self, "PRAGMA wal_checkpoint(TRUNCATE)") == 0) /* 1: somebody reads it */
        return 0;
    return err_set(err, -EIO, "%s: its log cannot be made durable: %s", path,
                   sqlite3_errmsg(self->database));
}

static int prepare_all(struct meta_sqlite *self, const char *path, struct err *err)
{
    int result = inspect(self, path, err);

    if (result == 0)
        result = execute(self,
                         "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                         "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF",
                         err);
    if (result == 0)
        result = migrate(self, err);
    if (result == 0)
        result = make_durable(self, path, err);
    for (unsigned kind = 0; result == 0 && kind < RECORD_KIND_COUNT; kind++)
        result = prepare_kind(self, kind, err);
    for (unsigned step = 0; result == 0 && step < STEP_COUNT; step++)
        result = prepare(self, step_texts[step], &self->steps[step], err);
    if (result == 0)
        hold_log_room(self);
    return result;
}

int meta_sqlite_open(const char *path, struct meta **ret_meta, struct err *err)
{
    struct meta_sqlite *self = calloc(1, sizeof(*self));
    int result;

    if (!self)
        return err_set(err, -ENOMEM, "%s: out of memory", path);
    self->magic = META_MAGIC;
    self->meta.ops = &sqlite_ops;
    if (sqlite3_open_v2(path, &self->database,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK) {
        result = err_set(err, -EIO, "%s: %s", path,
                         self->database ? sqlite3_errmsg(self->database) : "out of memory");
    } else {
        /* What a part of a transaction replaced would otherwise lie in a file outside of the data
         * folder, and each page of it be a call of the kernel. */
        result = execute(self, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA temp_store = MEMORY", err);
        if (result == 0)
            result = prepare_all(self, path, err);
        if (result == -EBUSY)
            err_set(err, -EBUSY, "%s: another process has it open", path);
    }
    if (result < 0) {
        meta_sqlite_close(&self->meta);
        return result;
    }
    *ret_meta = &self->meta;
    return 0;
}

/* SQLite says each failure to one listener of the process. */
static void hear(void *arg, int code, const char *text)
{
    const struct meta_sqlite_watch *watch = arg;

    if (code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC)
        watch->failed_cb(watch->arg);
}

int meta_sqlite_watch(struct meta_sqlite_watch *watch, struct err *err)
{
    /* Nobody asks how much memory it has, and counting takes a lock at each piece. */
    if (sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) != SQLITE_OK ||
        sqlite3_config(SQLITE_CONFIG_LOG, hear, watch) != SQLITE_OK)
        return err_set(err, -EINVAL, "SQLite is in use before it is watched");
    return 0;
}
