/* SPDX-License-Identifier: Apache-2.0 */
/* What is refused, with which code, and that the message names the thing. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "drive.h"

#define CREATE_PAIR                                                                                \
    "RegionId=cn-paris&SourceZoneId=cn-paris-a&DiskId=%s&DestinationRegionId=cn-lyon&"             \
    "DestinationZoneId=cn-lyon-a&DestinationDiskId=%s"

#define TEN_IDS "\"d\",\"d\",\"d\",\"d\",\"d\",\"d\",\"d\",\"d\",\"d\",\"d\","

/* Bad input: one row a rule. */
static const struct {
    const char *action, *query;
    unsigned status;
    const char *code, *part;
} rows[] = {
    {"NoSuchThing", "RegionId=cn-paris", 404, "InvalidApi.NotFound", NULL},
    {"CreateDisk", "ZoneId=cn-paris-a&Size=1", 400, "MissingRegionId", "RegionId is mandatory"},
    {"CreateDisk", "RegionId=cn-paris&Size=1", 400, "MissingParameter", "ZoneId"},
    {"CreateDisk", "RegionId=cn-paris&ZoneId=cn-paris-a", 400, "MissingParameter", "Size"},
    {"CreateDisk", "RegionId=cn-nowhere&ZoneId=z&Size=1", 404, "InvalidRegionId.NotFound", NULL},
    {"CreateDisk", "RegionId=cn-paris&ZoneId=z-9&Size=1", 404, "InvalidZoneId.NotFound", "z-9"},
    {"CreateDisk", "RegionId=cn-paris&ZoneId=cn-paris-a&Size=0", 400,
     "InvalidSize.ValueNotSupported", NULL},
    {"CreateDisk", "RegionId=cn-paris&ZoneId=cn-paris-a&Size=1x", 400,
     "InvalidSize.ValueNotSupported", NULL},
    {"CreateDisk", "RegionId=cn-paris&ZoneId=cn-paris-a&Size=99999999999999999999", 400,
     "InvalidSize.ValueNotSupported", NULL},
    {"CreateDisk", "RegionId=cn-paris&ZoneId=cn-paris-a&SizeBytes=5000", 400,
     "InvalidSize.ValueNotSupported", "5000"},
    {"CreateDisk", "RegionId=cn-paris&ZoneId=cn-paris-a&Size=1&DiskName=1x", 400,
     "InvalidDiskName.Malformed", NULL},
    {"CreateDisk", "RegionId=cn-paris&ZoneId=cn-paris-a&Size=1&DiskCategory=tape", 400,
     "InvalidDiskCategory.ValueNotSupported", NULL},
    {"CreateDisk", "RegionId=cn-paris&ZoneId=cn-paris-a&Size=1&Encrypted=maybe", 400,
     "InvalidParameter", "Encrypted"},
    {"CreateDisk", "RegionId=cn-paris&ZoneId=cn-paris-a&Size=1&ClientToken=%C3%A9", 400,
     "InvalidClientToken", NULL},
    {"ImportDisk", "Path=relative", 400, "InvalidParameter", "relative"},
    {"ImportDisk", "Path=/missing", 400, "InvalidParameter", "/missing: no such file"},
    {"ImportDisk", "DiskName=ab", 400, "MissingPath", NULL},
    {"DeleteDisk", "DiskId=d-none", 404, "InvalidDiskId.NotFound", "d-none"},
    {"AttachDisk", "DiskId=d-none&InstanceId=i-1", 404, "InvalidDiskId.NotFound", "d-none"},
    {"AttachDisk", "DiskId=d-none", 400, "MissingInstanceId", NULL},
    {"DescribeDisks", "RegionId=cn-paris&DiskIds=d-1", 400, "InvalidParameter.DiskIds", NULL},
    {"DescribeDisks", "RegionId=cn-paris&DiskIds=[1]", 400, "InvalidParameter.DiskIds", NULL},
    {"DescribeDisks",
     "RegionId=cn-paris&DiskIds=[" TEN_IDS TEN_IDS TEN_IDS TEN_IDS TEN_IDS TEN_IDS TEN_IDS TEN_IDS
         TEN_IDS TEN_IDS "\"d\"]",
     403, "InvalidDiskIds.Malformed", NULL},
    {"DescribeDisks", "RegionId=cn-paris&PageSize=101", 400, "InvalidPageSize", NULL},
    {"DescribeDisks", "RegionId=cn-paris&NextToken=nonsense", 400, "InvalidNextToken", NULL},
    {"CreateDiskReplicaGroup",
     "RegionId=cn-paris&SourceZoneId=cn-paris-a&DestinationRegionId=cn-lyon&"
     "DestinationZoneId=cn-lyon-a&GroupName=http://x",
     400, "InvalidParameter", "GroupName"},
    {"CreateDiskReplicaGroup",
     "RegionId=cn-paris&SourceZoneId=cn-paris-a&DestinationRegionId=cn-lyon&"
     "DestinationZoneId=cn-lyon-a&RPO=0",
     400, "InvalidRPO", NULL},
    {"CreateDiskReplicaGroup",
     "RegionId=cn-paris&SourceZoneId=cn-paris-a&DestinationRegionId=cn-paris&"
     "DestinationZoneId=cn-paris-a",
     403, "OperationDenied", "one site"},
    {"CreateDiskReplicaGroup",
     "RegionId=cn-paris&SourceZoneId=cn-paris-a&DestinationRegionId=cn-lyon&DestinationZoneId=z-9",
     404, "NoSuchResource", "z-9"},
    {"StartDiskReplicaPair", "RegionId=cn-paris&ReplicaPairId=pair-none", 404, "NoSuchResource",
     "pair-none"},
    {"FailoverDiskReplicaGroup", "RegionId=cn-lyon&ReplicaGroupId=pg-none", 404, "NoSuchResource",
     "pg-none"},
    {"ReprotectDiskReplicaGroup", "RegionId=cn-paris", 400, "MissingReplicaGroupId", NULL},
    {"ReprotectDiskReplicaGroup", "RegionId=cn-paris&ReplicaGroupId=pg-1&ReverseReplicate=1", 400,
     "InvalidParameter", "ReverseReplicate"},
    {"DescribeDiskReplicaPairs", "RegionId=cn-paris&Site=left", 400, "InvalidSite", NULL},
    {"DescribeDiskReplicaPairs", "RegionId=cn-paris&MaxResults=501", 400, "InvalidMaxResults",
     NULL},
    {"DescribeDiskReplicaPairs", "RegionId=cn-paris&PairIds=a,,b", 400, "InvalidPairIds", NULL},
    {"DescribeDiskReplicaPairProgress", "RegionId=cn-paris&ReplicaPairId=pair-none", 404,
     "NoSuchResource", NULL},
    {"DescribeDiskAccess", "DiskId=d-none", 404, "InvalidDiskId.NotFound", NULL},
    {"ForgetDiskReplica", "ReplicaId=pg-none&Confirm=pg-none&Reason=because", 404, "NoSuchResource",
     NULL},
    {"ForgetDiskReplica", "ReplicaId=pg-none&Reason=because", 400, "MissingConfirm", NULL},
    {"ForceOpenDiskReplica", "ReplicaId=pg-none&Reason=because", 404, "NoSuchResource", NULL},
};

