/* SPDX-License-Identifier: Apache-2.0 */
/* Somebody else writes to a disk's file while the daemon is down. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "pair_lab.h"

static bool paris_may_write(struct pair_lab *lab, void *arg)
{
    const char *why;

    (void)arg;
    return engine_disk_may_write(lab->sites[PARIS].engine, "d-paris0", &why);
}

static bool is_compared(struct pair_lab *lab, void *arg)
{
    (void)arg;
    return pair_status(lab, PARIS).is_connected && pair_status(lab, PARIS).backlog_bytes == 0;
}

static void begin(struct pair_lab *lab)
{
    pair_lab_open(lab);
    pair_wait(lab, paris_may_write, NULL);
    pair_write(lab, PARIS, 0, 10, 100, 1);
    assert_int_equal(pair_start(lab, PARIS, false), 0);
    pair_settle(lab, PARIS);
}

/* As an image that is put back, or a file system that is repaired. */
static void write_behind(struct pair_lab *lab, unsigned site)
{
    static uint8_t block[BLOCK_SIZE];
    char path[300];
    int fd;

    snprintf(path, sizeof(path), "%s/disks/%s.raw", lab->sites[site].folder,
             site == PARIS ? "d-paris0" : "d-lyon0");
    fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    memset(block, 0x77, sizeof(block));
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(pwrite(fd, block, sizeof(block), (off_t)(2000 + 7 * i) * BLOCK_SIZE),
                         sizeof(block));
    assert_int_equal(close(fd), 0);
}

static void a_source_is_compared(void **state)
{
    static uint8_t bytes[DISK_BLOCKS * BLOCK_SIZE];
    struct pair_lab lab;

    begin(&lab);
    pair_site_stop(&lab, PARIS);
    write_behind(&lab, PARIS);
    pair_site_start(&lab, PARIS, false);
    pair_wait(&lab, is_compared, NULL);
    pair_settle(&lab, PARIS);
    pair_read(&lab, LYON, 0, bytes);
    assert_int_equal(bytes[(size_t)2007 * BLOCK_SIZE], 0x77);
    pair_lab_close(&lab);
}

static bool has_failed(struct pair_lab *lab, void *arg)
{
    return strstr(pair_status(lab, *(unsigned *)arg).trouble, "somebody wrote to disk d-lyon0");
}

static bool lyon_receives(struct pair_lab *lab, void *arg)
{
    (void)arg;
    return pair_status(lab, LYON).is_connected;
}

/* It cannot ask its source to compare: a person decides. */
static void a_target_shows_nothing(void **state)
{
    unsigned site = LYON;
    struct pair_lab lab;
    char path[300];

    begin(&lab);
    pair_site_stop(&lab, LYON);
    write_behind(&lab, LYON);
    for (unsigned i = 0; i < 2; i++) { /* it does not forget it */
        pair_site_start(&lab, LYON, false);
        pair_wait(&lab, has_failed, &site);
        assert_int_equal(pair_failover(&lab, LYON), -EUCLEAN);
        pair_site_stop(&lab, LYON);
    }
    snprintf(path, sizeof(path), "%s/streams/pg-lab/seals", lab.sites[LYON].folder);
    assert_int_equal(unlink(path), 0);
    pair_site_start(&lab, LYON, false);
    pair_wait(&lab, lyon_receives, NULL);
    assert_int_equal(pair_failover(&lab, LYON), 0);
    pair_lab_close(&lab);
}

/* What a promoted site is told to have been written travels with its own. */
static void a_promoted_site_ships_it(void **state)
{
    static uint8_t bytes[DISK_BLOCKS * BLOCK_SIZE];
    struct pair_lab lab;

    begin(&lab);
    assert_int_equal(pair_failover(&lab, LYON), 0);
    pair_site_stop(&lab, LYON);
    write_behind(&lab, LYON);
    pair_site_start(&lab, LYON, false);
    assert_int_equal(pair_reprotect_met(&lab, LYON, true), 0);
    assert_int_equal(pair_start(&lab, LYON, false), 0);
    pair_settle(&lab, LYON);
    pair_read(&lab, PARIS, 0, bytes);
    assert_int_equal(bytes[(size_t)2007 * BLOCK_SIZE], 0x77);
    pair_lab_close(&lab);
}

