/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of exact dirty sets: what was saved comes back, and a file that is not whole marks
 * nothing: cut at every length, and with every byte changed. And the site's id beside it.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "replication/dirty_file.h"
#include "replication/site_id.h"
#include "store/store.h"
#include "volume/tracking.h"
#include "volume/volume.h"

enum { VOLUMES = 2, BLOCKS = 3000 };

struct bench {
    struct loop *loop;
    char folder[64];
    struct volume *volumes[VOLUMES];
    struct bitfile *intents[VOLUMES];
    struct stash *stash;
};

static void never_full(void *arg)
{
    fail_msg("the stash was asked");
}

static void track(struct bench *bench)
{
    for (unsigned i = 0; i < VOLUMES; i++) {
        struct tracking_options options = {.intent = bench->intents[i],
                                           .stash = bench->stash,
                                           .stash_index = i,
                                           .stash_full_cb = never_full,
                                           .arg = bench};

        bitfile_clear(bench->intents[i], 0, bitfile_bit_count(bench->intents[i]));
        assert_int_equal(tracking_start(bench->volumes[i], &options), 0);
    }
}

static void untrack(struct bench *bench)
{
    for (unsigned i = 0; i < VOLUMES; i++)
        tracking_stop(bench->volumes[i]);
}

static void bench_open(struct bench *bench)
{
    struct stash_options stash = {
        .memory_bytes_max = 1 << 20, .spill_path = "/nowhere", .volume_count_max = VOLUMES};
    struct err err = {0};
    char path[128];

    snprintf(bench->folder, sizeof(bench->folder), "/tmp/verso-dirty-XXXXXX");
    assert_non_null(mkdtemp(bench->folder));
    assert_int_equal(loop_new(LOOP_AUTO, &bench->loop, &err), 0);
    assert_int_equal(stash_new(bench->loop, &stash, &bench->stash), 0);
    for (unsigned i = 0; i < VOLUMES; i++) {
        struct store_options options = {.driver = "file",
                                        .path = path,
                                        .name = "d-test",
                                        .size_bytes = BLOCKS * BLOCK_SIZE,
                                        .create = true};
        struct store *store;

        snprintf(path, sizeof(path), "%s/%u.raw", bench->folder, i);
        assert_int_equal(store_open(bench->loop, &options, &store, &err), 0);
        assert_int_equal(volume_new(bench->loop, store, "d-test", &bench->volumes[i]), 0);
        snprintf(path, sizeof(path), "%s/intent-%u", bench->folder, i);
        assert_int_equal(bitfile_open(bench->loop, path, "INTN",
                                      (BLOCKS + REGION_BLOCKS - 1) / REGION_BLOCKS,
                                      &bench->intents[i], &err),
                         0);
    }
    track(bench);
}

static void bench_close(struct bench *bench)
{
    char command[128];

    untrack(bench);
    for (unsigned i = 0; i < VOLUMES; i++) {
        volume_free(bench->volumes[i]);
        bitfile_close(bench->intents[i]);
    }
    stash_free(bench->stash);
    loop_free(bench->loop);
    snprintf(command, sizeof(command), "rm -rf %s", bench->folder);
    assert_int_equal(system(command), 0);
}

static void mark_some(struct bench *bench)
{
    struct volume *first = bench->volumes[0], *second = bench->volumes[1];

    assert_int_equal(tracking_mark(first, TRACKING_OPEN, 0, 10), 0);
    assert_int_equal(tracking_mark(first, TRACKING_OPEN, BLOCKS - 1, 1), 0);
    assert_int_equal(tracking_mark(first, TRACKING_SUSPECT, 5, 100), 0);
    assert_int_equal(tracking_mark(second, TRACKING_SUSPECT, 2000, 1000), 0);
}

/* A first copy's: known to two running sites alone. */
static void settle_some(struct bench *bench)
{
    struct volume *first = bench->volumes[0];

    assert_int_equal(tracking_suspect_equals(first, TRACKING_SETTLED, 20, 30), 0);
}

static uint64_t count(struct bench *bench, unsigned volume, enum tracking_set which)
{
    return blockset_count(tracking_set(bench->volumes[volume], which));
}

