/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: thousands of lines a second at the worst, read by filters at any time, kept for months, and
 * never worth more than the site: a transaction for many lines, a sync only for those that must
 * not be lost, and a file that can be thrown away.
 *
 * Promise: what event_store_list() shows never has a number below one that it showed before, so a
 * reader who goes on "after the last number" misses nothing that is kept and sees nothing twice.
 */
#include "meta/event_store.h"

#include <errno.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum {
    EVENT_STORE_MAGIC = 0x65767374,
    APPLICATION_ID = 0x56524556,
    TRIM_ROWS = 1000,
    SCAN_ROWS = 10000
};

#define KEEP_MS (INT64_C(90) * 86400 * 1000)
#define KEEP_BYTES (INT64_C(64) << 20)
#define COLUMNS                                                                                    \
    "number, wall_ms, class, severity, kind, object, text, caller, key_id, source, request_id,"    \
    "action, code, status, duration_us"

enum statement {
    STATEMENT_INSERT,
    STATEMENT_OLDEST,
    STATEMENT_DROP_ANY,
    STATEMENT_DROP_CLASS,
    STATEMENT_DROP_OLD,
    STATEMENT_LIST,
    STATEMENT_LIST_BACKWARD,
    STATEMENT_WINDOW,
    STATEMENT_WINDOW_BACKWARD,
    STATEMENT_COUNT
};

#define LIST_WHERE                                                                                 \
    " number > ?1 AND number < ?11 AND (?2 = '' OR object = ?2) AND (?3 = '' OR kind = ?3) AND "   \
    "(?4 = '' OR caller = ?4)"                                                                     \
    " AND (?5 = '' OR action = ?5) AND wall_ms >= ?6 AND (?7 = 0 OR wall_ms < ?7)"                 \
    " AND severity >= ?8 AND (?9 OR class <> 0)"

static const char *const texts[STATEMENT_COUNT] = {
    [STATEMENT_INSERT] =
        "INSERT INTO events (wall_ms, class, severity, kind, object, text, caller, key_id, source,"
        " request_id, action, code, status, duration_us, bytes)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    [STATEMENT_OLDEST] = "SELECT wall_ms FROM events ORDER BY number LIMIT 1",
    [STATEMENT_DROP_ANY] = "DELETE FROM events WHERE number IN (SELECT number FROM events"
                           " ORDER BY number LIMIT ?1) RETURNING class, bytes",
    [STATEMENT_DROP_CLASS] = "DELETE FROM events WHERE number IN (SELECT number FROM events"
                             " WHERE class = ?2 ORDER BY number LIMIT ?1) RETURNING class, bytes",
    [STATEMENT_DROP_OLD] = "DELETE FROM events WHERE wall_ms < ?2 AND number IN"
                           " (SELECT number FROM events ORDER BY number LIMIT ?1)"
                           " RETURNING class, bytes",
    [STATEMENT_LIST] =
        "SELECT " COLUMNS " FROM events WHERE" LIST_WHERE " ORDER BY number LIMIT ?10",
    [STATEMENT_LIST_BACKWARD] =
        "SELECT " COLUMNS " FROM events WHERE" LIST_WHERE " ORDER BY number DESC LIMIT ?10",
    [STATEMENT_WINDOW] = "SELECT number FROM events WHERE number > ?1 AND number < ?2"
                         " ORDER BY number LIMIT 1 OFFSET ?3",
    [STATEMENT_WINDOW_BACKWARD] = "SELECT number FROM events WHERE number > ?1 AND number < ?2"
                                  " ORDER BY number DESC LIMIT 1 OFFSET ?3",
};

struct event_store {
    uint32_t magic;
    sqlite3 *database;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    struct event_limits limits;
    char path[PATH_MAX / 2];
    bool is_damaged;                  /* found when it was used: the next lines go into a new one */
    int64_t bytes[EVENT_CLASS_COUNT]; /* of the lines that are there */
};

static int error_code(int sqlite_code)
{
    switch (sqlite_code & 0xff) {
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EUCLEAN;
    default:
        return -EIO;
    }
}

static int fail(struct event_store *store, struct err *err)
{
    int code = error_code(sqlite3_extended_errcode(store->database));

    if (code == -EUCLEAN)
        store->is_damaged = true;
    return err_set(err, code, "events: %s", sqlite3_errmsg(store->database));
}

