/* SPDX-License-Identifier: Apache-2.0 */
/* The records of users, access keys and policies: docs/metadata.md. Fields as in meta/records.h. */
#ifndef META_ACCESS_RECORDS_H
#define META_ACCESS_RECORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "meta/record_sizes.h"

enum { RECORD_ACCESS_ID_SIZE = 2 * RECORD_WORD_SIZE, RECORD_DOCUMENT_SIZE = 6148 };

/* The first member of the four below. Both sites have them; of two the higher (version, site)
 * stands. A deleted one stays, so that it is not brought back. */
struct access_record {
    char id[RECORD_ACCESS_ID_SIZE];
    int64_t version;
    char site[RECORD_WORD_SIZE]; /* that wrote this version */
    bool is_deleted;
    int64_t created_s;
};

/* Of the deleted ones of a kind that were forgotten: the highest version. Local to a site. */
struct access_horizon_record {
    char id[RECORD_WORD_SIZE]; /* the kind's table */
    int64_t version;
};

struct user_record {
    struct access_record access; /* id: the name */
    char uid[RECORD_WORD_SIZE];  /* of this life of the user */
    char description[RECORD_NAME_SIZE];
};

struct access_key_record {
    struct access_record access;
    char user[RECORD_WORD_SIZE]; /* "root": the site's own */
    char user_uid[RECORD_WORD_SIZE];
    bool is_enabled;
    char sealed[RECORD_NAME_SIZE]; /* local: the secret, access/secret_box.h */
    int64_t last_used_s;           /* local; 0: never */
};

struct policy_record {
    struct access_record access; /* id: the name */
    char uid[RECORD_WORD_SIZE];
    char description[RECORD_NAME_SIZE];
    char document[RECORD_DOCUMENT_SIZE];
};

/* A policy attached to a user. Id: "<user>/<policy>". */
struct policy_link_record {
    struct access_record access;
    char user[RECORD_WORD_SIZE], user_uid[RECORD_WORD_SIZE];
    char policy[RECORD_WORD_SIZE], policy_uid[RECORD_WORD_SIZE];
};

#endif
