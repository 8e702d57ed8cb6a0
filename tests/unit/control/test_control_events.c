/* SPDX-License-Identifier: Apache-2.0 */
/* What is recorded, and how it is read again. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/api.h"
#include "api/table.h"
#include "control/audit.h"
#include "control/audit_object.h"
#include "drive.h"

/* The Texts of the lines that the query finds, each followed by '|'; the caller's. */
static char *events(struct fake_world *world, unsigned site, const char *format, ...)
{
    char query[300], *text = calloc(1, 100000);
    va_list arguments;
    json_t *reply, *line;
    unsigned status = 0;
    size_t index;

    va_start(arguments, format);
    vsnprintf(query, sizeof(query), format, arguments);
    va_end(arguments);
    reply = fake_ask(world, site, "DescribeReplicaEvents", query, &status);
    assert_int_equal(status, 200);
    json_array_foreach(json_object_get(reply, "Events"), index, line)
    {
        strcat(text, json_string_value(json_object_get(line, "Text")));
        strcat(text, "|");
    }
    json_decref(reply);
    return text;
}

static void expect(struct fake_world *world, unsigned site, const char *query, const char *texts)
{
    char *got = events(world, site, "%s", query);

    assert_string_equal(got, texts);
    free(got);
}

static void test_states_of_a_pair_at_both_sites(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char query[100];

    drive_pair(world, &pair);
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, "RegionId=cn-paris&ReplicaPairId=%s",
             pair.id);
    fake_copy(world);
    fake_run(world, 5000000000);
    drive_ok(world, LYON, "FailoverDiskReplicaPair", NULL, NULL,
             "RegionId=cn-lyon&ReplicaPairId=%s", pair.id);
    fake_run(world, 5000000000);
    snprintf(query, sizeof(query), "ObjectId=%s&Kind=state&MaxResults=100", pair.id);
    expect(world, LYON, query,
           "-> creating|creating -> created|created -> initial_syncing|"
           "initial_syncing -> failovering|failovering -> failovered|");
    strcat(query, "&Severity=warning");
    expect(world, LYON, query, "initial_syncing -> failovering|failovering -> failovered|");
}

static void expect_trouble(struct fake_world *world, unsigned site, const char *text)
{
    unsigned status = 0;
    json_t *reply = fake_ask(world, site, "DescribeVersoStatus", "", &status);
    const json_t *stream = json_array_get(json_object_get(reply, "Streams"), 0);

    assert_int_equal(status, 200);
    assert_string_equal(json_string_value(json_object_get(stream, "Trouble")), text);
    json_decref(reply);
}

/* The target has no room, say: who asks reads why in the status, and a day later in the record. */
static void test_why_a_failover_failed(void **state)
{
    static const char why[] = "failover failed: made to fail; mend it and ask again";
    struct fake_world *world = *state;
    struct drive_pair pair;
    char query[100];

    drive_pair(world, &pair);
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, "RegionId=cn-paris&ReplicaPairId=%s",
             pair.id);
    fake_copy(world);
    fake_run(world, 5000000000);
    world->sites[LYON].fail_op = DATA_STREAM_FAILOVER;
    world->sites[LYON].fail_error = -ENOSPC;
    world->sites[LYON].fail_again = 8;
    drive_ok(world, LYON, "FailoverDiskReplicaPair", NULL, NULL,
             "RegionId=cn-lyon&ReplicaPairId=%s", pair.id);
    fake_run(world, 60000000000);
    drive_expect(world, LYON, pair.id, "Status", "failover_failed");
    expect_trouble(world, LYON, why);
    snprintf(query, sizeof(query), "ObjectId=%s&Kind=trouble", pair.id);
    char *told = events(world, LYON, "%s", query);
    assert_non_null(strstr(told, why));
    free(told);
    world->sites[LYON].fail_error = 0;
    drive_ok(world, LYON, "FailoverDiskReplicaPair", NULL, NULL,
             "RegionId=cn-lyon&ReplicaPairId=%s", pair.id);
    fake_run(world, 5000000000);
    drive_expect(world, LYON, pair.id, "Status", "failovered");
    expect_trouble(world, LYON, "");
}

