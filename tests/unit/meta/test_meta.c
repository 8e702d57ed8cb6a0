/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata store: records there and back, transactions, and what it refuses to open. All of it
 * twice: the database alone, and with the cache before it.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "meta/record_cache.h"
#include "meta/schema.h"

struct fixture {
    char folder[64], path[96];
    struct meta *meta;
    int (*open)(const char *path, struct meta **ret_meta, struct err *err);
};

static int setup(void **state, int (*open)(const char *path, struct meta **, struct err *))
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct err err;

    fixture->open = open;
    strcpy(fixture->folder, "/tmp/verso-meta-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(fixture->path, sizeof(fixture->path), "%s/site.db", fixture->folder);
    assert_int_equal(open(fixture->path, &fixture->meta, &err), 0);
    *state = fixture;
    return 0;
}

static int setup_database(void **state)
{
    return setup(state, meta_sqlite_open);
}

static int setup_cache(void **state)
{
    return setup(state, record_cache_open);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    char path[128];

    meta_close(fixture->meta);
    unlink(fixture->path);
    snprintf(path, sizeof(path), "%s-wal", fixture->path);
    unlink(path);
    snprintf(path, sizeof(path), "%s-shm", fixture->path);
    unlink(path);
    rmdir(fixture->folder);
    free(fixture);
    return 0;
}

static void put(struct meta *meta, enum record_kind kind, const void *record)
{
    struct err err;

    assert_int_equal(meta_begin(meta, &err), 0);
    assert_int_equal(meta_put(meta, kind, record, &err), 0);
    assert_int_equal(meta_commit(meta, &err), 0);
}

static struct disk_record disk_named(const char *id)
{
    struct disk_record disk = {.status = DISK_AVAILABLE, .size_bytes = 4096, .created_s = 17};

    strcpy(disk.id, id);
    strcpy(disk.name, "log: ä 盘 ' \"");
    strcpy(disk.driver, "file");
    return disk;
}

static void test_records_survive_a_reopening(void **state)
{
    struct fixture *fixture = *state;
    struct disk_record disk = disk_named("d-1"), back;
    struct err err;

    disk.is_encrypted = true;
    put(fixture->meta, RECORD_DISK, &disk);
    meta_close(fixture->meta);
    assert_int_equal(fixture->open(fixture->path, &fixture->meta, &err), 0);
    assert_int_equal(meta_get(fixture->meta, RECORD_DISK, "d-1", &back), 0);
    assert_memory_equal(&back, &disk, sizeof(disk));
    assert_int_equal(meta_get(fixture->meta, RECORD_DISK, "d-2", &back), -ENOENT);
}

static void test_every_kind_round_trips(void **state)
{
    struct fixture *fixture = *state;
    struct disk_record disk = disk_named("d-1");
    struct group_record group = {.common = {.id = "pg-1", .status = REPLICA_FAILOVERED}};
    struct pair_record pair = {.common = {.id = "pair-1",
                                          .status = REPLICA_SYNCING,
                                          .is_reversed = true,
                                          .term = 3,
                                          .version = 9,
                                          .opened_serial = 4},
                               .group_id = "pg-1",
                               .production_disk = "d-1",
                               .backup_disk = "d-9",
                               .size_bytes = 8192};
    struct attachment_record attachment = {.disk_id = "d-1", .instance_id = "i-1", .attached_s = 5};
    struct pair_record pair_back;
    struct attachment_record attachment_back;

    put(fixture->meta, RECORD_DISK, &disk);
    put(fixture->meta, RECORD_GROUP, &group);
    put(fixture->meta, RECORD_PAIR, &pair);
    put(fixture->meta, RECORD_ATTACHMENT, &attachment);
    assert_int_equal(meta_get(fixture->meta, RECORD_PAIR, "pair-1", &pair_back), 0);
    assert_memory_equal(&pair_back, &pair, sizeof(pair));
    assert_int_equal(meta_get(fixture->meta, RECORD_ATTACHMENT, "d-1", &attachment_back), 0);
    assert_memory_equal(&attachment_back, &attachment, sizeof(attachment));
}

