/* SPDX-License-Identifier: Apache-2.0 */
/* A peer that says anything at all: malformed calls, records that are none of its business. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "access/directory.h"
#include "control/relation.h"
#include "control/sync.h"
#include "control/tree.h"
#include "drive.h"
#include "fake_meta.h"

/* Gives lyon a call as if paris had made it, and returns lyon's reply. */
static json_t *call_lyon(struct fake_world *world, const char *from, const void *bytes,
                         size_t length)
{
    struct fake_site *lyon = &world->sites[LYON], *paris = &world->sites[PARIS];
    struct data_request request = {0};
    struct data_event event = {.kind = DATA_EVENT_CALL, .bytes = bytes, .length = length};
    json_t *reply;

    snprintf(event.name, sizeof(event.name), "%s", from);
    fake_run(world, 0);
    request.done_cb = NULL;
    /* The pretended wing finds the question by its number. */
    event.call = ++world->call_number;
    paris->calls[15].request = &request;
    paris->calls[15].number = event.call;
    control_event(lyon->control, &event);
    fake_run(world, 0);
    assert_null(paris->calls[15].request); /* answered */
    reply = json_loadb(request.reply, request.reply_length, 0, NULL);
    free(request.reply);
    assert_int_equal(tree_int(reply, "v", 0), 1);
    return reply;
}

static void expect_status(struct fake_world *world, const char *text, int64_t status)
{
    json_t *reply = call_lyon(world, "paris", text, strlen(text));

    if (tree_int(reply, "status", 0) != status)
        fail_msg("%s: %s", text, json_dumps(reply, 0));
    json_decref(reply);
}

static void test_malformed_calls(void **state)
{
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "null",
        "\"x\"",
        "{\"v\":1}",
        "{\"v\":2,\"call\":\"record.put\",\"args\":{}}",
        "{\"v\":\"1\",\"call\":\"record.put\",\"args\":{}}",
        "{\"v\":1,\"call\":7,\"args\":{}}",
        "{\"v\":1,\"call\":\"record.put\",\"args\":[]}",
        "{\"v\":1,\"call\":\"record.put\",\"call\":\"record.put\",\"args\":{}}",
        "{\"v\":1,\"call\":\"nonsense\",\"args\":{}}",
    };

    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        expect_status(*state, texts[i], 404);
    expect_status(*state, "{\"v\":1,\"call\":\"forward\",\"args\":{}}", 400);
    expect_status(*state,
                  "{\"v\":1,\"call\":\"forward\",\"args\":{\"hops\":1,\"parameters\":{\"a\":1}}}",
                  400);
    /* nobody asks */
    expect_status(*state, "{\"v\":1,\"call\":\"forward\",\"args\":{\"hops\":1,\"parameters\":{}}}",
                  400);
    expect_status(*state, "{\"v\":1,\"call\":\"forward\",\"args\":{\"hops\":9,\"parameters\":{}}}",
                  400);
    expect_status(*state, "{\"v\":1,\"call\":\"pair.prepare\",\"args\":{}}", 400);
    expect_status(*state, "{\"v\":1,\"call\":\"stream.prepare\",\"args\":{}}", 404);
    expect_status(*state, "{\"v\":1,\"call\":\"stream.prepare\",\"args\":{\"records\":[7]}}", 403);
    expect_status(*state, "{\"v\":1,\"call\":\"reprotect.check\",\"args\":{\"id\":\"pg-1\"}}", 404);
    expect_status(*state, "{\"v\":1,\"call\":\"record.delete\",\"args\":{\"id\":\"../x\"}}", 400);
}

/* What a peer pushes of users, keys and policies: how many of the items made no sense. */
static int64_t count_refused(struct fake_world *world, const char *items)
{
    char text[2000];
    json_t *reply;
    int64_t refused;

    snprintf(text, sizeof(text), "{'v':1,'call':'access.put','args':{'items':[%s]}}", items);
    for (char *at = text; *at; at++)
        *at = *at == '\'' ? '"' : *at;
    reply = call_lyon(world, "paris", text, strlen(text));
    assert_int_equal(tree_int(reply, "status", 0), 200);
    refused = tree_int(json_object_get(reply, "reply"), "refused", -1);
    json_decref(reply);
    return refused;
}

