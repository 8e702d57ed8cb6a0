/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a write: what must have ended before what begins, and what everybody reads. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "volume_fixture.h"

enum { SECTORS = 8 }; /* a block */

static void end_reply(struct fixture *fixture, struct host *host, int error)
{
    fake_loop_run(&fixture->fake);
    assert_int_equal(host->error, error);
    host_free(host);
}

static void untracked_write_is_one_store_write(void **state)
{
    struct fixture fixture;
    struct host *host;

    (void)state;
    fixture_init(&fixture);
    host = host_submit(&fixture, VOLUME_WRITE, 0, 8, 16, 7, 1);
    assert_string_equal(fixture.fake.log, "store write 1+2\n");
    assert_true(fixture_store_end(&fixture, 0, 0));
    end_reply(&fixture, host, 0);
    assert_string_equal(fixture.fake.log, "store write 1+2\nreply 1 0\n");
    assert_int_equal(sector_value(fixture.bytes + 8 * 512), 7);
    fixture_fini(&fixture);
}

static void overlapping_writes_go_one_after_the_other(void **state)
{
    struct fixture fixture;
    struct host *first, *second, *apart;

    (void)state;
    fixture_init(&fixture);
    first = host_submit(&fixture, VOLUME_WRITE, 0, 0, 16, 1, 1);
    second =
        host_submit(&fixture, VOLUME_WRITE, 0, 15, 2, 2, 2); /* a sector of block 1, one of 2 */
    apart = host_submit(&fixture, VOLUME_WRITE, 0, 24, 8, 3, 3);
    assert_true(log_has_order(&fixture, "store write 0+2", "store write 3+1"));
    assert_false(log_has(&fixture, "store write 1+"));
    fixture_settle(&fixture);
    assert_true(log_has_order(&fixture, "reply 3 0", "reply 2 0"));
    assert_int_equal(sector_value(fixture.bytes + 15 * 512), 2);
    assert_int_equal(sector_value(fixture.bytes + 14 * 512), 1);
    host_free(first);
    host_free(second);
    host_free(apart);
    fixture_fini(&fixture);
}

static void flush_needs_a_sync_that_begins_after_it(void **state)
{
    struct fixture fixture;
    struct host *first, *second, *third;

    (void)state;
    fixture_init(&fixture);
    first = host_submit(&fixture, VOLUME_FLUSH, 0, 0, 0, 0, 1);
    second = host_submit(&fixture, VOLUME_FLUSH, 0, 0, 0, 0, 2);
    third = host_submit(&fixture, VOLUME_FLUSH, 0, 0, 0, 0, 3);
    assert_true(fixture_store_end(&fixture, 0, 0));
    fake_loop_run(&fixture.fake);
    assert_int_equal(first->error, 0);
    assert_int_equal(second->error, 1);
    assert_true(fixture_store_end(&fixture, 0, 0));
    fake_loop_run(&fixture.fake);
    assert_int_equal(second->error, 0);
    assert_int_equal(third->error, 0); /* shared */
    assert_false(fixture_store_end(&fixture, 0, 0));
    host_free(first);
    host_free(second);
    host_free(third);
    fixture_fini(&fixture);
}

static void fua_syncs_after_the_write(void **state)
{
    struct fixture fixture;
    struct host *flush, *write;

    (void)state;
    fixture_init(&fixture);
    flush = host_submit(&fixture, VOLUME_FLUSH, 0, 0, 0, 0, 1);
    write = host_submit(&fixture, VOLUME_WRITE, VOLUME_FUA, 0, 8, 1, 2);
    assert_true(fixture_store_end(&fixture, 1, 0)); /* the write, while a sync runs */
    assert_true(fixture_store_end(&fixture, 0, 0)); /* that sync does not cover it */
    fake_loop_run(&fixture.fake);
    assert_int_equal(write->error, 1);
    assert_true(fixture_store_end(&fixture, 0, 0));
    end_reply(&fixture, write, 0);
    host_free(flush);
    fixture_fini(&fixture);
}

