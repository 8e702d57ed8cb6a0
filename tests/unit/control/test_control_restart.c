/* SPDX-License-Identifier: Apache-2.0 */
/* Daemons die in the middle of each kind of work, and it is finished afterwards. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drive.h"

enum { SECOND = 1000000000 };

/* Here processes die with calls under way, which nobody holds any more. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

static void restart(struct fake_world *world, unsigned site)
{
    fake_site_crash(world, site);
    fake_site_start(world, site);
    fake_run(world, SECOND);
}

/* A started, copied pair. */
static void make_pair(struct fake_world *world, struct drive_pair *ret_pair)
{
    drive_pair(world, ret_pair);
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, "RegionId=cn-paris&ReplicaPairId=%s",
             ret_pair->id);
    fake_copy(world);
    drive_status(world, ret_pair->id, "normal");
}

static void pair_ok(struct fake_world *world, unsigned site, const char *action, const char *id)
{
    drive_ok(world, site, action, NULL, NULL, "RegionId=%s&ReplicaPairId=%s", drive_regions[site],
             id);
}

static void copy_file(const char *from, const char *to)
{
    char command[1024];

    snprintf(command, sizeof(command), "rm -f %s-wal %s-shm && cp %s %s", to, to, from, to);
    assert_int_equal(system(command), 0);
}

/* site.db is put back from a backup of before the start of a pair: its stream is there, and no
 * record opens it. That is told, and started again it is the same stream. */
static void test_records_of_before_the_start(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char backup[160], id[64];
    json_t *status;

    for (unsigned site = 0; site < 2; site++) {
        snprintf(backup, sizeof(backup), "%s.backup", world->sites[site].path);
        drive_pair(world, &pair);
        fake_site_crash(world, site);
        copy_file(world->sites[site].path, backup);
        fake_site_start(world, site);
        fake_run(world, SECOND);
        pair_ok(world, PARIS, "StartDiskReplicaPair", pair.id);
        fake_copy(world);
        drive_status(world, pair.id, "normal");
        fake_site_crash(world, site);
        copy_file(backup, world->sites[site].path);
        fake_site_start(world, site);
        fake_run(world, SECOND);
        assert_false(fake_stream_of(world, site, pair.id)->is_open);
        status = drive_ask(world, site, "DescribeVersoStatus", "Id=%s", pair.id);
        snprintf(id, sizeof(id), "%s",
                 json_string_value(json_object_get(
                     json_array_get(json_object_get(status, "Streams"), 0), "Trouble")));
        assert_string_equal(id, "it has no stream open at this site: stop it and start it again");
        json_decref(status);
        pair_ok(world, PARIS, "StopDiskReplicaPair", pair.id);
        drive_status(world, pair.id, "stopped");
        pair_ok(world, PARIS, "StartDiskReplicaPair", pair.id);
        assert_true(fake_stream_of(world, site, pair.id)->is_open);
        assert_true(fake_stream_of(world, LYON, pair.id)->has_point); /* it is no new one */
        fake_copy(world);
        drive_status(world, pair.id, "normal");
    }
}

/* The same, and it is given up: what is there goes with the pair. */
static void test_a_stream_of_no_record_goes(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char backup[160];

    snprintf(backup, sizeof(backup), "%s.backup", world->sites[PARIS].path);
    drive_pair(world, &pair);
    fake_site_crash(world, PARIS);
    copy_file(world->sites[PARIS].path, backup);
    fake_site_start(world, PARIS);
    fake_run(world, SECOND);
    pair_ok(world, PARIS, "StartDiskReplicaPair", pair.id);
    fake_copy(world);
    fake_site_crash(world, PARIS);
    copy_file(backup, world->sites[PARIS].path);
    fake_site_start(world, PARIS);
    fake_run(world, SECOND);
    fake_stream_of(world, PARIS, pair.id)->is_open = true; /* of the fake: it may be removed */
    pair_ok(world, PARIS, "StopDiskReplicaPair", pair.id);
    drive_status(world, pair.id, "stopped");
    pair_ok(world, PARIS, "DeleteDiskReplicaPair", pair.id);
    fake_run(world, SECOND);
    assert_null(fake_stream_of(world, PARIS, pair.id));
    assert_null(fake_stream_of(world, LYON, pair.id));
}

