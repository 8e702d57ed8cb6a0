/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happened in schedules, counted: nobody should believe
 * "0 failed" of schedules that did nothing.
 */
#include "sim_figures.h"

#include <stdio.h>

void figures_add(struct figures *sum, const struct figures *figures)
{
    uint64_t *into = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)figures;

    _Static_assert(sizeof(*sum) % sizeof(uint64_t) == 0, "all counts");
    for (unsigned i = 0; i < sizeof(*sum) / sizeof(uint64_t); i++)
        into[i] += from[i];
}

void figures_print(const struct figures *figures)
{
    printf("%llu writes, %llu recovery points judged, %llu kills, %llu power losses, %llu "
           "failovers, %llu reprotects, %llu disks that grew, %llu readings of snapshots, %llu "
           "virtual seconds, %llu changes of users, keys, policies and tags\n",
           (unsigned long long)figures->writes, (unsigned long long)figures->epochs_judged,
           (unsigned long long)figures->kills, (unsigned long long)figures->power_losses,
           (unsigned long long)figures->failovers, (unsigned long long)figures->reprotects,
           (unsigned long long)figures->growths, (unsigned long long)figures->snapshots_judged,
           (unsigned long long)(figures->virtual_ns / 1000000000ull),
           (unsigned long long)figures->registered);
    printf("%llu points judged as they came, %llu times all blocks against the dirty sets, %llu "
           "relations forgotten, %llu writes to the clerk's disks\n",
           (unsigned long long)figures->points, (unsigned long long)figures->audits,
           (unsigned long long)figures->forgettings, (unsigned long long)figures->clerk_writes);
    printf(
        "%llu changes of the network, %llu broken disks, %llu pauses, %llu jumps of clocks, %llu "
        "times rot (%llu refusals), %llu schedules with three faults or more at once, %llu in "
        "small "
        "pieces\n",
        (unsigned long long)figures->network_faults, (unsigned long long)figures->disk_faults,
        (unsigned long long)figures->pauses, (unsigned long long)figures->jumps,
        (unsigned long long)figures->rots, (unsigned long long)figures->refusals,
        (unsigned long long)figures->stacked, (unsigned long long)figures->in_pieces);
}
