/* SPDX-License-Identifier: Apache-2.0 */
/* Samples of disks: differences of counts, gaps that are gaps, rings, damage, disks that go. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/audit.h"
#include "control/monitor.h"
#include "control/operations.h"
#include "control/utc.h"
#include "tests/lib/fake_loop.h"

#define SECOND UINT64_C(1000000000)
#define START (UINT64_C(1795000000) * SECOND)

enum { FIRST = 1795000000 / 5 };

struct fixture {
    struct fake_loop fake;
    struct meta meta;
    struct site site;
    struct monitor *monitor;
    struct data_snapshot snapshot;
    struct data_disk_status disk;
};

static int meta_get_disk(struct meta *meta, enum record_kind kind, const char *key,
                         void *ret_record)
{
    assert_int_equal(kind, RECORD_DISK);
    return strcmp(key, "d-gone") == 0 ? -ENOENT : 0;
}

static const struct meta_ops ops = {.get = meta_get_disk};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    fake_loop_init(&fixture->fake);
    fixture->fake.now_ns = START;
    fixture->meta.ops = &ops;
    fixture->site =
        (struct site){.magic = SITE_MAGIC, .loop = &fixture->fake.loop, .meta = &fixture->meta};
    audit_init(&fixture->site, NULL, 0, 0);
    fixture->monitor = monitor_new("m");
    fixture->snapshot.disks = &fixture->disk;
    fixture->snapshot.disk_count = 1;
    fixture->site.snapshot = &fixture->snapshot;
    strcpy(fixture->disk.id, "d-1");
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    monitor_free(fixture->monitor);
    audit_fini(&fixture->site);
    fake_loop_fini(&fixture->fake);
    free(fixture);
    return 0;
}

/* `beats` later (five seconds each) the disk has done so much more, and is sampled. */
static void work(struct fixture *fixture, unsigned beats, uint64_t reads, uint64_t writes)
{
    fixture->fake.now_ns += beats * 5 * SECOND;
    fixture->disk.reads += reads;
    fixture->disk.read_bytes += reads * 4096;
    fixture->disk.read_ns += reads * 100000;
    fixture->disk.writes += writes;
    fixture->disk.write_bytes += writes * 8192;
    fixture->disk.write_ns += writes * 200000;
    monitor_sample(fixture->monitor, &fixture->site);
}

static struct monitor_slot read_slot(struct fixture *fixture, uint32_t stamp)
{
    struct monitor_slot slot;
    struct err err;

    assert_int_equal(monitor_read(fixture->monitor, &fixture->site, "d-1", stamp, 1, &slot, &err),
                     0);
    return slot;
}

static void test_differences_and_gaps(void **state)
{
    struct fixture *fixture = *state;
    struct monitor_slot slot;

    work(fixture, 0, 1000, 1000); /* the first count makes no sample */
    assert_int_equal(read_slot(fixture, FIRST).stamp, 0);
    work(fixture, 1, 10, 20);
    work(fixture, 1, 0, 0);
    work(fixture, 3, 7, 7); /* a busy daemon: three beats at once make none */
    work(fixture, 1, 1, 0);
    slot = read_slot(fixture, FIRST + 1);
    assert_int_equal(slot.stamp, FIRST + 1);
    assert_int_equal(slot.elapsed_ms, 5000);
    assert_int_equal(slot.reads, 10);
    assert_int_equal(slot.read_bytes, 40960);
    assert_int_equal(slot.read_us, 1000);
    assert_int_equal(slot.writes, 20);
    assert_int_equal(slot.write_bytes, 163840);
    assert_int_equal(slot.write_us, 4000);
    assert_int_equal(read_slot(fixture, FIRST + 2).stamp, FIRST + 2); /* idle is no gap */
    assert_int_equal(read_slot(fixture, FIRST + 2).reads, 0);
    assert_int_equal(read_slot(fixture, FIRST + 3).stamp, 0);
    assert_int_equal(read_slot(fixture, FIRST + 5).stamp, 0);
    assert_int_equal(read_slot(fixture, FIRST + 6).reads, 1);
}

static void test_survives_a_restart_and_counts_anew(void **state)
{
    struct fixture *fixture = *state;

    work(fixture, 0, 0, 0);
    work(fixture, 1, 5, 5);
    monitor_free(fixture->monitor);
    fixture->monitor = monitor_new("m");
    fixture->disk = (struct data_disk_status){0};
    strcpy(fixture->disk.id, "d-1");
    work(fixture, 1, 3, 3);
    work(fixture, 1, 2, 2);
    assert_int_equal(read_slot(fixture, FIRST + 1).reads, 5);
    assert_int_equal(read_slot(fixture, FIRST + 2).stamp, 0);
    assert_int_equal(read_slot(fixture, FIRST + 3).reads, 2);
    fixture->disk.reads = fixture->disk.writes = 1; /* opened anew: no negative counts */
    work(fixture, 1, 0, 0);
    assert_int_equal(read_slot(fixture, FIRST + 4).stamp, 0);
}

