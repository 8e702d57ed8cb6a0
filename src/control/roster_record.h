/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The four kinds of records of who may what (RECORD_USER .. RECORD_POLICY_LINK), treated alike:
 * checked, put into the directory in memory, read at the start. Each begins with a
 * struct access_record.
 */
#ifndef CONTROL_ROSTER_RECORD_H
#define CONTROL_ROSTER_RECORD_H

#include "access/directory.h"
#include "access/secret_box.h"
#include "control/change.h"

enum { ROSTER_KIND_FIRST = RECORD_USER, ROSTER_KIND_LAST = RECORD_POLICY_LINK };
/* Of a kind, from where on the oldest deleted one goes for each that is deleted. Far above what may
 * live. */
enum { ROSTER_RECORDS_MAX = 50000 };

union roster_record {
    struct access_record access;
    struct user_record user;
    struct access_key_record key;
    struct policy_record policy;
    struct policy_link_record link;
};

/* 1..60 of letters, digits, '.', '_', '-'; first a letter or digit. */
bool roster_record_is_name(const char *text);
/* Whatever comes from outside: names, ids that fit together, a document that is a policy. */
bool roster_record_is_sane(enum record_kind kind, const union roster_record *record);

/* Into the directory as it is now. `secret`: of a living key; NULL: unsealed here.
 * -EBADMSG: it cannot be unsealed; the key is left out, and said so. */
int roster_record_apply(struct site *site, enum record_kind kind, const union roster_record *record,
                        const char *secret);
/* All of them; repeatable. Negative: they cannot be read now. */
int roster_record_load(struct site *site);

/* The highest version of any record of the kind, deleted ones too. What is made anew goes on from
 * it: so it is newer than any deleted record that was forgotten meanwhile (roster_sync.c). */
int roster_record_last(struct site *site, enum record_kind kind, int64_t *ret_version);

/* A deleted record goes for good, with `change`: what lives elsewhere with a version up to its is
 * taken for one that was deleted here (roster_sync.c). */
void roster_record_forget(struct change *change, enum record_kind kind,
                          const struct access_record *access);
/* Up to which version deleted ones were forgotten; 0: none. */
int roster_record_horizon(struct site *site, enum record_kind kind, int64_t *ret_version);
/* It lives no more: marked deleted, now, and emptied. Version and site are the caller's. */
void roster_record_bury(struct site *site, enum record_kind kind, union roster_record *record);

/* Seals the secret into the record. -EIO; -ENOTSUP: this site has no box. */
int roster_record_seal(struct site *site, struct access_key_record *key, const char *secret);
int roster_record_unseal(struct site *site, const struct access_key_record *key,
                         char ret_secret[SECRET_BOX_SECRET_MAX + 1]);

/* Are there secrets, and does the box open them? For the start, before there is a site. A NULL box
 * only counts. */
int roster_record_check(struct meta *meta, struct secret_box *box, bool *ret_has_secrets,
                        struct err *err);

#endif
