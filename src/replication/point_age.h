/* SPDX-License-Identifier: Apache-2.0 */
/* How old a recovery point is, by a clock that does not jump. */
#ifndef REPLICATION_POINT_AGE_H
#define REPLICATION_POINT_AGE_H

#include <stdbool.h>

#include "io/loop.h"

struct point_age {
    uint64_t news_ns, age_ns; /* at news_ns, of the loop's clock, it was so old */
};

/* News: the newest point holds all that was written up to wall_ns. is_recalled: news of an earlier
 * life, or of the peer's; a clock may have gone back since. */
void point_age_learn(struct point_age *age, struct loop *loop, uint64_t wall_ns, bool is_recalled);
uint64_t point_age_now_ns(const struct point_age *age, struct loop *loop);

#endif
