/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two whole engines: first copy, steady state, stop and start, restarts, failover, both reprotects.
 * What may be lost or reordered by crashes is the simulation's; here the parts must fit together on
 * the real loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/loop_ops.h"
#include "pair_lab.h"

static bool role_is(struct pair_lab *lab, unsigned site, enum stream_role role)
{
    return pair_status(lab, site).role == role;
}

static bool paris_is_fenced(struct pair_lab *lab, void *arg)
{
    return role_is(lab, PARIS, STREAM_ROLE_FENCED) && lab->sites[PARIS].is_closed[0];
}

static bool is_connected(struct pair_lab *lab, void *arg)
{
    return pair_status(lab, PARIS).is_connected && pair_status(lab, LYON).is_connected;
}

static bool lyon_may_write(struct pair_lab *lab, void *arg)
{
    const char *why;

    return engine_disk_may_write(lab->sites[LYON].engine, "d-lyon0", &why);
}

static bool paris_may_write(struct pair_lab *lab, void *arg)
{
    const char *why;

    return engine_disk_may_write(lab->sites[PARIS].engine, "d-paris0", &why);
}

static bool lyon_is_blocked(struct pair_lab *lab, void *arg)
{
    return pair_status(lab, LYON).journal_needed_bytes > 200 * BLOCK_SIZE &&
           strstr(pair_status(lab, LYON).trouble, "epoch needs more than ") != NULL;
}

static bool paris_knows_it(struct pair_lab *lab, void *arg)
{
    return strstr(pair_status(lab, PARIS).trouble, "epoch needs up to 2.0 MiB;") != NULL;
}

static bool lyon_is_drained(struct pair_lab *lab, void *arg)
{
    return !pair_status(lab, LYON).is_draining;
}

static void open_replicating(struct pair_lab *lab)
{
    pair_lab_open(lab);
    pair_wait(lab, paris_may_write, NULL);
    pair_write(lab, PARIS, 0, 10, 100, 1);
    pair_write(lab, PARIS, 1, 0, 300, 2);
    assert_int_equal(pair_start(lab, PARIS, false), 0);
    pair_settle(lab, PARIS);
}

static void copies_and_follows(void **state)
{
    struct pair_lab lab;

    open_replicating(&lab);
    assert_false(pair_status(&lab, PARIS).is_initial);
    assert_false(pair_status(&lab, LYON).is_initial);
    uint64_t shipped = pair_status(&lab, PARIS).shipped_bytes;

    for (unsigned i = 0; i < 20; i++)
        pair_write(&lab, PARIS, i % 2, i * 7, 3, 10 + i);
    pair_settle(&lab, PARIS);
    /* Holes did not travel as bytes, and later only what changed did. */
    assert_in_range(shipped, 400 * BLOCK_SIZE, 430 * BLOCK_SIZE);
    assert_in_range(pair_status(&lab, PARIS).shipped_bytes - shipped, 50 * BLOCK_SIZE,
                    70 * BLOCK_SIZE);
    assert_int_equal(pair_status(&lab, PARIS).epoch_acked, pair_status(&lab, LYON).epoch_acked);
    pair_lab_close(&lab);
}

/* R1: what the disks held before there was a stream. */
static void copies_what_was_there(void **state)
{
    struct pair_lab lab;

    pair_lab_open(&lab);
    pair_wait(&lab, paris_may_write, NULL);
    pair_write(&lab, PARIS, 0, 10, 100, 1);
    pair_write(&lab, PARIS, 1, 2900, 100, 2);
    assert_int_equal(pair_remove(&lab, LYON), 0);
    assert_int_equal(pair_remove(&lab, PARIS), 0);
    pair_stream_create(&lab);
    pair_wait(&lab, is_connected, NULL);
    assert_false(pair_is_equal(&lab));
    assert_int_equal(pair_start(&lab, PARIS, false), 0);
    pair_settle(&lab, PARIS);
    pair_lab_close(&lab);
}

static void tells_the_age_of_its_point(void **state)
{
    struct pair_lab lab;

    open_replicating(&lab);
    uint64_t first = pair_status(&lab, LYON).current_wall_ns;

    pair_run_ms(&lab, 100);
    /* Nothing is written: no new epoch, but the point is known to be current. */
    assert_true(pair_status(&lab, LYON).current_wall_ns > first);
    assert_true(pair_status(&lab, LYON).current_wall_ns <= loop_wall_ns(lab.loop));
    pair_lab_close(&lab);
}

