/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: one description of every record's fields, from which the database's statements and the
 * link's JSON are made; no hand-written copying of columns anywhere. States are stored as their
 * API names, so that a person with the sqlite3 shell reads them.
 */
#include "meta/records.h"

#include <string.h>

#include "base/check.h"

#define FIELD(type, member, field_kind)                                                            \
    {                                                                                              \
        .name = #member, .kind = field_kind, .offset = offsetof(struct type, member),              \
        .size = sizeof(((struct type *)0)->member)                                                 \
    }

/* A text field that records are looked up by. */
#define INDEXED(type, member, field_kind)                                                          \
    {                                                                                              \
        .name = #member, .kind = field_kind, .offset = offsetof(struct type, member),              \
        .size = sizeof(((struct type *)0)->member), .is_indexed = true                             \
    }

static const struct record_field disk_fields[] = {
    FIELD(disk_record, id, FIELD_TEXT),
    FIELD(disk_record, name, FIELD_TEXT),
    FIELD(disk_record, description, FIELD_TEXT),
    FIELD(disk_record, status, FIELD_DISK_STATE),
    FIELD(disk_record, size_bytes, FIELD_INT),
    FIELD(disk_record, category, FIELD_TEXT),
    FIELD(disk_record, performance_level, FIELD_TEXT),
    FIELD(disk_record, driver, FIELD_TEXT),
    INDEXED(disk_record, path, FIELD_TEXT),
    FIELD(disk_record, resource_group_id, FIELD_TEXT),
    FIELD(disk_record, is_encrypted, FIELD_BOOL),
    FIELD(disk_record, is_multi_attach, FIELD_BOOL),
    FIELD(disk_record, created_s, FIELD_INT),
    FIELD(disk_record, detached_s, FIELD_INT),
    FIELD(disk_record, is_deleted_with_instance, FIELD_BOOL),
    FIELD(disk_record, keeps_auto_snapshots, FIELD_BOOL),
    FIELD(disk_record, has_auto_snapshots, FIELD_BOOL),
    FIELD(disk_record, is_bursting, FIELD_BOOL),
    FIELD(disk_record, provisioned_iops, FIELD_INT),
};

static const struct record_field attachment_fields[] = {
    FIELD(attachment_record, disk_id, FIELD_TEXT),
    FIELD(attachment_record, instance_id, FIELD_TEXT),
    FIELD(attachment_record, device, FIELD_TEXT),
    FIELD(attachment_record, is_deleted_with_instance, FIELD_BOOL),
    FIELD(attachment_record, attached_s, FIELD_INT),
};

#define COMMON(member, field_kind)                                                                 \
    {                                                                                              \
        .name = #member, .kind = field_kind, .offset = offsetof(struct replica_record, member),    \
        .size = sizeof(((struct replica_record *)0)->member)                                       \
    }
#define COMMON_INDEXED(member, field_kind)                                                         \
    {                                                                                              \
        .name = #member, .kind = field_kind, .offset = offsetof(struct replica_record, member),    \
        .size = sizeof(((struct replica_record *)0)->member), .is_indexed = true                   \
    }
#define LOCAL(member, field_kind)                                                                  \
    {                                                                                              \
        .name = #member, .kind = field_kind, .offset = offsetof(struct replica_record, member),    \
        .size = sizeof(((struct replica_record *)0)->member), .is_local = true                     \
    }
#define COMMON_FIELDS                                                                              \
    COMMON(id, FIELD_TEXT), COMMON(name, FIELD_TEXT), COMMON(description, FIELD_TEXT),             \
        COMMON(resource_group_id, FIELD_TEXT), COMMON(production_site, FIELD_TEXT),                \
        COMMON(production_region, FIELD_TEXT), COMMON(production_zone, FIELD_TEXT),                \
        COMMON(backup_site, FIELD_TEXT), COMMON(backup_region, FIELD_TEXT),                        \
        COMMON(backup_zone, FIELD_TEXT), COMMON(is_reversed, FIELD_BOOL),                          \
        COMMON(rpo_s, FIELD_INT), COMMON(is_rtc, FIELD_BOOL), COMMON(bandwidth_kbit, FIELD_INT),   \
        COMMON_INDEXED(status, FIELD_REPLICA_STATE), COMMON(status_message, FIELD_TEXT),           \
        COMMON(term, FIELD_INT), COMMON(version, FIELD_INT), COMMON(stream_serial, FIELD_INT),     \
        COMMON(one_shot_s, FIELD_INT), COMMON(created_s, FIELD_INT),                               \
        LOCAL(opened_serial, FIELD_INT), COMMON(last_point_s, FIELD_INT),                          \
        LOCAL(opened_disks, FIELD_TEXT), LOCAL(was_written, FIELD_BOOL)

