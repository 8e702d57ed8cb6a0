/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal alone under kills and power losses at any call into the kernel: after each recovery
 * every epoch whose commit was answered is there, with its content; nothing of a partial one shows;
 * released ones stay away when the caller says so again. The same with file systems that run full
 * at any write, and with epochs that are discarded.
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

#include "base/check.h"
#include "base/crc32c.h"
#include "journal/journal.h"
#include "sim_alloc.h"

enum { DISKS = 2, BLOCKS = 48, APPENDS = 6, RUN = 8, EPOCHS = 400, SCHEDULES = 150 };

/* What one epoch holds: 0 nothing, 1 a hole, else the number that fills the block. */
struct content {
    bool is_committed, may_be; /* answered; under way at a death */
    uint32_t blocks[DISKS][BLOCKS];
};

struct append {
    struct journal_op op;
    struct torture *torture;
    uint8_t bytes[RUN * BLOCK_SIZE];
    uint32_t crcs[RUN];
};

struct torture {
    struct sim_world *world;
    struct sim_site *site;
    struct journal *journal;
    struct content *epochs; /* by number */
    uint64_t epoch;         /* the partial one */
    uint64_t released;      /* what the caller remembers */
    uint64_t point;         /* of a discard */
    uint32_t next_value;
    struct append appends[APPENDS];
    struct journal_op op;
    unsigned in_flight, commits, recoveries, full, discards;
    bool is_harsh; /* it runs full, and discards */
    bool is_dead;
    int op_error; /* of the newest operation: 0 or -ENOSPC */
    struct err err;
    int error;
};

static void fill(uint8_t *bytes, uint32_t value)
{
    for (unsigned i = 0; i < BLOCK_SIZE / 4; i++)
        memcpy(bytes + (size_t)i * 4, &(uint32_t){value * 2654435761u + i}, 4);
}

static void release(void *arg)
{
    struct torture *torture = arg;

    journal_release(torture->journal, torture->released);
    while (journal_step(torture->journal))
        ;
}

static void open_journal(void *arg)
{
    struct torture *torture = arg;
    struct journal_options options = {.folder = "/journal",
                                      .stream = "pg-torture",
                                      .segment_bytes = 256 << 10,
                                      .bytes_max = 64 << 20,
                                      .index_extents = 5,
                                      .disk_count_max = DISKS};

    torture->error =
        journal_open(sim_site_loop(torture->site), &options, &torture->journal, &torture->err);
    if (torture->error == 0)
        release(torture);
}

static void append_done(struct journal_op *op, int error)
{
    struct append *append = container_of(op, struct append, op);

    check(error == 0 || (append->torture->is_harsh && error == -ENOSPC));
    check(append->torture->in_flight > 0);
    append->torture->in_flight--;
    if (error != 0)
        append->torture->op_error = error;
}

static void append_some(void *arg)
{
    struct torture *torture = arg;
    struct content *content = &torture->epochs[torture->epoch];
    unsigned count = (unsigned)sim_random_below(torture->world, APPENDS + 1);

    for (unsigned i = 0; i < count; i++) {
        struct append *append = &torture->appends[i];
        unsigned disk = (unsigned)sim_random_below(torture->world, DISKS);
        uint64_t block = sim_random_below(torture->world, BLOCKS - RUN);
        uint64_t length = 1 + sim_random_below(torture->world, RUN);
        bool is_hole = sim_chance(torture->world, 20);
        append->torture = torture;
        for (uint64_t at = 0; at < length; at++) {
            uint32_t value = is_hole ? 1 : ++torture->next_value;
            content->blocks[disk][block + at] = value;
            fill(append->bytes + at * BLOCK_SIZE, value);
            append->crcs[at] = crc32c(0, append->bytes + at * BLOCK_SIZE, BLOCK_SIZE);
        }
        torture->in_flight++;
        if (is_hole)
            journal_append_hole(torture->journal, &append->op, disk, block, length, append_done);
        else
            journal_append(torture->journal, &append->op, disk, block, length, append->bytes,
                           append->crcs, append_done);
    }
}

static void op_done(struct journal_op *op, int error)
{
    struct torture *torture = container_of(op, struct torture, op);

    check(error == 0 || (torture->is_harsh && error == -ENOSPC));
    torture->in_flight--;
    torture->op_error = error;
}

static void commit(void *arg)
{
    struct torture *torture = arg;
    struct journal_epoch epoch = {
        .epoch = torture->epoch, .cut_wall_ns = torture->epoch * 1000, .generation = {1, 2, 3}};

    torture->epochs[torture->epoch].may_be = true;
    torture->in_flight++;
    journal_commit(torture->journal, &torture->op, &epoch, op_done);
}

static void abort_partial(void *arg)
{
    struct torture *torture = arg;

    torture->in_flight++;
    journal_abort(torture->journal, &torture->op, op_done);
}

static bool is_quiet(void *arg)
{
    struct torture *torture = arg;

    return torture->in_flight == 0 || torture->is_dead;
}