#define HEAD(id, version)                                                                          \
    "'id':'" id "','version':" version ",'site':'paris','is_deleted':false,'created_s':1"
#define USER(id, version)                                                                          \
    "{'kind':'user','record':{" HEAD(id, version) ",'uid':'2','description':''}}"
#define KEY(id, rest)                                                                              \
    "{'kind':'key','record':{" HEAD(                                                               \
        id, "1") ",'user':'anna','user_uid':'2','is_enabled':true}" rest "}"
#define POLICY(document)                                                                           \
    "{'kind':'policy','record':{" HEAD(                                                            \
        "p", "1") ",'uid':'7','description':'','document':'" document "'}}"
#define LINK(id)                                                                                   \
    "{'kind':'link','record':{" HEAD(id, "1") ",'user':'anna','user_uid':'2','policy':'p',"        \
                                              "'policy_uid':'7'}}"

static void test_hostile_rosters(void **state)
{
    static const char *const bad[] = {
        "7",
        "{}",
        "{'kind':'user'}",
        "{'kind':'disk','record':{}}",
        "{'kind':'user','record':{'id':'anna'}}",
        USER("root", "1"),
        USER("a b", "1"),
        USER("", "1"),
        USER("anna", "0"),
        USER("anna", "9007199254740993"),
        USER("anna", "9007199254740992"), /* new users would have none */
        USER("anna", "4294967297"),
        USER("anna", "-1"),
        "{'kind':'user','secret':'s','record':{" HEAD("anna", "1") ",'uid':'2','description':''}}",
        KEY("K1", ""),
        KEY("K1", ",'secret':''"),
        KEY("K1", ",'secret':7"),
        KEY("../K1", ",'secret':'s'"),
        POLICY("{}"),
        POLICY(""),
        LINK("bert/p"),
        LINK("anna"),
    };
    struct site *site = control_site(((struct fake_world *)*state)->sites[LYON].control);
    struct directory_key key;

    expect_status(*state, "{\"v\":1,\"call\":\"access.put\",\"args\":{}}", 400);
    expect_status(*state, "{\"v\":1,\"call\":\"access.put\",\"args\":{\"items\":{}}}", 400);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (count_refused(*state, bad[i]) != 1)
            fail_msg("taken: %s", bad[i]);
    assert_null(directory_user_uid(site->directory, "anna"));
    /* What makes sense beside it is taken. */
    assert_int_equal(count_refused(*state, USER("root", "1") "," USER("anna", "3") "," KEY(
                                               "K1", ",'secret':'s3cret'") "," LINK("anna/p")),
                     1);
    assert_string_equal(directory_user_uid(site->directory, "anna"), "2");
    assert_true(directory_find_key(site->directory, "K1", &key));
    assert_string_equal(key.secret, "s3cret");
    /* An older one is not. */
    assert_int_equal(count_refused(*state, "{'kind':'user','record':{'id':'anna','version':2,"
                                           "'site':'paris','is_deleted':true,'created_s':1,"
                                           "'uid':'2','description':''}}"),
                     0);
    assert_non_null(directory_user_uid(site->directory, "anna"));
}

static void test_every_truncation_is_answered(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    json_t *tree = json_object();
    char *text;

    drive_pair(world, &pair);
    tree_set_int(tree, "v", 1);
    tree_set_text(tree, "call", "record.put");
    tree_set(tree, "args", sync_record_tree(control_site(world->sites[PARIS].control), pair.id));
    text = json_dumps(tree, JSON_COMPACT);
    for (size_t length = 0; length < strlen(text); length += 7) {
        char *exact = malloc(length ? length : 1);
        memcpy(exact, text, length);
        json_t *reply = call_lyon(world, "paris", exact, length);
        assert_int_equal(tree_int(reply, "status", 0), 404);
        json_decref(reply);
        free(exact);
    }
    free(text);
    json_decref(tree);
}

