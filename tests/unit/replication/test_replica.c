/* SPDX-License-Identifier: Apache-2.0 */
/* The replica on real files: first copy, views, apply, promotion, drain, what kill and power leave.
 */
#include "replication/replica.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "replica_bench.h"

static void test_first_copy(void **state)
{
    struct replica_bench bench;

    replica_bench_begin(&bench, true);
    assert_int_equal(replica_bench_data(&bench, 0, 5, 3, 50), 0);
    assert_int_equal(replica_bench_hole(&bench, 1, 0, BENCH_BLOCKS), 0);
    assert_int_equal(replica_bench_base(&bench, 0, 6), 50); /* straight to the base */
    assert_false(bench.state->has_point);
    assert_int_equal(replica_bench_commit(&bench, 1), 0);
    assert_true(bench.state->has_point);
    assert_false(bench.state->disks[0].is_initial || bench.state->disks[1].is_initial);
    assert_int_equal(replica_bench_data(&bench, 0, 5, 1, 51), 0);
    assert_int_equal(replica_bench_base(&bench, 0, 5), 50); /* now to the journal */
    assert_int_equal(replica_bench_commit(&bench, 2), 0);
    assert_int_equal(replica_bench_read(&bench, 0, 5), 51);
    replica_bench_close(&bench);
    assert_int_equal(replica_bench_open(&bench), 0);
    assert_true(bench.state->has_point);
    assert_int_equal(replica_bench_read(&bench, 0, 5), 51);
    assert_int_equal(replica_bench_read(&bench, 0, 6), 50);
    replica_bench_end(&bench);
}

/* R9: nothing of a partial epoch shows, before and after abort and kill. */
static void test_partial_never_shows(void **state)
{
    struct replica_bench bench, other;
    uint64_t wall_ns;

    replica_bench_begin(&bench, false);
    assert_int_equal(replica_bench_data(&bench, 0, 1, 2, 10), 0);
    assert_int_equal(replica_bench_commit(&bench, 1), 0);
    assert_int_equal(replica_bench_data(&bench, 0, 1, 2, 20), 0);
    assert_int_equal(replica_bench_read(&bench, 0, 1), 10);
    replica_bench_image(&bench, false, &other);
    assert_int_equal(replica_bench_open(&other), 0);
    assert_int_equal(replica_epoch(other.replica, &wall_ns), 1);
    assert_int_equal(replica_bench_read(&other, 0, 1), 10);
    replica_bench_end(&other);
    assert_int_equal(replica_bench_abort(&bench), 0);
    assert_int_equal(replica_bench_commit(&bench, 2), 0);
    assert_int_equal(replica_bench_read(&bench, 0, 1), 10);
    replica_bench_end(&bench);
}

static bool is_empty(struct replica_bench *bench)
{
    return bench->state->applied == 4;
}

/* R12: applied in order, the newest content wins, the state tells, the journal lets go. */
static void test_apply(void **state)
{
    struct replica_bench bench, other;
    uint64_t wall_ns;

    replica_bench_begin(&bench, false);
    for (uint64_t epoch = 1; epoch <= 4; epoch++) {
        assert_int_equal(replica_bench_data(&bench, 0, 10, 200, 100 * epoch), 0);
        assert_int_equal(replica_bench_data(&bench, 1, epoch, 1, epoch), 0);
        assert_int_equal(replica_bench_hole(&bench, 0, 20 + epoch, 1), 0);
        assert_int_equal(replica_bench_commit(&bench, epoch), 0);
    }
    assert_int_equal(replica_bench_base(&bench, 0, 10), 0); /* all of it is retained */
    assert_int_equal(bench.state->applying, 0);
    replica_bench_close(&bench);
    bench.retain_ns = 0;
    assert_int_equal(replica_bench_open(&bench), 0);
    assert_true(replica_bench_until(&bench, is_empty));
    assert_int_equal(bench.state->applying, 4);
    assert_int_equal(replica_epoch(bench.replica, &wall_ns), 4);
    assert_true(wall_ns > 0);
    for (unsigned i = 0; i < 2; i++) { /* in the base, and still there after a restart */
        assert_int_equal(replica_bench_base(&bench, 0, 10), 400);
        assert_int_equal(replica_bench_base(&bench, 0, 209), 400);
        assert_int_equal(replica_bench_base(&bench, 0, 24), 0);
        assert_int_equal(replica_bench_base(&bench, 0, 23), 400);
        assert_int_equal(replica_bench_read(&bench, 1, 3), 3);
        replica_bench_image(&bench, true, &other);
        assert_int_equal(replica_bench_open(&other), 0);
        assert_int_equal(replica_bench_read(&other, 0, 100), 400);
        assert_int_equal(replica_epoch(other.replica, &wall_ns), 4);
        replica_bench_end(&other);
    }
    replica_bench_end(&bench);
}