static uint64_t wall_of_yesterday(struct loop *loop)
{
    return loop_now_ns(loop) + UINT64_C(1700000000) * 1000000000;
}

/* The wall clock goes back by years while epochs come. Their labels follow it; the age does not: it
 * is short after an epoch, and grows when nothing is heard. */
static void tells_the_age_when_the_clock_went_back(void **state)
{
    struct pair_lab lab;
    struct loop_ops ops;

    open_replicating(&lab);
    const struct loop_ops *real = lab.loop->ops;
    uint64_t label = pair_status(&lab, LYON).point_wall_ns;

    ops = *real;
    ops.wall_ns = wall_of_yesterday;
    lab.loop->ops = &ops;
    pair_write(&lab, PARIS, 0, 10, 1, 77);
    pair_settle(&lab, PARIS);
    assert_true(pair_status(&lab, LYON).point_wall_ns < label);
    assert_true(pair_status(&lab, LYON).current_wall_ns <= loop_wall_ns(lab.loop));
    assert_true(pair_status(&lab, LYON).point_age_ns < 20 * UINT64_C(1000000000));
    pair_site_kill(&lab, PARIS);
    uint64_t age = pair_status(&lab, LYON).point_age_ns;
    pair_run_ms(&lab, 100);
    assert_true(pair_status(&lab, LYON).point_age_ns >= age + 100000000);
    lab.loop->ops = real;
    assert_true(pair_status(&lab, LYON).point_age_ns >= age + 100000000);
    assert_true(pair_status(&lab, LYON).point_age_ns < 60 * UINT64_C(1000000000));
    pair_lab_close(&lab);
}

static void target_disks_are_closed_to_hosts(void **state)
{
    struct pair_lab lab;
    const char *why;

    open_replicating(&lab);
    assert_false(engine_disk_may_write(lab.sites[LYON].engine, "d-lyon0", &why));
    assert_non_null(strstr(why, "target"));
    assert_true(lab.sites[LYON].is_closed[0]);
    assert_int_not_equal(pair_start(&lab, LYON, false), 0);
    assert_int_not_equal(pair_reprotect(&lab, LYON, true), 0);
    pair_lab_close(&lab);
}

static void stops_and_goes_on(void **state)
{
    struct pair_lab lab;

    open_replicating(&lab);
    assert_int_equal(pair_stop(&lab, PARIS), 0);
    pair_write(&lab, PARIS, 0, 0, 5, 50);
    pair_run_ms(&lab, 60);
    assert_false(pair_is_equal(&lab));
    assert_int_equal(pair_status(&lab, PARIS).backlog_bytes, 5 * BLOCK_SIZE);
    uint64_t shipped = pair_status(&lab, PARIS).shipped_bytes;

    assert_int_equal(pair_start(&lab, PARIS, false), 0);
    pair_settle(&lab, PARIS);
    assert_in_range(pair_status(&lab, PARIS).shipped_bytes - shipped, 5 * BLOCK_SIZE,
                    7 * BLOCK_SIZE);
    pair_lab_close(&lab);
}

static bool is_stopped(struct pair_lab *lab, void *arg)
{
    return !pair_status(lab, PARIS).is_started;
}

static void one_shot_stops_by_itself(void **state)
{
    struct pair_lab lab;

    pair_lab_open(&lab);
    pair_wait(&lab, paris_may_write, NULL);
    pair_write(&lab, PARIS, 0, 10, 100, 1);
    assert_int_equal(pair_start(&lab, PARIS, true), 0);
    pair_wait(&lab, is_stopped, NULL);
    assert_true(pair_is_equal(&lab));
    assert_true(pair_status(&lab, LYON).has_point);
    pair_write(&lab, PARIS, 0, 10, 1, 7);
    pair_run_ms(&lab, 60);
    assert_false(pair_is_equal(&lab));
    pair_lab_close(&lab);
}

static void survives_clean_restarts(void **state)
{
    struct pair_lab lab;

    open_replicating(&lab);
    pair_site_stop(&lab, LYON);
    pair_write(&lab, PARIS, 1, 20, 4, 60);
    pair_site_start(&lab, LYON, false);
    pair_settle(&lab, PARIS);
    pair_site_stop(&lab, LYON);
    pair_write(&lab, PARIS, 1, 40, 4, 61);
    pair_site_stop(&lab, PARIS);
    pair_site_start(&lab, PARIS, false);
    /* A source that ever ran waits for its peer. */
    pair_run_ms(&lab, 50);
    assert_true(pair_status(&lab, PARIS).is_waiting_peer);
    assert_false(paris_may_write(&lab, NULL));
    assert_int_equal(pair_status(&lab, PARIS).backlog_bytes, 4 * BLOCK_SIZE);
    pair_site_start(&lab, LYON, false);
    pair_settle(&lab, PARIS);
    assert_in_range(pair_status(&lab, PARIS).shipped_bytes, 4 * BLOCK_SIZE, 6 * BLOCK_SIZE);
    assert_true(paris_may_write(&lab, NULL));
    pair_lab_close(&lab);
}