static void test_list_keeps_order_and_filters(void **state)
{
    struct fixture *fixture = *state;
    static const char *const ids[] = {"d-3", "d-1", "d-2"};
    struct disk_record disk, *list;
    void *records;
    unsigned count;

    for (unsigned i = 0; i < 3; i++) {
        disk = disk_named(ids[i]);
        strcpy(disk.category, i == 1 ? "cloud_auto" : "cloud_essd");
        put(fixture->meta, RECORD_DISK, &disk);
    }
    disk = disk_named("d-3"); /* a replacement keeps its place */
    put(fixture->meta, RECORD_DISK, &disk);
    assert_int_equal(meta_list(fixture->meta, RECORD_DISK, NULL, NULL, &records, &count), 0);
    list = records;
    assert_int_equal(count, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_string_equal(list[i].id, ids[i]);
    free(records);
    assert_int_equal(
        meta_list(fixture->meta, RECORD_DISK, "category", "cloud_auto", &records, &count), 0);
    assert_int_equal(count, 1);
    free(records);
    assert_int_equal(
        meta_list(fixture->meta, RECORD_DISK, "category", "x' OR 1=1 --", &records, &count), 0);
    assert_int_equal(count, 0);
    assert_null(records);
}

static void test_rollback_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct disk_record disk = disk_named("d-1"), back;
    struct err err;

    assert_int_equal(meta_begin(fixture->meta, &err), 0);
    assert_int_equal(meta_put(fixture->meta, RECORD_DISK, &disk, &err), 0);
    meta_rollback(fixture->meta);
    assert_int_equal(meta_get(fixture->meta, RECORD_DISK, "d-1", &back), -ENOENT);
}

static void test_constraints_hold(void **state)
{
    struct fixture *fixture = *state;
    struct attachment_record orphan = {.disk_id = "d-none", .instance_id = "i-1"};
    struct pair_record pair = {.common = {.id = "pair-1"},
                               .production_disk = "d-1",
                               .backup_disk = "d-9",
                               .size_bytes = 4096};
    struct pair_record twin = pair;
    struct err err;

    put(fixture->meta, RECORD_PAIR, &pair);
    strcpy(twin.common.id, "pair-2"); /* the same disks */
    assert_int_equal(meta_begin(fixture->meta, &err), 0);
    assert_int_equal(meta_put(fixture->meta, RECORD_PAIR, &twin, &err), -EEXIST);
    meta_rollback(fixture->meta);
    assert_int_equal(meta_begin(fixture->meta, &err), 0);
    assert_int_equal(meta_put(fixture->meta, RECORD_ATTACHMENT, &orphan, &err), -EEXIST);
    assert_int_equal(meta_remove(fixture->meta, RECORD_DISK, "d-none", &err), -ENOENT);
    meta_rollback(fixture->meta);
}

/* --- order and positions --------------------------------------------------------------------- */

static struct pair_record pair_numbered(unsigned number)
{
    struct pair_record pair = {.common = {.status = REPLICA_CREATED, .rpo_s = 900},
                               .size_bytes = 4096};

    snprintf(pair.common.id, sizeof(pair.common.id), "pair-%05u", number);
    snprintf(pair.common.name, sizeof(pair.common.name), "the pair %u", number);
    strcpy(pair.common.production_site, "paris");
    strcpy(pair.common.backup_site, "lyon");
    snprintf(pair.production_disk, sizeof(pair.production_disk), "d-%05u", number);
    snprintf(pair.backup_disk, sizeof(pair.backup_disk), "e-%05u", number);
    return pair;
}

static void begin(struct meta *meta)
{
    struct err err;

    assert_int_equal(meta_begin(meta, &err), 0);
}

static void commit(struct meta *meta)
{
    struct err err;

    assert_int_equal(meta_commit(meta, &err), 0);
}

static void put_pair_in(struct meta *meta, unsigned number)
{
    struct pair_record pair = pair_numbered(number);
    struct err err;

    assert_int_equal(meta_put(meta, RECORD_PAIR, &pair, &err), 0);
}

static void put_pairs(struct meta *meta, unsigned from, unsigned count)
{
    begin(meta);
    for (unsigned i = from; i < from + count; i++)
        put_pair_in(meta, i);
    commit(meta);
}

static void remove_pair(struct meta *meta, unsigned number)
{
    struct pair_record pair = pair_numbered(number);
    struct err err;

    assert_int_equal(meta_remove(meta, RECORD_PAIR, pair.common.id, &err), 0);
}

