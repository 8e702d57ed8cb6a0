/* SPDX-License-Identifier: Apache-2.0 */
/* ResizeDisk of a disk in a pair: the copy first, then the source, then the records of both;
 * refused, cut off between any two of these, asked again. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "drive.h"
#include "fake_meta.h"

#define LARGE 16384u

static uint64_t size_of(struct fake_world *world, unsigned site, const struct drive_pair *pair)
{
    return fake_disk_of(world, site, site == PARIS ? pair->paris_disk : pair->lyon_disk)->size;
}

static uint64_t record_of(struct fake_world *world, unsigned site, const struct drive_pair *pair)
{
    struct disk_record disk;

    assert_int_equal(meta_get(world->sites[site].meta, RECORD_DISK,
                              site == PARIS ? pair->paris_disk : pair->lyon_disk, &disk),
                     0);
    return (uint64_t)disk.size_bytes;
}

/* Bytes and records of both sites, the pair's among them. */
static void expect_large(struct fake_world *world, const struct drive_pair *pair)
{
    for (unsigned site = 0; site < 2; site++) {
        struct pair_record record;

        assert_int_equal(size_of(world, site, pair), LARGE);
        assert_int_equal(record_of(world, site, pair), LARGE);
        assert_int_equal(meta_get(world->sites[site].meta, RECORD_PAIR, pair->id, &record), 0);
        assert_int_equal(record.size_bytes, LARGE);
    }
}

static void start(struct fake_world *world, struct drive_pair *ret_pair)
{
    drive_pair(world, ret_pair);
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, "RegionId=cn-paris&ReplicaPairId=%s",
             ret_pair->id);
    fake_copy(world);
    drive_status(world, ret_pair->id, "normal");
}

#define RESIZE "DiskId=%s&NewSizeBytes=%u&ClientToken=t"

static void resize(struct fake_world *world, const struct drive_pair *pair)
{
    drive_ok(world, PARIS, "ResizeDisk", NULL, NULL, RESIZE, pair->paris_disk, LARGE);
    fake_run(world, 0);
}

static void test_both_grow(void **state)
{
    struct fake_world *world = *state;
    char first[64], again[64];
    struct drive_pair pair;

    start(world, &pair);
    drive_ok(world, PARIS, "ResizeDisk", "OrderId", first, RESIZE, pair.paris_disk, LARGE);
    fake_run(world, 0);
    expect_large(world, &pair);
    drive_status(world, pair.id, "normal");
    drive_ok(world, PARIS, "ResizeDisk", "OrderId", again, RESIZE, pair.paris_disk, LARGE);
    assert_string_equal(first, again); /* the token's answer */
    /* Without it, too: both are made sure to have that size. */
    drive_ok(world, PARIS, "ResizeDisk", NULL, NULL, "DiskId=%s&NewSizeBytes=%u", pair.paris_disk,
             LARGE);
    drive_fails(world, PARIS, 403, "InvalidDiskSize.TooSmall", NULL, "ResizeDisk",
                "DiskId=%s&NewSizeBytes=8192", pair.paris_disk);
}

/* Before the first start there is no stream, and a member follows its group. */
static void test_in_any_steady_state(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair, member;
    char group[64];

    drive_pair(world, &pair);
    resize(world, &pair);
    expect_large(world, &pair);
    drive_group(world, group);
    drive_pair(world, &member);
    drive_add(world, group, &member);
    drive_ok(world, PARIS, "StartDiskReplicaGroup", NULL, NULL,
             "RegionId=cn-paris&ReplicaGroupId=%s", group);
    fake_copy(world);
    drive_ok(world, PARIS, "ResizeDisk", NULL, NULL, "DiskId=%s&NewSizeBytes=%u", member.paris_disk,
             LARGE);
    fake_run(world, 0);
    expect_large(world, &member);
    drive_ok(world, PARIS, "StopDiskReplicaGroup", NULL, NULL,
             "RegionId=cn-paris&ReplicaGroupId=%s", group);
    drive_ok(world, PARIS, "ResizeDisk", NULL, NULL, "DiskId=%s&NewSizeBytes=%u", member.paris_disk,
             2 * LARGE);
    assert_int_equal(size_of(world, LYON, &member), 2 * LARGE);
}

