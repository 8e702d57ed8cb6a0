/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated world keeps its word: replay, durability, death, network, timers. */
#include "sim.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "io/file.h"
#include "io/socket.h"
#include "sim_alloc.h"

enum { WRITES = 40 };

struct program {
    struct sim_site *site;
    struct io_file *file;
    struct io_op ops[WRITES], sync_op;
    struct iovec iov[WRITES];
    uint8_t bytes[WRITES][SIM_PAGE_BYTES];
    unsigned done;
    int64_t last_result;
};

static void note_done(struct io_op *op, int64_t result)
{
    (void)op;
    (void)result;
}

static struct program *program_of(struct sim_world *world, struct sim_site *site)
{
    struct program *program = calloc(1, sizeof(*program));

    (void)world;
    program->site = site;
    return program;
}

static void open_file(void *arg)
{
    struct program *program = arg;
    struct loop *loop = sim_site_loop(program->site);

    check(io_dir_make(loop, "/data") == 0);
    check(io_dir_sync(loop, "/") == 0);
    check(io_file_open(loop, "/data/f", IO_CREATE, &program->file, NULL) == 0);
    check(io_dir_sync(loop, "/data") == 0);
}

static void submit_writes(void *arg)
{
    struct program *program = arg;

    for (unsigned i = 0; i < WRITES; i++) {
        memset(program->bytes[i], (int)i + 1, SIM_PAGE_BYTES);
        program->iov[i] = (struct iovec){program->bytes[i], SIM_PAGE_BYTES};
        io_file_write(sim_site_loop(program->site), &program->ops[i], program->file,
                      &program->iov[i], 1, (uint64_t)i * SIM_PAGE_BYTES, note_done);
    }
}

static void submit_sync(void *arg)
{
    struct program *program = arg;

    io_file_sync(sim_site_loop(program->site), &program->sync_op, program->file, note_done);
}

static void sync_now(void *arg)
{
    struct program *program = arg;

    program->last_result = io_file_sync_now(sim_site_loop(program->site), program->file);
}

static void write_second(void *arg)
{
    struct program *program = arg;

    for (unsigned i = 0; i < WRITES; i++) {
        uint8_t bytes[SIM_PAGE_BYTES];
        memset(bytes, 0x80 + (int)i, sizeof(bytes));
        program->last_result = io_file_write_now(sim_site_loop(program->site), program->file, bytes,
                                                 sizeof(bytes), (uint64_t)i * SIM_PAGE_BYTES);
    }
}

/* Counts blocks that hold the first write, the second, and anything else. */
static void count_blocks(struct program *program, unsigned *ret_first, unsigned *ret_second,
                         unsigned *ret_other)
{
    *ret_first = *ret_second = *ret_other = 0;
    for (unsigned i = 0; i < WRITES; i++) {
        uint8_t bytes[SIM_PAGE_BYTES];
        check(io_file_read_now(sim_site_loop(program->site), program->file, bytes, sizeof(bytes),
                               (uint64_t)i * SIM_PAGE_BYTES) == 0);
        if (bytes[0] == i + 1 && bytes[SIM_PAGE_BYTES - 1] == i + 1)
            ++*ret_first;
        else if (bytes[0] == 0x80 + i && bytes[SIM_PAGE_BYTES - 1] == 0x80 + i)
            ++*ret_second;
        else
            ++*ret_other;
    }
}

static void test_same_seed_same_story(void **state)
{
    uint64_t hashes[3];

    (void)state;
    for (unsigned run = 0; run < 3; run++) {
        struct sim_world *world = sim_world_new(run == 2 ? 8 : 7);
        struct sim_site *site = sim_site_new(world, "a");
        struct program *program = program_of(world, site);
        sim_site_call(site, open_file, program);
        sim_site_call(site, submit_writes, program);
        sim_site_call(site, submit_sync, program);
        while (sim_world_step(world))
            ;
        hashes[run] = sim_hash(world);
        sim_world_free(world);
        free(program);
    }
    assert_int_equal(hashes[0], hashes[1]);
    assert_int_not_equal(hashes[0], hashes[2]);
}

static void reopen(void *arg)
{
    struct program *program = arg;

    check(io_file_open(sim_site_loop(program->site), "/data/f", 0, &program->file, NULL) == 0);
}

