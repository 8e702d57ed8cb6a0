/* SPDX-License-Identifier: Apache-2.0 */
/* The job that makes a disk empty, for works.c; its row is written by ops_disk_reinit.c. */
#ifndef CONTROL_REINIT_H
#define CONTROL_REINIT_H

#include "control/jobs.h"

#define REINIT_JOB "reinit"

void reinit_run(struct job *job);

#endif
