/* SPDX-License-Identifier: Apache-2.0 */
/* Sets, cuts, ships and intent: one instant for an epoch, and no block ever forgotten. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "volume_fixture.h"

enum { SECTORS = 8, SHIP_BLOCKS = 64 };

struct sender {
    struct ship ship;
    uint8_t bytes[SHIP_BLOCKS * BLOCK_SIZE];
    int error; /* 1: under way */
};

static void shipped(struct ship *ship, int error)
{
    struct sender *sender = container_of(ship, struct sender, ship);

    check(sender->error == 1);
    sender->error = error;
}

static void ship_begin(struct fixture *fixture, struct sender *sender, enum tracking_set which,
                       uint64_t from, uint64_t count_max)
{
    sender->error = 1;
    sender->ship.bytes = sender->bytes;
    tracking_ship(fixture->volume, &sender->ship, which, from, count_max, shipped);
    check(sender->error == 1);
}

static int ship_run(struct fixture *fixture, struct sender *sender, enum tracking_set which,
                    uint64_t from, uint64_t count_max)
{
    ship_begin(fixture, sender, which, from, count_max);
    fixture_settle(fixture);
    return sender->error;
}

static uint64_t set_count(const struct fixture *fixture, enum tracking_set which)
{
    return blockset_count(tracking_set(fixture->volume, which));
}

static void blocks_go_from_open_to_frozen_to_unacked(void **state)
{
    struct fixture fixture;
    struct sender *sender = calloc(1, sizeof(*sender));

    (void)state;
    fixture_init(&fixture);
    fixture_track(&fixture, 8, 8);
    assert_int_equal(ship_run(&fixture, sender, TRACKING_OPEN, 0, 8), -ENOENT);
    host_run(&fixture, VOLUME_WRITE, 5 * SECTORS, 3 * SECTORS, 77);
    tracking_cut(fixture.volume);
    assert_int_equal(set_count(&fixture, TRACKING_OPEN), 0);
    assert_int_equal(set_count(&fixture, TRACKING_FROZEN), 3);
    assert_int_equal(ship_run(&fixture, sender, TRACKING_FROZEN, 6, 8), 0);
    assert_int_equal(sender->ship.block, 6);
    assert_int_equal(sender->ship.count, 2);
    assert_false(sender->ship.is_hole);
    assert_int_equal(sector_value(sender->bytes), 77);
    assert_int_equal(ship_run(&fixture, sender, TRACKING_FROZEN, 6, 8), 0); /* wraps */
    assert_int_equal(sender->ship.block, 5);
    assert_int_equal(set_count(&fixture, TRACKING_FROZEN), 0);
    assert_int_equal(set_count(&fixture, TRACKING_UNACKED), 3);
    tracking_acked(fixture.volume);
    assert_int_equal(set_count(&fixture, TRACKING_UNACKED), 0);
    fixture_fini(&fixture);
    free(sender);
}

static void merge_brings_everything_back(void **state)
{
    struct fixture fixture;
    struct sender *sender = calloc(1, sizeof(*sender));
    struct host *host;

    (void)state;
    fixture_init(&fixture);
    fixture_track(&fixture, 1, 1);
    host_run(&fixture, VOLUME_WRITE, 0, 4 * SECTORS, 1);
    tracking_cut(fixture.volume);
    assert_int_equal(ship_run(&fixture, sender, TRACKING_FROZEN, 0, 1), 0);
    host = host_submit(&fixture, VOLUME_WRITE, 0, SECTORS, SECTORS, 2, 0); /* stashes block 1 */
    assert_true(fixture_store_end(&fixture, 0, 0));
    fake_loop_run(&fixture.fake); /* now the store write is under way */
    assert_int_equal(stash_count(fixture.stash), 1);
    tracking_merge(fixture.volume);
    assert_int_equal(stash_count(fixture.stash), 0);
    assert_int_equal(set_count(&fixture, TRACKING_OPEN), 4);
    assert_int_equal(set_count(&fixture, TRACKING_FROZEN), 0);
    assert_int_equal(set_count(&fixture, TRACKING_UNACKED), 0);
    fixture_settle(&fixture);
    host_free(host);
    fixture_fini(&fixture);
    free(sender);
}