static void test_bad_input(void **state)
{
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        drive_fails(*state, PARIS, rows[i].status, rows[i].code, rows[i].part, rows[i].action, "%s",
                    rows[i].query);
}

/* What was opened to learn its size is closed again. */
static void test_refused_import_is_closed(void **state)
{
    struct fake_world *world = *state;
    unsigned open = 0;

    drive_fails(world, PARIS, 400, "InvalidParameter", "100 bytes", "ImportDisk", "Path=/odd");
    for (unsigned i = 0; i < FAKE_DISKS; i++)
        open += world->sites[PARIS].disks[i].is_open;
    assert_int_equal(open, 0);
}

static void test_pairs_that_cannot_be(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char small[64], big[64], other[64];

    drive_pair(world, &pair);
    drive_disk(world, PARIS, other);
    drive_ok(world, PARIS, "CreateDisk", "DiskId", small,
             "RegionId=cn-paris&ZoneId=cn-paris-a&SizeBytes=4096");
    drive_disk(world, LYON, big);
    drive_fails(world, PARIS, 404, "NoSuchResource", "d-none", "CreateDiskReplicaPair", CREATE_PAIR,
                "d-none", big);
    drive_fails(world, PARIS, 404, "NoSuchResource", "d-none", "CreateDiskReplicaPair", CREATE_PAIR,
                other, "d-none");
    drive_fails(world, PARIS, 403, "OperationDenied", small, "CreateDiskReplicaPair", CREATE_PAIR,
                small, big);
    drive_fails(world, PARIS, 403, "OperationDenied.QuotaExceed", pair.id, "CreateDiskReplicaPair",
                CREATE_PAIR, pair.paris_disk, big);
    drive_fails(world, PARIS, 403, "OperationDenied.QuotaExceed", pair.lyon_disk,
                "CreateDiskReplicaPair", CREATE_PAIR, other, pair.lyon_disk);
    fake_net(world, false);
    drive_fails(world, PARIS, 504, "RequestTimeout", "lyon", "CreateDiskReplicaPair", CREATE_PAIR,
                other, big);
    drive_fails(world, PARIS, 504, "RequestTimeout", "lyon", "StartDiskReplicaPair",
                "RegionId=cn-paris&ReplicaPairId=%s", pair.id);
}