/* "1 2 4" of the pairs that the query finds. */
static void expect_walk(struct meta *meta, const char *field, const char *value,
                        const char *expected)
{
    struct meta_query query = {RECORD_PAIR, field, value};
    struct pair_record pair;
    uint64_t position = 0, found;
    unsigned count, seen = 0;
    char text[200] = "";

    while (meta_next(meta, &query, &position, &pair) == 0) {
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%d", text[0] ? " " : "",
                 atoi(pair.common.id + 5));
        assert_int_equal(meta_seek(meta, &query, seen++, &found), 0);
        assert_true(found < position);
    }
    assert_string_equal(text, expected);
    assert_int_equal(meta_count(meta, &query, &count), 0);
    assert_int_equal(count, seen);
    assert_int_equal(meta_seek(meta, &query, seen, &found), -ENOENT);
}

static void test_walk_goes_on_from_a_position(void **state)
{
    struct fixture *fixture = *state;
    struct meta_query all = {.kind = RECORD_PAIR};
    uint64_t before[4], position = 0;
    struct pair_record pair;
    struct err err;

    put_pairs(fixture->meta, 1, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(meta_next(fixture->meta, &all, &position, &pair), 0);
        before[i] = position;
    }
    begin(fixture->meta);
    remove_pair(fixture->meta, 2);
    commit(fixture->meta);
    position = before[1]; /* of one that is gone */
    assert_int_equal(meta_next(fixture->meta, &all, &position, &pair), 0);
    assert_string_equal(pair.common.id, "pair-00003");
    assert_int_equal(position, before[2]);
    meta_close(fixture->meta); /* over a restart, too */
    assert_int_equal(fixture->open(fixture->path, &fixture->meta, &err), 0);
    position = before[2];
    assert_int_equal(meta_next(fixture->meta, &all, &position, &pair), 0);
    assert_int_equal(position, before[3]);
    assert_int_equal(meta_next(fixture->meta, &all, &position, &pair), -ENOENT);
    put_pairs(fixture->meta, 2, 1); /* made anew: the last */
    expect_walk(fixture->meta, NULL, NULL, "1 3 4 2");
}

static uint64_t position_of(struct meta *meta, unsigned number)
{
    struct pair_record pair = pair_numbered(number);
    struct meta_query query = {.kind = RECORD_PAIR, .field = "id", .value = pair.common.id};
    uint64_t position = 0;

    assert_int_equal(meta_next(meta, &query, &position, &pair), 0);
    return position;
}

/* Whoever looked on behind a position that is gone must not miss what was made since. */
static void test_a_position_is_given_once(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    uint64_t last;

    assert_int_equal(meta_last(fixture->meta, RECORD_PAIR, &last), 0);
    assert_int_equal(last, 0);
    put_pairs(fixture->meta, 1, 4);
    last = position_of(fixture->meta, 4);
    begin(fixture->meta);
    remove_pair(fixture->meta, 3);
    remove_pair(fixture->meta, 4);
    commit(fixture->meta);
    meta_close(fixture->meta);
    assert_int_equal(fixture->open(fixture->path, &fixture->meta, &err), 0);
    put_pairs(fixture->meta, 5, 1);
    assert_true(position_of(fixture->meta, 5) > last);
    begin(fixture->meta);
    remove_pair(fixture->meta, 5);
    put_pair_in(fixture->meta, 6);
    assert_true(position_of(fixture->meta, 6) > last + 1);
    meta_rollback(fixture->meta);
    begin(fixture->meta); /* all of them go */
    remove_pair(fixture->meta, 5);
    remove_pair(fixture->meta, 2);
    remove_pair(fixture->meta, 1);
    commit(fixture->meta);
    put_pairs(fixture->meta, 7, 1);
    assert_true(position_of(fixture->meta, 7) > last + 1);
    assert_int_equal(meta_last(fixture->meta, RECORD_PAIR, &last), 0);
    assert_int_equal(last, position_of(fixture->meta, 7));
}