static void full_stash_aborts_the_epoch(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_init(&fixture);
    fixture_track(&fixture, 2, 1);
    host_run(&fixture, VOLUME_WRITE, 0, 8 * SECTORS, 1);
    tracking_cut(fixture.volume);
    host_run(&fixture, VOLUME_WRITE, 0, 3 * SECTORS, 2);
    assert_int_equal(fixture.full_count, 0);
    assert_int_equal(stash_count(fixture.stash), 3);
    host_run(&fixture, VOLUME_WRITE, 4 * SECTORS, SECTORS, 3); /* goes on all the same */
    assert_int_equal(fixture.full_count, 1);
    assert_int_equal(stash_count(fixture.stash), 0);
    assert_int_equal(set_count(&fixture, TRACKING_OPEN), 8);
    fixture_fini(&fixture);
}

static void failed_spill_aborts_the_epoch(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_init(&fixture);
    fixture_track(&fixture, 0, 8);
    host_run(&fixture, VOLUME_WRITE, 0, 8 * SECTORS, 1);
    tracking_cut(fixture.volume);
    fixture.fake.write_error = -ENOSPC;
    host_run(&fixture, VOLUME_WRITE, 2 * SECTORS, SECTORS, 3);
    assert_int_equal(fixture.full_count, 1);
    assert_int_equal(set_count(&fixture, TRACKING_OPEN), 8);
    fixture_fini(&fixture);
}

static void ship_waits_for_a_write_and_a_write_for_a_ship(void **state)
{
    struct fixture fixture;
    struct sender *sender = calloc(1, sizeof(*sender));
    struct host *first, *second;

    (void)state;
    fixture_init(&fixture);
    fixture_track(&fixture, 8, 8);
    host_run(&fixture, VOLUME_WRITE, 0, SECTORS, 1);
    log_reset(&fixture);
    first = host_submit(&fixture, VOLUME_WRITE, 0, 0, SECTORS, 2, 1);
    ship_begin(&fixture, sender, TRACKING_OPEN, 0, 8);
    second = host_submit(&fixture, VOLUME_WRITE, 0, 0, SECTORS, 3, 2);
    assert_string_equal(fixture.fake.log, "store write 0+1\n");
    assert_true(fixture_store_end(&fixture, 0, 0));
    assert_true(log_has_order(&fixture, "store write 0+1", "store read 0+1"));
    assert_true(fixture_store_end(&fixture, 0, 0)); /* the ship's read */
    assert_int_equal(sender->error, 0);
    assert_int_equal(sector_value(sender->bytes), 2);
    fixture_settle(&fixture);
    assert_int_equal(set_count(&fixture, TRACKING_OPEN), 1); /* the second write */
    assert_int_equal(set_count(&fixture, TRACKING_UNACKED), 1);
    host_free(first);
    host_free(second);
    fixture_fini(&fixture);
    free(sender);
}

/* The write came first and stashed the block; the waiting ship must not read the new content. */
static void ship_behind_a_stashing_write_finds_nothing(void **state)
{
    struct fixture fixture;
    struct sender *sender = calloc(1, sizeof(*sender));
    struct host *host;

    (void)state;
    fixture_init(&fixture);
    fixture_track(&fixture, 8, 8);
    host_run(&fixture, VOLUME_WRITE, 0, SECTORS, 1);
    tracking_cut(fixture.volume);
    host = host_submit(&fixture, VOLUME_WRITE, 0, 0, SECTORS, 2, 1);
    ship_begin(&fixture, sender, TRACKING_FROZEN, 0, 8);
    fixture_settle(&fixture);
    assert_int_equal(sender->error, -ENOENT);
    assert_int_equal(stash_count(fixture.stash), 1);
    host_free(host);
    fixture_fini(&fixture);
    free(sender);
}