static void test_pages_in_both_orders(void **state)
{
    struct fake_world *world = *state;
    struct site *site = control_site(world->sites[PARIS].control);
    unsigned status;
    json_t *reply;
    char token[40], query[100];

    for (int i = 0; i < 5; i++)
        audit_event(site, "test", EVENT_INFO, "x", "%d", i);
    reply = fake_ask(world, PARIS, "DescribeReplicaEvents", "Kind=test&MaxResults=2", &status);
    snprintf(token, sizeof(token), "%s", json_string_value(json_object_get(reply, "NextToken")));
    json_decref(reply);
    snprintf(query, sizeof(query), "Kind=test&MaxResults=2&NextToken=%s", token);
    expect(world, PARIS, query, "2|3|");
    snprintf(query, sizeof(query), "Kind=test&NextToken=%s", token);
    expect(world, PARIS, query, "2|3|4|");
    expect(world, PARIS, "Kind=test&Order=newest&MaxResults=2", "4|3|");
    snprintf(query, sizeof(query), "Kind=test&Order=newest&NextToken=%s", token);
    expect(world, PARIS, query, "0|");
    /* What came behind it, in either order. */
    snprintf(query, sizeof(query), "Kind=test&After=%s", token);
    expect(world, PARIS, query, "2|3|4|");
    snprintf(query, sizeof(query), "Kind=test&Order=newest&After=%s", token);
    expect(world, PARIS, query, "4|3|2|");
    snprintf(query, sizeof(query), "Kind=test&Order=newest&After=%s&NextToken=%lld", token,
             atoll(token) + 3);
    expect(world, PARIS, query, "3|2|");
    drive_fails(world, PARIS, 400, "InvalidNextToken", NULL, "DescribeReplicaEvents",
                "NextToken=x1");
    drive_fails(world, PARIS, 400, "InvalidStartTime", NULL, "DescribeReplicaEvents",
                "StartTime=2026-13-01T00:00:00Z");
    drive_fails(world, PARIS, 400, "InvalidEndTime", NULL, "DescribeReplicaEvents",
                "EndTime=2026-02-29T00:00:00Z");
}

static struct audit_call call_line(const struct caller *caller, bool is_read)
{
    return (struct audit_call){.caller = caller,
                               .source = "192.0.2.9",
                               .request_id = "R-9",
                               .action = is_read ? "DescribeDisks" : "CreateDisk",
                               .http_status = 200,
                               .is_read = is_read};
}

static int64_t count_of(struct fake_world *world, const char *kind, const char *caller)
{
    struct event_filter filter = {
        .kind = kind, .caller = caller, .with_reads = true, .count_max = 10000};
    struct event_record *records;
    unsigned count;
    int64_t next;
    struct err err;

    assert_int_equal(
        event_store_list(world->sites[PARIS].events, &filter, &records, &count, &next, &err), 0);
    free(records);
    return count;
}

/* Calls: operation, object, status, code. */
static char *codes(struct fake_world *world, unsigned site, const char *query)
{
    char *text = calloc(1, 100000);
    json_t *reply, *line;
    unsigned status = 0;
    size_t index;

    reply = fake_ask(world, site, "DescribeReplicaEvents", query, &status);
    assert_int_equal(status, 200);
    json_array_foreach(json_object_get(reply, "Events"), index, line)
    {
        sprintf(text + strlen(text), "%s %s %d %s|",
                json_string_value(json_object_get(line, "Operation")),
                json_string_value(json_object_get(line, "ObjectId")),
                (int)json_integer_value(json_object_get(line, "Status")),
                json_string_value(json_object_get(line, "ErrorCode")));
    }
    json_decref(reply);
    return text;
}

static void take_status(void *arg, unsigned http_status, json_t *body)
{
    *(unsigned *)arg = http_status;
}

