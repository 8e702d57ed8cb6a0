/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants that hold at every instant, looked at behind every event. It sees the
 * inside of the engines and the bytes of their disks, and changes nothing.
 *
 *   I1 I2  each point is judged in the event that commits it
 *   I8     in a term at most one site accepts writes, ever
 *   I10    what differs is dirty, suspect or under way
 *   I14    terms never go back; nor do points, in one generation
 *
 * I3 and I4 are judged when a site is up again, I9 when one has lost (sim_witness.c), I11 at the
 * end (sim_settle.c).
 */
#ifndef SIM_INVARIANTS_H
#define SIM_INVARIANTS_H

#include <stdbool.h>
#include <stdint.h>

struct sim_run;
struct node;
struct invariants;
struct stream;

struct invariants *invariants_new(struct sim_run *run);
void invariants_free(struct invariants *invariants);

/* Holds the site nothing there, neither in its base nor in its journal? */
bool invariants_is_hole(const struct node *node, unsigned disk, uint64_t offset, uint64_t length);
/* What its status says is wrong; "" while there is no stream. */
/* A block of 4 KiB as a host would read it, without any request: of a disk that is there, number
 * `index` of `stream`, which is open; NULL: of none. */
void invariants_show(const struct node *node, const struct stream *stream, const char *disk,
                     unsigned index, uint64_t block, uint8_t *bytes);
const char *invariants_trouble(const struct node *node);

#endif