static void what_hosts_ask_is_counted(void **state)
{
    struct fixture fixture;
    const struct volume_counters *counters;
    struct host *host;

    (void)state;
    fixture_init(&fixture);
    counters = volume_counters(fixture.volume);
    host = host_submit(&fixture, VOLUME_WRITE, 0, 0, 16, 1, 1);
    fixture.fake.now_ns += 3000;
    assert_true(fixture_store_end(&fixture, 0, -ENOSPC));
    end_reply(&fixture, host, -ENOSPC);
    host_run(&fixture, VOLUME_WRITE_ZEROES, 0, 8, 0);
    host_run(&fixture, VOLUME_FLUSH, 0, 0, 0);
    host = host_submit(&fixture, VOLUME_READ, 0, 0, 8, 0, 2);
    fixture.fake.now_ns += 500;
    fixture_settle(&fixture);
    host_free(host);
    assert_int_equal(counters->writes, 2);
    assert_int_equal(counters->write_bytes, 24 * 512);
    assert_int_equal(counters->write_ns, 3000);
    assert_int_equal(counters->reads, 1);
    assert_int_equal(counters->read_bytes, 8 * 512);
    assert_int_equal(counters->read_ns, 500);
    assert_int_equal(counters->errors, 1);
    assert_int_equal(counters->full, 1);
    fixture_fini(&fixture);
}

static void failed_sync_fences(void **state)
{
    struct fixture fixture;
    struct host *flush, *waiting, *write, *read;

    (void)state;
    fixture_init(&fixture);
    flush = host_submit(&fixture, VOLUME_FLUSH, 0, 0, 0, 0, 1);
    waiting = host_submit(&fixture, VOLUME_FLUSH, 0, 0, 0, 0, 2);
    write = host_submit(&fixture, VOLUME_WRITE, 0, 0, 8, 1, 3);
    assert_true(fixture_store_end(&fixture, 0, -ENOSPC));
    fixture_settle(&fixture);
    assert_int_equal(flush->error, -EIO);
    assert_int_equal(waiting->error, -EIO);
    assert_int_equal(write->error, -EIO); /* ended after the fence */
    read = host_submit(&fixture, VOLUME_READ, 0, 0, 8, 0, 4);
    assert_false(fixture_store_end(&fixture, 0, 0)); /* the driver is not asked any more */
    end_reply(&fixture, read, -EIO);
    host_free(flush);
    host_free(waiting);
    host_free(write);
    fixture_fini(&fixture);
}

static void intent_is_durable_before_the_store_write(void **state)
{
    struct fixture fixture;
    struct host *first, *second, *third;

    (void)state;
    fixture_init(&fixture);
    fixture_track(&fixture, 16, 16);
    fixture.fake.is_held = true;
    first = host_submit(&fixture, VOLUME_WRITE, 0, 0, 8, 1, 1);
    second = host_submit(&fixture, VOLUME_WRITE, 0, 64, 8, 2, 2);
    assert_true(fake_loop_complete(&fixture.fake)); /* the intent page is written ... */
    assert_false(log_has(&fixture, "store write"));
    fixture.fake.is_held = false; /* ... and synced */
    fixture_settle(&fixture);
    assert_true(log_has_order(&fixture, "synced intent", "store write 0+1"));
    assert_true(log_has_order(&fixture, "synced intent", "store write 8+1"));
    log_reset(&fixture);
    third = host_submit(&fixture, VOLUME_WRITE, 0, 80, 8, 2, 3); /* the region has paid */
    fixture_settle(&fixture);
    assert_string_equal(fixture.fake.log, "store write 10+1\nreply 3 0\n");
    host_free(first);
    host_free(second);
    host_free(third);
    fixture_fini(&fixture);
}