static void test_fields_find_what_changed(void **state)
{
    struct fixture *fixture = *state;
    struct group_record group = {.common = {.id = "pg-1"}};
    struct pair_record pair = pair_numbered(2);
    struct err err;

    put(fixture->meta, RECORD_GROUP, &group);
    put_pairs(fixture->meta, 1, 4);
    expect_walk(fixture->meta, "group_id", "", "1 2 3 4");
    strcpy(pair.group_id, "pg-1");
    pair.common.status = REPLICA_SYNCING;
    put(fixture->meta, RECORD_PAIR, &pair);
    expect_walk(fixture->meta, "group_id", "", "1 3 4");
    expect_walk(fixture->meta, "group_id", "pg-1", "2");
    expect_walk(fixture->meta, "status", "syncing", "2");
    expect_walk(fixture->meta, "status", "created", "1 3 4");
    expect_walk(fixture->meta, "backup_disk", "e-00003", "3");
    expect_walk(fixture->meta, "backup_site", "lyon", "1 2 3 4"); /* no index */
    expect_walk(fixture->meta, "backup_site", "rome", "");
    expect_walk(fixture->meta, "id", "pair-00004", "4");
    begin(fixture->meta);
    pair.group_id[0] = 0;
    assert_int_equal(meta_put(fixture->meta, RECORD_PAIR, &pair, &err), 0);
    expect_walk(fixture->meta, "group_id", "pg-1", "");
    meta_rollback(fixture->meta);
    expect_walk(fixture->meta, "group_id", "pg-1", "2");
}

struct trimming {
    struct meta *meta;
    unsigned seen;
};

/* Removes what it is shown and the one behind it. */
static bool trim(void *arg, uint64_t position, const void *record)
{
    struct trimming *trimming = arg;
    unsigned number = (unsigned)atoi((const char *)record + 5);

    trimming->seen++;
    remove_pair(trimming->meta, number);
    remove_pair(trimming->meta, number + 1);
    return true;
}

static void test_walk_bears_changes(void **state)
{
    struct fixture *fixture = *state;
    struct meta_query query = {.kind = RECORD_PAIR, .field = "status", .value = "created"};
    struct trimming trimming = {.meta = fixture->meta};

    put_pairs(fixture->meta, 1, 6);
    begin(fixture->meta);
    assert_int_equal(meta_walk(fixture->meta, &query, 0, trim, &trimming), 0);
    assert_int_equal(trimming.seen, 3);
    expect_walk(fixture->meta, NULL, NULL, "");
    meta_rollback(fixture->meta);
    expect_walk(fixture->meta, NULL, NULL, "1 2 3 4 5 6");
    expect_walk(fixture->meta, "status", "created", "1 2 3 4 5 6");
}

/* --- parts ----------------------------------------------------------------------------------- */

static void test_a_part_is_undone_alone(void **state)
{
    struct fixture *fixture = *state;
    struct pair_record first = pair_numbered(1), second = pair_numbered(2), twin = second;
    struct err err;

    put_pairs(fixture->meta, 3, 1);
    begin(fixture->meta);
    assert_int_equal(meta_part_begin(fixture->meta, &err), 0);
    assert_int_equal(meta_put(fixture->meta, RECORD_PAIR, &first, &err), 0);
    assert_int_equal(meta_part_end(fixture->meta, &err), 0);
    assert_int_equal(meta_part_begin(fixture->meta, &err), 0);
    first.common.status = REPLICA_SYNCING;
    assert_int_equal(meta_put(fixture->meta, RECORD_PAIR, &first, &err), 0);
    remove_pair(fixture->meta, 3);
    assert_int_equal(meta_put(fixture->meta, RECORD_PAIR, &second, &err), 0);
    strcpy(twin.common.id, "pair-00009"); /* the same disks */
    assert_int_equal(meta_put(fixture->meta, RECORD_PAIR, &twin, &err), -EEXIST);
    assert_int_equal(meta_part_undo(fixture->meta, &err), 0);
    expect_walk(fixture->meta, NULL, NULL, "3 1");
    expect_walk(fixture->meta, "status", "syncing", "");
    commit(fixture->meta);
    meta_close(fixture->meta);
    assert_int_equal(fixture->open(fixture->path, &fixture->meta, &err), 0);
    expect_walk(fixture->meta, NULL, NULL, "3 1");
    expect_walk(fixture->meta, "status", "created", "3 1");
}

static void raw(const char *path, const char *sql)
{
    sqlite3 *database;

    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(database);
}

