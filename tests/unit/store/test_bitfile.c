/* SPDX-License-Identifier: Apache-2.0 */
/* Bitfiles: bits, saves, torn slots, hostile files. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "store/bitfile.h"
#include "store/bitfile_format.h"
#include "tests/lib/fake_loop.h"

enum { BITS = 2 * BITFILE_PAGE_BITS + 100 };

struct saving {
    struct bitfile_save save;
    int error; /* 1: under way */
};

static void saved(struct bitfile_save *save, int error)
{
    container_of(save, struct saving, save)->error = error;
}

static void save_begin(struct bitfile *file, struct saving *saving)
{
    saving->error = 1;
    bitfile_save(file, &saving->save, saved);
    assert_int_equal(saving->error, 1);
}

static int save_run(struct fake_loop *fake, struct bitfile *file)
{
    struct saving saving;

    save_begin(file, &saving);
    fake_loop_run(fake);
    return saving.error;
}

static struct bitfile *open_good(struct fake_loop *fake)
{
    struct bitfile *file = NULL;

    assert_int_equal(bitfile_open(&fake->loop, "/b", "INTN", BITS, &file, NULL), 0);
    return file;
}

static void bits_follow_a_model(void **state)
{
    struct fake_loop fake;
    struct bitfile *file;
    bool *model = calloc(BITS, 1);

    (void)state;
    fake_loop_init(&fake);
    file = open_good(&fake);
    srandom(3);
    for (unsigned step = 0; step < 300; step++) {
        uint64_t bit = (uint64_t)random() % BITS, count = 1 + (uint64_t)random() % 3000;
        bool value = random() % 2;

        if (count > BITS - bit)
            count = BITS - bit;
        memset(model + bit, value, count);
        (value ? bitfile_set : bitfile_clear)(file, bit, count);
        if (step % 50 == 0)
            assert_int_equal(save_run(&fake, file), 0);
    }
    assert_int_equal(save_run(&fake, file), 0);
    bitfile_close(file);
    file = open_good(&fake);
    for (uint64_t bit = 0, next = 0; bit < BITS; bit++) {
        assert_int_equal(bitfile_has(file, bit), model[bit]);
        assert_int_equal(bitfile_has_durable(file, bit), model[bit]);
        if (model[bit]) {
            assert_true(bitfile_next(file, next, &next));
            assert_int_equal(next, bit);
            next++;
        }
    }
    bitfile_close(file);
    fake_loop_fini(&fake);
    free(model);
}

static void full_ones_are_made_full(void **state)
{
    struct fake_loop fake;
    struct bitfile *file;

    (void)state;
    fake_loop_init(&fake);
    assert_false(bitfile_is_there(&fake.loop, "/b"));
    assert_int_equal(bitfile_make_full(&fake.loop, "/b", "INTN", BITS, NULL), 0);
    assert_true(bitfile_is_there(&fake.loop, "/b"));
    for (unsigned life = 0; life < 2; life++) {
        file = open_good(&fake);
        for (uint64_t bit = 0; bit < BITS; bit++)
            assert_int_equal(bitfile_has_durable(file, bit), life == 0 || bit < 7);
        bitfile_clear(file, 7, BITS - 7);
        assert_int_equal(save_run(&fake, file), 0);
        bitfile_close(file);
    }
    fake_loop_fini(&fake);
}

static void durable_means_in_a_finished_save(void **state)
{
    struct fake_loop fake;
    struct bitfile *file;
    struct saving first, second;

    (void)state;
    fake_loop_init(&fake);
    file = open_good(&fake);
    fake.is_held = true;
    bitfile_set(file, 5, 1);
    assert_false(bitfile_has_durable(file, 5));
    save_begin(file, &first);
    bitfile_set(file, 6, 1);
    save_begin(file, &second);
    assert_true(fake_loop_complete(&fake)); /* one copy written */
    assert_true(fake_loop_complete(&fake)); /* the other */
    assert_false(bitfile_has_durable(file, 5));
    assert_true(fake_loop_complete(&fake)); /* synced */
    assert_int_equal(first.error, 0);
    assert_true(bitfile_has_durable(file, 5));
    assert_int_equal(second.error, 1);
    assert_false(bitfile_has_durable(file, 6));
    fake.is_held = false;
    fake_loop_run(&fake);
    assert_int_equal(second.error, 0);
    assert_true(bitfile_has_durable(file, 6));

    /* A save that takes the bit away is under way: setting it again does not make it durable. */
    fake.is_held = true;
    bitfile_clear(file, 5, 1);
    save_begin(file, &first);
    bitfile_set(file, 5, 1);
    assert_false(bitfile_has_durable(file, 5));
    fake.is_held = false;
    fake_loop_run(&fake);
    assert_false(bitfile_has_durable(file, 5));
    assert_int_equal(save_run(&fake, file), 0);
    assert_true(bitfile_has_durable(file, 5));
    bitfile_close(file);
    fake_loop_fini(&fake);
}

