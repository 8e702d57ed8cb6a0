/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal on a loop that fails and holds back at will: the order of a commit, disk full at each
 * write, I/O errors that fence, appends that come during a commit, an abort over appends under way.
 */
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
#include "tests/lib/fake_loop.h"

enum { NONE = 12345 };

struct lab {
    struct fake_loop fake;
    struct journal *journal;
    struct journal_options options;
    uint64_t index_extents;
    struct err err;
};

struct call {
    struct journal_op op;
    int error;
    uint32_t crc;
    uint8_t bytes[BLOCK_SIZE];
};

static void done(struct journal_op *op, int error)
{
    struct call *call = container_of(op, struct call, op);

    assert_int_equal(call->error, NONE); /* once */
    call->error = error;
}

static int open_journal(struct lab *lab)
{
    lab->options = (struct journal_options){.folder = "/j",
                                            .stream = "pg-1",
                                            .segment_bytes = 1 << 20,
                                            .bytes_max = 1 << 24,
                                            .index_extents = lab->index_extents,
                                            .disk_count_max = 2};
    return journal_open(&lab->fake.loop, &lab->options, &lab->journal, &lab->err);
}

static void begin(struct lab *lab)
{
    fake_loop_init(&lab->fake);
    lab->index_extents = 0;
    assert_int_equal(open_journal(lab), 0);
}

static void end(struct lab *lab)
{
    journal_close(lab->journal);
    fake_loop_fini(&lab->fake);
}

static void append(struct lab *lab, struct call *call, uint64_t block, uint8_t stamp)
{
    memset(call->bytes, stamp, BLOCK_SIZE);
    call->crc = crc32c(0, call->bytes, BLOCK_SIZE);
    call->error = NONE;
    journal_append(lab->journal, &call->op, 0, block, 1, call->bytes, &call->crc, done);
    assert_int_equal(call->error, NONE); /* never from inside */
}

static void commit(struct lab *lab, struct call *call, uint64_t epoch)
{
    struct journal_epoch info = {.epoch = epoch};

    call->error = NONE;
    journal_commit(lab->journal, &call->op, &info, done);
    assert_int_equal(call->error, NONE);
}

static void give_up(struct lab *lab, struct call *call)
{
    call->error = NONE;
    journal_abort(lab->journal, &call->op, done);
    assert_int_equal(call->error, NONE);
}

static int run(struct lab *lab, const struct call *call)
{
    fake_loop_run(&lab->fake);
    return call->error;
}

static uint8_t stamp_at(struct lab *lab, uint64_t block)
{
    struct journal_extent extent;
    struct call call = {.error = NONE};

    if (!journal_lookup(lab->journal, 0, block, 1, &extent))
        return 0;
    journal_read(lab->journal, &call.op, &extent, call.bytes, done);
    assert_int_equal(run(lab, &call), 0);
    return call.bytes[0];
}

/* J2: data and table, sync, commit record, sync. */
static void test_order_of_a_commit(void **state)
{
    struct call call;
    struct lab lab;

    begin(&lab);
    append(&lab, &call, 5, 1);
    assert_int_equal(run(&lab, &call), 0);
    lab.fake.log[0] = 0;
    commit(&lab, &call, 1);
    assert_int_equal(run(&lab, &call), 0);
    assert_string_equal(lab.fake.log, "write 1.seg\n" /* the table */
                                      "sync 1.seg\nsynced 1.seg\n"
                                      "write 1.seg\n" /* commit and twin */
                                      "sync 1.seg\nsynced 1.seg\n");
    end(&lab);
}

/* Killed after any completed operation of a commit: the epoch is whole or not there. */
static void test_stop_after_each_operation(void **state)
{
    for (unsigned stop = 0; stop < 12; stop++) {
        struct call call, second;
        struct lab lab;

        begin(&lab);
        append(&lab, &call, 5, 1);
        assert_int_equal(run(&lab, &call), 0);
        commit(&lab, &call, 1);
        assert_int_equal(run(&lab, &call), 0);
        append(&lab, &call, 5, 2);
        assert_int_equal(run(&lab, &call), 0);
        lab.fake.is_held = true;
        commit(&lab, &second, 2);
        for (unsigned i = 0; i < stop; i++)
            fake_loop_complete(&lab.fake);
        if (second.error == NONE) { /* what is there now is what a kill leaves */
            struct fake_loop *fake = &lab.fake;
            struct io_file *file = fake_loop_file(fake, "/j/1.seg");
            uint8_t *bytes = malloc(file->size);
            uint64_t size = file->size;

            memcpy(bytes, file->bytes, size);
            fake->is_held = false;
            assert_int_equal(run(&lab, &second), 0);
            journal_close(lab.journal);
            file->size = size;
            memcpy(file->bytes, bytes, size);
            free(bytes);
        } else {
            lab.fake.is_held = false;
            journal_close(lab.journal);
        }
        assert_int_equal(open_journal(&lab), 0);
        assert_true(journal_epoch_count(lab.journal) >= 1);
        assert_int_equal(stamp_at(&lab, 5), journal_epoch_count(lab.journal));
        end(&lab);
    }
}