/* False: the site died meanwhile. */
static bool run(struct torture *torture, void (*fn)(void *arg))
{
    if (!sim_site_call(torture->site, fn, torture))
        return false;
    check(sim_world_run_for(torture->world, is_quiet, torture, UINT64_MAX));
    return !torture->is_dead;
}

static void died(void *arg)
{
    struct torture *torture = arg;

    torture->is_dead = true;
    torture->in_flight = 0;
}

/* --- what is there --------------------------------------------------------------------------- */

struct reading {
    struct torture *torture;
    struct journal_extent extent;
    struct journal_op op;
    uint8_t *bytes;
    bool is_done;
};

static void read_done(struct journal_op *op, int error)
{
    struct reading *reading = container_of(op, struct reading, op);

    check(error == 0);
    reading->is_done = true;
}

static void read_extent(void *arg)
{
    struct reading *reading = arg;

    journal_read(reading->torture->journal, &reading->op, &reading->extent, reading->bytes,
                 read_done);
}

static bool is_read(void *arg)
{
    return ((struct reading *)arg)->is_done;
}

static void check_extent(struct torture *torture, const struct journal_extent *extent,
                         const struct content *content)
{
    struct reading reading = {.torture = torture, .extent = *extent};
    uint8_t expected[BLOCK_SIZE];

    assert_in_range(extent->block + extent->count, 1, BLOCKS);
    if (extent->is_hole) {
        for (uint64_t i = 0; i < extent->count; i++)
            assert_int_equal(content->blocks[extent->disk][extent->block + i], 1);
        return;
    }
    reading.bytes = sim_kernel_alloc(extent->count * BLOCK_SIZE);
    assert_true(sim_site_call(torture->site, read_extent, &reading));
    assert_true(sim_world_run_for(torture->world, is_read, &reading, UINT64_MAX));
    for (uint64_t i = 0; i < extent->count; i++) {
        fill(expected, content->blocks[extent->disk][extent->block + i]);
        assert_memory_equal(reading.bytes + i * BLOCK_SIZE, expected, BLOCK_SIZE);
    }
    sim_kernel_free(reading.bytes);
}