static void test_all_is_open_again(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    make_pair(world, &pair);
    drive_ok(world, PARIS, "AttachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s", pair.paris_disk);
    restart(world, PARIS);
    restart(world, LYON);
    assert_true(fake_disk_of(world, PARIS, pair.paris_disk)->is_wanted);
    assert_true(fake_stream_of(world, PARIS, pair.id)->is_open);
    assert_true(fake_stream_of(world, LYON, pair.id)->is_open);
    drive_status(world, pair.id, "normal");
}

/* Its state has rotted: the start leaves it out. It replicates nothing, so it can be stopped, and
 * deleted; and when it opens after all, it is stopped. */
static void test_stream_that_cannot_be_opened_is_stopped(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    make_pair(world, &pair);
    world->sites[PARIS].fail_op = DATA_STREAM_OPEN;
    world->sites[PARIS].fail_error = -EUCLEAN;
    restart(world, PARIS);
    assert_false(fake_stream_of(world, PARIS, pair.id)->is_open);
    pair_ok(world, PARIS, "StopDiskReplicaPair", pair.id);
    fake_run(world, SECOND);
    drive_status(world, pair.id, "stopped");
    restart(world, PARIS);
    assert_true(fake_stream_of(world, PARIS, pair.id)->is_open);
    assert_false(fake_stream_of(world, PARIS, pair.id)->is_started);
    drive_status(world, pair.id, "stopped");
    pair_ok(world, PARIS, "StartDiskReplicaPair", pair.id);
    fake_run(world, SECOND);
    assert_true(fake_stream_of(world, PARIS, pair.id)->is_started);
    world->sites[PARIS].fail_op = DATA_STREAM_OPEN;
    world->sites[PARIS].fail_error = -EUCLEAN;
    restart(world, PARIS);
    pair_ok(world, PARIS, "StopDiskReplicaPair", pair.id);
    fake_run(world, SECOND);
    pair_ok(world, PARIS, "DeleteDiskReplicaPair", pair.id);
    fake_run(world, SECOND);
    drive_expect(world, PARIS, pair.id, "Status", "");
    drive_expect(world, LYON, pair.id, "Status", "");
}

/* Its newest state rotted, and the one before it knows of no start. */
static void test_stream_that_forgot_its_start_is_started(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    make_pair(world, &pair);
    fake_stream_of(world, PARIS, pair.id)->is_started = false;
    restart(world, PARIS);
    assert_true(fake_stream_of(world, PARIS, pair.id)->is_started);
    drive_status(world, pair.id, "normal");
    restart(world, LYON); /* nothing is started at the target */
    assert_false(fake_stream_of(world, LYON, pair.id)->is_started);
}

/* The operation is accepted, its step stands still (before it or after it), the daemon dies. */
static void die_in(struct fake_world *world, unsigned site, enum data_op op, bool after,
                   const char *action, const char *id, const char *meanwhile, const char *finally)
{
    fake_hold(world, site, op, after);
    pair_ok(world, site, action, id);
    drive_expect(world, site, id, "Status", meanwhile);
    assert_non_null(world->sites[site].held_request);
    restart(world, site);
    drive_status(world, id, finally);
}