static void expect_refusal(struct fixture *fixture, int code, const char *text)
{
    struct meta *meta = NULL;
    struct err err = {0};

    assert_int_equal(fixture->open(fixture->path, &meta, &err), code);
    assert_null(meta);
    if (!strstr(err.text, text))
        fail_msg("'%s' lacks '%s'", err.text, text);
}

/* A database of version 1, with a disk in it. */
static void make_first_version(const char *path)
{
    char text[100];

    raw(path, schema_migration(0));
    raw(path, "INSERT INTO disks VALUES ('d-1', 'old', '', 'Available', 4096, 'cloud_essd', 'PL1',"
              " 'file', '', '', 0, 0, 17, 0)");
    snprintf(text, sizeof(text), "PRAGMA application_id = %d; PRAGMA user_version = 1",
             SCHEMA_APPLICATION_ID);
    raw(path, text);
}

static void test_an_old_database_is_brought_up(void **state)
{
    struct fixture *fixture = *state;
    struct disk_record disk;
    struct err err;

    meta_close(fixture->meta);
    unlink(fixture->path);
    make_first_version(fixture->path);
    assert_int_equal(fixture->open(fixture->path, &fixture->meta, &err), 0);
    assert_int_equal(meta_get(fixture->meta, RECORD_DISK, "d-1", &disk), 0);
    assert_string_equal(disk.name, "old");
    meta_close(fixture->meta);
    fixture->meta = NULL;
    raw(fixture->path, "CREATE TABLE events (unused)"); /* what nobody used is not there */
}

static void test_refuses_what_is_not_ours(void **state)
{
    struct fixture *fixture = *state;

    expect_refusal(fixture, -EBUSY, "another process");
    meta_close(fixture->meta);
    fixture->meta = NULL;
    raw(fixture->path, "PRAGMA user_version = 99");
    expect_refusal(fixture, -EPROTONOSUPPORT, "newer Verso (schema 99");
    raw(fixture->path, "PRAGMA user_version = 1; PRAGMA application_id = 7");
    expect_refusal(fixture, -EINVAL, "not one of Verso");
}

static void test_refuses_damage(void **state)
{
    struct fixture *fixture = *state;
    char junk[4096];
    int file;

    meta_close(fixture->meta);
    fixture->meta = NULL;
    memset(junk, 0x5a, sizeof(junk));
    file = open(fixture->path, O_WRONLY);
    assert_true(file >= 0);
    for (unsigned page = 1; page < 6; page++)
        assert_int_equal(pwrite(file, junk, sizeof(junk), page * 4096), sizeof(junk));
    expect_refusal(fixture, -EUCLEAN, "damaged");
    assert_int_equal(pwrite(file, junk, sizeof(junk), 0), sizeof(junk));
    close(file);
    expect_refusal(fixture, -EINVAL, "restore it from a backup");
}

static void test_fields_refuse_what_does_not_fit(void **state)
{
    struct disk_record disk = disk_named("d-1");
    const struct record_type *type = record_type(RECORD_DISK);
    char longer[RECORD_TEXT_SIZE + 10];

    memset(longer, 'x', sizeof(longer));
    longer[sizeof(longer) - 1] = 0;
    assert_false(record_set_text(&type->fields[0], &disk, longer));
    assert_false(record_set_text(&type->fields[3], &disk, "No_state"));
    assert_false(record_set_int(&type->fields[0], &disk, 1));
    assert_string_equal(disk.id, "d-1");
}

/* --- the cache alone ------------------------------------------------------------------------- */

/* Passes everything on to the database but a commit, when it is told so. */
struct brittle {
    struct meta meta;
    struct meta *real;
    bool is_broken;
};

static struct brittle *brittle_of(struct meta *meta)
{
    return (struct brittle *)meta;
}

static void brittle_close(struct meta *meta)
{
    meta_close(brittle_of(meta)->real);
    free(meta);
}

static int brittle_begin(struct meta *meta, struct err *err)
{
    return meta_begin(brittle_of(meta)->real, err);
}

static int brittle_commit(struct meta *meta, struct err *err)
{
    if (!brittle_of(meta)->is_broken)
        return meta_commit(brittle_of(meta)->real, err);
    meta_rollback(brittle_of(meta)->real);
    return err_set(err, -EIO, "broken");
}