static void test_what_is_older_than_the_ring_is_gone(void **state)
{
    struct fixture *fixture = *state;
    struct monitor_slot slots[3];
    struct err err;

    work(fixture, 0, 0, 0);
    work(fixture, 1, 5, 5);
    fixture->fake.now_ns += (MONITOR_SLOTS - 2) * 5 * SECOND;
    work(fixture, 1, 0, 0);
    work(fixture, 1, 6, 6); /* the same place as the first */
    assert_int_equal(read_slot(fixture, FIRST + 1).stamp, 0);
    assert_int_equal(read_slot(fixture, FIRST + 1 + MONITOR_SLOTS).reads, 6);
    assert_int_equal(monitor_read(fixture->monitor, &fixture->site, "d-1", FIRST + MONITOR_SLOTS, 3,
                                  slots, &err),
                     0);
    assert_int_equal(slots[1].reads, 6);
    assert_int_equal(fake_loop_file(&fixture->fake, "m/d-1.ring")->size, 64 + MONITOR_SLOTS * 64);
}

static void test_damage(void **state)
{
    struct fixture *fixture = *state;
    struct io_file *file;

    work(fixture, 0, 0, 0);
    for (int i = 0; i < 3; i++)
        work(fixture, 1, 5, 5);
    file = fake_loop_file(&fixture->fake, "m/d-1.ring");
    file->bytes[64 + (FIRST + 2) % MONITOR_SLOTS * 64 + 9] ^= 1;
    assert_int_equal(read_slot(fixture, FIRST + 1).reads, 5);
    assert_int_equal(read_slot(fixture, FIRST + 2).stamp, 0); /* a gap, not another number */
    assert_int_equal(read_slot(fixture, FIRST + 3).reads, 5);
    file->bytes[3] ^= 1;
    assert_int_equal(read_slot(fixture, FIRST + 1).stamp, 0);
    work(fixture, 1, 8, 8);
    assert_int_equal(read_slot(fixture, FIRST + 1).stamp, 0);
    assert_int_equal(read_slot(fixture, FIRST + 4).reads, 8);
}

static void test_files_go_with_their_disks(void **state)
{
    struct fixture *fixture = *state;

    strcpy(fixture->disk.id, "d-gone");
    work(fixture, 0, 0, 0);
    work(fixture, 1, 5, 5);
    assert_non_null(fake_loop_file(&fixture->fake, "m/d-gone.ring"));
    fixture->snapshot.disk_count = 0;
    work(fixture, 1, 0, 0);
    assert_null(fake_loop_file(&fixture->fake, "m/d-gone.ring"));
}

static void answered(struct call *call)
{
    *(bool *)call->arg = true;
}

/* How many minutes are told of between these? */
static size_t count_points(struct fixture *fixture, int64_t start_s, int64_t end_s)
{
    bool is_answered = false;
    struct call call = {
        .magic = CALL_MAGIC, .site = &fixture->site, .done_cb = answered, .arg = &is_answered};
    char start[UTC_SIZE], end[UTC_SIZE];
    size_t count;

    utc_format(start_s, start);
    utc_format(end_s, end);
    list_init(&call.node);
    call.parameters =
        json_pack("{sssssssi}", "DiskId", "d-1", "StartTime", start, "EndTime", end, "Period", 60);
    ops_show_monitor(&call);
    assert_true(is_answered);
    assert_int_equal(call.http_status, 200);
    count = json_array_size(json_object_get(call.reply, "MonitorData"));
    json_decref(call.reply);
    json_decref(call.parameters);
    return count;
}

/* It began at second 40: after 45 s one minute is over, and of the next there are 25 s. */
static void test_a_minute_that_is_not_over(void **state)
{
    struct fixture *fixture = *state;
    const int64_t start_s = (int64_t)(START / SECOND), far_s = INT64_C(250000000000);

    fixture->site.monitor = fixture->monitor;
    for (unsigned i = 0; i < 10; i++)
        work(fixture, i > 0, 1, 1);
    assert_int_equal(count_points(fixture, start_s, start_s + 20), 1);
    assert_int_equal(count_points(fixture, start_s, start_s + 200), 1);
    assert_int_equal(count_points(fixture, far_s, far_s + 6000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_differences_and_gaps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_survives_a_restart_and_counts_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_older_than_the_ring_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_minute_that_is_not_over, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files_go_with_their_disks, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
