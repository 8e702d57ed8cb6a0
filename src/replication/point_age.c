/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wall clocks are compared once, when news arrives; from then on the loop's clock counts. So a jump
 * of a wall clock is over with the next news, and without news the age grows by what passes.
 * Recalled news never makes a point as of now: who waits for a newer one must not be told of it.
 */
#include "replication/point_age.h"

#define RECALLED_AGE_MIN_NS UINT64_C(1000000000)

void point_age_learn(struct point_age *age, struct loop *loop, uint64_t wall_ns, bool is_recalled)
{
    uint64_t now_wall_ns = loop_wall_ns(loop);

    age->news_ns = loop_now_ns(loop);
    age->age_ns = now_wall_ns > wall_ns ? now_wall_ns - wall_ns : 0;
    if (is_recalled && age->age_ns < RECALLED_AGE_MIN_NS)
        age->age_ns = RECALLED_AGE_MIN_NS;
}

uint64_t point_age_now_ns(const struct point_age *age, struct loop *loop)
{
    return loop_now_ns(loop) - age->news_ns + age->age_ns;
}
