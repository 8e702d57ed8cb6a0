/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks that become larger while they are replicated, between two engines with real files: the
 * order of the two sites (G1), what is shipped of the new blocks (G2), turned round (G3), killed
 * between the steps, with snapshots.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pair_lab.h"

enum { LARGE_BLOCKS = DISK_BLOCKS + 2000 };

static bool may_write(struct pair_lab *lab, void *arg)
{
    unsigned site = *(unsigned *)arg;
    const char *why;

    return engine_disk_may_write(lab->sites[site].engine, site == PARIS ? "d-paris0" : "d-lyon0",
                                 &why);
}

static void wait_writable(struct pair_lab *lab, unsigned site)
{
    pair_wait(lab, may_write, &site);
}

static void replicate(struct pair_lab *lab)
{
    pair_lab_open(lab);
    wait_writable(lab, PARIS);
    pair_write(lab, PARIS, 0, 10, 100, 1);
    assert_int_equal(pair_start(lab, PARIS, false), 0);
    pair_settle(lab, PARIS);
}

/* It may take a moment until the source has heard of the target's size. */
static void grow_source(struct pair_lab *lab, unsigned site)
{
    int error;

    while ((error = pair_grow(lab, site, 0, LARGE_BLOCKS)) == -EAGAIN)
        pair_run_ms(lab, 1);
    assert_int_equal(error, 0);
    assert_int_equal(pair_blocks(lab, site, 0), LARGE_BLOCKS);
}

static void grow_both(struct pair_lab *lab)
{
    assert_int_equal(pair_grow(lab, LYON, 0, LARGE_BLOCKS), 0);
    assert_int_equal(pair_blocks(lab, LYON, 0), LARGE_BLOCKS);
    grow_source(lab, PARIS);
}

static bool is_settled(struct pair_lab *lab, void *arg)
{
    struct engine_stream_status status = pair_status(lab, *(unsigned *)arg);

    return status.is_connected && status.has_point && status.backlog_bytes == 0;
}

/* Both are as large by now, and hold the same up to the end. */
static void settle_large(struct pair_lab *lab, unsigned source)
{
    uint8_t *ours, *theirs;

    pair_wait(lab, is_settled, &source);
    assert_int_equal(pair_blocks(lab, PARIS, 0), LARGE_BLOCKS);
    assert_int_equal(pair_blocks(lab, LYON, 0), LARGE_BLOCKS);
    ours = pair_read_all(lab, PARIS, 0);
    theirs = pair_read_all(lab, LYON, 0);
    assert_memory_equal(ours, theirs, (size_t)LARGE_BLOCKS * BLOCK_SIZE);
    free(ours);
    free(theirs);
}

static bool holds(struct pair_lab *lab, unsigned site, unsigned block, unsigned seed)
{
    uint8_t *bytes = pair_read_all(lab, site, 0);
    bool is_so = bytes[(size_t)block * BLOCK_SIZE] == (uint8_t)(seed * 31 + block + 1);

    free(bytes);
    return is_so;
}

static void both_grow_and_go_on(void **state)
{
    struct pair_lab lab;

    replicate(&lab);
    grow_both(&lab);
    assert_int_equal(lab.sites[PARIS].grown_bytes, (uint64_t)LARGE_BLOCKS * BLOCK_SIZE);
    assert_int_equal(lab.sites[LYON].grown_bytes, (uint64_t)LARGE_BLOCKS * BLOCK_SIZE);
    assert_false(lab.sites[PARIS].is_closed[0]); /* hosts stayed */
    pair_write(&lab, PARIS, 0, LARGE_BLOCKS - 50, 50, 2);
    pair_write(&lab, PARIS, 0, DISK_BLOCKS - 5, 10, 3);
    settle_large(&lab, PARIS);
    assert_true(holds(&lab, LYON, LARGE_BLOCKS - 1 - 49, 2));
    /* Asked again nothing happens; smaller is no size. */
    assert_int_equal(pair_grow(&lab, LYON, 0, LARGE_BLOCKS), 0);
    assert_int_equal(pair_grow(&lab, PARIS, 0, LARGE_BLOCKS), 0);
    assert_int_equal(pair_blocks(&lab, PARIS, 0), LARGE_BLOCKS);
    pair_lab_close(&lab);
}

