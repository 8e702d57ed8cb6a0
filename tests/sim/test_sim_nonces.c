/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nonces in a machine that dies: no request is taken twice (N1 to N5 of access/nonces.c), and a
 * caller whose clock is right is not kept out for long.
 */
#include "sim.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "access/nonces.h"
#include "base/check.h"
#include "io/file.h"

enum { PAST_MAX = 4096, WINDOW_S = 900, CAPACITY = 64 };

struct bench {
    struct sim_world *world;
    struct sim_site *site;
    struct signature *signature; /* libcrypto's memory is not the site's */
    struct nonces *nonces;
    unsigned capacity;
    struct err err;
    /* One call. */
    const char *key_id;
    char text[72];
    int64_t time_s;
    enum nonce_verdict verdict;
    int error;
};

static void open_it(void *arg)
{
    struct bench *bench = arg;
    struct nonces_options options = {.loop = sim_site_loop(bench->site),
                                     .signature = bench->signature,
                                     .folder = "/site",
                                     .capacity = bench->capacity,
                                     .window_s = WINDOW_S};

    check(io_dir_make_durable(sim_site_loop(bench->site), "/site") == 0);
    bench->error = nonces_open(&options, &bench->nonces, &bench->err);
}

static void start(struct bench *bench)
{
    bench->nonces = NULL;
    bench->err = (struct err){0};
    assert_true(sim_site_call(bench->site, open_it, bench));
    if (bench->error != 0)
        fail_msg("%s", bench->err.text);
    assert_int_equal(bench->err.code, 0);
}

static void prepare(struct bench *bench, uint64_t seed, unsigned capacity)
{
    *bench = (struct bench){.world = sim_world_new(seed), .capacity = capacity};
    assert_int_equal(signature_new(&bench->signature, NULL), 0);
    bench->site = sim_site_new(bench->world, "paris");
}

static void begin(struct bench *bench, uint64_t seed, unsigned capacity)
{
    prepare(bench, seed, capacity);
    start(bench);
}

static void close_it(void *arg)
{
    nonces_close(((struct bench *)arg)->nonces);
}

static void end(struct bench *bench)
{
    if (sim_site_is_alive(bench->site))
        sim_site_call(bench->site, close_it, bench);
    sim_world_free(bench->world);
    signature_free(bench->signature);
}

static void wait_s(struct bench *bench, unsigned seconds)
{
    sim_world_run_until(bench->world, sim_now_ns(bench->world) + seconds * SIM_SECOND);
}

static int64_t now_s(struct bench *bench)
{
    return (int64_t)((sim_now_ns(bench->world) + sim_site_wall_offset_ns(bench->site)) /
                     SIM_SECOND);
}

static void ask(void *arg)
{
    struct bench *bench = arg;
    struct nonce nonce;

    bench->verdict = nonces_judge(bench->nonces, bench->key_id, bench->text, bench->time_s, &nonce);
    bench->error = bench->verdict == NONCE_FRESH ? nonces_take(bench->nonces, &nonce) : 0;
}

/* Judged, and taken when it is fresh; `time_s` from now. */
static enum nonce_verdict take(struct bench *bench, const char *key_id, const char *text,
                               int64_t time_s)
{
    bench->key_id = key_id;
    snprintf(bench->text, sizeof(bench->text), "%s", text);
    bench->time_s = now_s(bench) + time_s;
    assert_true(sim_site_call(bench->site, ask, bench));
    assert_int_equal(bench->error, 0);
    return bench->verdict;
}

static void again(struct bench *bench, bool power)
{
    if (power)
        sim_site_power_loss(bench->site);
    else
        sim_site_kill(bench->site);
    sim_site_restart(bench->site);
    start(bench);
}

static void test_once_for_each_key(void **state)
{
    struct bench bench;
    char longest[65];

    memset(longest, 'n', 64);
    longest[64] = 0;
    begin(&bench, 1, 0);
    assert_int_equal(take(&bench, "key-1", "n", 0), NONCE_FRESH);
    assert_int_equal(take(&bench, "key-1", "n", 0), NONCE_USED);
    assert_int_equal(take(&bench, "key-1", "n", 7), NONCE_USED); /* whatever time it says */
    assert_int_equal(take(&bench, "key-2", "n", 0), NONCE_FRESH);
    assert_int_equal(take(&bench, "key-", "1n", 0), NONCE_FRESH);
    assert_int_equal(take(&bench, "key-1", longest, 0), NONCE_FRESH);
    assert_int_equal(take(&bench, "key-1", longest, 0), NONCE_USED);
    longest[63] = 'm';
    assert_int_equal(take(&bench, "key-1", longest, 0), NONCE_FRESH);
    end(&bench);
}