static void failed_ship_puts_the_blocks_back(void **state)
{
    struct fixture fixture;
    struct sender *sender = calloc(1, sizeof(*sender));

    (void)state;
    fixture_init(&fixture);
    fixture_track(&fixture, 8, 8);
    host_run(&fixture, VOLUME_WRITE, 0, 2 * SECTORS, 1);
    ship_begin(&fixture, sender, TRACKING_OPEN, 0, 8);
    assert_true(fixture_store_end(&fixture, 0, -EIO));
    assert_int_equal(sender->error, -EIO);
    assert_int_equal(set_count(&fixture, TRACKING_OPEN), 2);

    ship_begin(&fixture, sender, TRACKING_OPEN, 0, 8);
    tracking_cut(fixture.volume); /* the closed epoch needs what this read was to bring */
    assert_true(fixture_store_end(&fixture, 0, -EIO));
    assert_int_equal(set_count(&fixture, TRACKING_OPEN), 0);
    assert_int_equal(set_count(&fixture, TRACKING_FROZEN), 2);
    fixture_fini(&fixture);
    free(sender);
}

static void holes_travel_as_one_run(void **state)
{
    struct fixture fixture;
    struct sender *sender = calloc(1, sizeof(*sender));
    uint64_t block = 0, holes = 0;

    (void)state;
    fixture_init(&fixture);
    fixture_track(&fixture, 8, 8);
    host_run(&fixture, VOLUME_WRITE, 1000 * SECTORS, 100 * SECTORS, 9);
    assert_int_equal(tracking_mark(fixture.volume, TRACKING_OPEN, 0, FIXTURE_BLOCKS), 0);
    while (ship_run(&fixture, sender, TRACKING_OPEN, block, SHIP_BLOCKS) == 0) {
        assert_int_equal(sender->ship.block, block);
        block += sender->ship.count;
        holes += sender->ship.is_hole;
        assert_true(sender->ship.is_hole || sender->ship.count <= SHIP_BLOCKS);
    }
    assert_int_equal(block, FIXTURE_BLOCKS);
    assert_int_equal(holes, 2);
    fixture_fini(&fixture);
    free(sender);
}

static void suspects_stay_until_a_verdict(void **state)
{
    struct fixture fixture;
    struct sender *sender = calloc(1, sizeof(*sender));

    (void)state;
    fixture_init(&fixture);
    fixture_track(&fixture, 8, 8);
    host_run(&fixture, VOLUME_WRITE, 2047 * SECTORS, 2 * SECTORS, 9); /* regions 1 and 2 */
    fixture_untrack(&fixture);                                        /* as after a crash */
    fixture_track(&fixture, 8, 8);
    assert_int_equal(set_count(&fixture, TRACKING_SUSPECT), 1024 + 100);
    assert_int_equal(ship_run(&fixture, sender, TRACKING_SUSPECT, 0, SHIP_BLOCKS), 0);
    assert_int_equal(sender->ship.block, 1024);
    assert_int_equal(set_count(&fixture, TRACKING_SUSPECT), 1024 + 100);
    assert_int_equal(tracking_clear_suspect(fixture.volume, 1024, 1023), 0);
    assert_int_equal(tracking_suspect_differs(fixture.volume, 2047, 2), 0);
    assert_int_equal(set_count(&fixture, TRACKING_OPEN), 2);
    assert_int_equal(set_count(&fixture, TRACKING_SUSPECT), 99);
    fixture_fini(&fixture);
    free(sender);
}

/* What is settled keeps its intent bit, is not merged, and goes by an acknowledgement alone. */
static void settled_is_suspect_again_or_acknowledged(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_init(&fixture);
    fixture_track(&fixture, 8, 8);
    assert_int_equal(tracking_mark(fixture.volume, TRACKING_SUSPECT, 1024, 100), 0);
    assert_int_equal(tracking_suspect_equals(fixture.volume, TRACKING_SETTLED, 1030, 20), 0);
    assert_int_equal(tracking_doubt(fixture.volume), 0);
    tracking_merge(fixture.volume);
    assert_int_equal(set_count(&fixture, TRACKING_SETTLED), 20);
    assert_int_equal(set_count(&fixture, TRACKING_SUSPECT), 80);
    assert_int_equal(set_count(&fixture, TRACKING_OPEN), 0);
    assert_int_equal(tracking_unsettle(fixture.volume), 0);
    assert_int_equal(set_count(&fixture, TRACKING_SETTLED), 0);
    assert_int_equal(set_count(&fixture, TRACKING_SUSPECT), 100);
    assert_int_equal(tracking_suspect_equals(fixture.volume, TRACKING_SETTLED, 1024, 100), 0);
    tracking_acked(fixture.volume);
    assert_int_equal(set_count(&fixture, TRACKING_SETTLED), 0);
    fixture_fini(&fixture);
}

