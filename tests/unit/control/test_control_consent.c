/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call that was passed on and answered with RequestTimeout is never done: whatever stood still,
 * for how long, and whatever the peer says.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/consent.h"
#include "control/tree.h"
#include "drive.h"

#define MS UINT64_C(1000000)
#define NUMBER "0123456789abcdef"

/* Asked at paris, done at lyon. */
#define CREATE_GROUP                                                                               \
    "RegionId=cn-lyon&SourceZoneId=cn-lyon-a&DestinationRegionId=cn-paris&"                        \
    "DestinationZoneId=cn-paris-a&GroupName=late&ClientToken=T-1"

struct asked {
    unsigned status; /* 0: not answered */
    char code[64], message[700];
};

static void answered(void *arg, unsigned status, json_t *body)
{
    struct asked *asked = arg;

    assert_int_equal(asked->status, 0);
    asked->status = status;
    snprintf(asked->code, sizeof(asked->code), "%s", tree_text(body, "Code"));
    snprintf(asked->message, sizeof(asked->message), "%s", tree_text(body, "Message"));
}

static void ask_as(struct fake_world *world, unsigned site, const char *action, const char *query,
                   const struct call_pass *pass, struct asked *asked)
{
    struct form form = {0};
    json_t *texts = json_object();
    const char *version = strstr(action, "Replica") ? "2021-07-30" : "2014-05-26";

    memset(asked, 0, sizeof(*asked));
    assert_int_equal(form_parse(&form, query, strlen(query)), 0);
    for (unsigned i = 0; i < form.count; i++)
        json_object_set_new(texts, form.pairs[i].name, json_string(form.pairs[i].value));
    form_fini(&form);
    api_execute(world->sites[site].api, action, version, texts, &world->caller, "R-1", pass,
                answered, asked);
    json_decref(texts);
    fake_run(world, 0);
}

static void ask(struct fake_world *world, const char *action, const char *query,
                struct asked *asked)
{
    ask_as(world, PARIS, action, query, NULL, asked);
}

/* Paris' time is out, and the link stays up. */
static void time_out(struct fake_world *world)
{
    struct fake_call *waiting = world->sites[PARIS].calls;
    struct data_request *request;

    while (!waiting->request)
        waiting++;
    request = waiting->request;
    waiting->request = NULL;
    request->error = -ETIMEDOUT;
    snprintf(request->why, sizeof(request->why), "timed out");
    request->done_cb(request);
    fake_run(world, 0);
}

static unsigned count(struct fake_world *world, unsigned site, enum record_kind kind)
{
    void *records = NULL;
    unsigned number = 0;

    assert_int_equal(meta_list(world->sites[site].meta, kind, NULL, NULL, &records, &number), 0);
    free(records);
    return number;
}

static void expect_timeout(const struct asked *asked)
{
    assert_int_equal(asked->status, 504);
    assert_string_equal(asked->code, "RequestTimeout");
}

/* --- what the sender says -------------------------------------------------------------------- */

static void test_a_consent_is_given_once_and_in_time(void **state)
{
    struct consent consent = {.began_ns = 1000 * MS, .limit_ns = 2500 * MS};

    assert_int_equal(consent_step(&consent, 1100 * MS), 2400 * MS);
    assert_int_equal(consent.state, CONSENT_GIVEN);
    assert_int_equal(consent_step(&consent, 1100 * MS), 0); /* asked twice */
    assert_int_equal(consent.state, CONSENT_GIVEN);

    consent.state = CONSENT_OPEN;
    assert_int_equal(consent_step(&consent, 3000 * MS - 1), 500 * MS + 1);
    consent.state = CONSENT_OPEN;
    assert_int_equal(consent_step(&consent, 3000 * MS), 0); /* the last fifth is for the doing */
    assert_int_equal(consent.state, CONSENT_REFUSED);
    assert_int_equal(consent_step(&consent, 1100 * MS), 0); /* for good */
    consent.state = CONSENT_PENDING;
    assert_int_equal(consent_step(&consent, 1100 * MS), 0);
}

/* --- the windows ----------------------------------------------------------------------------- */

/* The peer reads the call when nobody waits any more. */
static void test_late_before_it_is_read(void **state)
{
    struct fake_world *world = *state;
    struct data_event event = {.kind = DATA_EVENT_CALL, .name = "paris", .call = 4711};
    struct data_request *request;
    struct asked asked;
    char bytes[2000];

    fake_hold(world, PARIS, DATA_CALL, false);
    ask(world, "CreateDiskReplicaGroup", CREATE_GROUP, &asked);
    request = world->sites[PARIS].held_request;
    assert_non_null(request);
    assert_true(request->length < sizeof(bytes));
    memcpy(bytes, request->bytes, request->length);
    event.bytes = bytes;
    event.length = request->length;
    world->sites[PARIS].is_holding = false;
    request->error = -ETIMEDOUT;
    request->done_cb(request);
    fake_run(world, 0);
    expect_timeout(&asked);
    control_event(world->sites[LYON].control, &event);
    fake_run(world, 5000 * MS);
    assert_int_equal(count(world, LYON, RECORD_GROUP), 0);
    assert_int_equal(count(world, LYON, RECORD_TOKEN), 0);
}