static void test_refused(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    struct site *paris = control_site(world->sites[PARIS].control);
    struct site *lyon = control_site(world->sites[LYON].control);

    start(world, &pair);
#define REFUSED(site, status, code, part, disk)                                                    \
    drive_fails(world, site, status, code, part, "ResizeDisk", RESIZE, disk, LARGE)
    REFUSED(LYON, 400, "IncorrectDiskStatus.InReplication", "at site paris", pair.lyon_disk);
    paris->is_strict = true;
    REFUSED(PARIS, 400, "IncorrectDiskStatus.InReplication", NULL, pair.paris_disk);
    paris->is_strict = false;
    lyon->is_strict = true;
    REFUSED(PARIS, 400, "IncorrectDiskStatus.InReplication", "lyon", pair.paris_disk);
    lyon->is_strict = false;
    lyon->quota.disk_bytes = LARGE - 1;
    REFUSED(PARIS, 403, "OperationDenied", "quota", pair.paris_disk);
    lyon->quota.disk_bytes = 0;
    fake_net(world, false);
    REFUSED(PARIS, 504, "RequestTimeout", "lyon", pair.paris_disk);
    fake_net(world, true);
    drive_fails(world, PARIS, 403, "OperationDenied", "lyon is full", "ResizeDisk",
                "DiskId=%s&NewSize=2000", pair.paris_disk);
    assert_int_equal(size_of(world, LYON, &pair), 8192);
    assert_int_equal(size_of(world, PARIS, &pair), 8192);
    assert_int_equal(record_of(world, PARIS, &pair), 8192);
    drive_ok(world, LYON, "FailoverDiskReplicaPair", NULL, NULL,
             "RegionId=cn-lyon&ReplicaPairId=%s", pair.id);
    fake_run(world, UINT64_C(5000000000));
    drive_status(world, pair.id, "failovered");
    REFUSED(PARIS, 403, "IncorrectDiskStatus", "failovered", pair.paris_disk);
    REFUSED(LYON, 400, "IncorrectDiskStatus.InReplication", NULL, pair.lyon_disk);
    assert_int_equal(size_of(world, LYON, &pair), 8192);
}

/* Either site dies in its part of it; the client asks again. */
static void test_cut_off(void **state)
{
    struct fake_world *world = *state;
    char query[200];

    for (unsigned round = 0; round < 4; round++) {
        struct drive_pair pair;
        unsigned site = round / 2;

        start(world, &pair);
        snprintf(query, sizeof(query), RESIZE "%u", pair.paris_disk, LARGE, round);
        fake_hold(world, site, DATA_DISK_GROW, round % 2 == 1);
        fake_ask_and_forget(world, PARIS, "ResizeDisk", query);
        fake_run(world, 0);
        assert_int_equal(size_of(world, site, &pair), round % 2 == 1 ? LARGE : 8192);
        fake_site_crash(world, site);
        if (site == LYON) /* which did not answer: so paris did nothing */
            fake_run(world, UINT64_C(10000000000));
        fake_site_start(world, site);
        fake_run(world, UINT64_C(10000000000));
        assert_int_equal(record_of(world, site, &pair), size_of(world, site, &pair));
        assert_true(size_of(world, LYON, &pair) >= size_of(world, PARIS, &pair));
        drive_ok(world, PARIS, "ResizeDisk", NULL, NULL, "%s", query);
        fake_run(world, 0);
        expect_large(world, &pair);
    }
}

