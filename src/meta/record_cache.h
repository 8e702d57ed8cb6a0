/* SPDX-License-Identifier: Apache-2.0 */
/* All records of a site in memory, before the database. */
#ifndef META_RECORD_CACHE_H
#define META_RECORD_CACHE_H

#include "meta/meta.h"

/* Reads everything that `behind` holds, once; from then on `behind` is the cache's, and changed
 * through it alone. On a failure `behind` stays the caller's. */
int record_cache_new(struct meta *behind, struct meta **ret_meta, struct err *err);

/* The database at `path` with the cache before it: what a site uses. Errors are those of
 * meta_sqlite_open(), and whatever reading it meets. */
int record_cache_open(const char *path, struct meta **ret_meta, struct err *err);

#endif
