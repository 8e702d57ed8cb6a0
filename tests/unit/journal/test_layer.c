/* SPDX-License-Identifier: Apache-2.0 */
/* Layers: what was kept first stays, over reopening; holes; description flipped; made and removed.
 */
#include "journal/layer.h"

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

#include "journal/layer_info.h"
#include "journal_bench.h"

enum { BLOCKS = 300, OPS = 8 };

struct keep {
    struct layer_op op;
    struct loop *loop;
    unsigned *left;
    int error;
    uint8_t bytes[16 * BLOCK_SIZE];
};

static void keep_done(struct layer_op *op, int error)
{
    struct keep *keep = container_of(op, struct keep, op);

    keep->error = error;
    if (--*keep->left == 0)
        loop_stop(keep->loop);
}

static const struct layer_description usual = {.id = "l-1",
                                               .disk = "d-1",
                                               .label = "g3",
                                               .reason = "reprotect of pg-1",
                                               .size_bytes = BLOCKS * BLOCK_SIZE,
                                               .created_wall_ns = 5,
                                               .expires_wall_ns = 9,
                                               .bytes_max = 1 << 30};

/* Stamps of what a layer keeps; 0: not kept, 1: zeros. */
static void verify(struct journal_bench *bench, struct layer *layer, const uint64_t *kept)
{
    struct keep *keep = calloc(1, sizeof(*keep));
    uint64_t count, total = 0;
    uint8_t wanted[BLOCK_SIZE];

    for (uint64_t block = 0; block < BLOCKS; block++) {
        unsigned left = 1;
        bool is_kept = layer_lookup(layer, block, BLOCKS - block, &count);

        assert_int_equal(is_kept, kept[block] != 0);
        for (uint64_t i = 0; i < count; i++)
            assert_int_equal(kept[block + i] != 0, is_kept);
        assert_true(block + count == BLOCKS || (kept[block + count] != 0) != is_kept);
        if (!is_kept)
            continue;
        total++;
        keep->loop = bench->loop;
        keep->left = &left;
        layer_read(layer, &keep->op, block, 1, keep->bytes, keep_done);
        loop_run(bench->loop);
        assert_int_equal(keep->error, 0);
        memset(wanted, 0, sizeof(wanted));
        if (kept[block] != 1)
            bench_fill(wanted, kept[block], 1);
        assert_memory_equal(keep->bytes, wanted, BLOCK_SIZE);
    }
    assert_int_equal(layer_kept_bytes(layer), total * BLOCK_SIZE);
    free(keep);
}

static void keep_some(struct journal_bench *bench, struct layer *layer, uint64_t *kept,
                      unsigned round)
{
    struct keep *keeps = calloc(OPS, sizeof(keeps[0]));
    unsigned left = OPS;

    for (unsigned i = 0; i < OPS; i++) { /* apart from each other, over what may be kept already */
        uint64_t block = i * 36 + round * 7 % 20, count = 1 + (round * 5 + i) % 16;

        for (uint64_t k = 0; k < count; k++) {
            uint64_t stamp = (block + k + round) % 5 == 0 ? 1 : round * 1000 + block + k + 2;

            if (stamp != 1)
                bench_fill(keeps[i].bytes + k * BLOCK_SIZE, stamp, 1);
            if (kept[block + k] == 0)
                kept[block + k] = stamp;
        }
        keeps[i].loop = bench->loop;
        keeps[i].left = &left;
        layer_keep(layer, &keeps[i].op, block, count, keeps[i].bytes, keep_done);
    }
    loop_run(bench->loop);
    for (unsigned i = 0; i < OPS; i++)
        assert_int_equal(keeps[i].error, 0);
    free(keeps);
}

static int open_again(struct journal_bench *bench, struct layer **ret_layer, struct err *err)
{
    struct layer_description description;
    int error = layer_read_info(bench->loop, bench->folder, "l-1", &description, err);

    return error == 0 ? layer_open(bench->loop, bench->folder, &description, ret_layer, err)
                      : error;
}