/* Disk full at the n-th write: refused, aborted, and the next epoch is whole. */
static void test_disk_full(void **state)
{
    struct call call, other;
    struct lab lab;

    begin(&lab);
    append(&lab, &call, 1, 1);
    assert_int_equal(run(&lab, &call), 0);
    lab.fake.write_error = -ENOSPC;
    append(&lab, &call, 2, 1);
    assert_int_equal(run(&lab, &call), -ENOSPC);
    lab.fake.write_error = 0;
    append(&lab, &call, 3, 1); /* this partial epoch has a gap: it takes nothing more */
    assert_int_equal(run(&lab, &call), -ENOSPC);
    commit(&lab, &call, 1);
    assert_int_equal(run(&lab, &call), -ENOSPC);
    give_up(&lab, &call);
    assert_int_equal(run(&lab, &call), 0);
    append(&lab, &call, 2, 7);
    assert_int_equal(run(&lab, &call), 0);
    lab.fake.write_error = -ENOSPC; /* at the commit's first write */
    commit(&lab, &call, 1);
    assert_int_equal(run(&lab, &call), -ENOSPC);
    lab.fake.write_error = 0;
    give_up(&lab, &other);
    assert_int_equal(run(&lab, &other), 0);
    append(&lab, &call, 2, 8);
    assert_int_equal(run(&lab, &call), 0);
    commit(&lab, &call, 1);
    assert_int_equal(run(&lab, &call), 0);
    assert_int_equal(stamp_at(&lab, 2), 8);
    assert_int_equal(stamp_at(&lab, 1), 0);
    journal_close(lab.journal);
    assert_int_equal(open_journal(&lab), 0);
    assert_int_equal(journal_epoch_count(lab.journal), 1);
    assert_int_equal(stamp_at(&lab, 2), 8);
    end(&lab);
}

/* J4, F7, F8: the first failed write or sync is final, though the next would be answered 0. */
static void test_fence(void **state)
{
    for (unsigned is_sync = 0; is_sync < 2; is_sync++) {
        struct call call;
        struct lab lab;

        begin(&lab);
        append(&lab, &call, 1, 1);
        assert_int_equal(run(&lab, &call), 0);
        commit(&lab, &call, 1);
        assert_int_equal(run(&lab, &call), 0);
        append(&lab, &call, 1, 2);
        assert_int_equal(run(&lab, &call), 0);
        if (is_sync)
            lab.fake.sync_error = -EIO;
        else
            lab.fake.write_error = -EIO;
        commit(&lab, &call, 2);
        assert_int_equal(run(&lab, &call), -EIO);
        lab.fake.sync_error = lab.fake.write_error = 0;
        commit(&lab, &call, 3);
        assert_int_equal(run(&lab, &call), -EIO);
        give_up(&lab, &call);
        assert_int_equal(run(&lab, &call), 0);
        append(&lab, &call, 1, 3);
        assert_int_equal(run(&lab, &call), -EIO);
        assert_int_equal(stamp_at(&lab, 1), 1); /* what is committed is shown */
        assert_int_equal(journal_epoch_count(lab.journal), 1);
        journal_close(lab.journal);
        assert_int_equal(open_journal(&lab), 0); /* opened anew it goes on */
        append(&lab, &call, 1, 4);
        assert_int_equal(run(&lab, &call), 0);
        commit(&lab, &call, 5);
        assert_int_equal(run(&lab, &call), 0);
        assert_int_equal(stamp_at(&lab, 1), 4);
        end(&lab);
    }
}

/* Appends that come while a commit is under way belong to the next epoch. */
static void test_append_during_commit(void **state)
{
    struct call first, second, both;
    struct lab lab;

    begin(&lab);
    append(&lab, &first, 1, 1);
    assert_int_equal(run(&lab, &first), 0);
    lab.fake.is_held = true;
    commit(&lab, &both, 1);
    append(&lab, &second, 1, 2);
    lab.fake.is_held = false;
    assert_int_equal(run(&lab, &both), 0);
    assert_int_equal(second.error, 0);
    assert_int_equal(stamp_at(&lab, 1), 1);
    commit(&lab, &both, 2);
    assert_int_equal(run(&lab, &both), 0);
    assert_int_equal(stamp_at(&lab, 1), 2);
    end(&lab);
}