static int execute(struct event_store *store, const char *sql, struct err *err)
{
    if (sqlite3_exec(store->database, sql, NULL, NULL, NULL) != SQLITE_OK)
        return fail(store, err);
    return 0;
}

/* --- opening --------------------------------------------------------------------------------- */

static int read_number(struct event_store *store, const char *sql, int64_t *ret, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(store->database, sql, -1, &statement, NULL);

    if (result == SQLITE_OK)
        result = sqlite3_step(statement);
    if (result == SQLITE_ROW)
        *ret = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return result == SQLITE_ROW ? 0 : fail(store, err);
}

/* -EUCLEAN: not ours, or of another version of us. */
static int look(struct event_store *store, struct err *err)
{
    int64_t application = 0, version = 0, table_count = 0;
    int result = read_number(store, "SELECT count(*) FROM sqlite_master", &table_count, err);

    if (result == 0)
        result = read_number(store, "PRAGMA application_id", &application, err);
    if (result == 0)
        result = read_number(store, "PRAGMA user_version", &version, err);
    if (result == 0 && table_count > 0 && (application != APPLICATION_ID || version != 1))
        result = err_set(err, -EUCLEAN, "no record of events that this program knows");
    return result;
}

static int make_tables(struct event_store *store, struct err *err)
{
    char sql[100];
    int result = execute(store,
                         "PRAGMA auto_vacuum = NONE; PRAGMA journal_mode = WAL;"
                         "PRAGMA trusted_schema = OFF; PRAGMA wal_autocheckpoint = 1000;"
                         "BEGIN IMMEDIATE;"
                         "CREATE TABLE IF NOT EXISTS events ("
                         "  number INTEGER PRIMARY KEY AUTOINCREMENT, wall_ms INTEGER NOT NULL,"
                         "  class INTEGER NOT NULL, severity INTEGER NOT NULL, kind TEXT NOT NULL,"
                         "  object TEXT NOT NULL, text TEXT NOT NULL, caller TEXT NOT NULL,"
                         "  key_id TEXT NOT NULL, source TEXT NOT NULL, request_id TEXT NOT NULL,"
                         "  action TEXT NOT NULL, code TEXT NOT NULL, status INTEGER NOT NULL,"
                         "  duration_us INTEGER NOT NULL, bytes INTEGER NOT NULL);"
                         "CREATE INDEX IF NOT EXISTS events_class ON events(class, number);"
                         "PRAGMA user_version = 1",
                         err);

    snprintf(sql, sizeof(sql), "PRAGMA application_id = %d; COMMIT", APPLICATION_ID);
    return result < 0 ? result : execute(store, sql, err);
}

static int count_bytes(struct event_store *store, struct err *err)
{
    for (int class = 0; class < EVENT_CLASS_COUNT; class ++) {
        char sql[100];
        int result;

        snprintf(sql, sizeof(sql), "SELECT ifnull(sum(bytes), 0) FROM events WHERE class = %d",
                 class);
        result = read_number(store, sql, &store->bytes[class], err);
        if (result < 0)
            return result;
    }
    return 0;
}

/* The file can never be much larger than what is kept, whatever the lines are. */
static int bound_file(struct event_store *store, struct err *err)
{
    char sql[80];

    snprintf(sql, sizeof(sql), "PRAGMA max_page_count = %lld",
             (long long)(2 * store->limits.keep_bytes / 4096 + 256));
    return execute(store, sql, err);
}

static int prepare(struct event_store *store, struct err *err)
{
    for (int i = 0; i < STATEMENT_COUNT; i++)
        if (sqlite3_prepare_v3(store->database, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &store->statements[i], NULL) != SQLITE_OK)
            return fail(store, err);
    return 0;
}