static void brittle_rollback(struct meta *meta)
{
    if (brittle_of(meta)->real->is_in_transaction)
        meta_rollback(brittle_of(meta)->real);
}

static int brittle_put(struct meta *meta, enum record_kind kind, const void *record,
                       struct err *err)
{
    return meta_put(brittle_of(meta)->real, kind, record, err);
}

static int brittle_remove(struct meta *meta, enum record_kind kind, const char *key,
                          struct err *err)
{
    return meta_remove(brittle_of(meta)->real, kind, key, err);
}

static int brittle_walk(struct meta *meta, const struct meta_query *query, uint64_t after,
                        meta_visit_fn visit_cb, void *arg)
{
    if (brittle_of(meta)->is_broken)
        return -EIO;
    return meta_walk(brittle_of(meta)->real, query, after, visit_cb, arg);
}

static int brittle_last(struct meta *meta, enum record_kind kind, uint64_t *ret_position)
{
    return meta_last(brittle_of(meta)->real, kind, ret_position);
}

static const struct meta_ops brittle_ops = {
    .close = brittle_close,
    .begin = brittle_begin,
    .commit = brittle_commit,
    .rollback = brittle_rollback,
    .put = brittle_put,
    .remove = brittle_remove,
    .walk = brittle_walk,
    .last = brittle_last,
};

static struct brittle *brittle_new(struct fixture *fixture)
{
    struct brittle *brittle = calloc(1, sizeof(*brittle));
    struct err err;

    meta_close(fixture->meta);
    fixture->meta = NULL;
    brittle->meta.ops = &brittle_ops;
    assert_int_equal(meta_sqlite_open(fixture->path, &brittle->real, &err), 0);
    return brittle;
}

static void test_a_failed_commit_is_taken_back(void **state)
{
    struct fixture *fixture = *state;
    struct brittle *brittle;
    struct pair_record pair = pair_numbered(2);
    struct err err;

    put_pairs(fixture->meta, 1, 3);
    brittle = brittle_new(fixture);
    assert_int_equal(record_cache_new(&brittle->meta, &fixture->meta, &err), 0);
    begin(fixture->meta);
    remove_pair(fixture->meta, 1);
    pair.common.status = REPLICA_SYNCING;
    assert_int_equal(meta_put(fixture->meta, RECORD_PAIR, &pair, &err), 0);
    pair = pair_numbered(4);
    assert_int_equal(meta_put(fixture->meta, RECORD_PAIR, &pair, &err), 0);
    expect_walk(fixture->meta, NULL, NULL, "2 3 4");
    brittle->is_broken = true;
    assert_int_equal(meta_commit(fixture->meta, &err), -EIO);
    expect_walk(fixture->meta, NULL, NULL, "1 2 3");
    expect_walk(fixture->meta, "status", "created", "1 2 3");
    assert_int_equal(meta_get(fixture->meta, RECORD_PAIR, "pair-00004", &pair), -ENOENT);
    brittle->is_broken = false;
    put_pairs(fixture->meta, 4, 1);
    expect_walk(fixture->meta, NULL, NULL, "1 2 3 4");
}

static void test_what_cannot_be_read_is_not_none(void **state)
{
    struct fixture *fixture = *state;
    struct brittle *brittle;
    struct meta *cache = NULL;
    struct err err;

    put_pairs(fixture->meta, 1, 3);
    brittle = brittle_new(fixture);
    brittle->is_broken = true;
    assert_int_equal(record_cache_new(&brittle->meta, &cache, &err), -EIO);
    assert_null(cache);
    assert_non_null(strstr(err.text, "cannot be read"));
    brittle->is_broken = false;
    fixture->meta = &brittle->meta; /* still ours */
}

static unsigned next_random(unsigned *seed, unsigned below)
{
    *seed = *seed * 1103515245 + 12345;
    return (*seed >> 16) % below;
}

static void change_at_random(struct meta *meta, unsigned *seed)
{
    struct pair_record pair = pair_numbered(next_random(seed, 12));
    struct err err;

    pair.common.status = next_random(seed, 2) ? REPLICA_SYNCING : REPLICA_STOPPED;
    pair.common.version = next_random(seed, 1000);
    if (next_random(seed, 3) == 0)
        meta_remove(meta, RECORD_PAIR, pair.common.id, &err);
    else
        assert_int_equal(meta_put(meta, RECORD_PAIR, &pair, &err), 0);
}