static void failed_intent_fails_the_write(void **state)
{
    struct fixture fixture;
    struct host *host;

    (void)state;
    fixture_init(&fixture);
    fixture_track(&fixture, 16, 16);
    fixture.fake.sync_error = -EIO;
    host = host_submit(&fixture, VOLUME_WRITE, 0, 0, 8, 1, 1);
    fixture_settle(&fixture);
    assert_int_equal(host->error, -EIO);
    assert_false(log_has(&fixture, "store write"));
    host_free(host);
    fixture_fini(&fixture);
}

static void dirty_is_marked_before_the_reply_even_after_an_error(void **state)
{
    struct fixture fixture;
    struct host *host;
    const struct blockset *open;

    (void)state;
    fixture_init(&fixture);
    fixture_track(&fixture, 16, 16);
    host = host_submit(&fixture, VOLUME_WRITE, 0, 7, 2, 1, 1);
    fake_loop_run(&fixture.fake);
    open = tracking_set(fixture.volume, TRACKING_OPEN);
    assert_true(blockset_is_empty(open));
    assert_true(fixture_store_end(&fixture, 0, -EIO));
    assert_int_equal(host->error, -EIO);
    assert_int_equal(blockset_count(open), 2);
    assert_int_equal(fixture.dirty_count, 1);
    host_free(host);
    fixture_fini(&fixture);
}

static void frozen_block_is_stashed_before_the_store_write(void **state)
{
    struct fixture fixture;
    struct host *host;

    (void)state;
    fixture_init(&fixture);
    fixture_track(&fixture, 16, 16);
    host_run(&fixture, VOLUME_WRITE, 0, 16, 5);
    tracking_cut(fixture.volume);
    log_reset(&fixture);
    host = host_submit(&fixture, VOLUME_WRITE, 0, 8, 1, 6, 1);
    assert_string_equal(fixture.fake.log, "store read 1+1\n");
    assert_true(fixture_store_end(&fixture, 0, 0));
    assert_false(log_has(&fixture, "store write"));
    fake_loop_run(&fixture.fake);
    assert_true(log_has(&fixture, "store write 1+1"));
    assert_int_equal(stash_count(fixture.stash), 1);
    assert_int_equal(blockset_count(tracking_set(fixture.volume, TRACKING_FROZEN)), 1);
    fixture_settle(&fixture);
    assert_int_equal(host->error, 0);
    assert_true(blockset_has(tracking_set(fixture.volume, TRACKING_OPEN), 1));
    host_free(host);
    fixture_fini(&fixture);
}

/* Nothing stands for what cannot be read: the write fails, the store keeps the frozen content. */
static void frozen_block_that_cannot_be_read_is_not_overwritten(void **state)
{
    struct fixture fixture;
    struct host *host;

    (void)state;
    fixture_init(&fixture);
    fixture_track(&fixture, 16, 16);
    host_run(&fixture, VOLUME_WRITE, 0, 16, 5);
    tracking_cut(fixture.volume);
    log_reset(&fixture);
    host = host_submit(&fixture, VOLUME_WRITE, 0, 8, 1, 6, 1);
    assert_string_equal(fixture.fake.log, "store read 1+1\n");
    assert_true(fixture_store_end(&fixture, 0, -EIO));
    fixture_settle(&fixture);
    assert_int_equal(host->error, -EIO);
    assert_false(log_has(&fixture, "store write"));
    assert_int_equal(stash_count(fixture.stash), 0);
    assert_true(blockset_has(tracking_set(fixture.volume, TRACKING_FROZEN), 1));
    host_free(host);
    fixture_fini(&fixture);
}

/* The same for what a layer shows. */
static void layer_is_not_filled_by_a_failed_read(void **state)
{
    struct fixture fixture;
    struct host *host;

    (void)state;
    fixture_init(&fixture);
    host_run(&fixture, VOLUME_WRITE, 0, 16, 5);
    fixture_layer(&fixture);
    log_reset(&fixture);
    host = host_submit(&fixture, VOLUME_WRITE, 0, 8, 8, 6, 1);
    assert_true(fixture_store_end(&fixture, 0, -EIO));
    fixture_settle(&fixture);
    assert_int_equal(host->error, -EIO);
    assert_false(log_has(&fixture, "store write"));
    assert_false(log_has(&fixture, "preserved"));
    host_free(host);
    fixture_fini(&fixture);
}

