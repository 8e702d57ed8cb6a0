/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small journal of three committed epochs and an open one: each byte flipped, cut at each byte,
 * cut by whole records. Each time: refused, or never wrong content and never less than the epochs
 * that the place allows (a torn tail may cost the newest only).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "journal_bench.h"

enum { SEGMENTS = 2 };

struct image {
    uint8_t *bytes[SEGMENTS];
    size_t length[SEGMENTS];
    size_t commit_end[4]; /* of epoch n: behind its first commit record, in its segment */
    unsigned commit_segment[4];
};

static void store_image(struct journal_bench *bench, const struct image *image)
{
    for (unsigned i = 0; i < SEGMENTS; i++)
        bench_store(bench, i + 1, image->bytes[i], image->length[i]);
}

/* Epoch n writes stamp 10 n + block to blocks 0..1 and n + 2, a hole at 20 + n. */
static void make_image(struct journal_bench *bench, struct image *image)
{
    bench->options.segment_bytes = 48000;
    assert_int_equal(bench_open(bench), 0);
    for (uint64_t epoch = 1; epoch <= 3; epoch++) {
        uint64_t bytes = journal_bytes(bench->journal);

        assert_int_equal(bench_append(bench, 0, 0, 2, 10 * epoch), 0);
        assert_int_equal(bench_append(bench, 1, epoch + 2, 1, 10 * epoch), 0);
        assert_int_equal(bench_hole(bench, 1, 20 + epoch, 4), 0);
        assert_int_equal(bench_commit(bench, epoch), 0);
        assert_true(journal_bytes(bench->journal) > bytes);
        image->commit_segment[epoch] = 1;
        for (unsigned i = 0; i < SEGMENTS; i++) {
            size_t length;
            uint8_t *file = bench_load(bench, i + 1, &length);

            if (file == NULL)
                continue;
            image->commit_segment[epoch] = i + 1;
            image->commit_end[epoch] = length - 512;
            free(file);
        }
    }
    assert_int_equal(bench_append(bench, 0, 40, 2, 777), 0);
    assert_true(image->commit_segment[2] == 1 && image->commit_segment[3] == 2);
    assert_null(bench_load(bench, 3, &image->length[0]));
    for (unsigned i = 0; i < SEGMENTS; i++)
        image->bytes[i] = bench_load(bench, i + 1, &image->length[i]);
    bench_close(bench);
}

static void free_image(struct image *image)
{
    for (unsigned i = 0; i < SEGMENTS; i++)
        free(image->bytes[i]);
}

static void expect_block(struct journal_bench *bench, const struct journal_extent *extent,
                         uint64_t stamp)
{
    uint8_t bytes[BLOCK_SIZE], wanted[BLOCK_SIZE];
    struct journal_extent one = *extent;

    one.count = 1;
    assert_int_equal(bench_read(bench, &one, bytes), 0);
    bench_fill(wanted, stamp, 1);
    assert_memory_equal(bytes, wanted, BLOCK_SIZE);
}

/* Opened: all content is right for the epochs it shows; how many. */
static unsigned verify(struct journal_bench *bench)
{
    unsigned count = journal_epoch_count(bench->journal);
    struct journal_extent extent;

    for (unsigned i = 0; i < count; i++) {
        uint64_t epoch = i + 1, cursor = 0, blocks = 0;

        assert_int_equal(journal_epoch_at(bench->journal, i)->epoch, epoch);
        while (journal_epoch_next(bench->journal, epoch, &cursor, &extent)) {
            blocks += extent.count;
            if (!extent.is_hole)
                expect_block(bench, &extent, 10 * epoch);
            else
                assert_true(extent.disk == 1 && extent.block == 20 + epoch && extent.count == 4);
        }
        assert_int_equal(blocks, 7);
    }
    assert_false(journal_lookup(bench->journal, 0, 40, 1, &extent)); /* it never was committed */
    if (count > 0) {
        assert_true(journal_lookup(bench->journal, 0, 0, 1, &extent));
        expect_block(bench, &extent, 10 * count);
    }
    return count;
}