/* A first round of writes is synced, a second is not. */
static void run_two_rounds(uint64_t seed, bool power, unsigned *ret_first, unsigned *ret_second,
                           unsigned *ret_other)
{
    struct sim_world *world = sim_world_new(seed);
    struct sim_site *site = sim_site_new(world, "a");
    struct program *program = program_of(world, site);
    char boot[64];

    sim_site_call(site, open_file, program);
    sim_site_call(site, submit_writes, program);
    while (sim_world_step(world))
        ;
    sim_site_call(site, sync_now, program);
    sim_site_call(site, write_second, program);
    snprintf(boot, sizeof(boot), "%s", loop_boot_id(sim_site_loop(site)));
    if (power)
        sim_site_power_loss(site);
    else
        sim_site_kill(site);
    assert_null(sim_site_loop(site));
    sim_site_restart(site);
    assert_int_equal(strcmp(boot, loop_boot_id(sim_site_loop(site))) == 0, !power);
    sim_site_call(site, reopen, program);
    count_blocks(program, ret_first, ret_second, ret_other);
    sim_world_free(world);
    free(program);
}

static void test_kill_keeps_the_page_cache(void **state)
{
    unsigned first, second, other;

    (void)state;
    run_two_rounds(1, false, &first, &second, &other);
    assert_int_equal(second, WRITES);
}

static void test_power_loss_takes_any_subset_of_unsynced(void **state)
{
    unsigned mixed = 0, first, second, other;

    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        run_two_rounds(seed, true, &first, &second, &other);
        assert_int_equal(other, 0);
        assert_int_equal(first + second, WRITES);
        mixed += first > 0 && second > 0;
    }
    assert_in_range(mixed, 10, 50);
}

static void create_files(void *arg)
{
    struct program *program = arg;
    struct loop *loop = sim_site_loop(program->site);
    struct io_file *file;

    check(io_file_open(loop, "/data/synced", IO_CREATE | IO_EXCLUSIVE, &file, NULL) == 0);
    io_file_close(loop, file);
    check(io_dir_sync(loop, "/data") == 0);
    check(io_rename(loop, "/data/synced", "/data/renamed") == 0);
    check(io_file_open(loop, "/data/new", IO_CREATE, &file, NULL) == 0);
    io_file_close(loop, file);
}

static void add_name(void *arg, const char *name)
{
    strcat(arg, name);
    strcat(arg, " ");
}

static void test_names_need_a_folder_sync(void **state)
{
    unsigned old = 0, renamed = 0, made = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct sim_world *world = sim_world_new(seed);
        struct sim_site *site = sim_site_new(world, "a");
        struct program *program = program_of(world, site);
        char names[200] = "";
        bool has_old, has_renamed;
        sim_site_call(site, open_file, program);
        sim_site_call(site, create_files, program);
        sim_site_power_loss(site);
        sim_site_restart(site);
        assert_int_equal(io_dir_list(sim_site_loop(site), "/data", add_name, names), 0);
        has_old = strstr(names, "synced ");
        has_renamed = strstr(names, "renamed ");
        assert_true(has_old != has_renamed);
        assert_non_null(strstr(names, "f "));
        old += has_old;
        renamed += has_renamed;
        made += strstr(names, "new ") != NULL;
        sim_world_free(world);
        free(program);
    }
    assert_true(old > 0 && renamed > 0 && made > 0 && made < 60);
}

static void use_memory(void *arg)
{
    char **ret_text = arg;

    *ret_text = strdup("owned by the site");
    *ret_text = realloc(*ret_text, 10000);
    free(malloc(10));
}

static void test_death_frees_memory_and_drops_events(void **state)
{
    struct sim_world *world = sim_world_new(3);
    struct sim_site *site = sim_site_new(world, "a");
    struct program *program = program_of(world, site);
    char *text;

    (void)state;
    sim_site_call(site, open_file, program);
    sim_site_call(site, use_memory, &text);
    sim_site_call(site, submit_writes, program);
    assert_int_equal(sim_alloc_count(site), 1);
    sim_site_kill(site);
    assert_int_equal(sim_alloc_count(site), 0);
    assert_false(sim_world_step(world));
    assert_false(sim_site_call(site, use_memory, &text));
    sim_world_free(world);
    free(program);
}

static void count_death(void *arg)
{
    ++*(unsigned *)arg;
}

static void test_armed_crash_strikes_inside_a_call(void **state)
{
    struct sim_world *world = sim_world_new(4);
    struct sim_site *site = sim_site_new(world, "a");
    struct program *program = program_of(world, site);
    unsigned deaths = 0, first, second, other;

    (void)state;
    sim_site_call(site, open_file, program);
    sim_site_call(site, submit_writes, program);
    while (sim_world_step(world))
        ;
    sim_site_crash_after(site, 21, false, count_death, &deaths);
    assert_false(sim_site_call(site, write_second, program));
    assert_int_equal(deaths, 1);
    sim_site_restart(site);
    sim_site_call(site, reopen, program);
    count_blocks(program, &first, &second, &other);
    assert_int_equal(second, 10);
    assert_int_equal(first, WRITES - 10);
    sim_world_free(world);
    free(program);
}

