/* SPDX-License-Identifier: Apache-2.0 */
/* Why: tests of control should read as the story of two sites. */
#include "drive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const char *const drive_regions[2] = {"cn-paris", "cn-lyon"};

static void field_text(const json_t *tree, const char *field, char *ret_text)
{
    const json_t *value = json_object_get(tree, field);

    ret_text[0] = 0;
    if (json_is_string(value))
        snprintf(ret_text, 64, "%s", json_string_value(value));
    else if (json_is_integer(value))
        snprintf(ret_text, 64, "%lld", (long long)json_integer_value(value));
    else if (json_is_boolean(value))
        snprintf(ret_text, 64, "%s", json_is_true(value) ? "true" : "false");
}

void drive_ok(struct fake_world *world, unsigned site, const char *action, const char *field,
              char *ret_text, const char *format, ...)
{
    char query[1000];
    unsigned status = 0;
    va_list arguments;
    json_t *reply;

    va_start(arguments, format);
    vsnprintf(query, sizeof(query), format, arguments);
    va_end(arguments);
    reply = fake_ask(world, site, action, query, &status);
    if (!reply || status != 200) {
        char *text = reply ? json_dumps(reply, 0) : NULL;
        fail_msg("%s %s: %u %s", action, query, status, text ? text : "no answer");
    }
    if (field)
        field_text(reply, field, ret_text);
    json_decref(reply);
}

json_t *drive_ask(struct fake_world *world, unsigned site, const char *action, const char *format,
                  ...)
{
    char query[6000];
    unsigned status = 0;
    va_list arguments;
    json_t *reply;

    va_start(arguments, format);
    vsnprintf(query, sizeof(query), format, arguments);
    va_end(arguments);
    reply = fake_ask(world, site, action, query, &status);
    if (!reply || status != 200)
        fail_msg("%s %s: %u %s", action, query, status, reply ? json_dumps(reply, 0) : "no answer");
    return reply;
}

void drive_fails(struct fake_world *world, unsigned site, unsigned status, const char *code,
                 const char *part, const char *action, const char *format, ...)
{
    char query[6000];
    unsigned got = 0;
    va_list arguments;
    json_t *reply;
    const char *message;

    va_start(arguments, format);
    vsnprintf(query, sizeof(query), format, arguments);
    va_end(arguments);
    reply = fake_ask(world, site, action, query, &got);
    if (!reply)
        fail_msg("%s %s: no answer", action, query);
    if (got != status || !json_object_get(reply, "Code") ||
        strcmp(json_string_value(json_object_get(reply, "Code")), code) != 0)
        fail_msg("%s %s: wanted %u %s, got %u %s", action, query, status, code, got,
                 json_dumps(reply, 0));
    message = json_string_value(json_object_get(reply, "Message"));
    assert_non_null(message);
    if (part && !strstr(message, part))
        fail_msg("%s: '%s' lacks '%s'", action, message, part);
    json_decref(reply);
}

void drive_show(struct fake_world *world, unsigned site, const char *id, const char *field,
                char *ret_text)
{
    bool is_group = strncmp(id, "pg-", 3) == 0;
    unsigned status = 0;
    char query[200];
    json_t *reply, *list;

    snprintf(query, sizeof(query), "RegionId=%s&%s=%s", world->sites[site].region,
             is_group ? "GroupIds" : "PairIds", id);
    reply =
        fake_ask(world, site, is_group ? "DescribeDiskReplicaGroups" : "DescribeDiskReplicaPairs",
                 query, &status);
    assert_non_null(reply);
    assert_int_equal(status, 200);
    list = json_object_get(reply, is_group ? "ReplicaGroups" : "ReplicaPairs");
    assert_true(json_is_array(list));
    field_text(json_array_get(list, 0), field, ret_text);
    json_decref(reply);
}

void drive_expect(struct fake_world *world, unsigned site, const char *id, const char *field,
                  const char *value)
{
    char text[64];

    drive_show(world, site, id, field, text);
    if (strcmp(text, value) != 0)
        fail_msg("%s of %s at %s: '%s', not '%s'", field, id, world->sites[site].name, text, value);
}

void drive_status(struct fake_world *world, const char *id, const char *value)
{
    drive_expect(world, PARIS, id, "Status", value);
    drive_expect(world, LYON, id, "Status", value);
}

void drive_write_state(struct fake_world *world, unsigned site, const char *id,
                       enum replica_state state)
{
    enum record_kind kind = strncmp(id, "pg-", 3) == 0 ? RECORD_GROUP : RECORD_PAIR;
    struct meta *meta = world->sites[site].meta;
    struct err err;
    union {
        struct pair_record pair;
        struct group_record group;
    } record;

    assert_int_equal(meta_get(meta, kind, id, &record), 0);
    (kind == RECORD_GROUP ? &record.group.common : &record.pair.common)->status = state;
    assert_int_equal(meta_begin(meta, &err), 0);
    assert_int_equal(meta_put(meta, kind, &record, &err), 0);
    assert_int_equal(meta_commit(meta, &err), 0);
}

void drive_disk(struct fake_world *world, unsigned site, char *ret_id)
{
    drive_ok(world, site, "CreateDisk", "DiskId", ret_id, "RegionId=%s&ZoneId=%s&SizeBytes=8192",
             world->sites[site].region, world->sites[site].zone);
}

void drive_pair(struct fake_world *world, struct drive_pair *ret_pair)
{
    drive_disk(world, PARIS, ret_pair->paris_disk);
    drive_disk(world, LYON, ret_pair->lyon_disk);
    drive_ok(world, PARIS, "CreateDiskReplicaPair", "ReplicaPairId", ret_pair->id,
             "RegionId=%s&SourceZoneId=cn-paris-a&DiskId=%s&DestinationRegionId=%s&"
             "DestinationZoneId=cn-lyon-a&DestinationDiskId=%s",
             world->sites[PARIS].region, ret_pair->paris_disk, world->sites[LYON].region,
             ret_pair->lyon_disk);
}

void drive_group(struct fake_world *world, char *ret_id)
{
    drive_ok(world, PARIS, "CreateDiskReplicaGroup", "ReplicaGroupId", ret_id,
             "RegionId=%s&SourceZoneId=cn-paris-a&DestinationRegionId=%s&"
             "DestinationZoneId=cn-lyon-a&GroupName=erp",
             world->sites[PARIS].region, world->sites[LYON].region);
}

void drive_pair_and_group(struct fake_world *world, struct drive_pair *ret_pair, char *ret_group)
{
    drive_pair(world, ret_pair);
    drive_group(world, ret_group);
    fake_run(world, 0);
}

void drive_add(struct fake_world *world, const char *group, const struct drive_pair *pair)
{
    drive_ok(world, PARIS, "AddDiskReplicaPair", NULL, NULL,
             "RegionId=%s&ReplicaGroupId=%s&ReplicaPairId=%s", world->sites[PARIS].region, group,
             pair->id);
    fake_run(world, 0);
}

int drive_setup(void **state)
{
    *state = fake_world_new(false);
    return 0;
}

int drive_teardown(void **state)
{
    fake_world_free(*state);
    return 0;
}
