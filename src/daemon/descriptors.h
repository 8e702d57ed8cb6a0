/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors are bounded by the system (ulimit -n, LimitNOFILE=). Clients get at most half of
 * them: the files of disks, journals and metadata must open whatever clients do.
 */
#ifndef DAEMON_DESCRIPTORS_H
#define DAEMON_DESCRIPTORS_H

#include "daemon/config.h"

/* Raises the soft limit to the hard one; where that is still little, lowers what clients may have
 * and says so. Fills in the limits of connections that the configuration left open. */
void descriptors_fit(struct config *config);

#endif
