/* SPDX-License-Identifier: Apache-2.0 */
/* How a job of a relation begins and ends. */
#ifndef CONTROL_RELATION_JOB_H
#define CONTROL_RELATION_JOB_H

#include "control/jobs.h"
#include "control/relation.h"

/* Loads the job's relation. False: the job was cancelled or has no relation any more, and has ended
 * here; or its records cannot be read now, and it runs again later. */
bool job_load(struct job *job, struct relation *ret_relation);
/* Commits the relation's new state (NULL: as it is) and the job's end together. If that fails the
 * job runs again later. */
void job_end(struct job *job, const struct relation *relation);

#endif