/* Of each kind of operation: shared, its own, and those that ask the peer first. */
static void test_late_before_the_consent(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    struct asked asked;
    char disk[64], other[64], queries[6][400];
    static const char *const actions[] = {"CreateDiskReplicaGroup", "CreateDisk", "DeleteDisk",
                                          "CreateDiskReplicaPair", "FailoverDiskReplicaPair"};

    drive_pair(world, &pair);
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, "RegionId=cn-paris&ReplicaPairId=%s",
             pair.id);
    fake_copy(world);
    drive_disk(world, LYON, disk);
    drive_disk(world, PARIS, other);
    snprintf(queries[0], sizeof(queries[0]), "%s", CREATE_GROUP);
    snprintf(queries[1], sizeof(queries[1]),
             "RegionId=cn-lyon&ZoneId=cn-lyon-a&Size=1&ClientToken=T-2");
    snprintf(queries[2], sizeof(queries[2]), "RegionId=cn-lyon&DiskId=%s&ClientToken=T-3", disk);
    snprintf(queries[3], sizeof(queries[3]),
             "RegionId=cn-lyon&SourceZoneId=cn-lyon-a&DiskId=%s&DestinationRegionId=cn-paris&"
             "DestinationZoneId=cn-paris-a&DestinationDiskId=%s&ClientToken=T-4",
             disk, other);
    snprintf(queries[4], sizeof(queries[4]), "RegionId=cn-lyon&ReplicaPairId=%s&ClientToken=T-5",
             pair.id);
    for (unsigned i = 0; i < 5; i++) {
        unsigned disks = count(world, LYON, RECORD_DISK), pairs = count(world, LYON, RECORD_PAIR);
        unsigned tokens = count(world, LYON, RECORD_TOKEN);
        struct data_request *held;

        fake_hold(world, LYON, DATA_CALL, false);
        ask(world, actions[i], queries[i], &asked);
        held = world->sites[LYON].held_request;
        assert_non_null(held);
        if (strstr(held->bytes, "pair.prepare")) { /* that one first */
            fake_release(world, LYON);
            continue; /* test_late_creation() */
        }
        assert_non_null(strstr(held->bytes, "forward.consent"));
        time_out(world);
        expect_timeout(&asked);
        fake_release(world, LYON);
        fake_run(world, 5000 * MS);
        assert_int_equal(count(world, LYON, RECORD_DISK), disks);
        assert_int_equal(count(world, LYON, RECORD_PAIR), pairs);
        assert_int_equal(count(world, LYON, RECORD_GROUP), 0);
        assert_int_equal(count(world, LYON, RECORD_TOKEN), tokens);
    }
    drive_expect(world, LYON, pair.id, "Status", "normal");
    for (unsigned i = 0; i < 5; i++) { /* asked again with their tokens they are done */
        if (i == 2)                    /* its disk is in a pair by now */
            continue;
        ask(world, actions[i], queries[i], &asked);
        assert_int_equal(asked.status, 200);
    }
}

/* Lyon asks paris to keep its half, then for the consent: the half goes at once. */
static void test_late_creation(void **state)
{
    struct fake_world *world = *state;
    struct asked asked;
    char disk[64], other[64], query[400];

    drive_disk(world, LYON, disk);
    drive_disk(world, PARIS, other);
    snprintf(query, sizeof(query),
             "RegionId=cn-lyon&SourceZoneId=cn-lyon-a&DiskId=%s&DestinationRegionId=cn-paris&"
             "DestinationZoneId=cn-paris-a&DestinationDiskId=%s&ClientToken=T-4",
             disk, other);
    fake_hold(world, LYON, DATA_CALL, false);
    ask(world, "CreateDiskReplicaPair", query, &asked);
    time_out(world);
    expect_timeout(&asked);
    fake_release(world, LYON);
    assert_int_equal(count(world, LYON, RECORD_PAIR), 0);
    assert_int_equal(count(world, PARIS, RECORD_PAIR), 0);
    ask(world, "CreateDiskReplicaPair", query, &asked);
    assert_int_equal(asked.status, 200);
    assert_int_equal(count(world, PARIS, RECORD_PAIR), 1);
}

