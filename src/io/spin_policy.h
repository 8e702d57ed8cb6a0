/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a loop looks for news before it sleeps. To be woken from sleep costs more than to serve
 * a request, so with one request in flight looking pays; on a core that others want it only takes
 * their time, and the client may be one of them. Pure; times and counts come in as values.
 */
#ifndef IO_SPIN_POLICY_H
#define IO_SPIN_POLICY_H

#include <stdbool.h>
#include <stdint.h>

struct spin_policy {
    uint64_t spin_ns_max; /* 0: never look */
    uint64_t spin_ns;     /* adapts, 0 .. spin_ns_max */
    uint64_t check_ns;    /* when preemptions are to be looked at again */
    uint64_t rest_ns;     /* no looking before this time */
    uint64_t preempted;   /* count at the last check */
};

void spin_policy_init(struct spin_policy *policy, uint64_t spin_ns_max);
/* How long to look, from `now_ns` on. */
uint64_t spin_policy_budget(const struct spin_policy *policy, uint64_t now_ns);
/* A wait that ended in sleep took `waited_ns` in all. */
void spin_policy_slept(struct spin_policy *policy, uint64_t waited_ns);
/* Is it time for spin_policy_check()? Its caller then asks the kernel. */
bool spin_policy_wants_check(const struct spin_policy *policy, uint64_t now_ns);
/* `preempted`: how often the thread lost its core against its will, ever. */
void spin_policy_check(struct spin_policy *policy, uint64_t now_ns, uint64_t preempted);

#endif