/* A cut falls while a write waits for its intent: the write must still see the frozen set. */
static void cut_during_the_intent_wait_is_seen(void **state)
{
    struct fixture fixture;
    struct host *host;

    (void)state;
    fixture_init(&fixture);
    fixture_track(&fixture, 16, 16);
    assert_int_equal(tracking_mark(fixture.volume, TRACKING_OPEN, 3, 1), 0);
    fixture.fake.is_held = true;
    host = host_submit(&fixture, VOLUME_WRITE, 0, 24, 8, 9, 1);
    assert_true(fake_loop_complete(&fixture.fake));
    tracking_cut(fixture.volume);
    fixture.fake.is_held = false;
    fake_loop_run(&fixture.fake);
    assert_true(log_has(&fixture, "store read 3+1"));
    assert_false(log_has(&fixture, "store write 3+1"));
    fixture_settle(&fixture);
    assert_int_equal(host->error, 0);
    assert_int_equal(stash_count(fixture.stash), 1);
    host_free(host);
    fixture_fini(&fixture);
}

static void layer_keeps_the_old_content(void **state)
{
    struct fixture fixture;
    struct host *host;

    (void)state;
    fixture_init(&fixture);
    host_run(&fixture, VOLUME_WRITE, 0, 80 * SECTORS, 5);
    fixture_layer(&fixture);
    log_reset(&fixture);
    host = host_submit(&fixture, VOLUME_TRIM, 0, 1, 70 * SECTORS, 0, 1);
    fixture_settle(&fixture);
    assert_int_equal(host->error, 0);
    assert_true(log_has_order(&fixture, "preserved 0+32", "store discard 1+69"));
    assert_true(log_has_order(&fixture, "preserved 64+7", "store discard 1+69"));
    assert_int_equal(sector_value(fixture.layer_bytes + 69 * BLOCK_SIZE), 5);
    assert_int_equal(sector_value(fixture.bytes + 69 * BLOCK_SIZE), 0);
    assert_int_equal(sector_value(fixture.bytes), 5); /* edges of a trim stay */
    host_free(host);
    fixture_fini(&fixture);
}

static void zeroes_write_their_edges(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_init(&fixture);
    host_run(&fixture, VOLUME_WRITE, 0, 10 * SECTORS, 5);
    host_run(&fixture, VOLUME_WRITE_ZEROES, 3, 2 * SECTORS, 0);
    host_run(&fixture, VOLUME_WRITE_ZEROES, 33, 2, 0); /* inside one block */
    host_run(&fixture, VOLUME_WRITE_ZEROES, 47, 2, 0); /* no whole block */
    for (unsigned i = 0; i < 80; i++) {
        bool is_zero = (i >= 3 && i < 19) || i == 33 || i == 34 || i == 47 || i == 48;

        assert_int_equal(sector_value(fixture.bytes + i * 512), is_zero ? 0 : 5);
    }
    fixture_fini(&fixture);
}

static void write_in_part_over_the_overlay(void **state)
{
    struct fixture fixture;
    struct host *host;

    (void)state;
    fixture_init(&fixture);
    fixture_overlay(&fixture);
    memset(fixture.in_overlay + 1, 1, 3 * sizeof(bool));
    sectors_fill(fixture.overlay_bytes + BLOCK_SIZE, 3 * SECTORS, 8);
    host = host_submit(&fixture, VOLUME_WRITE, VOLUME_FUA, 12, 16, 9, 1); /* 1.5 to 3.5 */
    fixture_settle(&fixture);
    assert_int_equal(host->error, 0);
    assert_true(log_has_order(&fixture, "store write 1+1", "replaced 1+1"));
    assert_true(log_has_order(&fixture, "replaced 1+3", "reply 1 0"));
    assert_true(log_has_order(&fixture, "flushing\nstore sync", "store synced\nflushed\nreply 1"));
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(sector_value(fixture.bytes + i * 512), i < 8 || i >= 32    ? 0
                                                                : i < 12 || i >= 28 ? 8
                                                                                    : 9);
    host_free(host);
    fixture_fini(&fixture);
}

