/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files the database makes SQLite open: those of the data folder, and none that has no name.
 * A file without a name would lie where the system keeps such files, perhaps on a full disk.
 */
#include <errno.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "meta/meta.h"

enum { LOG_BYTES = 16 << 20 };
enum { TOKENS = 2000 }; /* some 400 KiB: far beyond what SQLite keeps in memory by itself */

/* The system's own, but for files without a name: those it refuses, and counts. */
struct strict_vfs {
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
    unsigned nameless_count;
};

static int open_strictly(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                         int *ret_flags)
{
    struct strict_vfs *strict = vfs->pAppData;

    if (name)
        return strict->real->xOpen(strict->real, name, file, flags, ret_flags);
    strict->nameless_count++;
    file->pMethods = NULL;
    return SQLITE_CANTOPEN;
}

static void put_tokens(struct meta *meta, const char *reply)
{
    struct err err;

    assert_int_equal(meta_begin(meta, &err), 0);
    assert_int_equal(meta_part_begin(meta, &err), 0);
    for (int i = 0; i < TOKENS; i++) {
        struct token_record token = {.created_s = 1};

        snprintf(token.id, sizeof(token.id), "ModifyDiskReplicaPair/2021-07-30/root/%d", i * 7919);
        memset(token.digest, 'a', sizeof(token.digest) - 1);
        snprintf(token.reply, sizeof(token.reply), "%s", reply);
        assert_int_equal(meta_put(meta, RECORD_TOKEN, &token, &err), 0);
    }
    assert_int_equal(meta_part_end(meta, &err), 0);
    assert_int_equal(meta_commit(meta, &err), 0);
}

static void test_what_a_part_replaces_stays_in_memory(void **state)
{
    char folder[] = "/tmp/verso-files-XXXXXX", path[64];
    struct strict_vfs strict = {.real = sqlite3_vfs_find(NULL)};
    struct meta *meta;
    struct err err;

    (void)state;
    strict.vfs = *strict.real;
    strict.vfs.zName = "strict";
    strict.vfs.xOpen = open_strictly;
    strict.vfs.pAppData = &strict;
    assert_int_equal(sqlite3_vfs_register(&strict.vfs, 1), SQLITE_OK);
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/site.db", folder);
    assert_int_equal(meta_sqlite_open(path, &meta, &err), 0);
    put_tokens(meta, "{}");
    put_tokens(meta, "{\"RequestId\": 1}");
    assert_int_equal(strict.nameless_count, 0);
    meta_close(meta);
    sqlite3_vfs_unregister(&strict.vfs);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

/* On a full disk what is changed is still stored: what SQLite writes first has its room. */
static void test_log_has_its_room_from_the_start(void **state)
{
    char folder[] = "/tmp/verso-files-XXXXXX", path[64], log[80];
    struct stat stat_of;
    struct meta *meta;
    struct err err;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/site.db", folder);
    snprintf(log, sizeof(log), "%s-wal", path);
    for (unsigned i = 0; i < 2; i++) { /* the second life finds what the first one left */
        assert_int_equal(meta_sqlite_open(path, &meta, &err), 0);
        for (unsigned k = 0; k < 5; k++) { /* each is some 400 KiB: it begins anew in between */
            assert_int_equal(stat(log, &stat_of), 0);
            assert_true((uint64_t)stat_of.st_blocks * 512 >= LOG_BYTES);
            assert_true(stat_of.st_size < 2 * LOG_BYTES);
            put_tokens(meta, k % 2 == 0 ? "{}" : "{\"RequestId\": 1}");
        }
        meta_close(meta);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_part_replaces_stays_in_memory),
        cmocka_unit_test(test_log_has_its_room_from_the_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