/* Both sites begin anew with the sizes of their owners, who heard nothing. */
static void sizes_survive(void **state)
{
    struct pair_lab lab;

    for (unsigned is_killed = 0; is_killed < 2; is_killed++) {
        replicate(&lab);
        grow_both(&lab);
        settle_large(&lab, PARIS);
        for (unsigned site = SITES; site-- > 0;) { /* the source last: it has what is not shipped */
            if (is_killed)
                pair_site_kill(&lab, site);
            else
                pair_site_stop(&lab, site);
            if (site == LYON)
                pair_write(&lab, PARIS, 0, LARGE_BLOCKS - 50, 50, 2);
            lab.sites[site].grown_bytes = 0;
        }
        pair_site_start(&lab, PARIS, false);
        pair_site_start(&lab, LYON, false);
        wait_writable(&lab, PARIS);
        assert_int_equal(lab.sites[PARIS].grown_bytes, (uint64_t)LARGE_BLOCKS * BLOCK_SIZE);
        assert_int_equal(lab.sites[LYON].grown_bytes, (uint64_t)LARGE_BLOCKS * BLOCK_SIZE);
        settle_large(&lab, PARIS);
        assert_true(holds(&lab, LYON, LARGE_BLOCKS - 50, 2));
        pair_lab_close(&lab);
    }
}

/* G1 */
static void source_waits_for_its_target(void **state)
{
    struct pair_lab lab;

    replicate(&lab);
    assert_int_equal(pair_grow(&lab, PARIS, 0, LARGE_BLOCKS), -EAGAIN);
    assert_int_equal(pair_blocks(&lab, PARIS, 0), DISK_BLOCKS);
    pair_site_stop(&lab, LYON);
    assert_int_equal(pair_grow(&lab, PARIS, 0, LARGE_BLOCKS), -EHOSTUNREACH);
    pair_lab_close(&lab);
}

/* The source was killed before it grew, or never asked: nothing is harmed. */
static void target_alone_is_larger(void **state)
{
    struct pair_lab lab;

    replicate(&lab);
    assert_int_equal(pair_grow(&lab, LYON, 0, LARGE_BLOCKS), 0);
    pair_write(&lab, PARIS, 0, 700, 30, 2);
    pair_settle(&lab, PARIS);
    pair_site_kill(&lab, PARIS);
    pair_site_start(&lab, PARIS, false);
    wait_writable(&lab, PARIS);
    pair_write(&lab, PARIS, 0, 800, 30, 3);
    pair_settle(&lab, PARIS);
    grow_source(&lab, PARIS);
    pair_write(&lab, PARIS, 0, LARGE_BLOCKS - 20, 20, 4);
    settle_large(&lab, PARIS);
    pair_lab_close(&lab);
}

/* G2: what a disk has in its new blocks goes over, whoever wrote it. */
static void what_lay_there_is_shipped(void **state)
{
    struct pair_lab lab;
    char command[800];

    replicate(&lab);
    snprintf(command, sizeof(command),
             "head -c %u /dev/zero | tr '\\0' x | dd of=%s/disks/d-paris0.raw bs=4096 seek=%u "
             "conv=notrunc status=none",
             100 * BLOCK_SIZE, lab.sites[PARIS].folder, DISK_BLOCKS + 500);
    assert_int_equal(system(command), 0);
    grow_both(&lab);
    settle_large(&lab, PARIS);
    uint8_t *bytes = pair_read_all(&lab, LYON, 0);

    assert_int_equal(bytes[(size_t)(DISK_BLOCKS + 550) * BLOCK_SIZE], 'x');
    free(bytes);
    pair_lab_close(&lab);
}

