/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is kept without being asked for: the record of events (audit.h), and every five seconds of
 * the clock a fresh status of the data wing, for the events of replication (notice.h) and the
 * samples of disks (monitor.h). On the control loop; it beats only where either is kept.
 */
#ifndef CONTROL_PULSE_H
#define CONTROL_PULSE_H

#include "control/site.h"

enum { PULSE_PERIOD_S = 5 };

struct pulse;

/* Fills site->audit; site->monitor and site->pulse where something is kept, else NULL. */
void pulse_init(struct site *site, const struct site_options *options);
void pulse_fini(struct site *site);
/* All records are open. */
void pulse_start(struct site *site);
void pulse_stop(struct site *site);
/* A snapshot was taken for another reason: what is to be told is told now. */
void pulse_look(struct site *site);
/* The data wing says so: the disk's record follows, now or when it can. */
void pulse_grown(struct site *site, const char *disk, uint64_t bytes);
/* The link to a peer came up or went down. */
void pulse_tell_link(struct site *site, const char *peer, bool is_up, const char *why);
/* The data wing found at its start: a snapshot of that disk is lost, or nobody opened that stream.
 */
void pulse_tell_found(struct site *site, const char *id, bool is_lost, const char *why);

#endif