static size_t read_file(struct bench *bench, uint8_t *bytes, size_t size)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/dirty", bench->folder);
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    size_t length = fread(bytes, 1, size, file);

    (void)fclose(file);
    return length;
}

static void write_file(struct bench *bench, const char *name, const uint8_t *bytes, size_t length)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", bench->folder, name);
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    (void)fclose(file);
}

static int load(struct bench *bench)
{
    struct err err = {0};
    int error = dirty_file_load(bench->loop, bench->folder, bench->volumes, VOLUMES,
                                (bool[VOLUMES]){false}, DIRTY_FILE_BYTES_MAX, &err);

    if (error != 0)
        assert_non_null(strstr(err.text, "dirty"));
    return error;
}

static void assert_nothing_is_marked(struct bench *bench)
{
    for (unsigned i = 0; i < VOLUMES; i++) {
        assert_int_equal(count(bench, i, TRACKING_OPEN), 0);
        assert_int_equal(count(bench, i, TRACKING_SUSPECT), 0);
    }
}

static void saves_and_loads(void **state)
{
    struct bench bench;
    struct err err = {0};

    bench_open(&bench);
    assert_int_equal(load(&bench), -ENOENT);
    mark_some(&bench);
    settle_some(&bench);
    assert_int_equal(count(&bench, 0, TRACKING_SUSPECT), 70);
    assert_int_equal(dirty_file_save(bench.loop, bench.folder, bench.volumes, VOLUMES,
                                     DIRTY_FILE_BYTES_MAX, &err),
                     0);
    untrack(&bench);
    track(&bench);
    assert_nothing_is_marked(&bench);
    assert_int_equal(load(&bench), 0);
    assert_int_equal(count(&bench, 0, TRACKING_OPEN), 11);
    assert_true(blockset_has(tracking_set(bench.volumes[0], TRACKING_OPEN), BLOCKS - 1));
    assert_int_equal(count(&bench, 0, TRACKING_SUSPECT), 100);
    assert_int_equal(count(&bench, 1, TRACKING_OPEN), 0);
    assert_int_equal(count(&bench, 1, TRACKING_SUSPECT), 1000);
    /* Another one takes its place, and an empty one is whole. */
    untrack(&bench);
    track(&bench);
    assert_int_equal(dirty_file_save(bench.loop, bench.folder, bench.volumes, VOLUMES,
                                     DIRTY_FILE_BYTES_MAX, &err),
                     0);
    assert_int_equal(load(&bench), 0);
    assert_nothing_is_marked(&bench);
    bench_close(&bench);
}

static void refuses_what_is_not_whole(void **state)
{
    struct bench bench;
    struct err err = {0};
    uint8_t good[1024], bad[1025] = {0};

    bench_open(&bench);
    mark_some(&bench);
    assert_int_equal(dirty_file_save(bench.loop, bench.folder, bench.volumes, VOLUMES,
                                     DIRTY_FILE_BYTES_MAX, &err),
                     0);
    size_t length = read_file(&bench, good, sizeof(good));

    assert_int_equal(length, 32 + 4 * 24 + 4);
    untrack(&bench);
    track(&bench);
    for (size_t shorter = 0; shorter < length; shorter++) {
        write_file(&bench, "dirty", good, shorter);
        assert_int_equal(load(&bench), -EBADMSG);
    }
    for (size_t at = 0; at < length; at++) {
        memcpy(bad, good, length);
        bad[at] ^= 0x10;
        write_file(&bench, "dirty", bad, length);
        assert_int_equal(load(&bench), -EBADMSG);
    }
    memcpy(bad, good, length);
    write_file(&bench, "dirty", bad, length + 1);
    assert_int_equal(load(&bench), -EBADMSG);
    assert_nothing_is_marked(&bench);
    bench_close(&bench);
}

