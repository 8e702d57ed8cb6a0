/* SPDX-License-Identifier: Apache-2.0 */
/* Short words for tests: ask, expect, and usual set-ups. */
#ifndef DRIVE_H
#define DRIVE_H

#include "fake_world.h"

/* Asks and expects 200; the reply's `field` (NULL: none) into `ret_text`, 64 bytes. */
void drive_ok(struct fake_world *world, unsigned site, const char *action, const char *field,
              char *ret_text, const char *format, ...) __attribute__((format(printf, 6, 7)));
/* Asks and expects that error, and `part` (NULL: any) in its message. */
void drive_fails(struct fake_world *world, unsigned site, unsigned status, const char *code,
                 const char *part, const char *action, const char *format, ...)
    __attribute__((format(printf, 7, 8)));
/* A field of a pair or group as that site shows it; "" when absent; numbers as text. */
void drive_show(struct fake_world *world, unsigned site, const char *id, const char *field,
                char *ret_text);
void drive_expect(struct fake_world *world, unsigned site, const char *id, const char *field,
                  const char *value);
/* As drive_expect() for "Status" at both sites. */
void drive_status(struct fake_world *world, const char *id, const char *value);

/* Behind the back of control: the state in that site's record. */
void drive_write_state(struct fake_world *world, unsigned site, const char *id,
                       enum replica_state state);

/* Asks, expects 200, and gives the reply, which is the caller's. */
json_t *drive_ask(struct fake_world *world, unsigned site, const char *action, const char *format,
                  ...) __attribute__((format(printf, 4, 5)));

struct drive_pair {
    char id[64], paris_disk[64], lyon_disk[64];
};

void drive_disk(struct fake_world *world, unsigned site, char *ret_id);
void drive_pair(struct fake_world *world, struct drive_pair *ret_pair);
void drive_group(struct fake_world *world, char *ret_id);
/* A lone pair and an empty group that both sites know. */
void drive_pair_and_group(struct fake_world *world, struct drive_pair *ret_pair, char *ret_group);
void drive_add(struct fake_world *world, const char *group, const struct drive_pair *pair);

extern const char *const drive_regions[2];

int drive_setup(void **state); /* *state is a struct fake_world of two regions */
int drive_teardown(void **state);

#endif