struct extents {
    struct store_op op;
    struct io_extent extents[4];
    int count; /* 0: under way */
};

static void extents_done(struct store_op *op, int count)
{
    container_of(op, struct extents, op)->count = count;
}

static struct io_extent first_extent(struct fixture *fixture, uint64_t block, uint64_t count)
{
    struct extents extents = {.count = 0};

    volume_extents(fixture->volume, &extents.op, block * BLOCK_SIZE, count * BLOCK_SIZE,
                   extents.extents, 4, extents_done);
    assert_int_equal(extents.count, 0);
    fixture_settle(fixture);
    assert_int_equal(extents.count, 1);
    return extents.extents[0];
}

static void extents_see_the_overlay(void **state)
{
    struct fixture fixture;
    struct io_extent extent;

    (void)state;
    fixture_init(&fixture);
    fixture_overlay(&fixture);
    memset(fixture.in_overlay + 4, 1, 2 * sizeof(bool));
    sectors_fill(fixture.overlay_bytes + 4 * BLOCK_SIZE, SECTORS, 3);
    extent = first_extent(&fixture, 0, 10);
    assert_true(extent.is_hole && extent.length == 4 * BLOCK_SIZE);
    extent = first_extent(&fixture, 4, 6);
    assert_true(!extent.is_hole && extent.length == 2 * BLOCK_SIZE);
    extent = first_extent(&fixture, 5, 6); /* a block of zeros in the journal */
    assert_true(extent.is_hole && extent.length == BLOCK_SIZE);
    fixture_fini(&fixture);
}

struct note {
    unsigned calls;
};

static void note_quiet(void *arg)
{
    ((struct note *)arg)->calls++;
}

static void hold_waits_and_queues(void **state)
{
    struct fixture fixture;
    struct note note = {0};
    struct host *before, *after;

    (void)state;
    fixture_init(&fixture);
    before = host_submit(&fixture, VOLUME_WRITE, 0, 0, 8, 1, 1);
    volume_hold(fixture.volume, note_quiet, &note);
    after = host_submit(&fixture, VOLUME_WRITE, 0, 8, 8, 1, 2);
    fake_loop_run(&fixture.fake);
    assert_int_equal(note.calls, 0);
    fixture_settle(&fixture);
    assert_int_equal(note.calls, 1);
    assert_int_equal(before->error, 0);
    assert_int_equal(after->error, 1);
    volume_release(fixture.volume);
    fixture_settle(&fixture);
    assert_int_equal(after->error, 0);
    host_free(before);
    host_free(after);
    fixture_fini(&fixture);
}

/* ---- base writes and reads ------------------------------------------------------------------ */

struct base_note {
    struct base_write write;
    struct base_read read;
    uint8_t bytes[BLOCK_SIZE];
    int error;
    unsigned calls;
    bool may;
};

static void base_written(struct base_write *write, int error)
{
    struct base_note *note = container_of(write, struct base_note, write);

    note->error = error;
    note->calls++;
}

static bool base_write_locked(struct base_write *write)
{
    return container_of(write, struct base_note, write)->may;
}

static void base_was_read(struct base_read *read, int error)
{
    struct base_note *note = container_of(read, struct base_note, read);

    note->error = error;
    note->calls++;
}