static void test_window(void **state)
{
    struct bench bench;

    begin(&bench, 1, 0);
    assert_int_equal(take(&bench, "key", "a", -WINDOW_S - 1), NONCE_EXPIRED);
    assert_int_equal(take(&bench, "key", "b", WINDOW_S + 1), NONCE_EXPIRED);
    assert_int_equal(take(&bench, "key", "a", -WINDOW_S), NONCE_FRESH);
    assert_int_equal(take(&bench, "key", "b", WINDOW_S), NONCE_FRESH);
    end(&bench);
}

/* Old times go first; a caller whose clock is right is always taken. */
static void test_full(void **state)
{
    struct bench bench;
    char text[16];

    begin(&bench, 1, CAPACITY);
    for (unsigned i = 0; i < 10 * CAPACITY; i++) {
        snprintf(text, sizeof(text), "n%u", i);
        assert_int_equal(take(&bench, "key", text, 0), NONCE_FRESH);
        wait_s(&bench, 1);
    }
    /* What was forgotten is refused, what is remembered is known. */
    assert_int_equal(take(&bench, "key", "n0", -10 * CAPACITY), NONCE_EXPIRED);
    assert_int_equal(take(&bench, "key", "new", -CAPACITY - 1), NONCE_EXPIRED);
    assert_int_equal(take(&bench, "key", "n639", -1), NONCE_USED);
    assert_int_equal(take(&bench, "key", "n577", -CAPACITY + 1), NONCE_USED);
    /* Another key's floor is its own. */
    assert_int_equal(take(&bench, "other", "n0", -10 * CAPACITY), NONCE_FRESH);
    again(&bench, false);
    assert_int_equal(take(&bench, "key", "new", -CAPACITY - 1), NONCE_EXPIRED);
    assert_int_equal(take(&bench, "key", "n639", -1), NONCE_USED);
    end(&bench);
}

static void test_kill(void **state)
{
    struct bench bench;

    begin(&bench, 1, 0);
    assert_int_equal(take(&bench, "key", "a", 0), NONCE_FRESH);
    assert_int_equal(take(&bench, "key", "b", 100), NONCE_FRESH);
    again(&bench, false);
    assert_int_equal(take(&bench, "key", "a", 0), NONCE_USED);
    assert_int_equal(take(&bench, "key", "b", 100), NONCE_USED);
    /* At once, for those who are new, whatever their clocks say. */
    assert_int_equal(take(&bench, "key", "c", 0), NONCE_FRESH);
    assert_int_equal(take(&bench, "key", "d", -800), NONCE_FRESH);
    end(&bench);
}

static void test_power_loss(void **state)
{
    struct bench bench;

    begin(&bench, 1, 0);
    assert_int_equal(take(&bench, "key", "a", 0), NONCE_FRESH);
    assert_int_equal(take(&bench, "key", "b", NONCES_AHEAD_S), NONCE_FRESH);
    assert_int_equal(take(&bench, "fast", "c", 300), NONCE_FRESH);
    again(&bench, true);
    assert_int_equal(take(&bench, "key", "a", 0), NONCE_LATER);
    assert_int_equal(take(&bench, "key", "b", NONCES_AHEAD_S), NONCE_LATER);
    assert_int_equal(take(&bench, "fast", "c", 300), NONCE_LATER);
    again(&bench, false); /* a kill does not make it forget that */
    assert_int_equal(take(&bench, "key", "b", NONCES_AHEAD_S), NONCE_LATER);
    wait_s(&bench, NONCES_AHEAD_S + 2);
    assert_int_equal(take(&bench, "key", "new", 0), NONCE_FRESH);
    assert_int_equal(take(&bench, "key", "new2", -3), NONCE_EXPIRED);
    /* The key with the clock that is ahead waits for that, alone. */
    assert_int_equal(take(&bench, "fast", "d", 0), NONCE_LATER);
    wait_s(&bench, 300 + 120);
    assert_int_equal(take(&bench, "fast", "d", 0), NONCE_FRESH);
    end(&bench);
}

static void test_clock_put_right_after_the_start(void **state)
{
    struct bench bench;

    begin(&bench, 1, 0);
    assert_int_equal(take(&bench, "key", "a", 0), NONCE_FRESH);
    sim_site_power_loss(bench.site);
    sim_site_wall_jump(bench.site, -(int64_t)(7200 * SIM_SECOND)); /* an old clock of the board */
    sim_site_restart(bench.site);
    start(&bench);
    wait_s(&bench, 20);
    sim_site_wall_jump(bench.site, (int64_t)(7200 * SIM_SECOND));
    wait_s(&bench, 0);
    assert_int_equal(take(&bench, "key", "a", -20), NONCE_EXPIRED);
    assert_int_equal(take(&bench, "key", "b", 0), NONCE_FRESH);
    end(&bench);
}