static void test_disks_in_replication(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    drive_pair(world, &pair);
    drive_fails(world, LYON, 403, "IncorrectDiskStatus", pair.id, "AttachDisk",
                "InstanceId=i-1&DiskId=%s", pair.lyon_disk);
    drive_fails(world, PARIS, 403, "IncorrectDiskStatus", pair.id, "DeleteDisk", "DiskId=%s",
                pair.paris_disk);
    drive_ok(world, PARIS, "AttachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s", pair.paris_disk);
    assert_true(fake_disk_of(world, PARIS, pair.paris_disk)->is_wanted);
    drive_fails(world, PARIS, 404, "InvalidDisk.InUse", pair.paris_disk, "AttachDisk",
                "InstanceId=i-2&DiskId=%s", pair.paris_disk);
    drive_fails(world, PARIS, 403, "DependencyViolation", "i-1", "DetachDisk",
                "InstanceId=i-2&DiskId=%s", pair.paris_disk);
    drive_ok(world, PARIS, "DetachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s", pair.paris_disk);
    assert_false(fake_disk_of(world, PARIS, pair.paris_disk)->is_wanted);
    drive_fails(world, PARIS, 404, "InvalidDisk.AlreadyDetached", NULL, "DetachDisk",
                "InstanceId=i-1&DiskId=%s", pair.paris_disk);
}

static void test_attached_target_keeps_from_start(void **state)
{
    struct fake_world *world = *state;
    char paris[64], lyon[64], pair[64];

    drive_disk(world, PARIS, paris);
    drive_disk(world, LYON, lyon);
    drive_ok(world, LYON, "AttachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s", lyon);
    drive_ok(world, PARIS, "CreateDiskReplicaPair", "ReplicaPairId", pair, CREATE_PAIR, paris,
             lyon);
    drive_fails(world, PARIS, 400, "OperationDenied.StandbyDeviceAttached", lyon,
                "StartDiskReplicaPair", "RegionId=cn-paris&ReplicaPairId=%s", pair);
    drive_ok(world, LYON, "DetachDisk", NULL, NULL, "InstanceId=i-1&DiskId=%s", lyon);
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, "RegionId=cn-paris&ReplicaPairId=%s",
             pair);
}

static void test_group_rules(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pairs[4];
    char group[64], second[64];

    drive_group(world, group);
    drive_group(world, second);
    drive_fails(world, PARIS, 403, "OperationDenied.NoPairInGroup", NULL, "StartDiskReplicaGroup",
                "RegionId=cn-paris&ReplicaGroupId=%s", group);
    drive_fails(world, LYON, 403, "OperationDenied.NoPairInGroup", NULL, "FailoverDiskReplicaGroup",
                "RegionId=cn-lyon&ReplicaGroupId=%s", group);
    drive_fails(world, LYON, 403, "OperationDenied.OperateNotAllowedForStandby", NULL,
                "DeleteDiskReplicaGroup", "RegionId=cn-lyon&ReplicaGroupId=%s", group);
    for (unsigned i = 0; i < 4; i++)
        drive_pair(world, &pairs[i]);
    for (unsigned i = 0; i < 3; i++)
        drive_add(world, group, &pairs[i]);
    drive_fails(world, PARIS, 403, "OperationDenied.PairsExceedInGroup", NULL, "AddDiskReplicaPair",
                "RegionId=cn-paris&ReplicaGroupId=%s&ReplicaPairId=%s", group, pairs[3].id);
    drive_fails(world, PARIS, 403, "OperationDenied.PairInAnotherGroup", group,
                "AddDiskReplicaPair", "RegionId=cn-paris&ReplicaGroupId=%s&ReplicaPairId=%s",
                second, pairs[0].id);
    drive_fails(world, PARIS, 403, "OperationDenied.PairNotInGroup", NULL, "RemoveDiskReplicaPair",
                "RegionId=cn-paris&ReplicaGroupId=%s&ReplicaPairId=%s", group, pairs[3].id);
    drive_fails(world, PARIS, 403, "OperationDenied", group, "StartDiskReplicaPair",
                "RegionId=cn-paris&ReplicaPairId=%s", pairs[0].id);
    drive_fails(world, PARIS, 403, "OperationDenied", group, "DeleteDiskReplicaPair",
                "RegionId=cn-paris&ReplicaPairId=%s", pairs[0].id);
    drive_ok(world, PARIS, "StartDiskReplicaGroup", NULL, NULL,
             "RegionId=cn-paris&ReplicaGroupId=%s", group);
    drive_fails(world, LYON, 403, "OperationDenied.InvalidStatus", "no recovery point",
                "FailoverDiskReplicaGroup", "RegionId=cn-lyon&ReplicaGroupId=%s", group);
    drive_fails(world, PARIS, 403, "OperationDenied.GroupStatusCannotRemovePair", NULL,
                "RemoveDiskReplicaPair", "RegionId=cn-paris&ReplicaGroupId=%s&ReplicaPairId=%s",
                group, pairs[0].id);
    fake_copy(world);
    drive_fails(world, LYON, 403, "OperationDenied.InvalidStatus", "normal",
                "ReprotectDiskReplicaGroup", "RegionId=cn-lyon&ReplicaGroupId=%s", group);
    drive_fails(world, PARIS, 403, "OperationDenied.InvalidStatus", "normal",
                "DeleteDiskReplicaGroup", "RegionId=cn-paris&ReplicaGroupId=%s", group);
}