static void expect_same(struct meta *cache, struct meta *database, const char *field,
                        const char *value)
{
    struct meta_query query = {RECORD_PAIR, field, value};
    uint64_t left_position = 0, right_position = 0;
    struct pair_record left, right;
    int result = 0;

    while (result == 0) {
        result = meta_next(cache, &query, &left_position, &left);
        assert_int_equal(meta_next(database, &query, &right_position, &right), result);
        assert_int_equal(left_position, right_position);
        if (result == 0)
            assert_memory_equal(&left, &right, sizeof(left));
    }
    assert_int_equal(result, -ENOENT);
}

/* Whatever is done and undone, both say the same. */
static void test_cache_and_database_agree(void **state)
{
    struct fixture *fixture = *state;
    struct brittle *brittle = brittle_new(fixture);
    struct meta *database = brittle->real;
    unsigned seed = 7;
    struct err err;

    assert_int_equal(record_cache_new(database, &fixture->meta, &err), 0);
    for (unsigned round = 0; round < 400; round++) {
        begin(fixture->meta);
        for (unsigned part = next_random(&seed, 4); part > 0; part--) {
            assert_int_equal(meta_part_begin(fixture->meta, &err), 0);
            for (unsigned i = next_random(&seed, 5); i > 0; i--)
                change_at_random(fixture->meta, &seed);
            if (next_random(&seed, 3) == 0)
                assert_int_equal(meta_part_undo(fixture->meta, &err), 0);
            else
                assert_int_equal(meta_part_end(fixture->meta, &err), 0);
        }
        change_at_random(fixture->meta, &seed);
        if (next_random(&seed, 4) == 0)
            meta_rollback(fixture->meta);
        else
            commit(fixture->meta);
        expect_same(fixture->meta, database, NULL, NULL);
        expect_same(fixture->meta, database, "status", "syncing");
        expect_same(fixture->meta, database, "production_disk", "d-00003");
    }
    free(brittle);
}

static void test_ten_thousand_pairs_are_small(void **state)
{
    struct fixture *fixture = *state;
    struct pair_record pair;
    size_t before = mallinfo2().uordblks, used;

    put_pairs(fixture->meta, 0, 10000);
    used = mallinfo2().uordblks - before;
    if (before > 0 && used > 0 && used < (size_t)1 << 40) /* a sanitizer's malloc tells nothing */
        assert_in_range(used, 1, 14 << 20);
    assert_int_equal(meta_get(fixture->meta, RECORD_PAIR, "pair-07777", &pair), 0);
    assert_string_equal(pair.backup_disk, "e-07777");
}

#define BOTH(test)                                                                                 \
    {.name = #test ", database",                                                                   \
     .test_func = test,                                                                            \
     .setup_func = setup_database,                                                                 \
     .teardown_func = teardown},                                                                   \
    {                                                                                              \
        .name = #test ", cached", .test_func = test, .setup_func = setup_cache,                    \
        .teardown_func = teardown                                                                  \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_records_survive_a_reopening),
        BOTH(test_every_kind_round_trips),
        BOTH(test_list_keeps_order_and_filters),
        BOTH(test_rollback_leaves_nothing),
        BOTH(test_constraints_hold),
        BOTH(test_walk_goes_on_from_a_position),
        BOTH(test_a_position_is_given_once),
        BOTH(test_fields_find_what_changed),
        BOTH(test_a_part_is_undone_alone),
        BOTH(test_an_old_database_is_brought_up),
        BOTH(test_refuses_what_is_not_ours),
        BOTH(test_refuses_damage),
        cmocka_unit_test(test_fields_refuse_what_does_not_fit),
        cmocka_unit_test_setup_teardown(test_walk_bears_changes, setup_cache, teardown),
        cmocka_unit_test_setup_teardown(test_a_failed_commit_is_taken_back, setup_cache, teardown),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_read_is_not_none, setup_cache,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_cache_and_database_agree, setup_cache, teardown),
        cmocka_unit_test_setup_teardown(test_ten_thousand_pairs_are_small, setup_cache, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
