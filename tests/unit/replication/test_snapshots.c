/* SPDX-License-Identifier: Apache-2.0 */
/* Layers over volumes: they show what the base held when they were made, whoever writes it (R11).
 */
#include "replication/snapshots.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "replica_bench.h"
#include "store/bitfile_format.h"

struct lab {
    struct replica_bench bench;
    struct snapshots *snapshots;
    unsigned changes;
    unsigned left;
    int error;
};

static void changed(void *arg, const char *disk)
{
    assert_memory_equal(disk, "d-", 2);
    ((struct lab *)arg)->changes++;
}

static void open_snapshots(struct lab *lab)
{
    char folder[300];

    snprintf(folder, sizeof(folder), "%s/layers", lab->bench.folder);
    assert_int_equal(
        snapshots_open(lab->bench.loop, folder, changed, lab, &lab->snapshots, &lab->bench.err), 0);
    for (unsigned i = 0; i < BENCH_DISKS; i++)
        assert_int_equal(snapshots_attach(lab->snapshots, i == 0 ? "d-0" : "d-1",
                                          lab->bench.volumes[i], &lab->bench.err),
                         0);
}

static void close_snapshots(struct lab *lab)
{
    snapshots_detach(lab->snapshots, "d-0");
    snapshots_detach(lab->snapshots, "d-1");
    snapshots_close(lab->snapshots);
}

static void begin(struct lab *lab)
{
    memset(lab, 0, sizeof(*lab));
    replica_bench_begin(&lab->bench, false);
    replica_bench_close(&lab->bench);
    lab->bench.retain_ns = 0; /* applied at once */
    assert_int_equal(replica_bench_open(&lab->bench), 0);
    open_snapshots(lab);
}

static void end(struct lab *lab)
{
    close_snapshots(lab);
    replica_bench_end(&lab->bench);
}

static int make(struct lab *lab, const char *id, uint64_t expires_wall_ns, uint64_t bytes_max)
{
    struct layer_description description = {.disk = "d-0",
                                            .label = "g1",
                                            .reason = "test",
                                            .size_bytes = BENCH_BLOCKS * BLOCK_SIZE,
                                            .expires_wall_ns = expires_wall_ns,
                                            .bytes_max = bytes_max};

    snprintf(description.id, sizeof(description.id), "%s", id);
    return snapshots_make(lab->snapshots, &description, &lab->bench.err);
}

static bool is_applied(struct replica_bench *bench)
{
    return replica_is_drained(bench->replica);
}

static void write_epoch(struct lab *lab, uint64_t epoch, uint64_t block, uint64_t count,
                        uint64_t stamp)
{
    assert_int_equal(replica_bench_data(&lab->bench, 0, block, count, stamp), 0);
    assert_int_equal(replica_bench_commit(&lab->bench, epoch), 0);
    assert_true(replica_bench_until(&lab->bench, is_applied));
}

struct request {
    struct volume_request request;
    struct iovec iov[2];
    struct lab *lab;
    uint8_t bytes[64 * BLOCK_SIZE];
};

static void request_done(struct volume_request *request, int error)
{
    struct lab *lab = container_of(request, struct request, request)->lab;

    if (error != 0)
        lab->error = error;
    if (--lab->left == 0)
        loop_stop(lab->bench.loop);
}

static int submit(struct lab *lab, const char *id, enum volume_op op, uint64_t offset,
                  uint64_t length, struct request *request)
{
    lab->left = 1;
    lab->error = 0;
    request->lab = lab;
    request->iov[0] = (struct iovec){request->bytes, length / 3};
    request->iov[1] = (struct iovec){request->bytes + length / 3, length - length / 3};
    request->request = (struct volume_request){.op = op,
                                               .offset = offset,
                                               .length = length,
                                               .iov = request->iov,
                                               .iov_count = 2,
                                               .done_cb = request_done};
    snapshots_submit(lab->snapshots, id, &request->request);
    loop_run(lab->bench.loop);
    return lab->error;
}

/* Every byte of [block, block + count) of the layer, read a little unaligned. */
static void expect(struct lab *lab, const char *id, uint64_t block, uint64_t count, uint64_t stamp)
{
    struct request *request = malloc(sizeof(*request));

    assert_int_equal(
        submit(lab, id, VOLUME_READ, block * BLOCK_SIZE + 512, count * BLOCK_SIZE - 512, request),
        0);
    for (uint64_t i = 0; i < (count * BLOCK_SIZE - 512) / 8; i++)
        assert_memory_equal(request->bytes + 8 * i, &stamp, 8);
    free(request);
}