/* A layer that takes its time: apply stands still in the middle. */
struct slow_layer {
    struct replica_bench bench;
    struct preserve_op *op;
    bool is_over;
};

static bool slow_needs(void *arg, uint64_t block, uint64_t count)
{
    return !((struct slow_layer *)arg)->is_over;
}

static void slow_preserve(void *arg, struct preserve_op *op, uint64_t block, uint64_t count,
                          const uint8_t *bytes, void (*done_cb)(struct preserve_op *op, int error))
{
    op->done_cb = done_cb;
    ((struct slow_layer *)arg)->op = op;
}

static bool is_half_applied(struct replica_bench *bench)
{
    return container_of(bench, struct slow_layer, bench)->op != NULL &&
           replica_bench_base(bench, 0, 10) == 1;
}

static bool is_third_applied(struct replica_bench *bench)
{
    return bench->state->applied == 3;
}

/* R12: a base that holds a half of an epoch can show what is being applied, and nothing older. */
static void test_kill_in_the_middle_of_apply(void **state)
{
    static const struct preserve_ops ops = {.needs = slow_needs, .preserve = slow_preserve};
    struct slow_layer slow = {0};
    struct replica_bench *bench = &slow.bench, killed;

    replica_bench_begin(bench, false);
    for (uint64_t epoch = 1; epoch <= 3; epoch++) {
        assert_int_equal(replica_bench_data(bench, 0, 10, 1, epoch), 0);
        assert_int_equal(replica_bench_data(bench, 1, 10, 1, epoch), 0);
        assert_int_equal(replica_bench_commit(bench, epoch), 0);
    }
    replica_bench_close(bench);
    bench->retain_ns = 0;
    assert_int_equal(replica_bench_open(bench), 0);
    volume_set_preserve(bench->volumes[1], &ops, &slow);
    assert_true(replica_bench_until(bench, is_half_applied));
    replica_bench_image(bench, false, &killed);
    killed.retain_ns = 1ull << 60;
    assert_int_equal(replica_bench_open(&killed), 0);
    assert_int_equal(replica_bench_promote(&killed, 1, NULL, NULL), -ENODATA);
    assert_int_equal(replica_bench_promote(&killed, 2, NULL, NULL), -ENODATA);
    assert_int_equal(replica_bench_promote(&killed, 3, NULL, NULL), 0);
    assert_int_equal(replica_bench_read(&killed, 0, 10), 3);
    assert_int_equal(replica_bench_read(&killed, 1, 10), 3);
    replica_bench_end(&killed);
    slow.is_over = true;
    slow.op->done_cb(slow.op, 0);
    assert_true(replica_bench_until(bench, is_third_applied));
    assert_int_equal(replica_bench_base(bench, 1, 10), 3);
    replica_bench_end(bench);
}

static bool has_less(struct replica_bench *bench)
{
    return bench->state->applied >= 2;
}