/* The site that was failed over to knows: the lost one need not be asked. */
static void test_failed_over_with_the_source_gone(void **state)
{
    static const char *const asked[][3] = {
        {"Pair", "Start", ""},  {"Pair", "Stop", ""},  {"Pair", "Modify", "&PairName=lost"},
        {"Group", "Start", ""}, {"Group", "Stop", ""},
    };
    struct fake_world *world = *state;
    struct drive_pair pair, member;
    char group[64];

    drive_pair(world, &pair);
    drive_pair(world, &member);
    drive_group(world, group);
    drive_add(world, group, &member);
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, "RegionId=cn-paris&ReplicaPairId=%s",
             pair.id);
    drive_ok(world, PARIS, "StartDiskReplicaGroup", NULL, NULL,
             "RegionId=cn-paris&ReplicaGroupId=%s", group);
    fake_copy(world);
    fake_net(world, false);
    drive_fails(world, LYON, 504, "RequestTimeout", NULL, "StopDiskReplicaPair",
                "RegionId=cn-lyon&ReplicaPairId=%s", pair.id);
    drive_ok(world, LYON, "FailoverDiskReplicaPair", NULL, NULL,
             "RegionId=cn-lyon&ReplicaPairId=%s", pair.id);
    drive_ok(world, LYON, "FailoverDiskReplicaGroup", NULL, NULL,
             "RegionId=cn-lyon&ReplicaGroupId=%s", group);
    fake_run(world, UINT64_C(1000000000));
    for (unsigned i = 0; i < ARRAY_COUNT(asked); i++) {
        char action[64];

        snprintf(action, sizeof(action), "%sDiskReplica%s", asked[i][1], asked[i][0]);
        drive_fails(world, LYON, 403, "OperationDenied.InvalidStatus", "failovered", action,
                    "RegionId=cn-lyon&Replica%sId=%s%s", asked[i][0],
                    asked[i][0][0] == 'P' ? pair.id : group, asked[i][2]);
    }
    fake_net(world, true);
}

static void test_tokens(void **state)
{
    struct fake_world *world = *state;
    char first[64], again[64];

    drive_ok(world, PARIS, "CreateDisk", "DiskId", first,
             "RegionId=cn-paris&ZoneId=cn-paris-a&SizeBytes=4096&ClientToken=t1&Nonce=1");
    drive_ok(world, PARIS, "CreateDisk", "DiskId", again,
             "RegionId=cn-paris&ZoneId=cn-paris-a&SizeBytes=4096&ClientToken=t1&Nonce=2");
    assert_string_equal(first, again);
    drive_fails(world, PARIS, 400, "IdempotentParameterMismatch", NULL, "CreateDisk",
                "RegionId=cn-paris&ZoneId=cn-paris-a&SizeBytes=8192&ClientToken=t1");
    fake_site_crash(world, PARIS);
    fake_site_start(world, PARIS);
    drive_ok(world, PARIS, "CreateDisk", "DiskId", again,
             "RegionId=cn-paris&ZoneId=cn-paris-a&SizeBytes=4096&ClientToken=t1");
    assert_string_equal(first, again);
}

