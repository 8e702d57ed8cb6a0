/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named moments between two steps of an operation, at which a test may want the process to die
 * (tests/torture/torture_kill_step.py). A build without -Dstep_hooks=true holds nothing of them.
 */
#ifndef BASE_STEP_H
#define BASE_STEP_H

#ifdef VERSO_STEP_HOOKS
/* Ends the process at once, with status STEP_STATUS, when the order says so: the file that
 * VERSO_STEP_FILE named when the process began holds, little-endian, how many times from now this
 * point is passed (4 bytes; 1: it dies now) and the name of the point (60 bytes, zeros behind). */
void step_point(const char *name);

enum { STEP_STATUS = 97 };
#else
#define step_point(name) ((void)0)
#endif

#endif