static void opens_by_force(void **state)
{
    struct pair_lab lab;
    const char *why;

    open_replicating(&lab);
    pair_site_stop(&lab, LYON);
    pair_site_stop(&lab, PARIS);
    pair_site_start(&lab, PARIS, false);
    do {
        pair_run_ms(&lab, 5);
        assert_false(engine_disk_may_write(lab.sites[PARIS].engine, "d-paris0", &why));
    } while (!strstr(why, "waiting for the other site"));
    engine_stream_force_open(lab.sites[PARIS].engine, "pg-lab", "the other site burnt down");
    assert_true(paris_may_write(&lab, NULL));
    pair_write(&lab, PARIS, 0, 0, 1, 9);
    pair_site_start(&lab, LYON, false);
    pair_settle(&lab, PARIS);
    pair_lab_close(&lab);
}

/* The files go, or what they begin with changes. */
static void lose_intents(struct pair_lab *lab, unsigned site, bool damages)
{
    for (unsigned i = 0; i < DISKS; i++) {
        char path[300];

        snprintf(path, sizeof(path), "%s/streams/pg-lab/intent-%u", lab->sites[site].folder, i);
        int fd = open(path, O_WRONLY | (damages ? O_CREAT : 0), 0600);
        assert_true(fd >= 0 && (damages ? pwrite(fd, "?", 1, 0) == 1 : unlink(path) == 0));
        close(fd);
    }
}

/* F11: the header of the intent bits rots. A target has no need of what they say. */
static void damaged_intents_hold_nobody_up(void **state)
{
    struct pair_lab lab;

    open_replicating(&lab);
    pair_site_kill(&lab, PARIS);
    lose_intents(&lab, PARIS, true);
    pair_site_start(&lab, PARIS, false);
    pair_run_ms(&lab, 20);
    pair_settle(&lab, PARIS);
    pair_site_stop(&lab, PARIS);
    lose_intents(&lab, LYON, true);
    assert_int_equal(pair_failover(&lab, LYON), 0);
    pair_site_start(&lab, PARIS, false);
    assert_int_equal(pair_reprotect_met(&lab, LYON, true), 0);
    pair_lab_close(&lab);
}

/* F11: a file of intent bits that is gone does not mean that nothing is suspect. */
static void suspects_all_when_intents_are_lost(void **state)
{
    struct pair_lab lab;

    open_replicating(&lab);
    pair_site_stop(&lab, LYON);
    pair_write(&lab, PARIS, 1, 20, 4, 60);
    pair_site_kill(&lab, PARIS);
    lose_intents(&lab, PARIS, false);
    pair_site_start(&lab, PARIS, false);
    pair_run_ms(&lab, 20);
    assert_int_equal(pair_status(&lab, PARIS).backlog_bytes, DISKS * DISK_BLOCKS * BLOCK_SIZE);
    /* Known to the next life as well, before anything was compared. */
    pair_site_kill(&lab, PARIS);
    pair_site_start(&lab, PARIS, false);
    pair_site_start(&lab, LYON, false);
    pair_settle(&lab, PARIS);
    assert_in_range(pair_status(&lab, PARIS).shipped_bytes, 4 * BLOCK_SIZE, 6 * BLOCK_SIZE);
    /* Behind a clean stop as well: who loses one file may have lost more. */
    pair_site_stop(&lab, LYON);
    pair_site_stop(&lab, PARIS);
    lose_intents(&lab, PARIS, false);
    pair_site_start(&lab, PARIS, false);
    pair_run_ms(&lab, 20);
    assert_int_equal(pair_status(&lab, PARIS).backlog_bytes, DISKS * DISK_BLOCKS * BLOCK_SIZE);
    pair_site_start(&lab, LYON, false);
    pair_settle(&lab, PARIS);
    pair_lab_close(&lab);
}