/* Asked at this site, by a user whom it does not know. */
static unsigned ask_as_stranger(struct fake_world *world, const char *action, const char *pair,
                                unsigned hop_count)
{
    struct caller caller = {
        .kind = CALLER_USER, .user = "alice", .key_id = "VK1", .source = "192.0.2.7"};
    json_t *texts = json_pack("{s:s, s:s}", "RegionId", "cn-lyon", "ReplicaPairId", pair);
    const struct call_pass pass = {
        .hop_count = hop_count, .sender = "paris", .number = "0123456789abcdef"};
    unsigned status = 0;

    api_execute(world->sites[LYON].api, action, "2021-07-30", texts, &caller, "R-9",
                hop_count > 0 ? &pass : NULL, take_status, &status);
    json_decref(texts);
    return status;
}

/* The door writes what was asked there; what was passed on and is refused has a line all the same.
 */
static void test_refused_calls_that_were_passed_on(void **state)
{
    struct fake_world *world = *state;
    char *got;

    for (unsigned hops = 0; hops < 2; hops++) {
        assert_int_equal(ask_as_stranger(world, "StopDiskReplicaPair", "pair-1", hops), 403);
        /* Of wrong parameters a stranger hears nothing. */
        assert_int_equal(ask_as_stranger(world, "StopDiskReplicaPair", "", hops), 403);
        assert_int_equal(ask_as_stranger(world, "NoSuchThing", "pair-1", hops), 404);
    }
    fake_run(world, 3000000000);
    got = codes(world, LYON, "Kind=call&Caller=alice");
    assert_string_equal(got, "StopDiskReplicaPair pair-1 403 Forbidden|"
                             "StopDiskReplicaPair  403 Forbidden|"
                             "NoSuchThing pair-1 404 InvalidApi.NotFound|");
    free(got);
}

static void test_pressure_is_counted_and_told(void **state)
{
    struct fake_world *world = *state;
    struct site *site = control_site(world->sites[PARIS].control);
    struct caller caller = caller_local(1);
    struct audit_call read = call_line(&caller, true), change = call_line(&caller, false);
    struct audit_call stranger = call_line(NULL, true);

    for (int i = 0; i < 3000; i++) {
        audit_call(site, &read);
        audit_call(site, &stranger);
    }
    for (int i = 0; i < 300; i++)
        audit_call(site, &change);
    fake_run(world, 3000000000);
    assert_int_equal(count_of(world, "call", "root"), 200 + 300);
    assert_int_equal(count_of(world, "call", ""), 200 + 50 + 300);
    expect(world, PARIS, "Kind=audit&MaxResults=50",
           "2800 reads were not recorded: too many a second|"
           "2950 refused calls of strangers were not recorded: too many a second|");
    assert_int_equal(audit_lost(site), 2800 + 2950);
    audit_call(site, &read);
    fake_run(world, 3000000000);
    assert_int_equal(count_of(world, "call", "root"), 501);
}

/* Whoever has a key that may do nothing cannot push the lines of others out either. */
static void test_denied_calls_are_bounded(void **state)
{
    struct fake_world *world = *state;
    struct site *site = control_site(world->sites[PARIS].control);
    struct caller caller = {.kind = CALLER_USER, .user = "alice", .key_id = "VK1"};
    json_t *body = json_pack("{s:s}", "Code", "Forbidden.Action");
    struct audit_call denied = call_line(&caller, false), change = call_line(&caller, false);

    denied.http_status = 403;
    denied.body = body;
    for (int i = 0; i < 300; i++) {
        audit_call(site, &denied);
        audit_call(site, &change);
    }
    fake_run(world, 3000000000);
    assert_int_equal(count_of(world, "call", "alice"), 50 + 300);
    expect(world, PARIS, "Kind=audit&MaxResults=50",
           "250 calls that a user may not make were not recorded: too many a second|");
    json_decref(body);
}

static void expect_object(const char *action, const char *version, const char *texts,
                          const char *body, const char *object, const char *others)
{
    const struct operation *operation = table_find(action, version);
    json_t *asked = json_loads(texts, 0, NULL), *made = json_loads(body, 0, NULL);
    char text[256];

    assert_true(operation && asked && made);
    assert_string_equal(audit_object_of(operation, asked, made), object);
    audit_object_others(operation, asked, made, text, sizeof(text));
    assert_string_equal(text, others);
    json_decref(asked);
    json_decref(made);
}