/* With a right checksum: numbers are bounded all the same. */
static void refuses_runs_outside(void **state)
{
    static const struct {
        size_t at;
        uint64_t value;
    } damages[] = {
        {32 + 0, 2},                 /* a third disk (and set 0) */
        {32 + 8, BLOCKS},            /* block past the end */
        {32 + 8, UINT64_MAX},        /* block + count overflows */
        {32 + 16, 0},                /* an empty run */
        {32 + 16, BLOCKS + 1},       /* too long */
        {32 + 0, UINT64_C(1) << 32}, /* set 1: frozen is never saved */
        {16, 5},                     /* more runs than there are */
        {16, UINT64_MAX / 12},       /* runs * size overflows */
    };
    struct bench bench;
    struct err err = {0};
    uint8_t good[1024], bad[1024];

    bench_open(&bench);
    mark_some(&bench);
    assert_int_equal(dirty_file_save(bench.loop, bench.folder, bench.volumes, VOLUMES,
                                     DIRTY_FILE_BYTES_MAX, &err),
                     0);
    size_t length = read_file(&bench, good, sizeof(good));

    untrack(&bench);
    track(&bench);
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        memcpy(bad, good, length);
        put_le64(bad + damages[i].at, damages[i].value);
        put_le32(bad + length - 4, crc32c(0, bad, length - 4));
        write_file(&bench, "dirty", bad, length);
        assert_int_equal(load(&bench), -EBADMSG);
        assert_nothing_is_marked(&bench);
    }
    bench_close(&bench);
}

/* What could not be loaded is not saved: a stop that cannot be clean does not call itself clean. */
static void saves_no_more_than_it_loads(void **state)
{
    struct bench bench;
    struct err err = {0};
    size_t length = 32 + 4 * 24 + 4;
    uint8_t bytes[1024];
    bool keep[VOLUMES] = {false, true};

    bench_open(&bench);
    mark_some(&bench);
    assert_int_equal(
        dirty_file_save(bench.loop, bench.folder, bench.volumes, VOLUMES, length - 1, &err),
        -EFBIG);
    assert_int_equal(load(&bench), -ENOENT);
    assert_int_equal(
        dirty_file_save(bench.loop, bench.folder, bench.volumes, VOLUMES, length, &err), 0);
    assert_int_equal(read_file(&bench, bytes, sizeof(bytes)), length);
    untrack(&bench);
    track(&bench);
    /* Suspects stay when it cannot be loaded, or where they are to be kept. */
    for (unsigned i = 0; i < VOLUMES; i++)
        assert_int_equal(tracking_mark(bench.volumes[i], TRACKING_SUSPECT, 1500, 7), 0);
    assert_int_equal(
        dirty_file_load(bench.loop, bench.folder, bench.volumes, VOLUMES, keep, length - 1, &err),
        -EBADMSG);
    assert_int_equal(count(&bench, 0, TRACKING_SUSPECT), 7);
    assert_int_equal(
        dirty_file_load(bench.loop, bench.folder, bench.volumes, VOLUMES, keep, length, &err), 0);
    assert_int_equal(count(&bench, 0, TRACKING_SUSPECT), 100);
    assert_int_equal(count(&bench, 1, TRACKING_SUSPECT), 1007);
    bench_close(&bench);
}

static void keeps_the_site_id(void **state)
{
    struct bench bench;
    struct err err = {0};
    uint64_t first = 0, again = 0;

    bench_open(&bench);
    assert_int_equal(site_id_open(bench.loop, bench.folder, &first, &err), 0);
    assert_true(first != 0);
    assert_int_equal(site_id_open(bench.loop, bench.folder, &again, &err), 0);
    assert_true(first == again);
    write_file(&bench, "site-id", (const uint8_t *)"0123456789abcde\n", 16);
    assert_int_equal(site_id_open(bench.loop, bench.folder, &again, &err), -EBADMSG);
    write_file(&bench, "site-id", (const uint8_t *)"0000000000000000\n", 17);
    assert_int_equal(site_id_open(bench.loop, bench.folder, &again, &err), -EBADMSG);
    write_file(&bench, "site-id", (const uint8_t *)"0123456789abcdeg\n", 17);
    assert_int_equal(site_id_open(bench.loop, bench.folder, &again, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "site-id"));
    bench_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(saves_and_loads),      cmocka_unit_test(refuses_what_is_not_whole),
        cmocka_unit_test(refuses_runs_outside), cmocka_unit_test(saves_no_more_than_it_loads),
        cmocka_unit_test(keeps_the_site_id),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