static void promoted_suspects_all_when_intents_are_lost(void **state)
{
    struct pair_lab lab;

    open_replicating(&lab);
    pair_site_stop(&lab, PARIS);
    assert_int_equal(pair_failover(&lab, LYON), 0);
    pair_write(&lab, LYON, 0, 0, 10, 70);
    pair_wait(&lab, lyon_is_drained, NULL);
    pair_site_kill(&lab, LYON);
    lose_intents(&lab, LYON, false);
    pair_site_start(&lab, LYON, false);
    pair_site_start(&lab, PARIS, false);
    pair_wait(&lab, paris_is_fenced, NULL);
    assert_int_equal(pair_reprotect_met(&lab, LYON, true), 0);
    assert_int_equal(pair_start(&lab, LYON, false), 0);
    pair_settle(&lab, LYON);
    pair_lab_close(&lab);
}

/* Lyon is promoted, its journal full. */
static void open_draining(struct pair_lab *lab)
{
    pair_lab_prepare(lab);
    lab->settings.retain_ns = UINT64_C(1) << 60;
    lab->settings.retain_bytes = 1 << 30;
    pair_lab_start(lab);
    pair_wait(lab, paris_may_write, NULL);
    assert_int_equal(pair_start(lab, PARIS, false), 0);
    pair_settle(lab, PARIS);
    pair_write(lab, PARIS, 0, 0, DISK_BLOCKS, PAIR_NOISE); /* so that it drains for a while */
    pair_write(lab, PARIS, 1, 0, DISK_BLOCKS, PAIR_NOISE);
    pair_settle(lab, PARIS);
    pair_site_stop(lab, PARIS);
    assert_int_equal(pair_failover(lab, LYON), 0);
    assert_true(pair_status(lab, LYON).is_draining);
}

/* Then that is gone, as `how` says, and it starts again. */
static void lose_journal(struct pair_lab *lab, const char *how)
{
    char command[400];

    open_draining(lab);
    pair_site_kill(lab, LYON);
    snprintf(command, sizeof(command), how, lab->sites[LYON].folder);
    assert_int_equal(system(command), 0);
    pair_site_start(lab, LYON, false);
    pair_run_ms(lab, 20);
    assert_false(lyon_may_write(lab, NULL));
}

/* A promoted site that is not drained shows the journal: without it, it must not open. */
static void promoted_needs_its_journal(void **state)
{
    struct pair_lab lab;

    lose_journal(&lab, "rm -f '%s'/streams/pg-lab/journal/*");
    assert_non_null(strstr(pair_status(&lab, LYON).trouble, "journal lacks epoch"));
    pair_lab_close(&lab);
}

/* Deleting the relation must not make ordinary disks of what is older than what was shown. */
static void removal_needs_the_journal(void **state)
{
    struct pair_lab lab;

    lose_journal(&lab, "for f in '%s'/streams/pg-lab/journal/*; do "
                       "printf damaged | dd of=\"$f\" bs=1 seek=20000 conv=notrunc status=none; "
                       "done");
    assert_int_equal(pair_remove(&lab, LYON), -EUCLEAN);
    assert_false(lyon_may_write(&lab, NULL));
    assert_true(role_is(&lab, LYON, STREAM_ROLE_PROMOTED));
    /* By order it goes. */
    assert_int_equal(pair_remove_journal(&lab, LYON, true), 0);
    assert_true(lyon_may_write(&lab, NULL));
    pair_lab_close(&lab);
}

/* The daemon may stop while the journal comes home: nothing is lost, asked again it ends. */
static void removal_outlives_a_stop(void **state)
{
    static uint8_t then[DISK_BLOCKS * BLOCK_SIZE], now[DISK_BLOCKS * BLOCK_SIZE];
    struct pair_lab lab;

    open_draining(&lab);
    pair_begin_remove(&lab, LYON);
    pair_site_stop(&lab, LYON);
    pair_site_start(&lab, LYON, false);
    pair_wait(&lab, lyon_may_write, NULL);
    pair_read(&lab, LYON, 0, then);
    assert_int_equal(pair_remove(&lab, LYON), 0);
    pair_read(&lab, LYON, 0, now);
    assert_memory_equal(then, now, sizeof(now));
    pair_lab_close(&lab);
}

