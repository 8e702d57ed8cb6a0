/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata store: records there and back, transactions, and what it refuses to open. */
#include <errno.h>
#include <fcntl.h>
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

#include "meta/meta.h"
#include "meta/schema.h"

struct fixture {
    char folder[64], path[96];
    struct meta *meta;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct err err;

    strcpy(fixture->folder, "/tmp/verso-meta-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(fixture->path, sizeof(fixture->path), "%s/site.db", fixture->folder);
    assert_int_equal(meta_sqlite_open(fixture->path, &fixture->meta, &err), 0);
    *state = fixture;
    return 0;
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
    assert_int_equal(meta_sqlite_open(fixture->path, &fixture->meta, &err), 0);
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

    assert_int_equal(meta_sqlite_open(fixture->path, &meta, &err), code);
    assert_null(meta);
    if (!strstr(err.text, text))
        fail_msg("'%s' lacks '%s'", err.text, text);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_records_survive_a_reopening, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_kind_round_trips, setup, teardown),
        cmocka_unit_test_setup_teardown(test_list_keeps_order_and_filters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rollback_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_constraints_hold, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refuses_what_is_not_ours, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refuses_damage, setup, teardown),
        cmocka_unit_test(test_fields_refuse_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
