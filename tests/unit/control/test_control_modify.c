/* SPDX-License-Identifier: Apache-2.0 */
/* Modify of pairs and groups: what takes, where, in which state, and that both sites learn of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "drive.h"

#define MODIFY_PAIR "RegionId=cn-paris&ReplicaPairId=%s"
#define MODIFY_GROUP "RegionId=cn-paris&ReplicaGroupId=%s"

static void test_name_and_description_reach_both_sites(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char group[64];

    drive_pair(world, &pair);
    drive_ok(world, PARIS, "ModifyDiskReplicaPair", NULL, NULL,
             MODIFY_PAIR "&PairName=erp.log&Description=of+the+shop", pair.id);
    fake_run(world, 0);
    drive_expect(world, PARIS, pair.id, "PairName", "erp.log");
    drive_expect(world, LYON, pair.id, "PairName", "erp.log");
    drive_expect(world, LYON, pair.id, "Description", "of the shop");
    /* Only what is given changes. */
    drive_ok(world, PARIS, "ModifyDiskReplicaPair", NULL, NULL, MODIFY_PAIR "&PairName=erp-2",
             pair.id);
    drive_expect(world, PARIS, pair.id, "Description", "of the shop");
    drive_group(world, group);
    drive_ok(world, PARIS, "ModifyDiskReplicaGroup", NULL, NULL,
             MODIFY_GROUP "&GroupName=shop:1&Description=both", group);
    fake_run(world, 0);
    drive_expect(world, LYON, group, "GroupName", "shop:1");
    drive_expect(world, LYON, group, "Description", "both");
}

static void test_the_asked_site_decides(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char group[64];

    drive_pair_and_group(world, &pair, group);
    /* Of a pair either region may ask; a group's is the production site. */
    drive_ok(world, LYON, "ModifyDiskReplicaPair", NULL, NULL,
             "RegionId=cn-lyon&ReplicaPairId=%s&PairName=from-lyon", pair.id);
    drive_expect(world, PARIS, pair.id, "PairName", "from-lyon");
    drive_fails(world, LYON, 403, "OperationDenied.OperateNotAllowedForStandby", NULL,
                "ModifyDiskReplicaGroup", "RegionId=cn-lyon&ReplicaGroupId=%s&GroupName=from-lyon",
                group);
    drive_ok(world, LYON, "ModifyDiskReplicaGroup", NULL, NULL, MODIFY_GROUP "&GroupName=passed-on",
             group);
    drive_expect(world, PARIS, group, "GroupName", "passed-on");
    drive_fails(world, PARIS, 404, "NoSuchResource", NULL, "ModifyDiskReplicaPair",
                MODIFY_PAIR "&PairName=ab", "pair-cn-none");
    drive_fails(world, PARIS, 404, "NoSuchResource", NULL, "ModifyDiskReplicaPair",
                MODIFY_PAIR "&PairName=ab", group);
    fake_net(world, false);
    drive_fails(world, LYON, 504, "RequestTimeout", "paris", "ModifyDiskReplicaPair",
                "RegionId=cn-lyon&ReplicaPairId=%s&PairName=cut", pair.id);
}

static void test_names_keep_still_while_it_runs(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    drive_pair(world, &pair);
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, MODIFY_PAIR, pair.id);
    fake_copy(world);
    drive_expect(world, PARIS, pair.id, "Status", "normal");
    drive_fails(world, PARIS, 403, "OperationDenied.InvalidStatus", "is normal",
                "ModifyDiskReplicaPair", MODIFY_PAIR "&PairName=busy", pair.id);
    /* Together with an objective it is all or nothing. */
    drive_fails(world, PARIS, 403, "OperationDenied.InvalidStatus", NULL, "ModifyDiskReplicaPair",
                MODIFY_PAIR "&PairName=busy&RPO=60", pair.id);
    drive_expect(world, PARIS, pair.id, "RPO", "900");
    drive_ok(world, PARIS, "StopDiskReplicaPair", NULL, NULL, MODIFY_PAIR, pair.id);
    fake_run(world, 0);
    drive_ok(world, PARIS, "ModifyDiskReplicaPair", NULL, NULL, MODIFY_PAIR "&PairName=calm",
             pair.id);
}

static void test_a_running_stream_takes_a_new_rpo(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    drive_pair(world, &pair);
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, MODIFY_PAIR, pair.id);
    fake_copy(world);
    fake_run(world, UINT64_C(100000000000));
    drive_status(world, pair.id, "normal");
    drive_ok(world, PARIS, "ModifyDiskReplicaPair", NULL, NULL, MODIFY_PAIR "&RPO=60", pair.id);
    fake_run(world, 0);
    drive_status(world, pair.id, "syncing"); /* the point is 100 s old */
    drive_expect(world, LYON, pair.id, "RPO", "60");
    drive_ok(world, LYON, "ModifyDiskReplicaPair", NULL, NULL, MODIFY_PAIR "&RPO=1800", pair.id);
    fake_run(world, UINT64_C(700000000000));
    drive_status(world, pair.id, "normal");
    /* Time control: ten minutes at most. */
    drive_ok(world, PARIS, "ModifyDiskReplicaPair", NULL, NULL, MODIFY_PAIR "&EnableRtc=true",
             pair.id);
    fake_run(world, 0);
    drive_expect(world, LYON, pair.id, "EnableRtc", "true");
    drive_status(world, pair.id, "syncing");
    drive_fails(world, PARIS, 400, "InvalidRPO", NULL, "ModifyDiskReplicaPair",
                MODIFY_PAIR "&RPO=0", pair.id);
}