static void fails_over_without_the_peer(void **state)
{
    struct pair_lab lab;

    open_replicating(&lab);
    pair_site_stop(&lab, PARIS);
    assert_int_equal(pair_failover(&lab, LYON), 0);
    assert_true(lyon_may_write(&lab, NULL));
    assert_true(role_is(&lab, LYON, STREAM_ROLE_PROMOTED));
    assert_int_equal(pair_status(&lab, LYON).generation.term, 2);
    assert_int_equal(pair_failover(&lab, LYON), 0); /* done already */
    pair_write(&lab, LYON, 0, 0, 10, 70);
    assert_int_equal(pair_reprotect(&lab, LYON, true), -EHOSTUNREACH);
    /* The old source comes back and closes itself. */
    pair_site_start(&lab, PARIS, false);
    pair_wait(&lab, paris_is_fenced, NULL);
    assert_false(paris_may_write(&lab, NULL));
    assert_true(lyon_may_write(&lab, NULL));
    pair_lab_close(&lab);
}

/* R13: what came after the point differs from what the old source believes to be here, and a kill
 * right behind the failover does not lose that. */
static void fails_over_to_an_older_point(void **state)
{
    static uint8_t then[DISK_BLOCKS * BLOCK_SIZE], now[DISK_BLOCKS * BLOCK_SIZE];
    struct pair_lab lab;

    pair_lab_prepare(&lab);
    lab.settings.retain_ns = UINT64_C(1) << 60;
    lab.settings.retain_bytes = 1 << 30;
    pair_lab_start(&lab);
    pair_wait(&lab, paris_may_write, NULL);
    pair_write(&lab, PARIS, 0, 10, 100, 1);
    assert_int_equal(pair_start(&lab, PARIS, false), 0);
    pair_settle(&lab, PARIS);
    pair_write(&lab, PARIS, 0, 20, 10, 2);
    pair_settle(&lab, PARIS);
    uint64_t point = pair_status(&lab, LYON).epoch_acked;

    pair_read(&lab, LYON, 0, then);
    pair_write(&lab, PARIS, 0, 25, 200, 3);
    pair_settle(&lab, PARIS);
    pair_site_stop(&lab, PARIS);
    assert_int_equal(pair_failover_to(&lab, LYON, point), 0);
    pair_read(&lab, LYON, 0, now);
    assert_memory_equal(then, now, sizeof(now));
    pair_site_kill(&lab, LYON);
    pair_site_start(&lab, LYON, false);
    pair_wait(&lab, lyon_may_write, NULL);
    pair_read(&lab, LYON, 0, now);
    assert_memory_equal(then, now, sizeof(now));
    pair_site_start(&lab, PARIS, false);
    pair_wait(&lab, paris_is_fenced, NULL);
    assert_int_equal(pair_reprotect_met(&lab, LYON, true), 0);
    assert_int_equal(pair_start(&lab, LYON, false), 0);
    pair_settle(&lab, LYON);
    pair_lab_close(&lab);
}

static void parted(void *arg, int error, const char *why)
{
    assert_int_equal(error, 0);
    *(bool *)arg = true;
}

static bool is_true(struct pair_lab *lab, void *arg)
{
    return *(bool *)arg;
}

static void part(struct pair_lab *lab, unsigned site, bool is_fenced)
{
    bool is_done = false;

    engine_stream_part(lab->sites[site].engine, "pg-lab", is_fenced, parted, &is_done);
    pair_wait(lab, is_true, &is_done);
}

/* The peer gave the relation up: where it writes, this source closes, for this life and the next;
 * where it does not, this one goes on and waits for nobody. */
static void parts_from_a_peer_that_gave_up(void **state)
{
    struct pair_lab lab;

    for (unsigned is_fenced = 0; is_fenced < 2; is_fenced++) {
        open_replicating(&lab);
        assert_int_equal(pair_remove(&lab, LYON), 0);
        part(&lab, PARIS, is_fenced);
        part(&lab, PARIS, is_fenced); /* and again */
        for (unsigned life = 0; life < 2; life++) {
            assert_int_equal(paris_may_write(&lab, NULL), !is_fenced);
            assert_true(role_is(&lab, PARIS, is_fenced ? STREAM_ROLE_FENCED : STREAM_ROLE_SOURCE));
            assert_false(pair_status(&lab, PARIS).is_started);
            pair_site_stop(&lab, PARIS);
            pair_site_start(&lab, PARIS, false);
            pair_run_ms(&lab, 20);
        }
        pair_lab_close(&lab);
    }
}