static void test_apply_goes_on_under_it(void **state)
{
    struct lab lab;

    begin(&lab);
    write_epoch(&lab, 1, 0, 100, 1);
    assert_int_equal(make(&lab, "l-a", 0, 0), 0);
    write_epoch(&lab, 2, 10, 20, 2);
    assert_int_equal(make(&lab, "l-b", 0, 0), 0);
    write_epoch(&lab, 3, 15, 50, 3);
    assert_int_equal(replica_bench_base(&lab.bench, 0, 20), 3);
    for (unsigned pass = 0; pass < 2; pass++) { /* the second one after a restart */
        expect(&lab, "l-a", 0, 60, 1);
        expect(&lab, "l-a", 60, 40, 1);
        expect(&lab, "l-b", 0, 10, 1);
        expect(&lab, "l-b", 10, 20, 2);
        expect(&lab, "l-b", 30, 60, 1);
        assert_int_equal(snapshots_count(lab.snapshots, "d-0"), 2);
        assert_int_equal(snapshots_count(lab.snapshots, "d-1"), 0);
        assert_string_equal(layer_describe(snapshots_at(lab.snapshots, "d-0", 0))->id, "l-a");
        assert_int_equal(layer_kept_bytes(snapshots_at(lab.snapshots, "d-0", 0)), 55 * BLOCK_SIZE);
        assert_null(snapshots_at(lab.snapshots, "d-0", 2));
        close_snapshots(&lab);
        replica_bench_close(&lab.bench);
        assert_int_equal(replica_bench_open(&lab.bench), 0);
        open_snapshots(&lab);
    }
    end(&lab);
}

static void test_host_writes_over_it(void **state)
{
    struct lab lab;

    begin(&lab);
    write_epoch(&lab, 1, 0, 100, 1);
    assert_int_equal(make(&lab, "l-a", 0, 0), 0);
    assert_int_equal(replica_bench_write(&lab.bench, 0, 7, 77), 0);
    assert_int_equal(replica_bench_write(&lab.bench, 0, 7, 78), 0);
    expect(&lab, "l-a", 0, 20, 1);
    assert_int_equal(replica_bench_read(&lab.bench, 0, 7), 78);
    end(&lab);
}

static void rename_part(struct lab *lab, const char *from, const char *to)
{
    char old[400], new[400];

    snprintf(old, sizeof(old), "%s/layers/%s", lab->bench.folder, from);
    snprintf(new, sizeof(new), "%s/layers/%s", lab->bench.folder, to);
    assert_int_equal(rename(old, new), 0);
}

/* What was not opened in one life, while its base was overwritten, must not show the present in a
 * later one (N5). */
static void test_damaged_is_set_aside(void **state)
{
    struct lab lab;

    begin(&lab);
    write_epoch(&lab, 1, 0, 100, 1);
    assert_int_equal(make(&lab, "l-a", 0, 0), 0);
    assert_int_equal(make(&lab, "l-b", 0, 0), 0);
    close_snapshots(&lab);
    rename_part(&lab, "l-a.map", "away");
    open_snapshots(&lab);
    assert_int_equal(snapshots_count(lab.snapshots, "d-0"), 1);
    write_epoch(&lab, 2, 0, 100, 2);
    close_snapshots(&lab);
    rename_part(&lab, "away", "l-a.map");
    open_snapshots(&lab);
    assert_int_equal(snapshots_count(lab.snapshots, "d-0"), 1);
    expect(&lab, "l-b", 0, 60, 1);
    close_snapshots(&lab);
    rename_part(&lab, "l-a.lost", "l-a.info"); /* its files are there still */
    open_snapshots(&lab);
    assert_int_equal(snapshots_count(lab.snapshots, "d-0"), 2);
    end(&lab);
}