static void run(const char *format, const char *folder)
{
    char command[900];

    snprintf(command, sizeof(command), format, folder, folder, folder, folder, folder);
    assert_int_equal(system(command), 0);
}

/* A folder that moves with its files' times, and a daemon that is killed, change nothing. */
static void moves_and_kills_are_no_writes(void **state)
{
    struct pair_lab lab;

    begin(&lab);
    for (unsigned site = 0; site < SITES; site++) {
        pair_site_stop(&lab, site);
        run("cp -a --sparse=always %s %s.moved && rm -rf %s && mv %s.moved %s",
            lab.sites[site].folder);
        pair_site_start(&lab, site, false);
        pair_wait(&lab, is_compared, NULL);
        pair_wait(&lab, lyon_receives, NULL);
        pair_write(&lab, PARIS, 0, 300, 10, 2 + site);
        pair_settle(&lab, PARIS);
        pair_site_kill(&lab, site);
        pair_site_start(&lab, site, false);
        pair_wait(&lab, is_compared, NULL);
        pair_wait(&lab, lyon_receives, NULL);
        pair_settle(&lab, PARIS);
    }
    pair_lab_close(&lab);
}

/* Gives the disk's file the time that it has, cut to `unit` nanoseconds, and `more`. */
static void set_time(struct pair_lab *lab, long unit, long more)
{
    struct timespec times[2];
    struct stat facts;
    char path[300];

    snprintf(path, sizeof(path), "%s/disks/d-lyon0.raw", lab->sites[LYON].folder);
    assert_int_equal(stat(path, &facts), 0);
    times[0] = times[1] = facts.st_mtim;
    times[1].tv_nsec = times[1].tv_nsec / unit * unit;
    times[1].tv_sec += more;
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* tar keeps the second alone, others the microsecond. */
static void times_that_are_cut_are_no_writes(void **state)
{
    static const long units[] = {100, 1000, 1000000, 1000000000};
    unsigned site = LYON;
    struct pair_lab lab;

    begin(&lab);
    for (unsigned i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        pair_site_stop(&lab, LYON);
        set_time(&lab, units[i], 0);
        pair_site_start(&lab, LYON, false);
        pair_wait(&lab, lyon_receives, NULL);
        pair_write(&lab, PARIS, 0, 300, 10, 2 + i);
        pair_settle(&lab, PARIS);
    }
    for (int more = -1; more <= 2; more += 3) { /* earlier by a second, then later */
        pair_site_stop(&lab, LYON);
        set_time(&lab, 1000000000, more);
        pair_site_start(&lab, LYON, false);
        pair_wait(&lab, has_failed, &site);
    }
    pair_lab_close(&lab);
}

/* One that knows of no seals leaves the file of the stop before as it is. */
static void an_older_programs_stop_is_no_write(void **state)
{
    struct pair_lab lab;
    char path[300], kept[320];
    bool is_left;

    begin(&lab);
    snprintf(path, sizeof(path), "%s/streams/pg-lab/seals", lab.sites[LYON].folder);
    snprintf(kept, sizeof(kept), "%s.kept", path);
    pair_site_stop(&lab, LYON);
    assert_int_equal(access(path, F_OK), 0);
    pair_site_start(&lab, LYON, false);
    pair_wait(&lab, lyon_receives, NULL);
    set_time(&lab, 1, 5); /* it writes to its disk */
    is_left = link(path, kept) == 0;
    pair_site_stop(&lab, LYON);
    assert_int_equal(is_left ? rename(kept, path) : unlink(path), 0);
    pair_site_start(&lab, LYON, false);
    pair_wait(&lab, lyon_receives, NULL);
    assert_int_equal(pair_failover(&lab, LYON), 0);
    pair_lab_close(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_source_is_compared),
                                       cmocka_unit_test(a_target_shows_nothing),
                                       cmocka_unit_test(a_promoted_site_ships_it),
                                       cmocka_unit_test(moves_and_kills_are_no_writes),
                                       cmocka_unit_test(times_that_are_cut_are_no_writes),
                                       cmocka_unit_test(an_older_programs_stop_is_no_write)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