static void advance_and_settle(struct fixture *fixture)
{
    fake_loop_advance(&fixture->fake, UINT64_C(6000000000));
    fixture_settle(fixture);
    fake_loop_advance(&fixture->fake, UINT64_C(6000000000));
    fixture_settle(fixture);
}

static void intent_goes_only_behind_ack_and_sync(void **state)
{
    struct fixture fixture;
    struct sender *sender = calloc(1, sizeof(*sender));

    (void)state;
    fixture_init(&fixture);
    fixture_track(&fixture, 8, 8);
    host_run(&fixture, VOLUME_WRITE, 0, SECTORS, 1);
    host_run(&fixture, VOLUME_WRITE, 1024 * SECTORS, SECTORS, 1);
    tracking_cut(fixture.volume);
    advance_and_settle(&fixture);
    assert_true(bitfile_has(fixture.intent, 0)); /* not acknowledged */
    assert_int_equal(ship_run(&fixture, sender, TRACKING_FROZEN, 0, 8), 0);
    assert_int_equal(ship_run(&fixture, sender, TRACKING_FROZEN, 0, 8), 0);
    host_run(&fixture, VOLUME_WRITE, 1025 * SECTORS, SECTORS, 1); /* region 1 is dirty again */
    tracking_acked(fixture.volume);
    log_reset(&fixture);
    fake_loop_advance(&fixture.fake, UINT64_C(6000000000));
    assert_true(log_has(&fixture, "store sync"));
    assert_true(bitfile_has(fixture.intent, 0)); /* the sync is still under way */
    fixture_settle(&fixture);
    assert_false(bitfile_has(fixture.intent, 0));
    assert_true(log_has_order(&fixture, "store synced", "synced intent"));
    assert_true(bitfile_has(fixture.intent, 1));
    fixture_fini(&fixture);
    free(sender);
}

/* A first copy over a disk with a past: hosts flushed it, and wrote again, before tracking began.
 */
static void writes_before_tracking_are_synced_too(void **state)
{
    struct fixture fixture;
    struct sender *sender = calloc(1, sizeof(*sender));

    (void)state;
    fixture_init(&fixture);
    host_run(&fixture, VOLUME_WRITE, 0, SECTORS, 1);
    host_run(&fixture, VOLUME_FLUSH, 0, 0, 0);
    host_run(&fixture, VOLUME_WRITE, 0, SECTORS, 2);
    fixture_track(&fixture, 8, 8);
    assert_int_equal(tracking_mark(fixture.volume, TRACKING_OPEN, 0, 1), 0);
    tracking_cut(fixture.volume);
    assert_int_equal(ship_run(&fixture, sender, TRACKING_FROZEN, 0, 8), 0);
    tracking_acked(fixture.volume);
    log_reset(&fixture);
    fake_loop_advance(&fixture.fake, UINT64_C(6000000000));
    assert_true(log_has(&fixture, "store sync"));
    assert_true(bitfile_has(fixture.intent, 0));
    fixture_settle(&fixture);
    assert_false(bitfile_has(fixture.intent, 0));
    fixture_fini(&fixture);
    free(sender);
}

struct watcher {
    struct loop_task task;
    struct fixture *fixture;
    uint64_t bits, most; /* set in the intent log; gone in one turn */
    unsigned turns, stop_at;
};

static uint64_t intent_count(const struct fixture *fixture)
{
    uint64_t bits = 0;

    for (uint64_t bit = 0; bitfile_next(fixture->intent, bit, &bit); bit++)
        bits++;
    return bits;
}

static void watcher_stops(void *arg)
{
    tracking_stop(((struct fixture *)arg)->volume);
}

static void watcher_run(struct loop_task *task)
{
    struct watcher *watcher = container_of(task, struct watcher, task);
    uint64_t bits = intent_count(watcher->fixture);

    if (watcher->bits - bits > watcher->most)
        watcher->most = watcher->bits - bits;
    watcher->bits = bits;
    if (++watcher->turns == watcher->stop_at)
        volume_hold(watcher->fixture->volume, watcher_stops, watcher->fixture);
    else if (bits > 0 && watcher->turns < 100)
        loop_defer(&watcher->fixture->fake.loop, task);
}

