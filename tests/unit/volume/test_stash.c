/* SPDX-License-Identifier: Apache-2.0 */
/* The stash: order, spill, room, and drops while blocks are on their way. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/blockset.h"
#include "tests/lib/fake_loop.h"
#include "volume/stash.h"

struct put {
    struct stash_op op;
    uint8_t bytes[BLOCK_SIZE];
    int error;
    unsigned volume;
    uint64_t block;
};

static void put_done(struct stash_op *op, int error)
{
    container_of(op, struct put, op)->error = error;
}

static void put_begin(struct stash *stash, struct put *put, unsigned volume, uint64_t block)
{
    memset(put->bytes, (int)block, sizeof(put->bytes));
    put->error = 1;
    stash_put(stash, &put->op, volume, block, put->bytes, put_done);
    assert_int_equal(put->error, 1);
}

static bool take_begin(struct stash *stash, struct put *take)
{
    take->error = 1;
    memset(take->bytes, 0xee, sizeof(take->bytes));
    return stash_take(stash, &take->op, &take->volume, &take->block, take->bytes, put_done);
}

static void assert_taken(const struct put *take, unsigned volume, uint64_t block)
{
    assert_int_equal(take->error, 0);
    assert_int_equal(take->volume, volume);
    assert_int_equal(take->block, block);
    assert_int_equal(take->bytes[0], (uint8_t)block);
    assert_int_equal(take->bytes[BLOCK_SIZE - 1], (uint8_t)block);
}

static struct stash *make(struct fake_loop *fake, unsigned memory_blocks, unsigned spill_blocks)
{
    struct stash_options options = {.memory_bytes_max = memory_blocks * BLOCK_SIZE,
                                    .spill_bytes_max = spill_blocks * BLOCK_SIZE,
                                    .spill_path = "/spill",
                                    .volume_count_max = 3};
    struct stash *stash;

    fake_loop_init(fake);
    assert_int_equal(stash_new(&fake->loop, &options, &stash), 0);
    return stash;
}

static void unmake(struct fake_loop *fake, struct stash *stash)
{
    stash_free(stash);
    assert_null(fake_loop_file(fake, "/spill"));
    fake_loop_fini(fake);
}

static void first_in_first_out_through_memory_and_spill(void **state)
{
    struct fake_loop fake;
    struct stash *stash = make(&fake, 2, 3);
    struct put puts[5], take;

    (void)state;
    for (unsigned round = 0; round < 4; round++) { /* the ring turns */
        for (unsigned i = 0; i < 5; i++) {
            assert_true(stash_has_room(stash, 5 - i));
            assert_false(stash_has_room(stash, 6 - i));
            put_begin(stash, &puts[i], i % 3, 10 * round + i);
            fake_loop_run(&fake);
            assert_int_equal(puts[i].error, 0);
        }
        put_begin(stash, &puts[0], 0, 99);
        fake_loop_run(&fake);
        assert_int_equal(puts[0].error, -ENOSPC);
        assert_int_equal(stash_count(stash), 5);
        for (unsigned i = 0; i < 5; i++) {
            assert_true(take_begin(stash, &take));
            fake_loop_run(&fake);
            assert_taken(&take, i % 3, 10 * round + i);
        }
        assert_false(take_begin(stash, &take));
    }
    unmake(&fake, stash);
}

static void take_of_a_block_on_its_way_waits(void **state)
{
    struct fake_loop fake;
    struct stash *stash = make(&fake, 0, 3);
    struct put put, take;

    (void)state;
    fake.is_held = true;
    put_begin(stash, &put, 1, 7);
    assert_true(take_begin(stash, &take));
    assert_int_equal(stash_count(stash), 0);
    assert_true(fake_loop_complete(&fake));
    assert_int_equal(put.error, 0);
    assert_int_equal(take.error, 1);
    assert_true(fake_loop_complete(&fake));
    assert_taken(&take, 1, 7);
    assert_true(stash_has_room(stash, 3));
    unmake(&fake, stash);
}

static void drop_while_on_its_way(void **state)
{
    struct fake_loop fake;
    struct stash *stash = make(&fake, 1, 2);
    struct put puts[3], take;

    (void)state;
    fake.is_held = true;
    for (unsigned i = 0; i < 3; i++)
        put_begin(stash, &puts[i], i == 2 ? 2 : 1, i + 1);
    stash_drop_volume(stash, 1);
    assert_int_equal(stash_count(stash), 1);
    assert_false(stash_has_room(stash, 2)); /* a slot still being written is not free */
    fake.write_error = -ENOSPC;
    assert_true(fake_loop_complete(&fake));
    assert_int_equal(puts[1].error, 0); /* nobody wants it any more */
    assert_true(stash_has_room(stash, 2));
    assert_true(fake_loop_complete(&fake));
    assert_int_equal(puts[2].error, -ENOSPC);
    assert_int_equal(stash_count(stash), 0);
    assert_false(take_begin(stash, &take));
    unmake(&fake, stash);
}

static void full_disk_counts_as_no_room(void **state)
{
    struct fake_loop fake;
    struct stash *stash = make(&fake, 0, 4);
    struct put puts[2], take;

    (void)state;
    put_begin(stash, &puts[0], 0, 1);
    fake_loop_run(&fake);
    fake.write_error = -ENOSPC;
    put_begin(stash, &puts[1], 0, 2);
    fake_loop_run(&fake);
    assert_int_equal(puts[1].error, -ENOSPC);
    assert_false(stash_has_room(stash, 1));
    fake.write_error = 0;
    assert_true(take_begin(stash, &take));
    fake_loop_run(&fake);
    assert_taken(&take, 0, 1);
    assert_true(stash_has_room(stash, 4)); /* with the epoch's end it may try again */
    unmake(&fake, stash);
}

static void count_block(void *arg, uint64_t block)
{
    *(uint64_t *)arg += block;
}

static void each_names_one_volume(void **state)
{
    struct fake_loop fake;
    struct stash *stash = make(&fake, 2, 2);
    struct put puts[4];
    uint64_t sum = 0;

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        put_begin(stash, &puts[i], i % 2, 1u << i);
    stash_each(stash, 1, count_block, &sum);
    assert_int_equal(sum, 2 + 8);
    fake_loop_run(&fake);
    stash_clear(stash);
    sum = 0;
    stash_each(stash, 1, count_block, &sum);
    assert_int_equal(sum, 0);
    unmake(&fake, stash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_in_first_out_through_memory_and_spill),
        cmocka_unit_test(take_of_a_block_on_its_way_waits),
        cmocka_unit_test(drop_while_on_its_way),
        cmocka_unit_test(full_disk_counts_as_no_room),
        cmocka_unit_test(each_names_one_volume),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
