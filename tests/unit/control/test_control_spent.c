/* SPDX-License-Identifier: Apache-2.0 */
/* A request that was heard on the way is not taken at the other site either. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/spent.h"
#include "control/tree.h"
#include "roster_drive.h"

#define SECOND UINT64_C(1000000000)
#define CREATE_GROUP                                                                               \
    "RegionId=%s&SourceZoneId=%s-a&DestinationRegionId=%s&DestinationZoneId=%s-a&GroupName=late"

/* The first to be told waits for others so long. */
#define GATHERED (2 * SECOND / 1000)

/* Stands for a site's door. */
struct taker {
    json_t *used; /* "key nonce": when */
    enum api_error error;
    unsigned asked;
};

static enum api_error take(void *arg, const char *key_id, const char *nonce, int64_t time_s)
{
    struct taker *taker = arg;
    char name[200];

    taker->asked++;
    if (taker->error != API_OK)
        return taker->error;
    snprintf(name, sizeof(name), "%s %s", key_id, nonce);
    if (json_object_get(taker->used, name))
        return API_NONCE_USED;
    tree_set_int(taker->used, name, time_s);
    return API_OK;
}

static void be_door(struct fake_world *world, unsigned site, struct taker *taker)
{
    struct site *control = control_site(world->sites[site].control);

    *taker = (struct taker){.used = json_object()};
    control->take_nonce_cb = take;
    control->take_nonce_arg = taker;
}

/* By a key of root, which both sites know. */
static void sign(struct fake_world *world, const char *nonce)
{
    struct roster_key key = {"", ""};

    if (world->caller.kind == CALLER_LOCAL) {
        roster_drive_key(world, PARIS, NULL, &key);
        fake_run(world, SECOND);
        roster_drive_as(world, "root", &key);
        world->caller.kind = CALLER_ROOT_KEY;
    }
    snprintf(world->caller.nonce, sizeof(world->caller.nonce), "%s", nonce);
    world->caller.signed_s = 77;
}

static int64_t used(const struct fake_world *world, const struct taker *taker, const char *nonce)
{
    char name[200];

    snprintf(name, sizeof(name), "%s %s", world->caller.key_id, nonce);
    return tree_int(taker->used, name, 0);
}

static unsigned groups(struct fake_world *world, unsigned site)
{
    void *records = NULL;
    unsigned count = 0;

    assert_int_equal(meta_list(world->sites[site].meta, RECORD_GROUP, NULL, NULL, &records, &count),
                     0);
    free(records);
    return count;
}

static void create_group(struct fake_world *world, unsigned asked, unsigned site)
{
    drive_ok(world, asked, "CreateDiskReplicaGroup", NULL, NULL, CREATE_GROUP, drive_regions[site],
             drive_regions[site], drive_regions[1 - site], drive_regions[1 - site]);
}

static void test_passed_on_once(void **state)
{
    struct fake_world *world = *state;
    struct taker lyon;

    be_door(world, LYON, &lyon);
    sign(world, "n-1");
    create_group(world, PARIS, LYON);
    assert_int_equal(used(world, &lyon, "n-1"), 77);
    drive_fails(world, PARIS, 400, "SignatureNonceUsed", NULL, "CreateDiskReplicaGroup",
                CREATE_GROUP, "cn-lyon", "cn-lyon", "cn-paris", "cn-paris");
    assert_int_equal(groups(world, LYON), 1);
    sign(world, "n-2");
    create_group(world, PARIS, LYON);
    assert_int_equal(groups(world, LYON), 2);

    lyon.error = API_SERVICE_UNAVAILABLE;
    sign(world, "n-3");
    drive_fails(world, PARIS, 503, "ServiceUnavailable", NULL, "CreateDiskReplicaGroup",
                CREATE_GROUP, "cn-lyon", "cn-lyon", "cn-paris", "cn-paris");
    assert_int_equal(groups(world, LYON), 2);
    json_decref(lyon.used);
}