/* Not what the caller calls it by a parameter that the operation does not take. */
static void test_a_line_names_what_was_done(void **state)
{
    (void)state;
    expect_object("DeleteDisk", "2014-05-26",
                  "{\"ReplicaPairId\":\"pair-decoy\",\"DiskId\":\"d-1\"}", "{}", "d-1", "");
    expect_object("CreateDisk", "2014-05-26", "{\"ReplicaPairId\":\"pair-decoy\"}",
                  "{\"DiskId\":\"d-2\"}", "d-2", "");
    expect_object("TagResources", "2014-05-26",
                  "{\"ResourceId.30\":\"d-4\",\"ResourceId.7\":\"d-3\",\"ResourceId\":\"d-decoy\","
                  "\"ResourceId.x\":\"d-decoy\"}",
                  "{}", "d-3", "and d-4");
    expect_object("ModifyDiskAttribute", "2014-05-26",
                  "{\"DiskIds.1\":\"d-5\",\"DiskIds.2\":\"d-6\",\"DiskIds.3\":\"d-7\"}", "{}",
                  "d-5", "and d-6 d-7");
    expect_object("ChangeResourceGroup", "2021-07-30", "{\"ResourceId\":\"pg-1\"}", "{}", "pg-1",
                  "");
    expect_object("DeleteAccessKey", "2026-11-22", "{\"UserAccessKeyId\":\"VERSO1\"}", "{}",
                  "VERSO1", "");
    expect_object("CreateAccessKey", "2026-11-22", "{}",
                  "{\"AccessKey\":{\"AccessKeyId\":\"VERSO2\",\"AccessKeySecret\":\"s\","
                  "\"UserName\":\"root\"}}",
                  "VERSO2", "of user root");
    expect_object("AttachPolicy", "2026-11-22", "{\"UserName\":\"alice\",\"PolicyName\":\"all\"}",
                  "{}", "alice", "policy all");
    expect_object("AddDiskReplicaPair", "2021-07-30",
                  "{\"ReplicaGroupId\":\"pg-1\",\"ReplicaPairId\":\"pair-1\"}", "{}", "pair-1",
                  "group pg-1");
}

/* Strangers who do not stop: what is missing is told once a minute, all of it in the end. */
static void test_gaps_are_few(void **state)
{
    struct fake_world *world = *state;
    struct site *site = control_site(world->sites[PARIS].control);
    struct audit_call stranger = call_line(NULL, true);

    for (int second = 0; second < 130; second++) {
        for (int i = 0; i < 60; i++)
            audit_call(site, &stranger);
        fake_run(world, 1000000000);
    }
    assert_in_range(count_of(world, "audit", ""), 2, 3);
    fake_run(world, UINT64_C(61000000000));
    assert_in_range(count_of(world, "audit", ""), 3, 4);
}

static void test_a_line_says_who_and_what(void **state)
{
    struct fake_world *world = *state;
    struct site *site = control_site(world->sites[PARIS].control);
    struct caller caller = caller_local(1);
    json_t *texts = json_pack("{s:s}", "DiskId", "d-1");
    json_t *body = json_pack("{s:s, s:s}", "Code", "Forbidden", "Message", "No.");
    struct audit_call line = call_line(&caller, false);
    unsigned status;
    json_t *reply, *shown;

    strcpy(caller.user, "alice");
    strcpy(caller.key_id, "VK1");
    strcpy(caller.source, "192.0.2.7");
    caller.kind = CALLER_USER;
    line.texts = texts;
    line.body = body;
    line.http_status = 403;
    line.began_ns = loop_now_ns(site->loop) - 1500000;
    audit_call(site, &line);
    reply = fake_ask(world, PARIS, "DescribeReplicaEvents", "Caller=alice", &status);
    shown = json_array_get(json_object_get(reply, "Events"), 0);
    assert_non_null(shown);
#define EXPECT_TEXT(name, value)                                                                   \
    assert_string_equal(json_string_value(json_object_get(shown, name)), value)
    EXPECT_TEXT("Kind", "call");
    EXPECT_TEXT("ObjectId", "d-1");
    EXPECT_TEXT("Operation", "CreateDisk");
    EXPECT_TEXT("AccessKeyId", "VK1");
    EXPECT_TEXT("SourceIp", "192.0.2.7");
    EXPECT_TEXT("CallRequestId", "R-9");
    EXPECT_TEXT("ErrorCode", "Forbidden");
    EXPECT_TEXT("Text", "No.");
    assert_int_equal(json_integer_value(json_object_get(shown, "Status")), 403);
    assert_int_equal(json_integer_value(json_object_get(shown, "DurationUs")), 1500);
    json_decref(reply);
    json_decref(texts);
    json_decref(body);
}

