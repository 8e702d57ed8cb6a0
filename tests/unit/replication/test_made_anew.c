/* SPDX-License-Identifier: Apache-2.0 */
/* A stream that ended and is made anew under the same name: a change of membership does that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "pair_lab.h"

static bool paris_may_write(struct pair_lab *lab, void *arg)
{
    const char *why;

    return engine_disk_may_write(lab->sites[PARIS].engine, "d-paris0", &why);
}

static bool paris_is_fenced(struct pair_lab *lab, void *arg)
{
    return pair_status(lab, PARIS).role == STREAM_ROLE_FENCED && lab->sites[PARIS].is_closed[0];
}

/* paris writes what lyon does not get, lyon is failed over and wins. What paris had, as its hosts
 * saw it, into `ret_paris`. */
static void lose_at_paris(struct pair_lab *lab, unsigned seed, uint8_t *ret_paris)
{
    assert_int_equal(pair_start(lab, PARIS, false), 0);
    pair_settle(lab, PARIS);
    assert_int_equal(pair_stop(lab, PARIS), 0);
    pair_write(lab, PARIS, 0, 700, 20, seed);
    pair_read(lab, PARIS, 0, ret_paris);
    assert_int_equal(pair_failover(lab, LYON), 0);
    pair_wait(lab, paris_is_fenced, NULL);
    assert_int_equal(pair_reprotect_met(lab, LYON, true), 0);
    assert_int_equal(pair_start(lab, LYON, false), 0);
    pair_settle(lab, LYON);
}

/* Each loser's content is kept, also when its generation is the first one for the second time. */
static void keeps_what_each_loser_had(void **state)
{
    static uint8_t paris[DISK_BLOCKS * BLOCK_SIZE], kept[DISK_BLOCKS * BLOCK_SIZE];
    struct engine_snapshot snapshot;
    struct engine *engine;
    struct pair_lab lab;
    struct err err = {0};

    pair_lab_open(&lab);
    engine = lab.sites[PARIS].engine;
    pair_wait(&lab, paris_may_write, NULL);
    lose_at_paris(&lab, 1, paris);
    assert_int_equal(engine_snapshot_count(engine, "d-paris0"), 1);
    assert_int_equal(pair_remove(&lab, LYON), 0);
    assert_int_equal(pair_remove(&lab, PARIS), 0);
    pair_seed(&lab, PARIS);
    pair_seed(&lab, LYON);
    lose_at_paris(&lab, 2, paris);
    assert_int_equal(engine_snapshot_count(engine, "d-paris0"), 2);
    assert_true(engine_snapshot_at(engine, "d-paris0", 1, &snapshot));
    assert_string_equal(snapshot.label, "g1-2");
    assert_true(engine_snapshot_at(engine, "d-paris0", 0, &snapshot));
    assert_int_equal(engine_snapshot_remove(engine, snapshot.id, &err), 0);
    pair_read_snapshot(&lab, PARIS, 0, kept);
    assert_memory_equal(paris, kept, sizeof(kept));
    pair_lab_close(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(keeps_what_each_loser_had)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
