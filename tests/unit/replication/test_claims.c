/* SPDX-License-Identifier: Apache-2.0 */
/* Records that are older than a stream know nothing of it: its disks are no ordinary disks. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "pair_lab.h"

static bool may_write(struct pair_lab *lab, unsigned site)
{
    const char *disk = site == PARIS ? "d-paris0" : "d-lyon0", *why;
    bool may = engine_disk_may_write(lab->sites[site].engine, disk, &why);

    assert_int_equal(may, why[0] == '\0');
    return may;
}

static bool paris_may_write(struct pair_lab *lab, void *arg)
{
    (void)arg;
    return may_write(lab, PARIS);
}

/* Both sites replicate; then that one is started with records of before. */
static void begin(struct pair_lab *lab, unsigned site)
{
    pair_lab_open(lab);
    pair_wait(lab, paris_may_write, NULL);
    pair_write(lab, PARIS, 0, 10, 100, 1);
    assert_int_equal(pair_start(lab, PARIS, false), 0);
    pair_settle(lab, PARIS);
    pair_site_stop(lab, site);
    lab->is_forgetful = true;
    pair_site_start(lab, site, false);
}

static int open_stream(struct pair_lab *lab, unsigned site, const char *id, bool create,
                       unsigned disk_count)
{
    struct engine_stream_options options = {.id = id,
                                            .peer = site == PARIS ? "lyon" : "paris",
                                            .role = lab->roles[site],
                                            .create = create,
                                            .disk_count = disk_count};
    struct err err = {0};

    for (unsigned i = 0; i < disk_count; i++)
        options.disks[i].disk =
            (const char *const[]){"d-paris0", "d-paris1", "d-lyon0", "d-lyon1"}[2 * site + i];
    return engine_stream_open(lab->sites[site].engine, &options, &err);
}

static void grown(void *arg, int error, const char *why)
{
    assert_true(error == 0 || strlen(why) > 0);
    *(int *)arg = error;
}

static bool is_told(struct pair_lab *lab, void *arg)
{
    (void)lab;
    return *(int *)arg != 1;
}

static void wiped(void *arg, int error, const char *why, uint64_t next, bool is_whole)
{
    (void)why;
    (void)next;
    (void)is_whole;
    *(int *)arg = error;
}

static void no_host_writes_what_nobody_remembers(void **state)
{
    struct pair_lab lab;
    const char *why;

    for (unsigned site = 0; site < SITES; site++) {
        int told = 1;

        begin(&lab, site);
        assert_false(may_write(&lab, site));
        assert_non_null(strstr(lab.sites[site].found, "no host reaches its disks"));
        (void)engine_disk_may_write(lab.sites[site].engine, site == PARIS ? "d-paris1" : "d-lyon1",
                                    &why);
        assert_non_null(strstr(why, "pg-lab"));
        /* It is not made anew over what is there, nor do its disks get into another one. */
        assert_int_equal(open_stream(&lab, site, "pg-lab", true, DISKS), -EEXIST);
        assert_int_equal(open_stream(&lab, site, "pair-other", true, 1), -EBUSY);
        assert_false(may_write(&lab, site));
        engine_disk_grow(lab.sites[site].engine, site == PARIS ? "d-paris0" : "d-lyon0",
                         (DISK_BLOCKS + 8) * BLOCK_SIZE, grown, &told);
        pair_wait(&lab, is_told, &told);
        assert_int_equal(told, -EBUSY);
        engine_disk_wipe(lab.sites[site].engine, site == PARIS ? "d-paris0" : "d-lyon0", 0, wiped,
                         &told);
        assert_int_equal(told, -EBUSY);
        assert_int_equal(open_stream(&lab, site, "pg-lab", false, DISKS), 0);
        pair_wait(&lab, paris_may_write, NULL);
        pair_write(&lab, PARIS, 0, 500, 10, 2);
        pair_settle(&lab, PARIS);
        pair_lab_close(&lab);
    }
}

static void what_is_given_up_is_ordinary(void **state)
{
    struct pair_lab lab;

    begin(&lab, PARIS);
    assert_int_equal(pair_remove(&lab, PARIS), 0);
    assert_true(may_write(&lab, PARIS));
    pair_lab_close(&lab);
    begin(&lab, LYON);
    assert_int_equal(pair_remove(&lab, LYON), -EUCLEAN); /* its journal holds more than its disks */
    assert_false(may_write(&lab, LYON));
    assert_int_equal(pair_remove_journal(&lab, LYON, true), 0);
    assert_true(may_write(&lab, LYON));
    pair_lab_close(&lab);
}

/* Whose disks they are cannot be read: they are ordinary ones, but nothing is made over it. */
static void damaged_one_is_left_alone(void **state)
{
    struct pair_lab lab;
    char path[300];

    begin(&lab, PARIS);
    pair_site_stop(&lab, PARIS);
    snprintf(path, sizeof(path), "%s/streams/pg-lab/state", lab.sites[PARIS].folder);
    assert_int_equal(truncate(path, 100), 0);
    pair_site_start(&lab, PARIS, false);
    assert_true(may_write(&lab, PARIS));
    assert_non_null(
        strstr(lab.sites[PARIS].found, "its state cannot be read")); /* and no promise */
    assert_int_equal(open_stream(&lab, PARIS, "pg-lab", true, DISKS), -EEXIST);
    assert_true(open_stream(&lab, PARIS, "pg-lab", false, DISKS) < 0);
    assert_int_equal(access(path, F_OK), 0);
    pair_lab_close(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_host_writes_what_nobody_remembers),
                                       cmocka_unit_test(what_is_given_up_is_ordinary),
                                       cmocka_unit_test(damaged_one_is_left_alone)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