static void test_disk_faults_and_limit(void **state)
{
    struct sim_world *world = sim_world_new(5);
    struct sim_site *site = sim_site_new(world, "a");
    struct program *program = program_of(world, site);

    (void)state;
    sim_site_call(site, open_file, program);
    sim_disk_fail(site, SIM_DISK_SYNC, "/data/f", 2, -EIO);
    sim_site_call(site, sync_now, program);
    assert_int_equal(program->last_result, 0);
    sim_site_call(site, sync_now, program);
    assert_int_equal(program->last_result, -EIO);
    sim_disk_limit(site, 10 * SIM_PAGE_BYTES);
    sim_site_call(site, write_second, program);
    assert_int_equal(program->last_result, -ENOSPC);
    assert_int_equal(sim_disk_used(site), 10 * SIM_PAGE_BYTES);
    sim_world_free(world);
    free(program);
}

struct clock {
    struct sim_site *site;
    struct loop_timer timers[3];
    char order[8];
};

static void fired(struct clock *clock, const char *name)
{
    strcat(clock->order, name);
}

static void fired_first(struct loop_timer *timer)
{
    struct clock *clock = container_of(timer, struct clock, timers[0]);

    assert_int_equal(loop_now_ns(sim_site_loop(clock->site)), timer->deadline_ns);
    fired(clock, "a");
}

static void fired_second(struct loop_timer *timer)
{
    fired(container_of(timer, struct clock, timers[1]), "b");
}

static void fired_third(struct loop_timer *timer)
{
    fired(container_of(timer, struct clock, timers[2]), "c");
}

static void set_timers(void *arg)
{
    struct clock *clock = arg;
    struct loop *loop = sim_site_loop(clock->site);
    uint64_t now_ns = loop_now_ns(loop);

    clock->timers[0].fired_cb = fired_first;
    clock->timers[1].fired_cb = fired_second;
    clock->timers[2].fired_cb = fired_third;
    loop_timer_set(loop, &clock->timers[0], now_ns + 30 * SIM_MS);
    loop_timer_set(loop, &clock->timers[1], now_ns + 10 * SIM_MS);
    loop_timer_set(loop, &clock->timers[2], now_ns + 20 * SIM_MS);
    loop_timer_set(loop, &clock->timers[2], now_ns + 40 * SIM_MS);
    loop_timer_cancel(loop, &clock->timers[1]);
    loop_timer_cancel(loop, &clock->timers[1]);
}

static void test_timers_fire_in_order_of_time(void **state)
{
    struct sim_world *world = sim_world_new(6);
    struct clock clock = {.site = sim_site_new(world, "a")};

    (void)state;
    sim_site_call(clock.site, set_timers, &clock);
    sim_world_run_until(world, sim_now_ns(world) + 35 * SIM_MS);
    assert_string_equal(clock.order, "a");
    while (sim_world_step(world))
        ;
    assert_string_equal(clock.order, "ac");
    sim_world_free(world);
}

/* --- network --------------------------------------------------------------------------------- */

struct talk {
    struct sim_site *a, *b;
    struct io_socket *listener, *at_a, *at_b;
    struct io_connect connect, accept;
    struct io_op send, recv;
    struct iovec iov;
    char out[100000], in[100001];
    size_t got;
    int64_t connected, sent, received;
};

static struct talk *talk_of_send(struct io_op *op)
{
    return container_of(op, struct talk, send);
}

static void talk_accepted(struct io_op *op, int64_t result)
{
    struct talk *talk = container_of(op, struct talk, accept.op);

    if (result == 0)
        talk->at_b = talk->accept.socket;
}

static void talk_connected(struct io_op *op, int64_t result)
{
    struct talk *talk = container_of(op, struct talk, connect.op);

    talk->connected = result;
    if (result == 0)
        talk->at_a = talk->connect.socket;
}

static void talk_listen(void *arg)
{
    struct talk *talk = arg;
    struct loop *loop = sim_site_loop(talk->b);

    check(io_listen(loop, "127.0.0.1:900", &talk->listener, NULL) == 0);
    io_accept(loop, &talk->accept, talk->listener, talk_accepted);
}

static void talk_connect(void *arg)
{
    struct talk *talk = arg;

    talk->connected = 1;
    io_connect(sim_site_loop(talk->a), &talk->connect, "127.0.0.1:900", talk_connected);
}

static void talk_sent(struct io_op *op, int64_t result)
{
    talk_of_send(op)->sent = result;
}

static void talk_send(void *arg)
{
    struct talk *talk = arg;

    talk->iov = (struct iovec){talk->out, sizeof(talk->out)};
    io_send(sim_site_loop(talk->a), &talk->send, talk->at_a, &talk->iov, 1, talk_sent);
}

static void talk_recv(void *arg);

