/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata that cannot be read when a test says so; all else goes to the real thing. */
#ifndef FAKE_META_H
#define FAKE_META_H

#include "meta/meta.h"

/* Takes `real`; both end by meta_close(). */
struct meta *fake_meta_new(struct meta *real);
/* The next `count` listings, walks, counts (`is_get`: single reads) of that kind end with -EIO. */
void fake_meta_fail(struct meta *meta, enum record_kind kind, bool is_get, unsigned count);
/* How many of those are still to come. */
unsigned fake_meta_left(const struct meta *meta);

#endif
