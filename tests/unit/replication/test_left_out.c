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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(its_file_goes)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