/* Pushes paris's record of `id` with one member replaced; returns the verdict. */
static void push_changed(struct fake_world *world, const char *from, const char *id,
                         const char *member, json_t *value, const char *verdict)
{
    json_t *tree = json_object();
    json_t *arguments = sync_record_tree(control_site(world->sites[PARIS].control), id);
    json_t *record = json_object_get(arguments, "record"), *reply;
    char *text;

    if (value)
        json_object_set_new(record, member, value);
    else
        json_object_del(record, member);
    tree_set_int(tree, "v", 1);
    tree_set_text(tree, "call", "record.put");
    tree_set(tree, "args", arguments);
    text = json_dumps(tree, JSON_COMPACT);
    reply = call_lyon(world, from, text, strlen(text));
    if (strcmp(tree_text(json_object_get(reply, "reply"), "verdict"), verdict) != 0)
        fail_msg("%s from %s: wanted %s, got %s", member, from, verdict, json_dumps(reply, 0));
    free(text);
    json_decref(reply);
    json_decref(tree);
}

static void test_records_that_are_refused(void **state)
{
    struct fake_world *world = *state;
    const struct record_type *type = record_type(RECORD_PAIR);
    struct drive_pair pair, other;
    char big[RECORD_TEXT_SIZE + 10];

    drive_pair(world, &pair);
    drive_pair(world, &other);
    push_changed(world, "paris", pair.id, "x", json_integer(1), "same");
    for (unsigned i = 0; i < type->field_count; i++) {
        if (type->fields[i].is_local)
            continue;
        push_changed(world, "paris", pair.id, type->fields[i].name, NULL, "refused");
        push_changed(world, "paris", pair.id, type->fields[i].name, json_array(), "refused");
    }
    memset(big, 'x', sizeof(big));
    big[sizeof(big) - 1] = 0;
    push_changed(world, "paris", pair.id, "description", json_string(big), "refused");
    push_changed(world, "paris", pair.id, "status", json_string("perfect"), "refused");
    push_changed(world, "paris", pair.id, "version", json_integer(-1), "refused");
    push_changed(world, "paris", pair.id, "rpo_s", json_integer(0), "refused");
    push_changed(world, "paris", pair.id, "id", json_string("../../etc"), "refused");
    push_changed(world, "paris", pair.id, "backup_disk", json_string("d-/../x"), "refused");
    push_changed(world, "paris", pair.id, "production_site", json_string("rome"), "refused");
    push_changed(world, "paris", pair.id, "backup_disk", json_string(other.lyon_disk), "refused");
    push_changed(world, "paris", pair.id, "version", json_integer(1), "older");
    push_changed(world, "paris", pair.id, "group_id", json_string("pg-unknown"), "wait");
    drive_status(world, pair.id, "created");
    push_changed(world, "paris", pair.id, "last_point_s", json_integer(5), "same");
    push_changed(world, "paris", pair.id, "name", json_string("other"), "taken"); /* production's */
}

/* What is counted up or multiplied here cannot be brought near its end by the peer. */
static void test_numbers_that_are_refused(void **state)
{
    struct fake_world *world = *state;
    const struct record_type *type = record_type(RECORD_PAIR);
    struct drive_pair pair;
    struct pair_record before, after;
    char text[200];

    drive_pair(world, &pair);
    assert_int_equal(meta_get(world->sites[LYON].meta, RECORD_PAIR, pair.id, &before), 0);
    for (unsigned i = 0; i < type->field_count; i++) {
        const struct record_field *field = &type->fields[i];

        if (field->is_local || field->kind != FIELD_INT)
            continue;
        push_changed(world, "paris", pair.id, field->name, json_integer(INT64_MAX), "refused");
        push_changed(world, "paris", pair.id, field->name, json_integer(TREE_INT_MAX + 1),
                     "refused");
        push_changed(world, "paris", pair.id, field->name, json_integer(-1), "refused");
    }
    push_changed(world, "paris", pair.id, "version", json_integer(0), "refused");
    /* No number that leaves none behind it, where changes count up. */
    push_changed(world, "paris", pair.id, "version", json_integer(TREE_INT_MAX), "refused");
    push_changed(world, "paris", pair.id, "term", json_integer(TREE_INT_MAX), "refused");
    push_changed(world, "paris", pair.id, "stream_serial", json_integer(TREE_INT_MAX), "refused");
    snprintf(text, sizeof(text),
             "{\"v\":1,\"call\":\"record.delete\",\"args\":{\"id\":\"%s\",\"term\":%" PRId64 "}}",
             pair.id, INT64_MAX);
    expect_status(world, text, 400);
    assert_int_equal(meta_get(world->sites[LYON].meta, RECORD_PAIR, pair.id, &after), 0);
    assert_memory_equal(&before, &after, sizeof(before));
    push_changed(world, "paris", pair.id, "version",
                 json_integer(before.common.version + (INT64_C(1) << 32)), "taken");
}