static void failover_and_back(void **state)
{
    struct pair_lab lab;

    replicate(&lab);
    grow_both(&lab);
    pair_write(&lab, PARIS, 0, LARGE_BLOCKS - 50, 50, 2);
    settle_large(&lab, PARIS);
    assert_int_equal(pair_failover(&lab, LYON), 0);
    assert_int_equal(pair_grow(&lab, LYON, 0, LARGE_BLOCKS + 10), -EBUSY);
    pair_write(&lab, LYON, 0, LARGE_BLOCKS - 30, 10, 3);
    assert_int_equal(pair_reprotect_met(&lab, LYON, true), 0);
    assert_int_equal(pair_start(&lab, LYON, false), 0);
    settle_large(&lab, LYON);
    assert_true(holds(&lab, PARIS, LARGE_BLOCKS - 30, 3));
    pair_lab_close(&lab);
}

/* G3: the target had grown, its source had not, and then hosts went on at the target. */
static void larger_winner(bool is_written, bool is_killed)
{
    struct pair_lab lab;
    char command[800];

    replicate(&lab);
    /* What lies in the new blocks is not the same at both. */
    snprintf(command, sizeof(command),
             "echo abc | dd of=%s/disks/d-paris0.raw bs=4096 seek=%u conv=notrunc status=none",
             lab.sites[PARIS].folder, DISK_BLOCKS + 7);
    assert_int_equal(system(command), 0);
    assert_int_equal(pair_grow(&lab, LYON, 0, LARGE_BLOCKS), 0);
    assert_int_equal(pair_failover(&lab, LYON), 0);
    if (is_written)
        pair_write(&lab, LYON, 0, LARGE_BLOCKS - 60, 20, 5);
    assert_int_equal(pair_reprotect_met(&lab, LYON, true), 0);
    assert_int_equal(pair_blocks(&lab, LYON, 0), LARGE_BLOCKS);
    if (is_killed) {
        pair_site_kill(&lab, LYON);
        pair_site_start(&lab, LYON, false);
        wait_writable(&lab, LYON);
    }
    assert_int_equal(pair_start(&lab, LYON, false), 0);
    settle_large(&lab, LYON);
    pair_lab_close(&lab);
}

static void winner_is_larger(void **state)
{
    larger_winner(true, false);
    larger_winner(false, false);
    larger_winner(true, true);
}

/* The failover is cancelled: what hosts wrote at the target beyond the source's end is given up,
 * but for its snapshot; and should the source grow, its own blocks are what counts. */
static void loser_is_larger(void **state)
{
    struct pair_lab lab;
    struct engine_snapshot snapshot;

    replicate(&lab);
    assert_int_equal(pair_grow(&lab, LYON, 0, LARGE_BLOCKS), 0);
    assert_int_equal(pair_failover(&lab, LYON), 0);
    pair_write(&lab, LYON, 0, LARGE_BLOCKS - 60, 20, 5);
    pair_write(&lab, LYON, 0, DISK_BLOCKS - 3, 6, 6); /* across the end */
    assert_int_equal(pair_reprotect_met(&lab, LYON, false), 0);
    assert_int_equal(pair_start(&lab, PARIS, false), 0);
    pair_settle(&lab, PARIS);
    assert_true(engine_snapshot_at(lab.sites[LYON].engine, "d-lyon0", 0, &snapshot));
    assert_int_equal(snapshot.size_bytes, (uint64_t)LARGE_BLOCKS * BLOCK_SIZE);
    grow_source(&lab, PARIS);
    settle_large(&lab, PARIS);
    assert_false(holds(&lab, LYON, LARGE_BLOCKS - 60, 5));
    pair_lab_close(&lab);
}