/* The window by bytes: old epochs go, those within stay. */
static void test_retention_by_bytes(void **state)
{
    struct replica_bench bench;
    uint64_t wall_ns;

    replica_bench_begin(&bench, false);
    replica_bench_close(&bench);
    bench.retain_bytes = 300 * 1024;
    assert_int_equal(replica_bench_open(&bench), 0);
    for (uint64_t epoch = 1; epoch <= 4; epoch++) {
        assert_int_equal(replica_bench_data(&bench, 0, 0, 32, epoch), 0); /* some 130 KiB */
        assert_int_equal(replica_bench_commit(&bench, epoch), 0);
    }
    assert_true(replica_bench_until(&bench, has_less));
    assert_int_equal(bench.state->applied, 2);
    assert_int_equal(replica_bench_base(&bench, 0, 0), 2);
    assert_int_equal(replica_bench_read(&bench, 0, 0), 4);
    assert_int_equal(replica_epoch(bench.replica, &wall_ns), 4);
    replica_bench_end(&bench);
}

struct differing {
    uint64_t blocks;
};

static void count_differing(void *arg, unsigned disk, uint64_t block, uint64_t count)
{
    ((struct differing *)arg)->blocks += count;
}

static bool is_drained(struct replica_bench *bench)
{
    return replica_is_drained(bench->replica);
}

/* R10, R13: writable at once; what a host replaced never comes back; drained, the journal goes. */
static void test_promote_and_drain(void **state)
{
    struct differing differing = {0};
    struct replica_bench bench;

    replica_bench_begin(&bench, false);
    for (uint64_t epoch = 1; epoch <= 3; epoch++) {
        assert_int_equal(replica_bench_data(&bench, 0, 0, 100, 100 * epoch), 0);
        assert_int_equal(replica_bench_hole(&bench, 1, 50, 20), 0);
        assert_int_equal(replica_bench_data(&bench, 1, epoch, 1, epoch), 0);
        assert_int_equal(replica_bench_commit(&bench, epoch), 0);
    }
    assert_int_equal(replica_bench_promote(&bench, 0, count_differing, &differing), 0);
    assert_int_equal(differing.blocks, 0);
    assert_int_equal(replica_bench_read(&bench, 0, 7), 300);
    assert_int_equal(replica_bench_write(&bench, 0, 7, 7777), 0);
    assert_int_equal(replica_bench_read(&bench, 0, 7), 7777);
    assert_int_equal(replica_bench_read(&bench, 0, 8), 300);
    replica_drain(bench.replica);
    assert_true(replica_bench_until(&bench, is_drained));
    assert_int_equal(replica_journal_bytes(bench.replica), 0);
    assert_int_equal(replica_bench_base(&bench, 0, 7), 7777);
    assert_int_equal(replica_bench_base(&bench, 0, 8), 300);
    assert_int_equal(replica_bench_read(&bench, 1, 3), 3);
    replica_bench_close(&bench);
    assert_int_equal(replica_bench_open(&bench), 0);
    assert_true(replica_is_drained(bench.replica));
    assert_int_equal(replica_bench_read(&bench, 0, 7), 7777);
    assert_int_equal(replica_bench_read(&bench, 0, 99), 300);
    replica_bench_end(&bench);
}

/* Promotion to an older point: newer epochs are told and never show again. */
static void test_promote_to_older_point(void **state)
{
    struct differing differing = {0};
    struct replica_bench bench, other;

    replica_bench_begin(&bench, false);
    for (uint64_t epoch = 1; epoch <= 4; epoch++) {
        assert_int_equal(replica_bench_data(&bench, 0, 0, 10, epoch), 0);
        assert_int_equal(replica_bench_commit(&bench, epoch), 0);
    }
    assert_int_equal(replica_bench_promote(&bench, 9, count_differing, &differing), -ENODATA);
    assert_int_equal(replica_bench_promote(&bench, 2, count_differing, &differing), 0);
    assert_int_equal(differing.blocks, 20);
    assert_int_equal(replica_bench_read(&bench, 0, 3), 2);
    assert_int_equal(replica_bench_write(&bench, 0, 3, 33), 0);
    replica_bench_image(&bench, false, &other); /* killed before the discard */
    assert_int_equal(replica_bench_open(&other), 0);
    assert_int_equal(replica_bench_read(&other, 0, 3), 33);
    assert_int_equal(replica_bench_read(&other, 0, 4), 2);
    assert_true(replica_bench_until(&other, is_drained));
    assert_int_equal(replica_bench_base(&other, 0, 4), 2);
    replica_bench_end(&other);
    replica_drain(bench.replica);
    assert_true(replica_bench_until(&bench, is_drained));
    assert_int_equal(replica_bench_base(&bench, 0, 3), 33);
    assert_int_equal(replica_bench_base(&bench, 0, 5), 2);
    replica_bench_end(&bench);
}