/* Refused, the tags stay, and can be set on. */
static void test_tags_of_no_version(void **state)
{
    static const int64_t versions[] = {INT64_MAX, INT64_MAX - 1, TREE_INT_MAX + 1, TREE_INT_MAX, 0,
                                       -1};
    struct fake_world *world = *state;
    struct drive_pair pair;
    struct tag_set_record set;

    drive_pair(world, &pair);
    for (unsigned i = 0; i < ARRAY_COUNT(versions); i++) {
        json_t *tree =
            json_pack("{s:i, s:s, s:o}", "v", 1, "call", "record.put", "args",
                      sync_record_tree(control_site(world->sites[PARIS].control), pair.id));
        json_t *reply;
        char *text;

        json_object_set_new(json_object_get(tree, "args"), "tags",
                            json_pack("{s:I, s:s, s:[]}", "version", (json_int_t)versions[i],
                                      "site", "paris", "list"));
        text = json_dumps(tree, JSON_COMPACT);
        reply = call_lyon(world, "paris", text, strlen(text));
        assert_string_equal(tree_text(json_object_get(reply, "reply"), "verdict"), "refused");
        json_decref(reply);
        json_decref(tree);
        free(text);
    }
    assert_int_equal(meta_get(world->sites[LYON].meta, RECORD_TAG_SET, pair.id, &set), -ENOENT);
    drive_ok(world, LYON, "TagResources", NULL, NULL,
             "RegionId=cn-lyon&ResourceType=diskreplicapair&ResourceId.1=%s&Tag.1.Key=a", pair.id);
}

static void test_local_fields_do_not_travel(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    struct pair_record record;

    drive_pair(world, &pair);
    push_changed(world, "paris", pair.id, "version", json_integer(99), "taken");
    assert_int_equal(meta_get(world->sites[LYON].meta, RECORD_PAIR, pair.id, &record), 0);
    assert_int_equal(record.common.opened_serial, 0);
    json_t *tree = tree_from_record(RECORD_PAIR, &record);
    assert_null(json_object_get(tree, "opened_serial"));
    json_decref(tree);
}

/* Deleted at paris while lyon failed it over: lyon's stays, for a person; paris need not tell it
 * again. */
static void test_deletion_of_one_failed_over_since(void **state)
{
    struct fake_world *world = *state;
    struct site *lyon = control_site(world->sites[LYON].control);
    struct drive_pair pair;
    struct pair_record record;
    char text[200];

    drive_pair(world, &pair);
    assert_int_equal(meta_get(lyon->meta, RECORD_PAIR, pair.id, &record), 0);
    snprintf(text, sizeof(text),
             "{\"v\":1,\"call\":\"record.delete\",\"args\":{\"id\":\"%s\",\"term\":%d}}", pair.id,
             (int)record.common.term - 1);
    for (unsigned i = 0; i < 2; i++) {
        json_t *reply = call_lyon(world, "paris", text, strlen(text));
        assert_string_equal(tree_text(json_object_get(reply, "reply"), "verdict"), "gone");
        json_decref(reply);
        /* Durable with the answer. */
        assert_int_equal(meta_get(lyon->meta, RECORD_PAIR, pair.id, &record), 0);
        assert_int_equal(record.common.status, REPLICA_INVALID);
        assert_string_equal(record.common.status_message, "DeviceRemoved");
    }
}