static void test_abort_waits_for_appends(void **state)
{
    struct call first, second, third;
    struct lab lab;

    begin(&lab);
    lab.fake.is_held = true;
    append(&lab, &first, 1, 1);
    append(&lab, &second, 2, 2);
    give_up(&lab, &third);
    fake_loop_complete(&lab.fake);
    assert_int_equal(third.error, NONE);
    lab.fake.is_held = false;
    assert_int_equal(run(&lab, &third), 0);
    assert_int_equal(first.error, 0);
    assert_int_equal(second.error, 0);
    assert_int_equal(journal_partial_bytes(lab.journal), 0);
    assert_int_equal(fake_loop_file(&lab.fake, "/j/1.seg")->size, 4096);
    end(&lab);
}

/* 200 epochs of two records, which fill more than one segment. */
static void fill_segments(struct lab *lab, struct call *call)
{
    for (uint64_t epoch = 1; epoch <= 200; epoch++) {
        append(lab, call, epoch, (uint8_t)epoch);
        assert_int_equal(run(lab, call), 0);
        append(lab, call, 1000 + epoch, (uint8_t)epoch);
        assert_int_equal(run(lab, call), 0);
        commit(lab, call, epoch);
        assert_int_equal(run(lab, call), 0);
    }
    assert_non_null(fake_loop_file(&lab->fake, "/j/2.seg"));
}

/* A read that is under way when its epoch is released ends well, then the segment goes. */
static void test_release_under_a_read(void **state)
{
    struct journal_extent extent;
    struct call call, reading = {.error = NONE};
    struct lab lab;

    begin(&lab);
    fill_segments(&lab, &call);
    assert_true(journal_lookup(lab.journal, 0, 3, 1, &extent));
    lab.fake.is_held = true;
    journal_read(lab.journal, &reading.op, &extent, reading.bytes, done);
    journal_release(lab.journal, 200);
    while (journal_step(lab.journal))
        ;
    assert_non_null(fake_loop_file(&lab.fake, "/j/1.seg"));
    lab.fake.is_held = false;
    assert_int_equal(run(&lab, &reading), 0);
    assert_int_equal(reading.bytes[0], 3);
    assert_null(fake_loop_file(&lab.fake, "/j/1.seg"));
    end(&lab);
}

static unsigned count_steps(struct lab *lab)
{
    unsigned steps = 1;

    while (steps < 10000 && journal_step(lab->journal))
        steps++;
    assert_true(journal_is_settled(lab->journal));
    return steps;
}

/* Pieces of one: each of them gets on. */
static void test_smallest_pieces(void **state)
{
    struct lab lab;
    struct call call;

    (void)state;
    fake_loop_init(&lab.fake);
    lab.index_extents = 1;
    assert_int_equal(open_journal(&lab), 0);
    for (uint64_t epoch = 1; epoch <= 3; epoch++) {
        append(&lab, &call, 5 * epoch, (uint8_t)epoch);
        assert_int_equal(run(&lab, &call), 0);
        append(&lab, &call, 7, (uint8_t)epoch);
        assert_int_equal(run(&lab, &call), 0);
        commit(&lab, &call, epoch);
        assert_int_equal(run(&lab, &call), 0);
    }
    journal_forget_after(lab.journal, 2);
    assert_in_range(count_steps(&lab), 2, 20);
    assert_int_equal(stamp_at(&lab, 7), 2);
    journal_release(lab.journal, 2);
    assert_in_range(count_steps(&lab), 2, 20);
    assert_int_equal(stamp_at(&lab, 7), 0);
    end(&lab);
}

/* An epoch may have millions of extents: one turn of the loop walks some of them. */
static void test_index_goes_in_pieces(void **state)
{
    enum { EXTENTS = 100, PIECE = 4, TURNS = EXTENTS / PIECE };
    struct lab lab;
    struct call call;
    unsigned before, turns = 0;

    (void)state;
    fake_loop_init(&lab.fake);
    lab.index_extents = PIECE;
    assert_int_equal(open_journal(&lab), 0);
    for (uint64_t epoch = 1; epoch <= 4; epoch++) {
        if (epoch == 1) { /* a hole below all the others */
            call.error = NONE;
            journal_append_hole(lab.journal, &call.op, 0, 0, 10 * EXTENTS, done);
            assert_int_equal(run(&lab, &call), 0);
        }
        for (uint64_t i = 0; i < EXTENTS && epoch > 1; i++) {
            append(&lab, &call, 2 * i, (uint8_t)epoch);
            assert_int_equal(run(&lab, &call), 0);
        }
        before = lab.fake.task_count;
        commit(&lab, &call, epoch);
        assert_int_equal(run(&lab, &call), 0);
        if (epoch > 1) /* its list, and then the newest view */
            assert_true(lab.fake.task_count - before >= 2 * (TURNS - 1));
    }
    journal_forget_after(lab.journal, 3);
    assert_false(journal_is_settled(lab.journal));
    assert_true(count_steps(&lab) >= 2 * TURNS); /* made anew of two epochs, and one to free */
    assert_int_equal(stamp_at(&lab, 2), 3);
    journal_release(lab.journal, 1);
    assert_false(journal_is_settled(lab.journal));
    assert_int_equal(stamp_at(&lab, 2), 3);
    assert_true(count_steps(&lab) >= 2 * TURNS); /* parts of the hole, and what lies over them */
    assert_int_equal(stamp_at(&lab, 2), 3);
    journal_release(lab.journal, 2);
    assert_true(count_steps(&lab) >= TURNS);
    assert_int_equal(stamp_at(&lab, 2), 3);
    append(&lab, &call, 7, 7);
    assert_int_equal(run(&lab, &call), 0);
    while (!journal_let_go(lab.journal))
        turns++;
    assert_true(turns >= TURNS - 1);
    end(&lab);
}