static void check_epoch(struct torture *torture, uint64_t epoch)
{
    const struct content *content = &torture->epochs[epoch];
    struct journal_extent extent;
    uint64_t cursor = 0;
    unsigned found = 0, expected = 0;

    while (journal_epoch_next(torture->journal, epoch, &cursor, &extent)) {
        check_extent(torture, &extent, content);
        found += (unsigned)extent.count;
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        expected += (content->blocks[0][i] != 0) + (content->blocks[1][i] != 0);
    assert_int_equal(found, expected);
}

static void check_newest_view(struct torture *torture)
{
    struct content view = {0};

    for (uint64_t epoch = torture->released + 1; epoch < torture->epoch; epoch++) {
        for (unsigned i = 0; i < DISKS * BLOCKS && torture->epochs[epoch].is_committed; i++) {
            uint32_t value = torture->epochs[epoch].blocks[i / BLOCKS][i % BLOCKS];
            if (value != 0)
                view.blocks[i / BLOCKS][i % BLOCKS] = value;
        }
    }
    for (unsigned disk = 0; disk < DISKS; disk++) {
        struct journal_extent extent;
        for (uint64_t block = 0; block < BLOCKS; block += extent.count) {
            bool is_there = journal_lookup(torture->journal, disk, block, BLOCKS - block, &extent);
            if (is_there)
                check_extent(torture, &extent, &view);
            for (uint64_t i = 0; i < extent.count; i++)
                assert_int_equal(view.blocks[disk][block + i] != 0, is_there);
        }
    }
}

static void recover(struct torture *torture)
{
    uint64_t expected = torture->released + 1;

    sim_site_restart(torture->site);
    sim_disk_repair(torture->site);
    torture->is_dead = false;
    torture->op_error = 0;
    assert_true(sim_site_call(torture->site, open_journal, torture));
    if (torture->error < 0)
        fail_msg("recovery: %s", torture->err.text);
    torture->recoveries++;
    for (unsigned i = 0; i < journal_epoch_count(torture->journal); i++) {
        uint64_t epoch = journal_epoch_at(torture->journal, i)->epoch;
        for (; expected < epoch; expected++)
            assert_false(torture->epochs[expected].is_committed);
        assert_true(epoch <= torture->epoch && torture->epochs[epoch].may_be);
        torture->epochs[epoch].is_committed = true;
        check_epoch(torture, epoch);
        expected = epoch + 1;
    }
    for (; expected <= torture->epoch; expected++)
        assert_false(torture->epochs[expected].is_committed);
    torture->epoch++;
    check_newest_view(torture);
}

/* --- schedules ------------------------------------------------------------------------------- */

static void forget(struct torture *torture, uint64_t first)
{
    for (uint64_t epoch = first; epoch <= torture->epoch; epoch++)
        memset(&torture->epochs[epoch], 0, sizeof(torture->epochs[0]));
}

static void discard(void *arg)
{
    struct torture *torture = arg;

    journal_forget_after(torture->journal, torture->point);
    while (journal_step(torture->journal))
        ;
    torture->error = journal_discard_after(torture->journal, torture->point, &torture->err);
}

/* What was answered before may be there until this is answered. */
static bool step_discard(struct torture *torture)
{
    torture->point =
        torture->released + sim_random_below(torture->world, torture->epoch - torture->released);
    for (uint64_t epoch = torture->point + 1; epoch < torture->epoch; epoch++)
        torture->epochs[epoch].is_committed = false;
    if (!run(torture, discard))
        return false;
    assert_int_equal(torture->error, 0);
    torture->discards++;
    forget(torture, torture->point + 1);
    return true;
}

/* No room: what there is of the epoch goes, for good once that is answered. */
static bool step_full(struct torture *torture)
{
    torture->full++;
    if (!run(torture, abort_partial))
        return false;
    sim_disk_repair(torture->site);
    forget(torture, torture->epoch++);
    torture->op_error = 0;
    return true;
}

static bool step(struct torture *torture)
{
    if (torture->is_harsh && sim_chance(torture->world, 5))
        return step_discard(torture);
    if (torture->is_harsh && sim_chance(torture->world, 30))
        sim_disk_limit(torture->site, sim_disk_used(torture->site) +
                                          sim_random_below(torture->world, 30) * SIM_PAGE_BYTES);
    if (!run(torture, append_some) ||
        (torture->op_error == 0 && sim_chance(torture->world, 30) && !run(torture, append_some)))
        return false;
    if (torture->op_error != 0)
        return step_full(torture);
    if (sim_chance(torture->world, 15)) {
        memset(&torture->epochs[torture->epoch], 0, sizeof(torture->epochs[0]));
        return run(torture, abort_partial);
    }
    if (torture->is_harsh && sim_chance(torture->world, 30)) /* perhaps at the commit record */
        sim_disk_limit(torture->site, sim_disk_used(torture->site) +
                                          sim_random_below(torture->world, 2) * SIM_PAGE_BYTES);
    if (!run(torture, commit))
        return false;
    if (torture->op_error != 0)
        return step_full(torture);
    torture->epochs[torture->epoch].is_committed = true;
    torture->commits++;
    torture->epoch += 1 + sim_random_below(torture->world, 2);
    if (sim_chance(torture->world, 20)) {
        uint64_t kept = sim_random_below(torture->world, 6);
        if (torture->released + kept < torture->epoch - 1)
            torture->released = torture->epoch - 1 - kept;
        return run(torture, release);
    }
    return true;
}

static void torture_once(uint64_t seed, bool is_harsh, struct torture *ret_figures)
{
    struct torture torture = {
        .world = sim_world_new(seed), .epoch = 1, .next_value = 1, .is_harsh = is_harsh};

    torture.site = sim_site_new(torture.world, "a");
    torture.epochs = sim_kernel_alloc(EPOCHS * sizeof(*torture.epochs));
    sim_disk_tear(torture.site, seed % 2);
    assert_true(sim_site_call(torture.site, open_journal, &torture));
    assert_int_equal(torture.error, 0);
    while (torture.epoch + 3 < EPOCHS && torture.recoveries < 12) {
        sim_site_crash_after(torture.site, 1 + (unsigned)sim_random_below(torture.world, 150),
                             sim_chance(torture.world, 60), died, &torture);
        while (torture.epoch + 3 < EPOCHS && step(&torture))
            ;
        if (!torture.is_dead && !sim_site_is_alive(torture.site))
            torture.is_dead = true;
        if (!torture.is_dead)
            break;
        recover(&torture);
    }
    ret_figures->commits += torture.commits;
    ret_figures->recoveries += torture.recoveries;
    ret_figures->full += torture.full;
    ret_figures->discards += torture.discards;
    sim_world_free(torture.world);
    sim_kernel_free(torture.epochs);
}

static struct torture torture_all(bool is_harsh)
{
    struct torture figures = {0};

    for (uint64_t seed = 0; seed < SCHEDULES; seed++) {
        if (getenv("SIM_TRACE"))
            printf("seed %llu\n", (unsigned long long)seed);
        torture_once(seed, is_harsh, &figures);
    }
    printf("%u commits, %u recoveries, %u times full, %u discards\n", figures.commits,
           figures.recoveries, figures.full, figures.discards);
    assert_true(figures.commits > SCHEDULES * 10 && figures.recoveries > SCHEDULES * 5);
    return figures;
}

static void test_no_answered_epoch_is_lost(void **state)
{
    (void)torture_all(false);
}

static void test_full_and_discarded(void **state)
{
    struct torture figures = torture_all(true);

    assert_true(figures.full > SCHEDULES && figures.discards > SCHEDULES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_answered_epoch_is_lost),
                                       cmocka_unit_test(test_full_and_discarded)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