static void test_token_in_progress(void **state)
{
    static const char query[] = "RegionId=cn-paris&ZoneId=cn-paris-a&SizeBytes=4096&ClientToken=t1";
    struct fake_world *world = *state;
    char count[64];

    fake_hold(world, PARIS, DATA_DISK_OPEN, false);
    fake_ask_and_forget(world, PARIS, "CreateDisk", query);
    drive_fails(world, PARIS, 403, "LastTokenProcessing", NULL, "CreateDisk", "%s", query);
    fake_release(world, PARIS);
    drive_ok(world, PARIS, "CreateDisk", NULL, NULL, "%s", query);
    drive_ok(world, PARIS, "DescribeDisks", "TotalCount", count, "RegionId=cn-paris");
    assert_string_equal(count, "1");
}

/* Texts that are longer than what records hold, and calls that are too large to pass on. */
static void test_overlong_texts(void **state)
{
    struct fake_world *world = *state;
    static char query[700000];
    char text[300], disk[64];
    unsigned status;

    memset(text, 'x', sizeof(text));
    text[250] = 0;
    drive_fails(world, PARIS, 404, "InvalidResourceGroup.NotFound", NULL, "CreateDisk",
                "RegionId=cn-paris&ZoneId=cn-paris-a&Size=1&ResourceGroupId=%s", text);
    drive_disk(world, PARIS, disk);
    drive_fails(world, PARIS, 400, "InvalidInstanceId", NULL, "AttachDisk",
                "DiskId=%s&InstanceId=%s", disk, text);
    drive_fails(world, PARIS, 404, "NoSuchResource", NULL, "CreateDiskReplicaPair", CREATE_PAIR,
                disk, text);
    drive_fails(world, PARIS, 404, "InvalidDiskId.NotFound", NULL, "DeleteDisk", "DiskId=%s", text);
    strcpy(query, "RegionId=cn-lyon&Junk=");
    memset(query + strlen(query), 'x', sizeof(query) - 100);
    json_t *reply = fake_ask(world, PARIS, "DescribeDisks", query, &status);
    assert_int_equal(status, 413);
    json_decref(reply);
}

/* Wherever the cut falls, the message has the contract's sentence and what fits of the name. */
static void test_cut_between_characters(void **state)
{
    static const char *const characters[] = {"\xc3\xa9", "\xe4\xb8\xad", "\xf0\x9f\x98\x80"};
    struct fake_world *world = *state;

    for (unsigned i = 0; i < 3; i++)
        for (size_t before = 0; before < 4; before++) {
            size_t size = strlen(characters[i]), whole = (60 - before) / size;
            char id[400], part[200];

            memset(id, 'x', before);
            id[before] = '\0';
            for (size_t count = 0; count < 60; count++) {
                strcat(id, characters[i]);
                if (count + 1 == whole)
                    snprintf(part, sizeof(part), "Pair %s is not known at site paris.", id);
            }
            drive_fails(world, PARIS, 404, "NoSuchResource", part, "StopDiskReplicaPair",
                        "RegionId=cn-paris&ReplicaPairId=%s", id);
        }
}

static void test_stale_half_makes_room(void **state)
{
    struct fake_world *world = *state;
    char paris[64], lyon[64], query[300];

    drive_disk(world, PARIS, paris);
    drive_disk(world, LYON, lyon);
    snprintf(query, sizeof(query), CREATE_PAIR, paris, lyon);
    fake_hold(world, LYON, DATA_CALL_REPLY, false);
    fake_ask_and_forget(world, PARIS, "CreateDiskReplicaPair", query);
    /* The reply is lost, but not the link. */
    struct fake_call *waiting = &world->sites[PARIS].calls[0];
    assert_non_null(waiting->request);
    waiting->request->error = -ETIMEDOUT;
    waiting->request->done_cb(waiting->request);
    waiting->request = NULL;
    fake_release(world, LYON);
    drive_ok(world, PARIS, "CreateDiskReplicaPair", NULL, NULL, "%s", query);
}

/* The half that the peer never heard the end of has the same disk of the peer, another of ours. */
static void test_stale_half_of_the_same_primary(void **state)
{
    struct fake_world *world = *state;
    char paris[64], lyon[64], other[64], query[300];

    drive_disk(world, PARIS, paris);
    drive_disk(world, LYON, lyon);
    drive_disk(world, LYON, other);
    snprintf(query, sizeof(query), CREATE_PAIR, paris, lyon);
    fake_hold(world, LYON, DATA_CALL_REPLY, false);
    fake_ask_and_forget(world, PARIS, "CreateDiskReplicaPair", query);
    struct fake_call *waiting = &world->sites[PARIS].calls[0];
    waiting->request->error = -ETIMEDOUT;
    waiting->request->done_cb(waiting->request);
    waiting->request = NULL;
    fake_release(world, LYON);
    snprintf(query, sizeof(query), CREATE_PAIR, paris, other);
    drive_ok(world, PARIS, "CreateDiskReplicaPair", NULL, NULL, "%s", query);
}