/* I3, I4: a kill loses nothing that was acknowledged; after a power loss what was flushed stays.
 * (The image keeps unflushed content of the base: what is seen here is which blocks hide it.) */
static void test_kill_and_power_after_promotion(void **state)
{
    struct differing differing = {0};
    struct replica_bench bench, killed, lost;

    replica_bench_begin(&bench, false);
    assert_int_equal(replica_bench_data(&bench, 0, 0, 100, 1), 0);
    assert_int_equal(replica_bench_data(&bench, 1, 0, 100, 1), 0);
    assert_int_equal(replica_bench_commit(&bench, 1), 0);
    assert_int_equal(replica_bench_promote(&bench, 0, count_differing, &differing), 0);
    assert_int_equal(replica_bench_write(&bench, 0, 10, 1010), 0);
    assert_int_equal(replica_bench_flush(&bench, 0), 0);
    assert_int_equal(replica_bench_write(&bench, 0, 11, 1111), 0);
    assert_int_equal(replica_bench_write(&bench, 1, 12, 1212), 0);

    replica_bench_image(&bench, false, &killed);
    killed.state->is_drained = false;
    assert_int_equal(replica_bench_open(&killed), 0);
    assert_int_equal(replica_bench_read(&killed, 0, 10), 1010);
    assert_int_equal(replica_bench_read(&killed, 0, 11), 1111);
    assert_int_equal(replica_bench_read(&killed, 1, 12), 1212);
    assert_int_equal(replica_bench_read(&killed, 1, 13), 1);
    assert_int_equal(replica_bench_flush(&killed, 0), 0);
    assert_int_equal(replica_bench_flush(&killed, 1), 0);
    replica_bench_image(&killed, true, &lost); /* power after kill and flush */
    assert_int_equal(replica_bench_open(&lost), 0);
    assert_int_equal(replica_bench_read(&lost, 0, 11), 1111);
    assert_int_equal(replica_bench_read(&lost, 1, 12), 1212);
    replica_bench_end(&lost);
    replica_bench_end(&killed);

    replica_bench_image(&bench, true, &lost);
    assert_int_equal(replica_bench_open(&lost), 0);
    assert_int_equal(replica_bench_read(&lost, 0, 10), 1010); /* flushed */
    assert_int_equal(replica_bench_read(&lost, 0, 11), 1);    /* not: old content of the journal */
    assert_int_equal(replica_bench_read(&lost, 1, 12), 1);
    assert_true(replica_bench_until(&lost, is_drained));
    assert_int_equal(replica_bench_read(&lost, 0, 10), 1010);
    assert_int_equal(replica_bench_read(&lost, 0, 12), 1);
    replica_bench_end(&lost);
    replica_bench_end(&bench);
}

static bool is_half_drained(struct replica_bench *bench)
{
    return container_of(bench, struct slow_layer, bench)->op != NULL &&
           replica_bench_base(bench, 0, 10) == 5;
}

