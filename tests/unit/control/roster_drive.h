/* SPDX-License-Identifier: Apache-2.0 */
/* Short words for tests of users, keys and policies. */
#ifndef ROSTER_DRIVE_H
#define ROSTER_DRIVE_H

#include "access/directory.h"
#include "drive.h"

struct roster_key {
    char id[64], secret[64];
};

/* A key of the user (NULL: root), made at that site. */
void roster_drive_key(struct fake_world *world, unsigned site, const char *user,
                      struct roster_key *ret_key);
/* A policy of one statement (' for "), made at that site and attached to the user. */
void roster_drive_policy(struct fake_world *world, unsigned site, const char *user,
                         const char *policy, const char *statement);
/* What is asked next is asked by the key's owner; NULL: by the local root. */
void roster_drive_as(struct fake_world *world, const char *user, const struct roster_key *key);
/* Does the site know the key with its secret (NULL: it must not)? */
void roster_drive_expect_key(struct fake_world *world, unsigned site, const char *key_id,
                             const char *secret);

#endif