static void test_a_member_follows_its_group(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char group[64];

    drive_pair_and_group(world, &pair, group);
    drive_add(world, group, &pair);
    drive_fails(world, PARIS, 403, "OperationDenied", group, "ModifyDiskReplicaPair",
                MODIFY_PAIR "&RPO=60", pair.id);
    drive_fails(world, PARIS, 403, "OperationDenied", group, "ModifyDiskReplicaPair",
                MODIFY_PAIR "&EnableRtc=true", pair.id);
    drive_ok(world, PARIS, "ModifyDiskReplicaPair", NULL, NULL, MODIFY_PAIR "&PairName=member",
             pair.id);
    drive_ok(world, PARIS, "ModifyDiskReplicaGroup", NULL, NULL, MODIFY_GROUP "&RPO=60", group);
    drive_expect(world, PARIS, pair.id, "RPO", "60");
    /* What the group has already is no change. */
    drive_ok(world, PARIS, "ModifyDiskReplicaPair", NULL, NULL, MODIFY_PAIR "&RPO=60", pair.id);
    drive_ok(world, PARIS, "StartDiskReplicaGroup", NULL, NULL, MODIFY_GROUP, group);
    drive_fails(world, PARIS, 403, "OperationDenied.InvalidStatus", group, "ModifyDiskReplicaPair",
                MODIFY_PAIR "&PairName=running", pair.id);
    drive_fails(world, PARIS, 403, "OperationDenied.InvalidStatus", NULL, "ModifyDiskReplicaGroup",
                MODIFY_GROUP "&GroupName=running", group);
    drive_ok(world, PARIS, "ModifyDiskReplicaGroup", NULL, NULL, MODIFY_GROUP "&RPO=30", group);
}

static void test_nothing_to_change_succeeds_in_any_state(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    drive_pair(world, &pair);
    drive_ok(world, PARIS, "ModifyDiskReplicaPair", NULL, NULL, MODIFY_PAIR "&PairName=same",
             pair.id);
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, MODIFY_PAIR, pair.id);
    drive_ok(world, PARIS, "ModifyDiskReplicaPair", NULL, NULL, MODIFY_PAIR, pair.id);
    drive_ok(world, PARIS, "ModifyDiskReplicaPair", NULL, NULL,
             MODIFY_PAIR "&PairName=same&RPO=900&EnableRtc=false&Bandwidth=10240", pair.id);
}

static void test_a_token_is_for_one_change(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    drive_pair(world, &pair);
    drive_ok(world, PARIS, "ModifyDiskReplicaPair", NULL, NULL,
             MODIFY_PAIR "&PairName=one&ClientToken=t1", pair.id);
    drive_ok(world, PARIS, "ModifyDiskReplicaPair", NULL, NULL, MODIFY_PAIR "&PairName=two",
             pair.id);
    drive_ok(world, PARIS, "ModifyDiskReplicaPair", NULL, NULL,
             MODIFY_PAIR "&PairName=one&ClientToken=t1", pair.id);
    drive_expect(world, PARIS, pair.id, "PairName", "two");
    drive_fails(world, PARIS, 400, "IdempotentParameterMismatch", NULL, "ModifyDiskReplicaPair",
                MODIFY_PAIR "&PairName=three&ClientToken=t1", pair.id);
}

static void test_names_are_checked(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char group[64];

    drive_pair_and_group(world, &pair, group);
    drive_fails(world, PARIS, 400, "InvalidParameter", "GroupName", "ModifyDiskReplicaGroup",
                MODIFY_GROUP "&GroupName=no.period", group);
    drive_fails(world, PARIS, 400, "InvalidParameter", "PairName", "ModifyDiskReplicaPair",
                MODIFY_PAIR "&PairName=%%C3%%A9t%%C3%%A9", pair.id);
    drive_ok(world, PARIS, "ModifyDiskReplicaPair", NULL, NULL,
             MODIFY_PAIR "&PairName=%%E7%%9B%%98.1", pair.id);
    drive_fails(world, PARIS, 400, "InvalidParameter", "Description", "ModifyDiskReplicaPair",
                MODIFY_PAIR "&Description=x", pair.id);
    drive_fails(world, PARIS, 400, "InvalidParameter", "Description", "ModifyDiskReplicaPair",
                MODIFY_PAIR "&Description=HTTPS://x", pair.id);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, drive_setup, drive_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_name_and_description_reach_both_sites),
        TEST(test_the_asked_site_decides),
        TEST(test_names_keep_still_while_it_runs),
        TEST(test_a_running_stream_takes_a_new_rpo),
        TEST(test_a_member_follows_its_group),
        TEST(test_nothing_to_change_succeeds_in_any_state),
        TEST(test_a_token_is_for_one_change),
        TEST(test_names_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