/* R10: a drained block is the base's: its older content in the journal never comes back. */
static void test_kill_in_the_middle_of_the_drain(void **state)
{
    static const struct preserve_ops ops = {.needs = slow_needs, .preserve = slow_preserve};
    struct slow_layer slow = {0};
    struct replica_bench *bench = &slow.bench, killed;

    replica_bench_begin(bench, false);
    assert_int_equal(replica_bench_data(bench, 0, 10, 1, 5), 0);
    assert_int_equal(replica_bench_data(bench, 1, 10, 1, 5), 0);
    assert_int_equal(replica_bench_commit(bench, 1), 0);
    assert_int_equal(replica_bench_promote(bench, 0, NULL, NULL), 0);
    volume_set_preserve(bench->volumes[1], &ops, &slow);
    replica_drain(bench->replica);
    assert_true(replica_bench_until(bench, is_half_drained));
    assert_int_equal(replica_bench_write(bench, 0, 10, 77), 0);
    replica_bench_image(bench, false, &killed);
    assert_int_equal(replica_bench_open(&killed), 0);
    assert_int_equal(replica_bench_read(&killed, 0, 10), 77);
    assert_int_equal(replica_bench_read(&killed, 1, 10), 5);
    assert_true(replica_bench_until(&killed, is_drained));
    assert_int_equal(replica_bench_base(&killed, 0, 10), 77);
    replica_bench_end(&killed);
    slow.is_over = true;
    slow.op->done_cb(slow.op, 0);
    assert_true(replica_bench_until(bench, is_drained));
    assert_int_equal(replica_bench_base(bench, 0, 10), 77);
    replica_bench_end(bench);
}

static bool is_other_disk_drained(struct replica_bench *bench)
{
    return replica_bench_base(bench, 1, 10) == 5;
}

static bool has_waited(struct replica_bench *bench)
{
    return bench->result++ > 20; /* looks, a millisecond apart */
}

static void note_written(struct volume_request *request, int error)
{
    check(error == 0);
    request->offset = UINT64_MAX;
}

/* D1: a host's write that holds the block while the drain wants it is the newer one. */
static void test_host_write_before_the_drain(void **state)
{
    static const struct preserve_ops ops = {.needs = slow_needs, .preserve = slow_preserve};
    static uint8_t bytes[BLOCK_SIZE];
    struct slow_layer slow = {0};
    struct replica_bench *bench = &slow.bench;
    struct iovec iov = {bytes, sizeof(bytes)};
    struct volume_request request = {.op = VOLUME_WRITE,
                                     .offset = 10 * BLOCK_SIZE,
                                     .length = BLOCK_SIZE,
                                     .iov = &iov,
                                     .iov_count = 1,
                                     .done_cb = note_written};

    memset(bytes, 7, sizeof(bytes));
    replica_bench_begin(bench, false);
    assert_int_equal(replica_bench_data(bench, 0, 10, 1, 5), 0);
    assert_int_equal(replica_bench_data(bench, 1, 10, 1, 5), 0);
    assert_int_equal(replica_bench_commit(bench, 1), 0);
    assert_int_equal(replica_bench_promote(bench, 0, NULL, NULL), 0);
    volume_set_preserve(bench->volumes[0], &ops, &slow);
    volume_submit(bench->volumes[0], &request);
    replica_drain(bench->replica);
    assert_true(replica_bench_until(bench, is_other_disk_drained));
    assert_true(replica_bench_until(bench, has_waited));
    assert_int_equal(replica_bench_base(bench, 0, 10), 0);
    slow.is_over = true;
    slow.op->done_cb(slow.op, 0);
    assert_true(replica_bench_until(bench, is_drained));
    assert_true(request.offset == UINT64_MAX);
    assert_int_equal(replica_bench_base(bench, 0, 10), 0x0707070707070707);
    replica_bench_end(bench);
}

static bool has_room(struct replica_bench *bench)
{
    return replica_needed_bytes(bench->replica) == 0;
}