static void test_reads_and_the_unsigned_take_nothing(void **state)
{
    struct fake_world *world = *state;
    struct taker lyon;

    be_door(world, LYON, &lyon);
    create_group(world, PARIS, LYON);
    create_group(world, PARIS, PARIS);
    sign(world, "n-1");
    for (unsigned i = 0; i < 2; i++)
        drive_ok(world, PARIS, "DescribeDiskReplicaGroups", NULL, NULL, "RegionId=%s",
                 drive_regions[i]);
    fake_run(world, SECOND);
    assert_int_equal(lyon.asked, 0);
    json_decref(lyon.used);
}

/* What was done here is told to the peer: at once, when it is back, and when it can remember. */
static void test_told_behind(void **state)
{
    struct fake_world *world = *state;
    struct taker lyon;

    be_door(world, LYON, &lyon);
    sign(world, "n-1");
    create_group(world, PARIS, PARIS);
    fake_run(world, GATHERED);
    assert_int_equal(used(world, &lyon, "n-1"), 77);

    fake_net(world, false);
    sign(world, "n-2");
    create_group(world, PARIS, PARIS);
    fake_net(world, true);
    fake_run(world, GATHERED);
    assert_int_equal(used(world, &lyon, "n-2"), 77);

    lyon.error = API_SERVICE_UNAVAILABLE;
    sign(world, "n-3");
    create_group(world, PARIS, PARIS);
    fake_run(world, GATHERED);
    lyon.error = API_OK;
    fake_run(world, 2 * SECOND);
    assert_int_equal(used(world, &lyon, "n-3"), 77);
    assert_int_equal(json_object_size(lyon.used), 3);
    json_decref(lyon.used);
}

static void be_refused(struct fake_world *world, unsigned first, unsigned count)
{
    char nonce[40];

    for (unsigned i = first; i < first + count; i++) {
        snprintf(nonce, sizeof(nonce), "n-%u", i);
        sign(world, nonce);
        drive_fails(world, PARIS, 404, "NoSuchResource", NULL, "StopDiskReplicaPair",
                    "RegionId=cn-paris&ReplicaPairId=pair-none");
    }
}

/* How many nonces the call has that stands still; 0: there is none. */
static unsigned nonces_on_their_way(struct fake_world *world)
{
    const struct data_request *request = world->sites[PARIS].held_request;
    unsigned count = 0;

    for (const char *at = request ? request->bytes : ""; (at = strstr(at, "\"nonce\"")); at++)
        count++;
    return count;
}

static void test_few_calls_of_many(void **state)
{
    struct fake_world *world = *state;
    struct taker lyon;

    be_door(world, LYON, &lyon);
    sign(world, "n-0");
    fake_hold(world, PARIS, DATA_CALL, false);
    be_refused(world, 1, 10);
    assert_int_equal(nonces_on_their_way(world), 0);
    fake_run(world, GATHERED);
    assert_int_equal(nonces_on_their_way(world), 10);
    fake_release(world, PARIS);
    fake_run(world, 0);
    assert_int_equal(json_object_size(lyon.used), 10);

    fake_hold(world, PARIS, DATA_CALL, false);
    be_refused(world, 11, 63);
    assert_int_equal(nonces_on_their_way(world), 0);
    be_refused(world, 74, 1); /* enough: it waits no more */
    assert_int_equal(nonces_on_their_way(world), 64);
    be_refused(world, 75, 3); /* behind a call as well */
    fake_release(world, PARIS);
    fake_run(world, 0);
    assert_int_equal(json_object_size(lyon.used), 74);
    fake_run(world, GATHERED);
    assert_int_equal(json_object_size(lyon.used), 77);
    json_decref(lyon.used);
}