/* Space comes back while an epoch is received, not first behind it: else the journal is full of
 * what is applied, and the epoch is refused. */
static void test_segments_go_under_appends(void **state)
{
    struct lab lab;
    struct call call, held = {.error = NONE};
    uint64_t before;

    (void)state;
    begin(&lab);
    fill_segments(&lab, &call);
    before = journal_bytes(lab.journal);
    lab.fake.is_held = true;
    append(&lab, &held, 7, 77);
    journal_release(lab.journal, 200);
    while (journal_step(lab.journal))
        ;
    assert_null(fake_loop_file(&lab.fake, "/j/1.seg"));
    assert_true(journal_bytes(lab.journal) < before / 2);
    lab.fake.is_held = false;
    assert_int_equal(run(&lab, &held), 0);
    commit(&lab, &call, 201);
    assert_int_equal(run(&lab, &call), 0);
    journal_close(lab.journal);
    assert_int_equal(open_journal(&lab), 0);
    assert_int_equal(stamp_at(&lab, 7), 77);
    end(&lab);
}

/* J3: what comes broken while a commit goes in pieces is missing in the epoch behind it. */
static void test_broken_during_commit(void **state)
{
    struct lab lab;
    struct call call, broken;

    (void)state;
    fake_loop_init(&lab.fake);
    lab.index_extents = 1;
    assert_int_equal(open_journal(&lab), 0);
    append(&lab, &call, 1, 1);
    assert_int_equal(run(&lab, &call), 0);
    commit(&lab, &call, 1);
    memset(broken.bytes, 1, BLOCK_SIZE);
    broken.crc = 0;
    broken.error = NONE;
    journal_append(lab.journal, &broken.op, 0, 2, 1, broken.bytes, &broken.crc, done);
    assert_int_equal(run(&lab, &call), 0);
    assert_int_equal(broken.error, -EBADMSG);
    commit(&lab, &call, 2);
    assert_int_equal(run(&lab, &call), -EBADMSG);
    end(&lab);
}

struct closer {
    struct loop_task task;
    struct lab *lab;
    const struct call *call;
};

static void close_when_told(struct loop_task *task)
{
    struct closer *closer = container_of(task, struct closer, task);

    if (closer->call->error == NONE)
        loop_defer(&closer->lab->fake.loop, task);
    else
        journal_close(closer->lab->journal);
}

/* Nothing of it runs behind its end. The commit fails from the task: it can make no segment for its
 * table. */
static void test_close_behind_the_answer(void **state)
{
    struct lab lab;
    struct call call;
    struct closer closer = {.task.run_cb = close_when_told, .lab = &lab, .call = &call};

    (void)state;
    fake_loop_init(&lab.fake);
    lab.index_extents = 1;
    assert_int_equal(open_journal(&lab), 0);
    for (uint64_t block = 0; journal_bytes(lab.journal) < lab.options.segment_bytes; block += 2) {
        call.error = NONE;
        journal_append_hole(lab.journal, &call.op, 0, block, 1, done);
        assert_int_equal(run(&lab, &call), 0);
    }
    lab.fake.open_error = -EMFILE;
    commit(&lab, &call, 1);
    list_init(&closer.task.node);
    loop_defer(&lab.fake.loop, &closer.task);
    fake_loop_run(&lab.fake);
    assert_int_equal(call.error, -EMFILE);
    fake_loop_fini(&lab.fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_of_a_commit),
        cmocka_unit_test(test_stop_after_each_operation),
        cmocka_unit_test(test_disk_full),
        cmocka_unit_test(test_fence),
        cmocka_unit_test(test_append_during_commit),
        cmocka_unit_test(test_abort_waits_for_appends),
        cmocka_unit_test(test_index_goes_in_pieces),
        cmocka_unit_test(test_smallest_pieces),
        cmocka_unit_test(test_release_under_a_read),
        cmocka_unit_test(test_segments_go_under_appends),
        cmocka_unit_test(test_broken_during_commit),
        cmocka_unit_test(test_close_behind_the_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