static const struct record_field group_fields[] = {COMMON_FIELDS};

static const struct record_field pair_fields[] = {
    COMMON_FIELDS,
    {.name = "group_id",
     .kind = FIELD_TEXT,
     .offset = offsetof(struct pair_record, group_id),
     .size = sizeof(((struct pair_record *)0)->group_id),
     .is_reference = true,
     .is_indexed = true},
    INDEXED(pair_record, production_disk, FIELD_TEXT),
    INDEXED(pair_record, backup_disk, FIELD_TEXT),
    FIELD(pair_record, size_bytes, FIELD_INT),
    FIELD(pair_record, charge_type, FIELD_TEXT),
    FIELD(pair_record, is_seeded, FIELD_BOOL),
};

static const struct record_field job_fields[] = {
    FIELD(job_record, id, FIELD_TEXT),           FIELD(job_record, kind, FIELD_TEXT),
    INDEXED(job_record, object, FIELD_TEXT),     FIELD(job_record, step, FIELD_INT),
    FIELD(job_record, attempt_count, FIELD_INT), FIELD(job_record, argument, FIELD_TEXT),
    FIELD(job_record, trouble, FIELD_TEXT),      FIELD(job_record, created_s, FIELD_INT),
};

static const struct record_field token_fields[] = {
    FIELD(token_record, id, FIELD_TEXT),
    FIELD(token_record, digest, FIELD_TEXT),
    FIELD(token_record, reply, FIELD_TEXT),
    FIELD(token_record, created_s, FIELD_INT),
};

static const struct record_field tombstone_fields[] = {
    FIELD(tombstone_record, id, FIELD_TEXT),       INDEXED(tombstone_record, peer, FIELD_TEXT),
    FIELD(tombstone_record, term, FIELD_INT),      FIELD(tombstone_record, is_acked, FIELD_BOOL),
    FIELD(tombstone_record, created_s, FIELD_INT), FIELD(tombstone_record, forgotten, FIELD_INT),
};

#define ACCESS(member, field_kind)                                                                 \
    {                                                                                              \
        .name = #member, .kind = field_kind, .offset = offsetof(struct access_record, member),     \
        .size = sizeof(((struct access_record *)0)->member)                                        \
    }
#define ACCESS_FIELDS                                                                              \
    ACCESS(id, FIELD_TEXT), ACCESS(version, FIELD_INT), ACCESS(site, FIELD_TEXT),                  \
        ACCESS(is_deleted, FIELD_BOOL), ACCESS(created_s, FIELD_INT)

static const struct record_field user_fields[] = {
    ACCESS_FIELDS,
    FIELD(user_record, uid, FIELD_TEXT),
    FIELD(user_record, description, FIELD_TEXT),
};

static const struct record_field access_key_fields[] = {
    ACCESS_FIELDS,
    INDEXED(access_key_record, user, FIELD_TEXT),
    FIELD(access_key_record, user_uid, FIELD_TEXT),
    FIELD(access_key_record, is_enabled, FIELD_BOOL),
    {.name = "sealed",
     .kind = FIELD_TEXT,
     .offset = offsetof(struct access_key_record, sealed),
     .size = sizeof(((struct access_key_record *)0)->sealed),
     .is_local = true},
    {.name = "last_used_s",
     .kind = FIELD_INT,
     .offset = offsetof(struct access_key_record, last_used_s),
     .size = sizeof(((struct access_key_record *)0)->last_used_s),
     .is_local = true},
};

static const struct record_field policy_fields[] = {
    ACCESS_FIELDS,
    FIELD(policy_record, uid, FIELD_TEXT),
    FIELD(policy_record, description, FIELD_TEXT),
    FIELD(policy_record, document, FIELD_TEXT),
};

static const struct record_field policy_link_fields[] = {
    ACCESS_FIELDS,
    INDEXED(policy_link_record, user, FIELD_TEXT),
    FIELD(policy_link_record, user_uid, FIELD_TEXT),
    INDEXED(policy_link_record, policy, FIELD_TEXT),
    FIELD(policy_link_record, policy_uid, FIELD_TEXT),
};

