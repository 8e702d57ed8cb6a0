/* SPDX-License-Identifier: Apache-2.0 */
/* Counts over one schedule, and over many. All are uint64_t. */
#ifndef SIM_FIGURES_H
#define SIM_FIGURES_H

#include <stdint.h>

struct figures {
    uint64_t schedules, actions; /* actions: of hosts, operator, fate */
    uint64_t writes, epochs_judged, kills, power_losses, failovers, reprotects, growths,
        snapshots_judged;
    uint64_t points, audits; /* judged in the event that made them; looks at all watched blocks */
    uint64_t network_faults, disk_faults, pauses, jumps, rots, refusals, forgettings, clerk_writes;
    uint64_t stacked;    /* schedules in which three faults or more were upon each other */
    uint64_t registered; /* changes of users, keys, policies and tags that were answered */
    uint64_t in_pieces;  /* schedules in which long work went in small pieces */
    uint64_t virtual_ns, hash;
};

void figures_add(struct figures *sum, const struct figures *figures);
void figures_print(const struct figures *figures);

#endif