/* Snapshots keep their size, what they show, and the disk its right to grow. */
static void with_snapshots(void **state)
{
    static uint8_t before[DISK_BLOCKS * BLOCK_SIZE], after[DISK_BLOCKS * BLOCK_SIZE];
    struct pair_lab lab;

    replicate(&lab);
    assert_int_equal(pair_failover(&lab, LYON), 0);
    pair_write(&lab, LYON, 0, 300, 10, 2);
    assert_int_equal(pair_reprotect_met(&lab, LYON, true), 0);
    pair_read_snapshot(&lab, PARIS, 0, before);
    assert_int_equal(pair_start(&lab, LYON, false), 0);
    pair_settle(&lab, LYON);
    assert_int_equal(pair_grow(&lab, PARIS, 0, LARGE_BLOCKS), 0);
    grow_source(&lab, LYON);
    pair_write(&lab, LYON, 0, DISK_BLOCKS - 20, 40, 3); /* across the end of the snapshot */
    pair_write(&lab, LYON, 0, LARGE_BLOCKS - 20, 20, 4);
    settle_large(&lab, LYON);
    pair_run_ms(&lab, 300); /* applied to the base, past the retention */
    pair_read_snapshot(&lab, PARIS, 0, after);
    assert_memory_equal(before, after, sizeof(after));
    pair_site_kill(&lab, PARIS);
    pair_site_start(&lab, PARIS, false);
    settle_large(&lab, LYON);
    pair_read_snapshot(&lab, PARIS, 0, after);
    assert_memory_equal(before, after, sizeof(after));
    pair_lab_close(&lab);
}

struct asked {
    unsigned count;
    int error;
};

static void asked_done(void *arg, int error, const char *why)
{
    struct asked *asked = arg;

    (void)why;
    asked->count++;
    asked->error = error;
}

static bool is_answered(struct pair_lab *lab, void *arg)
{
    return ((struct asked *)arg)->count == 1;
}

/* What hosts wrote is synced before anything blocks, and the end of the stream waits for that. */
static void begins_behind_a_sync(void **state)
{
    for (unsigned is_stopped = 0; is_stopped < 2; is_stopped++) {
        struct asked asked = {0};
        struct pair_lab lab;

        replicate(&lab);
        engine_disk_grow(lab.sites[LYON].engine, "d-lyon0", (uint64_t)LARGE_BLOCKS * BLOCK_SIZE,
                         asked_done, &asked);
        assert_int_equal(pair_blocks(&lab, LYON, 0), DISK_BLOCKS);
        if (is_stopped)
            pair_site_stop(&lab, LYON);
        else
            pair_wait(&lab, is_answered, &asked);
        assert_int_equal(asked.count, 1);
        assert_true((asked.error == 0) == !is_stopped);
        pair_lab_close(&lab);
    }
}

/* A new target that is smaller is another disk (F29). */
static void in_no_stream_it_is_as_before(void **state)
{
    struct pair_lab lab;

    replicate(&lab);
    assert_int_equal(pair_remove(&lab, LYON), 0);
    assert_int_equal(pair_grow(&lab, LYON, 0, LARGE_BLOCKS), 0);
    assert_int_equal(lab.sites[LYON].grown_bytes, (uint64_t)LARGE_BLOCKS * BLOCK_SIZE);
    assert_int_equal(pair_grow(&lab, LYON, 0, DISK_BLOCKS), -EINVAL);
    pair_lab_close(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_grow_and_go_on),
        cmocka_unit_test(sizes_survive),
        cmocka_unit_test(source_waits_for_its_target),
        cmocka_unit_test(target_alone_is_larger),
        cmocka_unit_test(what_lay_there_is_shipped),
        cmocka_unit_test(failover_and_back),
        cmocka_unit_test(winner_is_larger),
        cmocka_unit_test(loser_is_larger),
        cmocka_unit_test(with_snapshots),
        cmocka_unit_test(begins_behind_a_sync),
        cmocka_unit_test(in_no_stream_it_is_as_before),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