static void talk_received(struct io_op *op, int64_t result)
{
    struct talk *talk = container_of(op, struct talk, recv);

    talk->received = result;
    if (result > 0) {
        talk->got += (size_t)result;
        talk_recv(talk);
    }
}

static void talk_recv(void *arg)
{
    struct talk *talk = arg;

    io_recv(sim_site_loop(talk->b), &talk->recv, talk->at_b, talk->in + talk->got,
            sizeof(talk->in) - talk->got + 1, talk_received);
}

static struct talk *talk_new(struct sim_world *world, bool connects)
{
    struct talk *talk = calloc(1, sizeof(*talk));

    talk->a = sim_site_new(world, "a");
    talk->b = sim_site_new(world, "b");
    for (size_t i = 0; i < sizeof(talk->out); i++)
        talk->out[i] = (char)(i * 7 + i / 251);
    sim_site_call(talk->b, talk_listen, talk);
    if (connects) {
        sim_site_call(talk->a, talk_connect, talk);
        while (sim_world_step(world))
            ;
        check(talk->at_a && talk->at_b);
        sim_site_call(talk->b, talk_recv, talk);
    }
    return talk;
}

static void test_stream_arrives_whole(void **state)
{
    struct sim_world *world = sim_world_new(9);
    struct talk *talk = talk_new(world, true);

    (void)state;
    sim_site_call(talk->a, talk_send, talk);
    while (sim_world_step(world))
        ;
    assert_int_equal(talk->sent, sizeof(talk->out));
    assert_int_equal(talk->got, sizeof(talk->out));
    assert_memory_equal(talk->in, talk->out, sizeof(talk->out));
    sim_world_free(world);
    free(talk);
}

static void test_cut_fails_both_ends_and_connecting(void **state)
{
    struct sim_world *world = sim_world_new(10);
    struct talk *talk = talk_new(world, true);

    (void)state;
    sim_site_call(talk->a, talk_send, talk);
    sim_net_set(world, talk->a, talk->b, SIM_NET_CUT);
    while (sim_world_step(world))
        ;
    assert_int_equal(talk->received, -ECONNRESET);
    assert_int_equal(talk->got, 0);
    sim_site_call(talk->a, talk_connect, talk);
    while (sim_world_step(world))
        ;
    assert_true(talk->connected < 0);
    sim_world_free(world);
    free(talk);
}

static void test_black_hole_holds_and_heals(void **state)
{
    struct sim_world *world = sim_world_new(11);
    struct talk *talk = talk_new(world, true);

    (void)state;
    sim_net_set(world, talk->a, talk->b, SIM_NET_BLACKHOLE);
    sim_site_call(talk->a, talk_send, talk);
    sim_world_run_until(world, sim_now_ns(world) + 60 * SIM_SECOND);
    assert_int_equal(talk->got, 0);
    sim_net_set(world, talk->a, talk->b, SIM_NET_OK);
    while (sim_world_step(world))
        ;
    assert_int_equal(talk->got, sizeof(talk->out));
    sim_world_free(world);
    free(talk);
}

static void test_death_ends_the_peers_stream(void **state)
{
    unsigned ends = 0, resets = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct sim_world *world = sim_world_new(seed);
        struct talk *talk = talk_new(world, true);
        if (seed % 2)
            sim_site_kill(talk->a);
        else
            sim_site_power_loss(talk->a);
        while (sim_world_step(world))
            ;
        ends += talk->received == 0;
        resets += talk->received == -ECONNRESET;
        sim_world_free(world);
        free(talk);
    }
    assert_int_equal(ends + resets, 20);
    assert_true(ends > 0 && resets > 10);
}

static void test_nobody_listens(void **state)
{
    struct sim_world *world = sim_world_new(12);
    struct talk *talk = talk_new(world, false);

    (void)state;
    sim_site_kill(talk->b);
    sim_site_call(talk->a, talk_connect, talk);
    while (sim_world_step(world))
        ;
    assert_int_equal(talk->connected, -ECONNREFUSED);
    sim_world_free(world);
    free(talk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_seed_same_story),
        cmocka_unit_test(test_kill_keeps_the_page_cache),
        cmocka_unit_test(test_power_loss_takes_any_subset_of_unsynced),
        cmocka_unit_test(test_names_need_a_folder_sync),
        cmocka_unit_test(test_death_frees_memory_and_drops_events),
        cmocka_unit_test(test_armed_crash_strikes_inside_a_call),
        cmocka_unit_test(test_disk_faults_and_limit),
        cmocka_unit_test(test_timers_fire_in_order_of_time),
        cmocka_unit_test(test_stream_arrives_whole),
        cmocka_unit_test(test_cut_fails_both_ends_and_connecting),
        cmocka_unit_test(test_black_hole_holds_and_heals),
        cmocka_unit_test(test_death_ends_the_peers_stream),
        cmocka_unit_test(test_nobody_listens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