/* The pairs that a site knows; the first one's status. */
static unsigned pairs_of(struct fake_world *world, unsigned site, enum replica_state *ret_status)
{
    void *records = NULL;
    unsigned count = 0;

    assert_int_equal(meta_list(world->sites[site].meta, RECORD_PAIR, NULL, NULL, &records, &count),
                     0);
    if (count > 0)
        *ret_status = ((const struct pair_record *)records)->common.status;
    free(records);
    return count;
}

/* The peer's answer is under way for longer than any creation takes: what it keeps is not taken for
 * given up, neither by itself nor for another pair of that disk. */
static void test_half_of_one_under_way_stays(void **state)
{
    struct fake_world *world = *state;
    char paris[64], other[64], lyon[64], query[300], others[300];
    enum replica_state status = REPLICA_INVALID;

    drive_disk(world, PARIS, paris);
    drive_disk(world, PARIS, other);
    drive_disk(world, LYON, lyon);
    snprintf(query, sizeof(query), CREATE_PAIR, paris, lyon);
    snprintf(others, sizeof(others), CREATE_PAIR, other, lyon);
    fake_hold(world, LYON, DATA_CALL_REPLY, false);
    fake_ask_and_forget(world, PARIS, "CreateDiskReplicaPair", query);
    world->sites[LYON].is_holding = false; /* this reply alone */
    fake_run(world, 30ull * 1000000000);
    drive_fails(world, PARIS, 403, "OperationDenied.QuotaExceed", lyon, "CreateDiskReplicaPair",
                "%s", others);
    fake_release(world, LYON);
    fake_run(world, 10ull * 1000000000);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pairs_of(world, i, &status), 1);
        assert_int_equal(status, REPLICA_CREATED);
    }
    drive_fails(world, PARIS, 403, "OperationDenied.QuotaExceed", lyon, "CreateDiskReplicaPair",
                "%s", others);
}

/* It failed, the engine ended it all the same, the operator asks for the other way: what the engine
 * did is what is told. */
static void test_direction_is_the_engines(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    drive_pair(world, &pair);
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, "RegionId=cn-paris&ReplicaPairId=%s",
             pair.id);
    fake_copy(world);
    drive_ok(world, LYON, "FailoverDiskReplicaPair", NULL, NULL,
             "RegionId=cn-lyon&ReplicaPairId=%s", pair.id);
    drive_status(world, pair.id, "failovered");
    world->sites[LYON].fail_op = DATA_STREAM_REPROTECT;
    world->sites[LYON].fail_error = -EIO;
    drive_ok(world, LYON, "ReprotectDiskReplicaPair", NULL, NULL,
             "RegionId=cn-lyon&ReplicaPairId=%s", pair.id);
    drive_status(world, pair.id, "reprotect_failed");
    fake_stream_of(world, LYON, pair.id)->role = DATA_ROLE_SOURCE;
    fake_stream_of(world, PARIS, pair.id)->role = DATA_ROLE_TARGET;
    drive_ok(world, LYON, "ReprotectDiskReplicaPair", NULL, NULL,
             "RegionId=cn-lyon&ReplicaPairId=%s&ReverseReplicate=false", pair.id);
    drive_status(world, pair.id, "stopped");
    drive_expect(world, PARIS, pair.id, "SourceRegion", "cn-lyon");
}

/* The half that makes room for another pair takes its tags along. */
static void test_stale_half_takes_its_tags(void **state)
{
    struct fake_world *world = *state;
    struct meta *meta = world->sites[LYON].meta;
    struct meta_query tags = {.kind = RECORD_TAG}, sets = {.kind = RECORD_TAG_SET};
    char paris[64], lyon[64], other[64], query[300];
    void *records = NULL;
    unsigned count = 0;

    drive_disk(world, PARIS, paris);
    drive_disk(world, LYON, lyon);
    drive_disk(world, LYON, other);
    snprintf(query, sizeof(query), CREATE_PAIR, paris, lyon);
    fake_hold(world, LYON, DATA_CALL_REPLY, false);
    fake_ask_and_forget(world, PARIS, "CreateDiskReplicaPair", query);
    assert_int_equal(meta_list(meta, RECORD_PAIR, NULL, NULL, &records, &count), 0);
    assert_int_equal(count, 1);
    drive_ok(world, LYON, "TagResources", NULL, NULL,
             "RegionId=cn-lyon&ResourceType=diskreplicapair&ResourceId.1=%s&Tag.1.Key=team",
             ((const struct pair_record *)records)->common.id);
    free(records);
    struct fake_call *waiting = &world->sites[PARIS].calls[0];
    struct data_request *request = waiting->request;
    waiting->request = NULL;
    world->is_link_up = false; /* nor does lyon hear that it is over */
    request->error = -ETIMEDOUT;
    request->done_cb(request);
    fake_run(world, 0);
    world->is_link_up = true;
    fake_release(world, LYON);
    snprintf(query, sizeof(query), CREATE_PAIR, paris, other);
    drive_ok(world, PARIS, "CreateDiskReplicaPair", NULL, NULL, "%s", query);
    assert_int_equal(meta_count(meta, &tags, &count), 0);
    assert_int_equal(count, 0);
    assert_int_equal(meta_count(meta, &sets, &count), 0);
    assert_int_equal(count, 0);
}