static void base_write_asks_under_the_lock(void **state)
{
    struct fixture fixture;
    struct base_note note = {.may = true};
    struct host *host;

    (void)state;
    fixture_init(&fixture);
    fixture_track(&fixture, 4, 4);
    fixture_layer(&fixture);
    note.write = (struct base_write){.block = 4,
                                     .count = 1,
                                     .bytes = note.bytes,
                                     .locked_cb = base_write_locked,
                                     .done_cb = base_written};
    memset(note.bytes, 3, sizeof(note.bytes));
    host = host_submit(&fixture, VOLUME_WRITE, 0, 32, 8, 7, 1);
    volume_base_write(fixture.volume, &note.write);
    note.may = false; /* the host's write came first and replaced the block */
    fixture_settle(&fixture);
    assert_int_equal(note.error, -ECANCELED);
    assert_int_equal(sector_value(fixture.bytes + 4 * BLOCK_SIZE), 7);
    host_free(host);

    note.may = true;
    fixture_layer(&fixture);
    tracking_cut(fixture.volume);
    volume_base_write(fixture.volume, &note.write);
    fixture_settle(&fixture);
    assert_int_equal(note.error, 0);
    assert_int_equal(fixture.bytes[4 * BLOCK_SIZE], 3);
    assert_int_equal(sector_value(fixture.layer_bytes + 4 * BLOCK_SIZE), 7);
    assert_true(blockset_is_empty(tracking_set(fixture.volume, TRACKING_OPEN)));
    assert_int_equal(stash_count(fixture.stash), 0);

    volume_base_read(fixture.volume, &note.read, 4, 1, note.bytes, base_was_read);
    volume_base_write(fixture.volume, &note.write); /* waits for the read */
    fixture_settle(&fixture);
    assert_int_equal(note.calls, 4);
    fixture_fini(&fixture);
}

/* ---- everything at once --------------------------------------------------------------------- */

enum { RANDOM_BLOCKS = 24, RANDOM_HOSTS = 6 };

struct race {
    struct fixture fixture;
    struct host *hosts[RANDOM_HOSTS];
    uint64_t expected[RANDOM_BLOCKS * SECTORS]; /* by sector; meaningful when idle */
};

static void race_expect(struct race *race, const struct host *host, uint64_t value)
{
    uint64_t from = host->request.offset / 512, to = from + host->request.length / 512;

    if (host->request.op == VOLUME_TRIM) {
        from = (from + SECTORS - 1) / SECTORS * SECTORS;
        to = to / SECTORS * SECTORS;
    }
    for (; from < to; from++)
        race->expected[from] = host->request.op == VOLUME_WRITE ? value : 0;
}

static void race_submit(struct race *race, unsigned index, uint64_t value)
{
    static const enum volume_op ops[] = {VOLUME_WRITE, VOLUME_WRITE, VOLUME_WRITE, VOLUME_TRIM,
                                         VOLUME_WRITE_ZEROES};
    uint64_t span = RANDOM_BLOCKS * SECTORS;
    uint64_t sector = (uint64_t)random() % span;
    uint64_t sectors = 1 + (uint64_t)random() % 30;

    if (sectors > span - sector)
        sectors = span - sector;
    if (random() % 2) {
        sector = sector / SECTORS * SECTORS;
        sectors = SECTORS;
    }
    race->hosts[index] = host_submit(&race->fixture, ops[random() % 5],
                                     random() % 8 ? 0 : VOLUME_FUA, sector, sectors, value, 0);
    /* Writes to one block keep their order of submission, so the last one submitted wins. */
    race_expect(race, race->hosts[index], value);
}

static void race_verify(struct race *race)
{
    struct host *host;

    fixture_settle(&race->fixture);
    host = host_submit(&race->fixture, VOLUME_READ, 0, 0, RANDOM_BLOCKS * SECTORS, 0, 0);
    fixture_settle(&race->fixture);
    assert_int_equal(host->error, 0);
    for (unsigned i = 0; i < RANDOM_BLOCKS * SECTORS; i++)
        assert_int_equal(sector_value(host->bytes + i * 512), race->expected[i]);
    host_free(host);
    host = host_submit(&race->fixture, VOLUME_READ, 0, 5, 90, 0, 0); /* unaligned */
    fixture_settle(&race->fixture);
    for (unsigned i = 0; i < 90; i++)
        assert_int_equal(sector_value(host->bytes + i * 512), race->expected[5 + i]);
    host_free(host);
}

