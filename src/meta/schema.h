/* SPDX-License-Identifier: Apache-2.0 */
/* The schema's versions: migration i brings a database from version i to i + 1. */
#ifndef META_SCHEMA_H
#define META_SCHEMA_H

enum { SCHEMA_APPLICATION_ID = 0x5652534f }; /* "VRSO": the file is ours */

unsigned schema_version(void); /* the newest one we know */
/* SQL of the step from `version` to `version` + 1. */
const char *schema_migration(unsigned version);

#endif