static int open_database(struct event_store *store, struct err *err)
{
    int result = 0;

    if (sqlite3_open_v2(store->path, &store->database,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK)
        result = fail(store, err);
    if (result == 0)
        result = execute(store, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA temp_store = MEMORY", err);
    if (result == 0)
        result = look(store, err);
    if (result == 0)
        result = make_tables(store, err);
    if (result == 0)
        result = bound_file(store, err);
    if (result == 0)
        result = prepare(store, err);
    return result < 0 ? result : count_bytes(store, err);
}

static void close_database(struct event_store *store)
{
    for (int i = 0; i < STATEMENT_COUNT; i++) {
        sqlite3_finalize(store->statements[i]);
        store->statements[i] = NULL;
    }
    check(sqlite3_close(store->database) == SQLITE_OK);
    store->database = NULL;
}

void event_store_close(struct event_store *store)
{
    if (!store)
        return;
    check_magic(store, EVENT_STORE_MAGIC);
    close_database(store);
    store->magic = 0;
    free(store);
}

/* --- lines come ------------------------------------------------------------------------------ */

static int64_t line_bytes(const struct event_record *record)
{
    return (int64_t)(80 + strlen(record->kind) + strlen(record->object) + strlen(record->text) +
                     strlen(record->caller) + strlen(record->key_id) + strlen(record->source) +
                     strlen(record->request_id) + strlen(record->action) + strlen(record->code));
}

static int insert(struct event_store *store, struct event_record *record, struct err *err)
{
    sqlite3_stmt *statement = store->statements[STATEMENT_INSERT];
    const char *const words[] = {record->kind,       record->object, record->text,
                                 record->caller,     record->key_id, record->source,
                                 record->request_id, record->action, record->code};
    int result;

    check((unsigned)record->class < EVENT_CLASS_COUNT);
    sqlite3_bind_int64(statement, 1, record->wall_ms);
    sqlite3_bind_int(statement, 2, (int)record->class);
    sqlite3_bind_int(statement, 3, (int)record->severity);
    for (int i = 0; i < (int)ARRAY_COUNT(words); i++)
        sqlite3_bind_text(statement, 4 + i, words[i], -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 13, record->status);
    sqlite3_bind_int64(statement, 14, record->duration_us);
    sqlite3_bind_int64(statement, 15, line_bytes(record));
    result = sqlite3_step(statement) == SQLITE_DONE ? 0 : fail(store, err);
    sqlite3_reset(statement);
    if (result == 0) {
        record->number = sqlite3_last_insert_rowid(store->database);
        store->bytes[record->class] += line_bytes(record);
    }
    return result;
}

/* --- damage ---------------------------------------------------------------------------------- */

static void move_away(const char *path, const char *suffix)
{
    char from[PATH_MAX], to[PATH_MAX];

    snprintf(from, sizeof(from), "%s%s", path, suffix);
    snprintf(to, sizeof(to), "%s.damaged%s", path, suffix);
    (void)rename(from, to);
}

/* Numbers begin where no reader of the lost file can be: it had fewer than one a microsecond. */
static int renew(struct event_store *store, int64_t wall_ms, struct err *err)
{
    struct event_record record = {
        .wall_ms = wall_ms, .class = EVENT_STATE, .severity = EVENT_WARNING, .kind = "store"};
    char sql[120];
    int result;

    snprintf(record.text, sizeof(record.text), "the record of events was begun anew: %.180s",
             err->text);
    close_database(store);
    move_away(store->path, "");
    move_away(store->path, "-wal");
    move_away(store->path, "-shm");
    memset(store->bytes, 0, sizeof(store->bytes));
    store->is_damaged = false;
    result = open_database(store, err);
    snprintf(sql, sizeof(sql), "INSERT INTO sqlite_sequence (name, seq) VALUES ('events', %lld)",
             (long long)wall_ms * 1000);
    if (result == 0)
        result = execute(store, sql, err);
    return result < 0 ? result : insert(store, &record, err);
}

int event_store_open(const char *path, const struct event_limits *limits, int64_t wall_ms,
                     struct event_store **ret_store, struct err *err)
{
    struct event_store *store = calloc(1, sizeof(*store));
    int result;

    if (!store)
        return err_set(err, -ENOMEM, "%s: out of memory", path);
    store->magic = EVENT_STORE_MAGIC;
    store->limits.keep_ms = limits->keep_ms > 0 ? limits->keep_ms : KEEP_MS;
    store->limits.keep_bytes = limits->keep_bytes > 0 ? limits->keep_bytes : KEEP_BYTES;
    snprintf(store->path, sizeof(store->path), "%s", path);
    result = open_database(store, err);
    if (result == -EUCLEAN)
        result = renew(store, wall_ms, err);
    if (result < 0) {
        close_database(store);
        free(store);
        return err_wrap(err, "%s", path);
    }
    *ret_store = store;
    return 0;
}

/* --- lines go -------------------------------------------------------------------------------- */

static int drop(struct event_store *store, enum statement which, int64_t argument, struct err *err)
{
    sqlite3_stmt *statement = store->statements[which];
    int result;

    sqlite3_bind_int(statement, 1, TRIM_ROWS);
    if (which != STATEMENT_DROP_ANY)
        sqlite3_bind_int64(statement, 2, argument);
    while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
        int class = sqlite3_column_int(statement, 0);

        if (class >= 0 && class < EVENT_CLASS_COUNT)
            store->bytes[class] -= sqlite3_column_int64(statement, 1);
    }
    result = result == SQLITE_DONE ? 0 : fail(store, err);
    sqlite3_reset(statement);
    return result;
}

static int64_t total_bytes(const struct event_store *store)
{
    int64_t total = 0;

    for (int class = 0; class < EVENT_CLASS_COUNT; class ++)
        total += store->bytes[class];
    return total;
}

static int64_t oldest_ms(struct event_store *store)
{
    sqlite3_stmt *statement = store->statements[STATEMENT_OLDEST];
    int64_t oldest = INT64_MAX;

    if (sqlite3_step(statement) == SQLITE_ROW)
        oldest = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return oldest;
}

/* A few steps at each transaction: in the long run more goes than comes. */
static int trim(struct event_store *store, int64_t now_ms, struct err *err)
{
    static const enum event_class bounded[] = {EVENT_READ, EVENT_REFUSED, EVENT_DENIED};
    int64_t keep = store->limits.keep_bytes;
    int result = 0;

    for (unsigned i = 0; i < ARRAY_COUNT(bounded); i++)
        for (int turn = 0; result == 0 && turn < 8 && store->bytes[bounded[i]] > keep / 4; turn++)
            result = drop(store, STATEMENT_DROP_CLASS, bounded[i], err);
    for (int turn = 0; result == 0 && turn < 8 && total_bytes(store) > keep; turn++)
        result = drop(store, STATEMENT_DROP_ANY, 0, err);
    if (result == 0 && oldest_ms(store) < now_ms - store->limits.keep_ms)
        result = drop(store, STATEMENT_DROP_OLD, now_ms - store->limits.keep_ms, err);
    return result;
}

static void roll_back(struct event_store *store)
{
    if (!sqlite3_get_autocommit(store->database))
        sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
}

int event_store_append(struct event_store *store, struct event_record *records, unsigned count,
                       bool is_durable, struct err *err)
{
    int64_t before[EVENT_CLASS_COUNT];
    int result;

    check_magic(store, EVENT_STORE_MAGIC);
    check(count > 0);
    if (store->is_damaged) {
        err_fill(err, -EUCLEAN, "it was found damaged in use");
        result = renew(store, records[count - 1].wall_ms, err);
        if (result < 0)
            return result;
    }
    roll_back(store); /* what there was no memory for to roll back then */
    memcpy(before, store->bytes, sizeof(before));
    result = execute(store,
                     is_durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL", err);
    if (result == 0)
        result = execute(store, "BEGIN IMMEDIATE", err);
    if (result == 0)
        result = trim(store, records[count - 1].wall_ms, err);
    for (unsigned i = 0; result == 0 && i < count; i++)
        result = insert(store, &records[i], err);
    if (result == 0)
        result = execute(store, "COMMIT", err);
    if (result < 0) {
        roll_back(store);
        memcpy(store->bytes, before, sizeof(before));
    }
    return result;
}

/* --- reading --------------------------------------------------------------------------------- */

/* False: no memory; no text is NULL. */
static bool load(sqlite3_stmt *row, struct event_record *record)
{
    int class = sqlite3_column_int(row, 2), severity = sqlite3_column_int(row, 3);
    const struct {
        char *to;
        size_t size;
    } fields[] = {
        {record->kind, sizeof(record->kind)},
        {record->object, sizeof(record->object)},
        {record->text, sizeof(record->text)},
        {record->caller, sizeof(record->caller)},
        {record->key_id, sizeof(record->key_id)},
        {record->source, sizeof(record->source)},
        {record->request_id, sizeof(record->request_id)},
        {record->action, sizeof(record->action)},
        {record->code, sizeof(record->code)},
    };

    memset(record, 0, sizeof(*record));
    record->number = sqlite3_column_int64(row, 0);
    record->wall_ms = sqlite3_column_int64(row, 1);
    record->class =
        class >= 0 && class < EVENT_CLASS_COUNT ? (enum event_class) class : EVENT_STATE;
    record->severity = severity >= EVENT_INFO && severity <= EVENT_CRITICAL
                           ? (enum event_severity)severity
                           : EVENT_WARNING;
    for (int i = 0; i < (int)ARRAY_COUNT(fields); i++) {
        const char *text = (const char *)sqlite3_column_text(row, 4 + i);

        if (!text)
            return false;
        snprintf(fields[i].to, fields[i].size, "%s", text);
    }
    record->status = sqlite3_column_int64(row, 13);
    record->duration_us = sqlite3_column_int64(row, 14);
    return true;
}

/* Narrows `bounded` to the lines that are looked at; *ret_next: where the others begin, 0: none. */
static int find_window(struct event_store *store, struct event_filter *bounded, int64_t *ret_next,
                       struct err *err)
{
    sqlite3_stmt *statement =
        store->statements[bounded->is_backward ? STATEMENT_WINDOW_BACKWARD : STATEMENT_WINDOW];
    int result;

    if (bounded->before <= 0)
        bounded->before = INT64_MAX;
    sqlite3_bind_int64(statement, 1, bounded->after);
    sqlite3_bind_int64(statement, 2, bounded->before);
    sqlite3_bind_int64(statement, 3, bounded->scan_max > 0 ? bounded->scan_max : SCAN_ROWS);
    result = sqlite3_step(statement);
    *ret_next = 0;
    if (result == SQLITE_ROW && bounded->is_backward) {
        bounded->after = sqlite3_column_int64(statement, 0);
        *ret_next = bounded->after + 1;
    } else if (result == SQLITE_ROW) {
        bounded->before = sqlite3_column_int64(statement, 0);
        *ret_next = bounded->before - 1;
    }
    result = result == SQLITE_ROW || result == SQLITE_DONE ? 0 : fail(store, err);
    sqlite3_reset(statement);
    return result;
}

static void bind_filter(sqlite3_stmt *statement, const struct event_filter *filter)
{
    const char *const words[] = {filter->object, filter->kind, filter->caller, filter->action};

    sqlite3_bind_int64(statement, 1, filter->after);
    for (int i = 0; i < (int)ARRAY_COUNT(words); i++)
        sqlite3_bind_text(statement, 2 + i, words[i] ? words[i] : "", -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 6, filter->from_ms);
    sqlite3_bind_int64(statement, 7, filter->until_ms);
    sqlite3_bind_int(statement, 8, (int)filter->severity_min);
    sqlite3_bind_int(statement, 9, filter->with_reads);
    sqlite3_bind_int64(statement, 10, filter->count_max);
    sqlite3_bind_int64(statement, 11, filter->before);
}

int event_store_list(struct event_store *store, const struct event_filter *filter,
                     struct event_record **ret_records, unsigned *ret_count, int64_t *ret_next,
                     struct err *err)
{
    struct event_filter bounded = *filter;
    sqlite3_stmt *statement;
    struct event_record *records;
    unsigned count = 0;
    int result;

    check_magic(store, EVENT_STORE_MAGIC);
    check(filter->count_max > 0 && filter->count_max <= 10000);
    result = find_window(store, &bounded, ret_next, err);
    if (result < 0)
        return result;
    records = calloc(filter->count_max, sizeof(*records));
    if (!records)
        return err_set(err, -ENOMEM, "events: out of memory");
    statement = store->statements[filter->is_backward ? STATEMENT_LIST_BACKWARD : STATEMENT_LIST];
    bind_filter(statement, &bounded);
    result = SQLITE_DONE;
    while (count < filter->count_max && (result = sqlite3_step(statement)) == SQLITE_ROW)
        if (!load(statement, &records[count++])) {
            result = SQLITE_NOMEM;
            break;
        }
    if (result != SQLITE_ROW && result != SQLITE_DONE) {
        fail(store, err);
        count = 0;
    }
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    if (count == 0) {
        free(records);
        records = NULL;
    }
    *ret_records = records;
    *ret_count = count;
    return result == SQLITE_ROW || result == SQLITE_DONE ? 0 : err->code;
}