/* C3: full: refused, said how much; apply is hurried although all is within retention. */
static void test_full_journal(void **state)
{
    struct replica_bench bench;
    int error = 0;

    replica_bench_begin(&bench, false);
    replica_bench_close(&bench);
    bench.journal_bytes_max = 4 << 20;
    assert_int_equal(replica_bench_open(&bench), 0);
    assert_int_equal(replica_bench_data(&bench, 0, 0, 256, 1), 0);
    assert_int_equal(replica_bench_commit(&bench, 1), 0);
    assert_int_equal(replica_bench_data(&bench, 0, 0, 256, 2), 0);
    assert_int_equal(replica_bench_commit(&bench, 2), 0);
    for (unsigned i = 0; i < 8 && error == 0; i++)
        error = replica_bench_data(&bench, 0, 0, 256, 3);
    assert_int_equal(error, -ENOSPC);
    assert_true(replica_needed_bytes(bench.replica) > 1 << 20);
    assert_int_not_equal(replica_bench_hole(&bench, 0, 300, 4), 0);
    assert_int_equal(replica_bench_commit(&bench, 3), -ENOSPC); /* it lacks blocks */
    assert_int_equal(replica_bench_read(&bench, 0, 9), 2);
    assert_int_equal(replica_bench_abort(&bench), 0);
    assert_true(replica_bench_until(&bench, has_room));
    assert_int_equal(replica_bench_data(&bench, 0, 0, 256, 3), 0);
    assert_int_equal(replica_bench_commit(&bench, 3), 0);
    assert_int_equal(replica_bench_read(&bench, 0, 9), 3);
    for (unsigned i = 0, full = 0; i < 8 && full == 0; i++) /* one epoch that can never fit */
        full = replica_bench_data(&bench, 0, 0, 256, 4) == -ENOSPC;
    assert_true(replica_needed_bytes(bench.replica) > 0);
    replica_bench_end(&bench);
}

/* C4, where data go straight to the base: what was not taken spoils the epoch. */
static void test_spoiled_first_copy(void **state)
{
    struct replica_bench bench;

    replica_bench_begin(&bench, true);
    assert_int_equal(replica_bench_rotten(&bench, 0, 7), -EBADMSG);
    assert_int_equal(replica_bench_data(&bench, 0, 0, 4, 1), 0);
    assert_int_equal(replica_bench_commit(&bench, 1), -EBADMSG);
    assert_int_equal(replica_bench_abort(&bench), 0);
    assert_int_equal(replica_bench_data(&bench, 0, 0, 8, 1), 0);
    assert_int_equal(replica_bench_commit(&bench, 1), 0);
    assert_int_equal(replica_bench_read(&bench, 0, 7), 1);
    replica_bench_end(&bench);
}

/* A first copy of a sparse disk that a host writes to: the hole is longer than one piece of it. */
static void test_data_behind_a_hole(void **state)
{
    const uint64_t blocks = 100000;
    struct replica_bench bench;

    (void)state;
    replica_bench_begin(&bench, true);
    assert_int_equal(volume_grow(bench.volumes[0], blocks * BLOCK_SIZE, &bench.err), 0);
    assert_int_equal(replica_bench_hole_and_data(&bench, blocks, blocks - 1, 7), 0);
    assert_int_equal(replica_bench_hole_and_data(&bench, blocks - 1, blocks / 2, 8), 0);
    assert_int_equal(replica_bench_commit(&bench, 1), 0);
    assert_int_equal(replica_bench_read(&bench, 0, blocks - 1), 7);
    assert_int_equal(replica_bench_read(&bench, 0, blocks / 2), 8);
    replica_bench_end(&bench);
}

static bool is_all_home(struct replica_bench *bench)
{
    return replica_is_drained(bench->replica);
}

/* The end of a target's stream: everything comes home whatever the window says. */
static void test_target_brings_home(void **state)
{
    struct replica_bench bench;

    replica_bench_begin(&bench, false);
    assert_int_equal(replica_bench_data(&bench, 1, 3, 30, 5), 0);
    assert_int_equal(replica_bench_commit(&bench, 1), 0);
    assert_false(replica_is_drained(bench.replica));
    replica_drain(bench.replica);
    assert_true(replica_bench_until(&bench, is_all_home));
    assert_int_equal(replica_bench_base(&bench, 1, 32), 5);
    replica_bench_end(&bench);
}