/* The peer has the consent, its answer is lost: nobody may say that nothing was done. */
static void test_late_behind_the_consent(void **state)
{
    struct fake_world *world = *state;
    struct asked asked;

    fake_hold(world, LYON, DATA_CALL_REPLY, false);
    ask(world, "CreateDiskReplicaGroup", CREATE_GROUP, &asked);
    assert_int_equal(count(world, LYON, RECORD_GROUP), 1);
    time_out(world);
    assert_int_equal(asked.status, 500);
    assert_string_equal(asked.code, "InternalError");
    assert_non_null(strstr(asked.message, "lyon has begun it and has not told the end"));
    fake_release(world, LYON);
    ask(world, "CreateDiskReplicaGroup", CREATE_GROUP, &asked);
    assert_int_equal(asked.status, 200); /* the first one's */
    assert_int_equal(count(world, LYON, RECORD_GROUP), 1);
}

/* The consent was given, and lay there for longer than it is good: what was told by then may have
 * led to another request. */
static void test_stale_consent(void **state)
{
    struct fake_world *world = *state;
    struct asked asked;

    fake_hold(world, PARIS, DATA_CALL_REPLY, false);
    ask(world, "CreateDiskReplicaGroup", CREATE_GROUP, &asked);
    assert_non_null(world->sites[PARIS].held_request);
    fake_run(world, 2501 * MS);
    fake_release(world, PARIS);
    assert_int_equal(count(world, LYON, RECORD_GROUP), 0);
    expect_timeout(&asked); /* lyon's own word: it did nothing */
}

static void test_asked_too_late(void **state)
{
    struct fake_world *world = *state;
    struct asked asked;

    fake_hold(world, LYON, DATA_CALL, false);
    ask(world, "CreateDiskReplicaGroup", CREATE_GROUP, &asked);
    fake_run(world, 2000 * MS);
    fake_release(world, LYON);
    assert_int_equal(count(world, LYON, RECORD_GROUP), 0);
    expect_timeout(&asked);
}

/* --- tokens and reads ------------------------------------------------------------------------ */

static void test_token_is_in_use_while_the_sender_is_asked(void **state)
{
    struct fake_world *world = *state;
    struct asked first, second;

    fake_hold(world, LYON, DATA_CALL, false);
    ask(world, "CreateDiskReplicaGroup", CREATE_GROUP, &first);
    ask(world, "CreateDiskReplicaGroup", CREATE_GROUP, &second);
    assert_string_equal(second.code, "LastTokenProcessing");
    fake_release(world, LYON);
    assert_int_equal(first.status, 200);
    ask(world, "CreateDiskReplicaGroup", CREATE_GROUP, &second);
    assert_int_equal(second.status, 200);
    assert_int_equal(count(world, LYON, RECORD_GROUP), 1);
}

static void test_reads_ask_nobody(void **state)
{
    struct fake_world *world = *state;
    struct asked asked;

    fake_hold(world, LYON, DATA_CALL, false);
    ask(world, "DescribeDiskReplicaGroups", "RegionId=cn-lyon", &asked);
    assert_int_equal(asked.status, 200);
    assert_null(world->sites[LYON].held_request);
}

/* --- nonsense -------------------------------------------------------------------------------- */

static void test_nonsense_is_no_consent(void **state)
{
    static const char *const replies[] = {
        "",
        "{",
        "{\"v\":1,\"status\":200}",
        "{\"v\":1,\"status\":200,\"reply\":{}}",
        "{\"v\":1,\"status\":200,\"reply\":{\"given\":true}}",
        "{\"v\":1,\"status\":200,\"reply\":{\"given\":1,\"ms\":2000}}",
        "{\"v\":1,\"status\":200,\"reply\":{\"given\":\"true\",\"ms\":2000}}",
        "{\"v\":1,\"status\":200,\"reply\":{\"given\":true,\"ms\":-1}}",
        "{\"v\":1,\"status\":200,\"reply\":{\"given\":true,\"ms\":60001}}",
        "{\"v\":1,\"status\":200,\"reply\":{\"given\":true,\"ms\":9223372036854775807}}",
        "{\"v\":1,\"status\":200,\"reply\":{\"given\":true,\"ms\":1.5}}",
        "{\"v\":1,\"status\":404,\"code\":\"InvalidApi.NotFound\",\"message\":\"\"}",
        "{\"v\":2,\"status\":200,\"reply\":{\"given\":true,\"ms\":2000}}",
    };
    struct fake_world *world = *state;

    for (unsigned i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
        struct data_request *held;
        struct asked asked;

        fake_hold(world, LYON, DATA_CALL, false);
        ask(world, "CreateDiskReplicaGroup", CREATE_GROUP, &asked);
        held = world->sites[LYON].held_request;
        assert_non_null(held);
        world->sites[LYON].is_holding = false;
        held->error = 0;
        held->reply = strdup(replies[i]);
        held->reply_length = (uint32_t)strlen(replies[i]);
        held->done_cb(held);
        fake_run(world, 0);
        expect_timeout(&asked);
        assert_int_equal(count(world, LYON, RECORD_GROUP), 0);
    }
}

