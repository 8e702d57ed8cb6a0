/* SPDX-License-Identifier: Apache-2.0 */
/* The journal in use: views against a naive model, abort, release, discard, superseded, limits. */
#include "journal/journal.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "journal_bench.h"

enum { DISKS = 3, BLOCKS = 200, EPOCHS_MAX = 64, HOLE = 1 };

struct model {
    uint64_t epoch[EPOCHS_MAX][DISKS][BLOCKS]; /* stamp: 0 not in it, HOLE, else content */
    uint64_t numbers[EPOCHS_MAX];
    unsigned count;
    uint64_t partial[DISKS][BLOCKS];
    bool gone[DISKS][BLOCKS]; /* superseded */
};

static uint64_t step(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void expect_content(struct journal_bench *bench, const struct journal_extent *extent,
                           const uint64_t *stamps)
{
    uint8_t *bytes = malloc(extent->count * BLOCK_SIZE), *wanted = malloc(BLOCK_SIZE);
    uint32_t crcs[256];

    if (!extent->is_hole) {
        assert_int_equal(bench_read(bench, extent, bytes), 0);
        journal_crcs(bench->journal, extent, crcs);
    }
    for (uint64_t i = 0; i < extent->count; i++) {
        assert_int_equal(stamps[i] == HOLE, extent->is_hole);
        if (extent->is_hole)
            continue;
        bench_fill(wanted, stamps[i], 1);
        assert_memory_equal(bytes + i * BLOCK_SIZE, wanted, BLOCK_SIZE);
        assert_int_equal(crcs[i], crc32c(0, wanted, BLOCK_SIZE));
    }
    free(bytes);
    free(wanted);
}

static uint64_t newest(const struct model *model, unsigned disk, uint64_t block)
{
    if (model->gone[disk][block])
        return 0;
    for (unsigned i = model->count; i-- > 0;)
        if (model->epoch[i][disk][block] != 0)
            return model->epoch[i][disk][block];
    return 0;
}

static void compare_newest(struct journal_bench *bench, const struct model *model)
{
    struct journal_extent extent;
    unsigned next_disk = 0;
    uint64_t next_block = 0;

    for (unsigned disk = 0; disk < DISKS; disk++) {
        for (uint64_t block = 0; block < BLOCKS; block += extent.count) {
            uint64_t stamps[BLOCKS];
            bool is_there = journal_lookup(bench->journal, disk, block, BLOCKS - block, &extent);

            assert_true(extent.count >= 1 && extent.block == block && extent.disk == disk);
            for (uint64_t i = 0; i < extent.count; i++) {
                stamps[i] = newest(model, disk, block + i);
                assert_int_equal(stamps[i] != 0, is_there);
            }
            if (is_there)
                expect_content(bench, &extent, stamps);
        }
    }
    while (journal_next(bench->journal, next_disk, next_block, 5, &extent)) {
        for (; next_disk < extent.disk || next_block < extent.block; next_block++) {
            if (next_block == BLOCKS) {
                next_disk++;
                next_block = UINT64_MAX;
                continue;
            }
            assert_int_equal(newest(model, next_disk, next_block), 0);
        }
        assert_true(extent.count <= 5);
        next_block = extent.block + extent.count;
    }
}

static void compare_epochs(struct journal_bench *bench, const struct model *model)
{
    assert_int_equal(journal_epoch_count(bench->journal), model->count);
    for (unsigned i = 0; i < model->count; i++) {
        const struct journal_epoch *info = journal_epoch_at(bench->journal, i);
        uint64_t cursor = 0, seen = 0, expected = 0;
        struct journal_extent extent;

        assert_int_equal(info->epoch, model->numbers[i]);
        assert_int_equal(info->cut_wall_ns, info->epoch * 1000);
        assert_int_equal(info->digest, info->epoch * 7);
        while (journal_epoch_next(bench->journal, info->epoch, &cursor, &extent)) {
            assert_int_equal(extent.epoch, info->epoch);
            expect_content(bench, &extent, &model->epoch[i][extent.disk][extent.block]);
            seen += extent.count;
        }
        for (unsigned disk = 0; disk < DISKS; disk++)
            for (unsigned block = 0; block < BLOCKS; block++)
                expected += model->epoch[i][disk][block] != 0;
        assert_int_equal(seen, expected);
        assert_int_equal(info->block_count, expected);
    }
}

static void random_append(struct journal_bench *bench, struct model *model, uint64_t *seed)
{
    unsigned disk = (unsigned)(step(seed) % DISKS);
    uint64_t block = step(seed) % BLOCKS, count = 1 + step(seed) % 12;
    bool is_hole = step(seed) % 4 == 0;
    uint64_t stamp = 2 + step(seed) % 1000000;

    count = count > BLOCKS - block ? BLOCKS - block : count;
    assert_int_equal(is_hole ? bench_hole(bench, disk, block, count)
                             : bench_append(bench, disk, block, count, stamp),
                     0);
    for (uint64_t i = 0; i < count; i++)
        model->partial[disk][block + i] = is_hole ? HOLE : stamp + i;
}

static void model_drop_first(struct model *model, unsigned count)
{
    memmove(model->epoch, model->epoch + count, (model->count - count) * sizeof(model->epoch[0]));
    memmove(model->numbers, model->numbers + count,
            (model->count - count) * sizeof(model->numbers[0]));
    model->count -= count;
}

static void reopen(struct journal_bench *bench, struct model *model)
{
    uint64_t released = model->count > 0 ? model->numbers[0] - 1 : UINT64_MAX / 2;

    bench_close(bench);
    assert_int_equal(bench_open(bench), 0);
    assert_true(journal_missing(bench->journal) <= released);
    bench_release(bench, released); /* the caller's "applied n" */
    memset(model->partial, 0, sizeof(model->partial));
    memset(model->gone, 0, sizeof(model->gone)); /* the caller says it again; here it does not */
}

static void random_step(struct journal_bench *bench, struct model *model, uint64_t *epoch,
                        uint64_t *seed)
{
    uint64_t dice = step(seed) % 100;

    if (dice < 70) {
        random_append(bench, model, seed);
    } else if (dice < 82 && model->count < EPOCHS_MAX) {
        *epoch += 1 + step(seed) % 3;
        assert_int_equal(bench_commit(bench, *epoch), 0);
        memcpy(model->epoch[model->count], model->partial, sizeof(model->partial));
        model->numbers[model->count++] = *epoch;
        for (unsigned i = 0; i < DISKS * BLOCKS; i++)
            if ((&model->partial[0][0])[i] != 0)
                (&model->gone[0][0])[i] = false;
        memset(model->partial, 0, sizeof(model->partial));
    } else if (dice < 86) {
        assert_int_equal(bench_abort(bench), 0);
        assert_int_equal(journal_partial_bytes(bench->journal), 0);
        memset(model->partial, 0, sizeof(model->partial));
    } else if (dice < 91 && model->count > 2) {
        unsigned count = 1 + (unsigned)(step(seed) % 2);
        bench_release(bench, model->numbers[count - 1]);
        model_drop_first(model, count);
        for (unsigned i = 0; i < DISKS * BLOCKS; i++) /* a new one would show it: keep it simple */
            if ((&model->gone[0][0])[i] && newest(model, i / BLOCKS, i % BLOCKS) == 0)
                (&model->gone[0][0])[i] = true;
    } else if (dice < 95) {
        unsigned disk = (unsigned)(step(seed) % DISKS);
        uint64_t block = step(seed) % (BLOCKS - 8);
        journal_supersede(bench->journal, disk, block, 8);
        for (unsigned i = 0; i < 8; i++)
            model->gone[disk][block + i] = true;
    } else {
        reopen(bench, model);
    }
}

static void test_against_model(void **state)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct model *model = calloc(1, sizeof(*model));
        uint64_t random = seed * 104729, epoch = 0;
        struct journal_bench bench;

        bench_begin(&bench);
        bench.options.segment_bytes = seed % 3 == 0 ? 30000 : 200000;
        bench.options.index_extents = seed % 2 == 0 ? 3 : 0;
        assert_int_equal(bench_open(&bench), 0);
        for (unsigned round = 0; round < 400; round++) {
            random_step(&bench, model, &epoch, &random);
            if (round % 40 == 0 || round == 399) {
                compare_newest(&bench, model);
                compare_epochs(&bench, model);
            }
        }
        reopen(&bench, model);
        compare_newest(&bench, model);
        compare_epochs(&bench, model);
        bench_end(&bench);
        free(model);
    }
}