static void put_back(struct io_file *file, const uint8_t *before, uint64_t at, uint64_t length)
{
    memcpy(file->bytes + at, before + at, length);
}

/* After a torn save, which got `cut` bytes of one copy on the disk and of the other none, or as
 * many (`are_both`), the file reads as before it or as after it. */
static void torn_case(unsigned cut, bool are_both)
{
    struct fake_loop fake;
    struct bitfile *file;
    struct io_file *bytes;
    uint8_t *before;

    fake_loop_init(&fake);
    file = open_good(&fake);
    bitfile_set(file, 1, 1);
    assert_int_equal(save_run(&fake, file), 0);
    bitfile_close(file);
    file = open_good(&fake); /* which slot is the newest must be found again */
    bytes = fake_loop_file(&fake, "/b");
    before = malloc(bytes->size);
    memcpy(before, bytes->bytes, bytes->size);
    bitfile_set(file, 2, 1);
    bitfile_set(file, BITFILE_PAGE_BITS - 1, 1);
    assert_int_equal(save_run(&fake, file), 0);
    bitfile_close(file);
    for (unsigned slot = 0; slot < 2; slot++) {
        uint64_t at = bitfile_slot_offset(0, slot, 0), twin = bitfile_slot_offset(0, slot, 1);

        if (memcmp(before + at, bytes->bytes + at, BITFILE_PAGE_BYTES) == 0)
            continue;
        assert_memory_equal(bytes->bytes + at, bytes->bytes + twin, BITFILE_PAGE_BYTES);
        put_back(bytes, before, at + cut, BITFILE_PAGE_BYTES - cut);
        put_back(bytes, before, twin + (are_both ? cut : 0),
                 BITFILE_PAGE_BYTES - (are_both ? cut : 0));
    }
    file = open_good(&fake);
    assert_true(bitfile_has(file, 1));
    assert_int_equal(bitfile_has(file, 2), cut == BITFILE_PAGE_BYTES);
    bitfile_set(file, 3, 1); /* and saving goes on */
    assert_int_equal(save_run(&fake, file), 0);
    bitfile_close(file);
    file = open_good(&fake);
    assert_true(bitfile_has(file, 1) && bitfile_has(file, 3));
    bitfile_close(file);
    fake_loop_fini(&fake);
    free(before);
}

static void torn_save_leaves_the_one_before(void **state)
{
    (void)state;
    for (unsigned cut = 0; cut <= BITFILE_PAGE_BYTES; cut += 256) {
        torn_case(cut, false);
        torn_case(cut, true);
    }
}

static void error_fences(void **state)
{
    struct fake_loop fake;
    struct bitfile *file;
    unsigned op_count;

    (void)state;
    fake_loop_init(&fake);
    file = open_good(&fake);
    bitfile_set(file, 1, 1);
    assert_int_equal(save_run(&fake, file), 0);
    bitfile_clear(file, 1, 1);
    fake.sync_error = -EIO;
    assert_int_equal(save_run(&fake, file), -EIO);
    fake.sync_error = 0;
    bitfile_set(file, 1, 1);
    assert_false(bitfile_has_durable(file, 1)); /* either content may be on the disk */
    op_count = fake.op_count;
    assert_int_equal(save_run(&fake, file), -EIO);
    assert_int_equal(fake.op_count, op_count);
    bitfile_close(file);
    fake_loop_fini(&fake);
}

/* Nothing is left of one that could not be made: who tries again would leave a file each time. */
static void no_room_leaves_nothing(void **state)
{
    struct fake_loop fake;
    struct bitfile *file = NULL;
    struct err err;

    (void)state;
    fake_loop_init(&fake);
    fake.sync_error = -ENOSPC;
    assert_int_equal(bitfile_open(&fake.loop, "/b", "LAYR", BITS, &file, &err), -ENOSPC);
    assert_null(file);
    assert_null(fake_loop_file(&fake, "/b"));
    assert_null(fake_loop_file(&fake, "/b.new"));
    fake_loop_fini(&fake);
}

