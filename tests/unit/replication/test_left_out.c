/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that is not open, since a start left it out with its stream, is deleted. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "pair_lab.h"

static void its_file_goes(void **state)
{
    struct pair_lab lab;
    struct err err = {0};
    char path[300];

    pair_lab_open(&lab);
    snprintf(path, sizeof(path), "%s/disks/d-lyon0.raw", lab.sites[LYON].folder);
    assert_int_equal(pair_remove(&lab, LYON), 0);
    assert_int_equal(engine_disk_close(lab.sites[LYON].engine, "d-lyon0", false, &err), 0);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(engine_disk_close(lab.sites[LYON].engine, "d-lyon0", false, &err), -ENOENT);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(engine_disk_close(lab.sites[LYON].engine, "d-lyon0", true, &err), -ENOENT);
    assert_int_equal(access(path, F_OK), -1);
    pair_lab_close(&lab);
}

static bool paris_may_write(struct pair_lab *lab, void *arg)
{
    (void)arg;
    return engine_disk_may_write(lab->sites[PARIS].engine, "d-paris0", &(const char *){NULL});
}

static void its_snapshots_go(void **state)
{
    struct pair_lab lab;
    struct engine_snapshot snapshot;
    struct err err = {0};
    char path[400];

    pair_lab_open(&lab);
    pair_wait(&lab, paris_may_write, NULL);
    pair_write(&lab, PARIS, 0, 10, 100, 1);
    assert_int_equal(pair_start(&lab, PARIS, false), 0);
    pair_settle(&lab, PARIS);
    assert_int_equal(pair_failover(&lab, LYON), 0);
    pair_write(&lab, LYON, 0, 20, 10, 2);
    assert_int_equal(pair_reprotect_met(&lab, LYON, false), 0); /* what Lyon loses is kept */
    assert_true(engine_snapshot_at(lab.sites[LYON].engine, "d-lyon0", 0, &snapshot));
    snprintf(path, sizeof(path), "%s/layers/%s", lab.sites[LYON].folder, snapshot.id);
    assert_int_equal(pair_remove(&lab, LYON), 0);
    assert_int_equal(engine_disk_close(lab.sites[LYON].engine, "d-lyon0", false, &err), 0);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(engine_disk_close(lab.sites[LYON].engine, "d-lyon0", true, &err), -ENOENT);
    assert_int_equal(engine_snapshot_count(lab.sites[LYON].engine, "d-lyon0"), 0);
    assert_int_equal(access(path, F_OK), -1);
    pair_lab_close(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(its_file_goes),
                                       cmocka_unit_test(its_snapshots_go)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