static void test_words_of_strangers(void **state)
{
    struct fake_world *world = *state;
    struct site *site = control_site(world->sites[PARIS].control);
    struct audit_call line = call_line(NULL, false);
    char longer[900] = "x"; /* then characters of two bytes: the cut must not halve one */
    json_t *body;

    for (size_t i = 1; i + 2 < sizeof(longer); i += 2)
        memcpy(longer + i, "\xc3\xa9", 3);
    body = json_pack("{s:s, s:s}", "Code", "C", "Message", longer);
    line.body = body;
    line.key_id = "VK-claimed";
    line.http_status = 400;
    audit_call(site, &line);
    longer[255] = 0;
    strcat(longer, "|");
    expect(world, PARIS, "Kind=call", longer);
    json_decref(body);
    body = json_pack("{s:s, s:s}", "Code", "C", "Message",
                     "No match. server string to sign is:GET&secret");
    line.body = body;
    line.action = "SecondOne";
    audit_call(site, &line);
    expect(world, PARIS, "Operation=SecondOne", "No match.|");
    json_decref(body);
}

static void test_what_was_written_survives_a_kill(void **state)
{
    struct fake_world *world = *state;
    struct site *site = control_site(world->sites[PARIS].control);

    audit_event(site, "test", EVENT_INFO, "x", "kept");
    fake_run(world, 300000000);
    audit_event(site, "test", EVENT_INFO, "x", "gathered");
    fake_site_crash(world, PARIS);
    fake_site_start(world, PARIS);
    expect(world, PARIS, "Kind=test", "kept|");
}

/* A field of the only line of DescribeReplicaLag, as text. */
static void expect_lag(struct fake_world *world, unsigned site, const char *id, const char *field,
                       const char *value)
{
    char query[100], *got;
    unsigned status = 0;
    json_t *reply, *lag;

    snprintf(query, sizeof(query), "ReplicaId=%s", id);
    reply = fake_ask(world, site, "DescribeReplicaLag", query, &status);
    assert_int_equal(status, 200);
    assert_int_equal(json_array_size(json_object_get(reply, "Lags")), 1);
    lag = json_object_get(json_array_get(json_object_get(reply, "Lags"), 0), field);
    got = lag ? json_dumps(lag, JSON_ENCODE_ANY) : strdup("-");
    assert_string_equal(got, value);
    free(got);
    json_decref(reply);
}

static void test_lag_with_and_without_the_other_site(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    drive_pair(world, &pair);
    expect_lag(world, PARIS, pair.id, "IsLagKnown", "false");
    expect_lag(world, PARIS, pair.id, "LagSeconds", "-");
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, "RegionId=cn-paris&ReplicaPairId=%s",
             pair.id);
    fake_copy(world);
    fake_run(world, 20000000000);
    expect_lag(world, PARIS, pair.id, "IsBytesKnown", "true");
    expect_lag(world, PARIS, pair.id, "LagSeconds", "20");
    fake_net(world, false);
    fake_run(world, 10000000000);
    expect_lag(world, PARIS, pair.id, "IsPeerUp", "false");
    expect_lag(world, PARIS, pair.id, "LagSeconds", "30");
    expect_lag(world, PARIS, pair.id, "IsBytesKnown", "true");
    fake_site_crash(world, PARIS);
    expect_lag(world, LYON, pair.id, "IsLagKnown", "true");
    expect_lag(world, LYON, pair.id, "LagSeconds", "30");
    expect_lag(world, LYON, pair.id, "IsBytesKnown", "false");
    expect_lag(world, LYON, pair.id, "LagBytes", "-");
    drive_fails(world, LYON, 404, "NoSuchResource", NULL, "DescribeReplicaLag", "ReplicaId=pg-x");
    drive_ok(world, LYON, "DescribeReplicaLag", NULL, NULL, "Kind=pair&MaxResults=1");
}