/* Opens what lies there: the epochs shown, or a negative errno. The journal can go on then. */
static int try_open(struct journal_bench *bench, bool goes_on)
{
    int error = bench_open(bench), count;

    if (error != 0) {
        assert_int_equal(error, -EBADMSG);
        assert_non_null(strstr(bench->err.text, ".seg"));
        return error;
    }
    if (journal_missing(bench->journal) > 0) { /* its caller, who applied nothing, refuses */
        bench_close(bench);
        return -EBADMSG;
    }
    count = (int)verify(bench);
    if (goes_on) {
        assert_int_equal(bench_append(bench, 0, 0, 1, 5), 0);
        assert_int_equal(bench_commit(bench, 9), 0);
        bench_close(bench);
        assert_int_equal(bench_open(bench), 0);
        assert_int_equal(journal_epoch_count(bench->journal), count + 1);
    }
    bench_close(bench);
    bench_remove(bench, 3);
    return count;
}

/* Which epochs end before this place? */
static int epochs_before(const struct image *image, unsigned segment, size_t offset)
{
    int count = 0;

    for (unsigned epoch = 1; epoch <= 3; epoch++)
        if (image->commit_segment[epoch] < segment ||
            (image->commit_segment[epoch] == segment && image->commit_end[epoch] <= offset))
            count++;
    return count;
}

static void test_every_flip(void **state)
{
    unsigned refused = 0, harmless = 0;
    struct journal_bench bench;
    struct image image = {0};

    bench_begin(&bench);
    make_image(&bench, &image);
    for (unsigned segment = 1; segment <= SEGMENTS; segment++) {
        for (size_t at = 0; at < image.length[segment - 1]; at++) {
            uint8_t *byte = &image.bytes[segment - 1][at];
            int count;

            if (at % 512 > 140 && at % 512 < 505 && at % 7 != 0)
                continue; /* one of seven inside blocks and padding */
            *byte ^= (uint8_t)(1 << (at % 8));
            store_image(&bench, &image);
            count = try_open(&bench, false);
            *byte ^= (uint8_t)(1 << (at % 8));
            refused += count < 0;
            harmless += count == 3;
            /* Behind the place nothing is committed, or the twin stepped in: all three are there.
             */
            assert_true(count < 0 || count == 3);
        }
    }
    assert_true(refused > 1000 && harmless > 1000);
    store_image(&bench, &image);
    assert_int_equal(try_open(&bench, true), 3);
    free_image(&image);
    bench_end(&bench);
}

/* The file ends anywhere, what was behind is gone: epochs that ended before it, all of them. */
static void test_cut_at_every_byte(void **state)
{
    struct journal_bench bench;
    struct image image = {0};

    bench_begin(&bench);
    make_image(&bench, &image);
    for (unsigned segment = 1; segment <= SEGMENTS; segment++) {
        for (size_t length = 0; length <= image.length[segment - 1]; length++) {
            if (length % 512 > 3 && length % 512 < 509 && length % 97 != 0)
                continue;
            store_image(&bench, &image);
            bench_store(&bench, segment, image.bytes[segment - 1], length);
            if (segment == 1)
                bench_remove(&bench, 2);
            assert_int_equal(try_open(&bench, length % 64 == 0),
                             epochs_before(&image, segment, length));
            bench_remove(&bench, 1);
            bench_remove(&bench, 2);
            bench_remove(&bench, 3);
        }
    }
    free_image(&image);
    bench_end(&bench);
}