static int open_result(struct fake_loop *fake, const char *kind, uint64_t bit_count,
                       struct err *err)
{
    struct bitfile *file = NULL;
    int error = bitfile_open(&fake->loop, "/b", kind, bit_count, &file, err);

    bitfile_close(file);
    return error;
}

static void foreign_files_are_refused(void **state)
{
    struct fake_loop fake;
    struct io_file *bytes;
    struct err err;

    (void)state;
    fake_loop_init(&fake);
    assert_int_equal(open_result(&fake, "INTN", BITS, &err), 0);
    assert_int_equal(open_result(&fake, "LAYR", BITS, &err), -EINVAL);
    assert_int_equal(open_result(&fake, "INTN", BITS + 1, &err), -EINVAL);
    assert_non_null(strstr(err.text, "/b"));
    bytes = fake_loop_file(&fake, "/b");
    for (uint64_t size = 0; size < bitfile_bytes(BITS); size += 1000) {
        bytes->size = size;
        assert_int_equal(open_result(&fake, "INTN", BITS, &err), -EUCLEAN);
    }
    bytes->size = bitfile_bytes(BITS);
    for (unsigned at = 0; at < 64; at++) {
        bytes->bytes[at] ^= 0x40;
        assert_int_equal(open_result(&fake, "INTN", BITS, &err), -EUCLEAN);
        bytes->bytes[at] ^= 0x40;
    }
    assert_int_equal(open_result(&fake, "INTN", BITS, &err), 0);
    fake_loop_fini(&fake);
}

/* Whole, and of a later program: that is no damage. */
static void newer_files_are_refused(void **state)
{
    struct fake_loop fake;
    struct bitfile *file;
    struct err err;
    uint8_t *header;

    (void)state;
    fake_loop_init(&fake);
    assert_int_equal(open_result(&fake, "INTN", BITS, &err), 0);
    header = fake_loop_file(&fake, "/b")->bytes;
    header[8]++; /* version */
    assert_int_equal(open_result(&fake, "INTN", BITS, &err), -EUCLEAN);
    put_le32(header + 4, crc32c(crc32c(0, header, 4), header + 8, BITFILE_PAGE_BYTES - 8));
    assert_int_equal(open_result(&fake, "INTN", BITS, &err), -EPROTONOSUPPORT);
    assert_non_null(strstr(err.text, "/b: its version is unknown"));
    assert_int_equal(bitfile_open_grown(&fake.loop, "/b", "INTN", BITS, &file, &err),
                     -EPROTONOSUPPORT);
    fake_loop_fini(&fake);
}

/* A header that counts more bits than the file has room for costs no memory before it is found out.
 */
static void headers_cannot_ask_for_memory(void **state)
{
    struct fake_loop fake;
    struct bitfile *file;
    struct err err;

    (void)state;
    fake_loop_init(&fake);
    assert_int_equal(open_result(&fake, "INTN", BITS, &err), 0);
    bitfile_header_encode(fake_loop_file(&fake, "/b")->bytes, "INTN", BITFILE_BIT_COUNT_MAX);
    assert_int_equal(bitfile_open_grown(&fake.loop, "/b", "INTN", BITS, &file, &err), -EUCLEAN);
    assert_non_null(strstr(err.text, "bytes, 554084618240 are expected"));
    fake_loop_fini(&fake);
}

static struct io_file *make_two_saves(struct fake_loop *fake)
{
    struct bitfile *file;

    fake_loop_init(fake);
    file = open_good(fake);
    bitfile_set(file, 9, 1);
    assert_int_equal(save_run(fake, file), 0);
    bitfile_set(file, 10, 1);
    assert_int_equal(save_run(fake, file), 0);
    bitfile_close(file);
    return fake_loop_file(fake, "/b");
}

/* Any damage is found. In one place it costs nothing and is mended; in both copies of a slot the
 * page falls back to the other one, and says so; in all the file is refused. */
