/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   1. A sleep that ended soon would have been better spent looking; a long one makes the next look
 *      shorter. So a busy connection is watched and an idle daemon sleeps at once.
 *   2. A thread that is preempted again and again within CHECK_NS shares its core: it rests from
 *      looking for REST_NS, then tries anew. One preemption is the kernel's own work and is
 * ignored.
 */
#include "io/spin_policy.h"

enum {
    SPIN_NS_MIN = 5 * 1000,
    CHECK_NS = 10 * 1000 * 1000,
    REST_NS = 100 * 1000 * 1000,
    PREEMPTED_COUNT_MIN = 2,
};

void spin_policy_init(struct spin_policy *policy, uint64_t spin_ns_max)
{
    *policy = (struct spin_policy){.spin_ns_max = spin_ns_max};
}

uint64_t spin_policy_budget(const struct spin_policy *policy, uint64_t now_ns)
{
    return now_ns < policy->rest_ns ? 0 : policy->spin_ns;
}

void spin_policy_slept(struct spin_policy *policy, uint64_t waited_ns)
{
    if (waited_ns <= policy->spin_ns_max)
        policy->spin_ns = policy->spin_ns_max;
    else
        policy->spin_ns = policy->spin_ns > SPIN_NS_MIN ? policy->spin_ns / 2 : 0;
}

bool spin_policy_wants_check(const struct spin_policy *policy, uint64_t now_ns)
{
    return policy->spin_ns > 0 && now_ns >= policy->check_ns;
}

void spin_policy_check(struct spin_policy *policy, uint64_t now_ns, uint64_t preempted)
{
    /* A count over a longer span than CHECK_NS says nothing about now. */
    bool is_fresh = now_ns - policy->check_ns < CHECK_NS;

    if (is_fresh && preempted - policy->preempted >= PREEMPTED_COUNT_MIN)
        policy->rest_ns = now_ns + REST_NS;
    policy->preempted = preempted;
    policy->check_ns = now_ns + CHECK_NS;
}
