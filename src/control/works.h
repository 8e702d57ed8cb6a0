/* SPDX-License-Identifier: Apache-2.0 */
/* The jobs: kind -> function, for jobs_init(). */
#ifndef CONTROL_WORKS_H
#define CONTROL_WORKS_H

#include "control/jobs.h"

const struct job_kind *works_kinds(unsigned *ret_count);

/* One-shot copies that have ended: their records go to `stopped`. After each fresh snapshot. */
void works_end_one_shots(struct site *site);

/* Streams that run although their records are `stopped` (they could not be opened when they were
 * stopped), or do not although their records say so. Once, with the first snapshot after a start.
 */
int works_settle_strays(struct site *site);

#endif