static void die_everywhere(struct fake_world *world, bool after)
{
    struct drive_pair pair;

    drive_pair(world, &pair);
    die_in(world, PARIS, DATA_STREAM_START, after, "StartDiskReplicaPair", pair.id,
           "initial_syncing", "initial_syncing");
    assert_true(fake_stream_of(world, PARIS, pair.id)->is_started);
    fake_copy(world);
    die_in(world, PARIS, DATA_STREAM_STOP, after, "StopDiskReplicaPair", pair.id, "stopping",
           "stopped");
    assert_false(fake_stream_of(world, PARIS, pair.id)->is_started);
    die_in(world, LYON, DATA_STREAM_FAILOVER, after, "FailoverDiskReplicaPair", pair.id,
           "failovering", "failovered");
    die_in(world, LYON, DATA_STREAM_REPROTECT, after, "ReprotectDiskReplicaPair", pair.id,
           "reprotecting", "stopped");
    drive_expect(world, PARIS, pair.id, "SourceRegion", "cn-lyon");
    assert_int_equal(fake_stream_of(world, LYON, pair.id)->role, DATA_ROLE_SOURCE);
    die_in(world, LYON, DATA_STREAM_REMOVE, after, "DeleteDiskReplicaPair", pair.id, "deleting",
           "");
    fake_run(world, SECOND);
    assert_null(fake_stream_of(world, PARIS, pair.id));
    assert_null(fake_stream_of(world, LYON, pair.id));
}

static void test_dies_before_each_step(void **state)
{
    die_everywhere(*state, false);
}

static void test_dies_after_each_step(void **state)
{
    die_everywhere(*state, true);
}

/* Of disks that are there no more nothing is left. */
static unsigned count_tags(struct fake_world *world, unsigned site)
{
    struct meta_query tags = {.kind = RECORD_TAG}, sets = {.kind = RECORD_TAG_SET};
    struct meta *meta = control_site(world->sites[site].control)->meta;
    unsigned tag_count = 0, set_count = 0;

    assert_int_equal(meta_count(meta, &tags, &tag_count), 0);
    assert_int_equal(meta_count(meta, &sets, &set_count), 0);
    return tag_count + set_count;
}

static void test_dies_in_disk_work(void **state)
{
    struct fake_world *world = *state;
    char disk[64], count[64], status[64], query[100];

    for (unsigned after = 0; after < 2; after++) {
        fake_hold(world, PARIS, DATA_DISK_OPEN, after);
        snprintf(query, sizeof(query),
                 "RegionId=cn-paris&ZoneId=cn-paris-a&SizeBytes=4096&ClientToken=t-%u", after);
        fake_ask_and_forget(world, PARIS, "CreateDisk", query);
        restart(world, PARIS);
        /* Nobody was answered: it is no more, and who asks again gets one disk, not two. */
        drive_ok(world, PARIS, "DescribeDisks", "TotalCount", count, "RegionId=cn-paris");
        assert_string_equal(count, after ? "1" : "0");
        drive_ok(world, PARIS, "CreateDisk", "DiskId", disk, "%s", query);
        drive_ok(world, PARIS, "DescribeDisks", "TotalCount", count,
                 "RegionId=cn-paris&Status=Available");
        assert_string_equal(count, after ? "2" : "1");
    }
    for (unsigned after = 0; after < 2; after++) {
        drive_disk(world, PARIS, disk);
        drive_ok(world, PARIS, "AttachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s", disk);
        fake_hold(world, PARIS, DATA_DISK_DETACH, after);
        snprintf(query, sizeof(query), "InstanceId=i-1&DiskId=%s", disk);
        fake_ask_and_forget(world, PARIS, "DetachDisk", query);
        drive_ok(world, PARIS, "DescribeDisks", "TotalCount", count,
                 "RegionId=cn-paris&Status=Detaching");
        assert_string_equal(count, "1");
        restart(world, PARIS);
        assert_false(fake_disk_of(world, PARIS, disk)->is_wanted);
        drive_ok(world, PARIS, "TagResources", NULL, NULL,
                 "Version=2014-05-26&RegionId=cn-paris&ResourceType=disk&ResourceId.1=%s&"
                 "Tag.1.Key=team",
                 disk);
        assert_int_equal(count_tags(world, PARIS), 2);
        fake_hold(world, PARIS, DATA_DISK_CLOSE, after);
        fake_ask_and_forget(world, PARIS, "DeleteDisk", query);
        restart(world, PARIS);
        drive_ok(world, PARIS, "DescribeDisks", "TotalCount", status,
                 "RegionId=cn-paris&DiskIds=[%%22%s%%22]", disk);
        assert_string_equal(status, "0");
        assert_null(fake_disk_of(world, PARIS, disk));
        assert_int_equal(count_tags(world, PARIS), 0);
    }
}