static void damage(void *arg)
{
    struct bench *bench = arg;
    struct io_file *file;

    check(io_file_open(sim_site_loop(bench->site), "/site/nonces.ahead", 0, &file, NULL) == 0);
    for (unsigned lane = 0; lane < 4096; lane++) {
        uint8_t byte;

        check(io_file_read_now(sim_site_loop(bench->site), file, &byte, 1, lane * 16 + 8) == 0);
        byte ^= 1;
        check(io_file_write_now(sim_site_loop(bench->site), file, &byte, 1, lane * 16 + 8) == 0);
    }
    check(io_file_sync_now(sim_site_loop(bench->site), file) == 0);
    io_file_close(sim_site_loop(bench->site), file);
}

/* What cannot be read is never "none". */
static void test_damage(void **state)
{
    struct bench bench;

    begin(&bench, 1, 0);
    assert_int_equal(take(&bench, "fast", "c", 300), NONCE_FRESH);
    sim_site_call(bench.site, damage, &bench);
    again(&bench, true);
    wait_s(&bench, 250);
    assert_int_equal(take(&bench, "fast", "c", 50), NONCE_LATER);
    again(&bench, true);
    assert_int_equal(take(&bench, "fast", "c", 50), NONCE_LATER);
    wait_s(&bench, WINDOW_S);
    assert_int_equal(take(&bench, "fast", "d", 0), NONCE_FRESH);
    end(&bench);
}

/* --- any order of all that ------------------------------------------------------------------- */

struct past {
    unsigned key, number;
    int64_t time_s;
};

static const char *const keys[] = {"LTAIone", "LTAItwo", "LTAIthree"};

static void take_at(struct bench *bench, const struct past *one)
{
    bench->key_id = keys[one->key];
    snprintf(bench->text, sizeof(bench->text), "nonce-%u", one->number);
    bench->time_s = one->time_s;
    bench->verdict = NONCE_EXPIRED;
    bench->error = -EIO;
    if (!sim_site_call(bench->site, ask, bench)) {
        sim_site_restart(bench->site);
        start(bench);
        bench->error = -EINTR; /* it died: nobody was answered, nothing was done */
    }
}

static bool is_taken(const struct bench *bench)
{
    return bench->verdict == NONCE_FRESH && bench->error == 0;
}

/* The very first opening dies at some step. */
static void start_late(struct bench *bench)
{
    sim_site_crash_after(bench->site, 1 + (unsigned)sim_random_below(bench->world, 16),
                         sim_chance(bench->world, 30), NULL, NULL);
    if (!sim_site_call(bench->site, open_it, bench)) {
        sim_site_restart(bench->site);
        start(bench);
    }
}

static void trouble(struct bench *bench, bool *ret_is_suspect)
{
    unsigned kind = (unsigned)sim_random_below(bench->world, 40);

    if (kind == 0) {
        again(bench, true);
        *ret_is_suspect = true;
    } else if (kind <= 3) {
        again(bench, false);
    } else if (kind <= 6) {
        sim_site_crash_after(bench->site, 1 + (unsigned)sim_random_below(bench->world, 6),
                             kind == 4, NULL, NULL);
        *ret_is_suspect = true;
    } else if (kind <= 20) {
        wait_s(bench, (unsigned)sim_random_below(bench->world, 200));
    }
}

static void any_order(uint64_t seed)
{
    struct past *past = calloc(PAST_MAX, sizeof(*past));
    unsigned past_count = 0, good_count = 0;
    struct bench bench;

    prepare(&bench, seed, CAPACITY);
    if (seed % 2 == 0)
        start_late(&bench);
    else
        start(&bench);
    for (unsigned turn = 0; turn < 600; turn++) {
        bool is_old = past_count > 0 && sim_chance(bench.world, 40), is_suspect = false;
        struct past one = {.key = (unsigned)sim_random_below(bench.world, 2),
                           .number = turn,
                           .time_s =
                               now_s(&bench) + (int64_t)sim_random_below(bench.world, 1700) - 850};

        trouble(&bench, &is_suspect);
        if (is_old)
            one = past[sim_random_below(bench.world, past_count)];
        take_at(&bench, &one);
        if (!is_taken(&bench))
            continue;
        if (is_old)
            fail_msg("seed %llu, turn %u: taken twice", (unsigned long long)seed, turn);
        past[past_count++] = one;
    }
    /* A key whose clock is right. */
    sim_site_crash_after(bench.site, 0, false, NULL, NULL);
    wait_s(&bench, 10);
    for (unsigned i = 0; i < 20; i++) {
        take_at(&bench, &(struct past){.key = 2, .number = i, .time_s = now_s(&bench)});
        good_count += is_taken(&bench);
        wait_s(&bench, 1);
    }
    assert_int_equal(good_count, 20);
    assert_true(past_count > 50);
    free(past);
    end(&bench);
}

static void test_any_order(void **state)
{
    for (uint64_t seed = 1; seed <= 300; seed++)
        any_order(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once_for_each_key),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_power_loss),
        cmocka_unit_test(test_clock_put_right_after_the_start),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