static void damaged_slots_never_give_wrong_bits(void **state)
{
    struct fake_loop fake;
    struct bitfile *file;
    struct io_file *bytes = make_two_saves(&fake);
    uint8_t *good = malloc(bytes->size);
    struct err err;

    (void)state;
    memcpy(good, bytes->bytes, bytes->size);
    srandom(4);
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t in_slot = (uint64_t)random() % BITFILE_PAGE_BYTES;
        unsigned slot = (unsigned)random() % 2, copy = (unsigned)random() % 2;
        bool are_both = random() % 2;

        bytes->bytes[bitfile_slot_offset(0, slot, copy) + in_slot] ^= 1u << random() % 8;
        if (are_both)
            bytes->bytes[bitfile_slot_offset(0, slot, !copy) + in_slot] ^= 1u << random() % 8;
        file = open_good(&fake);
        assert_true(bitfile_has(file, 9));
        assert_false(bitfile_has(file, 8));
        assert_true(bitfile_has(file, 10) || are_both);
        /* Bit 10 may be lost, when it was the newer slot. Who cannot bear that takes all. */
        assert_int_equal(bitfile_fill_doubtful(file), are_both);
        for (uint64_t bit = 0; bit < BITS && are_both; bit++)
            assert_int_equal(bitfile_has(file, bit), bit < BITFILE_PAGE_BITS);
        assert_false(bitfile_fill_doubtful(file));
        bitfile_close(file);
        if (!are_both && slot == 1)
            assert_memory_equal(bytes->bytes, good, bytes->size); /* it is the newer one */
        memcpy(bytes->bytes, good, bytes->size);
    }
    for (unsigned i = 0; i < 4; i++)
        bytes->bytes[bitfile_slot_offset(0, i % 2, i / 2) + 50] ^= 1;
    assert_int_equal(open_result(&fake, "INTN", BITS, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "offset 4096"));
    fake_loop_fini(&fake);
    free(good);
}

/* A write is lost, or lands on another copy of the same page: nothing is lost. */
static void misdirected_writes_cost_nothing(void **state)
{
    (void)state;
    for (unsigned copy = 0; copy < 2; copy++) {
        for (unsigned to = 0; to < 4; to++) {
            struct fake_loop fake;
            struct io_file *bytes = make_two_saves(&fake);
            uint64_t from_at = bitfile_slot_offset(0, 1, copy);
            uint64_t to_at = bitfile_slot_offset(0, to % 2, to / 2);
            struct bitfile *file;

            memcpy(bytes->bytes + to_at, bytes->bytes + from_at, BITFILE_PAGE_BYTES);
            if (to_at != from_at)
                memcpy(bytes->bytes + from_at, bytes->bytes + bitfile_slot_offset(0, 0, copy),
                       BITFILE_PAGE_BYTES);
            file = open_good(&fake);
            assert_true(bitfile_has(file, 9) && bitfile_has(file, 10));
            assert_int_equal(save_run(&fake, file), 0);
            bitfile_close(file);
            fake_loop_fini(&fake);
        }
    }
}

/* Two saves cannot have one sequence: nobody knows which one counts. */
static void different_copies_of_one_save_are_damage(void **state)
{
    struct fake_loop fake;
    struct io_file *bytes = make_two_saves(&fake);
    uint8_t *at = bytes->bytes + bitfile_slot_offset(0, 1, 1);
    uint64_t sequence;

    (void)state;
    assert_true(bitfile_slot_check(at, "INTN", 0, BITFILE_PAGE_BITS, &sequence));
    at[BITFILE_SLOT_HEAD + 3] ^= 1;
    bitfile_slot_seal(at, "INTN", 0, sequence);
    assert_int_equal(open_result(&fake, "INTN", BITS, NULL), -EBADMSG);
    fake_loop_fini(&fake);
}

/* A sector with all the bits of a page rots to zeros: it is no slot that was never written. */
static void zeros_are_no_empty_slot(void **state)
{
    static const char *const kinds[] = {"INTN", "SUPR", "LAYR"};

    (void)state;
    for (unsigned i = 0; i < 3 * 4; i++) {
        const char *kind = kinds[i / 4];
        struct bitfile *file = NULL;
        struct fake_loop fake;

        fake_loop_init(&fake);
        assert_int_equal(bitfile_open(&fake.loop, "/b", kind, BITS, &file, NULL), 0);
        assert_false(bitfile_fill_doubtful(file)); /* new */
        bitfile_set(file, 9, 1);
        assert_int_equal(save_run(&fake, file), 0);
        bitfile_close(file);
        memset(fake_loop_file(&fake, "/b")->bytes + bitfile_slot_offset(0, i % 2, i / 2 % 2), 0,
               512);
        assert_int_equal(bitfile_open(&fake.loop, "/b", kind, BITS, &file, NULL), 0);
        assert_true(bitfile_has(file, 9));
        assert_false(bitfile_fill_doubtful(file));
        bitfile_close(file);
        fake_loop_fini(&fake);
    }
}

