/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records of a site and the tables that describe their fields. The same description serves the
 * database (a column a field) and the link (a JSON member a field), so a field is added in two
 * places: the struct here, the row in records.c (and a migration in schema.c).
 *
 * Fields marked local are this site's own: they never travel and are kept when a peer's version of
 * the record is taken over.
 */
#ifndef META_RECORDS_H
#define META_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/access_records.h"
#include "model/disk_state.h"
#include "model/replica_state.h"

/* 128 disk ids, each with a space. */
enum { RECORD_DISKS_SIZE = 5376, RECORD_TOKEN_SIZE = 240 };

struct disk_record {
    char id[RECORD_ID_SIZE];
    char name[RECORD_NAME_SIZE];
    char description[RECORD_TEXT_SIZE];
    enum disk_state status;
    int64_t size_bytes;
    char category[RECORD_WORD_SIZE];
    char performance_level[RECORD_WORD_SIZE];
    char driver[RECORD_WORD_SIZE]; /* "file", "block" */
    char path[RECORD_TEXT_SIZE];   /* "": the default store */
    char resource_group_id[RECORD_WORD_SIZE];
    bool is_encrypted;
    bool is_multi_attach;
    int64_t created_s;
    int64_t detached_s; /* 0: never */
    /* Kept and shown, without effect here, where there are no instances and no snapshot policies.
     */
    bool is_deleted_with_instance;
    bool keeps_auto_snapshots;
    bool has_auto_snapshots;
    bool is_bursting;
    int64_t provisioned_iops;
};

struct attachment_record {
    char disk_id[RECORD_ID_SIZE]; /* key: one attachment a disk */
    char instance_id[RECORD_WORD_SIZE];
    char device[RECORD_WORD_SIZE];
    bool is_deleted_with_instance;
    int64_t attached_s;
};

/* What a pair and a group have in common; both sites keep their own. */
struct replica_record {
    char id[RECORD_ID_SIZE];
    char name[RECORD_NAME_SIZE];
    char description[RECORD_TEXT_SIZE];
    char resource_group_id[RECORD_WORD_SIZE];
    /* The fixed roles: production is where the primary disks lay at first. */
    char production_site[RECORD_WORD_SIZE], production_region[RECORD_WORD_SIZE];
    char production_zone[RECORD_WORD_SIZE];
    char backup_site[RECORD_WORD_SIZE], backup_region[RECORD_WORD_SIZE];
    char backup_zone[RECORD_WORD_SIZE];
    bool is_reversed; /* the data flows from backup to production */
    int64_t rpo_s;
    bool is_rtc;
    int64_t bandwidth_kbit;
    enum replica_state status; /* as stored: replica_state_shown() is what is shown */
    char status_message[RECORD_WORD_SIZE];
    /* Who is right when the sites differ: the higher term (it rises with each failover), then the
     * higher version (it rises with each change). */
    int64_t term, version;
    /* Rises whenever the stream must be made anew (membership). */
    int64_t stream_serial;
    int64_t one_shot_s; /* last one-shot start; 0: never */
    int64_t created_s;
    int64_t last_point_s; /* newest recovery point seen, survives the stream */
    /* Local. */
    int64_t opened_serial;                /* the stream of this serial is open here; 0: none */
    char opened_disks[RECORD_DISKS_SIZE]; /* its disks in order, each followed by a space */
    bool was_written; /* of one that is being deleted: hosts wrote here when that was asked for */
};

struct pair_record {
    struct replica_record common;
    char group_id[RECORD_ID_SIZE]; /* "": none */
    char production_disk[RECORD_ID_SIZE], backup_disk[RECORD_ID_SIZE];
    int64_t size_bytes;
    char charge_type[RECORD_WORD_SIZE];
    bool is_seeded; /* both disks held the same bytes in an earlier stream: compare, not copy */
};

struct group_record {
    struct replica_record common;
};

/* Long work. Key: "<kind>/<object>"; so an object has one job of a kind. */
struct job_record {
    char id[RECORD_ID_SIZE + RECORD_WORD_SIZE];
    char kind[RECORD_WORD_SIZE];
    char object[RECORD_ID_SIZE];
    int64_t step;
    int64_t attempt_count;
    char argument[RECORD_WORD_SIZE];
    char trouble[RECORD_NAME_SIZE]; /* why the last attempt failed */
    int64_t created_s;
};

/* A remembered reply. Key: "<operation>/<version>/<uid of the caller>/<token>"; "clock": see
 * control/token.c. */
struct token_record {
    char id[RECORD_TOKEN_SIZE];
    char digest[72];              /* SHA-256 of the parameters, in hexadecimal */
    char reply[RECORD_TEXT_SIZE]; /* JSON */
    int64_t created_s;            /* by a clock that does not jump */
};

/* A record that was deleted: the peer must not bring it back. */
struct tombstone_record {
    char id[RECORD_ID_SIZE];
    char peer[RECORD_WORD_SIZE];
    int64_t term;
    bool is_acked; /* the peer knows */
    int64_t created_s;
    /* Given up here alone (ForgetDiskReplica), enum tombstone_forgotten: the peer keeps its own. */
    int64_t forgotten;
};

/* A tag of a pair, group or disk. Key: "<resource>/<key>". */
struct tag_record {
    char id[RECORD_ID_SIZE + RECORD_NAME_SIZE];
    char resource_id[RECORD_ID_SIZE];
    char key[RECORD_NAME_SIZE], value[RECORD_NAME_SIZE];
};

/* Who wrote the tags of a resource last; of two sites' the higher (version, site) stands. */
struct tag_set_record {
    char id[RECORD_ID_SIZE]; /* of the resource */
    int64_t version;
    char site[RECORD_WORD_SIZE];
};

enum tombstone_forgotten {
    TOMBSTONE_DELETED, /* at both sites */
    TOMBSTONE_LEFT,    /* given up here; the peer is who hosts write at, if anybody */
    TOMBSTONE_TAKEN,   /* given up here, where hosts write: the peer must not open as well */
};

enum record_field_kind { FIELD_TEXT, FIELD_INT, FIELD_BOOL, FIELD_DISK_STATE, FIELD_REPLICA_STATE };

struct record_field {
    const char *name;
    enum record_field_kind kind;
    unsigned offset, size;
    bool is_local;
    bool is_reference; /* "" is stored as NULL (a foreign key) */
    bool is_indexed;   /* the cache finds records by it quickly (the key always) */
};

struct record_type {
    const char *table;
    unsigned size;
    const struct record_field *fields; /* the first is the key, always text */
    unsigned field_count;
};

enum { RECORD_FIELDS_MAX = 40 };

enum record_kind {
    RECORD_DISK,
    RECORD_ATTACHMENT,
    RECORD_GROUP,
    RECORD_PAIR,
    RECORD_JOB,
    RECORD_TOKEN,
    RECORD_TOMBSTONE,
    RECORD_USER,
    RECORD_ACCESS_KEY,
    RECORD_POLICY,
    RECORD_POLICY_LINK,
    RECORD_TAG,
    RECORD_TAG_SET,
    RECORD_ACCESS_HORIZON,
    RECORD_KIND_COUNT
};

const struct record_type *record_type(enum record_kind kind);

/* The value of a field as an integer (INT, BOOL, states) or as text (TEXT). */
int64_t record_int(const struct record_field *field, const void *record);
const char *record_text(const struct record_field *field, const void *record);
/* False: the value does not fit the field (too long, no such state); the record is unchanged. */
bool record_set_int(const struct record_field *field, void *record, int64_t value);
bool record_set_text(const struct record_field *field, void *record, const char *value);

#endif