/* A disk of 64 GiB, all of whose 16384 regions may go: up to the sync, and watched from there. */
static void sweep_watched(struct fixture *fixture, struct watcher *watcher)
{
    uint64_t blocks = UINT64_C(1) << 24;

    fixture_init(fixture);
    fixture->store.size_bytes = blocks * BLOCK_SIZE;
    fixture_track(fixture, 8, 8);
    assert_int_equal(tracking_mark(fixture->volume, TRACKING_SUSPECT, 0, blocks), 0);
    assert_int_equal(tracking_clear_suspect(fixture->volume, 0, blocks), 0);
    fake_loop_advance(&fixture->fake, UINT64_C(6000000000));
    watcher->fixture = fixture;
    watcher->bits = intent_count(fixture);
    assert_int_equal(watcher->bits, 16384);
    watcher->task.run_cb = watcher_run;
    list_init(&watcher->task.node);
    loop_defer(&fixture->fake.loop, &watcher->task);
    assert_true(fixture_store_end(fixture, 0, 0)); /* the sync */
    fixture_settle(fixture);
}

static void sweep_of_a_large_disk_takes_turns(void **state)
{
    struct fixture fixture;
    struct watcher watcher = {0};

    (void)state;
    sweep_watched(&fixture, &watcher);
    assert_int_equal(watcher.bits, 0);
    assert_true(watcher.most <= 4096);
    fixture_fini(&fixture);
}

static void tracking_stops_within_a_sweep(void **state)
{
    struct fixture fixture;
    struct watcher watcher = {.stop_at = 3};

    (void)state;
    sweep_watched(&fixture, &watcher);
    assert_false(tracking_is_on(fixture.volume));
    assert_true(watcher.bits > 0 && watcher.bits < 16384);
    volume_release(fixture.volume);
    bitfile_close(fixture.intent);
    stash_free(fixture.stash);
    fixture_fini(&fixture);
}

static void write_during_the_sweep_keeps_its_bit(void **state)
{
    struct fixture fixture;
    struct sender *sender = calloc(1, sizeof(*sender));
    struct host *host;

    (void)state;
    fixture_init(&fixture);
    fixture_track(&fixture, 8, 8);
    host_run(&fixture, VOLUME_WRITE, 0, SECTORS, 1);
    tracking_cut(fixture.volume);
    assert_int_equal(ship_run(&fixture, sender, TRACKING_FROZEN, 0, 8), 0);
    tracking_acked(fixture.volume);
    fake_loop_advance(&fixture.fake, UINT64_C(6000000000));
    host = host_submit(&fixture, VOLUME_WRITE, 0, 0, SECTORS, 2, 1);
    assert_true(fixture_store_end(&fixture, 0, 0)); /* the sweep's sync */
    fake_loop_run(&fixture.fake);
    assert_true(bitfile_has_durable(fixture.intent, 0));
    fixture_settle(&fixture);
    host_free(host);
    fixture_fini(&fixture);
    free(sender);
}

/* ---- epochs under random writes ------------------------------------------------------------- */

enum { BLOCKS = 12, HOSTS = 5, VALUES = 8 };

/* What a block may hold in an epoch: its content at the cut, or of a write under way then. */
struct allowed {
    uint64_t values[VALUES];
    unsigned count;
};

struct epoch_race {
    struct fixture fixture;
    struct host *hosts[HOSTS];
    uint64_t host_value[HOSTS];
    uint64_t replied[BLOCKS];
    uint64_t target[BLOCKS];
    struct allowed allowed[BLOCKS];
    struct sender sender;
    struct stash_op take;
    uint8_t take_bytes[BLOCK_SIZE];
    uint64_t take_block;
    unsigned take_volume;
    bool is_taking, is_shipping, is_cut;
    struct base_write drain;
    bool is_draining;
    unsigned long epochs, aborted, stashed;
};

static void race_taken(struct stash_op *op, int error)
{
    struct epoch_race *race = container_of(op, struct epoch_race, take);

    assert_int_equal(error, 0);
    assert_int_equal(race->take_volume, 2);
    race->target[race->take_block] = sector_value(race->take_bytes);
    race->is_taking = false;
    race->stashed++;
}