/* Cut in the first segment with the second one there: committed records are behind, so refused. */
static void test_cut_in_the_middle(void **state)
{
    struct journal_bench bench;
    struct image image = {0};

    bench_begin(&bench);
    make_image(&bench, &image);
    for (size_t length = 0; length + 512 < image.length[0]; length += 512) {
        store_image(&bench, &image);
        bench_store(&bench, 1, image.bytes[0], length);
        assert_int_equal(try_open(&bench, false), -EBADMSG);
    }
    store_image(&bench, &image);
    bench_remove(&bench, 1); /* the front is gone: the caller is told */
    assert_int_equal(bench_open(&bench), 0);
    assert_true(journal_missing(bench.journal) >= 1);
    bench_close(&bench);
    free_image(&image);
    bench_end(&bench);
}

/* The same, and the last commit stands there alone, its twin gone: it was promised all the same. */
static void test_cut_before_the_last_commit(void **state)
{
    struct journal_bench bench;
    struct image image = {0};

    (void)state;
    bench_begin(&bench);
    make_image(&bench, &image);
    memset(image.bytes[1] + image.commit_end[3], 0, 512);
    for (size_t length = 0; length + 512 < image.length[0]; length += 512) {
        store_image(&bench, &image);
        bench_store(&bench, 1, image.bytes[0], length);
        assert_int_equal(try_open(&bench, false), -EBADMSG);
    }
    free_image(&image);
    bench_end(&bench);
}

/* A power loss keeps any part of what was not synced: whole records behind a lost one. */
static void test_lost_unsynced_record(void **state)
{
    struct journal_bench bench;
    size_t length;
    uint8_t *file;

    bench_begin(&bench);
    assert_int_equal(bench_open(&bench), 0);
    assert_int_equal(bench_append(&bench, 0, 0, 1, 5), 0);
    assert_int_equal(bench_commit(&bench, 1), 0);
    bench_close(&bench);
    assert_int_equal(bench_open(&bench), 0);
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(bench_append(&bench, 0, i, 1, 100 + i), 0);
    file = bench_load(&bench, 2, &length);
    bench_close(&bench);
    memset(file + 4096 + 4608, 0, 4608); /* the second of four */
    bench_store(&bench, 2, file, length);
    assert_int_equal(bench_open(&bench), 0);
    assert_int_equal(journal_epoch_count(bench.journal), 1);
    free(file);
    bench_end(&bench);
}

/* Old bytes of the same place and number, of an earlier life, are not taken for ours. */
static void test_recycled_bytes(void **state)
{
    struct journal_bench bench;
    struct journal_extent extent;
    uint8_t *old, *file;
    size_t old_length, length;
    struct err err;

    bench_begin(&bench);
    assert_int_equal(bench_open(&bench), 0);
    for (uint64_t epoch = 1; epoch <= 2; epoch++) {
        assert_int_equal(bench_append(&bench, 0, 0, 1, epoch), 0);
        assert_int_equal(bench_commit(&bench, epoch), 0);
    }
    old = bench_load(&bench, 1, &old_length);
    assert_int_equal(journal_reset(bench.journal, &err), 0);
    bench_close(&bench);
    assert_int_equal(bench_open(&bench), 0);
    assert_int_equal(bench_append(&bench, 0, 5, 1, 50), 0);
    assert_int_equal(bench_commit(&bench, 1), 0);
    file = bench_load(&bench, 1, &length);
    bench_close(&bench);
    assert_true(length < old_length);
    memcpy(old, file, length); /* the new segment over the old one's tail */
    bench_store(&bench, 1, old, old_length);
    /* A commit of another life is behind: it could be damage of the header of records between, so
     * it is refused rather than guessed. Never is it shown. */
    if (bench_open(&bench) == 0) {
        assert_int_equal(journal_epoch_count(bench.journal), 1);
        assert_false(journal_lookup(bench.journal, 0, 0, 1, &extent));
    }
    free(old);
    free(file);
    bench_end(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_flip),
        cmocka_unit_test(test_cut_at_every_byte),
        cmocka_unit_test(test_cut_in_the_middle),
        cmocka_unit_test(test_lost_unsynced_record),
        cmocka_unit_test(test_cut_before_the_last_commit),
        cmocka_unit_test(test_recycled_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