/* A failover that is given up leaves a target; what was under way is begun anew. */
static void goes_on_after_a_failover_that_failed(void **state)
{
    struct pair_lab lab;

    open_replicating(&lab);
    assert_int_equal(pair_failover_to(&lab, LYON, 1 << 20), -ENODATA);
    assert_true(role_is(&lab, LYON, STREAM_ROLE_TARGET));
    pair_write(&lab, PARIS, 0, 0, 30, 7);
    pair_settle(&lab, PARIS);
    pair_lab_close(&lab);
}

static void refuses_failover_without_a_point(void **state)
{
    struct pair_lab lab;

    pair_lab_open(&lab);
    pair_wait(&lab, paris_may_write, NULL);
    assert_int_equal(pair_failover(&lab, LYON), -ENODATA);
    assert_true(role_is(&lab, LYON, STREAM_ROLE_TARGET));
    assert_int_equal(pair_start(&lab, PARIS, false), 0);
    pair_settle(&lab, PARIS);
    pair_lab_close(&lab);
}

/* Both sites write after they parted; the snapshot keeps what the loser had. */
static void diverge(struct pair_lab *lab, uint8_t *ret_paris)
{
    open_replicating(lab);
    assert_int_equal(pair_stop(lab, PARIS), 0);
    pair_write(lab, PARIS, 0, 400, 20, 80);
    pair_read(lab, PARIS, 0, ret_paris);
    assert_int_equal(pair_failover(lab, LYON), 0);
    pair_wait(lab, paris_is_fenced, NULL);
    pair_write(lab, LYON, 0, 5, 10, 81);
    pair_write(lab, LYON, 1, 299, 10, 82);
}

static void turns_round(void **state)
{
    static uint8_t paris[DISK_BLOCKS * BLOCK_SIZE], kept[DISK_BLOCKS * BLOCK_SIZE];
    struct pair_lab lab;

    diverge(&lab, paris);
    assert_int_equal(pair_reprotect_met(&lab, LYON, true), 0);
    assert_true(role_is(&lab, LYON, STREAM_ROLE_SOURCE));
    assert_true(role_is(&lab, PARIS, STREAM_ROLE_TARGET));
    /* The union: 20 of paris, 20 of lyon. Nothing is copied before Start. */
    assert_int_equal(pair_status(&lab, LYON).backlog_bytes, 40 * BLOCK_SIZE);
    pair_run_ms(&lab, 60);
    assert_false(pair_is_equal(&lab));
    assert_int_equal(pair_failover(&lab, PARIS), -ENODATA);
    assert_int_equal(pair_start(&lab, LYON, false), 0);
    pair_settle(&lab, LYON);
    assert_in_range(pair_status(&lab, LYON).shipped_bytes, 20 * BLOCK_SIZE, 44 * BLOCK_SIZE);
    pair_read_snapshot(&lab, PARIS, 0, kept);
    assert_memory_equal(paris, kept, sizeof(kept));
    /* And back: what was the source fails over, and so on. */
    assert_int_equal(pair_failover(&lab, PARIS), 0);
    assert_int_equal(pair_status(&lab, PARIS).generation.term, 3);
    pair_write(&lab, PARIS, 0, 0, 3, 83);
    assert_int_equal(pair_reprotect_met(&lab, PARIS, true), 0);
    assert_int_equal(pair_start(&lab, PARIS, false), 0);
    pair_settle(&lab, PARIS);
    pair_lab_close(&lab);
}

static void cancels_a_failover(void **state)
{
    static uint8_t paris[DISK_BLOCKS * BLOCK_SIZE], lyon[DISK_BLOCKS * BLOCK_SIZE],
        now[DISK_BLOCKS * BLOCK_SIZE];
    struct pair_lab lab;

    diverge(&lab, paris);
    pair_wait(&lab, lyon_is_drained, NULL);
    pair_read(&lab, LYON, 0, lyon);
    assert_int_equal(pair_reprotect_met(&lab, LYON, false), 0);
    assert_true(role_is(&lab, LYON, STREAM_ROLE_TARGET));
    assert_true(role_is(&lab, PARIS, STREAM_ROLE_SOURCE));
    assert_int_equal(pair_status(&lab, PARIS).generation.term, 3);
    assert_true(paris_may_write(&lab, NULL));
    assert_false(lyon_may_write(&lab, NULL));
    assert_int_equal(pair_start(&lab, PARIS, false), 0);
    pair_settle(&lab, PARIS);
    pair_read(&lab, LYON, 0, now);
    assert_memory_equal(paris, now, sizeof(now));
    pair_read_snapshot(&lab, LYON, 0, now);
    assert_memory_equal(lyon, now, sizeof(now));
    pair_lab_close(&lab);
}

