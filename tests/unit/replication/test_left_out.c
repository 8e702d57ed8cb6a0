/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that is not open, since a start left it out with its stream, is deleted. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/loop_ops.h"
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

static int sync_folder_failing(struct loop *loop, const char *path)
{
    return -EIO;
}

/* Its file has no name any more, but perhaps not durably so: no host may write to what is left. */
static void one_that_may_have_gone_is_open_no_more(void **state)
{
    struct pair_lab lab;
    struct err err = {0};
    struct loop_ops ops;
    const char *why;
    char path[300];

    (void)state;
    pair_lab_open(&lab);
    struct engine *engine = lab.sites[LYON].engine;

    snprintf(path, sizeof(path), "%s/disks/d-lyon0.raw", lab.sites[LYON].folder);
    assert_int_equal(pair_remove(&lab, LYON), 0);
    const struct loop_ops *real_ops = lab.loop->ops;

    ops = *real_ops;
    ops.dir_sync = sync_folder_failing;
    lab.loop->ops = &ops;
    assert_int_equal(engine_disk_close(engine, "d-lyon0", true, &err), -EIO);
    assert_non_null(strstr(err.text, "delete it again"));
    assert_int_equal(access(path, F_OK), -1);
    assert_false(engine_disk_may_write(engine, "d-lyon0", &why));
    assert_null(engine_disk_volume(engine, "d-lyon0"));
    assert_int_equal(engine_disk_close(engine, "d-lyon0", true, &err), -EIO);
    lab.loop->ops = real_ops;
    assert_int_equal(engine_disk_close(engine, "d-lyon0", true, &err), -ENOENT);
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

struct reading {
    struct volume_request request;
    struct iovec iov;
    uint8_t bytes[3 * BLOCK_SIZE];
    bool is_done;
    int error;
};

static void read_done(struct volume_request *request, int error)
{
    struct reading *reading = container_of(request, struct reading, request);

    reading->is_done = true;
    reading->error = error;
}

static bool is_read(struct pair_lab *lab, void *arg)
{
    (void)lab;
    return ((struct reading *)arg)->is_done;
}

/* What the layer holds is read first, and what it lacks then in the disk: that must be there. */
static void snapshot_that_is_read(void **state)
{
    static struct reading reading;
    struct pair_lab lab;
    struct engine_snapshot snapshot;
    struct err err = {0};

    pair_lab_open(&lab);
    pair_wait(&lab, paris_may_write, NULL);
    pair_write(&lab, PARIS, 0, 10, 100, 1);
    assert_int_equal(pair_start(&lab, PARIS, false), 0);
    pair_settle(&lab, PARIS);
    assert_int_equal(pair_failover(&lab, LYON), 0);
    assert_int_equal(pair_reprotect_met(&lab, LYON, false), 0);
    pair_wait(&lab, paris_may_write, NULL);
    pair_write(&lab, PARIS, 0, 10, 1, 3);
    assert_int_equal(pair_start(&lab, PARIS, false), 0);
    pair_settle(&lab, PARIS);
    assert_true(engine_snapshot_at(lab.sites[LYON].engine, "d-lyon0", 0, &snapshot));
    assert_int_equal(pair_remove(&lab, LYON), 0); /* the journal comes into the disk */
    reading.iov = (struct iovec){reading.bytes, sizeof(reading.bytes)};
    reading.request = (struct volume_request){.op = VOLUME_READ,
                                              .offset = 10 * BLOCK_SIZE,
                                              .length = sizeof(reading.bytes),
                                              .iov = &reading.iov,
                                              .iov_count = 1,
                                              .done_cb = read_done};
    engine_snapshot_submit(lab.sites[LYON].engine, snapshot.id, &reading.request);
    assert_int_equal(engine_disk_close(lab.sites[LYON].engine, "d-lyon0", true, &err), -EBUSY);
    pair_wait(&lab, is_read, &reading);
    assert_int_equal(reading.error, 0);
    assert_int_equal(reading.bytes[BLOCK_SIZE], reading.bytes[0] + 1); /* as written at first */
    assert_int_equal(engine_disk_close(lab.sites[LYON].engine, "d-lyon0", true, &err), 0);
    pair_lab_close(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_file_goes), cmocka_unit_test(one_that_may_have_gone_is_open_no_more),
        cmocka_unit_test(its_snapshots_go), cmocka_unit_test(snapshot_that_is_read)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