/* It could not be made, nor what was made of it taken away: the record stays until the next start.
 */
static void test_disk_that_is_left(void **state)
{
    struct fake_world *world = *state;
    char count[64];

    world->sites[PARIS].fail_op = DATA_DISK_OPEN;
    world->sites[PARIS].fail_error = -EUCLEAN;
    drive_fails(world, PARIS, 500, "InternalError", NULL, "CreateDisk",
                "RegionId=cn-paris&ZoneId=cn-paris-a&SizeBytes=4096");
    drive_ok(world, PARIS, "DescribeDisks", "TotalCount", count,
             "RegionId=cn-paris&Status=Creating");
    assert_string_equal(count, "1");
    restart(world, PARIS);
    drive_ok(world, PARIS, "DescribeDisks", "TotalCount", count, "RegionId=cn-paris");
    assert_string_equal(count, "0");
}

static void test_half_a_pair_is_dropped(void **state)
{
    struct fake_world *world = *state;
    char paris[64], lyon[64], count[64], query[300];

    drive_disk(world, PARIS, paris);
    drive_disk(world, LYON, lyon);
    fake_hold(world, LYON, DATA_CALL_REPLY, false); /* lyon has it, paris never hears so */
    snprintf(query, sizeof(query),
             "RegionId=cn-paris&SourceZoneId=cn-paris-a&DiskId=%s&DestinationRegionId=cn-lyon&"
             "DestinationZoneId=cn-lyon-a&DestinationDiskId=%s",
             paris, lyon);
    fake_ask_and_forget(world, PARIS, "CreateDiskReplicaPair", query);
    drive_ok(world, LYON, "DescribeDiskReplicaPairs", "TotalCount", count, "RegionId=cn-lyon");
    assert_string_equal(count, "1");
    fake_site_crash(world, PARIS);
    fake_release(world, LYON);
    fake_site_start(world, PARIS);
    fake_run(world, SECOND);
    drive_ok(world, LYON, "DescribeDiskReplicaPairs", "TotalCount", count, "RegionId=cn-lyon");
    assert_string_equal(count, "0");
    drive_ok(world, PARIS, "CreateDiskReplicaPair", NULL, NULL, "%s", query);
}

/* The record says that a stream is about to be; the daemon dies before anything is there. */
static void test_stream_that_never_was(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char query[100];

    drive_pair(world, &pair);
    fake_hold(world, LYON, DATA_STREAM_OPEN, false);
    snprintf(query, sizeof(query), "RegionId=cn-paris&ReplicaPairId=%s", pair.id);
    fake_ask_and_forget(world, PARIS, "StartDiskReplicaPair", query);
    assert_non_null(world->sites[LYON].held_request);
    restart(world, LYON);
    assert_null(fake_stream_of(world, LYON, pair.id));
    assert_true(fake_disk_of(world, LYON, pair.lyon_disk)->is_open);
    fake_run(world, 5ull * SECOND);
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, "%s", query);
    assert_non_null(fake_stream_of(world, LYON, pair.id));
}

static void test_link_cut_in_a_reprotect(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    make_pair(world, &pair);
    pair_ok(world, LYON, "FailoverDiskReplicaPair", pair.id);
    fake_hold(world, LYON, DATA_STREAM_REPROTECT, false);
    pair_ok(world, LYON, "ReprotectDiskReplicaPair", pair.id);
    fake_net(world, false);
    fake_release(world, LYON); /* the peer is not there: again, later */
    fake_run(world, 60ull * SECOND);
    drive_expect(world, LYON, pair.id, "Status", "reprotecting");
    fake_net(world, true);
    fake_run(world, SECOND);
    drive_status(world, pair.id, "stopped");
}