static void test_first_content_stays(void **state)
{
    uint64_t kept[BLOCKS] = {0};
    struct journal_bench bench;
    struct layer *layer;
    struct err err;

    bench_begin(&bench);
    assert_int_equal(layer_create(bench.loop, bench.folder, &usual, &layer, &err), 0);
    verify(&bench, layer, kept);
    for (unsigned round = 0; round < 12; round++) {
        keep_some(&bench, layer, kept, round);
        if (round % 3 == 0) {
            layer_close(layer);
            assert_int_equal(open_again(&bench, &layer, &err), 0);
        }
        verify(&bench, layer, kept);
    }
    assert_memory_equal(layer_describe(layer), &usual, sizeof(usual));
    layer_close(layer);
    bench_end(&bench);
}

static void test_sparse(void **state)
{
    struct layer_description large = usual;
    struct journal_bench bench;
    struct layer *layer;
    struct stat stat_of;
    char path[300];
    struct err err;

    bench_begin(&bench);
    large.size_bytes = 1ull << 40;
    assert_int_equal(layer_create(bench.loop, bench.folder, &large, &layer, &err), 0);
    snprintf(path, sizeof(path), "%s/l-1", bench.folder);
    assert_int_equal(stat(path, &stat_of), 0);
    assert_true((uint64_t)stat_of.st_size == 1ull << 40 && stat_of.st_blocks < 64);
    snprintf(path, sizeof(path), "%s/l-1.map", bench.folder);
    assert_int_equal(stat(path, &stat_of), 0);
    assert_true(stat_of.st_blocks < 64);
    assert_int_equal(layer_remove(layer, &err), 0);
    assert_int_equal(stat(path, &stat_of), -1);
    bench_end(&bench);
}

static void count_layer(void *arg, const char *id)
{
    assert_string_equal(id, "l-1");
    ++*(unsigned *)arg;
}

static void test_exists_by_its_info(void **state)
{
    struct journal_bench bench;
    struct layer *layer;
    unsigned count = 0;
    char path[300];
    struct err err;

    bench_begin(&bench);
    assert_int_equal(layer_create(bench.loop, bench.folder, &usual, &layer, &err), 0);
    layer_close(layer);
    layer_list(bench.loop, bench.folder, count_layer, &count);
    assert_int_equal(count, 1);
    snprintf(path, sizeof(path), "%s/l-1.info", bench.folder);
    unlink(path);
    layer_list(bench.loop, bench.folder, count_layer, &count);
    assert_int_equal(count, 1);
    assert_int_equal(open_again(&bench, &layer, &err), -ENOENT);
    assert_int_equal(layer_create(bench.loop, bench.folder, &usual, &layer, &err), 0);
    assert_int_equal(layer_kept_bytes(layer), 0);
    layer_close(layer);
    bench_end(&bench);
}

/* Without its map a layer would show the present of its disk. */
static void test_missing_map(void **state)
{
    struct journal_bench bench;
    struct layer *layer;
    char path[300];
    struct err err;

    bench_begin(&bench);
    assert_int_equal(layer_create(bench.loop, bench.folder, &usual, &layer, &err), 0);
    layer_close(layer);
    snprintf(path, sizeof(path), "%s/l-1.map", bench.folder);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(open_again(&bench, &layer, &err), -ENOENT);
    assert_non_null(strstr(err.text, "l-1.map"));
    bench_end(&bench);
}

static void test_info_flips(void **state)
{
    struct layer_description back;
    uint8_t bytes[LAYER_INFO_BYTES];

    layer_info_encode(&usual, bytes);
    assert_int_equal(layer_info_decode(bytes, &back), 0);
    assert_memory_equal(&back, &usual, sizeof(usual));
    for (unsigned i = 0; i < sizeof(bytes); i++) {
        bytes[i] ^= (uint8_t)(1 << (i % 8));
        assert_int_equal(layer_info_decode(bytes, &back), -EBADMSG);
        bytes[i] ^= (uint8_t)(1 << (i % 8));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_content_stays), cmocka_unit_test(test_sparse),
        cmocka_unit_test(test_exists_by_its_info),  cmocka_unit_test(test_missing_map),
        cmocka_unit_test(test_info_flips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