/* Words to the peer change nothing here: who looks behind them needs no newer status. */
static void test_telling_leaves_the_status(void **state)
{
    struct fake_world *world = *state;
    struct taker lyon;

    be_door(world, LYON, &lyon);
    be_refused(world, 1, 1);
    fake_run(world, GATHERED);
    assert_int_equal(json_object_size(lyon.used), 1);
    fake_hold(world, PARIS, DATA_STATUS, false);
    drive_ok(world, PARIS, "DescribeDiskReplicaGroups", NULL, NULL, "RegionId=cn-paris");
    assert_null(world->sites[PARIS].held_request);
    world->sites[PARIS].is_holding = false;
    json_decref(lyon.used);
}

/* A refused call is told too: asked elsewhere it might not be refused. */
static void test_bounded(void **state)
{
    struct fake_world *world = *state;
    struct taker lyon;

    be_door(world, LYON, &lyon);
    sign(world, "n-0");
    fake_net(world, false);
    be_refused(world, 0, SPENT_MAX + 100);
    fake_net(world, true);
    fake_run(world, SECOND);
    assert_int_equal(json_object_size(lyon.used), SPENT_MAX);
    assert_int_equal(used(world, &lyon, "n-99"), 0);
    assert_int_equal(used(world, &lyon, "n-100"), 77);
    assert_int_equal(used(world, &lyon, "n-4195"), 77);
    json_decref(lyon.used);
}

static void test_hostile_tellings(void **state)
{
    static const char *const bad[] = {
        "{}",
        "{'items':{}}",
        "{'items':[7]}",
        "{'items':[{}]}",
        "{'items':[{'key':'K','nonce':'n'}]}",
        "{'items':[{'key':'K','nonce':'n','signed':'1'}]}",
        "{'items':[{'key':'K','nonce':'n','signed':1.5}]}",
        "{'items':[{'key':'','nonce':'n','signed':1}]}",
        "{'items':[{'key':'K','nonce':'','signed':1}]}",
        "{'items':[{'key':7,'nonce':'n','signed':1}]}",
        "{'items':[{'key':'K','nonce':'n\\u0000','signed':1}]}",
        "{'items':[{'key':'K','nonce':'n','signed':1},{'key':'K'}]}",
        "{'items':[{'key':'0123456789012345678901234567890123456789012345678901234567890123',"
        "'nonce':'n','signed':1}]}",
        "{'items':[{'key':'K','signed':1,'nonce':"
        "'01234567890123456789012345678901234567890123456789012345678901234'}]}",
    };
    struct fake_world *world = *state;
    struct data_event event = {.kind = DATA_EVENT_CALL, .name = "paris", .call = 4711};
    struct taker lyon;
    char text[5000];

    be_door(world, LYON, &lyon);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]) + 1; i++) {
        if (i < sizeof(bad) / sizeof(bad[0])) {
            snprintf(text, sizeof(text), "{'v':1,'call':'nonces.put','args':%s}", bad[i]);
        } else { /* too many */
            strcpy(text, "{'v':1,'call':'nonces.put','args':{'items':[");
            for (unsigned k = 0; k < 65; k++)
                strcat(text, "{'key':'K','nonce':'n','signed':1},");
            strcpy(text + strlen(text) - 1, "]}}");
        }
        for (char *at = text; *at; at++)
            *at = *at == '\'' ? '"' : *at;
        event.bytes = text;
        event.length = (uint32_t)strlen(text);
        control_event(world->sites[LYON].control, &event);
        fake_run(world, 0);
        assert_int_equal(lyon.asked, 0);
    }
    json_decref(lyon.used);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_passed_on_once, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_reads_and_the_unsigned_take_nothing, drive_setup,
                                        drive_teardown),
        cmocka_unit_test_setup_teardown(test_told_behind, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_few_calls_of_many, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_telling_leaves_the_status, drive_setup,
                                        drive_teardown),
        cmocka_unit_test_setup_teardown(test_bounded, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_hostile_tellings, drive_setup, drive_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