/* --- a call that goes on from here ----------------------------------------------------------- */

/* Lyon got it from paris and sends it back, where it is done: who waits at its beginning says. */
static void ask_around(struct fake_world *world, const char *number, struct asked *asked)
{
    const struct call_pass pass = {.hop_count = 1, .sender = "paris", .number = number};
    struct drive_pair pair;
    char query[200];

    drive_pair(world, &pair);
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, "RegionId=cn-paris&ReplicaPairId=%s",
             pair.id);
    snprintf(query, sizeof(query), "RegionId=cn-paris&ReplicaPairId=%s", pair.id);
    ask_as(world, LYON, "StopDiskReplicaPair", query, &pass, asked);
    fake_run(world, 100 * MS);
    drive_expect(world, PARIS, pair.id, "Status",
                 asked->status == 200 ? "stopped" : "initial_syncing");
}

static void test_two_hops(void **state)
{
    static const struct operation operation = {.name = "StopDiskReplicaPair"};
    struct fake_world *world = *state;
    struct site *paris = control_site(world->sites[PARIS].control);
    struct call call = {.magic = CALL_MAGIC, .site = paris, .operation = &operation};
    struct consent consent;
    struct asked asked;

    ask_around(world, NUMBER, &asked);
    expect_timeout(&asked); /* paris knows nothing of it */

    consent_open(&consent, &call, "lyon", 2500 * MS);
    ask_around(world, consent.number, &asked);
    assert_int_equal(asked.status, 200);
    assert_int_equal(consent.state, CONSENT_GIVEN);
    assert_true(consent_close(&consent));

    consent_open(&consent, &call, "rome", 2500 * MS); /* passed to another */
    ask_around(world, consent.number, &asked);
    expect_timeout(&asked);
    assert_false(consent_close(&consent));
}

/* --- crowds ---------------------------------------------------------------------------------- */

enum { CROWD = 1100 };

struct crowd {
    unsigned done, refused, others;
};

static void counted(void *arg, unsigned status, json_t *body)
{
    struct crowd *crowd = arg;

    (void)body;
    crowd->done += status == 200;
    crowd->refused += status == 503;
    crowd->others += status != 200 && status != 503;
}

/* Both doors have more calls to pass on than the link has places for calls: the consents of those
 * that got one find theirs. */
static void test_crowds_at_both_doors(void **state)
{
    struct fake_world *world = *state;
    struct crowd crowds[2] = {0};

    for (unsigned s = 0; s < 2; s++) {
        struct site_quota *quota = &control_site(world->sites[s].control)->quota;

        quota->groups = quota->empty_groups = 10 * CROWD;
    }
    for (unsigned i = 0; i < CROWD; i++)
        for (unsigned s = 0; s < 2; s++) {
            json_t *texts = json_object();

            tree_set_text(texts, "RegionId", world->sites[1 - s].region);
            tree_set_text(texts, "SourceZoneId", world->sites[1 - s].zone);
            tree_set_text(texts, "DestinationRegionId", world->sites[s].region);
            tree_set_text(texts, "DestinationZoneId", world->sites[s].zone);
            api_execute(world->sites[s].api, "CreateDiskReplicaGroup", "2021-07-30", texts,
                        &world->caller, "R-1", NULL, counted, &crowds[s]);
            json_decref(texts);
        }
    fake_run(world, 0);
    for (unsigned s = 0; s < 2; s++) {
        assert_int_equal(crowds[s].done, SITE_PASSED_MAX);
        assert_int_equal(crowds[s].refused, CROWD - SITE_PASSED_MAX);
        assert_int_equal(crowds[s].others, 0);
        assert_int_equal(count(world, 1 - s, RECORD_GROUP) >= SITE_PASSED_MAX, true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_consent_is_given_once_and_in_time),
        cmocka_unit_test_setup_teardown(test_late_before_it_is_read, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_late_before_the_consent, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_late_creation, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_late_behind_the_consent, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_stale_consent, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_asked_too_late, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_token_is_in_use_while_the_sender_is_asked, drive_setup,
                                        drive_teardown),
        cmocka_unit_test_setup_teardown(test_reads_ask_nobody, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_nonsense_is_no_consent, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_two_hops, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_crowds_at_both_doors, drive_setup, drive_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
