/* SPDX-License-Identifier: Apache-2.0 */
/* Membership changes and the streams that go behind them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "drive.h"

static const uint64_t second = UINT64_C(1000000000);

static void group_ok(struct fake_world *world, const char *action, const char *group)
{
    drive_ok(world, PARIS, action, NULL, NULL, "RegionId=cn-paris&ReplicaGroupId=%s", group);
}

/* Paris' group of these pairs, which replicates. */
static void make_group(struct fake_world *world, unsigned count, struct drive_pair *pairs,
                       char *ret_group)
{
    drive_group(world, ret_group);
    for (unsigned i = 0; i < count; i++) {
        drive_pair(world, &pairs[i]);
        drive_add(world, ret_group, &pairs[i]);
    }
    group_ok(world, "StartDiskReplicaGroup", ret_group);
    fake_copy(world);
    drive_status(world, ret_group, "normal");
}

/* Ending a stream takes long (its journal comes into the disks), and two pairs leave meanwhile: one
 * stream ends, once. What would end it for the second pair must not end the next one. */
static void test_two_removals_end_one_stream(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pairs[3];
    char group[64], query[128];

    make_group(world, 3, pairs, group);
    group_ok(world, "StopDiskReplicaGroup", group);
    drive_status(world, group, "stopped");
    world->sites[PARIS].fail_op = DATA_STREAM_REMOVE;
    world->sites[PARIS].fail_error = -EBUSY;
    world->sites[PARIS].fail_again = 1000;
    for (unsigned i = 1; i < 3; i++) {
        drive_ok(world, PARIS, "RemoveDiskReplicaPair", NULL, NULL,
                 "RegionId=cn-paris&ReplicaGroupId=%s&ReplicaPairId=%s", group, pairs[i].id);
        fake_run(world, 12 * second);
    }
    world->sites[PARIS].fail_error = 0;
    world->sites[PARIS].fail_again = 0;
    while (fake_stream_of(world, PARIS, group))
        fake_run(world, second / 10);
    fake_hold(world, PARIS, DATA_STREAM_OPEN, true);
    snprintf(query, sizeof(query), "RegionId=cn-paris&ReplicaGroupId=%s", group);
    fake_ask_and_forget(world, PARIS, "StartDiskReplicaGroup", query);
    fake_run(world, 8 * second);
    assert_non_null(world->sites[PARIS].held_request);
    fake_release(world, PARIS);
    fake_run(world, 20 * second);
    assert_non_null(fake_stream_of(world, PARIS, group));
    assert_true(fake_stream_of(world, PARIS, group)->is_started);
    fake_copy(world);
    drive_status(world, group, "normal");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_two_removals_end_one_stream, drive_setup,
                                        drive_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
