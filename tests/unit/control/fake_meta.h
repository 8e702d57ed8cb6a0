/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata that cannot be read when a test says so; all else goes to the real thing. */
#ifndef FAKE_META_H
#define FAKE_META_H

#include "meta/meta.h"

/* Takes `real`; both end by meta_close(). */
struct meta *fake_meta_new(struct meta *real);
/* The next `count` listings, walks, counts (`is_get`: single reads) of that kind end with -EIO. */
void fake_meta_fail(struct meta *meta, enum record_kind kind, bool is_get, unsigned count);
/* The same behind `spared` reads of that kind that do not. */
void fake_meta_fail_behind(struct meta *meta, enum record_kind kind, bool is_get, unsigned spared,
                           unsigned count);
/* The next `count` commits fail, and leave nothing. */
void fake_meta_fail_commits(struct meta *meta, unsigned count);
/* The same behind `spared` ones that do not. */
void fake_meta_fail_commits_behind(struct meta *meta, unsigned spared, unsigned count);
/* From now on the record with this key (NULL: none) cannot be written. */
void fake_meta_fail_put(struct meta *meta, const char *key);
/* How many commits there were. */
unsigned fake_meta_commits(struct meta *meta);
/* How many of the failures of fake_meta_fail() are still to come. */
unsigned fake_meta_left(const struct meta *meta);

#endif