static void race_cut(struct epoch_race *race)
{
    for (unsigned b = 0; b < BLOCKS; b++) {
        race->allowed[b] = (struct allowed){{race->replied[b]}, 1};
        for (unsigned i = 0; i < HOSTS; i++) {
            struct host *host = race->hosts[i];

            if (host && host->error == 1 && host->request.offset / BLOCK_SIZE <= b &&
                b < (host->request.offset + host->request.length) / BLOCK_SIZE)
                race->allowed[b].values[race->allowed[b].count++] = race->host_value[i];
        }
    }
    tracking_cut(race->fixture.volume);
    race->is_cut = true;
}

static void race_close(struct epoch_race *race)
{
    for (unsigned b = 0; b < BLOCKS; b++) {
        bool is_allowed = false;

        for (unsigned i = 0; i < race->allowed[b].count; i++)
            is_allowed = is_allowed || race->allowed[b].values[i] == race->target[b];
        assert_true(is_allowed);
    }
    tracking_acked(race->fixture.volume);
    race->is_cut = false;
    race->epochs++;
}

static void race_collect(struct epoch_race *race)
{
    struct ship *ship = &race->sender.ship;

    if (!race->is_shipping || race->sender.error == 1)
        return;
    race->is_shipping = false;
    for (uint64_t i = 0; race->sender.error == 0 && i < ship->count; i++)
        race->target[ship->block + i] =
            ship->is_hole ? 0 : sector_value(race->sender.bytes + i * BLOCK_SIZE);
}

static void race_send(struct epoch_race *race)
{
    struct fixture *fixture = &race->fixture;

    if (race->is_shipping)
        return;
    if (race->is_cut && !race->is_taking && random() % 2 && stash_count(fixture->stash) > 0)
        race->is_taking = stash_take(fixture->stash, &race->take, &race->take_volume,
                                     &race->take_block, race->take_bytes, race_taken);
    else if (race->is_cut && set_count(fixture, TRACKING_FROZEN) > 0) {
        ship_begin(fixture, &race->sender, TRACKING_FROZEN, (uint64_t)random() % BLOCKS, 4);
        race->is_shipping = true;
    } else if (race->is_cut && stash_count(fixture->stash) == 0 && !race->is_taking) {
        race_close(race);
    } else if (!race->is_cut && random() % 2) {
        ship_begin(fixture, &race->sender, TRACKING_OPEN, 0, 2);
        race->is_shipping = true;
    } else if (!race->is_cut && !race->is_taking) {
        race_cut(race);
    }
}

static void race_host(struct epoch_race *race, unsigned i, uint64_t value)
{
    struct host *host = race->hosts[i];
    uint64_t block = (uint64_t)random() % BLOCKS, count = 1 + (uint64_t)random() % 3;

    if (!host) {
        if (count > BLOCKS - block)
            count = BLOCKS - block;
        race->host_value[i] = value;
        race->hosts[i] = host_submit(&race->fixture, VOLUME_WRITE, 0, block * SECTORS,
                                     count * SECTORS, value, 0);
    }
}

/* A promoted disk: half of the blocks lie in the journal, and drain brings them down. */
static void race_promote(struct epoch_race *race)
{
    fixture_overlay(&race->fixture);
    for (unsigned b = 0; b < BLOCKS; b += 2) {
        race->fixture.in_overlay[b] = true;
        race->target[b] = race->replied[b] = UINT64_C(1) << 40 | b;
        sectors_fill(race->fixture.overlay_bytes + b * BLOCK_SIZE, SECTORS, race->target[b]);
        if (b % 4 == 0)
            assert_int_equal(tracking_mark(race->fixture.volume, TRACKING_OPEN, b, 1), 0);
    }
}

static bool drain_locked(struct base_write *drain)
{
    struct epoch_race *race = container_of(drain, struct epoch_race, drain);

    return race->fixture.in_overlay[drain->block];
}

static void drain_done(struct base_write *drain, int error)
{
    struct epoch_race *race = container_of(drain, struct epoch_race, drain);

    assert_true(error == 0 || error == -ECANCELED);
    race->fixture.in_overlay[drain->block] = false;
    race->is_draining = false;
}