static void test_what_happens_without_a_call(void **state)
{
    struct fake_world *world = *state;
    struct fake_stream *stream;
    struct drive_pair pair;
    char query[100];

    drive_pair(world, &pair);
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, "RegionId=cn-paris&ReplicaPairId=%s",
             pair.id);
    fake_copy(world);
    fake_net(world, false);
    fake_run(world, 930ull * 1000000000);
    fake_net(world, true);
    fake_copy(world);
    fake_run(world, 10000000000);
    expect(world, PARIS, "Kind=link&MaxResults=50&Order=newest&Severity=info&ObjectId=lyon",
           "up|down: cut|up|");
    snprintf(query, sizeof(query), "Kind=overdue&ObjectId=%s", pair.id);
    expect(world, PARIS, query,
           "the newest recovery point is 904 s old; the objective is 900 s|over|");
    stream = fake_stream_of(world, PARIS, pair.id);
    stream->role = DATA_ROLE_FENCED;
    fake_run(world, 10000000000);
    expect(world, PARIS, "Kind=role&Severity=critical", "source -> fenced|");
}

static void take_code(void *arg, unsigned http_status, json_t *body)
{
    snprintf(arg, 64, "%u %s", http_status, json_string_value(json_object_get(body, "Code")));
}

/* For a moment each site may take the other for the one that runs it: that passes, so it may be
 * asked again. */
static void test_sites_that_do_not_agree_yet(void **state)
{
    struct fake_world *world = *state;
    struct caller root = {.kind = CALLER_LOCAL, .user = "root", .is_secure = true};
    const struct call_pass pass = {
        .hop_count = CALL_HOPS_MAX, .sender = "paris", .number = "0123456789abcdef"};
    struct drive_pair pair;
    char got[64] = "";

    drive_pair(world, &pair);
    json_t *texts = json_pack("{s:s, s:s}", "RegionId", "cn-lyon", "ReplicaPairId", pair.id);
    api_execute(world->sites[LYON].api, "StopDiskReplicaPair", "2021-07-30", texts, &root, "R-9",
                &pass, take_code, got);
    fake_run(world, 0);
    assert_string_equal(got, "503 ServiceUnavailable");
    json_decref(texts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_why_a_failover_failed, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_states_of_a_pair_at_both_sites, drive_setup,
                                        drive_teardown),
        cmocka_unit_test_setup_teardown(test_pages_in_both_orders, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_sites_that_do_not_agree_yet, drive_setup,
                                        drive_teardown),
        cmocka_unit_test_setup_teardown(test_refused_calls_that_were_passed_on, drive_setup,
                                        drive_teardown),
        cmocka_unit_test_setup_teardown(test_denied_calls_are_bounded, drive_setup, drive_teardown),
        cmocka_unit_test(test_a_line_names_what_was_done),
        cmocka_unit_test_setup_teardown(test_gaps_are_few, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_pressure_is_counted_and_told, drive_setup,
                                        drive_teardown),
        cmocka_unit_test_setup_teardown(test_a_line_says_who_and_what, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_lag_with_and_without_the_other_site, drive_setup,
                                        drive_teardown),
        cmocka_unit_test_setup_teardown(test_what_happens_without_a_call, drive_setup,
                                        drive_teardown),
        cmocka_unit_test_setup_teardown(test_words_of_strangers, drive_setup, drive_teardown),
        cmocka_unit_test_setup_teardown(test_what_was_written_survives_a_kill, drive_setup,
                                        drive_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