static void race_run(struct race *race, unsigned steps)
{
    uint64_t value = 1000;

    for (unsigned step = 0; step < steps; step++) {
        unsigned index = (unsigned)random() % RANDOM_HOSTS;

        if (!race->hosts[index]) {
            race_submit(race, index, ++value);
        } else if (race->hosts[index]->error != 1) {
            assert_int_equal(race->hosts[index]->error, 0);
            host_free(race->hosts[index]);
            race->hosts[index] = NULL;
        }
        fixture_store_end(&race->fixture, (unsigned)random() % 4, 0);
        fake_loop_run(&race->fixture.fake);
    }
    race_verify(race);
    for (unsigned i = 0; i < RANDOM_HOSTS; i++) {
        if (race->hosts[i])
            host_free(race->hosts[i]);
        race->hosts[i] = NULL;
    }
}

static void random_writes_over_overlay_and_layer(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 60; seed++) {
        struct race race = {0};
        uint64_t layer[RANDOM_BLOCKS];

        srandom(seed);
        fixture_init(&race.fixture);
        fixture_overlay(&race.fixture);
        if (seed % 2)
            fixture_track(&race.fixture, 8, 8);
        race_run(&race, 100);
        for (unsigned i = 0; i < RANDOM_BLOCKS; i++) {
            if (random() % 2)
                continue;
            race.fixture.in_overlay[i] = true;
            sectors_fill(race.fixture.overlay_bytes + i * BLOCK_SIZE, SECTORS, 500 + i);
            for (unsigned s = 0; s < SECTORS; s++)
                race.expected[i * SECTORS + s] = 500 + i;
        }
        for (unsigned i = 0; i < RANDOM_BLOCKS; i++)
            memcpy(&layer[i], race.fixture.bytes + i * BLOCK_SIZE, sizeof(layer[i]));
        fixture_layer(&race.fixture);
        race_run(&race, 150);
        for (unsigned i = 0; i < RANDOM_BLOCKS; i++) {
            uint8_t *from =
                race.fixture.in_layer[i] ? race.fixture.layer_bytes : race.fixture.bytes;

            assert_memory_equal(from + i * BLOCK_SIZE, &layer[i], sizeof(layer[i]));
        }
        fixture_fini(&race.fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(untracked_write_is_one_store_write),
        cmocka_unit_test(overlapping_writes_go_one_after_the_other),
        cmocka_unit_test(flush_needs_a_sync_that_begins_after_it),
        cmocka_unit_test(fua_syncs_after_the_write),
        cmocka_unit_test(what_hosts_ask_is_counted),
        cmocka_unit_test(failed_sync_fences),
        cmocka_unit_test(intent_is_durable_before_the_store_write),
        cmocka_unit_test(failed_intent_fails_the_write),
        cmocka_unit_test(dirty_is_marked_before_the_reply_even_after_an_error),
        cmocka_unit_test(frozen_block_is_stashed_before_the_store_write),
        cmocka_unit_test(frozen_block_that_cannot_be_read_is_not_overwritten),
        cmocka_unit_test(layer_is_not_filled_by_a_failed_read),
        cmocka_unit_test(cut_during_the_intent_wait_is_seen),
        cmocka_unit_test(layer_keeps_the_old_content),
        cmocka_unit_test(zeroes_write_their_edges),
        cmocka_unit_test(write_in_part_over_the_overlay),
        cmocka_unit_test(extents_see_the_overlay),
        cmocka_unit_test(hold_waits_and_queues),
        cmocka_unit_test(base_write_asks_under_the_lock),
        cmocka_unit_test(random_writes_over_overlay_and_layer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
