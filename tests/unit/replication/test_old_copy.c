/* SPDX-License-Identifier: Apache-2.0 */
/*
 * R16 with real files: the folder of a site is copied, the site goes on, the copy is put back. It
 * must be recognised, whichever site it is and however it had been stopped; nothing may be shipped,
 * and a reprotect that would rely on it is refused. Without an old copy nobody cries wolf: the
 * other tests of two engines would not pass.
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

static void run(const char *format, const char *folder)
{
    char command[1000];

    snprintf(command, sizeof(command), format, folder, folder, folder);
    assert_int_equal(system(command), 0);
}

static void copy_take(struct pair_lab *lab, unsigned site)
{
    run("cp -a --sparse=always %s %s.old", lab->sites[site].folder);
}

static void copy_put_back(struct pair_lab *lab, unsigned site)
{
    run("rm -rf %s && mv %s.old %s", lab->sites[site].folder);
}

static bool may_write(struct pair_lab *lab, unsigned site, const char *disk)
{
    const char *why;

    return engine_disk_may_write(lab->sites[site].engine, disk, &why);
}

static bool paris_may_write(struct pair_lab *lab, void *arg)
{
    return may_write(lab, PARIS, "d-paris0");
}

static bool says_stale(struct pair_lab *lab, void *arg)
{
    return strncmp(pair_status(lab, *(unsigned *)arg).trouble, "stale", 5) == 0;
}

static bool paris_is_fenced(struct pair_lab *lab, void *arg)
{
    return pair_status(lab, PARIS).role == STREAM_ROLE_FENCED && lab->sites[PARIS].is_closed[0];
}

static void wait_stale(struct pair_lab *lab, unsigned site)
{
    pair_wait(lab, says_stale, &site);
}

static void replicate(struct pair_lab *lab)
{
    pair_lab_open(lab);
    pair_wait(lab, paris_may_write, NULL);
    pair_write(lab, PARIS, 0, 10, 100, 1);
    assert_int_equal(pair_start(lab, PARIS, false), 0);
    pair_settle(lab, PARIS);
}

/* Writes and points that the copy knows nothing of. */
static void go_on(struct pair_lab *lab)
{
    pair_write(lab, PARIS, 0, 1500, 50, 2);
    pair_settle(lab, PARIS);
    pair_write(lab, PARIS, 1, 20, 10, 3);
    pair_settle(lab, PARIS);
}

static void old_source(bool was_clean)
{
    static uint8_t before[DISK_BLOCKS * BLOCK_SIZE], after[DISK_BLOCKS * BLOCK_SIZE];
    struct pair_lab lab;

    replicate(&lab);
    if (was_clean) {
        pair_site_stop(&lab, PARIS);
        copy_take(&lab, PARIS);
        pair_site_start(&lab, PARIS, false);
        pair_wait(&lab, paris_may_write, NULL);
    } else {
        copy_take(&lab, PARIS);
    }
    go_on(&lab);
    pair_read(&lab, LYON, 0, before);
    pair_site_kill(&lab, PARIS);
    copy_put_back(&lab, PARIS);
    pair_site_start(&lab, PARIS, false);
    wait_stale(&lab, PARIS);
    wait_stale(&lab, LYON);
    assert_false(may_write(&lab, PARIS, "d-paris0"));
    pair_read(&lab, LYON, 0, after);
    assert_memory_equal(before, after, sizeof(after));
    /* What is newest is at lyon, and can be used there. */
    assert_int_equal(pair_failover(&lab, LYON), 0);
    pair_read(&lab, LYON, 0, after);
    assert_memory_equal(before, after, sizeof(after));
    pair_wait(&lab, paris_is_fenced, NULL);
    assert_int_equal(pair_reprotect_met(&lab, LYON, true), -ESTALE);
    pair_lab_close(&lab);
}

static void source_of_a_running_site(void **state)
{
    old_source(false);
}

static void source_of_a_stopped_site(void **state)
{
    old_source(true);
}