static void goes_on_after_restarts_in_every_role(void **state)
{
    static uint8_t paris[DISK_BLOCKS * BLOCK_SIZE];
    struct pair_lab lab;

    diverge(&lab, paris);
    for (unsigned i = 0; i < SITES; i++) {
        pair_site_stop(&lab, i);
        pair_site_start(&lab, i, false);
    }
    pair_wait(&lab, lyon_may_write, NULL);
    assert_true(role_is(&lab, PARIS, STREAM_ROLE_FENCED));
    assert_int_equal(pair_status(&lab, PARIS).backlog_bytes, 20 * BLOCK_SIZE);
    assert_int_equal(pair_status(&lab, LYON).backlog_bytes, 20 * BLOCK_SIZE);
    assert_int_equal(pair_reprotect_met(&lab, LYON, true), 0);
    for (unsigned i = 0; i < SITES; i++) {
        pair_site_stop(&lab, i);
        pair_site_start(&lab, i, false);
    }
    pair_wait(&lab, is_connected, NULL);
    assert_int_equal(pair_start(&lab, LYON, false), 0);
    pair_settle(&lab, LYON);
    pair_lab_close(&lab);
}

/* Hosts rewrite a set that the slow link cannot follow, and the stash holds next to nothing. */
static void gives_an_epoch_up_when_the_stash_is_full(void **state)
{
    struct pair_lab lab;
    bool was_full = false;

    pair_lab_prepare(&lab);
    lab.settings.stash_memory_bytes = 2 * BLOCK_SIZE;
    lab.settings.stash_disk_bytes = 0;
    lab.settings.bandwidth_bytes = 8 << 20;
    pair_lab_start(&lab);
    pair_wait(&lab, paris_may_write, NULL);
    assert_int_equal(pair_start(&lab, PARIS, false), 0);
    pair_settle(&lab, PARIS);
    for (unsigned i = 0; i < 2000 && !was_full; i++) {
        pair_write(&lab, PARIS, i % 2, i % 20 * 150, 150, i);
        was_full = strstr(pair_status(&lab, PARIS).trouble, "stash full") != NULL;
    }
    assert_true(was_full);
    pair_settle(&lab, PARIS);
    assert_string_equal(pair_status(&lab, PARIS).trouble, "");
    pair_lab_close(&lab);
}

/* A delta larger than the journal: said, the last point kept, hosts unharmed. */
static void says_when_the_journal_is_too_small(void **state)
{
    static uint8_t before[DISK_BLOCKS * BLOCK_SIZE], after[DISK_BLOCKS * BLOCK_SIZE];
    struct pair_lab lab;

    pair_lab_prepare(&lab);
    lab.settings.journal_bytes_max = 200 * BLOCK_SIZE;
    lab.settings.retain_ns = 0;
    lab.settings.retain_bytes = 0;
    pair_lab_start(&lab);
    pair_wait(&lab, paris_may_write, NULL);
    assert_int_equal(pair_start(&lab, PARIS, false), 0);
    pair_settle(&lab, PARIS);
    pair_read(&lab, LYON, 0, before);
    assert_int_equal(pair_stop(&lab, PARIS), 0);
    pair_write(&lab, PARIS, 0, 0, 500, 90);
    assert_int_equal(pair_start(&lab, PARIS, false), 0);
    pair_wait(&lab, lyon_is_blocked, NULL);
    pair_wait(&lab, paris_knows_it, NULL);
    pair_write(&lab, PARIS, 0, 500, 10, 91);
    pair_read(&lab, LYON, 0, after);
    assert_memory_equal(before, after, sizeof(after));
    assert_true(pair_status(&lab, LYON).has_point);
    /* Given space, it goes on. */
    pair_site_stop(&lab, LYON);
    lab.settings.journal_bytes_max = 256 << 20;
    pair_site_start(&lab, LYON, false);
    pair_settle(&lab, PARIS);
    assert_string_equal(pair_status(&lab, PARIS).trouble, "");
    pair_lab_close(&lab);
}

static bool half_is_shipped(struct pair_lab *lab, void *arg)
{
    return pair_status(lab, PARIS).shipped_bytes > 1700 * BLOCK_SIZE;
}