/* The record could not be read: the peer must tell it again. */
static void test_deletion_that_is_not_understood(void **state)
{
    struct fake_world *world = *state;
    struct meta *meta = world->sites[LYON].meta;
    struct drive_pair pair;
    char text[200];

    drive_pair(world, &pair);
    snprintf(text, sizeof(text),
             "{\"v\":1,\"call\":\"record.delete\",\"args\":{\"id\":\"%s\",\"term\":99}}", pair.id);
    fake_meta_fail(meta, RECORD_PAIR, true, 1);
    expect_status(world, text, 500);
    assert_int_equal(fake_meta_left(meta), 0);
    drive_expect(world, LYON, pair.id, "Status", "created");
    expect_status(world, text, 200);
    fake_run(world, 0);
    drive_expect(world, LYON, pair.id, "Status", "");
}

/* The pair went into a group and out of it at one site while the other failed it over: the failover
 * counts, but the stream is gone at the former source: no cancel, and a reprotect by the records.
 */
static void test_reprotect_with_an_ended_stream(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;
    char group[64];

    drive_pair(world, &pair);
    drive_group(world, group);
    drive_ok(world, PARIS, "StartDiskReplicaPair", NULL, NULL, "RegionId=cn-paris&ReplicaPairId=%s",
             pair.id);
    fake_copy(world);
    drive_ok(world, PARIS, "StopDiskReplicaPair", NULL, NULL, "RegionId=cn-paris&ReplicaPairId=%s",
             pair.id);
    drive_status(world, pair.id, "stopped");
    fake_net(world, false);
    drive_add(world, group, &pair);
    drive_ok(world, PARIS, "RemoveDiskReplicaPair", NULL, NULL,
             "RegionId=cn-paris&ReplicaGroupId=%s&ReplicaPairId=%s", group, pair.id);
    fake_run(world, UINT64_C(30) * 1000000000);
    drive_ok(world, LYON, "FailoverDiskReplicaPair", NULL, NULL,
             "RegionId=cn-lyon&ReplicaPairId=%s", pair.id);
    fake_net(world, true);
    fake_run(world, UINT64_C(30) * 1000000000);
    drive_status(world, pair.id, "failovered");
    drive_fails(world, LYON, 403, "OperationDenied", "has ended there", "ReprotectDiskReplicaPair",
                "RegionId=cn-lyon&ReplicaPairId=%s&ReverseReplicate=false", pair.id);
    drive_status(world, pair.id, "failovered");
    drive_ok(world, LYON, "ReprotectDiskReplicaPair", NULL, NULL,
             "RegionId=cn-lyon&ReplicaPairId=%s&ReverseReplicate=true", pair.id);
    fake_run(world, UINT64_C(1) * 1000000000);
    drive_status(world, pair.id, "stopped");
}

/* The same, and the reprotect was accepted before the membership changed: it cannot end, and says
 * so at both sites. */
static void test_reprotect_without_our_end(void **state)
{
    struct fake_world *world = *state;
    struct drive_pair pair;

    drive_pair(world, &pair);
    push_changed(world, "paris", pair.id, "status", json_string("reprotecting"), "taken");
    fake_run(world, UINT64_C(30) * 1000000000);
    drive_status(world, pair.id, "reprotect_failed");
}

#define STORY(test) cmocka_unit_test_setup_teardown(test, drive_setup, drive_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(test_malformed_calls),
        STORY(test_hostile_rosters),
        STORY(test_every_truncation_is_answered),
        STORY(test_records_that_are_refused),
        STORY(test_numbers_that_are_refused),
        STORY(test_tags_of_no_version),
        STORY(test_local_fields_do_not_travel),
        STORY(test_deletion_of_one_failed_over_since),
        STORY(test_deletion_that_is_not_understood),
        STORY(test_reprotect_with_an_ended_stream),
        STORY(test_reprotect_without_our_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