static void test_release_frees_segments(void **state)
{
    struct journal_bench bench;
    uint64_t full;
    struct err err;

    bench_begin(&bench);
    bench.options.segment_bytes = 100000;
    assert_int_equal(bench_open(&bench), 0);
    for (uint64_t epoch = 1; epoch <= 20; epoch++) {
        assert_int_equal(bench_append(&bench, 0, epoch, 10, epoch), 0);
        assert_int_equal(bench_commit(&bench, epoch), 0);
    }
    full = journal_bytes(bench.journal);
    assert_true(full > 20 * 40960);
    bench_release(&bench, 10);
    assert_true(journal_bytes(bench.journal) < full * 6 / 10);
    bench_release(&bench, 20);
    assert_true(journal_bytes(bench.journal) <= 50000 + 4096);
    assert_int_equal(journal_epoch_count(bench.journal), 0);
    assert_int_equal(bench_append(&bench, 0, 5, 10, 77), 0);
    assert_int_equal(bench_commit(&bench, 30), 0);
    bench_close(&bench);
    assert_int_equal(bench_open(&bench), 0);
    assert_int_equal(journal_missing(bench.journal), 20);
    assert_int_equal(journal_epoch_count(bench.journal), 1);
    assert_int_equal(journal_reset(bench.journal, &err), 0);
    assert_int_equal(journal_bytes(bench.journal), 0);
    assert_int_equal(bench_append(&bench, 0, 5, 10, 77), 0);
    assert_int_equal(bench_commit(&bench, 1), 0);
    bench_end(&bench);
}