static void test_records_meet_after_a_separation(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char group[64];

    make_pair(world, &pair);
    fake_net(world, false);
    /* Both act: the failover's term is the higher one and stands. */
    pair_ok(world, PARIS, "StopDiskReplicaPair", pair.id);
    drive_expect(world, PARIS, pair.id, "Status", "stopped");
    pair_ok(world, LYON, "FailoverDiskReplicaPair", pair.id);
    drive_group(world, group); /* made while the peer is away */
    restart(world, PARIS);
    restart(world, LYON);
    drive_expect(world, PARIS, pair.id, "Status", "stopped");
    fake_net(world, true);
    fake_run(world, SECOND);
    drive_status(world, pair.id, "failovered");
    drive_status(world, group, "created");
}

static void test_deletion_while_apart(void **state)
{
    struct fake_world *world = *state;
    struct tombstone_record tombstone;
    struct drive_pair pair, other;

    make_pair(world, &pair);
    make_pair(world, &other);
    fake_net(world, false);
    pair_ok(world, PARIS, "StopDiskReplicaPair", pair.id);
    pair_ok(world, PARIS, "DeleteDiskReplicaPair", pair.id);
    pair_ok(world, PARIS, "StopDiskReplicaPair", other.id);
    pair_ok(world, PARIS, "DeleteDiskReplicaPair", other.id);
    pair_ok(world, LYON, "FailoverDiskReplicaPair", other.id);
    drive_expect(world, PARIS, pair.id, "Status", "");
    restart(world, PARIS);
    fake_net(world, true);
    fake_run(world, 5ull * SECOND);
    drive_expect(world, LYON, pair.id, "Status", "");
    assert_null(fake_stream_of(world, LYON, pair.id));
    /* Failed over since: a person decides, at lyon. */
    drive_expect(world, LYON, other.id, "Status", "invalid");
    drive_expect(world, LYON, other.id, "StatusMessage", "DeviceRemoved");
    assert_int_equal(meta_get(world->sites[PARIS].meta, RECORD_TOMBSTONE, other.id, &tombstone), 0);
    assert_true(tombstone.is_acked);
    pair_ok(world, LYON, "DeleteDiskReplicaPair", other.id);
    fake_run(world, SECOND);
    drive_status(world, other.id, "");
}

static void test_membership_while_apart(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char group[64];

    make_pair(world, &pair);
    pair_ok(world, PARIS, "StopDiskReplicaPair", pair.id);
    drive_group(world, group);
    fake_net(world, false);
    drive_add(world, group, &pair);
    assert_null(fake_stream_of(world, PARIS, pair.id));
    assert_non_null(fake_stream_of(world, LYON, pair.id));
    restart(world, LYON);
    fake_net(world, true);
    fake_run(world, SECOND);
    assert_null(fake_stream_of(world, LYON, pair.id));
    drive_expect(world, LYON, pair.id, "ReplicaGroupId", group);
    drive_ok(world, LYON, "StartDiskReplicaGroup", NULL, NULL, "RegionId=cn-lyon&ReplicaGroupId=%s",
             group);
    fake_copy(world);
    drive_status(world, group, "normal");
}

#define STORY(test) cmocka_unit_test_setup_teardown(test, drive_setup, drive_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_records_of_before_the_start),
        STORY(test_a_stream_of_no_record_goes),
        STORY(test_all_is_open_again),
        STORY(test_stream_that_cannot_be_opened_is_stopped),
        STORY(test_stream_that_forgot_its_start_is_started),
        STORY(test_dies_before_each_step),
        STORY(test_dies_after_each_step),
        STORY(test_dies_in_disk_work),
        STORY(test_disk_that_is_left),
        STORY(test_half_a_pair_is_dropped),
        STORY(test_stream_that_never_was),
        STORY(test_link_cut_in_a_reprotect),
        STORY(test_records_meet_after_a_separation),
        STORY(test_deletion_while_apart),
        STORY(test_membership_while_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