/* Intent bits are sealed: zeros in both copies of a slot are damage, all of its page is suspect. */
static void zeros_of_both_copies_are_doubtful(void **state)
{
    struct fake_loop fake;
    struct io_file *bytes = make_two_saves(&fake);
    struct bitfile *file;

    (void)state;
    for (unsigned copy = 0; copy < 2; copy++)
        memset(bytes->bytes + bitfile_slot_offset(0, 1, copy), 0, BITFILE_PAGE_BYTES);
    file = open_good(&fake);
    assert_true(bitfile_fill_doubtful(file));
    assert_true(bitfile_has(file, 10));
    bitfile_close(file);
    fake_loop_fini(&fake);
}

/* A bitmap of 64 TiB has 8 GiB of holes: what was never saved is not read. */
static void holes_are_not_read(void **state)
{
    enum { PAGES = 400, FIRST = 7, LAST = 390 };
    const uint64_t bits = (uint64_t)PAGES * BITFILE_PAGE_BITS;
    const uint64_t page_bytes = BITFILE_SLOTS * BITFILE_COPIES * BITFILE_PAGE_BYTES;
    struct fake_loop fake;
    struct bitfile *file;
    uint64_t bit;

    (void)state;
    fake_loop_init(&fake);
    assert_int_equal(bitfile_open(&fake.loop, "/b", "LAYR", bits, &file, NULL), 0);
    assert_true(fake.read_now_bytes <= BITFILE_PAGE_BYTES); /* the header */
    bitfile_set(file, FIRST * BITFILE_PAGE_BITS + 5, 1);
    bitfile_set(file, LAST * BITFILE_PAGE_BITS + 9, 1);
    assert_int_equal(save_run(&fake, file), 0);
    bitfile_close(file);

    fake.read_now_bytes = 0;
    assert_int_equal(bitfile_open(&fake.loop, "/b", "LAYR", bits, &file, NULL), 0);
    assert_true(fake.read_now_bytes < PAGES * page_bytes / 4);
    assert_true(bitfile_next(file, 0, &bit));
    assert_int_equal(bit, FIRST * BITFILE_PAGE_BITS + 5);
    assert_true(bitfile_has_durable(file, bit) && bitfile_next(file, bit + 1, &bit));
    assert_int_equal(bit, LAST * BITFILE_PAGE_BITS + 9);
    assert_true(bitfile_has_durable(file, bit) && !bitfile_next(file, bit + 1, &bit));
    bitfile_close(file);
    fake_loop_fini(&fake);
}

static void slot_of_another_place_is_not_valid(void **state)
{
    uint8_t slot[BITFILE_PAGE_BYTES] = {0};
    uint64_t sequence;

    (void)state;
    assert_true(bitfile_slot_check(slot, "INTN", 3, 100, &sequence));
    assert_int_equal(sequence, 0);
    slot[BITFILE_SLOT_HEAD + 12] = 1; /* bit 96 */
    bitfile_slot_seal(slot, "INTN", 3, 7);
    assert_true(bitfile_slot_check(slot, "INTN", 3, 97, &sequence));
    assert_int_equal(sequence, 7);
    assert_false(bitfile_slot_check(slot, "INTN", 3, 96, &sequence));
    assert_false(bitfile_slot_check(slot, "INTN", 2, 97, &sequence));
    assert_false(bitfile_slot_check(slot, "SUPR", 3, 97, &sequence));
    bitfile_slot_seal(slot, "INTN", 3, BITFILE_SEQUENCE_MAX);
    assert_true(bitfile_slot_check(slot, "INTN", 3, 97, &sequence));
    bitfile_slot_seal(slot, "INTN", 3, BITFILE_SEQUENCE_MAX + 1); /* the next would be too much */
    assert_false(bitfile_slot_check(slot, "INTN", 3, 97, &sequence));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_follow_a_model),
        cmocka_unit_test(full_ones_are_made_full),
        cmocka_unit_test(durable_means_in_a_finished_save),
        cmocka_unit_test(torn_save_leaves_the_one_before),
        cmocka_unit_test(error_fences),
        cmocka_unit_test(no_room_leaves_nothing),
        cmocka_unit_test(foreign_files_are_refused),
        cmocka_unit_test(newer_files_are_refused),
        cmocka_unit_test(headers_cannot_ask_for_memory),
        cmocka_unit_test(damaged_slots_never_give_wrong_bits),
        cmocka_unit_test(misdirected_writes_cost_nothing),
        cmocka_unit_test(different_copies_of_one_save_are_damage),
        cmocka_unit_test(zeros_are_no_empty_slot),
        cmocka_unit_test(zeros_of_both_copies_are_doubtful),
        cmocka_unit_test(holes_are_not_read),
        cmocka_unit_test(slot_of_another_place_is_not_valid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
