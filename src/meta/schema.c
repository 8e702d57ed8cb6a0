/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: a database outlives the program that made it. Each step is applied in one transaction
 * together with user_version; a step, once released, is never changed. docs/metadata.md explains
 * the columns.
 */
#include "meta/schema.h"

#include <stddef.h>

#include "base/check.h"

#define REPLICA_COLUMNS                                                                            \
    "id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, description TEXT NOT NULL,"                 \
    "resource_group_id TEXT NOT NULL, production_site TEXT NOT NULL,"                              \
    "production_region TEXT NOT NULL, production_zone TEXT NOT NULL,"                              \
    "backup_site TEXT NOT NULL, backup_region TEXT NOT NULL, backup_zone TEXT NOT NULL,"           \
    "is_reversed INTEGER NOT NULL, rpo_s INTEGER NOT NULL, is_rtc INTEGER NOT NULL,"               \
    "bandwidth_kbit INTEGER NOT NULL, status TEXT NOT NULL, status_message TEXT NOT NULL,"         \
    "term INTEGER NOT NULL, version INTEGER NOT NULL, stream_serial INTEGER NOT NULL,"             \
    "one_shot_s INTEGER NOT NULL, created_s INTEGER NOT NULL,"                                     \
    "opened_serial INTEGER NOT NULL, last_point_s INTEGER NOT NULL, opened_disks TEXT NOT NULL"

#define ACCESS_COLUMNS                                                                             \
    "id TEXT PRIMARY KEY NOT NULL, version INTEGER NOT NULL, site TEXT NOT NULL,"                  \
    "is_deleted INTEGER NOT NULL, created_s INTEGER NOT NULL"

static const char *const migrations[] = {
    /* 0 -> 1 */
    "CREATE TABLE disks (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL,"
    "  description TEXT NOT NULL, status TEXT NOT NULL,"
    "  size_bytes INTEGER NOT NULL CHECK (size_bytes > 0), category TEXT NOT NULL,"
    "  performance_level TEXT NOT NULL, driver TEXT NOT NULL, path TEXT NOT NULL,"
    "  resource_group_id TEXT NOT NULL, is_encrypted INTEGER NOT NULL,"
    "  is_multi_attach INTEGER NOT NULL, created_s INTEGER NOT NULL,"
    "  detached_s INTEGER NOT NULL);"
    "CREATE TABLE attachments (disk_id TEXT PRIMARY KEY NOT NULL REFERENCES disks(id),"
    "  instance_id TEXT NOT NULL, device TEXT NOT NULL,"
    "  is_deleted_with_instance INTEGER NOT NULL, attached_s INTEGER NOT NULL);"
    "CREATE TABLE groups_ (" REPLICA_COLUMNS ");"
    "CREATE TABLE pairs (" REPLICA_COLUMNS ","
    "  group_id TEXT REFERENCES groups_(id), production_disk TEXT NOT NULL UNIQUE,"
    "  backup_disk TEXT NOT NULL UNIQUE, size_bytes INTEGER NOT NULL CHECK (size_bytes > 0),"
    "  charge_type TEXT NOT NULL, is_seeded INTEGER NOT NULL);"
    "CREATE INDEX pairs_group ON pairs(group_id);"
    "CREATE TABLE jobs (id TEXT PRIMARY KEY NOT NULL, kind TEXT NOT NULL, object TEXT NOT NULL,"
    "  step INTEGER NOT NULL, attempt_count INTEGER NOT NULL, argument TEXT NOT NULL,"
    "  trouble TEXT NOT NULL, created_s INTEGER NOT NULL);"
    "CREATE TABLE tokens (id TEXT PRIMARY KEY NOT NULL, digest TEXT NOT NULL,"
    "  reply TEXT NOT NULL, created_s INTEGER NOT NULL);"
    "CREATE TABLE tombstones (id TEXT PRIMARY KEY NOT NULL, peer TEXT NOT NULL,"
    "  term INTEGER NOT NULL, is_acked INTEGER NOT NULL, created_s INTEGER NOT NULL);"
    "CREATE TABLE events (number INTEGER PRIMARY KEY AUTOINCREMENT, object TEXT NOT NULL,"
    "  kind TEXT NOT NULL, text TEXT NOT NULL, created_s INTEGER NOT NULL);",
    /* 1 -> 2 */
    "ALTER TABLE tombstones ADD COLUMN forgotten INTEGER NOT NULL DEFAULT 0;",
    /* 2 -> 3: who may what */
    "CREATE TABLE users (" ACCESS_COLUMNS ", uid TEXT NOT NULL, description TEXT NOT NULL);"
    "CREATE TABLE access_keys (" ACCESS_COLUMNS ", user TEXT NOT NULL, user_uid TEXT NOT NULL,"
    "  is_enabled INTEGER NOT NULL, sealed TEXT NOT NULL, last_used_s INTEGER NOT NULL);"
    "CREATE TABLE policies (" ACCESS_COLUMNS ", uid TEXT NOT NULL, description TEXT NOT NULL,"
    "  document TEXT NOT NULL);"
    "CREATE TABLE policy_links (" ACCESS_COLUMNS ", user TEXT NOT NULL, user_uid TEXT NOT NULL,"
    "  policy TEXT NOT NULL, policy_uid TEXT NOT NULL);",
    /* 3 -> 4: tags */
    "CREATE TABLE tags (id TEXT PRIMARY KEY NOT NULL, resource_id TEXT NOT NULL,"
    "  key TEXT NOT NULL, value TEXT NOT NULL);"
    "CREATE INDEX tags_resource ON tags(resource_id);"
    "CREATE TABLE tag_sets (id TEXT PRIMARY KEY NOT NULL, version INTEGER NOT NULL,"
    "  site TEXT NOT NULL);",
    /* 4 -> 5: attributes of disks */
    "ALTER TABLE disks ADD COLUMN is_deleted_with_instance INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE disks ADD COLUMN keeps_auto_snapshots INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE disks ADD COLUMN has_auto_snapshots INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE disks ADD COLUMN is_bursting INTEGER NOT NULL DEFAULT 0;",
    /* 5 -> 6: no position twice */
    "CREATE TABLE last_positions (name TEXT PRIMARY KEY NOT NULL, position INTEGER NOT NULL)"
    "  WITHOUT ROWID;",
    /* 6 -> 7: one more attribute of disks */
    "ALTER TABLE disks ADD COLUMN provisioned_iops INTEGER NOT NULL DEFAULT 0;",
    /* 7 -> 8: never used; events lie in a database of their own */
    "DROP TABLE events;",
    /* 8 -> 9: up to where deleted users, keys and policies were forgotten */
    "CREATE TABLE access_horizons (id TEXT PRIMARY KEY NOT NULL, version INTEGER NOT NULL);",
    /* 9 -> 10: did hosts write here when a deletion was asked for? */
    "ALTER TABLE pairs ADD COLUMN was_written INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE groups_ ADD COLUMN was_written INTEGER NOT NULL DEFAULT 0;",
};

unsigned schema_version(void)
{
    return ARRAY_COUNT(migrations);
}

const char *schema_migration(unsigned version)
{
    check(version < ARRAY_COUNT(migrations));
    return migrations[version];
}