static void race_drain(struct epoch_race *race)
{
    uint64_t block = (uint64_t)random() % BLOCKS;

    if (race->is_draining || !race->fixture.in_overlay[block])
        return;
    race->is_draining = true;
    race->drain = (struct base_write){.block = block,
                                      .count = 1,
                                      .bytes = race->fixture.overlay_bytes + block * BLOCK_SIZE,
                                      .locked_cb = drain_locked,
                                      .done_cb = drain_done};
    volume_base_write(race->fixture.volume, &race->drain);
}

static uint64_t race_view(struct epoch_race *race, unsigned block)
{
    struct fixture *fixture = &race->fixture;

    return sector_value((fixture->in_overlay[block] ? fixture->overlay_bytes : fixture->bytes) +
                        block * BLOCK_SIZE);
}

/* Replies are noted at once, in their order. */
static void race_replies(struct epoch_race *race)
{
    for (unsigned i = 0; i < HOSTS; i++) {
        struct host *host = race->hosts[i];

        if (!host || host->error == 1)
            continue;
        for (uint64_t b = host->request.offset / BLOCK_SIZE;
             b < (host->request.offset + host->request.length) / BLOCK_SIZE; b++) {
            if (race->host_value[i] > race->replied[b] || race->replied[b] >> 40)
                race->replied[b] = race->host_value[i]; /* values rise with submission */
        }
        host_free(host);
        race->hosts[i] = NULL;
    }
}

static void epochs_hold_one_instant(void **state)
{
    unsigned long stashed = 0, epochs = 0, full = 0;

    (void)state;
    for (unsigned seed = 0; seed < 80; seed++) {
        struct epoch_race *race = calloc(1, sizeof(*race));
        unsigned full_seen = 0;

        srandom(seed);
        fixture_init(&race->fixture);
        fixture_track(&race->fixture, seed % 3, seed % 5 ? 16 : 2);
        if (seed % 2)
            race_promote(race);
        for (unsigned step = 0; step < 800; step++) {
            race_host(race, (unsigned)random() % HOSTS, 1 + step);
            if (random() % 30 == 0)
                race_drain(race);
            fixture_store_end(&race->fixture, (unsigned)random() % 3, 0);
            race_replies(race);
            fake_loop_run(&race->fixture.fake);
            race_replies(race);
            race_collect(race);
            if (race->fixture.full_count > full_seen)
                race->is_cut = false; /* merged: the epoch is given up */
            full_seen = race->fixture.full_count;
            if (random() % 3)
                race_send(race);
        }
        fixture_settle(&race->fixture);
        race_replies(race);
        /* What is in no set is equal. */
        race_collect(race);
        for (unsigned b = 0; b < BLOCKS; b++) {
            bool is_tracked = false;

            for (unsigned i = 0; i < TRACKING_SET_COUNT; i++)
                is_tracked = is_tracked || blockset_has(tracking_set(race->fixture.volume, i), b);
            if (!is_tracked)
                assert_int_equal(race->target[b], race_view(race, b));
        }
        stashed += race->stashed;
        epochs += race->epochs;
        full += full_seen;
        fixture_fini(&race->fixture);
        free(race);
    }
    assert_true(stashed > 100 && epochs > 500 && full > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_go_from_open_to_frozen_to_unacked),
        cmocka_unit_test(merge_brings_everything_back),
        cmocka_unit_test(full_stash_aborts_the_epoch),
        cmocka_unit_test(failed_spill_aborts_the_epoch),
        cmocka_unit_test(ship_waits_for_a_write_and_a_write_for_a_ship),
        cmocka_unit_test(ship_behind_a_stashing_write_finds_nothing),
        cmocka_unit_test(failed_ship_puts_the_blocks_back),
        cmocka_unit_test(holes_travel_as_one_run),
        cmocka_unit_test(suspects_stay_until_a_verdict),
        cmocka_unit_test(settled_is_suspect_again_or_acknowledged),
        cmocka_unit_test(intent_goes_only_behind_ack_and_sync),
        cmocka_unit_test(write_during_the_sweep_keeps_its_bit),
        cmocka_unit_test(sweep_of_a_large_disk_takes_turns),
        cmocka_unit_test(tracking_stops_within_a_sweep),
        cmocka_unit_test(writes_before_tracking_are_synced_too),
        cmocka_unit_test(epochs_hold_one_instant),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