/* An earlier call came as far as the copy, which stays as large; before the first start, too. */
static void test_copy_is_larger(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char query[200];

    drive_pair(world, &pair);
    snprintf(query, sizeof(query), RESIZE, pair.paris_disk, LARGE);
    fake_hold(world, PARIS, DATA_DISK_GROW, false);
    fake_ask_and_forget(world, PARIS, "ResizeDisk", query);
    fake_run(world, 0);
    assert_int_equal(size_of(world, LYON, &pair), LARGE);
    fake_site_crash(world, PARIS);
    fake_site_start(world, PARIS);
    fake_run(world, UINT64_C(10000000000));
    drive_ok(world, PARIS, "ResizeDisk", NULL, NULL, "DiskId=%s&NewSizeBytes=12288",
             pair.paris_disk);
    fake_run(world, 0);
    assert_int_equal(size_of(world, PARIS, &pair), 12288);
    assert_int_equal(record_of(world, PARIS, &pair), 12288);
    assert_int_equal(size_of(world, LYON, &pair), LARGE);
}

/* A start left it out: for good, as far as its caller is concerned. */
static void test_left_out(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    drive_pair(world, &pair);
    for (unsigned site = PARIS; site <= LYON; site++) {
        fake_site_crash(world, site);
        world->sites[site].fail_op = DATA_DISK_OPEN;
        world->sites[site].fail_error = -EIO;
        fake_site_start(world, site);
        fake_run(world, UINT64_C(10000000000));
        assert_false(
            fake_disk_of(world, site, site == PARIS ? pair.paris_disk : pair.lyon_disk)->is_open);
        REFUSED(PARIS, 403, "IncorrectDiskStatus", "cannot be opened", pair.paris_disk);
        drive_fails(world, PARIS, 403, "OperationDenied", "is not open", "StartDiskReplicaPair",
                    "RegionId=cn-paris&ReplicaPairId=%s", pair.id);
        fake_site_crash(world, site);
        fake_site_start(world, site);
        fake_run(world, UINT64_C(10000000000));
    }
    resize(world, &pair);
}

/* The copy's record cannot be written: its source does not grow, and the record follows when it
 * can. */
static void test_record_follows(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    start(world, &pair);
    fake_meta_fail_put(world->sites[LYON].meta, pair.lyon_disk);
    drive_fails(world, PARIS, 500, "InternalError", "ask again", "ResizeDisk", RESIZE,
                pair.paris_disk, LARGE);
    assert_int_equal(size_of(world, LYON, &pair), LARGE);
    assert_int_equal(record_of(world, LYON, &pair), 8192);
    assert_int_equal(size_of(world, PARIS, &pair), 8192);
    fake_meta_fail_put(world->sites[LYON].meta, NULL);
    fake_run(world, UINT64_C(20000000000));
    assert_int_equal(record_of(world, LYON, &pair), LARGE);
    resize(world, &pair);
    expect_large(world, &pair);
}

/* Before the first start nothing but the record remembers the copy's size: a source that grew
 * before it would be the larger one for good behind a death of the other site. */
static void test_copy_is_recorded_first(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    drive_pair(world, &pair);
    fake_meta_fail_put(world->sites[LYON].meta, pair.lyon_disk);
    drive_fails(world, PARIS, 500, "InternalError", "ask again", "ResizeDisk", RESIZE,
                pair.paris_disk, LARGE);
    assert_int_equal(size_of(world, PARIS, &pair), 8192);
    fake_meta_fail_put(world->sites[LYON].meta, NULL);
    drive_ok(world, PARIS, "ResizeDisk", NULL, NULL, "DiskId=%s&NewSizeBytes=%u", pair.paris_disk,
             LARGE);
    fake_run(world, 0);
    expect_large(world, &pair);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, drive_setup, drive_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_both_grow),      TEST(test_in_any_steady_state),    TEST(test_refused),
        TEST(test_cut_off),        TEST(test_copy_is_larger),         TEST(test_left_out),
        TEST(test_record_follows), TEST(test_copy_is_recorded_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