static void replace_by_folder(struct lab *lab, const char *name)
{
    char path[400];

    rename_part(lab, name, "away");
    snprintf(path, sizeof(path), "%s/layers/%s", lab->bench.folder, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

/* What may be readable at another start is not given up: its disk does not open meanwhile. */
static void test_unreadable_keeps_its_disk_closed(void **state)
{
    char folder[300];
    struct lab lab;

    begin(&lab);
    write_epoch(&lab, 1, 0, 100, 1);
    assert_int_equal(make(&lab, "l-a", 0, 0), 0);
    close_snapshots(&lab);
    snprintf(folder, sizeof(folder), "%s/layers", lab.bench.folder);
    replace_by_folder(&lab, "l-a.map");
    assert_int_equal(
        snapshots_open(lab.bench.loop, folder, changed, &lab, &lab.snapshots, &lab.bench.err), 0);
    assert_true(snapshots_attach(lab.snapshots, "d-0", lab.bench.volumes[0], &lab.bench.err) < 0);
    assert_non_null(strstr(lab.bench.err.text, "l-a.map"));
    assert_non_null(strstr(lab.bench.err.text, "l-a.lost"));
    assert_int_equal(snapshots_attach(lab.snapshots, "d-1", lab.bench.volumes[1], &lab.bench.err),
                     0);
    close_snapshots(&lab);

    rename_part(&lab, "l-a.map", "folder");
    rename_part(&lab, "away", "l-a.map");
    replace_by_folder(&lab, "l-a.info"); /* of which disk? */
    assert_true(
        snapshots_open(lab.bench.loop, folder, changed, &lab, &lab.snapshots, &lab.bench.err) < 0);
    assert_non_null(strstr(lab.bench.err.text, "l-a.info"));
    rename_part(&lab, "l-a.info", "folder-too");
    rename_part(&lab, "away", "l-a.info");
    open_snapshots(&lab);
    write_epoch(&lab, 2, 0, 100, 2);
    expect(&lab, "l-a", 0, 60, 1);
    close_snapshots(&lab);
    snprintf(folder, sizeof(folder), "%s/layers/folder", lab.bench.folder);
    assert_int_equal(rmdir(folder), 0);
    snprintf(folder, sizeof(folder), "%s/layers/folder-too", lab.bench.folder);
    assert_int_equal(rmdir(folder), 0);
    replica_bench_end(&lab.bench);
}

static void next_version(struct lab *lab, const char *name, int step)
{
    uint8_t page[BITFILE_PAGE_BYTES];
    char path[400];
    FILE *file;

    snprintf(path, sizeof(path), "%s/layers/%s", lab->bench.folder, name);
    file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fread(page, 1, sizeof(page), file), sizeof(page));
    put_le32(page + 8, (uint32_t)(BITFILE_VERSION + step));
    put_le32(page + 4, crc32c(crc32c(0, page, 4), page + 8, BITFILE_PAGE_BYTES - 8));
    rewind(file);
    assert_int_equal(fwrite(page, 1, sizeof(page), file), sizeof(page));
    assert_int_equal(fclose(file), 0);
}

/* The map of a newer program, behind a downgrade: that program can open it again. */
static void test_newer_keeps_its_disk_closed(void **state)
{
    char folder[300];
    struct lab lab;

    begin(&lab);
    write_epoch(&lab, 1, 0, 100, 1);
    assert_int_equal(make(&lab, "l-a", 0, 0), 0);
    close_snapshots(&lab);
    next_version(&lab, "l-a.map", 1);
    snprintf(folder, sizeof(folder), "%s/layers", lab.bench.folder);
    assert_int_equal(
        snapshots_open(lab.bench.loop, folder, changed, &lab, &lab.snapshots, &lab.bench.err), 0);
    assert_int_equal(snapshots_attach(lab.snapshots, "d-0", lab.bench.volumes[0], &lab.bench.err),
                     -EPROTONOSUPPORT);
    assert_non_null(strstr(lab.bench.err.text, "l-a.map"));
    close_snapshots(&lab);
    next_version(&lab, "l-a.map", 0);
    open_snapshots(&lab);
    write_epoch(&lab, 2, 0, 100, 2);
    expect(&lab, "l-a", 0, 60, 1);
    end(&lab);
}

/* One that would go at this start need not be readable; one that has time left must. */
static void test_expired_keeps_no_disk_closed(void **state)
{
    char folder[300];
    struct lab lab;
    uint64_t now_ns;

    begin(&lab);
    write_epoch(&lab, 1, 0, 100, 1);
    now_ns = loop_wall_ns(lab.bench.loop);
    assert_int_equal(make(&lab, "l-a", now_ns, 0), 0);
    assert_int_equal(make(&lab, "l-b", now_ns + UINT64_C(3600000000000), 0), 0);
    close_snapshots(&lab);
    next_version(&lab, "l-a.map", 1);
    open_snapshots(&lab);
    assert_int_equal(snapshots_count(lab.snapshots, "d-0"), 1);
    write_epoch(&lab, 2, 0, 100, 2);
    close_snapshots(&lab);
    rename_part(&lab, "l-a.lost", "l-a.away"); /* its files are there still */
    next_version(&lab, "l-b.map", 1);
    snprintf(folder, sizeof(folder), "%s/layers", lab.bench.folder);
    assert_int_equal(
        snapshots_open(lab.bench.loop, folder, changed, &lab, &lab.snapshots, &lab.bench.err), 0);
    assert_true(snapshots_attach(lab.snapshots, "d-0", lab.bench.volumes[0], &lab.bench.err) < 0);
    close_snapshots(&lab);
    next_version(&lab, "l-b.map", 0);
    open_snapshots(&lab);
    expect(&lab, "l-b", 0, 60, 1);
    end(&lab);
}

static void test_refusals(void **state)
{
    struct request *request = malloc(sizeof(*request));
    struct lab lab;

    begin(&lab);
    assert_int_equal(make(&lab, "l-a", 0, 0), 0);
    assert_int_equal(submit(&lab, "l-b", VOLUME_READ, 0, 4096, request), -ENOENT);
    assert_int_equal(submit(&lab, "l-a", VOLUME_WRITE, 0, 4096, request), -EPERM);
    assert_int_equal(submit(&lab, "l-a", VOLUME_TRIM, 0, 4096, request), -EPERM);
    assert_int_equal(submit(&lab, "l-a", VOLUME_FLUSH, 0, 0, request), 0);
    assert_int_equal(
        submit(&lab, "l-a", VOLUME_READ, BENCH_BLOCKS * BLOCK_SIZE - 512, 4096, request), -EINVAL);
    assert_int_equal(make(&lab, "../x", 0, 0), -EINVAL);
    assert_int_equal(snapshots_remove(lab.snapshots, "l-x", &lab.bench.err), -ENOENT);
    snapshots_detach(lab.snapshots, "d-0");
    assert_int_equal(submit(&lab, "l-a", VOLUME_READ, 0, 4096, request), -ENODEV);
    free(request);
    end(&lab);
}

/* Expiry, the cap, and removal while somebody reads. */
static void test_layers_go(void **state)
{
    struct request *request = malloc(sizeof(*request));
    struct lab lab;

    begin(&lab);
    write_epoch(&lab, 1, 0, 100, 1);
    assert_int_equal(make(&lab, "l-a", 100, 0), 0);
    assert_int_equal(make(&lab, "l-b", 0, 10 * BLOCK_SIZE), 0);
    assert_int_equal(make(&lab, "l-c", 0, 0), 0);
    snapshots_expire(lab.snapshots, 99);
    assert_int_equal(snapshots_count(lab.snapshots, "d-0"), 3);
    snapshots_expire(lab.snapshots, 100);
    assert_int_equal(snapshots_count(lab.snapshots, "d-0"), 2);
    write_epoch(&lab, 2, 0, 10, 2);
    assert_int_equal(snapshots_count(lab.snapshots, "d-0"), 2);
    write_epoch(&lab, 3, 20, 1, 3); /* one more than l-b may keep */
    assert_int_equal(snapshots_count(lab.snapshots, "d-0"), 1);
    expect(&lab, "l-c", 0, 30, 1);
    lab.left = 1;
    lab.error = 0;
    request->lab = &lab;
    request->iov[0] = (struct iovec){request->bytes, sizeof(request->bytes)};
    request->request = (struct volume_request){.op = VOLUME_READ,
                                               .length = sizeof(request->bytes),
                                               .iov = request->iov,
                                               .iov_count = 1,
                                               .done_cb = request_done};
    snapshots_submit(lab.snapshots, "l-c", &request->request);
    assert_int_equal(snapshots_remove(lab.snapshots, "l-c", &lab.bench.err), 0);
    assert_int_equal(snapshots_count(lab.snapshots, "d-0"), 0);
    loop_run(lab.bench.loop);
    assert_int_equal(lab.error, 0);
    assert_int_equal(request->bytes[0], 1);
    close_snapshots(&lab);
    open_snapshots(&lab);
    assert_int_equal(snapshots_count(lab.snapshots, "d-0"), 0); /* its files are gone too */
    assert_true(lab.changes >= 6);
    free(request);
    end(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_apply_goes_on_under_it),
        cmocka_unit_test(test_host_writes_over_it),
        cmocka_unit_test(test_damaged_is_set_aside),
        cmocka_unit_test(test_unreadable_keeps_its_disk_closed),
        cmocka_unit_test(test_newer_keeps_its_disk_closed),
        cmocka_unit_test(test_expired_keeps_no_disk_closed),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_layers_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