static void expect_stamp(struct journal_bench *bench, uint64_t block, uint64_t stamp)
{
    struct journal_extent extent;

    assert_true(journal_lookup(bench->journal, 0, block, 1, &extent));
    expect_content(bench, &extent, &stamp);
}

static void test_forget_and_discard(void **state)
{
    struct journal_bench bench;
    struct err err;

    bench_begin(&bench);
    bench.options.segment_bytes = 20000;
    assert_int_equal(bench_open(&bench), 0);
    for (uint64_t epoch = 1; epoch <= 6; epoch++) {
        assert_int_equal(bench_append(&bench, 0, 7, 1, 100 * epoch), 0);
        assert_int_equal(bench_append(&bench, 0, 20 + epoch, 3, 100 * epoch), 0);
        assert_int_equal(bench_commit(&bench, epoch), 0);
    }
    bench_forget_after(&bench, 4);
    expect_stamp(&bench, 7, 400);
    bench_close(&bench);
    assert_int_equal(bench_open(&bench), 0); /* it was in memory only */
    expect_stamp(&bench, 7, 600);
    bench_forget_after(&bench, 3);
    assert_int_equal(journal_discard_after(bench.journal, 3, &err), 0);
    expect_stamp(&bench, 7, 300);
    bench_close(&bench);
    assert_int_equal(bench_open(&bench), 0);
    assert_int_equal(journal_epoch_count(bench.journal), 3);
    expect_stamp(&bench, 7, 300);
    assert_int_equal(bench_append(&bench, 0, 7, 1, 999), 0);
    assert_int_equal(bench_commit(&bench, 9), 0);
    bench_release(&bench, 3);
    assert_int_equal(journal_discard_after(bench.journal, 3, &err), 0);
    bench_close(&bench);
    assert_int_equal(bench_open(&bench), 0);
    bench_release(&bench, 3);
    assert_int_equal(journal_epoch_count(bench.journal), 0);
    bench_end(&bench);
}

static void test_limit(void **state)
{
    struct journal_bench bench;

    bench_begin(&bench);
    bench.options.bytes_max = 1 << 20;
    bench.options.segment_bytes = 0;
    assert_int_equal(bench_open(&bench), 0);
    assert_int_equal(bench_append(&bench, 0, 0, 200, 5), 0);
    assert_int_equal(bench_append(&bench, 0, 200, 200, 6), -ENOSPC);
    /* Whatever fits behind it: an epoch that lacks blocks is never committed. */
    assert_int_equal(bench_append(&bench, 0, 400, 1, 6), -ENOSPC);
    assert_int_equal(bench_commit(&bench, 1), -ENOSPC);
    assert_int_equal(bench_abort(&bench), 0);
    assert_int_equal(bench_append(&bench, 0, 0, 200, 5), 0);
    assert_int_equal(bench_append(&bench, 0, 200, 10, 6), 0);
    assert_int_equal(bench_commit(&bench, 1), 0);
    expect_stamp(&bench, 0, 5);
    assert_int_equal(bench_append(&bench, 0, 200, 200, 6), -ENOSPC);
    bench_release(&bench, 1);
    assert_int_equal(bench_append(&bench, 0, 200, 200, 6), -ENOSPC);
    assert_int_equal(bench_abort(&bench), 0);
    assert_int_equal(bench_append(&bench, 0, 200, 200, 6), 0);
    bench_end(&bench);
}

static void test_bad_crc_and_rot(void **state)
{
    struct journal_extent extent;
    struct journal_bench bench;
    uint8_t bytes[BLOCK_SIZE];
    uint8_t *file;
    size_t length;

    bench_begin(&bench);
    assert_int_equal(bench_open(&bench), 0);
    assert_int_equal(bench_append_rotten(&bench, 0, 0), -EBADMSG);
    assert_int_equal(bench_commit(&bench, 1), -EBADMSG);
    assert_int_equal(bench_abort(&bench), 0);
    assert_int_equal(journal_partial_bytes(bench.journal), 0);
    assert_int_equal(bench_append(&bench, 0, 0, 3, 5), 0);
    assert_int_equal(bench_commit(&bench, 1), 0);
    file = bench_load(&bench, 1, &length);
    file[4096 + 512 + 4096 + 17] ^= 4; /* in the second block */
    bench_store(&bench, 1, file, length);
    assert_true(journal_lookup(bench.journal, 0, 0, 1, &extent));
    assert_int_equal(bench_read(&bench, &extent, bytes), 0);
    assert_true(journal_lookup(bench.journal, 0, 1, 1, &extent));
    assert_int_equal(bench_read(&bench, &extent, bytes), -EBADMSG);
    free(file);
    bench_end(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_model),      cmocka_unit_test(test_release_frees_segments),
        cmocka_unit_test(test_forget_and_discard), cmocka_unit_test(test_limit),
        cmocka_unit_test(test_bad_crc_and_rot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
