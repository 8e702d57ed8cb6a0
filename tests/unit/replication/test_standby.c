/* SPDX-License-Identifier: Apache-2.0 */
/* What a target keeps for a failover: what is made of it, and what goes. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "pair_lab.h"

enum { NAMES = 3 };

static const char *const names[NAMES] = {"superseded-0.spare", "superseded-1.spare",
                                         "superseded.volatile.spare"};

static void path_of(const struct pair_lab *lab, const char *name, char *ret_path, size_t size)
{
    snprintf(ret_path, size, "%s/streams/pg-lab/%s", lab->sites[LYON].folder, name);
}

static unsigned count_kept(struct pair_lab *lab)
{
    unsigned count = 0;
    char path[300];

    for (unsigned i = 0; i < NAMES; i++) {
        path_of(lab, names[i], path, sizeof(path));
        count += access(path, F_OK) == 0;
    }
    return count;
}

static bool is_all_kept(struct pair_lab *lab, void *arg)
{
    (void)arg;
    return count_kept(lab) == NAMES && pair_status(lab, LYON).is_connected;
}

static bool is_none_kept(struct pair_lab *lab, void *arg)
{
    (void)arg;
    return count_kept(lab) == 0;
}

static bool may_write(struct pair_lab *lab, void *arg)
{
    const char *why;

    (void)arg;
    return engine_disk_may_write(lab->sites[PARIS].engine, "d-paris0", &why);
}

static void begin(struct pair_lab *lab)
{
    pair_lab_prepare(lab);
    lab->settings.failover_reserve_bytes = 1 << 30;
    pair_lab_start(lab);
    pair_wait(lab, may_write, NULL);
    pair_write(lab, PARIS, 0, 10, 100, 1);
    assert_int_equal(pair_start(lab, PARIS, false), 0);
    pair_settle(lab, PARIS);
    pair_wait(lab, is_all_kept, NULL);
}

static void restart(struct pair_lab *lab, uint64_t reserve_bytes)
{
    lab->settings.failover_reserve_bytes = reserve_bytes;
    pair_site_start(lab, LYON, false);
}

/* Who gives it less room wants the rest back. */
static void what_may_not_be_kept_goes(void **state)
{
    static const uint64_t reserves[] = {0, 1};

    (void)state;
    for (unsigned i = 0; i < sizeof(reserves) / sizeof(reserves[0]); i++) {
        struct pair_lab lab;

        begin(&lab);
        pair_site_stop(&lab, LYON);
        assert_int_equal(count_kept(&lab), NAMES);
        restart(&lab, reserves[i]);
        pair_wait(&lab, is_none_kept, NULL);
        assert_int_equal(pair_failover(&lab, LYON), 0);
        pair_lab_close(&lab);
    }
}

/* Both copies of both slots of its only page. */
static void spoil_intents(const struct pair_lab *lab)
{
    char path[300], bytes[4 * 4096];
    int file;

    memset(bytes, 'x', sizeof(bytes));
    path_of(lab, "intent-0", path, sizeof(path));
    file = open(path, O_WRONLY);
    assert_true(file >= 0);
    assert_int_equal(pwrite(file, bytes, sizeof(bytes), 4096), sizeof(bytes));
    close(file);
}

static void damaged_intent_bits_keep_nobody_from_a_failover(void **state)
{
    struct pair_lab lab;

    (void)state;
    begin(&lab);
    spoil_intents(&lab);
    assert_int_equal(pair_failover(&lab, LYON), 0);
    pair_write(&lab, LYON, 0, 20, 10, 2);
    pair_lab_close(&lab);
}

static void intent_bits_that_are_cut_off_are_made_anew(void **state)
{
    struct stat facts;
    struct pair_lab lab;
    char path[300];

    (void)state;
    begin(&lab);
    pair_site_stop(&lab, LYON);
    path_of(&lab, "intent-0", path, sizeof(path));
    assert_int_equal(truncate(path, 100), 0);
    for (unsigned i = 0; i < NAMES; i++) {
        path_of(&lab, names[i], path, sizeof(path));
        assert_int_equal(unlink(path), 0);
    }
    restart(&lab, 1 << 30);
    pair_wait(&lab, is_all_kept, NULL);
    assert_string_equal(pair_status(&lab, LYON).trouble, "");
    path_of(&lab, "intent-0", path, sizeof(path));
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_size, 5 * 4096);
    pair_lab_close(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_may_not_be_kept_goes),
        cmocka_unit_test(damaged_intent_bits_keep_nobody_from_a_failover),
        cmocka_unit_test(intent_bits_that_are_cut_off_are_made_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