static const struct record_field tag_fields[] = {
    FIELD(tag_record, id, FIELD_TEXT),
    INDEXED(tag_record, resource_id, FIELD_TEXT),
    FIELD(tag_record, key, FIELD_TEXT),
    FIELD(tag_record, value, FIELD_TEXT),
};

static const struct record_field tag_set_fields[] = {
    FIELD(tag_set_record, id, FIELD_TEXT),
    FIELD(tag_set_record, version, FIELD_INT),
    FIELD(tag_set_record, site, FIELD_TEXT),
};

static const struct record_field access_horizon_fields[] = {
    FIELD(access_horizon_record, id, FIELD_TEXT),
    FIELD(access_horizon_record, version, FIELD_INT),
};

#define TYPE(table_name, type, list)                                                               \
    {                                                                                              \
        .table = table_name, .size = sizeof(struct type), .fields = list,                          \
        .field_count = ARRAY_COUNT(list)                                                           \
    }

static const struct record_type types[RECORD_KIND_COUNT] = {
    [RECORD_DISK] = TYPE("disks", disk_record, disk_fields),
    [RECORD_ATTACHMENT] = TYPE("attachments", attachment_record, attachment_fields),
    [RECORD_GROUP] = TYPE("groups_", group_record, group_fields),
    [RECORD_PAIR] = TYPE("pairs", pair_record, pair_fields),
    [RECORD_JOB] = TYPE("jobs", job_record, job_fields),
    [RECORD_TOKEN] = TYPE("tokens", token_record, token_fields),
    [RECORD_TOMBSTONE] = TYPE("tombstones", tombstone_record, tombstone_fields),
    [RECORD_USER] = TYPE("users", user_record, user_fields),
    [RECORD_ACCESS_KEY] = TYPE("access_keys", access_key_record, access_key_fields),
    [RECORD_POLICY] = TYPE("policies", policy_record, policy_fields),
    [RECORD_POLICY_LINK] = TYPE("policy_links", policy_link_record, policy_link_fields),
    [RECORD_TAG] = TYPE("tags", tag_record, tag_fields),
    [RECORD_TAG_SET] = TYPE("tag_sets", tag_set_record, tag_set_fields),
    [RECORD_ACCESS_HORIZON] = TYPE("access_horizons", access_horizon_record, access_horizon_fields),
};

const struct record_type *record_type(enum record_kind kind)
{
    check((unsigned)kind < RECORD_KIND_COUNT);
    check(types[kind].field_count <= RECORD_FIELDS_MAX);
    return &types[kind];
}

int64_t record_int(const struct record_field *field, const void *record)
{
    const char *at = (const char *)record + field->offset;
    int64_t value;

    switch (field->kind) {
    case FIELD_BOOL:
        return *(const bool *)at;
    case FIELD_INT:
        memcpy(&value, at, sizeof(value));
        return value;
    case FIELD_TEXT:
    case FIELD_DISK_STATE:
    case FIELD_REPLICA_STATE:
        break;
    }
    check(!"a text field has no integer");
    return 0;
}

const char *record_text(const struct record_field *field, const void *record)
{
    const char *at = (const char *)record + field->offset;

    switch (field->kind) {
    case FIELD_TEXT:
        return at;
    case FIELD_DISK_STATE:
        return disk_state_name(*(const enum disk_state *)(const void *)at);
    case FIELD_REPLICA_STATE:
        return replica_state_name(*(const enum replica_state *)(const void *)at);
    case FIELD_INT:
    case FIELD_BOOL:
        break;
    }
    check(!"an integer field has no text");
    return NULL;
}

bool record_set_int(const struct record_field *field, void *record, int64_t value)
{
    char *at = (char *)record + field->offset;

    if (field->kind == FIELD_INT) {
        check(field->size == sizeof(value));
        memcpy(at, &value, sizeof(value));
        return true;
    }
    if (field->kind != FIELD_BOOL || (value != 0 && value != 1))
        return false;
    *(bool *)at = value != 0;
    return true;
}

bool record_set_text(const struct record_field *field, void *record, const char *value)
{
    char *at = (char *)record + field->offset;

    if (field->kind == FIELD_DISK_STATE)
        return disk_state_parse(value, (enum disk_state *)(void *)at);
    if (field->kind == FIELD_REPLICA_STATE)
        return replica_state_parse(value, (enum replica_state *)(void *)at);
    if (field->kind != FIELD_TEXT || strlen(value) >= field->size)
        return false;
    memset(at, 0, field->size);
    memcpy(at, value, strlen(value));
    return true;
}