static void loser_of_a_failover(void **state)
{
    struct pair_lab lab;

    replicate(&lab);
    copy_take(&lab, PARIS);
    go_on(&lab);
    pair_site_kill(&lab, PARIS);
    assert_int_equal(pair_failover(&lab, LYON), 0);
    copy_put_back(&lab, PARIS);
    pair_site_start(&lab, PARIS, false);
    pair_wait(&lab, paris_is_fenced, NULL);
    wait_stale(&lab, LYON);
    assert_int_equal(pair_reprotect_met(&lab, LYON, true), -ESTALE);
    assert_int_equal(pair_reprotect_met(&lab, LYON, false), -ESTALE);
    assert_true(may_write(&lab, LYON, "d-lyon0"));
    pair_lab_close(&lab);
}

/* The source dies in between: what it knows of its target must be durable by then. One block is one
 * epoch: no later one stores what was heard of it. */
static void target_while_the_source_restarts(void **state)
{
    struct pair_lab lab;

    replicate(&lab);
    copy_take(&lab, LYON);
    pair_write(&lab, PARIS, 0, 1500, 1, 2);
    pair_settle(&lab, PARIS);
    pair_site_kill(&lab, PARIS);
    pair_site_kill(&lab, LYON);
    copy_put_back(&lab, LYON);
    pair_site_start(&lab, LYON, false);
    pair_site_start(&lab, PARIS, false);
    wait_stale(&lab, PARIS);
    assert_false(pair_status(&lab, PARIS).is_connected && pair_is_equal(&lab));
    pair_lab_close(&lab);
}

/* It was promoted from the copy: the epochs that the source knows of never were there. */
static void target_that_was_promoted(void **state)
{
    struct pair_lab lab;

    replicate(&lab);
    copy_take(&lab, LYON);
    go_on(&lab);
    pair_site_kill(&lab, PARIS);
    pair_site_kill(&lab, LYON);
    copy_put_back(&lab, LYON);
    pair_site_start(&lab, LYON, false);
    assert_int_equal(pair_failover(&lab, LYON), 0);
    pair_site_start(&lab, PARIS, false);
    pair_wait(&lab, paris_is_fenced, NULL);
    wait_stale(&lab, PARIS);
    assert_int_equal(pair_reprotect_met(&lab, LYON, true), -ESTALE);
    pair_lab_close(&lab);
}

/* Not an old copy, but what a site cannot read: it has the intent bits besides. */
static void dirty_sets_that_are_lost(void **state)
{
    static const char *const harms[] = {"rm %s/streams/pg-lab/dirty",
                                        "truncate -s -1 %s/streams/pg-lab/dirty"};
    struct pair_lab lab;

    replicate(&lab);
    for (unsigned i = 0; i < sizeof(harms) / sizeof(harms[0]); i++) {
        pair_site_stop(&lab, LYON);
        pair_write(&lab, PARIS, 0, 30 + 200 * i, 100, 2 + i);
        pair_write(&lab, PARIS, 1, 2900, 1, 2 + i);
        pair_site_stop(&lab, PARIS);
        run(harms[i], lab.sites[PARIS].folder);
        pair_site_start(&lab, PARIS, false);
        pair_site_start(&lab, LYON, false);
        pair_wait(&lab, paris_may_write, NULL);
        pair_settle(&lab, PARIS);
    }
    pair_lab_close(&lab);
}

static bool lyon_was_refused(struct pair_lab *lab, void *arg)
{
    return strstr(pair_status(lab, LYON).trouble, "stale peer") != NULL;
}

/* At the moment when paris has won, durably, and lyon has not heard of it. */
static void copy_lyon(struct pair_site *paris)
{
    paris->opened_cb = NULL;
    copy_take(paris->lab, LYON);
}

static void copy_paris(struct pair_site *paris)
{
    paris->opened_cb = NULL;
    copy_take(paris->lab, PARIS);
}

/* Lyon is failed over to, and gives up what it has in favour of paris. */
static void there_and_back(struct pair_lab *lab, void (*opened_cb)(struct pair_site *site))
{
    assert_int_equal(pair_failover(lab, LYON), 0);
    pair_wait(lab, paris_is_fenced, NULL);
    lab->sites[PARIS].opened_cb = opened_cb;
    assert_int_equal(pair_reprotect(lab, LYON, false), 0);
    assert_null(lab->sites[PARIS].opened_cb);
}

/* Both sites lose power at that moment of the second time, and lyon is put back from the first one:
 * it is refused; but paris has won, and its hosts write. */