/* A link that breaks in the middle of the first copy costs little: what arrived is compared. */
static void goes_on_with_a_first_copy(void **state)
{
    struct pair_lab lab;

    pair_lab_prepare(&lab);
    lab.settings.bandwidth_bytes = 16 << 20;
    pair_lab_start(&lab);
    pair_wait(&lab, paris_may_write, NULL);
    pair_write(&lab, PARIS, 0, 0, 3000, PAIR_NOISE);
    assert_int_equal(pair_start(&lab, PARIS, false), 0);
    pair_wait(&lab, half_is_shipped, NULL);
    pair_site_stop(&lab, LYON);
    pair_write(&lab, PARIS, 0, 100, 10, 111);
    pair_site_start(&lab, LYON, false);
    pair_settle(&lab, PARIS);
    /* One who begins anew ships 4700 and more; what is under way at the break is 1000 at most. */
    assert_in_range(pair_status(&lab, PARIS).shipped_bytes, 3000 * BLOCK_SIZE, 4100 * BLOCK_SIZE);
    pair_lab_close(&lab);
}

/* Disks that hold a copy are compared, not copied. */
static void compares_seeded_disks(void **state)
{
    struct pair_lab lab;

    open_replicating(&lab);
    pair_write(&lab, PARIS, 0, 0, 2000, 100);
    /* Data behind a hole within what is asked for at once: the first pass leaves it behind. */
    pair_write(&lab, PARIS, 1, 2900, 100, 103);
    pair_settle(&lab, PARIS);
    assert_int_equal(pair_remove(&lab, LYON), 0);
    assert_int_equal(pair_remove(&lab, PARIS), 0);
    pair_write(&lab, PARIS, 0, 1000, 7, 101);
    pair_write(&lab, LYON, 1, 2990, 5, 102);
    pair_seed(&lab, PARIS);
    pair_seed(&lab, LYON);
    assert_int_equal(pair_start(&lab, PARIS, false), 0);
    pair_settle(&lab, PARIS);
    assert_in_range(pair_status(&lab, PARIS).shipped_bytes, 7 * BLOCK_SIZE, 14 * BLOCK_SIZE);
    pair_lab_close(&lab);
}

static void ends_a_stream(void **state)
{
    struct pair_lab lab;
    struct engine_stream_status status;
    struct err err = {0};

    open_replicating(&lab);
    assert_int_equal(engine_disk_close(lab.sites[LYON].engine, "d-lyon0", true, &err), -EBUSY);
    assert_int_equal(pair_remove(&lab, LYON), 0);
    assert_int_equal(pair_remove(&lab, PARIS), 0);
    assert_false(engine_stream_status(lab.sites[LYON].engine, "pg-lab", &status));
    assert_true(lyon_may_write(&lab, NULL));
    assert_true(pair_is_equal(&lab)); /* the journal is in the base */
    assert_int_equal(engine_disk_close(lab.sites[LYON].engine, "d-lyon0", true, &err), 0);
    pair_lab_close(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_and_follows),
        cmocka_unit_test(copies_what_was_there),
        cmocka_unit_test(tells_the_age_of_its_point),
        cmocka_unit_test(tells_the_age_when_the_clock_went_back),
        cmocka_unit_test(target_disks_are_closed_to_hosts),
        cmocka_unit_test(stops_and_goes_on),
        cmocka_unit_test(one_shot_stops_by_itself),
        cmocka_unit_test(survives_clean_restarts),
        cmocka_unit_test(opens_by_force),
        cmocka_unit_test(suspects_all_when_intents_are_lost),
        cmocka_unit_test(promoted_suspects_all_when_intents_are_lost),
        cmocka_unit_test(damaged_intents_hold_nobody_up),
        cmocka_unit_test(promoted_needs_its_journal),
        cmocka_unit_test(removal_needs_the_journal),
        cmocka_unit_test(removal_outlives_a_stop),
        cmocka_unit_test(fails_over_without_the_peer),
        cmocka_unit_test(fails_over_to_an_older_point),
        cmocka_unit_test(parts_from_a_peer_that_gave_up),
        cmocka_unit_test(goes_on_after_a_failover_that_failed),
        cmocka_unit_test(refuses_failover_without_a_point),
        cmocka_unit_test(turns_round),
        cmocka_unit_test(cancels_a_failover),
        cmocka_unit_test(goes_on_after_restarts_in_every_role),
        cmocka_unit_test(gives_an_epoch_up_when_the_stash_is_full),
        cmocka_unit_test(says_when_the_journal_is_too_small),
        cmocka_unit_test(goes_on_with_a_first_copy),
        cmocka_unit_test(compares_seeded_disks),
        cmocka_unit_test(ends_a_stream),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
