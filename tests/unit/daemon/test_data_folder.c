/* SPDX-License-Identifier: Apache-2.0 */
/* A folder that has been used is not taken for a new one, nor a new one for one that has been. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "daemon/data_folder.h"

static int open_folder(const char *folder)
{
    struct err err = {0};

    return data_folder_open(folder, &err);
}

static void put(const char *folder, const char *name, bool is_folder)
{
    char path[200];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    if (is_folder) {
        assert_int_equal(mkdir(path, 0700), 0);
        return;
    }
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static void test_first_start(void **state)
{
    static const char *const parts[] = {"disks", "streams"};
    char made[] = "/tmp/data-folder-XXXXXX", folder[100], name[100], command[150];

    assert_non_null(mkdtemp(made));
    snprintf(folder, sizeof(folder), "%s/verso", made);
    assert_int_equal(open_folder(folder), 0);
    for (unsigned i = 0; i < 2; i++) { /* file systems of their own, mounted there */
        put(folder, parts[i], true);
        snprintf(name, sizeof(name), "%s/lost+found", parts[i]);
        put(folder, name, true);
        assert_int_equal(open_folder(folder), 0);
    }
    put(folder, "streams/pair-1", true);
    assert_int_equal(open_folder(folder), -ENOENT);
    put(folder, "site.db", false);
    assert_int_equal(open_folder(folder), 0);
    snprintf(command, sizeof(command), "rm -rf %s", made);
    assert_int_equal(system(command), 0);
}

/* It may hold all there is. */
static void test_what_cannot_be_read_is_not_empty(void **state)
{
    char made[] = "/tmp/data-folder-XXXXXX", path[100], command[150];

    assert_non_null(mkdtemp(made));
    snprintf(path, sizeof(path), "%s/disks", made);
    assert_int_equal(symlink("disks", path), 0); /* to itself: an error for root, too */
    assert_int_equal(open_folder(made), -ELOOP);
    put(made, "site.db", false);
    assert_int_equal(open_folder(made), 0);
    snprintf(command, sizeof(command), "rm -rf %s", made);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_first_start),
                                       cmocka_unit_test(test_what_cannot_be_read_is_not_empty)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