static void loser_of_a_reprotect(void **state)
{
    struct pair_lab lab;

    replicate(&lab);
    there_and_back(&lab, copy_lyon);
    assert_int_equal(pair_start(&lab, PARIS, false), 0);
    pair_settle(&lab, PARIS);
    there_and_back(&lab, copy_paris);
    for (unsigned site = 0; site < SITES; site++) {
        pair_site_stop(&lab, site);
        copy_put_back(&lab, site);
    }
    pair_site_start(&lab, PARIS, false);
    pair_site_start(&lab, LYON, false);
    pair_wait(&lab, lyon_was_refused, NULL);
    assert_true(may_write(&lab, PARIS, "d-paris0"));
    assert_false(may_write(&lab, LYON, "d-lyon0"));
    pair_lab_close(&lab);
}

static bool says_foreign(struct pair_lab *lab, void *arg)
{
    return strncmp(pair_status(lab, PARIS).trouble, "foreign", 7) == 0;
}

/* Paris makes the stream anew first and meets the former one of lyon: what that had is not expected
 * of the new one. */
static void former_stream_of_the_peer(void **state)
{
    struct pair_lab lab;

    replicate(&lab);
    go_on(&lab);
    assert_int_equal(pair_remove(&lab, PARIS), 0);
    pair_seed(&lab, PARIS);
    pair_wait(&lab, says_foreign, NULL);
    assert_int_equal(pair_remove(&lab, LYON), 0);
    pair_seed(&lab, LYON);
    assert_int_equal(pair_start(&lab, PARIS, false), 0);
    pair_settle(&lab, PARIS);
    pair_lab_close(&lab);
}

/* The journal is whole, so that all epochs are told; the state alone is one of before. */
static void state_of_before_the_first_copy(void **state)
{
    struct pair_lab lab;

    pair_lab_open(&lab);
    pair_wait(&lab, paris_may_write, NULL);
    pair_run_ms(&lab, 100);
    pair_site_kill(&lab, LYON);
    run("cp %s/streams/pg-lab/state %s.state", lab.sites[LYON].folder);
    pair_site_start(&lab, LYON, false);
    pair_write(&lab, PARIS, 0, 10, 100, 1);
    assert_int_equal(pair_start(&lab, PARIS, false), 0);
    pair_settle(&lab, PARIS);
    go_on(&lab);
    pair_site_kill(&lab, LYON);
    run("mv %s.state %s/streams/pg-lab/state", lab.sites[LYON].folder);
    pair_site_start(&lab, LYON, false);
    wait_stale(&lab, PARIS);
    pair_lab_close(&lab);
}

/* A commit that landed elsewhere, or a journal of before: the tail looks torn, and is not. */
static void journal_of_before(void **state)
{
    struct pair_lab lab;

    pair_lab_prepare(&lab);
    lab.settings.retain_ns = UINT64_C(1) << 60;
    lab.settings.retain_bytes = 1 << 30;
    pair_lab_start(&lab);
    pair_wait(&lab, paris_may_write, NULL);
    assert_int_equal(pair_start(&lab, PARIS, false), 0);
    pair_settle(&lab, PARIS);
    go_on(&lab);
    pair_site_kill(&lab, LYON);
    run("cp -a --sparse=always %s/streams/pg-lab/journal %s.journal", lab.sites[LYON].folder);
    pair_site_start(&lab, LYON, false);
    go_on(&lab);
    pair_site_kill(&lab, LYON);
    run("rm -rf %s/streams/pg-lab/journal && mv %s.journal %s/streams/pg-lab/journal",
        lab.sites[LYON].folder);
    pair_site_start(&lab, LYON, false);
    wait_stale(&lab, PARIS);
    pair_lab_close(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(state_of_before_the_first_copy),
        cmocka_unit_test(journal_of_before),
        cmocka_unit_test(source_of_a_running_site),
        cmocka_unit_test(source_of_a_stopped_site),
        cmocka_unit_test(loser_of_a_failover),
        cmocka_unit_test(target_while_the_source_restarts),
        cmocka_unit_test(target_that_was_promoted),
        cmocka_unit_test(dirty_sets_that_are_lost),
        cmocka_unit_test(loser_of_a_reprotect),
        cmocka_unit_test(former_stream_of_the_peer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
