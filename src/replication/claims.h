/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The streams that have files here and are not open, and the disks that they name. Hosts do not
 * reach these disks: only the stream knows whether they may, and remembers what they write.
 */
#ifndef REPLICATION_CLAIMS_H
#define REPLICATION_CLAIMS_H

#include "replication/engine_parts.h"

/* At the engine's making, before anything is open. Blocks. */
int claims_load(struct engine *engine, struct err *err);
void claims_free(struct engine *engine);

bool claims_have(const struct engine *engine, const char *stream);
/* The stream that claims the disk; NULL: none. */
const char *claims_of_disk(const struct engine *engine, const char *disk);
/* Of a disk that was opened in this very moment, of which the owner has heard nothing yet. */
void claims_take(struct engine *engine, struct site_disk *disk);
/* Why its disks are closed. */
void claims_say(const char *stream, char *ret_why, size_t size);
/* The stream is open, or is gone for good. Its disks are to be judged anew. */
void claims_end(struct engine *engine, const char *stream);
/* For the log, when all that the records know was opened. */
void claims_tell(const struct engine *engine);

#endif
