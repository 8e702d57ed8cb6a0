/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of who may what: one transaction, then the directory in memory, then the peer. Also
 * writes down, now and then, when access keys were last used.
 *
 *     roster_begin(&edit, site);
 *     roster_put(&edit, RECORD_USER, &record, NULL);
 *     if (roster_commit(&edit) < 0) ... nothing was changed
 */
#ifndef CONTROL_ROSTER_H
#define CONTROL_ROSTER_H

#include "control/change.h"
#include "control/roster_sync.h"

struct roster_item;

struct roster_edit {
    struct change change;
    struct roster_item *items; /* newest first */
};

void roster_init(struct site *site); /* site->directory, ->roster, ->roster_sync */
void roster_stop(struct site *site);
void roster_fini(struct site *site);

/* A record of that id to be made. -EEXIST: it is there. 0: `record` is zero but for the head, which
 * goes on from a deleted one's version, or from the last of its kind. Other errors: it cannot be
 * read. */
int roster_prepare(struct site *site, enum record_kind kind, const char *id,
                   union roster_record *record);
/* A living record. -ENOENT. */
int roster_get(struct site *site, enum record_kind kind, const char *id,
               union roster_record *record);

/* Is it there, and of the user's present life? One that was made for a user of the same name, at
 * the other site, who lost against this one, opens nothing. */
bool roster_key_lives(struct site *site, const struct access_key_record *key);
/* How many live; `user`: of this user (keys, attachments), NULL: in all. */
int roster_count(struct site *site, enum record_kind kind, const char *user, unsigned *ret_count);

void roster_begin(struct roster_edit *edit, struct site *site);
/* Counts the record's version up. `secret`: of a new access key (sealed already). */
void roster_put(struct roster_edit *edit, enum record_kind kind, union roster_record *record,
                const char *secret);
/* Marks it deleted, now, and empties it. The oldest of too many deleted ones goes for good. */
void roster_remove(struct roster_edit *edit, enum record_kind kind, union roster_record *record);
int roster_commit(struct roster_edit *edit);

#endif