/* Its reply came too late, the link stayed up: the half goes at once. */
static void test_stale_half_goes(void **state)
{
    struct fake_world *world = *state;
    enum replica_state status;
    char paris[64], lyon[64], query[300];

    drive_disk(world, PARIS, paris);
    drive_disk(world, LYON, lyon);
    snprintf(query, sizeof(query), CREATE_PAIR, paris, lyon);
    fake_hold(world, LYON, DATA_CALL_REPLY, false);
    fake_ask_and_forget(world, PARIS, "CreateDiskReplicaPair", query);
    assert_int_equal(pairs_of(world, LYON, &status), 1);
    struct fake_call *waiting = &world->sites[PARIS].calls[0];
    struct data_request *request = waiting->request;
    waiting->request = NULL;
    request->error = -ETIMEDOUT;
    request->done_cb(request);
    fake_release(world, LYON);
    assert_int_equal(pairs_of(world, LYON, &status), 0);
}

/* Only its own half, and only while it is one. */
static void test_only_a_half_is_dropped(void **state)
{
    struct fake_world *world = *state;
    struct data_event event = {.kind = DATA_EVENT_CALL, .name = "paris", .call = 4711};
    struct drive_pair pair;
    enum replica_state status;
    char call[200];

    drive_pair(world, &pair);
    snprintf(call, sizeof(call), "{\"v\":1,\"call\":\"pair.drop\",\"args\":{\"id\":\"%s\"}}",
             pair.id);
    event.bytes = call;
    event.length = (uint32_t)strlen(call);
    control_event(world->sites[LYON].control, &event);
    fake_run(world, 0);
    assert_int_equal(pairs_of(world, LYON, &status), 1);
    drive_write_state(world, PARIS, pair.id, REPLICA_CREATING); /* as if lyon were making it */
    strcpy(event.name, "lyon");
    control_event(world->sites[PARIS].control, &event);
    fake_run(world, 0);
    assert_int_equal(pairs_of(world, PARIS, &status), 1);
}

/* While the peer was asked, the disk was deleted: no pair without a disk. */
static void test_disk_goes_while_the_peer_is_asked(void **state)
{
    struct fake_world *world = *state;
    enum replica_state status;
    char paris[64], lyon[64], query[300];

    drive_disk(world, PARIS, paris);
    drive_disk(world, LYON, lyon);
    snprintf(query, sizeof(query), CREATE_PAIR, paris, lyon);
    fake_hold(world, LYON, DATA_CALL_REPLY, false);
    fake_ask_and_forget(world, PARIS, "CreateDiskReplicaPair", query);
    drive_ok(world, PARIS, "DeleteDisk", NULL, NULL, "DiskId=%s", paris);
    fake_release(world, LYON);
    fake_run(world, 0);
    assert_int_equal(pairs_of(world, PARIS, &status), 0);
    assert_int_equal(pairs_of(world, LYON, &status), 0); /* its half neither */
}

/* A success that did nothing is remembered as well: asked again later, nothing happens. */
static void test_repeat_is_remembered(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char query[120];

    drive_pair(world, &pair);
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, "RegionId=cn-paris&ReplicaPairId=%s",
             pair.id);
    fake_copy(world);
    drive_ok(world, LYON, "FailoverDiskReplicaPair", NULL, NULL,
             "RegionId=cn-lyon&ReplicaPairId=%s", pair.id);
    drive_status(world, pair.id, "failovered");
    snprintf(query, sizeof(query), "RegionId=cn-lyon&ReplicaPairId=%s&ClientToken=twice", pair.id);
    drive_ok(world, LYON, "FailoverDiskReplicaPair", NULL, NULL, "%s", query);
    drive_ok(world, LYON, "ReprotectDiskReplicaPair", NULL, NULL,
             "RegionId=cn-lyon&ReplicaPairId=%s&ReverseReplicate=false", pair.id);
    drive_status(world, pair.id, "stopped");
    drive_ok(world, LYON, "FailoverDiskReplicaPair", NULL, NULL, "%s", query);
    drive_status(world, pair.id, "stopped");
}