/* Damage under a committed epoch stops apply, is told, and never reaches the base. */
static bool is_troubled(struct replica_bench *bench)
{
    return replica_trouble(bench->replica)[0] != 0;
}

static void test_damage_stops_apply(void **state)
{
    struct replica_bench bench;
    char command[400];

    replica_bench_begin(&bench, false);
    assert_int_equal(replica_bench_data(&bench, 0, 3, 4, 5), 0);
    assert_int_equal(replica_bench_commit(&bench, 1), 0);
    snprintf(command, sizeof(command),
             "printf X | dd of=%s/journal/1.seg bs=1 seek=8000 conv=notrunc status=none",
             bench.folder);
    assert_int_equal(system(command), 0);
    replica_drain(bench.replica);
    assert_true(replica_bench_until(&bench, is_troubled));
    assert_int_equal(bench.state->applied, 0);
    assert_int_equal(replica_bench_base(&bench, 0, 3), 0);
    replica_bench_end(&bench);
}

static bool are_three_applied(struct replica_bench *bench)
{
    return bench->state->applied == 3;
}

/* A journal that somebody removed, whole or its end: what the disks hold is older, and is not shown
 * for the newest point. */
static void test_journal_that_is_gone(void **state)
{
    struct replica_bench bench;
    char command[600];

    replica_bench_begin(&bench, true);
    assert_int_equal(replica_bench_data(&bench, 0, 3, 4, 5), 0);
    assert_int_equal(replica_bench_commit(&bench, 1), 0);
    replica_bench_close(&bench);
    snprintf(command, sizeof(command), "mv %s/journal/1.seg %s/aside", bench.folder, bench.folder);
    assert_int_equal(system(command), 0);
    assert_int_equal(replica_bench_open(&bench), -EBADMSG);
    assert_non_null(strstr(bench.err.text, "lacks epoch 1"));
    snprintf(command, sizeof(command), "mv %s/aside %s/journal/1.seg", bench.folder, bench.folder);
    assert_int_equal(system(command), 0);
    /* The same behind epochs that are in the disks. */
    bench.retain_bytes = 100 * BLOCK_SIZE;
    assert_int_equal(replica_bench_open(&bench), 0);
    for (uint64_t epoch = 2; epoch <= 4; epoch++) {
        assert_int_equal(replica_bench_data(&bench, 0, 10, 80, 100 * epoch), 0);
        assert_int_equal(replica_bench_commit(&bench, epoch), 0);
    }
    assert_true(replica_bench_until(&bench, are_three_applied));
    replica_bench_close(&bench);
    snprintf(command, sizeof(command), "rm %s/journal/*.seg", bench.folder);
    assert_int_equal(system(command), 0);
    assert_int_equal(replica_bench_open(&bench), -EBADMSG);
    assert_non_null(strstr(bench.err.text, "lacks epoch 4"));
    replica_bench_end(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_copy),
        cmocka_unit_test(test_partial_never_shows),
        cmocka_unit_test(test_apply),
        cmocka_unit_test(test_kill_in_the_middle_of_apply),
        cmocka_unit_test(test_retention_by_bytes),
        cmocka_unit_test(test_promote_and_drain),
        cmocka_unit_test(test_promote_to_older_point),
        cmocka_unit_test(test_kill_and_power_after_promotion),
        cmocka_unit_test(test_kill_in_the_middle_of_the_drain),
        cmocka_unit_test(test_host_write_before_the_drain),
        cmocka_unit_test(test_full_journal),
        cmocka_unit_test(test_spoiled_first_copy),
        cmocka_unit_test(test_data_behind_a_hole),
        cmocka_unit_test(test_target_brings_home),
        cmocka_unit_test(test_damage_stops_apply),
        cmocka_unit_test(test_journal_that_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