static void test_pages(void **state)
{
    struct fake_world *world = *state;
    char id[64], token[64], count[64];

    for (unsigned i = 0; i < 5; i++)
        drive_disk(world, PARIS, id);
    drive_ok(world, PARIS, "DescribeDisks", "NextToken", token, "RegionId=cn-paris&MaxResults=2");
    assert_true(token[0]);
    drive_ok(world, PARIS, "DescribeDisks", "NextToken", token,
             "RegionId=cn-paris&MaxResults=2&NextToken=%s", token);
    drive_ok(world, PARIS, "DescribeDisks", "NextToken", token,
             "RegionId=cn-paris&MaxResults=2&NextToken=%s", token);
    assert_string_equal(token, "");
    drive_ok(world, PARIS, "DescribeDisks", "TotalCount", count,
             "RegionId=cn-paris&PageNumber=9&PageSize=2");
    assert_string_equal(count, "5");
    drive_ok(world, PARIS, "DescribeDisks", "TotalCount", count, "RegionId=cn-paris&DiskIds=[]");
    assert_string_equal(count, "0");
    drive_ok(world, PARIS, "DescribeDisks", "TotalCount", count, "RegionId=cn-lyon");
    assert_string_equal(count, "0"); /* the other site's */
}

static void test_failed_data_wing(void **state)
{
    struct fake_world *world = *state;
    char count[64];

    world->sites[PARIS].fail_op = DATA_DISK_OPEN;
    world->sites[PARIS].fail_error = -ENOSPC;
    drive_fails(world, PARIS, 500, "InternalError", "made to fail", "CreateDisk",
                "RegionId=cn-paris&ZoneId=cn-paris-a&Size=1");
    drive_ok(world, PARIS, "DescribeDisks", "TotalCount", count, "RegionId=cn-paris");
    assert_string_equal(count, "0");
}

#define STORY(test) cmocka_unit_test_setup_teardown(test, drive_setup, drive_teardown)

/* What a failed start left is still being removed: no other start takes it for a stream. */
static void test_start_behind_a_failed_one(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char query[120];

    drive_pair(world, &pair);
    snprintf(query, sizeof(query), "RegionId=cn-paris&ReplicaPairId=%s", pair.id);
    world->sites[PARIS].fail_op = DATA_STREAM_OPEN;
    world->sites[PARIS].fail_error = -ENOSPC;
    fake_hold(world, PARIS, DATA_STREAM_REMOVE, false);
    drive_fails(world, PARIS, 500, "InternalError", NULL, "StartDiskReplicaPair", "%s", query);
    drive_fails(world, PARIS, 403, "OperationDenied.InvalidStatus", NULL, "StartDiskReplicaPair",
                "%s", query);
    world->sites[PARIS].fail_op = DATA_STREAM_REMOVE;
    world->sites[PARIS].fail_error = -EIO;
    fake_release(world, PARIS);
    drive_fails(world, PARIS, 403, "OperationDenied.InvalidStatus", NULL, "StartDiskReplicaPair",
                "%s", query);
    fake_run(world, 3ull * 1000000000);
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, "%s", query);
    assert_true(fake_stream_of(world, PARIS, pair.id)->is_started);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_bad_input),
        STORY(test_refused_import_is_closed),
        STORY(test_pairs_that_cannot_be),
        STORY(test_disks_in_replication),
        STORY(test_attached_target_keeps_from_start),
        STORY(test_group_rules),
        STORY(test_failed_over_with_the_source_gone),
        STORY(test_tokens),
        STORY(test_token_in_progress),
        STORY(test_overlong_texts),
        STORY(test_cut_between_characters),
        STORY(test_stale_half_makes_room),
        STORY(test_stale_half_of_the_same_primary),
        STORY(test_stale_half_goes),
        STORY(test_stale_half_takes_its_tags),
        STORY(test_only_a_half_is_dropped),
        STORY(test_half_of_one_under_way_stays),
        STORY(test_direction_is_the_engines),
        STORY(test_disk_goes_while_the_peer_is_asked),
        STORY(test_repeat_is_remembered),
        STORY(test_pages),
        STORY(test_failed_data_wing),
        STORY(test_start_behind_a_failed_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
